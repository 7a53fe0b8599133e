//! What every [`Journal`] owes its callers, as checks that any engine can be put through.
//!
//! A store runs [`all`] in a test of its own, over a [`JournalMaker`]; the twin in memory runs the same. Knows no engine:
//! only what the port says.

#![allow(
    clippy::unwrap_used,
    reason = "these are tests that other crates' tests call: they fail by panicking"
)]

mod openings;
mod records;

use crate::journal::{
    Batch, DeadLetter, DocumentWrite, DueTimer, EffectRecord, EffectState, IncidentFilter, IncidentWrite,
    Journal, JournalError, Retry, Slot, Table,
};
use async_trait::async_trait;
use medic_core::audit::{AuditRecord, ChainVerifier};
use medic_core::effect::{TimerChange, TimerKind};
use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Causation, Envelope, Lane, Letter, Opening};
use medic_core::phase::Resolution;
use medic_core::replay::{Decided, Decision, Outcome};
use medic_core::{
    AlertBatch, Digest, EffectId, EnvelopeId, Event, Incident, IncidentId, Phase, PhaseName, TimestampMs,
};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// Makes the journals that are checked.
#[async_trait]
pub trait JournalMaker: Send + Sync {
    type Journal: Journal;
    /// A fresh, empty journal whose mailboxes take `envelopes_max` envelopes each, some of that room kept for internal
    /// mail.
    async fn make(&self, envelopes_max: u64) -> Self::Journal;
    /// The journal that was made last, closed and opened again.
    async fn reopen(&self, journal: Self::Journal) -> Self::Journal;
    /// The journal that was made last, ended by a kill and opened again.
    async fn crash(&self, journal: Self::Journal) -> Self::Journal;
    /// A copy of the journal that was made last, put back and opened for the first time.
    async fn restore(&self, journal: Self::Journal) -> Self::Journal;
}

/// Runs every check, each on a journal of its own.
///
/// # Panics
/// With the first promise that is not kept.
pub async fn all<M: JournalMaker>(maker: &M) {
    const ROOMY: u64 = 1_000;
    mail_keeps_lane_order_and_content(&maker.make(ROOMY).await).await;
    consumed_mail_is_gone_and_no_other(&maker.make(ROOMY).await).await;
    known_dedup_key_is_acknowledged_and_not_stored_again(maker, maker.make(ROOMY).await).await;
    revision_conflict_writes_nothing(&maker.make(ROOMY).await).await;
    only_one_of_two_writes_on_a_revision_wins(&maker.make(ROOMY).await).await;
    batch_survives_reopening_whole(maker, maker.make(ROOMY).await).await;
    full_mailbox_refuses_outside_mail_before_internal(&maker.make(10).await).await;
    refused_enqueue_stores_none_of_its_letters(&maker.make(10).await).await;
    refused_internal_letter_refuses_its_whole_batch(&maker.make(10).await).await;
    retry_puts_off_and_counts(&maker.make(ROOMY).await).await;
    dead_letter_leaves_its_mailbox(&maker.make(ROOMY).await).await;
    timers_come_due_in_order_and_are_replaced_by_kind(&maker.make(ROOMY).await).await;
    timer_set_anew_survives_the_firing_of_the_old_one(&maker.make(ROOMY).await).await;
    documents_are_kept_by_table_and_key(&maker.make(ROOMY).await).await;
    a_dedup_key_is_known_in_its_own_mailbox_alone(&maker.make(ROOMY).await).await;
    what_is_gone_is_handled_no_second_time(&maker.make(ROOMY).await).await;
    an_approval_finds_room_where_nothing_else_does(&maker.make(20).await).await;
    records::all(maker, ROOMY).await;
    openings::all(maker, ROOMY).await;
    audit_records_form_one_verifiable_chain(&maker.make(ROOMY).await).await;
    arrival_is_told_to_the_recipient_alone_and_kept(&maker.make(ROOMY).await).await;
    changes_tell_which_revision_entered_a_phase(&maker.make(ROOMY).await).await;
    incidents_are_listed_newest_first_and_filtered(&maker.make(ROOMY).await).await;
    health_counts_what_lies_in_the_mailboxes(&maker.make(ROOMY).await).await;
}

/// A small letter named `name`: its id, its dedup key and its group key.
pub fn letter(name: &str, to: Address, lane: Lane) -> Letter {
    Letter {
        id: EnvelopeId::from(name),
        to,
        lane,
        cause: Causation::Outside { door: "webhook".to_owned(), principal: None },
        at: TimestampMs(1_000),
        dedup: format!("key of {name}"),
        body: Body::Alerts {
            batch: AlertBatch { group_key: name.to_owned(), alerts: Vec::new(), truncated: 0 },
            displaced: false,
        },
    }
}

