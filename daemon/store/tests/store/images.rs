//! Disks as a crash, a flipped bit or a careless hand leaves them: opened whole, or refused.

use crate::support::{copy, effect, everything, open, record, refusal};
use medic_core::mail::{Address, Lane};
use medic_core::{IncidentId, TimestampMs};
use medic_ports::Journal;
use medic_ports::journal::{Batch, EffectState};
use medic_store::{Store, check};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const BATCHES: usize = 12;

fn name(n: usize) -> String {
    format!("batch-{n:02}")
}

/// The log that is being written.
fn live_log(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("db")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ext| ext == "log")).max().unwrap()
}

/// Which batches are there: asserts that each is there in every table or in none.
fn batches_present(store: &Store) -> usize {
    let letters: BTreeSet<String> = store
        .mail(Address::Executor, Lane::Normal, 0, usize::MAX)
        .unwrap()
        .iter()
        .map(|envelope| envelope.id.to_string())
        .collect();
    let timers: BTreeSet<String> = store
        .timers_due(TimestampMs(u64::MAX), usize::MAX)
        .unwrap()
        .iter()
        .map(|timer| timer.incident.to_string())
        .collect();
    let audited: BTreeSet<String> =
        store.audit(1, usize::MAX).unwrap().into_iter().map(|chained| chained.record.subject).collect();
    let mut present = 0;
    for n in 0..BATCHES {
        let (name, id) = (name(n), IncidentId::new(name(n)));
        let traces = [
            store.incident(&id).unwrap().is_some(),
            letters.contains(&name),
            timers.contains(&name),
            store.effect(&effect(&name, EffectState::Intent).id).unwrap().is_some(),
            audited.contains(&name),
        ];
        assert!(traces.iter().all(|trace| *trace == traces[0]), "{name} is torn: {traces:?}");
        assert!(!traces[0] || present == n, "{name} is there without the one before it");
        present += usize::from(traces[0]);
    }
    present
}

/// A store killed after `BATCHES` commits; `early` is its witness as it was before them.
async fn image(root: &Path) -> (PathBuf, Vec<u8>) {
    let (dir, image) = (root.join("store"), root.join("image"));
    let store = open(&dir);
    let early = std::fs::read(dir.join("HEAD")).unwrap();
    for n in 0..BATCHES {
        store.commit(everything(&name(n))).await.unwrap();
    }
    copy(&dir, &image);
    (image, early)
}

#[tokio::test]
async fn a_log_torn_anywhere_opens_with_whole_batches_only() {
    let root = tempfile::tempdir().unwrap();
    let (image, early) = image(root.path()).await;
    let whole = std::fs::read(live_log(&image)).unwrap();
    let mut seen = BTreeSet::new();
    for cut in (0..whole.len()).rev().step_by(whole.len() / 60) {
        let torn = root.path().join(format!("torn-{cut}"));
        copy(&image, &torn);
        std::fs::write(torn.join("HEAD"), &early).unwrap();
        std::fs::write(live_log(&torn), &whole[..cut]).unwrap();
        match Store::open(&crate::support::config(&torn)) {
            Ok(store) => {
                seen.insert(batches_present(&store));
                store.shutdown();
                let report = check(&torn).unwrap();
                assert!(report.is_whole(), "cut at {cut}: {:?}", report.faults);
            }
            // Cut before the first batch of this run, which the witness had seen.
            Err(error) => assert_eq!(error.code(), "STORE_ROLLED_BACK", "cut at {cut}"),
        }
        std::fs::remove_dir_all(&torn).unwrap();
    }
    assert!(seen.len() > BATCHES / 2, "the cuts fell into many batches: {seen:?}");
}

#[tokio::test]
async fn acknowledged_writes_that_are_gone_are_noticed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    store.commit(everything(&name(0))).await.unwrap();
    store.shutdown();
    let old = root.path().join("old");
    copy(&dir, &old);
    let store = open(&dir);
    store.commit(everything(&name(1))).await.unwrap();
    store.shutdown();
    let witness = std::fs::read(dir.join("HEAD")).unwrap();

    let try_with = |what: &str, change: &dyn Fn(&Path)| {
        let changed = root.path().join(what);
        copy(&dir, &changed);
        change(&changed);
        (refusal(&changed), check(&changed).map(|report| report.is_whole()))
    };
    let rolled_back = try_with("rolled-back", &|dir| {
        std::fs::remove_dir_all(dir.join("db")).unwrap();
        copy(&old.join("db"), &dir.join("db"));
    });
    assert_eq!(rolled_back.0, "STORE_ROLLED_BACK");
    assert!(!rolled_back.1.unwrap(), "check tells too");
    let removed = try_with("removed", &|dir| std::fs::remove_dir_all(dir.join("db")).unwrap());
    assert_eq!((removed.0, removed.1.unwrap_err().code()), ("STORE_ROLLED_BACK", "STORE_MISSING"));
    let blinded = try_with("blinded", &|dir| std::fs::remove_file(dir.join("HEAD")).unwrap());
    assert_eq!((blinded.0, blinded.1.unwrap()), ("STORE_WITNESS_MISSING", false));
    let damaged = try_with("damaged", &|dir| std::fs::write(dir.join("HEAD"), [0; 8_192]).unwrap());
    assert_eq!((damaged.0, damaged.1.unwrap()), ("STORE_WITNESS_DAMAGED", false));

    // Another store that has come as far and tells another story.
    let other = root.path().join("other");
    for other_name in ["elsewhere", "else"] {
        let store = open(&other);
        store.commit(everything(other_name)).await.unwrap();
        store.shutdown();
    }
    std::fs::write(other.join("HEAD"), &witness).unwrap();
    assert_eq!(refusal(&other), "STORE_OTHER_HISTORY");
    assert_eq!(refusal(&dir), "opened", "the untouched one opens");
}

