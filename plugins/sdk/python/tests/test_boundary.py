"""What the runtime hears of a plugin in Python, by the bindings that componentize-py writes:

    componentize-py -d wit/v1 -w orze:plugin/task -w orze:plugin/diversity -w orze:plugin/encoder \
        bindings target/bindings
    PYTHONPATH=target/bindings:plugins/sdk/python python3 plugins/sdk/python/tests/test_boundary.py
"""

import unittest

import orze_plugin as orze
from componentize_py_types import Err
from orze_graph import FAN_IN, FUNCTIONS, LOG_RANGE, Graph, constant, step_sizes, uniform, values
from wit_world.exports import diversity as diversity_wit, encoder as encoder_wit
from wit_world.imports import graph as graph_wit, types as wit


def setting(key, value):
    return wit.Setting(key, value)


CONFIGURATION = [
    setting("backbone", wit.Value_Text("rows")),
    setting("epochs", wit.Value_Integer(4)),
    setting("nested", wit.Value_Boolean(True)),
    setting("rate", wit.Value_Real(0.5)),
]


def answering(base, name, answer):
    """The exported form of a plugin with one method, which gives or raises this answer."""

    def method(self, *arguments):
        method.heard = arguments
        if isinstance(answer, BaseException):
            raise answer
        return answer

    exported = orze.export(type(base.__name__, (base,), {name: method}))()
    return getattr(exported, name), method


class Errors(unittest.TestCase):
    def error(self, answer, name="validate"):
        call, _ = answering(orze.Task, name, answer)
        with self.assertRaises(Err) as raised:
            call(*([CONFIGURATION] if name == "validate" else []))
        return raised.exception.value

    def test_problems_are_told_as_they_are(self):
        problem = orze.Problem("is small", key="epochs", hint="8")
        expected = wit.Error_Invalid([wit.Problem("epochs", "is small", "8")])
        for answer in ([problem], iter([problem]), orze.Invalid(problem)):
            self.assertEqual(self.error(answer), expected)
        plain = wit.Error_Invalid([wit.Problem(None, "odd", None)])
        self.assertEqual(self.error(orze.Invalid("odd")), plain)

    def test_what_is_not_on_offer_is_said(self):
        self.assertEqual(self.error(orze.Unsupported("no such")), wit.Error_Unsupported("no such"))

    def test_any_other_exception_is_a_fault_with_its_line(self):
        for exception in (KeyError("kernel"), SystemExit(3), RecursionError("deep")):
            message = self.error(exception).value
            self.assertIsInstance(self.error(exception), wit.Error_Internal)
            self.assertIn(
                f"{type(exception).__name__}: {exception} (test_boundary.py, line", message
            )
            self.assertTrue(message.endswith("in method)"), message)

    def test_an_exception_without_a_text_is_told_too(self):
        class Mute(Exception):
            def __str__(self):
                raise self

        self.assertTrue(self.error(Mute()).value.startswith("Mute: its text can't be told ("))
        self.assertTrue(self.error(ValueError("\ud800")).value.startswith("ValueError: ? ("))

    def test_answers_of_the_wrong_type_are_faults_and_name_what(self):
        for name, answer, expected in (
            ("rules", None, "TypeError: `rules` needs a str, not None"),
            ("rules", "\ud800", "UnicodeEncodeError"),
            ("describe", "digits", "TypeError: `describe` needs a Description"),
            (
                "describe",
                orze.Description("a", 1, "", ""),
                "TypeError: `version` needs a str, not 1",
            ),
            (
                "describe",
                orze.Description("a", "1", "", "", [orze.Split("train", 1.5)]),
                "TypeError: `clips of a split` needs a whole number, not 1.5",
            ),
            ("validate", 3, "TypeError"),
            ("validate", [3], "TypeError: `problem` needs a Problem, not 3"),
            ("validate", orze.Invalid(), "ValueError: Invalid was raised without a problem"),
        ):
            error = self.error(answer, name)
            self.assertIsInstance(error, wit.Error_Internal)
            self.assertTrue(error.value.startswith(expected), error.value)