/// An incident at `revision`, freshly received.
pub fn incident(id: &str, revision: u64) -> Incident {
    let opening = Opening { group: "cluster=\"lab\"".to_owned(), title: format!("incident {id}") };
    Incident { revision, ..Incident::open(IncidentId::from(id), opening, TimestampMs(1_000)) }
}

fn opened(id: &str) -> IncidentWrite {
    IncidentWrite { next: incident(id, 1), expected_revision: None }
}

fn record(subject: &str) -> AuditRecord {
    AuditRecord {
        at: TimestampMs(1_000),
        incident: None,
        actor: "supervisor".to_owned(),
        kind: "phase".to_owned(),
        subject: subject.to_owned(),
        rule: None,
        detail: serde_json::json!({ "b": 1, "a": [true, null, "text"] }),
    }
}

/// The decision that brought `incident` to `revision`.
pub fn decided(incident: &str, revision: u64) -> Decided {
    let decision = Decision {
        incident: IncidentId::from(incident),
        envelope: EnvelopeId::new(format!("{incident}-{revision}")),
        cause: Causation::Timer,
        opens: None,
        event: Event { at: TimestampMs(1_000), kind: EventKind::AlertsRepeated { fingerprints: Vec::new() } },
        policy: Digest::of_bytes(b"policy"),
        outcome: Outcome::Advanced {
            revision,
            effects: Digest::of_bytes(b"effects"),
            records: Digest::of_bytes(b"records"),
        },
    };
    Decided {
        decisions: vec![decision],
        state: Digest::of_bytes(&revision.to_be_bytes()),
        phase: PhaseName::GatheringInfo,
    }
}

fn effect(index: u32, state: EffectState) -> EffectRecord {
    let id = EffectId { incident: IncidentId::from("i1"), revision: 3, index };
    EffectRecord { id, state, at: TimestampMs(5), calls: Vec::new(), detail: format!("{state:?}") }
}

fn names(mail: &[Envelope]) -> Vec<&str> {
    mail.iter().map(|envelope| envelope.id.as_str()).collect()
}

fn lane<J: Journal>(journal: &J, to: Address, lane: Lane) -> Vec<Envelope> {
    journal.mail(to, lane, 0, 1_000).unwrap()
}

fn depth<J: Journal>(journal: &J, to: Address) -> u64 {
    journal.health().mailboxes.iter().filter(|depth| depth.to == to).map(|depth| depth.envelopes).sum()
}

async fn mail_keeps_lane_order_and_content<J: Journal>(journal: &J) {
    let sent = [
        letter("a", Address::Monitor, Lane::Normal),
        letter("b", Address::Monitor, Lane::Control),
        letter("c", Address::Monitor, Lane::Normal),
        letter("d", Address::Executor, Lane::Normal),
    ];
    let accepted = journal.enqueue(sent.to_vec()).await.unwrap();
    assert!(
        accepted.iter().zip(&sent).all(|(accepted, letter)| accepted.id == letter.id && !accepted.duplicate)
    );
    let inside = Batch { letters: vec![letter("e", Address::Monitor, Lane::Normal)], ..Batch::default() };
    assert_eq!(journal.commit(inside).await.unwrap().accepted.len(), 1);

    let normal = lane(journal, Address::Monitor, Lane::Normal);
    assert_eq!(names(&normal), ["a", "c", "e"]);
    assert!(normal.is_sorted_by(|a, b| a.seq < b.seq), "places in a lane grow strictly");
    assert_eq!(names(&lane(journal, Address::Monitor, Lane::Control)), ["b"]);
    assert_eq!(names(&lane(journal, Address::Executor, Lane::Normal)), ["d"]);
    assert_eq!(names(&lane(journal, Address::Executor, Lane::Approval)), [] as [&str; 0]);

    let first = normal.first().unwrap();
    let [letter, ..] = &sent;
    assert_eq!((first.to, first.lane, first.attempts), (letter.to, letter.lane, 0));
    assert_eq!((first.at, first.visible_at), (letter.at, letter.at));
    assert_eq!((&first.cause, &first.body), (&letter.cause, &letter.body));

    let second = normal.get(1).unwrap();
    assert_eq!(names(&journal.mail(Address::Monitor, Lane::Normal, second.seq, 1).unwrap()), ["c"]);
    assert_eq!(names(&journal.mail(Address::Monitor, Lane::Normal, second.seq + 1, 9).unwrap()), ["e"]);
}

