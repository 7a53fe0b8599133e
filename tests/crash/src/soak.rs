//! The long random run: one store, life after life, while everything around it misbehaves.
//!
//! Each generation of incidents is lived through several lives that end at any moment and in any way, in a world that
//! hangs, lies, panics and sets its clocks; then a quiet life brings it to rest, and everything since the beginning is
//! judged. What an incident came to may be a human's matter for many reasons; that nothing was lost, done twice or done
//! without consent may not.

use crate::chaos::Chaos;
use crate::faultfs::{Arms, Fault, Mode};
use crate::laws::Mood;
use crate::life::{self, Orders};
use crate::point::{self, Scene};
use crate::seed::Seed;
use crate::story;
use crate::{outside, world};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Disturbed lives a generation.
const LIVES: u64 = 4;
/// Undisturbed lives until a generation must be at rest: the first may still meet a store that has to recover.
const QUIET_LIVES: u32 = 3;
/// On the wall clock; a life that is killed from outside dies sooner.
const LIFE_LIMIT: Duration = Duration::from_secs(120);
/// Boundaries within which a fault strikes.
const BOUNDARIES: u64 = 600;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub seed: u64,
    pub generations: u64,
    pub lives: u64,
    /// Lives that ended before their time, by what ended them.
    pub ended_by: BTreeMap<String, u64>,
    pub incidents: usize,
    pub deeds: usize,
    /// How incidents ended.
    pub ends: BTreeMap<String, u64>,
    pub faults: Vec<String>,
    pub took_s: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} generations, {} lives, {} incidents, {} deeds, {} s, seed {}",
            self.generations, self.lives, self.incidents, self.deeds, self.took_s, self.seed
        )?;
        writeln!(f, "ended by: {:?}", self.ended_by)?;
        writeln!(f, "incidents: {:?}", self.ends)?;
        for fault in &self.faults {
            writeln!(f, "VIOLATION {fault}")?;
        }
        if !self.faults.is_empty() {
            writeln!(f, "again: medic-crash soak --seed {} --for {}", self.seed, self.took_s + 1)?;
        }
        Ok(())
    }
}

/// Soaks until the time is over, and to the end of the generation under way.
///
/// # Errors
/// When the harness itself fails.
pub fn soak(seed: u64, length: Duration) -> Result<Report> {
    let began = Instant::now();
    let scene = Scene::new()?;
    let mut draws = Seed::new(seed).fork("soak");
    let mut report = Report { seed, ..Report::default() };
    let mut soak = Soak { scene: &scene, cases: Vec::new(), life: 0 };
    while began.elapsed() < length && report.faults.is_empty() {
        let mut fresh = story::cases(draws.draw(), report.generations);
        let now_ms = point::next_moment(&outside::read(&scene.outside())?);
        fresh.iter_mut().for_each(|case| case.starts_at = now_ms);
        soak.cases.extend(fresh);
        for _ in 0..1 + draws.below(LIVES) {
            let (by, faults) = soak.disturbed(&mut draws)?;
            report.lives += 1;
            *report.ended_by.entry(by).or_default() += 1;
            report.faults.extend(faults);
        }
        report.faults.extend(soak.rest(&mut report.lives)?);
        let judgement = scene.judge(&soak.cases, Mood::Upset)?;
        report.faults.extend(judgement.faults);
        report.incidents = soak.cases.len();
        report.deeds = world::requests(&scene.world())?.len();
        report.ends.clear();
        for end in judgement.ends.into_values() {
            *report.ends.entry(end).or_default() += 1;
        }
        report.generations += 1;
        report.took_s = began.elapsed().as_secs();
        eprintln!(
            "generation {}: {} lives, {} incidents, {} deeds, {} violations, {} s",
            report.generations,
            report.lives,
            report.incidents,
            report.deeds,
            report.faults.len(),
            report.took_s
        );
    }
    Ok(report)
}

struct Soak<'a> {
    scene: &'a Scene,
    cases: Vec<story::Case>,
    life: u32,
}

impl Soak<'_> {
    fn orders(&mut self, fault: Option<Fault>, keeps_data: bool, chaos: Chaos) -> Result<Orders> {
        self.life += 1;
        let scene = self.scene;
        Ok(Orders {
            dir: scene.store(),
            world: scene.world(),
            outside: scene.outside(),
            life: self.life,
            now_ms: point::next_moment(&outside::read(&scene.outside())?),
            cases: self.cases.clone(),
            arms: Arms {
                root: scene.store(),
                world: scene.world(),
                tape: scene.tape(self.life),
                keeps_data,
                fault,
                lie: None,
                sync_delay_ms: 0,
            },
            mutant: None,
            chaos,
        })
    }

    /// One life that ends at some moment in some way, and what it did wrong by itself.
    fn disturbed(&mut self, draws: &mut Seed) -> Result<(String, Option<String>)> {
        let mode = Mode::ALL.get(draws.index(Mode::ALL.len() + 2)).copied();
        let fault = mode.map(|mode| Fault { mode, at: 1 + draws.below(BOUNDARIES), seed: draws.draw() });
        let power = fault.is_some_and(point::loses_power);
        let mut orders = self.orders(fault, power, Chaos::draw(draws))?;
        if draws.one_in(4) {
            // A disk on its knees: each sync takes as long as fifty good ones.
            orders.arms.sync_delay_ms = 1 + draws.below(10);
        }
        if power {
            self.scene.keep_before()?;
        }
        let limit = match fault {
            Some(_) => LIFE_LIMIT,
            None => Duration::from_millis(50 + draws.below(3_000)),
        };
        let ended = point::live_once(self.scene, &orders, limit)?;
        if let Some(fault) = fault.filter(|_| power) {
            self.scene.lose_power(self.life, fault)?;
        }
        std::fs::remove_file(self.scene.tape(self.life)).ok();
        let by = match (fault, ended.status.code()) {
            (_, Some(life::QUIET)) => "nothing".to_owned(),
            (None, None) => "kill from outside".to_owned(),
            (Some(fault), None | Some(life::STORAGE_FAILED)) if !ended.late => fault.mode.name().to_owned(),
            (Some(Fault { mode: Mode::Eio | Mode::Enospc, .. }), Some(life::REFUSED)) => "refused".to_owned(),
            // A world that hangs may keep a life from its rest; the quiet life must find it.
            (_, Some(life::NEVER_QUIET)) => "unrest".to_owned(),
            (_, code) => {
                let fault = format!("life {} ended with {code:?}: {}", self.life, ended.said);
                return Ok(("itself".to_owned(), Some(fault)));
            }
        };
        Ok((by, None))
    }

    /// Lives on undisturbed until everything has ended.
    fn rest(&mut self, lives: &mut u64) -> Result<Option<String>> {
        let mut said = String::new();
        for _ in 0..QUIET_LIVES {
            let orders = self.orders(None, false, Chaos::default())?;
            let ended = point::live_once(self.scene, &orders, LIFE_LIMIT)?;
            *lives += 1;
            std::fs::remove_file(self.scene.tape(self.life)).ok();
            if ended.status.code() == Some(life::QUIET) {
                return Ok(None);
            }
            said = format!("{}: {}", ended.status, ended.said);
        }
        Ok(Some(format!("no rest in {QUIET_LIVES} quiet lives, the last ended with {said}")))
    }
}
