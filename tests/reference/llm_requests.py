"""What `runtime/llm` writes and reads, held against the providers' own libraries.

    pip install "anthropic<2" google-genai openai
    cargo run --release -p orze-llm --example requests | python tests/reference/llm_requests.py

Each request (JSON lines on stdin) must have the library's types, with no key that these don't know,
and the library, asked the same, must send the same bytes of JSON to the same path with the same
key. (The libraries of Anthropic from version 2 on speak a newer version of its API.) Each answer recorded in `runtime/llm/tests/answers` must be read by the library, whole and
streamed, to the text that the Rust tests expect. Nothing leaves this machine.
"""

import collections
import collections.abc
import copy
import json
import pathlib
import sys
import types
import typing

import anthropic
import anthropic.types
import google.genai
import google.genai.types
import httpx2
import openai
import openai.types.chat
import typing_extensions

ANSWERS = pathlib.Path(__file__).parents[2] / "runtime/llm/tests/answers"
EXPECTED = {"ideas": ["größer", "🚀"]}
HOST = "http://provider.test"


class Transport(httpx2.BaseTransport):
    """Keeps the request and gives a recorded answer."""

    def __init__(self, provider, stream):
        self.stream = stream
        self.answer = (ANSWERS / f"{provider}.{'sse' if stream else 'json'}").read_bytes()

    def handle_request(self, request):
        self.request = request
        request.read()
        kind = "text/event-stream" if self.stream else "application/json"
        return httpx2.Response(200, headers={"content-type": kind}, content=self.answer)


def fits(value, kind):
    """Whether a value is of a type, with no key that a dictionary type does not know."""
    origin, arguments = typing_extensions.get_origin(kind), typing_extensions.get_args(kind)
    if kind in (object, typing.Any):
        return True
    if origin is typing_extensions.Annotated:
        return fits(value, arguments[0])
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is typing_extensions.Literal:
        return value in arguments
    if typing_extensions.is_typeddict(kind):
        hints = typing_extensions.get_type_hints(kind)
        return (
            isinstance(value, dict)
            and kind.__required_keys__ <= value.keys() <= hints.keys()
            and all(fits(item, hints[key]) for key, item in value.items())
        )
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping):
        return isinstance(value, dict) and all(fits(item, arguments[1]) for item in value.values())
    if isinstance(origin, type):
        return isinstance(value, list) and all(fits(item, arguments[0]) for item in value)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def check_type(kind, body):
    assert fits(body, kind), (kind, body)


def check_refusal(kind, body, change):
    """The check itself must find what is wrong."""
    wrong = copy.deepcopy(body)
    change(wrong)
    assert not fits(wrong, kind), (kind, wrong)


def through_anthropic(case, transport):
    kinds = anthropic.types.message_create_params
    kind = (
        kinds.MessageCreateParamsStreaming
        if case["stream"]
        else kinds.MessageCreateParamsNonStreaming
    )
    # The library has dropped the temperature, which newer models refuse; the API has not.
    arguments = dict(case["body"])
    dropped = {key: arguments.pop(key) for key in ["temperature"] if key in arguments}
    check_type(kind, arguments)
    check_refusal(kind, arguments, lambda body: body.update(max_output_tokens=1))
    check_refusal(kind, arguments, lambda body: body["messages"][0].update(text=""))
    arguments["extra_body"] = dropped
    client = anthropic.Anthropic(
        api_key="the-key",
        base_url=HOST,
        http_client=httpx2.Client(transport=transport),
    )
    if not case["stream"]:
        message = client.messages.create(**arguments)
        blocks, usage = message.content, message.usage
        assert message.stop_reason == "tool_use"
        answer = next(block.input for block in blocks if block.type == "tool_use")
    else:
        pieces = []
        for event in client.messages.create(**arguments):
            if event.type == "message_start":
                usage = event.message.usage
            elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                pieces.append(event.delta.partial_json)
            elif event.type == "message_delta":
                usage.output_tokens = event.usage.output_tokens
                assert event.delta.stop_reason == "tool_use"
        answer = json.loads("".join(pieces))
    assert (usage.input_tokens, usage.output_tokens) == (100, 60)
    assert usage.cache_read_input_tokens == 2000
    assert usage.cache_creation_input_tokens == 30
    return answer


