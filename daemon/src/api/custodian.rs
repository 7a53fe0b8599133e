//! Who keeps the store and can copy it while it is written. The agents know no copies, so this is no port of theirs.

use async_trait::async_trait;
use medic_core::Fault;
use std::path::PathBuf;

#[async_trait]
pub trait Custodian: Send + Sync + 'static {
    /// Names this store and no other; anchors carry it.
    fn store_id(&self) -> String;
    /// Copies the store as of now into the new directory `to`. Writes go on meanwhile.
    async fn backup(&self, to: PathBuf) -> Result<(), Fault>;
}
