//! Whether a story ended as it should: the incident, what was done to the lab, and how the lab is, against the expectation.

use crate::{
    expectation::{Ending, Expectation},
    stage::Stage,
};
use medic_proto::v1;
use std::time::{Duration, Instant};

/// How long a healed lab may take until customers see it: its own health looks at answer times of the last moment.
const HEALTHY_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(250);

/// One thing that was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub what: String,
    pub held: bool,
    /// What was seen.
    pub seen: String,
}

fn check(what: impl Into<String>, held: bool, seen: impl Into<String>) -> Check {
    Check { what: what.into(), held, seen: seen.into() }
}

/// Looks at everything that is expected of an incident that has ended. A check that did not hold is an answer and no
/// error.
///
/// # Errors
/// When the lab or the daemon cannot be asked.
pub async fn verdict(
    stage: &Stage,
    expected: &Expectation,
    incident: &v1::Incident,
) -> anyhow::Result<Vec<Check>> {
    let mut checks = vec![blame(expected, incident)];
    match expected.ending {
        Ending::Healed => {
            let escalated = incident.escalation.as_ref().map(|escalation| &escalation.code);
            let how = incident.resolution.as_ref().map(|resolution| &resolution.how).or(escalated);
            let seen = format!("{} ({})", incident.phase, how.map_or("-", String::as_str));
            checks.push(check("resolved by a verified remedy", seen == "RESOLVED (remedied)", seen));
            checks.push(remedy(expected, incident));
        }
        Ending::RolledBackAndEscalated => {
            let code = incident.escalation.as_ref().map_or("-", |escalation| &escalation.code);
            let seen = format!("{} ({code})", incident.phase);
            checks.push(check("escalated to a human", incident.phase == "ESCALATED", seen));
            checks.extend(rollback(expected, incident));
        }
        Ending::Quiet => {}
    }
    checks.push(deeds(stage, expected).await?);
    if expected.ending == Ending::Healed {
        checks.push(healthy(stage).await?);
    }
    Ok(checks)
}

/// The first hypothesis of the first round names component and category.
fn blame(expected: &Expectation, incident: &v1::Incident) -> Check {
    let first = incident.diagnoses.first().and_then(|diagnosis| diagnosis.hypotheses.first());
    let held = first
        .is_some_and(|first| first.component == expected.component && first.category == expected.category);
    let seen = first.map_or_else(
        || "no hypothesis".to_owned(),
        |first| format!("{} at {}, confidence {:.2}", first.category, first.component, first.confidence),
    );
    check(format!("{} at {} is named first", expected.category, expected.component), held, seen)
}

/// One action, with the right tool, on the word of enough people.
fn remedy(expected: &Expectation, incident: &v1::Incident) -> Check {
    let held = match incident.executed.as_slice() {
        [only] => {
            let people = only.approval_ids.iter().filter(|id| !id.starts_with("auto-")).count();
            let consented = people >= expected.approvers as usize
                || expected.approvers == 1 && only.approval_ids.iter().any(|id| id.starts_with("auto-"));
            only.tool == expected.tool && only.outcome == "applied" && consented
        }
        _ => false,
    };
    check(format!("{} is carried out once, with consent", expected.tool), held, actions(incident))
}

/// Everything that was applied was undone, and the undoing was verified.
fn rollback(expected: &Expectation, incident: &v1::Incident) -> [Check; 2] {
    let count = |outcome: &str| incident.executed.iter().filter(|action| action.outcome == outcome).count();
    let first = incident.executed.first().map(|action| action.tool.as_str());
    let undone = count("applied") > 0 && count("applied") == count("undone") && first == Some(expected.tool);
    let verified = incident.failed_remedies.first().is_some_and(|failed| failed.rolled_back);
    let seen = incident.failed_remedies.first().map_or("no failed remedy is on record", |failed| &failed.why);
    [
        check(format!("{} is carried out and undone", expected.tool), undone, actions(incident)),
        check("the rollback is verified", verified, seen),
    ]
}

fn actions(incident: &v1::Incident) -> String {
    let actions: Vec<String> =
        incident.executed.iter().map(|action| format!("{} {}", action.tool, action.outcome)).collect();
    if actions.is_empty() { "nothing".to_owned() } else { actions.join(", ") }
}

