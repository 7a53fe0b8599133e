//! A recorded incident, decided once more: no daemon, no store, only the file.
//!
//! Owns what a person sees of each decision. The law is core's and runs here as it ran there; what it gives now is held
//! against what was recorded then, to the last bit.

mod chain;
mod change;

use crate::failure::{Exit, Failure};
use crate::output::{self, say, tell};
use crate::text::{Style, clock, instant, plain, short};
use change::changes;
use medic_core::Incident;
use medic_core::effect::Effect;
use medic_core::replay::export::{Export, ReplayFault};
use medic_core::replay::{Made, Replayed, Verdict};
use serde_json::json;
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

pub struct Options {
    pub file: PathBuf,
    /// Wait after each decision, and show what it changed.
    pub step: bool,
    pub until: Option<u64>,
    /// An export of the whole audit log, against which the incident's records are held too.
    pub audit: Option<PathBuf>,
    pub json: bool,
}

impl From<ReplayFault> for Failure {
    fn from(fault: ReplayFault) -> Self {
        Self::new(fault.code(), fault.to_string())
    }
}

pub fn run(options: &Options) -> Result<Exit, Failure> {
    let text = std::fs::read_to_string(&options.file)
        .map_err(|error| Failure::new("IO", format!("cannot read {}: {error}", options.file.display())))?;
    let export = Export::read(&text).map_err(ReplayFault::from)?;
    let mut replay = export.begin().map_err(ReplayFault::from)?;
    let style = Style::of_stdout();
    if !options.json {
        say!("{}", style.dim(HEAD));
    }
    let mut waiting = options.step;
    let mut decisions: u64 = 0;
    for line in &export.decided {
        for made in replay.feed(line.commit, &line.decided).map_err(ReplayFault::from)? {
            decisions += 1;
            if options.json {
                output::record(&document(&made))?;
            } else {
                say!("{}", told(&made, style));
            }
            if options.step {
                for change in changes(&made.before, &made.after) {
                    say!("          {}", style.dim(&change));
                }
            }
            if options.until.is_some_and(|until| made.after.revision >= until) {
                return stopped(&made.after, decisions, options.json);
            }
            if waiting {
                waiting = match go_on()? {
                    Answer::Next => true,
                    Answer::Rest => false,
                    Answer::End => return stopped(&made.after, decisions, options.json),
                };
            }
        }
    }
    if let Some(until) = options.until {
        let last = replay.incident().map_or(0, |incident| incident.revision);
        let message = format!("the incident ends with revision {last}, before {until}");
        return Err(Failure::new("NO_SUCH_REVISION", message));
    }
    let replayed = export.finish(replay)?;
    if let Some(audit) = &options.audit {
        chain::hold(&export, audit)?;
    }
    if options.json {
        output::record(&json!({ "same": true, "replayed": replayed, "chain": options.audit.is_some() }))?;
    } else {
        let chained = if options.audit.is_some() { "; the chain holds exactly these records" } else { "" };
        say!("{}", style.good(&format!("{}{chained}", sum(&replayed))));
    }
    Ok(Exit::Done)
}

fn sum(replayed: &Replayed) -> String {
    let Replayed { decisions, revisions, audit_records, .. } = replayed;
    format!(
        "REPLAYED: {decisions} decisions, {revisions} revisions, {audit_records} audit records, all the same"
    )
}

/// Not to the end: the audit records and the last state were not held against anything yet.
fn stopped(incident: &Incident, decisions: u64, json: bool) -> Result<Exit, Failure> {
    if json {
        output::record(&json!({ "same": true, "until": incident.revision, "incident": incident }))?;
    } else {
        let (phase, revision) = (incident.phase.name(), incident.revision);
        say!("{decisions} decisions, all the same so far; the incident was {phase} at revision {revision}");
        tell!("{}", crate::text::block(&what_stood(incident), "  "));
    }
    Ok(Exit::Done)
}

/// What was known at that moment, in a few lines.
fn what_stood(incident: &Incident) -> String {
    let firing = incident.firing().count();
    let mut lines =
        vec![incident.title.clone(), format!("{} alerts, {firing} firing", incident.alerts.len())];
    if let Some(diagnosis) = incident.diagnosis() {
        for hypothesis in diagnosis.hypotheses.iter().take(3) {
            let confidence = hypothesis.confidence.value();
            lines.push(format!("{confidence:.2} {} / {}", hypothesis.component, hypothesis.category));
        }
    }
    for action in &incident.executed {
        lines.push(format!("{} {}: {}", action.tool, plain(&action.target), action.outcome));
    }
    lines.join("\n")
}

