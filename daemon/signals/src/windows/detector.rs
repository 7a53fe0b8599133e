//! How new the latest shape is, sample by sample.
//!
//! Owns the memory of past shapes and the unit of their novelty, both bounded. Never looks ahead: the score of a sample
//! does not change with what follows.

use super::{SCORE_MAX, Scale, WindowOptions};
use crate::series::Sample;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A judged sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub at_ms: u64,
    pub value: f64,
    /// At least 0; 1 is what three shapes in a hundred reach.
    pub score: f64,
    /// The length, in samples, of the shape that scored.
    pub samples: usize,
}

/// A run of equal values shorter than this is chance in coarse values.
const RUN_SAMPLES_MIN: usize = 12;

/// Judges samples as they arrive. Memory: `history_samples · (segments + 2) · 8` bytes for each scale.
#[derive(Debug, Clone)]
pub struct Detector {
    options: WindowOptions,
    scales: Vec<ScaleState>,
    seen: usize,
    last_ms: Option<u64>,
    stillness: Stillness,
    /// Of the latest sample.
    still: f64,
}

impl Detector {
    pub fn new(options: WindowOptions) -> Self {
        let scales = options.scales.iter().map(|scale| ScaleState::new(*scale, &options)).collect();
        Self { options, scales, seen: 0, last_ms: None, stillness: Stillness::default(), still: 0.0 }
    }

    pub fn options(&self) -> &WindowOptions {
        &self.options
    }

    /// The score of `sample`, or None while there is too little history, for values that are not finite, and for
    /// samples not later than the one before: those are passed over.
    pub fn push(&mut self, sample: Sample) -> Option<Scored> {
        if !sample.value.is_finite() || self.last_ms.is_some_and(|last| sample.at_ms <= last) {
            return None;
        }
        self.last_ms = Some(sample.at_ms);
        self.seen = self.seen.saturating_add(1);
        let warm = self.seen > self.options.warmup_samples;
        self.still = self.stillness.push(sample.value);
        let mut best: Option<Scored> = None;
        for scale in &mut self.scales {
            let Some(score) = scale.push(sample.value, warm, &self.options) else { continue };
            if best.is_none_or(|scored| score > scored.score) {
                best = Some(Scored {
                    at_ms: sample.at_ms,
                    value: sample.value,
                    score,
                    samples: scale.latest_max,
                });
            }
        }
        best.map(|shape| self.or_still(shape))
    }

    /// Stillness is judged where shapes are: after warm-up and calibration.
    fn or_still(&self, shape: Scored) -> Scored {
        if self.still > shape.score {
            Scored { score: self.still.min(SCORE_MAX), samples: self.stillness.run, ..shape }
        } else {
            shape
        }
    }
}

/// Each judged sample of a finished stretch, and the score that it would have had with the novelty of all of it at hand, in
/// place of that of its past alone: what seemed wild in the first days may be the way the series is.
pub(super) fn in_hindsight(
    samples: impl Iterator<Item = Sample>,
    options: &WindowOptions,
) -> Vec<(Scored, f64)> {
    let mut detector = Detector::new(options.clone());
    let mut judged: Vec<(Scored, f64, Vec<Option<f64>>)> = Vec::new();
    for sample in samples {
        if let Some(scored) = detector.push(sample) {
            let novelties = detector.scales.iter().map(|scale| scale.novelty).collect();
            judged.push((scored, detector.still.min(SCORE_MAX), novelties));
        }
    }
    let units: Vec<f64> =
        detector.scales.iter().map(|scale| scale.unit.level(options.unit_quantile)).collect();
    let again = |(scored, still, novelties): (Scored, f64, Vec<Option<f64>>)| {
        let scores =
            novelties.iter().zip(&units).filter_map(|(novelty, unit)| Some(in_units((*novelty)?, *unit)));
        (scored, scores.fold(still, f64::max))
    };
    judged.into_iter().map(again).collect()
}

/// Runs of equal values.
#[derive(Debug, Clone, Default)]
struct Stillness {
    value: f64,
    run: usize,
    /// The longest finished run; None for a series that has never moved.
    longest: Option<usize>,
}

impl Stillness {
    /// The length of the present run over that of the longest before it; 0 for a series that has never moved.
    fn push(&mut self, value: f64) -> f64 {
        if self.run > 0 && value == self.value {
            self.run = self.run.saturating_add(1);
        } else {
            if self.run > 0 {
                self.longest = self.longest.max(Some(self.run));
            }
            self.value = value;
            self.run = 1;
        }
        self.longest.map_or(0.0, |longest| self.run as f64 / longest.max(RUN_SAMPLES_MIN) as f64)
    }
}

/// One length of shape: the latest samples, past shapes, past novelty.
#[derive(Debug, Clone)]
struct ScaleState {
    latest: VecDeque<f64>,
    latest_max: usize,
    segment_samples: usize,
    /// Shapes that overlap the present one too much to be its past wait here.
    pending: VecDeque<Vec<f64>>,
    pending_max: usize,
    shapes: Shapes,
    unit: Unit,
    /// Of the latest sample, if it was scored.
    novelty: Option<f64>,
}

impl ScaleState {
    fn new(scale: Scale, options: &WindowOptions) -> Self {
        let samples = scale.samples.max(1);
        let segments = scale.segments.clamp(1, samples);
        Self {
            latest: VecDeque::with_capacity(samples + 1),
            latest_max: samples,
            segment_samples: samples / segments,
            pending: VecDeque::new(),
            // Half a length: the exclusion zone usual for matrix profiles.
            pending_max: (samples / 2).max(1),
            shapes: Shapes::new(segments, options.history_samples.max(1)),
            unit: Unit::new(options.history_samples.max(1)),
            novelty: None,
        }
    }

