//! What waits, and what was set aside: looked at, sent again, thrown away.

use super::{Operations, REASON_CHARS_MAX, Role, bounded};
use crate::api::auth::Caller;
use crate::api::problem::Problem;
use medic_agents::desk::MailboxView;
use medic_core::EnvelopeId;
use medic_core::mail::{Address, Envelope};
use medic_ports::journal::DeadLetter;

const LETTERS_DEFAULT: usize = 100;
const LETTERS_MAX: usize = 1_000;
/// Bytes of a letter's id; the longest are named for an effect of a long incident id.
const ID_BYTES_MAX: usize = 200;

#[derive(Clone, Debug)]
pub struct MailboxesView {
    pub mailboxes: Vec<MailboxView>,
    /// Of one mailbox, in the order in which they are served.
    pub waiting: Vec<Envelope>,
    /// Oldest first.
    pub dead: Vec<DeadLetter>,
    /// All of them, listed or not.
    pub dead_letters: u64,
}

impl Operations {
    /// `mailbox`: whose waiting letters are listed too; empty lists none. `limit`: letters of a kind; 0 takes the default.
    pub fn mailboxes(&self, caller: &Caller, mailbox: &str, limit: usize) -> Result<MailboxesView, Problem> {
        caller.needs(Role::Viewer)?;
        let limit = if limit == 0 { LETTERS_DEFAULT } else { limit.min(LETTERS_MAX) };
        let waiting = match mailbox {
            "" => Vec::new(),
            name => self.desk.letters(address(name)?, limit)?,
        };
        Ok(MailboxesView {
            mailboxes: self.desk.mailboxes()?,
            waiting,
            dead: self.desk.dead_letters(limit)?,
            dead_letters: self.desk.ports().journal.health().dead_letters,
        })
    }

    pub fn dead_letter(&self, caller: &Caller, id: &str) -> Result<DeadLetter, Problem> {
        caller.needs(Role::Viewer)?;
        Ok(self.desk.dead_letter(&letter_id(id)?)?)
    }

    /// What the letter asks for may change systems: whoever sends it again answers for it like an approver.
    pub async fn retry_letter(&self, caller: &Caller, id: &str) -> Result<DeadLetter, Problem> {
        caller.needs(Role::Approver)?;
        let dead = self.dead_letter(caller, id)?;
        self.desk.retry_letter(&dead.envelope.id, &caller.principal).await?;
        Ok(dead)
    }

    pub async fn drop_letter(&self, caller: &Caller, id: &str, reason: &str) -> Result<DeadLetter, Problem> {
        caller.needs(Role::Approver)?;
        bounded("reason", reason, 1, REASON_CHARS_MAX)?;
        let dead = self.dead_letter(caller, id)?;
        self.desk.drop_letter(&dead.envelope.id, reason, &caller.principal).await?;
        Ok(dead)
    }
}

/// # Errors
/// `INVALID_NAME`.
fn address(name: &str) -> Result<Address, Problem> {
    let found = Address::ALL.into_iter().find(|address| address.as_str() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = Address::ALL.iter().map(|address| address.as_str()).collect();
        Problem::invalid("INVALID_NAME", format!("a mailbox is one of {}", names.join(", "))).at("mailbox")
    })
}

/// # Errors
/// `INVALID_ID`.
fn letter_id(text: &str) -> Result<EnvelopeId, Problem> {
    let sound = |byte: u8| byte.is_ascii_graphic();
    if !text.is_empty() && text.len() <= ID_BYTES_MAX && text.bytes().all(sound) {
        return Ok(EnvelopeId::new(text));
    }
    let message = format!("a letter's id is 1 to {ID_BYTES_MAX} visible ASCII characters");
    Err(Problem::invalid("INVALID_ID", message).at("id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_orders_are_taken_and_hostile_ones_are_not() {
        assert!(letter_id("order:01JDZ5Y8K3/4/0").is_ok());
        for wrong in ["", "a b", "a\n", "é", &"x".repeat(201)] {
            assert_eq!(letter_id(wrong).unwrap_err().code, "INVALID_ID", "{wrong:?}");
        }
    }
}
