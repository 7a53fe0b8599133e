//! The exported audit log: whatever is done to it is found without a database.

use crate::support::{open, record};
use medic_core::audit::ChainHead;
use medic_ports::Journal;
use medic_ports::journal::Batch;
use medic_store::{ExportError, export_audit, verify_export, verify_export_against};
use proptest::prelude::*;
use std::path::Path;
use std::sync::OnceLock;

const RECORDS: usize = 24;

async fn filled(dir: &Path, story: &str) -> (Vec<u8>, ChainHead) {
    let store = open(dir);
    for n in 0..RECORDS / 2 {
        let audit = vec![record(&format!("{story} {n}")), record(&format!("{story} {n} ä \"quoted\"\n"))];
        store.commit(Batch { audit, ..Batch::default() }).await.unwrap();
    }
    let mut export = Vec::new();
    let head = store.export_audit(&mut export).unwrap();
    assert_eq!(head, store.health().audit_head);
    (export, head)
}

/// Two exports of stores with different stories.
fn exports() -> &'static (Vec<u8>, Vec<u8>) {
    static EXPORTS: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    EXPORTS.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let export = |story: &str| {
            let dir = tempfile::tempdir().unwrap();
            runtime.block_on(filled(dir.path(), story)).0
        };
        (export("one"), export("two"))
    })
}

#[tokio::test]
async fn an_export_verifies_with_no_database_and_is_the_same_open_or_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (export, head) = filled(dir.path(), "one").await;
    assert_eq!(verify_export(export.as_slice()).unwrap(), head);
    let mut offline = Vec::new();
    export_audit(dir.path(), &mut offline).unwrap();
    assert_eq!(offline, export);
    let first = export.split(|byte| *byte == b'\n').next().unwrap();
    let header: serde_json::Value = serde_json::from_slice(first).unwrap();
    assert_eq!((header["count"].as_u64(), header["head"]["seq"].as_u64()), (Some(24), Some(24)));

    let empty = tempfile::tempdir().unwrap();
    let mut export = Vec::new();
    open(empty.path()).export_audit(&mut export).unwrap();
    assert_eq!(verify_export(export.as_slice()).unwrap(), ChainHead::genesis());
}

#[test]
fn anchors_find_a_chain_that_was_forged_as_a_whole() {
    let (one, two) = exports();
    let head = verify_export(one.as_slice()).unwrap();
    let lines: Vec<&[u8]> = one.split_inclusive(|byte| *byte == b'\n').collect();
    let record: medic_core::audit::ChainedRecord = serde_json::from_slice(lines[7]).unwrap();
    let early = ChainHead { seq: record.seq, hash: record.hash };
    let anchors = || vec![head.clone(), early.clone()];
    assert_eq!(verify_export_against(one.as_slice(), anchors()).unwrap(), head);
    // The other chain is whole in itself, and as long.
    verify_export(two.as_slice()).unwrap();
    for anchors in [vec![head.clone()], vec![early.clone()]] {
        let error = verify_export_against(two.as_slice(), anchors).unwrap_err();
        assert_eq!(error.code(), "AUDIT_CHAIN", "{error}");
    }
    let beyond = ChainHead { seq: 25, hash: head.hash.clone() };
    assert_eq!(verify_export_against(one.as_slice(), vec![beyond]).unwrap_err().code(), "AUDIT_CHAIN");
}

#[test]
fn what_is_no_export_is_said_to_be_none() {
    let code = |bytes: &[u8]| verify_export(bytes).map_err(|error: ExportError| error.code());
    assert_eq!(code(b""), Err("AUDIT_HEADER"));
    assert_eq!(code(b"{}\n"), Err("AUDIT_HEADER"));
    assert_eq!(code(b"hello"), Err("AUDIT_LINE"));
    assert_eq!(code(b"\xff\xfe\n"), Err("AUDIT_LINE"));
    let (one, _) = exports();
    let newer = String::from_utf8(one.clone()).unwrap().replacen("\"medic_audit\":1", "\"medic_audit\":2", 1);
    assert_eq!(code(newer.as_bytes()), Err("AUDIT_HEADER"));
}

