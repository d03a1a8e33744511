"""The statistics of examples/learned.rs with pandas, scipy and statsmodels.

    pip install pandas scipy statsmodels scikit-learn
    cargo run --release -p orze-analytics --example learned -- --csv campaign.csv --json learned.json
    python runtime/analytics/examples/learned_pandas.py campaign.csv learned.json

Reads the same experiments, prints how long each part takes here, and compares every figure that
does not depend on random numbers; those that do are compared within a tolerance. Ends with an
error when a figure differs.
"""

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
from scipy import optimize, stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import mutual_info_score
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

WINDOW = 50
RESAMPLES = 1000
ARCH = ["backbone", "temporal_encoder", "pooling"]
TRAIN = ["batch_size", "scheduler", "seq_len", "epochs"]
DISCRETE = ARCH + ["loss"] + TRAIN
FLOATS = [
    "focal_gamma", "focal_alpha", "learning_rate", "weight_decay",
    "oversampling", "mixup_alpha", "feature_noise",
]
CELL = ["backbone", "temporal_encoder"]

times, failures, compared = {}, [], 0


def timed(name, work):
    start = time.perf_counter()
    result = work()
    times[name] = time.perf_counter() - start
    return result


def check(name, ours, theirs, rtol=1e-6, atol=1e-12):
    global compared
    compared += 1
    if not np.allclose(ours, theirs, rtol=rtol, atol=atol, equal_nan=True):
        failures.append(f"{name}: {ours} here, {theirs} there")


def bounds(interval):
    return np.array([interval["low"], interval["high"]])


frame = pd.read_csv(sys.argv[1])
learned = json.load(open(sys.argv[2]))
done = frame[frame.status == "completed"].reset_index(drop=True)
y = done.objective.to_numpy()
n = len(y)
check("n", n, learned["n"])


def label(frame, columns):
    return frame[columns].astype(str).agg(" × ".join, axis=1)


def eta2(values, codes):
    sums, counts = np.bincount(codes, values), np.bincount(codes)
    filled = counts > 0
    centre = values.mean()
    between = (counts[filled] * (sums[filled] / counts[filled] - centre) ** 2).sum()
    return between / ((values - centre) ** 2).sum()


def factors():
    groupings = {name: done[name].astype(str) for name in DISCRETE}
    for name in FLOATS:
        active = done[name].dropna()
        edges = active.quantile([0.25, 0.5, 0.75]).to_numpy()
        groupings[name] = pd.Series(np.searchsorted(edges, active), index=active.index)
    groupings[" × ".join(CELL)] = label(done, CELL)
    groupings[" × ".join(ARCH)] = label(done, ARCH)
    return {
        name: (y[codes.index], pd.factorize(codes)[0]) for name, codes in groupings.items()
    }


groupings = factors()


def one_way():
    table = {}
    for name, (values, codes) in groupings.items():
        groups = [values[codes == code] for code in range(codes.max() + 1)]
        table[name] = (*stats.f_oneway(*groups), eta2(values, codes))
    return table


table = timed("one-way analysis of variance", one_way)
theirs = {share["factor"]: share for share in learned["variance"]}
check("factors", len(table), len(theirs))
for name, (f, p, eta) in table.items():
    check(f"F of {name}", f, theirs[name]["f"])
    check(f"p of {name}", p, theirs[name]["p"])
    check(f"η² of {name}", eta, theirs[name]["eta2"])


def two_way():
    a, b = CELL
    full = ols(f"objective ~ C({a}) * C({b})", done).fit()
    return anova_lm(full, typ=2)


table = timed("two-way analysis of variance", two_way)
theirs = learned["two_way"]
for row, key in zip(table.index, ["first", "second", "interaction"]):
    check(f"SS of {row}", table.sum_sq[row], theirs[key]["ss"])
    check(f"df of {row}", table.df[row], theirs[key]["df"])
    check(f"F of {row}", table.F[row], theirs[key]["f"])
    check(f"p of {row}", table["PR(>F)"][row], theirs[key]["p"])