const HEAD: &str = "TIME       REV  EVENT                  DECISION";

/// One decision on a line: when, what happened, what was made of it.
fn told(made: &Made, style: Style) -> String {
    let event = &made.decision.event;
    let revision = match &made.verdict {
        Verdict::Advanced { .. } => made.after.revision.to_string(),
        _ => "·".to_owned(),
    };
    let (from, to) = (made.before.phase.name(), made.after.phase.name());
    let decision = match &made.verdict {
        Verdict::Unchanged => style.dim("unchanged"),
        Verdict::Refused(refusal) => {
            style.attention(&format!("refused {}: {}", refusal.code(), short(&refusal.to_string(), 140)))
        }
        Verdict::Advanced { effects, .. } => {
            let phase = if from == to {
                style.dim(from.as_str())
            } else {
                format!("{from} → {}", style.phase(to.as_str()))
            };
            let ordered: Vec<String> = effects.iter().map(effect).collect();
            if ordered.is_empty() { phase } else { format!("{phase}, orders {}", ordered.join(", ")) }
        }
    };
    format!("{}  {revision:>4}  {:<21}  {decision}", style.dim(&clock(event.at.0)), event.kind.name())
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Apply { step } | Effect::Revert { step, .. } => format!("{} {step}", effect.name()),
        _ => effect.name().to_owned(),
    }
}

