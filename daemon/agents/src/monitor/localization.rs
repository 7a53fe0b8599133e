//! From raw series and lines to where the trouble began, as evidence.
//!
//! Owns what the analysis is given and how its answer is told. The analysis itself is `medic_signals::correlate::localize`.

use super::gather::Collected;
use super::survey::Surveyed;
use crate::diagnoser::topology;
use crate::origin::{BEGAN, CHANGED};
use crate::world::World;
use medic_core::evidence::{Bearing, Confidence, Evidence, EvidenceSource, Finding};
use medic_core::{Component, Digest, EvidenceId, Fault, FaultKind, Incident, TimeRange, TimestampMs};
use medic_signals::correlate::localize::{
    Localization, LocalizeOptions, Scene, Suspect, Testimony, localize,
};
use medic_signals::correlate::meaning::Kind;
use medic_signals::logs::record::LogRecord;
use medic_signals::redact::redact;
use medic_signals::series::Series;
use medic_signals::timestamp;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Suspects told of. 5: beyond them chance begins.
const SUSPECTS_MAX: usize = 5;
/// Suspects whose changes are kept as evidence, and how many of each. 3 and 4: what a person reads.
const DETAILED_MAX: usize = 3;
const CHANGES_MAX: usize = 4;

pub(super) async fn look(
    world: &World,
    incident: &Incident,
    alert_at: TimestampMs,
    surveyed: Surveyed,
    logs: Vec<LogRecord>,
) -> Collected {
    let Surveyed { series, query, window, cut, mut collected } = surveyed;
    let Some(window) = window.filter(|_| !series.is_empty()) else { return collected };
    let scene = Scene {
        series,
        topology: topology(world).await,
        logs,
        alerts: incident.firing().map(|tracked| texts(&tracked.alert)).collect(),
        alert_at_ms: alert_at.0,
    };
    // A second of computing: not on a thread that others wait for.
    let analysed = tokio::task::spawn_blocking(move || {
        let found = localize(&scene, &LocalizeOptions::default());
        (found, scene)
    });
    match analysed.await {
        Ok((found, scene)) => {
            tell(&found, &scene, &Asked { query: &query, window, cut: &cut }, &mut collected);
        }
        Err(error) => {
            let fault = Fault::new(FaultKind::Internal, "ANALYSIS_FAILED", error.to_string());
            collected.gap("where it began", &fault);
        }
    }
    collected
}

fn texts(alert: &medic_core::Alert) -> BTreeMap<String, String> {
    // Of one name a label counts: annotations repeat in words what labels say in names.
    alert.annotations.0.iter().chain(&alert.labels.0).map(|(k, v)| (k.clone(), v.clone())).collect()
}

struct Asked<'a> {
    query: &'a str,
    window: TimeRange,
    cut: &'a [String],
}

