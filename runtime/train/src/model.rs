//! The trained part: projection, temporal encoder, pooling and one logit. Paper §4.

use candle_core::{Result, Tensor};

use orze_campaign::graph::CheckedGraph;

use crate::encoder::{GraphEncoder, TemporalEncoder};
use crate::layers::{Linear, Pooling};
use crate::mask::Mask;
use crate::parameters::Parameters;
use crate::pass::Pass;

/// What a model is made of; the names are those of configurations.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Width of the features.
    pub inputs: usize,
    /// The encoder.
    pub encoder: CheckedGraph,
    /// The pooling, one of [`Pooling::NAMES`].
    pub pooling: String,
}

/// Frozen features in, one logit a clip out.
#[derive(Debug)]
pub struct Model {
    projection: Linear,
    encoder: Box<dyn TemporalEncoder>,
    pooling: Pooling,
    head: Linear,
}

impl Model {
    /// Builds the model and registers its parameters.
    ///
    /// # Errors
    /// When the pooling does not exist or the device has no memory left.
    pub fn new(parameters: &mut Parameters, config: &ModelConfig) -> Result<Self> {
        let missing = || candle_core::Error::msg(format!("no pooling `{}`", config.pooling));
        let dim = config.encoder.dim() as usize;
        Ok(Self {
            projection: Linear::new(parameters, "projection", config.inputs, dim, true)?,
            encoder: Box::new(parameters.scoped("encoder", |parameters| {
                GraphEncoder::new(parameters, &config.encoder)
            })?),
            pooling: Pooling::new(parameters, &config.pooling, dim)?.ok_or_else(missing)?,
            head: Linear::new(parameters, "head", dim, 1, true)?,
        })
    }

    /// `[batch, time, inputs]` → logits `[batch]`; the one forward path of training and evaluation.
    ///
    /// # Errors
    /// When a shape does not fit or the device has no memory left.
    pub fn forward(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        let frames = self.encode(x, mask, pass)?;
        let pooled = self.pooling.forward(&frames, mask)?; // [batch, dim]
        let logits = self.score(&pass.dropout(&pooled)?)?;
        pass.note(x, mask, &logits)?;
        Ok(logits)
    }

    /// `[batch, time, inputs]` → contextualised frames `[batch, time, dim]`, before the pooling.
    ///
    /// # Errors
    /// When a shape does not fit or the device has no memory left.
    pub fn encode(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        self.encoder
            .forward(&self.projection.forward(x)?, mask, pass)
    }

    /// Pooled clips `[batch, dim]` → logits `[batch]`.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn score(&self, pooled: &Tensor) -> Result<Tensor> {
        self.head.forward(pooled)?.squeeze(1)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn model(encoder: &str, pooling: &str) -> Model {
        let mut parameters = Parameters::new(&Device::Cpu, ChaCha8Rng::seed_from_u64(7));
        let config = ModelConfig {
            inputs: 3,
            encoder: orze_shipped::checked(encoder, 8, 3, 2),
            pooling: pooling.to_owned(),
        };
        Model::new(&mut parameters, &config).unwrap()
    }

    fn clip(length: usize, phase: f32) -> Vec<f32> {
        (0..length * 3)
            .map(|i| (i as f32 * 0.7 + phase).sin())
            .collect()
    }

    /// A clip scores the same alone and in a padded batch, whatever stands in the padding.
    #[test]
    fn padding_changes_no_score() {
        let lengths = [9, 4, 7, 1];
        for encoder in orze_shipped::NAMES {
            for pooling in Pooling::NAMES {
                let model = model(encoder, pooling);
                let pass = Pass::evaluation(1.0);
                let mut alone = Vec::new();
                let mut padded = Vec::new();
                for (index, &length) in lengths.iter().enumerate() {
                    let mut values = clip(length, index as f32);
                    let x = Tensor::from_slice(&values, (1, length, 3), &Device::Cpu).unwrap();
                    let score = model.forward(&x, None, &pass).unwrap();
                    alone.push(score.to_vec1::<f32>().unwrap()[0]);
                    values.resize(9 * 3, 100.0);
                    padded.extend(values);
                }
                let x = Tensor::from_vec(padded, (4, 9, 3), &Device::Cpu).unwrap();
                let mask = Mask::new(&lengths, 9, DType::F32, &Device::Cpu).unwrap();
                let scores = model.forward(&x, mask.as_ref(), &pass).unwrap();
                let scores = scores.to_vec1::<f32>().unwrap();
                for (alone, together) in alone.iter().zip(&scores) {
                    assert!(
                        (alone - together).abs() < 1e-4,
                        "{encoder} with {pooling} pooling: {alone} alone, {together} padded"
                    );
                }
            }
        }
    }

    /// The encoders and the poolings are different functions of the same clip.
    #[test]
    fn every_component_gives_a_score_of_its_own() {
        let x = Tensor::from_vec(clip(9, 0.3), (1, 9, 3), &Device::Cpu).unwrap();
        let mut scores = Vec::new();
        for encoder in orze_shipped::NAMES {
            for pooling in Pooling::NAMES {
                let score = model(encoder, pooling)
                    .forward(&x, None, &Pass::evaluation(1.0))
                    .unwrap();
                scores.push(score.to_vec1::<f32>().unwrap()[0]);
            }
        }
        scores.sort_by(f32::total_cmp);
        assert!(
            scores.windows(2).all(|pair| pair[0] != pair[1]),
            "{scores:?}"
        );
    }
}
