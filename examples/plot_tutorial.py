"""
Tutorial: from a table to a monitored model
===========================================

Who of a telephone company's customers will leave? Three classifiers are trained on a real table,
merged into one, tested, saved and watched. Each step takes a few lines; for a table of your own,
change the first two.
"""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmergecal import MergedClassifier, MonitorDisplay, ReliabilityDisplay, calibration_report
from skmergecal.monitoring import CalibrationMonitor

# %%
# 1. The table
# ------------
# 7,043 customers as they come: words, numbers, and a few empty cells. ``target`` is 1 for those who
# left.
table = pd.read_csv(Path(sys.argv[0]).parent / "data" / "telecom_churn.csv.gz")
shown = ["tenure", "InternetService", "Contract", "MonthlyCharges", "TotalCharges", "target"]
print(table[shown].head(3).to_string(index=False))
print(f"empty cells: {table.isna().sum().sum()}; {table['target'].mean():.1%} left")

# %%
# Merging needs rows that no member was trained on. So there are four parts: 2,000 rows to train on,
# 1,000 **held-out** rows to merge on, 1,000 to test on, and the rest, which plays the future.
# Numbers are rounded to single precision, in which an ONNX model will read them (step 7).
X, y = table.drop(columns="target"), table["target"]
numbers = list(X.select_dtypes("number"))
words = [name for name in X if name not in numbers]
X = X.astype(dict.fromkeys(numbers, np.float32))
X, X_later, y, y_later = train_test_split(X, y, train_size=4000, stratify=y, random_state=0)
X, X_train, y, y_train = train_test_split(X, y, test_size=2000, stratify=y, random_state=0)
X_held, X_test, y_held, y_test = train_test_split(X, y, test_size=1000, stratify=y, random_state=0)

# %%
# 2. Members, each with its own preprocessing
# -------------------------------------------
# A member is a fitted classifier, or a Pipeline that ends in one, and takes the table as it is. All
# need a column for each word. The linear model needs scaled numbers without gaps, too; trees do
# not. It also has class weights, as is common where one class is rare.
one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
filled = make_pipeline(SimpleImputer(), StandardScaler())
scaled = make_column_transformer((one_hot, words), (filled, numbers))
plain = make_column_transformer((one_hot, words), ("passthrough", numbers))
linear = LogisticRegression(class_weight="balanced", max_iter=500)
forest = RandomForestClassifier(50, min_samples_leaf=2, max_features=5, random_state=0)
boosting = HistGradientBoostingClassifier(max_iter=60, random_state=0)
members = {
    "linear": make_pipeline(scaled, linear).fit(X_train, y_train),
    "forest": make_pipeline(plain, forest).fit(X_train, y_train),
    "boosting": make_pipeline(plain, boosting).fit(X_train, y_train),
}

# %%
# 3. Merge
# --------
# Weights and temperatures are learned from the held-out rows. The members stay as they are.
# :doc:`/which_settings` says when to change the defaults of
# :class:`~skmergecal.MergedClassifier`.
merged = MergedClassifier.from_fitted(members, X_held, y_held)

# %%
# 4. Is it worth it?
# ------------------
# The held-out rows alone tell what to expect of new ones: each is predicted with weights that were
# learned without it. ``gain`` is what the best member would lose more, even with a temperature of
# its own. If it were no larger than its standard error, keep that member: :doc:`/when_not`.
print(merged.loss_estimate_)

# %%
# Which members are needed? Here ``gain`` is what the others would lose without this one. Only the
# linear model is missed: the forest and the boosted trees know much the same.
report = merged.member_report(X_held, y_held)
print(report[["weight", "temperature", "log_loss", "gain", "gain_standard_error"]].round(3))

# %%
# The test rows, which nothing has seen, agree. They also show what the class weights did: the
# linear model predicts that 41 % will leave, and 26 % did.
proba = {name: model.predict_proba(X_test) for name, model in members.items()}
proba["merged"] = merged.predict_proba(X_test)
for name, p in proba.items():
    print(f"{name:9s} log loss {log_loss(y_test, p):.3f}; {p[:, 1].mean():.0%} will leave")
print(f"{y_test.mean():.0%} left")

# %%
# 5. Can the probabilities be trusted?
# ------------------------------------
# :func:`~skmergecal.calibration_report` asks whether the errors of the test rows are those that the
# probabilities promise, and whether these rows are like those that the merge has seen. "After" is
# with one more temperature, which is not needed here.
print(calibration_report(merged, X_test, y_test))

