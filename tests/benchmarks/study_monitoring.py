"""False alarms and delays of CalibrationMonitor, by simulation, and two tables in their order.

    python tests/benchmarks/study_monitoring.py [--streams 1000] [--rows 5000] [--data FOLDER]

Log-probabilities are those of normal logits with standard deviation 1.5, and labels are drawn from
them, deviated as the first column says. For false alarms the lower end of the 99 % Clopper-Pearson
interval of their share is printed: above alpha = .01 it would show that the guarantee does not
hold. Traps that the guarantee does not cover come after them. Of 20 classes there are three tenths
of the streams. FOLDER has bank_marketing.csv.gz and credit_default.csv.gz, the last column of which
is the label; without it, simulations only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from scipy.special import log_softmax
from scipy.stats import beta
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.metrics import calibration_test
from skmergecal.monitoring import CalibrationMonitor, ModelComparison, Tolerance
from skmergecal.monitoring._mixture import Evidence
from skmergecal.monitoring._watch import Watch

ALPHA = 0.01
START = Watch.start
#: Columns that are left out: this one is known only after the outcome.
LEFT_OUT = {"bank_marketing": ["duration"]}


def draw(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """Labels from log-probabilities."""
    p = np.exp(z)
    return np.minimum((rng.random((len(z), 1)) > p.cumsum(axis=1)).sum(axis=1), z.shape[1] - 1)


def stream(
    rng: np.random.Generator,
    n: int,
    k: int,
    *,
    scale: float = 1.5,
    log_t: float = 0.0,
    shift: float = 0.0,
    last: float = 0.0,
    wrong: float = 0.0,
    good: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities, and labels that deviate from them after ``good`` rows."""
    z = log_softmax(rng.normal(size=(n + good, k)) * scale, axis=1)
    true = z.copy()
    true[good:] /= np.exp(log_t)
    true[good:, 0] += shift
    true[good:, -1] += last
    y = draw(rng, log_softmax(true, axis=1))
    noise = rng.random(len(y)) < wrong
    return z, np.where(noise, rng.integers(k, size=len(y)), y)


def alarm(z: np.ndarray, y: np.ndarray, weight: float | None = None, **settings: object) -> bool:
    monitor = CalibrationMonitor(alpha=ALPHA, **settings)
    return monitor.update(z, y, None if weight is None else np.full(len(y), weight)).alarm_


def exact(rng: np.random.Generator, n: int, k: int) -> bool:
    return alarm(*stream(rng, n, k), tolerance=0)


def softer_edge(rng: np.random.Generator, n: int, k: int) -> bool:
    return alarm(*stream(rng, n, k, log_t=0.05), tolerance=0.05)


def sharper_edge(rng: np.random.Generator, n: int, k: int) -> bool:
    return alarm(*stream(rng, n, k, log_t=-0.05), tolerance=0.05)


def shift_edge(rng: np.random.Generator, n: int, k: int) -> bool:
    return alarm(*stream(rng, n, k, shift=0.05), tolerance=0.05)


def near_0_and_1(rng: np.random.Generator, n: int, k: int) -> bool:
    return alarm(*stream(rng, n, k, scale=12.0), tolerance=0)


def near_0_and_1_wrong(rng: np.random.Generator, n: int, k: int) -> bool:
    return alarm(*stream(rng, n, k, scale=12.0, wrong=1e-3), tolerance=0)


def halves(rng: np.random.Generator, n: int, k: int) -> bool:
    return alarm(*stream(rng, n, k), 0.5, tolerance=0)


def twos(rng: np.random.Generator, n: int, k: int) -> bool:
    return alarm(*stream(rng, n, k), 2.0, tolerance=0, max_weight=2)


def mixed_weights(rng: np.random.Generator, n: int, k: int) -> bool:
    z, y = stream(rng, n, k)
    monitor = CalibrationMonitor(alpha=ALPHA, tolerance=0, max_weight=2)
    return monitor.update(z, y, rng.choice([0.5, 1.0, 2.0], n)).alarm_


