use super::*;
use crate::shell::WorkError;
use async_trait::async_trait;
use medic_core::mail::{Address, Body, Causation, Letter};
use medic_core::{Effect, EffectId, EnvelopeId, IncidentId};
use medic_ports::Batch;
use medic_ports::fake::FakeJournal;
use medic_ports::journal::Retry;

const NOW: TimestampMs = TimestampMs(1_000);

struct Clerk {
    drains: bool,
    keys_per_commit: usize,
    refuses: Option<&'static str>,
}

const DRAINING: Clerk = Clerk { drains: true, keys_per_commit: 64, refuses: None };

#[async_trait]
impl Worker for Clerk {
    fn address(&self) -> Address {
        Address::Executor
    }
    fn concurrency(&self) -> usize {
        8
    }
    fn drains(&self) -> bool {
        self.drains
    }
    fn keys_per_commit(&self) -> usize {
        self.keys_per_commit
    }
    fn may_start(&self, envelope: &Envelope) -> bool {
        envelope.body.incident().map(IncidentId::as_str) != self.refuses
    }
    fn patience_ms(&self, _: &Envelope) -> u64 {
        0
    }
    async fn handle(&self, _: &[Envelope]) -> Result<(), WorkError> {
        Ok(())
    }
}

/// `c:a` is a control letter of incident a, `p:a` one with an approval, `a` a normal one.
async fn post(journal: &FakeJournal, letters: &[&str]) {
    for (n, letter) in letters.iter().enumerate() {
        let (lane, incident) = match letter.split_once(':') {
            Some(("c", incident)) => (Lane::Control, incident),
            Some((_, incident)) => (Lane::Approval, incident),
            None => (Lane::Normal, *letter),
        };
        let id = format!("{}.{n}.{letter}", journal.commit_seq());
        let effect = EffectId { incident: incident.into(), revision: 1, index: 0 };
        let letter = Letter {
            id: EnvelopeId::new(id.clone()),
            to: Address::Executor,
            lane,
            cause: Causation::Timer,
            at: TimestampMs(1),
            dedup: id,
            body: Body::Order { id: effect, effect: Effect::Diagnose { iteration: 1 } },
        };
        journal.enqueue(vec![letter]).await.unwrap();
    }
}

fn told(bundles: &[Bundle]) -> Vec<String> {
    let of = |envelope: &Envelope| {
        let lane = match envelope.lane {
            Lane::Control => "c",
            Lane::Approval => "p",
            Lane::Normal => "",
        };
        format!("{lane}{}{}", envelope.body.incident().unwrap(), envelope.seq)
    };
    bundles.iter().map(|bundle| bundle.envelopes.iter().map(of).collect::<Vec<_>>().join(" ")).collect()
}

struct Desk {
    journal: FakeJournal,
    clerk: Clerk,
    tray: Tray,
}

impl Desk {
    async fn with(clerk: Clerk, letters: &[&str]) -> Self {
        let journal = FakeJournal::new();
        post(&journal, letters).await;
        Self { journal, clerk, tray: Tray::default() }
    }
    fn take(&mut self, bundles: usize, letters: usize) -> Vec<Bundle> {
        while self.tray.read(&self.journal, &self.clerk).unwrap() {}
        self.tray.take(&self.journal, &self.clerk, Room { bundles, letters }, NOW).unwrap()
    }
    /// What one look takes up.
    fn check(&mut self, bundles: usize, letters: usize, expected: &[&str]) -> Vec<Bundle> {
        let taken = self.take(bundles, letters);
        assert_eq!(told(&taken), expected);
        taken
    }
    async fn put_off(&mut self, slot: Slot, due: u64) {
        let retries = vec![Retry { slot, attempts: 1, visible_at: TimestampMs(due) }];
        self.journal.commit(Batch { retries, ..Batch::default() }).await.unwrap();
    }
}

#[tokio::test]
async fn control_comes_before_approvals_before_the_rest_and_keys_stay_in_order() {
    let one_key = Clerk { keys_per_commit: 1, ..DRAINING };
    let mut desk = Desk::with(one_key, &["a", "b", "a", "p:b", "c:c", "d"]).await;
    desk.check(3, 64, &["cc1", "pb1 b2", "a1 a3"]);
    // These are being handled: only what is left may begin.
    desk.check(3, 64, &["d4"]);
    desk.check(3, 64, &[]);
}

#[tokio::test]
async fn what_came_for_a_key_in_flight_waits_for_its_end() {
    let mut desk = Desk::with(DRAINING, &["a"]).await;
    let first = desk.check(8, 64, &["a1"]);
    post(&desk.journal, &["c:a", "a"]).await;
    desk.check(8, 64, &[]);
    desk.tray.handled(&first[0].places);
    desk.check(8, 64, &["ca1 a2"]);
}

