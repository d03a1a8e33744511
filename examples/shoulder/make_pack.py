#!/usr/bin/env python3
"""Make the bundled feature pack from the watch data of seglearn 1.2.5.

    pip install numpy seglearn==1.2.5
    python make_pack.py [--out pack]

Needs numpy and the data file inside the installed seglearn package (the
package itself is not imported). The same inputs give the same bytes.
"""

import argparse
import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np

SOURCE_HZ = 50
FRAME_HZ = 10
FRAME = SOURCE_HZ // FRAME_HZ  # samples averaged into one frame
WINDOW = 3 * SOURCE_HZ  # 3 s, 30 frames
STRIDE = {"train": 150, "validation": 125, "test": 125}
SUBJECTS = {"train": [1, 2, 3, 7, 9, 10], "validation": [5, 8], "test": [4, 6]}
POSITIVE = "ER"
LIFT_SEED = 20250
LIFT_WIDTHS = [8, 24]
SPECTRUM = 64  # samples of one short-time spectrum, 1.28 s
# Edges of the spectral bands in Hz, each band closed below and open above.
BANDS = [0.0, 1.0, 2.0, 3.5, 6.0, 10.0, 25.1]


def load_source():
    """The recordings as seglearn ships them: a pickled dict of Python 2 times."""
    spec = importlib.util.find_spec("seglearn")
    if spec is None:
        raise SystemExit("seglearn is not installed: pip install seglearn==1.2.5")
    folder = Path(next(iter(spec.submodule_search_locations)))
    path = folder / "data" / "watch_dataset.npy"
    data = np.load(path, allow_pickle=True, encoding="latin1").item()
    return data, hashlib.sha256(path.read_bytes()).hexdigest()


def frames(samples):
    """[samples, C] at 50 Hz -> [samples / 5, C] at 10 Hz.

    Each frame is the mean of its five samples: the average is the low-pass
    filter that taking every fifth sample would lack.
    """
    count = len(samples) // FRAME
    return samples[: count * FRAME].reshape(count, FRAME, -1).mean(axis=1)


def short_time_spectra(samples):
    """[samples, 6] -> [frames, 12]: log power in six bands of |a| and of |w|.

    Uses the 50 Hz signal, and magnitudes only, so it knows how fast the arm
    moves but not in which direction.
    """
    magnitudes = [
        np.linalg.norm(samples[:, :3], axis=1),
        np.linalg.norm(samples[:, 3:], axis=1),
    ]
    taper = np.hanning(SPECTRUM + 1)[:-1]
    hertz = np.fft.rfftfreq(SPECTRUM, 1.0 / SOURCE_HZ)
    centres = np.arange(len(samples) // FRAME) * FRAME + FRAME // 2
    columns = []
    for magnitude in magnitudes:
        half = SPECTRUM // 2
        padded = np.pad(magnitude, (half, half), mode="reflect")
        rows = np.stack([padded[c : c + SPECTRUM] for c in centres])
        rows = rows - rows.mean(axis=1, keepdims=True)
        power = np.abs(np.fft.rfft(rows * taper, axis=1)) ** 2
        for low, high in zip(BANDS[:-1], BANDS[1:]):
            band = power[:, (hertz >= low) & (hertz < high)].sum(axis=1)
            columns.append(np.log(band + 1e-3))
    return np.stack(columns, axis=1)


def motion(samples):
    """[samples, 6] -> [frames, 12]: frame differences and 1 s rolling deviations."""
    at_10_hz = frames(samples)
    difference = np.diff(at_10_hz, axis=0, prepend=at_10_hz[:1])
    half = FRAME_HZ // 2
    padded = np.pad(at_10_hz, ((half, half), (0, 0)), mode="edge")
    rolling = np.stack(
        [padded[i : i + 2 * half + 1].std(axis=0) for i in range(len(at_10_hz))]
    )
    return np.concatenate([difference, rolling], axis=1)


def relu_lift(width):
    """A fixed random layer on the standardised raw channels: max(0, xW + b)."""
    # RandomState: its stream is frozen across numpy versions.
    random = np.random.RandomState(LIFT_SEED + width)
    weight = random.standard_normal((6, width)) / np.sqrt(6.0)
    bias = 0.5 * random.standard_normal(width)
    return lambda raw: np.maximum(raw @ weight + bias, 0.0)


def standardised(values, is_train):
    """Zero mean and unit deviation per column, fitted on training clips only."""
    rows = values[is_train].reshape(-1, values.shape[-1])
    return (values - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-6)


def write_safetensors(path, tensors):
    """Tensors in the given order; the header is padded to 8 bytes."""
    names = {"<f2": "F16", "<f4": "F32", "<i8": "I64"}
    header, payload = {}, b""
    for name, array in tensors.items():
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": names[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [len(payload), len(payload) + len(data)],
        }
        payload += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + payload)


