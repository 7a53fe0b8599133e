//! Owns restart_service.

use medic_sdk::prelude::*;

use crate::admin::Admin;
use crate::checks;

/// Restarts a service: cures what a process has piled up (a leak, a stuck connection, a poisoned cache), and what it
/// keeps on disk, its configuration among it, stays as it is. Requests in flight fail.
#[derive(Tool)]
#[tool(example(
    args = r#"{"service":"inventory"}"#,
    when = "a process leaks memory or is stuck in a bad state"
))]
pub struct RestartService {
    /// Service to restart, as in the `service` label of its metrics.
    service: ServiceName,
}

impl RestartService {
    fn restart(&self) -> HttpTarget {
        HttpTarget::post(Admin::of(&self.service).endpoint(), "/admin/restart")
    }
}

impl Remediation for RestartService {
    fn plan(&self, _: &DiagnosticHost) -> ToolResult<Plan> {
        let service = self.service.as_str();
        let change = Change::http("restart", &self.restart()).summary(format!("restart {service}"));
        let plan =
            Plan::new(format!("A new process of {service} begins without what the old one has piled up."));
        let plan = checks::is_well(service).into_iter().fold(plan.change(change), Plan::check);
        // Without it a service that only looks well could pass for restarted.
        Ok(match Window::parse("5m") {
            Some(window) => plan.check(checks::was_restarted(service, window)),
            None => plan,
        })
    }

    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.http_change().perform(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, plan: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        Admin::of(&self.service).verdict(host, plan, || Ok(None))
    }

    fn revert(&self, _: &ChangeHost, _: &Grant<'_>, step: &Step, _: Saved<'_>) -> ToolResult<StepReport> {
        Ok(StepReport::nothing(step, "a restart leaves nothing behind that could be put back"))
    }
}
