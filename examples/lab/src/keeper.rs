//! The keeper: starts every part of the lab, starts again what exits, and ends with whoever started it.
//!
//! It is one thread, on purpose: the kernel ends the parts when the *thread* that started them ends (see [`tether`]),
//! so that thread must be the process.
//!
//! [`tether`]: crate::tether

use crate::{
    observe,
    plan::{KeeperState, Plan},
    topology::Service,
    whole_file,
};
use anyhow::Context;
use std::{
    cell::RefCell,
    ffi::OsString,
    fs,
    path::Path,
    process::Stdio,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::LocalSet,
};

/// A part that lived for less than this is not started again at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// How long a part that keeps dying early is left lying, first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A part of the lab: a process to be kept running.
struct Part {
    name: &'static str,
    program: OsString,
    arguments: Vec<OsString>,
}

/// What the keepers of the parts share.
struct Books {
    plan: Plan,
    state: RefCell<KeeperState>,
}

/// Keeps the lab in the directory until standard input ends or SIGTERM or SIGINT comes.
pub fn run(dir: &Path) -> anyhow::Result<()> {
    let plan = Plan::read(dir)?;
    let parts = parts(&plan)?;
    let pid = i32::try_from(std::process::id()).context("a process id that is none")?;
    let state = KeeperState { pid, ..KeeperState::default() };
    whole_file::replace_json(&plan.keeper_path(), &state)?;
    let books = Rc::new(Books { plan, state: RefCell::new(state) });

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = LocalSet::new().block_on(&runtime, async {
        let (stop, stopped) = watch::channel(false);
        let kept: Vec<_> = parts
            .into_iter()
            .map(|part| tokio::task::spawn_local(keep(part, Rc::clone(&books), stopped.clone())))
            .collect();
        let outcome = until_told().await;
        stop.send_replace(true);
        for part in kept {
            part.await?;
        }
        outcome
    });
    // Reading standard input holds a thread that nothing wakes but its end.
    runtime.shutdown_background();
    outcome
}

async fn until_told() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut input = tokio::io::stdin();
    let mut ignored = [0_u8; 64];
    loop {
        tokio::select! {
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            // Whoever started the keeper holds the other end; it closes when that process ends, however it ends.
            read = input.read(&mut ignored) => if read.unwrap_or(0) == 0 { return Ok(()) },
        }
    }
}

async fn keep(part: Part, books: Rc<Books>, mut stopped: watch::Receiver<bool>) {
    let mut pause = PAUSE_MIN;
    loop {
        let started = Instant::now();
        match books.start(&part) {
            Ok(mut child) => {
                tokio::select! {
                    _ = child.wait() => {}
                    _ = stopped.wait_for(|stopped| *stopped) => {
                        // An error means that it had ended by itself.
                        let _ended = child.kill().await;
                        return;
                    }
                }
            }
            Err(error) => eprintln!("{}: {error:#}", part.name),
        }
        if started.elapsed() >= SHORT_LIFE {
            pause = PAUSE_MIN;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

impl Books {
    fn start(&self, part: &Part) -> anyhow::Result<Child> {
        let path = self.plan.output_path(part.name);
        let output = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let child = Command::new(std::env::current_exe().context("cannot find this program")?)
            .arg("tether")
            .arg(std::process::id().to_string())
            .arg(&part.program)
            .args(&part.arguments)
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", part.name))?;
        let mut state = self.state.borrow_mut();
        *state.starts.entry(part.name.to_owned()).or_default() += 1;
        state.pids.insert(part.name.to_owned(), child.id().unwrap_or_default());
        whole_file::replace_json(&self.plan.keeper_path(), &*state)?;
        Ok(child)
    }
}

fn parts(plan: &Plan) -> anyhow::Result<Vec<Part>> {
    let lab = std::env::current_exe().context("cannot find this program")?.into_os_string();
    let dir = plan.dir.clone().into_os_string();
    let mut parts = Vec::new();
    // The observers first: Prometheus takes longest to be of use.
    if plan.prometheus {
        let programs = observe::Programs::find()?;
        parts.push(Part {
            name: "prometheus",
            program: programs.prometheus.into_os_string(),
            arguments: observe::prometheus_arguments(plan),
        });
        parts.push(Part {
            name: "alertmanager",
            program: programs.alertmanager.into_os_string(),
            arguments: observe::alertmanager_arguments(plan),
        });
    }
    for service in Service::ALL {
        let arguments =
            vec!["service".into(), "--name".into(), service.name().into(), "--dir".into(), dir.clone()];
        parts.push(Part { name: service.name(), program: lab.clone(), arguments });
    }
    parts.push(Part {
        name: "load",
        program: lab,
        arguments: vec![
            "load".into(),
            "--url".into(),
            plan.business_url(Service::Gateway).into(),
            "--rps".into(),
            plan.load_rps.to_string().into(),
            "--seed".into(),
            plan.seed.to_string().into(),
        ],
    });
    Ok(parts)
}
