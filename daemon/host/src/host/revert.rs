//! Taking a step back: by the tool's own `revert` first, by the host's pre-images where that fails or does nothing.

use std::sync::Arc;
use std::time::Duration;

use medic_core::call::CallRecord;
use medic_core::permit::ChangeAuthority;
use medic_core::saga::StepReport;
use medic_core::{Fault, FaultKind, Permit, TimestampMs, ToolCategory};
use medic_ports::tools::{CallJournal, RevertOutcome, Snapshot, ToolPlan};

use super::cluster::{can_be_put_back, is_cluster_call};
use super::{Admitted, Host};
use crate::broker::{Asks, CallFacts, ChangeFacts, HttpFacts};
use crate::convert;
use crate::deed::{Deed, Detail, HttpWay, Ledger, Outcome, happened};
use crate::functions::http_target;
use crate::grant::Method;
use crate::limits::ENDPOINT_TIMEOUT_MS;
use crate::plugin::{Answer, Request};
use crate::session::{ChangeMode, ChangeSession, Ended};

/// The host's own calls are numbered from here, so that they keep their keys however far the tool's revert came.
const HOST_ORDINALS: u32 = 1000;

impl Host {
    pub(super) async fn revert_step(
        &self,
        permit: &Permit,
        plan: &ToolPlan,
        saved: &Snapshot,
        applied: &[CallRecord],
        journal: Arc<dyn CallJournal>,
    ) -> RevertOutcome {
        let (admitted, authority, step) = match self.admit_change(permit, plan, true) {
            Ok(admitted) => admitted,
            Err(fault) => return RevertOutcome::Failed(fault),
        };
        let _lane = self.sandbox.lane(&authority.target).await;
        let started_at = self.world.clock.now();
        // A call without a receipt may have happened; what can be put back is put back.
        let done = |record: &&CallRecord| record.receipt.as_ref().is_none_or(happened);
        let applied: Vec<_> = applied.iter().filter(done).collect();
        if applied.is_empty() {
            return RevertOutcome::NothingToRevert { why: "no call of the step took effect".to_owned() };
        }
        let ledger = Arc::new(Ledger::new(authority.effect.clone(), journal, self.world.clock.clone()));
        let keeps_pre_images = applied.iter().any(|record| can_be_put_back(record));
        let why = if admitted.plugin.category == ToolCategory::Destructive {
            "a destructive tool promises no way back".to_owned()
        } else {
            let mode = ChangeMode::Real(ledger.clone());
            let change = self.change_session(&admitted, authority.plan.clone(), &step, true, mode);
            let request = Request::Revert {
                plan: admitted.change_plan(plan),
                step_id: step.id,
                saved: convert::wit_snapshot(saved),
            };
            let session = self.session(&admitted, Some(change));
            let (answer, session) = self.run(&admitted, session, request).await;
            let Some(change) = session.and_then(|session| session.change) else {
                let detail = "the tool's revert did not end and was left behind".to_owned();
                return RevertOutcome::Unknown { target: authority.target.to_string(), detail };
            };
            if let Some(open) = ledger.unresolved_below(HOST_ORDINALS, change.next_ordinal) {
                let detail = "a call of the undoing begun before a restart was not taken up again".to_owned();
                return RevertOutcome::Unknown { target: open.to_string(), detail };
            }
            match answer {
                Ok(Answer::Step(report)) if change.anything_done => {
                    return RevertOutcome::Reverted(self.report(started_at, change, &report.notes));
                }
                // A tool that says "undone" and touched nothing is not taken at its word.
                Ok(Answer::Step(report)) if !keeps_pre_images => {
                    let notes = convert::notes(&report.notes);
                    let why =
                        if notes.is_empty() { "the tool's revert changes nothing".to_owned() } else { notes };
                    return RevertOutcome::NothingToRevert { why };
                }
                Ok(_) => "the tool's revert changed nothing".to_owned(),
                Err(Ended::Unknown { target, detail }) => return RevertOutcome::Unknown { target, detail },
                Err(Ended::Fault(fault)) if !keeps_pre_images => return RevertOutcome::Failed(fault),
                Err(Ended::Fault(fault)) => {
                    format!("the tool's revert failed ({}): {}", fault.code, fault.message)
                }
            }
        };
        if !keeps_pre_images {
            return RevertOutcome::NothingToRevert { why };
        }
        tracing::warn!(plugin = admitted.plugin.name, why, "putting pre-images back");
        self.put_back(&admitted, authority, &applied, &ledger, started_at, &why).await
    }

