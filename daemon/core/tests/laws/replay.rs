//! A recorded incident replays to the last bit, and no edit of the record does.

use crate::story::{Move, event, moves, opened, policy};
use medic_core::audit::{AuditRecord, ChainHead};
use medic_core::mail::{Causation, Opening};
use medic_core::replay::export::{AuditLine, DecidedLine, Export, Header, ReplayFault, Seal};
use medic_core::replay::{Decided, Decision, LAW_KINDS, Outcome, Place, Replayed};
use medic_core::*;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

/// What the shell keeps of one incident, as lines not yet sealed.
#[derive(Clone, Debug)]
struct Recorded {
    header: Header,
    decided: Vec<DecidedLine>,
    audit: Vec<AuditLine>,
    state: Incident,
    digest: Digest,
}

impl Recorded {
    fn text(&self) -> String {
        let mut seal = Seal::default();
        let mut text = seal.line(&self.header).unwrap();
        for line in &self.decided {
            text += &seal.line(line).unwrap();
        }
        for line in &self.audit {
            text += &seal.line(line).unwrap();
        }
        let footer = seal.close(&self.state).unwrap();
        // The digest of the state as it was recorded, also where a test has edited the state.
        text + &footer.replace(Digest::of(&self.state).as_str(), self.digest.as_str())
    }

    fn replay(&self) -> Result<Replayed, ReplayFault> {
        replay(&self.text())
    }
}

fn replay(text: &str) -> Result<Replayed, ReplayFault> {
    Export::read(text)?.replay()
}

fn shell_record(kind: &str, subject: &str, why: &str, incident: Option<&str>) -> AuditRecord {
    AuditRecord {
        at: TimestampMs(7),
        incident: incident.map(IncidentId::from),
        actor: "shell".into(),
        kind: kind.into(),
        subject: subject.into(),
        rule: None,
        detail: serde_json::json!({ "why": why }),
    }
}

/// Plays a story as the shell does: several letters a commit, other incidents' records in between, a policy that changes
/// with a restart half way.
fn record(moves: &[Move], choice: u8) -> Recorded {
    let policies = [policy(choice), policy(choice.wrapping_add(1))];
    let opening = Opening { group: "cluster=lab".into(), title: "test".into() };
    let mut incident: Option<Incident> = None;
    let (mut decided, mut audit) = (Vec::<DecidedLine>::new(), Vec::new());
    let mut head = ChainHead::genesis();
    let mut at = TimestampMs(1_000);
    let first = Move { kind: 0, choice: 1, wait_ms: 1 };
    let moves: Vec<&Move> = std::iter::once(&first).chain(moves).collect();
    for (n, next) in moves.iter().enumerate() {
        at = if next.choice == 200 { at.before_ms(3_600_000) } else { at.after_ms(u64::from(next.wait_ms)) };
        let envelope = EnvelopeId::new(format!("letter-{n}"));
        let policy = &policies[usize::from(n > moves.len() / 2)];
        let opens = incident.is_none().then(|| opening.clone());
        let nothing = || Incident::open("01TEST".into(), opening.clone(), at);
        let mut now = incident.clone().unwrap_or_else(nothing);
        let happened = event(&now, next, at);
        now = incident.clone().unwrap_or_else(nothing);
        let mut records = Vec::new();
        let outcome = match step(&now, &happened, policy) {
            Step::Advanced(advance) => {
                now = advance.next;
                records.extend(advance.records.clone());
                let (effects, records) = (Digest::of(&advance.effects), Digest::of(&advance.records));
                Outcome::Advanced { revision: now.revision, effects, records }
            }
            Step::Unchanged => Outcome::Unchanged,
            Step::Refused(refusal) => {
                let why = format!("{}: {refusal}", refusal.code());
                records.push(shell_record("refusal", envelope.as_str(), &why, Some("01TEST")));
                Outcome::Refused { code: refusal.code().to_owned() }
            }
        };
        if next.choice.is_multiple_of(3) {
            records.push(shell_record("started", "an effect", "a deed", Some("01TEST")));
            records.push(shell_record("phase", "another incident's", "", Some("01OTHER")));
        }
        for record in records {
            let ours = record.incident == Some("01TEST".into());
            let (chained, next_head) = head.append(record);
            let before = std::mem::replace(&mut head, next_head).hash;
            if ours {
                audit.push(AuditLine { audit: chained, before });
            }
        }
        let decision = Decision {
            incident: "01TEST".into(),
            envelope,
            cause: Causation::Timer,
            opens,
            event: happened,
            policy: Digest::of(policy),
            outcome,
        };
        let (state, phase) = (Digest::of(&now), now.phase.name());
        incident = Some(now);
        match decided.last_mut().filter(|_| next.choice.is_multiple_of(4)) {
            Some(last) => {
                last.decided.decisions.push(decision);
                (last.decided.state, last.decided.phase) = (state, phase);
            }
            None => {
                let commit = 3 * n as u64 + 1;
                let decided_now = Decided { decisions: vec![decision], state, phase };
                decided.push(DecidedLine { commit, decided: decided_now });
            }
        }
    }
    let text = |policy: &Policy| (Digest::of(policy), serde_json::to_string(policy).unwrap());
    let header = Header::new("01TEST".into(), policies.iter().map(text).collect(), head);
    let state = incident.unwrap();
    let digest = Digest::of(&state);
    Recorded { header, decided, audit, state, digest }
}

