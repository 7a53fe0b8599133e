//! Owns list_events.

use medic_sdk::kubernetes::{Object, resource};
use medic_sdk::prelude::*;

use crate::plain;

/// Events asked for: what a busy namespace keeps of its last hour.
const EVENTS_MAX: u32 = 500;
/// Events given back, the newest first.
const EVENTS_SHOWN: usize = 30;

#[derive(ToolArgs)]
pub struct Args {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Namespace whose events to list.
    namespace: ObjectName,
    /// Beginning of the name of the objects that the events are about: a Deployment's name finds its pods too.
    about: Option<ObjectName>,
    /// Whether to leave out events of type Normal.
    #[arg(default = false)]
    warnings_only: bool,
}

/// Events of a namespace, newest first: what the scheduler, the controllers and the kubelets had to say.
#[query_tool(example(
    args = r#"{"cluster":"prod-eu","namespace":"shop","about":"checkout","warnings_only":true}"#,
    when = "pods do not start, are killed or are evicted"
))]
pub fn list_events(args: Args, host: &QueryHost) -> ToolResult<Output> {
    let of = resource(args.cluster.as_str(), "v1", "Event", Some(args.namespace.as_str()), "");
    let events = Object::list(host, &of, None, EVENTS_MAX)?;
    let about = args.about.as_ref().map_or("", ObjectName::as_str);
    let wanted = |event: &&Object| {
        event.text("/involvedObject/name").starts_with(about)
            && !(args.warnings_only && event.text("/type") != "Warning")
    };
    let mut events: Vec<&Object> = events.iter().filter(wanted).collect();
    events.sort_by(|a, b| at(b).cmp(at(a)));
    let warnings = events.iter().filter(|event| event.text("/type") == "Warning").count();
    let newest = events.first().map(|event| {
        let (kind, name) = (event.text("/involvedObject/kind"), event.text("/involvedObject/name"));
        format!(
            "; the newest: {} of {} {}: {}",
            plain(event.text("/reason"), 64),
            plain(kind, 32),
            plain(name, 64),
            plain(event.text("/message"), 160)
        )
    });
    let summary =
        format!("{} events, {warnings} of them warnings{}", events.len(), newest.unwrap_or_default());
    Output::text(summary).data(&json!({
        "total": events.len(),
        "warnings": warnings,
        "events": events.iter().take(EVENTS_SHOWN).map(|event| data(event)).collect::<Vec<_>>(),
    }))
}

/// RFC 3339, which sorts as text. The newer API writes its own field.
fn at(event: &Object) -> &str {
    ["/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
        .into_iter()
        .map(|pointer| event.text(pointer))
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

fn data(event: &Object) -> Value {
    json!({
        "at": plain(at(event), 40),
        "type": plain(event.text("/type"), 16),
        "reason": plain(event.text("/reason"), 64),
        "object": format!("{} {}", plain(event.text("/involvedObject/kind"), 32), plain(event.text("/involvedObject/name"), 100)),
        "count": event.count("/count").max(1),
        "message": plain(event.text("/message"), 300),
    })
}
