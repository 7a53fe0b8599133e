#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may be blunt"
)]

use super::*;
use crate::series::Sample;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const STEP_MS: u64 = 10 * 60_000;
const DAY: usize = 144;

fn series(values: &[f64]) -> Series {
    let samples =
        values.iter().enumerate().map(|(i, value)| Sample { at_ms: i as u64 * STEP_MS, value: *value });
    Series::new(BTreeMap::new(), samples.collect())
}

/// Repeatable noise in [−1, 1): a linear congruential generator.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(3_037_000_493);
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// Two weeks of a daily wave with a spike every noon.
fn seasonal(seed: u64) -> Vec<f64> {
    let mut noise = noise(seed);
    (0..14 * DAY)
        .map(|i| {
            let wave = 10.0 * (i as f64 / DAY as f64 * std::f64::consts::TAU).sin();
            50.0 + wave + noise() + if (70..73).contains(&(i % DAY)) { 40.0 } else { 0.0 }
        })
        .collect()
}

fn steady(seed: u64) -> Vec<f64> {
    let mut noise = noise(seed);
    (0..14 * DAY).map(|_| 20.0 + noise()).collect()
}

fn found(values: &[f64]) -> Vec<Window> {
    find(&series(values), &WindowOptions::default())
}

/// Windows whose peak lies within a longest shape after the sample `at`.
fn near(windows: &[Window], at: usize) -> Vec<&Window> {
    windows.iter().filter(|w| (at..=at + 60).contains(&((w.peak_ms / STEP_MS) as usize))).collect()
}

#[test]
fn what_recurs_daily_is_no_window_and_the_same_spike_at_night_is() {
    assert!(found(&seasonal(1)).is_empty());
    let mut values = seasonal(1);
    for value in &mut values[9 * DAY + 20..9 * DAY + 23] {
        *value += 40.0;
    }
    let windows = found(&values);
    assert_eq!(windows.len(), 1, "{windows:?}");
    assert_eq!(near(&windows, 9 * DAY + 20).len(), 1);
}

#[test]
fn a_missing_spike_is_as_new_as_an_additional_one() {
    let mut values = seasonal(2);
    for value in &mut values[10 * DAY + 70..10 * DAY + 73] {
        *value -= 40.0;
    }
    assert_eq!(near(&found(&values), 10 * DAY + 70).len(), 1);
}

#[test]
fn each_kind_is_found_once_and_called_by_its_name() {
    let check = |kind: Kind, change: &dyn Fn(usize, f64) -> f64| {
        let mut values = steady(3);
        for (i, value) in values.iter_mut().enumerate().skip(8 * DAY) {
            *value = change(i - 8 * DAY, *value);
        }
        let windows = found(&values);
        let here = near(&windows, 8 * DAY);
        assert_eq!(here.len(), 1, "{kind:?}: {windows:?}");
        assert_eq!(here[0].kind, kind, "{}", here[0].reason);
        assert_eq!(windows.len(), 1, "{kind:?}: {windows:?}");
    };
    check(Kind::Spike, &|i, value| if i < 2 { 60.0 } else { value });
    check(Kind::Dip, &|i, value| if i < 2 { -20.0 } else { value });
    check(Kind::LevelUp, &|_, value| value + 15.0);
    check(Kind::LevelDown, &|_, value| value - 15.0);
    check(Kind::Variance, &|i, value| if i < 40 { 20.0 + (value - 20.0) * 3.9 } else { value });
}

#[test]
fn what_always_moved_and_stands_still_is_a_flatline() {
    let mut values = seasonal(4);
    let stuck = values[8 * DAY + 30];
    for value in &mut values[8 * DAY + 30..8 * DAY + 105] {
        *value = stuck;
    }
    let windows = found(&values);
    let kinds: Vec<Kind> = windows.iter().map(|window| window.kind).collect();
    assert!(kinds.contains(&Kind::Flatline), "{windows:?}");
}

#[test]
fn constants_single_samples_and_short_series_are_quiet() {
    assert!(found(&[]).is_empty());
    assert!(found(&[7.0]).is_empty());
    assert!(found(&vec![7.0; 2000]).is_empty());
    assert!(found(&steady(5)[..250]).is_empty());
    let not_finite: Vec<f64> =
        (0..2000).map(|i| [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][i % 3]).collect();
    assert!(found(&not_finite).is_empty());
}

#[test]
fn the_first_move_of_a_constant_is_as_new_as_can_be() {
    let mut values = vec![7.0; 1500];
    values[1000] = 8.0;
    let windows = found(&values);
    assert_eq!(windows.len(), 1, "{windows:?}");
    assert_eq!((windows[0].score, windows[0].range.start_ms), (SCORE_MAX, 1000 * STEP_MS));
}