/// Edits what the file says, and leaves it well formed and freshly sealed: whoever does this knows the format. `false`:
/// there was nothing of that kind to edit.
fn tamper(recorded: &mut Recorded, way: u8, at: &Index, other: &Index) -> bool {
    let advanced: Vec<(usize, usize)> = recorded
        .decided
        .iter()
        .enumerate()
        .flat_map(|(line, decided)| {
            let of_line = decided.decided.decisions.iter().enumerate();
            of_line
                .filter(|(_, decision)| matches!(decision.outcome, Outcome::Advanced { .. }))
                .map(move |(n, _)| (line, n))
        })
        .collect();
    let (line, n) = advanced[at.index(advanced.len())];
    let law: Vec<usize> = (0..recorded.audit.len())
        .filter(|n| LAW_KINDS.contains(&recorded.audit[*n].audit.record.kind.as_str()))
        .collect();
    let lines = recorded.decided.len();
    let decision = &mut recorded.decided[line].decided.decisions[n];
    match way {
        0 => decision.event.at = decision.event.at.after_ms(1 << 40),
        1 => decision.outcome = Outcome::Unchanged,
        2 => match &mut decision.outcome {
            Outcome::Advanced { revision, .. } => *revision += 1,
            _ => unreachable!(),
        },
        3 => match &mut decision.outcome {
            Outcome::Advanced { effects, .. } => *effects = Digest::of_bytes(b"other effects"),
            _ => unreachable!(),
        },
        4 => match &mut decision.outcome {
            Outcome::Advanced { records, .. } => *records = Digest::of_bytes(b"other records"),
            _ => unreachable!(),
        },
        5 => decision.policy = Digest::of_bytes(b"a policy nobody kept"),
        // The policy's text is edited in place.
        6 => {
            let text = recorded.header.policies.values_mut().next().unwrap();
            *text = text.replace("\"iterations_max\":3", "\"iterations_max\":4");
        }
        // The policy is edited, its digest made anew and put wherever the old one stood.
        7 => {
            let first = recorded.decided[0].decided.decisions[0].policy.clone();
            let text = recorded.header.policies.remove(&first).unwrap();
            let forged = text.replace("\"gather_deadline_ms\":60000", "\"gather_deadline_ms\":60001");
            let digest = Digest::of_bytes(forged.as_bytes());
            recorded.header.policies.insert(digest.clone(), forged);
            for decision in recorded.decided.iter_mut().flat_map(|line| &mut line.decided.decisions) {
                if decision.policy == first {
                    decision.policy = digest.clone();
                }
            }
            // A deadline that the same commit replaced again leaves no trace.
            return recorded.decided[0].decided.decisions.len() == 1;
        }
        8 => drop(recorded.decided.remove(line)),
        9 => {
            let (one, two) = (at.index(lines), other.index(lines));
            let (first, second) =
                (recorded.decided[one].decided.clone(), recorded.decided[two].decided.clone());
            recorded.decided[one].decided = second;
            recorded.decided[two].decided = first;
            // Of two commits that changed nothing, nothing tells which came first.
            return one != two && (advanced.iter().any(|(line, _)| *line == one || *line == two));
        }
        10 => recorded.decided.push(recorded.decided[line].clone()),
        11 => recorded.decided[line].decided.state = Digest::of_bytes(b"another state"),
        12 => recorded.decided[0].decided.decisions[0].opens.as_mut().unwrap().title = "other".into(),
        // A record of the law is edited and linked anew.
        13 => {
            let line = &mut recorded.audit[law[at.index(law.len())]];
            let head = ChainHead { seq: line.audit.seq - 1, hash: line.before.clone() };
            let record = AuditRecord { actor: "token:mallory".into(), ..line.audit.record.clone() };
            line.audit = head.append(record).0;
        }
        // An approval is put in, well linked.
        14 => {
            let last = recorded.audit.last().unwrap().audit.clone();
            let head = ChainHead { seq: last.seq, hash: last.hash };
            let record = shell_record("approval", "sha256:…", "", Some("01TEST"));
            let (audit, _) = head.append(record);
            recorded.header.chain_head.seq += 2;
            recorded.audit.push(AuditLine { audit, before: head.hash });
        }
        // A record of any kind is edited, its hash is not.
        15 => {
            let n = at.index(recorded.audit.len());
            recorded.audit[n].audit.record.subject += "?";
        }
        16 => drop(recorded.audit.remove(law[at.index(law.len())])),
        17 => {
            let (one, two) = (at.index(recorded.audit.len()), other.index(recorded.audit.len()));
            recorded.audit.swap(one, two);
            return one != two;
        }
        // What a refusal left in the chain is taken out.
        18 => {
            let refused: Vec<usize> = (0..recorded.audit.len())
                .filter(|n| recorded.audit[*n].audit.record.kind == "refusal")
                .collect();
            if refused.is_empty() {
                return false;
            }
            recorded.audit.remove(refused[at.index(refused.len())]);
        }
        19 => {
            recorded.state.title = "another story".into();
            recorded.digest = Digest::of(&recorded.state);
        }
        20 => recorded.digest = Digest::of_bytes(b"another digest"),
        _ => recorded.header.chain_head.seq = 0,
    }
    true
}
const WAYS: u8 = 22;

