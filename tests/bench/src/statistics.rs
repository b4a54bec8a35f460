//! Figures from rounds of measurement: the middle, the spread, and ratios taken
//! within a round, where both sides met the same machine.

use std::time::Duration;

/// A figure with its spread over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figure {
    /// None without values.
    pub(crate) fn of(values: &[f64]) -> Option<Figure> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&least, &most) = (sorted.first()?, sorted.last()?);
        let half = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[half - 1], sorted[half]),
            _ => sorted[half],
        };
        Some(Figure {
            median,
            least,
            most,
        })
    }

    /// Of the ratios round by round; rounds that only one side has count for
    /// nothing.
    pub(crate) fn of_ratios(over: &[f64], under: &[f64]) -> Option<Figure> {
        let ratios: Vec<f64> = over
            .iter()
            .zip(under)
            .filter(|&(_, &under)| under > 0.0)
            .map(|(over, under)| over / under)
            .collect();
        Figure::of(&ratios)
    }
}

/// The time that `hundredths` of a hundred of the units took at most (nearest
/// rank); None without units.
pub(crate) fn percentile(times: &[Duration], hundredths: usize) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_spread() {
        assert_eq!(Figure::of(&[]), None);
        let odd = Figure::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.least, odd.median, odd.most), (1.0, 2.0, 3.0));
        assert_eq!(Figure::of(&[4.0, 1.0]).unwrap().median, 2.5);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine was half as fast in the second round; the ratio was not.
        let figure = Figure::of_ratios(&[2.0, 4.0, 9.0], &[1.0, 2.0]).unwrap();
        assert_eq!((figure.least, figure.most), (2.0, 2.0));
        assert_eq!(Figure::of_ratios(&[1.0], &[0.0]), None);
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&times, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&times, 0), Some(Duration::from_millis(1)));
        assert_eq!(
            percentile(&times[..1], 99),
            Some(Duration::from_millis(200))
        );
        assert_eq!(percentile(&[], 50), None);
    }
}
