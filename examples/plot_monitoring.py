"""
A deployed model, month after month
===================================

Customers of a telephone company leave, and a merged model predicts who. From month 7 on, a rival
makes offers: more customers leave than before (two thirds of those who stay are left out of the
table), so that all probabilities are too low. A monitor gets the outcomes of each month. When does
it give an alarm, what does it recommend, and what is it worth to follow it?
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmergecal import MergedClassifier, MonitorDisplay, TemperatureCalibrator
from skmergecal.monitoring import CalibrationMonitor

rng = np.random.default_rng(0)
table = pd.read_csv(Path(sys.argv[0]).parent / "data" / "telecom_churn.csv.gz")
table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
X, y = table.drop(columns="target"), table["target"].to_numpy()
trained, merged_on, calibrated_on = (
    slice(*ends) for ends in ((0, 1500), (1500, 2100), (2100, 2700))
)

# %%
# Two members are merged and calibrated on rows that they have not seen.
columns = make_column_transformer(
    (
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        make_column_selector(dtype_exclude="number"),
    ),
    (
        make_pipeline(SimpleImputer(), StandardScaler()),
        make_column_selector(dtype_include="number"),
    ),
)
members = {
    "linear": make_pipeline(columns, LogisticRegression(max_iter=500)),
    "trees": make_pipeline(columns, HistGradientBoostingClassifier(max_iter=40, random_state=0)),
}
for member in members.values():
    member.fit(X[trained], y[trained])
merged = MergedClassifier.from_fitted(members, X[merged_on], y[merged_on])
model = TemperatureCalibrator(FrozenEstimator(merged)).fit(X[calibrated_on], y[calibrated_on])

# %%
# The months: those before the rival's offers, and those after them.
before, after = np.arange(2700, 4500), np.arange(4500, len(y))
after = after[(y[after] == 1) | (rng.random(len(after)) < 1 / 3)]
months = [*np.array_split(before, 6), *np.array_split(after, 5)]

# %%
# The monitor keeps the last 600 rows. Where it gives an alarm, its new model takes the place of the
# deployed one, and gets a monitor of its own. :doc:`/guide/monitoring` explains the loop.
monitor = first = CalibrationMonitor(model, window=600)
in_use, losses = model, []
for month, rows in enumerate(months, start=1):
    labels, date = y[rows], np.datetime64("2025-12") + month
    losses.append([log_loss(labels, m.predict_proba(X.iloc[rows])) for m in (model, in_use)])
    monitor.update(X.iloc[rows], labels, label=date)
    if monitor is not first:  # the first one goes on watching, for the picture
        first.update(X.iloc[rows], labels, label=date)
    print(
        f"month {month:2d}: {labels.mean():.0%} leave, e-value {monitor.e_value_:9.2g}, "
        f"{monitor.recommendation_}"
    )
    if monitor.alarm_:
        for answer, reason in monitor.reasons_.items():
            print(f"    {answer}: {reason}")
        in_use = monitor.recalibrated()
        monitor = CalibrationMonitor(in_use, window=600)

# %%
# Log loss of the last three months, with and without following the monitor.
kept, followed = np.mean(losses[8:], axis=0)
print(f"log loss, months 9 to 11: deployed {kept:.3f}, recalibrated {followed:.3f}")
display = MonitorDisplay.from_monitor(first)
display.ax_[0].set_title("Customers who leave: the monitor")