/// Edits the text and knows nothing of the format.
fn scribble(text: &str, way: u8, at: &Index, other: &Index) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (one, two) = (at.index(lines.len()), other.index(lines.len()));
    match way {
        0 => drop(lines.remove(one)),
        1 => lines.swap(one, two),
        2 => lines.insert(one, lines[two]),
        3 => lines.truncate(one),
        4 => lines[one] = lines[one].trim_end(),
        5 => return text.get(..at.index(text.len())).unwrap_or_default().to_owned(),
        _ => {
            let place = at.index(text.len());
            let letter = char::from(b"0179aZ \"{}:,-"[other.index(13)]);
            return match (text.get(..place), text.get(place + 1..)) {
                (Some(before), Some(after)) => format!("{before}{letter}{after}"),
                _ => text.to_owned(),
            };
        }
    }
    lines.concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_recorded_story_replays_bit_for_bit(moves in moves(), choice in any::<u8>()) {
        let recorded = record(&moves, choice);
        let replayed = recorded.replay().unwrap();
        prop_assert_eq!(replayed.decisions, moves.len() as u64 + 1);
        prop_assert_eq!(replayed.revisions, recorded.state.revision);
        prop_assert_eq!(replayed.audit_records, recorded.audit.len() as u64);
        prop_assert_eq!(&replayed.state, &recorded.digest);
        // Read back, the file is what was written.
        let read = Export::read(&recorded.text()).unwrap();
        prop_assert_eq!(&read.decided, &recorded.decided);
        prop_assert_eq!(&read.audit, &recorded.audit);
    }

    #[test]
    fn an_edit_that_was_sealed_anew_is_found(moves in moves(), choice in any::<u8>(), way in 0..WAYS, at in any::<Index>(), other in any::<Index>()) {
        let mut recorded = record(&moves, choice);
        if tamper(&mut recorded, way, &at, &other) {
            prop_assert!(recorded.replay().is_err(), "way {way} was not found");
        }
    }

    #[test]
    fn an_edit_of_the_text_is_found(moves in moves(), choice in any::<u8>(), way in 0u8..30, at in any::<Index>(), other in any::<Index>()) {
        let text = record(&moves, choice).text();
        let edited = scribble(&text, way, &at, &other);
        prop_assert_eq!(replay(&edited).is_err(), edited != text);
    }
}

