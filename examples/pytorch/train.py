#!/usr/bin/env python3
"""A GRU in PyTorch on the bundled shoulder task, as the `command` trainer runs it.

    pip install torch numpy
    python train.py --config config.yaml --out folder

Validation average precision of the best epoch goes to `metrics.json`. The test split is not touched.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

PACK = Path(__file__).resolve().parent.parent / "shoulder" / "pack"


class Settings(dict):
    """The configuration; remembers which keys were read."""

    def __init__(self, file):
        super().__init__(line.split(": ", 1) for line in Path(file).read_text().splitlines())
        self.consumed = set()

    def __getitem__(self, key):
        self.consumed.add(key)
        return super().__getitem__(key)


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


def load(pack, backbone):
    """`{split: (clips [N, T, D], labels [N])}` of training and validation."""
    manifest = json.loads((pack / "manifest.json").read_text())
    tensors = read_safetensors(pack / manifest["features"]["file"])
    offsets = next(b["offsets"] for b in manifest["backbones"] if b["name"] == backbone)
    rows, offsets = tensors[backbone].astype(np.float32), tensors[offsets]
    clips = np.stack([rows[a:b] for a, b in zip(offsets[:-1], offsets[1:])])
    positive = manifest["task"]["positive"]
    labels = np.array([clip["label"] == positive for clip in manifest["clips"]], np.float32)
    split = np.array([clip["split"] for clip in manifest["clips"]])
    return {
        name: (torch.from_numpy(clips[split == name]), torch.from_numpy(labels[split == name]))
        for name in ("train", "validation")
    }


def average_precision(labels, scores):
    """Equal scores count as one threshold, as in scikit-learn."""
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    found = np.cumsum(labels)[last]
    precision, recall = found / (last + 1), found / labels.sum()
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


class Model(nn.Module):
    def __init__(self, inputs, hidden, layers, dropout, pooling):
        super().__init__()
        self.gru = nn.GRU(
            inputs, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(hidden, 1)
        self.pooling = pooling

    def forward(self, clips):
        states, _ = self.gru(clips)
        pooled = {
            "last": lambda: states[:, -1],
            "mean": lambda: states.mean(1),
            "max": lambda: states.amax(1),
        }[self.pooling]()
        return self.head(self.dropout(pooled)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pack", type=Path, default=PACK)
    arguments = parser.parse_args()
    settings = Settings(arguments.config)

    torch.manual_seed(int(os.environ.get("ORZE_SEED", 0)))
    torch.set_num_threads(int(os.environ.get("ORZE_THREADS", 1)))
    device = torch.device(os.environ.get("ORZE_DEVICE", "cpu"))

    data = load(arguments.pack, settings["backbone"])
    clips, labels = (tensor.to(device) for tensor in data["train"])
    unseen, truth = data["validation"][0].to(device), data["validation"][1].numpy()
    model = Model(
        clips.shape[2],
        int(settings["hidden"]),
        int(settings["layers"]),
        float(settings["dropout"]),
        settings["pooling"],
    ).to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(), float(settings["lr"]), weight_decay=float(settings["weight_decay"])
    )
    weight = torch.tensor(float(settings["positive_weight"]), device=device)
    loss_of = nn.BCEWithLogitsLoss(pos_weight=weight)
    batch, epochs = int(settings["batch_size"]), int(settings["epochs"])

    best = {"validation_ap": -1.0}
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        for part in torch.randperm(len(clips), device=device).split(batch):
            loss = loss_of(model(clips[part]), labels[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(part)
        model.eval()
        with torch.no_grad():
            scores = model(unseen).cpu().numpy()
        if not np.isfinite(scores).all():
            # Said, not hidden: a NaN in the metrics counts as a divergence.
            best = {"validation_ap": float("nan"), "best_epoch": epoch}
            break
        ap = average_precision(truth, scores)
        if ap > best["validation_ap"]:
            best = {"validation_ap": ap, "best_epoch": epoch, "train_loss": total / len(clips)}
        # One line an epoch: `orze-runtime` shows it as progress.
        print(json.dumps({"epoch": epoch, "epochs": epochs, "validation_ap": ap}))

    parameters = sum(p.numel() for p in model.parameters())
    metrics = {**best, "parameters": parameters, "consumed": sorted(settings.consumed)}
    (arguments.out / "metrics.json").write_text(json.dumps(metrics, indent=1))


if __name__ == "__main__":
    main()