#[test]
fn noise_of_any_tail_costs_no_more_alarms_than_the_budget() {
    let options = WindowOptions::default();
    for seed in 0..3 {
        let mut noise = noise(seed);
        // Cubed reciprocals: a tail without a mean.
        let values: Vec<f64> = (0..14 * DAY).map(|_| (1.0 / (noise().abs() + 1e-3)).powi(3)).collect();
        let allowed = watch::allowance((values.len() as u64 - 1) * STEP_MS, &options);
        assert_eq!(allowed, 3);
        assert!(find(&series(&values), &options).len() <= allowed);
        assert!(found(&steady(seed)).is_empty());
    }
}

#[test]
fn scale_and_offset_change_nothing() {
    let mut values = seasonal(6);
    values[9 * DAY + 20] += 60.0;
    let peaks = |values: &[f64]| found(values).iter().map(|window| window.peak_ms).collect::<Vec<_>>();
    let expected = peaks(&values);
    assert!(!expected.is_empty());
    for (factor, offset) in [(1024.0, 0.0), (1.0 / 1_048_576.0, 0.0), (-1.0, 0.0), (1.0, 4096.0)] {
        let moved: Vec<f64> = values.iter().map(|value| value * factor + offset).collect();
        assert_eq!(peaks(&moved), expected, "times {factor} plus {offset}");
    }
}

#[test]
fn a_score_does_not_change_with_what_follows() {
    let mut values = steady(7);
    values[1250] = 90.0;
    let whole = score(&series(&values), &WindowOptions::default());
    let part = score(&series(&values[..1300]), &WindowOptions::default());
    assert_eq!(&whole[..part.len()], &part[..]);
}

#[test]
fn a_watch_alarms_at_the_first_sample_of_an_episode_and_once() {
    let mut values = steady(8);
    for value in &mut values[1300..1310] {
        *value = 70.0;
    }
    for value in &mut values[1700..] {
        *value += 30.0;
    }
    let mut watch = Watch::new(WindowOptions::default());
    let alarms: Vec<Alarm> =
        series(&values).samples.iter().filter_map(|sample| watch.push(*sample)).collect();
    let at: Vec<u64> = alarms.iter().map(|alarm| alarm.at_ms / STEP_MS).collect();
    assert_eq!(at, [1300, 1700]);
    assert!(alarms.iter().all(|alarm| alarm.score >= alarm.threshold));
}

#[test]
fn a_watch_passes_over_what_is_late_or_not_a_number() {
    let mut detector = Detector::new(WindowOptions::default());
    for sample in &series(&steady(9)).samples {
        detector.push(*sample);
    }
    let late = Sample { at_ms: 5, value: 1e9 };
    let broken = Sample { at_ms: u64::MAX, value: f64::NAN };
    assert_eq!((detector.push(late), detector.push(broken)), (None, None));
}

#[test]
fn memory_is_bounded_by_the_history() {
    let options = WindowOptions { history_samples: 300, ..WindowOptions::default() };
    let mut values = steady(10);
    values[600] = 90.0;
    values[1600] = 90.0;
    let scores = |options: &WindowOptions| {
        let windows = find(&series(&values), options);
        let of = |at: usize| near(&windows, at).first().map_or(0.0, |window| window.score);
        (of(600), of(1600))
    };
    // Forgotten, the same spike is as new as ever; remembered, it is hardly new.
    let (first, again) = scores(&options);
    assert!(first > 10.0 && again > first / 2.0, "{first} {again}");
    let (first, again) = scores(&WindowOptions::default());
    assert!(first > 10.0 && again < first / 5.0, "{first} {again}");
}

fn limits() -> PlanLimits {
    PlanLimits::default()
}

#[test]
fn an_hour_is_asked_for_at_full_resolution_in_one_request() {
    let range = TimeRange::new(7_000, 3_607_000);
    let plan = plan(range, 10, &limits()).unwrap();
    assert_eq!(
        (plan.step_ms, plan.points_per_series, plan.coarsened, plan.capped),
        (15_000, 241, false, false)
    );
    assert_eq!(plan.chunks, [TimeRange::new(0, 3_615_000)]);
}

#[test]
fn a_month_of_many_series_gets_coarser_and_is_capped_and_says_so() {
    let month = TimeRange::new(0, 30 * 86_400_000);
    let planned = plan(month, 5_000, &limits()).unwrap();
    assert_eq!((planned.series_max, planned.capped, planned.coarsened), (200, true, true));
    assert_eq!((planned.step_ms, planned.points_per_series), (600_000, 4_320));
    let fine = plan(month, 1, &limits()).unwrap();
    assert_eq!((fine.step_ms, fine.chunks.len()), (15_000, 16));
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let day = TimeRange::new(0, 86_400_000);
    assert_eq!(plan(TimeRange::new(5, 5), 1, &limits()), Err(PlanError::EmptyRange));
    assert_eq!(plan(day, 1, &PlanLimits { requests_max: 0, ..limits() }), Err(PlanError::ZeroLimit));
    let tiny = PlanLimits { points_max: 1, ..limits() };
    let year = TimeRange::new(0, 366 * 86_400_000);
    assert_eq!(plan(year, 1, &tiny), Err(PlanError::TooLong { duration_ms: year.end_ms }));
}