/// Stories by a fixed generator, so that what they hold is the same each time.
fn stories(count: usize) -> Vec<Recorded> {
    let mut runner = TestRunner::deterministic();
    let one = |n: usize| {
        let moves = moves().new_tree(&mut runner).unwrap().current();
        record(&moves, n as u8)
    };
    (0..count).map(one).collect()
}

#[test]
fn every_way_of_tampering_was_tried_and_is_found() {
    let mut found = BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    for recorded in stories(20) {
        for way in 0..WAYS {
            let mut index = || any::<Index>().new_tree(&mut runner).unwrap().current();
            let (at, other) = (index(), index());
            let mut edited = recorded.clone();
            if tamper(&mut edited, way, &at, &other) {
                assert!(edited.replay().is_err(), "way {way}");
                found.insert(way);
            }
        }
    }
    assert_eq!(found.len(), usize::from(WAYS));
}

#[test]
fn the_laws_own_kinds_of_records_are_exactly_those_that_stories_make() {
    let mut runner = TestRunner::deterministic();
    let mut kinds = BTreeSet::new();
    for choice in 0..3_000u32 {
        let (mut incident, mut at) = (opened(), TimestampMs(1_000));
        for next in moves().new_tree(&mut runner).unwrap().current() {
            at = at.after_ms(u64::from(next.wait_ms));
            let happened = event(&incident, &next, at);
            if let Step::Advanced(advance) = step(&incident, &happened, &policy((choice % 256) as u8)) {
                kinds.extend(advance.records.into_iter().map(|record| record.kind));
                incident = advance.next;
            }
        }
    }
    let known: BTreeSet<String> = LAW_KINDS.into_iter().map(str::to_owned).collect();
    assert_eq!(kinds, known);
}

#[test]
fn a_divergence_names_commit_letter_event_and_both_answers() {
    let mut recorded = record(&[], 0);
    let Outcome::Advanced { revision, .. } = &mut recorded.decided[0].decided.decisions[0].outcome else {
        panic!()
    };
    *revision = 9;
    let ReplayFault::Diverged(divergence) = recorded.replay().unwrap_err() else { panic!() };
    assert_eq!(
        divergence.place,
        Place::Decision { commit: 1, envelope: "letter-0".into(), event: "alerts_arrived" }
    );
    assert_eq!(
        divergence.to_string(),
        "commit 1, letter letter-0, alerts_arrived: revision: recorded 9, made again 1"
    );
    assert_eq!(divergence.code(), "REPLAY_DIVERGED");
}

#[test]
fn an_edit_that_no_decision_shows_is_still_told_by_the_seal() {
    let recorded = record(&[], 0);
    // Nothing is decided by the cause of a letter, so that only the bytes tell.
    let edited = recorded.text().replace("\"cause\":\"timer\"", "\"cause\":\"restart\"");
    assert_ne!(edited, recorded.text());
    assert_eq!(replay(&edited).unwrap_err().code(), "REPLAY_SEAL");
    assert_eq!(replay("").unwrap_err().code(), "REPLAY_FILE");
    let newer = recorded.text().replacen("\"version\":1", "\"version\":2", 1);
    assert_eq!(replay(&newer).unwrap_err().code(), "REPLAY_FILE");
}

#[test]
fn decisions_from_before_the_record_began_are_missed_not_guessed() {
    let mut recorded = record(&[Move { kind: 3, choice: 1, wait_ms: 5 }], 0);
    recorded.decided.remove(0);
    let ReplayFault::Diverged(divergence) = recorded.replay().unwrap_err() else { panic!() };
    assert_eq!(divergence.what, "opening");
}
