//! Owns scale_workers.

use medic_sdk::prelude::*;
use medic_sdk::serde::Deserialize;

use crate::admin::Admin;
use crate::checks;

const WORKERS: &str = "/admin/workers";

/// Sets the number of workers of a service: cures a pool that is too small for its traffic. Undone by setting the number
/// from before.
#[derive(Tool)]
#[tool(example(
    args = r#"{"service":"checkout","workers":16}"#,
    when = "all workers are busy and the queue grows"
))]
pub struct ScaleWorkers {
    /// Service to scale, as in the `service` label of its metrics.
    service: ServiceName,
    /// Workers it shall have.
    #[arg(min = 1, max = 64)]
    workers: u32,
}

#[derive(Deserialize)]
#[serde(crate = "medic_sdk::serde")]
struct Workers {
    workers: u32,
}

impl ScaleWorkers {
    fn admin(&self) -> Admin {
        Admin::of(&self.service)
    }

    fn current(&self, host: &DiagnosticHost) -> ToolResult<u32> {
        Ok(self.admin().read(host, WORKERS)?.json::<Workers>()?.workers)
    }
}

impl Remediation for ScaleWorkers {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let (service, workers, current) = (self.service.as_str(), self.workers, self.current(host)?);
        if current == workers {
            let message = format!("{service} has {workers} workers already");
            return Err(ToolError::precondition("ALREADY_SCALED", message));
        }
        let change = Change::http("scale-workers", &HttpTarget::put(self.admin().endpoint(), WORKERS))
            .params(json!({ "workers": workers }))
            .summary(format!("scale {service} from {current} to {workers} workers"));
        let plan = Plan::new(format!(
            "{service} has {current} workers; with {workers} it can serve more requests at once."
        ));
        let plan = checks::is_well(service).into_iter().fold(plan.change(change), Plan::check);
        Ok(plan.check(checks::has_workers(service, workers)))
    }

    fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
        // Written anew rather than saved as it came: the same number is then always the same bytes.
        let present = json!({ "workers": self.current(host)? }).to_string();
        Ok(plan.steps.iter().map(|step| SnapshotItem::of(step, WORKERS, present.clone())).collect())
    }

    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.http_change().perform(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, plan: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        self.admin().verdict(host, plan, || {
            let current = self.current(host)?;
            let unlike = || format!("{} has {current} workers, not {}", self.service, self.workers);
            Ok((current != self.workers).then(unlike))
        })
    }

    fn revert(
        &self,
        host: &ChangeHost,
        grant: &Grant<'_>,
        step: &Step,
        saved: Saved<'_>,
    ) -> ToolResult<StepReport> {
        let receipt = host.http_change().send(grant, &HttpTarget::of(step)?, saved.bytes(WORKERS)?)?;
        Ok(StepReport::of(step, receipt).note("the number of workers from before is back"))
    }
}