    /// Every pre-image where it was, the last change first.
    async fn put_back(
        &self,
        admitted: &Admitted,
        authority: &ChangeAuthority,
        applied: &[&CallRecord],
        ledger: &Arc<Ledger>,
        started_at: TimestampMs,
        why: &str,
    ) -> RevertOutcome {
        let mode = ChangeMode::Real(ledger.clone());
        let step = medic_core::plan::PlannedStep {
            id: authority.step.step,
            operation: "put-back".to_owned(),
            target: authority.target.clone(),
            params_json: String::new(),
            summary: String::new(),
        };
        let mut done: ChangeSession =
            self.change_session(admitted, authority.plan.clone(), &step, true, mode);
        let (mut left, mut count) = (0, 0);
        for (ordinal, record) in (HOST_ORDINALS..).zip(applied.iter().rev()) {
            let Some(pre_image) = record.pre_image.as_ref().filter(|_| can_be_put_back(record)) else {
                left += 1;
                continue;
            };
            let put_back = match is_cluster_call(&record.intent.function) {
                true => self.put_object_back(admitted, ledger, ordinal, record, pre_image).await,
                false => self.put_one_back(admitted, ledger, ordinal, record, pre_image).await,
            };
            match put_back {
                Ok(detail) => {
                    done.keys.push(detail.key.clone());
                    done.receipts.push(detail.to_json());
                    count += 1;
                }
                Err(Ended::Fault(fault)) => return RevertOutcome::Failed(fault),
                Err(Ended::Unknown { target, detail }) => return RevertOutcome::Unknown { target, detail },
            }
        }
        if left > 0 {
            let message = format!("{count} calls were put back, {left} have no way back; {why}");
            return RevertOutcome::Failed(Fault::new(FaultKind::Internal, "REVERT_INCOMPLETE", message));
        }
        let report: StepReport =
            self.report(started_at, done, &format!("the host put back {count} pre-images; {why}"));
        RevertOutcome::Reverted(report)
    }

    async fn put_one_back(
        &self,
        admitted: &Admitted,
        ledger: &Ledger,
        ordinal: u32,
        record: &CallRecord,
        pre_image: &str,
    ) -> Result<Detail, Ended> {
        let (name, path) = (record.intent.target.cluster.as_str(), record.intent.target.name.as_str());
        let target = http_target(Method::Put, name, path);
        let now = self.world.clock.now();
        let facts = CallFacts {
            function: "http-change.send",
            subject: format!("{target} (put back)"),
            asks: Asks::Change {
                http: HttpFacts { endpoint: name, method: Method::Put, path, query: Vec::new() },
                change: ChangeFacts {
                    target: &target,
                    planned: &target,
                    body_as_planned: true,
                    operations_left: 1,
                    expires: now,
                    now,
                },
            },
        };
        let plugin = &admitted.plugin;
        let fault = |code: &str, message: String| Ended::Fault(Fault::new(FaultKind::Denied, code, message));
        let decision = self.world.broker.authorize(&admitted.caller, &plugin.grant, &facts);
        if let Some(refusal) = decision.refusal() {
            return Err(fault(&refusal.code, format!("cannot put back {target}: {}", refusal.message)));
        }
        let endpoint = plugin.endpoints.get(name).ok_or_else(|| {
            fault("ENDPOINT_MISSING", format!("cannot put back {target}: the endpoint is gone"))
        })?;
        let way = HttpWay {
            function: "http-change.send",
            endpoint,
            method: Method::Put,
            path,
            query: &[],
            body: pre_image.as_bytes(),
            keep_pre_image: false,
            timeout: Duration::from_millis(ENDPOINT_TIMEOUT_MS),
        };
        let deed = Deed { ordinal, function: "http-change.send", target: target.clone(), way: &way };
        let receipt = match ledger.carry_out(&deed).await {
            Outcome::Received(receipt) => receipt,
            Outcome::NotBegun(refusal) => return Err(fault(&refusal.code, refusal.message)),
            Outcome::Unknown { detail } => return Err(Ended::Unknown { target: target.to_string(), detail }),
            Outcome::Broken(fault) => return Err(Ended::Fault(fault)),
        };
        let detail = serde_json::from_str::<Detail>(&receipt.detail_json)
            .map_err(|error| fault("RECEIPT_MALFORMED", format!("receipt of {target}: {error}")))?;
        match detail.failure() {
            None => Ok(detail),
            Some(failure) => Err(Ended::Fault(Fault::new(
                FaultKind::Upstream,
                failure.code,
                format!("cannot put back {target}: {}", failure.message),
            ))),
        }
    }
}