async fn consumed_mail_is_gone_and_no_other<J: Journal>(journal: &J) {
    let letters = ["a", "b", "c"].map(|name| letter(name, Address::Diagnoser, Lane::Normal));
    journal.enqueue(letters.to_vec()).await.unwrap();
    let mail = lane(journal, Address::Diagnoser, Lane::Normal);
    let batch = Batch {
        consumed: vec![Slot::of(mail.get(1).unwrap())],
        letters: vec![letter("d", Address::Diagnoser, Lane::Normal)],
        ..Batch::default()
    };
    journal.commit(batch).await.unwrap();
    assert_eq!(names(&lane(journal, Address::Diagnoser, Lane::Normal)), ["a", "c", "d"]);
    let all = lane(journal, Address::Diagnoser, Lane::Normal).iter().map(Slot::of).collect();
    journal.commit(Batch { consumed: all, ..Batch::default() }).await.unwrap();
    assert_eq!(names(&lane(journal, Address::Diagnoser, Lane::Normal)), [] as [&str; 0]);
    assert_eq!(depth(journal, Address::Diagnoser), 0);
    journal.enqueue(vec![letter("e", Address::Diagnoser, Lane::Normal)]).await.unwrap();
    let last = lane(journal, Address::Diagnoser, Lane::Normal);
    assert!(last.first().unwrap().seq > mail.last().unwrap().seq, "a place is never given twice");
}

async fn known_dedup_key_is_acknowledged_and_not_stored_again<M: JournalMaker>(
    maker: &M,
    journal: M::Journal,
) {
    let first = letter("first", Address::Monitor, Lane::Normal);
    let again = Letter { id: EnvelopeId::from("again"), ..first.clone() };
    let accepted = journal.enqueue(vec![first.clone(), again.clone()]).await.unwrap();
    let told: Vec<_> = accepted.iter().map(|accepted| (accepted.id.as_str(), accepted.duplicate)).collect();
    assert_eq!(told, [("first", false), ("first", true)], "within one call");

    let batch = Batch { letters: vec![again.clone()], ..Batch::default() };
    let committed = journal.commit(batch).await.unwrap();
    assert!(committed.accepted.iter().all(|accepted| accepted.duplicate), "from inside");
    let mail = lane(&journal, Address::Monitor, Lane::Normal);
    assert_eq!(names(&mail), ["first"]);

    journal
        .commit(Batch { consumed: mail.iter().map(Slot::of).collect(), ..Batch::default() })
        .await
        .unwrap();
    let accepted = journal.enqueue(vec![again.clone()]).await.unwrap();
    assert!(accepted.iter().all(|a| a.duplicate && a.id == first.id), "after it was handled");

    let journal = maker.reopen(journal).await;
    let accepted = journal.enqueue(vec![again]).await.unwrap();
    assert!(accepted.iter().all(|a| a.duplicate && a.id == first.id), "after reopening");
    assert_eq!(depth(&journal, Address::Monitor), 0);
}

/// One of everything a batch can hold.
fn full_batch(write: IncidentWrite, consumed: Slot) -> Batch {
    Batch {
        consumed: vec![consumed],
        incidents: vec![write],
        rests_on: Vec::new(),
        documents: vec![DocumentWrite {
            table: Table::Group,
            key: "group".to_owned(),
            value: Some(b"row".to_vec()),
        }],
        letters: vec![letter("out", Address::Executor, Lane::Approval)],
        timers: vec![(
            IncidentId::from("i1"),
            TimerChange::Set { kind: TimerKind::PhaseDeadline, due: TimestampMs(9_000) },
        )],
        fired: Vec::new(),
        effects: vec![effect(0, EffectState::Intent)],
        retries: Vec::new(),
        dead: Vec::new(),
        unburied: Vec::new(),
        decided: vec![decided("i1", 1)],
        audit: vec![record("one"), record("two")],
    }
}

