//! Who may consent to what, and until when.

use crate::{ALERT, MOMENT, alone, operations, refusal};
use medic_demo::{LabKind, Person, Stage, StageOptions};
use medic_lab::{Fault, Service};
use medic_proto::v1;
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The shop alone: what is proposed here is not verified, so Prometheus has nothing to say.
async fn shop(overrides: &str) -> Stage {
    let overrides = overrides.to_owned();
    Stage::start(StageOptions { lab: LabKind::Shop, overrides, ..StageOptions::default() }).await.unwrap()
}

/// Asks for a change as `person`; gives the incident and the plan that waits under it.
async fn propose(stage: &Stage, person: Person, tool: &str, service: Service) -> (String, v1::Proposal) {
    let asked =
        stage.client(person).unwrap().execute(tool, &json!({ "service": service.name() })).await.unwrap();
    let id = asked.proposed_incident_id.unwrap();
    let incident = stage
        .wait_for(&id, "its plan waits", MOMENT, |seen| seen.phase == "AWAITING_DECISION")
        .await
        .unwrap();
    (id, incident.proposal.unwrap())
}

#[tokio::test]
async fn what_deletes_needs_two_people_and_never_the_one_who_asked() {
    let _alone = alone().await;
    let mut stage = shop("").await;
    stage.lab().unwrap().inject(Fault::QuotaFull).await.unwrap();
    let (id, proposal) = propose(&stage, Person::Carol, "purge_expired", Service::Store).await;
    assert_eq!((proposal.requirement.as_str(), proposal.approvals_missing), ("two_approvers", 2));
    assert_eq!(proposal.requester.as_deref(), Some("token:carol"));
    let plan = proposal.plan_digest;

    let approve =
        async |stage: &Stage, person, plan: &str| stage.client(person).unwrap().approve(&id, plan).await;
    assert_eq!(refusal(approve(&stage, Person::Carol, &plan).await), (403, "REQUESTER_APPROVES".to_owned()));
    assert_eq!(refusal(approve(&stage, Person::Viewer, &plan).await), (403, "ROLE_TOO_LOW".to_owned()));
    assert_eq!(refusal(approve(&stage, Person::Webhook, &plan).await), (403, "ROLE_TOO_LOW".to_owned()));
    let other = format!("sha256:{}", "0".repeat(64));
    assert_eq!(refusal(approve(&stage, Person::Alice, &other).await), (409, "WRONG_PLAN".to_owned()));

    approve(&stage, Person::Alice, &plan).await.unwrap();
    assert_eq!(refusal(approve(&stage, Person::Alice, &plan).await), (409, "DUPLICATE_APPROVER".to_owned()));
    assert!(operations(&stage).await.is_empty(), "one person's word is not enough");

    // What was said is not forgotten when the daemon dies.
    stage.kill9().unwrap();
    stage.restart().await.unwrap();
    let after = stage.incident(&id).await.unwrap().proposal.unwrap();
    assert_eq!((after.plan_digest.as_str(), after.approvals_missing), (plan.as_str(), 1));
    assert_eq!(refusal(approve(&stage, Person::Alice, &plan).await), (409, "DUPLICATE_APPROVER".to_owned()));
    assert!(operations(&stage).await.is_empty());

    approve(&stage, Person::Bob, &plan).await.unwrap();
    let done = stage.wait_for(&id, "it is executed", MOMENT, |seen| !seen.executed.is_empty()).await.unwrap();
    assert_eq!(done.executed[0].outcome, "applied", "{}", medic_demo::account(&done));
    assert_eq!(done.executed[0].approval_ids.len(), 2);
    let operations = operations(&stage).await;
    assert_eq!(operations.len(), 1, "{operations:?}");
    let (service, operation) = &operations[0];
    assert_eq!((*service, operation.method.as_str()), (Service::Store, "DELETE"));
    assert_eq!(operation.path, "/admin/storage/expired");
}

#[tokio::test]
async fn an_approval_that_comes_after_its_time_never_counts_also_when_the_daemon_was_down() {
    let _alone = alone().await;
    let mut stage = shop("[policy]\napproval_lifetime_ms = 3000").await;
    let (id, proposal) = propose(&stage, Person::Alice, "restart_service", Service::Payments).await;
    stage.kill9().unwrap();
    crate::until("the approval's time is over", MOMENT, async || now_ms() > proposal.expires_at_ms).await;
    stage.restart().await.unwrap();
    let ended = stage.wait_for(&id, "it is escalated", MOMENT, medic_demo::has_ended).await.unwrap();
    assert_eq!(ended.escalation.unwrap().code, "APPROVAL_TIMEOUT");
    let late = stage.client(Person::Bob).unwrap().approve(&id, &proposal.plan_digest).await;
    assert_eq!(refusal(late).0, 409);
    assert!(operations(&stage).await.is_empty(), "nothing is done without consent");
}

#[tokio::test]
async fn a_plan_that_is_rejected_is_never_carried_out() {
    let _alone = alone().await;
    let stage = shop("").await;
    let (id, proposal) = propose(&stage, Person::Alice, "restart_service", Service::Payments).await;
    stage.client(Person::Bob).unwrap().reject(&id, "not tonight").await.unwrap();
    let ended = stage.wait_for(&id, "it is escalated", ALERT, medic_demo::has_ended).await.unwrap();
    assert_eq!(ended.escalation.unwrap().code, "REJECTED");
    let late = stage.client(Person::Bob).unwrap().approve(&id, &proposal.plan_digest).await;
    assert_eq!(refusal(late).0, 409);
    assert!(operations(&stage).await.is_empty());
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_millis() as u64
}
