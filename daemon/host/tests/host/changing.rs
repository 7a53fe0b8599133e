//! Changes: what is planned is what is done, once, written down before and after, and taken back.

use std::sync::Arc;

use medic_core::permit::Ground;
use medic_core::{ApprovedPlan, FaultKind};
use medic_host::Host;
use medic_ports::ToolHost;
use medic_ports::tools::{CallFate, RevertOutcome, Snapshot, StepOutcome, ToolHealth, ToolPlan};

use crate::support::guest::{Guest, Step};
use crate::support::server::{Manner, Server};
use crate::support::{NOW, Notes, Setup, approved, permit, to_apply, to_revert};

const NEW: &str = r#"{"timeout_ms":900}"#;
const OLD: &str = r#"{"timeout_ms":500}"#;
const PUT: Step<'_> = (1, "PUT", "shop", "/config", NEW);

/// A host with one changing tool, and the endpoint it changes.
struct Scene {
    host: Host,
    server: Server,
    plan: ToolPlan,
    approved: ApprovedPlan,
    setup: Setup,
}

struct Script {
    category: &'static str,
    steps: Vec<Step<'static>>,
    apply: fn(&mut Guest) -> String,
    revert: fn(&mut Guest) -> String,
    endpoint: &'static str,
    undo: &'static str,
    more: &'static str,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            category: "remediation",
            steps: vec![PUT],
            apply: put,
            revert: |guest| guest.http_change(1, "shop", "/config", OLD),
            endpoint: "receipts = \"/operations/{key}\"\nidempotent = true",
            undo: "put-back",
            more: "",
        }
    }
}

fn put(guest: &mut Guest) -> String {
    guest.http_change(1, "shop", "/config", NEW)
}

impl Script {
    async fn open(self, manner: Manner) -> Scene {
        let server = Server::start(manner).await;
        let mut guest = Guest::new(self.category, "mend");
        let (apply, revert) = ((self.apply)(&mut guest), (self.revert)(&mut guest));
        guest.lifecycle(&self.steps, &apply, &revert);
        let mut setup = Setup::new();
        setup.toml(&server.endpoint("shop", self.endpoint));
        let grant = format!(
            "functions = [\"http-change.send\", \"http-destroy.delete\"]\n{}\n[[plugin.mend.http.allow]]\nendpoints = [\"shop\"]\n\
             methods = [\"GET\", \"PUT\", \"POST\", \"DELETE\"]\npaths = [\"/config\", \"/restart\", \"/expired\"]\nundo = \"{}\"",
            self.more, self.undo
        );
        setup.plugin("mend", self.category, &guest.build(), &grant);
        let host = setup.open().await;
        let plan = host.plan(&permit(&host, "mend", "{}", Ground::Prepare)).await.unwrap();
        let approved = approved(&host, "mend", &plan);
        Scene { host, server, plan, approved, setup }
    }
}

impl Scene {
    async fn apply(&self, notes: &Arc<Notes>) -> StepOutcome {
        self.host.apply(&to_apply(&self.host, "mend", &self.approved, 1), &self.plan, notes.clone()).await
    }
    async fn revert(&self, applied: &Notes, notes: &Arc<Notes>) -> RevertOutcome {
        let permit = to_revert(&self.host, "mend", &self.approved, 1);
        self.host.revert(&permit, &self.plan, &Snapshot::default(), &applied.records(), notes.clone()).await
    }
}

