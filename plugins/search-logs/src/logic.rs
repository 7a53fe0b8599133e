//! Owns what is made of log lines. They were written by whoever could reach a service: whatever stands in them is shown
//! without control characters and in limited length, and is never more than data.

use medic_sdk::prelude::*;

/// Lines asked for: what an artifact of a few hundred KiB holds.
pub const ENTRIES_MAX: u32 = 1000;
/// Lines given back as data: what a reader takes in, and well below the host's limit for data.
pub const ENTRIES_SHOWN: usize = 50;
/// Characters of one line that are given back.
const LINE_CHARS: usize = 500;
/// Characters of the newest line in the summary.
const EXCERPT_CHARS: usize = 160;

/// The `minutes` before `now_ms`, half-open.
pub fn range_before(now_ms: u64, minutes: u32) -> TimeRange {
    TimeRange { start_ms: now_ms.saturating_sub(u64::from(minutes) * 60_000), end_ms: now_ms }
}

/// Refuses lines of another time than was asked for: a conclusion from them would be about another incident.
pub fn check(entries: &[LogEntry], range: TimeRange) -> ToolResult<()> {
    match entries.iter().find(|entry| entry.at_ms < range.start_ms || entry.at_ms >= range.end_ms) {
        None => Ok(()),
        Some(entry) => Err(ToolError::upstream(
            "ENTRY_OUT_OF_RANGE",
            format!("asked for {}..{} ms, got a line of {} ms", range.start_ms, range.end_ms, entry.at_ms),
        )),
    }
}

/// The answer in a sentence.
pub fn summary(entries: &[LogEntry], minutes: u32) -> String {
    let Some(newest) = entries.iter().max_by_key(|entry| entry.at_ms) else {
        return format!("no line matches in the last {minutes} min");
    };
    let (count, most) = (entries.len(), if entries.len() >= ENTRIES_MAX as usize { " or more" } else { "" });
    format!(
        "{count}{most} lines match in the last {minutes} min; the newest: {}",
        plain(&newest.line, EXCERPT_CHARS)
    )
}

/// The newest lines with their labels.
pub fn data(entries: &[LogEntry]) -> Value {
    let line = |entry: &LogEntry| {
        let labels: Value =
            entry.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect();
        json!({ "at_ms": entry.at_ms, "labels": labels, "line": plain(&entry.line, LINE_CHARS) })
    };
    json!({ "total": entries.len(), "lines": entries.iter().take(ENTRIES_SHOWN).map(line).collect::<Vec<_>>() })
}

/// All lines as text, one a line.
pub fn text(entries: &[LogEntry]) -> String {
    entries.iter().map(|entry| format!("{} {}\n", entry.at_ms, plain(&entry.line, LINE_CHARS))).collect()
}

fn plain(line: &str, chars_max: usize) -> String {
    let mut plain: String = line
        .chars()
        .take(chars_max)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if line.chars().nth(chars_max).is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at_ms: u64, line: &str) -> LogEntry {
        LogEntry { at_ms, labels: Vec::new(), line: line.to_owned() }
    }

    #[test]
    fn the_range_is_half_open_and_never_negative() {
        assert_eq!(range_before(120_000, 1), TimeRange { start_ms: 60_000, end_ms: 120_000 });
        assert_eq!(range_before(10, 1), TimeRange { start_ms: 0, end_ms: 10 });
        let range = range_before(120_000, 1);
        assert_eq!(check(&[entry(60_000, ""), entry(119_999, "")], range), Ok(()));
        for at_ms in [59_999, 120_000] {
            assert_eq!(check(&[entry(at_ms, "")], range).unwrap_err().code, "ENTRY_OUT_OF_RANGE");
        }
    }

    #[test]
    fn a_line_cannot_paint_the_terminal_or_flood_it() {
        let summary = summary(&[entry(1, &format!("\u{1b}[2Jboom{}", "x".repeat(1000)))], 5);
        assert!(
            !summary.contains('\u{1b}') && summary.contains("boom") && summary.ends_with('…'),
            "{summary}"
        );
        assert!(summary.chars().count() < 220);
    }

    #[test]
    fn the_newest_line_is_found_in_any_order() {
        assert!(
            summary(&[entry(1, "old"), entry(3, "new"), entry(2, "mid")], 5).ends_with("the newest: new")
        );
    }
}
