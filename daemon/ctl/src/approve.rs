//! Saying yes, to exactly what was read.
//!
//! Owns the question. The word that is sent names the digest of the plan that was on the screen: what changed since is
//! refused by the daemon, not approved by accident.

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::say;
use crate::story::{Story, target};
use crate::text::{Style, now_ms, plain, short_digest};
use medic_proto::v1;
use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Hex digits a shortened digest must have: as many as are shown.
const DIGITS_MIN: usize = 12;

pub async fn run(client: &Client, id: String, plan: Option<String>, json: bool) -> Result<Exit, Failure> {
    let request = v1::GetIncidentRequest { incident_id: id.clone() };
    let incident = client.incidents().get(request).await?.into_inner();
    let waiting = incident.proposal.as_ref().filter(|_| incident.phase == "AWAITING_DECISION");
    let proposal = waiting.ok_or_else(|| {
        Failure::new("NOTHING_TO_APPROVE", format!("the incident is {} and proposes nothing", incident.phase))
    })?;
    let plan_digest = match plan {
        Some(given) => named(&given, &proposal.plan_digest)?,
        None => {
            if !std::io::stdin().is_terminal() {
                let message =
                    "there is no terminal to ask at: name the plan you have read with --plan DIGEST";
                return Err(Failure::usage(message));
            }
            // Talk, not data: the question stays visible when the answer is piped on.
            let style = Style { on: std::io::stderr().is_terminal() };
            let story = Story { incident: &incident, now_ms: now_ms(), style };
            eprintln!("{}{}", story.head(), story.proposal());
            let mut ask = |question: &str| ask(question);
            if !consents(proposal, &mut ask)? {
                eprintln!("not approved; nothing was sent");
                return Ok(Exit::Failed);
            }
            proposal.plan_digest.clone()
        }
    };
    let request = v1::ApproveRequest { incident_id: id, plan_digest: plan_digest.clone(), request_id: None };
    let told = client.incidents().approve(request).await?.into_inner();
    if json {
        crate::output::document(&told)?;
    } else if told.phase == "AWAITING_DECISION" {
        say!("approved plan {}; another person's word is still needed", short_digest(&plan_digest));
    } else {
        say!("approved plan {}; the incident is {}", short_digest(&plan_digest), plain(&told.phase));
    }
    Ok(Exit::Done)
}

/// The whole digest that `given` names, when it is the current plan's.
fn named(given: &str, current: &str) -> Result<String, Failure> {
    let hex = given.strip_prefix("sha256:").unwrap_or(given);
    let sound = (DIGITS_MIN..=64).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !sound {
        let message = format!("--plan wants a digest: sha256: and at least {DIGITS_MIN} of its hex digits");
        return Err(Failure::usage(message));
    }
    let known = current.strip_prefix("sha256:").unwrap_or(current);
    if known.starts_with(&hex.to_ascii_lowercase()) {
        return Ok(current.to_owned());
    }
    let message = format!("the plan to decide on is {}, not the one you named", short_digest(current));
    Err(Failure::new("WRONG_PLAN", message))
}

/// A destructive plan is not approved by a habit of the little finger: each target is typed.
fn consents(
    proposal: &v1::Proposal,
    ask: &mut dyn FnMut(&str) -> Result<String, Failure>,
) -> Result<bool, Failure> {
    let plan = proposal.plan.clone().unwrap_or_default();
    if plan.category != "destructive" {
        let answer = ask(&format!("Approve plan {}? [y/N] ", short_digest(&proposal.plan_digest)))?;
        return Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"));
    }
    let mut targets: BTreeSet<(String, String)> = BTreeSet::new();
    for step in plan.items.iter().flat_map(|item| &item.steps) {
        if let Some(aimed) = &step.target {
            targets.insert((target(aimed), plain(&aimed.name)));
        }
    }
    // A plan that destroys something it does not name is nothing to say yes to.
    if targets.is_empty() {
        return Ok(false);
    }
    for (shown, name) in targets {
        let answer = ask(&format!("This destroys {shown}. Type {name} to approve it: "))?;
        if answer.trim() != name.trim() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn ask(question: &str) -> Result<String, Failure> {
    eprint!("{question}");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(category: &str, names: &[&str]) -> v1::Proposal {
        let steps = names.iter().map(|name| v1::PlanStep {
            target: Some(v1::Target { kind: "DELETE".into(), name: (*name).into(), ..Default::default() }),
            ..Default::default()
        });
        let item = v1::PlanItem { steps: steps.collect(), ..Default::default() };
        let plan = v1::Plan { category: category.into(), items: vec![item], ..Default::default() };
        v1::Proposal { plan: Some(plan), ..Default::default() }
    }
    fn answering(proposal: &v1::Proposal, answers: &[&str]) -> bool {
        let mut answers = answers.iter();
        consents(proposal, &mut |_| Ok((*answers.next().unwrap_or(&"")).to_owned())).unwrap()
    }

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        let plan = proposal("remediation", &["/restart"]);
        assert!(answering(&plan, &["y\n"]));
        assert!(answering(&plan, &["YES"]));
        for no in ["", "\n", "n", "yo", "sure", "ja"] {
            assert!(!answering(&plan, &[no]), "{no:?}");
        }
    }

    #[test]
    fn destruction_is_approved_by_typing_every_target() {
        let plan = proposal("destructive", &["/cache", "/index"]);
        assert!(answering(&plan, &["/cache\n", "/index\n"]));
        assert!(!answering(&plan, &["y", "y"]));
        assert!(!answering(&plan, &["/cache\n", "y"]));
        assert!(!answering(&proposal("destructive", &[]), &["", "y"]));
    }

    #[test]
    fn named_plan_must_be_the_current_one() {
        let current = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(named(&current, &current).unwrap(), current);
        assert_eq!(named("abababababab", &current).unwrap(), current);
        assert_eq!(named("sha256:ABABABABABAB", &current).unwrap(), current);
        assert_eq!(named("abababababac", &current).unwrap_err().code, "WRONG_PLAN");
        for malformed in ["", "ab", "sha256:", "abababababa", "zzzzzzzzzzzzzz"] {
            assert_eq!(named(malformed, &current).unwrap_err().exit, Exit::Usage, "{malformed}");
        }
    }
}