fn failed(outcome: StepOutcome) -> (String, bool) {
    match outcome {
        StepOutcome::Failed { fault, anything_done } => (fault.code, anything_done),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_plan_is_rehearsed_without_a_byte_leaving_and_then_done_in_order() {
    let scene = Script::default().open(Manner::Honest).await;
    assert_eq!(scene.plan.steps[0].target.to_string(), "PUT /config @shop");
    let dry =
        scene.host.dry_run(&permit(&scene.host, "mend", "{}", Ground::DryRun), &scene.plan).await.unwrap();
    assert_eq!(dry.calls.len(), 1);
    assert!(dry.calls[0].reversible && dry.calls[0].target == scene.plan.steps[0].target);
    assert!(scene.server.requests().is_empty());

    let notes = Arc::new(Notes { server: Some(scene.server.clone()), ..Notes::default() });
    let StepOutcome::Applied(report) = scene.apply(&notes).await else { panic!("not applied") };
    assert_eq!(scene.server.config(), NEW);
    assert_eq!(*notes.seen_at_intent.lock().unwrap(), [0], "the intent is written before the change is sent");
    let record = &notes.records()[0];
    assert_eq!(record.pre_image.as_deref(), Some(OLD));
    assert!(record.receipt.as_ref().unwrap().detail_json.contains("\"status\":200"));
    assert_eq!(report.idempotency_keys, std::slice::from_ref(&record.intent.idempotency_key));
    assert_eq!(scene.server.changes()[0].key.as_ref(), Some(&record.intent.idempotency_key));
    let verdict =
        scene.host.verify(&permit(&scene.host, "mend", "{}", Ground::Prepare), &scene.plan, &[report]).await;
    assert_eq!(verdict.unwrap().health, ToolHealth::Healthy);
}

#[tokio::test]
async fn a_call_with_a_receipt_is_answered_from_the_journal() {
    let scene = Script::default().open(Manner::Honest).await;
    let notes = Arc::new(Notes::default());
    assert!(matches!(scene.apply(&notes).await, StepOutcome::Applied(_)));
    scene.server.forget();
    let again = Notes::with(notes.records());
    assert!(matches!(scene.apply(&again).await, StepOutcome::Applied(_)));
    assert!(scene.server.requests().is_empty());
    assert_eq!(again.records(), notes.records());

    let mut drifted = notes.records();
    drifted[0].intent.request_digest = medic_core::Digest::of_bytes(b"another request");
    assert_eq!(failed(scene.apply(&Notes::with(drifted)).await), ("REPLAY_DRIFT".to_owned(), true));
    assert!(scene.server.requests().is_empty());
}

#[tokio::test]
async fn a_call_begun_before_a_crash_is_asked_after_and_never_simply_repeated() {
    let scene = Script::default().open(Manner::Honest).await;
    let notes = Arc::new(Notes::default());
    scene.apply(&notes).await;
    let mut begun = notes.records();
    begun[0].receipt = None;

    // It happened: the endpoint knows the key.
    scene.server.forget();
    let recovered = Notes::with(begun.clone());
    assert!(matches!(scene.apply(&recovered).await, StepOutcome::Applied(_)));
    assert!(scene.server.changes().is_empty());
    assert!(recovered.records()[0].receipt.as_ref().unwrap().detail_json.contains("looked_up"));

    // It did not: the endpoint honours the key, so the same call goes out once more.
    let fresh = Script::default().open(Manner::Honest).await;
    let sent = Notes::with(begun.clone());
    assert!(matches!(fresh.apply(&sent).await, StepOutcome::Applied(_)));
    assert_eq!(fresh.server.changes().len(), 1);
    assert_eq!(fresh.server.changes()[0].key.as_ref(), Some(&begun[0].intent.idempotency_key));

    // Nobody can tell: a human must look.
    let blind = Script { endpoint: "", ..Script::default() }.open(Manner::Honest).await;
    assert!(matches!(blind.apply(&Notes::with(begun.clone())).await, StepOutcome::Unknown { .. }));
    // It says "never seen", and does not promise to tell a late arrival from a repetition.
    let forgetful = Script { endpoint: "receipts = \"/operations/{key}\"", ..Script::default() }
        .open(Manner::Honest)
        .await;
    assert!(matches!(forgetful.apply(&Notes::with(begun)).await, StepOutcome::Unknown { .. }));
    assert!(blind.server.changes().is_empty() && forgetful.server.changes().is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_asked_after_by_its_key() {
    let scene = Script::default().open(Manner::LosesAnswer).await;
    assert!(matches!(scene.apply(&Arc::default()).await, StepOutcome::Applied(_)));
    assert_eq!((scene.server.changes().len(), scene.server.config().as_str()), (1, NEW));

    let scene = Script::default().open(Manner::LosesRequestOnce).await;
    assert!(matches!(scene.apply(&Arc::default()).await, StepOutcome::Applied(_)));
    let keys: Vec<_> = scene.server.changes().into_iter().map(|seen| seen.key).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1], "sent again, it is the same call");

    let scene = Script { endpoint: "", ..Script::default() }.open(Manner::LosesAnswer).await;
    let StepOutcome::Unknown { target, .. } = scene.apply(&Arc::default()).await else {
        panic!("it cannot be known")
    };
    assert_eq!(target, "PUT /config @shop");
    assert_eq!(scene.server.changes().len(), 1);
}

#[tokio::test]
async fn a_refusal_of_the_repeat_does_not_settle_the_first() {
    let scene = Script::default().open(Manner::BusyAfterLoss).await;
    let notes = Arc::new(Notes::default());
    let StepOutcome::Unknown { detail, .. } = scene.apply(&notes).await else {
        panic!("the first may still arrive")
    };
    assert!(detail.contains("409"), "{detail}");
    assert_eq!(scene.server.changes().len(), 2);
    assert!(notes.records()[0].receipt.is_none(), "nothing is known that a restart could rely on");
}

#[tokio::test]
async fn what_the_endpoint_refuses_did_not_happen() {
    let scene = Script::default().open(Manner::Fails(409)).await;
    let notes = Arc::new(Notes::default());
    assert_eq!(failed(scene.apply(&notes).await), ("HTTP_STATUS_409".to_owned(), false));
    assert!(notes.records()[0].receipt.as_ref().unwrap().snapshot_id.is_none());
    let scene = Script::default().open(Manner::Fails(500)).await;
    assert_eq!(
        failed(scene.apply(&Arc::default()).await),
        ("HTTP_STATUS_500".to_owned(), true),
        "half of it may have"
    );
}

#[tokio::test]
async fn nothing_leaves_before_the_intent_is_written_or_without_a_pre_image() {
    let scene = Script::default().open(Manner::Honest).await;
    let notes = Arc::new(Notes { refuse_intents: true, ..Notes::default() });
    assert_eq!(failed(scene.apply(&notes).await), ("DISK_FULL".to_owned(), false));
    assert!(scene.server.changes().is_empty());

    let unread = Script {
        steps: vec![(1, "PUT", "shop", "/restart", NEW)],
        apply: |guest| guest.http_change(1, "shop", "/restart", NEW),
        ..Script::default()
    };
    let scene = unread.open(Manner::Honest).await;
    let notes = Arc::new(Notes::default());
    assert_eq!(failed(scene.apply(&notes).await), ("PRE_IMAGE_UNREADABLE".to_owned(), false));
    assert!(scene.server.changes().is_empty() && notes.records().is_empty());
}

#[tokio::test]
async fn a_tool_that_leaves_its_plan_is_stopped_and_audited() {
    let check = async |apply: fn(&mut Guest) -> String, code: &str, rule: &str| {
        let scene = Script { apply, more: "limits = { mutating-ops = 2 }", ..Script::default() }
            .open(Manner::Honest)
            .await;
        let dry = scene.host.dry_run(&permit(&scene.host, "mend", "{}", Ground::DryRun), &scene.plan).await;
        assert_eq!(dry.unwrap_err().code, code, "the rehearsal already shows it");
        scene.host.take_host_calls();
        assert_eq!(
            failed(scene.apply(&Arc::default()).await),
            (code.to_owned(), !scene.server.changes().is_empty())
        );
        let last = scene.host.take_host_calls().pop().unwrap();
        assert_eq!((last.allowed, last.rule.as_str()), (false, rule));
    };
    check(|guest| guest.http_change(0, "shop", "/restart", ""), "TARGET_OUTSIDE_PLAN", "outside-plan").await;
    check(|guest| guest.http_change(0, "shop", "/config", NEW), "TARGET_OUTSIDE_PLAN", "outside-plan").await;
    check(|guest| guest.http_change(1, "bank", "/config", NEW), "TARGET_OUTSIDE_PLAN", "outside-plan").await;
    check(|guest| guest.http_change(1, "shop", "/config", OLD), "BODY_OUTSIDE_PLAN", "body-outside-plan")
        .await;
    check(
        |guest| format!("{}{}{}", put(guest), put(guest), put(guest)),
        "OPERATIONS_EXHAUSTED",
        "mutating-ops",
    )
    .await;
}

#[tokio::test]
async fn an_endpoint_that_is_not_granted_cannot_be_planned_into_reach() {
    let scene = Script {
        steps: vec![(1, "PUT", "shop", "/secrets", NEW)],
        apply: |guest| guest.http_change(1, "shop", "/secrets", NEW),
        ..Script::default()
    }
    .open(Manner::Honest)
    .await;
    assert_eq!(failed(scene.apply(&Arc::default()).await), ("PATH_NOT_GRANTED".to_owned(), false));
    assert!(scene.server.requests().is_empty());
}

#[tokio::test]
async fn a_tool_takes_its_step_back_under_a_key_of_its_own() {
    let scene = Script::default().open(Manner::Honest).await;
    let (applied, undone) = (Arc::new(Notes::default()), Arc::new(Notes::default()));
    scene.apply(&applied).await;
    let RevertOutcome::Reverted(report) = scene.revert(&applied, &undone).await else {
        panic!("not reverted")
    };
    assert_eq!(scene.server.config(), OLD);
    assert_ne!(report.idempotency_keys[0], applied.records()[0].intent.idempotency_key);
}

#[tokio::test]
async fn where_the_tools_revert_fails_or_does_nothing_the_host_puts_back_what_it_read() {
    for revert in [(|_| "unreachable".to_owned()) as fn(&mut Guest) -> String, |_| String::new()] {
        let scene = Script { revert, ..Script::default() }.open(Manner::Honest).await;
        let (applied, undone) = (Arc::new(Notes::default()), Arc::new(Notes::default()));
        scene.apply(&applied).await;
        assert_eq!(scene.server.config(), NEW);
        let RevertOutcome::Reverted(report) = scene.revert(&applied, &undone).await else {
            panic!("not put back")
        };
        assert_eq!(scene.server.config(), OLD);
        assert!(report.notes.contains("put back 1"), "{}", report.notes);
        scene.server.forget();
        assert!(
            matches!(scene.revert(&applied, &undone).await, RevertOutcome::Reverted(_)),
            "twice is harmless"
        );
        assert!(scene.server.changes().is_empty());
    }
}

#[tokio::test]
async fn what_has_no_way_back_is_said_and_not_hidden() {
    let restart = Script {
        steps: vec![(1, "POST", "shop", "/restart", "null")],
        apply: |guest| guest.http_change(0, "shop", "/restart", ""),
        revert: |_| String::new(),
        undo: "not-needed",
        ..Script::default()
    };
    let scene = restart.open(Manner::Honest).await;
    let applied = Arc::new(Notes::default());
    assert!(matches!(scene.apply(&applied).await, StepOutcome::Applied(_)));
    assert!(matches!(scene.revert(&applied, &Arc::default()).await, RevertOutcome::NothingToRevert { .. }));

    let purge = Script {
        category: "destructive",
        steps: vec![(1, "DELETE", "shop", "/expired", "null")],
        apply: |guest| guest.http_delete("shop", "/expired"),
        undo: "none",
        ..Script::default()
    };
    let scene = purge.open(Manner::Honest).await;
    let dry =
        scene.host.dry_run(&permit(&scene.host, "mend", "{}", Ground::DryRun), &scene.plan).await.unwrap();
    assert!(!dry.calls[0].reversible);
    let applied = Arc::new(Notes::default());
    assert!(matches!(scene.apply(&applied).await, StepOutcome::Applied(_)));
    assert_eq!(scene.server.changes()[0].method, "DELETE");
    assert!(matches!(scene.revert(&applied, &Arc::default()).await, RevertOutcome::NothingToRevert { .. }));
}

#[tokio::test]
async fn a_grant_changed_since_the_plan_voids_it() {
    let mut scene = Script::default().open(Manner::Honest).await;
    let file = scene.setup.folder.path().join("grants.toml");
    let grants = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, grants.replace("\"/restart\", ", "")).unwrap();
    scene.host.reload().await.unwrap();
    assert_eq!(failed(scene.apply(&Arc::default()).await), ("GRANT_CHANGED".to_owned(), false));
    assert!(scene.server.requests().is_empty());
    // Bringing the plan up to date does not help: the approval is for the old grant.
    scene.plan.grant_digest =
        scene.host.plan(&permit(&scene.host, "mend", "{}", Ground::Prepare)).await.unwrap().grant_digest;
    assert_eq!(failed(scene.apply(&Arc::default()).await), ("GRANT_CHANGED".to_owned(), false));
}

#[tokio::test]
async fn an_approval_grown_stale_starts_nothing_and_an_undo_is_still_owed() {
    let scene = Script::default().open(Manner::Honest).await;
    let applied = Arc::new(Notes::default());
    let permit = to_apply(&scene.host, "mend", &scene.approved, 1);
    scene.apply(&applied).await;
    scene.setup.clock.jump_to(NOW.after_ms(3_600_000));
    let late = scene.host.apply(&permit, &scene.plan, Arc::new(Notes::default())).await;
    assert_eq!(failed(late), ("APPROVAL_STALE".to_owned(), false));
    assert_eq!(scene.server.changes().len(), 1);
    assert!(matches!(scene.revert(&applied, &Arc::default()).await, RevertOutcome::Reverted(_)));
    assert_eq!(scene.server.config(), OLD);
}

#[tokio::test]
async fn the_fate_of_a_call_is_the_endpoints_word() {
    let scene = Script::default().open(Manner::Honest).await;
    let notes = Arc::new(Notes::default());
    scene.apply(&notes).await;
    let (permit, mut intent) =
        (to_apply(&scene.host, "mend", &scene.approved, 1), notes.records()[0].intent.clone());
    assert!(matches!(scene.host.fate(&permit, &intent).await, CallFate::Happened { .. }));
    intent.idempotency_key = "medic-never".to_owned();
    assert_eq!(scene.host.fate(&permit, &intent).await, CallFate::NotHappened);
    intent.target.cluster = "bank".to_owned();
    assert!(matches!(scene.host.fate(&permit, &intent).await, CallFate::Unknown { .. }));
}

#[tokio::test]
async fn a_grant_kept_for_later_is_a_trap() {
    // Gives the handle up and then uses it: what a guest that stashed one would hold.
    let stash = |guest: &mut Guest| format!("(call $drop (local.get $grant)) {}", put(guest));
    let scene = Script { apply: stash, ..Script::default() }.open(Manner::Honest).await;
    let StepOutcome::Failed { fault, anything_done: false } = scene.apply(&Arc::default()).await else {
        panic!()
    };
    assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Sandbox, "SANDBOX_TRAP"));
    assert!(scene.server.requests().is_empty());
}
