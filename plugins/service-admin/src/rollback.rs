//! Owns rollback_config.

use medic_sdk::prelude::*;
use medic_sdk::serde_json::Map;

use crate::admin::Admin;
use crate::checks;

const CONFIG: &str = "/admin/config";
const PREVIOUS: &str = "/admin/config/previous";

/// Names of settings given to the approver at most; the whole document is in the step's parameters.
const NAMED_SETTINGS_MAX: usize = 8;

/// Puts the configuration of a service back that it had before the last change. The plan holds the whole document, so
/// that exactly this one is approved. Undone by putting the present document back.
#[derive(Tool)]
#[tool(example(args = r#"{"service":"checkout"}"#, when = "errors began with a configuration change"))]
pub struct RollbackConfig {
    /// Service whose configuration to put back, as in the `service` label of its metrics.
    service: ServiceName,
}

impl RollbackConfig {
    fn admin(&self) -> Admin {
        Admin::of(&self.service)
    }

    fn config(&self) -> HttpTarget {
        HttpTarget::put(self.admin().endpoint(), CONFIG)
    }

    fn current(&self, host: &DiagnosticHost) -> ToolResult<Map<String, Value>> {
        self.admin().read(host, CONFIG)?.json()
    }

    fn previous(&self, host: &DiagnosticHost) -> ToolResult<Map<String, Value>> {
        self.admin()
            .read(host, PREVIOUS)
            .map_err(|error| match error.code.as_str() {
                "HTTP_STATUS_404" => ToolError::precondition(
                    "NO_PREVIOUS_CONFIG",
                    format!("{} has had no other configuration than its present one", self.service),
                ),
                _ => error,
            })?
            .json()
    }
}

impl Remediation for RollbackConfig {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let (current, previous) = (self.current(host)?, self.previous(host)?);
        let settings = differing(&current, &previous);
        if settings.is_empty() {
            let message =
                format!("the previous configuration of {} is the same as its present one", self.service);
            return Err(ToolError::precondition("NOTHING_TO_ROLL_BACK", message));
        }
        let service = self.service.as_str();
        let named = named(&settings);
        let change = Change::http("rollback-config", &self.config())
            .params(Value::Object(previous))
            .summary(format!("put the previous configuration of {service} back (changes {named})"));
        let plan =
            Plan::new(format!("The last configuration change of {service} touched {named}.")).change(change);
        Ok(checks::is_well(service).into_iter().fold(plan, Plan::check))
    }

    fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
        let admin = self.admin();
        let present = admin.read(host, CONFIG)?;
        // Read as what it must be: a page of some proxy, saved and later put back, would be the second incident.
        let _: Map<String, Value> = present.json()?;
        Ok(plan.steps.iter().map(|step| SnapshotItem::of(step, CONFIG, present.body.clone())).collect())
    }

    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.http_change().perform(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, plan: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        self.admin().verdict(host, plan, || {
            let Some(step) = plan.steps.first() else { return Ok(None) };
            let settings = differing(&self.current(host)?, &step.params()?);
            let unlike =
                || format!("{} runs with another configuration: {} differ", self.service, named(&settings));
            Ok((!settings.is_empty()).then(unlike))
        })
    }

    fn revert(
        &self,
        host: &ChangeHost,
        grant: &Grant<'_>,
        step: &Step,
        saved: Saved<'_>,
    ) -> ToolResult<StepReport> {
        let receipt = host.http_change().send(grant, &HttpTarget::of(step)?, saved.bytes(CONFIG)?)?;
        Ok(StepReport::of(step, receipt).note("the configuration from before is back"))
    }
}

/// Names of the settings that are not the same in both documents, in order.
fn differing(one: &Map<String, Value>, other: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<String> =
        one.keys().chain(other.keys()).filter(|name| one.get(*name) != other.get(*name)).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn named(settings: &[String]) -> String {
    let mut named = settings.iter().take(NAMED_SETTINGS_MAX).cloned().collect::<Vec<_>>().join(", ");
    if settings.len() > NAMED_SETTINGS_MAX {
        named.push_str(&format!(" and {} more", settings.len() - NAMED_SETTINGS_MAX));
    }
    named
}