check("residual", table.sum_sq["Residual"], theirs["residual_ss"])

within = timed(
    "within-backbone analysis",
    lambda: {
        value: (len(group), *stats.f_oneway(*[g.objective for _, g in group.groupby(CELL[1])]))
        for value, group in done.groupby(CELL[0])
    },
)
for share in learned["within"]:
    count, f, p = within[share["value"]]
    check(f"within {share['value']}", [count, f, p], [share["n"], share["f"], share["p"]])


def resampled():
    """Bootstrap intervals and permutation p-values of every η²."""
    rng = np.random.default_rng(0)
    found = {}
    for name, (values, codes) in groupings.items():
        measured, size = eta2(values, codes), len(values)
        draws, reached = np.empty(RESAMPLES), 1
        for k in range(RESAMPLES):
            at = rng.integers(0, size, size)
            draws[k] = eta2(values[at], codes[at])
            reached += eta2(rng.permutation(values), codes) >= measured - 1e-12
        logs = np.log1p(-draws)
        bias = logs.mean() - np.log1p(-measured)
        low, high = -np.expm1(np.quantile(logs, [0.975, 0.025]) - 2 * bias)
        found[name] = (max(low, 0), max(high, 0), reached / (RESAMPLES + 1))
    return found


found = timed("bootstrap and permutations of η²", resampled)
for share in learned["variance"]:
    low, high, p = found[share["factor"]]
    width = high - low
    check(f"interval of {share['factor']}", [low, high], bounds(share["eta2_interval"]),
          rtol=0, atol=0.15 * width + 1e-4)
    check(f"permutation p of {share['factor']}", p, share["permutation_p"], rtol=0, atol=0.06)


def balanced():
    rng = np.random.default_rng(0)
    values, codes = groupings[" × ".join(CELL)]
    groups = [values[codes == code] for code in range(codes.max() + 1)]
    groups = [group for group in groups if len(group) >= 10]
    even = np.repeat(np.arange(len(groups)), 10)
    return [
        eta2(np.concatenate([rng.choice(g, 10, replace=False) for g in groups]), even)
        for _ in range(RESAMPLES)
    ]


etas = timed("balanced subsamples", balanced)
check("balanced η²", np.mean(etas), learned["balanced"]["eta2"], rtol=0, atol=0.002)
check("balanced interval", np.quantile(etas, [0.025, 0.975]),
      bounds(learned["balanced"]["eta2_interval"]), rtol=0, atol=0.003)


def ablation():
    rng = np.random.default_rng(0)
    rows = {}
    for name in DISCRETE:
        for value, group in done.groupby(done[name].astype(str)).objective:
            values = group.to_numpy()
            top = min(50, len(values))
            means = [
                np.partition(rng.choice(values, len(values)), -top)[-top:].mean()
                for _ in range(RESAMPLES)
            ]
            rows[name, value] = (
                len(values), values.max(), np.sort(values)[-top:].mean(), np.median(values),
                np.quantile(means, [0.025, 0.975]),
            )
    return rows


rows = timed("component ablation with intervals", ablation)
check("components", len(rows), len(learned["ablation"]))
for one in learned["ablation"]:
    *plain, interval = rows[one["dimension"], one["value"]]
    name = f"{one['dimension']} {one['value']}"
    check(name, plain, [one["n"], one["best"], one["mean_top"], one["median"]])
    width = interval[1] - interval[0]
    check(f"interval of {name}", interval, bounds(one["mean_top_interval"]),
          rtol=0, atol=0.15 * width)

