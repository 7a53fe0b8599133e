//! Looking on.
//!
//! Owns the live view: redrawn at a terminal, one line a step of the story otherwise. A connection that breaks is made
//! again from the last revision seen.

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::story::{Story, transition};
use crate::text::{Style, Table, ago, now_ms, plain, short, short_digest};
use medic_proto::v1;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio_stream::StreamExt as _;

/// Between attempts to reach a daemon that has gone away: long enough to restart, short enough to miss nothing.
const RECONNECT_WAIT: Duration = Duration::from_secs(1);
/// Attempts in a row before it is called unreachable.
const RECONNECTS_MAX: u32 = 60;
/// Lines of the timeline in the live view.
const TIMELINE_LINES: usize = 14;
/// Clears what a redraw does not overwrite: home, clear line ends, clear below.
const HOME: &str = "\x1b[H";
const CLEAR: &str = "\x1b[2J\x1b[H";

pub struct Options {
    pub json: bool,
    pub follow: bool,
}

pub async fn run(client: &Client, id: Option<String>, options: &Options) -> Result<Exit, Failure> {
    let screen = std::io::stdout().is_terminal() && !options.json;
    let mut view = View {
        style: Style::of_stdout(),
        screen,
        drawn: false,
        told: BTreeMap::new(),
        live: BTreeMap::new(),
    };
    let mut seen: Option<u64> = None;
    let mut connected = false;
    let mut failed_in_a_row = 0;
    loop {
        let request =
            v1::WatchIncidentsRequest { incident_id: id.clone().unwrap_or_default(), after_revision: seen };
        let broken = match client.incidents().watch(request).await {
            Ok(stream) => {
                connected = true;
                let mut stream = stream.into_inner();
                loop {
                    let next = match stream.next().await {
                        Some(Ok(update)) => update,
                        Some(Err(status)) => break Failure::from(status),
                        None => break Failure::new("UNREACHABLE", "the daemon has closed the stream"),
                    };
                    failed_in_a_row = 0;
                    if options.json {
                        output::record(&next)?;
                    }
                    let Some(incident) = next.incident else { continue };
                    if id.is_some() {
                        seen = Some(incident.revision);
                    }
                    if !options.json {
                        view.update(&next.kind, &incident, id.is_some())?;
                    }
                    let over = match incident.phase.as_str() {
                        "RESOLVED" => Some(Exit::Done),
                        "ESCALATED" => Some(Exit::Failed),
                        _ => None,
                    };
                    if let Some(exit) = over.filter(|_| id.is_some() && !options.follow) {
                        return Ok(exit);
                    }
                }
            }
            Err(status) => Failure::from(status),
        };
        // What the daemon said will not change by asking again; silence may.
        let silent =
            matches!(broken.code.as_str(), "UNREACHABLE" | "TIMEOUT" | "UNKNOWN" | "CANCELLED" | "INTERNAL");
        failed_in_a_row += 1;
        if !silent || !connected || failed_in_a_row > RECONNECTS_MAX {
            return Err(broken);
        }
        eprintln!("medic: {broken}; trying again");
        tokio::time::sleep(RECONNECT_WAIT).await;
    }
}

struct View {
    style: Style,
    /// Redraw in place.
    screen: bool,
    drawn: bool,
    /// Newest revision of the history told of each incident.
    told: BTreeMap<String, u64>,
    live: BTreeMap<String, v1::Incident>,
}

impl View {
    fn update(&mut self, kind: &str, incident: &v1::Incident, one: bool) -> Result<(), Failure> {
        let text = match (self.screen, one) {
            (true, true) => {
                let story = Story { incident, now_ms: now_ms(), style: self.style };
                self.redrawn(&story.live(TIMELINE_LINES))
            }
            (true, false) => {
                let over = matches!(incident.phase.as_str(), "RESOLVED" | "ESCALATED");
                self.live.insert(incident.id.clone(), incident.clone());
                if over && self.live.len() > 40 {
                    self.live.remove(&incident.id);
                }
                let board = self.board();
                self.redrawn(&board)
            }
            (false, _) => self.lines(kind, incident),
        };
        self.drawn = true;
        if text.is_empty() { Ok(()) } else { output::line(text.trim_end_matches('\n')) }
    }

    fn redrawn(&self, text: &str) -> String {
        let begin = if self.drawn { HOME } else { CLEAR };
        let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
        format!("{begin}{lines}\x1b[J")
    }

    fn board(&self) -> String {
        let now = now_ms();
        let mut table = Table::new(&["INCIDENT", "PHASE", "SEVERITY", "CHANGED", "CAUSE", "TITLE"]);
        let mut waiting = String::new();
        for incident in self.live.values().rev() {
            let first = incident.diagnoses.last().and_then(|diagnosis| diagnosis.hypotheses.first());
            let cause = first.map(|h| format!("{:.2} {} / {}", h.confidence, h.component, h.category));
            table.row(vec![
                incident.id.clone(),
                incident.phase.clone(),
                incident.severity.clone(),
                ago(incident.updated_at_ms, now),
                cause.unwrap_or_default(),
                short(&incident.title, 60),
            ]);
            if incident.phase == "AWAITING_DECISION" {
                let line = format!("medic approve {}", plain(&incident.id));
                waiting += &format!("{}\n", self.style.attention(&line));
            }
        }
        let heading = if waiting.is_empty() { String::new() } else { "\nwaiting for you:\n".to_owned() };
        format!("{}{heading}{waiting}", table.render(self.style))
    }

    /// What is new since the last time, one line a step; a proposal in full.
    fn lines(&mut self, kind: &str, incident: &v1::Incident) -> String {
        let style = self.style;
        if kind == "approval_request" {
            let story = Story { incident, now_ms: now_ms(), style };
            let digest =
                incident.proposal.as_ref().map(|proposal| proposal.plan_digest.as_str()).unwrap_or_default();
            return format!(
                "{}to approve: medic approve {} --plan {}",
                story.proposal(),
                plain(&incident.id),
                short_digest(digest)
            );
        }
        let told = self.told.get(&incident.id).copied();
        let mut text = String::new();
        if told.is_none() {
            let story = Story { incident, now_ms: now_ms(), style };
            text += &story.head();
        }
        for line in incident.history.iter().filter(|line| told.is_none_or(|told| line.revision > told)) {
            let line = transition(line, incident.opened_at_ms, style);
            text += &format!("{}  {line}\n", style.dim(&plain(&incident.id)));
        }
        self.told.insert(incident.id.clone(), incident.revision);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(revision: u64) -> v1::Incident {
        let step = |revision: u64, why: &str| v1::Transition {
            revision,
            from: "DIAGNOSING".into(),
            to: "DIAGNOSING".into(),
            why: why.into(),
            ..Default::default()
        };
        let history = (1..=revision).map(|revision| step(revision, &format!("step {revision}"))).collect();
        v1::Incident { id: "01J".into(), revision, history, ..Default::default() }
    }

    #[test]
    fn each_step_is_told_once_also_after_a_new_snapshot() {
        let style = Style { on: false };
        let mut view =
            View { style, screen: false, drawn: false, told: BTreeMap::new(), live: BTreeMap::new() };
        let first = view.lines("snapshot", &incident(2));
        assert!(first.contains("step 1") && first.contains("step 2"), "{first}");
        assert_eq!(view.lines("snapshot", &incident(2)), "");
        let next = view.lines("change", &incident(3));
        assert_eq!(next.lines().count(), 1, "{next}");
        assert!(next.contains("step 3"));
    }
}
