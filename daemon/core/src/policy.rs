//! What the operator allows. Every number says why it is that number.

use crate::approval::Requirement;
use crate::evidence::Confidence;
use crate::{ActionPlan, ToolCategory, ToolName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The explicit answer of a human who will not be there: an unattended run may carry out these remediations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoApprove {
    /// Tools it covers; there is no wildcard. A destructive tool is never covered, whatever stands here.
    pub tools: BTreeSet<ToolName>,
    /// Components a plan may touch directly, at most.
    #[serde(default = "one")]
    pub components_max: u32,
}

fn one() -> u32 {
    1
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Below this a diagnosis is not acted on. 0.5: by the ranking's formula a clear specific cause passes beside a rival
    /// with a third of its score, and two equal stories do not.
    pub confidence_min: Confidence,
    /// Rounds of diagnosis before a human takes over. 3: the first remedy, its correction, one more; a fourth try is
    /// groping on a live system.
    pub iterations_max: u32,
    /// While an incident is younger than this, "I don't know" leads to another look instead of to a human. 30 s: an alert
    /// on a symptom may be earlier than the first samples of its cause.
    pub patience_ms: u64,
    /// Between two such looks. 5 s: a scrape or two brings something new.
    pub look_again_ms: u64,
    /// How long a proposal waits for people. 30 min: a page, a laptop, a look; after that the world has moved on.
    pub approval_lifetime_ms: u64,
    /// From the deciding approval to the start of the last step. 10 min: longer than any step's limits add up to.
    pub execution_window_ms: u64,
    /// 60 s: Prometheus' own default query timeout is 2 min, a diagnosis does not wait for the slowest panel.
    pub gather_deadline_ms: u64,
    /// 120 s: model advice has its own shorter deadline inside.
    pub diagnose_deadline_ms: u64,
    /// 120 s: plan, capture and dry run, each bounded at 60 s by the sandbox.
    pub plan_deadline_ms: u64,
    /// 180 s: a step's sandbox limit is 60 s; the rest is for looking up an unknown outcome.
    pub step_deadline_ms: u64,
    /// Items of one plan. 4: more is not one remedy, and nobody reads it at 3 am.
    pub plan_items_max: u32,
    /// Steps of one plan, over all items. 16, for the same reason.
    pub plan_steps_max: u32,
    /// Bytes of one evidence excerpt. 2 KiB: a screen.
    pub evidence_bytes_max: u32,
    /// Pieces of evidence kept for one round. 200: bounds the incident's record to some 600 KiB.
    pub evidence_max: u32,
    /// Alerts listed in one incident. 1,000: a storm beyond that is counted, not listed.
    pub alerts_max: u32,
    /// Tools never to be used in a plan.
    pub forbidden_tools: BTreeSet<ToolName>,
    /// Components a plan may touch directly, at most; more is forbidden, not merely asked about.
    pub blast_components_max: u32,
    /// Off unless written down.
    pub auto_approve: Option<AutoApprove>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            confidence_min: Confidence::new(0.5),
            iterations_max: 3,
            patience_ms: 30 * 1000,
            look_again_ms: 5 * 1000,
            approval_lifetime_ms: 30 * 60 * 1000,
            execution_window_ms: 10 * 60 * 1000,
            gather_deadline_ms: 60 * 1000,
            diagnose_deadline_ms: 120 * 1000,
            plan_deadline_ms: 120 * 1000,
            step_deadline_ms: 180 * 1000,
            plan_items_max: 4,
            plan_steps_max: 16,
            evidence_bytes_max: 2048,
            evidence_max: 200,
            alerts_max: 1000,
            forbidden_tools: BTreeSet::new(),
            blast_components_max: 3,
            auto_approve: None,
        }
    }
}

impl Policy {
    /// The requirement of a plan, and the rules that made it so, one line each.
    pub fn judge(&self, plan: &ActionPlan) -> (Requirement, Vec<String>) {
        let mut requirement = Requirement::Auto;
        let mut because = Vec::new();
        let mut demand = |at_least: Requirement, why: String| {
            requirement = requirement.max(at_least);
            because.push(why);
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);

        if plan.items.is_empty() || plan.steps().next().is_none() {
            demand(Requirement::Forbidden, "the plan has no step".to_owned());
        }
        if count(plan.items.len()) > self.plan_items_max {
            demand(Requirement::Forbidden, format!("more than {} items", self.plan_items_max));
        }
        if count(plan.steps().count()) > self.plan_steps_max {
            demand(Requirement::Forbidden, format!("more than {} steps", self.plan_steps_max));
        }
        let touched = count(plan.blast_radius.components.len());
        if touched > self.blast_components_max {
            demand(
                Requirement::Forbidden,
                format!("touches {touched} components, the limit is {}", self.blast_components_max),
            );
        }
        for item in &plan.items {
            if self.forbidden_tools.contains(&item.tool) {
                demand(Requirement::Forbidden, format!("{} is forbidden by configuration", item.tool));
            }
            match item.category {
                ToolCategory::Query | ToolCategory::Diagnostic => {
                    demand(
                        Requirement::Forbidden,
                        format!("{} cannot change anything and is no remedy", item.tool),
                    );
                }
                ToolCategory::Remediation => match &self.auto_approve {
                    Some(rule) if rule.tools.contains(&item.tool) && touched <= rule.components_max => {
                        demand(
                            Requirement::Auto,
                            format!("{} is covered by the auto-approve rule", item.tool),
                        );
                    }
                    _ => demand(Requirement::OneApprover, format!("{} is a remediation", item.tool)),
                },
                ToolCategory::Destructive => {
                    demand(Requirement::TwoApprovers, format!("{} is destructive", item.tool));
                }
            }
        }
        (requirement, because)
    }
}