class Tasks(unittest.TestCase):
    def test_a_configuration_is_a_dict(self):
        call, method = answering(orze.Task, "validate", None)
        self.assertIsNone(call(CONFIGURATION))
        expected = {"backbone": "rows", "epochs": 4, "nested": True, "rate": 0.5}
        self.assertEqual(method.heard, (expected,))

    def test_variants_are_ordered_and_typed(self):
        base = wit.Finished(1, "somebody", CONFIGURATION, 0.5)
        variant = {"rate": 0.5, "nested": True, "epochs": 4, "backbone": "rows"}
        call, _ = answering(orze.Task, "sweep", [variant])
        self.assertEqual(call(base), [CONFIGURATION])
        call, _ = answering(orze.Task, "sweep", None)
        self.assertIsNone(call(base))
        for wrong in (2**63, None, [1]):
            call, _ = answering(orze.Task, "sweep", [{"epochs": wrong}])
            with self.assertRaises(Err) as raised:
                call(base)
            self.assertIn("`epochs`", raised.exception.value.value)

    def test_values_are_read_as_what_they_are(self):
        values = {"name": "rows", "whole": 4, "part": 0.5, "holds": True}
        self.assertEqual(orze.text(values, "name"), "rows")
        self.assertEqual(orze.integer(values, "whole"), 4)
        self.assertEqual([orze.real(values, key) for key in ("whole", "part")], [4, 0.5])
        self.assertIs(orze.boolean(values, "holds"), True)
        self.assertEqual(orze.integer(values, "minimum", 1), 1)
        for read, key, message in (
            (orze.integer, "minimum", "is missing"),
            (orze.integer, "holds", "needs a whole number, not True"),
            (orze.integer, "part", "needs a whole number, not 0.5"),
            (orze.real, "name", "needs a number, not 'rows'"),
            (orze.text, "whole", "needs a text, not 4"),
            (orze.boolean, "whole", "needs true or false, not 4"),
        ):
            with self.assertRaisesRegex(orze.Invalid, message) as raised:
                read(values, key)
            self.assertEqual(raised.exception.problems[0].key, key)

    def test_priorities_are_names(self):
        call, method = answering(orze.Task, "prioritise", "high")
        self.assertEqual(call([], wit.Priority.LOW), wit.Priority.HIGH)
        self.assertEqual(method.heard, ({}, "low"))
        call, _ = answering(orze.Task, "prioritise", "urgent")
        self.assertRaises(Err, call, [], wit.Priority.LOW)

    def test_what_is_not_defined_has_a_default(self):
        exported = orze.export(type("Task", (orze.Task,), {}))()
        self.assertIsNone(exported.validate(CONFIGURATION))
        self.assertIsNone(exported.sweep(wit.Finished(1, "x", [], None)))
        self.assertEqual(exported.prioritise([], wit.Priority.CRITICAL), wit.Priority.CRITICAL)
        self.assertEqual(exported.rules(), "")
        self.assertRaises(Err, exported.describe)

    def test_a_class_must_be_marked_and_named_right(self):
        unmarked = type("Task", (orze.Task,), {})
        self.assertRaisesRegex(TypeError, "export` is missing above `class Task", unmarked)
        with self.assertRaisesRegex(TypeError, "must be named `Task`"):
            orze.export(type("Digits", (orze.Task,), {}))
        with self.assertRaisesRegex(TypeError, "derives from none of"):
            orze.export(type("Task", (), {}))


class Budgets(unittest.TestCase):
    terms = diversity_wit.Terms(
        [diversity_wit.BudgetOption("dimensions", diversity_wit.OptionValue_Texts(["loss"]))],
        [diversity_wit.Dimension("loss", "loss", [wit.Value_Text("bce")])],
    )
    history = diversity_wit.History(wit.Finished(1, "x", CONFIGURATION, None), [])

    def test_terms_and_history_are_plain(self):
        call, method = answering(orze.Diversity, "budget", ["one"])
        self.assertEqual(call(self.terms, self.history), ["one"])
        terms, history = method.heard
        self.assertEqual(terms.options, {"dimensions": ["loss"]})
        self.assertEqual(terms.dimensions["loss"].choices, ["bce"])
        self.assertEqual(history.leader.configuration["epochs"], 4)
        self.assertIsNone(history.leader.objective)

    def test_verdicts_are_reasons(self):
        call, method = answering(orze.Diversity, "assess", [None, "too like the leader"])
        verdicts = call(self.terms, self.history, [CONFIGURATION, []])
        refusal = diversity_wit.Verdict_Refuse("too like the leader")
        self.assertEqual(verdicts, [diversity_wit.Verdict_Admit(), refusal])
        self.assertEqual(method.heard[2][0]["backbone"], "rows")
        with self.assertRaises(Err) as raised:
            call(self.terms, self.history, [CONFIGURATION])
        self.assertIn("2 verdicts on 1 ideas", raised.exception.value.value)


