//! Alarms as samples arrive, within a budget.
//!
//! Owns the rule by which a score becomes an alarm without knowing the future. Never alarms twice for one episode.

use super::{Detector, Scored, WindowOptions};
use crate::series::Sample;
use serde::{Deserialize, Serialize};

const DAY_MS: f64 = 86_400_000.0;
/// Past peaks that are remembered. More alarms than this are no budget.
const PEAKS_MAX: usize = 1024;

/// How many alarms a stretch of this length may cost; at least one.
pub(super) fn allowance(duration_ms: u64, options: &WindowOptions) -> usize {
    let by_time = (options.alarms_per_day.max(0.0) * duration_ms as f64 / DAY_MS).ceil();
    (by_time as usize).max(1).saturating_add(options.alarms_base)
}

/// The beginning of an anomalous window, said when it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    pub at_ms: u64,
    pub value: f64,
    pub score: f64,
    /// What the score had to reach.
    pub threshold: f64,
}

/// A detector with a memory of its peaks.
#[derive(Debug, Clone)]
pub struct Watch {
    detector: Detector,
    first_ms: Option<u64>,
    /// The highest peaks so far, highest first.
    peaks: Vec<f64>,
    /// The peak of the present episode, and how many samples ago it stood out last.
    episode: Option<Episode>,
}

#[derive(Debug, Clone, Copy)]
struct Episode {
    peak: f64,
    quiet_samples: usize,
    alarmed: bool,
}

impl Watch {
    pub fn new(options: WindowOptions) -> Self {
        Self { detector: Detector::new(options), first_ms: None, peaks: Vec::new(), episode: None }
    }

    /// An alarm if this sample is the first of its episode to reach the threshold: the least of the highest past peaks
    /// that the budget would have allowed until now. In the long run a series without a trend thus alarms as often as
    /// the budget says, whatever the distribution of its scores.
    pub fn push(&mut self, sample: Sample) -> Option<Alarm> {
        let first_ms = *self.first_ms.get_or_insert(sample.at_ms);
        let scored = self.detector.push(sample)?;
        let options = self.detector.options();
        let (score_min, separation) = (options.score_min, options.separation_samples);
        let allowed = allowance(sample.at_ms.saturating_sub(first_ms), options);
        // The present episode asks for a place among the highest, so it must beat the last of them.
        let threshold =
            self.peaks.get(allowed.saturating_sub(1)).copied().unwrap_or(score_min).max(score_min);
        self.follow(&scored, score_min, separation);
        let episode = self.episode.as_mut()?;
        if episode.alarmed || scored.score < threshold {
            return None;
        }
        episode.alarmed = true;
        Some(Alarm { at_ms: scored.at_ms, value: scored.value, score: scored.score, threshold })
    }

    /// Continues the present episode, ends it after a quiet while, or begins one.
    fn follow(&mut self, scored: &Scored, score_min: f64, separation: usize) {
        let loud = scored.score >= score_min;
        match self.episode.as_mut() {
            Some(episode) if loud => {
                episode.peak = episode.peak.max(scored.score);
                episode.quiet_samples = 0;
            }
            Some(episode) if episode.quiet_samples < separation => episode.quiet_samples += 1,
            Some(episode) => {
                let peak = episode.peak;
                self.episode = None;
                let at = self.peaks.partition_point(|other| *other > peak);
                self.peaks.insert(at, peak);
                self.peaks.truncate(PEAKS_MAX);
            }
            None if loud => {
                self.episode = Some(Episode { peak: scored.score, quiet_samples: 0, alarmed: false });
            }
            None => {}
        }
    }
}
