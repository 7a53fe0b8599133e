//! The demonstration: one fault, from the injection to the verified end, told as it happens.

mod chart;
mod consent;
mod narrator;
mod paint;

pub use consent::Answering;

use chart::Mark;
use medic_demo::{
    Check, Ending, Expectation, Person, Stage, StageOptions, expectation_of, has_ended, verdict,
};
use medic_lab::Fault;
use medic_proto::v1;
use narrator::Narrator;
use paint::{Colour, Paint};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A fault raises its first alert within some 7 s; longer on a machine that compiles beside it.
const ALERT_MAX: Duration = Duration::from_secs(60);
/// From the first alert to the end, a person's thinking not counted.
const STORY_MAX: Duration = Duration::from_secs(420);
/// Ordinary life before the fault: what is a change shows only against what was before.
const BEFORE: Duration = Duration::from_secs(30);
/// How long nothing must happen in the quiet run.
const QUIET: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(150);
/// Of the chart, before the fault.
const SHOWN_BEFORE_S: f64 = 15.0;
/// Of the chart, after the end.
const AFTER: Duration = Duration::from_secs(5);

pub struct Story {
    pub fault: Fault,
    pub answering: Answering,
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl Story {
    /// Tells it. `true` when it ended as it should.
    ///
    /// # Errors
    /// When a part of the stage cannot be started or asked.
    pub async fn tell(self) -> anyhow::Result<bool> {
        let expected = expectation_of(self.fault);
        let paint = Paint::for_stdout();
        let mut narrator = Narrator::new(paint, now_ms());
        narrator.heading(&format!("Medic: the story of {}", self.fault));
        narrator.raw(&format!("  seen as: {}\n  cure:    {}\n", self.fault.symptom(), self.fault.cure()));
        narrator.say(Colour::Dim, "stage", "starting the shop, Prometheus, Alertmanager and medicd…");
        let mut stage = Stage::start(StageOptions::default()).await?;
        self.introduce(&stage, &narrator).await?;

        let mut began_ms = now_ms();
        narrator.begin(began_ms);
        let lab = stage.lab()?;
        let (ended, checks) = if expected.ending == Ending::Quiet {
            narrator.say(Colour::Dim, "quiet", &format!("no fault; watching for {} s", QUIET.as_secs()));
            (None, self.watch_nothing_happen(&stage, &expected).await?)
        } else {
            let seconds = BEFORE.as_secs();
            narrator.say(
                Colour::Dim,
                "quiet",
                &format!("{seconds} s of ordinary life, so that there is a before"),
            );
            tokio::time::sleep(BEFORE).await;
            began_ms = now_ms();
            narrator.begin(began_ms);
            lab.inject(self.fault).await?;
            let home = self.fault.service().map_or("", medic_lab::Service::name);
            narrator.say(Colour::Red, "fault", &format!("{} injected at {home}", self.fault));
            let id = stage.first_incident(ALERT_MAX).await?;
            narrator.say(Colour::Dim, "incident", &id);
            let incident = self.follow(&stage, &id, &mut narrator).await?;
            let checks = verdict(&stage, &expected, &incident).await?;
            (Some(incident), checks)
        };

        self.show_metric(&stage, &expected, began_ms, ended.as_ref(), &narrator).await?;
        let mut right = show_checks(&checks, &narrator);
        right &= show_audit(&mut stage, &narrator).await?;
        stage.stop().await?;
        let (colour, end) = if right {
            (Colour::Green, "the story ended as it should")
        } else {
            (Colour::Red, "the story did not end as it should")
        };
        narrator.heading(&narrator.coloured(colour, end));
        Ok(right)
    }

    async fn introduce(&self, stage: &Stage, narrator: &Narrator) -> anyhow::Result<()> {
        let lab = stage.lab()?;
        let viewer = stage.client(Person::Viewer)?;
        let status = viewer.status().await?;
        narrator.say(Colour::Green, "stage", "gateway → checkout → inventory, payments → store; 30 orders/s");
        narrator.more(&format!("Prometheus   {}", lab.prometheus_url()));
        narrator.more(&format!("Alertmanager {}", lab.alertmanager_url()));
        narrator.more(&format!("medicd       {} (version {})", stage.url(), status.version));
        let tools = viewer.tools().await?;
        let names: Vec<String> =
            tools.tools.iter().map(|tool| format!("{} ({})", tool.name, tool.category)).collect();
        narrator.more(&format!("tools        {}", names.join(", ")));
        for rejected in &tools.rejected {
            narrator.more(&format!(
                "not loaded   {}: {}",
                paint::plain(&rejected.file),
                paint::plain(&rejected.reason)
            ));
        }
        Ok(())
    }

    /// Tells what happens until the incident has ended, and asks for consent where it waits for it.
    async fn follow(&self, stage: &Stage, id: &str, narrator: &mut Narrator) -> anyhow::Result<v1::Incident> {
        let client = stage.client(Person::Viewer)?;
        let mut left = STORY_MAX;
        let mut asked = String::new();
        loop {
            let incident = client.incident(id).await?;
            narrator.tell(&incident);
            if has_ended(&incident) {
                return Ok(incident);
            }
            match &incident.proposal {
                Some(proposal) if incident.phase == "AWAITING_DECISION" && proposal.plan_digest != asked => {
                    asked.clone_from(&proposal.plan_digest);
                    consent::ask(stage, &incident, proposal, self.answering, narrator).await?;
                }
                _ => {
                    anyhow::ensure!(
                        !left.is_zero(),
                        "the incident has not ended within {} s\n{}{}",
                        STORY_MAX.as_secs(),
                        medic_demo::account(&incident),
                        stage.log_tail()
                    );
                    tokio::time::sleep(LOOK).await;
                    left = left.saturating_sub(LOOK);
                }
            }
        }
    }

    async fn watch_nothing_happen(
        &self,
        stage: &Stage,
        expected: &Expectation,
    ) -> anyhow::Result<Vec<Check>> {
        let mut left = QUIET;
        while !left.is_zero() && stage.incidents().await?.is_empty() {
            tokio::time::sleep(LOOK).await;
            left = left.saturating_sub(LOOK);
        }
        let incidents = stage.incidents().await?;
        let seen: Vec<String> = incidents.iter().map(|one| paint::plain(&one.title)).collect();
        let done = verdict(stage, expected, &v1::Incident::default()).await?;
        // Of an incident that is not there nothing can be asked; what was done to the lab can.
        let mut checks: Vec<Check> = done.into_iter().skip(1).collect();
        checks.insert(
            0,
            Check {
                what: format!("no incident within {} s", QUIET.as_secs()),
                held: incidents.is_empty(),
                seen: if seen.is_empty() { "none".to_owned() } else { seen.join(", ") },
            },
        );
        Ok(checks)
    }

    async fn show_metric(
        &self,
        stage: &Stage,
        expected: &Expectation,
        began_ms: u64,
        incident: Option<&v1::Incident>,
        narrator: &Narrator,
    ) -> anyhow::Result<()> {
        tokio::time::sleep(AFTER).await;
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let (from_s, to_s) = (seconds(began_ms) - SHOWN_BEFORE_S, seconds(now_ms()));
        let chart = &expected.chart;
        let points = chart::points(&stage.lab()?.prometheus_url(), chart.promql, from_s, to_s).await?;
        let mut marks = Vec::new();
        if incident.is_some() {
            marks.push(Mark { at_s: seconds(began_ms), letter: 'F', meaning: "fault".to_owned() });
        }
        for action in incident.iter().flat_map(|incident| &incident.executed) {
            let (letter, word) = if action.reverting { ('U', "undo of ") } else { ('R', "") };
            let meaning = format!("{word}{}", action.tool);
            marks.push(Mark { at_s: seconds(action.finished_at_ms), letter, meaning });
        }
        narrator.heading(chart.title);
        for line in chart::draw(&points, chart.unit, from_s, to_s, &marks) {
            narrator.raw(&line);
        }
        Ok(())
    }
}

fn show_checks(checks: &[Check], narrator: &Narrator) -> bool {
    narrator.heading("Expected and seen");
    for check in checks {
        let (colour, mark) = if check.held { (Colour::Green, "✓") } else { (Colour::Red, "✗") };
        narrator.raw(&format!("  {} {}", narrator.coloured(colour, mark), check.what));
        narrator.raw(&format!("      {}", narrator.coloured(Colour::Dim, &paint::plain(&check.seen))));
    }
    checks.iter().all(|check| check.held)
}

/// Stops the daemon and recomputes the whole chain without it.
async fn show_audit(stage: &mut Stage, narrator: &Narrator) -> anyhow::Result<bool> {
    stage.stop_medicd().await?;
    narrator.heading("Audit, recomputed offline from an export");
    match stage.verify_audit_offline().await {
        Ok(head) => {
            let text = format!("audit verified: {} records, head {}", head.records, head.hash);
            narrator.raw(&format!("  {} {text}", narrator.coloured(Colour::Green, "✓")));
            Ok(true)
        }
        Err(error) => {
            narrator.raw(&format!("  {} {error:#}", narrator.coloured(Colour::Red, "✗")));
            Ok(false)
        }
    }
}
