//! How long calls take: what many count in at once, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the histogram's buckets, in seconds; what took longer is in
/// one more.
pub(super) const BOUNDS: [f64; 13] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0, 5.0,
    30.0,
];

/// How long calls took so far.
#[derive(Debug, Default)]
pub(super) struct Durations {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// The same at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct DurationTotals {
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    pub(super) nanoseconds: u64,
}

impl Durations {
    /// A call took this long.
    pub(super) fn took(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> DurationTotals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DurationTotals {
            buckets: std::array::from_fn(|bucket| get(&self.buckets[bucket])),
            nanoseconds: get(&self.nanoseconds),
        }
    }
}

impl DurationTotals {
    pub(super) fn with(self, other: &DurationTotals) -> DurationTotals {
        DurationTotals {
            buckets: std::array::from_fn(|at| self.buckets[at] + other.buckets[at]),
            nanoseconds: self.nanoseconds + other.nanoseconds,
        }
    }

    /// How many calls were made.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise_and_a_call_is_in_the_first_bucket_that_holds_it() {
        assert!(BOUNDS.is_sorted());
        let durations = Durations::default();
        durations.took(Duration::from_millis(1));
        durations.took(Duration::from_nanos(1_000_001));
        durations.took(Duration::from_secs(31));
        let totals = durations.totals();
        assert_eq!((totals.buckets[5], totals.buckets[6]), (1, 1));
        assert_eq!(totals.buckets[BOUNDS.len()], 1);
        assert_eq!(totals.count(), 3);
        assert_eq!(totals.nanoseconds, 31_002_000_001);
    }
}
