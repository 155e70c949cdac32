"""
The order, chosen by grid search
================================

How opinions are merged, and what is calibrated, are parameters of ``MergedClassifier``. The members
are trained once and frozen; a search over twelve candidates then takes seconds.
:doc:`/guide/order` and :doc:`/guide/searching` are the pages on this in the guide.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier

X, y = load_digits(return_X_y=True)
X_train, X_rest, y_train, y_rest = train_test_split(X, y, train_size=0.3, random_state=0)
X_held, X_test, y_held, y_test = train_test_split(X_rest, y_rest, train_size=0.5, random_state=0)
members = {
    "trees": ExtraTreesClassifier(50, random_state=0),
    "linear": LogisticRegression(max_iter=2000),
    "naive Bayes": GaussianNB(var_smoothing=1e-3),
}
frozen = [(name, FrozenEstimator(m.fit(X_train, y_train))) for name, m in members.items()]

# %%
METHODS, ORDERS = ["auto", "logits", "probabilities"], [None, "members", "merged", "both"]
search = GridSearchCV(
    MergedClassifier(frozen),
    {"method": METHODS, "calibrate": ORDERS},
    scoring="neg_log_loss",
    cv=3,
).fit(X_held, y_held)
print(search.best_params_)
print(f"test log loss {log_loss(y_test, search.predict_proba(X_test)):.4f}")

# %%
# Log loss of each candidate over the folds, with the standard error of its mean. Those of one
# picture are scored on the same folds, so that differences are more certain than the lines suggest.
# The square is the candidate that the search takes.
found = search.cv_results_
labels = [f"{p['method']}, {p['calibrate']}" for p in found["params"]]
order = np.argsort(found["mean_test_score"])
fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
ax.errorbar(
    -found["mean_test_score"][order],
    range(len(order)),
    xerr=found["std_test_score"][order] / 3**0.5,
    fmt="o",
    color="0.5",
)
best = list(order).index(search.best_index_)
ax.plot(-search.best_score_, best, "s", color="#D55E00", markersize=9)
ax.set_yticks(range(len(order)), [labels[i] for i in order])
ax.get_yticklabels()[best].set_fontweight("bold")
ax.set(xlabel="log loss over three folds (lower is better)", title="Digits: method, calibrate")
plt.show()
