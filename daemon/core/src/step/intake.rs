//! Alerts come, come again, and end.

use super::draft::Draft;
use super::{Step, wrong_phase};
use crate::effect::NoticeKind;
use crate::event::EventKind;
use crate::incident::TrackedAlert;
use crate::phase::Resolution;
use crate::{Alert, AlertFingerprint, AlertStatus, Event, Incident, Phase, Policy};
use serde_json::json;

/// Names told of one delivery. 5: a line.
const NAMES_MAX: usize = 5;

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
    let mut cut: u64 = 0;
    for alert in alerts {
        if names.len() < NAMES_MAX && !names.contains(&alert.name()) {
            names.push(alert.name());
        }
        let full = draft.next.alerts.len() >= policy.alerts_max as usize;
        if full && !draft.next.alerts.contains_key(&alert.fingerprint) {
            if alert.status == AlertStatus::Firing {
                cut += 1;
            }
            continue;
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
    draft.next.alerts_cut = draft.next.alerts_cut.saturating_add(cut);
    draft.next.alerts_missing =
        draft.next.alerts_missing.saturating_add(cut).max(draft.next.alerts_cut.saturating_add(truncated));
    let partial = if truncated > 0 { ", and the sender left some out" } else { "" };
    let why = format!("{} alert(s): {}{partial}", alerts.len(), names.join(", "));
    draft.record(
        "monitor",
        "alerts",
        incident.id.to_string(),
        json!({ "count": alerts.len(), "truncated": truncated, "unlisted": cut, "names": names }),
    );
    if matches!(incident.phase, Phase::AlertReceived) {
        draft.notify(NoticeKind::Opened, format!("{}: {why}", incident.title));
        draft.gather(0, &why);
    } else {
        draft.count("joined", alerts.len(), |counted| match counted.times {
            1 => format!("joined by {why}"),
            times => format!("joined {times} times by {} alert(s) in all, last by {why}", counted.alerts),
        });
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
    draft.count("repeated", fingerprints.len(), |counted| match counted.times {
        1 => format!("{} alert(s) repeated", fingerprints.len()),
        times => format!("repeated {times} times, {} alert(s) in all", counted.alerts),
    });
    draft.done()
}

fn resolved(incident: &Incident, event: &Event, policy: &Policy, fingerprints: &[AlertFingerprint]) -> Step {
    let firing = |f: &AlertFingerprint| {
        incident.alerts.get(f).is_some_and(|tracked| tracked.alert.status == AlertStatus::Firing)
    };
    // Each is told once, by whoever knows its episodes: an end of what is not listed is the end of one that was cut.
    let unlisted = |f: &&AlertFingerprint| !incident.alerts.contains_key(*f);
    let cut = u64::try_from(fingerprints.iter().filter(unlisted).count()).unwrap_or(u64::MAX);
    let cut = cut.min(incident.alerts_cut);
    if cut == 0 && !fingerprints.iter().any(firing) {
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
    draft.next.alerts_cut -= cut;
    draft.next.alerts_missing = draft.next.alerts_missing.saturating_sub(cut);
    draft.count("resolved", fingerprints.len(), |counted| match counted.times {
        1 => format!("{} alert(s) resolved", fingerprints.len()),
        times => format!("{} alert(s) resolved, over {times} messages", counted.alerts),
    });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::HISTORY_MAX;
    use crate::mail::Opening;
    use crate::{Labels, TimestampMs};

    fn alerts(numbers: std::ops::Range<u64>) -> Vec<Alert> {
        let alert = |n: u64| {
            let labels = Labels::from([("alertname", "A"), ("instance", n.to_string().as_str())]);
            Alert {
                fingerprint: labels.fingerprint(),
                status: AlertStatus::Firing,
                labels,
                annotations: Labels::default(),
                starts_at: TimestampMs(1),
                ends_at: None,
                expression: None,
            }
        };
        numbers.map(alert).collect()
    }

    fn fingerprints(numbers: std::ops::Range<u64>) -> Vec<AlertFingerprint> {
        alerts(numbers).into_iter().map(|alert| alert.fingerprint).collect()
    }

    fn policy() -> Policy {
        Policy { alerts_max: 10, ..Policy::default() }
    }

    fn tell(incident: &mut Incident, kind: EventKind) -> bool {
        let event = Event { at: incident.updated_at.after_ms(1), kind };
        match super::super::step(incident, &event, &policy()) {
            Step::Advanced(advance) => {
                *incident = advance.next;
                true
            }
            Step::Unchanged => false,
            Step::Refused(refusal) => panic!("{refusal}"),
        }
    }

    fn opened(numbers: std::ops::Range<u64>) -> Incident {
        let opening = Opening { group: "g".into(), title: "t".into() };
        let mut incident = Incident::open("i".into(), opening, TimestampMs(1));
        tell(&mut incident, EventKind::AlertsArrived { alerts: alerts(numbers), truncated: 0 });
        incident
    }

    #[test]
    fn what_the_limit_cuts_is_counted_and_its_end_counts_too() {
        let mut incident = opened(0..8);
        tell(&mut incident, EventKind::AlertsArrived { alerts: alerts(8..25), truncated: 0 });
        assert_eq!((incident.alerts.len(), incident.alerts_missing, incident.alerts_cut), (10, 15, 15));
        tell(&mut incident, EventKind::AlertsResolved { fingerprints: fingerprints(5..20) });
        assert_eq!((incident.alerts_missing, incident.alerts_cut), (5, 5));
        assert!(!incident.all_resolved());
        tell(&mut incident, EventKind::AlertsResolved { fingerprints: fingerprints(0..5) });
        assert!(!incident.all_resolved(), "five that are not listed still fire");
        assert!(!incident.is_terminal());
        tell(&mut incident, EventKind::AlertsResolved { fingerprints: fingerprints(20..25) });
        assert!(incident.is_terminal(), "{:?}", incident.phase);
    }

    #[test]
    fn what_the_sender_left_out_is_not_known_to_have_ended() {
        let mut incident = opened(0..2);
        tell(&mut incident, EventKind::AlertsArrived { alerts: alerts(0..3), truncated: 7 });
        assert_eq!((incident.alerts_missing, incident.alerts_cut), (7, 0));
        assert!(!tell(&mut incident, EventKind::AlertsResolved { fingerprints: fingerprints(100..107) }));
        tell(&mut incident, EventKind::AlertsResolved { fingerprints: fingerprints(0..3) });
        assert!(!incident.is_terminal());
        tell(&mut incident, EventKind::AlertsArrived { alerts: alerts(3..14), truncated: 7 });
        assert_eq!((incident.alerts_missing, incident.alerts_cut), (11, 4), "both are missing");
    }

    #[test]
    fn what_recurs_is_one_line_that_counts() {
        let mut incident = opened(0..1);
        let lines = incident.history.len();
        for n in 1..=400 {
            tell(&mut incident, EventKind::AlertsArrived { alerts: alerts(n..n + 1), truncated: 0 });
            tell(&mut incident, EventKind::AlertsRepeated { fingerprints: fingerprints(0..2) });
        }
        let told: Vec<&str> = incident.history.iter().skip(lines).map(|line| line.why.as_str()).collect();
        assert_eq!(
            told,
            [
                "joined 400 times by 400 alert(s) in all, last by 1 alert(s): A",
                "repeated 400 times, 800 alert(s) in all"
            ]
        );
        assert!(incident.history.is_sorted_by_key(|line| line.revision));
        // Another phase is another chapter.
        let (by, reason) = (crate::Principal::new("token:alice"), "mine".to_owned());
        tell(&mut incident, EventKind::EscalationRequested { by, reason });
        tell(&mut incident, EventKind::AlertsArrived { alerts: alerts(900..901), truncated: 0 });
        assert!(incident.history.last().unwrap().why.starts_with("joined by 1 alert"));
    }

    #[test]
    fn the_story_has_an_end_and_keeps_its_newest_lines() {
        let mut incident = opened(0..1);
        let line = incident.history.last().unwrap().clone();
        incident.history.resize(HISTORY_MAX, line);
        tell(&mut incident, EventKind::AlertsArrived { alerts: alerts(1..2), truncated: 0 });
        assert!(incident.history.len() <= HISTORY_MAX);
        assert!(incident.history.last().unwrap().why.starts_with("joined by"));
    }
}