fn document(made: &Made) -> serde_json::Value {
    let (effects, records, refusal) = match &made.verdict {
        Verdict::Advanced { effects, records } => (Some(effects), Some(records), None),
        Verdict::Unchanged => (None, None, None),
        Verdict::Refused(refusal) => {
            (None, None, Some(json!({ "code": refusal.code(), "message": refusal.to_string() })))
        }
    };
    json!({
        "commit": made.commit,
        "at_ms": made.decision.event.at.0,
        "at": instant(made.decision.event.at.0),
        "envelope": made.decision.envelope,
        "cause": made.decision.cause,
        "event": made.decision.event.kind,
        "policy": made.decision.policy,
        "outcome": made.decision.outcome,
        "from": made.before.phase.name(),
        "to": made.after.phase.name(),
        "revision": made.after.revision,
        "effects": effects,
        "records": records,
        "refusal": refusal,
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Next,
    /// Nobody answers any more: the rest is told without waiting.
    Rest,
    End,
}

fn go_on() -> Result<Answer, Failure> {
    eprint!("Enter: next decision, q: end  ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer)?;
    Ok(understood(read, &answer))
}

fn understood(read: usize, answer: &str) -> Answer {
    match (read, answer.trim()) {
        (0, _) => Answer::Rest,
        (_, "q" | "quit") => Answer::End,
        _ => Answer::Next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::mail::{Causation, Opening};
    use medic_core::replay::export::{DecidedLine, Header, Seal};
    use medic_core::replay::{Decided, Decision, Outcome};
    use medic_core::{
        Alert, AlertStatus, Digest, Event, EventKind, Labels, Policy, Step, TimestampMs, audit::ChainHead,
        step,
    };
    use std::collections::BTreeMap;

    const OFF: Style = Style { on: false };

    /// An incident that was opened, told the same alert again, and wrongly approved.
    pub(super) fn exported() -> (String, Vec<Made>) {
        let policy = Policy::default();
        let labels = Labels::from([("alertname", "High\x1b[2J"), ("service", "checkout")]);
        let alert = Alert {
            fingerprint: labels.fingerprint(),
            status: AlertStatus::Firing,
            labels,
            annotations: Labels::default(),
            starts_at: TimestampMs(900),
            ends_at: None,
            expression: None,
        };
        let kinds = [
            EventKind::AlertsArrived { alerts: vec![alert], truncated: 0 },
            EventKind::AlertsRepeated { fingerprints: vec!["nobody's".into()] },
            EventKind::Rejected { by: "token:alice".into(), reason: "no".into() },
        ];
        let opening = Opening { group: "g".into(), title: "checkout".into() };
        let mut incident = Incident::open("01J".into(), opening.clone(), TimestampMs(1_000));
        let (mut head, mut decided, mut audit) = (ChainHead::genesis(), Vec::new(), Vec::new());
        for (n, kind) in (0u64..).zip(kinds) {
            let event = Event { at: TimestampMs(1_000 + n), kind };
            let envelope = medic_core::EnvelopeId::new(format!("letter-{n}"));
            let mut records = Vec::new();
            let outcome = match step(&incident, &event, &policy) {
                Step::Advanced(advance) => {
                    incident = advance.next;
                    records = advance.records;
                    Outcome::Advanced {
                        revision: incident.revision,
                        effects: Digest::of(&advance.effects),
                        records: Digest::of(&records),
                    }
                }
                Step::Unchanged => Outcome::Unchanged,
                Step::Refused(refusal) => {
                    records.push(medic_core::audit::AuditRecord {
                        at: event.at,
                        incident: Some("01J".into()),
                        actor: "token:alice".into(),
                        kind: "refusal".into(),
                        subject: envelope.to_string(),
                        rule: None,
                        detail: json!({ "why": format!("{}: {refusal}", refusal.code()) }),
                    });
                    Outcome::Refused { code: refusal.code().to_owned() }
                }
            };
            for record in records {
                let (chained, next) = head.append(record);
                let before = std::mem::replace(&mut head, next).hash;
                audit.push(medic_core::replay::export::AuditLine { audit: chained, before });
            }
            let decision = Decision {
                incident: "01J".into(),
                envelope,
                cause: Causation::Timer,
                opens: (n == 0).then(|| opening.clone()),
                event,
                policy: Digest::of(&policy),
                outcome,
            };
            let decided_now = Decided {
                decisions: vec![decision],
                state: Digest::of(&incident),
                phase: incident.phase.name(),
            };
            decided.push(DecidedLine { commit: n + 1, decided: decided_now });
        }
        let policies = BTreeMap::from([(Digest::of(&policy), serde_json::to_string(&policy).unwrap())]);
        let mut seal = Seal::default();
        let mut text = seal.line(&Header::new("01J".into(), policies, head)).unwrap();
        for line in &decided {
            text += &seal.line(line).unwrap();
        }
        for line in &audit {
            text += &seal.line(line).unwrap();
        }
        text += &seal.close(&incident).unwrap();
        let export = Export::read(&text).unwrap();
        let mut replay = export.begin().unwrap();
        let made = export.decided.iter().flat_map(|line| replay.feed(line.commit, &line.decided).unwrap());
        (text.clone(), made.collect())
    }

    fn replayed(text: &str, until: Option<u64>) -> Result<Exit, String> {
        let dir = std::env::temp_dir().join(format!("medic-replay-{}-{}", std::process::id(), text.len()));
        std::fs::write(&dir, text).unwrap();
        let options = Options { file: dir.clone(), step: false, until, audit: None, json: false };
        let result = run(&options).map_err(|failure| failure.code);
        std::fs::remove_file(dir).unwrap();
        result
    }

    #[test]
    fn a_sound_file_replays_and_an_edited_one_fails_with_its_code() {
        let (text, _) = exported();
        assert_eq!(replayed(&text, None), Ok(Exit::Done));
        assert_eq!(replayed(&text, Some(1)), Ok(Exit::Done));
        assert_eq!(replayed(&text, Some(9)), Err("NO_SUCH_REVISION".to_owned()));
        let edited = text.replace("\"starts_at\":900", "\"starts_at\":90");
        assert_eq!(replayed(&edited, None), Err("REPLAY_DIVERGED".to_owned()));
        assert_eq!(replayed("not an export\n", None), Err("REPLAY_FILE".to_owned()));
    }

    #[test]
    fn each_decision_is_one_line_that_says_what_was_made_of_the_event() {
        let (_, made) = exported();
        let lines: Vec<String> = made.iter().map(|made| told(made, OFF)).collect();
        assert_eq!(
            lines[0],
            "00:00:01     1  alerts_arrived         ALERT_RECEIVED → GATHERING_INFO, orders notify, gather"
        );
        assert_eq!(lines[1], "00:00:01     ·  alerts_repeated        unchanged");
        assert!(
            lines[2].starts_with("00:00:01     ·  rejected               refused WRONG_PHASE: "),
            "{lines:?}"
        );
    }

    #[test]
    fn what_a_decision_changed_is_told_by_place() {
        let (_, made) = exported();
        let lines = changes(&made[0].before, &made[0].after);
        assert!(
            lines.iter().any(|line| line.starts_with("phase.phase: \"alert_received\" → ")),
            "{lines:#?}"
        );
        assert!(lines.iter().any(|line| line.starts_with("+ history[0]: ")), "{lines:#?}");
        assert!(lines.iter().all(|line| !line.contains('\x1b') && !line.contains('\n')));
        assert_eq!(changes(&made[1].before, &made[1].after), Vec::<String>::new());
    }

    #[test]
    fn stepping_goes_on_by_itself_once_nobody_answers() {
        assert_eq!(understood(1, "\n"), Answer::Next);
        assert_eq!(understood(2, "q\n"), Answer::End);
        assert_eq!(understood(0, ""), Answer::Rest);
    }
}
