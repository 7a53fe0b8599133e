//! A document: one runbook, report or page, with what its front matter says. Knows nothing of indexes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::front_matter::{self, FrontMatter};
use crate::words;

/// Names a document for as long as its source and path stay: 16 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentId(String);

impl DocumentId {
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    fn of(source: &str, path: &str) -> Self {
        let mut id = digest::of_parts([source, path]);
        id.truncate(16);
        Self(id)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    #[default]
    Runbook,
    Incident,
    Architecture,
    ErrorCode,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runbook => "runbook",
            Self::Incident => "incident",
            Self::Architecture => "architecture",
            Self::ErrorCode => "error-code",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Runbook, Self::Incident, Self::Architecture, Self::ErrorCode]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// How the kept text is written, by the file's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Markdown,
    Plain,
}

impl Format {
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (_, extension) = path.rsplit('/').next().unwrap_or(path).rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            // What is read from HTML and from tables is written down as Markdown.
            "md" | "markdown" | "html" | "htm" | "xhtml" | "csv" | "yaml" | "yml" => Some(Self::Markdown),
            "txt" | "text" | "pdf" => Some(Self::Plain),
            _ => None,
        }
    }
}

/// One document as it was ingested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub id: DocumentId,
    /// The source it came from; for a directory, its canonical path.
    pub source: String,
    /// Inside the source, with `/`.
    pub path: String,
    pub title: String,
    pub kind: Kind,
    /// The services it is about; empty: any.
    pub services: Vec<String>,
    /// Alert names it answers: those of the front matter, then the title or file name if it is such a name.
    pub alerts: Vec<String>,
    pub category: Option<String>,
    /// The day it is of, `2026-03-01`: of an incident, when it happened; else when it was last reviewed.
    pub date: Option<String>,
    /// Whether a person stands behind it. False for what says of itself that it is a draft.
    pub reviewed: bool,
    /// Where people read it, for pages of a wiki.
    pub url: Option<String>,
    /// What its source calls this state of it, where it has a word for it.
    pub revision: Option<String>,
    /// SHA-256 of `text`, hex.
    pub digest: String,
    /// All of it, front matter included: byte ranges of chunks count from its start.
    pub text: String,
    /// Where the front matter ends.
    pub(crate) body_from: usize,
    pub(crate) format: Format,
}

impl Document {
    /// Reads a document's own words about itself. `Err` says what is wrong with it.
    pub(crate) fn parse(source: &str, path: &str, text: String) -> std::result::Result<Self, String> {
        let format = Format::of(path).ok_or_else(|| "of no kind that is read".to_owned())?;
        if text.contains('\0') {
            return Err("holds a zero byte: not text".to_owned());
        }
        let (front, body_from) = match format {
            Format::Markdown => front_matter::parse(&text)?,
            Format::Plain => (FrontMatter::default(), 0),
        };
        let body = text.get(body_from..).unwrap_or_default();
        if body.trim().is_empty() {
            return Err("has no text".to_owned());
        }
        let stem = file_stem(path);
        let heading = match format {
            Format::Markdown => first_heading(body),
            Format::Plain => None,
        };
        let kind = match &front.kind {
            None => Kind::default(),
            Some(name) => Kind::from_name(name).ok_or_else(|| {
                format!("kind {name:?} is none of runbook, incident, architecture, error-code")
            })?,
        };
        let mut alerts = front.alerts;
        for name in [heading.as_deref(), Some(stem)].into_iter().flatten() {
            let known = alerts.iter().any(|alert| words::name_key(alert) == words::name_key(name));
            // A file that is headed by its own name, one capitalised word, is named for an alert too: `Watchdog`.
            let headed = heading.as_deref() == Some(stem)
                && name.starts_with(char::is_uppercase)
                && name.chars().all(char::is_alphanumeric);
            if (words::is_camel_case_name(name) || headed) && !known {
                alerts.push(name.to_owned());
            }
        }
        Ok(Self {
            id: DocumentId::of(source, path),
            source: source.to_owned(),
            path: path.to_owned(),
            title: front.title.or(heading).unwrap_or_else(|| stem.to_owned()),
            kind,
            services: front.services,
            alerts,
            category: front.category,
            date: front.date,
            reviewed: !front.draft,
            url: front.url,
            revision: None,
            digest: digest::of(text.as_bytes()),
            text,
            body_from,
            format,
        })
    }
}

fn file_stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn first_heading(body: &str) -> Option<String> {
    let line = body.lines().find(|line| !line.trim().is_empty())?;
    let heading = line.strip_prefix("# ")?.trim().trim_end_matches('#').trim();
    (!heading.is_empty()).then(|| heading.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_wins_over_heading_and_file_name() {
        let text = "---\ntitle: Errors after a rollout\nkind: incident\nalerts: [HighErrorRate]\nservices:\n  - checkout\n---\n# ErrorsEverywhere\n\ntext\n";
        let document = Document::parse("s", "runbooks/RolloutBroken.md", text.to_owned()).unwrap();
        assert_eq!(document.title, "Errors after a rollout");
        assert_eq!(document.kind, Kind::Incident);
        assert_eq!(document.alerts, ["HighErrorRate", "ErrorsEverywhere", "RolloutBroken"]);
        assert_eq!(document.services, ["checkout"]);
    }

    #[test]
    fn unknown_kind_empty_text_and_binary_are_refused_with_a_reason() {
        let refuse = |path: &str, text: &str| Document::parse("s", path, text.to_owned()).unwrap_err();
        assert!(refuse("a.md", "---\nkind: poem\n---\nx").contains("poem"));
        assert!(refuse("a.md", "---\ntitle: x\n---\n \n").contains("no text"));
        assert!(refuse("a.txt", "a\0b").contains("zero byte"));
        assert!(refuse("a.exe", "x").contains("no kind"));
    }

    #[test]
    fn a_file_headed_by_its_own_name_is_named_for_an_alert() {
        let alerts = |path: &str, text: &str| Document::parse("s", path, text.to_owned()).unwrap().alerts;
        assert_eq!(alerts("a/Watchdog.md", "# Watchdog\n\nAlways fires.\n"), ["Watchdog"]);
        assert!(alerts("a/Notes.md", "# Storage\n\nText.\n").is_empty());
        assert!(alerts("a/notes.md", "# notes\n\nText.\n").is_empty());
    }

    #[test]
    fn a_plain_text_is_named_by_its_file() {
        let document = Document::parse("s", "notes.txt", "Disk full\n".to_owned()).unwrap();
        assert!(document.services.is_empty());
        assert_eq!(document.title, "notes");
        assert!(document.alerts.is_empty());
    }
}
