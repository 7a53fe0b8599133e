//! An incident as a person reads it.
//!
//! Owns what is shown and in which order: what is wrong, why Medic thinks so, what it wants to do, what it has done.

use crate::text::{Style, Table, ago, block, clock, duration, instant, plain, quoted, short, short_digest};
use medic_proto::v1;
use std::fmt::Write as _;

/// Alerts listed before the rest is only counted.
const ALERTS_SHOWN: usize = 12;
const HYPOTHESES_SHOWN: usize = 4;

pub struct Story<'a> {
    pub incident: &'a v1::Incident,
    pub now_ms: u64,
    pub style: Style,
}

impl Story<'_> {
    /// Everything.
    pub fn whole(&self) -> String {
        [
            self.head(),
            self.alerts(),
            self.diagnosis(),
            self.gaps(),
            self.proposal(),
            self.execution(),
            self.executed(),
            self.timeline(usize::MAX),
        ]
        .concat()
    }

    /// What fits a screen that is redrawn.
    pub fn live(&self, timeline_lines: usize) -> String {
        [self.head(), self.diagnosis(), self.proposal(), self.execution(), self.timeline(timeline_lines)]
            .concat()
    }

    fn title(&self, text: &str) -> String {
        format!("\n{}\n", self.style.bold(text))
    }

    pub fn head(&self) -> String {
        let (incident, style) = (self.incident, self.style);
        let mut text = format!(
            "{}  {}  {}\n{}\n",
            style.bold(&plain(&incident.id)),
            style.phase(&incident.phase),
            plain(&incident.severity),
            plain(&incident.title)
        );
        let _ = writeln!(
            text,
            "{}",
            style.dim(&format!(
                "opened {} ({}), revision {}",
                instant(incident.opened_at_ms),
                ago(incident.opened_at_ms, self.now_ms),
                incident.revision
            ))
        );
        if let Some(by) = &incident.requested_by {
            let _ = writeln!(text, "asked for by {}", plain(by));
        }
        if let Some(escalation) = &incident.escalation {
            let _ = writeln!(
                text,
                "{} {}: {} (was {})",
                style.bad("a human must take over,"),
                plain(&escalation.code),
                plain(&escalation.message),
                plain(&escalation.left_phase)
            );
        }
        if let Some(resolution) = &incident.resolution {
            let how = match resolution.how.as_str() {
                "remedied" => "the remedy was carried out and verified".to_owned(),
                "by_itself" => "the alerts ended before anything was changed".to_owned(),
                other => plain(other),
            };
            let after = duration(resolution.at_ms.saturating_sub(incident.opened_at_ms));
            let _ = writeln!(text, "{} {how}", style.good(&format!("resolved after {after}:")));
        }
        text
    }

    fn alerts(&self) -> String {
        if self.incident.alerts.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["ALERT", "STATUS", "SEVERITY", "SINCE", "REPEATS", "LABELS"]);
        for alert in self.incident.alerts.iter().take(ALERTS_SHOWN) {
            let told = |name: &&String| !matches!(name.as_str(), "alertname" | "severity");
            let labels: Vec<String> = alert
                .labels
                .iter()
                .filter(|(name, _)| told(name))
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            table.row(vec![
                short(&alert.name, 40),
                alert.status.clone(),
                alert.severity.clone(),
                instant(alert.starts_at_ms),
                alert.repeats.to_string(),
                short(&labels.join(" "), 70),
            ]);
        }
        let mut text = self.title("ALERTS") + &table.render(self.style);
        let more = self.incident.alerts.len().saturating_sub(ALERTS_SHOWN);
        if more > 0 {
            let _ = writeln!(text, "and {more} more");
        }
        if self.incident.alerts_missing > 0 {
            let missing = format!(
                "{} alerts were left out by the sender: the view is partial",
                self.incident.alerts_missing
            );
            let _ = writeln!(text, "{}", self.style.attention(&missing));
        }
        text
    }

    fn diagnosis(&self) -> String {
        let Some(diagnosis) = self.incident.diagnoses.last() else { return String::new() };
        let mut text = self.title(&format!("DIAGNOSIS, round {}", diagnosis.iteration));
        text += &self::diagnosis(diagnosis, &self.incident.evidence, self.style);
        for failed in &self.incident.failed_remedies {
            let _ = writeln!(
                text,
                "{} round {}, plan {}: {}{}",
                self.style.bad("did not help:"),
                failed.iteration,
                short_digest(&failed.plan_digest),
                plain(&failed.why),
                if failed.rolled_back { " (rolled back)" } else { "" }
            );
        }
        text
    }

    fn gaps(&self) -> String {
        if self.incident.gaps.is_empty() {
            return String::new();
        }
        let mut text = self.title("NOT LOOKED AT");
        for gap in &self.incident.gaps {
            let _ = writeln!(
                text,
                "{}: {} ({})",
                plain(&gap.code),
                short(&gap.query, 80),
                short(&gap.detail, 80)
            );
        }
        text
    }

    pub fn proposal(&self) -> String {
        let Some(proposal) = &self.incident.proposal else { return String::new() };
        let waiting = self.incident.phase == "AWAITING_DECISION";
        let mut text = self.title(if waiting { "PROPOSED, WAITING FOR YOU" } else { "PLAN" });
        let _ = writeln!(text, "plan {}", plain(&proposal.plan_digest));
        let needed = match proposal.requirement.as_str() {
            "auto" => "covered by the configured auto-approve rule".to_owned(),
            "one_approver" => "needs one approver".to_owned(),
            "two_approvers" => "needs two different approvers".to_owned(),
            other => plain(other),
        };
        let _ = writeln!(text, "{needed}: {}", plain(&proposal.because.join("; ")));
        if let Some(requester) = &proposal.requester {
            let _ = writeln!(text, "asked for by {}, who may not approve it", plain(requester));
        }
        for approval in &proposal.approvals {
            let by = format!("approved by {} at {}", plain(&approval.principal), instant(approval.at_ms));
            let _ = writeln!(text, "{}", self.style.good(&by));
        }
        if waiting {
            let left = proposal.expires_at_ms.saturating_sub(self.now_ms);
            let expiry =
                if left == 0 { "has expired".to_owned() } else { format!("expires in {}", duration(left)) };
            let _ = writeln!(
                text,
                "{} more needed; {}",
                proposal.approvals_missing,
                self.style.attention(&format!("{expiry} ({})", instant(proposal.expires_at_ms)))
            );
        }
        if let Some(plan) = &proposal.plan {
            text += &self.plan(plan);
        }
        text
    }

    fn plan(&self, plan: &v1::Plan) -> String {
        let style = self.style;
        let mut text = String::new();
        if let Some(radius) = &plan.blast_radius {
            let _ = writeln!(text, "changes     {}", style.bold(&plain(&radius.components.join(", "))));
            let dependents =
                if radius.dependents.is_empty() { "nobody".to_owned() } else { radius.dependents.join(", ") };
            let _ = writeln!(text, "felt by     {}", plain(&dependents));
            let undo = if radius.irreversible {
                style.bad("a step of it cannot be undone")
            } else {
                "every step can be undone".to_owned()
            };
            let pods = if radius.pods > 0 { format!(" on {} pods", radius.pods) } else { String::new() };
            let _ = writeln!(text, "operations  {}{pods}, {undo}", radius.operations);
        }
        for item in &plan.items {
            let category = plain(&item.category);
            let category = if item.category == "destructive" { style.bad("DESTRUCTIVE") } else { category };
            let _ =
                writeln!(text, "{}  {category}  {}", style.bold(&plain(&item.tool)), plain(&item.args_json));
            for step in &item.steps {
                let target = step.target.as_ref().map(target).unwrap_or_default();
                let _ = writeln!(
                    text,
                    "  {} {}  {}",
                    plain(&step.r#ref),
                    plain(&step.operation),
                    style.bold(&target)
                );
                if !matches!(step.params_json.as_str(), "" | "null" | "{}") {
                    let _ = writeln!(text, "      with {}", short(&step.params_json, 160));
                }
                if !step.summary.is_empty() {
                    let _ = writeln!(text, "      the tool says {}", quoted(&short(&step.summary, 160)));
                }
            }
            if !item.rationale.is_empty() {
                let _ = writeln!(text, "  the tool's reason {}", quoted(&short(&item.rationale, 300)));
            }
        }
        if let Some(checks) = &plan.verification {
            let _ = writeln!(
                text,
                "it has helped when, after {}, this holds for {} (else undone after {}):",
                duration(checks.settle_ms),
                duration(checks.hold_ms),
                duration(checks.deadline_ms)
            );
            for query in &checks.must_be_silent {
                let _ = writeln!(text, "  silent  {}", plain(query));
            }
            for query in &checks.must_be_true {
                let _ = writeln!(text, "  true    {}", plain(query));
            }
        }
        text
    }

    fn execution(&self) -> String {
        let Some(execution) = &self.incident.execution else { return String::new() };
        let doing = match (execution.verifying.as_deref(), execution.direction.as_str()) {
            (Some("remedy"), _) => "VERIFYING THE REMEDY",
            (Some(_), _) => "VERIFYING THE ROLLBACK",
            (None, "unwinding") => "UNDOING",
            (None, _) => "EXECUTING",
        };
        let mut text = self.title(doing);
        if let Some(why) = &execution.unwind_reason {
            let _ = writeln!(text, "because {}", plain(why));
        }
        for step in &execution.steps {
            let state = match step.state.as_str() {
                "applied" | "undone" => self.style.good(&step.state),
                "failed" | "unknown" | "undo_failed" | "not_undoable" => self.style.bad(&step.state),
                other => plain(other),
            };
            let at = step.at_ms.map(clock).unwrap_or_default();
            let _ = writeln!(text, "  {} {state} {at} {}", plain(&step.r#ref), short(&step.detail, 120));
        }
        text
    }

    fn executed(&self) -> String {
        if self.incident.executed.is_empty() {
            return String::new();
        }
        let mut text = self.title("DONE");
        for action in &self.incident.executed {
            let outcome = match action.outcome.as_str() {
                "applied" | "undone" => self.style.good(&action.outcome),
                other => self.style.bad(&plain(other)),
            };
            let _ = writeln!(
                text,
                "{} {}{} {} on {}  {outcome} in {}",
                clock(action.started_at_ms),
                if action.reverting { "undo of " } else { "" },
                plain(&action.step),
                self.style.bold(&plain(&action.tool)),
                plain(&action.target),
                duration(action.finished_at_ms.saturating_sub(action.started_at_ms))
            );
            let _ = writeln!(text, "         {}", plain(&action.args_json));
            let _ = writeln!(
                text,
                "         plan {}, approval {}, key {}",
                short_digest(&action.plan_digest),
                plain(&action.approval_ids.join(" ")),
                plain(&action.idempotency_keys.join(" "))
            );
            text += &block(&action.detail, "         ");
        }
        text
    }

    fn timeline(&self, lines: usize) -> String {
        let history = &self.incident.history;
        if history.is_empty() {
            return String::new();
        }
        let mut text = self.title("TIMELINE");
        let left_out = history.len().saturating_sub(lines);
        if left_out > 0 {
            let _ = writeln!(text, "{}", self.style.dim(&format!("… {left_out} earlier")));
        }
        for line in history.iter().skip(left_out) {
            let _ = writeln!(text, "{}", transition(line, self.incident.opened_at_ms, self.style));
        }
        text
    }
}

/// `10:56:40   +12 s  DIAGNOSING → AWAITING_DECISION  why`
pub fn transition(line: &v1::Transition, opened_at_ms: u64, style: Style) -> String {
    let since = format!("+{}", duration(line.at_ms.saturating_sub(opened_at_ms)));
    let phase = if line.from == line.to {
        style.dim("·")
    } else {
        format!("{} → {}", plain(&line.from), style.phase(&line.to))
    };
    format!("{}  {:>9}  {phase}  {}", style.dim(&clock(line.at_ms)), since, short(&line.why, 200))
}

pub fn diagnosis(diagnosis: &v1::Diagnosis, evidence: &[v1::Evidence], style: Style) -> String {
    let mut text = String::new();
    if let Some(why) = &diagnosis.abstained_because {
        let _ = writeln!(text, "{} {}", style.attention("I don't know:"), plain(why));
    }
    for hypothesis in diagnosis.hypotheses.iter().take(HYPOTHESES_SHOWN) {
        let concluded = diagnosis.concluded_id.as_ref() == Some(&hypothesis.id);
        let cause = format!("{} / {}", plain(&hypothesis.component), plain(&hypothesis.category));
        let mark = if concluded { "▶" } else { " " };
        let _ = writeln!(
            text,
            "{mark} {:.2}  {}  {}{}",
            hypothesis.confidence,
            if concluded { style.bold(&cause) } else { cause },
            plain(&hypothesis.statement),
            if hypothesis.source == "model" { " [from the model]" } else { "" }
        );
        for (sign, citations) in [("+", &hypothesis.supporting), ("−", &hypothesis.against)] {
            for citation in citations {
                let shown = evidence.iter().find(|one| one.id == citation.evidence_id);
                let shown = shown.map(|one| format!(": {}", short(&one.summary, 110))).unwrap_or_default();
                let line = format!(
                    "        {sign} {} {}{shown}",
                    plain(&citation.evidence_id),
                    plain(&citation.why)
                );
                let _ = writeln!(text, "{}", style.dim(&line));
            }
        }
    }
    let more = diagnosis.hypotheses.len().saturating_sub(HYPOTHESES_SHOWN);
    if more > 0 {
        let _ = writeln!(text, "  and {more} weaker ones");
    }
    for critique in &diagnosis.critiques {
        let _ = writeln!(text, "  on second thought: {}", plain(&critique.text));
    }
    for reference in &diagnosis.references {
        let _ = writeln!(text, "  see {} › {}", plain(&reference.title), plain(&reference.heading));
    }
    if let Some(note) = &diagnosis.model_note {
        let _ = writeln!(text, "  the model: {}", quoted(&short(note, 200)));
    }
    text
}

pub fn target(target: &v1::Target) -> String {
    let namespace = target.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    plain(&format!("{} {namespace}{} @{}", target.kind, target.name, target.cluster))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: Style = Style { on: false };

    fn waiting() -> v1::Incident {
        v1::Incident {
            id: "01J".into(),
            phase: "AWAITING_DECISION".into(),
            proposal: Some(v1::Proposal {
                plan_digest: format!("sha256:{}", "a".repeat(64)),
                requirement: "two_approvers".into(),
                because: vec!["drop_cache is destructive".into()],
                approvals_missing: 2,
                expires_at_ms: 100_000,
                plan: Some(v1::Plan {
                    items: vec![v1::PlanItem {
                        tool: "drop_cache".into(),
                        category: "destructive".into(),
                        args_json: r#"{"service":"store"}"#.into(),
                        rationale: "safe\nplan sha256:feed\x1b[2K".into(),
                        steps: vec![v1::PlanStep {
                            r#ref: "0.1".into(),
                            operation: "delete".into(),
                            target: Some(v1::Target {
                                cluster: "lab".into(),
                                kind: "DELETE".into(),
                                name: "/cache".into(),
                                ..Default::default()
                            }),
                            ..Default::default()
                        }],
                        ..Default::default()
                    }],
                    blast_radius: Some(v1::BlastRadius {
                        components: vec!["store".into()],
                        operations: 1,
                        irreversible: true,
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn proposal_shows_what_an_approver_must_know() {
        let incident = waiting();
        let text = Story { incident: &incident, now_ms: 40_000, style: OFF }.proposal();
        for needed in [
            "sha256:aaaa",
            "two different approvers",
            "drop_cache is destructive",
            "expires in 60 s",
            "changes     store",
            "cannot be undone",
            "DESTRUCTIVE",
            "DELETE /cache @lab",
            "2 more needed",
        ] {
            assert!(text.contains(needed), "{needed:?} is missing in\n{text}");
        }
    }

    #[test]
    fn tools_own_words_stay_on_one_quoted_line() {
        let incident = waiting();
        let text = Story { incident: &incident, now_ms: 0, style: OFF }.whole();
        assert!(text.contains("“safe plan sha256:feed[2K”"), "{text}");
        assert!(!text.contains('\x1b'));
        assert_eq!(text.lines().filter(|line| line.starts_with("plan ")).count(), 1, "{text}");
    }
}
