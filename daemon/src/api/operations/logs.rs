//! Logs: what an upload says, and what the configured sources answer to a question in plain words.

mod analyze;
mod query;
mod translate;

pub use analyze::{AnalyzeAsked, LogsReported, Piece};
pub use query::LogsAnswered;

use medic_core::TimestampMs;

fn year_of(at: TimestampMs) -> i16 {
    let at = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or(1970, |at| at.to_zoned(jiff::tz::TimeZone::UTC).year())
}
