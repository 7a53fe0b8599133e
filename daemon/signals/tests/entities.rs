//! Entities of three made-up systems: requests of a shop, jobs of a scheduler, pods of a cluster.
//!
//! Each has identifiers of another shape, lines of another form, optional and repeated steps of its own, and steps that
//! come in any order. Into some lives a fault is put: a step left out, one repeated, two exchanged, an error that
//! nothing normal has, an early end, a long pause. Nothing of a system is told to the analysis.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may be blunt")]

use medic_signals::logs::reader::{ReaderOptions, read_all};
use medic_signals::logs::record::LogRecord;
use medic_signals::logs::sessions::{SessionModel, SessionOptions, SessionReport};
use medic_signals::logs::templates::{Miner, TemplateId};
use medic_signals::timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A small linear congruential generator: the same numbers for ever.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    fn text(&mut self, alphabet: &[u8], count: usize) -> String {
        (0..count).map(|_| char::from(alphabet[self.below(alphabet.len() as u64) as usize])).collect()
    }

    fn hex(&mut self, count: usize) -> String {
        self.text(b"0123456789abcdef", count)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Missing,
    Repeated,
    Exchanged,
    Error,
    Cut,
    Slow,
}

const FAULTS: [Fault; 6] =
    [Fault::Missing, Fault::Repeated, Fault::Exchanged, Fault::Error, Fault::Cut, Fault::Slow];

/// What happens `after_ms` the step before it. A firm one comes once in every life, after the same others.
struct Step {
    after_ms: u64,
    firm: bool,
    who: &'static str,
    text: String,
}

fn firm(after_ms: u64, who: &'static str, text: String) -> Step {
    Step { after_ms, firm: true, who, text }
}

fn free(after_ms: u64, who: &'static str, text: String) -> Step {
    Step { firm: false, ..firm(after_ms, who, text) }
}

