use super::*;

fn mined(messages: &[&str]) -> Miner {
    let mut miner = Miner::default();
    for message in messages {
        miner.learn(message);
    }
    miner
}

fn texts(miner: &Miner) -> Vec<(u64, String)> {
    miner.templates().into_iter().map(|template| (template.count, template.text)).collect()
}

#[test]
fn messages_that_differ_in_values_share_a_template() {
    let miner = mined(&[
        "Received block blk_1 of size 67108864 from /10.0.0.1",
        "Received block blk_-2 of size 9 from /10.0.0.2",
        "Deleting block blk_1 file /mnt/blk_1",
    ]);
    assert_eq!(
        texts(&miner),
        [(2, "Received block <*> of size <*> from <*>".into()), (1, "Deleting block <*> file <*>".into())]
    );
}

#[test]
fn a_place_for_names_generalises_with_the_third_and_the_id_stays() {
    let mut miner = Miner::default();
    let first = miner.learn("Invalid user webmaster from 1.2.3.4 port 22");
    let second = miner.learn("Invalid user oracle from 1.2.3.5 port 22");
    assert!(first.is_new && second.is_new && first.id != second.id, "two words may be two messages");
    let third = miner.learn("Invalid user admin from 1.2.3.6 port 22");
    assert_eq!((third.id, third.is_new), (first.id, false));
    assert_eq!(miner.resolve(second.id), first.id, "the second has merged into the first");
    assert_eq!(miner.template(second.id).unwrap().text, "Invalid user <*> from <*> port <*>");
    assert_eq!(texts(&miner), [(3, "Invalid user <*> from <*> port <*>".into())]);
    assert_eq!(first.id, TemplateId::of("Invalid user webmaster from <*> port <*>"));
    assert_eq!(miner.find("Invalid user guest from 9.9.9.9 port 1"), Some(first.id));
    assert_eq!(miner.find("Something else entirely"), None);
}