best = np.maximum.accumulate(y)
N = np.arange(1, n + 1, dtype=float)
MODELS = {
    "power": (lambda N, a, b, c: a - b * N**-c, [1, 0.3, 0.3], ([0, 0, 1e-3], [1, 10, 10])),
    "exponential": (lambda N, a, b, c: a - b * np.exp(-c * N), [0.95, 0.1, 1e-3],
                    ([0, 0, 1e-6], [1, 10, 10])),
    "logarithmic": (lambda N, a, b: a + b * np.log(N), [0.5, 0.01], (-np.inf, np.inf)),
}


def fit(model, values):
    function, start, limits = MODELS[model]
    params, _ = optimize.curve_fit(function, N[: len(values)], values, p0=start, bounds=limits,
                                   method="trf", max_nfev=5000)
    return params, ((values - function(N[: len(values)], *params)) ** 2).sum()


fits = timed("three fits of the running best", lambda: {m: fit(m, best) for m in MODELS})
for model, (params, rss) in fits.items():
    theirs = learned["convergence"][model]
    if theirs["rss"] > 1.000001 * rss:
        failures.append(f"rss of {model}: {rss} here, {theirs['rss']} there")
    check(f"rss of {model}", rss, theirs["rss"], rtol=1e-3)
    aic = n * np.log(theirs["rss"] / n) + 2 * len(params)
    check(f"AIC of {model}", aic, theirs["aic"])


def fit_resamples(count):
    rng = np.random.default_rng(0)
    exponents, baseline = [], []
    for _ in range(count):
        drawn = np.maximum.accumulate(y[np.sort(rng.integers(0, n, n))])
        exponents.append(fit("power", drawn)[0][2])
        shuffled = np.maximum.accumulate(rng.permutation(y))
        rss = fit("power", shuffled)[1]
        baseline.append(1 - rss / ((shuffled - shuffled.mean()) ** 2).sum())
    return exponents, baseline


SOME = 50
exponents, baseline = timed("fits", lambda: fit_resamples(SOME))
times[f"2 × 1000 resampled power fits, from {SOME}"] = times.pop("fits") * RESAMPLES / SOME
theirs = learned["convergence"]["exponent"]["resampled"]
inside = np.mean([theirs["low"] <= c <= theirs["high"] for c in exponents])
check("share of resampled exponents in the interval", inside, 0.95, rtol=0, atol=0.1)
theirs = learned["convergence"]["baseline"]
check("R² of random orders", np.mean(baseline), theirs["mean"], rtol=0,
      atol=4 * theirs["deviation"] / np.sqrt(SOME))


def codes_of(columns):
    return pd.factorize(label(frame, columns))[0]


def entropies():
    found = {}
    for key, columns in [("", DISCRETE), ("_arch", ARCH), ("_train", TRAIN)]:
        codes = codes_of(columns)
        for point in learned["entropy"]:
            t = point["t"]
            for name, part in [("h", codes[max(0, t - WINDOW):t]), ("cumulative_h", codes[:t])]:
                found[name + key, t] = stats.entropy(np.bincount(part))
    return found


found = timed("entropies", entropies)
for point in learned["entropy"]:
    for name in ["h", "h_arch", "h_train"]:
        for key in [name, f"cumulative_{name}"]:
            check(f"{key} at {point['t']}", found[key, point["t"]], point[key], atol=1e-9)


def divergences():
    codes = codes_of(ARCH)
    size = codes.max() + 1
    who = frame.researcher.to_numpy()
    found = {}
    for pair in learned["specialisation"]:
        first, second = pair["first"], pair["second"]
        for point in pair["trajectory"]:
            t = point["t"]
            p, q = [np.bincount(codes[:t][who[:t] == name], minlength=size)
                    for name in (first, second)]
            found[first, second, t] = jensenshannon(p, q) ** 2
    return found


found = timed("Jensen–Shannon trajectories", divergences)
for pair in learned["specialisation"]:
    for point in pair["trajectory"]:
        key = pair["first"], pair["second"], point["t"]
        check(f"divergence of {key}", found[key], point["jsd"], atol=1e-9)


