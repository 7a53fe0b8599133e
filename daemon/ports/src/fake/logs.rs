//! A log store that holds the lines it was given and searches them as the port promises.

use super::lock;
use super::script::{Reply, Script};
use crate::Logs;
use crate::logs::{LogAnswer, LogLine, LogQuery};
use async_trait::async_trait;
use medic_core::{Fault, Labels, TimeRange, TimestampMs};
use std::collections::BTreeSet;
use std::sync::Mutex;

#[derive(Default)]
pub struct FakeLogs {
    lines: Mutex<Vec<LogLine>>,
    /// Asked with the services and substrings of the query, joined by spaces. Only for faults and hangs: an answer here
    /// means "go on and search".
    pub script: Script<()>,
}

impl FakeLogs {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn line(&self, at: TimestampMs, service: &str, line: &str) {
        let labels = Labels::from([("service", service), ("source", "fake")]);
        lock(&self.lines).push(LogLine { at: Some(at), labels, line: line.to_owned() });
    }

    pub fn push(&self, line: LogLine) {
        lock(&self.lines).push(line);
    }

    /// Queries whose services or substrings contain `needle` fail; the empty needle meets all.
    pub fn fail(&self, needle: &str, fault: &Fault) {
        self.script.on(needle, Reply::Fail(fault.clone()));
    }
}

#[async_trait]
impl Logs for FakeLogs {
    async fn search(&self, query: &LogQuery) -> Result<LogAnswer, Fault> {
        let question: Vec<&str> = query.services.iter().chain(&query.contains).map(String::as_str).collect();
        self.script.ask(&question.join(" ")).await?;
        let needles: Vec<String> = query.contains.iter().map(|needle| needle.to_lowercase()).collect();
        let mut before = None;
        let mut found: Vec<(Option<TimestampMs>, LogLine)> = Vec::new();
        for line in lock(&self.lines).iter() {
            // A line without a time stands where its predecessor stands.
            let at = line.at.or(before);
            before = at;
            let wanted_service = query.services.is_empty()
                || query.services.iter().any(|service| line.labels.get("service") == Some(service));
            let text = line.line.to_lowercase();
            if wanted_service
                && at.is_none_or(|at| query.window.contains(at))
                && needles.iter().all(|needle| text.contains(needle.as_str()))
            {
                found.push((at, line.clone()));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        let dropped = found.len().saturating_sub(query.limit);
        let lines = found.into_iter().skip(dropped).map(|(_, line)| line).collect();
        Ok(LogAnswer { lines, dropped: u64::try_from(dropped).unwrap_or(u64::MAX), unread: Vec::new() })
    }

    /// Of all lines, whenever they were written.
    async fn services(&self, _window: TimeRange) -> Result<Vec<String>, Fault> {
        let lines = lock(&self.lines);
        let named = lines.iter().filter_map(|line| line.labels.get("service"));
        let distinct: BTreeSet<&str> = named.collect();
        Ok(distinct.into_iter().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn search_keeps_the_newest_lines_of_window_service_and_substring() {
        let logs = FakeLogs::new();
        logs.line(TimestampMs(30), "checkout", "Timeout calling payments (3)");
        logs.line(TimestampMs(10), "checkout", "timeout calling payments (1)");
        logs.line(TimestampMs(20), "checkout", "timeout calling payments (2)");
        logs.line(TimestampMs(20), "payments", "timeout");
        logs.line(TimestampMs(99), "checkout", "timeout, too late");
        let query = LogQuery {
            window: TimeRange::new(TimestampMs(0), TimestampMs(99)),
            services: vec!["checkout".into()],
            contains: vec!["TIMEOUT".into()],
            limit: 2,
        };
        let answer = logs.search(&query).await.unwrap();
        let lines: Vec<&str> = answer.lines.iter().map(|line| line.line.as_str()).collect();
        assert_eq!(lines, ["timeout calling payments (2)", "Timeout calling payments (3)"]);
        assert_eq!(answer.dropped, 1);
    }
}
