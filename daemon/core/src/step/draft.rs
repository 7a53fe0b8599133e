//! An incident's next revision while it is being written.

use super::{Advance, Step};
use crate::audit::AuditRecord;
use crate::effect::{Notice, NoticeKind, TimerChange, TimerKind};
use crate::incident::{Counted, HISTORY_MAX, Transition};
use crate::phase::{Phase, Resolution};
use crate::{Effect, EffectId, EscalationReason, Event, Incident, Policy, TimestampMs};
use serde_json::{Value, json};

pub(super) struct Draft<'a> {
    pub next: Incident,
    pub at: TimestampMs,
    pub policy: &'a Policy,
    effects: Vec<Effect>,
    timers: Vec<TimerChange>,
    records: Vec<AuditRecord>,
}

impl<'a> Draft<'a> {
    pub fn new(incident: &Incident, event: &Event, policy: &'a Policy) -> Self {
        let mut next = incident.clone();
        next.revision += 1;
        // The clock of the shell may step back; an incident's own time never does.
        let at = event.at.max(incident.updated_at);
        next.updated_at = at;
        Self { next, at, policy, effects: Vec::new(), timers: Vec::new(), records: Vec::new() }
    }

    /// Orders an effect and returns the id its result will carry.
    pub fn order(&mut self, effect: Effect) -> EffectId {
        let index = u32::try_from(self.effects.len()).unwrap_or(u32::MAX);
        let id = EffectId { incident: self.next.id.clone(), revision: self.next.revision, index };
        self.record("agent:medic", "effect", id.to_string(), json!({ "ordered": effect.name() }));
        self.effects.push(effect);
        id
    }

    pub fn notify(&mut self, kind: NoticeKind, text: impl Into<String>) {
        self.effects.push(Effect::Notify { notice: Notice { kind, text: text.into() } });
    }

    pub fn record(&mut self, actor: &str, kind: &str, subject: String, detail: Value) {
        self.records.push(AuditRecord {
            at: self.at,
            incident: Some(self.next.id.clone()),
            actor: actor.to_owned(),
            kind: kind.to_owned(),
            subject,
            rule: None,
            detail,
        });
    }

    /// A line of the story without a change of phase.
    pub fn note(&mut self, why: impl Into<String>) {
        let name = self.next.phase.name();
        self.tell(name, name, why.into());
    }

    /// A note of a kind that recurs: within a phase it is one line that counts, told by `why` from the count so far.
    pub fn count(&mut self, kind: &str, alerts: usize, why: impl FnOnce(&Counted) -> String) {
        let known = self.next.counted.get(kind).cloned().unwrap_or_default();
        let counts = |line: &Transition| line.from == line.to && line.revision == known.revision;
        let line = self.next.history.iter().rposition(|line| known.times > 0 && counts(line));
        let counted = Counted {
            revision: self.next.revision,
            times: known.times + 1,
            alerts: known.alerts.saturating_add(u64::try_from(alerts).unwrap_or(u64::MAX)),
        };
        // The line moves to the end: the story stays in order of its revisions.
        if let Some(line) = line {
            self.next.history.remove(line);
        }
        self.note(why(&counted));
        self.next.counted.insert(kind.to_owned(), counted);
    }

    pub fn enter(&mut self, phase: Phase, why: impl Into<String>) {
        let (from, to, why) = (self.next.phase.name(), phase.name(), why.into());
        if from != to {
            self.next.counted.clear();
        }
        self.next.phase = phase;
        self.record(
            "agent:medic",
            "phase",
            to.to_string(),
            json!({ "from": from, "why": why, "revision": self.next.revision }),
        );
        self.tell(from, to, why);
    }

    fn tell(&mut self, from: crate::PhaseName, to: crate::PhaseName, why: String) {
        if self.next.history.len() >= HISTORY_MAX {
            self.next.history.drain(..HISTORY_MAX / 10);
        }
        self.next.history.push(Transition { revision: self.next.revision, at: self.at, from, to, why });
    }

    /// The work just ordered must have a result by then.
    pub fn deadline_in(&mut self, ms: u64) {
        let due = self.at.after_ms(ms);
        self.next.deadline = Some(due);
        self.timers.push(TimerChange::Set { kind: TimerKind::PhaseDeadline, due });
    }

    pub fn approval_timer(&mut self, due: TimestampMs) {
        self.timers.push(TimerChange::Set { kind: TimerKind::ApprovalLifetime, due });
    }

    pub fn cancel(&mut self, kind: TimerKind) {
        if kind == TimerKind::PhaseDeadline {
            self.next.deadline = None;
        }
        self.timers.push(TimerChange::Cancel { kind });
    }

    fn end(&mut self, phase: Phase, kind: NoticeKind, why: String) {
        self.cancel(TimerKind::PhaseDeadline);
        self.cancel(TimerKind::ApprovalLifetime);
        self.enter(phase, why.clone());
        self.notify(kind, why);
    }

    pub fn escalate(mut self, why: EscalationReason) -> Step {
        let left = self.next.phase.name();
        let text = why.to_string();
        self.end(Phase::Escalated { at: self.at, why, left }, NoticeKind::Escalated, text);
        self.done()
    }

    pub fn resolve(mut self, how: Resolution, why: &str) -> Step {
        self.end(Phase::Resolved { at: self.at, how }, NoticeKind::Resolved, why.to_owned());
        self.done()
    }

    /// `after_ms`: from now, not before.
    pub fn gather(&mut self, after_ms: u64, why: &str) {
        let awaiting = self.order(Effect::Gather { not_before: self.at.after_ms(after_ms) });
        self.enter(Phase::GatheringInfo { awaiting }, why);
        self.deadline_in(self.policy.gather_deadline_ms.saturating_add(after_ms));
    }

    pub fn done(self) -> Step {
        Step::Advanced(Box::new(Advance {
            next: self.next,
            effects: self.effects,
            timers: self.timers,
            records: self.records,
        }))
    }
}
