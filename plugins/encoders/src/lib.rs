//! The encoders of the paper's appendix D as layer graphs.

use orze_plugin::builder::{Builder, Frames};
use orze_plugin::encoder::*;

mod block;
mod mamba;
mod retention;
mod xlstm;
mod zipformer;

/// Widest frames.
const MAX_DIM: u32 = 65_536;
/// Most blocks.
const MAX_LAYERS: u32 = 256;

/// An encoder on offer.
struct Offer {
    name: &'static str,
    summary: &'static str,
    /// Adds the layers, each in a scope of its own, and the last norm.
    build: fn(&mut Builder, Frames, Size) -> Frames,
}

const ENCODERS: [Offer; 5] = [
    Offer {
        name: "zipformer",
        summary: "attention and convolution at several temporal resolutions",
        build: zipformer::zipformer,
    },
    Offer {
        name: "retnet",
        summary: "causal retention with a decay rate for each head",
        build: retention::retnet,
    },
    Offer {
        name: "bimamba",
        summary: "selective state spaces in both directions of time; takes no heads",
        build: mamba::bimamba,
    },
    Offer {
        name: "hybrid",
        summary: "retention and bidirectional Mamba in turn",
        build: retention::hybrid,
    },
    Offer {
        name: "xlstm",
        summary: "matrix and scalar memories in turn",
        build: xlstm::xlstm,
    },
];

/// The plugin.
pub struct Encoders;

impl Encoder for Encoders {
    fn encoders() -> Result<Vec<Description>, Error> {
        let describe = |encoder: &Offer| Description {
            name: encoder.name.to_owned(),
            summary: encoder.summary.to_owned(),
            hyperparameters: Vec::new(),
        };
        Ok(ENCODERS.iter().map(describe).collect())
    }

    fn build(name: &str, size: Size, _: &[Setting]) -> Result<LayerGraph, Error> {
        let Some(encoder) = ENCODERS.iter().find(|encoder| encoder.name == name) else {
            let names = ENCODERS.map(|encoder| encoder.name).join(", ");
            return Err(Error::Unsupported(format!(
                "there is no encoder `{name}`; there are: {names}"
            )));
        };
        problems(size).into_result()?;
        let mut g = Builder::new();
        let x = g.input();
        let y = (encoder.build)(&mut g, x, size);
        Ok(g.finish(&y))
    }
}

/// What is wrong with a size.
fn problems(Size { dim, layers, heads }: Size) -> Problems {
    let mut problems = Problems::new();
    if !(1..=MAX_DIM).contains(&dim) {
        let problem = Problem::at("model_dim", format!("{dim} is outside 1 to {MAX_DIM}"));
        problems.add(problem.hint("128 to 512 are usual"));
    }
    if !(1..=MAX_LAYERS).contains(&layers) {
        let problem = Problem::at("layers", format!("{layers} is outside 1 to {MAX_LAYERS}"));
        problems.add(problem.hint("2 to 6 are usual"));
    }
    if heads == 0 || dim % heads != 0 {
        let problem = Problem::at("heads", format!("{heads} does not divide model_dim, {dim}"));
        problems.add(problem.hint("use a divisor of model_dim"));
    }
    problems
}

orze_plugin::export_encoder!(Encoders);
