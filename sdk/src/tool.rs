//! Owns what a tool is to its author: four traits, one a category.

use crate::args::ToolArgs;
use crate::error::ToolResult;
use crate::grant::Grant;
use crate::host::{ChangeHost, DestroyHost, DiagnosticHost, QueryHost};
use crate::plan::{Plan, Saved};
use crate::types::{ChangePlan, Output, SnapshotItem, Step, StepReport, Verdict};

/// What a tool says of itself. Written by the macros from its name and its doc comment.
pub trait Described {
    /// Name by which it is called.
    const NAME: &'static str;
    /// Name for people.
    const TITLE: &'static str;
    /// What it does, for models and operators.
    const DESCRIPTION: &'static str;
    /// Calls worth imitating.
    const EXAMPLES: &'static [Example];
}

/// A call worth imitating.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// Arguments as JSON.
    pub args: &'static str,
    /// The situation in which to call it so.
    pub when: &'static str,
}

/// A tool that only reads. Written by `#[query_tool]`.
pub trait QueryTool: Described {
    /// Its arguments.
    type Args: ToolArgs;

    /// Answers.
    ///
    /// # Errors
    /// What the tool cannot answer.
    fn invoke(args: Self::Args, host: &QueryHost) -> ToolResult<Output>;
}

/// A tool that reads and probes. Written by `#[diagnostic_tool]`.
pub trait DiagnosticTool: Described {
    /// Its arguments.
    type Args: ToolArgs;

    /// Answers.
    ///
    /// # Errors
    /// What the tool cannot answer.
    fn invoke(args: Self::Args, host: &DiagnosticHost) -> ToolResult<Output>;
}

/// A tool whose changes can be undone. The struct holds the arguments, `#[derive(Tool)]` does the rest:
///
/// ```
/// use medic_sdk::prelude::*;
///
/// /// Sets the log level of a service, to see more or to write less.
/// #[derive(Tool)]
/// struct SetLogLevel {
///     /// Service to change, as in the `service` label of its metrics.
///     service: String,
///     /// Level to set.
///     level: Level,
/// }
///
/// #[derive(ToolArgs)]
/// enum Level { Debug, Info, Warn }
///
/// impl SetLogLevel {
///     fn target(&self) -> HttpTarget {
///         HttpTarget::put(format!("{}-admin", self.service), "/admin/log-level")
///     }
/// }
///
/// impl Remediation for SetLogLevel {
///     fn plan(&self, _: &DiagnosticHost) -> ToolResult<Plan> {
///         let change = Change::http("set-log-level", &self.target()).params(json!({ "level": self.level.as_str() }));
///         Ok(Plan::new("The log does not say enough.").change(change))
///     }
///     fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
///         let target = self.target();
///         let now = host.http().get(target.endpoint(), target.path())?.success()?;
///         Ok(plan.steps.iter().map(|step| SnapshotItem::of(step, "level", now.body.clone())).collect())
///     }
///     fn apply(&self, host: &ChangeHost, grant: &Grant, step: &Step) -> ToolResult<StepReport> {
///         Ok(StepReport::of(step, host.http_change().perform(grant, step)?))
///     }
///     fn verify(&self, _: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
///         Ok(Verdict::unknown("whether the log says enough is for its reader to tell"))
///     }
///     fn revert(&self, host: &ChangeHost, grant: &Grant, step: &Step, saved: Saved) -> ToolResult<StepReport> {
///         Ok(StepReport::of(step, host.http_change().send(grant, &self.target(), saved.bytes("level")?)?))
///     }
/// }
/// ```
pub trait Remediation: Described + ToolArgs {
    /// Says what would be done, and changes nothing: no grant is at hand.
    ///
    /// # Errors
    /// The tool does not apply here.
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan>;

    /// Saves what the steps will overwrite. By default nothing.
    ///
    /// # Errors
    /// It cannot be read: then nothing is changed.
    fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
        let _ = (host, plan);
        Ok(Vec::new())
    }

    /// Carries out one step. After a crash it may be called again for the same step: the host replays the receipt.
    ///
    /// # Errors
    /// The step was refused or failed.
    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport>;

    /// Looks whether it helped. The daemon asks the metrics server as well and believes that more.
    ///
    /// # Errors
    /// It cannot be told.
    fn verify(&self, host: &DiagnosticHost, plan: &ChangePlan, done: &[StepReport]) -> ToolResult<Verdict>;

    /// Undoes one step from what was saved for it.
    ///
    /// # Errors
    /// The undo was refused or failed, or nothing was saved.
    fn revert(
        &self,
        host: &ChangeHost,
        grant: &Grant<'_>,
        step: &Step,
        saved: Saved<'_>,
    ) -> ToolResult<StepReport>;
}

/// A tool whose changes cannot be undone: there is no `revert`, and two people must agree.
pub trait Destructive: Described + ToolArgs {
    /// Says what would be done, and changes nothing: no grant is at hand.
    ///
    /// # Errors
    /// The tool does not apply here.
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan>;

    /// Saves what a person may want to know afterwards. By default nothing.
    ///
    /// # Errors
    /// It cannot be read: then nothing is changed.
    fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
        let _ = (host, plan);
        Ok(Vec::new())
    }

    /// Carries out one step. After a crash it may be called again for the same step: the host replays the receipt.
    ///
    /// # Errors
    /// The step was refused or failed.
    fn apply(&self, host: &DestroyHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport>;

    /// Looks whether it helped.
    ///
    /// # Errors
    /// It cannot be told.
    fn verify(&self, host: &DiagnosticHost, plan: &ChangePlan, done: &[StepReport]) -> ToolResult<Verdict>;
}
