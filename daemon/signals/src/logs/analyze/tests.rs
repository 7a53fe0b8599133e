use super::summary::SUMMARY_LINES_MAX;
use super::*;
use crate::timestamp;

fn record(line: u64, service: &str, level: Level, message: String) -> LogRecord {
    LogRecord {
        at_ms: Some(1_714_557_600_000 + line * 1000),
        level: Some(level),
        service: Some(service.into()),
        raw: message.clone(),
        message,
        line,
        ..LogRecord::default()
    }
}

/// Ten quiet minutes of two services; from 400 s on checkout cannot reach its database.
fn incident() -> Vec<LogRecord> {
    let mut records = Vec::new();
    for second in 0..600 {
        records.push(record(
            second,
            "checkout",
            Level::Info,
            format!("order {second} accepted in {} ms", second % 40),
        ));
        records.push(record(second, "gateway", Level::Info, format!("GET /cart/{second} 200")));
        if second % 97 == 5 {
            records.push(record(
                second,
                "gateway",
                Level::Warn,
                format!("slow client 10.0.0.{}", second % 200),
            ));
        }
        if second >= 400 && second % 3 == 0 {
            let message = format!("connection to 10.1.2.3:5432 refused, attempt {}", second % 5);
            records.push(record(second, "checkout", Level::Error, message));
        }
    }
    records
}

#[test]
fn the_onset_and_the_new_complaint_are_found_without_a_baseline() {
    let records = incident();
    let report = analyze(&records, None, &AnalyzeOptions::default());
    let onset_ms = report.onset_ms.unwrap();
    assert!(onset_ms.abs_diff(1_714_557_600_000 + 402_000) <= 3_000, "onset {}", timestamp::show(onset_ms));
    let first = report.anomalies.first().unwrap();
    assert_eq!((first.kind, first.service.as_str()), (AnomalyKind::NewTemplate, "checkout"));
    assert_eq!(first.template, "connection to <*> refused, attempt <*>");
    assert!(first.evidence.iter().all(|line| line.text.contains("refused")) && first.evidence.len() == 3);
    assert_eq!(report.new_templates.len(), 1);
    assert!(report.summary.lines().count() <= SUMMARY_LINES_MAX && report.summary.contains("checkout"));
    let novelties = novelties(&records, &report);
    assert_eq!(novelties.first().map(|n| n.service.as_str()), Some("checkout"));
    assert_eq!(novelties.len(), 1, "{novelties:?}");
}

#[test]
fn an_ordinary_day_against_its_baseline_is_quiet() {
    let quiet: Vec<LogRecord> =
        incident().into_iter().filter(|record| record.level != Some(Level::Error)).collect();
    let baseline = Baseline::learn(&quiet);
    let report = analyze(&quiet, Some(&baseline), &AnalyzeOptions::default());
    assert!(report.anomalies.is_empty() && report.new_templates.is_empty(), "{}", report.summary);
    let report = analyze(&incident(), Some(&baseline), &AnalyzeOptions::default());
    assert_eq!(report.anomalies.len(), 1, "{}", report.summary);
}

#[test]
fn what_stopped_is_a_rate_change_downwards() {
    let all = incident();
    let baseline = Baseline::learn(&all);
    let silent: Vec<LogRecord> =
        all.into_iter().filter(|record| record.service_or_empty() != "gateway").collect();
    let report = analyze(&silent, Some(&baseline), &AnalyzeOptions::default());
    let gone = report.rate_changes.first().unwrap();
    assert_eq!((gone.direction, gone.after_per_min), (Direction::Down, 0.0));
    assert!(gone.template.starts_with("GET"), "{}", gone.template);
}

#[test]
fn a_baseline_survives_its_serialised_form() {
    let baseline = Baseline::learn(&incident());
    let text = serde_json::to_string(&baseline).unwrap();
    assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), baseline);
}

#[test]
fn no_records_and_no_times_are_reported_as_such() {
    let report = analyze(&[], None, &AnalyzeOptions::default());
    assert_eq!(report.lines, 0);
    assert!(report.summary.contains("nothing to compare with"));
    let timeless: Vec<LogRecord> = incident().into_iter().map(|r| LogRecord { at_ms: None, ..r }).collect();
    let report = analyze(&timeless, None, &AnalyzeOptions::default());
    assert_eq!((report.onset_ms, report.anomalies.len()), (None, 0));
}
