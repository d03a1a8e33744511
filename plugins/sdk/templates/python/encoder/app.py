"""The encoder `my-plugin`: gated convolutions mix the frames, as many blocks as the size asks for."""

from orze_graph import Graph
import orze_plugin as orze

# The name in configurations: `temporal_encoder: my-plugin`.
NAME = "my-plugin"
# The key of the hyperparameter; no other encoder of a campaign may mean something else by it.
KERNEL = "kernel"


@orze.export
class Encoder(orze.Encoder):
    def encoders(self):
        return [
            orze.EncoderDescription(
                name=NAME,
                summary="Gated depthwise convolutions over time, then a feed-forward layer.",
                hyperparameters=[
                    orze.Hyperparameter(
                        key=KERNEL,
                        summary="frames that a frame sees; odd",
                        default=7,
                        choices=[3, 5, 7, 9, 15],
                    )
                ],
            )
        ]

    def build(self, name, size, hyperparameters):
        if name != NAME:
            raise orze.Unsupported(f"the only encoder here is `{NAME}`")
        kernel = orze.integer(hyperparameters, KERNEL)
        g = Graph()
        h = g.x  # [clips, frames, dim]
        for index in range(size.layers):
            with g.scope(f"blocks.{index}"):
                h = block(g, h, size.dim, kernel)
        return g.output(g.rms_norm("norm", h))


def block(g, x, dim, kernel):
    """Two residual branches, each normalised first. [clips, frames, dim] both ways."""
    h = g.rms_norm("mix.norm", x)
    values = g.convolution("mix.conv", h, kernel)
    gates = g.linear("mix.gates", h, dim)
    h = g.linear("mix.out", g.gate(values, gates), dim)
    x = g.add(x, g.dropout(h))

    h = g.rms_norm("feed.norm", x)
    h = g.activation(g.linear("feed.up", h, 2 * dim), "silu")
    h = g.linear("feed.down", h, dim)
    return g.add(x, g.dropout(h))