async fn revision_conflict_writes_nothing<J: Journal>(journal: &J) {
    journal.commit(Batch { incidents: vec![opened("known")], ..Batch::default() }).await.unwrap();
    journal.enqueue(vec![letter("in", Address::Supervisor, Lane::Normal)]).await.unwrap();
    let slot = Slot::of(lane(journal, Address::Supervisor, Lane::Normal).first().unwrap());
    let before = journal.health();

    let cases = [
        (opened("known"), "known", 0, 1),
        (IncidentWrite { next: incident("known", 8), expected_revision: Some(7) }, "known", 7, 1),
        (IncidentWrite { next: incident("unknown", 2), expected_revision: Some(1) }, "unknown", 1, 0),
    ];
    for (write, id, expected, found) in cases {
        let refused = journal.commit(full_batch(write, slot)).await;
        assert_eq!(refused, Err(JournalError::Conflict { incident: IncidentId::from(id), expected, found }));
    }
    assert_eq!(names(&lane(journal, Address::Supervisor, Lane::Normal)), ["in"]);
    assert_eq!(names(&lane(journal, Address::Executor, Lane::Approval)), [] as [&str; 0]);
    assert_eq!(journal.incident(&IncidentId::from("known")).unwrap().unwrap().revision, 1);
    assert_eq!(journal.document(Table::Group, "group"), Ok(None));
    assert_eq!(journal.next_timer(), Ok(None));
    assert_eq!(journal.decided(&IncidentId::from("i1"), 0, 9), Ok(Vec::new()));
    assert_eq!(journal.effect(&effect(0, EffectState::Intent).id), Ok(None));
    assert_eq!(journal.health().audit_head, before.audit_head);
    // What only rests on an incident is refused likewise, and holds it to nothing when it is where it was.
    let resting = |id: &str, revision: u64| Batch {
        rests_on: vec![(IncidentId::from(id), revision)],
        documents: vec![DocumentWrite {
            table: Table::Group,
            key: "resting".to_owned(),
            value: Some(b"x".to_vec()),
        }],
        ..Batch::default()
    };
    for (id, expected, found) in [("known", 2, 1), ("unknown", 1, 0)] {
        let refused = journal.commit(resting(id, expected)).await;
        assert_eq!(refused, Err(JournalError::Conflict { incident: IncidentId::from(id), expected, found }));
    }
    assert_eq!(journal.document(Table::Group, "resting"), Ok(None));
    journal.commit(resting("known", 1)).await.unwrap();
    assert!(journal.document(Table::Group, "resting").unwrap().is_some());
    // The letter of the refused batches left no dedup key behind either.
    let write = IncidentWrite { next: incident("known", 2), expected_revision: Some(1) };
    let committed = journal.commit(full_batch(write, slot)).await.unwrap();
    assert!(committed.accepted.iter().all(|accepted| !accepted.duplicate));
}

async fn only_one_of_two_writes_on_a_revision_wins<J: Journal>(journal: &J) {
    journal.commit(Batch { incidents: vec![opened("i1"), opened("i2")], ..Batch::default() }).await.unwrap();
    let write = |id: &str, title: &str| Batch {
        incidents: vec![IncidentWrite {
            next: Incident { title: title.to_owned(), ..incident(id, 2) },
            expected_revision: Some(1),
        }],
        ..Batch::default()
    };
    let (one, two, other) = tokio::join!(
        journal.commit(write("i1", "one")),
        journal.commit(write("i1", "two")),
        journal.commit(write("i2", "other"))
    );
    other.unwrap();
    let winner = match (one, two) {
        (Ok(_), Err(JournalError::Conflict { expected: 1, found: 2, .. })) => "one",
        (Err(JournalError::Conflict { expected: 1, found: 2, .. }), Ok(_)) => "two",
        both => {
            assert_eq!(format!("{both:?}"), "exactly one winner and one conflict");
            return;
        }
    };
    assert_eq!(journal.incident(&IncidentId::from("i1")).unwrap().unwrap().title, winner);
}

async fn batch_survives_reopening_whole<M: JournalMaker>(maker: &M, journal: M::Journal) {
    journal.enqueue(vec![letter("in", Address::Supervisor, Lane::Normal)]).await.unwrap();
    let slot = Slot::of(lane(&journal, Address::Supervisor, Lane::Normal).first().unwrap());
    let committed = journal.commit(full_batch(opened("i1"), slot)).await.unwrap();
    let mail = lane(&journal, Address::Executor, Lane::Approval);
    let audit = journal.audit(1, 10).unwrap();

    let journal = maker.reopen(journal).await;
    assert_eq!(names(&lane(&journal, Address::Supervisor, Lane::Normal)), [] as [&str; 0]);
    assert_eq!(lane(&journal, Address::Executor, Lane::Approval), mail);
    assert_eq!(journal.incident(&IncidentId::from("i1")), Ok(Some(incident("i1", 1))));
    assert_eq!(journal.document(Table::Group, "group"), Ok(Some(b"row".to_vec())));
    assert_eq!(journal.next_timer(), Ok(Some(TimestampMs(9_000))));
    assert_eq!(journal.effect(&effect(0, EffectState::Intent).id), Ok(Some(effect(0, EffectState::Intent))));
    let kept = vec![(committed.commit_seq, decided("i1", 1))];
    assert_eq!(journal.decided(&IncidentId::from("i1"), 0, 9), Ok(kept));
    assert_eq!(journal.audit(1, 10), Ok(audit));
    let health = journal.health();
    assert!(health.writable);
    assert_eq!(health.audit_head, committed.audit_head);
    assert!(health.commit_seq >= committed.commit_seq);
    assert_eq!(depth(&journal, Address::Executor), 1);
    // Places go on where they were.
    journal.enqueue(vec![letter("next", Address::Executor, Lane::Approval)]).await.unwrap();
    assert_eq!(names(&lane(&journal, Address::Executor, Lane::Approval)), ["out", "next"]);
}

