//! Why a command did not do what was asked, and with what exit status it says so.

use std::fmt;

/// Of `medic`: 0 done, 1 refused or failed, 2 wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
}

#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    /// Stable; the docs have a page for each of the daemon's.
    pub code: String,
    pub message: String,
}

impl Failure {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, code: code.to_owned(), message: message.into() }
    }
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, code: "USAGE".to_owned(), message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, crate::text::plain(&self.message))
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        let code = status.metadata().get("medic-code").and_then(|code| code.to_str().ok());
        let code = match code {
            Some(code) => code.to_owned(),
            // Said by the transport, not by the daemon.
            None => match status.code() {
                tonic::Code::Unavailable => "UNREACHABLE".to_owned(),
                tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => "TIMEOUT".to_owned(),
                tonic::Code::Unimplemented => "NOT_A_MEDIC".to_owned(),
                code => format!("{code:?}").to_uppercase(),
            },
        };
        let mut message = status.message().to_owned();
        if code == "UNREACHABLE" {
            message =
                format!("the daemon does not answer ({message}); is medicd running, and is --server right?");
        }
        Self::new(&code, message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new("IO", error.to_string())
    }
}
