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
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier, ReliabilityDisplay, TemperatureCalibrator

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
for name, model in {
    **{f"site {i}": model for i, model in enumerate(models)},
    "merged": one,
    "merged, calibrated": calibrated,
}.items():
    print(f"{name:20s} log loss {log_loss(y_test, model.predict_proba(X_test)):.3f}")
display = ReliabilityDisplay.from_estimator(
    {"first site": models[0], "merged": one, "calibrated": calibrated}, X_test, y_test, n_bins=5
)
display.ax_.set_title("Breast cancer: benign")
plt.show()
