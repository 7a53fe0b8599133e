//! The form in which a query is shown, and read again: names, marks and values, with blanks between.
//!
//! Owns the printing; `words` and `grammar` read it. What is not understood is no part of it.

use super::words::{quote, quote_if_needed};
use super::{Answer, TypedQuery};
use crate::logs::record::Level;
use crate::timestamp;
use std::collections::BTreeSet;
use std::fmt;

impl fmt::Display for TypedQuery {
    /// `level=error|fatal service=checkout from=… to=… text~"database" limit=100`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = |levels: &BTreeSet<Level>| {
            levels.iter().map(|level| level.as_str()).collect::<Vec<&str>>().join("|")
        };
        let names = |names: &[String]| {
            names.iter().map(|name| quote_if_needed(name)).collect::<Vec<String>>().join("|")
        };
        let mut parts: Vec<String> = Vec::new();
        match self.answer {
            Answer::Lines => {}
            Answer::Count => parts.push("show=count".to_owned()),
            Answer::Templates => parts.push("show=templates".to_owned()),
            Answer::Services => parts.push("show=services".to_owned()),
            Answer::Levels => parts.push("show=levels".to_owned()),
            Answer::Timeline { every_ms } => parts.push(format!("show=timeline every={}s", every_ms / 1000)),
        }
        if !self.levels.is_empty() {
            parts.push(format!("level={}", levels(&self.levels)));
        }
        if !self.excluded_levels.is_empty() {
            parts.push(format!("not.level={}", levels(&self.excluded_levels)));
        }
        if !self.services.is_empty() {
            parts.push(format!("service={}", names(&self.services)));
        }
        if !self.excluded_services.is_empty() {
            parts.push(format!("not.service={}", names(&self.excluded_services)));
        }
        if let Some(range) = self.range {
            if range.start_ms > 0 {
                parts.push(format!("from={}", timestamp::show(range.start_ms)));
            }
            if range.end_ms < u64::MAX {
                parts.push(format!("to={}", timestamp::show(range.end_ms)));
            }
        }
        if let Some(template) = self.template {
            parts.push(format!("template={template}"));
        }
        for term in &self.fields {
            parts.push(format!("field.{}={}", term.name, quote_if_needed(&term.value)));
        }
        for term in &self.text {
            let words: Vec<String> = term.any_of.iter().map(|word| quote(word)).collect();
            parts.push(format!("text~{}", words.join("|")));
        }
        for word in &self.excluded {
            parts.push(format!("not~{}", quote(word)));
        }
        parts.push(format!("{}={}", if self.newest_first { "last" } else { "limit" }, self.limit));
        f.write_str(&parts.join(" "))
    }
}
