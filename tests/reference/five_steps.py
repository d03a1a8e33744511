"""Five AdamW steps of each encoder in PyTorch, for `runtime/train/tests/five_steps.rs`.

    python tests/reference/five_steps.py > runtime/train/tests/five_steps.json
    python tests/reference/five_steps.py --check

Weights and features come from a generator that both sides have, in double precision here.
"""

import json
import math
import pathlib
import sys

import torch

import encoders

INPUTS, DIM, LAYERS, HEADS = 5, 8, 4, 2
LENGTHS, TARGETS = [9, 4, 7, 1], [1.0, 0.0, 1.0, 0.0]
# A higher rate leads the retention to where single precision follows no longer, PyTorch's neither.
RATE, WEIGHT_DECAY, CLIP, STEPS, WARMUP = 0.002, 0.05, 0.2, 5, 3


def uniform(name, count):
    """Numbers in [−1, 1) from a linear congruential generator that starts from the name."""
    state = 0
    for byte in name.encode():
        state = (state * 31 + byte) % 2**32
    values = []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append(state / 2**31 - 1)
    return torch.tensor(values, dtype=torch.float64)


def fill(name, shape):
    """Matrices within ±1/√columns, the rest within ±0.1, around where layers start."""
    values = uniform(name, math.prod(shape)).reshape(shape)
    values *= 1 / math.sqrt(shape[-1]) if len(shape) > 1 else 0.1
    if name.endswith("a_log"):
        values += torch.arange(1, shape[1] + 1).log()
    elif name.endswith(("norm.weight", ".d")):
        values += 1
    elif name.endswith((".scale", "_share")):
        values += 0.5
    return values


def record(encoder):
    parameters = encoders.Parameters(fill)
    model = encoders.model(parameters, encoder, INPUTS, DIM, LAYERS, HEADS)
    tensors = list(parameters.all.values())
    clips = [
        2 * uniform(f"clip{index}", length * INPUTS).reshape(1, length, INPUTS)
        for index, length in enumerate(LENGTHS)
    ]
    targets = torch.tensor(TARGETS, dtype=torch.float64)
    optimiser = encoders.adamw(tensors, RATE, WEIGHT_DECAY)
    losses, norms = [], []
    for step in range(STEPS):
        logits = torch.cat([model(clip, step / WARMUP) for clip in clips])
        if step == 0:
            first = logits.tolist()
        loss = encoders.focal_loss(logits, targets)
        optimiser.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(tensors, CLIP).item())
        optimiser.step()
        losses.append(loss.item())
    return {
        "parameters": sum(tensor.numel() for tensor in tensors),
        "logits": first,
        "losses": losses,
        "gradient_norms": norms,
    }


def check(recorded, found):
    """Whether this PyTorch gives the recorded figures."""
    for encoder, figures in found["encoders"].items():
        for name, values in figures.items():
            pair = torch.tensor([recorded["encoders"][encoder][name], values], dtype=torch.float64)
            gap = (pair[0] - pair[1]).abs().max().item()
            if gap > 1e-9:
                sys.exit(f"{encoder}: {name} differs from the recorded by {gap}")
    print(f"{len(found['encoders'])} encoders agree with {RECORDED.name}")


RECORDED = pathlib.Path(__file__).parents[2] / "runtime/train/tests/five_steps.json"
figures = {
    "made_by": f"tests/reference/five_steps.py with PyTorch {torch.__version__}",
    "encoders": {name: record(name) for name in encoders.ENCODERS},
}
if sys.argv[1:] == ["--check"]:
    check(json.loads(RECORDED.read_text()), figures)
else:
    print(json.dumps(figures, indent=1))
