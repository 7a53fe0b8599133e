//! What needs the store or the sandbox is medicd's, found beside `medic`, so that people type one name.

use crate::failure::Failure;
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Becomes `medicd <command> <args>`; its exit status is ours.
pub fn hand_over(
    command: impl IntoIterator<Item = &'static str>,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Infallible, Failure> {
    let beside = std::env::current_exe().ok().and_then(|own| beside(&own)).filter(|path| path.is_file());
    let program = beside.unwrap_or_else(|| PathBuf::from("medicd"));
    let error = Command::new(&program).args(command).args(args).exec();
    let message = format!("cannot start {}: {error}; install medicd beside medic", program.display());
    Err(Failure::new("NO_MEDICD", message))
}

/// `--name value` for medicd, when there is a value.
pub fn option(name: &str, value: Option<impl Into<OsString>>) -> Vec<OsString> {
    value.map(|value| vec![OsString::from(name), value.into()]).unwrap_or_default()
}

fn beside(own: &Path) -> Option<PathBuf> {
    // A link in a directory of programs leads to where both are installed.
    let own = own.canonicalize().unwrap_or_else(|_| own.to_owned());
    own.parent().map(|folder| folder.join("medicd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medicd_is_looked_for_beside_medic() {
        assert_eq!(beside(Path::new("/nowhere/bin/medic")), Some(PathBuf::from("/nowhere/bin/medicd")));
    }
}
