//! Owns top_pods.

use medic_sdk::kubernetes::{Object, resource};
use medic_sdk::prelude::*;

const PODS_MAX: u32 = 500;
const PODS_SHOWN: usize = 20;

#[derive(ToolArgs)]
pub struct Args {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Namespace whose pods to compare.
    namespace: ObjectName,
    /// Label selector, such as app=checkout; all pods without one.
    #[arg(max_length = 256)]
    labels: Option<String>,
    /// What to sort by.
    #[arg(default = "memory")]
    by: By,
}

#[derive(ToolArgs)]
pub enum By {
    Cpu,
    Memory,
}

/// What the pods of a namespace use now, as the cluster's metrics server has it; the largest first.
#[query_tool(example(
    args = r#"{"cluster":"prod-eu","namespace":"shop","by":"memory"}"#,
    when = "a node runs out of memory or a pod is killed for it"
))]
pub fn top_pods(args: Args, host: &QueryHost) -> ToolResult<Output> {
    let of = resource(
        args.cluster.as_str(),
        "metrics.k8s.io/v1beta1",
        "PodMetrics",
        Some(args.namespace.as_str()),
        "",
    );
    let pods = Object::list(host, &of, args.labels.as_deref(), PODS_MAX)?;
    let mut used = pods.iter().map(usage).collect::<ToolResult<Vec<Usage>>>()?;
    used.sort_by(|a, b| {
        let by =
            |usage: &Usage| if matches!(args.by, By::Cpu) { usage.cpu_cores } else { usage.memory_bytes };
        by(b).total_cmp(&by(a))
    });
    let (cpu, memory): (f64, f64) =
        used.iter().fold((0.0, 0.0), |(cpu, memory), pod| (cpu + pod.cpu_cores, memory + pod.memory_bytes));
    let largest = used.first().map(|pod| format!("; the largest: {} with {}", pod.name, pod.words()));
    let total = Usage { name: String::new(), cpu_cores: cpu, memory_bytes: memory }.words();
    let summary = format!("{} pods use {total}{}", used.len(), largest.unwrap_or_default());
    Output::text(summary).data(&json!({
        "pods": used.iter().take(PODS_SHOWN).map(Usage::data).collect::<Vec<_>>(),
        "cpu_cores": cpu,
        "memory_bytes": memory,
    }))
}

struct Usage {
    name: String,
    cpu_cores: f64,
    memory_bytes: f64,
}

impl Usage {
    fn words(&self) -> String {
        format!("{:.0} MiB and {:.2} cores", self.memory_bytes / (1024.0 * 1024.0), self.cpu_cores)
    }

    fn data(&self) -> Value {
        json!({ "name": self.name, "cpu_cores": self.cpu_cores, "memory_bytes": self.memory_bytes })
    }
}

/// Over all containers of a pod.
fn usage(pod: &Object) -> ToolResult<Usage> {
    let mut usage = Usage { name: pod.name().to_owned(), cpu_cores: 0.0, memory_bytes: 0.0 };
    for container in pod.items("/containers") {
        let read = |name: &str| {
            let text = container.pointer("/usage").and_then(|usage| usage.get(name)).and_then(Value::as_str);
            text.and_then(quantity).ok_or_else(|| {
                let message = format!("{name} of {} cannot be read", pod.name());
                ToolError::upstream("QUANTITY_MALFORMED", message)
            })
        };
        usage.cpu_cores += read("cpu")?;
        usage.memory_bytes += read("memory")?;
    }
    Ok(usage)
}

/// A quantity of the API: `250m`, `12345n`, `64Mi`, `1.5`.
fn quantity(text: &str) -> Option<f64> {
    let at =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(at)?;
    let factor = match unit {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_the_api_writes_them() {
        for (text, value) in
            [("250m", 0.25), ("3", 3.0), ("2Ki", 2048.0), ("1.5Gi", 1_610_612_736.0), ("500000n", 0.0005)]
        {
            assert_eq!(quantity(text), Some(value), "{text}");
        }
        for text in ["", "m", "1x", "1 Mi", "-1", "\u{fffd}"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}
