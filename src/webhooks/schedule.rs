//! Schedule: when a delivery is tried again, and when no more. Pure.

use std::time::Duration;

/// Waits that double, up to a longest one, for so many tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The wait after the first failed try, before jitter.
    pub backoff: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Tries of one delivery.
    pub max_tries: u32,
}

impl Schedule {
    /// The wait after this many failed tries. Half of it is fixed and half is chance, `dice` of a million, so that
    /// receivers that come back are not met by everybody at once.
    pub fn wait(&self, failed: u32, dice: u32) -> Duration {
        let whole = self.whole(failed);
        whole / 2 + (whole / 2) * dice.min(1_000_000) / 1_000_000
    }

    /// The least time that all tries of a delivery take.
    pub fn shortest_life(&self) -> Duration {
        let mut life = Duration::ZERO;
        for failed in 1..self.max_tries {
            let wait = self.wait(failed, 0);
            if self.whole(failed) == self.longest {
                return life.saturating_add(wait.saturating_mul(self.max_tries - failed));
            }
            life = life.saturating_add(wait);
        }
        life
    }

    fn whole(&self, failed: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.backoff.saturating_mul(doubled).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule =
        Schedule { backoff: Duration::from_secs(1), longest: Duration::from_secs(3_600), max_tries: 40 };

    #[test]
    fn waits_double_up_to_the_longest_and_vary_by_half() {
        let waits: Vec<_> = [1, 2, 3, 12, 13, 40, u32::MAX].map(|n| SCHEDULE.wait(n, 1_000_000).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 2_048, 3_600, 3_600, 3_600]);
        assert_eq!(SCHEDULE.wait(3, 0), Duration::from_secs(2));
        assert_eq!(SCHEDULE.wait(3, 500_000), Duration::from_secs(3));
    }

    #[test]
    fn the_shortest_life_is_the_sum_of_the_shortest_waits() {
        let sum = |schedule: &Schedule| (1..schedule.max_tries).map(|n| schedule.wait(n, 0)).sum::<Duration>();
        for max_tries in [0, 1, 2, 12, 13, 14, 40] {
            let schedule = Schedule { max_tries, ..SCHEDULE };
            assert_eq!(schedule.shortest_life(), sum(&schedule), "{max_tries} tries");
        }
        let flat = Schedule { backoff: Duration::from_secs(3_600), ..SCHEDULE };
        assert_eq!(flat.shortest_life(), sum(&flat));
    }
}
