//! Says what is new about an incident, once, with the time since the story began. Owns the words on the terminal; never
//! decides or asks anything.

use super::paint::{Colour, Paint, plain};
use medic_proto::v1;
use std::collections::BTreeMap;

/// Findings shown of one round: the strongest ones; the rest are counted.
const FINDINGS_SHOWN: usize = 8;
const HYPOTHESES_SHOWN: usize = 4;
const CITATIONS_SHOWN: usize = 3;
const BAR_CHARS: f64 = 20.0;

pub struct Narrator {
    paint: Paint,
    /// Milliseconds since the epoch that count as 0 s.
    began_ms: u64,
    alerts: BTreeMap<String, String>,
    transitions: usize,
    findings: usize,
    gaps: usize,
    diagnoses: usize,
    plan: String,
    approvals: usize,
    executed: usize,
}

impl Narrator {
    pub fn new(paint: Paint, began_ms: u64) -> Self {
        Self {
            paint,
            began_ms,
            alerts: BTreeMap::new(),
            transitions: 0,
            findings: 0,
            gaps: 0,
            diagnoses: 0,
            plan: String::new(),
            approvals: 0,
            executed: 0,
        }
    }

    /// Counts from now on.
    pub fn begin(&mut self, now_ms: u64) {
        self.began_ms = now_ms;
    }

    /// One line, now.
    pub fn say(&self, colour: Colour, head: &str, text: &str) {
        self.line(super::now_ms(), colour, head, text);
    }

    fn line(&self, at_ms: u64, colour: Colour, head: &str, text: &str) {
        let seconds = (at_ms as f64 - self.began_ms as f64) / 1000.0;
        let time = self.paint.of(Colour::Dim, &format!("{seconds:6.1} s"));
        println!("{time}  {}  {text}", self.paint.of(colour, &format!("{head:<17}")));
    }

    /// A line that belongs to the one before.
    pub fn more(&self, text: &str) {
        println!("{:28} {text}", "");
    }

    pub fn heading(&self, text: &str) {
        println!("\n{}", self.paint.of(Colour::Bold, text));
    }

    pub fn raw(&self, text: &str) {
        println!("{text}");
    }

    pub fn coloured(&self, colour: Colour, text: &str) -> String {
        self.paint.of(colour, text)
    }

    /// Everything about the incident that was not said yet.
    pub fn tell(&mut self, incident: &v1::Incident) {
        self.alerts(incident);
        // Text that belongs to a phase follows the line that entered it.
        for line in incident.history.iter().skip(self.transitions) {
            let head = if line.from == line.to { "·" } else { line.to.as_str() };
            let colour = match line.to.as_str() {
                _ if line.from == line.to => Colour::Dim,
                "RESOLVED" => Colour::Green,
                "ESCALATED" => Colour::Red,
                "AWAITING_DECISION" => Colour::Yellow,
                _ => Colour::Blue,
            };
            self.line(line.at_ms, colour, head, &plain(&line.why));
            match line.to.as_str() {
                "DIAGNOSING" => self.evidence(incident),
                "AWAITING_DECISION" | "EXECUTING" | "ESCALATED" => self.diagnoses(incident),
                _ => {}
            }
        }
        self.transitions = incident.history.len();
        self.diagnoses(incident);
        if let Some(proposal) = &incident.proposal {
            self.proposal(proposal);
        }
        self.executed(incident);
    }

    fn alerts(&mut self, incident: &v1::Incident) {
        for alert in &incident.alerts {
            if self.alerts.get(&alert.fingerprint) == Some(&alert.status) {
                continue;
            }
            let service = alert.labels.get("service").map_or("", String::as_str);
            let firing = alert.status == "firing";
            let at_ms = if firing { alert.first_received_at_ms } else { alert.last_received_at_ms };
            let said = alert.annotations.get("summary").map_or("", String::as_str);
            let text = if firing {
                format!(
                    "{} · {} · {}: \"{}\"",
                    plain(&alert.name),
                    plain(service),
                    alert.severity,
                    plain(said)
                )
            } else {
                format!("{} · {} has ended", plain(&alert.name), plain(service))
            };
            self.line(at_ms, if firing { Colour::Red } else { Colour::Green }, "alert", &text);
            self.alerts.insert(alert.fingerprint.clone(), alert.status.clone());
        }
    }

