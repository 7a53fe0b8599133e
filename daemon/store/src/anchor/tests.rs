use super::*;

fn head(seq: u64) -> ChainHead {
    ChainHead { seq, ..ChainHead::genesis() }
}

fn keys(dir: &Path, name: &str) -> (SigningKey, VerifyingKey) {
    let path = dir.join(name);
    let public = generate(&path).unwrap();
    assert_eq!(read_verifying_key(&dir.join(format!("{name}.pub"))).unwrap(), public);
    (read_signing_key(&path).unwrap(), public)
}

#[test]
fn a_signature_holds_for_exactly_what_was_signed() {
    let dir = tempfile::tempdir().unwrap();
    let ((key, public), (_, other)) = (keys(dir.path(), "key"), keys(dir.path(), "other"));
    let anchor = Anchor::sign("store", head(7), TimestampMs(9), &key);
    anchor.verify(&[other, public]).unwrap();
    let code =
        |anchor: Anchor, trusted: &[VerifyingKey]| anchor.verify(trusted).map_err(|error| error.code());
    assert_eq!(code(anchor.clone(), &[other]), Err("ANCHOR_UNTRUSTED"));
    assert_eq!(code(Anchor::unsigned("store", head(7), TimestampMs(9)), &[public]), Err("ANCHOR_UNSIGNED"));
    let changed = [
        Anchor { store: "stor".to_owned(), ..anchor.clone() },
        Anchor { at: TimestampMs(8), ..anchor.clone() },
        Anchor { head: head(8), ..anchor.clone() },
        Anchor { head: ChainHead { seq: 7, hash: medic_core::Digest::of_bytes(b"x") }, ..anchor.clone() },
        Anchor { signature: Some("00".repeat(64)), ..anchor.clone() },
        Anchor { signature: Some("zz".to_owned()), ..anchor.clone() },
    ];
    for changed in changed {
        assert_eq!(code(changed.clone(), &[public]), Err("ANCHOR_FORGED"), "{changed:?}");
    }
    // Another key's name over this signature.
    let borrowed = Anchor { key: Some(hex(other.as_bytes())), ..anchor };
    assert_eq!(code(borrowed, &[other, public]), Err("ANCHOR_FORGED"));
}

#[test]
fn the_signed_bytes_are_the_documented_ones() {
    let anchor = Anchor::unsigned("s", head(7), TimestampMs(9));
    let expected = format!("medic-anchor-v1\ns\n9\n7\n{}\n", ChainHead::genesis().hash);
    assert_eq!(anchor.signed_bytes(), expected.as_bytes());
    // A published signature of RFC 8032 (test 3), so that the scheme is the one others have.
    let seed: [u8; 32] = unhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7").unwrap();
    let signature = SigningKey::from_bytes(&seed).sign(&[0xaf, 0x82]);
    assert!(
        hex(&signature.to_bytes())
            .starts_with("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac")
    );
}

#[test]
fn a_private_key_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    generate(&path).unwrap();
    assert_eq!(
        generate(&path).map_err(|error| error.code()),
        Err("ANCHOR_IO"),
        "a key is never written over"
    );
    for mode in [0o640, 0o604, 0o620, 0o700] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            read_signing_key(&path).map_err(|error| error.code()),
            Err("ANCHOR_KEY_EXPOSED"),
            "{mode:o}"
        );
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    read_signing_key(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    for text in ["", "00", &"0".repeat(63), &"g".repeat(64), &"A".repeat(64)] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(read_signing_key(&path).map_err(|error| error.code()), Err("ANCHOR_KEY"), "{text}");
    }
}

#[test]
fn a_line_that_a_crash_cut_off_spoils_no_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        anchor_path: Some(dir.path().join("anchors.jsonl")),
        anchor_every_ms: 1_000,
        ..StoreConfig::default()
    };
    let anchors = Anchors::of(&config, "store").unwrap().unwrap();
    let at = |seq| StoreHead { audit: head(seq), latest_at: TimestampMs(seq), ..StoreHead::genesis() };
    let path = config.anchor_path.clone().unwrap();
    let seqs = || -> Vec<u64> {
        let read = read_anchors(io::BufReader::new(File::open(&path).unwrap())).unwrap();
        read.iter().map(|anchor| anchor.head.seq).collect()
    };
    anchors.append_when_due(&at(0), 1_001);
    assert!(!path.exists(), "an empty chain has nothing to anchor");
    anchors.append_when_due(&at(3), 1_500);
    assert!(!path.exists(), "not yet due again");
    anchors.append_when_due(&at(4), 2_001);
    anchors.append_when_due(&at(4), 9_000);
    assert_eq!(seqs(), [4], "a chain that has not grown needs no other");
    anchors.append(&at(5));
    assert_eq!(seqs(), [4, 5]);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, whole.strip_suffix(b"\n").unwrap()).unwrap();
    anchors.append(&at(6));
    assert_eq!(seqs(), [4, 5, 6]);
    std::fs::write(&path, "{\"store\":\n").unwrap();
    let error = read_anchors(io::BufReader::new(File::open(&path).unwrap())).unwrap_err();
    assert_eq!(error.code(), "ANCHOR_LINE");
}
