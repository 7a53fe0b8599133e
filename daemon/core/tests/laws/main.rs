//! The laws of an incident under random stories.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

mod replay;
mod story;

use medic_core::approval::Approval;
use medic_core::audit::{ChainFault, ChainHead, ChainVerifier, ChainedRecord};
use medic_core::effect::TimerKind;
use medic_core::phase::PhaseName;
use medic_core::plan::StepRef;
use medic_core::policy::AutoApprove;
use medic_core::tool::ToolCall;
use medic_core::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use story::{Move, alert, diagnosis, event, moves, opened, plan, policy};

struct Story {
    incident: Incident,
    phases: BTreeSet<PhaseName>,
    events: Vec<Event>,
}

/// Plays a story, holding every law at every step.
fn play(moves: &[Move], policy: &Policy) -> Result<Story, TestCaseError> {
    let mut incident = opened();
    let mut at = TimestampMs(1_000);
    let mut phases = BTreeSet::from([incident.phase.name()]);
    let mut events = Vec::new();
    for next in moves {
        // Now and then the clock steps back an hour.
        at = if next.choice == 200 { at.before_ms(3_600_000) } else { at.after_ms(u64::from(next.wait_ms)) };
        let event = event(&incident, next, at);
        match step(&incident, &event, policy) {
            Step::Advanced(advance) => {
                let broken = invariants::of_advance(&incident, &advance, policy);
                prop_assert!(broken.is_empty(), "{broken:?} after {event:?} on {incident:?}");
                let stored = serde_json::to_vec(&advance.next).unwrap();
                let read: Incident = serde_json::from_slice(&stored).unwrap();
                prop_assert_eq!(&read, &advance.next);
                // Delivered again, the same event orders no change and moves nothing.
                if let Step::Advanced(again) = step(&advance.next, &event, policy) {
                    prop_assert_eq!(again.next.phase.name(), advance.next.phase.name());
                    prop_assert!(
                        !again.effects.iter().any(Effect::changes_systems),
                        "{event:?} ordered a change twice"
                    );
                }
                incident = advance.next;
                phases.insert(incident.phase.name());
            }
            Step::Unchanged | Step::Refused(_) => {}
        }
        events.push(event);
    }
    Ok(Story { incident, phases, events })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_story_breaks_a_law(moves in moves(), choice in any::<u8>()) {
        play(&moves, &policy(choice))?;
    }

    #[test]
    fn replaying_the_events_is_the_fold(moves in moves(), choice in any::<u8>()) {
        let policy = policy(choice);
        let story = play(&moves, &policy)?;
        let folded = story.events.iter().fold(opened(), |incident, event| match step(&incident, event, &policy) {
            Step::Advanced(advance) => advance.next,
            _ => incident,
        });
        prop_assert_eq!(serde_json::to_vec(&folded).unwrap(), serde_json::to_vec(&story.incident).unwrap());
    }

    /// Any edit, deletion, swap, truncation or splice of a chain is found.
    #[test]
    fn a_tampered_chain_is_found(count in 2usize..40, at in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(), way in 0u8..6) {
        let (mut chain, head) = chain(count, "one");
        let at = at.index(count);
        let other = other.index(count);
        match way {
            0 => chain[at].record.detail = serde_json::json!({ "n": "edited" }),
            1 => { chain.remove(at); }
            2 => chain.swap(at, other),
            3 => chain.truncate(at),
            4 => chain[at].hash = Digest::of_bytes(b"forged"),
            // The tail of another chain of the same length, whole in itself.
            _ => { let (foreign, _) = self::chain(count, "two"); chain.splice(at.., foreign[at..].to_vec()); }
        }
        let untouched = way == 2 && at == other;
        prop_assert_eq!(verify(&chain, &head).is_ok(), untouched);
    }
}

fn chain(count: usize, flavour: &str) -> (Vec<ChainedRecord>, ChainHead) {
    let mut head = ChainHead::genesis();
    let mut chain = Vec::new();
    for n in 0..count {
        let (chained, next) = head.append(audit::AuditRecord {
            at: TimestampMs(n as u64),
            incident: None,
            actor: "test".into(),
            kind: "effect".into(),
            subject: n.to_string(),
            rule: None,
            detail: serde_json::json!({ "flavour": flavour }),
        });
        chain.push(chained);
        head = next;
    }
    (chain, head)
}

fn verify(chain: &[ChainedRecord], head: &ChainHead) -> Result<ChainHead, ChainFault> {
    let mut verifier = ChainVerifier::default();
    chain.iter().try_for_each(|record| verifier.push(record))?;
    verifier.finish(Some(head))
}

#[test]
fn a_chain_cut_after_an_anchor_was_taken_is_found() {
    let (chain, _) = chain(10, "one");
    let anchor = ChainHead { seq: 8, hash: chain[7].hash.clone() };
    let run = |records: &[ChainedRecord]| {
        let mut verifier = ChainVerifier::new(vec![anchor.clone()]);
        records.iter().try_for_each(|record| verifier.push(record))?;
        verifier.finish(None)
    };
    assert_eq!(run(&chain).map(|head| head.seq), Ok(10));
    assert_eq!(run(&chain[..5]), Err(ChainFault::Head { expected: 8, found: 5 }));
}