#[test]
fn opposites_and_states_never_become_a_variable() {
    let mut messages = Vec::new();
    for round in 0..20 {
        for word in ["opened", "closed"] {
            messages.push(format!("session {round} {word} for the user by the door"));
        }
        for state in ["NEW", "RUNNING", "FAILED", "KILLED"] {
            messages.push(format!("task_{round} went from ASSIGNED to {state} in the queue of work"));
        }
    }
    let miner = mined(&messages.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(miner.len(), 6, "{:?}", texts(&miner));
    let names: Vec<String> = (0..60)
        .map(|i| {
            format!(
                "quote for {} came from the exchange",
                "ABCDEFGHIJ".get(i % 10..i % 10 + 1).unwrap().repeat(2 + i / 10)
            )
        })
        .collect();
    let miner = mined(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(miner.len() < 20, "so many capitals are names: {:?}", texts(&miner));
}

#[test]
fn settled_templates_keep_apart_and_take_new_ones_in() {
    let mut miner =
        mined(&["Invalid user ann from 1.2.3.4 port 22", "Invalid user bob from 1.2.3.4 port 22"]);
    let before: Vec<TemplateId> = miner.templates().iter().map(|template| template.id).collect();
    miner.settle();
    let eve = miner.learn("Invalid user eve from 1.2.3.4 port 22").id;
    assert_eq!(eve, TemplateId::of("Invalid user ann from <*> port <*>"), "the oldest takes in what is new");
    let bob = miner.find("Invalid user bob from 1.2.3.4 port 22");
    assert_eq!(bob, Some(TemplateId::of("Invalid user bob from <*> port <*>")));
    let after: std::collections::BTreeSet<TemplateId> = before.iter().map(|id| miner.resolve(*id)).collect();
    assert_eq!(after, before.into_iter().collect());
    assert_eq!(miner.len(), 2, "{:?}", texts(&miner));
}

#[test]
fn a_restored_miner_goes_on_as_if_nothing_had_happened() {
    let message = |i: u32| match i % 4 {
        0 => format!("user u{} logged in from 10.0.0.{}", i, i % 200),
        1 => format!(
            "user {} logged out of the portal",
            ["ann", "bob", "eve", "kim", "lee"][i as usize / 4 % 5]
        ),
        2 => format!("task {i} moved to {}", ["RUNNING", "DONE"][i as usize / 4 % 2]),
        _ => format!("{0} of {0}", char::from(b'a' + (i / 4 % 26) as u8).to_string().repeat(3)),
    };
    let options = MinerOptions { templates_max: 24, ..MinerOptions::default() };
    let (mut whole, mut part) = (Miner::new(options.clone()), Miner::new(options));
    for i in 0..150 {
        whole.learn(&message(i));
        part.learn(&message(i));
    }
    let text = serde_json::to_string(&part.state()).unwrap();
    let mut restored = Miner::restore(serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(serde_json::to_string(&restored.state()).unwrap(), text);
    for i in 150..400 {
        assert_eq!(whole.learn(&message(i)).id, restored.learn(&message(i)).id, "{}", message(i));
    }
    assert_eq!(whole.templates(), restored.templates());
    assert!(whole.evicted() > 0 && whole.evicted() == restored.evicted());
    let later = MinerState { version: MINER_STATE_VERSION + 1, ..restored.state() };
    assert_eq!(Miner::restore(later).err(), Some(MinerStateError(MINER_STATE_VERSION + 1)));
}

#[test]
fn opposite_short_messages_stay_apart() {
    let miner = mined(&["service started", "service stopped", "lock acquired", "lock released"]);
    assert_eq!(miner.len(), 4);
}

#[test]
fn parameters_come_back_with_their_types() {
    let mut miner = Miner::default();
    let mined = miner.mine(
        "GET /cart/7 from 10.0.0.1:80 took 15ms, status=200 id=550e8400-e29b-41d4-a716-446655440000 ratio 0.5 by user7",
    );
    let found: Vec<(&str, ParameterKind)> =
        mined.parameters.iter().map(|parameter| (parameter.value.as_str(), parameter.kind)).collect();
    assert_eq!(
        found,
        [
            ("/cart/7", ParameterKind::Path),
            ("10.0.0.1:80", ParameterKind::Address),
            ("15ms", ParameterKind::Quantity),
            ("200", ParameterKind::Integer),
            ("550e8400-e29b-41d4-a716-446655440000", ParameterKind::Uuid),
            ("0.5", ParameterKind::Decimal),
            ("user7", ParameterKind::Identifier),
        ]
    );
}

#[test]
fn ids_are_the_same_after_a_restart_and_in_any_seeded_miner() {
    let messages = ["user ann logged in from 1.1.1.1", "user bob logged in from 2.2.2.2", "cache miss 7"];
    let before = mined(&messages);
    assert_eq!(mined(&messages).templates(), before.templates());
    let known = before.templates();
    let mut seeded = Miner::default();
    seeded.seed(known.iter().map(|template| (template.id, template.text.as_str())));
    let found = seeded.learn("user eve logged in from 3.3.3.3");
    assert_eq!((Some(found.id), found.is_new), (before.find(messages[0]), false));
}

#[test]
fn memory_is_bounded_and_what_was_forgotten_is_said() {
    let mut miner =
        Miner::new(MinerOptions { templates_max: 64, cache_entries_max: 16, ..MinerOptions::default() });
    let word = |i: u32| -> String {
        format!("{:06}", i).bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
    };
    miner.learn("kept in use");
    for i in 0..1000 {
        miner.learn(&format!("{} happened", word(i)));
        assert!(!miner.learn("kept in use").is_new, "what is used stays");
        assert!(miner.len() <= 64 && miner.cache.len() <= 16);
    }
    assert_eq!(miner.evicted() + miner.len() as u64, 1001);
}

#[test]
fn an_id_reads_back_from_its_text_and_nothing_else_does() {
    let id = TemplateId::of("x");
    assert_eq!(id.to_string().parse::<TemplateId>(), Ok(id));
    for bad in ["", "xyz", "0123456789abcde", "0123456789abcdefa", "+123456789abcdef"] {
        assert!(bad.parse::<TemplateId>().is_err(), "{bad}");
    }
}
