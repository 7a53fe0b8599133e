//! An incident as a file.

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::offline;
use medic_proto::v1;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tokio_stream::StreamExt as _;

/// From the daemon; with `dir`, from the store of one that does not run.
pub async fn run(
    client: impl FnOnce() -> Result<Client, Failure>,
    id: String,
    to: Option<PathBuf>,
    dir: Option<PathBuf>,
) -> Result<Exit, Failure> {
    if dir.is_some() {
        let args = [vec![id.into()], offline::option("--to", to), offline::option("--dir", dir)].concat();
        match offline::hand_over(["incidents", "export"], args)? {}
    }
    let request = v1::ExportIncidentRequest { incident_id: id };
    let mut pieces = client()?.incidents().export(request).await?.into_inner();
    // Made only once the daemon has begun to answer: a refusal leaves no empty file.
    let Some(first) = pieces.next().await.transpose()? else {
        return Err(Failure::new("TIMEOUT", "the daemon sent nothing"));
    };
    let mut out = Out::new(to.as_deref())?;
    let mut piece = first;
    loop {
        out.write(&piece.data)?;
        match pieces.next().await.transpose() {
            Ok(Some(next)) => piece = next,
            Ok(None) => break,
            Err(status) => {
                out.discard();
                return Err(status.into());
            }
        }
    }
    out.done()?;
    if let Some(to) = to {
        eprintln!("written: medic replay {}", to.display());
    }
    Ok(Exit::Done)
}

/// A new file, or standard output.
struct Out<'a> {
    writer: BufWriter<Box<dyn Write>>,
    file: Option<(File, &'a Path)>,
}

impl<'a> Out<'a> {
    fn new(to: Option<&'a Path>) -> Result<Self, Failure> {
        let Some(path) = to else {
            return Ok(Self { writer: BufWriter::new(Box::new(std::io::stdout())), file: None });
        };
        let created = File::create_new(path)
            .map_err(|error| Failure::new("IO", format!("cannot create {}: {error}", path.display())))?;
        let writer = BufWriter::new(Box::new(created.try_clone()?) as Box<dyn Write>);
        Ok(Self { writer, file: Some((created, path)) })
    }

    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        Ok(self.writer.write_all(data)?)
    }

    fn done(mut self) -> Result<(), Failure> {
        self.writer.flush()?;
        match self.file {
            Some((file, _)) => Ok(file.sync_all()?),
            None => Ok(()),
        }
    }

    /// Half a file is taken away: it would not replay, and nobody should wonder why.
    fn discard(self) {
        if let Some((_, path)) = self.file {
            // The daemon's error is the one to tell.
            let _ = std::fs::remove_file(path);
        }
    }
}
