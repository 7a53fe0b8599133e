//! What is kept of incidents: effects, decisions, their share of the chain, the counts.

use super::*;

pub(super) async fn all<M: JournalMaker>(maker: &M, room: u64) {
    effect_records_are_replaced_whole(&maker.make(room).await).await;
    effects_go_forwards_only(&maker.make(room).await).await;
    decisions_are_kept_by_incident_and_commit(&maker.make(room).await).await;
    malformed_decisions_are_refused(&maker.make(room).await).await;
    the_records_of_one_incident_are_found_with_their_places(maker, maker.make(room).await).await;
    health_counts_incidents_effects_and_time_as_they_are_written(maker, maker.make(room).await).await;
    a_dead_letter_is_taken_out_once(&maker.make(room).await).await;
}

async fn effect_records_are_replaced_whole<J: Journal>(journal: &J) {
    for state in [EffectState::Intent, EffectState::Started, EffectState::Done] {
        let effects = vec![effect(0, state), effect(1, EffectState::Intent)];
        journal.commit(Batch { effects, ..Batch::default() }).await.unwrap();
        assert_eq!(journal.effect(&effect(0, state).id), Ok(Some(effect(0, state))));
    }
    assert_eq!(
        journal.effect(&effect(1, EffectState::Intent).id).unwrap().unwrap().state,
        EffectState::Intent
    );
    assert_eq!(journal.effect(&effect(2, EffectState::Intent).id), Ok(None));
}

fn of(incident: &str, state: EffectState) -> EffectRecord {
    let id = EffectId { incident: IncidentId::from(incident), revision: 1, index: 0 };
    EffectRecord { id, ..effect(0, state) }
}

fn written(records: Vec<EffectRecord>) -> Batch {
    Batch { effects: records, ..Batch::default() }
}

async fn effects_go_forwards_only<J: Journal>(journal: &J) {
    use EffectState::{Done, Failed, Intent, Started, Unknown};
    // The way to each state, and where it may go from there.
    let ways: [(&[EffectState], &[EffectState]); 6] = [
        (&[], &[Intent, Started]),
        (&[Intent], &[Intent, Started, Failed, Unknown]),
        (&[Intent, Started], &[Started, Done, Failed, Unknown]),
        (&[Started, Done], &[Done]),
        (&[Started, Failed], &[Failed]),
        (&[Started, Unknown], &[Unknown, Done, Failed]),
    ];
    for (way, onwards) in ways {
        for next in EffectState::ALL {
            let name = format!("{way:?} {next}");
            for state in way {
                journal.commit(written(vec![of(&name, *state)])).await.unwrap();
            }
            let before = (journal.effect(&of(&name, next).id).unwrap(), journal.health().audit_head);
            let audit = vec![record(&name)];
            let batch = Batch { audit, ..written(vec![of(&name, next)]) };
            let result = journal.commit(batch).await;
            if onwards.contains(&next) {
                result.unwrap();
                assert_eq!(journal.effect(&of(&name, next).id), Ok(Some(of(&name, next))));
            } else {
                let refused = result.unwrap_err();
                assert_eq!(refused.code(), "ILLEGAL_WRITE", "{name}");
                let after = (journal.effect(&of(&name, next).id).unwrap(), journal.health().audit_head);
                assert_eq!(after, before, "{name}: nothing was written");
            }
        }
    }
    // Within one batch the same holds, record by record.
    journal.commit(written(vec![of("both", Intent), of("both", Started)])).await.unwrap();
    let skipped = journal.commit(written(vec![of("skip", Intent), of("skip", Done)])).await;
    assert_eq!(skipped.map_err(|error| error.code()), Err("ILLEGAL_WRITE"));
    assert_eq!(journal.effect(&of("skip", Intent).id), Ok(None));
}

async fn decisions_are_kept_by_incident_and_commit<J: Journal>(journal: &J) {
    let mut commits = Vec::new();
    for revision in 1..=4 {
        let both = vec![decided("i1", revision), decided("i10", revision)];
        let committed = journal.commit(Batch { decided: both, ..Batch::default() }).await.unwrap();
        commits.push((committed.commit_seq, decided("i1", revision)));
        journal.commit(Batch { decided: vec![decided("i0", revision)], ..Batch::default() }).await.unwrap();
    }
    let i1 = IncidentId::from("i1");
    assert_eq!(journal.decided(&i1, 0, 9), Ok(commits.clone()));
    let third = commits.get(2).unwrap().0;
    assert_eq!(journal.decided(&i1, third, 1).unwrap(), commits.get(2..3).unwrap());
    assert_eq!(journal.decided(&i1, third + 1, 9).unwrap(), commits.get(3..).unwrap());
    assert_eq!(journal.decided(&i1, 0, 0), Ok(Vec::new()));
    assert_eq!(journal.decided(&IncidentId::from("i"), 0, 9), Ok(Vec::new()), "a prefix is not the incident");
}

async fn malformed_decisions_are_refused<J: Journal>(journal: &J) {
    let mut mixed = decided("i1", 1);
    mixed.decisions.extend(decided("i2", 1).decisions);
    let empty = Decided { decisions: Vec::new(), ..decided("i1", 1) };
    for rows in [vec![mixed], vec![empty], vec![decided("i1", 1), decided("i1", 2)]] {
        let batch = Batch { decided: rows, audit: vec![record("refused")], ..Batch::default() };
        assert_eq!(journal.commit(batch).await.map_err(|error| error.code()), Err("ILLEGAL_WRITE"));
    }
    assert_eq!(journal.health().audit_head.seq, 0);
    assert_eq!(journal.decided(&IncidentId::from("i1"), 0, 9), Ok(Vec::new()));
}

