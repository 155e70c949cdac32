"""Run packages on awkward inputs, and print what each does with them.

    python tests/benchmarks/study_conformance.py [docs/conformance.inc]

Packages that are not installed are left out and named. With a path, the table that
docs/comparison.rst includes is written there.
"""

from __future__ import annotations

import datetime
import io
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.naive_bayes import GaussianNB

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.conformance_peers import PACKAGES, NotOfferedError

#: Largest difference of probabilities that counts as none; some packages compute in float32.
SAME = 1e-4
HEADER = ("   :header-rows: 1", "   :stub-columns: 1")


class Said(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose rows are its probabilities."""

    def __init__(self, classes=(0, 1, 2)):
        self.classes = classes

    def fit(self, X=None, y=None):
        self.classes_ = np.asarray(self.classes)
        return self

    def predict_proba(self, X):
        return np.asarray(X)

    def predict(self, X):
        return self.classes_[np.asarray(X).argmax(axis=1)]


def too_sure(n_classes=3, n=600, seed=0):
    """Probabilities whose best temperature is near 2, and labels."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, n_classes))
    true, p = (np.exp(f * z) / np.exp(f * z).sum(axis=1, keepdims=True) for f in (1, 2))
    y = (rng.random((n, 1)) > np.cumsum(true, axis=1)).sum(axis=1).clip(0, n_classes - 1)
    return p, y


def best_temperature(p, y):
    """By brute force."""

    def loss(log_t):
        q = p ** np.exp(-log_t)
        return log_loss(y, q / q.sum(axis=1, keepdims=True), labels=range(p.shape[1]))

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def verdict(difference, what="probabilities"):
    good = difference <= SAME
    return "right" if good else f"**{what} differ by {difference:.2g}**"


def relabelled(package, labels):
    p, y = too_sure()
    plain, _ = package.calibrate(Said().fit(), p, y)
    named = np.asarray(labels)
    other, _ = package.calibrate(Said(labels).fit(), p, named[y])
    return verdict(np.abs(plain(p) - other(p)).max())


def with_settings(attempt, settings):
    """What the defaults give, and what other settings of the package give."""
    said = []
    for text, chosen in settings.items():
        try:
            found = attempt(**chosen)
        except NotOfferedError:
            raise
        except Exception as error:  # what a user would see
            found = f"``{type(error).__name__}``"
        said.append(found + (f" with ``{text}``" if text else ""))
    return "; ".join(said)


def gaps(package):
    """labels 3, 13, 23"""
    return relabelled(package, [3, 13, 23])


def strings(package):
    """labels "a", "b", "c" """
    return relabelled(package, ["a", "b", "c"])


def shuffled_series(package):
    """``y`` as a pandas Series with a shuffled index"""
    p, y = too_sure()
    plain, _ = package.calibrate(Said().fit(), p, y)
    index = np.random.default_rng(0).permutation(len(y)) + 1000
    other, _ = package.calibrate(Said().fit(), p, pd.Series(y, index=index))
    return verdict(np.abs(plain(p) - other(p)).max())


def one_row(package):
    """one row alone and in its batch"""
    p, y = too_sure()
    predict, _ = package.calibrate(Said().fit(), p, y)
    return alone_and_in_batch(predict, p)


def rounded(package):
    """the same, probabilities rounded to four decimals"""
    p, y = too_sure()
    predict, _ = package.calibrate(Said().fit(), p, y)
    return alone_and_in_batch(predict, np.maximum(p.round(4), 1e-4))


def alone_and_in_batch(predict, rows):
    alone = np.concatenate([predict(rows[i : i + 1]) for i in range(len(rows))])
    return verdict(np.abs(predict(rows) - alone).max())


def two_classes(package):
    """the temperature reported for two classes"""
    p, y = too_sure(2)
    _, reported = package.calibrate(Said((0, 1)).fit(), p, y)
    best = best_temperature(p, y)
    note = ", the inverse" if abs(reported * best - 1) < 0.05 else ""
    right = abs(reported / best - 1) < 0.01
    return "right" if right else f"**{reported:.3g}{note}; best {best:.3g}**"


def absent_class(package):
    """a class without a calibration row"""
    p, y = too_sure()
    kept = y != 2
    predict, _ = package.calibrate(Said().fit(), p[kept], y[kept])
    q = predict(p)
    best = best_temperature(p[kept], y[kept])
    expected = p ** (1 / best)
    expected /= expected.sum(axis=1, keepdims=True)
    if q.shape != expected.shape:
        return f"**{q.shape[1]} columns of 3**"
    return "right" if np.abs(q - expected).max() < 0.01 else "**another temperature**"


def certain_zero(package):
    """a true class with probability 0"""
    p, y = too_sure()
    p[0], y[0] = [0.0, 0.4, 0.6], 0
    predict, temperature = package.calibrate(Said().fit(), p, y)
    finite = np.isfinite(predict(p)).all() and np.isfinite(temperature)
    return "finite" if finite else "**not finite**"


def weights(package):
    """``sample_weight`` 2 instead of a row twice"""
    p, y = too_sure()
    counts = np.arange(len(y)) % 3
    rows = np.repeat(np.arange(len(y)), counts)
    one, _ = package.calibrate(Said().fit(), p, y, counts.astype(float))
    two, _ = package.calibrate(Said().fit(), p[rows], y[rows])
    return verdict(np.abs(one(p) - two(p)).max())


def grid_of_temperatures(package):
    """the temperature as a parameter of a grid search"""
    p, y = too_sure()
    estimator, name = package.temperature_grid(Said().fit())
    if name not in estimator.get_params():
        raise NotOfferedError
    found = GridSearchCV(estimator, {name: [0.5, 2.0]}, scoring="neg_log_loss").fit(p, y)
    return "right" if found.best_params_[name] == 2.0 else "**the worse one wins**"


def class_sets(package):
    """fitted members that know classes 0, 1, 2 and 1, 2, 3"""
    X, y = load_digits(n_class=4, return_X_y=True)
    sets = ([0, 1, 2], [1, 2, 3])
    members = [GaussianNB(var_smoothing=0.1).fit(X[np.isin(y, s)], y[np.isin(y, s)]) for s in sets]
    expected = np.zeros((len(y), 4))
    for member, columns in zip(members, sets, strict=True):
        expected[:, columns] += member.predict_proba(X) / 2

    def vote(**chosen):
        predict, classes = package.vote(members, X, y, **chosen)
        got = predict(X)
        if got.shape != expected.shape:
            return f"**{got.shape[1]} columns for {len(classes)} classes**"
        return verdict(np.abs(got - expected).max())

    return with_settings(vote, package.vote_settings)


class Counted(GaussianNB):
    """Counts the calls of all of its copies."""

    calls = 0

    def predict_proba(self, X):
        Counted.calls += 1
        return super().predict_proba(X)


def searched_weights(package):
    """calls of a fitted member in a search over 16 weights, 5 folds"""
    X, y = load_breast_cancer(return_X_y=True)
    members = [Counted(var_smoothing=s).fit(X[:200], y[:200]) for s in (1e-9, 1e-3)]
    grid = [[i, 16 - i] for i in range(16)]

    def search(**chosen):
        estimator, choices = package.weight_grid(members, grid, **chosen)
        Counted.calls = 0
        GridSearchCV(estimator, choices, scoring="neg_log_loss", refit=False).fit(X[200:], y[200:])
        return f"{Counted.calls / 2:.0f}"

    return with_settings(search, package.grid_settings)


def nets_of_seeds(package):
    """two nets of different seeds as one: accuracy"""
    import torch
    from skorch import NeuralNetClassifier

    torch.set_num_threads(1)
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype("float32")
    X_train, X_rest, y_train, y_rest = train_test_split(X, y, train_size=0.5, random_state=0)
    X_held, X_test, y_held, y_test = train_test_split(X_rest, y_rest, random_state=0)
    nets = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64)]
        module = torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Linear(64, 10))
        settings = {"max_epochs": 40, "lr": 0.2, "train_split": None, "verbose": 0}
        net = NeuralNetClassifier(module, criterion=torch.nn.CrossEntropyLoss, **settings)
        nets.append(net.fit(X_train, y_train))
    each = np.mean([net.score(X_test, y_test) for net in nets])
    merged = package.average_nets(nets, X_held, y_held)
    accuracy = np.mean(merged.predict(X_test) == y_test)
    text = f"{accuracy:.3f} (each: {each:.3f})"
    return text if accuracy > each - 0.05 else f"**{text}**"


