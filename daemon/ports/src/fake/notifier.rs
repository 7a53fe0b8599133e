//! Remembers what people were told.

use super::script::Script;
use crate::Notifier;
use async_trait::async_trait;
use medic_core::effect::Notice;
use medic_core::{EffectId, Fault};
use tokio::sync::watch;

pub struct FakeNotifier {
    /// Asked with the notice's text; an answer means that it went out.
    pub script: Script<()>,
    sent: watch::Sender<Vec<(EffectId, Notice)>>,
}

impl Default for FakeNotifier {
    fn default() -> Self {
        Self { script: Script::default(), sent: watch::Sender::new(Vec::new()) }
    }
}

impl FakeNotifier {
    pub fn new() -> Self {
        Self::default()
    }

    /// Every notice that went out, in order, repeats included.
    pub fn sent(&self) -> Vec<(EffectId, Notice)> {
        self.sent.borrow().clone()
    }

    /// Returns once a notice whose text contains `needle` went out.
    pub async fn wait_for(&self, needle: &str) {
        let mut sent = self.sent.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = sent.wait_for(|sent| sent.iter().any(|(_, notice)| notice.text.contains(needle))).await;
    }
}

#[async_trait]
impl Notifier for FakeNotifier {
    async fn notify(&self, id: &EffectId, notice: &Notice) -> Result<(), Fault> {
        self.script.ask(&notice.text).await?;
        self.sent.send_modify(|sent| sent.push((id.clone(), notice.clone())));
        Ok(())
    }
}
