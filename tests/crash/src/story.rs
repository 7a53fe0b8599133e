//! The story that is lived again and again: what breaks, who says what about it, and how it must end.
//!
//! Ten kinds of incident, side by side, that between them pass through every phase. Times are those of the daemon; they
//! pass only while nobody works, so that an hour of waiting costs nothing.

use crate::seed::Seed;
use anyhow::Result;
use medic_agents::Taxonomy;
use medic_core::evidence::Confidence;
use medic_core::grouping::GroupingPolicy;
use medic_core::phase::Resolution;
use medic_core::policy::AutoApprove;
use medic_core::{
    Alert, AlertBatch, AlertStatus, Incident, Labels, Phase, Policy, TimestampMs, ToolCategory, ToolName,
};
use serde::{Deserialize, Serialize};

/// When the first life begins. 2001: far from zero, so that windows before it exist.
pub const START_MS: u64 = 1_000_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One person approves, the remedy helps.
    Approved,
    /// A destructive remedy: one person twice, then a second one.
    TwoPeople,
    Rejected,
    /// Nobody decides in time; one says yes a moment too late.
    TooLate,
    /// Two steps that do not help and are put back.
    Rollback,
    /// Nothing is known about such an alert.
    Unknown,
    /// The alert ends by itself while people are asked.
    Heals,
    /// The endpoint takes no key: what it was asked for cannot be looked up.
    Legacy,
    /// The rule answers for people.
    Auto,
    /// A tool that panics each time.
    Poison,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Approved,
        Self::TwoPeople,
        Self::Rejected,
        Self::TooLate,
        Self::Rollback,
        Self::Unknown,
        Self::Heals,
        Self::Legacy,
        Self::Auto,
        Self::Poison,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::TwoPeople => "two-people",
            Self::Rejected => "rejected",
            Self::TooLate => "too-late",
            Self::Rollback => "rollback",
            Self::Unknown => "unknown",
            Self::Heals => "heals",
            Self::Legacy => "legacy",
            Self::Auto => "auto",
            Self::Poison => "poison",
        }
    }

    /// How it ends when nothing fails.
    pub fn end(self) -> &'static str {
        match self {
            Self::Approved | Self::TwoPeople | Self::Legacy | Self::Auto => "remedied",
            Self::Heals => "by itself",
            Self::Rejected => "REJECTED",
            Self::TooLate => "APPROVAL_TIMEOUT",
            Self::Rollback | Self::Unknown => "LOW_CONFIDENCE",
            Self::Poison => "DEAD_LETTER",
        }
    }

    fn alert_name(self) -> &'static str {
        match self {
            Self::Approved | Self::Rejected | Self::TooLate | Self::Heals => "ConfigBroken",
            Self::TwoPeople => "DiskFilling",
            Self::Rollback => "PoolStuck",
            Self::Unknown => "SomethingOdd",
            Self::Legacy => "LegacyDown",
            Self::Auto => "CacheCold",
            Self::Poison => "CursedDown",
        }
    }

    /// Whether the remedy helps.
    pub fn remedy_helps(self) -> bool {
        self != Self::Rollback
    }
}

/// How it ended, in one word: what the undisturbed run and the others are compared by.
pub fn end_of(incident: &Incident) -> String {
    match &incident.phase {
        Phase::Resolved { how: Resolution::Remedied, .. } => "remedied".to_owned(),
        Phase::Resolved { how: Resolution::ByItself, .. } => "by itself".to_owned(),
        Phase::Escalated { why, .. } => why.code().to_owned(),
        other => format!("still {}", other.name()),
    }
}

/// One thing that breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Its own group, so that it is an incident of its own: `approved-3`.
    pub service: String,
    pub kind: Kind,
    /// Moments after the life's first at which Alertmanager sends its alert; a second and third are repeats. ms.
    pub deliveries_ms: Vec<u64>,
    pub starts_at: u64,
}

impl Case {
    pub fn group(&self) -> String {
        format!("service={:?}", self.service)
    }