def two_wrong_models(
    rng: np.random.Generator, n: int, k: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Log-probabilities of two wrong models of equal loss, and labels."""
    z, y = stream(rng, n, k)
    order = rng.permutation(k)
    one, other = z.copy(), z.copy()
    side = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    one[:, order[0]] += 0.5 * side
    other[:, order[0]] -= 0.5 * side
    return [log_softmax(m, axis=1) for m in (one, other)], y


def equal_challenger(rng: np.random.Generator, n: int, k: int) -> bool:
    models, y = two_wrong_models(rng, n, k)
    return ModelComparison(ALPHA).update(*map(np.exp, models), y).alarm_


def likelihood_ratio(rng: np.random.Generator, n: int, k: int) -> bool:
    """Trap: the likelihood ratio of the same two models, a line at 1 / alpha."""
    (one, other), y = two_wrong_models(rng, n, k)
    rows = np.arange(n)
    return bool(np.cumsum(other[rows, y] - one[rows, y]).max() >= np.log(1 / ALPHA))


def after_recalibration(rng: np.random.Generator, n: int, k: int) -> bool:
    """The monitor of the model that the first 2,000 rows recalibrated, too sharp before."""
    z, y = stream(rng, 2000 + n, k, log_t=0.4)
    first = CalibrationMonitor(window=2000).update(z[:2000], y[:2000])
    model = first.recalibrated()
    return CalibrationMonitor(model, alpha=ALPHA).update(z[2000:], y[2000:]).alarm_


def without_labels(rng: np.random.Generator, n: int, k: int) -> bool:
    """Rows of one population, observed before their labels come."""
    (z, _), (reference, _) = stream(rng, n, k), stream(rng, 1000, k)
    return CalibrationMonitor(alpha=ALPHA).observe(z, reference=reference).alarm


def beyond(rng: np.random.Generator, n: int, k: int) -> bool:
    """Trap: temperature and two classes at their edges at once."""
    return alarm(*stream(rng, n, k, log_t=0.05, shift=0.05, last=-0.05), tolerance=0.05)


def exact_at_edge(rng: np.random.Generator, n: int, k: int) -> bool:
    """Trap: an exact null where the deployed temperature is an estimate."""
    return alarm(*stream(rng, n, k, log_t=0.05), tolerance=0)


def late_labels(rng: np.random.Generator, n: int, k: int) -> bool:
    """Trap: labels of the last class come 300 rows later than those of the others."""
    z, y = stream(rng, n, k)
    arrives = np.arange(n) + np.where(y == k - 1, 300, 0)
    order = np.argsort(arrives, kind="stable")[: n - 300]
    return alarm(z[order], y[order])


def batch_effects(rng: np.random.Generator, n: int, k: int) -> bool:
    """Trap: each 50 rows share a random effect of standard deviation .3."""
    z, _ = stream(rng, n, k)
    true = z.copy()
    true[:, 0] += np.repeat(rng.normal(scale=0.3, size=-(-n // 50)), 50)[:n]
    return alarm(z, draw(rng, log_softmax(true, axis=1)))


def repeated_test(rng: np.random.Generator, n: int, k: int) -> bool:
    """Beside it: Spiegelhalter's test at .01 after every 100 rows, on all rows so far."""
    z, y = stream(rng, n, k)
    p = np.exp(z)
    ends = range(100, n + 1, 100)
    return any(calibration_test(y[:end], p[:end]).p_value < ALPHA for end in ends)


COVERED = {
    "exact null": exact,
    "T at the edge, softer": softer_edge,
    "T at the edge, sharper": sharper_edge,
    "one class at the edge": shift_edge,
    "near 0 and 1": near_0_and_1,
    "near 0 and 1, .1 % wrong": near_0_and_1_wrong,
    "weights .5": halves,
    "weights 2, max_weight=2": twos,
    "weights .5, 1 and 2": mixed_weights,
    "challenger, equal loss": equal_challenger,
    "after recalibrated()": after_recalibration,
    "observe(), no change": without_labels,
}
TRAPS = {
    "several at the edge": beyond,
    "exact null, T .05 off": exact_at_edge,
    "late labels of a class": late_labels,
    "effects of batches": batch_effects,
    "likelihood ratio, equal loss": likelihood_ratio,
    "fixed test, repeated": repeated_test,
}


def print_false_alarms(
    cases: dict[str, Callable[..., bool]],
    classes: list[int],
    n_streams: int,
    n_rows: int,
    seed: int,
) -> None:
    print(f"{'':28s} classes streams alarms  share  lower 99 % end")
    for name, simulate in cases.items():
        for k in classes:
            n = max(1, 3 * n_streams // 10) if k == 20 else n_streams
            rng = np.random.default_rng([k, seed])
            alarms = sum(simulate(rng, n_rows, k) for _ in range(n))
            lower = beta.ppf(0.01, alarms, n - alarms + 1) if alarms else 0.0
            holds = "" if lower <= ALPHA else "  above alpha"
            print(
                f"{name:28s} {k:7d} {n:7d} {alarms:6d} {alarms / n:6.3f}  {lower:.4f}{holds}",
                flush=True,
            )


#: Changes after the good rows.
CHANGES = {
    "T 1.2": {"log_t": np.log(1.2)},
    "T 1.5": {"log_t": np.log(1.5)},
    "T 2": {"log_t": np.log(2.0)},
    "T .7": {"log_t": np.log(0.7)},
    "odds x 1.65": {"shift": 0.5},
    "odds x 2.7": {"shift": 1.0},
    "T 1.4 and odds x 1.5": {"log_t": np.log(1.4), "shift": np.log(1.5)},
    "T 1.3, x 1.65, x .61": {"log_t": np.log(1.3), "shift": 0.5, "last": -0.5},
}


#: What finds them: the alarms, and the alternatives on the grid alone, without what is learned.
WAYS = ("ever", "run_length", "grid alone")


def print_delays(classes: list[int], n_streams: int, names: list[str]) -> None:
    print("\nmedian rows from the change to the alarm, and share found within 6,000 rows")
    print(f"{'':22s} classes tolerance good rows    " + "           ".join(WAYS))
    for name, change in ((name, CHANGES[name]) for name in names):
        for k in classes:
            for tolerance in (0.0, 0.05):
                for good in (0, 1000, 10_000) if "1.5" in name and "odds" not in name else (0,):
                    rng, ways = np.random.default_rng(k), WAYS[:2] if good else WAYS
                    streams = (stream(rng, 6000, k, good=good, **change) for _ in range(n_streams))
                    found = np.array(
                        [[_delay(z, y, good, tolerance, way) for way in ways] for z, y in streams]
                    )
                    numbers = zip(
                        np.median(found, axis=0), np.isfinite(found).mean(axis=0), strict=True
                    )
                    print(
                        f"{name:22s} {k:7d} {tolerance:9.2f} {good:9d} "
                        + "  ".join(f"{median:8.0f} {share:8.2f}" for median, share in numbers),
                        flush=True,
                    )


def _delay(z: np.ndarray, y: np.ndarray, good: int, tolerance: float, way: str) -> float:
    kind = "run_length" if way == "run_length" else "ever"
    monitor = CalibrationMonitor(alarm=kind, alpha=ALPHA, tolerance=tolerance)
    if way == "grid alone":
        with mock.patch.object(Watch, "start", _without_plug_in):
            monitor.update(z[:1], y[:1])
    for at in range(monitor.n_rows_, len(y), 1000):
        part = slice(at, at + 1000)
        if monitor.update(z[part], y[part]).alarm_:
            break
    row = monitor.alarm_row_
    return np.inf if row is None or row < good else row - good + 1


def _without_plug_in(null: Tolerance, *, run_length: bool = False) -> Watch:
    watch = START(null, run_length=run_length)
    mass = np.append(watch.grid.mass, 1e-300)
    return replace(watch, evidence=Evidence.none_yet(mass, run_length=run_length))


def print_challengers(n_streams: int) -> None:
    print("\nchallenger that is calibrated, against a deployed model that is too sharp")
    for temperature, n_rows in ((1.35, 30_000), (2.0, 10_000)):
        rng, rows = np.random.default_rng(0), []
        for _ in range(n_streams):
            z, y = stream(rng, n_rows, 2)
            sharp = np.exp(log_softmax(temperature * z, axis=1))
            comparison, found = ModelComparison(ALPHA), np.inf
            for at in range(0, n_rows, 250):
                part = slice(at, at + 250)
                if comparison.update(sharp[part], np.exp(z[part]), y[part]).alarm_:
                    found = at + 250
                    break
            rows.append(found)
        share = np.isfinite(rows).mean()
        print(
            f"T = {temperature}: found {share:.2f} of {n_rows} rows, median {np.median(rows):.0f}"
        )


def members_of(X: pd.DataFrame, y: np.ndarray) -> dict[str, object]:
    """Two members: a linear model, and boosted trees."""
    text = make_column_selector(dtype_exclude="number")
    number = make_column_selector(dtype_include="number")
    table = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", min_frequency=20, sparse_output=False), text),
        (StandardScaler(), number),
    )
    linear = make_pipeline(table, LogisticRegression(max_iter=500))
    codes = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", min_frequency=20, sparse_output=False), text),
        remainder="passthrough",
    )
    trees = make_pipeline(codes, HistGradientBoostingClassifier(max_iter=60, random_state=0))
    return {"linear": linear.fit(X, y), "trees": trees.fit(X, y)}


