//! What is asked of others: metrics, logs, knowledge, a model, people.

use super::breaker::Breaker;
use async_trait::async_trait;
use medic_core::effect::Notice;
use medic_core::{EffectId, Fault, TimeRange, TimestampMs};
use medic_ports::knowledge::{KnowledgeAnswer, KnowledgeQuery};
use medic_ports::logs::{LogAnswer, LogQuery};
use medic_ports::metrics::{Sample, Series};
use medic_ports::model::Prompt;
use medic_ports::{Knowledge, Logs, Metrics, Model, Notifier};
use std::sync::Arc;

pub(super) struct GuardedMetrics {
    pub inner: Arc<dyn Metrics>,
    pub breaker: Arc<Breaker>,
}

#[async_trait]
impl Metrics for GuardedMetrics {
    async fn query(&self, promql: &str, at: Option<TimestampMs>) -> Result<Vec<Sample>, Fault> {
        self.breaker.call(self.inner.query(promql, at)).await
    }
    async fn query_range(&self, promql: &str, range: TimeRange, step_ms: u64) -> Result<Vec<Series>, Fault> {
        self.breaker.call(self.inner.query_range(promql, range, step_ms)).await
    }
    async fn ready(&self) -> Result<(), Fault> {
        self.breaker.call(self.inner.ready()).await
    }
}

pub(super) struct GuardedLogs {
    pub inner: Arc<dyn Logs>,
    pub breaker: Arc<Breaker>,
}

#[async_trait]
impl Logs for GuardedLogs {
    async fn search(&self, query: &LogQuery) -> Result<LogAnswer, Fault> {
        self.breaker.call(self.inner.search(query)).await
    }
    async fn services(&self, window: TimeRange) -> Result<Vec<String>, Fault> {
        self.breaker.call(self.inner.services(window)).await
    }
}

pub(super) struct GuardedKnowledge {
    pub inner: Arc<dyn Knowledge>,
    pub breaker: Arc<Breaker>,
}

#[async_trait]
impl Knowledge for GuardedKnowledge {
    async fn search(&self, query: &KnowledgeQuery) -> Result<KnowledgeAnswer, Fault> {
        self.breaker.call(self.inner.search(query)).await
    }
}

pub(super) struct GuardedModel {
    pub inner: Arc<dyn Model>,
    pub breaker: Arc<Breaker>,
}

#[async_trait]
impl Model for GuardedModel {
    fn name(&self) -> String {
        self.inner.name()
    }
    async fn complete(&self, prompt: &Prompt) -> Result<String, Fault> {
        self.breaker.call(self.inner.complete(prompt)).await
    }
}

pub(super) struct GuardedNotifier {
    pub inner: Arc<dyn Notifier>,
    pub breaker: Arc<Breaker>,
}

#[async_trait]
impl Notifier for GuardedNotifier {
    async fn notify(&self, id: &EffectId, notice: &Notice) -> Result<(), Fault> {
        self.breaker.call(self.inner.notify(id, notice)).await
    }
}
