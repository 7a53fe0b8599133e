//! Whole incidents through the agents, over scripted twins of the world: seconds, no sleeping, no network.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may be blunt"
)]

#[path = "stories/careful.rs"]
mod careful;
#[path = "stories/clock.rs"]
mod clock;
#[path = "stories/decisions.rs"]
mod decisions;
#[path = "stories/degraded.rs"]
mod degraded;
#[path = "stories/disk.rs"]
mod disk;
#[path = "stories/hung.rs"]
mod hung;
#[path = "stories/mailbox.rs"]
mod mailbox;
#[path = "stories/origin.rs"]
mod origin;
#[path = "stories/restored.rs"]
mod restored;
#[path = "stories/scene.rs"]
mod scene;
#[path = "stories/storm.rs"]
mod storm;
#[path = "stories/withdrawn.rs"]
mod withdrawn;

use medic_agents::desk::DeskError;
use medic_core::audit::ChainVerifier;
use medic_core::phase::{PhaseName, Resolution};
use medic_core::policy::AutoApprove;
use medic_core::{EscalationReason, EventKind, Phase, Policy, Principal, Refusal, ToolName};
use medic_ports::fake::tools::{Course, ToolAct};
use medic_ports::journal::{IncidentFilter, Journal as _};
use scene::Scene;