struct System {
    kind: &'static str,
    /// Between the beginnings of two lives.
    pace_ms: u64,
    name: fn(&mut Seeded, usize) -> String,
    life: fn(&mut Seeded, &str) -> Vec<Step>,
    error: fn(&str) -> (&'static str, String),
    line: fn(&mut Seeded, u64, &str, &str, &str) -> String,
}

const SHOP: System = System {
    kind: "req-<uuid>",
    pace_ms: 700,
    name: |seeded, _| {
        let part: Vec<String> = [8, 4, 4, 4, 12].into_iter().map(|count| seeded.hex(count)).collect();
        format!("req-{}", part.join("-"))
    },
    life: |seeded, _| {
        let mut steps = vec![
            firm(
                0,
                "gateway",
                format!("POST /checkout accepted for user u{}", seeded.between(10_000, 30_000)),
            ),
            firm(20, "auth", format!("token validated in {}ms", seeded.between(1, 9))),
        ];
        for _ in 0..seeded.between(1, 4) {
            steps.push(free(30, "cart", format!("item sku-{} reserved", seeded.below(9_000))));
        }
        if seeded.below(3) == 0 {
            steps.push(free(20, "promo", format!("coupon SAVE{} applied", seeded.between(5, 30))));
        }
        steps.push(firm(50, "pricing", format!("total computed: {} cents", seeded.between(500, 30_000))));
        steps.push(firm(300, "payment", format!("charge ch_{} authorised", seeded.hex(16))));
        steps.push(firm(100, "payment", "charge captured".into()));
        let mut aside = [
            free(50, "inventory", format!("stock decremented in warehouse wh-{}", seeded.between(1, 7))),
            free(50, "mailer", "confirmation mail queued".into()),
        ];
        if seeded.below(2) == 0 {
            aside.reverse();
        }
        steps.extend(aside);
        steps.push(firm(100, "order", format!("order {} created", seeded.between(1_000_000, 9_000_000))));
        steps.push(firm(20, "gateway", format!("responded 201 in {}ms", seeded.between(600, 900))));
        steps
    },
    error: |_| ("payment", "charge declined by the issuer".into()),
    line: |seeded, at_ms, who, id, text| {
        let time = timestamp::show(at_ms - at_ms % 1000).replace('T', " ").replace('Z', "");
        format!("{time},{:03} INFO  [{who}-{}] [{id}] {text}", at_ms % 1000, seeded.between(1, 4))
    },
};

/// Times of whole seconds, identifiers that are bare numbers.
const SCHEDULER: System = System {
    kind: "<integer> after job",
    pace_ms: 900,
    name: |seeded, index| (480_000 + 4 * index as u64 + seeded.below(4)).to_string(),
    life: |seeded, id| {
        let node = format!("cn{:03}", seeded.below(64));
        let uid = seeded.between(1_000, 1_040);
        let mut steps = vec![
            firm(0, "sched", format!("job {id} submitted by uid {uid} to partition long")),
            firm(1_000, "sched", format!("job {id} got priority {}", seeded.between(1_000, 9_000))),
        ];
        if seeded.below(3) == 0 {
            steps.push(free(seeded.between(2_000, 9_000), "sched", format!("job {id} pending: resources")));
        }
        steps.push(firm(3_000, "sched", format!("job {id} allocated nodes={node}")));
        steps.push(firm(1_000, "slurmd", format!("launching job {id} on {node}")));
        steps.push(firm(1_000, "slurmd", format!("prolog for job {id} completed")));
        for step in 0..seeded.below(4) {
            steps.push(free(seeded.between(2_000, 9_000), "slurmd", format!("job {id} step {step} done")));
        }
        steps.push(firm(4_000, "slurmd", format!("job {id} exited with status 0")));
        steps.push(firm(1_000, "slurmd", format!("epilog for job {id} completed")));
        steps.push(firm(1_000, "sched", format!("job {id} released nodes={node}")));
        steps.push(firm(1_000, "acct", format!("job {id} accounted to uid {uid}")));
        steps
    },
    error: |id| ("slurmd", format!("job {id} killed: memory limit exceeded")),
    line: |seeded, at_ms, who, _, text| {
        let second = at_ms / 1000 % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("May  1 {hour:02}:{minute:02}:{second:02} head{} {who}[812]: {text}", seeded.between(1, 3))
    },
};

const PODS: System = System {
    kind: "<pod>",
    pace_ms: 800,
    name: |seeded, _| {
        let deployment = ["checkout", "cart", "billing-worker"][seeded.below(3) as usize];
        let mut part = |count| seeded.text(b"bcdfghjklmnpqrstvwxz2456789", count);
        format!("{deployment}-{}-{}", part(9), part(5))
    },
    life: |seeded, id| {
        let pod = format!("pod=\"shop/{id}\"");
        let mut steps = vec![
            firm(0, "bind.go:604", format!("\"Bound to node\" {pod} node=\"node-{}\"", seeded.below(30))),
            firm(300, "kubelet.go:2125", format!("\"SyncLoop ADD\" pods=\"[shop/{id}]\"")),
            firm(500, "mount.go:722", format!("\"Volume mounted\" volume=\"config\" {pod}")),
        ];
        if seeded.below(2) == 0 {
            steps.push(free(seeded.between(1_000, 6_000), "image.go:47", format!("\"Pulled image\" {pod}")));
        }
        steps.push(firm(400, "manager.go:487", format!("\"Created container\" {pod}")));
        for _ in 0..seeded.below(3) {
            steps.push(free(
                seeded.between(500, 2_000),
                "prober.go:107",
                format!("\"Probe succeeded\" {pod}"),
            ));
        }
        steps.push(firm(9_000, "kubelet.go:2141", format!("\"SyncLoop DELETE\" pods=\"[shop/{id}]\"")));
        steps.push(firm(900, "container.go:722", format!("\"Killing container\" {pod} gracePeriod=30")));
        steps.push(firm(600, "mount.go:890", format!("\"Volume unmounted\" volume=\"config\" {pod}")));
        steps.push(firm(200, "kubelet.go:2135", format!("\"SyncLoop REMOVE\" pods=\"[shop/{id}]\"")));
        steps
    },
    error: |id| ("workers.go:951", format!("\"Error syncing\" err=\"cannot start\" pod=\"shop/{id}\"")),
    line: |seeded, at_ms, who, _, text| {
        let second = at_ms / 1000 % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let millis = at_ms % 1000;
        let thread = seeded.between(1_511, 1_513);
        format!("I0501 {hour:02}:{minute:02}:{second:02}.{millis:03}000    {thread} {who}] {text}")
    },
};

/// Changes a life; firm steps only, so that no other life could look like it.
fn spoil(seeded: &mut Seeded, fault: Fault, steps: &mut Vec<Step>, error: (&'static str, String)) {
    let inner: Vec<usize> = (2..steps.len() - 1).filter(|at| steps[*at].firm).collect();
    let at = inner[seeded.below(inner.len() as u64) as usize];
    match fault {
        Fault::Missing => drop(steps.remove(at)),
        Fault::Repeated => {
            for _ in 0..seeded.between(1, 4) {
                let again = free(10, steps[at].who, steps[at].text.clone());
                steps.insert(at + 1, again);
            }
        }
        Fault::Exchanged => {
            let other = inner[(inner.iter().position(|one| *one == at).unwrap() + 1) % inner.len()];
            let (a, b) = (steps[at].text.clone(), steps[other].text.clone());
            steps[at].text = b;
            steps[other].text = a;
        }
        Fault::Error => steps.insert(at, free(50, error.0, error.1)),
        Fault::Cut => steps.truncate(at.min(steps.len() - 3)),
        Fault::Slow => steps[at].after_ms += 90_000,
    }
}

/// A log of so many lives, every so many of them faulty, and the faulty ones.
fn log(system: &System, seed: u64, lives: usize, every: Option<usize>) -> (String, BTreeMap<String, Fault>) {
    let mut seeded = Seeded(seed);
    let mut lines: Vec<(u64, String)> = Vec::new();
    let mut truth = BTreeMap::new();
    for index in 0..lives {
        let id = (system.name)(&mut seeded, index);
        let mut steps = (system.life)(&mut seeded, &id);
        if let Some(every) = every
            && index % every == every / 2
        {
            let fault = FAULTS[index / every % FAULTS.len()];
            spoil(&mut seeded, fault, &mut steps, (system.error)(&id));
            truth.insert(id.clone(), fault);
        }
        let begin = 1_714_550_400_000 + index as u64 * system.pace_ms + seeded.below(system.pace_ms);
        let mut at_ms = begin;
        for step in steps {
            at_ms += step.after_ms * seeded.between(80, 125) / 100;
            lines.push((at_ms, (system.line)(&mut seeded, at_ms, step.who, &id, &step.text)));
        }
    }
    lines.sort_by_key(|(at_ms, _)| *at_ms);
    (lines.into_iter().map(|(_, line)| line + "\n").collect(), truth)
}

fn mine(miner: &mut Miner, text: &str) -> (Vec<LogRecord>, Vec<TemplateId>) {
    let (records, _) = read_all(text.as_bytes(), ReaderOptions::default());
    let ids: Vec<TemplateId> = records.iter().map(|record| miner.learn(&record.message).id).collect();
    let ids = ids.into_iter().map(|id| miner.resolve(id)).collect();
    (records, ids)
}

fn judge(baseline: &str, inputs: &[&str]) -> Vec<SessionReport> {
    let mut miner = Miner::default();
    let (records, ids) = mine(&mut miner, baseline);
    let words = |miner: &Miner, id| miner.template(id).map(|template| template.text).unwrap_or_default();
    let options = SessionOptions { anomalies_max: usize::MAX, ..SessionOptions::default() };
    let model = SessionModel::learn(&records, &ids, &|id| words(&miner, id), &options).unwrap();
    miner.settle();
    let judged = inputs.iter().map(|input| {
        let (records, ids) = mine(&mut miner, input);
        model.score(&records, &ids, &|id| words(&miner, id), &options)
    });
    judged.collect()
}

fn check(system: &System) {
    let (normal, _) = log(system, 1, 500, None);
    let (many, truth_of_many) = log(system, 2, 400, Some(8));
    let (few, truth_of_few) = log(system, 3, 400, Some(60));
    let (none, _) = log(system, 4, 400, None);
    let reports = judge(&normal, &[&many, &few, &none]);
    for (report, truth, lives) in [(&reports[0], truth_of_many, 400), (&reports[1], truth_of_few, 400)] {
        assert_eq!((report.kind.as_str(), report.entities), (system.kind, lives));
        let named: BTreeSet<&str> = report.anomalies.iter().map(|one| one.entity.as_str()).collect();
        let missed: Vec<_> = truth.iter().filter(|(id, _)| !named.contains(id.as_str())).collect();
        let false_alarms: Vec<&str> = report
            .anomalies
            .iter()
            .filter(|one| !truth.contains_key(&one.entity))
            .map(|one| one.reason.as_str())
            .collect();
        let hits = truth.len() - missed.len();
        assert!(
            hits * 100 >= truth.len() * 95 && false_alarms.len() * 20 <= hits,
            "{hits} of {}, missed {missed:#?}, false {false_alarms:#?}",
            truth.len()
        );
    }
    let alarms: Vec<&str> = reports[2].anomalies.iter().map(|one| one.reason.as_str()).collect();
    assert!(alarms.len() <= 1, "{alarms:#?}");
}

#[test]
fn requests_of_a_shop_are_told_whether_few_are_faulty_or_many() {
    check(&SHOP);
}

#[test]
fn jobs_named_by_bare_numbers_are_told_whether_few_are_faulty_or_many() {
    check(&SCHEDULER);
}

#[test]
fn pods_of_all_deployments_are_one_kind() {
    check(&PODS);
}
