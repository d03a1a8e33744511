"""The figures in `runtime/train/src/metrics.rs` and `evaluation.rs`, from scikit-learn and NumPy."""

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

index = np.arange(60)
labels = (index * index % 7 == 1).astype(int)
probabilities = 1 / (1 + np.exp(-((index * 37 % 61) / 10 - 2.95)))
shares, means = calibration_curve(labels, probabilities, n_bins=10)
counts = np.histogram(probabilities, bins=np.linspace(0, 1, 11))[0]
print("LOG_LOSS", repr(log_loss(labels, probabilities)))
print("BRIER", repr(brier_score_loss(labels, probabilities)))
print("CALIBRATION_ERROR", repr((np.abs(shares - means) * counts[counts > 0]).sum() / 60))

index = np.arange(200)
labels = index % 4 == 0
scores = (index * 7919 % 101) / 50 - 1 + 0.8 * labels
random = np.random.default_rng(0)
found = []
for _ in range(20_000):
    chosen = random.integers(0, 200, 200)
    found.append(average_precision_score(labels[chosen], scores[chosen]))
print("EXPECTED", np.percentile(found, [2.5, 97.5]), "estimate", average_precision_score(labels, scores))
