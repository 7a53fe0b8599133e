//! Entities of a cloud: a generator of virtual machines' lives, and what is to be found in them.
//!
//! The lines are made here, after the published format of a well-known cloud's compute service, from a seed: nothing of
//! them was measured anywhere. Each machine is claimed, built, used and destroyed; a few are slow, killed or
//! half-destroyed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may be blunt")]

use medic_signals::logs::reader::{ReaderOptions, read_all};
use medic_signals::logs::record::LogRecord;
use medic_signals::logs::sessions::{SessionModel, SessionOptions, SessionReport, kinds, score_alone};
use medic_signals::logs::templates::{Miner, TemplateId};
use std::collections::{BTreeMap, BTreeSet};

/// A small linear congruential generator: the same numbers for ever.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() as f64 / (1u64 << 31) as f64)
    }

    /// About normal, by the sum of four.
    fn around(&mut self, middle: f64, share: f64) -> f64 {
        let sum: f64 = (0..4).map(|_| self.between(-1.0, 1.0)).sum();
        middle * (1.0 + share * sum * 0.87)
    }

    fn uuid(&mut self) -> String {
        let mut hex = |digits: usize| {
            format!("{:0digits$x}", (self.next() << 31 ^ self.next()) & ((1u64 << (4 * digits)) - 1))
        };
        format!("{}-{}-{}-{}-{}", hex(8), hex(4), hex(4), hex(4), hex(12))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The build takes twice as long.
    Slow,
    /// Dies while it is built: nothing of the rest comes.
    Killed,
    /// Is never cleaned up.
    Leaked,
    /// An error that none of the others shows.
    Error,
}

const SHARE_OF_FAULTS: [Fault; 4] = [Fault::Slow, Fault::Killed, Fault::Leaked, Fault::Error];

