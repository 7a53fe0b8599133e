//! Consent, and the proof that it was given.

use crate::policy::Policy;
use crate::{ActionPlan, ApprovalId, Digest, IncidentId, Principal, Refusal, TimestampMs, ToolCategory};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What it takes to carry a plan out. Ordered: a plan's requirement is the strictest of its items'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    Auto,
    OneApprover,
    TwoApprovers,
    Forbidden,
}

impl Requirement {
    /// Number of distinct people whose word is needed.
    pub fn people(self) -> u32 {
        match self {
            Self::Auto => 0,
            Self::OneApprover => 1,
            Self::TwoApprovers => 2,
            Self::Forbidden => u32::MAX,
        }
    }
}

/// One person's word on exactly one plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub id: ApprovalId,
    pub principal: Principal,
    pub plan: Digest,
    pub at: TimestampMs,
}

/// A plan laid before people, waiting for their word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub plan: ActionPlan,
    pub digest: Digest,
    pub requirement: Requirement,
    /// Why that requirement, one line a rule.
    pub because: Vec<String>,
    /// Who asked for the change, when a person did; never counts among its approvers.
    pub requester: Option<Principal>,
    pub approvals: Vec<Approval>,
    pub proposed_at: TimestampMs,
    pub expires_at: TimestampMs,
}

impl Proposal {
    /// Whether `approval` may be added: right plan, in time, by a person who has a say and has not spoken yet.
    pub fn admit(&self, approval: &Approval) -> Result<(), Refusal> {
        let principal = || approval.principal.to_string();
        if approval.plan != self.digest {
            return Err(Refusal::WrongPlan {
                given: approval.plan.short().to_owned(),
                current: self.digest.short().to_owned(),
            });
        }
        if approval.at >= self.expires_at {
            return Err(Refusal::ApprovalExpired);
        }
        if approval.principal.is_agent() || approval.principal.is_policy() {
            return Err(Refusal::AgentApproves { principal: principal() });
        }
        if self.requester.as_ref() == Some(&approval.principal) {
            return Err(Refusal::RequesterApproves { principal: principal() });
        }
        if self.approvals.iter().any(|given| given.principal == approval.principal) {
            return Err(Refusal::DuplicateApprover { principal: principal() });
        }
        Ok(())
    }

    /// How many people are still needed.
    pub fn missing(&self) -> u32 {
        let given: BTreeSet<_> = self.approvals.iter().map(|approval| &approval.principal).collect();
        self.requirement.people().saturating_sub(u32::try_from(given.len()).unwrap_or(u32::MAX))
    }
}

/// Proof that a plan may be carried out. The only way to one is [`ApprovedPlan::prove`], which checks the consent
/// itself; it is neither deserialised nor cloned out of anything, so code that could act without consent does not
/// compile.
///
/// ```compile_fail
/// # fn forge(plan: medic_core::ActionPlan, incident: medic_core::IncidentId) {
/// let forged = medic_core::ApprovedPlan { plan, incident };
/// # }
/// ```
#[derive(Debug)]
pub struct ApprovedPlan {
    incident: IncidentId,
    digest: Digest,
    plan: ActionPlan,
    approvals: Vec<ApprovalId>,
    not_after: TimestampMs,
}

impl ApprovedPlan {
    /// Re-derives everything from the stored proposal: the digest from the plan, the requirement from the policy in
    /// force now (a policy made stricter since holds), each approval from its own fields.
    ///
    /// # Errors
    /// The [`Refusal`] that names what is missing.
    pub fn prove(
        incident: &IncidentId,
        proposal: &Proposal,
        policy: &Policy,
        now: TimestampMs,
    ) -> Result<Self, Refusal> {
        let digest = proposal.plan.digest(incident);
        if digest != proposal.digest {
            return Err(Refusal::WrongPlan {
                given: proposal.digest.short().to_owned(),
                current: digest.short().to_owned(),
            });
        }
        let (judged, because) = policy.judge(&proposal.plan);
        let requirement = judged.max(proposal.requirement);
        if requirement == Requirement::Forbidden {
            return Err(Refusal::Forbidden { reason: because.join("; ") });
        }
        let mut counted = Proposal { approvals: Vec::new(), requirement, ..proposal.clone() };
        for approval in &proposal.approvals {
            counted.admit(approval)?;
            counted.approvals.push(approval.clone());
        }
        let missing = counted.missing();
        if missing > 0 {
            return Err(Refusal::NotApproved { required: requirement.people(), missing });
        }
        let decided_at =
            proposal.approvals.iter().map(|approval| approval.at).max().unwrap_or(proposal.proposed_at);
        let not_after = decided_at.after_ms(policy.execution_window_ms);
        if now > not_after {
            return Err(Refusal::ApprovalStale { window_ms: policy.execution_window_ms });
        }
        let mut approvals: Vec<_> = counted.approvals.iter().map(|approval| approval.id.clone()).collect();
        if approvals.is_empty() {
            approvals.push(ApprovalId::new(format!("auto-{}", digest.short())));
        }
        Ok(Self { incident: incident.clone(), digest, plan: proposal.plan.clone(), approvals, not_after })
    }

    pub fn incident(&self) -> &IncidentId {
        &self.incident
    }
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
    pub fn plan(&self) -> &ActionPlan {
        &self.plan
    }
    /// Ids of the approvals the proof rests on; one `auto-…` id when the configured rule answered.
    pub fn approvals(&self) -> &[ApprovalId] {
        &self.approvals
    }
    /// No step may start after this.
    pub fn not_after(&self) -> TimestampMs {
        self.not_after
    }
    pub fn category(&self) -> ToolCategory {
        self.plan.category()
    }
}
