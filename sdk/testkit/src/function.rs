//! Owns the names of the host functions, as grant files write them.

use std::fmt;

macro_rules! functions {
    ($($variant:ident = $name:literal, $change:literal;)+) => {
        /// A function of the host.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum Function { $($variant),+ }

        impl Function {
            /// Every function that can fail.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in a grant file.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Whether it changes something.
            pub fn is_change(self) -> bool {
                match self { $(Self::$variant => $change),+ }
            }
        }
    };
}

functions! {
    StateGet = "state.get", false;
    StateSet = "state.set", false;
    ArtifactsPut = "artifacts.put", false;
    MetricsQuery = "metrics.query", false;
    MetricsQueryRange = "metrics.query-range", false;
    MetricsQueryMany = "metrics.query-many", false;
    LogsSearch = "logs.search", false;
    KubernetesGet = "k8s-read.get", false;
    KubernetesList = "k8s-read.list-objects", false;
    KubernetesPodLogs = "k8s-read.pod-logs", false;
    HttpRead = "http-read.send", false;
    KnowledgeSearch = "knowledge.search", false;
    ProbeTcp = "probe.tcp", false;
    ProbeTls = "probe.tls", false;
    ProbeDns = "probe.dns", false;
    KubernetesScale = "k8s-change.scale", true;
    KubernetesRolloutRestart = "k8s-change.rollout-restart", true;
    KubernetesRolloutUndo = "k8s-change.rollout-undo", true;
    KubernetesPatch = "k8s-change.patch", true;
    KubernetesRestartPod = "k8s-change.restart-pod", true;
    KubernetesCordon = "k8s-change.cordon", true;
    HttpChange = "http-change.send", true;
    KubernetesDelete = "k8s-destroy.delete", true;
    KubernetesEvict = "k8s-destroy.evict", true;
    HttpDelete = "http-destroy.delete", true;
}

impl Function {
    /// Whether it is about what a tool keeps for itself.
    pub fn is_keeping(self) -> bool {
        matches!(self, Self::StateGet | Self::StateSet | Self::ArtifactsPut)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
