//! Owns PromQL as a tool asks it, and the reading of an instant answer.

use crate::error::ToolResult;
use crate::sys::Handle;
use crate::types::{HostError, Sample, Series, TimeRange, ToolError};

/// PromQL. Build expressions with [`promql!`](crate::promql): it escapes what comes from arguments.
pub struct Metrics<'h>(pub(super) &'h Handle);

impl Metrics<'_> {
    /// The value now.
    ///
    /// # Errors
    /// Denied, the expression is invalid, or the metrics server fails or is too slow.
    pub fn query(&self, promql: &str) -> Result<Vector, HostError> {
        self.0.metrics_query(promql, None).map(Vector)
    }

    /// The value at `at_ms`, milliseconds since the epoch, UTC.
    ///
    /// # Errors
    /// As [`Metrics::query`].
    pub fn query_at(&self, promql: &str, at_ms: u64) -> Result<Vector, HostError> {
        self.0.metrics_query(promql, Some(at_ms)).map(Vector)
    }

    /// The values over `range`, one every `step_ms` milliseconds.
    ///
    /// # Errors
    /// As [`Metrics::query`].
    pub fn query_range(
        &self,
        promql: &str,
        range: TimeRange,
        step_ms: u64,
    ) -> Result<Vec<Series>, HostError> {
        self.0.metrics_query_range(promql, range, step_ms)
    }

    /// Several values now; the host asks for them side by side. The answers come in the order of the questions.
    pub fn query_many(&self, promql: &[String]) -> Vec<Result<Vector, HostError>> {
        self.0.metrics_query_many(promql, None).into_iter().map(|answer| answer.map(Vector)).collect()
    }
}

/// The answer to an instant query: series of one sample each.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector(pub Vec<Series>);

impl Vector {
    /// Whether nothing matched. To Prometheus, "no such series" and "no problem" look the same: decide which it is.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|series| series.samples.is_empty())
    }

    /// The one value of the answer, if there is any.
    ///
    /// # Errors
    /// `NOT_A_SCALAR` for several values, `NOT_A_NUMBER` for NaN or infinity.
    pub fn optional_scalar(&self) -> ToolResult<Option<f64>> {
        let mut samples = self.samples();
        let Some((_, sample)) = samples.next() else { return Ok(None) };
        let more = samples.count();
        if more > 0 {
            let message = format!("expected one value, the metrics server answered {}", more + 1);
            return Err(ToolError::upstream("NOT_A_SCALAR", message));
        }
        if !sample.value.is_finite() {
            let message = format!("expected a number, the metrics server answered {}", sample.value);
            return Err(ToolError::upstream("NOT_A_NUMBER", message));
        }
        Ok(Some(sample.value))
    }

    /// The one value of the answer.
    ///
    /// # Errors
    /// `NO_DATA` when nothing matched, else as [`Vector::optional_scalar`].
    pub fn scalar(&self) -> ToolResult<f64> {
        self.optional_scalar()?.ok_or_else(|| {
            ToolError::upstream(
                "NO_DATA",
                "the metrics server has no sample for this; is the label value right?",
            )
        })
    }

    /// Whether a boolean expression holds: at least one sample, and every one of them 1.
    pub fn holds(&self) -> bool {
        !self.is_empty() && self.samples().all(|(_, sample)| sample.value == 1.0)
    }

    /// Every sample with its series.
    pub fn samples(&self) -> impl Iterator<Item = (&Series, &Sample)> {
        self.0.iter().flat_map(|series| series.samples.iter().map(move |sample| (series, sample)))
    }
}

impl Series {
    /// The value of a label; `None` when the series does not carry it.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.name == name).map(|label| label.value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(values: &[f64]) -> Vector {
        let series =
            |value: &f64| Series { labels: vec![], samples: vec![Sample { at_ms: 0, value: *value }] };
        Vector(values.iter().map(series).collect())
    }

    #[test]
    fn a_scalar_is_exactly_one_number() {
        assert_eq!(vector(&[0.5]).scalar(), Ok(0.5));
        for (values, code) in [
            (&[][..], "NO_DATA"),
            (&[1.0, 2.0], "NOT_A_SCALAR"),
            (&[f64::NAN], "NOT_A_NUMBER"),
            (&[f64::INFINITY], "NOT_A_NUMBER"),
        ] {
            assert_eq!(vector(values).scalar().unwrap_err().code, code, "{values:?}");
        }
    }

    #[test]
    fn no_data_never_holds() {
        assert!(vector(&[1.0, 1.0]).holds());
        for values in [&[][..], &[0.0], &[1.0, 0.0], &[f64::NAN], &[2.0]] {
            assert!(!vector(values).holds(), "{values:?}");
        }
        assert!(!Vector(vec![Series { labels: vec![], samples: vec![] }]).holds());
    }
}
