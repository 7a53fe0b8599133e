//! What each degradation means, in a line, for whoever reads `medic status` at night.
//!
//! Owns the words. What is wrong, since when and whether it has healed is the agents' to know.

/// Every code that a condition may have, and its meaning.
pub const MEANINGS: [(&str, &str); 15] = [
    ("ACTOR_RESTARTING", "A part of the daemon died and is started again; its letters wait."),
    (
        "CAREFUL_MODE",
        "The process ended badly more than once: one letter is handled at a time until it has lived a while.",
    ),
    (
        "CLOCK_JUMPED",
        "The clock jumped or the machine slept: what was due only because of it is given its time again.",
    ),
    ("DEAD_LETTERS", "Letters could not be handled and are set aside: see medic mailbox list."),
    ("HANDLER_HUNG", "A letter was handled for longer than it may take; it was ended and is put off."),
    ("KNOWLEDGE_UNAVAILABLE", "Runbooks are not consulted; incidents are diagnosed without them."),
    ("LOGS_UNREACHABLE", "Logs cannot be read; diagnoses name it as a gap."),
    (
        "METRICS_UNREACHABLE",
        "Prometheus gives no usable answer: causes cannot be found and remedies not verified.",
    ),
    ("MODEL_UNAVAILABLE", "The model gives no advice; diagnoses go on by the rules."),
    ("NOTIFIER_FAILING", "Notices do not get through: nobody is told but by the log and medic watch."),
    ("PLUGIN_FAILING", "A tool fails whenever it runs; its remedies are not available."),
    ("SAFE_MODE", "Only queries run and approvals are frozen until the daemon is restarted."),
    ("STORE_FAILED", "A write failed: nothing is taken in or begun any more. See the disk, then restart."),
    ("STORE_LOW_SPACE", "Little disk is free: alerts are refused, running work goes on."),
    ("STORE_SLOW", "Writes take long to reach the disk: everything is slow, nothing is lost."),
];

/// Of a code that this build does not know: nothing.
pub fn meaning(code: &str) -> &'static str {
    MEANINGS.iter().find(|(known, _)| *known == code).map_or("", |(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Where the agents name them.
    const NAMED: &str = include_str!("../../agents/src/conditions.rs");

    #[test]
    fn every_condition_that_the_agents_name_has_its_meaning_and_no_other() {
        let code = |line: &str| Some(line.trim().strip_prefix("Self::")?.split_once("=> \"")?.1.to_owned());
        let named: BTreeSet<String> =
            NAMED.lines().filter_map(code).map(|code| code.trim_end_matches("\",").to_owned()).collect();
        let known: BTreeSet<String> = MEANINGS.iter().map(|(code, _)| (*code).to_owned()).collect();
        assert_eq!(known, named);
        assert!(MEANINGS.iter().all(|(_, meaning)| meaning.ends_with('.')));
        assert_eq!(meaning("SOMETHING_NEWER"), "");
    }
}
