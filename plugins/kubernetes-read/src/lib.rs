//! QUERY: workloads, pods, events and logs of a Kubernetes cluster.
//!
//! Four tools in one component, because whoever may see one of them may see the others. Each makes as few requests as it
//! can: two for a workload, one for everything else.

mod events;
mod logs;
mod top;
mod workload;

pub use events::list_events;
pub use logs::get_pod_logs;
pub use top::top_pods;
pub use workload::describe_workload;

medic_sdk::export_query_tools!(get_pod_logs, describe_workload, list_events, top_pods);

/// What stands in an object was written by whoever runs the workload: shown without control characters and cut.
fn plain(text: &str, chars_max: usize) -> String {
    let shown = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut plain: String = shown.take(chars_max).collect();
    if text.chars().nth(chars_max).is_some() {
        plain.push('…');
    }
    plain
}