/// A generator that never gets anywhere would hold every law; this one reaches every phase.
#[test]
fn random_stories_reach_every_phase() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    for choice in 0..400u32 {
        let moves = moves().new_tree(&mut runner).unwrap().current();
        reached.extend(play(&moves, &policy((choice % 256) as u8)).unwrap().phases);
    }
    assert_eq!(reached.into_iter().collect::<Vec<_>>(), PhaseName::ALL.to_vec());
}

/// An incident waiting for a decision on a plan of `category`.
fn awaiting(category: ToolCategory, requester: Option<&str>) -> (Incident, Digest) {
    let policy = Policy::default();
    let mut incident = opened();
    let mut at = 2_000;
    let mut happen = |incident: &mut Incident, kind: EventKind| {
        at += 10;
        match step(incident, &Event { at: TimestampMs(at), kind }, &policy) {
            Step::Advanced(advance) => *incident = advance.next,
            other => panic!("{other:?}"),
        }
    };
    match requester {
        Some(by) => happen(
            &mut incident,
            EventKind::RemedyRequested {
                call: ToolCall { tool: "purge_expired".into(), args_json: "{}".into() },
                by: Principal::new(by),
                title: "asked".into(),
            },
        ),
        None => {
            happen(&mut incident, EventKind::AlertsArrived { alerts: vec![alert(1, 1_500)], truncated: 0 });
            let effect = incident.phase.awaiting().unwrap().clone();
            happen(
                &mut incident,
                EventKind::Gathered { effect, evidence: vec![], findings: vec![], gaps: vec![] },
            );
            let effect = incident.phase.awaiting().unwrap().clone();
            let diagnosis = Box::new(diagnosis(1, 0.9, true));
            happen(&mut incident, EventKind::Diagnosed { effect, diagnosis, evidence: vec![] });
        }
    }
    let effect = incident.phase.awaiting().unwrap().clone();
    let plan = plan(category, u32::from(requester.is_none()), 2);
    happen(&mut incident, EventKind::Planned { effect, plan: Box::new(plan) });
    let Phase::AwaitingDecision { proposal } = &incident.phase else { panic!("{:?}", incident.phase) };
    let digest = proposal.digest.clone();
    (incident, digest)
}

fn approve(incident: &Incident, by: &str, plan: &Digest, at: u64) -> Step {
    let id = ApprovalId::new(format!("approval-of-{by}"));
    let approval = Approval { id, principal: Principal::new(by), plan: plan.clone(), at: TimestampMs(at) };
    step(incident, &Event { at: TimestampMs(at), kind: EventKind::Approved { approval } }, &Policy::default())
}

fn advanced(step: Step) -> Advance {
    match step {
        Step::Advanced(advance) => *advance,
        other => panic!("not advanced: {other:?}"),
    }
}

#[test]
fn one_approval_starts_a_remediation_and_orders_exactly_its_first_step() {
    let (incident, digest) = awaiting(ToolCategory::Remediation, None);
    let advance = advanced(approve(&incident, "token:alice", &digest, 3_000));
    assert_eq!(advance.next.phase.name(), PhaseName::Executing);
    let changes: Vec<_> = advance.effects.iter().filter(|effect| effect.changes_systems()).collect();
    assert_eq!(changes, [&Effect::Apply { step: StepRef { item: 0, step: 0 } }]);
}

#[test]
fn destructive_takes_two_people_neither_of_whom_asked_for_it() {
    let (incident, digest) = awaiting(ToolCategory::Destructive, Some("token:carol"));
    assert!(matches!(
        approve(&incident, "token:carol", &digest, 3_000),
        Step::Refused(Refusal::RequesterApproves { .. })
    ));
    let once = advanced(approve(&incident, "token:alice", &digest, 3_000)).next;
    assert_eq!(once.phase.name(), PhaseName::AwaitingDecision);
    // The same approval again is a retry; a second one by the same person is refused.
    assert_eq!(approve(&once, "token:alice", &digest, 3_001), Step::Unchanged);
    let id = ApprovalId::new("another");
    let again = Approval {
        id,
        principal: Principal::new("token:alice"),
        plan: digest.clone(),
        at: TimestampMs(3_002),
    };
    let kind = EventKind::Approved { approval: again };
    assert!(matches!(
        step(&once, &Event { at: TimestampMs(3_002), kind }, &Policy::default()),
        Step::Refused(Refusal::DuplicateApprover { .. })
    ));
    let twice = advanced(approve(&once, "token:bob", &digest, 3_003)).next;
    assert_eq!(twice.phase.name(), PhaseName::Executing);
}

#[test]
fn an_agents_word_is_no_approval() {
    let (incident, digest) = awaiting(ToolCategory::Remediation, None);
    for by in ["agent:medic", "policy:auto-approve"] {
        assert!(matches!(
            approve(&incident, by, &digest, 3_000),
            Step::Refused(Refusal::AgentApproves { .. })
        ));
    }
}

