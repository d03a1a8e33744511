//! The encoder `my-plugin`: gated convolutions mix the frames, as many blocks as the size asks for.

use orze_plugin::builder::{Builder, Frames};
use orze_plugin::encoder::*;

/// The name in configurations: `temporal_encoder: my-plugin`.
const NAME: &str = "my-plugin";

/// The key of the hyperparameter; no other encoder of a campaign may mean something else by it.
const KERNEL: &str = "kernel";

struct MyEncoder;

impl Encoder for MyEncoder {
    fn encoders() -> Result<Vec<Description>, Error> {
        Ok(vec![Description {
            name: NAME.into(),
            summary: "Gated depthwise convolutions over time, then a feed-forward layer.".into(),
            hyperparameters: vec![Hyperparameter {
                key: KERNEL.into(),
                summary: "frames that a frame sees; odd".into(),
                default: 7.into(),
                domain: Domain::Choices([3, 5, 7, 9, 15].map(Value::from).into()),
            }],
        }])
    }

    fn build(name: &str, size: Size, hyperparameters: &[Setting]) -> Result<LayerGraph, Error> {
        if name != NAME {
            let message = format!("the only encoder here is `{NAME}`");
            return Err(Error::Unsupported(message));
        }
        // The runtime fills in every hyperparameter.
        let kernel = integer(hyperparameters, KERNEL).and_then(|kernel| u32::try_from(kernel).ok());
        let kernel = kernel.ok_or_else(|| Problem::at(KERNEL, "is no number of frames"))?;
        let mut g = Builder::new();
        let mut h = g.input(); // [clips, frames, dim]
        for index in 0..size.layers {
            h = g.scope(&format!("blocks.{index}"), |g| block(g, &h, size.dim, kernel));
        }
        let h = g.rms_norm("norm", &h);
        Ok(g.finish(&h))
    }
}

/// Two residual branches, each normalised first. [clips, frames, dim] both ways.
fn block(g: &mut Builder, x: &Frames, dim: u32, kernel: u32) -> Frames {
    let h = g.rms_norm("mix.norm", x);
    let values = g.depthwise("mix.conv", &h, kernel);
    let gates = g.linear("mix.gates", &h, dim);
    let h = g.gate(&values, &gates);
    let h = g.linear("mix.out", &h, dim);
    let h = g.dropout(&h);
    let x = g.add(x, &h);

    let h = g.rms_norm("feed.norm", &x);
    let h = g.linear("feed.up", &h, dim.saturating_mul(2));
    let h = g.silu(&h);
    let h = g.linear("feed.down", &h, dim);
    let h = g.dropout(&h);
    g.add(&x, &h)
}

orze_plugin::export_encoder!(MyEncoder);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_is_a_block() {
        let nodes = |layers| {
            let size = Size {
                dim: 8,
                layers,
                heads: 2,
            };
            let graph = MyEncoder::build(NAME, size, &[Setting::new(KERNEL, 5)]).unwrap();
            graph.nodes.len()
        };
        assert_eq!(nodes(3) - nodes(2), nodes(2) - nodes(1));
    }

    #[test]
    fn another_name_is_not_on_offer() {
        let size = Size {
            dim: 8,
            layers: 1,
            heads: 2,
        };
        let error = MyEncoder::build("other", size, &[]).unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)));
    }
}