/// Sends letters from outside until one is refused; how many went in.
async fn fill<J: Journal>(journal: &J, to: Address) -> u64 {
    for n in 0..1_000 {
        match journal.enqueue(vec![letter(&format!("outside {n}"), to, Lane::Normal)]).await {
            Ok(_) => {}
            Err(JournalError::Full { to: full, retry_after_ms }) => {
                assert_eq!(full, to);
                assert!(retry_after_ms > 0, "a refused sender is told when to come again");
                return n;
            }
            Err(error) => assert_eq!(error.code(), "MAILBOX_FULL"),
        }
    }
    1_000
}

fn inside(name: &str, to: Address) -> Batch {
    Batch { letters: vec![letter(name, to, Lane::Approval)], ..Batch::default() }
}

async fn full_mailbox_refuses_outside_mail_before_internal<J: Journal>(journal: &J) {
    let taken = fill(journal, Address::Monitor).await;
    assert!((1..10).contains(&taken), "of 10 places {taken} went to the outside; some are reserved");
    for n in taken..10 {
        journal.commit(inside(&format!("inside {n}"), Address::Monitor)).await.unwrap();
    }
    let refused = journal.commit(inside("one too many", Address::Monitor)).await;
    assert!(matches!(refused, Err(JournalError::Full { to: Address::Monitor, .. })), "{refused:?}");
    journal.commit(inside("elsewhere", Address::Diagnoser)).await.unwrap();
    // A repeat needs no room.
    let repeat = journal.enqueue(vec![letter("outside 0", Address::Monitor, Lane::Normal)]).await.unwrap();
    assert!(repeat.iter().all(|accepted| accepted.duplicate));
    // Room that is made in a batch may be used by the same batch.
    let oldest = Slot::of(lane(journal, Address::Monitor, Lane::Normal).first().unwrap());
    let swap = Batch { consumed: vec![oldest], ..inside("one too many", Address::Monitor) };
    journal.commit(swap).await.unwrap();
    assert_eq!(depth(journal, Address::Monitor), 10);
}

async fn refused_enqueue_stores_none_of_its_letters<J: Journal>(journal: &J) {
    fill(journal, Address::Monitor).await;
    let before = depth(journal, Address::Monitor);
    let both =
        vec![letter("x", Address::Notifier, Lane::Normal), letter("y", Address::Monitor, Lane::Normal)];
    let refused = journal.enqueue(both).await;
    assert!(matches!(refused, Err(JournalError::Full { to: Address::Monitor, .. })), "{refused:?}");
    assert_eq!(depth(journal, Address::Notifier), 0);
    assert_eq!(depth(journal, Address::Monitor), before);
    let later = journal.enqueue(vec![letter("x", Address::Notifier, Lane::Normal)]).await.unwrap();
    assert!(later.iter().all(|accepted| !accepted.duplicate), "its dedup key was not kept");
}

async fn refused_internal_letter_refuses_its_whole_batch<J: Journal>(journal: &J) {
    for n in 0..10 {
        journal.commit(inside(&format!("inside {n}"), Address::Executor)).await.unwrap();
    }
    let batch = Batch {
        incidents: vec![opened("i1")],
        audit: vec![record("one")],
        ..inside("one too many", Address::Executor)
    };
    let head = journal.health().audit_head;
    let refused = journal.commit(batch).await;
    assert!(matches!(refused, Err(JournalError::Full { .. })), "{refused:?}");
    assert_eq!(journal.incident(&IncidentId::from("i1")), Ok(None));
    assert_eq!(journal.health().audit_head, head);
}

async fn retry_puts_off_and_counts<J: Journal>(journal: &J) {
    let letters = ["a", "b"].map(|name| letter(name, Address::Executor, Lane::Normal));
    journal.enqueue(letters.to_vec()).await.unwrap();
    let before = lane(journal, Address::Executor, Lane::Normal);
    let slot = Slot::of(before.first().unwrap());
    let retry = Retry { slot, attempts: 1, visible_at: TimestampMs(7_000) };
    journal.commit(Batch { retries: vec![retry], ..Batch::default() }).await.unwrap();
    let after = lane(journal, Address::Executor, Lane::Normal);
    assert_eq!(names(&after), ["a", "b"], "it keeps its place and is listed whether visible or not");
    let put_off = Envelope { attempts: 1, visible_at: TimestampMs(7_000), ..before.first().unwrap().clone() };
    assert_eq!(after.first(), Some(&put_off));
    assert_eq!(after.get(1), before.get(1));
}

