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
fn words_generalise_where_most_else_agrees_and_the_id_stays() {
    let mut miner = Miner::default();
    let first = miner.learn("Invalid user webmaster from 1.2.3.4 port 22");
    let second = miner.learn("Invalid user oracle from 1.2.3.5 port 22");
    assert_eq!((first.id, first.is_new, second.is_new), (second.id, true, false));
    assert_eq!(miner.template(first.id).unwrap().text, "Invalid user <*> from <*> port <*>");
    assert_eq!(first.id, TemplateId::of("Invalid user webmaster from <*> port <*>"));
    assert_eq!(miner.find("Invalid user admin from 9.9.9.9 port 1"), Some(first.id));
    assert_eq!(miner.find("Something else entirely"), None);
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
