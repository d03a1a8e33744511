"""Training steps per second and peak memory of each encoder in PyTorch, as the Rust example
`runtime/train/examples/step_time.rs` measures them.

    OMP_NUM_THREADS=1 python tests/reference/step_time.py [encoder]...
"""

import math
import resource
import subprocess
import sys
import time

import torch

import encoders

BATCH, TIME, INPUTS, DIM, LAYERS, HEADS, SECONDS = 64, 20, 1024, 256, 4, 4, 8.0


def fill(name, shape):
    values = (torch.rand(shape) * 2 - 1) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.0)
    if name.endswith("a_log"):
        values = torch.arange(1, shape[1] + 1.0).log().expand(shape).clone()
    elif name.endswith(("norm.weight", ".d")):
        values += 1
    elif name.endswith((".scale", "_share")):
        values += 0.5
    return values


def measure(encoder):
    torch.manual_seed(1)
    parameters = encoders.Parameters(fill)
    model = encoders.model(parameters, encoder, INPUTS, DIM, LAYERS, HEADS)
    tensors = list(parameters.all.values())
    optimiser = encoders.adamw(tensors, 1e-4, 0.0)
    x = torch.rand(BATCH, TIME, INPUTS) * 2 - 1
    targets = (torch.arange(BATCH) % 3 == 0).float()

    def step():
        loss = encoders.focal_loss(model(x), targets)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tensors, 1.0)
        optimiser.step()
        return loss.item()

    for _ in range(3):
        step()
    times, started = [], time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    times.sort()
    median = times[len(times) // 2]
    count = sum(math.prod(tensor.shape) for tensor in tensors)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(
        f"{encoder:<10} {count:>11}  {1 / median:>7.2}  {1000 * median:>7.1f}"
        f"  {1000 * times[0]:>7.1f}  {peak:>7.0f}",
        flush=True,
    )


if len(sys.argv) == 3 and sys.argv[1] == "--measure":
    measure(sys.argv[2])
else:
    print("encoder     parameters  steps/s   median  fastest  peak MB", flush=True)
    for name in sys.argv[1:] or encoders.ENCODERS:
        subprocess.run([sys.executable, __file__, "--measure", name], check=True)