    fn evidence(&mut self, incident: &v1::Incident) {
        // A round gathers everything anew.
        if incident.findings.len() == self.findings && incident.gaps.len() == self.gaps {
            return;
        }
        self.findings = incident.findings.len();
        self.gaps = incident.gaps.len();
        self.more(&format!(
            "{} pieces of evidence, {} findings; the strongest:",
            incident.evidence.len(),
            incident.findings.len()
        ));
        let mut findings: Vec<&v1::Finding> = incident.findings.iter().collect();
        findings.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        for finding in findings.iter().take(FINDINGS_SHOWN) {
            let id = self.paint.of(Colour::Cyan, &format!("{:<6}", finding.evidence_id));
            self.more(&format!(
                "  {id} {:.2} {:<7} {}: {}",
                finding.strength,
                finding.bearing,
                plain(&finding.component),
                plain(&finding.statement)
            ));
        }
        if let Some(origin) = findings.iter().find(|finding| finding.category == "origin") {
            let id = self.paint.of(Colour::Cyan, &origin.evidence_id);
            self.more(&format!("{id}: {}", plain(&origin.statement)));
        }
        for gap in &incident.gaps {
            self.more(&format!("  could not look: {} {}", gap.code, plain(&gap.detail)));
        }
    }

    fn diagnoses(&mut self, incident: &v1::Incident) {
        for diagnosis in incident.diagnoses.iter().skip(self.diagnoses) {
            let concluded = diagnosis.concluded_id.as_deref();
            self.more(&format!("round {}, hypotheses:", diagnosis.iteration));
            for hypothesis in diagnosis.hypotheses.iter().take(HYPOTHESES_SHOWN) {
                self.hypothesis(hypothesis, concluded == Some(&hypothesis.id), incident);
            }
            let rest = diagnosis.hypotheses.len().saturating_sub(HYPOTHESES_SHOWN);
            if rest > 0 {
                self.more(&format!("  and {rest} weaker"));
            }
            if let Some(why) = &diagnosis.abstained_because {
                self.more(&format!("it does not know: {}", plain(why)));
            }
            for critique in &diagnosis.critiques {
                self.more(&format!("on second thoughts: {}", plain(&critique.text)));
            }
            if let Some(note) = &diagnosis.model_note {
                self.more(&format!("model: {}", plain(note)));
            }
            if let Some(reference) = diagnosis.references.first() {
                let (title, heading) = (plain(&reference.title), plain(&reference.heading));
                self.more(&format!("runbook: {title} — {heading} ({})", plain(&reference.document)));
            }
        }
        self.diagnoses = incident.diagnoses.len();
    }

    fn hypothesis(&self, hypothesis: &v1::Hypothesis, concluded: bool, incident: &v1::Incident) {
        let filled = (hypothesis.confidence.clamp(0.0, 1.0) * BAR_CHARS).round() as usize;
        let bar = "█".repeat(filled) + &"░".repeat(BAR_CHARS as usize - filled);
        let colour = if concluded { Colour::Green } else { Colour::Dim };
        let arrow = if concluded { "→" } else { " " };
        let what =
            self.paint.of(colour, &format!("{} at {}", hypothesis.category, plain(&hypothesis.component)));
        self.more(&format!("{arrow} {:.2} {bar} {what} ({})", hypothesis.confidence, hypothesis.source));
        if !concluded {
            return;
        }
        for (word, cited) in [("for", &hypothesis.supporting), ("against", &hypothesis.against)] {
            for citation in cited.iter().take(CITATIONS_SHOWN) {
                let evidence = incident.evidence.iter().find(|evidence| evidence.id == citation.evidence_id);
                let source = evidence.map_or("", |evidence| &evidence.source);
                let id = self.paint.of(Colour::Cyan, &citation.evidence_id);
                self.more(&format!("       {word:<7} {id} {source}: {}", plain(&citation.why)));
            }
            let rest = cited.len().saturating_sub(CITATIONS_SHOWN);
            if rest > 0 {
                self.more(&format!("       {word:<7} and {rest} more"));
            }
        }
    }

