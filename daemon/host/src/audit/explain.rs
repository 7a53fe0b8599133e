//! Each host function in a sentence, and what bounds it: for whoever has to agree to it.

/// What a function does, and what in a grant bounds it. `None` for what is not in the contract.
pub fn explain(function: &str) -> Option<(&'static str, &'static str)> {
    const FREE: &str = "every tool has it, within its quota";
    const HTTP: &str = "endpoints, methods, paths and query names under `http`";
    const CLUSTER: &str = "clusters, namespaces, kinds and label denies under `k8s`";
    const CHANGE_HTTP: &str = "as for reading, and only the one target, body and number of calls of an approved step; `undo` says how it is \
         taken back";
    const CHANGE_CLUSTER: &str = "as for reading, and only the one target and number of calls of an approved step; the host keeps what was there";
    Some(match function {
        "log.emit" => ("Writes a line into the daemon's log.", FREE),
        "log.progress" => ("Says how far a call has come.", FREE),
        "clock.now-ms" => ("Reads the clock.", FREE),
        "clock.remaining-ms" => ("Reads how much time its call has left.", FREE),
        "state.get" => ("Reads what this tool kept itself between calls.", FREE),
        "state.set" => ("Keeps up to 256 KiB for this tool alone, for at most 30 days.", FREE),
        "artifacts.put" => ("Leaves large output beside its answer.", FREE),
        "metrics.query" => ("Asks Prometheus for values at one time.", "`metrics.max-series`"),
        "metrics.query-range" => {
            ("Asks Prometheus for values over a range.", "`metrics.max-series`, `metrics.max-range-ms`")
        }
        "metrics.query-many" => {
            ("Asks Prometheus several things at once.", "`metrics.max-queries`, `metrics.max-series`")
        }
        "logs.search" => ("Searches the configured logs by words and services.", "the daemon's log sources"),
        "knowledge.search" => ("Searches the runbooks.", "the daemon's knowledge base"),
        "http-read.send" => ("Sends GET or HEAD to a named endpoint; the host adds the credential.", HTTP),
        "k8s-read.get" => ("Reads one object of a cluster, never a Secret.", CLUSTER),
        "k8s-read.list-objects" => ("Lists objects of a cluster, never Secrets.", CLUSTER),
        "k8s-read.pod-logs" => ("Reads the end of a pod's log.", CLUSTER),
        "probe.tcp" => ("Opens a connection to a named endpoint and closes it.", "endpoints under `http`"),
        "probe.tls" => {
            ("Shakes hands with a named endpoint and reads its certificate.", "endpoints under `http`")
        }
        "probe.dns" => {
            ("Resolves the host of a granted endpoint, and no other name.", "endpoints under `http`")
        }
        "change.grant.plan-digest" => ("Reads which plan its authority is for.", FREE),
        "change.grant.remaining-operations" => ("Reads how many calls its authority still covers.", FREE),
        "change.grant.expires-in-ms" => ("Reads how long its authority lasts.", FREE),
        "http-change.send" => ("Sends POST, PUT or PATCH to a named endpoint.", CHANGE_HTTP),
        "http-destroy.delete" => ("Sends DELETE to a named endpoint. Nothing puts it back.", CHANGE_HTTP),
        "k8s-change.scale" => ("Sets the number of replicas.", CHANGE_CLUSTER),
        "k8s-change.rollout-restart" => ("Replaces a workload's pods one after the other.", CHANGE_CLUSTER),
        "k8s-change.rollout-undo" => ("Goes back to an earlier revision of a workload.", CHANGE_CLUSTER),
        "k8s-change.patch" => ("Merges a patch into an object.", CHANGE_CLUSTER),
        "k8s-change.restart-pod" => {
            ("Evicts a pod that its controller will replace, within its disruption budget.", CHANGE_CLUSTER)
        }
        "k8s-change.cordon" => ("Marks a node as closed or open for new pods.", CHANGE_CLUSTER),
        "k8s-destroy.delete" => ("Deletes an object. Nothing puts it back.", CHANGE_CLUSTER),
        "k8s-destroy.evict" => ("Evicts a pod, whether anything replaces it or not.", CHANGE_CLUSTER),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::ceiling;
    use medic_core::ToolCategory;

    #[test]
    fn every_function_of_the_contract_is_explained_and_no_other() {
        let unexplained: Vec<_> =
            ceiling(ToolCategory::Destructive).into_iter().filter(|name| explain(name).is_none()).collect();
        assert!(unexplained.is_empty(), "{unexplained:?}");
        assert!(explain("metrics.push").is_none());
        // What nobody can put back says so.
        for name in ["http-destroy.delete", "k8s-destroy.delete"] {
            assert!(explain(name).unwrap().0.contains("Nothing puts it back"), "{name}");
        }
    }
}
