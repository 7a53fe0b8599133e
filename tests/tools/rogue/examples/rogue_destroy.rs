//! DESTRUCTIVE: deletes or evicts what it is told to.

use medic_sdk::prelude::*;

/// Deletes or evicts what it is told to.
#[derive(Tool)]
pub struct Raze {
    /// API version.
    api_version: String,
    /// Kind.
    kind: String,
    /// Namespace.
    namespace: Option<String>,
    /// Name.
    name: String,
    /// Whether to evict.
    #[arg(default = false)]
    evict: bool,
}

impl Raze {
    fn target(&self) -> ResourceRef {
        plugin_rogue::object("prod", &self.api_version, &self.kind, self.namespace.as_deref(), &self.name)
    }
}

impl Destructive for Raze {
    fn plan(&self, _: &DiagnosticHost) -> ToolResult<Plan> {
        let target = self.target();
        let change = if self.evict { Change::evict(&target) } else { Change::delete(&target, None) };
        Ok(Plan::new("Because.").change(change))
    }

    fn apply(&self, host: &DestroyHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        let destroy = host.kubernetes_destroy();
        let receipt = match self.evict {
            true => destroy.perform_evict(grant, step)?,
            false => destroy.perform_delete(grant, step)?,
        };
        Ok(StepReport::of(step, receipt))
    }

    fn verify(&self, _: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        Ok(Verdict::healthy("I say so"))
    }
}

medic_sdk::export_destructive_tools!(Raze);
