//! The approval at the terminal: who is asked, and what they say.

use super::{narrator::Narrator, paint::Colour};
use medic_demo::{Person, Stage};
use medic_proto::v1;
use std::io::{BufRead, Write};

/// How the plan is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// Whoever sits at the terminal.
    AtTheTerminal,
    /// Yes, said aloud.
    Yes,
}

/// People who may be asked, in order.
const ON_CALL: [Person; 2] = [Person::Alice, Person::Bob];

/// Asks as many people as the plan needs. A no rejects it: the incident then goes to a human.
pub async fn ask(
    stage: &Stage,
    incident: &v1::Incident,
    proposal: &v1::Proposal,
    answering: Answering,
    narrator: &Narrator,
) -> anyhow::Result<()> {
    let missing = proposal.approvals_missing as usize;
    for person in ON_CALL.into_iter().take(missing) {
        let said_yes = match answering {
            Answering::Yes => {
                narrator.say(Colour::Yellow, "approval", &format!("--yes: {person} approves"));
                true
            }
            Answering::AtTheTerminal => question(&format!("approve as {person}? [y/N] ")).await?,
        };
        let client = stage.client(person)?;
        if !said_yes {
            narrator.say(Colour::Yellow, "approval", &format!("{person} says no"));
            client.reject(&incident.id, "turned down at the terminal").await?;
            return Ok(());
        }
        match client.approve(&incident.id, &proposal.plan_digest).await {
            Ok(_) => {}
            // The alert ended, or the time ran out, while the question stood: the incident tells which.
            Err(error) if error.problem().is_some() => {
                narrator.say(Colour::Red, "refused", &error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Anything but a yes is a no, and so is the end of the input.
async fn question(text: &str) -> anyhow::Result<bool> {
    let mut out = std::io::stdout();
    write!(out, "{text}")?;
    out.flush()?;
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    })
    .await??;
    if !line.ends_with('\n') {
        println!();
    }
    Ok(is_yes(&line))
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for line in ["y\n", "Y\n", " yes \n"] {
            assert!(is_yes(line), "{line:?}");
        }
        for line in ["", "\n", "n\n", "yy\n", "yes please\n", "ja\n"] {
            assert!(!is_yes(line), "{line:?}");
        }
    }
}
