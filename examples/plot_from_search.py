"""
From a search to a merge
========================

A search fits many candidates and keeps one. Here are 24 of them, boosted trees and forests, that
predict which customers of a telephone company leave. How much better than the best one is a merge
of the best eight? :ref:`The guide <from-searches>` says how these are chosen.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import loguniform, randint, uniform
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import RandomizedSearchCV, train_test_split

from skmergecal import MergedClassifier, members_from_search

table = pd.read_csv(Path(sys.argv[0]).parent / "data" / "telecom_churn.csv.gz")
X = pd.get_dummies(table.drop(columns="target").fillna({"TotalCharges": 0}), drop_first=True)
X, X_test, y, y_test = train_test_split(
    X.astype(np.float32), table["target"], train_size=1500, stratify=table["target"], random_state=0
)

# %%
# Two searches of twelve candidates each, scored by log loss over three folds.
how = {"n_iter": 12, "scoring": "neg_log_loss", "cv": 3, "random_state": 0}
boosting = RandomizedSearchCV(
    HistGradientBoostingClassifier(max_iter=30, random_state=0),
    {
        "learning_rate": loguniform(0.05, 0.3),
        "max_leaf_nodes": randint(4, 17),
        "l2_regularization": loguniform(0.01, 10),
    },
    **how,
).fit(X, y)
forests = RandomizedSearchCV(
    RandomForestClassifier(30, random_state=0),
    {
        "criterion": ["gini", "entropy"],
        "max_features": uniform(0.1, 0.4),
        "min_samples_leaf": randint(2, 11),
    },
    **how,
).fit(X, y)

# %%
# The eight best ones of both. The merge fits them again over the same folds, to learn from rows
# that they have not seen, and then on all rows: 32 fits beside the 74 of the searches.
members = members_from_search([boosting, forests], n_members=8)
merged = MergedClassifier(members, cv=3).fit(X, y)


def losses(model):
    """Log loss of each test row."""
    p = model.predict_proba(X_test)[np.arange(len(y_test)), y_test]
    return -np.log(np.maximum(p, 1e-15))


MERGED = "merge of all eight"
models = {MERGED: merged} | dict(zip(dict(members), merged.estimators_, strict=True))
loss = {name: losses(model) for name, model in models.items()}
for name, rows in loss.items():
    print(f"{rows.mean():.4f}  {name}")

# %%
# The picture has what each candidate loses more than the merge on the same rows, with twice the
# standard error: an interval beyond the line says that the merge is better, and not by chance.
# Intervals of the losses would overlap: rows that are hard for one model are hard for all.
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
labels = [f"{rank}. {name.split('gradient')[-1].split()[0]}" for rank, name in enumerate(loss)]
labels[:2] = "merged", labels[1] + ", best of search"
for place, rows in enumerate(loss.values()):
    apart = rows - loss[MERGED]
    style = {"fmt": "o", "color": "0.5"} if place else {"fmt": "s", "color": "#D55E00"}
    error = apart.std(ddof=1) / len(apart) ** 0.5
    ax.errorbar(apart.mean(), place, xerr=2 * error, markersize=7, **style)
ax.axvline(0, color="#D55E00", linewidth=1, linestyle="--", zorder=0)
ax.set_yticks(range(len(loss)), labels)
ax.get_yticklabels()[0].set_fontweight("bold")
ax.set(xlabel="log loss minus that of the merge", ylim=(len(loss) - 0.5, -0.5))
ax.set_title("Customers who leave: eight candidates, and merged")
plt.show()

# %%
# The merge loses less than the best of the search, by more than chance. Two boosted trees that the
# search took for worse come nearer to it: on new rows the best of a search is not the best of its
# candidates. The difference is small, and with other rows of the table it may be smaller still;
# :doc:`/quality` has what a merge gains on other tables, and what it costs.