def innovation():
    hits = np.r_[True, y[1:] > best[:-1]]
    rate = pd.Series(hits.astype(float)).rolling(WINDOW, min_periods=1).mean()
    events = np.log(np.flatnonzero(hits[1:]) + 2)
    loss = lambda alpha: alpha * events.sum() + len(events) * np.log((N[1:] ** -alpha).sum())
    return rate, optimize.minimize_scalar(loss, bounds=(-5, 5), method="bounded",
                                          options={"xatol": 1e-10}).x


rate, alpha = timed("innovation", innovation)
for point in learned["innovation"]["rate"]:
    check(f"innovation at {point['t']}", rate[point["t"] - 1], point["rate"])
check("exponent of innovation", alpha, learned["innovation"]["exponent"], rtol=1e-5)


def choices():
    found = {}
    for name in DISCRETE + [" × ".join(CELL)]:
        values = label(frame, CELL) if " × " in name else frame[name]
        counts = pd.crosstab(frame.researcher, values).to_numpy()
        chi2, p, dof, _ = stats.chi2_contingency(counts, correction=False)
        found[name] = (chi2, p, dof, stats.contingency.association(counts, "cramer"))
    return found


found = timed("χ² and Cramér's V", choices)
for one in learned["choice"]:
    if one["dimension"] in found:
        check(f"choice of {one['dimension']}", found[one["dimension"]],
              [one["chi2"], one["p"], one["dof"], one["v"]])


def agreement():
    whole = stats.spearmanr(done.objective, done.test_ap)
    inside = {name: stats.spearmanr(group.objective, group.test_ap).statistic
              for name, group in done.groupby(label(done, CELL)) if len(group) >= 10}
    return whole, inside


whole, inside = timed("Spearman, overall and within cells", agreement)
check("ρ", whole.statistic, learned["test"]["rho"])
check("p of ρ", whole.pvalue, learned["test"]["p"])
check("cells", len(inside), len(learned["test"]["within"]))
for one in learned["test"]["within"]:
    check(f"ρ in {one['group']}", inside[one["group"]], one["rho"])


def sweeps():
    ranked = done.sort_values("objective", ascending=False, kind="stable")
    top = (ranked.kind == "sweep")[:100].sum()
    total = (done.kind == "sweep").sum()
    objectives = done.set_index("id").objective
    variants = done[done.kind == "sweep"]
    change = (variants.objective - variants.parent.map(objectives)).dropna()
    interval = stats.binomtest(int(top), 100).proportion_ci()
    p = stats.hypergeom.sf(top - 1, n, total, 100)
    return total, top, p, interval, len(change), (change > 0).sum(), change.mean()


total, top, p, interval, pairs, better, change = timed("sweeps", sweeps)
theirs = learned["sweeps"]
check("sweeps", [total, top, p, pairs, better, change],
      [theirs[key] for key in
       ["sweeps", "top_sweeps", "p", "pairs", "better", "mean_difference"]])
check("enrichment", np.array(interval) / (total / n), bounds(theirs["ratio_interval"]), rtol=1e-5)

tried = timed("coverage", lambda: len(frame[DISCRETE].drop_duplicates()))
check("coverage", tried, learned["coverage"]["configurations"])
# Mutual information of author and cell is their divergence, weighted by how much each tried.
first, second = learned["specialisation"][0]["first"], learned["specialisation"][0]["second"]
pair = frame[frame.researcher.isin([first, second])]
weights = pair.researcher.value_counts(normalize=True)
if abs(weights[first] - 0.5) < 0.02:
    check("mutual information", mutual_info_score(pair.researcher, label(pair, ARCH)),
          learned["specialisation"][0]["jsd"], rtol=0.02)

for name, seconds in times.items():
    print(f"{name:45} {seconds:9.3f} s")
print(f"{'all':45} {sum(times.values()):9.3f} s")
print(f"{compared} comparisons, {len(failures)} of them differ")
for failure in failures[:40]:
    print("  " + failure)
sys.exit(bool(failures))
