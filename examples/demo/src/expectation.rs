//! What is expected of each fault, in one place: where the blame lies, what treats it, how the story ends.

use medic_lab::{Fault, Service};

/// How a story ends when it ends well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// RESOLVED after a verified remedy, and the lab is healthy.
    Healed,
    /// The remedy did not help, was undone, the undoing was verified, and a human was called.
    RolledBackAndEscalated,
    /// Nothing happens at all.
    Quiet,
}

/// A mutating call on the lab's admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub service: Service,
    pub method: &'static str,
    pub path: &'static str,
}

/// A metric that shows the fault and its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chart {
    pub title: &'static str,
    pub promql: &'static str,
    pub unit: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expectation {
    pub fault: Fault,
    pub component: &'static str,
    /// In the words of the taxonomy.
    pub category: &'static str,
    pub tool: &'static str,
    /// People whose word the plan needs.
    pub approvers: u32,
    /// The one deed that may be done to the lab, and nothing else; `None` when nothing may be.
    pub operation: Option<Operation>,
    pub ending: Ending,
    pub chart: Chart,
}

const fn operation(service: Service, method: &'static str, path: &'static str) -> Option<Operation> {
    Some(Operation { service, method, path })
}

const RESTART: &str = "/admin/restart";

const FAILED_ORDERS: Chart = Chart {
    title: "orders that fail, as the gateway answers them",
    promql: "100 * (sum(rate(http_requests_total{job=\"lab\",service=\"gateway\",code=~\"5..\"}[5s])) or vector(0)) \
             / sum(rate(http_requests_total{job=\"lab\",service=\"gateway\"}[5s]))",
    unit: "%",
};
const ORDER_TIME: Chart = Chart {
    title: "time to answer an order, mean at the gateway",
    promql: "1000 * sum(rate(http_request_duration_seconds_sum{job=\"lab\",service=\"gateway\"}[5s])) \
             / sum(rate(http_request_duration_seconds_count{job=\"lab\",service=\"gateway\"}[5s]))",
    unit: "ms",
};
const INVENTORY_MEMORY: Chart = Chart {
    title: "memory of inventory",
    promql: "max(process_resident_memory_bytes{job=\"lab\",service=\"inventory\"}) / 1048576",
    unit: "MiB",
};
const CHECKOUT_QUEUE: Chart = Chart {
    title: "orders that wait for a worker of checkout",
    promql: "max(avg_over_time(worker_queue_depth{job=\"lab\",service=\"checkout\"}[3s]))",
    unit: "",
};
const STORE_QUOTA: Chart = Chart {
    title: "storage of store, share of its quota",
    promql: "100 * max(storage_used_bytes{job=\"lab\",service=\"store\"} / storage_quota_bytes{job=\"lab\",service=\"store\"})",
    unit: "%",
};

/// What is expected of a fault.
pub const fn expectation_of(fault: Fault) -> Expectation {
    let healed = Expectation {
        fault,
        component: "",
        category: "",
        tool: "restart_service",
        approvers: 1,
        operation: None,
        ending: Ending::Healed,
        chart: FAILED_ORDERS,
    };
    match fault {
        Fault::BadConfig => Expectation {
            component: "checkout",
            category: "bad-config",
            tool: "rollback_config",
            operation: operation(Service::Checkout, "PUT", "/admin/config"),
            ..healed
        },
        Fault::MemoryLeak => Expectation {
            component: "inventory",
            category: "memory-leak",
            operation: operation(Service::Inventory, "POST", RESTART),
            chart: INVENTORY_MEMORY,
            ..healed
        },
        Fault::DependencyDown => Expectation {
            component: "store",
            category: "dependency-down",
            operation: operation(Service::Store, "POST", RESTART),
            ..healed
        },
        Fault::Latency => Expectation {
            component: "payments",
            category: "latency",
            operation: operation(Service::Payments, "POST", RESTART),
            chart: ORDER_TIME,
            ..healed
        },
        Fault::ErrorBurst => Expectation {
            component: "inventory",
            category: "error-burst",
            operation: operation(Service::Inventory, "POST", RESTART),
            ..healed
        },
        Fault::PoolExhausted => Expectation {
            component: "checkout",
            category: "pool-exhausted",
            tool: "scale_workers",
            operation: operation(Service::Checkout, "PUT", "/admin/workers"),
            chart: CHECKOUT_QUEUE,
            ..healed
        },
        Fault::QuotaFull => Expectation {
            component: "store",
            category: "storage-full",
            tool: "purge_expired",
            approvers: 2,
            operation: operation(Service::Store, "DELETE", "/admin/storage/expired"),
            chart: STORE_QUOTA,
            ..healed
        },
        Fault::Stubborn => Expectation {
            component: "checkout",
            category: "bad-config",
            tool: "rollback_config",
            operation: operation(Service::Checkout, "PUT", "/admin/config"),
            ending: Ending::RolledBackAndEscalated,
            ..healed
        },
        Fault::None => Expectation { tool: "", approvers: 0, ending: Ending::Quiet, ..healed },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blame_lies_where_the_fault_lives() {
        for fault in Fault::ALL {
            let expected = expectation_of(fault);
            assert_eq!(expected.fault, fault);
            let home = fault.service().map_or("", Service::name);
            assert_eq!(expected.component, home, "{fault}");
            let treated = expected.operation.map_or("", |operation| operation.service.name());
            assert_eq!(treated, home, "{fault}: a remedy elsewhere would be harm");
        }
    }

    #[test]
    fn only_what_deletes_needs_two_people() {
        for fault in Fault::ALL {
            let expected = expectation_of(fault);
            let deletes = expected.operation.is_some_and(|operation| operation.method == "DELETE");
            assert_eq!(expected.approvers == 2, deletes, "{fault}");
            assert_eq!(expected.ending == Ending::Quiet, expected.operation.is_none(), "{fault}");
        }
    }
}
