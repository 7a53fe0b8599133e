//! How openings of a journal follow each other: what one run leaves for the next to judge it by.
//!
//! Pure: a journal keeps a [`Run`] with what it keeps otherwise, and asks it once at each opening. Never decides what is
//! done about a suspect.

use crate::journal::Slot;
use serde::{Deserialize, Serialize};

/// How this opening came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// Counts the openings, from 1; in a restored copy it goes on.
    pub epoch: u64,
    /// Times in a row that the process ended without closing the journal. Forgotten by
    /// [`Journal::settled`](crate::Journal::settled) and by an orderly end.
    pub unclean_in_a_row: u32,
    pub suspect: Option<Suspect>,
    /// This is the first opening of a copy: every effect that was open in it is unknown.
    pub restored: bool,
}

/// The letter that was marked when the process ended, and still lies in its mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    pub slot: Slot,
    /// Boots in a row that ended while it was marked.
    pub strikes: u32,
}

/// What a journal keeps durably of its present run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Set by an orderly end and by nothing else.
    pub closed: bool,
    pub unclean_in_a_row: u32,
    /// The single letter that is being handled.
    pub marked: Option<Slot>,
    /// As found at the opening.
    pub suspect: Option<Suspect>,
}

impl Run {
    /// The run that begins where `before` ended. `lies` tells whether a letter is still in its mailbox: one that is gone
    /// was handled, whatever ended the process.
    pub fn after(before: &Self, lies: impl Fn(Slot) -> bool) -> Self {
        if before.closed {
            return Self::default();
        }
        let suspect = before.marked.filter(|slot| lies(*slot)).map(|slot| {
            let known = before.suspect.filter(|suspect| suspect.slot == slot);
            Suspect { slot, strikes: known.map_or(0, |suspect| suspect.strikes).saturating_add(1) }
        });
        let unclean_in_a_row = before.unclean_in_a_row.saturating_add(1);
        Self { closed: false, unclean_in_a_row, marked: None, suspect }
    }

    /// The first run of all, and the first of a restored copy: whatever ended the original says nothing about it.
    pub fn first() -> Self {
        Self::default()
    }

    /// This run, once it has lived long enough.
    pub fn settle(&mut self) {
        self.unclean_in_a_row = 0;
        self.suspect = None;
    }

    pub fn boot(&self, epoch: u64, restored: bool) -> Boot {
        Boot { epoch, unclean_in_a_row: self.unclean_in_a_row, suspect: self.suspect, restored }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::mail::{Address, Lane};

    fn slot(seq: u64) -> Slot {
        Slot { to: Address::Supervisor, lane: Lane::Normal, seq }
    }

    /// Runs that each end by a kill while the given letter is marked; what the last opening was told.
    fn killed(marked: &[Option<u64>]) -> (u32, Option<(u64, u32)>) {
        let last = marked.iter().fold(Run::first(), |before, seq| {
            Run::after(&Run { marked: seq.map(slot), ..before }, |slot| slot.seq != 9)
        });
        let boot = last.boot(1, false);
        (boot.unclean_in_a_row, boot.suspect.map(|suspect| (suspect.slot.seq, suspect.strikes)))
    }

    #[test]
    fn only_the_same_letter_again_and_again_gathers_strikes() {
        assert_eq!(killed(&[]), (0, None));
        assert_eq!(killed(&[None, None]), (2, None));
        assert_eq!(killed(&[Some(1)]), (1, Some((1, 1))));
        assert_eq!(killed(&[None, Some(1), Some(1), Some(1)]), (4, Some((1, 3))));
        assert_eq!(killed(&[Some(1), Some(1), Some(2)]), (3, Some((2, 1))));
        assert_eq!(killed(&[Some(1), None, Some(1)]), (3, Some((1, 1))), "a run without it clears it");
        assert_eq!(killed(&[Some(1), Some(9)]), (2, None), "a letter that is gone was handled");
    }

    #[test]
    fn an_orderly_end_and_a_settled_run_forget_what_was_before() {
        let bad = Run { unclean_in_a_row: 5, marked: Some(slot(1)), ..Run::first() };
        assert_eq!(Run::after(&Run { closed: true, ..bad.clone() }, |_| true), Run::first());
        let mut settled = Run::after(&bad, |_| true);
        settled.settle();
        assert_eq!(Run::after(&settled, |_| true).boot(3, false).unclean_in_a_row, 1);
    }
}
