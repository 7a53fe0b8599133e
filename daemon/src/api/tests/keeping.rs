//! What is carried away and what was set aside, at both doors.

use super::*;
use crate::api::custodian::Custodian;
use medic_core::replay::export::Export;
use medic_core::{Fault, FaultKind};
use medic_ports::Journal as _;
use medic_ports::fake::tools::Course;
use std::path::PathBuf;
use std::sync::Mutex;

/// Remembers where copies were asked for.
#[derive(Default)]
pub struct Copies {
    asked: Mutex<Vec<PathBuf>>,
    fails: Mutex<bool>,
}

#[async_trait::async_trait]
impl Custodian for Copies {
    fn store_id(&self) -> String {
        "store-of-the-house".to_owned()
    }
    async fn backup(&self, to: PathBuf) -> Result<(), Fault> {
        if *self.fails.lock().unwrap() {
            return Err(Fault::new(FaultKind::Storage, "BACKUP_FAILED", "no space"));
        }
        self.asked.lock().unwrap().push(to);
        Ok(())
    }
}

async fn escalated(house: &House) -> String {
    let body = json!({ "title": "checkout is slow", "labels": { "service": "checkout" } });
    let (_, created) = house.post("hook", "/incidents", &body).await;
    let id = created["incident_id"].as_str().unwrap().to_owned();
    let reason = json!({ "reason": "mine" });
    house.post("hook", &format!("/incidents/{id}/escalate"), &reason).await;
    house.until(&id, "ESCALATED").await;
    // A word that comes too late is a decision too.
    house.post("hook", &format!("/incidents/{id}/escalate"), &reason).await;
    id
}

#[tokio::test]
async fn an_exported_incident_replays_and_both_doors_give_the_same_file() {
    let house = House::new().await;
    let id = escalated(&house).await;
    let response = house.ask("vera", Method::GET, &format!("/incidents/{id}/export"), "").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.unwrap();
    let export = Export::read(&text).unwrap();
    let replayed = export.replay().unwrap();
    let (_, incident) = house.get("vera", &format!("/incidents/{id}")).await;
    assert_eq!(incident["revision"], replayed.revisions);
    assert!(replayed.decisions > replayed.revisions, "{replayed:?}");
    assert_eq!(replayed.audit_records, export.audit.len() as u64);

    let mut incidents = v1::incidents_client::IncidentsClient::new(house.channel().await);
    let request = v1::ExportIncidentRequest { incident_id: id.clone() };
    let mut pieces = incidents.export(signed("vera", request)).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.message().await.unwrap() {
        bytes.extend(piece.data);
    }
    // A result that came late may have been decided on since; what was written before is the same.
    let over_grpc = Export::read(std::str::from_utf8(&bytes).unwrap()).unwrap();
    over_grpc.replay().unwrap();
    assert!(over_grpc.decided.starts_with(&export.decided) && over_grpc.audit.starts_with(&export.audit));

    let (status, problem) = house.get("vera", "/incidents/01NOBODY/export").await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("NO_SUCH_INCIDENT")));
    let unknown = v1::ExportIncidentRequest { incident_id: "01NOBODY".into() };
    let refused = incidents.export(signed("vera", unknown)).await.unwrap_err();
    assert_eq!(refused.metadata().get("medic-code").unwrap(), "NO_SUCH_INCIDENT");
    assert_eq!(house.get("", &format!("/incidents/{id}/export")).await.0, StatusCode::UNAUTHORIZED);
    house.stop().await;
}

