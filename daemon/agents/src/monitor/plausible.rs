//! Holds an answer of the metrics against the question: what cannot be true is left out, and named.

use medic_core::TimeRange;
use medic_ports::metrics::Series;

/// How far another machine's clock may be off. 60 s: more breaks its own scrapes first.
const SKEW_MS: u64 = 60_000;

/// What was left out of one answer, at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Odd {
    /// Samples with stamps from outside the window that was asked about: from the future, or long past.
    OutOfWindow,
    /// Series whose stamps do not rise.
    Disordered,
    /// Nothing but NaN and infinities.
    NotANumber,
}

impl Odd {
    pub fn code(self) -> &'static str {
        match self {
            Self::OutOfWindow => "METRICS_OUT_OF_WINDOW",
            Self::Disordered => "METRICS_DISORDERED",
            Self::NotANumber => "METRICS_NOT_A_NUMBER",
        }
    }
    pub fn detail(self) -> &'static str {
        match self {
            Self::OutOfWindow => "samples are stamped outside the window that was asked about",
            Self::Disordered => "samples of a series are not in order of time",
            Self::NotANumber => "there is no finite number in the answer",
        }
    }
}

/// The series that may be believed, and what was wrong with the others. `step_ms`: of the grid that was asked for.
pub(super) fn sift(mut answer: Vec<Series>, window: TimeRange, step_ms: u64) -> (Vec<Series>, Vec<Odd>) {
    let (first, last) = (window.start.before_ms(step_ms), window.end.after_ms(SKEW_MS.max(step_ms)));
    let mut odd = Vec::new();
    let mut found = |what: Odd| {
        if !odd.contains(&what) {
            odd.push(what);
        }
    };
    for series in &mut answer {
        let before = series.samples.len();
        series.samples.retain(|(at, _)| first <= *at && *at <= last);
        if series.samples.len() < before {
            found(Odd::OutOfWindow);
        }
        if !series.samples.is_sorted_by(|(a, _), (b, _)| a < b) {
            found(Odd::Disordered);
            series.samples.clear();
        }
    }
    answer.retain(|series| !series.samples.is_empty());
    // A ratio without traffic is NaN and no lie; an answer without a single number says nothing.
    let finite = |series: &Series| series.samples.iter().any(|(_, value)| value.is_finite());
    if !answer.is_empty() && !answer.iter().any(finite) {
        found(Odd::NotANumber);
    }
    answer.retain(finite);
    (answer, odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::{Labels, TimestampMs};

    fn series(samples: &[(u64, f64)]) -> Series {
        let samples = samples.iter().map(|(at, value)| (TimestampMs(*at), *value)).collect();
        Series { labels: Labels::default(), samples }
    }

    fn check(answer: &[&[(u64, f64)]], kept: &[usize], expected: &[Odd]) {
        let window = TimeRange::new(TimestampMs(1_000_000), TimestampMs(1_100_000));
        let (left, odd) = sift(answer.iter().map(|samples| series(samples)).collect(), window, 1_000);
        assert_eq!(left.iter().map(|series| series.samples.len()).collect::<Vec<_>>(), kept, "{answer:?}");
        assert_eq!(odd, expected, "{answer:?}");
    }

    #[test]
    fn what_cannot_be_true_is_a_gap_and_the_rest_is_kept() {
        let nan = f64::NAN;
        check(&[&[(1_000_000, 1.0), (1_001_000, 2.0)]], &[2], &[]);
        check(&[&[(1_000_000, 1.0), (9_000_000, 2.0)]], &[1], &[Odd::OutOfWindow]);
        check(&[&[(9_000_000, 2.0)]], &[], &[Odd::OutOfWindow]);
        check(&[&[(1, 2.0)], &[(1_000_000, 1.0)]], &[1], &[Odd::OutOfWindow]);
        check(&[&[(1_002_000, 1.0), (1_001_000, 2.0)], &[(1_000_000, 1.0)]], &[1], &[Odd::Disordered]);
        check(&[&[(1_001_000, 1.0), (1_001_000, 2.0)]], &[], &[Odd::Disordered]);
        check(&[&[(1_001_000, nan), (1_002_000, f64::INFINITY)]], &[], &[Odd::NotANumber]);
        check(&[&[(1_001_000, nan)], &[(1_001_000, nan), (1_002_000, 0.5)]], &[2], &[]);
        check(&[], &[], &[]);
    }

    #[test]
    fn a_neighbour_whose_clock_is_a_little_ahead_is_believed() {
        check(&[&[(1_160_000, 1.0)]], &[1], &[]);
        check(&[&[(1_160_001, 1.0)]], &[], &[Odd::OutOfWindow]);
    }
}
