//! The daemon as a process: how long it takes to be of use, and what it takes up while nothing happens.

use crate::{
    figures::Figure,
    intake::{deliver, pending, settle},
};
use anyhow::Context;
use medic_demo::{Person, Stage};
use medic_tests::load::{Alerts, Caller, Samples};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const IDLE: Duration = Duration::from_secs(5);
const STARTS: usize = 5;
/// When a slow machine has enough of them.
const STARTS_MAX: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(2);
/// A daemon that takes longer is broken, not slow.
const READY_MAX: Duration = Duration::from_secs(30);

const PENDING: usize = 1_000;
const PENDING_CONNECTIONS: usize = 64;
const PENDING_MAX: Duration = Duration::from_secs(10);
/// After the start, for everything that was accepted to be in an incident.
const DRAIN_MAX: Duration = Duration::from_secs(12);

/// Resident memory of the daemon after some seconds in which nobody asked it anything.
///
/// # Errors
/// When the process cannot be looked at.
pub async fn idle_memory(stage: &Stage) -> anyhow::Result<Figure> {
    let pid = stage.medicd_pid().context("the daemon does not run")?;
    tokio::time::sleep(IDLE).await;
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("cannot look at the daemon")?;
    let resident_kib =
        resident_kib(&status).context("the system does not tell how much memory is resident")?;
    let how = format!(
        "VmRSS of medicd, {} s after a start with five tools and the runbooks, unasked",
        IDLE.as_secs()
    );
    Ok(Figure::new("memory of an idle daemon", 1, how).value("", resident_kib / 1024.0, "MiB"))
}

fn resident_kib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Ticks a second in which the kernel counts processor time for programs: 100 on every Linux that Medic runs on.
const TICKS_PER_S: f64 = 100.0;

/// Processor time that the daemon has used since its start, its own and the kernel's for it, in s.
///
/// # Errors
/// When the process cannot be looked at.
pub fn processor_s(stage: &Stage) -> anyhow::Result<f64> {
    let pid = stage.medicd_pid().context("the daemon does not run")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("cannot look at the daemon")?;
    processor_ticks(&stat)
        .map(|ticks| ticks / TICKS_PER_S)
        .context("the system does not tell the processor time")
}

/// Fields 14 and 15. The second is a name in parentheses and may hold anything, so that counting starts behind it.
fn processor_ticks(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut fields = behind_name.split(' ').skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// Orderly stops and starts on the same data.
///
/// # Errors
/// When the daemon does not stop or does not become ready.
pub async fn starts(mut stage: Stage) -> anyhow::Result<Figure> {
    let (mut samples, began) = (Samples::default(), Instant::now());
    while samples.len() < STARTS && (samples.is_empty() || began.elapsed() < STARTS_MAX) {
        stage.stop_medicd().await?;
        samples.push(restart(&mut stage).await?);
    }
    let how = format!(
        "from the start of the process to GET /readyz 200, asked every {} ms; five tools, compiled before, and the \
         runbooks, ingested before; after an orderly stop",
        LOOK.as_millis()
    );
    Ok(Figure::new("start", samples.len(), how).percentiles(&samples))
}

/// Accepts a night's worth of alerts, kills the daemon in the midst of them, and starts it again.
///
/// # Errors
/// When an alert is refused, the daemon does not become ready, or an accepted alert is gone.
pub async fn start_on_pending(mut stage: Stage, alerts: &Arc<Alerts>) -> anyhow::Result<Vec<Figure>> {
    let all = deliver(&stage, alerts, "night", PENDING_CONNECTIONS, PENDING, PENDING_MAX).await?;
    let (accepted, waiting) = (all.accepted.len(), pending(&stage).await?);
    anyhow::ensure!(all.refused == 0, "alerts were refused: {}", all.refusal.unwrap_or_default());
    stage.kill9()?;
    let took = restart(&mut stage).await?;
    let how = format!(
        "as the start above, without tools, after kill -9 right behind the last acceptance; {waiting} letters (alerts and \
         the work they had set off) waited in mailboxes just before"
    );
    let what = format!("start after kill -9, {accepted} alerts accepted");
    let start = Figure::new(what, 1, how).value("", took.as_secs_f64() * 1e3, "ms");
    let restarted = Instant::now();
    let drained = settle(&stage, DRAIN_MAX).await?;
    let (drain, found) = (restarted.elapsed(), tracked(&stage).await?);
    if drained {
        anyhow::ensure!(found == accepted, "{accepted} alerts were accepted, {found} are in incidents");
    }
    let state = if drained { "no letter waited any more" } else { "the time was up, letters still waited" };
    let how = format!(
        "alerts found in incidents of the {accepted} that were accepted, by GET /incidents, {:.1} s after that start, when \
         {state}",
        drain.as_secs_f64()
    );
    let kept =
        Figure::new("of them in incidents afterwards", accepted, how).value("", found as f64, "alerts");
    Ok(vec![start, kept])
}

/// Alerts that belong to an incident.
async fn tracked(stage: &Stage) -> anyhow::Result<usize> {
    let incidents = stage.incidents().await?;
    Ok(incidents.iter().map(|incident| incident.alerts as usize).sum())
}

/// Starts the daemon on what is there, and times it closer than the stage itself looks.
async fn restart(stage: &mut Stage) -> anyhow::Result<Duration> {
    let caller = Caller::of(stage, Person::Viewer);
    let started = Instant::now();
    let (ready, restarted) = tokio::join!(until_ready(&caller, started), stage.restart());
    // The stage knows better why a start failed.
    restarted?;
    ready
}

async fn until_ready(caller: &Caller, started: Instant) -> anyhow::Result<Duration> {
    let request = caller.get("/readyz");
    while started.elapsed() < READY_MAX {
        if let Ok(mut connection) = caller.connect().await
            && connection.ask(&request).await.is_ok_and(|answer| answer.status == 200)
        {
            return Ok(started.elapsed());
        }
        tokio::time::sleep(LOOK).await;
    }
    anyhow::bail!("not ready within {READY_MAX:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_where_the_kernel_writes_it() {
        let status = "Name:\tmedicd\nVmHWM:\t   99999 kB\nVmRSS:\t   12345 kB\nThreads:\t9\n";
        assert_eq!(resident_kib(status), Some(12_345.0));
        assert_eq!(resident_kib("Name:\tkthread\n"), None);
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194304 900 0 3 0 250 50 0 0 20 0 9 0 12345 1 2\n";
        assert_eq!(processor_ticks(stat), Some(300.0));
        assert_eq!(processor_ticks("77 (medicd) S 1"), None);
    }
}