    pub fn alert(&self, status: AlertStatus) -> Alert {
        let labels = Labels::from([("alertname", self.kind.alert_name()), ("service", &self.service)]);
        let starts_at = TimestampMs(self.starts_at);
        Alert {
            fingerprint: labels.fingerprint(),
            status,
            labels,
            annotations: Labels::default(),
            starts_at,
            ends_at: (status == AlertStatus::Resolved).then(|| starts_at.after_ms(1)),
            expression: Some(format!("broken{{service=\"{}\"}}", self.service)),
        }
    }

    pub fn delivery(&self, status: AlertStatus) -> AlertBatch {
        AlertBatch { group_key: self.service.clone(), alerts: vec![self.alert(status)], truncated: 0 }
    }
}

/// One case of each kind, in an order and at moments that the seed chooses. `generation` makes their names new.
pub fn cases(seed: u64, generation: u64) -> Vec<Case> {
    let mut draws = Seed::new(seed).fork("story");
    let mut cases: Vec<Case> = Kind::ALL
        .into_iter()
        .map(|kind| {
            // An HA pair delivers twice within the moment; a repeat comes more than a minute later.
            let first = draws.below(3) * draws.below(400);
            let mut deliveries_ms = vec![first];
            if draws.one_in(2) {
                deliveries_ms.push(first);
            }
            if draws.one_in(3) {
                deliveries_ms.push(first + 61_000 + draws.below(5_000));
            }
            let service = format!("{}-{generation}", kind.name());
            Case { service, kind, deliveries_ms, starts_at: START_MS - 1 }
        })
        .collect();
    draws.shuffle(&mut cases);
    cases
}

/// A tool: its name, what it may do, its steps, and whether its endpoint honours keys.
pub const TOOLS: [(&str, ToolCategory, u32, bool); 6] = [
    ("set_config", ToolCategory::Remediation, 1, true),
    ("purge_cache", ToolCategory::Destructive, 1, true),
    ("restart_pool", ToolCategory::Remediation, 2, true),
    ("poke_legacy", ToolCategory::Remediation, 1, false),
    ("warm_cache", ToolCategory::Remediation, 1, true),
    ("cursed", ToolCategory::Remediation, 1, true),
];

/// # Errors
/// When the text below is not a taxonomy any more.
pub fn taxonomy() -> Result<Taxonomy> {
    let categories = [
        ("bad-config", "ConfigBroken", "set_config"),
        ("disk-full", "DiskFilling", "purge_cache"),
        ("pool-stuck", "PoolStuck", "restart_pool"),
        ("legacy-down", "LegacyDown", "poke_legacy"),
        ("cache-cold", "CacheCold", "warm_cache"),
        ("cursed-down", "CursedDown", "cursed"),
    ];
    let text: String = categories
        .iter()
        .map(|(category, alert, tool)| {
            format!(
                "[[category]]\nname = \"{category}\"\nstatement = \"{{component}}: {category}\"\n\
                 [[category.alert]]\npattern = \"^{alert}$\"\nweight = 0.9\n\
                 [category.remedy]\ntool = \"{tool}\"\nsettle_ms = 0\nhold_ms = 0\ndeadline_ms = 0\n\
                 [category.remedy.args]\nservice = \"{{component}}\"\n"
            )
        })
        .collect();
    Ok(Taxonomy::parse(&text)?)
}

/// Only the lifetime of an approval ever runs out: everything else has an hour.
pub fn policy() -> Policy {
    let hour_ms = 60 * 60 * 1000;
    Policy {
        confidence_min: Confidence::new(0.3),
        patience_ms: 0,
        approval_lifetime_ms: 30_000,
        execution_window_ms: hour_ms,
        gather_deadline_ms: hour_ms,
        diagnose_deadline_ms: hour_ms,
        plan_deadline_ms: hour_ms,
        step_deadline_ms: hour_ms,
        auto_approve: Some(AutoApprove { tools: [ToolName::new("warm_cache")].into(), components_max: 1 }),
        ..Policy::default()
    }
}

pub fn grouping() -> GroupingPolicy {
    GroupingPolicy { group_labels: vec!["service".to_owned()], ..GroupingPolicy::default() }
}
