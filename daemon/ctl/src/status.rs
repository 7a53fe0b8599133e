//! How the daemon is, for people.

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::{self, tell};
use crate::text::{Style, Table, ago, duration, plain, short, short_digest};
use medic_proto::v1;
use std::fmt::Write as _;

pub async fn run(client: &Client, json: bool) -> Result<Exit, Failure> {
    let status = client.status().get(v1::GetStatusRequest {}).await?.into_inner();
    if json {
        output::document(&status)?;
    } else {
        tell!("{}", told(&status, Style::of_stdout()));
    }
    Ok(Exit::Done)
}

fn told(status: &v1::GetStatusResponse, style: Style) -> String {
    let up = duration(status.now_ms.saturating_sub(status.started_at_ms));
    let state = if status.ready {
        style.good("ready")
    } else {
        style.bad(&format!("not ready: {}", plain(&status.not_ready_because)))
    };
    let mut lines = vec![
        format!("medicd {}  {state}  up {up}", plain(&status.version)),
        format!("you are {} ({})", plain(&status.principal), plain(&status.role)),
    ];
    if let Some(reason) = &status.safe_mode {
        lines.push(format!("{} {}", style.bad("SAFE MODE, only queries run:"), plain(reason)));
    }
    if status.stopping {
        lines.push(style.attention("stopping: nothing new is taken in any more"));
    }
    if let Some(boot) = &status.boot {
        if boot.unclean_in_a_row > 0 {
            let times = boot.unclean_in_a_row;
            lines.push(
                style.attention(&format!(
                    "the process ended {times} times in a row without closing the store"
                )),
            );
        }
        if boot.restored {
            lines.push(style.attention("first run on a restored copy: every change open in it is unknown"));
        }
    }
    let phases: Vec<String> = status
        .incidents_by_phase
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(phase, count)| format!(" · {count} {}", plain(phase)))
        .collect();
    lines.push(format!("incidents   {} live{}", status.live_incidents, phases.concat()));
    lines.push(format!("prometheus  {}", plain(&status.prometheus)));
    lines
        .push(format!("tools       {} loaded, {} plugins not loaded", status.tools, status.rejected_plugins));
    lines.push(format!("knowledge   {}", if status.knowledge { "consulted" } else { "none" }));
    let model = status.model.as_deref().map_or_else(|| "none".to_owned(), plain);
    lines.push(format!("model       {model}"));
    if let Some(journal) = &status.journal {
        lines.push(format!("journal     {}", told_journal(journal, style)));
    }
    let mut text = lines.join("\n") + "\n";
    text += &conditions(&status.conditions, status.now_ms, style);
    let _ = write!(text, "\n{}", actors(status).render(style));
    text
}

fn told_journal(journal: &v1::Journal, style: Style) -> String {
    let state = match (journal.writable, journal.low_space, journal.sync_slow) {
        (false, _, _) => style.bad("storage failed"),
        (true, true, _) => style.attention("disk nearly full, intake refused"),
        (true, false, true) => style.attention("writable, slow"),
        (true, false, false) => style.good("writable"),
    };
    format!(
        "{state}, {} commits (the last took {} ms), {} audit records, head {}, {} open effects, {} dead letters",
        journal.commit_seq,
        journal.sync_ms,
        journal.audit_seq,
        short_digest(&journal.audit_hash),
        journal.open_effects,
        journal.dead_letters
    )
}

/// What is wrong now in full; what is over in a line.
fn conditions(conditions: &[v1::Condition], now_ms: u64, style: Style) -> String {
    let mut text = String::new();
    for condition in conditions {
        let (code, since) = (plain(&condition.code), ago(condition.since_ms, now_ms));
        match condition.healed_at_ms {
            None => {
                let detail = short(&condition.detail, 200);
                let _ = writeln!(text, "{}  since {since}: {detail}", style.bad(&code));
                let _ = writeln!(text, "  {}", plain(&condition.meaning));
            }
            Some(healed) => {
                let lasted = duration(healed.saturating_sub(condition.since_ms));
                let line = format!("{code}  over since {}, lasted {lasted}", ago(healed, now_ms));
                let _ = writeln!(text, "{}", style.dim(&line));
            }
        }
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn actors(status: &v1::GetStatusResponse) -> Table {
    let mut table =
        Table::new(&["ACTOR", "STATE", "RESTARTS", "WORKING ON", "OLDEST", "MAIL WAITING", "LAST ERROR"]);
    for actor in &status.actors {
        let mailbox =
            status.journal.iter().flat_map(|journal| &journal.mailboxes).find(|one| one.name == actor.name);
        let oldest = actor.oldest_in_flight_ms.map(duration).unwrap_or_default();
        table.row(vec![
            actor.name.clone(),
            if actor.stuck { format!("{}, STUCK", actor.state) } else { actor.state.clone() },
            actor.restarts.to_string(),
            actor.in_flight.to_string(),
            oldest,
            mailbox.map(|mailbox| mailbox.envelopes.to_string()).unwrap_or_default(),
            short(actor.last_error.as_deref().unwrap_or_default(), 80),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_says_code_since_when_what_and_what_it_means_and_a_healed_one_how_long_it_lasted() {
        let condition = v1::Condition {
            code: "METRICS_UNREACHABLE".into(),
            since_ms: 10_000,
            detail: "connection\x1b[2J refused".into(),
            meaning: "Prometheus does not answer.".into(),
            healed_at_ms: None,
        };
        let healed = v1::Condition { healed_at_ms: Some(40_000), ..condition.clone() };
        let status = v1::GetStatusResponse {
            now_ms: 70_000,
            conditions: vec![condition, healed],
            ..Default::default()
        };
        let text = told(&status, Style { on: false });
        assert!(
            text.contains(
                "METRICS_UNREACHABLE  since 60 s ago: connection[2J refused\n  Prometheus does not answer.\n"
            ),
            "{text}"
        );
        assert!(text.contains("METRICS_UNREACHABLE  over since 30 s ago, lasted 30 s"), "{text}");
    }

    #[test]
    fn a_stuck_actor_is_not_to_be_overlooked() {
        let actor = v1::Actor {
            name: "executor".into(),
            state: "running".into(),
            in_flight: 1,
            oldest_in_flight_ms: Some(240_000),
            stuck: true,
            ..Default::default()
        };
        let status = v1::GetStatusResponse { actors: vec![actor], ..Default::default() };
        let text = told(&status, Style { on: false });
        assert!(text.contains("running, STUCK") && text.contains("4 min"), "{text}");
    }
}