def follow(X: pd.DataFrame, y: np.ndarray, n_train: int, batch: int, window: int) -> None:
    """Rows in their order: what the monitor says, and the loss with and without following it."""
    held = n_train + n_train // 2
    members = members_of(X[:n_train], y[:n_train])
    half = (n_train + held) // 2
    merged = MergedClassifier.from_fitted(members, X[n_train:half], y[n_train:half])
    model = TemperatureCalibrator(FrozenEstimator(merged)).fit(X[half:held], y[half:held])
    deployed, monitor = model, CalibrationMonitor(model, window=window)
    losses, since, n_alarms = [], held, 0
    for at in range(held, len(y), batch):
        part = slice(at, at + batch)
        kept, followed = (
            log_loss(y[part], np.clip(m.predict_proba(X[part]), 1e-12, 1), labels=[0, 1])
            for m in (deployed, model)
        )
        losses.append([kept, followed, len(y[part])])
        monitor.update(X[part], y[part], label=at)
        if monitor.alarm_ and monitor.n_rows_ >= window:
            n_alarms += 1
            action = monitor.recommendation_
            print(f"  row {at + batch}: {action}; onset about row {since + monitor.onset_}")
            model = monitor.remerged() if action == "remerge" else monitor.recalibrated()
            monitor, since = CalibrationMonitor(model, window=window), at + batch
    kept, followed, n = np.array(losses).T
    print(
        f"  log loss of {int(n.sum())} rows: deployed {np.average(kept, weights=n):.4f}, followed "
        f"{np.average(followed, weights=n):.4f}; {n_alarms} alarms"
    )


