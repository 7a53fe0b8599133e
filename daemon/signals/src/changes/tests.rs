#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may be blunt"
)]

use super::*;
use crate::logs::Level;
use crate::series::{Sample, Series};
use proptest::prelude::*;
use std::collections::BTreeMap;

const MINUTE: u64 = 60_000;
/// When trouble begins in [`scene`]; the alert comes ten minutes later.
const TROUBLE: u64 = 90 * MINUTE;

fn metric(service: &str, name: &str, level: impl Fn(u64) -> f64) -> Series {
    let labels = BTreeMap::from([
        (SERVICE_LABEL.to_owned(), service.to_owned()),
        ("__name__".to_owned(), name.to_owned()),
    ]);
    let wobble = |minute: u64| 1.0 + (minute * 7919 % 13) as f64 / 100.0;
    let samples = (0..130)
        .map(|minute| Sample { at_ms: minute * MINUTE, value: level(minute * MINUTE) * wobble(minute) })
        .collect();
    Series::new(labels, samples)
}

fn line(at_ms: u64, service: &str, level: Level, message: &str) -> LogRecord {
    LogRecord {
        at_ms: Some(at_ms),
        level: Some(level),
        service: Some(service.to_owned()),
        message: message.to_owned(),
        raw: message.to_owned(),
        line: at_ms / 1000,
        ..LogRecord::default()
    }
}

fn commit(sha: &str, at_ms: u64, message: &str, file: &str, diff: &str) -> Commit {
    Commit {
        sha: sha.to_owned(),
        at_ms,
        message: message.to_owned(),
        files: vec![file.to_owned()],
        diff: Some(diff.to_owned()),
    }
}

fn deploy(sha: &str, at_ms: u64, service: &str) -> Deploy {
    Deploy { at_ms, service: service.to_owned(), sha: sha.to_owned(), version: format!("v{at_ms}") }
}

/// Orders cannot reserve seats: a lock's lease was cut; a tidy refactor of the very handler went out after it.
fn scene() -> Case {
    let after = |low: f64, high: f64| move |at_ms| if at_ms >= TROUBLE { high } else { low };
    let mut logs: Vec<LogRecord> =
        (0..45).map(|i| line(i * 2 * MINUTE, "booking", Level::Info, "seat reserved")).collect();
    for i in 0..30 {
        let at_ms = TROUBLE + i * 30_000;
        logs.push(line(at_ms, "booking", Level::Error, "lease lost before commit: seat lock expired"));
        logs.push(line(at_ms + 20_000, "gateway", Level::Error, "upstream booking returned 500"));
    }
    Case {
        alert: AlertFacts {
            service: "booking".into(),
            metric: "reservation_error_ratio".into(),
            summary: "booking cannot reserve seats".into(),
            fired_at_ms: TROUBLE + 10 * MINUTE,
        },
        series: vec![
            metric("booking", "reservation_error_ratio", after(0.01, 0.6)),
            metric("gateway", "http_5xx_ratio", after(0.01, 0.4)),
            metric("billing", "http_duration_p99_ms", |_| 80.0),
        ],
        logs,
        commits: vec![
            commit(
                "aaaaaaa1",
                80 * MINUTE,
                "chore: tidy lock settings",
                "booking/lock.go",
                "-\tlease: 30 * time.Second,\n+\tlease: 100 * time.Millisecond,",
            ),
            commit(
                "bbbbbbb2",
                85 * MINUTE,
                "refactor seat reservation handler",
                "booking/reserve.go",
                "-\tseat, err := s.find(id)\n-\treturn seat, err\n+\treturn s.find(id)",
            ),
            commit("ccccccc3", 60 * MINUTE, "docs", "docs/seat.md", "-lock\n+lease lock seat"),
            commit(
                "ddddddd4",
                86 * MINUTE,
                "new colours",
                "web/site.css",
                "-a { top: 1px }\n+a { top: 9px }",
            ),
        ],
        deploys: vec![
            deploy("aaaaaaa1", 88 * MINUTE, "booking"),
            deploy("bbbbbbb2", 89 * MINUTE, "booking"),
            deploy("ddddddd4", 89 * MINUTE, "gateway"),
        ],
        ..Case::default()
    }
}

#[test]
fn the_change_that_explains_the_symptom_is_named_and_not_the_one_nearest_in_time() {
    let verdict = diagnose(&scene());
    assert_eq!(verdict.commit(), Some("aaaaaaa1"), "{:#?}", verdict.hypotheses);
    assert_eq!(verdict.first_failing_service, "booking");
    assert_eq!(verdict.remedy, Remedy::Rollback);
    assert!(verdict.confidence() > 0.6, "{}", verdict.confidence());
    assert_eq!(verdict.onset_ms, Some(TROUBLE));
}

#[test]
fn without_the_culprit_nobody_is_blamed_for_it() {
    let mut case = scene();
    case.commits.retain(|commit| commit.sha != "aaaaaaa1");
    case.deploys.retain(|deploy| deploy.sha != "aaaaaaa1");
    let verdict = diagnose(&case);
    assert_eq!(verdict.commit(), None, "{:#?}", verdict.hypotheses);
    assert!(verdict.abstained);
    assert_eq!((verdict.remedy, verdict.confidence()), (Remedy::Investigate, 0.0));
}

#[test]
fn a_change_after_the_trouble_began_is_not_its_cause() {
    let mut case = scene();
    for deploy in &mut case.deploys {
        deploy.at_ms = TROUBLE + 6 * MINUTE;
    }
    assert_eq!(diagnose(&case).commit(), None);
}

