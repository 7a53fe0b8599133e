//! Turning a component into machine code, in a process of its own that is limited in memory and time.
//!
//! Compiling is where a hostile component costs the most: a few megabytes of functions can keep a code generator busy for
//! minutes and fill a machine's memory. So it is done by a child: the component goes in on standard input, the compiled
//! artefact comes out on standard output, and a child that wants more than its limits is ended by the kernel. The child
//! limits itself *before* it reads the first byte, and the parent ends it when the wall clock is up. What comes back is
//! as trusted as the daemon's own code, because it is: the child is this program.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use wasmtime::Engine;

use super::LoadError;
use crate::limits::{
    COMPILE_ADDRESS_SPACE_MAX, COMPILE_ARTEFACT_BYTES_MAX, COMPILE_CPU_S_MAX, COMPILE_MEMORY_MAX,
    COMPILE_WALL_MS_MAX, COMPONENT_BYTES_MAX,
};
use crate::{sandbox, text};

/// Who compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// A limited process. The program must hand its standard input and output to [`compile_for_parent`].
    Child { program: PathBuf, args: Vec<OsString> },
    /// This process, without any limit: for tests of something else.
    InProcess,
}

impl Compiler {
    /// This very program, even when its file has been replaced since it was started, as `<program> plugin compile`.
    pub fn own_process() -> Self {
        Self::Child { program: "/proc/self/exe".into(), args: vec!["plugin".into(), "compile".into()] }
    }

    /// The artefact of a component.
    ///
    /// # Errors
    /// `COMPILE_FAILED`, `COMPILE_LIMIT`, `COMPILER_UNAVAILABLE`.
    pub fn compile(&self, engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        match self {
            Self::InProcess => precompile(engine, bytes),
            Self::Child { program, args } => compile_in_child(program.into(), args, bytes),
        }
    }
}

fn precompile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    engine
        .precompile_component(bytes)
        .map_err(|error| LoadError::new("COMPILE_FAILED", format!("it cannot be compiled: {error:#}")))
}

/// The child's whole work: limits itself, reads a component, writes its artefact.
///
/// # Errors
/// `COMPILE_FAILED`, `COMPILER_UNAVAILABLE`. A limit is no error here: the kernel ends the process.
pub fn compile_for_parent(input: &mut dyn Read, output: &mut dyn Write) -> Result<(), LoadError> {
    let unavailable = |what: &str, error: &dyn std::fmt::Display| {
        LoadError::new("COMPILER_UNAVAILABLE", format!("the compiling process cannot {what}: {error}"))
    };
    limit_this_process().map_err(|error| unavailable("limit itself", &error))?;
    let mut bytes = Vec::new();
    input
        .take(COMPONENT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unavailable("read the component", &error))?;
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(LoadError::new(
            "FILE_TOO_LARGE",
            format!("it is larger than {COMPONENT_BYTES_MAX} bytes"),
        ));
    }
    let engine = sandbox::compiling_engine().map_err(|error| unavailable("make an engine", &error))?;
    let artefact = precompile(&engine, &bytes)?;
    output
        .write_all(&artefact)
        .and_then(|()| output.flush())
        .map_err(|error| unavailable("hand the artefact over", &error))
}

/// Never lifted again: soft and hard limits are the same.
fn limit_this_process() -> rustix::io::Result<()> {
    let limits = [
        (Resource::As, COMPILE_ADDRESS_SPACE_MAX),
        (Resource::Data, COMPILE_MEMORY_MAX),
        (Resource::Cpu, COMPILE_CPU_S_MAX),
        // It writes to a pipe and leaves nothing behind, no core dump either.
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        rustix::process::setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    // A daemon that dies must not leave a compiler behind.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
}

/// What the child said before it ended.
struct Said {
    artefact: std::io::Result<Vec<u8>>,
    words: Vec<u8>,
}

fn compile_in_child(program: PathBuf, args: &[OsString], bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    let unavailable = |error: std::io::Error| {
        LoadError::new(
            "COMPILER_UNAVAILABLE",
            format!("the compiling process {} cannot be run: {error}", program.display()),
        )
    };
    let mut child = start(&program, args).map_err(unavailable)?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(unavailable(std::io::Error::other("it has no pipes")));
    };
    let (tell, told) = mpsc::channel();
    let (said, in_time) = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut stdin = stdin;
            // A child that ended early has closed its end; how it ended tells more than this does.
            let _ = stdin.write_all(bytes);
        });
        scope.spawn(move || {
            let words = read_at_most(stderr, 16 * 1024).unwrap_or_default();
            let _ = tell.send(words);
        });
        let reading = scope.spawn(move || read_at_most(stdout, COMPILE_ARTEFACT_BYTES_MAX));
        // Standard error is closed when the child ends, and not before: nothing in it hands it on.
        let words = told.recv_timeout(Duration::from_millis(COMPILE_WALL_MS_MAX));
        let in_time = words.is_ok();
        if !in_time {
            // Its pipes close with it, which ends the readers.
            let _ = child.kill();
        }
        let artefact = reading.join().unwrap_or_else(|_| Err(std::io::Error::other("the reader panicked")));
        (Said { artefact, words: words.unwrap_or_default() }, in_time)
    });
    let status = child.wait().map_err(unavailable)?;
    if !in_time {
        return Err(limit(&format!("it was not done within {COMPILE_WALL_MS_MAX} ms")));
    }
    judge(status, said, unavailable)
}

#[allow(clippy::disallowed_methods, reason = "the compiler is this program, not something it acts through")]
fn start(program: &std::path::Path, args: &[OsString]) -> std::io::Result<Child> {
    Command::new(program)
        .args(args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn read_at_most(from: impl Read, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!("more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

fn judge(
    status: ExitStatus,
    said: Said,
    unavailable: impl Fn(std::io::Error) -> LoadError,
) -> Result<Vec<u8>, LoadError> {
    use std::os::unix::process::ExitStatusExt as _;
    let words = text::line(String::from_utf8_lossy(&said.words).trim(), 1024);
    if let Some(signal) = status.signal() {
        let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
        return Err(limit(&format!("it was ended by signal {signal}{words}")));
    }
    match (status.success(), said.artefact) {
        (true, Ok(artefact)) if !artefact.is_empty() => Ok(artefact),
        (true, Ok(_)) => Err(unavailable(std::io::Error::other("it answered nothing"))),
        (true, Err(error)) => Err(limit(&format!("its artefact cannot be taken: {error}"))),
        (false, _) => {
            // `program: CODE: message`, as every program of ours ends.
            let message = words.split_once("COMPILE_FAILED: ").map(|(_, message)| message.to_owned());
            match message {
                Some(message) => Err(LoadError::new("COMPILE_FAILED", message)),
                None => Err(unavailable(std::io::Error::other(format!("{status}: {words}")))),
            }
        }
    }
}

fn limit(why: &str) -> LoadError {
    LoadError::new(
        "COMPILE_LIMIT",
        format!(
            "compiling it took more than is allowed (memory {} MiB, processor {COMPILE_CPU_S_MAX} s): {why}; a smaller \
             component with less code compiles",
            COMPILE_MEMORY_MAX / (1024 * 1024)
        ),
    )
}
