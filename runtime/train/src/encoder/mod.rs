//! The temporal encoder: a checked graph, built in candle. Paper §4 and appendix D.

use candle_core::{Result, Tensor};
use orze_campaign::graph::{CheckedGraph, GraphBudget, Trainable};

use crate::mask::Mask;
use crate::parameters::Parameters;
use crate::pass::Pass;

mod build;
mod masks;
mod op;

use masks::Masks;
use op::{Arguments, Built};

/// What a worker builds at most. The campaign's own budget, which is smaller, was kept to before the
/// graph came here.
pub const BUDGET: GraphBudget = GraphBudget {
    max_parameters: 4_000_000_000,
    max_flops_per_clip: 20_000_000_000_000,
    frames: 64,
};

/// An encoder, as the model sees it.
pub trait TemporalEncoder: std::fmt::Debug + Send + Sync {
    /// `[batch, time, dim]` → `[batch, time, dim]`. What stands in padded frames, before or after,
    /// must not change a valid one.
    ///
    /// # Errors
    /// When a shape does not fit or the device has no memory left.
    fn forward(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor>;
}

/// A graph with its tensors.
#[derive(Debug)]
pub struct GraphEncoder {
    steps: Vec<Step>,
    /// Where the output stands; `None` where it is the input.
    output: Option<usize>,
    /// How many steps read the input.
    reads_of_input: usize,
}

/// One node.
#[derive(Debug)]
struct Step {
    /// Its place in the table of results.
    place: usize,
    /// The places of its inputs; `None` is the input of the encoder.
    inputs: Vec<Option<usize>>,
    /// How often its result is read.
    reads: usize,
    /// Frames of the input for one of its inputs.
    resolution: usize,
    built: Built,
}

/// Which form of the operations runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Kernels, where they apply.
    Fast,
    /// Candle's own operations.
    Composed,
}

impl GraphEncoder {
    /// Builds the graph; its parameters are made in the order of its nodes, each under the name of its
    /// node.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, graph: &CheckedGraph) -> Result<Self> {
        Self::with_tensors(graph, |tensor| build::trainable(parameters, tensor))
    }

    /// Builds the graph from given tensors, such as those of a file.
    ///
    /// # Errors
    /// Those of `tensor`.
    pub fn with_tensors(
        graph: &CheckedGraph,
        tensor: impl FnMut(&Trainable) -> Result<Tensor>,
    ) -> Result<Self> {
        build::encoder(graph, tensor)
    }

    /// [`TemporalEncoder::forward`] of candle's own operations, for every device.
    ///
    /// # Errors
    /// When a shape does not fit or the device has no memory left.
    pub fn composed(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        self.run(x, mask, pass, Form::Composed)
    }

    fn run(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass, form: Form) -> Result<Tensor> {
        let masks = Masks::new(mask, self.steps.iter().map(|step| step.resolution))?;
        let frames = x.dim(1)?;
        let mut table = Table::new(self, x);
        for step in &self.steps {
            let inputs: Vec<Tensor> = step
                .inputs
                .iter()
                .map(|&input| table.take(input))
                .collect::<Result<_>>()?;
            let result = step.built.forward(&Arguments {
                inputs: &inputs,
                mask: masks.at(step.resolution),
                pass,
                form,
                resolution: step.resolution,
                frames,
            })?;
            table.put(step, result);
        }
        table.take(self.output)
    }
}

impl TemporalEncoder for GraphEncoder {
    fn forward(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        self.run(x, mask, pass, Form::Fast)
    }
}

/// Results that are still to be read.
struct Table {
    input: Entry,
    results: Vec<Entry>,
}

#[derive(Clone, Default)]
struct Entry {
    tensor: Option<Tensor>,
    reads: usize,
}

impl Table {
    fn new(encoder: &GraphEncoder, x: &Tensor) -> Self {
        Self {
            input: Entry {
                tensor: Some(x.clone()),
                reads: encoder.reads_of_input,
            },
            results: vec![Entry::default(); encoder.steps.len()],
        }
    }

    fn put(&mut self, step: &Step, tensor: Tensor) {
        self.results[step.place] = Entry {
            tensor: Some(tensor),
            reads: step.reads,
        };
    }

    /// The tensor, which is let go with its last reading.
    fn take(&mut self, place: Option<usize>) -> Result<Tensor> {
        let entry = match place {
            None => &mut self.input,
            Some(place) => &mut self.results[place],
        };
        entry.reads = entry.reads.saturating_sub(1);
        let tensor = if entry.reads == 0 {
            entry.tensor.take()
        } else {
            entry.tensor.clone()
        };
        tensor.ok_or_else(|| candle_core::Error::msg("a graph reads a result that is not there"))
    }
}

#[cfg(test)]
mod tests;
