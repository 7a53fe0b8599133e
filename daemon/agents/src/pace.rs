//! How much the agents take up at once.

/// Limits over those that each agent has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Letters that share a commit. 64: the knee of the measured curve of drained commits.
    pub letters_per_commit_max: usize,
    /// Handlings of one agent side by side.
    pub side_by_side_max: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { letters_per_commit_max: 64, side_by_side_max: usize::MAX }
    }
}

impl Pace {
    /// One letter after the other, each in its own commit: what everything else is measured against.
    pub fn one_by_one() -> Self {
        Self { letters_per_commit_max: 1, side_by_side_max: 1 }
    }
}