# %%
# In a picture: of those of whom a model said .5, half should have left. Points below the diagonal
# promised too much. :doc:`/guide/scores` explains both.
shown = {"linear, class weights": proba["linear"], "merged": proba["merged"]}
display = ReliabilityDisplay.from_predictions(y_test, shown, strategy="quantile", n_bins=8)
display.ax_.set_title("Customers who leave")
display.histogram_ax_[0].set_xlabel("predicted probability")
plt.show()

# %%
# 6. Save it
# ----------
# The file holds no code. ``load`` builds no type that it does not know, unless you have typed out
# its name; the error lists them. :doc:`/deploying` compares this with pickle and MLflow.
if find_spec("skops") is None:
    print("nothing saved: pip install 'skmergecal[persistence]'")
else:
    from skmergecal.persistence import load, save

    trusted = [
        "numpy.dtype",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    ]
    with tempfile.TemporaryDirectory() as folder:
        save(merged, Path(folder) / "churn.skmergecal")
        loaded = load(Path(folder) / "churn.skmergecal", trusted=trusted)
    same = np.array_equal(loaded.predict_proba(X_test), proba["merged"])
    print(f"probabilities are the same to the last bit: {same}")

# %%
# 7. Without Python
# -----------------
# As an ONNX model, with preprocessing and members in it, the merge runs where there is no Python.
# :func:`~skmergecal.onnx.to_onnx` compares it with the classifier on the rows that it gets, and
# raises an error where they differ. :doc:`/onnx` says what can be converted.
if find_spec("skl2onnx") is None or find_spec("onnxruntime") is None:
    print("nothing converted: pip install 'skmergecal[onnx]'")
else:
    import onnxruntime

    from skmergecal.onnx import to_onnx

    session = onnxruntime.InferenceSession(to_onnx(merged, X_test).SerializeToString())
    row = {name: X_test[[name]].iloc[:1].to_numpy() for name in X_test}
    print("one row:", session.run(["probabilities"], row)[0], "here:", proba["merged"][:1])

# %%
# 8. Watch it
# -----------
# The rest of the table plays seven months. From April on a rival makes offers: more customers leave
# (of those who stay, seven of ten are left out of the table). A
# :class:`~skmergecal.monitoring.CalibrationMonitor` gets the outcomes of each month. Its e-value is
# evidence against the probabilities; in a model that stays true it comes above 100 in one of a
# hundred cases at most, however long one looks.
rng = np.random.default_rng(0)
stays = (np.arange(len(y_later)) < 1200) | (y_later == 1) | (rng.random(len(y_later)) < 0.3)
X_later, y_later = X_later[stays], y_later[stays]
months = [*np.array_split(np.arange(1200), 3), *np.array_split(np.arange(1200, len(y_later)), 4)]
monitor = CalibrationMonitor(merged, window=400)
for number, rows in enumerate(months, start=1):
    monitor.update(X_later.iloc[rows], y_later.iloc[rows], label=f"2026-{number:02d}")
    share, evidence = y_later.iloc[rows].mean(), monitor.e_value_
    print(f"month {number}: {share:.0%} left, e-value {evidence:.3g}, {monitor.recommendation_}")
    if monitor.alarm_:
        break
for answer in ("deployed", monitor.recommendation_):
    print(f"{answer}: {monitor.reasons_[answer]}")

# %%
# 9. Follow it
# ------------
# "shift": the classes have other shares. The recalibrated model takes over, and would get a monitor
# of its own. The two months that are left show what it is worth.
following = monitor.recalibrated()
rows = np.concatenate(months[number:])
for name, model in {"as deployed": merged, "recalibrated": following}.items():
    p = model.predict_proba(X_later.iloc[rows])
    loss = log_loss(y_later.iloc[rows], p)
    print(f"{name:12s} log loss {loss:.3f}; {p[:, 1].mean():.0%} will leave")
print(f"{y_later.iloc[rows].mean():.0%} left")
display = MonitorDisplay.from_monitor(monitor)
display.ax_[0].set_title("Customers who leave: the monitor")
plt.show()

# %%
# :doc:`/guide/monitoring` explains the alarm, and :doc:`/guide` each of the other steps.
