"""
Credit decisions need calibrated probabilities
==============================================

A loan that is not paid back costs ten times what a good one earns, so that a loan should be given
where the probability of default is below 1/11. This works if probabilities can be trusted. Two
members are trained: a forest, and a linear model with class weights, whose probabilities of default
are far too high.

The loans are generated, of which some 11 % default, so that the example runs offline. With the
argument ``openml`` it fetches 30,000 customers of a bank in Taiwan instead, of whom 22 % default:
``python plot_credit_decisions.py openml``.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import fetch_openml, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier, ReliabilityDisplay

if "openml" in sys.argv[1:]:
    found = fetch_openml("default-of-credit-card-clients", version=1, as_frame=True)
    X, y = found.data.to_numpy(dtype=float), found.target.to_numpy().astype(int)
else:
    X, y = make_classification(
        9000, 12, n_informative=5, weights=[0.9], flip_y=0.05, class_sep=0.7, random_state=0
    )
X_train, X_rest, y_train, y_rest = train_test_split(X, y, train_size=1 / 3, random_state=0)
X_held, X_test, y_held, y_test = train_test_split(X_rest, y_rest, train_size=0.5, random_state=0)
linear = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
forest = RandomForestClassifier(100, random_state=0)
members = {
    "balanced linear": linear.fit(X_train, y_train),
    "forest": forest.fit(X_train, y_train),
}
merged = MergedClassifier.from_fitted(members, X_held, y_held)
models = members | {"merged": merged}

# %%
# Profit on the test rows if every loan with a probability of default below 1/11 is given. A good
# loan earns 1, a default costs 10. The linear model refuses nearly all loans, and nothing in its
# output shows that this is wrong.
LOSS, THRESHOLD = 10, 1 / 11


def profit(p, threshold=THRESHOLD):
    """Mean profit per application."""
    return np.mean((p < threshold) * np.where(y_test == 1, -LOSS, 1))


default = {name: model.predict_proba(X_test)[:, 1] for name, model in models.items()}
print(f"{'':16s} log loss  mean  profit")
for name, p in default.items():
    print(f"{name:16s} {log_loss(y_test, p):8.3f} {p.mean():5.2f} {profit(p):7.3f}")
print(f"share of defaults: {y_test.mean():.2f}")

# %%
# What other thresholds would have earned: the best one of the linear model is elsewhere, and can
# be found only from rows with known labels. That of the merged classifier is the one that follows
# from the costs.
fig, ax = plt.subplots(figsize=(6.5, 4.5), layout="constrained")
thresholds = np.geomspace(0.01, 0.99, 100)
for name, colour, line in zip(models, ("0.5", "0.5", "#D55E00"), ("--", ":", "-"), strict=True):
    earned = [profit(default[name], t) for t in thresholds]
    ax.plot(thresholds, earned, color=colour, linestyle=line, label=name, linewidth=2.5)
ax.axvline(THRESHOLD, color="k", linewidth=1)
ax.text(1.05 * THRESHOLD, -0.15, "costs say: 1/11")
ax.set(xscale="log", ylim=(-0.2, None), title="Profit per application")
ax.set_xticks([0.01, 0.1, 0.5], ["0.01", "0.1", "0.5"])
ax.minorticks_off()
ax.set_xlabel("loans are given below this probability of default")
ax.legend(loc="lower left")
plt.show()

# %%
# Why: class weights shift the probabilities of the linear model. What the package does about this
# and other pitfalls: :doc:`/guide/pitfalls`.
shown = {name: models[name] for name in ("balanced linear", "merged", "forest")}
display = ReliabilityDisplay.from_estimator(shown, X_test, y_test)
display.ax_.set_title("Default")
plt.show()
