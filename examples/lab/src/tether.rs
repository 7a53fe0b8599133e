//! Ties a process's life to its parent's, so that no service outlives a lab that was killed.

use anyhow::Context;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

/// Becomes `program`, to be killed by the kernel when the parent dies. Returns only on failure.
///
/// The kernel watches the parent *thread*: the parent must have spawned this process from a thread that lives as long
/// as it does (the keeper is single-threaded for this reason).
pub fn become_tethered(parent: i32, program: &OsString, arguments: &[OsString]) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot ask to be told of the parent's death")?;
    // The parent may have died before the kernel was asked to watch it.
    anyhow::ensure!(
        getppid().map(Pid::as_raw_pid) == Some(parent),
        "process {parent}, which started this one, is gone"
    );
    let failure = Command::new(program).args(arguments).exec();
    Err(failure).with_context(|| format!("cannot run {}", program.to_string_lossy()))
}
