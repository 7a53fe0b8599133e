//! The encoder itself: BERT (Devlin et al. 2019) in inference, one text at a time, mean of its last states.
//! Knows numbers only; words become numbers in `wordpiece`.

use ndarray::{Array1, Array2, ArrayView1, Axis, s};

use super::Shape;
use super::weights::Weights;

pub(super) struct Bert {
    words: Array2<f32>,
    positions: Array2<f32>,
    /// The one segment that a single text has.
    segment: Array1<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
}

struct Layer {
    query: Dense,
    key: Dense,
    value: Dense,
    attended: Dense,
    attended_norm: Norm,
    inner: Dense,
    outer: Dense,
    outer_norm: Norm,
}

/// `x · weightᵀ + bias`; the weights are kept as they are stored, a row an output.
struct Dense {
    weight: Array2<f32>,
    bias: Array1<f32>,
}

struct Norm {
    weight: Array1<f32>,
    bias: Array1<f32>,
    eps: f32,
}

impl Bert {
    pub(super) fn load(shape: &Shape, weights: &Weights<'_>) -> Result<Self, String> {
        let hidden = shape.hidden_size;
        let norm = |name: &str| Norm::load(weights, name, hidden, shape.layer_norm_eps);
        let words = weights.matrix("embeddings.word_embeddings.weight")?;
        let positions = weights.matrix("embeddings.position_embeddings.weight")?;
        let segments = weights.matrix("embeddings.token_type_embeddings.weight")?;
        if words.ncols() != hidden
            || positions.ncols() != hidden
            || segments.ncols() != hidden
            || segments.nrows() == 0
            || positions.nrows() < shape.max_position_embeddings
        {
            return Err("the embeddings do not have the size that config.json says".to_owned());
        }
        let layer = |number: usize| -> Result<Layer, String> {
            let at = format!("encoder.layer.{number}");
            let dense = |name: &str| Dense::load(weights, &format!("{at}.{name}"));
            let layer = Layer {
                query: dense("attention.self.query")?.sized(hidden, hidden)?,
                key: dense("attention.self.key")?.sized(hidden, hidden)?,
                value: dense("attention.self.value")?.sized(hidden, hidden)?,
                attended: dense("attention.output.dense")?.sized(hidden, hidden)?,
                attended_norm: norm(&format!("{at}.attention.output.LayerNorm"))?,
                inner: dense("intermediate.dense")?,
                outer: dense("output.dense")?,
                outer_norm: norm(&format!("{at}.output.LayerNorm"))?,
            };
            let between = layer.inner.weight.nrows();
            Ok(Layer {
                inner: layer.inner.sized(hidden, between)?,
                outer: layer.outer.sized(between, hidden)?,
                ..layer
            })
        };
        Ok(Self {
            segment: segments.row(0).to_owned(),
            norm: norm("embeddings.LayerNorm")?,
            layers: (0..shape.num_hidden_layers).map(layer).collect::<Result<_, _>>()?,
            heads: shape.num_attention_heads,
            words,
            positions,
        })
    }

    pub(super) fn hidden(&self) -> usize {
        self.words.ncols()
    }

    /// Tokens the model has a place for.
    pub(super) fn positions(&self) -> usize {
        self.positions.nrows()
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.words.nrows()
    }

    /// The mean of the last layer over all tokens. `tokens`: each below [`Self::vocabulary`], at most
    /// [`Self::positions`] of them; what is beyond counts for nothing.
    pub(super) fn mean(&self, tokens: &[u32]) -> Vec<f32> {
        let mut states = Array2::zeros((tokens.len().min(self.positions()), self.hidden()));
        for ((mut state, token), place) in
            states.rows_mut().into_iter().zip(tokens).zip(self.positions.rows())
        {
            let token = (*token as usize).min(self.vocabulary().saturating_sub(1));
            state.assign(&self.words.row(token));
            state += &place;
            state += &self.segment;
        }
        self.norm.apply(&mut states);
        for layer in &self.layers {
            states = layer.apply(states, self.heads);
        }
        states.mean_axis(Axis(0)).map_or_else(|| vec![0.0; self.hidden()], |mean| mean.to_vec())
    }
}

