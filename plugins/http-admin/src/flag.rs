//! Owns toggle_feature_flag.

use medic_sdk::prelude::*;
use medic_sdk::serde::Deserialize;

const FLAG: &str = "flag.json";

/// Turns a feature flag on or off, at an endpoint that keeps flags as GET and PUT of `/v1/flags/<name>` with
/// `{"enabled": true|false}`. Undone by putting back what was there.
#[derive(Tool)]
#[tool(example(
    args = r#"{"endpoint":"flags","flag":"new-checkout","enabled":false}"#,
    when = "errors began with a feature that a flag turns off"
))]
pub struct ToggleFeatureFlag {
    /// Endpoint that keeps the flags, by its name in the grant file.
    #[arg(max_length = 128, pattern = "^[a-z0-9][a-z0-9._-]*$")]
    endpoint: String,
    /// Flag to set.
    flag: ServiceName,
    /// What it shall be.
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(crate = "medic_sdk::serde")]
struct Flag {
    enabled: bool,
}

impl ToggleFeatureFlag {
    fn target(&self) -> HttpTarget {
        HttpTarget::put(self.endpoint.as_str(), format!("/v1/flags/{}", self.flag))
    }

    /// The whole document: a flag may have more than its state, and the rest must stay.
    fn document(&self, host: &DiagnosticHost) -> ToolResult<Value> {
        let target = self.target();
        let what = format!("GET {} of {}", target.path(), target.endpoint());
        let response = host.http().get(target.endpoint(), target.path()).map_err(ToolError::from);
        let document: Value =
            response.and_then(HttpResponse::success).map_err(|error| error.while_doing(&what))?.json()?;
        match document.get("enabled").and_then(Value::as_bool) {
            Some(_) => Ok(document),
            None => Err(ToolError::upstream(
                "FLAG_MALFORMED",
                format!("{what}: there is no `enabled`, true or false, in it"),
            )),
        }
    }

    fn is_enabled(&self, host: &DiagnosticHost) -> ToolResult<bool> {
        let Flag { enabled } = medic_sdk::serde_json::from_value(self.document(host)?)
            .map_err(|error| ToolError::upstream("FLAG_MALFORMED", error.to_string()))?;
        Ok(enabled)
    }

    fn state(&self) -> &'static str {
        if self.enabled { "on" } else { "off" }
    }
}

impl Remediation for ToggleFeatureFlag {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let (flag, state) = (&self.flag, self.state());
        let mut document = self.document(host)?;
        if document.get("enabled").and_then(Value::as_bool) == Some(self.enabled) {
            return Err(ToolError::precondition("ALREADY_SO", format!("{flag} is {state} already")));
        }
        if let Some(fields) = document.as_object_mut() {
            fields.insert("enabled".to_owned(), self.enabled.into());
        }
        let change = Change::http("toggle-feature-flag", &self.target())
            .params(document)
            .summary(format!("turn {flag} {state} at {}", self.endpoint));
        Ok(Plan::new(format!("With {flag} {state}, what it changes does not take part any more."))
            .change(change))
    }

    fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
        let document = self.document(host)?.to_string();
        Ok(plan.steps.iter().map(|step| SnapshotItem::of(step, FLAG, document.clone())).collect())
    }

    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.http_change().perform(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        match self.is_enabled(host) {
            Ok(enabled) if enabled == self.enabled => {
                Ok(Verdict::healthy(format!("{} is {}", self.flag, self.state())))
            }
            Ok(_) => Ok(Verdict::degraded(format!("{} is not {}", self.flag, self.state()))),
            Err(error) if matches!(error.kind, ToolErrorKind::Upstream | ToolErrorKind::Timeout) => {
                Ok(Verdict::unknown(error.message))
            }
            Err(error) => Err(error),
        }
    }

    fn revert(
        &self,
        host: &ChangeHost,
        grant: &Grant<'_>,
        step: &Step,
        saved: Saved<'_>,
    ) -> ToolResult<StepReport> {
        let receipt = host.http_change().send(grant, &HttpTarget::of(step)?, saved.bytes(FLAG)?)?;
        Ok(StepReport::of(step, receipt).note("the flag is as it was"))
    }
}