/// The log and the machines with their faults.
fn cloud(seed: u64, machines: usize, fault_every: Option<usize>) -> (String, BTreeMap<String, Fault>) {
    let mut seeded = Seeded(seed);
    let mut lines: Vec<(f64, String)> = Vec::new();
    let mut truth = BTreeMap::new();
    for number in 0..machines {
        let fault = match fault_every {
            Some(every) if number % every == every / 2 => {
                SHARE_OF_FAULTS[number / every % SHARE_OF_FAULTS.len()]
            }
            _ => Fault::None,
        };
        let id = seeded.uuid();
        truth.insert(id.clone(), fault);
        life(&mut seeded, &mut lines, &id, number as f64 * 11.0, fault);
        // Chatter that belongs to no machine.
        let (request, image) = (seeded.uuid(), "0673dd71-34c5-4fbb-86c4-40623fbe45b4");
        let at = number as f64 * 11.0 + seeded.between(0.0, 11.0);
        lines.push((at, format!("INFO nova.osapi_compute.wsgi.server [req-{request} 113d3a 54fadb - - -] 10.11.10.1 \"GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail HTTP/1.1\" status: 200 len: {} time: {:.7}", 1583 + seeded.next() % 400, seeded.around(0.25, 0.1))));
        lines.push((at + 0.3, format!("INFO nova.virt.libvirt.imagecache [req-{request} - - - - -] image {image} at (/var/lib/nova/instances/_base/a489c868f0c37da93b76227c91bb03908ac0e742): checking")));
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let text = lines.iter().fold(String::new(), |mut text, (at, line)| {
        let ms = (at * 1000.0) as u64;
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        text.push_str(&format!("nova-compute.log.1.2017-05-16_13:55:31 2017-05-{:02} {:02}:{minute:02}:{second:02}.{:03} 2931 {line}\n", 16 + hour / 24, hour % 24, ms % 1000));
        text
    });
    (text, truth)
}

fn life(seeded: &mut Seeded, lines: &mut Vec<(f64, String)>, id: &str, begin: f64, fault: Fault) {
    let create = seeded.uuid();
    let mut at = begin;
    let mut say = |at: f64, request: &str, component: &str, what: String| {
        lines.push((
            at,
            format!("INFO {component} [req-{request} 113d3a 54fadb - - -] [instance: {id}] {what}"),
        ));
    };
    let (claims, manager, driver) =
        ("nova.compute.claims", "nova.compute.manager", "nova.virt.libvirt.driver");
    say(at, &create, claims, "Attempting claim: memory 2048 MB, disk 20 GB, vcpus 1 CPU".into());
    say(
        at + 0.001,
        &create,
        claims,
        format!("Total memory: 64172 MB, used: {}.00 MB", 512 + 2048 * (seeded.next() % 3)),
    );
    say(at + 0.002, &create, claims, "memory limit: 96258.00 MB, free: 95746.00 MB".into());
    say(at + 0.003, &create, claims, "Claim successful".into());
    at += seeded.around(0.6, 0.2);
    say(at, &create, driver, "Creating image".into());
    if fault == Fault::Killed {
        return;
    }
    let build = seeded.around(19.0, 0.04) * if fault == Fault::Slow { 2.0 } else { 1.0 };
    let lifecycle = "3ea4052c-895d-4b64-9e2d-04d64c4d94ab";
    say(at + build * 0.70, lifecycle, manager, "VM Started (Lifecycle Event)".into());
    say(at + build * 0.71, lifecycle, manager, "VM Paused (Lifecycle Event)".into());
    say(
        at + build * 0.72,
        lifecycle,
        manager,
        "During sync_power_state the instance has a pending task (spawning). Skip.".into(),
    );
    if fault == Fault::Error {
        say(at + build * 0.8, &create, manager, "Timeout waiting for vif plugging callback".into());
    }
    // The hypervisor's own events and the driver's come in any order.
    let swap = if seeded.next().is_multiple_of(2) { 0.02 } else { -0.02 };
    say(at + build, lifecycle, manager, "VM Resumed (Lifecycle Event)".into());
    say(at + build + swap, &create, driver, "Instance spawned successfully.".into());
    say(
        at + build + 0.03,
        &create,
        manager,
        format!("Took {:.2} seconds to spawn the instance on the hypervisor.", build),
    );
    say(at + build + 0.6, &create, manager, format!("Took {:.2} seconds to build instance.", build + 0.8));
    at += build + seeded.between(3.0, 40.0);
    // Some live longer than a round of the power check.
    if seeded.next().is_multiple_of(5) {
        say(
            at - 1.0,
            lifecycle,
            manager,
            "During sync_power_state the instance has a pending task (deleting). Skip.".into(),
        );
    }
    let delete = seeded.uuid();
    say(at, &delete, manager, "Terminating instance".into());
    at += seeded.around(0.8, 0.1);
    say(at, &delete, driver, "Instance destroyed successfully.".into());
    if fault == Fault::Leaked {
        return;
    }
    say(at + 0.5, &delete, driver, format!("Deleting instance files /var/lib/nova/instances/{id}_del"));
    say(at + 0.51, &delete, driver, format!("Deletion of /var/lib/nova/instances/{id}_del complete"));
    say(
        at + 0.7,
        &delete,
        manager,
        format!("Took {:.2} seconds to destroy the instance on the hypervisor.", seeded.around(1.04, 0.03)),
    );
    say(
        at + 1.2,
        &delete,
        manager,
        format!("Took {:.2} seconds to deallocate network for instance.", seeded.around(0.5, 0.1)),
    );
}

fn mine(miner: &mut Miner, text: &str) -> (Vec<LogRecord>, Vec<TemplateId>) {
    let (records, _) = read_all(text.as_bytes(), ReaderOptions::default());
    let ids: Vec<TemplateId> = records.iter().map(|record| miner.learn(&record.message).id).collect();
    let ids = ids.into_iter().map(|id| miner.resolve(id)).collect();
    (records, ids)
}

fn judge(baseline: &str, input: &str) -> SessionReport {
    let mut miner = Miner::default();
    let (records, ids) = mine(&mut miner, baseline);
    let words = |miner: &Miner, id| miner.template(id).map(|template| template.text).unwrap_or_default();
    let options = SessionOptions { anomalies_max: usize::MAX, ..SessionOptions::default() };
    let model = SessionModel::learn(&records, &ids, &|id| words(&miner, id), &options).unwrap();
    // What is kept between runs must say the same.
    let model: SessionModel = serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
    miner.settle();
    let (records, ids) = mine(&mut miner, input);
    model.score(&records, &ids, &|id| words(&miner, id), &options)
}

/// True and false alarms, and the faults missed with their scores.
fn compare(
    report: &SessionReport,
    truth: &BTreeMap<String, Fault>,
) -> (usize, Vec<String>, Vec<(Fault, f64)>) {
    let named: BTreeSet<&str> = report.anomalies.iter().map(|one| one.entity.as_str()).collect();
    let reason = |id: &str| {
        report.anomalies.iter().find(|one| one.entity == id).map(|one| one.reason.clone()).unwrap_or_default()
    };
    let hits = named.iter().filter(|id| truth.get(**id).is_some_and(|fault| *fault != Fault::None)).count();
    let alarms = named
        .iter()
        .filter(|id| truth.get(**id).is_none_or(|fault| *fault == Fault::None))
        .map(|id| reason(id))
        .collect();
    let scores: BTreeMap<&str, f64> = report.scores.iter().map(|(id, score)| (id.as_str(), *score)).collect();
    let missed = truth.iter().filter(|(id, fault)| **fault != Fault::None && !named.contains(id.as_str()));
    (
        hits,
        alarms,
        missed.map(|(id, fault)| (*fault, scores.get(id.as_str()).copied().unwrap_or(-1.0))).collect(),
    )
}

#[test]
fn instances_are_found_and_the_faulty_ones_told_with_few_faults_and_with_many() {
    let (normal, _) = cloud(1, 600, None);
    for (seed, machines, every) in [(2, 300, 50), (3, 300, 8), (4, 200, 5)] {
        let (input, truth) = cloud(seed, machines, Some(every));
        let report = judge(&normal, &input);
        assert_eq!((report.kind.as_str(), report.entities as usize), ("<uuid> after instance", machines));
        let (hits, alarms, missed) = compare(&report, &truth);
        assert!(
            missed.is_empty() && alarms.len() * 20 <= hits,
            "{hits} hits, alarms {alarms:#?}, missed {missed:?}"
        );
        for one in &report.anomalies {
            assert!(!one.reason.is_empty() && !one.evidence.is_empty(), "{one:?}");
            assert!(one.evidence.iter().all(|line| line.text.contains(&one.entity)), "{one:?}");
        }
    }
}

#[test]
fn a_normal_cloud_has_no_anomalous_instances() {
    let (normal, _) = cloud(1, 600, None);
    for seed in 10..14 {
        let (input, truth) = cloud(seed, 200, None);
        let (_, alarms, _) = compare(&judge(&normal, &input), &truth);
        assert!(alarms.len() <= 1, "seed {seed}: {alarms:#?}");
    }
}

#[test]
fn a_small_baseline_still_tells_the_killed() {
    let (normal, _) = cloud(1, 60, None);
    let (input, truth) = cloud(2, 100, Some(10));
    let (_, alarms, missed) = compare(&judge(&normal, &input), &truth);
    assert!(alarms.len() <= 1, "{alarms:#?}");
    assert!(missed.iter().all(|(fault, _)| *fault != Fault::Killed), "{missed:?}");
}

#[test]
fn what_the_end_of_the_log_cuts_off_is_no_anomaly() {
    let (normal, _) = cloud(1, 600, None);
    let (input, truth) = cloud(5, 200, None);
    let half: String =
        input.lines().take(input.lines().count() / 2).fold(String::new(), |text, line| text + line + "\n");
    let (_, alarms, _) = compare(&judge(&normal, &half), &truth);
    assert!(alarms.len() <= 1, "{alarms:#?}");
    let late: String =
        input.lines().skip(input.lines().count() / 2).fold(String::new(), |text, line| text + line + "\n");
    let (_, alarms, _) = compare(&judge(&normal, &late), &truth);
    assert!(alarms.len() <= 1, "{alarms:#?}");
}

#[test]
fn without_a_baseline_the_killed_and_the_leaked_stand_out() {
    let (input, truth) = cloud(6, 300, Some(25));
    let mut miner = Miner::default();
    let (records, ids) = mine(&mut miner, &input);
    let words = |id| miner.template(id).map(|template| template.text).unwrap_or_default();
    let options = SessionOptions { anomalies_max: usize::MAX, ..SessionOptions::default() };
    let report = score_alone(&records, &ids, &words, &options).unwrap();
    let (hits, alarms, _) = compare(&report, &truth);
    assert!(hits >= 5 && alarms.len() <= hits / 2, "{hits} hits, {alarms:#?}");
}

#[test]
fn the_kind_can_be_named_and_one_that_is_not_there_gives_nothing() {
    let (normal, _) = cloud(1, 100, None);
    let mut miner = Miner::default();
    let (records, ids) = mine(&mut miner, &normal);
    let found: Vec<String> = kinds(&records, &ids).into_iter().map(|kind| kind.name).collect();
    assert_eq!(found.first().map(String::as_str), Some("<uuid> after instance"));
    let learn = |name: &str| {
        let options = SessionOptions { entity: Some(name.into()), ..SessionOptions::default() };
        SessionModel::learn(&records, &ids, &|_| String::new(), &options)
    };
    assert_eq!(learn("req-<uuid>").map(|model| model.kind.name), Some("req-<uuid>".into()));
    assert!(learn("blk_#").is_none());
}

#[test]
fn the_same_logs_give_the_same_bytes() {
    let (normal, _) = cloud(1, 80, None);
    let (input, _) = cloud(2, 60, Some(9));
    let once = serde_json::to_string(&judge(&normal, &input)).unwrap();
    assert_eq!(once, serde_json::to_string(&judge(&normal, &input)).unwrap());
}