#[tokio::test]
async fn keys_share_commits_only_when_there_are_more_than_hands() {
    let letters = ["a", "b", "c", "d", "e", "f", "g"];
    Desk::with(DRAINING, &letters).await.check(8, 64, &["a1", "b2", "c3", "d4", "e5", "f6", "g7"]);
    Desk::with(DRAINING, &letters).await.check(2, 64, &["a1 b2 c3 d4", "e5 f6 g7"]);
    Desk::with(DRAINING, &letters).await.check(2, 3, &["a1 b2 c3", "d4 e5 f6"]);
    Desk::with(Clerk { keys_per_commit: 1, ..DRAINING }, &letters).await.check(2, 64, &["a1", "b2"]);
    Desk::with(Clerk { drains: false, ..DRAINING }, &["a", "a", "b"]).await.check(1, 64, &["a1 b3"]);
    Desk::with(DRAINING, &letters).await.check(1, 1, &["a1"]);
    Desk::with(DRAINING, &letters).await.check(0, 64, &[]);
}

#[tokio::test]
async fn a_letter_that_waits_holds_its_key_back_and_nobody_else() {
    let mut desk = Desk::with(DRAINING, &["a", "a", "b"]).await;
    let first = Slot { to: Address::Executor, lane: Lane::Normal, seq: 1 };
    desk.put_off(first, NOW.0 + 500).await;
    desk.check(8, 64, &["b3"]);
    assert_eq!(desk.tray.next_due(), Some(TimestampMs(NOW.0 + 500)));
    // What is served before it is not behind it.
    post(&desk.journal, &["c:a"]).await;
    let control = desk.check(8, 64, &["ca1"]);
    desk.tray.handled(&control[0].places);
    let room = Room { bundles: 8, letters: 64 };
    let later = TimestampMs(NOW.0 + 500);
    let taken = desk.tray.take(&desk.journal, &desk.clerk, room, later).unwrap();
    assert_eq!(told(&taken), ["a1"], "it has failed before: alone");
}

#[tokio::test]
async fn a_group_that_failed_is_taken_up_one_by_one() {
    let mut desk = Desk::with(DRAINING, &["a", "a", "b"]).await;
    let group = desk.check(1, 64, &["a1 a2 b3"]);
    desk.tray.failed(&desk.journal, &desk.clerk, &group[0].places, true).unwrap();
    let alone = desk.check(8, 64, &["a1", "b3"]);
    alone.iter().for_each(|bundle| desk.tray.handled(&bundle.places));
    desk.check(8, 64, &["a2"]);
}

#[tokio::test]
async fn what_had_been_committed_after_all_is_not_taken_up_again() {
    let mut desk = Desk::with(DRAINING, &["a", "a"]).await;
    let group = desk.check(1, 64, &["a1 a2"]);
    let consumed = vec![Slot::of(&group[0].envelopes[0])];
    desk.journal.commit(Batch { consumed, ..Batch::default() }).await.unwrap();
    desk.tray.failed(&desk.journal, &desk.clerk, &group[0].places, false).unwrap();
    desk.check(1, 64, &["a2"]);
}

#[tokio::test]
async fn a_key_that_was_deferred_waits_and_is_not_counted_as_failed() {
    let mut desk = Desk::with(DRAINING, &["a", "a", "b"]).await;
    let group = desk.check(1, 64, &["a1 a2 b3"]);
    desk.tray.failed(&desk.journal, &desk.clerk, &group[0].places, false).unwrap();
    desk.tray.defer("a", TimestampMs(NOW.0 + 1));
    desk.check(1, 64, &["b3"]);
    let room = Room { bundles: 8, letters: 64 };
    let taken = desk.tray.take(&desk.journal, &desk.clerk, room, TimestampMs(NOW.0 + 1)).unwrap();
    assert_eq!(told(&taken), ["a1 a2"], "together, as before");
}

#[tokio::test]
async fn what_the_worker_holds_back_is_asked_about_again() {
    let mut desk = Desk::with(Clerk { refuses: Some("a"), ..DRAINING }, &["a", "b"]).await;
    desk.check(8, 64, &["b2"]);
    assert!(desk.tray.holds_back());
    desk.clerk.refuses = None;
    desk.check(8, 64, &["a1"]);
    assert!(!desk.tray.holds_back());
}

#[tokio::test]
async fn a_backlog_beyond_what_is_kept_is_taken_up_all_the_same() {
    let letters: Vec<String> = (0..BODIES_MAX + 600).map(|n| format!("k{}", n % 700)).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    let mut desk = Desk::with(DRAINING, &letters).await;
    let mut seen = BTreeSet::new();
    loop {
        let taken = desk.take(8, 64);
        assert!(desk.tray.bodies <= BODIES_MAX);
        if taken.is_empty() {
            break;
        }
        for bundle in taken {
            let mut last: HashMap<String, u64> = HashMap::new();
            for (key, slot) in &bundle.places {
                assert!(seen.insert(slot.seq), "{slot:?} twice");
                assert!(last.insert(key.clone(), slot.seq).is_none_or(|before| before < slot.seq));
            }
            let consumed = bundle.places.iter().map(|(_, slot)| *slot).collect();
            desk.journal.commit(Batch { consumed, ..Batch::default() }).await.unwrap();
            desk.tray.handled(&bundle.places);
        }
    }
    assert_eq!(seen.len(), letters.len());
    assert_eq!((desk.tray.queues.len(), desk.tray.bodies), (0, 0), "nothing is left behind");
}
