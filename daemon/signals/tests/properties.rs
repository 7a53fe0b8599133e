//! Laws that hold for every input: no parser panics, output is linear in input, and the same input gives the
//! same output.

use medic_signals::logs::mask::Masked;
use medic_signals::logs::reader::{Reader, ReaderOptions, read_all};
use medic_signals::logs::{AnalyzeOptions, Baseline, LogRecord, Miner, analyze, novelty, translate};
use medic_signals::redact::redact;
use medic_signals::series::{Sample, Series, TimeRange};
use medic_signals::{anomaly, shift, timestamp, trend};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Pieces that parsers stumble over, in any order and number.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{\"a\":"),
        Just("{\"msg\":\"x\"}"),
        Just("}"),
        Just("[["),
        Just("]"),
        Just("\""),
        Just("'"),
        Just("\\"),
        Just("="),
        Just("k=v "),
        Just("k=\""),
        Just("2024-05-01T10:05:00Z "),
        Just("Jun 14 15:16:01 "),
        Just("stdout P "),
        Just("stderr F "),
        Just("INFO "),
        Just("\n"),
        Just("\r\n"),
        Just("\t"),
        Just(" "),
        Just(","),
        Just("|"),
        Just("a,b,time,message\n"),
        Just("\u{0}"),
        Just("é"),
        Just("𝕏"),
        Just("<*>"),
        Just("10.0.0.1"),
        Just("/"),
        Just("://"),
        Just("password="),
        Just("-----BEGIN PRIVATE KEY-----"),
        Just("4111 1111 1111 1111"),
        Just("@x.yz"),
        Just("last 5 "),
        Just("between "),
        Just("and "),
        Just("about "),
        Just("not "),
        Just("errors "),
        Just("9999999999999999999999"),
        Just("Traceback (most recent call last)"),
        Just("at "),
        Just("-"),
        Just(":"),
        Just("[12345"),
    ];
    prop_oneof![
        proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat()),
        ".{0,200}",
        "[ -~\n]{0,400}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_reader_takes_any_bytes_in_any_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..2000), size in 1usize..64) {
        let whole = read_all(&bytes, ReaderOptions::default());
        let mut reader = Reader::new(ReaderOptions::default());
        let mut records: Vec<LogRecord> = bytes.chunks(size).flat_map(|piece| reader.push(piece)).collect();
        records.extend(reader.finish());
        prop_assert_eq!(&records, &whole.0);
        prop_assert!(records.len() as u64 <= whole.1.lines);
    }

    #[test]
    fn reading_mining_and_analysing_never_panic_and_stay_linear(text in nasty()) {
        let (records, stats) = read_all(text.as_bytes(), ReaderOptions::default());
        let kept: usize = records.iter().map(|record| record.message.len() + record.raw.len()).sum();
        // Lossy decoding makes three bytes of one; a record without a message shows its fields instead.
        prop_assert!(kept <= 8 * text.len() + 64, "{} from {}", kept, text.len());
        prop_assert!(stats.records + stats.continued + stats.blank <= stats.lines);
        let report = analyze(&records, None, &AnalyzeOptions::default());
        prop_assert_eq!(&report, &analyze(&records, None, &AnalyzeOptions::default()));
        prop_assert!(report.summary.len() <= 24 * 130);
        let baseline = Baseline::learn(&records);
        analyze(&records, Some(&baseline), &AnalyzeOptions::default());
        novelty(&records, 1_714_557_900_000);
    }

    #[test]
    fn a_mask_is_linear_and_stands_for_its_message(text in nasty()) {
        let masked = Masked::of(&text);
        prop_assert!(masked.text.len() <= 4 * text.len() + 8, "{:?}", masked.text);
        let mut miner = Miner::default();
        let first = miner.mine(&text);
        let again = miner.mine(&text);
        prop_assert_eq!(first.id, again.id);
        prop_assert!(first.is_new && !again.is_new);
        prop_assert_eq!(miner.find(&text), Some(first.id));
    }

    #[test]
    fn a_question_of_any_words_is_a_query(text in nasty(), now_ms in 0u64..4_000_000_000_000) {
        let query = translate(&text, now_ms);
        prop_assert_eq!(&query, &translate(&text, now_ms));
        prop_assert!(query.limit >= 1 && query.limit <= 10_000);
        prop_assert!(query.to_string().len() <= 8 * text.len() + 400);
        query.matches(&LogRecord { message: text, ..LogRecord::default() });
    }

    #[test]
    fn redaction_is_linear_and_done_once(text in nasty()) {
        let once = redact(&text);
        prop_assert!(once.text.len() <= 8 * text.len() + 64);
        let twice = redact(&once.text);
        prop_assert_eq!(&twice.text, &once.text);
    }

    #[test]
    fn a_timestamp_lies_within_its_text(text in nasty()) {
        if let Some(found) = timestamp::find(&text, 2024) {
            prop_assert!(found.length <= text.len());
            timestamp::show(found.at_ms);
        }
        timestamp::show(u64::MAX);
    }

    #[test]
    fn detectors_take_any_numbers(
        values in proptest::collection::vec(prop_oneof![any::<f64>(), -10.0..10.0, Just(0.0), Just(f64::NAN)], 0..200),
        times in proptest::collection::vec(0u64..400_000, 0..200),
        alert_at_ms in any::<u64>(),
    ) {
        let samples = values.iter().zip(&times).map(|(value, at_ms)| Sample { at_ms: *at_ms, value: *value }).collect();
        let series = Series::new(BTreeMap::new(), samples);
        for at_ms in [alert_at_ms, 200_000] {
            if let Some(found) = shift::detect(&series, at_ms, &shift::ShiftOptions::default()) {
                prop_assert!((0.0..=1.0).contains(&found.score), "{:?}", found);
            }
        }
        if let Some(found) = trend::detect(&series, TimeRange::new(0, u64::MAX), &trend::TrendOptions::default()) {
            prop_assert!((0.0..=1.0).contains(&found.score), "{:?}", found);
            found.reaches_ms(1e300);
        }
        let points = anomaly::score(&series.rate(), &anomaly::AnomalyOptions::default());
        anomaly::episodes(&points, &anomaly::AnomalyOptions::default());
        series.minus(&series).over(&series);
    }
}
