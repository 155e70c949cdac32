"""
Why merge, and why calibrate?
=============================

Three classifiers of handwritten digits: an under-confident forest, a linear model, and a
strongly over-confident naive Bayes model. How can they be combined? The rows are split in three:
members are trained on the first part, merged and calibrated on the second, and scored on the third.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier, ReliabilityDisplay, TemperatureCalibrator

X, y = load_digits(return_X_y=True)
X_train, X_rest, y_train, y_rest = train_test_split(X / 16, y, train_size=600, random_state=0)
X_held, X_test, y_held, y_test = train_test_split(X_rest, y_rest, train_size=0.5, random_state=0)
members = {
    "forest": RandomForestClassifier(30, random_state=0).fit(X_train, y_train),
    "logistic": LogisticRegression().fit(X_train, y_train),
    "naive Bayes": GaussianNB(var_smoothing=1e-3).fit(X_train, y_train),
}

# %%
# A vote averages their probabilities. Calibrating it helps, but weak members have the same weight
# as the strong one; merging learns weights and temperatures at once.
frozen = [(name, FrozenEstimator(member)) for name, member in members.items()]
vote = VotingClassifier(frozen, voting="soft").fit(X_held, y_held)
models = members | {
    "vote": vote,
    "vote, calibrated": TemperatureCalibrator(FrozenEstimator(vote)).fit(X_held, y_held),
    "merged": MergedClassifier(frozen).fit(X_held, y_held),
}


def losses(model):
    """Log loss of each test row."""
    p = model.predict_proba(X_test)[np.arange(len(y_test)), y_test]
    return -np.log(np.maximum(p, np.finfo(float).eps))


for name, model in models.items():
    accuracy, loss = model.score(X_test, y_test), losses(model).mean()
    print(f"{name:17s} accuracy {accuracy:.3f}, log loss {loss:.3f}")

# %%
# On the left, points above the diagonal are under-confident, points below it over-confident. On the
# right, the log loss, which depends on accuracy and calibration, with twice its standard error;
# members are grey.
fig, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
shown = {name: models[name] for name in ("vote", "merged", "naive Bayes", "forest")}
ReliabilityDisplay.from_estimator(shown, X_test, y_test, strategy="quantile", n_bins=6, ax=left)
for place, (name, model) in enumerate(models.items()):
    loss = losses(model)
    margin = 2 * loss.std() / len(loss) ** 0.5
    colour = {"merged": "#D55E00", **dict.fromkeys(members, "0.5")}.get(name, "k")
    marker = "s" if name == "merged" else "o"
    right.errorbar(loss.mean(), place, xerr=margin, fmt=marker, color=colour)
right.set_yticks(range(len(models)), models)
left.set_title("Digits: the most probable class")
right.set_title("Log loss")
right.get_yticklabels()[-1].set_fontweight("bold")
right.set(xlabel="log loss (lower is better)", xscale="log", ylim=(len(models) - 0.5, -0.5))
right.set_xticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
right.minorticks_off()
plt.show()

# %%
# :ref:`The guide <guide-members>` goes on with these members.
