//! Two components held against each other: what the second could do that the first could not.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use medic_core::Digest;

use super::AuditReport;
use crate::lock::{Difference, Locked};

/// The difference in rights from `before` to `after`, and both in words, line by line.
pub fn diff(before: &AuditReport, after: &AuditReport) -> (Difference, String) {
    let verdict = match (rights(before), rights(after)) {
        (Some(before), Some(after)) => before.compare(&after),
        // What has no category that holds is not loaded: it can do nothing, and coming from there is new.
        (Some(_), None) => Difference::Narrowed { less: vec!["it is refused".to_owned()] },
        (None, Some(_)) => Difference::New,
        (None, None) => Difference::Same,
    };
    let mut text = String::new();
    let mut line = |mark: char, what: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{mark} {what}");
    };
    let category = |report: &AuditReport| {
        report.category.map_or("no category".to_owned(), |category| format!("category {category}"))
    };
    if before.digest == after.digest {
        line(' ', &format!("the same bytes, {}", before.digest));
    } else {
        line('-', &format!("{}  {} B", before.digest, before.size_bytes));
        line('+', &format!("{}  {} B", after.digest, after.size_bytes));
    }
    if category(before) == category(after) {
        line(' ', &category(before));
    } else {
        line('-', &category(before));
        line('+', &category(after));
    }
    for imports in [AuditReport::granted as fn(&AuditReport) -> BTreeSet<&str>, AuditReport::ambient] {
        let (old, new) = (imports(before), imports(after));
        for name in old.union(&new) {
            let mark = match (old.contains(name), new.contains(name)) {
                (true, false) => '-',
                (false, true) => '+',
                _ => ' ',
            };
            line(mark, name);
        }
    }
    (verdict, text)
}

impl AuditReport {
    fn granted(&self) -> BTreeSet<&str> {
        self.functions().chain(self.always.iter().map(String::as_str)).collect()
    }

    fn ambient(&self) -> BTreeSet<&str> {
        self.ambient_wasi.iter().chain(&self.foreign).map(String::as_str).collect()
    }
}

/// As a lock would hold them, without the tools, which bytes alone do not tell.
fn rights(report: &AuditReport) -> Option<Locked> {
    Some(Locked {
        digest: Digest::parse(&report.digest)?,
        category: report.category?,
        functions: report.functions().map(str::to_owned).collect(),
        catalogue: Digest::of(&()),
        signer: None,
        tools: std::collections::BTreeMap::new(),
    })
}
