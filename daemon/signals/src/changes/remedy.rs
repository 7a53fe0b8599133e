//! What kind of deed undoes a cause.
//!
//! Owns the classes of remedies and the choice among them. Never plans or does anything.

use super::diff::FileKind;
use super::{Case, Cause, Commit, Hypothesis, Outside};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The general vocabulary of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// The release before.
    Rollback,
    /// A new release without the culprit: where going back would undo more than it.
    RollForward,
    /// The settings before; the program stays.
    ConfigRevert,
    FlagDisable,
    ScaleUp,
    /// Another node for the service, or for its neighbour.
    Reschedule,
    /// Another region or replica.
    Failover,
    RotateCredentials,
    /// Whoever runs what failed.
    EscalateUpstream,
    /// Nothing is certain enough to be undone.
    Investigate,
}

impl Remedy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::RollForward => "roll-forward",
            Self::ConfigRevert => "config-revert",
            Self::FlagDisable => "flag-disable",
            Self::ScaleUp => "scale-up",
            Self::Reschedule => "reschedule",
            Self::Failover => "failover",
            Self::RotateCredentials => "rotate-credentials",
            Self::EscalateUpstream => "escalate-upstream",
            Self::Investigate => "investigate",
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

pub(super) fn choose(case: &Case, best: Option<&Hypothesis>) -> Remedy {
    match best.map(|best| &best.cause) {
        None => Remedy::Investigate,
        Some(Cause::Flag(_)) => Remedy::FlagDisable,
        Some(Cause::Commit(sha)) => case
            .commits
            .iter()
            .find(|commit| commit.sha == *sha)
            .map_or(Remedy::Rollback, |c| of_commit(case, c)),
        Some(Cause::Outside(outside)) => match outside {
            Outside::Provider | Outside::Platform | Outside::Dependency => {
                if has_healthy_sibling(case) {
                    Remedy::Failover
                } else {
                    Remedy::EscalateUpstream
                }
            }
            Outside::Node => Remedy::Reschedule,
            Outside::Demand => Remedy::ScaleUp,
            Outside::Expiry => Remedy::RotateCredentials,
        },
    }
}

fn of_commit(case: &Case, commit: &Commit) -> Remedy {
    let kinds: Vec<FileKind> = commit.files.iter().map(|file| FileKind::of(file)).collect();
    if !kinds.is_empty() && kinds.iter().all(|kind| *kind == FileKind::Configuration) {
        return Remedy::ConfigRevert;
    }
    // A schema that has been changed holds data that the release before does not understand.
    if kinds.contains(&FileKind::Migration) {
        return Remedy::RollForward;
    }
    // A release with several changes: going back takes the innocent ones along.
    let shares_release = case.deploys.iter().any(|own| {
        own.sha == commit.sha
            && case.deploys.iter().any(|other| {
                other.sha != own.sha
                    && other.service == own.service
                    && (other.at_ms == own.at_ms || (!own.version.is_empty() && other.version == own.version))
            })
    });
    if shares_release { Remedy::RollForward } else { Remedy::Rollback }
}

/// The same thing is well in another region.
fn has_healthy_sibling(case: &Case) -> bool {
    case.status.iter().filter(|event| !event.healthy).any(|sick| {
        case.status
            .iter()
            .any(|event| event.healthy && event.subject == sick.subject && event.region != sick.region)
    })
}
