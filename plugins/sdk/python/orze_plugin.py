"""What a Python plugin of orze-runtime is written with.

A plugin is one module, `app.py`, with one class: `Task`, `Diversity` or `Encoder`, derived from the
class of that name here and marked with `@export`. Its methods take and give plain Python: a
configuration is a dict of text, int, float and bool. What the runtime hears is translated here:

- `raise Invalid(Problem(…))`: the input is wrong, in words for whoever wrote it;
- `raise Unsupported("…")`: the plugin does not have what it was asked for;
- any other exception: a fault of the plugin, with the exception's text and line in the log.

Nothing here needs the runtime: `import app` works in an ordinary Python too, so a plugin is tested
like any other module. Only the compiled component has the bindings that are imported next.
"""

from dataclasses import dataclass, field
from typing import Iterable, Optional, Union

try:
    from wit_world.imports import log as _log, random as _random
except ImportError:
    _log = _random = None

Value = Union[str, int, float, bool]
Configuration = dict[str, Value]
PRIORITIES = ("low", "normal", "high", "critical")


# What the contracts speak of


@dataclass
class Problem:
    """Something wrong with an input. Language models read it before their next proposal: say what
    is wrong and, as the hint, what would be right."""

    message: str
    key: Optional[str] = None
    hint: Optional[str] = None


class Invalid(Exception):
    """The input is wrong: every reason, as problems or as plain text."""

    def __init__(self, *problems: Union[Problem, str]):
        super().__init__("; ".join(getattr(p, "message", str(p)) for p in problems))
        self.problems = problems


class Unsupported(Exception):
    """The plugin does not have what it was asked for, such as an encoder of that name."""


@dataclass
class Finished:
    """A finished experiment. The objective is the value that ranks, higher is better; None where the
    configuration itself failed."""

    id: int
    researcher: str
    configuration: Configuration
    objective: Optional[float]


@dataclass
class Split:
    """One part of the data (`train`, `validation`, `test`) and the clips it must hold, if that is known."""

    name: str
    clips: Optional[int] = None


@dataclass
class Description:
    """What a task is. `space` is the YAML of a space file. With `groups_disjoint` a pack in which
    one group (person, vehicle, camera) has clips in two splits is refused."""

    name: str
    version: str
    summary: str
    space: str
    splits: list[Split] = field(default_factory=list)
    groups_disjoint: bool = False


@dataclass
class Dimension:
    """A dimension of the space; no choices where it is a range."""

    name: str
    group: str
    choices: list[Value]


@dataclass
class Terms:
    """What stays the same throughout a campaign: `[diversity]` of the campaign file, and the space by
    the names of its dimensions."""

    options: dict[str, Union[Value, list[str]]]
    dimensions: dict[str, Dimension]


@dataclass
class History:
    """The best experiment so far, and the last finished ones, oldest first, at most 200."""

    leader: Optional[Finished]
    recent: list[Finished]


@dataclass
class Hyperparameter:
    """A hyperparameter of an encoder: one of `choices`, or a number in `range` (low, high)."""

    key: str
    summary: str
    default: Value
    choices: Optional[list[Value]] = None
    range: Optional[tuple[float, float]] = None


@dataclass
class EncoderDescription:
    """An encoder on offer: its name in configurations, what it is, its hyperparameters."""

    name: str
    summary: str
    hyperparameters: list[Hyperparameter] = field(default_factory=list)


@dataclass
class Size:
    """The size of an encoder: width of input and output, blocks, heads."""

    dim: int
    layers: int
    heads: int


# Values of a configuration, or of options, by key: what has another type, or is missing without a
# default, is Invalid.


def text(values: dict, key: str, default: Optional[str] = None) -> str:
    """The name under a key."""
    return _typed(values, key, default, str, "a text")


def integer(values: dict, key: str, default: Optional[int] = None) -> int:
    """The whole number under a key."""
    return _typed(values, key, default, int, "a whole number")


def real(values: dict, key: str, default: Optional[float] = None) -> float:
    """The number under a key, whole ones too."""
    return _typed(values, key, default, (int, float), "a number")


def boolean(values: dict, key: str, default: Optional[bool] = None) -> bool:
    """What is true or false under a key."""
    return _typed(values, key, default, bool, "true or false")


