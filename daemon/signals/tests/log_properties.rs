//! Laws of mining and threading that hold for every log: nothing panics, nothing grows without bound, and the same lines
//! give the same bytes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may be blunt")]

use medic_signals::logs::mask::Masked;
use medic_signals::logs::record::LogRecord;
use medic_signals::logs::sessions::{SessionModel, SessionOptions, kinds, score_alone};
use medic_signals::logs::templates::{Miner, MinerOptions, MinerState, TemplateId};
use medic_signals::logs::{AnalyzeOptions, Baseline, analyze};
use proptest::prelude::*;

/// Lines in which something may thread: words, identifiers of few values, numbers, times in any order.
fn lines() -> impl Strategy<Value = Vec<(Option<u64>, String)>> {
    let word = prop_oneof![
        Just("opened".to_owned()),
        Just("closed".to_owned()),
        Just("RUNNING".to_owned()),
        Just("FAILED,".to_owned()),
        Just("for".to_owned()),
        Just("instance:".to_owned()),
        Just("[".to_owned()),
        Just("\"GET /x HTTP/1.1\"".to_owned()),
        Just("<1".to_owned()),
        Just("KB)".to_owned()),
        Just("=".to_owned()),
        Just("é-1".to_owned()),
        (0u32..6).prop_map(|n| format!("blk_-{n}000{n}")),
        (0u32..6).prop_map(|n| format!("550e8400-e29b-41d4-a716-44665544000{n}")),
        (0u32..6).prop_map(|n| format!("user{n}")),
        (-9.0e9..9.0e9).prop_map(|n: f64| n.to_string()),
        "[ -~]{0,8}",
    ];
    let line = proptest::collection::vec(word, 0..10).prop_map(|words| words.join(" "));
    proptest::collection::vec((proptest::option::of(0u64..4_000_000_000_000), line), 0..120)
}

fn records(lines: &[(Option<u64>, String)]) -> Vec<LogRecord> {
    let of = |(at, (at_ms, text)): (usize, &(Option<u64>, String))| LogRecord {
        at_ms: *at_ms,
        message: text.clone(),
        raw: text.clone(),
        line: at as u64 + 1,
        ..LogRecord::default()
    };
    lines.iter().enumerate().map(of).collect()
}

fn mined(records: &[LogRecord]) -> (Miner, Vec<TemplateId>) {
    let mut miner = Miner::default();
    let ids: Vec<TemplateId> = records.iter().map(|record| miner.learn(&record.message).id).collect();
    let ids = ids.into_iter().map(|id| miner.resolve(id)).collect();
    (miner, ids)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_line_has_a_template_that_is_known_in_the_end(lines in lines()) {
        let records = records(&lines);
        let (miner, ids) = mined(&records);
        let templates = miner.templates();
        prop_assert_eq!(templates.iter().map(|template| template.count).sum::<u64>(), records.len() as u64);
        for id in &ids {
            prop_assert!(templates.iter().any(|template| template.id == *id));
        }
        let text = serde_json::to_string(&miner.state()).unwrap();
        let restored = Miner::restore(serde_json::from_str::<MinerState>(&text).unwrap()).unwrap();
        prop_assert_eq!(restored.templates(), templates);
        for record in &records {
            prop_assert_eq!(restored.find(&record.message), miner.find(&record.message));
        }
    }

    #[test]
    fn threads_of_any_log_are_judged_alike_each_time(baseline in lines(), input in lines()) {
        let (baseline, input) = (records(&baseline), records(&input));
        let options = SessionOptions::default();
        let (miner, ids) = mined(&input);
        let words = |id| miner.template(id).map(|template| template.text).unwrap_or_default();
        prop_assert_eq!(kinds(&input, &ids), kinds(&input, &ids));
        if let Some(report) = score_alone(&input, &ids, &words, &options) {
            prop_assert_eq!(report.scores.len() as u64, report.entities);
            prop_assert!(report.scores.iter().all(|(_, score)| (0.0..=1.0).contains(score)), "{:?}", report.scores);
            prop_assert_eq!(Some(report), score_alone(&input, &ids, &words, &options));
        }
        let (other, other_ids) = mined(&baseline);
        let text = |id| other.template(id).map(|template| template.text).unwrap_or_default();
        if let Some(model) = SessionModel::learn(&baseline, &other_ids, &text, &options) {
            let report = model.score(&input, &ids, &words, &options);
            prop_assert!(report.scores.iter().all(|(_, score)| (0.0..=1.0).contains(score)), "{:?}", report.scores);
        }
        let (baseline, options) = (Baseline::learn(&baseline), AnalyzeOptions::default());
        let once = serde_json::to_string(&analyze(&input, Some(&baseline), &options)).unwrap();
        let kept: Baseline = serde_json::from_str(&serde_json::to_string(&baseline).unwrap()).unwrap();
        prop_assert_eq!(once, serde_json::to_string(&analyze(&input, Some(&kept), &options)).unwrap());
    }
}

/// A word of letters alone, different for each number.
fn word(mut number: u32) -> String {
    let mut word = String::from("w");
    while number > 0 {
        word.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
    }
    word
}

#[test]
fn lines_without_end_and_words_without_number_are_borne() {
    // Each of these would take minutes if its cost grew with the square of its length.
    let long = "x".repeat(4 << 20);
    assert!(Masked::of(&long).text.len() < 16 << 10);
    let mut miner = Miner::new(MinerOptions { templates_max: 2000, ..MinerOptions::default() });
    for text in [
        long.as_str(),
        &"a b ".repeat(1 << 20),
        &"<*> ".repeat(1 << 20),
        &"\"".repeat(1 << 20),
        &"[(".repeat(1 << 20),
    ] {
        miner.learn(text);
        miner.mine(text);
    }
    for number in 0..30_000u32 {
        miner.learn(&format!("{} {} {}", word(number), word(number * 7), word(number ^ 12_345)));
        miner.learn(&format!("the {} came in", word(number)));
        miner.learn(&format!("{} came in by the door", word(number)));
        assert!(miner.len() <= 2000);
    }
    assert!(miner.evicted() > 0, "what was forgotten is said");
    assert_eq!(miner.template(miner.find("the stranger came in").unwrap()).unwrap().text, "the <*> came in");
}

#[test]
fn threads_of_many_kinds_and_lines_of_many_names_are_borne() {
    let many: String = (0..20_000).map(|n| format!("blk_{n}000000 ")).collect();
    let lines: Vec<(Option<u64>, String)> = (0..3_000u64)
        .map(|n| {
            (
                Some(n),
                if n % 1_000 == 0 {
                    many.clone()
                } else {
                    format!("{}_{n}0000 begins id {n}", word(n as u32))
                },
            )
        })
        .collect();
    let records = records(&lines);
    let (miner, ids) = mined(&records);
    let words = |id| miner.template(id).map(|template| template.text).unwrap_or_default();
    assert!(kinds(&records, &ids).len() <= 12);
    score_alone(&records, &ids, &words, &SessionOptions::default());
}