    fn push(&mut self, value: f64, warm: bool, options: &WindowOptions) -> Option<f64> {
        self.novelty = None;
        self.latest.push_back(value);
        if self.latest.len() > self.latest_max {
            self.latest.pop_front();
        }
        if self.latest.len() < self.latest_max {
            return None;
        }
        let shape = self.shape();
        let novelty = if warm { self.shapes.nearest(&shape) } else { None };
        self.pending.push_back(shape);
        if self.pending.len() > self.pending_max
            && let Some(past) = self.pending.pop_front()
        {
            self.shapes.push(&past);
        }
        let novelty = novelty?;
        let score = (self.unit.len() >= options.calibration_samples)
            .then(|| self.unit.score(novelty, options.unit_quantile));
        self.unit.push(novelty);
        self.novelty = score.map(|_| novelty);
        score
    }

    /// Means of the segments, oldest first; a length that the segments do not divide loses its oldest samples.
    fn shape(&self) -> Vec<f64> {
        let used = self.shapes.segments * self.segment_samples;
        let mut shape = Vec::with_capacity(self.shapes.segments);
        let mut sum = 0.0;
        for (index, value) in self.latest.iter().skip(self.latest_max - used).enumerate() {
            // Divided first: the sum of finite values may be infinite.
            sum += value / self.segment_samples as f64;
            if (index + 1) % self.segment_samples == 0 {
                // Rounding may carry the mean of the largest values past them.
                shape.push(sum.clamp(f64::MIN, f64::MAX));
                sum = 0.0;
            }
        }
        shape
    }
}

/// Shapes compared at a time: 2 kB of sums.
const BLOCK: usize = 256;

/// Past shapes, one column a segment: the search is one pass over plain arrays, which the compiler vectorises.
#[derive(Debug, Clone)]
struct Shapes {
    segments: usize,
    capacity: usize,
    columns: Vec<Vec<f64>>,
    /// Where the next shape goes once the columns are full.
    next: usize,
}

impl Shapes {
    fn new(segments: usize, capacity: usize) -> Self {
        Self { segments, capacity, columns: vec![Vec::new(); segments], next: 0 }
    }

    fn push(&mut self, shape: &[f64]) {
        for (column, value) in self.columns.iter_mut().zip(shape) {
            if column.len() < self.capacity {
                column.push(*value);
            } else if let Some(slot) = column.get_mut(self.next) {
                *slot = *value;
            }
        }
        self.next = if self.columns.first().is_some_and(|column| column.len() < self.capacity) {
            0
        } else {
            (self.next + 1) % self.capacity
        };
    }

    /// Root mean square difference to the nearest shape. None without any.
    fn nearest(&self, shape: &[f64]) -> Option<f64> {
        let count = self.columns.first()?.len();
        let mut least = f64::INFINITY;
        let mut sums = [0.0_f64; BLOCK];
        // Block by block, so that the sums stay in the nearest cache while the columns pass by.
        for start in (0..count).step_by(BLOCK) {
            let block = sums.get_mut(..BLOCK.min(count - start))?;
            block.fill(0.0);
            for (column, value) in self.columns.iter().zip(shape) {
                for (sum, past) in block.iter_mut().zip(column.get(start..)?) {
                    let difference = past - value;
                    *sum += difference * difference;
                }
            }
            for sum in block.iter() {
                if *sum < least {
                    least = *sum;
                }
            }
        }
        // Squares of differences beyond 1e154 overflow: as far as far can be.
        (count > 0).then(|| (least / self.segments as f64).sqrt().min(f64::MAX))
    }
}

/// Past novelty in order of arrival and in order of size.
#[derive(Debug, Clone)]
struct Unit {
    capacity: usize,
    arrived: VecDeque<f64>,
    sorted: Vec<f64>,
    sum: f64,
}

impl Unit {
    fn new(capacity: usize) -> Self {
        Self { capacity, arrived: VecDeque::new(), sorted: Vec::new(), sum: 0.0 }
    }

    fn len(&self) -> usize {
        self.sorted.len()
    }

    fn push(&mut self, novelty: f64) {
        if self.arrived.len() >= self.capacity
            && let Some(oldest) = self.arrived.pop_front()
        {
            let at = self.sorted.partition_point(|other| other.total_cmp(&oldest).is_lt());
            if at < self.sorted.len() {
                self.sorted.remove(at);
            }
            self.sum -= oldest;
        }
        self.arrived.push_back(novelty);
        let at = self.sorted.partition_point(|other| other.total_cmp(&novelty).is_lt());
        self.sorted.insert(at, novelty);
        self.sum += novelty;
    }

    /// The quantile of past novelty, or its mean where nearly all of the past has none (a series that rests at zero for
    /// days): the mean knows the size of the few that had.
    fn level(&self, quantile: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let rank = (quantile.clamp(0.0, 1.0) * last as f64) as usize;
        let at_quantile = self.sorted.get(rank).copied().unwrap_or(0.0);
        let mean = (self.sum / self.sorted.len().max(1) as f64).max(0.0);
        at_quantile.max(mean)
    }

    fn score(&self, novelty: f64, quantile: f64) -> f64 {
        in_units(novelty, self.level(quantile))
    }
}

fn in_units(novelty: f64, unit: f64) -> f64 {
    if novelty <= 0.0 {
        0.0
    } else if unit > 0.0 && unit.is_finite() {
        (novelty / unit).min(SCORE_MAX)
    } else {
        SCORE_MAX
    }
}
