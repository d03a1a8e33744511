#!/usr/bin/env python3
"""The reference figures of README.md: logistic regression on pooled statistics.

    pip install numpy scikit-learn
    python baseline.py [--pack pack]

`orze_train::baseline` computes the same in Rust; its test records these figures.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def read_safetensors(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    kinds = {"F16": "<f2", "F32": "<f4", "I64": "<i8"}
    return {
        name: np.frombuffer(
            data[8 + size + entry["data_offsets"][0] : 8 + size + entry["data_offsets"][1]],
            kinds[entry["dtype"]],
        ).reshape(entry["shape"])
        for name, entry in json.loads(data[8 : 8 + size]).items()
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pack", type=Path, default=Path(__file__).resolve().parent / "pack")
    folder = parser.parse_args().pack
    manifest = json.loads((folder / "manifest.json").read_text())
    tensors = read_safetensors(folder / manifest["features"]["file"])
    clips = manifest["clips"]
    label = np.array([c["label"] == manifest["task"]["positive"] for c in clips])
    split = np.array([c["split"] for c in clips])
    for backbone in manifest["backbones"]:
        rows = tensors[backbone["name"]].astype(np.float64)
        offsets = tensors[backbone["offsets"]]
        pooled = np.stack(
            [
                np.concatenate([x.mean(0), x.std(0), x.min(0), x.max(0)])
                for x in (rows[a:b] for a, b in zip(offsets[:-1], offsets[1:]))
            ]
        )
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, tol=1e-10, max_iter=10000))
        model.fit(pooled[split == "train"], label[split == "train"])
        figures = [
            average_precision_score(label[split == s], model.decision_function(pooled[split == s]))
            for s in ("train", "validation", "test")
        ]
        print(f"{backbone['name']:<14}" + " ".join(f"{x:.6f}" for x in figures))


if __name__ == "__main__":
    main()
