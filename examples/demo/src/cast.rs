//! Who is on the stage: every person and machine with a token, and what it may do.

use std::fmt;

/// A holder of a token. Its principal is `token:<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Person {
    /// On call; approves.
    Alice,
    /// On call as well: what is destructive needs two.
    Bob,
    /// A third, for when one of the two has asked for the change and may not approve it.
    Carol,
    /// Looks, and may do nothing.
    Viewer,
    /// Alertmanager.
    Webhook,
}

impl Person {
    pub const ALL: [Self; 5] = [Self::Alice, Self::Bob, Self::Carol, Self::Viewer, Self::Webhook];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::Carol => "carol",
            Self::Viewer => "viewer",
            Self::Webhook => "alertmanager",
        }
    }

    /// The role in the daemon's configuration.
    pub const fn role(self) -> &'static str {
        match self {
            Self::Alice | Self::Bob | Self::Carol => "approver",
            Self::Viewer => "viewer",
            Self::Webhook => "responder",
        }
    }
}

impl fmt::Display for Person {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
