//! The faults: what each is called, where it lives, what it looks like and what ends it.
//! What a fault does is in the service's own modules; here are only its words.

use crate::topology::Service;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A fault that can be injected.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum Fault {
    /// A bad configuration is rolled out on checkout.
    BadConfig,
    /// Inventory leaks memory.
    MemoryLeak,
    /// Store stops listening.
    DependencyDown,
    /// Payments answers slowly.
    Latency,
    /// Inventory's stock cache is poisoned.
    ErrorBurst,
    /// Checkout has too few workers for the carts it gets.
    PoolExhausted,
    /// Store's segments reach its quota.
    QuotaFull,
    /// Looks like a bad configuration, but putting the previous one back does not help.
    Stubborn,
    /// Nothing but the shop's ordinary noise.
    None,
}

impl Fault {
    /// Every fault, the quiet one last.
    pub const ALL: [Self; 9] = [
        Self::BadConfig,
        Self::MemoryLeak,
        Self::DependencyDown,
        Self::Latency,
        Self::ErrorBurst,
        Self::PoolExhausted,
        Self::QuotaFull,
        Self::Stubborn,
        Self::None,
    ];

    /// The name on the command line and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadConfig => "bad_config",
            Self::MemoryLeak => "memory_leak",
            Self::DependencyDown => "dependency_down",
            Self::Latency => "latency",
            Self::ErrorBurst => "error_burst",
            Self::PoolExhausted => "pool_exhausted",
            Self::QuotaFull => "quota_full",
            Self::Stubborn => "stubborn",
            Self::None => "none",
        }
    }

    /// The service that is at fault; `None` for the quiet run.
    pub const fn service(self) -> Option<Service> {
        match self {
            Self::BadConfig | Self::PoolExhausted | Self::Stubborn => Some(Service::Checkout),
            Self::MemoryLeak | Self::ErrorBurst => Some(Service::Inventory),
            Self::DependencyDown | Self::QuotaFull => Some(Service::Store),
            Self::Latency => Some(Service::Payments),
            Self::None => None,
        }
    }

    /// What a responder sees.
    pub const fn symptom(self) -> &'static str {
        match self {
            Self::BadConfig => {
                "checkout's calls to payments time out after 1 ms; checkout and gateway answer 504/502"
            }
            Self::MemoryLeak => {
                "inventory's resident memory grows 16 MiB a second up to 300 MiB, its answers get slower"
            }
            Self::DependencyDown => {
                "connections to store are refused; inventory, payments and their callers answer 502"
            }
            Self::Latency => "payments needs 300 to 500 ms longer; checkout and gateway slow down with it",
            Self::ErrorBurst => {
                "inventory answers 500 for about 60 % of requests with a log line not seen before"
            }
            Self::PoolExhausted => "checkout's workers are all busy, its queue grows, it answers 503",
            Self::QuotaFull => "store refuses writes with \"quota exceeded\"; everyone above it answers 502",
            Self::Stubborn => "as bad_config",
            Self::None => "rare single 500s, jitter, a harmless warning now and then; no alert",
        }
    }

    /// What ends it.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::BadConfig => "PUT the previous configuration back on checkout",
            Self::MemoryLeak | Self::ErrorBurst => "restart inventory",
            Self::DependencyDown => "restart store",
            Self::Latency => "restart payments",
            Self::PoolExhausted => "PUT 16 or more workers on checkout",
            Self::QuotaFull => "DELETE store's expired segments",
            Self::Stubborn => "none within the admin API",
            Self::None => "nothing to cure",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|fault| fault.name()).collect();
            anyhow::anyhow!("no fault is named {name:?}; there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_everywhere() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>().unwrap(), fault);
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
            let on_the_command_line = clap::ValueEnum::to_possible_value(&fault).unwrap();
            assert_eq!(on_the_command_line.get_name(), fault.name());
        }
    }

    #[test]
    fn only_the_quiet_run_has_no_service() {
        let homeless: Vec<_> = Fault::ALL.into_iter().filter(|fault| fault.service().is_none()).collect();
        assert_eq!(homeless, [Fault::None]);
    }
}
