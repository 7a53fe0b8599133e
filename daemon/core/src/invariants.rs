//! The named laws as pure predicates, used alike by property tests, crash tests and the check when a record is loaded.
//!
//! INC-6 (audit chain) is [`crate::audit::ChainVerifier`]; INC-9 (mailbox depth) is the store's; INC-10 (no text reaches
//! a prompt unredacted) is held where the one prompt is built, by redacting it whole and last.

use crate::approval::{ApprovedPlan, Proposal, Requirement};
use crate::effect::Subject;
use crate::saga::{Direction, StepState};
use crate::{Advance, Effect, Incident, Phase, Policy};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Nothing above Diagnostic runs without an approved plan of the same digest.
    Inc1,
    /// Destructive has two distinct principals, none of them an agent or the requester.
    Inc2,
    /// An approval after its expiry or for another digest never counts.
    Inc3,
    /// Terminal phases have no effects but notify.
    Inc4,
    /// Rounds of diagnosis stay within the limit.
    Inc5,
    /// Each changing effect has a record before it.
    Inc6,
    /// After unwinding, each succeeded step is undone or listed as not undoable.
    Inc7,
    /// Confidence below the threshold never reaches Executing.
    Inc8,
    /// Phases follow each other as the law allows; a revision counts one.
    Order,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub law: Law,
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.what)
    }
}

/// What must hold of an incident by itself.
pub fn of_incident(incident: &Incident, policy: &Policy) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut require = |holds: bool, law: Law, what: &str| {
        if !holds {
            broken.push(Broken { law, what: format!("{what} (incident {})", incident.id) });
        }
    };
    require(incident.iteration <= policy.iterations_max, Law::Inc5, "more rounds of diagnosis than allowed");
    if let Phase::AwaitingDecision { proposal } = &incident.phase {
        approvals(proposal, incident, &mut require);
        require(proposal.missing() > 0, Law::Order, "waits for a decision that has been made");
    }
    if let Some(saga) = incident.phase.saga() {
        approvals(&saga.proposal, incident, &mut require);
        let proof = ApprovedPlan::prove(&incident.id, &saga.proposal, policy, saga.started_at);
        require(proof.is_ok(), Law::Inc1, "a plan is carried out that cannot be proven approved");
        if let Some(hypothesis) = &saga.proposal.plan.hypothesis {
            let confident = incident
                .diagnoses
                .iter()
                .flat_map(|diagnosis| &diagnosis.hypotheses)
                .any(|known| known.id == *hypothesis && known.confidence >= policy.confidence_min);
            require(confident, Law::Inc8, "a plan rests on a hypothesis below the threshold");
        }
        if matches!(incident.phase, Phase::Verifying { subject: Subject::Rollback, .. }) {
            let left = saga.steps.iter().any(|step| {
                matches!(
                    step.state,
                    StepState::Applied { .. } | StepState::Undoing { .. } | StepState::Ordered { .. }
                )
            });
            require(
                !left && saga.direction == Direction::Unwinding,
                Law::Inc7,
                "a rollback is verified that is not complete",
            );
        }
    }
    broken
}

fn approvals(proposal: &Proposal, incident: &Incident, require: &mut impl FnMut(bool, Law, &str)) {
    let digest = proposal.plan.digest(&incident.id);
    require(digest == proposal.digest, Law::Inc3, "the proposal's digest is not its plan's");
    for approval in &proposal.approvals {
        require(
            approval.plan == digest && approval.at < proposal.expires_at,
            Law::Inc3,
            "an approval counts that is late or for another plan",
        );
        require(
            !approval.principal.is_agent()
                && !approval.principal.is_policy()
                && proposal.requester.as_ref() != Some(&approval.principal),
            Law::Inc2,
            "an approval counts that its giver may not give",
        );
    }
    let mut people: Vec<_> = proposal.approvals.iter().map(|approval| &approval.principal).collect();
    people.sort();
    people.dedup();
    require(people.len() == proposal.approvals.len(), Law::Inc2, "one person counts twice");
    if proposal.plan.category() == crate::ToolCategory::Destructive {
        require(
            proposal.requirement >= Requirement::TwoApprovers,
            Law::Inc2,
            "a destructive plan asks for less than two",
        );
    }
}

/// What must hold of one step from `before`.
pub fn of_advance(before: &Incident, advance: &Advance, policy: &Policy) -> Vec<Broken> {
    let next = &advance.next;
    let mut broken = of_incident(next, policy);
    let mut require = |holds: bool, law: Law, what: &str| {
        if !holds {
            broken.push(Broken {
                law,
                what: format!("{what} (incident {} revision {})", next.id, next.revision),
            });
        }
    };
    require(next.revision == before.revision + 1, Law::Order, "a revision does not count one");
    let (from, to) = (before.phase.name(), next.phase.name());
    require(from.may_become(to), Law::Order, &format!("{from} became {to}"));
    require(next.updated_at >= before.updated_at, Law::Order, "an incident's time went back");
    if next.is_terminal() {
        let only_notices = advance.effects.iter().all(|effect| matches!(effect, Effect::Notify { .. }));
        require(only_notices, Law::Inc4, "a closed incident orders work");
    }
    for (id, effect) in advance.effects_with_ids() {
        if effect.changes_systems() {
            require(next.phase.saga().is_some(), Law::Inc1, "a change is ordered outside an approved plan");
            let subject = id.to_string();
            let recorded =
                advance.records.iter().any(|record| record.kind == "effect" && record.subject == subject);
            require(recorded, Law::Inc6, "a change is ordered without a record");
            require(next.phase.awaiting() == Some(&id), Law::Order, "a change is ordered and not awaited");
        }
    }
    broken
}
