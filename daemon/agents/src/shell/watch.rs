//! Handlings that make no progress: ended, and named when they do not end.

use super::flight::Flight;
use super::{Shell, lock};
use crate::conditions::Code;

/// From the end of a task to the finding that it does not end. 5 s: the next await of anything that has one.
const ABORT_GRACE_MS: u64 = 5_000;

impl Shell {
    /// Lets `ms` more pass over what is in flight. Called by the watchdog, also while the actor is dead.
    pub fn watch(&self, ms: u64) {
        let mut hung = Vec::new();
        let mut cut_off = 0_usize;
        {
            let mut flight = lock(&self.flight);
            let Flight { running, finished, .. } = &mut *flight;
            // What has ended waits for its actor, who may be dead.
            let at_work = running.iter_mut().filter(|(task, _)| finished.iter().all(|o| o.task != **task));
            for (_, running) in at_work {
                if !running.pen.is_writing() {
                    running.ran_ms = running.ran_ms.saturating_add(ms);
                }
                match running.aborted_at_ms {
                    None if running.ran_ms > running.patience_ms => {
                        running.aborted_at_ms = Some(running.ran_ms);
                        // At its next await; its report then puts the letter off.
                        if let Some(abort) = &running.abort {
                            abort.abort();
                        }
                        cut_off += 1;
                    }
                    Some(at_ms) if running.ran_ms.saturating_sub(at_ms) >= ABORT_GRACE_MS => {
                        if !running.hung {
                            running.hung = true;
                            hung.push((running.letter.clone(), running.ran_ms));
                        }
                        cut_off += 1;
                    }
                    Some(_) => cut_off += 1,
                    None => {}
                }
            }
        }
        let name = self.name();
        let detail = (cut_off > 0).then(|| format!("{cut_off} handling(s) of {name} made no progress"));
        self.world.conditions.keep(Code::HandlerHung, &name, detail.as_deref());
        for (letter, ran_ms) in hung {
            // Nobody may start its key again while it may still be at work: a human has to look.
            self.world.safe_mode.enter(format!(
                "HANDLER_HUNG: letter {letter} has held {name} for {} s and does not let go of its thread",
                ran_ms / 1000
            ));
        }
    }
}