#[tokio::test(start_paused = true)]
async fn an_alert_is_diagnosed_approved_remedied_and_verified() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    let waiting = scene.reach(&id, PhaseName::AwaitingDecision).await;
    let best = waiting.diagnosis().unwrap().concluded().unwrap();
    assert_eq!((best.component.as_str(), best.category.as_str()), ("checkout", "bad-config"));
    assert!(best.supporting.iter().all(|c| waiting.find_evidence(&c.evidence).is_some()));
    assert!(scene.tools.deeds().is_empty(), "nothing is done before consent");

    scene.heal_on_deed();
    scene.approve(&id, "token:alice").await.unwrap();
    let done = scene.reach(&id, PhaseName::Resolved).await;
    assert!(matches!(done.phase, Phase::Resolved { how: Resolution::Remedied, .. }), "{:?}", done.phase);
    assert_eq!(scene.tools.deeds().len(), 1);
    let [action] = done.executed.as_slice() else { panic!("{:?}", done.executed) };
    assert_eq!(action.tool, ToolName::new("rollback_config"));
    assert_eq!(action.outcome, "applied");
    assert_eq!(action.approvals.len(), 1);
    scene.audit_holds();
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_escalated_and_nothing_is_done() {
    let scene = Scene::new().await;
    let id = scene.alert("SomethingOdd", "checkout").await;
    let end = scene.reach(&id, PhaseName::Escalated).await;
    assert!(
        matches!(&end.phase, Phase::Escalated { why: EscalationReason::LowConfidence { .. }, .. }),
        "{:?}",
        end.phase
    );
    assert!(scene.tools.acts().is_empty());
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_remedy_that_does_not_help_is_rolled_back_verified_and_not_proposed_again() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.approve(&id, "token:alice").await.unwrap();
    let end = scene.reach(&id, PhaseName::Escalated).await;
    let deeds = scene.tools.deeds();
    assert_eq!(deeds.iter().map(|deed| deed.reverting).collect::<Vec<_>>(), [false, true]);
    assert!(end.history.iter().any(|line| line.why.contains("read again and equal")), "{:#?}", end.history);
    let [failed] = end.failed_remedies.as_slice() else { panic!("{:?}", end.failed_remedies) };
    assert!(failed.rolled_back);
    let critiques = &end.diagnosis().unwrap().critiques;
    assert!(critiques.iter().any(|critique| critique.text.contains("did not help")), "{critiques:?}");
    scene.audit_holds();
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_world_having_drifted_since_the_plan_fails_closed() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.tools.drift("rollback_config", b"somebody else was here");
    scene.approve(&id, "token:alice").await.unwrap();
    // A fresh look makes a fresh plan, which needs its own consent.
    let again = scene.reach(&id, PhaseName::AwaitingDecision).await;
    assert!(scene.tools.deeds().is_empty());
    assert!(
        again.executed.iter().any(|action| action.detail.contains("not as it was")),
        "{:?}",
        again.executed
    );
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn forty_alerts_of_one_outage_are_one_incident_and_one_diagnosis() {
    let scene = Scene::new().await;
    scene.break_checkout();
    for n in 0..40 {
        scene.deliver(&[scene.firing(&format!("Alert{n}"), "checkout", 1)]).await;
    }
    let all = scene
        .settled(|scene| {
            let all = scene.journal.incidents(&IncidentFilter { limit: 10, ..Default::default() }).unwrap();
            (all.iter().map(|incident| incident.alerts.len()).sum::<usize>() == 40).then_some(all)
        })
        .await;
    assert_eq!(all.len(), 1);
    let waiting = scene.reach(&all[0].id, PhaseName::AwaitingDecision).await;
    assert_eq!(waiting.diagnoses.len(), 1);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_alert_resolving_by_itself_withdraws_the_proposal() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.deliver(&[scene.resolved("HighErrorRate", "checkout", 1)]).await;
    let end = scene.reach(&id, PhaseName::Resolved).await;
    assert!(matches!(end.phase, Phase::Resolved { how: Resolution::ByItself, .. }));
    assert!(matches!(
        scene.approve_digest(&id, "token:alice", &"0".repeat(64)).await,
        Err(DeskError::Refused(Refusal::WrongPhase { .. }))
    ));
    assert!(scene.tools.deeds().is_empty());
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_deciding_escalates_also_across_a_restart() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    let lifetime_ms = Policy::default().approval_lifetime_ms;
    scene.clock.advance(lifetime_ms / 2);
    let scene = scene.crash().await;
    assert_eq!(scene.incident(&id).phase.name(), PhaseName::AwaitingDecision);
    scene.clock.advance(lifetime_ms / 2 + 1_000);
    let end = scene.reach(&id, PhaseName::Escalated).await;
    assert!(matches!(&end.phase, Phase::Escalated { why: EscalationReason::ApprovalTimeout { .. }, .. }));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_retried_request_is_answered_as_the_first_was() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.heal_on_deed();
    let first = scene.approve_as(&id, "token:alice", Some("r1")).await.unwrap();
    scene.reach(&id, PhaseName::Resolved).await;
    let scene = scene.crash().await;
    let kind = EventKind::Rejected { by: Principal::new("token:alice"), reason: "another word".into() };
    // Another word under the same id is another request; the same word is the same.
    let other = scene.desk().tell(&id, kind, "test", Principal::new("token:alice"), Some("r1".into())).await;
    assert!(matches!(other, Err(DeskError::Refused(Refusal::WrongPhase { .. }))), "{other:?}");
    assert_eq!(scene.approve_as_known(&id, "token:alice", "r1", &first.0).await.unwrap(), first.1);
    assert_eq!(scene.tools.deeds().len(), 1);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_auto_approve_rule_acts_without_a_human_and_says_so() {
    let tools = [ToolName::new("rollback_config")].into();
    let policy = Policy { auto_approve: Some(AutoApprove { tools, components_max: 1 }), ..Policy::default() };
    let scene = Scene::with(policy).await;
    scene.break_checkout();
    scene.heal_on_deed();
    let id = scene.alert("HighErrorRate", "checkout").await;
    let end = scene.reach(&id, PhaseName::Resolved).await;
    assert!(end.executed[0].approvals[0].as_str().starts_with("auto-"));
    let records = scene.journal.audit(1, 10_000).unwrap();
    assert!(records.iter().any(|r| r.record.actor == "policy:auto-approve" && r.record.kind == "approval"));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_panics_the_executor_is_set_aside_and_the_rest_goes_on() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    for _ in 0..3 {
        scene.tools.next_apply("rollback_config", Course::Panic);
    }
    scene.approve(&id, "token:alice").await.unwrap();
    let end = scene.reach(&id, PhaseName::Escalated).await;
    assert!(
        matches!(&end.phase, Phase::Escalated { why: EscalationReason::DeadLetter { .. }, .. }),
        "{:?}",
        end.phase
    );
    assert!(scene.desk().status().unwrap().safe_mode.is_none());
    assert_eq!(scene.journal.dead_letters(10).unwrap().len(), 1);
    // The executor is alive: another incident is planned for.
    scene.clock.advance(3_600_000);
    scene.break_checkout();
    let other = scene.alert_at("HighErrorRate", "checkout", 3_600_000).await;
    scene.reach(&other, PhaseName::AwaitingDecision).await;
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_failure_freezes_changes_and_says_why() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    let waiting = scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.journal.fail_writes();
    let Phase::AwaitingDecision { proposal } = &waiting.phase else { panic!() };
    let told = scene.approve_digest(&id, "token:alice", proposal.digest.as_str()).await;
    assert!(matches!(told, Err(DeskError::Unavailable { code: "STORE_FAILED", .. })), "{told:?}");
    assert!(!scene.desk().status().unwrap().journal.writable);
    assert!(scene.tools.deeds().is_empty());
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hung_model_or_its_nonsense_changes_nothing_but_the_note() {
    for (answer, expected) in [
        (None, "MODEL_TIMEOUT"),
        (Some("I am sorry, I cannot".to_owned()), "MODEL_MALFORMED"),
        (
            Some(r#"{"hypotheses":[{"component":"prod-db","category":"bad-config","statement":"x","evidence":["e1-1"]},{"component":"checkout","category":"delete-everything","statement":"x","evidence":["e1-1"]},{"component":"checkout","category":"latency","statement":"x","evidence":["e9-99"]}],"comment":"run purge_expired now"}"#.to_owned()),
            "fake: run purge_expired now",
        ),
    ] {
        let scene = Scene::with_model(answer.clone()).await;
        scene.break_checkout();
        let id = scene.alert("HighErrorRate", "checkout").await;
        let waiting = scene.reach(&id, PhaseName::AwaitingDecision).await;
        let diagnosis = waiting.diagnosis().unwrap();
        assert!(diagnosis.model_note.as_ref().unwrap().contains(expected), "{:?}", diagnosis.model_note);
        assert_eq!(diagnosis.concluded().unwrap().category, "bad-config");
        assert!(diagnosis.hypotheses.iter().all(|h| h.component.as_str() != "prod-db"));
        let Phase::AwaitingDecision { proposal } = &waiting.phase else { panic!() };
        assert_eq!(proposal.plan.items[0].tool, ToolName::new("rollback_config"));
        if answer.as_ref().is_some_and(|text| text.contains("prod-db")) {
            let dropped = diagnosis.critiques.iter().filter(|c| c.text.starts_with("dropped from the model")).count();
            assert!(dropped >= 3, "{:?}", diagnosis.critiques);
        }
        scene.stop().await;
    }
}

/// The daemon dies after every single write of a whole story, in turn; each time the next life brings it to its end.
#[tokio::test(start_paused = true)]
async fn dying_after_any_write_loses_nothing_and_does_nothing_twice() {
    let whole = {
        let scene = Scene::new().await;
        story(&scene).await;
        let writes = scene.journal.commit_seq();
        scene.stop().await;
        writes
    };
    assert!(whole > 15, "the story is too short to prove anything: {whole} writes");
    let mut escalated = 0;
    for writes in 1..whole {
        let scene = Scene::new().await;
        scene.journal.stop_after(writes);
        scene.break_checkout();
        scene.heal_on_deed();
        let first_life = async {
            scene.try_alert("HighErrorRate", "checkout").await?;
            let id = scene.try_reach(PhaseName::AwaitingDecision).await?;
            let acknowledged = scene.approve(&id, "token:alice").await.is_ok();
            let end = scene.try_end(&id).await;
            Some((id, acknowledged, end))
        };
        let known = first_life.await;
        let scene = scene.crash().await;
        // Alertmanager delivers again until it was answered; the operator looks again and decides if it is still asked.
        let end = scene.finish("HighErrorRate", "checkout", "token:alice").await;
        let keys: std::collections::BTreeSet<_> =
            scene.tools.deeds().iter().map(|deed| deed.idempotency_key.clone()).collect();
        assert_eq!(keys.len(), scene.tools.deeds().len(), "after {writes} writes a deed was done twice");
        let approvals =
            scene.journal.audit(1, 10_000).unwrap().iter().filter(|r| r.record.kind == "approval").count();
        match &end.phase {
            Phase::Resolved { .. } => {
                assert_eq!(scene.tools.deeds().len(), 1, "after {writes} writes");
                assert_eq!(approvals, 1, "after {writes} writes");
            }
            Phase::Escalated { why: EscalationReason::UnknownOutcome { .. }, .. } => escalated += 1,
            other => panic!("after {writes} writes the story ended as {other:?}; known {known:?}"),
        }
        let incidents = scene.journal.incidents(&IncidentFilter { limit: 10, ..Default::default() }).unwrap();
        assert_eq!(incidents.len(), 1, "after {writes} writes");
        scene.audit_holds();
        scene.stop().await;
    }
    // A crash between deed and receipt may end with a human, but not every crash may.
    assert!(escalated * 4 < whole, "{escalated} of {whole} crashes ended in an escalation");
}

async fn story(scene: &Scene) {
    scene.break_checkout();
    scene.heal_on_deed();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.approve(&id, "token:alice").await.unwrap();
    scene.reach(&id, PhaseName::Resolved).await;
}

/// A deed whose answer is lost, with an endpoint that cannot say what became of it, is for a human to look at.
#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_never_run_again() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.tools.next_apply("rollback_config", Course::LoseCall);
    scene.approve(&id, "token:alice").await.unwrap();
    let end = scene.reach(&id, PhaseName::Escalated).await;
    let Phase::Escalated { why: EscalationReason::UnknownOutcome { target, .. }, .. } = &end.phase else {
        panic!("{:?}", end.phase)
    };
    assert!(target.contains("/admin/rollback_config"), "{target}");
    let applies = scene.tools.acts().iter().filter(|act| matches!(act, ToolAct::Apply { .. })).count();
    assert_eq!(applies, 1);
    scene.stop().await;
}

fn verify(records: &[medic_core::audit::ChainedRecord]) {
    let mut verifier = ChainVerifier::default();
    records.iter().try_for_each(|record| verifier.push(record)).unwrap();
}
