//! The report as SARIF 2.1.0, for the places where reviewers already look at findings.
//!
//! One result for each right and each refusal. A right that changes or destroys is a warning, for somebody must agree to
//! it; one that reads is a note; what would keep the component from loading, or is wider than what was reviewed, is an
//! error.

use serde_json::{Value, json};

use super::{AuditReport, explain};
use crate::load::LoadError;
use crate::lock::Difference;

struct RuleText {
    id: &'static str,
    name: &'static str,
    level: &'static str,
    text: &'static str,
}

const RULES: [RuleText; 7] = [
    RuleText {
        id: "MEDIC001",
        name: "Refused",
        level: "error",
        text: "The component would not be loaded, whatever is granted.",
    },
    RuleText {
        id: "MEDIC002",
        name: "Widened",
        level: "error",
        text: "The component could do more than what was reviewed of its plugin.",
    },
    RuleText {
        id: "MEDIC003",
        name: "CanDestroy",
        level: "warning",
        text: "The component imports a function whose effect nobody can put back.",
    },
    RuleText {
        id: "MEDIC004",
        name: "CanChange",
        level: "warning",
        text: "The component imports a function that changes a system.",
    },
    RuleText {
        id: "MEDIC005",
        name: "CanProbe",
        level: "note",
        text: "The component imports a function that reaches out to an endpoint.",
    },
    RuleText {
        id: "MEDIC006",
        name: "CanRead",
        level: "note",
        text: "The component imports a function that reads.",
    },
    RuleText {
        id: "MEDIC007",
        name: "AmbientWasi",
        level: "note",
        text: "The component imports WASI that its runtime drags in: a trap under profile pure, inert under wasi.",
    },
];

/// A run over one file. `report`: what [`super::audit`] answered, an error included: a scanner wants its finding too.
pub fn sarif(file_name: &str, bytes: &[u8], report: Result<&AuditReport, &LoadError>) -> Value {
    let digest = medic_core::Digest::of_bytes(bytes);
    let place = Place { uri: encoded(file_name), digest: digest.to_string() };
    let results = match report {
        Err(error) => vec![place.result(0, &format!("{}: {error}", error.code), None)],
        Ok(report) => place.results(report),
    };
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "name": rule.name,
                "shortDescription": { "text": rule.text },
                "defaultConfiguration": { "level": rule.level },
            })
        })
        .collect();
    let category = report.ok().and_then(|report| report.category).map(|category| category.as_str());
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "medic plugin audit",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "artifacts": [{
                "location": { "uri": place.uri },
                "length": bytes.len(),
                "mimeType": "application/wasm",
                "hashes": { "sha-256": digest.as_str().trim_start_matches("sha256:") },
            }],
            "results": results,
            "columnKind": "unicodeCodePoints",
            "properties": { "category": category },
        }],
    })
}

struct Place {
    uri: String,
    digest: String,
}

impl Place {
    fn results(&self, report: &AuditReport) -> Vec<Value> {
        let mut results = Vec::new();
        if let Some(refused) = &report.refused {
            results.push(self.result(0, &format!("{}: {}", refused.code, refused.reason), None));
        }
        if let Some(Difference::Widened { more }) = &report.against_lock {
            results.extend(more.iter().map(|words| self.result(1, words, None)));
        }
        let rights = [
            (2, &report.can_destroy),
            (3, &report.can_change),
            (4, &report.can_probe),
            (5, &report.can_read),
        ];
        for (rule, functions) in rights {
            for function in functions {
                let (does, bound) = explain(function).unwrap_or_default();
                let text = format!("{function}: {does} Bounded by {bound}.");
                results.push(self.result(rule, &text, Some((function, "function"))));
            }
        }
        for interface in &report.ambient_wasi {
            let text = format!("{interface} is imported and not given.");
            results.push(self.result(6, &text, Some((interface, "module"))));
        }
        results
    }

    fn result(&self, rule: usize, text: &str, about: Option<(&str, &str)>) -> Value {
        let (id, level) = RULES.get(rule).map_or(("", "error"), |rule| (rule.id, rule.level));
        let mut location =
            json!({ "physicalLocation": { "artifactLocation": { "uri": self.uri, "index": 0 } } });
        if let (Some((name, kind)), Some(location)) = (about, location.as_object_mut()) {
            location
                .insert("logicalLocations".to_owned(), json!([{ "fullyQualifiedName": name, "kind": kind }]));
        }
        // The same right of the same plugin is the same finding, whatever the build.
        let fingerprint =
            medic_core::Digest::of(&("medic-sarif-v1", id, about.map_or(text, |(name, _)| name)));
        json!({
            "ruleId": id,
            "ruleIndex": rule,
            "level": level,
            "message": { "text": text },
            "locations": [location],
            "partialFingerprints": { "medicFinding/v1": fingerprint.short() },
            "properties": { "digest": self.digest },
        })
    }
}

/// A file's name as a relative URI reference.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |mut uri, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
        uri
    })
}
