"""Layer graphs: what an encoder is, as data.

    g = Graph()
    h = g.layer_norm("norm", g.x)
    h = g.linear("up", h, 2 * size.dim)
    h = g.linear("down", g.activation(h, "silu"), size.dim)
    return g.output(g.add(g.x, h))

Each method adds a node and gives its name, which is what later nodes take as input. What has
parameters is given a name, which they bear; the rest is named by the graph. A node is either
*frames*, `[clips, frames / r, width]` at a resolution `r` (1 unless downsampled), or a *parameter* of
a fixed shape. The input `x` has the width `dim` of the encoder's size, and so must the output.
Operations work on each frame by itself unless their text says that they mix frames; padding after a
clip's end never reaches its frames. The runtime infers every shape before anything is built, and
names the node that does not fit.

`Graph.plain` is the same graph as an idea holds it in YAML.
"""

from contextlib import contextmanager
from typing import Any, Optional, Union

from orze_plugin import count

Initial = Union[str, dict[str, Any]]

# How a parameter starts. Random values come from the experiment's seed.
ZEROS: Initial = "zeros"
ONES: Initial = "ones"
FAN_IN: Initial = "fan_in"  # uniform within ±1/√n, n the last side of the shape
LOG_RANGE: Initial = "log_range"  # the logarithms of 1 to n along the last side


def constant(value: float) -> Initial:
    """One value everywhere."""
    return {"constant": float(value)}


def uniform(bound: float) -> Initial:
    """Uniform within plus and minus the bound."""
    return {"uniform": float(bound)}


def step_sizes(low: float, high: float) -> Initial:
    """The inverse softplus of numbers log-uniform between the two: step sizes of a selective scan."""
    return {"step_sizes": [float(low), float(high)]}


def values(entries: list[float]) -> Initial:
    """These values, row by row."""
    return {"values": [float(entry) for entry in entries]}


FUNCTIONS = ("relu", "gelu", "silu", "sigmoid", "tanh", "softplus", "swoosh_r", "swoosh_l")


