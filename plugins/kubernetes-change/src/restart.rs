//! Owns restart_deployment.

use medic_sdk::kubernetes::Rollout;
use medic_sdk::prelude::*;

use crate::workload;

/// Restarts all pods of a Deployment one after the other, as kubectl rollout restart does: cures what a fresh process
/// cures. Undone by going back to the pods' template from before.
#[derive(Tool)]
#[tool(example(
    args = r#"{"cluster":"prod-eu","namespace":"shop","name":"checkout"}"#,
    when = "the processes leak or hang, and their configuration is not at fault"
))]
pub struct RestartDeployment {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Namespace of the Deployment.
    namespace: ObjectName,
    /// Deployment to restart.
    name: ObjectName,
}

impl RestartDeployment {
    fn target(&self) -> ResourceRef {
        workload::deployment(&self.cluster, &self.namespace, &self.name)
    }
}

impl Remediation for RestartDeployment {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let (target, name) = (self.target(), &self.name);
        let rollout = Rollout::of(&workload::running(host, &target)?);
        if rollout.wanted == 0 {
            let message = format!("{name} has no pods to restart");
            return Err(ToolError::precondition("NO_PODS", message));
        }
        let summary = format!("restart the {} pods of Deployment {}/{name}", rollout.wanted, self.namespace);
        Ok(Plan::new(format!("Fresh pods of {name} do away with whatever state the present ones are in."))
            .change(Change::rollout_restart(&target).summary(summary)))
    }

    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.kubernetes_change().perform_rollout_restart(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        workload::verdict(host, &self.target(), None)
    }

    fn revert(&self, _: &ChangeHost, _: &Grant<'_>, step: &Step, _: Saved<'_>) -> ToolResult<StepReport> {
        Ok(StepReport::nothing(step, "the host has the template from before and puts it back"))
    }
}
