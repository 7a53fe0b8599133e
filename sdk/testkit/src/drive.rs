//! Owns the calling of tools as the host calls them: arguments as JSON, one grant a step.

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;

use medic_sdk::sys::Handle;
use medic_sdk::tool::{DiagnosticTool, QueryTool};
use medic_sdk::types::{ChangePlan, Output, SnapshotItem, StepReport, Verdict};
use medic_sdk::{Destructive, Grant, Remediation, ScriptedGrant, ToolResult, Value, run};

use crate::{Allowed, ScriptedHost};

impl ScriptedHost {
    pub(crate) fn handle(&self) -> Handle {
        Handle::of_backend(Rc::clone(&self.script) as Rc<dyn medic_sdk::sys::Backend>)
    }

    /// Calls a query tool.
    ///
    /// # Errors
    /// Those of the tool.
    pub fn query<T: QueryTool>(&self, args: Value) -> ToolResult<Output> {
        run::query::<T>(self.handle(), Self::call_context(), &args.to_string())
    }

    /// Calls a diagnostic tool.
    ///
    /// # Errors
    /// Those of the tool.
    pub fn diagnostic<T: DiagnosticTool>(&self, args: Value) -> ToolResult<Output> {
        run::diagnostic::<T>(self.handle(), Self::call_context(), &args.to_string())
    }

    /// The lifecycle of a remediation, on this host.
    pub fn remediation<T: Remediation>(&self) -> RemediationRun<'_, T> {
        RemediationRun { host: self, tool: PhantomData }
    }

    /// The lifecycle of a destructive tool, on this host.
    pub fn destructive<T: Destructive>(&self) -> DestructiveRun<'_, T> {
        DestructiveRun { host: self, tool: PhantomData }
    }

    /// Mints a grant for one step and lends it for the time of one call.
    fn granted<R>(
        &self,
        plan: &ChangePlan,
        step_id: u32,
        reverting: bool,
        call: impl FnOnce(&Grant<'_>) -> R,
    ) -> R {
        let step = plan.steps.iter().find(|step| step.id == step_id);
        *self.script.allowed.borrow_mut() = step.map(|step| Allowed {
            target: step.target.clone(),
            operation: (!reverting).then(|| step.operation.clone()),
        });
        let scripted = ScriptedGrant {
            plan_digest: "sha256:test".to_owned(),
            remaining_operations: Cell::new(self.script.budget.unwrap_or(1)),
            expires_in_ms: 60_000,
        };
        let result = call(&Grant::scripted(&scripted));
        *self.script.allowed.borrow_mut() = None;
        result
    }
}

macro_rules! lifecycle {
    ($name:ident, $trait:ident, $module:ident, $what:literal) => {
        #[doc = $what]
        pub struct $name<'h, T> {
            host: &'h ScriptedHost,
            tool: PhantomData<T>,
        }

        impl<T: $trait> $name<'_, T> {
            /// Asks for a plan.
            ///
            /// # Errors
            /// Those of the tool.
            pub fn plan(&self, args: Value) -> ToolResult<ChangePlan> {
                run::$module::plan::<T>(self.host.handle(), ScriptedHost::call_context(), &args.to_string())
            }

            /// Asks what to save.
            ///
            /// # Errors
            /// Those of the tool.
            pub fn capture(&self, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
                run::$module::capture::<T>(self.host.handle(), ScriptedHost::call_context(), plan)
            }

            /// Carries out one step under a grant of its own.
            ///
            /// # Errors
            /// Those of the tool.
            pub fn apply(&self, plan: &ChangePlan, step_id: u32) -> ToolResult<StepReport> {
                self.host.granted(plan, step_id, false, |grant| {
                    let (handle, call) = (self.host.handle(), ScriptedHost::call_context());
                    run::$module::apply::<T>(handle, call, grant, plan, step_id)
                })
            }

            /// Asks whether it helped.
            ///
            /// # Errors
            /// Those of the tool.
            pub fn verify(&self, plan: &ChangePlan, done: &[StepReport]) -> ToolResult<Verdict> {
                run::$module::verify::<T>(self.host.handle(), ScriptedHost::call_context(), plan, done)
            }
        }
    };
}

lifecycle!(RemediationRun, Remediation, remediation, "A remediation, call by call.");
lifecycle!(DestructiveRun, Destructive, destructive, "A destructive tool, call by call.");

impl<T: Remediation> RemediationRun<'_, T> {
    /// Undoes one step under a grant of its own.
    ///
    /// # Errors
    /// Those of the tool.
    pub fn revert(&self, plan: &ChangePlan, step_id: u32, saved: &[SnapshotItem]) -> ToolResult<StepReport> {
        self.host.granted(plan, step_id, true, |grant| {
            let (handle, call) = (self.host.handle(), ScriptedHost::call_context());
            run::remediation::revert::<T>(handle, call, grant, plan, step_id, saved)
        })
    }
}
