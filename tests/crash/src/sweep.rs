//! Many points: which are lived, by how many hands, and what is said of them.

use crate::faultfs::{Counts, Fault, Mode};
use crate::mutants::Mutant;
use crate::point::{self, Outcome, Point};
use crate::seed::Seed;
use anyhow::{Result, bail};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What a sweep is asked for: a mode, or two faults in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    One(Mode),
    /// A second crash while the first is being recovered from.
    Pairs,
}

impl Way {
    pub fn all() -> Vec<Self> {
        Mode::ALL.into_iter().map(Self::One).chain([Self::Pairs]).collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::One(mode) => mode.name(),
            Self::Pairs => "pairs",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|way| way.name() == name)
    }
}

/// What one way came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    pub points: u64,
    /// Points whose fault struck; the others were beyond the end of that run.
    pub struck: u64,
    pub violations: u64,
    /// Incidents that ended with a human because a step was unknown.
    pub unknown_outcomes: u64,
    pub lives_without_storage: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub way: String,
    pub point: Point,
    pub command: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub seed: u64,
    pub rows: BTreeMap<String, Row>,
    pub points: u64,
    pub violations: u64,
    pub failures: Vec<Failure>,
    /// Of the undisturbed runs, by the seed of their story.
    pub counts: BTreeMap<u64, Counts>,
    pub took_s: u64,
}

pub struct Plan {
    pub ways: Vec<Way>,
    /// Points a way; `None`: every boundary of every story once.
    pub points: Option<u64>,
    pub seed: u64,
    pub jobs: usize,
    /// Stories, each with its own order of events.
    pub stories: u64,
}

/// How many places of its kind a mode can strike at.
fn places(mode: Mode, counts: Counts) -> u64 {
    match mode {
        Mode::Kill | Mode::Torn | Mode::Power => counts.boundaries,
        Mode::Eio => counts.syncs,
        Mode::Enospc => counts.writes,
        Mode::Logic => counts.logic,
    }
}

/// Boundaries of a second life within which a second crash meets the recovery of the first.
const RECOVERY_BOUNDARIES: u64 = 260;

/// One full disk for so many other points, and so many at least: the engine looks for room only every few seconds, and
/// a life that waits for it takes ten times as long as another.
const FULL_DISK_SHARE: u64 = 10;
const FULL_DISK_MIN: u64 = 2;

/// # Errors
/// When an undisturbed run breaks a law already, or the harness fails.
pub fn sweep(plan: &Plan) -> Result<Report> {
    let began = Instant::now();
    let mut report = Report { seed: plan.seed, ..Report::default() };
    for story in 0..plan.stories {
        let seed = plan.seed + story;
        let outcome = point::run(&Point { seed, faults: Vec::new(), mutant: None })?;
        if !outcome.holds() {
            bail!("the undisturbed story of seed {seed} breaks the law:\n{}", outcome.faults.join("\n"));
        }
        report.counts.insert(seed, outcome.counts);
    }
    let mut queue = VecDeque::new();
    for way in &plan.ways {
        let points = points_of(*way, plan, &report.counts);
        eprintln!("{}: {} points", way.name(), points.len());
        queue.extend(points.into_iter().map(|point| (*way, point)));
    }
    let total = queue.len();
    let (queue, shared) = (Mutex::new(queue), Mutex::new(&mut report));
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            scope.spawn(|| {
                while let Some((way, point)) = lock(&queue).pop_front() {
                    let outcome = point::run(&point).unwrap_or_else(|error| Outcome {
                        faults: vec![format!("the harness failed: {error:#}")],
                        ..Outcome::default()
                    });
                    let mut report = lock(&shared);
                    enter(&mut report, way, point, outcome);
                    if report.points.is_multiple_of(100) {
                        let (done, s) = (report.points, began.elapsed().as_secs());
                        eprintln!("{done} of {total} points, {} violations, {s} s", report.violations);
                    }
                }
            });
        }
    });
    report.took_s = began.elapsed().as_secs();
    Ok(report)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn enter(report: &mut Report, way: Way, point: Point, outcome: Outcome) {
    let row = report.rows.entry(way.name().to_owned()).or_default();
    row.points += 1;
    row.struck += u64::from(outcome.cut + outcome.storage_failed > 0);
    row.lives_without_storage += u64::from(outcome.storage_failed);
    row.unknown_outcomes += outcome.ends.values().filter(|end| *end == "UNKNOWN_OUTCOME").count() as u64;
    report.points += 1;
    if !outcome.holds() {
        row.violations += 1;
        report.violations += 1;
        eprintln!("\nVIOLATION in {}: {}", way.name(), outcome.faults.join("\n  "));
        eprintln!("{}", outcome.log.join("\n"));
        eprintln!("again: {}\n", point.command());
        if report.failures.len() < 50 {
            let command = point.command();
            report.failures.push(Failure { way: way.name().to_owned(), point, command, outcome });
        }
    }
}

