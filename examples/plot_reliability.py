"""
Reliability before and after
============================

A naive Bayes model counts evidence twice, and is far too sure of itself. One temperature mends
that; merging it with a second model mends more. :ref:`report` is the page on this in the guide.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB

from skmergecal import (
    MergedClassifier,
    ReliabilityDisplay,
    TemperatureCalibrator,
    calibration_report,
)

X, y = load_breast_cancer(return_X_y=True)
X_train, X_rest, y_train, y_rest = train_test_split(X, y, train_size=0.3, random_state=0)
X_held, X_test, y_held, y_test = train_test_split(X_rest, y_rest, test_size=0.5, random_state=0)
bayes = GaussianNB().fit(X_train, y_train)
trees = ExtraTreesClassifier(100, random_state=0).fit(X_train, y_train)

# %%
# The report compares what the model says with what a temperature, fitted on other folds of these
# rows, would make of it.
print(calibration_report(bayes, X_held, y_held))

# %%
# Rows that nothing has seen show the same:
calibrated = TemperatureCalibrator(FrozenEstimator(bayes)).fit(X_held, y_held)
members = {"naive Bayes": bayes, "trees": trees}
merged = MergedClassifier.from_fitted(members, X_held, y_held)
models = {"before": bayes, "after": calibrated, "merged with trees": merged}
display = ReliabilityDisplay.from_estimator(models, X_test, y_test, n_bins=5)
display.ax_.set_title("Breast cancer: benign")
plt.show()
