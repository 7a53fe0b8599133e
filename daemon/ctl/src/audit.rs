//! The audit chain: read it, have it recomputed, carry it away.

use crate::cli::Audit;
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::offline;
use crate::output::{self, say};
use crate::text::{Style, instant, plain, short, short_digest};
use medic_core::Digest;
use medic_core::audit::{ChainHead, ChainVerifier, ChainedRecord};
use medic_proto::v1;
use serde::Serialize;
use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::Path;
use tokio_stream::StreamExt as _;

pub async fn run(
    client: impl FnOnce() -> Result<Client, Failure>,
    command: Audit,
    json: bool,
) -> Result<Exit, Failure> {
    match command {
        Audit::Verify { file: Some(file), rest } => {
            let args = std::iter::once(file.into_os_string()).chain(rest);
            let json = json.then(|| "--json".into());
            match offline::hand_over(["audit", "verify"], args.chain(json))? {}
        }
        Audit::Verify { file: None, .. } => verify(&client()?, json).await,
        Audit::List { from, limit, incident } => {
            let request = v1::ListAuditRequest { from_seq: from, limit, incident_id: incident };
            list(&client()?, request, json).await
        }
        Audit::Export { file } => export(&client()?, file.as_deref()).await,
        Audit::Anchor { key, out, dir } => {
            let mut args = [
                offline::option("--dir", dir.clone()),
                offline::option("--key", key),
                offline::option("--out", out),
            ]
            .concat();
            if dir.is_none() {
                args.extend(stands(&journal(&client()?).await?)?);
            }
            // Signed here, not there: the daemon's machine holds no key that would make it believed.
            match offline::hand_over(["audit", "anchor"], args)? {}
        }
        Audit::Keygen { file } => match offline::hand_over(["audit", "keygen"], [file.into()])? {},
    }
}

async fn journal(client: &Client) -> Result<v1::Journal, Failure> {
    let status = client.status().get(v1::GetStatusRequest {}).await?.into_inner();
    Ok(status.journal.unwrap_or_default())
}

/// Where the daemon's chain ends now.
fn head(journal: &v1::Journal) -> Result<ChainHead, Failure> {
    let hash = Digest::parse(&journal.audit_hash)
        .ok_or_else(|| Failure::new("AUDIT_BROKEN", "the daemon names no head of its chain"))?;
    Ok(ChainHead { seq: journal.audit_seq, hash })
}

/// What an anchor says, as medicd takes it.
fn stands(journal: &v1::Journal) -> Result<Vec<OsString>, Failure> {
    let head = head(journal)?;
    let store = Some(journal.store_id.as_str()).filter(|id| !id.is_empty());
    let store = store.ok_or_else(|| Failure::new("AUDIT_BROKEN", "the daemon does not name its store"))?;
    Ok([
        offline::option("--head", Some(format!("{}:{}", head.seq, head.hash))),
        offline::option("--store", Some(store)),
        offline::option("--at", Some(journal.latest_at_ms.to_string())),
    ]
    .concat())
}

async fn list(client: &Client, request: v1::ListAuditRequest, json: bool) -> Result<Exit, Failure> {
    let mut records = client.audit().list(request).await?.into_inner();
    let style = Style::of_stdout();
    while let Some(record) = records.next().await {
        let record = record?;
        if json {
            output::record(&record)?;
            continue;
        }
        let rule = record.rule.as_ref().map(|rule| format!(" by {}", plain(rule))).unwrap_or_default();
        output::line(&format!(
            "{:>6}  {}  {:<10}  {:<16}  {}{rule}  {}",
            record.seq,
            instant(record.at_ms),
            plain(&record.kind),
            plain(&record.actor),
            short(&record.subject, 80),
            style.dim(&short(&record.detail_json, 120))
        ))?;
    }
    Ok(Exit::Done)
}

async fn verify(client: &Client, json: bool) -> Result<Exit, Failure> {
    let answer = client.audit().verify(v1::VerifyAuditRequest {}).await?.into_inner();
    if json {
        output::document(&answer)?;
    } else if answer.intact {
        say!("intact: {} records, head {}", answer.records, plain(&answer.head_hash));
    } else {
        say!(
            "BROKEN after record {} ({}): {}",
            answer.head_seq,
            short_digest(&answer.head_hash),
            plain(&answer.fault)
        );
    }
    Ok(if answer.intact { Exit::Done } else { Exit::Failed })
}