def through_gemini(case, transport):
    kinds = google.genai.types
    body = case["body"]
    contents = [kinds.Content.model_validate(content) for content in body["contents"]]
    config = dict(body["generationConfig"])
    if "systemInstruction" in body:
        config["systemInstruction"] = body["systemInstruction"]
    assert set(body) <= {"contents", "generationConfig", "systemInstruction"}
    assert kinds.GenerateContentConfig.model_config["extra"] == "forbid"
    client = google.genai.Client(
        api_key="the-key",
        http_options=kinds.HttpOptions(
            base_url=HOST,
            api_version="v1beta",
            httpx_client=httpx2.Client(transport=transport),
        ),
    )
    arguments = {
        "model": "model-1",
        "contents": contents,
        "config": kinds.GenerateContentConfig.model_validate(config),
    }
    if not case["stream"]:
        chunks = [client.models.generate_content(**arguments)]
    else:
        chunks = list(client.models.generate_content_stream(**arguments))
    last = chunks[-1]
    assert last.candidates[0].finish_reason == kinds.FinishReason.STOP
    usage = last.usage_metadata
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (2100, 2000)
    assert usage.candidates_token_count + usage.thoughts_token_count == 60
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
    return json.loads("".join(part.text for part in parts if not part.thought))


def through_openai(case, transport):
    kinds = openai.types.chat.completion_create_params
    kind = (
        kinds.CompletionCreateParamsStreaming
        if case["stream"]
        else kinds.CompletionCreateParamsNonStreaming
    )
    check_type(kind, case["body"])
    check_refusal(kind, case["body"], lambda body: body.update(max_output_tokens=1))
    check_refusal(kind, case["body"], lambda body: body["messages"][0].update(role="nobody"))
    client = openai.OpenAI(
        api_key="the-key",
        base_url=HOST,
        http_client=httpx2.Client(transport=transport),
    )
    arguments = dict(case["body"])
    if not case["stream"]:
        completion = client.chat.completions.create(**arguments)
        usage = completion.usage
        text = completion.choices[0].message.content
        assert completion.choices[0].finish_reason == "stop"
    else:
        text = ""
        reasons = []
        for chunk in client.chat.completions.create(**arguments):
            usage = chunk.usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reasons.append(choice.finish_reason)
        assert reasons[-1] == "stop"
    assert (usage.prompt_tokens, usage.completion_tokens) == (2100, 60)
    assert usage.prompt_tokens_details.cached_tokens == 2000
    return json.loads(text)


THROUGH = {
    "anthropic": through_anthropic,
    "gemini": through_gemini,
    "openai": through_openai,
}


def main():
    counts = collections.Counter()
    for line in sys.stdin:
        case = json.loads(line)
        transport = Transport(case["provider"], case["stream"])
        answer = THROUGH[case["provider"]](case, transport)
        assert answer == EXPECTED, answer
        sent = transport.request
        assert json.loads(sent.content) == case["body"], (sent.content, case["body"])
        target = str(sent.url).removeprefix(HOST)
        assert target == case["path"], (target, case["path"])
        for name, value in case["headers"].items():
            assert sent.headers[name] == value, (name, sent.headers[name])
        counts[case["provider"]] += 1
    assert counts == {"anthropic": 12, "gemini": 12, "openai": 12}, counts
    print("36 requests and 6 answers agree with", end=" ")
    versions = (anthropic.__version__, google.genai.__version__, openai.__version__)
    print("anthropic {}, google-genai {}, openai {}".format(*versions))


if __name__ == "__main__":
    main()
