//! `kill -9` while letters come in: whatever was acknowledged is there afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "a test may be blunt"
)]

use crate::support::{everything, open};
use medic_core::IncidentId;
use medic_core::mail::{Address, Lane};
use medic_ports::fake::journal_contract::letter;
use medic_ports::journal::Batch;
use medic_ports::{Journal, JournalError};
use medic_store::check;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

const DIR: &str = "MEDIC_STORE_KILL_DIR";
const ROUND: &str = "MEDIC_STORE_KILL_ROUND";
const ROUNDS: usize = 10;
const SENDERS: usize = 8;

/// The victim: writes until it is killed, and says each name once it is acknowledged. Does nothing in a normal run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let round = std::env::var(ROUND).unwrap();
    let store = Arc::new(open(&PathBuf::from(dir)));
    let tasks: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (store, round) = (Arc::clone(&store), round.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let name = format!("{round}-{sender}-{n}");
                    let result = if sender % 2 == 0 {
                        store.enqueue(vec![letter(&name, Address::Monitor, Lane::Normal)]).await.map(|_| ())
                    } else {
                        store.commit(everything(&name)).await.map(|_| ())
                    };
                    match result {
                        Ok(()) => writeln!(std::io::stderr(), "acknowledged {name}").unwrap(),
                        // Nobody reads the mail here: make room and go on.
                        Err(JournalError::Full { .. }) => drain(&store).await,
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn drain(store: &medic_store::Store) {
    for to in [Address::Monitor, Address::Executor] {
        let consumed = store.mail(to, Lane::Normal, 0, 100).unwrap();
        let consumed = consumed.iter().map(medic_ports::journal::Slot::of).collect();
        // Another sender may be draining the same.
        let _ = store.commit(Batch { consumed, ..Batch::default() }).await;
    }
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9() {
    let root = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 0..ROUNDS {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::victim_writes_until_it_is_killed", "--nocapture"])
            .env(DIR, root.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut acknowledged = BTreeSet::new();
        // A different number each round, so that the kill falls at different places.
        let wanted = 40 + round * 37;
        let note = |line: String, acknowledged: &mut BTreeSet<String>| {
            if let Some(name) = line.strip_prefix("acknowledged ") {
                acknowledged.insert(name.to_owned());
            }
        };
        while acknowledged.len() < wanted {
            note(lines.next().expect("the victim ended by itself"), &mut acknowledged);
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        // A line that was cut off by the kill was still acknowledged: only whole names are told apart, so drop it.
        let rest: Vec<String> = lines.collect();
        rest.into_iter().rev().skip(1).for_each(|line| note(line, &mut acknowledged));

        let report = check(root.path()).unwrap();
        assert!(report.is_whole(), "round {round}: {:?}", report.faults);
        let store = open(root.path());
        let mail: BTreeSet<String> = [Address::Monitor, Address::Executor]
            .into_iter()
            .flat_map(|to| store.mail(to, Lane::Normal, 0, usize::MAX).unwrap())
            .map(|envelope| envelope.id.to_string())
            .collect();
        for name in &acknowledged {
            assert!(mail.contains(name), "round {round}: {name} was acknowledged and is gone");
            let sender: usize = name.split('-').nth(1).unwrap().parse().unwrap();
            if sender % 2 == 1 {
                assert!(store.incident(&IncidentId::from(name.as_str())).unwrap().is_some(), "{name}");
            }
        }
        total += acknowledged.len();
        store.shutdown();
    }
    assert!(total > ROUNDS * 40);
    println!("{total} acknowledged over {ROUNDS} kills, none lost");
}
