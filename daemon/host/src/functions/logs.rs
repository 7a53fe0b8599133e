//! Log search, and knowledge: both are questions in words.

use medic_core::{TimeRange, TimestampMs};
use medic_ports::knowledge::KnowledgeQuery;
use medic_ports::logs::{LogLine, LogQuery};

use super::metrics::attrs;
use super::or_answer;
use crate::broker::{Asks, CallFacts};
use crate::contract::host::types::{ErrorKind, HostError, TimeRange as WitRange};
use crate::contract::host::{knowledge, logs};
use crate::session::{Session, error, within};
use crate::text;

/// Lines of one answer. 2,000: more is a download.
const LINES_MAX: usize = 2000;
const HITS_MAX: usize = 20;
const LINE_BYTES_MAX: usize = 8 * 1024;

impl logs::Host for Session {
    async fn search(
        &mut self,
        query: String,
        range: WitRange,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<logs::Entry>, HostError>> {
        let facts = CallFacts { function: "logs.search", subject: query.clone(), asks: Asks::Nothing };
        or_answer!(self.admit(facts).await?);
        let window = TimeRange::new(TimestampMs(range.start_ms), TimestampMs(range.end_ms));
        let (services, contains) = match terms(&query) {
            Ok(terms) => terms,
            Err(why) => return Ok(Err(error(ErrorKind::Invalid, "LOG_QUERY_MALFORMED", why))),
        };
        let limit = usize::try_from(limit).unwrap_or(LINES_MAX).clamp(1, LINES_MAX);
        let sources = self.world.logs.clone();
        let query = LogQuery { window, services, contains, limit };
        let answer = or_answer!(within(self.meter.remaining(), sources.search(&query)).await);
        let entries = entries(answer.lines, window);
        or_answer!(self.lend(entries.iter().map(|entry| entry.line.len() + 64).sum()));
        Ok(Ok(entries))
    }
}

/// A query is words, all of which a line must contain; quotes hold several together; `service=name` names a service, and
/// several of these mean any of them.
fn terms(query: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut services, mut contains) = (Vec::new(), Vec::new());
    let mut rest = query.trim_start();
    while !rest.is_empty() {
        let (term, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        match term.strip_prefix("service=").filter(|_| !rest.starts_with('"')) {
            Some("") => return Err("`service=` names no service".to_owned()),
            Some(service) => services.push(service.to_owned()),
            None if term.is_empty() => {}
            None => contains.push(term.to_owned()),
        }
        rest = after.trim_start();
    }
    Ok((services, contains))
}

/// Newest first. A line without a time of its own stands at its predecessor's.
fn entries(lines: Vec<LogLine>, window: TimeRange) -> Vec<logs::Entry> {
    let mut at = window.start;
    let mut entries: Vec<_> = lines
        .into_iter()
        .map(|line| {
            at = line.at.unwrap_or(at);
            logs::Entry {
                at_ms: at.0,
                labels: attrs(line.labels),
                line: text::plain(&line.line, LINE_BYTES_MAX),
            }
        })
        .collect();
    entries.reverse();
    entries
}

impl knowledge::Host for Session {
    async fn search(
        &mut self,
        query: String,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<knowledge::Hit>, HostError>> {
        let facts = CallFacts { function: "knowledge.search", subject: query.clone(), asks: Asks::Nothing };
        or_answer!(self.admit(facts).await?);
        let limit = usize::try_from(limit).unwrap_or(HITS_MAX).clamp(1, HITS_MAX);
        let base = self.world.knowledge.clone();
        let query = KnowledgeQuery { text: query, service: None, limit };
        let answer = or_answer!(within(self.meter.remaining(), base.search(&query)).await);
        // What the index itself does not trust is not handed on as if it were an answer.
        let passages = if answer.insufficient.is_some() { Vec::new() } else { answer.passages };
        let hits: Vec<_> = passages
            .into_iter()
            .map(|passage| knowledge::Hit {
                source: passage.document,
                title: passage.title,
                text: passage.text,
                score: passage.score,
            })
            .collect();
        or_answer!(self.lend(hits.iter().map(|hit| hit.text.len() + hit.title.len() + 64).sum()));
        Ok(Ok(hits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_query_is_words_phrases_and_services() {
        let check = |query: &str, services: &[&str], contains: &[&str]| {
            let (found, words) = terms(query).unwrap();
            assert_eq!(
                (found, words),
                (
                    services.iter().map(|s| s.to_string()).collect(),
                    contains.iter().map(|s| s.to_string()).collect()
                )
            );
        };
        check("", &[], &[]);
        check("timeout payments", &[], &["timeout", "payments"]);
        check(
            "service=checkout \"connection refused\" service=store x",
            &["checkout", "store"],
            &["connection refused", "x"],
        );
        check("\"service=a\"", &[], &["service=a"]);
        assert!(terms("\"open").is_err());
        assert!(terms("service=").is_err());
    }
}
