//! Timeline: a load cut into intervals, for the plots over time.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use super::{
    ledger::{End, Track},
    report::{answered, seen_since},
    stats::Times,
};

/// Intervals of the plots over time, at most about so many.
const INTERVALS: u64 = 120;
/// In microseconds.
pub(super) const SECOND: u64 = 1_000_000;

/// What happened in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Its begin, in seconds after the start.
    pub at: u64,
    /// Orders accepted in it.
    pub accepted: u64,
    /// Orders swapped in it.
    pub confirmed: u64,
    /// Orders that failed in it.
    pub failed: u64,
    /// From accepted to confirmed, of those swapped in it.
    pub p50: u64,
    /// The same.
    pub p99: u64,
    /// From the turn to the answer, of those answered in it.
    pub answered_p99: u64,
}

/// The interval of the plots: whole seconds, so many that there are few enough of them.
pub(super) fn interval(took: u64) -> u64 {
    took.div_ceil(INTERVALS).div_ceil(SECOND).max(1) * SECOND
}

/// What happened in each interval, from the start to the last event.
pub(super) fn timeline(ours: &[(&Uuid, &Track)], interval: u64) -> Vec<Interval> {
    #[derive(Default)]
    struct Gathered {
        accepted: u64,
        failed: u64,
        confirmed: Vec<u64>,
        answered: Vec<u64>,
    }
    let mut gathered: BTreeMap<u64, Gathered> = BTreeMap::new();
    for (_, track) in ours {
        if let (Some(accepted), Some(answered)) = (track.accepted, answered(track)) {
            let here = gathered.entry(accepted.seen / interval).or_default();
            here.accepted += 1;
            here.answered.push(answered);
        }
        match &track.ended {
            Some((at, End::Confirmed)) => {
                let took = seen_since(track, *at).unwrap_or_default();
                gathered.entry(at.seen / interval).or_default().confirmed.push(took);
            }
            Some((at, End::Failed(_))) => gathered.entry(at.seen / interval).or_default().failed += 1,
            None => {}
        }
    }
    let last = gathered.keys().next_back().copied().unwrap_or_default();
    (0..=last)
        .map(|n| {
            let here = gathered.remove(&n).unwrap_or_default();
            let confirmed = here.confirmed.iter().copied().collect::<Times>().spread();
            Interval {
                at: n * interval / SECOND,
                accepted: here.accepted,
                confirmed: here.confirmed.len() as u64,
                failed: here.failed,
                p50: confirmed.p50,
                p99: confirmed.p99,
                answered_p99: here.answered.into_iter().collect::<Times>().spread().p99,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::ledger::Moment;

    #[test]
    fn each_order_counts_where_it_was_accepted_and_where_it_ended() {
        let at = |seen| Moment { seen, told: Some(0) };
        let track = |accepted: u64, ended: u64, end: End| Track {
            turn: Some((0, 0)),
            accepted: Some(at(accepted * SECOND)),
            ended: Some((at(ended * SECOND), end)),
            ..Track::default()
        };
        let orders =
            [track(0, 1, End::Confirmed), track(1, 3, End::Failed("no_route".into())), track(1, 3, End::Confirmed)];
        let id = Uuid::nil();
        let ours: Vec<_> = orders.iter().map(|track| (&id, track)).collect();
        let counts: Vec<_> =
            timeline(&ours, SECOND).iter().map(|it| (it.at, it.accepted, it.confirmed, it.failed)).collect();
        assert_eq!(counts, [(0, 1, 0, 0), (1, 2, 1, 0), (2, 0, 0, 0), (3, 0, 1, 1)]);
        assert_eq!(timeline(&ours, SECOND)[3].p50, 2 * SECOND);
    }

    #[test]
    fn there_are_never_too_many_intervals() {
        for took in [0, 1, SECOND, 100 * SECOND, 121 * SECOND, 86_400 * SECOND] {
            let interval = interval(took);
            assert!(interval >= SECOND && took / interval <= INTERVALS, "{took}");
        }
    }
}
