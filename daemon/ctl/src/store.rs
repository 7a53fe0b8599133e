//! The daemon's memory: copied by the daemon while it serves, otherwise medicd's work.

use crate::cli::{Handed, Store};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::offline;
use crate::output::{self, say};
use crate::text::plain;
use medic_proto::v1;

pub async fn run(
    client: impl FnOnce() -> Result<Client, Failure>,
    command: Store,
    json: bool,
) -> Result<Exit, Failure> {
    match command {
        Store::Check(Handed { mut args }) => {
            // Before the words for medicd it was taken for ours.
            if json {
                args.push("--json".into());
            }
            match offline::hand_over(["store", "check"], args)? {}
        }
        Store::Restore(Handed { args }) => match offline::hand_over(["store", "restore"], args)? {},
        Store::Export(Handed { args }) => match offline::hand_over(["store", "export"], args)? {},
        Store::Backup { to, dir: Some(dir) } => {
            let args = [offline::option("--dir", Some(dir)), offline::option("--to", Some(to))].concat();
            match offline::hand_over(["store", "backup"], args)? {}
        }
        Store::Backup { to, dir: None } => {
            let to = to.to_str().map(str::to_owned);
            let to = to.ok_or_else(|| Failure::usage("the path of a backup must be text"))?;
            let copied = client()?.store().backup(v1::BackupStoreRequest { to }).await?.into_inner();
            if json {
                output::document(&copied)?;
            } else {
                let (to, head) = (plain(&copied.to), plain(&copied.audit_hash));
                say!(
                    "copied to {to}: commit {} or later, audit record {}, {head}",
                    copied.commit_seq,
                    copied.audit_seq
                );
            }
            Ok(Exit::Done)
        }
    }
}
