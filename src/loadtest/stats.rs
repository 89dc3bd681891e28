//! Stats: times as percentiles, to three digits.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told apart: an hour, in microseconds.
const LONGEST: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// How long something took, of many times. Microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Half took at most this.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

/// Many times, in microseconds.
#[derive(Clone, Debug)]
pub struct Times {
    histogram: Histogram<u64>,
    /// The longest one, exactly.
    max: u64,
}

impl FromIterator<u64> for Times {
    fn from_iter<I: IntoIterator<Item = u64>>(times: I) -> Self {
        let mut histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("these bounds are valid");
        let mut max = 0;
        for time in times {
            histogram.saturating_record(time);
            max = max.max(time);
        }
        Self { histogram, max }
    }
}

impl Times {
    /// The percentiles that are told.
    pub fn spread(&self) -> Spread {
        let at = |quantile| self.histogram.value_at_quantile(quantile).min(self.max);
        Spread {
            count: self.histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.max,
        }
    }

    /// Percentiles and times, ever closer to 100: as far as there are that many times.
    pub fn curve(&self) -> Vec<(f64, u64)> {
        let points = [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999];
        #[expect(clippy::cast_precision_loss, reason = "counts to look at")]
        let finest = 100.0 - 100.0 / self.histogram.len().max(1) as f64;
        let known = points.into_iter().filter(|percentile| *percentile <= finest || *percentile == 0.0);
        known.map(|percentile| (percentile, self.histogram.value_at_percentile(percentile).min(self.max))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let spread = (1..=1_000_u64).map(|n| n * 10).collect::<Times>().spread();
        assert_eq!((spread.count, spread.max), (1_000, 10_000));
        for (got, exact) in [(spread.p50, 5_000), (spread.p90, 9_000), (spread.p99, 9_900), (spread.p999, 9_990)] {
            assert!(got.abs_diff(exact) * 1_000 <= exact, "{got} for {exact}: three digits");
        }
    }

    #[test]
    fn a_few_slow_ones_show_where_they_belong() {
        let times: Times = (0..990).map(|_| 1_000).chain((0..10).map(|_| 5_000_000)).collect();
        let spread = times.spread();
        assert!(spread.p99 < 1_010 && spread.p999 > 4_990_000, "{spread:?}");
        assert_eq!(times.curve().last().unwrap().0, 99.9, "a thousand times know no finer percentile");
    }

    #[test]
    fn no_times_and_the_longest_ones_are_fine() {
        assert_eq!(Times::from_iter([]).spread(), Spread::default());
        assert!(Times::from_iter([0, u64::MAX]).spread().max >= LONGEST);
    }
}
