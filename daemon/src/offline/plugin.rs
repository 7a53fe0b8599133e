//! Plugin files: review, signing, the folder they are installed into.
//!
//! Owns the command line of `medic plugin`. What needs a running daemon is `medic tools`.

mod build;
mod compile;
mod new;
mod place;
mod review;
mod run;
mod signing;
mod stand;
mod test;

use clap::Subcommand;
use medicd::Config;
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum Command {
    /// What a component could do, from its bytes alone.
    Audit(review::Audit),
    /// Every import in words, and whether the component would be loaded. Exit status 1 when it would not.
    Check(review::Check),
    /// What a second component could do that a first could not. Exit status 1 when it could do more.
    Diff(review::Diff),
    /// Makes a key pair for signing: FILE, which only its owner can read, and FILE.pub. Prints the public key.
    Keygen { file: std::path::PathBuf },
    /// Signs a component: writes FILE.sig beside it.
    Sign(signing::Sign),
    /// Holds FILE.sig against the component and public keys. Exit status 1 when none of them signed these bytes.
    Verify(signing::Verify),
    /// Checks, compiles and records a component and puts it into the plugin folder; a running daemon loads it by itself.
    Install(place::Install),
    /// What a daemon would load now, and why it would not load the rest.
    List(place::List),
    /// Writes what a tool left beside its answer to standard output.
    Artifact(place::Artifact),
    /// Makes the folder of a new plugin, with a tool that works and tests that pass.
    New(new::New),
    /// Builds a plugin's component from its sources.
    Build(build::Build),
    /// Runs a plugin's native tests, then its component in the real sandbox, as its tests/host.toml says.
    Test(test::Test),
    /// Calls one tool of a component against a grant file. What would change something is rehearsed only.
    Run(run::Run),
    /// Compiles standard input to standard output within limits: how the daemon compiles.
    #[command(hide = true)]
    Compile,
}

pub fn run(command: Command, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Audit(asked) => review::audit(asked, config),
        Command::Check(asked) => review::check(&asked),
        Command::Diff(asked) => review::diff(&asked),
        Command::Keygen { file } => signing::keygen(&file),
        Command::Sign(asked) => signing::sign(&asked),
        Command::Verify(asked) => signing::verify(&asked),
        Command::Install(asked) => place::install(asked, config),
        Command::List(asked) => place::list(asked, config),
        Command::Artifact(asked) => place::artifact(asked, config),
        Command::New(asked) => new::new(&asked),
        Command::Build(asked) => build::build(&asked),
        Command::Test(asked) => test::test(&asked),
        Command::Run(asked) => run::run(&asked, config),
        Command::Compile => compile::run(),
    }
}