/// The lab's own books: the expected deed and nothing else, done once, or once and back.
async fn deeds(stage: &Stage, expected: &Expectation) -> anyhow::Result<Check> {
    let lab = stage.lab()?;
    let mut seen = Vec::new();
    let mut right = true;
    for service in lab.services() {
        for operation in lab.operations(service).await? {
            let expected = expected.operation.is_some_and(|deed| {
                deed.service == service && deed.method == operation.method && deed.path == operation.path
            });
            right &= expected && operation.status < 300;
            seen.push(format!("{} {} at {service}: {}", operation.method, operation.path, operation.status));
        }
    }
    let times = match expected.ending {
        Ending::Healed => 1,
        Ending::RolledBackAndEscalated => 2,
        Ending::Quiet => 0,
    };
    let what = match expected.operation {
        Some(deed) => {
            format!("{} {} at {} is done {times} ×, and nothing else", deed.method, deed.path, deed.service)
        }
        None => "nothing is done to the lab".to_owned(),
    };
    let held = right && seen.len() == times;
    Ok(check(what, held, if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") }))
}

async fn healthy(stage: &Stage) -> anyhow::Result<Check> {
    let lab = stage.lab()?;
    let asked = Instant::now();
    while !lab.is_healthy().await? {
        if asked.elapsed() > HEALTHY_MAX {
            let faults = lab.active_faults().await?;
            let seen = format!("not within {} s; faults: {faults:?}", HEALTHY_MAX.as_secs());
            return Ok(check("the lab is healthy", false, seen));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(check("the lab is healthy", true, "orders go through, no fault is left"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectation_of;
    use medic_lab::Fault;

    fn action(tool: &str, outcome: &str, approvals: &[&str]) -> v1::ExecutedAction {
        v1::ExecutedAction {
            tool: tool.to_owned(),
            outcome: outcome.to_owned(),
            approval_ids: approvals.iter().map(|id| (*id).to_owned()).collect(),
            ..Default::default()
        }
    }
    fn incident(executed: Vec<v1::ExecutedAction>) -> v1::Incident {
        v1::Incident { executed, ..Default::default() }
    }

    #[test]
    fn a_remedy_counts_only_with_consent_and_alone() {
        let config = expectation_of(Fault::BadConfig);
        let purge = expectation_of(Fault::QuotaFull);
        let held = |expected, executed| remedy(expected, &incident(executed)).held;
        assert!(held(&config, vec![action("rollback_config", "applied", &["ap-1"])]));
        assert!(held(&config, vec![action("rollback_config", "applied", &["auto-1"])]));
        assert!(!held(&config, vec![action("rollback_config", "applied", &[])]));
        assert!(!held(&config, vec![action("restart_service", "applied", &["ap-1"])]));
        assert!(!held(&config, vec![action("rollback_config", "failed", &["ap-1"])]));
        let twice = vec![action("rollback_config", "applied", &["ap-1"]); 2];
        assert!(!held(&config, twice));
        assert!(!held(&purge, vec![action("purge_expired", "applied", &["ap-1"])]), "one person is not two");
        assert!(
            !held(&purge, vec![action("purge_expired", "applied", &["auto-1"])]),
            "no rule consents to a deletion"
        );
        assert!(held(&purge, vec![action("purge_expired", "applied", &["ap-1", "ap-2"])]));
    }

    #[test]
    fn a_rollback_counts_only_when_everything_is_back_and_verified() {
        let expected = expectation_of(Fault::Stubborn);
        let there = action("rollback_config", "applied", &["ap-1"]);
        let back = action("rollback_config", "undone", &["ap-1"]);
        let mut story = incident(vec![there.clone(), back]);
        assert_eq!(rollback(&expected, &story).map(|check| check.held), [true, false]);
        story.failed_remedies.push(v1::FailedRemedy { rolled_back: true, ..Default::default() });
        assert_eq!(rollback(&expected, &story).map(|check| check.held), [true, true]);
        story.executed = vec![there];
        assert!(!rollback(&expected, &story).iter().all(|check| check.held));
        assert!(!rollback(&expected, &incident(Vec::new())).iter().any(|check| check.held));
    }
}