fn told(incident: Option<&str>, at: u64) -> AuditRecord {
    AuditRecord { incident: incident.map(IncidentId::from), at: TimestampMs(at), ..record("told") }
}

async fn the_records_of_one_incident_are_found_with_their_places<M: JournalMaker>(
    maker: &M,
    journal: M::Journal,
) {
    for round in 0..3 {
        let audit =
            [None, Some("i1"), Some("i10"), Some("i1")].map(|incident| told(incident, round)).to_vec();
        journal.commit(Batch { audit, ..Batch::default() }).await.unwrap();
    }
    let all = journal.audit(1, 99).unwrap();
    let wanted =
        |seq: &[u64]| -> Vec<_> { all.iter().filter(|record| seq.contains(&record.seq)).cloned().collect() };
    let journal = maker.reopen(journal).await;
    let i1 = IncidentId::from("i1");
    assert_eq!(journal.audit_of(&i1, 0, 99), Ok(wanted(&[2, 4, 6, 8, 10, 12])));
    assert_eq!(journal.audit_of(&i1, 5, 2), Ok(wanted(&[6, 8])));
    assert_eq!(journal.audit_of(&IncidentId::from("i10"), 4, 99), Ok(wanted(&[7, 11])));
    assert_eq!(journal.audit_of(&IncidentId::from("i"), 0, 99), Ok(Vec::new()));
}

async fn health_counts_incidents_effects_and_time_as_they_are_written<M: JournalMaker>(
    maker: &M,
    journal: M::Journal,
) {
    let empty = journal.health();
    assert_eq!((empty.incidents, empty.latest_at, empty.open_effects), (BTreeMap::new(), TimestampMs(0), 0));
    let resolved = Phase::Resolved { at: TimestampMs(9), how: Resolution::ByItself };
    let first = Batch {
        incidents: ["i1", "i2", "i3"].map(opened).to_vec(),
        effects: vec![
            of("i1", EffectState::Intent),
            of("i2", EffectState::Intent),
            of("i3", EffectState::Started),
        ],
        audit: vec![told(None, 5_000), told(None, 3_000)],
        ..Batch::default()
    };
    journal.commit(first).await.unwrap();
    let closing = |id: &str| IncidentWrite {
        next: Incident { phase: resolved.clone(), ..incident(id, 2) },
        expected_revision: Some(1),
    };
    let second = Batch {
        incidents: vec![closing("i2")],
        effects: vec![of("i1", EffectState::Started), of("i2", EffectState::Failed)],
        audit: vec![told(None, 4_000)],
        ..Batch::default()
    };
    journal.commit(second).await.unwrap();
    // What is refused counts nowhere.
    let refused = Batch {
        incidents: vec![opened("i1")],
        effects: vec![of("i9", EffectState::Intent)],
        audit: vec![told(None, 9_000)],
        ..Batch::default()
    };
    journal.commit(refused).await.unwrap_err();
    let expected = BTreeMap::from([(PhaseName::AlertReceived, 2), (PhaseName::Resolved, 1)]);
    let counted = |journal: &M::Journal| {
        let health = journal.health();
        (health.incidents, health.latest_at, health.open_effects)
    };
    assert_eq!(counted(&journal), (expected.clone(), TimestampMs(5_000), 2), "time never goes back");
    let late = Letter { at: TimestampMs(6_000), ..letter("late", Address::Monitor, Lane::Normal) };
    journal.enqueue(vec![late, letter("early", Address::Monitor, Lane::Normal)]).await.unwrap();
    let journal = maker.reopen(journal).await;
    assert_eq!(counted(&journal), (expected.clone(), TimestampMs(6_000), 2), "a letter tells the time too");
    let fired = Letter { at: TimestampMs(7_000), ..letter("fired", Address::Monitor, Lane::Normal) };
    journal.commit(Batch { letters: vec![fired], ..Batch::default() }).await.unwrap();
    assert_eq!(counted(&journal), (expected, TimestampMs(7_000), 2));
}

async fn a_dead_letter_is_taken_out_once<J: Journal>(journal: &J) {
    let letters = ["a", "b"].map(|name| letter(name, Address::Executor, Lane::Normal));
    journal.enqueue(letters.to_vec()).await.unwrap();
    let mut dead = Vec::new();
    for (envelope, at) in lane(journal, Address::Executor, Lane::Normal).into_iter().zip([9, 8]) {
        dead.push(DeadLetter { envelope, error: "it panicked".to_owned(), at: TimestampMs(at) });
    }
    let burials = dead.iter().map(|dead| (Slot::of(&dead.envelope), dead.clone())).collect();
    journal.commit(Batch { dead: burials, ..Batch::default() }).await.unwrap();
    dead.reverse();
    assert_eq!(journal.dead_letters(9).unwrap(), dead, "oldest first");
    let again = letter("a again", Address::Executor, Lane::Normal);
    let place = dead.last().unwrap().place();
    let redrive = Batch { unburied: vec![place], letters: vec![again], ..Batch::default() };
    journal.commit(redrive.clone()).await.unwrap();
    assert_eq!(journal.dead_letters(9).unwrap().len(), 1);
    assert_eq!((journal.health().dead_letters, depth(journal, Address::Executor)), (1, 1));
    let twice = journal.commit(redrive).await;
    assert!(matches!(twice, Err(JournalError::Conflict { .. })), "{twice:?}");
    let other = dead.first().unwrap().place();
    let doubled = journal.commit(Batch { unburied: vec![other, other], ..Batch::default() }).await;
    assert!(matches!(doubled, Err(JournalError::Conflict { .. })), "{doubled:?}");
    assert_eq!(journal.health().dead_letters, 1);
}