fn labels(pairs: &[(&str, String)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[test]
fn the_label_that_multiplies_is_dropped_and_the_protected_one_stays() {
    let series: Vec<_> = (0..600)
        .map(|i| {
            labels(&[
                ("service", format!("s{}", i % 3)),
                ("status", format!("{}", 200 + i % 2)),
                ("request_id", format!("r{i}")),
            ])
        })
        .collect();
    let protected = BTreeSet::from(["service".to_owned()]);
    let guarded = guard(&series, &protected, 10);
    assert_eq!(guarded.dropped, ["request_id"]);
    assert_eq!((guarded.series_before, guarded.series_after, guarded.fits), (600, 6, true));
    let tight = guard(&series, &protected, 2);
    assert_eq!((tight.series_after, tight.fits), (3, false));
    assert!(tight.kept.contains("service"));
    assert_eq!(guard(&series, &protected, 600).dropped, Vec::<String>::new());
}

/// Samples with everything that goes wrong: not numbers, huge ones, gaps, equal and unordered times.
fn wild() -> impl Strategy<Value = Vec<Sample>> {
    let value = prop_oneof![
        8 => -100.0..100.0_f64,
        1 => Just(0.0),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
        1 => prop_oneof![Just(f64::MAX), Just(f64::MIN), Just(f64::MIN_POSITIVE), Just(-0.0)],
    ];
    let at = prop_oneof![6 => 0..2_000_000_u64, 1 => Just(u64::MAX), 1 => Just(0_u64)];
    prop::collection::vec((at, value).prop_map(|(at_ms, value)| Sample { at_ms, value }), 0..700)
}

fn eager() -> WindowOptions {
    WindowOptions {
        warmup_samples: 10,
        calibration_samples: 5,
        history_samples: 64,
        separation_samples: 8,
        ..WindowOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn anything_gives_bounded_scores_within_the_budget_and_the_same_bytes_again(samples in wild()) {
        let options = eager();
        let series = Series::new(BTreeMap::new(), samples.clone());
        for scored in score(&series, &options) {
            prop_assert!((0.0..=SCORE_MAX).contains(&scored.score), "{scored:?}");
        }
        let windows = find(&series, &options);
        let times: Vec<u64> = series.finite().map(|sample| sample.at_ms).collect();
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            prop_assert!(windows.len() <= watch::allowance(last - first, &options));
        }
        for window in &windows {
            prop_assert!(times.contains(&window.peak_ms));
            prop_assert!(window.range.contains(window.peak_ms) || window.peak_ms == u64::MAX);
        }
        let again = serde_json::to_string(&find(&series, &options)).unwrap();
        prop_assert_eq!(serde_json::to_string(&windows).unwrap(), again);
        // Unordered, too: what is late is passed over.
        let mut watch = Watch::new(options);
        for sample in samples {
            watch.push(sample);
        }
    }

    #[test]
    fn any_options_are_survived(
        scale in 0..40_usize, segments in 0..50_usize, history in 0..20_usize, quantile in -1.0..2.0_f64,
        samples in wild(),
    ) {
        let options = WindowOptions {
            scales: vec![Scale { samples: scale, segments }, Scale { samples: 0, segments: 0 }],
            history_samples: history,
            unit_quantile: quantile,
            separation_samples: 0,
            alarms_per_day: f64::NAN,
            ..eager()
        };
        find(&Series::new(BTreeMap::new(), samples), &options);
    }

    #[test]
    fn a_plan_covers_its_range_without_gap_within_its_limits(
        start in 0..4_000_000_000_000_u64, duration in 1..40_000_000_000_u64, expected in 0..100_000_u64,
        points in 1..2_000_000_u64, each in 1..20_000_u64, requests in 1..50_u64, resolution in 0..700_000_u64,
    ) {
        let limits = PlanLimits {
            points_max: points, series_max: 500, points_per_request_max: each, requests_max: requests,
            resolution_ms: resolution,
        };
        let range = TimeRange::new(start, start + duration);
        let Ok(plan) = plan(range, expected, &limits) else { return Ok(()) };
        prop_assert!(plan.chunks.first().unwrap().start_ms <= range.start_ms);
        prop_assert!(plan.chunks.last().unwrap().end_ms >= range.end_ms);
        prop_assert!(plan.chunks.windows(2).all(|pair| pair[0].end_ms == pair[1].start_ms));
        let aligned = |at_ms: u64| at_ms.is_multiple_of(plan.step_ms);
        prop_assert!(plan.chunks.iter().all(|c| !c.is_empty() && aligned(c.start_ms) && aligned(c.end_ms)));
        prop_assert!(plan.chunks.iter().all(|c| c.duration_ms() / plan.step_ms <= each));
        prop_assert!(plan.chunks.len() as u64 <= requests);
        prop_assert_eq!(plan.chunks.iter().map(|c| c.duration_ms() / plan.step_ms).sum::<u64>(), plan.points_per_series);
        prop_assert!(plan.points <= points && plan.points == plan.points_per_series * plan.series_max);
        prop_assert!(plan.step_ms >= resolution);
    }
}
