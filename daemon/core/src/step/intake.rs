//! Alerts come, come again, and end.

use super::draft::Draft;
use super::{Step, wrong_phase};
use crate::effect::NoticeKind;
use crate::event::EventKind;
use crate::incident::TrackedAlert;
use crate::phase::Resolution;
use crate::{Alert, AlertFingerprint, AlertStatus, Event, Incident, Phase, Policy};
use serde_json::json;

pub(super) fn step(incident: &Incident, event: &Event, policy: &Policy) -> Step {
    match &event.kind {
        EventKind::AlertsArrived { alerts, truncated } => {
            arrived(incident, event, policy, alerts, *truncated)
        }
        EventKind::AlertsRepeated { fingerprints } => repeated(incident, event, policy, fingerprints),
        EventKind::AlertsResolved { fingerprints } => resolved(incident, event, policy, fingerprints),
        _ => wrong_phase(incident, event),
    }
}

fn arrived(incident: &Incident, event: &Event, policy: &Policy, alerts: &[Alert], truncated: u64) -> Step {
    // A closed book stays closed: the shell hands these alerts back to be grouped anew. An escalated incident has
    // a human on it, who sees them there.
    if matches!(incident.phase, Phase::Resolved { .. }) {
        return wrong_phase(incident, event);
    }
    let known = |alert: &Alert| {
        incident
            .alerts
            .get(&alert.fingerprint)
            .is_some_and(|tracked| tracked.alert.starts_at >= alert.starts_at)
    };
    if truncated == 0 && !alerts.is_empty() && alerts.iter().all(known) {
        return Step::Unchanged;
    }
    let mut draft = Draft::new(incident, event, policy);
    let mut names: Vec<&str> = Vec::new();
    for alert in alerts {
        let full = draft.next.alerts.len() >= policy.alerts_max as usize;
        if full && !draft.next.alerts.contains_key(&alert.fingerprint) {
            draft.next.alerts_missing = draft.next.alerts_missing.saturating_add(1);
            continue;
        }
        if !names.contains(&alert.name()) {
            names.push(alert.name());
        }
        let at = draft.at;
        let tracked = draft.next.alerts.entry(alert.fingerprint.clone()).or_insert_with(|| TrackedAlert {
            alert: alert.clone(),
            repeats: 0,
            first_at: at,
            last_at: at,
        });
        tracked.alert = alert.clone();
        tracked.last_at = at;
    }
    draft.next.alerts_missing = draft.next.alerts_missing.max(truncated);
    names.truncate(5);
    let partial = if truncated > 0 { ", and the sender left some out" } else { "" };
    let why = format!("{} alert(s): {}{partial}", alerts.len(), names.join(", "));
    draft.record(
        "monitor",
        "alerts",
        incident.id.to_string(),
        json!({ "count": alerts.len(), "truncated": truncated, "names": names }),
    );
    if matches!(incident.phase, Phase::AlertReceived) {
        draft.notify(NoticeKind::Opened, format!("{}: {why}", incident.title));
        draft.gather(0, &why);
    } else {
        draft.note(format!("joined by {why}"));
    }
    draft.done()
}

fn repeated(incident: &Incident, event: &Event, policy: &Policy, fingerprints: &[AlertFingerprint]) -> Step {
    if incident.is_terminal() || !fingerprints.iter().any(|f| incident.alerts.contains_key(f)) {
        return Step::Unchanged;
    }
    let mut draft = Draft::new(incident, event, policy);
    let at = draft.at;
    for fingerprint in fingerprints {
        if let Some(tracked) = draft.next.alerts.get_mut(fingerprint) {
            tracked.repeats = tracked.repeats.saturating_add(1);
            tracked.last_at = at;
        }
    }
    draft.done()
}

fn resolved(incident: &Incident, event: &Event, policy: &Policy, fingerprints: &[AlertFingerprint]) -> Step {
    let firing = |f: &AlertFingerprint| {
        incident.alerts.get(f).is_some_and(|tracked| tracked.alert.status == AlertStatus::Firing)
    };
    if !fingerprints.iter().any(firing) {
        return Step::Unchanged;
    }
    let mut draft = Draft::new(incident, event, policy);
    let at = draft.at;
    for fingerprint in fingerprints {
        if let Some(tracked) = draft.next.alerts.get_mut(fingerprint) {
            tracked.alert.status = AlertStatus::Resolved;
            tracked.alert.ends_at = Some(at);
            tracked.last_at = at;
        }
    }
    draft.note(format!("{} alert(s) resolved", fingerprints.len()));
    let untouched = matches!(
        incident.phase,
        Phase::AlertReceived
            | Phase::GatheringInfo { .. }
            | Phase::Diagnosing { .. }
            | Phase::AwaitingDecision { .. }
    );
    // Once something has been changed, verification decides whether it is over, not the alert alone.
    if untouched && draft.next.all_resolved() {
        return draft.resolve(Resolution::ByItself, "every alert was resolved before anything was changed");
    }
    draft.done()
}