def print_tables(folder: Path) -> None:
    for name, n_train in (("bank_marketing", 10_000), ("credit_default", 8000)):
        frame = pd.read_csv(folder / f"{name}.csv.gz")
        y = np.unique(frame["target"], return_inverse=True)[1]
        X = frame.drop(columns=["target", *LEFT_OUT.get(name, [])])
        print(f"\n{name}, in the order of its rows")
        follow(X, y, n_train, 500, 2000)
    rng = np.random.default_rng(0)
    at = 20_000
    print("\ncredit_default, two thirds of those who pay are left out from row 20,000 on")
    kept = (np.arange(len(y)) < at) | (y == 1) | (rng.random(len(y)) < 1 / 3)
    follow(X[kept].reset_index(drop=True), y[kept], n_train, 500, 2000)
    print("\ncredit_default, PAY_0 is shuffled from row 20,000 on")
    broken = X.copy()
    broken.loc[at:, "PAY_0"] = rng.permutation(broken.loc[at:, "PAY_0"].to_numpy())
    follow(broken, y, n_train, 500, 2000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 5, 20])
    parser.add_argument("--parts", nargs="+", default=["alarms", "traps", "delays", "challengers"])
    parser.add_argument("--changes", nargs="+", default=list(CHANGES), choices=list(CHANGES))
    parser.add_argument("--seed", type=int, default=0, help="of false alarms: seeds add up")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    if "alarms" in options.parts:
        print_false_alarms(COVERED, options.classes, options.streams, options.rows, options.seed)
    if "traps" in options.parts:
        print("\nwhat the guarantee does not cover")
        n = max(1, options.streams // 5)
        print_false_alarms(TRAPS, options.classes, n, options.rows, options.seed)
    few = [k for k in options.classes if k < 20]
    if "delays" in options.parts:
        print_delays(few, max(1, options.streams // 10), options.changes)
    if "challengers" in options.parts:
        print_challengers(options.streams)
    if options.data is not None:
        print_tables(options.data)


if __name__ == "__main__":
    main()
