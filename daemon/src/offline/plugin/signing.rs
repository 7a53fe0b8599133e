//! Signing keys and detached signatures. Keys are those of the audit anchors: files of 64 hex digits.

use super::review::read;
use crate::offline::coded;
use anyhow::Context;
use clap::Args;
use medic_core::Digest;
use medic_store::{AnchorError, anchor};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
#[command(
    after_help = "Example:\n  medic plugin keygen release.key\n  medic plugin sign restart.wasm --key release.key\n  \
                        The grant file then names the public key: [trust.release] key = \"…\""
)]
pub struct Sign {
    file: PathBuf,
    /// Private key file of `medic plugin keygen`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

#[derive(Args)]
pub struct Verify {
    file: PathBuf,
    /// File of a public key. May be given more than once.
    #[arg(long, value_name = "KEY", required = true)]
    trust: Vec<PathBuf>,
}

fn refused(error: AnchorError) -> anyhow::Error {
    coded(error.code(), error)
}

pub fn keygen(file: &Path) -> anyhow::Result<ExitCode> {
    let key = anchor::generate(file).map_err(refused)?;
    let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(io::stdout(), "{hex}")?;
    let shown = file.display();
    writeln!(
        io::stderr(),
        "{shown} signs; the key printed above goes under [trust.NAME] into the grant file"
    )?;
    Ok(ExitCode::SUCCESS)
}

pub fn sign(asked: &Sign) -> anyhow::Result<ExitCode> {
    let key = anchor::read_signing_key(&asked.key).map_err(refused)?;
    let digest = Digest::of_bytes(&read(&asked.file)?);
    let path = medic_host::signature_beside(&asked.file);
    std::fs::write(&path, medic_host::sign(&digest, &key))
        .with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(io::stderr(), "signed {digest}: {}", path.display())?;
    Ok(ExitCode::SUCCESS)
}

pub fn verify(asked: &Verify) -> anyhow::Result<ExitCode> {
    let mut trusted = BTreeMap::new();
    for path in &asked.trust {
        trusted.insert(path.display().to_string(), anchor::read_verifying_key(path).map_err(refused)?);
    }
    let digest = Digest::of_bytes(&read(&asked.file)?);
    let path = medic_host::signature_beside(&asked.file);
    let detached = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))
        .context("SIGNATURE_MISSING")?;
    let signer = medic_host::verify_signature(&digest, &detached, &trusted)
        .map_err(|error| coded(error.code, error))?;
    writeln!(io::stdout(), "{digest} is signed by {signer}")?;
    Ok(ExitCode::SUCCESS)
}
