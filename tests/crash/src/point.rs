//! One point: a story that is cut short at a chosen place, as often as asked, and then lived to its end.

use crate::chaos::Chaos;
use crate::faultfs::{Arms, Counts, Fault, Mode};
use crate::image::Image;
use crate::laws::{self, Evidence, Judgement, Mood};
use crate::life::{self, Orders};
use crate::mutants::Mutant;
use crate::outside::{self, Note};
use crate::seed::Seed;
use crate::story::{self, Case, START_MS};
use crate::tape::{self, Entry, Op};
use crate::world;
use anyhow::{Context as _, Result};
use medic_store::Store;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Lives that a story is given before it must be at its end: the cut ones, one that may meet a full disk, and some.
const LIVES_MAX: u32 = 6;
/// On the wall clock. A life takes well under a second; on a machine that does ten other things, many.
const LIFE_LIMIT: Duration = Duration::from_secs(180);
/// Entries of the tape that are shown of a life that was cut.
const TAPE_SHOWN: usize = 14;

/// What a point is made of; printed when it fails, and enough to live it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Of the story, and of everything drawn on the way.
    pub seed: u64,
    /// One a life, in order; the lives after them are undisturbed.
    pub faults: Vec<Fault>,
    pub mutant: Option<Mutant>,
}

impl Point {
    /// The command that lives it again.
    pub fn command(&self) -> String {
        let mut command = format!("medic-crash point --seed {}", self.seed);
        for fault in &self.faults {
            command += &format!(" --fault {}:{}:{}", fault.mode.name(), fault.at, fault.seed);
        }
        if let Some(mutant) = self.mutant {
            command += &format!(" --mutant {}", mutant.name());
        }
        command
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    pub faults: Vec<String>,
    pub ends: BTreeMap<String, String>,
    /// Lives that ended before their time.
    pub cut: u32,
    /// Lives that ended because the store had failed.
    pub storage_failed: u32,
    /// Of the first life, when it was not cut.
    pub counts: Counts,
    /// The places between the files that the first life passed, in order.
    #[serde(skip)]
    pub labels: Vec<String>,
    /// The last operations of each cut life.
    pub log: Vec<String>,
    pub took_ms: u64,
}

impl Outcome {
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Where stories are lived: in memory where there is some, because a killed process loses nothing of it.
pub fn workshop() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let named = tempfile::Builder::new().prefix("medic-crash-").to_owned();
    Ok(if memory.is_dir() { named.tempdir_in(memory)? } else { named.tempdir()? })
}

/// The files of one story.
pub struct Scene {
    pub dir: tempfile::TempDir,
}

impl Scene {
    pub fn new() -> Result<Self> {
        let scene = Self { dir: workshop()? };
        std::fs::create_dir(scene.store())?;
        Ok(scene)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }
    pub fn world(&self) -> PathBuf {
        self.path("world.log")
    }
    pub fn outside(&self) -> PathBuf {
        self.path("outside.log")
    }
    pub fn tape(&self, life: u32) -> PathBuf {
        self.path(&format!("tape.{life}"))
    }
    /// The store as it was when a life began.
    fn before(&self) -> PathBuf {
        self.path("before")
    }
    fn orders(&self, life: u32) -> PathBuf {
        self.path(&format!("orders.{life}"))
    }

    /// Keeps the store as it is now: the next life may lose its power.
    pub fn keep_before(&self) -> Result<()> {
        copy(&self.store(), &self.before())
    }

    /// Puts the store into the state that a power loss at the end of that life left.
    pub fn lose_power(&self, life: u32, fault: Fault) -> Result<()> {
        let mut image = Image::of_directory(&self.before(), &self.store())?;
        image.play(&read_tape(self, life)?);
        image.lose_power(&mut Seed::new(fault.seed).fork("power"))
    }

