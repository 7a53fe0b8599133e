//! Owns the way from a call of the contract to a method of a tool: reads the arguments, binds the host, finds the step.
//! The export macros use it in a component, the test kit outside one, so that both run the same.

use crate::args::ToolArgs;
use crate::error::ToolResult;
use crate::host::{DiagnosticHost, Host, QueryHost};
use crate::sys::Handle;
use crate::tool::{DiagnosticTool, QueryTool};
use crate::types::{CallContext, Output, ToolError};

/// Calls a query tool.
///
/// # Errors
/// The arguments cannot be used, or the tool fails.
pub fn query<T: QueryTool>(handle: Handle, call: CallContext, args_json: &str) -> ToolResult<Output> {
    T::invoke(T::Args::from_json(args_json)?, &QueryHost::bind(handle, call))
}

/// Calls a diagnostic tool.
///
/// # Errors
/// The arguments cannot be used, or the tool fails.
pub fn diagnostic<T: DiagnosticTool>(
    handle: Handle,
    call: CallContext,
    args_json: &str,
) -> ToolResult<Output> {
    T::invoke(T::Args::from_json(args_json)?, &DiagnosticHost::bind(handle, call))
}

/// The answer to a call of a tool that the component does not hold.
pub fn unknown_tool(name: &str) -> ToolError {
    ToolError::invalid_args(format!("this component has no tool `{name}`"))
}

macro_rules! lifecycle {
    ($category:ident, $host:ident) => {
        use crate::error::ToolResult;
        use crate::grant::Grant;
        use crate::host::{DiagnosticHost, Host, $host};
        use crate::sys::Handle;
        use crate::tool::$category;
        use crate::types::{CallContext, ChangePlan, SnapshotItem, StepReport, ToolError, Verdict};

        /// Asks for a plan.
        ///
        /// # Errors
        /// The arguments cannot be used, or the tool does not apply.
        pub fn plan<T: $category>(
            handle: Handle,
            call: CallContext,
            args_json: &str,
        ) -> ToolResult<ChangePlan> {
            let tool = T::from_json(args_json)?;
            tool.plan(&DiagnosticHost::bind(handle, call))?.written(T::NAME, args_json)
        }

        /// Asks what to save before the first step.
        ///
        /// # Errors
        /// It cannot be read, or names a step the plan does not have.
        pub fn capture<T: $category>(
            handle: Handle,
            call: CallContext,
            plan: &ChangePlan,
        ) -> ToolResult<Vec<SnapshotItem>> {
            let saved = T::from_json(&plan.args_json)?.capture(&DiagnosticHost::bind(handle, call), plan)?;
            saved.iter().try_for_each(|item| plan.step(item.step_id).map(|_| ()))?;
            Ok(saved)
        }

        /// Carries out one step.
        ///
        /// # Errors
        /// There is no such step, or it was refused, or it failed.
        pub fn apply<T: $category>(
            handle: Handle,
            call: CallContext,
            grant: &Grant<'_>,
            plan: &ChangePlan,
            step_id: u32,
        ) -> ToolResult<StepReport> {
            let tool = T::from_json(&plan.args_json)?;
            reported(tool.apply(&$host::bind(handle, call), grant, plan.step(step_id)?)?, step_id)
        }

        /// Asks whether it helped.
        ///
        /// # Errors
        /// It cannot be told.
        pub fn verify<T: $category>(
            handle: Handle,
            call: CallContext,
            plan: &ChangePlan,
            done: &[StepReport],
        ) -> ToolResult<Verdict> {
            T::from_json(&plan.args_json)?.verify(&DiagnosticHost::bind(handle, call), plan, done)
        }

        /// A report must be of the step that was asked for, or the journal would mark another one done.
        fn reported(report: StepReport, step_id: u32) -> ToolResult<StepReport> {
            if report.step_id == step_id {
                return Ok(report);
            }
            let message = format!("asked for step {step_id}, the tool reports step {}", report.step_id);
            Err(ToolError::internal("WRONG_STEP_REPORTED", message))
        }
    };
}

/// The lifecycle of a remediation.
pub mod remediation {
    lifecycle!(Remediation, ChangeHost);

    use crate::plan::Saved;

    /// Undoes one step.
    ///
    /// # Errors
    /// There is no such step, nothing was saved for it, or the undo was refused or failed.
    pub fn revert<T: Remediation>(
        handle: Handle,
        call: CallContext,
        grant: &Grant<'_>,
        plan: &ChangePlan,
        step_id: u32,
        saved: &[SnapshotItem],
    ) -> ToolResult<StepReport> {
        let (tool, step) = (T::from_json(&plan.args_json)?, plan.step(step_id)?);
        let report = tool.revert(&ChangeHost::bind(handle, call), grant, step, Saved::of(step, saved))?;
        reported(report, step_id)
    }
}

/// The lifecycle of a destructive tool: the same, without the way back.
pub mod destructive {
    lifecycle!(Destructive, DestroyHost);
}