#[tokio::test]
async fn a_log_without_the_start_of_an_effect_or_without_anything_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    for n in 0..BATCHES {
        store.commit(everything(&name(n))).await.unwrap();
    }
    // The witness learns of a started effect before the commit is answered: no second needs to pass.
    let before = std::fs::metadata(live_log(&dir)).unwrap().len();
    let started = Batch { effects: vec![effect(&name(0), EffectState::Started)], ..Batch::default() };
    store.commit(started).await.unwrap();
    let image = root.path().join("unstarted");
    copy(&dir, &image);
    std::fs::File::options().write(true).open(live_log(&image)).unwrap().set_len(before).unwrap();
    assert_eq!(refusal(&image), "STORE_ROLLED_BACK", "the start of an effect is never forgotten");
    let image = root.path().join("image");
    copy(&dir, &image);
    assert_eq!(refusal(&image), "opened", "a kill alone loses nothing");
    let image = root.path().join("without-log");
    copy(&dir, &image);
    std::fs::remove_file(live_log(&image)).unwrap();
    assert_eq!(refusal(&image), "STORE_ROLLED_BACK");
}

#[tokio::test]
async fn a_flipped_bit_in_the_log_is_refused_and_nothing_is_dropped_silently() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    for n in 0..BATCHES {
        store.commit(everything(&name(n))).await.unwrap();
    }
    let last = Batch {
        effects: vec![effect(&name(0), EffectState::Started)],
        audit: vec![record("last")],
        ..Batch::default()
    };
    store.commit(last).await.unwrap();
    let image = root.path().join("image");
    copy(&dir, &image);
    let whole = std::fs::read(live_log(&image)).unwrap();
    let mut codes = BTreeSet::new();
    for at in (3..whole.len()).step_by(whole.len() / 40) {
        let flipped = root.path().join(format!("flipped-{at}"));
        copy(&image, &flipped);
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(live_log(&flipped), bytes).unwrap();
        codes.insert(refusal(&flipped));
        std::fs::remove_dir_all(&flipped).unwrap();
    }
    assert!(codes.contains("STORE_CORRUPT"), "{codes:?}");
    assert!(!codes.contains("opened"), "{codes:?}");
}

#[tokio::test]
async fn a_restart_keeps_what_was_put_off_buried_fired_and_set() {
    use medic_core::effect::{TimerChange, TimerKind};
    use medic_ports::fake::journal_contract::letter;
    use medic_ports::journal::{DeadLetter, DueTimer, Retry, Slot};
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let letters = ["first", "second", "third"].map(|name| letter(name, Address::Monitor, Lane::Normal));
    store.enqueue(letters.to_vec()).await.unwrap();
    let mail = store.mail(Address::Monitor, Lane::Normal, 0, 9).unwrap();
    let timer = |name: &str, due| {
        (
            IncidentId::from(name),
            TimerChange::Set { kind: TimerKind::ApprovalLifetime, due: TimestampMs(due) },
        )
    };
    let set = Batch { timers: vec![timer("a", 500), timer("b", 100), timer("c", 300)], ..Batch::default() };
    store.commit(set).await.unwrap();
    assert_eq!(store.next_timer(), Ok(Some(TimestampMs(100))));
    let b = DueTimer {
        incident: IncidentId::from("b"),
        kind: TimerKind::ApprovalLifetime,
        due: TimestampMs(100),
    };
    let dead = DeadLetter { envelope: mail[2].clone(), error: "panicked".to_owned(), at: TimestampMs(7) };
    let batch = Batch {
        retries: vec![Retry { slot: Slot::of(&mail[0]), attempts: 3, visible_at: TimestampMs(99_000) }],
        dead: vec![(Slot::of(&mail[2]), dead.clone())],
        fired: vec![b],
        timers: vec![timer("c", 200)],
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
    let told = |store: &Store| {
        let mail = store.mail(Address::Monitor, Lane::Normal, 0, 9).unwrap();
        let due = store.timers_due(TimestampMs(499), 9).unwrap();
        let due: Vec<_> = due.iter().map(|timer| (timer.incident.to_string(), timer.due.0)).collect();
        (mail, due, store.next_timer().unwrap(), store.dead_letters(9).unwrap(), store.health().dead_letters)
    };
    let before = told(&store);
    assert_eq!((before.0.len(), before.0[0].attempts, before.0[0].visible_at), (2, 3, TimestampMs(99_000)));
    assert_eq!((before.1.clone(), before.2), (vec![("c".to_owned(), 200)], Some(TimestampMs(200))));
    assert_eq!((before.3.clone(), before.4), (vec![dead], 1));
    store.shutdown();
    let store = open(root.path());
    assert_eq!(told(&store), before);
    store.shutdown();
    assert!(check(root.path()).unwrap().is_whole());
}
