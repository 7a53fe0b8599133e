//! The report in words.
//!
//! Owns the one screen that a person reads first. Never says more than the report holds.

use super::{LogReport, ServiceSummary};
use crate::logs::mask::clip;
use crate::timestamp;
use std::fmt::Write;

/// The summary: 24 lines of at most 120 bytes.
pub(super) const SUMMARY_LINES_MAX: usize = 24;
const SUMMARY_WIDTH: usize = 120;
/// Anomalous entities named.
const SESSIONS_SHOWN: usize = 4;

/// The summary of a report whose other parts are complete.
pub(super) fn summary(report: &LogReport, baseline: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut head = format!("{} lines", report.lines);
    if let (Some(start_ms), Some(end_ms)) = (report.start_ms, report.end_ms) {
        let _ = write!(head, " from {} to {}", timestamp::show(start_ms), timestamp::show(end_ms));
    }
    let named = report.services.keys().filter(|name| !name.is_empty()).count();
    let _ = write!(head, ", {named} services, {} templates", report.templates_total);
    if report.broken > 0 {
        let _ = write!(head, ", {} broken", report.broken);
    }
    lines.push(head);
    if !report.levels.is_empty() {
        let levels: Vec<String> =
            report.levels.iter().rev().map(|(level, count)| format!("{level} {count}")).collect();
        lines.push(format!("levels: {}", levels.join(", ")));
    }
    let mut hurt: Vec<(&String, &ServiceSummary)> =
        report.services.iter().filter(|(_, service)| service.errors + service.warnings > 0).collect();
    hurt.sort_by(|a, b| {
        (b.1.errors, b.1.warnings).cmp(&(a.1.errors, a.1.warnings)).then_with(|| a.0.cmp(b.0))
    });
    if !hurt.is_empty() {
        let shown: Vec<String> = hurt
            .iter()
            .take(6)
            .map(|(name, service)| {
                let name = if name.is_empty() { "(no service)" } else { name };
                format!(
                    "{name} {} errors, {} warnings of {}",
                    service.errors, service.warnings, service.lines
                )
            })
            .collect();
        lines.push(format!("trouble: {}", shown.join("; ")));
    }
    if let Some(onset_ms) = report.onset_ms {
        lines.push(format!("onset: {}", timestamp::show(onset_ms)));
    }
    let against = if baseline { "the baseline" } else { "the time before the onset" };
    if report.anomalies.is_empty() {
        lines.push(match (baseline, report.onset_ms) {
            (false, None) => "nothing to compare with: no baseline, and no onset in the records".to_owned(),
            _ => format!("nothing stands out against {against}"),
        });
    } else {
        lines.push(format!("against {against}:"));
        for one in &report.anomalies {
            let service = if one.service.is_empty() { "-" } else { &one.service };
            lines.push(format!("  {:.2} {service}: {} ({})", one.score, cut(&one.template, 70), one.reason));
        }
    }
    if let Some(sessions) = report.sessions.as_ref().filter(|sessions| sessions.anomalous > 0) {
        let (kind, all) = (&sessions.kind, sessions.entities);
        // They must be seen: what is cut off below are the weaker anomalies.
        lines.truncate(SUMMARY_LINES_MAX - 1 - SESSIONS_SHOWN);
        lines.push(format!("{} of {all} entities ({kind}) stand out:", sessions.anomalous));
        for one in sessions.anomalies.iter().take(SESSIONS_SHOWN) {
            lines.push(format!("  {:.2} {}: {}", one.score, cut(&one.entity, 48), one.reason));
        }
    }
    lines.truncate(SUMMARY_LINES_MAX);
    lines.iter().map(|line| cut(line, SUMMARY_WIDTH)).collect::<Vec<_>>().join("\n")
}

/// At most `bytes` bytes, the missing rest marked; line ends are drawn as blanks.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    let clipped = clip(text, bytes);
    let mut shown = clipped.replace(['\n', '\r'], " ");
    if clipped.len() < text.len() {
        shown.push('…');
    }
    shown
}
