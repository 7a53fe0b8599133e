//! Owns cordon_node.

use medic_sdk::kubernetes::{Object, resource};
use medic_sdk::prelude::*;

use crate::workload::unanswered;

/// Keeps new pods off a node, or lets them on again; the pods that are there stay. Undone by the reverse.
#[derive(Tool)]
#[tool(example(
    args = r#"{"cluster":"prod-eu","node":"node-7"}"#,
    when = "pods fail on one node and not on others"
))]
pub struct CordonNode {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Node to cordon.
    node: ObjectName,
    /// False lets pods on again.
    #[arg(default = true)]
    cordon: bool,
}

const UNSCHEDULABLE: &str = "unschedulable";

impl CordonNode {
    fn target(&self) -> ResourceRef {
        resource(self.cluster.as_str(), "v1", "Node", None, self.node.as_str())
    }

    fn is_cordoned(&self, host: &DiagnosticHost) -> ToolResult<bool> {
        Ok(Object::read(host, &self.target())?.is("/spec/unschedulable"))
    }
}

impl Remediation for CordonNode {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let (node, cordon) = (&self.node, self.cordon);
        if self.is_cordoned(host)? == cordon {
            let state = if cordon { "cordoned" } else { "open to pods" };
            return Err(ToolError::precondition("ALREADY_SO", format!("node {node} is {state} already")));
        }
        let (verb, why) = match cordon {
            true => ("cordon", format!("No new pod is started on {node}, which pods fail on.")),
            false => ("uncordon", format!("Pods may be started on {node} again.")),
        };
        let change = Change::cordon(&self.target(), cordon).summary(format!("{verb} node {node}"));
        Ok(Plan::new(why).change(change))
    }

    fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
        let present = self.is_cordoned(host)?.to_string();
        Ok(plan.steps.iter().map(|step| SnapshotItem::of(step, UNSCHEDULABLE, present.clone())).collect())
    }

    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.kubernetes_change().perform_cordon(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        match self.is_cordoned(host) {
            Ok(cordoned) if cordoned == self.cordon => {
                Ok(Verdict::healthy(format!("node {} is as asked for", self.node)))
            }
            Ok(_) => Ok(Verdict::degraded(format!("somebody changed node {} back", self.node))),
            Err(error) => unanswered(error),
        }
    }

    fn revert(
        &self,
        host: &ChangeHost,
        grant: &Grant<'_>,
        step: &Step,
        saved: Saved<'_>,
    ) -> ToolResult<StepReport> {
        let unschedulable = match saved.bytes(UNSCHEDULABLE)? {
            b"true" => true,
            b"false" => false,
            _ => {
                return Err(ToolError::precondition(
                    "SNAPSHOT_MALFORMED",
                    "what was saved is no state of a node",
                ));
            }
        };
        let receipt = host.kubernetes_change().cordon(grant, &step.target, unschedulable)?;
        Ok(StepReport::of(step, receipt).note("the node is as it was"))
    }
}
