//! Owns describe_workload.

use medic_sdk::kubernetes::{Object, Rollout, resource};
use medic_sdk::prelude::*;

use crate::plain;

/// Pods looked at: more than a screen of them tells no more.
const PODS_MAX: u32 = 200;
/// Pods given back, the sick ones first.
const PODS_SHOWN: usize = 20;

#[derive(ToolArgs)]
pub struct Args {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Namespace of the workload.
    namespace: ObjectName,
    /// What kind of workload it is.
    #[arg(default = "deployment")]
    kind: Kind,
    /// Workload to look at.
    name: ObjectName,
}

#[derive(ToolArgs)]
pub enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

/// State of a workload and of its pods: how many there shall be, are ready and up to date; images; what its conditions
/// say; and of each pod its phase, restarts and what its containers wait for.
#[query_tool(example(
    args = r#"{"cluster":"prod-eu","namespace":"shop","kind":"deployment","name":"checkout"}"#,
    when = "a service is down or slow, and its pods may be the reason"
))]
pub fn describe_workload(args: Args, host: &QueryHost) -> ToolResult<Output> {
    let (cluster, namespace) = (args.cluster.as_str(), Some(args.namespace.as_str()));
    let target = resource(cluster, "apps/v1", args.kind.name(), namespace, args.name.as_str());
    let workload = Object::read(host, &target)?;
    let selector = workload.selector();
    let pods = resource(cluster, "v1", "Pod", namespace, "");
    // Without a selector every pod of the namespace would be taken for one of its own.
    let pods = match &selector {
        Some(selector) => Object::list(host, &pods, Some(selector), PODS_MAX)?,
        None => Vec::new(),
    };
    let mut seen: Vec<Pod> = pods.iter().map(Pod::of).collect();
    seen.sort_by_key(|pod| (pod.trouble.is_none(), std::cmp::Reverse(pod.restarts)));
    let sick = seen.iter().filter(|pod| pod.trouble.is_some()).count();
    let state = state(&args.kind, &workload);
    let first = seen.iter().find_map(|pod| Some(format!("; {} {}", pod.name, pod.trouble.as_ref()?)));
    let summary = format!(
        "{} {}: {state}; {sick} of {} pods in trouble{}",
        args.kind.name(),
        args.name,
        seen.len(),
        first.unwrap_or_default()
    );
    let conditions: Vec<Value> = workload.items("/status/conditions").map(condition).collect();
    let images: Vec<&Value> =
        workload.items("/spec/template/spec/containers").filter_map(|c| c.get("image")).collect();
    Output::text(summary).data(&json!({
        "state": state,
        "images": images,
        "revision": workload.annotation("deployment.kubernetes.io/revision"),
        "conditions": conditions,
        "pods_in_trouble": sick,
        "pods": seen.iter().take(PODS_SHOWN).map(Pod::data).collect::<Vec<_>>(),
    }))
}

fn state(kind: &Kind, workload: &Object) -> String {
    match kind {
        Kind::Deployment | Kind::StatefulSet => {
            let rollout = Rollout::of(workload);
            let stuck = if rollout.stuck { ", the rollout has got stuck" } else { "" };
            format!("{rollout}{stuck}")
        }
        Kind::DaemonSet => format!(
            "{} of {} pods available, {} up to date",
            workload.count("/status/numberAvailable"),
            workload.count("/status/desiredNumberScheduled"),
            workload.count("/status/updatedNumberScheduled")
        ),
    }
}

fn condition(condition: &Value) -> Value {
    let text = |name: &str| plain(condition.get(name).and_then(Value::as_str).unwrap_or_default(), 200);
    json!({ "type": text("type"), "status": text("status"), "reason": text("reason"), "message": text("message") })
}

struct Pod {
    name: String,
    phase: String,
    node: String,
    restarts: u64,
    /// What keeps it from serving.
    trouble: Option<String>,
}

impl Pod {
    fn of(pod: &Object) -> Self {
        let containers = || pod.items("/status/containerStatuses");
        let waits = containers().find_map(|container| container.pointer("/state/waiting/reason")?.as_str());
        let died =
            containers().find_map(|container| container.pointer("/lastState/terminated/reason")?.as_str());
        let unready = pod.items("/status/conditions").any(|condition| {
            let is = |name: &str, value: &str| condition.get(name).and_then(Value::as_str) == Some(value);
            is("type", "Ready") && is("status", "False")
        });
        let phase = plain(pod.text("/status/phase"), 32);
        let trouble = match (waits, died) {
            _ if !pod.text("/metadata/deletionTimestamp").is_empty() => Some("is being deleted".to_owned()),
            (Some(reason), _) => Some(format!("waits: {}", plain(reason, 64))),
            (None, Some(reason)) if unready => {
                Some(format!("is not ready, last ended: {}", plain(reason, 64)))
            }
            _ if unready => Some("is not ready".to_owned()),
            _ if !matches!(phase.as_str(), "Running" | "Succeeded") => Some(format!("is {phase}")),
            _ => None,
        };
        Self {
            name: pod.name().to_owned(),
            phase,
            node: plain(pod.text("/spec/nodeName"), 64),
            restarts: containers().filter_map(|container| container.get("restartCount")?.as_u64()).sum(),
            trouble,
        }
    }

    fn data(&self) -> Value {
        let Self { name, phase, node, restarts, trouble } = self;
        json!({ "name": name, "phase": phase, "node": node, "restarts": restarts, "trouble": trouble })
    }
}