#[test]
fn an_alert_at_the_victim_leads_down_to_who_fails_first() {
    let mut case = scene();
    case.alert.service = "gateway".into();
    case.alert.metric = "http_5xx_ratio".into();
    let verdict = diagnose(&case);
    assert_eq!(verdict.first_failing_service, "booking");
    assert_eq!(verdict.commit(), Some("aaaaaaa1"));
}

#[test]
fn a_change_to_configuration_alone_is_reverted_and_a_shared_release_goes_forward() {
    let mut case = scene();
    case.commits[0].files = vec!["booking/lock.yaml".into()];
    case.commits[0].diff = Some("-  lease: 30s\n+  lease: 100ms".into());
    assert_eq!(diagnose(&case).remedy, Remedy::ConfigRevert);
    let mut case = scene();
    let version = case.deploys[0].version.clone();
    case.deploys[1].version = version;
    assert_eq!(diagnose(&case).remedy, Remedy::RollForward);
}

#[test]
fn a_region_that_says_it_is_ill_outweighs_deploys_and_its_healthy_twin_is_the_way_out() {
    let mut case = scene();
    case.deploys.iter_mut().for_each(|deploy| deploy.at_ms = 40 * MINUTE);
    for record in &mut case.logs {
        if record.is_error() && record.service.as_deref() == Some("booking") {
            record.message = "queue publish failed: 503 from queue.north.cloud.example".into();
        }
    }
    let event = |region: &str, healthy: bool| StatusEvent {
        at_ms: TROUBLE - 2 * MINUTE,
        subject: "Queue".into(),
        region: region.into(),
        healthy,
        text: "publish requests return errors".into(),
    };
    case.status = vec![event("north", false)];
    let verdict = diagnose(&case);
    assert_eq!(verdict.hypotheses[0].cause, Cause::Outside(Outside::Provider));
    assert_eq!((verdict.commit(), verdict.abstained), (None, false));
    assert_eq!(verdict.remedy, Remedy::EscalateUpstream);
    case.status.push(event("south", true));
    assert_eq!(diagnose(&case).remedy, Remedy::Failover);
}

#[test]
fn a_node_that_fills_up_first_is_the_cause_and_the_service_that_fails_is_still_named() {
    let mut case = scene();
    case.deploys.iter_mut().for_each(|deploy| deploy.at_ms = 60 * MINUTE);
    case.series.push(metric("pool-7", "node_cpu_utilization_ratio", |at_ms| {
        if at_ms + MINUTE >= TROUBLE { 0.97 } else { 0.3 }
    }));
    let verdict = diagnose(&case);
    assert_eq!(verdict.hypotheses[0].cause, Cause::Outside(Outside::Node), "{:#?}", verdict.hypotheses);
    assert_eq!((verdict.first_failing_service.as_str(), verdict.remedy), ("booking", Remedy::Reschedule));
}

#[test]
fn demand_that_no_change_explains_asks_for_more_capacity() {
    let mut case = scene();
    case.deploys.clear();
    case.commits.clear();
    case.series.push(metric("booking", "http_requests_per_second", |at_ms| {
        if at_ms + 2 * MINUTE >= TROUBLE { 900.0 } else { 120.0 }
    }));
    let verdict = diagnose(&case);
    assert_eq!(verdict.hypotheses[0].cause, Cause::Outside(Outside::Demand));
    assert_eq!(verdict.remedy, Remedy::ScaleUp);
}

#[test]
fn nothing_known_is_an_abstention() {
    let verdict = diagnose(&Case::default());
    assert!(verdict.abstained && verdict.hypotheses.is_empty());
    assert_eq!(verdict.first_failing_service, "");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn order_decides_nothing(seed in any::<u64>()) {
        let expected = serde_json::to_string(&diagnose(&scene())).unwrap();
        let mut case = scene();
        let turn = |length: usize| (seed as usize) % length.max(1);
        case.logs.rotate_left(turn(scene().logs.len()));
        case.commits.rotate_left(turn(4));
        case.deploys.rotate_left(turn(3));
        case.series.rotate_left(turn(3));
        if seed % 2 == 0 {
            case.commits.reverse();
            case.series.reverse();
            case.logs.reverse();
        }
        prop_assert_eq!(serde_json::to_string(&diagnose(&case)).unwrap(), expected);
    }

    #[test]
    fn any_diff_and_any_times_are_survived(
        diff in "([-+ @#\"a-z0-9.=:(){}\n\t]|v1\\.2\\.3|é|9e999|\\*/){0,300}",
        message in "\\PC{0,80}", at_ms in any::<u64>(), fired in any::<u64>(), value in any::<f64>(),
    ) {
        let mut case = scene();
        case.commits[0].diff = Some(diff.clone());
        case.commits[0].message = message.clone();
        case.deploys[0].at_ms = at_ms;
        case.alert.fired_at_ms = fired;
        case.series[0].samples.push(Sample { at_ms: 131 * MINUTE, value });
        case.logs.push(line(at_ms, &message, Level::Error, &diff));
        case.flags.push(FlagFlip { at_ms, flag: message, service: "booking".into(), change: diff });
        let verdict = diagnose(&case);
        let total: f64 = verdict.hypotheses.iter().map(|one| one.confidence).sum();
        prop_assert!((0.0..1.0).contains(&total), "{}", total);
        prop_assert!(verdict.hypotheses.iter().all(|one| (0.0..=1.0).contains(&one.score)));
    }
}
