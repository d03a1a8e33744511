"""The llama forward pass in numpy and float64: reference of runtime/llm/src/local/tests.rs.

    pip install gguf numpy
    python llama.py SmolLM2-135M-Instruct.Q4_1.gguf [--eight-bits] < tokens.json

`tokens.json` is a list of prompts, each a list of tokens. For each prompt: the five most probable
next tokens with their log-probabilities, and twelve greedy tokens. With `--eight-bits`, matrices
and the input of the head are rounded as runtime/llm/src/local/linear.rs keeps them.
"""

import json
import sys

import numpy as np
from gguf import GGUFReader, dequantize

reader = GGUFReader(sys.argv[1])
weights = {
    tensor.name: dequantize(tensor.data, tensor.tensor_type)
    .astype(np.float64)
    .reshape(tuple(reversed(tensor.shape.tolist())))
    for tensor in reader.tensors
}


def eight_bits(x):
    """Blocks of 32 numbers, each a multiple of a 127th of the largest."""
    blocks = x.reshape(*x.shape[:-1], -1, 32)
    step = np.abs(blocks).max(-1, keepdims=True) / 127
    counts = np.round(np.divide(blocks, step, out=np.zeros_like(blocks), where=step > 0))
    return (counts * step.astype(np.float16).astype(np.float64)).reshape(x.shape)


EIGHT_BITS = "--eight-bits" in sys.argv
if EIGHT_BITS:
    weights = {name: eight_bits(x) if x.ndim == 2 else x for name, x in weights.items()}


def field(name):
    return reader.fields[f"llama.{name}"].contents()


BLOCKS, WIDTH = field("block_count"), field("embedding_length")
HEADS, SHARED = field("attention.head_count"), field("attention.head_count_kv")
EPSILON, BASE = field("attention.layer_norm_rms_epsilon"), field("rope.freq_base")
HEAD = WIDTH // HEADS


def norm(x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * weight


def rotate(x):
    angles = np.arange(len(x))[:, None] / BASE ** (np.arange(HEAD // 2) / (HEAD // 2))
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    a, b = x[..., 0::2], x[..., 1::2]
    turned = np.empty_like(x)
    turned[..., 0::2] = a * cosine - b * sine
    turned[..., 1::2] = a * sine + b * cosine
    return turned


def log_probabilities(tokens):
    count = len(tokens)
    x = weights["token_embd.weight"][tokens]
    for block in range(BLOCKS):
        weight = lambda name: weights[f"blk.{block}.{name}.weight"]
        h = norm(x, weight("attn_norm"))
        query = rotate((h @ weight("attn_q").T).reshape(count, HEADS, HEAD))
        key = rotate((h @ weight("attn_k").T).reshape(count, SHARED, HEAD))
        value = (h @ weight("attn_v").T).reshape(count, SHARED, HEAD)
        key, value = (np.repeat(y, HEADS // SHARED, axis=1) for y in (key, value))
        scores = np.einsum("ihd,jhd->hij", query, key) / np.sqrt(HEAD)
        scores = np.where(np.tril(np.ones((count, count), bool)), scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        attended = np.einsum("hij,jhd->ihd", shares, value).reshape(count, WIDTH)
        x = x + attended @ weight("attn_output").T
        h = norm(x, weight("ffn_norm"))
        gate = h @ weight("ffn_gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ weight("ffn_up").T)) @ weight("ffn_down").T
    head = weights.get("output.weight", weights["token_embd.weight"])
    last = norm(x[-1], weights["output_norm.weight"])
    logits = (eight_bits(last) if EIGHT_BITS else last) @ head.T
    logits -= logits.max()
    return logits - np.log(np.exp(logits).sum())


for tokens in json.load(sys.stdin):
    first = log_probabilities(tokens)
    print([(int(token), round(float(first[token]), 4)) for token in np.argsort(-first)[:5]])
    greedy = list(tokens)
    for _ in range(12):
        greedy.append(int(np.argmax(log_probabilities(greedy))))
    print(greedy[len(tokens):])
