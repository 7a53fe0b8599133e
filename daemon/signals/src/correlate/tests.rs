use super::*;
use IndicationKind::{Cause, Symptom};

const NOW_MS: u64 = 1_000_000;

fn one(
    id: &str,
    component: &str,
    category: &str,
    kind: IndicationKind,
    strength: f64,
    onset_ms: u64,
) -> Indication {
    Indication {
        id: id.into(),
        component: component.into(),
        category: category.into(),
        strength,
        onset_ms: Some(onset_ms),
        onset_uncertainty_ms: 5_000,
        kind,
        note: format!("{category} at {component}"),
    }
}

fn shop() -> Topology {
    [("gateway", "checkout"), ("checkout", "inventory"), ("checkout", "payments"), ("payments", "store")]
        .into_iter()
        .collect()
}

fn ranked(indications: Vec<Indication>, alerted: &[&str]) -> Ranking {
    let alerted = alerted.iter().map(|name| (*name).to_owned()).collect();
    rank(&RcaInput { indications, topology: shop(), alerted, now_ms: NOW_MS }, &RankOptions::default())
}

fn first(ranking: &Ranking) -> (&str, &str) {
    ranking.candidates.first().map_or(("", ""), |one| (one.component.as_str(), one.category.as_str()))
}

#[test]
fn a_callees_cause_explains_its_callers_symptoms_away() {
    let ranking = ranked(
        vec![
            one("m1", "gateway", "latency", Symptom, 0.9, 510_000),
            one("m2", "checkout", "latency", Symptom, 0.95, 505_000),
            one("m3", "payments", "error_rate", Symptom, 0.6, 503_000),
            one("l1", "payments", "bad_config", Cause, 0.8, 500_000),
        ],
        &["gateway"],
    );
    assert_eq!(first(&ranking), ("payments", "bad_config"));
    assert_eq!(ranking.verdict, Verdict::Concluded);
    let best = &ranking.candidates[0];
    assert!(best.confidence > 0.6, "{best:?}");
    let cited: Vec<&str> = best.supporting.iter().map(|cited| cited.id.as_str()).collect();
    assert_eq!(cited, ["l1", "m2", "m1", "m3"], "its own first, then what it explains");
    assert!(best.against.is_empty());
    let gateway = ranking.candidates.iter().find(|candidate| candidate.component == "gateway").unwrap();
    assert!(gateway.against.iter().any(|cited| cited.id == "l1" && cited.why.contains("payments")));
}

#[test]
fn a_strong_cause_of_its_own_beats_generic_symptoms_below() {
    let ranking = ranked(
        vec![
            one("m1", "checkout", "latency", Symptom, 0.9, 500_000),
            one("c1", "checkout", "pool_exhausted", Cause, 0.9, 498_000),
            one("m2", "store", "latency", Symptom, 0.9, 500_000),
        ],
        &["checkout"],
    );
    assert_eq!(first(&ranking), ("checkout", "pool_exhausted"));
}

#[test]
fn the_earlier_of_two_equal_causes_wins() {
    let causes = |first_ms: u64, second_ms: u64| {
        ranked(
            vec![
                one("a", "payments", "memory_leak", Cause, 0.8, first_ms),
                one("b", "store", "disk_full", Cause, 0.8, second_ms),
                one("s", "checkout", "latency", Symptom, 0.8, 520_000),
            ],
            &["checkout"],
        )
    };
    assert_eq!(first(&causes(400_000, 900_000)), ("payments", "memory_leak"));
    assert_eq!(first(&causes(900_000, 400_000)), ("store", "disk_full"));
    let late = causes(900_000, 400_000);
    let payments = late.candidates.iter().find(|candidate| candidate.component == "payments").unwrap();
    assert!(payments.against.iter().any(|cited| cited.why.contains("before it")), "{payments:?}");
}

#[test]
fn two_equal_stories_are_contradictory_and_nothing_is_concluded() {
    let ranking = ranked(
        vec![
            one("a", "inventory", "memory_leak", Cause, 0.9, 500_000),
            one("b", "payments", "bad_config", Cause, 0.9, 500_000),
            one("s", "checkout", "latency", Symptom, 0.9, 505_000),
        ],
        &["checkout"],
    );
    let Verdict::Abstained { reason } = &ranking.verdict else { panic!("{ranking:?}") };
    assert!(reason.starts_with("contradictory evidence"), "{reason}");
}

#[test]
fn two_categories_at_one_component_are_rivals_too() {
    let alone = ranked(vec![one("a", "store", "disk_full", Cause, 0.9, 500_000)], &["store"]);
    let both = ranked(
        vec![
            one("a", "store", "disk_full", Cause, 0.9, 500_000),
            one("b", "store", "memory_leak", Cause, 0.85, 500_000),
        ],
        &["store"],
    );
    assert!(alone.candidates[0].confidence > both.candidates[0].confidence + 0.2);
}

