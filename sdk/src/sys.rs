//! Owns the one switch between the two places a tool runs in: a sandbox (calls go to the host that loaded the
//! component) and a native test (calls go to a [`Backend`]). Never holds logic: a host function is named, not wrapped.
//!
//! In the sandbox every call is direct, never through a table of function pointers: a table would make each component
//! import every host function, and its imports would no longer say what it can do.

use crate::grant::Grant;
use crate::types::*;

/// One line a host function: its Rust name, its arguments, its answer, and the generated function behind it.
macro_rules! host_functions {
    ($( $name:ident ( $($arg:ident : $ty:ty),* ) $(-> $ret:ty)? = $($path:ident)::+ ( $($pass:expr),* ); )+) => {
        /// The host as a native test plays it: one method a host function.
        #[cfg(not(target_family = "wasm"))]
        pub trait Backend {
            $( #[allow(missing_docs)] fn $name(&self, $($arg: $ty),*) $(-> $ret)?; )+
        }

        #[cfg(not(target_family = "wasm"))]
        impl Handle {
            $( pub(crate) fn $name(&self, $($arg: $ty),*) $(-> $ret)? { self.backend.$name($($arg),*) } )+
        }

        #[cfg(target_family = "wasm")]
        impl Handle {
            $( pub(crate) fn $name(&self, $($arg: $ty),*) $(-> $ret)? {
                crate::bindings::imports::medic::host::$($path)::+($($pass),*)
            } )+
        }
    };
}

/// The way out of a tool: nothing in the sandbox, a test's backend outside it.
#[derive(Clone)]
pub struct Handle {
    #[cfg(not(target_family = "wasm"))]
    backend: std::rc::Rc<dyn Backend>,
}

impl Handle {
    /// The host that loaded this component.
    #[cfg(target_family = "wasm")]
    pub(crate) fn of_component() -> Self {
        Self {}
    }

    /// A host played by a test.
    #[cfg(not(target_family = "wasm"))]
    pub fn of_backend(backend: std::rc::Rc<dyn Backend>) -> Self {
        Self { backend }
    }
}

host_functions! {
    log_emit(level: LogLevel, message: &str) = log::emit(level, message);
    log_progress(percent: u8, message: &str) = log::progress(percent, message);
    clock_now_ms() -> u64 = clock::now_ms();
    clock_remaining_ms() -> u64 = clock::remaining_ms();
    state_get(key: &str) -> Result<Option<Vec<u8>>, HostError> = state::get(key);
    state_set(key: &str, value: &[u8], ttl_ms: u64) -> Result<(), HostError> = state::set(key, value, ttl_ms);
    artifacts_put(name: &str, media_type: &str, data: &[u8]) -> Result<String, HostError>
        = artifacts::put(name, media_type, data);

    metrics_query(promql: &str, at_ms: Option<u64>) -> Result<Vec<Series>, HostError> = metrics::query(promql, at_ms);
    metrics_query_range(promql: &str, range: TimeRange, step_ms: u64) -> Result<Vec<Series>, HostError>
        = metrics::query_range(promql, range, step_ms);
    metrics_query_many(promql: &[String], at_ms: Option<u64>) -> Vec<Result<Vec<Series>, HostError>>
        = metrics::query_many(promql, at_ms);
    logs_search(query: &str, range: TimeRange, limit: u32) -> Result<Vec<LogEntry>, HostError>
        = logs::search(query, range, limit);
    k8s_get(target: &ResourceRef) -> Result<String, HostError> = k8s_read::get(target);
    k8s_list(selector: &Selector) -> Result<Vec<String>, HostError> = k8s_read::list_objects(selector);
    k8s_pod_logs(target: &ResourceRef, container: Option<&str>, tail_lines: u32) -> Result<String, HostError>
        = k8s_read::pod_logs(target, container, tail_lines);
    http_read(method: ReadMethod, endpoint: &str, path: &str, query: &[Attr]) -> Result<HttpResponse, HostError>
        = http_read::send(method, endpoint, path, query);
    knowledge_search(query: &str, limit: u32) -> Result<Vec<KnowledgeHit>, HostError> = knowledge::search(query, limit);

    probe_tcp(endpoint: &str, timeout_ms: u32) -> Result<ProbeOutcome, HostError> = probe::tcp(endpoint, timeout_ms);
    probe_tls(endpoint: &str, timeout_ms: u32) -> Result<ProbeOutcome, HostError> = probe::tls(endpoint, timeout_ms);
    probe_dns(name: &str) -> Result<Vec<String>, HostError> = probe::dns(name);

    k8s_scale(grant: &Grant<'_>, target: &ResourceRef, replicas: u32) -> Result<Receipt, HostError>
        = k8s_change::scale(grant.handle(), target, replicas);
    k8s_rollout_restart(grant: &Grant<'_>, target: &ResourceRef) -> Result<Receipt, HostError>
        = k8s_change::rollout_restart(grant.handle(), target);
    k8s_rollout_undo(grant: &Grant<'_>, target: &ResourceRef, to_revision: Option<u64>) -> Result<Receipt, HostError>
        = k8s_change::rollout_undo(grant.handle(), target, to_revision);
    k8s_patch(grant: &Grant<'_>, target: &ResourceRef, merge_patch_json: &str) -> Result<Receipt, HostError>
        = k8s_change::patch(grant.handle(), target, merge_patch_json);
    k8s_restart_pod(grant: &Grant<'_>, target: &ResourceRef) -> Result<Receipt, HostError>
        = k8s_change::restart_pod(grant.handle(), target);
    k8s_cordon(grant: &Grant<'_>, target: &ResourceRef, unschedulable: bool) -> Result<Receipt, HostError>
        = k8s_change::cordon(grant.handle(), target, unschedulable);
    http_change(
        grant: &Grant<'_>, method: ChangeMethod, endpoint: &str, path: &str, query: &[Attr], body: &[u8]
    ) -> Result<Receipt, HostError> = http_change::send(grant.handle(), method, endpoint, path, query, body);

    k8s_delete(grant: &Grant<'_>, target: &ResourceRef, grace_seconds: Option<u32>) -> Result<Receipt, HostError>
        = k8s_destroy::delete(grant.handle(), target, grace_seconds);
    k8s_evict(grant: &Grant<'_>, target: &ResourceRef) -> Result<Receipt, HostError>
        = k8s_destroy::evict(grant.handle(), target);
    http_delete(grant: &Grant<'_>, endpoint: &str, path: &str, query: &[Attr]) -> Result<Receipt, HostError>
        = http_destroy::delete(grant.handle(), endpoint, path, query);
}
