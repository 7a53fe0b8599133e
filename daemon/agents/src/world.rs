//! Everything the agents reach the world through, in one bundle.

use crate::safe_mode::SafeMode;
use crate::taxonomy::Taxonomy;
use medic_core::grouping::GroupingPolicy;
use medic_core::{EnvelopeId, IncidentId, Policy};
use medic_ports::{Clock, Journal, Knowledge, Logs, Metrics, Model, Notifier, ToolHost};
use std::sync::Arc;

#[derive(Clone)]
pub struct Ports {
    pub journal: Arc<dyn Journal>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn Metrics>,
    pub logs: Arc<dyn Logs>,
    pub tools: Arc<dyn ToolHost>,
    pub notifier: Arc<dyn Notifier>,
    /// `None`: no runbooks are consulted.
    pub knowledge: Option<Arc<dyn Knowledge>>,
    /// `None`: no model is asked.
    pub model: Option<Arc<dyn Model>>,
}

/// What every worker is given.
pub(crate) struct World {
    pub ports: Ports,
    pub policy: Policy,
    pub grouping: GroupingPolicy,
    pub taxonomy: Taxonomy,
    pub safe_mode: SafeMode,
}

impl World {
    pub fn now(&self) -> medic_core::TimestampMs {
        self.ports.clock.now()
    }

    /// A ULID whose time is the clock port's.
    fn ulid(&self) -> String {
        ulid::Ulid::from_parts(self.now().0, ulid::Ulid::new().random()).to_string()
    }
    pub fn new_incident_id(&self) -> IncidentId {
        IncidentId::new(self.ulid())
    }
    pub fn new_envelope_id(&self) -> EnvelopeId {
        EnvelopeId::new(self.ulid())
    }
}