async fn dead_letter_leaves_its_mailbox<J: Journal>(journal: &J) {
    journal.enqueue(vec![letter("poison", Address::Executor, Lane::Normal)]).await.unwrap();
    let envelope = lane(journal, Address::Executor, Lane::Normal).first().unwrap().clone();
    let dead = DeadLetter { envelope, error: "it panicked".to_owned(), at: TimestampMs(8_000) };
    let slot = Slot::of(&dead.envelope);
    journal.commit(Batch { dead: vec![(slot, dead.clone())], ..Batch::default() }).await.unwrap();
    assert_eq!(names(&lane(journal, Address::Executor, Lane::Normal)), [] as [&str; 0]);
    assert_eq!(journal.dead_letters(10), Ok(vec![dead]));
    assert_eq!((journal.health().dead_letters, depth(journal, Address::Executor)), (1, 0));
}

fn set(incident: &str, kind: TimerKind, due: u64) -> (IncidentId, TimerChange) {
    (IncidentId::from(incident), TimerChange::Set { kind, due: TimestampMs(due) })
}

fn due(incident: &str, kind: TimerKind, due: u64) -> DueTimer {
    DueTimer { incident: IncidentId::from(incident), kind, due: TimestampMs(due) }
}

async fn timers_come_due_in_order_and_are_replaced_by_kind<J: Journal>(journal: &J) {
    use TimerKind::{ApprovalLifetime, PhaseDeadline};
    let timers = vec![
        set("late", PhaseDeadline, 300),
        set("early", PhaseDeadline, 100),
        set("early", ApprovalLifetime, 200),
        set("moved", PhaseDeadline, 50),
        set("never", PhaseDeadline, 10),
    ];
    journal.commit(Batch { timers, ..Batch::default() }).await.unwrap();
    let cancel = (IncidentId::from("never"), TimerChange::Cancel { kind: PhaseDeadline });
    let timers = vec![set("moved", PhaseDeadline, 250), cancel];
    journal.commit(Batch { timers, ..Batch::default() }).await.unwrap();

    assert_eq!(journal.next_timer(), Ok(Some(TimestampMs(100))));
    assert_eq!(journal.timers_due(TimestampMs(99), 10), Ok(vec![]));
    let expected = [
        due("early", PhaseDeadline, 100),
        due("early", ApprovalLifetime, 200),
        due("moved", PhaseDeadline, 250),
    ];
    assert_eq!(
        journal.timers_due(TimestampMs(250), 10).unwrap(),
        expected,
        "a timer is due at its very millisecond"
    );
    assert_eq!(journal.timers_due(TimestampMs(250), 1).unwrap(), [due("early", PhaseDeadline, 100)]);
    journal.commit(Batch { fired: expected.to_vec(), ..Batch::default() }).await.unwrap();
    assert_eq!(journal.timers_due(TimestampMs(1_000), 10).unwrap(), [due("late", PhaseDeadline, 300)]);
}

async fn timer_set_anew_survives_the_firing_of_the_old_one<J: Journal>(journal: &J) {
    let kind = TimerKind::PhaseDeadline;
    journal.commit(Batch { timers: vec![set("i1", kind, 100)], ..Batch::default() }).await.unwrap();
    journal.commit(Batch { timers: vec![set("i1", kind, 200)], ..Batch::default() }).await.unwrap();
    journal.commit(Batch { fired: vec![due("i1", kind, 100)], ..Batch::default() }).await.unwrap();
    assert_eq!(journal.next_timer(), Ok(Some(TimestampMs(200))));
    // Fired and set in one batch: the new one stands.
    let batch =
        Batch { fired: vec![due("i1", kind, 200)], timers: vec![set("i1", kind, 300)], ..Batch::default() };
    journal.commit(batch).await.unwrap();
    assert_eq!(journal.timers_due(TimestampMs(900), 10).unwrap(), [due("i1", kind, 300)]);
}

async fn documents_are_kept_by_table_and_key<J: Journal>(journal: &J) {
    let write = |table, key: &str, value: Option<&[u8]>| Batch {
        documents: vec![DocumentWrite { table, key: key.to_owned(), value: value.map(<[u8]>::to_vec) }],
        ..Batch::default()
    };
    journal.commit(write(Table::Episode, "k", Some(b"one"))).await.unwrap();
    journal.commit(write(Table::Answer, "k", Some(b"two"))).await.unwrap();
    journal.commit(write(Table::Episode, "k", Some(b"three"))).await.unwrap();
    assert_eq!(journal.document(Table::Episode, "k"), Ok(Some(b"three".to_vec())));
    assert_eq!(journal.document(Table::Episode, "k2"), Ok(None));
    journal.commit(write(Table::Episode, "k", None)).await.unwrap();
    assert_eq!(journal.document(Table::Episode, "k"), Ok(None));
    assert_eq!(
        journal.document(Table::Answer, "k"),
        Ok(Some(b"two".to_vec())),
        "another table's row of that key"
    );
}