#[test]
fn symptoms_alone_and_nothing_at_all_are_not_enough() {
    let ranking = ranked(vec![one("s", "gateway", "latency", Symptom, 1.0, 500_000)], &["gateway"]);
    assert!(matches!(&ranking.verdict, Verdict::Abstained { reason } if reason.starts_with("thin evidence")));
    assert_eq!(first(&ranking), ("gateway", "latency"));
    let ranking = ranked(vec![], &["gateway"]);
    assert_eq!(ranking.verdict, Verdict::Abstained { reason: "nothing indicates a cause".into() });
}

#[test]
fn a_cause_elsewhere_is_told_what_it_does_not_explain() {
    let ranking = ranked(
        vec![
            one("c", "inventory", "bad_config", Cause, 0.9, 500_000),
            one("s", "store", "latency", Symptom, 0.9, 500_000),
        ],
        &["store"],
    );
    let inventory = ranking.candidates.iter().find(|candidate| candidate.component == "inventory").unwrap();
    assert!(
        inventory.against.iter().any(|cited| cited.id == "s" && cited.why.contains("does not explain store"))
    );
    let explained = ranked(
        vec![
            one("c", "inventory", "bad_config", Cause, 0.9, 500_000),
            one("s", "checkout", "latency", Symptom, 0.9, 500_000),
        ],
        &["checkout"],
    );
    assert!(explained.candidates[0].score > inventory.score);
}

#[test]
fn a_cause_that_explains_none_of_the_alert_is_not_concluded() {
    let indications = vec![
        one("c", "inventory", "bad_config", Cause, 0.9, 500_000),
        one("s", "store", "latency", Symptom, 0.9, 500_000),
    ];
    assert!(matches!(ranked(indications, &["store"]).verdict, Verdict::Abstained { .. }));
}

#[test]
fn what_breaks_below_is_named_before_the_errors_it_makes_above() {
    let ranking = ranked(
        vec![
            one("down", "store", "dependency_down", Cause, 0.95, 500_000),
            one("errs", "payments", "error_burst", Cause, 0.9, 503_000),
            one("m1", "checkout", "error_rate", Symptom, 0.9, 504_000),
            one("m2", "gateway", "error_rate", Symptom, 0.9, 505_000),
        ],
        &["gateway"],
    );
    assert_eq!(
        (first(&ranking), &ranking.verdict),
        (("store", "dependency_down"), &Verdict::Concluded),
        "{ranking:#?}"
    );
}

#[test]
fn without_a_call_graph_a_cause_elsewhere_comes_first_but_is_not_concluded() {
    let input = RcaInput {
        indications: vec![
            one("c", "payments", "bad_config", Cause, 0.9, 500_000),
            one("s", "gateway", "latency", Symptom, 0.9, 505_000),
        ],
        alerted: vec!["gateway".into()],
        now_ms: NOW_MS,
        ..RcaInput::default()
    };
    let ranking = rank(&input, &RankOptions::default());
    assert_eq!(first(&ranking), ("payments", "bad_config"));
    assert!(matches!(ranking.verdict, Verdict::Abstained { .. }));
    // Not known is not denied.
    assert!(
        ranking.candidates[0].against.iter().all(|cited| !cited.why.contains("does not explain")),
        "{ranking:?}"
    );
}

#[test]
fn the_order_of_the_indications_and_a_future_one_change_nothing() {
    let mut indications = vec![
        one("a", "payments", "memory_leak", Cause, 0.7, 500_000),
        one("b", "store", "disk_full", Cause, 0.7, 500_000),
        one("c", "checkout", "latency", Symptom, 0.9, 505_000),
        one("d", "gateway", "latency", Symptom, 0.3, 507_000),
    ];
    let expected = ranked(indications.clone(), &["gateway", "checkout"]);
    indications.push(one("later", "gateway", "bad_config", Cause, 1.0, NOW_MS + 1));
    indications.push(Indication { strength: f64::NAN, ..one("nan", "gateway", "x", Cause, 0.0, 1) });
    for turn in 0..indications.len() {
        indications.rotate_left(turn);
        assert_eq!(ranked(indications.clone(), &["checkout", "gateway"]), expected);
    }
}

#[test]
fn every_score_and_confidence_stays_within_its_range() {
    for strength in [-1.0, 0.0, 0.5, 1.0, 7.0, f64::INFINITY] {
        let ranking = ranked(
            (0..40).map(|i| one(&format!("i{i}"), "store", "disk_full", Cause, strength, i * 1000)).collect(),
            &["gateway"],
        );
        for candidate in &ranking.candidates {
            assert!((0.0..=1.0).contains(&candidate.score) && (0.0..=1.0).contains(&candidate.confidence));
        }
    }
}
