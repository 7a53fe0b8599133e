//! The open store, as operators may handle it while it serves.

use crate::api::custodian::Custodian;
use async_trait::async_trait;
use medic_core::{Fault, FaultKind};
use medic_store::{BackupError, Store};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug)]
pub struct Custody(Arc<Store>);

impl Custody {
    pub fn new(store: Arc<Store>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Custodian for Custody {
    fn store_id(&self) -> String {
        self.0.id().to_owned()
    }

    async fn backup(&self, to: PathBuf) -> Result<(), Fault> {
        let store = self.0.clone();
        // Copies files: off the runtime's threads.
        let copied = tokio::task::spawn_blocking(move || store.backup(&to)).await;
        let copied =
            copied.map_err(|error| Fault::new(FaultKind::Internal, "INTERNAL", error.to_string()))?;
        copied.map_err(|error| {
            let kind = match &error {
                BackupError::Exists { .. } => FaultKind::InvalidArguments,
                _ => FaultKind::Storage,
            };
            Fault::new(kind, error.code(), error.to_string())
        })
    }
}