async fn a_dedup_key_is_known_in_its_own_mailbox_alone<J: Journal>(journal: &J) {
    let first = letter("a", Address::Monitor, Lane::Normal);
    let elsewhere = Letter { to: Address::Notifier, ..first.clone() };
    let other_lane = Letter { lane: Lane::Control, ..first.clone() };
    let accepted = journal.enqueue(vec![first, elsewhere, other_lane]).await.unwrap();
    let duplicates: Vec<bool> = accepted.iter().map(|accepted| accepted.duplicate).collect();
    assert_eq!(duplicates, [false, false, true], "the lane does not matter, the mailbox does");
    assert_eq!((depth(journal, Address::Monitor), depth(journal, Address::Notifier)), (1, 1));
}

async fn what_is_gone_is_handled_no_second_time<J: Journal>(journal: &J) {
    let letters = ["a", "b"].map(|name| letter(name, Address::Monitor, Lane::Normal));
    journal.enqueue(letters.to_vec()).await.unwrap();
    let mail = lane(journal, Address::Monitor, Lane::Normal);
    let [a, b] = [0, 1].map(|n| Slot::of(mail.get(n).unwrap()));
    journal.commit(Batch { consumed: vec![a], ..Batch::default() }).await.unwrap();
    let retry = Retry { slot: a, attempts: 1, visible_at: TimestampMs(7) };
    let burial =
        DeadLetter { envelope: mail.first().unwrap().clone(), error: String::new(), at: TimestampMs(7) };
    let place = burial.place();
    let attempts = [
        Batch { consumed: vec![b, a], ..Batch::default() },
        Batch { retries: vec![retry], ..Batch::default() },
        Batch { dead: vec![(a, burial)], ..Batch::default() },
        Batch { unburied: vec![place], ..Batch::default() },
        Batch {
            consumed: vec![b],
            retries: vec![Retry { slot: b, attempts: 1, visible_at: TimestampMs(7) }],
            ..Batch::default()
        },
    ];
    for attempt in attempts {
        let batch = Batch { audit: vec![record("again")], ..attempt };
        let refused = journal.commit(batch).await.unwrap_err();
        assert!(matches!(refused, JournalError::Conflict { .. }), "{refused}");
        assert!(refused.to_string().contains("mailbox:monitor/normal/"), "{refused}");
    }
    assert_eq!(names(&lane(journal, Address::Monitor, Lane::Normal)), ["b"]);
    let health = journal.health();
    assert_eq!((health.audit_head.seq, health.dead_letters), (0, 0));
}

async fn an_approval_finds_room_where_nothing_else_does<J: Journal>(journal: &J) {
    let normal = |name: &str| letter(name, Address::Supervisor, Lane::Normal);
    let mut taken = (0, 0);
    while journal.enqueue(vec![normal(&format!("outside {}", taken.0))]).await.is_ok() {
        taken.0 += 1;
    }
    let inside = |name: String| Batch { letters: vec![normal(&name)], ..Batch::default() };
    while journal.commit(inside(format!("inside {}", taken.1))).await.is_ok() {
        taken.1 += 1;
    }
    assert_eq!(taken, (16, 3), "of 20 places");
    let approval = letter("approval", Address::Supervisor, Lane::Approval);
    journal.enqueue(vec![approval]).await.unwrap();
    let late = journal.enqueue(vec![letter("late", Address::Supervisor, Lane::Approval)]).await;
    assert!(matches!(late, Err(JournalError::Full { .. })), "{late:?}");
}

