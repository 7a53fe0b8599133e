//! DESTRUCTIVE: deletes the expired data of a service, for good.

use medic_sdk::prelude::*;

mod storage;

use storage::{FILL_MAX, Storage};

/// Deletes the data of a service that its retention has expired, to free storage before its quota stops writes. What is
/// deleted cannot be brought back. Talks to the endpoint `<service>-admin`.
#[derive(Tool)]
#[tool(example(args = r#"{"service":"store"}"#, when = "writes fail because the storage quota is reached"))]
pub struct PurgeExpired {
    /// Service whose expired data to delete, as in the `service` label of its metrics.
    service: ServiceName,
}

impl PurgeExpired {
    fn endpoint(&self) -> String {
        format!("{}-admin", self.service)
    }

    fn expired(&self) -> HttpDeletion {
        HttpDeletion::new(self.endpoint(), "/admin/storage/expired")
    }
}

impl Destructive for PurgeExpired {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let storage = Storage::read(host, &self.endpoint())?;
        if storage.expired_bytes == 0 {
            let message = format!("{} has no expired data: a purge would free nothing", self.service);
            return Err(ToolError::precondition("NOTHING_EXPIRED", message));
        }
        let service = &self.service;
        let change = Change::http_delete("purge-expired", &self.expired())
            .summary(format!("delete the expired data of {service}, for good"));
        Ok(Plan::new(format!("{service}'s storage is {storage}; only expired data is deleted."))
            .change(change)
            .check(promql!(
                "max(storage_used_bytes{service=$service} / storage_quota_bytes{service=$service}) < bool $fill",
                service = service,
                fill = FILL_MAX
            )))
    }

    fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
        // Only the quota: the amounts move by themselves, and a snapshot that moves looks like a plan gone stale.
        let quota = Storage::read(host, &self.endpoint())?.quota_bytes.to_string();
        Ok(plan.steps.iter().map(|step| SnapshotItem::of(step, "quota_bytes", quota.clone())).collect())
    }

    fn apply(&self, host: &DestroyHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.http_destroy().perform(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        let storage = Storage::read(host, &self.endpoint())?;
        let evidence = format!("{}'s storage is {storage}", self.service);
        Ok(if storage.fill() < FILL_MAX { Verdict::healthy(evidence) } else { Verdict::degraded(evidence) })
    }
}

medic_sdk::export_destructive_tools!(PurgeExpired);
