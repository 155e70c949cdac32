"""
Sites that share no rows
========================

Three hospitals have rows of their own, and may not pass them on. Each trains a linear model. What
leaves the hospital are parameters, which are merged into one model, and a few kilobytes of sums,
which give that model one temperature: the one that all rows together would have given.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator

X, y = load_breast_cancer(return_X_y=True)
X_rest, X_test, y_rest, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
sites = [(X_rest[i::3], y_rest[i::3]) for i in range(3)]

# %%
# Each site trains on one half of its rows, with a scaler of its own. Without any rows, the models
# are merged into one: scalers are folded into the coefficients.
models = [
    make_pipeline(StandardScaler(), LogisticRegression(C=100)).fit(X_site[::2], y_site[::2])
    for X_site, y_site in sites
]
pool = MergedClassifier.from_fitted(models, method="logits", weights=None)
one = pool.to_estimator()
print(one)

# %%
# Each site calibrates the merged model on the other half, and passes on its sums.
shared = FrozenEstimator(one)
sums = [
    TemperatureCalibrator(shared).partial_fit(X_site[1::2], y_site[1::2]).statistics_
    for X_site, y_site in sites
]
calibrated = TemperatureCalibrator.from_statistics(sum(sums[1:], sums[0]), shared)
X_all, y_all = (np.concatenate([site[part][1::2] for site in sites]) for part in range(2))
with_rows = TemperatureCalibrator(shared).fit(X_all, y_all)
print(
    f"temperature from sums {calibrated.temperature_:.6f}, from rows {with_rows.temperature_:.6f}"
)

# %%
# How good is it? The comparison is a model trained and calibrated on the rows of all sites, which
# could not be brought together in practice. Log loss of rows that no site has; the bars are twice
# the standard error of the difference to the merged, calibrated model on the same rows: one that
# does not touch the line is a higher loss. :doc:`/guide/calibrating` and :doc:`/guide/parameters`
# explain sums and merged parameters.
everything = make_pipeline(StandardScaler(), LogisticRegression(C=100)).fit(
    *(np.concatenate([site[part][::2] for site in sites]) for part in range(2))
)
models = {f"site {number}": model for number, model in enumerate(models)} | {
    "merged": one,
    "merged, calibrated": calibrated,
    "all rows, calibrated": TemperatureCalibrator(FrozenEstimator(everything)).fit(X_all, y_all),
}


def losses(model):
    """Log loss of each test row."""
    p = model.predict_proba(X_test)[np.arange(len(y_test)), y_test]
    return -np.log(np.maximum(p, np.finfo(float).eps))


fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for place, (name, model) in enumerate(models.items()):
    loss, apart = losses(model), losses(model) - losses(calibrated)
    print(f"{name:20s} log loss {loss.mean():.3f}")
    colour = "#D55E00" if model is calibrated else "0.5" if name.startswith("site") else "k"
    marker = "s" if model is calibrated else "o"
    margin = 2 * apart.std() / len(apart) ** 0.5
    ax.errorbar(loss.mean(), place, xerr=margin, fmt=marker, color=colour, markersize=7)
ax.axvline(losses(calibrated).mean(), color="#D55E00", linewidth=1, linestyle="--", zorder=0)
ax.set_yticks(range(len(models)), models)
ax.get_yticklabels()[list(models.values()).index(calibrated)].set_fontweight("bold")
ax.set(xlabel="log loss (lower is better)", ylim=(len(models) - 0.5, -0.5))
ax.set_title("Breast cancer, three hospitals")
plt.show()