    fn proposal(&mut self, proposal: &v1::Proposal) {
        if proposal.plan_digest != self.plan {
            self.plan.clone_from(&proposal.plan_digest);
            self.approvals = 0;
            self.plan(proposal);
        }
        for approval in proposal.approvals.iter().skip(self.approvals) {
            let text = format!("{} approved exactly this plan ({})", approval.principal, approval.id);
            self.line(approval.at_ms, Colour::Green, "approval", &text);
        }
        self.approvals = proposal.approvals.len();
    }

    fn plan(&self, proposal: &v1::Proposal) {
        let Some(plan) = &proposal.plan else { return };
        self.line(proposal.proposed_at_ms, Colour::Yellow, "plan", &proposal.plan_digest);
        for item in &plan.items {
            self.more(&format!("{} {} ({})", item.tool, plain(&item.args_json), item.category));
            for step in &item.steps {
                let target = step.target.clone().unwrap_or_default();
                let place = format!("{} {} on {}", target.kind, target.name, target.cluster);
                self.more(&format!(
                    "  step {}: {} — \"{}\"",
                    step.r#ref,
                    plain(&place),
                    plain(&step.summary)
                ));
            }
            self.more(&format!("  component {}", short(&item.component_digest)));
        }
        if let Some(radius) = &plan.blast_radius {
            let list = |names: &[String]| {
                if names.is_empty() { "none".to_owned() } else { plain(&names.join(", ")) }
            };
            let way_back =
                if radius.irreversible { "a step cannot be undone" } else { "every step can be undone" };
            self.more(&format!(
                "blast radius: changes {}; depending on it: {}; {} call(s) in the dry run; {way_back}",
                list(&radius.components),
                list(&radius.dependents),
                radius.operations
            ));
        }
        if let Some(verification) = &plan.verification {
            let checks = verification.must_be_silent.len() + verification.must_be_true.len();
            self.more(&format!(
                "helped when {checks} check(s) hold for {} s within {} s, else it is undone",
                verification.hold_ms / 1000,
                verification.deadline_ms / 1000
            ));
        }
        let needs = match proposal.requirement.as_str() {
            "auto" => "nobody's word".to_owned(),
            "one_approver" => "one person's word".to_owned(),
            "two_approvers" => "the word of two people".to_owned(),
            other => other.to_owned(),
        };
        self.more(&format!("needs {needs}: {}", plain(&proposal.because.join("; "))));
        let lifetime_s = proposal.expires_at_ms.saturating_sub(proposal.proposed_at_ms) / 1000;
        self.more(&format!("without it, a human is called after {lifetime_s} s"));
    }

    fn executed(&mut self, incident: &v1::Incident) {
        for action in incident.executed.iter().skip(self.executed) {
            let back = if action.reverting { "undo of " } else { "" };
            let took_ms = action.finished_at_ms.saturating_sub(action.started_at_ms);
            let colour = if action.outcome == "applied" || action.outcome == "undone" {
                Colour::Green
            } else {
                Colour::Red
            };
            let text = format!(
                "{back}step {} of {}: {} in {took_ms} ms on {}",
                action.step,
                action.tool,
                action.outcome,
                plain(&action.target)
            );
            self.line(action.finished_at_ms, colour, "executed", &text);
            if !action.detail.is_empty() {
                self.more(&plain(&action.detail));
            }
            for (key, receipt) in action.idempotency_keys.iter().zip(&action.receipts) {
                self.more(&format!("receipt for {}: {}", plain(key), plain(receipt)));
            }
            self.more(&format!("on the word of {}", action.approval_ids.join(", ")));
        }
        self.executed = incident.executed.len();
    }
}

/// Enough of a digest to recognise it.
fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}