    pub fn judge(&self, cases: &[Case], mood: Mood) -> Result<Judgement> {
        let report = medic_store::check(&self.store());
        let mut judgement = Judgement::default();
        match report {
            Ok(report) => {
                let fault = |fault: medic_store::Fault| format!("check: {} {}", fault.code, fault.detail);
                judgement.faults.extend(report.faults.into_iter().take(5).map(fault));
            }
            Err(error) => judgement.faults.push(format!("check: {}: {error}", error.code())),
        }
        let store = match Store::open(&life::store_config(&self.store())) {
            Ok(store) => store,
            Err(error) => {
                judgement.faults.push(format!("the store does not open: {}: {error}", error.code()));
                return Ok(judgement);
            }
        };
        let evidence = Evidence {
            cases,
            lines: &outside::read(&self.outside())?,
            requests: &world::requests(&self.world())?,
            journal: &store,
            mood,
        };
        let found = laws::judge(&evidence)?;
        judgement.faults.extend(found.faults);
        judgement.ends = found.ends;
        store.shutdown();
        Ok(judgement)
    }
}

/// How a life's process ended.
pub struct Ended {
    pub status: ExitStatus,
    pub said: String,
    pub late: bool,
}

impl Ended {
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(libc::SIGKILL) && !self.late
    }
}

/// One life in a process of its own.
pub fn live_once(scene: &Scene, orders: &Orders, limit: Duration) -> Result<Ended> {
    let path = scene.orders(orders.life);
    std::fs::write(&path, serde_json::to_vec(orders)?)?;
    let said = scene.path(&format!("said.{}", orders.life));
    let mut child = Command::new(std::env::current_exe()?)
        .arg("life")
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(File::create(&said)?)
        .stderr(File::options().create(true).append(true).open(&said)?)
        .spawn()
        .context("cannot begin a life")?;
    let began = Instant::now();
    let mut late = false;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > limit {
            late = true;
            child.kill()?;
            break child.wait()?;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(8));
    };
    let mut text = String::new();
    File::open(&said)?.take(4_096).read_to_string(&mut text)?;
    Ok(Ended { status, said: text.trim().to_owned(), late })
}

/// When the next life begins: a moment after the last thing anybody knows of.
pub fn next_moment(lines: &[outside::Line]) -> u64 {
    lines.iter().map(|line| line.at).max().map_or(START_MS, |at| at + 1_000)
}

/// # Errors
/// When the harness itself fails; what the daemon does wrong is in the outcome.
pub fn run(point: &Point) -> Result<Outcome> {
    let began = Instant::now();
    let scene = Scene::new()?;
    let cases = story::cases(point.seed, 0);
    let mut outcome = Outcome::default();
    let mut rested = false;
    for life in 1..=LIVES_MAX {
        let fault = point.faults.get(life as usize - 1).copied();
        let lie = point.mutant.and_then(Mutant::lie);
        let power = fault.is_some_and(loses_power);
        if power {
            scene.keep_before()?;
        }
        let orders = Orders {
            dir: scene.store(),
            world: scene.world(),
            outside: scene.outside(),
            life,
            now_ms: next_moment(&outside::read(&scene.outside())?),
            cases: cases.clone(),
            arms: Arms {
                root: scene.store(),
                world: scene.world(),
                tape: scene.tape(life),
                keeps_data: power,
                fault,
                lie,
                sync_delay_ms: 0,
            },
            mutant: point.mutant,
            chaos: Chaos::default(),
        };
        let ended = live_once(&scene, &orders, LIFE_LIMIT)?;
        let entries = read_tape(&scene, life)?;
        if ended.was_killed() {
            outcome.cut += 1;
        }
        if ended.was_killed() || ended.status.code() == Some(life::STORAGE_FAILED) {
            outcome.log.push(format!("life {life}, {}", fault.map_or("undisturbed", |f| f.mode.name())));
            let last = entries.len().saturating_sub(TAPE_SHOWN);
            outcome.log.extend(entries.iter().skip(last).map(ToString::to_string));
        }
        if let Some(fault) = fault.filter(|_| power) {
            scene.lose_power(life, fault)?;
        }
        match ended.status.code() {
            Some(life::QUIET) => {
                rested = true;
                if life == 1 {
                    outcome.counts = counts(&scene)?;
                    outcome.labels = entries.into_iter().filter_map(label).collect();
                }
                // A fault that was still to come finds nothing left to do.
                break;
            }
            Some(life::STORAGE_FAILED) => outcome.storage_failed += 1,
            // A disk that fails while the store is opened: it does not open, and nothing else is asked of it.
            Some(life::REFUSED)
                if fault.is_some_and(|fault| matches!(fault.mode, Mode::Eio | Mode::Enospc)) =>
            {
                outcome.storage_failed += 1;
            }
            None if ended.was_killed() => {}
            _ if ended.late => {
                outcome.faults.push(format!("life {life} hung: {}", ended.said));
                break;
            }
            code => {
                outcome.faults.push(format!("life {life} ended with {code:?}: {}", ended.said));
                break;
            }
        }
    }
    if !rested && outcome.faults.is_empty() {
        outcome.faults.push(format!("{LIVES_MAX} lives and no rest"));
    }
    // What a story that never came to rest did wrong is told as well.
    let cut = outcome.cut + outcome.storage_failed > 0;
    let judgement = scene.judge(&cases, if cut { Mood::Cut } else { Mood::Undisturbed })?;
    if rested || outcome.faults.is_empty() {
        outcome.faults.extend(judgement.faults);
    } else {
        outcome.faults.extend(judgement.faults.into_iter().take(3));
    }
    outcome.ends = judgement.ends;
    outcome.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(outcome)
}

