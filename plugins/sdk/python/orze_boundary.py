"""The way between the runtime and a plugin: what `orze_plugin.export` makes of a class in a component.

A plugin's author needs nothing of this. Configurations and records come in as bindings and are given
to the plugin as plain Python; answers go out as bindings. An answer of the wrong type would trap on
its way out, so each is looked at here, where its name is still known.
"""

from typing import Union

from componentize_py_types import Err as _Err
from wit_world.imports import types as _types

from orze_plugin import (
    PRIORITIES,
    Configuration,
    Description,
    Dimension,
    Diversity,
    Encoder,
    Finished,
    History,
    Invalid,
    Problem,
    Size,
    Task,
    Terms,
    Unsupported,
    Value,
    count,
)


def _guarded(method):
    """Every exception becomes an error of the contract: one that leaves a component is a bare trap,
    which says nothing."""

    def call(self, *arguments):
        try:
            return method(self, *arguments)
        except BaseException as exception:
            error = _error(exception)
        raise _Err(error)

    return call


def _error(exception: BaseException):
    try:
        if isinstance(exception, Invalid):
            if not exception.problems:
                raise ValueError("Invalid was raised without a problem")
            return _types.Error_Invalid([_problem(problem) for problem in exception.problems])
        if isinstance(exception, Unsupported):
            return _types.Error_Unsupported(_text(str(exception), "Unsupported"))
    except BaseException as mistake:
        exception = mistake
    return _types.Error_Internal(_described(exception))


def _described(exception: BaseException) -> str:
    """`KeyError: 'kernel' (app.py, line 12, in build)`: the last line of the author's own, if any."""
    try:
        text = str(exception).encode(errors="replace").decode()
    except BaseException:
        text = "its text can't be told"
    place, own, trace = "", "", exception.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        file = code.co_filename.rsplit("/", 1)[-1]
        place = f" ({file}, line {trace.tb_lineno}, in {code.co_name})"
        if file not in ("orze_boundary.py", "orze_plugin.py", "orze_graph.py"):
            own = place
        trace = trace.tb_next
    return f"{type(exception).__name__}: {text}{own or place}"


def _task(plugin: Task) -> type:
    from wit_world.exports import task as wit

    class Exported:
        @_guarded
        def describe(self):
            d = _is(plugin.describe(), Description, "describe")
            return wit.Description(
                _text(d.name, "name"),
                _text(d.version, "version"),
                _text(d.summary, "summary"),
                _text(d.space, "space"),
                [
                    wit.Split(
                        _text(split.name, "name of a split"),
                        None if split.clips is None else count(split.clips, "clips of a split"),
                    )
                    for split in d.splits
                ],
                bool(d.groups_disjoint),
            )

        @_guarded
        def validate(self, configuration):
            problems = plugin.validate(_configuration(configuration))
            if problems is not None:
                problems = list(problems)
                if problems:
                    raise Invalid(*problems)

        @_guarded
        def sweep(self, base):
            variants = plugin.sweep(_finished(base))
            return None if variants is None else [_settings(variant) for variant in variants]

        @_guarded
        def prioritise(self, configuration, proposed):
            asked = proposed.name.lower()
            answer = plugin.prioritise(_configuration(configuration), asked)
            if answer not in PRIORITIES:
                raise ValueError(f"priority {answer!r} is none of {', '.join(PRIORITIES)}")
            return _types.Priority[answer.upper()]

        @_guarded
        def rules(self):
            return _text(plugin.rules(), "rules")

    return Exported


def _diversity(plugin: Diversity) -> type:
    from wit_world.exports import diversity as wit

    def terms(given):
        return Terms(
            {option.key: option.value.value for option in given.options},
            {
                d.name: Dimension(d.name, d.group, [choice.value for choice in d.choices])
                for d in given.dimensions
            },
        )

    def history(given):
        leader = None if given.leader is None else _finished(given.leader)
        return History(leader, [_finished(finished) for finished in given.recent])

    class Exported:
        @_guarded
        def check(self, given):
            plugin.check(terms(given))

        @_guarded
        def assess(self, given, past, batch):
            ideas = [_configuration(idea) for idea in batch]
            verdicts = list(plugin.assess(terms(given), history(past), ideas))
            if len(verdicts) != len(ideas):
                raise ValueError(f"`assess` gave {len(verdicts)} verdicts on {len(ideas)} ideas")
            return [
                (
                    wit.Verdict_Admit()
                    if refusal is None
                    else wit.Verdict_Refuse(_text(refusal, "verdict"))
                )
                for refusal in verdicts
            ]

        @_guarded
        def budget(self, given, past):
            return [
                _text(line, "line of the budget")
                for line in plugin.budget(terms(given), history(past))
            ]

    return Exported


def _encoder(plugin: Encoder) -> type:
    from wit_world.exports import encoder as wit

    def hyperparameter(h):
        if h.choices is not None:
            domain = wit.Domain_Choices([_value(choice, h.key) for choice in h.choices])
        elif h.range is not None:
            domain = wit.Domain_Range((float(h.range[0]), float(h.range[1])))
        else:
            raise ValueError(f"hyperparameter `{h.key}` needs `choices` or `range`")
        return wit.Hyperparameter(
            _text(h.key, "key"), _text(h.summary, "summary"), _value(h.default, h.key), domain
        )

    class Exported:
        @_guarded
        def encoders(self):
            return [
                wit.Description(
                    _text(e.name, "name"),
                    _text(e.summary, "summary"),
                    [hyperparameter(h) for h in e.hyperparameters],
                )
                for e in plugin.encoders()
            ]

        @_guarded
        def build(self, name, size, hyperparameters):
            size = Size(size.dim, size.layers, size.heads)
            return plugin.build(name, size, _configuration(hyperparameters)).to_wit()

    return Exported


# Between plain Python and the bindings


def _configuration(settings) -> Configuration:
    return {setting.key: setting.value.value for setting in settings}


def _settings(configuration: Configuration):
    return [
        _types.Setting(_text(key, "key"), _value(configuration[key], key))
        for key in sorted(configuration)
    ]


def _finished(given) -> Finished:
    return Finished(
        given.id, given.researcher, _configuration(given.configuration), given.objective
    )


def _value(value: Value, key: str):
    if isinstance(value, bool):  # before int, of which bool is a kind
        return _types.Value_Boolean(value)
    if isinstance(value, str):
        return _types.Value_Text(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"`{key}`: {value} does not fit into 64 bits")
        return _types.Value_Integer(value)
    if isinstance(value, float):
        return _types.Value_Real(value)
    raise TypeError(f"`{key}`: {value!r} is no text, int, float or bool")


def _problem(problem: Union[Problem, str]):
    if isinstance(problem, str):
        problem = Problem(problem)
    _is(problem, Problem, "problem")
    return _types.Problem(
        None if problem.key is None else _text(problem.key, "key of a problem"),
        _text(problem.message, "message of a problem"),
        None if problem.hint is None else _text(problem.hint, "hint of a problem"),
    )


def _is(value, kind: type, what: str):
    if not isinstance(value, kind):
        raise TypeError(f"`{what}` needs a {kind.__name__}, not {value!r}")
    return value


def _text(value: str, what: str) -> str:
    _is(value, str, what).encode()  # half of a surrogate pair is no text outside Python
    return value


BOUNDARIES = {"Task": _task, "Diversity": _diversity, "Encoder": _encoder}
