#!/usr/bin/env python3
"""Loads the experiments of a campaign in pandas and in polars, and looks at them.

    orze-runtime export --config configs/quickstart.toml --format parquet --out experiments.parquet
    pip install pandas polars pyarrow matplotlib
    python3 load.py experiments.parquet --by backbone temporal_encoder --figure running_best.png

Reads .parquet, .csv and .jsonl. SCHEMA.md beside it says what every column means.
"""

import argparse
import json
import sys

import pandas
import polars


def with_pandas(file):
    if file.endswith(".parquet"):
        return pandas.read_parquet(file)
    if file.endswith(".csv"):
        return pandas.read_csv(file)
    # JSON lines are nested; this gives `config.backbone`, `metrics.validation_ap`, `failure.kind`.
    with open(file, encoding="utf-8") as lines:
        return pandas.json_normalize([json.loads(line) for line in lines])


def with_polars(file):
    if file.endswith(".parquet"):
        return polars.read_parquet(file)
    if file.endswith(".csv"):
        return polars.read_csv(file, infer_schema_length=None)
    return polars.from_pandas(with_pandas(file))


def measured(experiments):
    """The measurements in the order of finishing: completed, with a finite objective."""
    completed = experiments[experiments["status"] == "completed"].dropna(subset=["objective"])
    return completed.sort_values(["finished_at", "id"])


def eta_squared(results, by):
    """Share of the variance of the objective that lies between the groups: SS between / SS total."""
    objective = results["objective"]
    fitted = results.groupby(by)["objective"].transform("mean")
    total = ((objective - objective.mean()) ** 2).sum()
    return float(((fitted - objective.mean()) ** 2).sum() / total) if total > 0 else float("nan")


def plot(results, by, file):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    order = range(1, len(results) + 1)
    markers = "o^sDv*XPph"
    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    results = results.assign(order=order)
    for index, (name, group) in enumerate(results.groupby(by[0])):
        label = f"{name} (n = {len(group)})"
        axes.plot(group["order"], group["objective"], markers[index % len(markers)], ms=5, label=label)
    axes.step(order, results["objective"].cummax(), "k-", where="post", label="best so far")
    axes.set_xlabel("completed experiments, in the order of finishing")
    axes.set_ylabel("objective")
    mark = ", SURROGATE: not measurements" if (results["trainer"] == "surrogate").any() else ""
    axes.set_title(f"n = {len(results)} completed{mark}")
    axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=150)
    print(f"\nfigure in {file}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--by", nargs="+", default=["backbone", "temporal_encoder"], metavar="DIMENSION")
    parser.add_argument("--figure", metavar="FILE")
    arguments = parser.parse_args()
    by = [f"config.{name}" for name in arguments.by]

    experiments = with_pandas(arguments.file)
    missing = [name for name in by if name not in experiments.columns]
    if missing:
        known = [name[7:] for name in experiments.columns if name.startswith("config.")]
        sys.exit(f"no column {', '.join(missing)}; the dimensions are {', '.join(known)}")
    if (experiments["trainer"] == "surrogate").any():
        print("These come from a SURROGATE and are no measurements of any model.\n")

    print("pandas: experiments by researcher and status")
    print(experiments.pivot_table(index="researcher", columns="status", values="id", aggfunc="count", fill_value=0))

    results = measured(experiments)
    groups = results.groupby(by)["objective"].agg(["size", "mean", "std", "max"])
    print(f"\npandas: objective by {' × '.join(arguments.by)}, n = {len(results)}, the best of {len(groups)} groups")
    print(groups.sort_values("mean", ascending=False).head(15))
    print(f"\nη² of {' × '.join(arguments.by)} = {eta_squared(results, by):.3f}")

    print("\npolars: failed experiments by kind, and the best of each researcher")
    frame = with_polars(arguments.file)
    kind = "failure_kind" if "failure_kind" in frame.columns else "failure.kind"
    if kind in frame.columns:
        failed = frame.filter(polars.col("status") == "failed")
        print(failed.group_by(kind).len().sort("len", descending=True))
    best = polars.col("objective").max().alias("best")
    print(
        frame.filter(polars.col("status") == "completed")
        .group_by("researcher")
        .agg(polars.len().alias("n"), best, polars.col("train_seconds").sum())
        .sort("best", descending=True)
    )

    if arguments.figure:
        plot(results, by, arguments.figure)


if __name__ == "__main__":
    main()
