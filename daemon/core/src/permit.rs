//! What the tool host demands before it calls a tool.

use crate::approval::ApprovedPlan;
use crate::call::Target;
use crate::plan::StepRef;
use crate::tool::{ToolCall, ToolDescriptor};
use crate::{ApprovalId, Digest, EffectId, IncidentId, Refusal, TimestampMs, ToolCategory};

/// On what ground a call is made.
#[derive(Debug)]
pub enum Ground<'a> {
    /// `invoke` of a query or diagnostic tool.
    Invoke,
    /// The reading half of a change: `plan`, `capture`, `verify`. No grant exists, so nothing can be changed.
    Prepare,
    /// `apply` with a grant whose calls are recorded and not carried out.
    DryRun,
    /// One step of an approved plan, forwards.
    Apply { plan: &'a ApprovedPlan, step: StepRef, effect: EffectId },
    /// The same step, back.
    Revert { plan: &'a ApprovedPlan, step: StepRef, effect: EffectId },
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one lives as long as one call")]
pub enum Authority {
    Invoke,
    Prepare,
    DryRun,
    Change(ChangeAuthority),
}

/// Bound to one plan, one step, one effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeAuthority {
    pub plan: Digest,
    pub step: StepRef,
    pub effect: EffectId,
    pub reverting: bool,
    pub approvals: Vec<ApprovalId>,
    /// The only target the step may touch.
    pub target: Target,
    /// The grant the plan was made under; another one in force now voids the permit at the host.
    pub grant_digest: Digest,
    pub not_after: TimestampMs,
}

/// Consent in the form the host takes: which tool bytes, with what authority, for which incident. Private fields and
/// one constructor, [`Permit::issue`]; there is no way to widen one.
#[derive(Clone, Debug)]
pub struct Permit {
    incident: IncidentId,
    call: ToolCall,
    category: ToolCategory,
    digest: Digest,
    authority: Authority,
}

impl Permit {
    /// # Errors
    /// A [`Refusal`] when the ground does not carry the call: a changing tool invoked without an approved plan, a
    /// step that is not in the plan, other bytes or arguments than those approved, an approval grown stale.
    pub fn issue(
        incident: &IncidentId,
        tool: &ToolDescriptor,
        call: ToolCall,
        ground: Ground<'_>,
        now: TimestampMs,
    ) -> Result<Self, Refusal> {
        let authority = match ground {
            Ground::Invoke if tool.category.changes_systems() => {
                return Err(Refusal::NeedsApproval { category: tool.category.to_string() });
            }
            Ground::Invoke => Authority::Invoke,
            Ground::Prepare => Authority::Prepare,
            Ground::DryRun => Authority::DryRun,
            Ground::Apply { plan, step, effect } => {
                change(incident, tool, &call, plan, step, effect, false, now)?
            }
            Ground::Revert { plan, step, effect } => {
                change(incident, tool, &call, plan, step, effect, true, now)?
            }
        };
        Ok(Self {
            incident: incident.clone(),
            call,
            category: tool.category,
            digest: tool.digest.clone(),
            authority,
        })
    }

    pub fn incident(&self) -> &IncidentId {
        &self.incident
    }
    pub fn call(&self) -> &ToolCall {
        &self.call
    }
    pub fn category(&self) -> ToolCategory {
        self.category
    }
    /// Of the component's bytes; the host runs no others under this permit.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one private call site; a struct would only rename the arguments"
)]
fn change(
    incident: &IncidentId,
    tool: &ToolDescriptor,
    call: &ToolCall,
    plan: &ApprovedPlan,
    step: StepRef,
    effect: EffectId,
    reverting: bool,
    now: TimestampMs,
) -> Result<Authority, Refusal> {
    if plan.incident() != incident || effect.incident != *incident {
        return Err(Refusal::Forbidden {
            reason: "the approved plan belongs to another incident".to_owned(),
        });
    }
    // An undo is owed to the system even when the window has closed; only new deeds grow stale.
    if now > plan.not_after() && !reverting {
        return Err(Refusal::ApprovalStale { window_ms: now.since_ms(plan.not_after()) });
    }
    let (item, planned) =
        plan.plan().find(step).ok_or_else(|| Refusal::StepNotInPlan { step: step.to_string() })?;
    if item.tool != tool.name || item.tool != call.tool {
        return Err(Refusal::Forbidden { reason: format!("step {step} was approved for {}", item.tool) });
    }
    if item.component_digest != tool.digest {
        return Err(Refusal::Forbidden {
            reason: format!("{} is not the component that was approved", tool.plugin),
        });
    }
    if item.args_json != call.args_json {
        return Err(Refusal::Forbidden {
            reason: "the arguments are not those that were approved".to_owned(),
        });
    }
    Ok(Authority::Change(ChangeAuthority {
        plan: plan.digest().clone(),
        step,
        effect,
        reverting,
        approvals: plan.approvals().to_vec(),
        target: planned.target.clone(),
        grant_digest: item.grant_digest.clone(),
        not_after: plan.not_after(),
    }))
}