INPUTS = (
    gaps,
    strings,
    shuffled_series,
    one_row,
    rounded,
    two_classes,
    absent_class,
    certain_zero,
    weights,
    grid_of_temperatures,
    class_sets,
    searched_weights,
    nets_of_seeds,
)


def outcome(check, package):
    """What a package does with an input, in a few words; warnings are named."""
    heard = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(heard):
        warnings.simplefilter("always")
        try:
            with redirect_stderr(heard):
                said = check(package)
        except NotOfferedError as nothing:
            return str(nothing) or "not offered"
        except Exception as error:  # what a user would see
            return f"``{type(error).__name__}``"
    warned = any(issubclass(w.category, UserWarning) for w in caught)
    return said + (", with a warning" if warned else ", no warning") if "**" in said else said


def main(path=None):
    """Print the table, and write it as reStructuredText where a path is given."""
    found = {package: package.version() for package in PACKAGES}
    run = [package for package, number in found.items() if number]
    table = [["input", *(package.name for package in run)]]
    for check in INPUTS:
        table.append([check.__doc__.strip(), *(outcome(check, package) for package in run)])
        print(" | ".join(table[-1]), flush=True)
    versions = ", ".join(f"{package.name} {found[package]}" for package in run)
    missing = ", ".join(package.name for package in PACKAGES if package not in run)
    date = datetime.datetime.now(tz=datetime.UTC).date()
    intro = f"Run on {date:%d %B %Y} with {versions}."
    intro += f" Not installed, and not run: {missing}." if missing else ""
    print(intro)
    if path:
        rows = ["   * - " + "\n     - ".join(row) for row in table]
        lines = [intro, "", ".. list-table::", "   :class: comparison", *HEADER, "", *rows, ""]
        Path(path).write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