/// A disk that failed is, half of the time, found without what it never confirmed.
pub fn loses_power(fault: Fault) -> bool {
    match fault.mode {
        Mode::Power => true,
        Mode::Eio => fault.seed.is_multiple_of(2),
        _ => false,
    }
}

fn read_tape(scene: &Scene, life: u32) -> Result<Vec<Entry>> {
    match File::open(scene.tape(life)) {
        Ok(file) => tape::read(BufReader::new(file)),
        // It ended before it began.
        Err(_) => Ok(Vec::new()),
    }
}

fn counts(scene: &Scene) -> Result<Counts> {
    let lines = outside::read(&scene.outside())?;
    let closed = lines.iter().rev().find_map(|line| match line.note {
        Note::Closed { counts } => Some(counts),
        _ => None,
    });
    closed.context("a life that came to rest did not say what it passed through")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn label(entry: Entry) -> Option<String> {
    match entry.op {
        Op::Logic { label } => Some(label),
        _ => None,
    }
}

/// An undisturbed life whose tape is held against the directory it left: every change must have passed through our hands.
/// Returns what it passed through, where tape and disk differ, and the tape.
///
/// # Errors
/// When the harness itself fails.
pub fn tape_against_disk(seed: u64) -> Result<(Counts, Vec<String>, Vec<Entry>)> {
    let scene = Scene::new()?;
    scene.keep_before()?;
    let orders = Orders {
        dir: scene.store(),
        world: scene.world(),
        outside: scene.outside(),
        life: 1,
        now_ms: START_MS,
        cases: story::cases(seed, 0),
        arms: Arms {
            root: scene.store(),
            world: scene.world(),
            tape: scene.tape(1),
            keeps_data: true,
            fault: None,
            lie: None,
            sync_delay_ms: 0,
        },
        mutant: None,
        chaos: Chaos::default(),
    };
    let ended = live_once(&scene, &orders, LIFE_LIMIT)?;
    anyhow::ensure!(
        ended.status.success(),
        "the undisturbed life ended with {}: {}",
        ended.status,
        ended.said
    );
    let entries = read_tape(&scene, 1)?;
    let mut image = Image::of_directory(&scene.before(), &scene.store())?;
    image.play(&entries);
    Ok((counts(&scene)?, image.differences(), entries))
}
