//! How a stage is to be.

use std::path::PathBuf;

/// What stands beside the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabKind {
    /// The shop, Prometheus and Alertmanager.
    Whole,
    /// The shop alone: ready in a second, with everything that tools act on and nothing that raises or verifies anything.
    Shop,
    /// Nothing. Alerts come from whoever posts them, and Prometheus is [`StageOptions::prometheus_url`].
    Absent,
}

#[derive(Clone, Debug)]
pub struct StageOptions {
    pub lab: LabKind,
    /// In place of the lab's. Without a lab and without this, an address where nothing listens.
    pub prometheus_url: Option<String>,
    /// Remediations are carried out without a person; what is destructive never is.
    pub auto_approve: bool,
    /// When a remedy that has not shown by then has failed. 75 s: the lab's rules look back 5 s and the tools' own checks
    /// 30 s, so that a cure shows within 45 s, also on a busy machine.
    pub verify_deadline_ms: u32,
    /// TOML of the daemon's configuration, laid over what is generated: `[policy]\napproval_lifetime_ms = 2000`.
    pub overrides: String,
    /// Of orders, jitter and noise in the lab.
    pub seed: u64,
    /// Where the tools' components are; the `plugins` folder of the build directory when `None`.
    pub plugins_dir: Option<PathBuf>,
    /// Where the daemon keeps its data and logs; a temporary directory, deleted at the end, when `None`.
    pub dir: Option<PathBuf>,
}

impl Default for StageOptions {
    fn default() -> Self {
        Self {
            lab: LabKind::Whole,
            prometheus_url: None,
            auto_approve: false,
            verify_deadline_ms: 75_000,
            overrides: String::new(),
            seed: 1,
            plugins_dir: None,
            dir: None,
        }
    }
}
