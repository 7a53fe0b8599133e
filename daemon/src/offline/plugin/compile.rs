//! The compiling process: standard input to standard output, limited before the first byte is read.

use crate::offline::coded;
use std::io;
use std::process::ExitCode;

pub fn run() -> anyhow::Result<ExitCode> {
    medic_host::compile_for_parent(&mut io::stdin().lock(), &mut io::stdout().lock())
        .map_err(|error| coded(error.code, error))?;
    Ok(ExitCode::SUCCESS)
}
