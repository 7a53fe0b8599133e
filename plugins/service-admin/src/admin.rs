//! Owns the conversation with a service's admin endpoint, `<service>-admin` in the grant file.

use medic_sdk::prelude::*;
use medic_sdk::serde::Deserialize;

/// The admin endpoint of one service.
pub struct Admin {
    service: String,
    endpoint: String,
}

#[derive(Deserialize)]
#[serde(crate = "medic_sdk::serde")]
struct Health {
    serving: bool,
}

impl Admin {
    pub fn of(service: &ServiceName) -> Self {
        Self { service: service.to_string(), endpoint: format!("{service}-admin") }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Reads a document of the endpoint.
    ///
    /// # Errors
    /// The host refuses, there is no answer, or it is not a whole one with status 2xx.
    pub fn read(&self, host: &DiagnosticHost, path: &str) -> ToolResult<HttpResponse> {
        let what = format!("GET {path} of {}", self.endpoint);
        let response = host.http().get(&self.endpoint, path).map_err(ToolError::from);
        response.and_then(HttpResponse::success).map_err(|error| error.while_doing(&what))
    }

    /// Judges a finished plan: the service says that it serves, `looks` finds nothing wrong, and every check of the plan
    /// holds. An endpoint that does not answer is no verdict either way: a service that has just been restarted may need
    /// a moment more.
    ///
    /// # Errors
    /// The host refuses.
    pub fn verdict(
        &self,
        host: &DiagnosticHost,
        plan: &ChangePlan,
        looks: impl FnOnce() -> ToolResult<Option<String>>,
    ) -> ToolResult<Verdict> {
        match self.complaint(host, plan, looks) {
            Ok(None) => Ok(Verdict::healthy(format!(
                "{} serves, and {} checks hold",
                self.service,
                plan.checks.len()
            ))),
            Ok(Some(complaint)) => Ok(Verdict::degraded(complaint)),
            Err(error) if matches!(error.kind, ToolErrorKind::Upstream | ToolErrorKind::Timeout) => {
                Ok(Verdict::unknown(error.message))
            }
            Err(error) => Err(error),
        }
    }

    fn complaint(
        &self,
        host: &DiagnosticHost,
        plan: &ChangePlan,
        looks: impl FnOnce() -> ToolResult<Option<String>>,
    ) -> ToolResult<Option<String>> {
        let health: Health = self.read(host, "/admin/health")?.json()?;
        if !health.serving {
            return Ok(Some(format!("{} says that it does not serve", self.service)));
        }
        if let Some(complaint) = looks()? {
            return Ok(Some(complaint));
        }
        let answers = host.metrics().query_many(&plan.checks);
        if answers.len() != plan.checks.len() {
            let message =
                format!("asked {} questions, the host answered {}", plan.checks.len(), answers.len());
            return Err(ToolError::upstream("ANSWERS_MISSING", message));
        }
        for (check, answer) in plan.checks.iter().zip(answers) {
            if !answer?.holds() {
                return Ok(Some(format!("this does not hold: {check}")));
            }
        }
        Ok(None)
    }
}
