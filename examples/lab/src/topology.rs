//! Who is in the shop and who calls whom. Owns names and edges; never an address.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A service of the shop.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Gateway,
    Checkout,
    Inventory,
    Payments,
    Store,
}

impl Service {
    /// Every service, callers before callees.
    pub const ALL: [Self; 5] = [Self::Gateway, Self::Checkout, Self::Inventory, Self::Payments, Self::Store];

    /// The name in labels, logs and paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Checkout => "checkout",
            Self::Inventory => "inventory",
            Self::Payments => "payments",
            Self::Store => "store",
        }
    }

    /// The services this one calls for each request.
    pub const fn callees(self) -> &'static [Self] {
        match self {
            Self::Gateway => &[Self::Checkout],
            Self::Checkout => &[Self::Inventory, Self::Payments],
            Self::Inventory | Self::Payments => &[Self::Store],
            Self::Store => &[],
        }
    }

    /// The path of the service's one business operation (POST of an order).
    pub const fn path(self) -> &'static str {
        match self {
            Self::Gateway => "/buy",
            Self::Checkout => "/order",
            Self::Inventory => "/reserve",
            Self::Payments => "/charge",
            Self::Store => "/record",
        }
    }

    /// Workers a service has on its first start. Checkout's few are ample for small carts and too few for large ones.
    pub const fn workers_at_first(self) -> u32 {
        match self {
            Self::Checkout => 3,
            Self::Gateway | Self::Inventory | Self::Payments | Self::Store => 32,
        }
    }
}

/// Every (caller, callee) pair.
pub fn edges() -> Vec<(Service, Service)> {
    Service::ALL.iter().flat_map(|caller| caller.callees().iter().map(|callee| (*caller, *callee))).collect()
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == name)
            .ok_or_else(|| anyhow::anyhow!("no service is named {name:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_graph_is_the_shop_and_has_no_cycle() {
        let names: Vec<_> = edges().iter().map(|(from, to)| format!("{from}>{to}")).collect();
        assert_eq!(
            names,
            [
                "gateway>checkout",
                "checkout>inventory",
                "checkout>payments",
                "inventory>store",
                "payments>store"
            ]
        );
        assert!(edges().iter().all(|(from, to)| from < to), "ALL is a topological order");
    }

    #[test]
    fn names_round_trip_and_unknown_ones_are_refused() {
        for service in Service::ALL {
            assert_eq!(service.name().parse::<Service>().unwrap(), service);
            assert_eq!(serde_json::to_value(service).unwrap(), service.name());
        }
        assert!("Gateway".parse::<Service>().is_err());
    }
}
