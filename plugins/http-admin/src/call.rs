//! Owns call_admin_endpoint.

use medic_sdk::prelude::*;

const BEFORE: &str = "before";
/// Longer bodies are uploads, which nobody can read before they agree.
const BODY_CHARS_MAX: usize = 4000;

/// Makes one call of a granted endpoint that changes something: the path, the method and the whole body are in the plan,
/// so that exactly this call is approved. What a PUT overwrites is read first and put back on undo; of a POST or PATCH the
/// grant says whether there is anything to undo.
#[derive(Tool)]
#[tool(example(
    args = r#"{"endpoint":"checkout-admin","method":"put","path":"/admin/cache","body":"{\"enabled\":false}"}"#,
    when = "a runbook names a call that no other tool makes"
))]
pub struct CallAdminEndpoint {
    /// Endpoint to call, by its name in the grant file; never a URL.
    #[arg(max_length = 128, pattern = "^[a-z0-9][a-z0-9._-]*$")]
    endpoint: String,
    /// Method of the call.
    method: Method,
    /// Path on the endpoint, with a slash first and without a query.
    #[arg(max_length = 512, pattern = "^/[A-Za-z0-9._/-]*$")]
    path: String,
    /// Body as JSON; none when left out.
    #[arg(max_length = BODY_CHARS_MAX)]
    body: Option<String>,
}

#[derive(ToolArgs)]
pub enum Method {
    Post,
    Put,
    Patch,
}

impl CallAdminEndpoint {
    fn target(&self) -> HttpTarget {
        let (endpoint, path) = (self.endpoint.as_str(), self.path.as_str());
        match self.method {
            Method::Post => HttpTarget::post(endpoint, path),
            Method::Put => HttpTarget::put(endpoint, path),
            Method::Patch => HttpTarget::patch(endpoint, path),
        }
    }

    fn body(&self) -> ToolResult<Value> {
        let Some(body) = &self.body else { return Ok(Value::Null) };
        let body = medic_sdk::serde_json::from_str::<Value>(body);
        body.map_err(|error| ToolError::invalid_args(format!("/body: is no JSON: {error}")))
    }
}

impl Remediation for CallAdminEndpoint {
    fn plan(&self, _: &DiagnosticHost) -> ToolResult<Plan> {
        let (target, body) = (self.target(), self.body()?);
        let with = if body.is_null() { "without a body".to_owned() } else { format!("with {body}") };
        let with: String = with.chars().take(200).collect();
        let summary = format!("{} {} of {} {with}", target.method_name(), target.path(), target.endpoint());
        let change = Change::http("call-admin-endpoint", &target).params(body).summary(summary);
        Ok(Plan::new(format!("A call of {} that a runbook or a person named.", target.endpoint()))
            .change(change))
    }

    fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
        if !matches!(self.method, Method::Put) {
            return Ok(Vec::new());
        }
        let target = self.target();
        let what = format!("GET {} of {}", target.path(), target.endpoint());
        let response = host.http().get(target.endpoint(), target.path()).map_err(ToolError::from);
        let present = response.and_then(HttpResponse::success).map_err(|error| error.while_doing(&what))?;
        // Read as JSON: what cannot be read back could not be put back either.
        let present: Value = present.json()?;
        Ok(plan.steps.iter().map(|step| SnapshotItem::of(step, BEFORE, present.to_string())).collect())
    }

    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.http_change().perform(grant, step)?))
    }

    fn verify(&self, _: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        Ok(Verdict::unknown("whether the call helped is for the alert's own expression to tell"))
    }

    fn revert(
        &self,
        host: &ChangeHost,
        grant: &Grant<'_>,
        step: &Step,
        saved: Saved<'_>,
    ) -> ToolResult<StepReport> {
        if !matches!(self.method, Method::Put) {
            return Ok(StepReport::nothing(step, "a call of this method has nothing of its own to put back"));
        }
        let receipt = host.http_change().send(grant, &HttpTarget::of(step)?, saved.bytes(BEFORE)?)?;
        Ok(StepReport::of(step, receipt).note("what stood there before is back"))
    }
}
