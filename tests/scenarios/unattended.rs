//! The rule for runs without people: explicit, audited as what it is, and never for what deletes.

use crate::{ALERT, MOMENT, STORY, alone, assert_all, assert_audit_verifies, operations, refusal};
use medic_demo::{LabKind, Person, Stage, StageOptions, account, expectation_of, has_ended, verdict};
use medic_lab::Fault;
use medic_proto::v1;
use serde_json::json;

#[tokio::test]
async fn a_restart_under_the_rule_needs_nobody_and_is_audited_as_the_rules_deed() {
    let _alone = alone().await;
    let stage = Stage::start(StageOptions { auto_approve: true, ..StageOptions::default() }).await.unwrap();
    stage.lab().unwrap().inject(Fault::DependencyDown).await.unwrap();
    let id = stage.first_incident(ALERT).await.unwrap();
    // Nobody says a word here.
    let ended = stage.wait_for(&id, "it has ended", STORY, has_ended).await.unwrap();
    let checks = verdict(&stage, &expectation_of(Fault::DependencyDown), &ended).await.unwrap();
    assert_all(&checks, &ended, &stage);
    assert!(ended.executed[0].approval_ids.iter().all(|id| id.starts_with("auto-")), "{:?}", ended.executed);
    let never_waited = ended.history.iter().all(|line| line.to != "AWAITING_DECISION");
    assert!(never_waited, "{}", account(&ended));
    let audit = stage.client(Person::Viewer).unwrap().audit().await.unwrap();
    let about = |record: &&v1::AuditRecord| record.incident_id.as_deref() == Some(&id);
    let by_rule = audit.iter().filter(about).any(|record| {
        let said = format!("{} {:?} {}", record.kind, record.rule, record.detail_json);
        said.contains("auto")
    });
    assert!(by_rule, "no audit record names the rule");
    assert!(
        audit.iter().filter(about).all(|record| !record.actor.starts_with("token:")),
        "a person is named"
    );
    assert_audit_verifies(stage).await;
}

#[tokio::test]
async fn no_rule_consents_to_a_deletion() {
    let _alone = alone().await;
    // The rule names the tool; it is destructive all the same.
    let overrides = "[policy.auto_approve]\ntools = [\"purge_expired\", \"restart_service\"]".to_owned();
    let options = StageOptions { lab: LabKind::Shop, overrides, ..StageOptions::default() };
    let stage = Stage::start(options).await.unwrap();
    stage.lab().unwrap().inject(Fault::QuotaFull).await.unwrap();
    let alice = stage.client(Person::Alice).unwrap();
    let asked = alice.execute("purge_expired", &json!({ "service": "store" })).await.unwrap();
    let id = asked.proposed_incident_id.unwrap();
    let waits = |seen: &v1::Incident| seen.phase == "AWAITING_DECISION";
    let waiting = stage.wait_for(&id, "its plan waits", MOMENT, waits).await.unwrap();
    let proposal = waiting.proposal.unwrap();
    assert_eq!((proposal.requirement.as_str(), proposal.approvals_missing), ("two_approvers", 2));
    assert_eq!(refusal(alice.approve(&id, &proposal.plan_digest).await).1, "REQUESTER_APPROVES");
    assert!(operations(&stage).await.is_empty());
}
