"""
An ensemble becomes one tree that can be read
=============================================

Boosted trees, a forest and a net, merged, predict well who leaves a telephone company; but nobody
can read them, and a prediction takes a while. Here a small tree learns the probabilities of the
merge in place of the labels: :class:`~skmergecal.DistilledClassifier`. The guide on
:doc:`tuning and distilling </guide/tuning>` says more.
"""

import sys
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, plot_tree

from skmergecal import DistilledClassifier, MergedClassifier

table = pd.read_csv(Path(sys.argv[0]).parent / "data" / "telecom_churn.csv.gz")
X = pd.get_dummies(table.drop(columns="target").fillna({"TotalCharges": 0}), drop_first=True)
X, X_test, y, y_test = train_test_split(
    X.astype(np.float32), table["target"], train_size=1500, stratify=table["target"], random_state=0
)

# %%
# The teacher is cross-fitted: the tree learns what models that had not seen a row predicted for
# it. ``label_share=0.5`` mixes the labels in, half and half; ``"auto"`` would choose the share on
# held-out rows, for some fifty more fits.
members = {
    "boosted trees": HistGradientBoostingClassifier(max_iter=40, random_state=0),
    "forest": RandomForestClassifier(60, min_samples_leaf=3, random_state=0),
    "net": make_pipeline(StandardScaler(), MLPClassifier(early_stopping=True, random_state=0)),
}
teacher = MergedClassifier(members, cv=3)
tree = DecisionTreeClassifier(max_depth=5, min_samples_leaf=10, random_state=0)
model = DistilledClassifier(tree, teacher, label_share=0.5).fit(X, y)


def losses(model):
    """Log loss of each test row."""
    p = model.predict_proba(X_test)[np.arange(len(y_test)), (y_test == model.classes_[1]) * 1]
    return -np.log(np.maximum(p, 1e-3))


def milliseconds(model):
    """Time for the prediction of a single row."""
    row, start = X_test.iloc[:1], perf_counter()
    for _ in range(10):
        model.predict_proba(row)
    return (perf_counter() - start) * 100


models = {
    "teacher": model.teacher_,
    "tree, taught": model.student_,
    "tree, labels only": clone(tree).fit(X, y),
}
loss = {name: losses(fitted) for name, fitted in models.items()}
times = {name: milliseconds(fitted) for name, fitted in models.items()}
for name in models:
    print(f"{name:18s} log loss {loss[name].mean():.4f}, {times[name]:5.1f} ms for a row")

# %%
# The top of the tree has the first three questions for each customer: who is orange stays, who is
# blue leaves, and ``value`` holds both probabilities.
fig, ax = plt.subplots(figsize=(10, 5), layout="constrained")
ax.set_title("The first questions of the tree")
plot_tree(
    model.student_,
    max_depth=2,
    feature_names=list(X.columns),
    class_names=["stays", "leaves"],
    filled=True,
    impurity=False,
    proportion=True,
    precision=2,
    fontsize=9,
    ax=ax,
)
plt.show()

# %%
# Taught by the teacher the tree loses less than with labels only, and answers as fast. The bars are
# twice the standard errors of the differences to the taught tree, on the same test rows.
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True, layout="constrained")
for place, (name, rows) in enumerate(loss.items()):
    apart = rows - loss["tree, taught"]
    error = apart.std(ddof=1) / len(apart) ** 0.5
    colour, marker = ("#D55E00", "s") if name == "tree, taught" else ("k", "o")
    left.errorbar(rows.mean(), place, xerr=2 * error, fmt=marker, color=colour, markersize=7)
    right.plot(times[name], place, marker, color=colour, markersize=7)
left.set(xlabel="log loss (lower is better)", ylim=(2.5, -0.5), title="What it loses")
left.set_yticks(range(3), models)
right.set(xlabel="milliseconds for one row", xlim=(0, None), title="What it costs")
plt.show()
