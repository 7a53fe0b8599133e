//! Every configured source of logs as one.
//!
//! Owns the merging: all are asked at once, their lines come in one order of time. A source that fails beside others that
//! answer is told with the answer, never left out in silence.

use async_trait::async_trait;
use futures::future::join_all;
use medic_core::{Fault, TimeRange};
use medic_ports::Logs;
use medic_ports::logs::{LogAnswer, LogLine, LogQuery};
use std::sync::Arc;

#[derive(Clone)]
pub struct LogSources {
    sources: Vec<Arc<dyn Logs>>,
}

impl LogSources {
    pub fn new(sources: Vec<Arc<dyn Logs>>) -> Self {
        Self { sources }
    }
}

/// The answers that came, and why the others did not. Fails when none came.
fn split<T>(answers: Vec<Result<T, Fault>>) -> Result<(Vec<T>, Vec<Fault>), Fault> {
    let (mut came, mut failed) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(answer) => came.push(answer),
            Err(fault) => failed.push(fault),
        }
    }
    match failed.first() {
        Some(first) if came.is_empty() => Err(first.clone()),
        _ => Ok((came, failed)),
    }
}

#[async_trait]
impl Logs for LogSources {
    async fn search(&self, query: &LogQuery) -> Result<LogAnswer, Fault> {
        let answers = join_all(self.sources.iter().map(|source| source.search(query))).await;
        let (came, failed) = split(answers)?;
        let mut whole = LogAnswer { unread: failed, ..LogAnswer::default() };
        let mut placed = Vec::new();
        for answer in came {
            whole.dropped += answer.dropped;
            whole.unread.extend(answer.unread);
            // A line without a time stays behind its predecessor.
            let mut stands_at = None;
            for line in answer.lines {
                stands_at = line.at.or(stands_at);
                placed.push((stands_at, line));
            }
        }
        // Stable: within one source nothing changes places.
        placed.sort_by_key(|(at, _)| *at);
        let beyond = placed.len().saturating_sub(query.limit);
        whole.dropped += beyond as u64;
        whole.lines = placed.into_iter().skip(beyond).map(|(_, line): (_, LogLine)| line).collect();
        Ok(whole)
    }

    async fn services(&self, window: TimeRange) -> Result<Vec<String>, Fault> {
        let answers = join_all(self.sources.iter().map(|source| source.services(window))).await;
        let (came, failed) = split(answers)?;
        for fault in failed {
            tracing::warn!(code = fault.code, %fault, "a log source cannot tell its services");
        }
        let mut services: Vec<String> = came.into_iter().flatten().collect();
        services.sort();
        services.dedup();
        Ok(services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::{FaultKind, TimestampMs};
    use medic_ports::fake::logs::FakeLogs;

    fn query(limit: usize) -> LogQuery {
        let window = TimeRange::new(TimestampMs(0), TimestampMs(100));
        LogQuery { window, services: Vec::new(), contains: Vec::new(), limit }
    }

    #[tokio::test]
    async fn lines_of_all_sources_come_in_one_order_and_the_newest_are_kept() {
        let (one, other) = (Arc::new(FakeLogs::new()), Arc::new(FakeLogs::new()));
        one.line(TimestampMs(10), "cart", "a");
        one.line(TimestampMs(30), "cart", "c");
        other.line(TimestampMs(20), "db", "b");
        other.line(TimestampMs(40), "db", "d");
        let sources = LogSources::new(vec![one, other]);
        let answer = sources.search(&query(3)).await.unwrap();
        let lines: Vec<&str> = answer.lines.iter().map(|line| line.line.as_str()).collect();
        assert_eq!((lines, answer.dropped), (vec!["b", "c", "d"], 1));
        assert_eq!(sources.services(query(3).window).await.unwrap(), ["cart", "db"]);
    }

    #[tokio::test]
    async fn a_source_that_fails_is_told_beside_the_others_and_alone_it_is_the_answer() {
        let (well, ill) = (Arc::new(FakeLogs::new()), Arc::new(FakeLogs::new()));
        well.line(TimestampMs(10), "cart", "a");
        ill.fail("", &Fault::new(FaultKind::Timeout, "LOKI_TIMEOUT", "no answer in time"));
        let answer = LogSources::new(vec![well, ill.clone()]).search(&query(9)).await.unwrap();
        assert_eq!(answer.lines.len(), 1);
        assert_eq!(
            answer.unread.iter().map(|fault| fault.code.as_str()).collect::<Vec<_>>(),
            ["LOKI_TIMEOUT"]
        );
        let alone = LogSources::new(vec![ill]).search(&query(9)).await.unwrap_err();
        assert_eq!(alone.code, "LOKI_TIMEOUT");
        assert_eq!(LogSources::new(Vec::new()).search(&query(9)).await, Ok(LogAnswer::default()));
    }
}
