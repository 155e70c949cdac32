"""Latency of ONNX models against predict_proba: one row, and 10,000 rows, on one thread.

    OMP_NUM_THREADS=1 python tests/benchmarks/study_onnx.py [NAME]

A name leaves all members but those out whose row begins with it. Prints a table and the versions of
the packages. LightGBM and XGBoost take part where installed.
"""

from __future__ import annotations

import sys
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[2]))
from skmergecal import MergedClassifier
from skmergecal.onnx import to_onnx

PACKAGES = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "lightgbm", "xgboost", "numpy")
MANY = 10_000


def mixed():
    return [
        make_pipeline(StandardScaler(), LogisticRegression()),
        LinearDiscriminantAnalysis(),
        SGDClassifier(loss="log_loss", random_state=0),
        GaussianNB(),
        make_pipeline(StandardScaler(), MLPClassifier((32,), random_state=0, max_iter=50)),
        RandomForestClassifier(50, random_state=0),
        ExtraTreesClassifier(50, random_state=0),
        HistGradientBoostingClassifier(max_iter=50),
    ]


def boosters():
    from lightgbm import LGBMClassifier
    from xgboost import XGBClassifier

    return [LGBMClassifier(n_estimators=100, verbose=-1, n_jobs=1), XGBClassifier(n_jobs=1)]


def portfolios():
    """Members by the name of the portfolio, unfitted."""
    linear = [LogisticRegression(C=10.0**k) for k in range(-4, 4)]
    yield "8 logistic regressions", linear
    yield "8 mixed members", mixed()
    yield "3 forests of 100 trees", [RandomForestClassifier(100, random_state=k) for k in range(3)]
    if find_spec("lightgbm") and find_spec("xgboost"):
        yield "LightGBM and XGBoost", boosters()


def seconds(call, rounds):
    """The shortest of some calls, after one that does not count."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def compare(model, X):
    """Seconds of predict_proba and of onnxruntime for one row and for many; the difference."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = to_onnx(model, X[:500]).SerializeToString()
    session = onnxruntime.InferenceSession(content, options)
    many = np.resize(X, (MANY, X.shape[1]))
    away = abs(session.run(["probabilities"], {"X": many})[0] - model.predict_proba(many)).max()
    times = []
    for rows, rounds in ((X[:1].copy(), 300), (many, 5)):
        times.append(seconds(lambda rows=rows: model.predict_proba(rows), rounds))
        feed = {"X": rows}
        times.append(seconds(lambda feed=feed: session.run(["probabilities"], feed), rounds))
    return times, away, len(content)


def main():
    X, y = make_classification(3000, 20, n_informative=8, flip_y=0.1, random_state=0)
    print(
        f"{'members':24}{'method':15}{'1 row us':>10}{'ONNX':>7}{'times':>7}"
        f"{'10k ms':>9}{'ONNX':>7}{'times':>7}{'max |dp|':>10}{'KB':>7}"
    )
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, members in portfolios():
        if not name.startswith(wanted):
            continue
        fitted = [(f"m{k}", member.fit(X[:1500], y[:1500])) for k, member in enumerate(members)]
        for method in ("auto", "logits", "probabilities"):
            model = MergedClassifier.from_fitted(fitted, X[1500:], y[1500:], method=method)
            (one, onnx_one, many, onnx_many), away, size = compare(model, X[1500:])
            print(
                f"{name:24}{method:15}{one * 1e6:10.0f}{onnx_one * 1e6:7.0f}{one / onnx_one:7.0f}"
                f"{many * 1e3:9.1f}{onnx_many * 1e3:7.1f}{many / onnx_many:7.2f}{away:10.1e}"
                f"{size / 1024:7.0f}"
            )
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} is not installed")
    print(", ".join(found))


if __name__ == "__main__":
    main()