class Graph:
    """A graph under construction."""

    x = "x"

    def __init__(self):
        self._nodes: list[dict] = []
        self._names: set[str] = {self.x}
        self._scope = ""
        self._output: Optional[str] = None

    @contextmanager
    def scope(self, name: str):
        """Puts `name.` before the names of the nodes made inside: `with g.scope("blocks.0"):`."""
        outer = self._scope
        self._scope = f"{outer}{name}."
        try:
            yield
        finally:
            self._scope = outer

    def output(self, node: str) -> "Graph":
        """Says which node is the result, and gives the graph back."""
        self._known(node)
        self._output = node
        return self

    def plain(self) -> dict:
        """The graph as lists and dicts: the form of a graph in an idea."""
        if self._output is None:
            raise ValueError("the graph has no output: end with `return g.output(node)`")
        return {"nodes": self._nodes, "output": self._output}

    # Parameters

    def parameter(self, name: str, shape: list[int], initial: Initial) -> str:
        """A trainable tensor; an empty shape is a single number."""
        shape = [count(side, f"{name}: shape") for side in shape]
        return self._add(name, [], {"parameter": {"shape": shape, "initial": initial}})

    # Widths

    def linear(
        self,
        name: str,
        x: str,
        out: int,
        *,
        bias: bool = True,
        weight_initial: Initial = FAN_IN,
        bias_initial: Initial = ZEROS,
    ) -> str:
        """`y = x Wᵀ + b`, to the width `out`."""
        body = {
            "out": count(out, f"{name}: out"),
            "bias": bool(bias),
            "weight_initial": weight_initial,
            "bias_initial": bias_initial,
        }
        return self._add(name, [x], {"linear": body})

    def concat(self, *parts: str) -> str:
        """Side by side, at least two."""
        return self._add(None, list(parts), "concat")

    def slice(self, x: str, start: int, width: int) -> str:
        """Part of the width."""
        body = {"start": count(start, "slice: start"), "width": count(width, "slice: width")}
        return self._add(None, [x], {"slice": body})

    # Norms

    def bias_norm(self, name: str, x: str) -> str:
        """`x · exp(s) / √(mean (x − b)² + ε)`. Paper D.1."""
        return self._add(name, [x], "bias_norm")

    def layer_norm(self, name: str, x: str, groups: int = 1) -> str:
        """Zero mean and unit variance within equal groups of the width, then weight and bias."""
        return self._add(name, [x], {"layer_norm": {"groups": count(groups, f"{name}: groups")}})

    def rms_norm(self, name: str, x: str) -> str:
        """`x / √(mean x² + ε)`, then a weight."""
        return self._add(name, [x], "rms_norm")

    # Entry by entry

    def activation(self, x: str, function: str) -> str:
        """A function (one of FUNCTIONS) of every entry."""
        if function not in FUNCTIONS:
            raise ValueError(f"activation: {function!r} is none of {', '.join(FUNCTIONS)}")
        return self._add(None, [x], {"activation": function})

    def gate(self, x: str, z: str) -> str:
        """`x ⊙ silu(z)`, of equal width."""
        return self._add(None, [x, z], "gate")

    def add(self, x: str, y: str) -> str:
        """Frames of equal width, or frames and a parameter `[width]`, `[1]` or `[]`."""
        return self._add(None, [x, y], "add")

    def subtract(self, x: str, y: str) -> str:
        """As `add`; `y` is taken from `x`."""
        return self._add(None, [x, y], "subtract")

    def multiply(self, x: str, y: str) -> str:
        """As `add`, multiplied."""
        return self._add(None, [x, y], "multiply")

    def affine(self, x: str, factor: float = 1.0, offset: float = 0.0) -> str:
        """`factor · x + offset`, with constants."""
        body = {"factor": float(factor), "offset": float(offset)}
        return self._add(None, [x], {"affine": body})

    def bypass(self, name: str, x: str, branch: str) -> str:
        """`x + c ⊙ branch` with a learned, bounded `c`. Paper D.1."""
        return self._add(name, [x, branch], "bypass")

    def dropout(self, x: str) -> str:
        """Zeroes entries in training, at the experiment's `dropout`."""
        return self._add(None, [x], "dropout")

    # Over time: these mix frames

    def convolution(
        self, name: str, x: str, kernel: int, *, causal: bool = False, out: Optional[int] = None
    ) -> str:
        """A convolution with a bias. The kernel is odd unless causal (a frame sees itself and those
        before it). Without `out` a depthwise one: a filter for each channel."""
        body = {
            "kernel": count(kernel, f"{name}: kernel"),
            "causal": bool(causal),
            "out": None if out is None else count(out, f"{name}: out"),
        }
        return self._add(name, [x], {"convolution": body})

    def attention(self, qkv: str, heads: int) -> str:
        """Softmax attention; the input holds queries, keys and values side by side. Paper D.1."""
        return self._add(None, [qkv], {"attention": {"heads": count(heads, "attention: heads")}})

    def retention(self, qkv: str, heads: int, rates: Optional[list[float]] = None) -> str:
        """Retention; input as of `attention`. `rates` are the heads' decays in (0, 1); without them
        `1 − 2^(−5−h)` of head `h`. Paper D.2."""
        body = {
            "heads": count(heads, "retention: heads"),
            "rates": [float(rate) for rate in rates or []],
        }
        return self._add(None, [qkv], {"retention": body})

    def selective_scan(self, u: str, delta: str, bc: str, a_log: str, d: str) -> str:
        """`u` and `delta` of one width, `bc` of `2 · states`, parameters `a_log` `[width, states]` and
        `d` `[width]`. Causal. Paper D.3."""
        return self._add(None, [u, delta, bc, a_log, d], "selective_scan")

    def matrix_memory(self, packed: str, heads: int) -> str:
        """The mLSTM; the input holds queries, keys, values, input and forget gates,
        `3 · width + 2 · heads`. Causal."""
        return self._add(
            None, [packed], {"matrix_memory": {"heads": count(heads, "matrix_memory: heads")}}
        )

    def scalar_memory(self, gates: str, recurrent: str) -> str:
        """The sLSTM: gates `4 · width` (input, forget, cell, output), and a parameter
        `[4 · width, width / heads]` through which each head hears itself. Causal."""
        return self._add(None, [gates, recurrent], "scalar_memory")

    def downsample(self, name: str, x: str, factor: int) -> str:
        """Every `factor` frames become one, with learned weights."""
        return self._add(name, [x], {"downsample": {"factor": count(factor, f"{name}: factor")}})

    def upsample(self, x: str, factor: int) -> str:
        """Every frame is repeated `factor` times; the inverse of `downsample`."""
        return self._add(None, [x], {"upsample": {"factor": count(factor, "upsample: factor")}})

    def reverse(self, x: str) -> str:
        """Each clip turned around in time."""
        return self._add(None, [x], "reverse")

    # How nodes are kept

    def _add(self, name: Optional[str], inputs: list[str], op: Union[str, dict]) -> str:
        name = f"{self._scope}{name or self._free()}"
        if name in self._names:
            raise ValueError(f"two nodes are named `{name}`")
        for node in inputs:
            self._known(node)
        self._names.add(name)
        self._nodes.append({"name": name, "inputs": inputs, "op": op})
        return name

    def _free(self) -> str:
        number = len(self._nodes) + 1
        while f"{self._scope}n{number}" in self._names:
            number += 1
        return f"n{number}"

    def _known(self, node: str):
        if node not in self._names:
            raise ValueError(f"there is no node `{node}` so far")

    def to_wit(self):
        """The graph as the bindings of a component have it."""
        from wit_world.imports import graph as wit

        plain = self.plain()
        nodes = [
            wit.Node(node["name"], node["inputs"], _op(wit, node["op"])) for node in plain["nodes"]
        ]
        return wit.LayerGraph(nodes, plain["output"])


def _op(wit, op: Union[str, dict]):
    if isinstance(op, str):
        return getattr(wit, f"Op_{_camel(op)}")()
    [(kind, body)] = op.items()
    case = getattr(wit, f"Op_{_camel(kind)}")
    if kind == "activation":
        return case(wit.Function[body.upper()])
    body = {
        key: _initial(wit, entry) if key.endswith("initial") else entry
        for key, entry in body.items()
    }
    # Operations with several settings have a record of their own; a single one stands bare.
    record = getattr(wit, _camel(kind), None)
    return case(record(**body) if record else next(iter(body.values())))


def _initial(wit, initial: Initial):
    if isinstance(initial, str):
        return getattr(wit, f"Initial_{_camel(initial)}")()
    [(kind, body)] = initial.items()
    case = getattr(wit, f"Initial_{_camel(kind)}")
    return case(tuple(body) if kind == "step_sizes" else body)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
