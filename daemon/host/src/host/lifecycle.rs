//! The calls of a tool's life, each in its own right: reading, planning, rehearsing, doing, looking whether it helped.

use std::sync::Arc;

use medic_core::permit::{Authority, ChangeAuthority};
use medic_core::plan::PlannedStep;
use medic_core::saga::StepReport;
use medic_core::{Digest, Fault, FaultKind, Permit, TimestampMs};
use medic_ports::tools::{CallJournal, DryRun, Snapshot, StepOutcome, ToolOutput, ToolPlan, ToolVerdict};

use super::{Admitted, Host, unexpected, wrong_ground};
use crate::convert;
use crate::deed::{Ledger, happened};
use crate::plugin::{Answer, Request};
use crate::session::{ChangeMode, ChangeSession, Ended};

impl Host {
    pub(super) async fn invoke_tool(&self, permit: &Permit) -> Result<ToolOutput, Fault> {
        if *permit.authority() != Authority::Invoke {
            return Err(wrong_ground("an invocation"));
        }
        let admitted = self.admit(permit)?;
        self.may_begin(&admitted)?;
        let request =
            Request::Invoke { tool: admitted.caller.tool.clone(), args_json: admitted.args_json.clone() };
        match self.read(&admitted, request).await? {
            (Answer::Output(output), session) => {
                let output = convert::output(output, &session.artifacts, session.meter.limits());
                output.map_err(|mut fault| {
                    fault.message = format!("{}; {}", fault.message, session.meter.top_host_calls());
                    self.note(&admitted, Some(&fault));
                    fault
                })
            }
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn make_plan(&self, permit: &Permit) -> Result<ToolPlan, Fault> {
        let admitted = self.prepare(permit)?;
        self.may_begin(&admitted)?;
        let request =
            Request::Plan { tool: admitted.caller.tool.clone(), args_json: admitted.args_json.clone() };
        let (Answer::Plan(plan), _) = self.read(&admitted, request).await? else { return Err(unexpected()) };
        let (rationale, steps, checks) = convert::steps(plan)?;
        let plugin = &admitted.plugin;
        Ok(ToolPlan {
            rationale,
            steps,
            checks,
            component_digest: plugin.digest.clone(),
            grant_digest: plugin.grant_digest.clone(),
        })
    }

    pub(super) async fn capture_for(&self, permit: &Permit, plan: &ToolPlan) -> Result<Snapshot, Fault> {
        let admitted = self.prepare(permit)?;
        check_plan(&admitted, plan)?;
        let request = Request::Capture(admitted.change_plan(plan));
        match self.read(&admitted, request).await? {
            (Answer::Snapshot(items), _) => convert::snapshot(items, plan),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn verify_with(
        &self,
        permit: &Permit,
        plan: &ToolPlan,
        done: &[StepReport],
    ) -> Result<ToolVerdict, Fault> {
        let admitted = self.prepare(permit)?;
        check_plan(&admitted, plan)?;
        let request =
            Request::Verify { plan: admitted.change_plan(plan), done: convert::wit_reports(done, plan) };
        match self.read(&admitted, request).await? {
            (Answer::Verdict(verdict), _) => Ok(convert::verdict(verdict)),
            _ => Err(unexpected()),
        }
    }

    /// `apply` of every step with a grant that records: what a tool would do is seen, not asked.
    pub(super) async fn rehearse(&self, permit: &Permit, plan: &ToolPlan) -> Result<DryRun, Fault> {
        if *permit.authority() != Authority::DryRun {
            return Err(wrong_ground("a dry run"));
        }
        let admitted = self.admit(permit)?;
        self.may_begin(&admitted)?;
        check_plan(&admitted, plan)?;
        let mut run = DryRun::default();
        for step in &plan.steps {
            let change =
                self.change_session(&admitted, Digest::of(plan), step, false, ChangeMode::Dry(Vec::new()));
            let request = Request::Apply { plan: admitted.change_plan(plan), step_id: step.id };
            let session = self.session(&admitted, Some(change));
            let (answer, session) = self.run(&admitted, session, request).await;
            match answer {
                Ok(Answer::Step(_)) => {}
                Ok(_) => return Err(unexpected()),
                Err(Ended::Fault(fault)) => return Err(fault),
                Err(Ended::Unknown { detail, .. }) => {
                    return Err(Fault::new(FaultKind::Internal, "UNKNOWN_OUTCOME", detail));
                }
            }
            if let Some(ChangeSession { mode: ChangeMode::Dry(observed), .. }) =
                session.and_then(|session| session.change)
            {
                run.calls.extend(observed);
            }
        }
        Ok(run)
    }

    pub(super) async fn apply_step(
        &self,
        permit: &Permit,
        plan: &ToolPlan,
        journal: Arc<dyn CallJournal>,
    ) -> StepOutcome {
        let nothing_done = |fault| StepOutcome::Failed { fault, anything_done: false };
        let (admitted, authority, step) = match self.admit_change(permit, plan, false) {
            Ok(admitted) => admitted,
            Err(fault) => return self.stopped_before(fault, &*journal),
        };
        let _lane = self.sandbox.lane(&authority.target).await;
        let started_at = self.world.clock.now();
        let ledger = Arc::new(Ledger::new(authority.effect.clone(), journal, self.world.clock.clone()));
        let mode = ChangeMode::Real(ledger.clone());
        let change = self.change_session(&admitted, authority.plan.clone(), &step, false, mode);
        let request = Request::Apply { plan: admitted.change_plan(plan), step_id: step.id };
        let session = self.session(&admitted, Some(change));
        let (answer, session) = self.run(&admitted, session, request).await;
        let Some(change) = session.and_then(|session| session.change) else {
            // The guest was left behind, and with it the knowledge of what it did.
            return StepOutcome::Unknown {
                target: authority.target.to_string(),
                detail: ended_words(&answer),
            };
        };
        // Calls begun before a restart that the guest did not come back to are as open as they were.
        if let Some(open) = ledger.unresolved(change.next_ordinal) {
            let detail =
                format!("a call begun before a restart was not taken up again; {}", ended_words(&answer));
            return StepOutcome::Unknown { target: open.to_string(), detail };
        }
        let anything_done = change.anything_done || ledger.anything_done();
        match answer {
            Ok(Answer::Step(report)) if report.step_id == step.id => {
                StepOutcome::Applied(self.report(started_at, change, &report.notes))
            }
            Ok(_) => StepOutcome::Failed { fault: unexpected(), anything_done },
            Err(Ended::Fault(fault)) if anything_done => StepOutcome::Failed { fault, anything_done },
            Err(Ended::Fault(fault)) => nothing_done(fault),
            Err(Ended::Unknown { target, detail }) => StepOutcome::Unknown { target, detail },
        }
    }

    /// A step that was refused before its guest ran. After a restart its earlier calls still count.
    fn stopped_before(&self, fault: Fault, journal: &dyn CallJournal) -> StepOutcome {
        let known = journal.known();
        if let Some(open) = known.iter().find(|record| record.receipt.is_none()) {
            let detail = format!("it was begun before a restart and cannot go on: {fault}");
            return StepOutcome::Unknown { target: open.intent.target.to_string(), detail };
        }
        let anything_done = known.iter().filter_map(|record| record.receipt.as_ref()).any(happened);
        StepOutcome::Failed { fault, anything_done }
    }

    fn prepare(&self, permit: &Permit) -> Result<Admitted, Fault> {
        if *permit.authority() != Authority::Prepare {
            return Err(wrong_ground("the preparation of a change"));
        }
        self.admit(permit)
    }

    /// Holds a permit to change against the plan and the grant in force.
    pub(super) fn admit_change<'p>(
        &self,
        permit: &'p Permit,
        plan: &ToolPlan,
        reverting: bool,
    ) -> Result<(Admitted, &'p ChangeAuthority, PlannedStep), Fault> {
        let authority = match permit.authority() {
            Authority::Change(authority) if authority.reverting == reverting => authority,
            _ => {
                return Err(wrong_ground(if reverting {
                    "the undoing of a step"
                } else {
                    "a step of an approved plan"
                }));
            }
        };
        let admitted = self.admit(permit)?;
        check_plan(&admitted, plan)?;
        if authority.grant_digest != plan.grant_digest {
            return Err(grant_changed(&admitted));
        }
        let step = plan.steps.iter().find(|step| step.id == authority.step.step).cloned();
        let step = step.filter(|step| step.target == authority.target).ok_or_else(|| {
            let message =
                format!("the plan at hand has no step {} for {}", authority.step.step, authority.target);
            Fault::new(FaultKind::Denied, "PLAN_CHANGED", message)
        })?;
        let now = self.world.clock.now();
        // What was done may be undone at any time; only a new deed grows stale.
        if !reverting && now > authority.not_after {
            let message = format!("the approval ran out {} ms ago", now.since_ms(authority.not_after));
            return Err(Fault::new(FaultKind::Denied, "APPROVAL_STALE", message));
        }
        Ok((admitted, authority, step))
    }

    pub(super) fn change_session(
        &self,
        admitted: &Admitted,
        plan: Digest,
        step: &PlannedStep,
        reverting: bool,
        mode: ChangeMode,
    ) -> ChangeSession {
        let limits = &admitted.plugin.grant.limits;
        ChangeSession {
            plan,
            step: step.clone(),
            reverting,
            // An authority ends with the call it was made for.
            expires: self.world.clock.now().after_ms(limits.wall_ms),
            operations_left: limits.mutating_ops,
            next_ordinal: 0,
            mode,
            keys: Vec::new(),
            receipts: Vec::new(),
            anything_done: false,
        }
    }

    pub(super) fn report(&self, started_at: TimestampMs, change: ChangeSession, notes: &str) -> StepReport {
        StepReport {
            started_at,
            finished_at: self.world.clock.now(),
            idempotency_keys: change.keys,
            receipts: change.receipts,
            notes: convert::notes(notes),
        }
    }
}

impl Admitted {
    pub(super) fn change_plan(&self, plan: &ToolPlan) -> crate::contract::tool::ChangePlan {
        convert::change_plan(&self.caller.tool, &self.args_json, plan)
    }
}

/// Whether the plan was made by the bytes and under the grant that are in force.
fn check_plan(admitted: &Admitted, plan: &ToolPlan) -> Result<(), Fault> {
    if plan.component_digest != admitted.plugin.digest {
        let message = format!("the plan was made by other bytes than {} now has", admitted.plugin.name);
        return Err(Fault::new(FaultKind::Denied, "COMPONENT_CHANGED", message));
    }
    if plan.grant_digest != admitted.plugin.grant_digest {
        return Err(grant_changed(admitted));
    }
    Ok(())
}

fn grant_changed(admitted: &Admitted) -> Fault {
    let message = format!(
        "the grant of {} is not the one that the plan was made under; plan again",
        admitted.plugin.name
    );
    Fault::new(FaultKind::Denied, "GRANT_CHANGED", message)
}

fn ended_words(answer: &Result<Answer, Ended>) -> String {
    match answer {
        Ok(_) => "the tool reported the step as done".to_owned(),
        Err(Ended::Fault(fault)) => fault.message.clone(),
        Err(Ended::Unknown { detail, .. }) => detail.clone(),
    }
}
