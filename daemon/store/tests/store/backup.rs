//! A copy is a store; what it left open is unknown, because the world went on.

use crate::support::{effect, everything, open, refusal};
use medic_core::mail::{Address, Lane};
use medic_core::{IncidentId, TimestampMs};
use medic_ports::Journal;
use medic_ports::journal::{Batch, EffectState};
use medic_store::check;

#[tokio::test]
async fn a_backup_holds_everything_and_its_open_effects_are_unknown() {
    let root = tempfile::tempdir().unwrap();
    let (dir, copy) = (root.path().join("store"), root.path().join("copies/monday"));
    let store = open(&dir);
    for name in ["intent", "started", "done"] {
        store.commit(everything(name)).await.unwrap();
    }
    for later in [
        vec![effect("started", EffectState::Started), effect("done", EffectState::Started)],
        vec![effect("done", EffectState::Done)],
    ] {
        store.commit(Batch { effects: later, ..Batch::default() }).await.unwrap();
    }
    store.backup(&copy).unwrap();
    assert_eq!(store.backup(&copy).map_err(|error| error.code()), Err("BACKUP_EXISTS"));
    store.commit(everything("after")).await.unwrap();
    store.shutdown();
    assert!(check(&copy).unwrap().is_whole());

    for epoch in [2, 3] {
        let restored = open(&copy);
        assert_eq!((restored.boot().epoch, restored.boot().restored), (epoch, epoch == 2));
        assert_eq!(restored.id(), store.id(), "the same history");
        let state =
            |name| restored.effect(&effect(name, EffectState::Intent).id).unwrap().map(|effect| effect.state);
        assert_eq!(state("intent"), Some(EffectState::Unknown));
        assert_eq!(state("started"), Some(EffectState::Unknown));
        assert_eq!(state("done"), Some(EffectState::Done));
        assert_eq!(state("after"), None);
        assert_eq!(restored.mail(Address::Executor, Lane::Normal, 0, 9).unwrap().len(), 3);
        assert_eq!(restored.timers_due(TimestampMs(9_000), 9).unwrap().len(), 3);
        assert!(restored.incident(&IncidentId::from("done")).unwrap().is_some());
        let audit = restored.audit(4, 9).unwrap();
        assert_eq!(
            audit.iter().map(|chained| chained.record.kind.as_str()).collect::<Vec<_>>(),
            ["restored"; 3]
        );
        restored.shutdown();
    }
    assert!(check(&copy).unwrap().is_whole());
    let original = open(&dir);
    let untouched = original.effect(&effect("started", EffectState::Intent).id).unwrap();
    assert_eq!(untouched.map(|effect| effect.state), Some(EffectState::Started));
}

#[tokio::test]
async fn a_copy_that_was_not_finished_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let (dir, copy) = (root.path().join("store"), root.path().join("copy"));
    let store = open(&dir);
    store.commit(everything("a")).await.unwrap();
    store.backup(&copy).unwrap();
    std::fs::remove_file(copy.join("HEAD")).unwrap();
    assert_eq!(refusal(&copy), "STORE_WITNESS_MISSING");
}
