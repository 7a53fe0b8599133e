//! What waits in the daemon, and what it could not handle.

use crate::cli::Mailbox;
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::{self, say, tell};
use crate::text::{Style, Table, ago, block, instant, now_ms, plain, short};
use medic_proto::v1;

pub async fn run(client: &Client, command: Mailbox, json: bool) -> Result<Exit, Failure> {
    let mut mailboxes = client.mailboxes();
    match command {
        Mailbox::List { mailbox, limit } => {
            let answer = mailboxes.list(v1::ListMailboxesRequest { limit, mailbox }).await?.into_inner();
            if json {
                output::document(&answer)?;
            } else {
                tell!("{}", listed(&answer, now_ms(), Style::of_stdout()));
            }
        }
        Mailbox::Show { id } => {
            let letter = mailboxes.show(v1::ShowLetterRequest { id }).await?.into_inner();
            if json {
                output::document(&letter)?;
            } else {
                tell!("{}", whole(&letter, Style::of_stdout()));
            }
        }
        Mailbox::Retry { id } => {
            let done = mailboxes.retry(v1::RetryLetterRequest { id }).await?.into_inner();
            settled(&done, "goes back to", json)?;
        }
        Mailbox::Drop { id, reason } => {
            let done = mailboxes.drop(v1::DropLetterRequest { id, reason }).await?.into_inner();
            settled(&done, "taken out of the dead letters of", json)?;
        }
    }
    Ok(Exit::Done)
}

fn settled(done: &v1::LetterResponse, what: &str, json: bool) -> Result<(), Failure> {
    if json {
        return output::document(done);
    }
    say!("{} {what} {}", plain(&done.id), plain(&done.mailbox));
    Ok(())
}

fn listed(answer: &v1::ListMailboxesResponse, now_ms: u64, style: Style) -> String {
    let mut table = Table::new(&["MAILBOX", "WAITING", "BYTES", "OLDEST", "FAILING", "TRIED", "DEAD"]);
    for mailbox in &answer.mailboxes {
        table.row(vec![
            mailbox.name.clone(),
            mailbox.envelopes.to_string(),
            mailbox.bytes.to_string(),
            mailbox.oldest_at_ms.map(|at| ago(at, now_ms)).unwrap_or_default(),
            mailbox.failing.to_string(),
            mailbox.attempts_max.to_string(),
            mailbox.dead_letters.to_string(),
        ]);
    }
    let mut text = table.render(style);
    if !answer.waiting.is_empty() {
        let mut table = Table::new(&["LETTER", "LANE", "INCIDENT", "KIND", "TRIED", "SENT"]);
        for letter in &answer.waiting {
            table.row(vec![
                letter.id.clone(),
                letter.lane.clone(),
                letter.incident_id.clone().unwrap_or_default(),
                letter.kind.clone(),
                letter.attempts.to_string(),
                ago(letter.sent_at_ms, now_ms),
            ]);
        }
        text += &format!("\n{}", table.render(style));
    }
    if answer.dead_letters == 0 {
        return text + "\nno dead letters\n";
    }
    let mut table = Table::new(&["DEAD LETTER", "MAILBOX", "INCIDENT", "KIND", "TRIED", "SINCE", "ERROR"]);
    for letter in &answer.dead {
        table.row(vec![
            letter.id.clone(),
            letter.mailbox.clone(),
            letter.incident_id.clone().unwrap_or_default(),
            letter.kind.clone(),
            letter.attempts.to_string(),
            letter.died_at_ms.map(|at| ago(at, now_ms)).unwrap_or_default(),
            short(&letter.error, 100),
        ]);
    }
    text += &format!("\n{}", table.render(style));
    let more = answer.dead_letters.saturating_sub(answer.dead.len() as u64);
    if more > 0 {
        text += &format!("and {more} more\n");
    }
    text
}

fn whole(letter: &v1::Letter, style: Style) -> String {
    let incident = letter.incident_id.as_deref().map(|id| format!(", incident {}", plain(id)));
    let json: serde_json::Value = serde_json::from_str(&letter.letter_json).unwrap_or_default();
    format!(
        "{}  {} for {}{}\nsent {}, tried {} times, set aside {}\n{}{}",
        style.bold(&plain(&letter.id)),
        plain(&letter.kind),
        plain(&letter.mailbox),
        incident.unwrap_or_default(),
        instant(letter.sent_at_ms),
        letter.attempts,
        letter.died_at_ms.map(instant).unwrap_or_default(),
        block(&letter.error, ""),
        block(&format!("{json:#}"), "  ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead() -> v1::Letter {
        v1::Letter {
            id: "01LETTER".into(),
            mailbox: "executor".into(),
            kind: "apply".into(),
            attempts: 3,
            error: "it\x1b[2J broke".into(),
            letter_json: r#"{"mail":"order"}"#.into(),
            ..Default::default()
        }
    }

    #[test]
    fn dead_letters_are_listed_with_what_is_not_shown_counted() {
        let waiting = v1::MailboxView {
            name: "monitor".into(),
            envelopes: 7,
            oldest_at_ms: Some(1_000),
            ..Default::default()
        };
        let mut answer = v1::ListMailboxesResponse { mailboxes: vec![waiting], ..Default::default() };
        let text = listed(&answer, 31_000, Style { on: false });
        assert!(text.contains("30 s ago") && text.ends_with("no dead letters\n"), "{text}");
        (answer.dead, answer.dead_letters) = (vec![dead()], 3);
        let text = listed(&answer, 31_000, Style { on: false });
        assert!(text.contains("01LETTER") && text.ends_with("and 2 more\n"), "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_letters_own_words_stay_behind_a_bar() {
        let text = whole(&dead(), Style { on: false });
        assert!(text.contains("│ it[2J broke") && text.contains(r#"│   "mail": "order""#), "{text}");
    }
}