#[test]
fn late_approval_is_refused_and_the_timer_escalates() {
    let (incident, digest) = awaiting(ToolCategory::Remediation, None);
    let Phase::AwaitingDecision { proposal } = &incident.phase else { panic!() };
    let due = proposal.expires_at;
    assert_eq!(approve(&incident, "token:alice", &digest, due.0), Step::Refused(Refusal::ApprovalExpired));
    let early = Event {
        at: due.before_ms(1),
        kind: EventKind::TimerFired { kind: TimerKind::ApprovalLifetime, due },
    };
    assert_eq!(step(&incident, &early, &Policy::default()), Step::Unchanged);
    let fired = Event { at: due, kind: EventKind::TimerFired { kind: TimerKind::ApprovalLifetime, due } };
    let next = advanced(step(&incident, &fired, &Policy::default())).next;
    assert!(matches!(next.phase, Phase::Escalated { why: EscalationReason::ApprovalTimeout { .. }, .. }));
}

#[test]
fn an_approval_of_another_plan_never_counts() {
    let (incident, _) = awaiting(ToolCategory::Remediation, None);
    let other = Digest::of_bytes(b"another plan");
    assert!(matches!(
        approve(&incident, "token:alice", &other, 3_000),
        Step::Refused(Refusal::WrongPlan { .. })
    ));
}

#[test]
fn a_proof_does_not_come_from_a_plan_that_was_changed_after_approval() {
    let (incident, digest) = awaiting(ToolCategory::Remediation, None);
    let next = advanced(approve(&incident, "token:alice", &digest, 3_000)).next;
    let mut proposal = next.phase.saga().unwrap().proposal.clone();
    let policy = Policy::default();
    let now = TimestampMs(3_000);
    assert!(ApprovedPlan::prove(&incident.id, &proposal, &policy, now).is_ok());
    assert!(matches!(
        ApprovedPlan::prove(&"other".into(), &proposal, &policy, now),
        Err(Refusal::WrongPlan { .. })
    ));
    let stale = now.after_ms(policy.execution_window_ms + 1);
    assert!(matches!(
        ApprovedPlan::prove(&incident.id, &proposal, &policy, stale),
        Err(Refusal::ApprovalStale { .. })
    ));
    let stricter =
        Policy { forbidden_tools: BTreeSet::from([ToolName::new("restart_service")]), ..Policy::default() };
    assert!(matches!(
        ApprovedPlan::prove(&incident.id, &proposal, &stricter, now),
        Err(Refusal::Forbidden { .. })
    ));
    proposal.plan.items[0].args_json = r#"{"service":"payments"}"#.into();
    assert!(matches!(
        ApprovedPlan::prove(&incident.id, &proposal, &policy, now),
        Err(Refusal::WrongPlan { .. })
    ));
}

#[test]
fn the_auto_approve_rule_never_covers_destructive() {
    let tools = BTreeSet::from([ToolName::new("purge_expired"), ToolName::new("restart_service")]);
    let policy = Policy { auto_approve: Some(AutoApprove { tools, components_max: 1 }), ..Policy::default() };
    assert_eq!(policy.judge(&plan(ToolCategory::Remediation, 1, 1)).0, approval::Requirement::Auto);
    assert_eq!(policy.judge(&plan(ToolCategory::Destructive, 1, 1)).0, approval::Requirement::TwoApprovers);
}

#[test]
fn not_knowing_leads_to_another_look_while_the_incident_is_young_and_then_to_a_human() {
    let policy = Policy::default();
    let mut incident = opened();
    let mut looks = 0;
    let mut at = 2_000;
    let mut happen = |incident: &mut Incident, kind: EventKind| {
        at += 1_000;
        *incident = advanced(step(incident, &Event { at: TimestampMs(at), kind }, &policy)).next;
    };
    happen(&mut incident, EventKind::AlertsArrived { alerts: vec![alert(1, 1_500)], truncated: 0 });
    while !incident.is_terminal() {
        let effect = incident.phase.awaiting().unwrap().clone();
        happen(
            &mut incident,
            EventKind::Gathered { effect, evidence: vec![], findings: vec![], gaps: vec![] },
        );
        let effect = incident.phase.awaiting().unwrap().clone();
        assert_eq!(incident.iteration, 1, "looking again is not another round");
        let diagnosis = Box::new(diagnosis(1, 0.2, true));
        happen(&mut incident, EventKind::Diagnosed { effect, diagnosis, evidence: vec![] });
        assert_eq!(incident.diagnoses.len(), 1, "the last look of a round is the one that stands");
        looks += 1;
        assert!(looks < 100);
    }
    assert!(looks > 1);
    assert!(matches!(incident.phase, Phase::Escalated { why: EscalationReason::LowConfidence { .. }, .. }));
    assert!(incident.updated_at.since_ms(incident.opened_at) >= policy.patience_ms);
}