/// Version of the export's form: a header line, then one record a line.
const EXPORT_VERSION: u32 = 1;

#[derive(Serialize)]
struct Header {
    medic_audit: u32,
    count: u64,
    head: ChainHead,
}

/// The chain up to the head that stands now. Recomputed on the way: an export that does not verify is said to be one,
/// not handed over in silence.
async fn export(client: &Client, file: Option<&Path>) -> Result<Exit, Failure> {
    let head = head(&journal(client).await?)?;
    let mut out: Box<dyn Write> = match file {
        Some(path) => {
            // An older export is evidence too.
            let created = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
            let created = created
                .map_err(|error| Failure::new("IO", format!("cannot create {}: {error}", path.display())))?;
            Box::new(BufWriter::new(created))
        }
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    let header = Header { medic_audit: EXPORT_VERSION, count: head.seq, head: head.clone() };
    let header =
        serde_json::to_string(&header).map_err(|error| Failure::new("INTERNAL", error.to_string()))?;
    writeln!(out, "{header}")?;
    let mut verifier = ChainVerifier::default();
    let mut fault = None;
    let mut written: u64 = 0;
    if head.seq > 0 {
        let request = v1::ListAuditRequest { from_seq: 1, limit: head.seq, incident_id: String::new() };
        let mut records = client.audit().list(request).await?.into_inner();
        while let Some(record) = records.next().await {
            let line = record?.export_line;
            writeln!(out, "{line}")?;
            written += 1;
            if fault.is_none() {
                fault = check(&mut verifier, &line).err();
            }
        }
    }
    out.flush()?;
    let fault = fault.or_else(|| verifier.finish(Some(&head)).err().map(|fault| fault.to_string()));
    match fault {
        None => {
            eprintln!("{written} records, intact, head {}", head.hash);
            Ok(Exit::Done)
        }
        Some(why) => Err(Failure::new("AUDIT_BROKEN", format!("{written} records written, but: {why}"))),
    }
}

fn check(verifier: &mut ChainVerifier, line: &str) -> Result<(), String> {
    let record: ChainedRecord =
        serde_json::from_str(line).map_err(|error| format!("a record is no record: {error}"))?;
    verifier.push(&record).map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::TimestampMs;
    use medic_core::audit::AuditRecord;

    #[test]
    fn an_anchor_says_store_head_and_time_and_nothing_is_signed_that_names_none() {
        let hash = format!("sha256:{}", "a".repeat(64));
        let journal = v1::Journal {
            audit_seq: 7,
            audit_hash: hash.clone(),
            store_id: "st-1".into(),
            latest_at_ms: 1_000,
            ..Default::default()
        };
        let said = stands(&journal).unwrap();
        assert_eq!(said, ["--head", &format!("7:{hash}"), "--store", "st-1", "--at", "1000"]);
        stands(&v1::Journal { store_id: String::new(), ..journal.clone() }).unwrap_err();
        stands(&v1::Journal { audit_hash: "none".into(), ..journal }).unwrap_err();
    }

    #[test]
    fn export_notices_a_record_that_was_changed_on_the_way() {
        let record = |detail: &str| AuditRecord {
            at: TimestampMs(1),
            incident: None,
            actor: "host".into(),
            kind: "effect".into(),
            subject: "s".into(),
            rule: None,
            detail: serde_json::json!({ "text": detail }),
        };
        let (one, head) = ChainHead::genesis().append(record("one"));
        let (two, _) = head.append(record("two"));
        let lines = [serde_json::to_string(&one).unwrap(), serde_json::to_string(&two).unwrap()];
        let verdict = |lines: &[String]| {
            let mut verifier = ChainVerifier::default();
            lines.iter().try_for_each(|line| check(&mut verifier, line))
        };
        assert_eq!(verdict(&lines), Ok(()));
        let forged = [lines[0].clone(), lines[1].replace("two", "owt")];
        assert!(verdict(&forged).unwrap_err().contains("record 2"));
        assert!(verdict(&lines[1..]).is_err(), "a chain that begins at 2 lacks its beginning");
    }
}
