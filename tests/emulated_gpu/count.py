#!/usr/bin/env python3
"""What one training step asks of a GPU: launches by kernel, products, copies, waits.

    count.py target/release/examples/step_time [encoder]...

with `step_time` built for the emulated GPU, in its environment (see README.md). A step's counts are those
of a run of two steps less those of a run of one.
"""

import json
import os
import subprocess
import sys
import tempfile


def run(program: str, encoder: str, steps: int) -> dict:
    """The counts of the process that trained."""
    with tempfile.NamedTemporaryFile() as file:
        environment = os.environ | {"ORZE_GPU_COUNTS": file.name}
        command = [program, "--device", "cuda:0", "--steps", str(steps), encoder]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        processes = [json.loads(line) for line in file.read().splitlines()]
    return max(processes, key=lambda counts: counts["launches"])


def launches(counts: dict, kernel: str) -> int:
    of = counts["kernels"].get(kernel, 0)
    return of["launches"] if isinstance(of, dict) else of


def main() -> None:
    program, *encoders = sys.argv[1:]
    for encoder in encoders or ["zipformer", "retnet", "bimamba", "hybrid", "xlstm"]:
        one, two = (run(program, encoder, steps) for steps in (1, 2))
        step = {name: two[name] - one[name] for name in two if isinstance(two[name], int)}
        names = ["launches", "gemms", "memsets", "to_device", "to_host", "on_device", "synchronisations"]
        names += ["event_waits", "allocations"]
        print(f"{encoder}: " + ", ".join(f"{step[name]} {name}" for name in names))
        by_kernel = {name: launches(two, name) - launches(one, name) for name in two["kernels"]}
        most = sorted(by_kernel.items(), key=lambda of: -of[1])[:8]
        print("  " + ", ".join(f"{name} {count}" for name, count in most))


if __name__ == "__main__":
    main()