#[derive(Clone, Debug)]
enum Tampering {
    /// Any byte becomes any other.
    Edit {
        at: prop::sample::Index,
        with: u8,
    },
    InsertByte {
        at: prop::sample::Index,
        byte: u8,
    },
    RemoveByte {
        at: prop::sample::Index,
    },
    DeleteLine {
        line: prop::sample::Index,
    },
    RepeatLine {
        line: prop::sample::Index,
    },
    SwapLines {
        one: prop::sample::Index,
        other: prop::sample::Index,
    },
    Truncate {
        to: prop::sample::Index,
    },
    /// Lines of another store's export in place of this one's.
    Splice {
        from: prop::sample::Index,
        until: prop::sample::Index,
    },
    Append {
        line: prop::sample::Index,
    },
}

fn tampering() -> impl Strategy<Value = Tampering> {
    use Tampering::*;
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, with)| Edit { at, with }),
        (index(), any::<u8>()).prop_map(|(at, byte)| InsertByte { at, byte }),
        index().prop_map(|at| RemoveByte { at }),
        index().prop_map(|line| DeleteLine { line }),
        index().prop_map(|line| RepeatLine { line }),
        (index(), index()).prop_map(|(one, other)| SwapLines { one, other }),
        index().prop_map(|to| Truncate { to }),
        (index(), index()).prop_map(|(from, until)| Splice { from, until }),
        index().prop_map(|line| Append { line }),
    ]
}

fn tamper(export: &[u8], other: &[u8], tampering: &Tampering) -> Vec<u8> {
    use Tampering::*;
    let split = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let (mut bytes, mut lines, others) = (export.to_vec(), split(export), split(other));
    match tampering {
        Edit { at, with } => {
            let at = at.index(bytes.len());
            bytes[at] = *with;
            return bytes;
        }
        InsertByte { at, byte } => {
            bytes.insert(at.index(bytes.len() + 1), *byte);
            return bytes;
        }
        RemoveByte { at } => {
            bytes.remove(at.index(bytes.len()));
            return bytes;
        }
        Truncate { to } => return export[..to.index(bytes.len())].to_vec(),
        DeleteLine { line } => drop(lines.remove(line.index(lines.len()))),
        RepeatLine { line } => {
            let at = line.index(lines.len());
            lines.insert(at, lines[at].clone());
        }
        SwapLines { one, other } => {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
        }
        Splice { from, until } => {
            let (a, b) = (from.index(lines.len()), until.index(lines.len()));
            let range = a.min(b)..=a.max(b);
            // All of it would be the other export itself: whole, and told apart by an anchor only.
            if range != (0..=lines.len() - 1) {
                lines[range.clone()].clone_from_slice(&others[range]);
            }
        }
        Append { line } => lines.push(lines[line.index(lines.len())].clone()),
    }
    lines.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]
    #[test]
    fn every_tampering_with_an_export_is_found(steps in prop::collection::vec(tampering(), 1..3)) {
        let (one, two) = exports();
        let tampered = steps.iter().fold(one.clone(), |bytes, step| {
            if bytes.is_empty() { bytes } else { tamper_checked(&bytes, two, step) }
        });
        let verified = verify_export(tampered.as_slice());
        prop_assert_eq!(verified.is_ok(), tampered == *one || tampered == *two, "{:?}", steps);
    }
}

/// Line counts differ after an earlier step: such a splice is left out.
fn tamper_checked(bytes: &[u8], other: &[u8], step: &Tampering) -> Vec<u8> {
    let lines = |bytes: &[u8]| bytes.split_inclusive(|byte| *byte == b'\n').count();
    if matches!(step, Tampering::Splice { .. }) && lines(bytes) != lines(other) {
        return bytes.to_vec();
    }
    tamper(bytes, other, step)
}
