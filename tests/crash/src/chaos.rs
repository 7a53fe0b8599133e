//! A world that misbehaves: what goes wrong beside the crashes in a long run.

use crate::seed::Seed;
use medic_core::{Fault, FaultKind, Labels, TimestampMs};
use medic_ports::fake::FakeModel;
use medic_ports::fake::script::Reply;
use medic_ports::metrics::Sample;
use medic_ports::{Clock, Model};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// How long a hung Prometheus keeps a caller waiting before its connection breaks; ms.
const HANG_MS: u64 = 45_000;

/// A wall clock that is set while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// Since the beginning of the life; ms.
    pub after_ms: u64,
    /// Forwards or back; ms.
    pub by_ms: i64,
}

/// What one life is in for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chaos {
    pub seed: u64,
    /// One query in so many hangs; 0: none.
    pub hangs_one_in: u64,
    /// One query in so many is answered with nonsense; 0: none.
    pub lies_one_in: u64,
    /// One call of a tool in so many panics; 0: none.
    pub panics_one_in: u64,
    pub model_hangs: bool,
    pub jump: Option<Jump>,
}

impl Chaos {
    /// What the seed has in store for a life.
    pub fn draw(draws: &mut Seed) -> Self {
        let mut sometimes = |one_in: u64| if draws.one_in(3) { one_in } else { 0 };
        let (hangs_one_in, lies_one_in, panics_one_in) = (sometimes(4), sometimes(4), sometimes(12));
        let jump = draws.one_in(3).then(|| {
            let hour_ms = 3_600_000;
            let by_ms = i64::try_from(draws.below(2 * hour_ms)).unwrap_or(0) - 3_600_000;
            Jump { after_ms: draws.below(60_000), by_ms }
        });
        Self {
            seed: draws.draw(),
            hangs_one_in,
            lies_one_in,
            panics_one_in,
            model_hangs: draws.one_in(3),
            jump,
        }
    }

    pub fn hung_model(&self) -> Option<Arc<dyn Model>> {
        self.model_hangs.then(|| {
            let model = FakeModel::new();
            model.script.on("", Reply::Hang);
            Arc::new(model) as Arc<dyn Model>
        })
    }
}

/// The same, with its dice.
pub struct Trouble {
    chaos: Chaos,
    draws: Mutex<Seed>,
}

impl Trouble {
    pub fn new(chaos: Chaos) -> Self {
        Self { chaos, draws: Mutex::new(Seed::new(chaos.seed)) }
    }

    fn strikes(&self, one_in: u64) -> bool {
        one_in > 0 && self.draws.lock().unwrap_or_else(PoisonError::into_inner).one_in(one_in)
    }

    /// As a guest that traps would take its caller down if nobody caught it.
    pub fn perhaps_panic(&self) {
        if self.strikes(self.chaos.panics_one_in) {
            std::panic::resume_unwind(Box::new("a panic out of the blue"));
        }
    }

    pub async fn instead_of_prometheus(&self, clock: &dyn Clock) -> Option<Result<Vec<Sample>, Fault>> {
        if self.strikes(self.chaos.hangs_one_in) {
            clock.sleep(HANG_MS).await;
            return Some(Err(Fault::new(FaultKind::Timeout, "PROMETHEUS_TIMEOUT", "it hung")));
        }
        if self.strikes(self.chaos.lies_one_in) {
            let labels = Labels::from([("service", "nobody-knows"), ("le", "\u{0}")]);
            let far = TimestampMs(clock.now().0.saturating_mul(2));
            return Some(Ok(vec![
                Sample { labels: labels.clone(), at: far, value: f64::NAN },
                Sample { labels, at: TimestampMs(0), value: f64::INFINITY },
            ]));
        }
        None
    }
}