#[tokio::test]
async fn a_backup_needs_an_admin_and_one_sound_path_and_is_audited_before_it_is_made() {
    let house = House::new().await;
    let body = json!({ "to": "/backup/that/is/not/there" });
    let (status, problem) = house.post("alice", "/store/backup", &body).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("ROLE_TOO_LOW")));
    for (to, code) in [
        ("monday", "INVALID_PATH"),
        ("/backup/../etc", "INVALID_PATH"),
        ("/", "INVALID_PATH"),
        ("/tmp", "BACKUP_EXISTS"),
    ] {
        let (status, problem) = house.post("root", "/store/backup", &json!({ "to": to })).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{to}");
    }
    let audited = || {
        let records = house.journal.audit(1, 10_000).unwrap();
        records.into_iter().filter(|chained| chained.record.kind == "operator").collect::<Vec<_>>()
    };
    assert_eq!(audited().len(), 0);
    assert!(house.copies.asked.lock().unwrap().is_empty());

    let (status, copied) = house.post("root", "/store/backup", &body).await;
    assert_eq!((status, &copied["to"]), (StatusCode::OK, &body["to"]), "{copied}");
    let records = audited();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.record.actor.as_str(), &record.record.detail["to"]), ("token:root", &body["to"]));
    assert!(copied["audit_seq"].as_u64().unwrap() >= record.seq, "the copy holds the record of itself");

    *house.copies.fails.lock().unwrap() = true;
    let mut store = v1::store_client::StoreClient::new(house.channel().await);
    let request = v1::BackupStoreRequest { to: "/backup/that/is/not/there/either".into() };
    let failed = store.backup(signed("root", request)).await.unwrap_err();
    assert_eq!(failed.metadata().get("medic-code").unwrap(), "BACKUP_FAILED");
    assert_eq!(house.copies.asked.lock().unwrap().len(), 1);
    house.stop().await;
}

/// An incident whose step panicked three times; the dead letter's id.
async fn dead_letter(house: &House) -> String {
    house.break_checkout();
    for _ in 0..3 {
        house.tools.next_apply("rollback_config", Course::Panic);
    }
    let delivery = house.delivery().to_string();
    house.ask("hook", Method::POST, "/webhooks/alertmanager", delivery).await;
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let (_, listed) = house.get("vera", "/incidents?phase=AWAITING_DECISION").await;
            if let Some(id) = listed["incidents"][0]["id"].as_str() {
                let (_, incident) = house.get("vera", &format!("/incidents/{id}")).await;
                let body = json!({ "plan_digest": incident["proposal"]["plan_digest"] });
                house.post("alice", &format!("/incidents/{id}/approve"), &body).await;
            }
            let (_, view) = house.get("vera", "/mailboxes").await;
            if let Some(letter) = view["dead"][0]["id"].as_str() {
                return letter.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("a letter dies")
}

#[tokio::test]
async fn dead_letters_are_listed_and_shown_to_all_and_dropped_by_approvers_only() {
    let house = House::new().await;
    let letter = dead_letter(&house).await;
    let (_, view) = house.get("vera", "/mailboxes?mailbox=executor").await;
    assert_eq!((&view["dead_letters"], &view["dead"][0]["mailbox"]), (&json!(1), &json!("executor")));
    assert_eq!(view["dead"][0]["letter"], Value::Null, "a list tells no letter's text");
    assert_eq!(view["waiting"], json!([]));
    let (status, problem) = house.get("vera", "/mailboxes?mailbox=nobody").await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_NAME")));

    let path = format!("/mailboxes/dead/{}", letter.replace('/', "%2F"));
    let (_, shown) = house.get("vera", &path).await;
    assert_eq!(shown["letter"]["body"]["mail"], "order", "{shown}");
    assert!(shown["error"].as_str().unwrap().starts_with("panicked"), "{shown}");

    let (status, problem) = house.post("hook", &format!("{path}/retry"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("ROLE_TOO_LOW")));
    let (status, problem) = house.post("alice", &format!("{path}/drop"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("MISSING_FIELD")));

    let mut mailboxes = v1::mailboxes_client::MailboxesClient::new(house.channel().await);
    let request = v1::DropLetterRequest { id: letter.clone(), reason: "done by hand".into() };
    let refused = mailboxes.drop(signed("hook", request.clone())).await.unwrap_err();
    assert_eq!(refused.metadata().get("medic-code").unwrap(), "ROLE_TOO_LOW");
    let dropped = mailboxes.drop(signed("alice", request.clone())).await.unwrap().into_inner();
    assert_eq!((dropped.id, dropped.mailbox.as_str()), (letter.clone(), "executor"));
    let gone = mailboxes.drop(signed("alice", request)).await.unwrap_err();
    assert_eq!(gone.metadata().get("medic-code").unwrap(), "NO_SUCH_LETTER");
    assert_eq!(house.get("vera", &path).await.0, StatusCode::NOT_FOUND);
    let records = house.journal.audit(1, 10_000).unwrap();
    let record = records.iter().find(|chained| chained.record.kind == "mailbox").unwrap();
    assert_eq!(
        (record.record.actor.as_str(), &record.record.detail["deed"]),
        ("token:alice", &json!("drop"))
    );
    house.stop().await;
}

#[tokio::test]
async fn a_letter_sent_again_leaves_the_dead_ones_and_says_who_wanted_it() {
    let house = House::new().await;
    let path = format!("/mailboxes/dead/{}/retry", dead_letter(&house).await.replace('/', "%2F"));
    let (status, sent) = house.post("bob", &path, &json!({})).await;
    assert_eq!((status, &sent["mailbox"]), (StatusCode::OK, &json!("executor")), "{sent}");
    assert_eq!(house.get("vera", "/mailboxes").await.1["dead_letters"], 0);
    let (status, problem) = house.post("bob", &path, &json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("NO_SUCH_LETTER")));
    let records = house.journal.audit(1, 10_000).unwrap();
    let record = records.iter().find(|chained| chained.record.kind == "mailbox").unwrap();
    assert_eq!((record.record.actor.as_str(), &record.record.detail["deed"]), ("token:bob", &json!("retry")));
    house.stop().await;
}

