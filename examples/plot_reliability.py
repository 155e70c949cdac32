"""
Reliability before and after
============================

A naive Bayes model counts evidence twice, and is strongly over-confident. One temperature removes
most of that. Shallow trees err in the other direction; both merged are nearer to the diagonal than
any of these. :ref:`report` is the page on this in the guide.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
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

X, y = load_digits(return_X_y=True)
X_train, X_rest, y_train, y_rest = train_test_split(X, y, train_size=0.2, random_state=0)
X_held, X_test, y_held, y_test = train_test_split(X_rest, y_rest, test_size=0.6, random_state=0)
bayes = GaussianNB(var_smoothing=0.01).fit(X_train, y_train)
trees = ExtraTreesClassifier(100, max_depth=4, random_state=0).fit(X_train, y_train)

# %%
# The report compares the probabilities of the model with those after a temperature that is fitted
# on other folds of these rows.
print(calibration_report(bayes, X_held, y_held))

# %%
# Rows that nothing has seen show the same. A bar is the interval of a bin's frequency: it is wide
# for the few rows in the middle.
calibrated = TemperatureCalibrator(FrozenEstimator(bayes)).fit(X_held, y_held)
members = {"naive Bayes": bayes, "trees": trees}
merged = MergedClassifier.from_fitted(members, X_held, y_held)
models = {"before": bayes, "merged": merged, "after": calibrated, "trees": trees}
display = ReliabilityDisplay.from_estimator(models, X_test, y_test, strategy="quantile", n_bins=8)
display.ax_.set_title("Digits: the most probable class")
plt.show()