def _typed(values: dict, key: str, default, kind, name: str):
    value = values.get(key, default)
    if value is None:
        raise Invalid(Problem("is missing", key))
    # bool is a kind of int in Python, and nowhere else.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Invalid(Problem(f"needs {name}, not {value!r:.60}", key))
    return value


# What a plugin derives from. Every method must be deterministic and must not depend on earlier
# calls: the runtime may call a fresh copy of the plugin at any time.


class _Plugin:
    def __new__(cls, *_args):
        if _log is not None and not _exported(cls):
            raise TypeError(f"`@orze_plugin.export` is missing above `class {cls.__name__}`")
        return super().__new__(cls)


class Task(_Plugin):
    """A task: the space that is searched, and what the task knows that the space can't say."""

    def describe(self) -> Description:
        """Describes the task. Called once, before the campaign begins."""
        raise NotImplementedError("a task needs `describe`")

    def validate(self, configuration: Configuration) -> Optional[Iterable[Problem]]:
        """The problems of a configuration that is valid in the space: a list, or yielded one by one;
        None or none where it is fine. Called for every proposal."""
        return None

    def sweep(self, base: Finished) -> Optional[list[Configuration]]:
        """Variants of a promising experiment that are worth a grid around it, most useful first, at
        most 64; None for the campaign's own sweep."""
        return None

    def prioritise(self, configuration: Configuration, proposed: str) -> str:
        """The priority (one of PRIORITIES) of a proposal, given what its author asked for."""
        return proposed

    def rules(self) -> str:
        """What language models must know of the task, for the prompt. At most 16 KiB."""
        return ""


class Diversity(_Plugin):
    """A diversity budget: what the ideas of one cycle of a language model must hold together."""

    def check(self, terms: Terms) -> None:
        """Raises Invalid where the options are wrong; the campaign does not begin then."""

    def assess(
        self, terms: Terms, history: History, batch: list[Configuration]
    ) -> list[Optional[str]]:
        """For each idea of a cycle None, or the reason why it is refused; its author reads it."""
        raise NotImplementedError("a diversity budget needs `assess`")

    def budget(self, terms: Terms, history: History) -> list[str]:
        """The rules in force, a line each, for the next prompt. At most 64 lines of 1,000 bytes."""
        return []


class Encoder(_Plugin):
    """A source of encoders."""

    def encoders(self) -> list[EncoderDescription]:
        """The encoders on offer. Called once, before the campaign begins."""
        raise NotImplementedError("an encoder plugin needs `encoders`")

    def build(self, name: str, size: Size, hyperparameters: Configuration):
        """The `orze_graph.Graph` of an encoder; every hyperparameter has a value."""
        raise NotImplementedError("an encoder plugin needs `build`")


# What a plugin may call


def log(message: str, level: str = "info") -> None:
    """Writes a line to the campaign's log, at `debug`, `info` or `warn`. Lines beyond 100 a call or
    2,000 bytes a line are cut."""
    if _log is None:
        print(f"{level}: {message}")
    else:
        _log.write(_log.Level[level.upper()], str(message))


def random() -> float:
    """A number uniform in [0, 1), seeded by the runtime: the same call gets the same numbers. The
    module `random` is no substitute: in a component it repeats one sequence, fixed at the build."""
    if _log is None:
        import random as ordinary

        return ordinary.random()
    return _random.unit()


# The way into a component


def export(plugin: type) -> type:
    """Marks the class that is the plugin. In a component the class of that name becomes what the
    runtime calls; elsewhere it stays what it is."""
    for base in (Task, Diversity, Encoder):
        name = base.__name__
        if not issubclass(plugin, base):
            continue
        if plugin.__name__ != name:
            raise TypeError(f"`class {plugin.__name__}`: the exported class must be named `{name}`")
        if _log is None:
            return plugin
        import orze_boundary

        plugin._is_exported = True
        return orze_boundary.BOUNDARIES[name](plugin())
    raise TypeError(
        f"`class {plugin.__name__}` derives from none of orze_plugin.Task, Diversity and Encoder"
    )


def _exported(cls: type) -> bool:
    return getattr(cls, "_is_exported", False)


def count(value: int, what: str) -> int:
    """A whole number that fits into the contract's 32 bits, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"`{what}` needs a whole number, not {value!r:.60}")
    if not 0 <= value < 2**32:
        raise Invalid(f"`{what}` would be {value}, which is no number from 0 to 2^32 - 1")
    return value