fn tell(found: &Localization, scene: &Scene, asked: &Asked<'_>, collected: &mut Collected) {
    let Some(first) = found.suspects.first() else { return };
    let onset = found.onset;
    let (at, uncertainty_s) = (timestamp::show(onset.at_ms), onset.uncertainty_ms.div_ceil(1000));
    let summary = match (onset.is_clear, found.abstained) {
        (true, false) => format!(
            "it began at {at} (± {uncertainty_s} s), most likely at {} ({:.2})",
            first.component, first.confidence
        ),
        (true, true) => format!("something changed at {at} (± {uncertainty_s} s), no component stands out"),
        (false, _) => format!(
            "no clear beginning; taken to be about {at}, most likely at {} ({:.2})",
            first.component, first.confidence
        ),
    };
    let mut excerpt = format!("{} series: {}\n", scene.series.len(), asked.query);
    for suspect in found.suspects.iter().take(SUSPECTS_MAX) {
        let _ = writeln!(excerpt, "{:.2} {}{}", suspect.confidence, suspect.component, because(suspect));
    }
    for cut in asked.cut {
        let _ = writeln!(excerpt, "cut: {cut}");
    }
    let evidence = Evidence {
        id: EvidenceId::new(""),
        source: EvidenceSource::Metrics,
        query: asked.query.to_owned(),
        window: asked.window,
        digest: digest(scene.series.iter()),
        summary: summary.clone(),
        excerpt: redact(&excerpt).text,
    };
    // An abstention names nobody: what it would have said is in the excerpt.
    let told = if found.abstained { 0 } else { SUSPECTS_MAX };
    let findings = found.suspects.iter().take(told).map(|suspect| Finding {
        evidence: EvidenceId::new(""),
        component: Component::from(suspect.component.as_str()),
        category: BEGAN.to_owned(),
        bearing: Bearing::Symptom,
        strength: Confidence::new(suspect.confidence),
        onset: Some(TimestampMs(onset.at_ms)),
        onset_uncertainty_ms: onset.uncertainty_ms,
        statement: summary.clone(),
    });
    collected.evidence.push((evidence, findings.collect()));
    for suspect in found.suspects.iter().take(DETAILED_MAX.min(told)) {
        for testimony in suspect.evidence.iter().take(CHANGES_MAX) {
            collected.evidence.push(change(suspect, testimony, scene, asked, onset.uncertainty_ms));
        }
    }
}

fn because(suspect: &Suspect) -> String {
    let note = suspect.evidence.first().map(|first| format!(": {}", first.note)).unwrap_or_default();
    let explained = suspect.explained_by.as_ref();
    let by = explained.map(|(callee, share)| format!(" (explained by {callee} to {:.0} %)", share * 100.0));
    format!("{note}{}", by.unwrap_or_default())
}

fn change(
    suspect: &Suspect,
    testimony: &Testimony,
    scene: &Scene,
    asked: &Asked<'_>,
    uncertainty_ms: u64,
) -> (Evidence, Vec<Finding>) {
    let of_logs = testimony.kind == Kind::Logs;
    let component = suspect.component.as_str();
    let names = |series: &&Series| series.labels.values().any(|value| value == component);
    let digest = if of_logs {
        Digest::of_bytes(testimony.note.as_bytes())
    } else {
        digest(scene.series.iter().filter(names))
    };
    let summary = redact(&format!("{component}: {}", testimony.note)).text;
    let since = testimony.onset_ms.map(|at_ms| format!(" since {}", timestamp::show(at_ms)));
    let evidence = Evidence {
        id: EvidenceId::new(""),
        source: if of_logs { EvidenceSource::Logs } else { EvidenceSource::Metrics },
        query: if of_logs { format!("service={component}") } else { asked.query.to_owned() },
        window: asked.window,
        digest,
        summary: summary.clone(),
        excerpt: format!(
            "{}, strength {:.2}{}",
            testimony.kind.as_str(),
            testimony.strength,
            since.unwrap_or_default()
        ),
    };
    let finding = Finding {
        evidence: EvidenceId::new(""),
        component: Component::from(component),
        category: CHANGED.to_owned(),
        bearing: Bearing::Symptom,
        // Beyond habit, on the scale from nothing to certain.
        strength: Confidence::new(1.0 - (-testimony.strength).exp()),
        onset: testimony.onset_ms.map(TimestampMs),
        onset_uncertainty_ms: uncertainty_ms,
        statement: summary,
    };
    (evidence, vec![finding])
}

/// Of the samples as they were answered.
fn digest<'a>(series: impl Iterator<Item = &'a Series>) -> Digest {
    let mut bytes = Vec::new();
    for one in series {
        bytes.extend_from_slice(format!("{:?}", one.labels).as_bytes());
        for sample in &one.samples {
            bytes.extend_from_slice(&sample.at_ms.to_le_bytes());
            bytes.extend_from_slice(&sample.value.to_bits().to_le_bytes());
        }
    }
    Digest::of_bytes(&bytes)
}
