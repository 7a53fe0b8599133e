//! The daemon as a process that can be started, killed and started again on the same data.

use crate::programs;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Above the daemon's own time for an orderly end (10 s).
const STOP_MAX: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(10);
/// Log kept for an account of what went wrong.
const LOG_TAIL_LINES: usize = 60;

/// A running `medicd`. Dropping it kills it.
pub struct Medicd {
    child: Child,
}

impl Medicd {
    /// Starts the daemon with a configuration; what it says is added to `log`.
    ///
    /// It goes through the lab's tether, so that the kernel ends it with the thread that started it: no daemon outlives a
    /// test that was killed. Call this from a thread that lives as long as the daemon should.
    pub fn start(config: &Path, log: &Path) -> anyhow::Result<Self> {
        let program = programs::find("medicd", "medicd")?;
        let output = fs::OpenOptions::new().append(true).create(true).open(log);
        let output = output.with_context(|| format!("cannot open {}", log.display()))?;
        let child = Command::new(programs::find("medic-lab", "medic-lab")?)
            .arg("tether")
            .arg(std::process::id().to_string())
            .arg(&program)
            .arg("--config")
            .arg(config)
            .arg("--log-format")
            .arg("text")
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill9(mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill the daemon")?;
        self.child.wait().context("cannot wait for the daemon")?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time (it is killed then), or ends with a failure.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).context("cannot signal the daemon")?;
        }
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for the daemon")? {
                anyhow::ensure!(status.success(), "the daemon ended with {status}");
                return Ok(());
            }
            anyhow::ensure!(asked.elapsed() < STOP_MAX, "the daemon does not end within {STOP_MAX:?}");
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Medicd {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Where the running of `medicd SUBCOMMAND` led.
pub struct Ran {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs one of the daemon's offline commands to its end.
pub async fn run(arguments: &[&std::ffi::OsStr]) -> anyhow::Result<Ran> {
    let program: PathBuf = programs::find("medicd", "medicd")?;
    let output = tokio::process::Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    Ok(Ran {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_TAIL_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}
