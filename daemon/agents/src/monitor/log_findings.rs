//! Logs into findings: what the taxonomy's patterns match that is new, and what is new without any pattern.

use super::gather::Collected;
use crate::world::World;
use medic_core::evidence::{Bearing, Confidence, Evidence, EvidenceSource, Finding};
use medic_core::{Component, Digest, EvidenceId, Incident, TimeRange, TimestampMs};
use medic_ports::logs::{LogLine, LogQuery};
use medic_signals::logs::novelty::{Novelty, novelty};
use medic_signals::logs::reader::{ReaderOptions, read_all};
use medic_signals::logs::record::LogRecord;
use std::collections::{BTreeMap, BTreeSet};

/// Lines read for one incident. 50,000: some minutes of a busy service, a second of analysis.
const LINES_MAX: usize = 50_000;
/// New templates kept as evidence a service. 5: the first few tell the story, the rest repeat it.
const NEW_PER_SERVICE_MAX: usize = 5;
/// Templates scoring below this are everyday variety.
const NOVELTY_MIN: f64 = 0.5;
/// What is new is new against the time before this much ahead of the first alert: an alert comes late.
const ONSET_MARGIN_MS: u64 = 60_000;

pub(super) async fn look(world: &World, incident: &Incident, window: TimeRange) -> Collected {
    let mut collected = Collected::default();
    let query = LogQuery { window, services: Vec::new(), contains: Vec::new(), limit: LINES_MAX };
    // Never closed: an error cannot be.
    let _turn = world.analyses.acquire().await;
    let answer = match world.ports.logs.search(&query).await {
        Ok(answer) => answer,
        Err(fault) => {
            collected.gap("logs", &fault);
            return collected;
        }
    };
    let records = records(&answer.lines);
    let onset = incident.first_alert_at().before_ms(ONSET_MARGIN_MS);
    let mut per_service: BTreeMap<String, usize> = BTreeMap::new();
    let found = novelty(&records, onset.0);
    for new in found.iter().filter(|new| new.score >= NOVELTY_MIN) {
        let findings = findings(world, new);
        let kept = per_service.entry(new.service.clone()).or_default();
        if findings.is_empty() && *kept >= NEW_PER_SERVICE_MAX {
            continue;
        }
        *kept += 1;
        let sample = medic_signals::redact::redact(&new.sample).text;
        let evidence = Evidence {
            id: EvidenceId::new(""),
            source: EvidenceSource::Logs,
            query: format!("service={} template={}", new.service, new.template),
            window,
            digest: Digest::of_bytes(new.sample.as_bytes()),
            summary: format!(
                "{} began to log: {} ({} lines, {} before)",
                new.service, new.template, new.after, new.before
            ),
            excerpt: sample,
        };
        collected.evidence.push((evidence, findings));
    }
    collected
}

fn findings(world: &World, new: &Novelty) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut said: BTreeSet<(String, String)> = BTreeSet::new();
    for category in &world.taxonomy.categories {
        for indicator in &category.logs {
            let Some(found) = indicator.pattern.captures(&new.sample) else { continue };
            let component = found.name("component").map_or(new.service.as_str(), |name| name.as_str());
            if component.is_empty() || !said.insert((category.name.clone(), component.to_owned())) {
                continue;
            }
            findings.push(Finding {
                evidence: EvidenceId::new(""),
                component: Component::from(component),
                category: category.name.clone(),
                bearing: indicator.bearing,
                strength: Confidence::new(new.score * indicator.weight),
                onset: Some(TimestampMs(new.first_ms)),
                onset_uncertainty_ms: 1_000,
                statement: format!("{}: {}", indicator.name, new.template),
            });
        }
    }
    let failing = new.level.is_some_and(|level| level >= medic_signals::logs::record::Level::Error);
    if findings.is_empty() && failing && !new.service.is_empty() {
        // An error nobody wrote a pattern for still says where it hurts.
        findings.push(Finding {
            evidence: EvidenceId::new(""),
            component: Component::from(new.service.as_str()),
            category: "new-errors".to_owned(),
            bearing: Bearing::Symptom,
            strength: Confidence::new(new.score * 0.6),
            onset: Some(TimestampMs(new.first_ms)),
            onset_uncertainty_ms: 1_000,
            statement: format!("new error lines: {}", new.template),
        });
    }
    findings
}

/// Lines of one service are read together, so that formats are detected per source.
fn records(lines: &[LogLine]) -> Vec<LogRecord> {
    let mut by_service: BTreeMap<String, Vec<&LogLine>> = BTreeMap::new();
    for line in lines {
        let service = line.labels.get("service").unwrap_or_default().to_owned();
        by_service.entry(service).or_default().push(line);
    }
    let mut records = Vec::new();
    for (service, lines) in by_service {
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend_from_slice(line.line.as_bytes());
            bytes.push(b'\n');
        }
        let service = (!service.is_empty()).then_some(service);
        records.extend(read_all(&bytes, ReaderOptions { service, ..ReaderOptions::default() }).0);
    }
    records
}