async fn audit_records_form_one_verifiable_chain<J: Journal>(journal: &J) {
    for group in [["one", "two"], ["three", "four"]] {
        let audit = group.map(record).to_vec();
        let committed = journal.commit(Batch { audit, ..Batch::default() }).await.unwrap();
        assert_eq!(committed.audit_head, journal.health().audit_head);
    }
    let chain = journal.audit(1, 100).unwrap();
    let told: Vec<_> = chain.iter().map(|chained| (chained.seq, chained.record.subject.as_str())).collect();
    assert_eq!(told, [(1, "one"), (2, "two"), (3, "three"), (4, "four")]);
    let mut verifier = ChainVerifier::default();
    for chained in &chain {
        verifier.push(chained).unwrap();
    }
    verifier.finish(Some(&journal.health().audit_head)).unwrap();
    let page = journal.audit(2, 2).unwrap();
    assert_eq!(page.iter().map(|chained| chained.seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(journal.audit(5, 2), Ok(vec![]));
}

/// Far above what any engine needs; only a wake-up that never comes reaches it.
const WAKE_UP_MAX: Duration = Duration::from_secs(10);

async fn arrival_is_told_to_the_recipient_alone_and_kept<J: Journal>(journal: &J) {
    let (executor, notifier) =
        (journal.mail_arrived(Address::Executor), journal.mail_arrived(Address::Notifier));
    journal.enqueue(vec![letter("a", Address::Executor, Lane::Normal)]).await.unwrap();
    timeout(WAKE_UP_MAX, executor.notified()).await.unwrap();
    journal.commit(inside("b", Address::Executor)).await.unwrap();
    timeout(WAKE_UP_MAX, executor.notified()).await.unwrap();
    let nobody = std::pin::pin!(notifier.notified()).enable();
    assert!(!nobody, "an actor without mail is not woken");
}

async fn changes_tell_which_revision_entered_a_phase<J: Journal>(journal: &J) {
    let mut changes = journal.changes();
    let noted = Incident { title: "noted".to_owned(), ..incident("i1", 2) };
    let how = Resolution::ByItself;
    let resolved = Incident { phase: Phase::Resolved { at: TimestampMs(9), how }, ..incident("i1", 3) };
    journal.commit(Batch { incidents: vec![opened("i1")], ..Batch::default() }).await.unwrap();
    for (next, before) in [(noted, 1), (resolved, 2)] {
        let write = IncidentWrite { next, expected_revision: Some(before) };
        journal.commit(Batch { incidents: vec![write], ..Batch::default() }).await.unwrap();
    }
    let mut told = Vec::new();
    for _ in 0..3 {
        let change = timeout(WAKE_UP_MAX, changes.recv()).await.unwrap().unwrap();
        told.push((change.incident.to_string(), change.revision, change.phase, change.entered));
    }
    let expected = [
        (1, PhaseName::AlertReceived, true),
        (2, PhaseName::AlertReceived, false),
        (3, PhaseName::Resolved, true),
    ]
    .map(|(revision, phase, entered)| ("i1".to_owned(), revision, phase, entered));
    assert_eq!(told, expected);
}

async fn incidents_are_listed_newest_first_and_filtered<J: Journal>(journal: &J) {
    let closed = Phase::Resolved { at: TimestampMs(9), how: Resolution::Remedied };
    let mut incidents: Vec<_> = ["01", "02", "03", "04"].map(opened).to_vec();
    incidents
        .iter_mut()
        .filter(|write| write.next.id.as_str() == "03")
        .for_each(|w| w.next.phase = closed.clone());
    journal.commit(Batch { incidents, ..Batch::default() }).await.unwrap();
    let list = |filter: IncidentFilter| -> Vec<String> {
        journal.incidents(&filter).unwrap().iter().map(|incident| incident.id.to_string()).collect()
    };
    let all = IncidentFilter { limit: 10, ..IncidentFilter::default() };
    assert_eq!(list(all.clone()), ["04", "03", "02", "01"]);
    assert_eq!(list(IncidentFilter { limit: 2, ..all.clone() }), ["04", "03"]);
    assert_eq!(list(IncidentFilter { before: Some(IncidentId::from("03")), ..all.clone() }), ["02", "01"]);
    assert_eq!(list(IncidentFilter { live_only: true, ..all.clone() }), ["04", "02", "01"]);
    assert_eq!(list(IncidentFilter { phase: Some(PhaseName::Resolved), ..all }), ["03"]);
}

async fn health_counts_what_lies_in_the_mailboxes<J: Journal>(journal: &J) {
    let empty = journal.health();
    assert!(empty.writable && !empty.low_space);
    assert_eq!(empty.mailboxes.iter().map(|depth| depth.envelopes + depth.bytes).sum::<u64>(), 0);
    let letters = vec![
        letter("a", Address::Monitor, Lane::Normal),
        letter("b", Address::Monitor, Lane::Control),
        letter("c", Address::Notifier, Lane::Normal),
    ];
    journal.enqueue(letters).await.unwrap();
    let health = journal.health();
    assert!(health.commit_seq > empty.commit_seq);
    assert_eq!((depth(journal, Address::Monitor), depth(journal, Address::Notifier)), (2, 1));
    assert!(health.mailboxes.iter().all(|depth| (depth.bytes > 0) == (depth.envelopes > 0)));
}
