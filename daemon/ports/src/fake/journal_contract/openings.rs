//! How openings follow each other: orderly ends, kills, copies.

use super::*;
use crate::journal::Suspect;

pub(super) async fn all<M: JournalMaker>(maker: &M, room: u64) {
    unclean_ends_are_counted_until_one_is_orderly_or_the_run_has_settled(maker, maker.make(room).await).await;
    a_letter_that_was_marked_at_the_end_is_suspect(maker, maker.make(room).await).await;
    a_copy_put_back_knows_that_the_world_went_on(maker, maker.make(room).await).await;
}

async fn unclean_ends_are_counted_until_one_is_orderly_or_the_run_has_settled<M: JournalMaker>(
    maker: &M,
    journal: M::Journal,
) {
    let told = |journal: &M::Journal| {
        let boot = journal.boot();
        assert_eq!((boot.suspect, boot.restored), (None, false));
        (boot.epoch, boot.unclean_in_a_row)
    };
    assert_eq!(told(&journal), (1, 0));
    let journal = maker.crash(journal).await;
    assert_eq!(told(&journal), (2, 1));
    let journal = maker.crash(journal).await;
    assert_eq!(told(&journal), (3, 2));
    journal.settled().await.unwrap();
    assert_eq!(told(&journal), (3, 2), "how it came about does not change");
    let journal = maker.crash(journal).await;
    assert_eq!(told(&journal), (4, 1));
    let journal = maker.reopen(journal).await;
    assert_eq!(told(&journal), (5, 0));
    let journal = maker.reopen(journal).await;
    assert_eq!(told(&journal), (6, 0));
}

async fn a_letter_that_was_marked_at_the_end_is_suspect<M: JournalMaker>(maker: &M, journal: M::Journal) {
    let letters = ["a", "b"].map(|name| letter(name, Address::Diagnoser, Lane::Normal));
    journal.enqueue(letters.to_vec()).await.unwrap();
    let mail = lane(&journal, Address::Diagnoser, Lane::Normal);
    let [a, b] = [0, 1].map(|n| Slot::of(mail.get(n).unwrap()));
    journal.mark(Some(b)).await.unwrap();
    journal.mark(Some(a)).await.unwrap();
    let journal = maker.crash(journal).await;
    assert_eq!(journal.boot().suspect, Some(Suspect { slot: a, strikes: 1 }), "the last one marked");
    journal.mark(Some(a)).await.unwrap();
    let journal = maker.crash(journal).await;
    assert_eq!(journal.boot().suspect, Some(Suspect { slot: a, strikes: 2 }));
    journal.mark(Some(b)).await.unwrap();
    let journal = maker.crash(journal).await;
    assert_eq!(journal.boot().suspect, Some(Suspect { slot: b, strikes: 1 }), "another one starts anew");
    journal.mark(Some(b)).await.unwrap();
    journal.mark(None).await.unwrap();
    let journal = maker.crash(journal).await;
    assert_eq!(journal.boot().suspect, None, "it was handled, or nothing was");
    journal.mark(Some(a)).await.unwrap();
    journal.commit(Batch { consumed: vec![a], ..Batch::default() }).await.unwrap();
    let journal = maker.crash(journal).await;
    assert_eq!(journal.boot().suspect, None, "it was handled before the end came");
    journal.mark(Some(b)).await.unwrap();
    let journal = maker.reopen(journal).await;
    assert_eq!((journal.boot().suspect, journal.boot().unclean_in_a_row), (None, 0), "an orderly end");
    assert_eq!(names(&lane(&journal, Address::Diagnoser, Lane::Normal)), ["b"]);
}

async fn a_copy_put_back_knows_that_the_world_went_on<M: JournalMaker>(maker: &M, journal: M::Journal) {
    let record_of = |index, state| effect(index, state);
    let effects = vec![
        record_of(0, EffectState::Intent),
        record_of(1, EffectState::Started),
        record_of(2, EffectState::Started),
    ];
    journal.commit(Batch { effects, audit: vec![record("before")], ..Batch::default() }).await.unwrap();
    let done = vec![record_of(2, EffectState::Done)];
    journal.commit(Batch { effects: done, ..Batch::default() }).await.unwrap();
    let journal = maker.restore(journal).await;
    let boot = journal.boot();
    assert_eq!((boot.epoch, boot.restored, boot.unclean_in_a_row, boot.suspect), (2, true, 0, None));
    for index in [0, 1] {
        let found = journal.effect(&record_of(index, EffectState::Intent).id).unwrap().unwrap();
        assert_eq!(found.state, EffectState::Unknown);
        assert_eq!(found.detail, "the store was restored from a backup");
    }
    let done = record_of(2, EffectState::Done);
    assert_eq!(journal.effect(&done.id), Ok(Some(done)));
    assert_eq!(journal.health().open_effects, 0);
    let kinds: Vec<_> =
        journal.audit(2, 9).unwrap().into_iter().map(|c| (c.record.kind, c.record.subject)).collect();
    let restored = |subject: &str| ("restored".to_owned(), subject.to_owned());
    assert_eq!(kinds, [restored("store"), restored("i1/3/0"), restored("i1/3/1")]);
    let journal = maker.reopen(journal).await;
    assert!(!journal.boot().restored, "told once");
    assert_eq!(journal.boot().epoch, 3);
}
