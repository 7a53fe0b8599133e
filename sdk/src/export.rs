//! Owns the macros that turn tools into the exports of a component. In a native build they export nothing, and in a test
//! build they add a test of the catalogue.

/// Sends a panic's message to the host's log before the sandbox stops the tool: there is no standard error in it.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub fn log_panics() {
    use crate::bindings::imports::medic::host::log;
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| log::emit(log::Level::Error, &panic.to_string())));
    });
}

#[doc(hidden)]
#[macro_export]
macro_rules! __catalog_test {
    ($($tool:ty, $args:ty);+) => {
        #[cfg(test)]
        #[test]
        fn the_catalogue_stays_within_the_strict_subset() {
            let mut flaws: ::std::vec::Vec<::std::string::String> = ::std::vec::Vec::new();
            let mut names = ::std::vec::Vec::new();
            $(
                flaws.extend($crate::catalog::flaws::<$tool, $args>());
                names.push(<$tool as $crate::tool::Described>::NAME);
            )+
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            if names.len() < count {
                flaws.push(::std::string::String::from("two tools of this component have the same name"));
            }
            ::core::assert!(flaws.is_empty(), "the catalogue of this component has flaws: {flaws:#?}");
        }
    };
}

/// Exports functions made with `#[query_tool]` as a component of category QUERY: `export_query_tools!(error_ratio);`
#[macro_export]
macro_rules! export_query_tools {
    ($($tool:ty),+ $(,)?) => {
        $crate::__export_reads!(query, QueryTool, $($tool),+);
    };
}

/// Exports functions made with `#[diagnostic_tool]` as a component of category DIAGNOSTIC.
#[macro_export]
macro_rules! export_diagnostic_tools {
    ($($tool:ty),+ $(,)?) => {
        $crate::__export_reads!(diagnostic, DiagnosticTool, $($tool),+);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_reads {
    ($category:ident, $trait:ident, $($tool:ty),+) => {
        $crate::__catalog_test!($($tool, <$tool as $crate::tool::$trait>::Args);+);

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::__private::{$category as category, catalog};

            struct Component;

            impl catalog::exports::medic::tool::catalog::Guest for Component {
                fn list_tools() -> ::std::vec::Vec<$crate::types::ToolInfo> {
                    ::std::vec![$(
                        $crate::catalog::entry::<$tool, <$tool as $crate::tool::$trait>::Args>()
                    ),+]
                }
            }

            impl category::exports::medic::tool::$category::Guest for Component {
                fn invoke(
                    ctx: $crate::types::CallContext,
                    tool: ::std::string::String,
                    args_json: ::std::string::String,
                ) -> $crate::ToolResult<$crate::types::Output> {
                    $crate::__private::log_panics();
                    $(
                        if tool == <$tool as $crate::tool::Described>::NAME {
                            return $crate::run::$category::<$tool>($crate::__private::host(), ctx, &args_json);
                        }
                    )+
                    ::core::result::Result::Err($crate::run::unknown_tool(&tool))
                }
            }

            catalog::export!(Component with_types_in catalog);
            category::export!(Component with_types_in category);
        };
    };
}

/// Exports tools that implement [`Remediation`](crate::Remediation) as a component of category REMEDIATION.
#[macro_export]
macro_rules! export_remediation_tools {
    ($($tool:ty),+ $(,)?) => {
        $crate::__export_changes!(remediation,
            {
                fn revert(
                    ctx: $crate::types::CallContext,
                    grant: &$crate::__private::Grant,
                    plan: $crate::types::ChangePlan,
                    step_id: u32,
                    saved: ::std::vec::Vec<$crate::types::SnapshotItem>,
                ) -> $crate::ToolResult<$crate::types::StepReport> {
                    $crate::__private::log_panics();
                    $(
                        if plan.tool == <$tool as $crate::tool::Described>::NAME {
                            let (host, grant) = ($crate::__private::host(), $crate::__private::lent(grant));
                            return $crate::run::remediation::revert::<$tool>(host, ctx, &grant, &plan, step_id, &saved);
                        }
                    )+
                    ::core::result::Result::Err($crate::run::unknown_tool(&plan.tool))
                }
            },
            $($tool),+);
    };
}

/// Exports tools that implement [`Destructive`](crate::Destructive) as a component of category DESTRUCTIVE.
#[macro_export]
macro_rules! export_destructive_tools {
    ($($tool:ty),+ $(,)?) => {
        $crate::__export_changes!(destructive, {}, $($tool),+);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_changes {
    ($category:ident, { $($revert:item)* }, $($tool:ty),+) => {
        $crate::__catalog_test!($($tool, $tool);+);

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::__private::{$category as category, catalog};
            use $crate::run::$category as run;
            use $crate::types::{CallContext, ChangePlan, SnapshotItem, StepReport, ToolInfo, Verdict};
            use $crate::ToolResult;
            use ::std::{string::String, vec::Vec};

            struct Component;

            impl catalog::exports::medic::tool::catalog::Guest for Component {
                fn list_tools() -> Vec<ToolInfo> {
                    ::std::vec![$($crate::catalog::entry::<$tool, $tool>()),+]
                }
            }

            impl category::exports::medic::tool::$category::Guest for Component {
                fn plan(ctx: CallContext, tool: String, args_json: String) -> ToolResult<ChangePlan> {
                    $crate::__private::log_panics();
                    $(
                        if tool == <$tool as $crate::tool::Described>::NAME {
                            return run::plan::<$tool>($crate::__private::host(), ctx, &args_json);
                        }
                    )+
                    ::core::result::Result::Err($crate::run::unknown_tool(&tool))
                }

                fn capture(ctx: CallContext, plan: ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
                    $crate::__private::log_panics();
                    $(
                        if plan.tool == <$tool as $crate::tool::Described>::NAME {
                            return run::capture::<$tool>($crate::__private::host(), ctx, &plan);
                        }
                    )+
                    ::core::result::Result::Err($crate::run::unknown_tool(&plan.tool))
                }

                fn apply(
                    ctx: CallContext,
                    grant: &$crate::__private::Grant,
                    plan: ChangePlan,
                    step_id: u32,
                ) -> ToolResult<StepReport> {
                    $crate::__private::log_panics();
                    $(
                        if plan.tool == <$tool as $crate::tool::Described>::NAME {
                            let (host, grant) = ($crate::__private::host(), $crate::__private::lent(grant));
                            return run::apply::<$tool>(host, ctx, &grant, &plan, step_id);
                        }
                    )+
                    ::core::result::Result::Err($crate::run::unknown_tool(&plan.tool))
                }

                fn verify(ctx: CallContext, plan: ChangePlan, done: Vec<StepReport>) -> ToolResult<Verdict> {
                    $crate::__private::log_panics();
                    $(
                        if plan.tool == <$tool as $crate::tool::Described>::NAME {
                            return run::verify::<$tool>($crate::__private::host(), ctx, &plan, &done);
                        }
                    )+
                    ::core::result::Result::Err($crate::run::unknown_tool(&plan.tool))
                }

                $($revert)*
            }

            catalog::export!(Component with_types_in catalog);
            category::export!(Component with_types_in category);
        };
    };
}