impl Layer {
    fn apply(&self, states: Array2<f32>, heads: usize) -> Array2<f32> {
        let (query, key, value) =
            (self.query.apply(&states), self.key.apply(&states), self.value.apply(&states));
        let width = states.ncols() / heads.max(1);
        let scale = 1.0 / (width as f32).sqrt();
        let mut attended = Array2::zeros(states.raw_dim());
        for head in 0..heads {
            let columns = s![.., head * width..(head + 1) * width];
            let mut weights = query.slice(columns).dot(&key.slice(columns).t());
            for mut row in weights.rows_mut() {
                // Softmax, shifted by the largest so that no exponential overflows.
                let largest = row.fold(f32::NEG_INFINITY, |largest, x| largest.max(*x));
                row.mapv_inplace(|x| ((x - largest) * scale).exp());
                let sum = row.sum();
                row.mapv_inplace(|x| x / sum);
            }
            attended.slice_mut(columns).assign(&weights.dot(&value.slice(columns)));
        }
        let mut states = self.attended.apply(&attended) + states;
        self.attended_norm.apply(&mut states);
        let mut between = self.inner.apply(&states);
        between.mapv_inplace(gelu);
        let mut states = self.outer.apply(&between) + states;
        self.outer_norm.apply(&mut states);
        states
    }
}

impl Dense {
    fn load(weights: &Weights<'_>, name: &str) -> Result<Self, String> {
        Ok(Self {
            weight: weights.matrix(&format!("{name}.weight"))?,
            bias: weights.vector(&format!("{name}.bias"))?,
        })
    }

    fn sized(self, inputs: usize, outputs: usize) -> Result<Self, String> {
        match self.weight.dim() == (outputs, inputs) && self.bias.len() == outputs {
            true => Ok(self),
            false => Err(format!(
                "a layer has the size {:?} where {:?} is wanted",
                self.weight.dim(),
                (outputs, inputs)
            )),
        }
    }

    fn apply(&self, states: &Array2<f32>) -> Array2<f32> {
        states.dot(&self.weight.t()) + &self.bias
    }
}

impl Norm {
    fn load(weights: &Weights<'_>, name: &str, hidden: usize, eps: f32) -> Result<Self, String> {
        let norm = Self {
            weight: weights.vector(&format!("{name}.weight"))?,
            bias: weights.vector(&format!("{name}.bias"))?,
            eps,
        };
        match norm.weight.len() == hidden && norm.bias.len() == hidden {
            true => Ok(norm),
            false => Err(format!("{name} has another size than the model")),
        }
    }

    fn apply(&self, states: &mut Array2<f32>) {
        for mut row in states.rows_mut() {
            let mean = row.sum() / row.len() as f32;
            let variance = row.fold(0.0, |sum, x| sum + (x - mean) * (x - mean)) / row.len() as f32;
            let scale = 1.0 / (variance + self.eps).sqrt();
            row.mapv_inplace(|x| (x - mean) * scale);
            row *= &ArrayView1::from(&self.weight);
            row += &ArrayView1::from(&self.bias);
        }
    }
}

/// `x · Φ(x)`, with the error function by Abramowitz and Stegun 7.1.26; its error is below 1.5e-7.
fn gelu(x: f32) -> f32 {
    let z = (x.abs() * std::f32::consts::FRAC_1_SQRT_2).min(9.0);
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series =
        t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_8 + t * (-1.453_152_1 + t * 1.061_405_4))));
    let erf = (1.0 - series * (-z * z).exp()).copysign(x);
    0.5 * x * (1.0 + erf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_is_what_tables_say() {
        for (x, wanted) in
            [(0.0, 0.0), (1.0, 0.841_345), (-1.0, -0.158_655), (3.0, 2.995_95), (-30.0, 0.0), (30.0, 30.0)]
        {
            assert!((gelu(x) - wanted).abs() < 1e-5, "{x}: {}", gelu(x));
        }
    }
}