/// Points of one way, spread over the stories and over all places of each.
fn points_of(way: Way, plan: &Plan, counts: &BTreeMap<u64, Counts>) -> Vec<Point> {
    let mut draws = Seed::new(plan.seed).fork(way.name());
    let mut points = Vec::new();
    let stories = counts.len().max(1) as u64;
    let points_max = plan.points.map(|points| match way {
        Way::One(Mode::Enospc) => (points / FULL_DISK_SHARE).max(FULL_DISK_MIN.min(points)),
        _ => points,
    });
    for (seed, counts) in counts {
        let wanted = points_max.map(|points| points.div_ceil(stories));
        let singles = |mode: Mode, draws: &mut Seed| {
            let places = places(mode, *counts);
            let wanted = wanted.unwrap_or(places);
            (0..wanted)
                .map(|n| {
                    // One in each stretch, at a random place of it; a second round falls on other places.
                    let at = match wanted {
                        _ if wanted >= places => n % places.max(1),
                        _ => n * places / wanted + draws.below(places / wanted),
                    };
                    Fault { mode, at: at + 1, seed: draws.draw() }
                })
                .collect::<Vec<Fault>>()
        };
        match way {
            Way::One(mode) => {
                let faults = singles(mode, &mut draws);
                points.extend(faults.into_iter().map(|fault| Point {
                    seed: *seed,
                    faults: vec![fault],
                    mutant: None,
                }));
            }
            Way::Pairs => {
                let first = [Mode::Kill, Mode::Torn, Mode::Power, Mode::Logic];
                for fault in singles(Mode::Kill, &mut draws) {
                    let mode = first.get(draws.index(first.len())).copied().unwrap_or(Mode::Kill);
                    let at = 1 + (fault.at - 1) % places(mode, *counts).max(1);
                    let second = first.get(draws.index(3)).copied().unwrap_or(Mode::Kill);
                    let faults = vec![
                        Fault { mode, at, seed: fault.seed },
                        Fault { mode: second, at: 1 + draws.below(RECOVERY_BOUNDARIES), seed: draws.draw() },
                    ];
                    points.push(Point { seed: *seed, faults, mutant: None });
                }
            }
        }
    }
    draws.shuffle(&mut points);
    points.truncate(points_max.map_or(usize::MAX, |points| usize::try_from(points).unwrap_or(usize::MAX)));
    points
}

/// How a planted bug was found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    pub mutant: String,
    /// `undisturbed`, or the mode; `None`: it was not found.
    pub by: Option<String>,
    /// Points lived until then, the undisturbed run not counted.
    pub points: u64,
    pub fault: String,
    pub command: String,
}

/// Looks for each planted bug until it is found.
///
/// `near`: look first where the bug has its seam, which is quick; otherwise at random places of each mode in turn, as a
/// sweep would.
///
/// # Errors
/// When the harness itself fails.
pub fn mutants(which: &[Mutant], seed: u64, points_max: u64, jobs: usize, near: bool) -> Result<Vec<Found>> {
    let queue = Mutex::new(which.iter().copied().collect::<VecDeque<_>>());
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..jobs.max(1))
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some(mutant) = lock(&queue).pop_front() {
                        let one = hunt(mutant, seed, points_max, near)?;
                        let by = one.by.as_deref().unwrap_or("NOT FOUND");
                        eprintln!("{:<24} {by:<12} {:>4} point(s)  {}", one.mutant, one.points, one.fault);
                        lock(&found).push(one);
                    }
                    Ok(())
                })
            })
            .collect();
        hands.into_iter().try_for_each(|hand| match hand.join() {
            Ok(done) => done,
            Err(_) => bail!("a hand of the hunt panicked"),
        })
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by(|a, b| a.mutant.cmp(&b.mutant));
    Ok(found)
}

fn hunt(mutant: Mutant, seed: u64, points_max: u64, near: bool) -> Result<Found> {
    let mut report = Found {
        mutant: mutant.name().to_owned(),
        by: None,
        points: 0,
        fault: String::new(),
        command: String::new(),
    };
    let mut seen = |by: &str, point: &Point, points: u64| -> Result<(bool, Outcome)> {
        let outcome = point::run(point)?;
        report.points = points;
        if let Some(fault) = outcome.faults.first() {
            report.by = Some(by.to_owned());
            report.fault.clone_from(fault);
            report.command = point.command();
        }
        Ok((!outcome.holds(), outcome))
    };
    let (found, outcome) = seen("undisturbed", &Point { seed, faults: Vec::new(), mutant: Some(mutant) }, 0)?;
    if found {
        return Ok(report);
    }
    let mut draws = Seed::new(seed).fork(mutant.name());
    let seam = mutant.seam().filter(|_| near);
    let seams: Vec<u64> = (1..)
        .zip(&outcome.labels)
        .filter(|(_, label)| seam.is_some_and(|seam| label.ends_with(seam)))
        .map(|(n, _)| n)
        .collect();
    for n in 0..points_max {
        let mode = mutant.modes().get(usize::try_from(n).unwrap_or(0) % mutant.modes().len().max(1));
        let Some(mode) = mode.copied() else { break };
        let (mode, at) = match seams.get(draws.index(seams.len())) {
            Some(seam) => (Mode::Logic, *seam),
            None => (mode, 1 + draws.below(places(mode, outcome.counts))),
        };
        let fault = Fault { mode, at, seed: draws.draw() & !1 };
        let point = Point { seed, faults: vec![fault], mutant: Some(mutant) };
        if seen(mode.name(), &point, n + 1)?.0 {
            break;
        }
    }
    Ok(report)
}
