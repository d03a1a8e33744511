//! A model from its saved parameters and its graph, in double precision.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Result, Tensor};
use orze_campaign::graph::CheckedGraph;

use super::data::Clip;
use super::pooling::{Attention, dot, pool};
use crate::audit::asked::Asked;
use crate::encoder::GraphEncoder;
use crate::pass::Pass;

/// Parameters by name: shape, and values row by row.
pub type Weights = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

/// A model that scores clips.
#[derive(Debug)]
pub struct Model {
    weights: Weights,
    encoder: GraphEncoder,
    pooling: String,
    dim: usize,
}

/// Names and shapes of the parameters that a configuration and a graph ask for.
pub fn parameters(
    asked: &Asked,
    graph: &CheckedGraph,
    inputs: usize,
) -> BTreeSet<(String, Vec<usize>)> {
    let dim = asked.model_dim;
    let mut all = BTreeSet::from([
        ("projection.weight".to_owned(), vec![dim, inputs]),
        ("projection.bias".to_owned(), vec![dim]),
        ("head.weight".to_owned(), vec![1, dim]),
        ("head.bias".to_owned(), vec![1]),
    ]);
    if asked.pooling == "attention" {
        all.insert(("pooling.query".to_owned(), vec![dim]));
        all.insert(("pooling.key.weight".to_owned(), vec![dim, dim]));
    }
    for node in graph.as_written() {
        for tensor in graph.trainables(&node) {
            let shape = tensor.shape.iter().map(|&side| side as usize).collect();
            all.insert((format!("encoder.{}", tensor.name), shape));
        }
    }
    all
}

impl Model {
    /// The model of these parameters.
    ///
    /// # Errors
    /// When one of them is missing or does not fit.
    pub fn new(asked: &Asked, graph: &CheckedGraph, weights: Weights) -> Result<Self> {
        let encoder = GraphEncoder::with_tensors(graph, |tensor| {
            let name = format!("encoder.{}", tensor.name);
            let missing = || candle_core::Error::msg(format!("{name} is missing"));
            let (shape, values) = weights.get(&name).ok_or_else(missing)?;
            Tensor::from_vec(values.clone(), shape.as_slice(), &Device::Cpu)
        })?;
        Ok(Self {
            encoder,
            pooling: asked.pooling.clone(),
            dim: asked.model_dim,
            weights,
        })
    }

    fn values(&self, name: &str) -> Result<&[f64]> {
        let missing = || candle_core::Error::msg(format!("{name} is missing"));
        let (_, values) = self.weights.get(name).ok_or_else(missing)?;
        Ok(values)
    }

    /// The logits of clips, none of them padded: those of one length go through the encoder together.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn score(&self, clips: &[Clip], warmup: f64) -> Result<Vec<f64>> {
        let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, clip) in clips.iter().enumerate() {
            by_length.entry(clip.frames).or_default().push(index);
        }
        let mut logits = vec![0.0; clips.len()];
        for (frames, indices) in by_length {
            let mut projected = Vec::new();
            for &index in &indices {
                let rows = clips[index].values.chunks_exact(clips[index].dim);
                for row in rows {
                    projected.extend(self.projected(row)?);
                }
            }
            let shape = (indices.len(), frames, self.dim);
            let x = Tensor::from_vec(projected, shape, &Device::Cpu)?;
            let encoded = self.encoder.composed(&x, None, &Pass::evaluation(warmup))?;
            for (place, &index) in indices.iter().enumerate() {
                let frames = encoded.get(place)?.to_dtype(DType::F64)?;
                logits[index] = self.logit(&frames.flatten_all()?.to_vec1()?)?;
            }
        }
        Ok(logits)
    }

    fn projected(&self, row: &[f64]) -> Result<Vec<f64>> {
        let weight = self.values("projection.weight")?.chunks_exact(row.len());
        let bias = self.values("projection.bias")?;
        Ok(weight.zip(bias).map(|(w, b)| dot(w, row) + b).collect())
    }

    /// The logit of encoded frames.
    fn logit(&self, frames: &[f64]) -> Result<f64> {
        let attention = match self.pooling.as_str() {
            "attention" => Some(Attention {
                query: self.values("pooling.query")?,
                key: self.values("pooling.key.weight")?,
            }),
            _ => None,
        };
        let missing = || candle_core::Error::msg(format!("no pooling `{}`", self.pooling));
        let pooled = pool(&self.pooling, frames, self.dim, attention).ok_or_else(missing)?;
        let bias = self.values("head.bias")?.first().copied();
        Ok(dot(self.values("head.weight")?, &pooled) + bias.unwrap_or_default())
    }
}
