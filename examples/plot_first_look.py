"""
Five classifiers of real tables, and one
========================================

Boosted trees, two forests, a linear model and nearest neighbours are trained on 60 % of a table.
How can they be combined? The probabilities of a soft vote are their means; they can be divided by a
temperature, or replaced by those of a logistic regression on the members' outputs (stacking); or
the members are merged. All of these learn from the same 20 % of the rows, which no member has seen,
and are tested on the last 20 %. In five rounds each row is tested once.

The tables are real: heart traces of 2,126 unborn babies, which experts called normal, suspect or
pathologic, and 7,043 customers of a telephone company, some of whom left. They are in
``examples/data``, with their sources and licences. Other tables can be named instead: CSV files
with a header, and the label in the last column.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier, ReliabilityDisplay, TemperatureCalibrator
from skmergecal.metrics import expected_calibration_error

DATA = Path(sys.argv[0]).parent / "data"
TABLES = [DATA / "cardiotocography.csv.gz", DATA / "telecom_churn.csv.gz"]


def read_table(path):
    """Features and labels; a word becomes a column of 0 and 1, an empty cell 0 (nothing paid)."""
    cells = np.loadtxt(path, dtype=str, delimiter=",", skiprows=1)
    columns = []
    for column in cells[:, :-1].T:
        try:
            columns.append(np.where(column == "", "0", column).astype(float)[:, None])
        except ValueError:
            columns.append(column[:, None] == np.unique(column)[1:])
    return np.hstack(columns).astype(np.float32), np.unique(cells[:, -1], return_inverse=True)[1]


def fit_members(X, y, seed):
    trees = {"n_estimators": 50, "min_samples_leaf": 3, "random_state": seed}
    members = {
        "boosted trees": HistGradientBoostingClassifier(max_iter=50, random_state=seed),
        "forest": RandomForestClassifier(**trees),
        "extra trees": ExtraTreesClassifier(**trees),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "k-NN": make_pipeline(StandardScaler(), KNeighborsClassifier(50)),
    }
    return {name: member.fit(X, y) for name, member in members.items()}


def combine(members, X, y):
    """Ways to combine fitted members, learned from rows that they have not seen."""
    frozen = [(name, FrozenEstimator(member)) for name, member in members.items()]
    vote = VotingClassifier(frozen, voting="soft").fit(X, y)
    stack = StackingClassifier(list(members.items()), LogisticRegression(), cv="prefit")
    return {
        "vote": vote,
        "vote, then temperature": TemperatureCalibrator(FrozenEstimator(vote)).fit(X, y),
        "stacking": stack.fit(X, y),
        "merged": MergedClassifier.from_fitted(members, X, y),
    }


def predict_every_row(X, y, title):
    """Probabilities of the test rows of five rounds, by model."""
    proba = {}
    print(f"{title}: {len(y):,} rows, {y.max() + 1} classes; round", end="", flush=True)
    rounds = StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)
    for seed, (rest, test) in enumerate(rounds):
        print(f" {seed + 1}", end=" of 5\n" if seed == 4 else "", flush=True)
        train, held = train_test_split(rest, test_size=0.25, stratify=y[rest], random_state=seed)
        members = fit_members(X[train], y[train], seed)
        for name, model in (members | combine(members, X[held], y[held])).items():
            rows = proba.setdefault(name, np.empty((len(y), y.max() + 1)))
            rows[test] = model.predict_proba(X[test])
    return proba


def compare(y, proba):
    """Log loss, 95 % interval of its difference to that of merged, and calibration error."""
    chosen = {name: p[np.arange(len(y)), y] for name, p in proba.items()}
    losses = {name: -np.log(np.maximum(p, np.finfo(float).eps)) for name, p in chosen.items()}
    found = {}
    for name, loss in losses.items():
        half_width = 1.96 * (loss - losses["merged"]).std() / len(y) ** 0.5
        found[name] = loss.mean(), half_width, expected_calibration_error(y, proba[name])
    return found


def say_what_it_means(title, table):
    """Which losses are above that of the merged classifier by more than chance."""
    merged = table["merged"][0]
    others = {name: numbers for name, numbers in table.items() if name != "merged"}
    best = min(others, key=others.get)
    like = [name for name, (loss, half_width, _) in others.items() if loss - half_width <= merged]
    print(
        f"{title}: merged is {1 - merged / others[best][0]:.1%} below the best other, {best};",
        f"by more than chance against {'all but ' + ', '.join(like) if like else 'all'}",
    )


MEMBERS = "boosted trees", "forest", "extra trees", "logistic", "k-NN"
print("Five classifiers are trained, combined in four ways, and tested on rows new to all of them.")
tables = [Path(path) for path in sys.argv[1:]] or TABLES
titles = [path.name.split(".")[0].replace("_", " ") for path in tables]
labels, predicted = [], []
for path, title in zip(tables, titles, strict=True):
    X, y = read_table(path)
    labels.append(y)
    predicted.append(predict_every_row(X, y, title))
found = [compare(y, proba) for y, proba in zip(labels, predicted, strict=True)]

# %%
# Log loss, half the width of the 95 % interval of its difference to that of the merged classifier,
# and the calibration error, by how much probability and frequency of the most probable class
# differ. The difference of losses is taken row by row, so that rows that are hard for all models do
# not blur it.
print(f"{'log loss, calibration error':28s}" + "".join(f"{title:28s}" for title in titles).rstrip())
for name in found[0]:
    line = f"{name:28s}"
    for loss, half_width, error in (table[name] for table in found):
        between = f" ±{half_width:.4f}" if half_width else " " * 8
        line += f"{loss:.4f}{between} {error:6.1%}" + " " * 7
    print(line.rstrip())
for title, table in zip(titles, found, strict=True):
    say_what_it_means(title, table)

# %%
# Members are grey, ways to combine them black. The bars are the same intervals: one that does not
# touch the line is a higher loss. In the reliability diagram the vote is under-confident: where it
# says .57, it is right in .68. A temperature corrects that. It does not correct that every member
# has the same say, whatever it knows.
fig, axes = plt.subplots(1, len(tables) + 1, figsize=(11.5, 4.4), layout="constrained")
for ax, title, table in zip(axes, titles, found, strict=False):
    for place, (name, (loss, half_width, _)) in enumerate(table.items()):
        colour = {"merged": "#D55E00", **dict.fromkeys(MEMBERS, "0.5")}.get(name, "k")
        marker = "s" if name == "merged" else "o"
        ax.errorbar(loss, place, xerr=half_width, fmt=marker, color=colour, markersize=4)
    ax.axvline(table["merged"][0], color="#D55E00", linewidth=1, linestyle="--", zorder=0)
    ax.set(title=title, xlabel="log loss (lower is better)", ylim=(len(table) - 0.5, -0.5))
    ax.set_yticks(range(len(table)), table if ax is axes[0] else [])
axes[0].get_yticklabels()[-1].set_fontweight("bold")
axes[0].text(
    0.98,
    0.02,
    "bars: 95 % interval of\nthe difference to merged",
    ha="right",
    va="bottom",
    transform=axes[0].transAxes,
    fontsize="small",
)
shown = {name: predicted[0][name] for name in ("vote", "merged")}
display = ReliabilityDisplay.from_predictions(
    labels[0], shown, n_bins=8, strategy="quantile", ax=axes[-1]
)
axes[-1].set(title=f"{titles[0]}: most probable class", xlim=(0.5, 1.01), ylim=(0.5, 1.01))
display.histogram_ax_[0].set_xlim(0.5, 1.01)
fig.savefig("first_look.png", dpi=120)
print("picture: first_look.png")

# %%
# :doc:`/getting_started` explains the calls, :doc:`/quality` measures more tables.