class Encoders(unittest.TestCase):
    def test_hyperparameters_have_a_domain(self):
        described = orze.EncoderDescription(
            "mine",
            "mixes",
            [
                orze.Hyperparameter("kernel", "frames", 7, choices=[3, 7]),
                orze.Hyperparameter("decay", "share", 0.5, range=(0, 1)),
            ],
        )
        call, _ = answering(orze.Encoder, "encoders", [described])
        [description] = call()
        kernel, decay = description.hyperparameters
        choices = [wit.Value_Integer(3), wit.Value_Integer(7)]
        self.assertEqual(kernel.domain, encoder_wit.Domain_Choices(choices))
        self.assertEqual(decay.domain, encoder_wit.Domain_Range((0.0, 1.0)))
        described.hyperparameters.append(orze.Hyperparameter("none", "has no domain", 1))
        with self.assertRaises(Err) as raised:
            call()
        self.assertIn("`none` needs `choices` or `range`", raised.exception.value.value)

    def test_every_operation_has_its_case(self):
        g = Graph()
        p = g.parameter("p", [8, 2], LOG_RANGE)
        with g.scope("blocks.0"):
            h = g.linear("in", g.x, 24, weight_initial=uniform(0.1), bias_initial=constant(1))
        g.convolution("conv", h, 3, causal=True, out=4)
        for norm in (g.bias_norm, g.layer_norm, g.rms_norm):
            norm(norm.__name__, h)
        for function in FUNCTIONS:
            g.activation(h, function)
        for pair in (g.gate, g.add, g.subtract, g.multiply, g.concat, g.scalar_memory):
            pair(h, h)
        g.bypass("bypass", h, h)
        g.affine(h, 2, 1)
        g.slice(h, 0, 8)
        g.attention(h, 2)
        g.retention(h, 2)
        g.retention(h, 1, [0.9])
        d = g.parameter("d", [], values([1, 2]))
        s = g.parameter("s", [8], step_sizes(1e-3, 0.1))
        g.selective_scan(h, h, h, p, d)
        g.matrix_memory(h, 2)
        g.downsample("down", h, 2)
        g.upsample(h, 2)
        g.reverse(h)
        g.dropout(s)
        call, _ = answering(orze.Encoder, "build", g.output(h))
        graph = call("mine", encoder_wit.Size(8, 1, 2), CONFIGURATION)
        cases = {case for case in vars(graph_wit) if case.startswith("Op_")}
        self.assertEqual({type(node.op).__name__ for node in graph.nodes}, cases)
        ops = {node.name: node.op for node in graph.nodes}
        fan_in = graph_wit.Initial_FanIn()
        self.assertEqual(FAN_IN, "fan_in")
        linear = graph_wit.Linear(
            24, True, graph_wit.Initial_Uniform(0.1), graph_wit.Initial_Constant(1.0)
        )
        self.assertEqual(ops["blocks.0.in"], graph_wit.Op_Linear(linear))
        self.assertNotEqual(linear.weight_initial, fan_in)
        self.assertEqual(ops["layer_norm"], graph_wit.Op_LayerNorm(1))
        self.assertEqual(ops["conv"], graph_wit.Op_Convolution(graph_wit.Convolution(3, True, 4)))
        steps = graph_wit.Initial_StepSizes((1e-3, 0.1))
        self.assertEqual(ops["s"], graph_wit.Op_Parameter(graph_wit.Parameter([8], steps)))
        functions = [
            node.op.value for node in graph.nodes if "Activation" in type(node.op).__name__
        ]
        self.assertEqual(functions, list(graph_wit.Function))

    def test_mistakes_are_found_where_they_are_made(self):
        g = Graph()
        g.rms_norm("norm", g.x)
        for mistake, message in (
            (lambda: g.rms_norm("norm", g.x), "two nodes are named `norm`"),
            (lambda: g.add(g.x, "nrom"), "there is no node `nrom` so far"),
            (lambda: g.output("nrom"), "there is no node `nrom` so far"),
            (lambda: g.linear("up", g.x, 2.5), "`up: out` needs a whole number"),
            (lambda: g.attention(g.x, -1), "`attention: heads` would be -1"),
            (lambda: g.activation(g.x, "swish"), "'swish' is none of relu"),
            (g.plain, "the graph has no output"),
        ):
            self.assertRaisesRegex((ValueError, TypeError, orze.Invalid), message, mistake)


if __name__ == "__main__":
    unittest.main()
