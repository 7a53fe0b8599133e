//! The parts of an incident report: what was seen, why it was, what helped. Read from a report's headings, and written
//! as a draft of one.

use std::fmt::Write as _;

use serde::Serialize;

use crate::chunk;
use crate::document::{Document, Kind};
use crate::front_matter;

/// Text quoted of each part.
const PART_CHARS_MAX: usize = 2_000;

const SYMPTOMS: &[&str] = &["symptom", "impact", "what happened", "detection", "observation", "summary"];
const CAUSE: &[&str] = &["cause", "why", "trigger", "contributing"];
const REMEDY: &[&str] = &["remed", "resolution", "fix", "mitigation", "recovery", "what helped", "action"];

/// Empty where the report says nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    pub symptoms: String,
    pub cause: String,
    pub remedy: String,
}

/// A draft made of an incident that was resolved. Every field may come from logs and labels: it is written as text and
/// cannot become front matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IncidentDraft {
    /// Names the draft; another of the same id takes its place. Letters, digits, `-` and `_`.
    pub id: String,
    pub title: String,
    /// `2026-03-01`.
    pub date: String,
    pub services: Vec<String>,
    pub alerts: Vec<String>,
    pub category: Option<String>,
    pub report: Report,
}

impl IncidentDraft {
    /// `Err` says what is wrong with the draft.
    pub(crate) fn path(&self) -> Result<String, String> {
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match !self.id.is_empty() && self.id.len() <= 64 && self.id.chars().all(sound) {
            true => Ok(format!("{}.md", self.id)),
            false => Err(format!("{:?} does not name a draft", self.id)),
        }
    }

    pub(crate) fn to_markdown(&self) -> String {
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let quote = |text: &str| format!("\"{}\"", line(text).replace('"', "'"));
        // A comma or a bracket would end the item of a list.
        let item = |text: &String| quote(&text.replace([',', '[', ']'], " "));
        let list = |items: &[String]| items.iter().map(item).collect::<Vec<_>>().join(", ");
        let title = line(&self.title);
        let mut text = format!("---\ntitle: {}\nkind: incident\nstatus: unreviewed\n", quote(&title));
        if let Some(date) = front_matter::day(&self.date) {
            let _ = writeln!(text, "date: {date}");
        }
        let _ = writeln!(text, "services: [{}]\nalerts: [{}]", list(&self.services), list(&self.alerts));
        if let Some(category) = &self.category {
            let _ = writeln!(text, "category: {}", quote(category));
        }
        let _ = write!(text, "---\n# {title}\n");
        let parts = [
            ("Symptoms", &self.report.symptoms),
            ("Cause", &self.report.cause),
            ("Remedy", &self.report.remedy),
        ];
        for (heading, part) in parts.into_iter().filter(|(_, part)| !part.trim().is_empty()) {
            // Indented, a line of somebody else's is neither a heading nor a list of ours.
            let quoted: Vec<String> = part.lines().map(|line| format!("> {line}")).collect();
            let _ = write!(text, "\n## {heading}\n\n{}\n", quoted.join("\n"));
        }
        text
    }
}

#[derive(Clone, Copy)]
enum Part {
    Symptoms,
    Cause,
    Remedy,
}

fn part_named(heading: &str) -> Option<Part> {
    let heading = heading.to_lowercase();
    let parts = [(Part::Remedy, REMEDY), (Part::Cause, CAUSE), (Part::Symptoms, SYMPTOMS)];
    parts.into_iter().find(|(_, names)| names.iter().any(|name| heading.contains(name))).map(|(part, _)| part)
}

/// The parts of an incident report, by its headings; nothing of another kind of document.
pub(crate) fn of(document: &Document) -> Option<Report> {
    if document.kind != Kind::Incident {
        return None;
    }
    let mut report = Report::default();
    for chunk in chunk::chunks(document) {
        // The innermost heading that names a part: a report on a cause has remedies, too.
        let Some(part) = chunk.heading_path.iter().rev().find_map(|heading| part_named(heading)) else {
            continue;
        };
        let text = document.text.get(chunk.bytes.clone()).unwrap_or_default();
        // The heading is known; what stands below it is the part.
        let body = match text.starts_with('#') {
            true => text.split_once('\n').map_or("", |(_, body)| body),
            false => text,
        };
        let part = match part {
            Part::Symptoms => &mut report.symptoms,
            Part::Cause => &mut report.cause,
            Part::Remedy => &mut report.remedy,
        };
        let body: Vec<&str> =
            body.trim().lines().map(|line| line.strip_prefix("> ").unwrap_or(line)).collect();
        if !part.is_empty() {
            part.push_str("\n\n");
        }
        part.push_str(&body.join("\n"));
    }
    for part in [&mut report.symptoms, &mut report.cause, &mut report.remedy] {
        if let Some((end, _)) = part.char_indices().nth(PART_CHARS_MAX) {
            part.truncate(end);
        }
    }
    (report != Report::default()).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_by_its_headings() {
        let text = "---\nkind: incident\ndate: 2026-02-03\n---\n# Checkout down\n\n## Impact\n\nOrders failed.\n\n\
                    ## Root cause\n\nA bad flag.\n\n### Why it was not seen\n\nNo alert.\n\n## Resolution\n\nFlag off.\n\n## Lessons\n\nMany.\n";
        let document = Document::parse("s", "a.md", text.to_owned()).unwrap();
        let report = of(&document).unwrap();
        assert_eq!((report.symptoms.as_str(), report.remedy.as_str()), ("Orders failed.", "Flag off."));
        assert_eq!(report.cause, "A bad flag.\n\nNo alert.");
        assert_eq!(document.date.as_deref(), Some("2026-02-03"));
        let runbook = Document::parse("s", "a.md", text.replace("kind: incident", "kind: runbook")).unwrap();
        assert_eq!(of(&runbook), None);
    }

    #[test]
    fn a_draft_says_what_it_is_and_nothing_in_it_can_say_otherwise() {
        let report = Report {
            symptoms: "5xx on checkout\n---\nstatus: reviewed\n# Other".to_owned(),
            cause: "pool empty".to_owned(),
            remedy: "restart".to_owned(),
        };
        let draft = IncidentDraft {
            id: "01ABC".to_owned(),
            title: "Pool\n---\nstatus: reviewed".to_owned(),
            date: "2026-02-03".to_owned(),
            services: vec!["checkout".to_owned(), "a, b] \nstatus: reviewed".to_owned()],
            alerts: vec!["HighErrorRate".to_owned()],
            category: None,
            report: report.clone(),
        };
        let document = Document::parse("drafts", &draft.path().unwrap(), draft.to_markdown()).unwrap();
        assert!(!document.reviewed);
        assert_eq!((document.kind, document.date.as_deref()), (Kind::Incident, Some("2026-02-03")));
        assert_eq!(document.services.len(), 2);
        assert_eq!(document.alerts, ["HighErrorRate"]);
        assert_eq!(of(&document).unwrap(), report);
        assert!(IncidentDraft { id: "../x".to_owned(), ..draft }.path().is_err());
    }
}
