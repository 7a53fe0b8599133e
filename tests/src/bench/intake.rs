//! How many alerts are accepted: on disk, and answered with 200.

use crate::{figures::Figure, life::processor_s};
use anyhow::Context;
use medic_demo::{Person, Stage};
use medic_tests::load::{Alerts, Caller, Connection, Samples};
use std::{
    fs::File,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const WEBHOOK: &str = "/webhooks/alertmanager";
pub const CONNECTIONS: [usize; 3] = [1, 8, 64];
/// Of one level: long enough for hundreds of answers, and three levels stay within ten seconds.
const LEVEL_MAX: Duration = Duration::from_secs(3);
/// Deliveries of one level. Fewer than a mailbox holds (10,000): a full one refuses, and that is another measurement.
const DELIVERIES_MAX: usize = 3_000;
/// Incidents that the alerts of a level become: a bad night, not one giant and not a thousand dwarfs.
const CLUSTERS: u64 = 20;
const DISK_MAX: Duration = Duration::from_millis(1_500);

/// What came of many deliveries at once.
#[derive(Default)]
pub struct Delivered {
    /// Answers of 200, each from before the first byte was sent to after the last was read.
    pub accepted: Samples,
    /// Other answers; nothing was stored.
    pub refused: usize,
    /// One of them.
    pub refusal: Option<String>,
    pub took: Duration,
}

/// Sends distinct alerts over so many connections at once, each waiting for its answer, until `count` were sent or the
/// time is up.
///
/// # Errors
/// When a connection breaks: accepted or not, nobody knows.
pub async fn deliver(
    stage: &Stage,
    alerts: &Arc<Alerts>,
    name: &str,
    connections: usize,
    count: usize,
    within: Duration,
) -> anyhow::Result<Delivered> {
    let caller = Caller::of(stage, Person::Webhook);
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(warm(&caller).await?);
    }
    let sent = Arc::new(AtomicUsize::new(0));
    let (mut tasks, started) = (JoinSet::new(), Instant::now());
    for mut connection in opened {
        let (caller, alerts, sent, name) = (caller.clone(), alerts.clone(), sent.clone(), name.to_owned());
        tasks.spawn(async move {
            let mut delivered = Delivered::default();
            while started.elapsed() < within && sent.fetch_add(1, Ordering::Relaxed) < count {
                let request = caller.post(WEBHOOK, &alerts.next_of(&name, CLUSTERS));
                let asked = Instant::now();
                let answer = connection.ask(&request).await?;
                if answer.status == 200 {
                    delivered.accepted.push(asked.elapsed());
                } else {
                    delivered.refused += 1;
                    delivered.refusal = Some(answer.text());
                }
            }
            anyhow::Ok(delivered)
        });
    }
    let mut all = Delivered::default();
    while let Some(done) = tasks.join_next().await {
        let done = done.context("a sender died")??;
        all.accepted.extend(done.accepted);
        all.refused += done.refused;
        all.refusal = all.refusal.or(done.refusal);
    }
    all.took = started.elapsed();
    Ok(all)
}

/// A connection that has answered once: the handshake is no part of what is measured.
async fn warm(caller: &Caller) -> anyhow::Result<Connection> {
    let mut connection = caller.connect().await?;
    let answer = connection.ask(&caller.get("/healthz")).await?;
    anyhow::ensure!(answer.status == 200, "the daemon is not well: {}", answer.text());
    Ok(connection)
}

/// Accepted alerts per second over so many connections, the investigation of what was accepted running meanwhile.
///
/// # Errors
/// When the daemon cannot be asked, or accepts nothing.
pub async fn accepted(stage: &Stage, alerts: &Arc<Alerts>, connections: usize) -> anyhow::Result<Figure> {
    let before = processor_s(stage)?;
    let all = deliver(stage, alerts, "intake", connections, DELIVERIES_MAX, LEVEL_MAX).await?;
    let busy_s = processor_s(stage)? - before;
    let (n, waiting, took_s) = (all.accepted.len(), pending(stage).await?, all.took.as_secs_f64());
    anyhow::ensure!(n > 0, "nothing was accepted: {}", all.refusal.unwrap_or_default());
    let how = format!(
        "POST {WEBHOOK}, one distinct alert each, in {CLUSTERS} clusters; answered 200 after the synced commit; kept-alive, \
         each connection waits for its answer; {took_s:.1} s on a fresh daemon, which opens and diagnoses incidents \
         meanwhile and kept {:.1} cores busy; {waiting} letters waited at the end",
        busy_s / took_s
    );
    let plural = if connections == 1 { "" } else { "s" };
    let mut figure = Figure::new(format!("alerts accepted, {connections} connection{plural}"), n, how)
        .value("", n as f64 / took_s, "alerts/s")
        .percentiles(&all.accepted);
    if all.refused > 0 {
        figure = figure.value("refused", all.refused as f64, "deliveries");
    }
    Ok(figure)
}

/// Waits until no letter waits in a mailbox. Whether that came to be within the time.
///
/// # Errors
/// When the daemon cannot be asked.
pub async fn settle(stage: &Stage, within: Duration) -> anyhow::Result<bool> {
    let started = Instant::now();
    while pending(stage).await? > 0 {
        if started.elapsed() > within {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(true)
}

/// Letters that were accepted and not yet handled, in every mailbox.
///
/// # Errors
/// When the daemon cannot be asked.
pub async fn pending(stage: &Stage) -> anyhow::Result<u64> {
    let status = stage.client(Person::Viewer)?.status().await?;
    let journal = status.journal.context("the daemon has no journal")?;
    Ok(journal.mailboxes.iter().map(|mailbox| mailbox.envelopes).sum())
}

/// What the disk below the store gives by itself: the same bodies, appended to a file, each synced.
///
/// # Errors
/// When the file cannot be written.
pub fn disk_alone(stage: &Stage, alerts: &Alerts) -> anyhow::Result<Figure> {
    let path = stage.dir().join("disk-alone");
    let mut file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let (mut samples, mut bytes, started) = (Samples::default(), 0, Instant::now());
    while started.elapsed() < DISK_MAX && samples.len() < DELIVERIES_MAX {
        let body = alerts.next_of("disk", CLUSTERS);
        let before = Instant::now();
        file.write_all(body.as_bytes())
            .and_then(|()| file.sync_data())
            .context("cannot write to the disk")?;
        samples.push(before.elapsed());
        bytes += body.len();
    }
    let (n, took) = (samples.len(), started.elapsed().as_secs_f64());
    std::fs::remove_file(&path).context("cannot remove what was written")?;
    let how = format!(
        "the same bodies ({} bytes each) appended to a file beside the store, write and fdatasync each, 1 thread, no \
         daemon; the daemon writes one synced batch for all that wait, so that many connections may come above this",
        bytes / n.max(1)
    );
    Ok(Figure::new("the disk alone, for comparison", n, how)
        .value("", n as f64 / took, "writes/s")
        .percentiles(&samples))
}