#[tokio::test]
async fn readiness_names_the_condition_and_asks_nobody() {
    let house = House::new().await;
    // A Prometheus that never answers holds no probe.
    house.metrics.hang("");
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let probe = tokio::time::timeout(Duration::from_millis(900), house.get("", "/readyz"));
            let (status, known) = probe.await.expect("a probe is answered at once");
            if status == StatusCode::OK {
                return known;
            }
        }
    });
    assert_eq!(waited.await.expect("it becomes ready")["ready"], true);
    house.journal.set_low_space(true);
    let (status, known) = house.get("", "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(known["because"].as_str().unwrap().starts_with("STORE_LOW_SPACE"), "{known}");
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let (_, status) = house.get("vera", "/status").await;
            if let Some(condition) =
                status["conditions"].as_array().unwrap().iter().find(|c| c["code"] == "STORE_LOW_SPACE")
            {
                return condition.clone();
            }
        }
    });
    let condition = waited.await.unwrap();
    assert!(condition["since_ms"].as_u64().unwrap() >= START_MS && condition["healed_at_ms"].is_null());
    assert!(condition["meaning"].as_str().unwrap().contains("alerts are refused"), "{condition}");
    let (_, page) = house.get("vera", "/metrics").await;
    let page = page.as_str().unwrap().to_owned();
    for line in [
        "medic_condition{code=\"STORE_LOW_SPACE\"} 1",
        "medic_condition{code=\"SAFE_MODE\"} 0",
        "medic_ready 0",
        "medic_open_effects 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
    }
    // What the shipped alert rules speak of is there.
    let rules = include_str!("../../../../examples/config/medic-alerts.yml");
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).flat_map(|expression| {
        expression
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("medic_"))
    });
    let mut spoken_of = 0;
    for name in names {
        assert!(page.contains(&format!("# TYPE {name} ")), "{name} is not measured");
        spoken_of += 1;
    }
    assert!(spoken_of > 10, "{spoken_of}: the rules are read wrongly");
    house.journal.set_low_space(false);
    house.stop().await;
}