def cut(data):
    """Windows of every recording in recording order, with their maps at 10 Hz."""
    split_of = {s: split for split, subjects in SUBJECTS.items() for s in subjects}
    clips, raw, spectra, moving = [], [], [], []
    seen = {}
    for recording, samples in enumerate(data["X"]):
        subject = int(data["subject"][recording])
        exercise = data["y_labels"][int(data["y"][recording])]
        side = "right" if int(data["side"][recording]) == 1 else "left"
        split = split_of[subject]
        maps = frames(samples), short_time_spectra(samples), motion(samples)
        key = (subject, exercise, side)
        take = seen[key] = seen.get(key, -1) + 1
        for number, start in enumerate(
            range(0, len(samples) - WINDOW + 1, STRIDE[split])
        ):
            first, last = start // FRAME, (start + WINDOW) // FRAME
            for store, values in zip((raw, spectra, moving), maps):
                store.append(values[first:last])
            suffix = f"{take}-" if take else ""
            clips.append(
                {
                    "id": f"s{subject:02}-{exercise}-{side}-{suffix}{number:03}",
                    "label": "ER" if exercise == POSITIVE else "other",
                    "split": split,
                    "group": f"subject-{subject:02}",
                }
            )
    return clips, np.stack(raw), np.stack(spectra), np.stack(moving)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parent / "pack"
    )
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    data, source_digest = load_source()
    clips, raw, spectra, moving = cut(data)
    is_train = np.array([clip["split"] == "train" for clip in clips])
    raw = standardised(raw, is_train)
    maps = {
        "raw": (
            raw,
            "raw channels",
            "accelerometer and gyroscope axes (ax ay az wx wy wz), averaged to 10 Hz",
        ),
        "spectra": (
            standardised(spectra, is_train),
            "short-time spectra",
            "log power of |a| and |w| in six bands, 1.28 s windows of the 50 Hz signal",
        ),
        "motion": (
            standardised(moving, is_train),
            "differences and rolling statistics",
            "frame-to-frame differences and 1.1 s rolling standard deviations of the axes",
        ),
    }
    for width in LIFT_WIDTHS:
        maps[f"relu_lift_{width}"] = (
            standardised(relu_lift(width)(raw), is_train),
            "seeded random ReLU lift",
            f"max(0, xW + b) of the raw channels with fixed random W, b of width {width}; "
            "no learned backbone",
        )

    length = raw.shape[1]
    tensors = {
        name: values.astype("<f2").reshape(-1, values.shape[-1])
        for name, (values, _, _) in maps.items()
    }
    for row, clip in enumerate(clips):
        digest = hashlib.sha256()
        for values in tensors.values():
            digest.update(values[row * length : (row + 1) * length].tobytes())
        clip["sha256"] = digest.hexdigest()
    offsets = np.arange(len(clips) + 1, dtype="<i8") * length
    write_safetensors(out / "features.safetensors", {**tensors, "offsets": offsets})
    features = (out / "features.safetensors").read_bytes()

    manifest = {
        "format": "orze-feature-pack",
        "version": 1,
        "task": {
            "name": "shoulder-external-rotation",
            "description": "Detect external rotation (ER) among seven shoulder exercises "
            "from 3 s of a wrist-worn inertial sensor; subjects are disjoint across splits.",
            "labels": ["other", "ER"],
            "positive": "ER",
            "metric": "average_precision",
        },
        "features": {
            "file": "features.safetensors",
            "bytes": len(features),
            "sha256": hashlib.sha256(features).hexdigest(),
        },
        "backbones": [
            {
                "name": name,
                "dim": int(values.shape[-1]),
                "kind": kind,
                "description": description,
                "frames_per_second": FRAME_HZ,
                "offsets": "offsets",
            }
            for name, (values, kind, description) in maps.items()
        ],
        "provenance": {
            "source": "seglearn 1.2.5 (PyPI), seglearn/data/watch_dataset.npy",
            "source_sha256": source_digest,
            "made_by": "examples/shoulder/make_pack.py",
        },
        "licence": "BSD-3-Clause, Copyright (c) 2018, David M. Burns; text in examples/shoulder/README.md",
    }
    text = json.dumps(manifest, indent=1)
    rows = ",\n".join("  " + json.dumps(clip) for clip in clips)
    text = text[: text.rindex("\n}")] + ',\n "clips": [\n' + rows + "\n ]\n}\n"
    (out / "manifest.json").write_text(text)

    for split in SUBJECTS:
        chosen = [clip for clip in clips if clip["split"] == split]
        positive = sum(clip["label"] == "ER" for clip in chosen)
        print(f"{split:<10} {len(chosen):5} clips {positive:4} ER")
    print(f"features.safetensors {len(features)} bytes")


if __name__ == "__main__":
    main()
