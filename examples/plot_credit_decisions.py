"""
Credit decisions need calibrated probabilities
==============================================

A loan that is not paid back costs ten times what a good one earns, so that a loan should be given
where the probability of default is below 1/11. This works if probabilities can be taken at their
word. Two members are trained on generated loans, of which some 11 % default: trees, whose
probabilities have zeros, and a linear model with class weights, which says that far more loans
default than do.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skmergecal import MergedClassifier, ReliabilityDisplay

X, y = make_classification(
    9000, 12, n_informative=5, weights=[0.9], flip_y=0.05, class_sep=0.7, random_state=0
)
(X_train, X_held, X_test), (y_train, y_held, y_test) = np.split(X, 3), np.split(y, 3)
linear = LogisticRegression(class_weight="balanced").fit(X_train, y_train)
forest = RandomForestClassifier(100, random_state=0).fit(X_train, y_train)
members = {"balanced linear": linear, "forest": forest}
merged = MergedClassifier.from_fitted(members, X_held, y_held)
models = members | {"merged": merged}

# %%
# Profit on the test rows if every loan with a probability of default below 1/11 is given. A good
# loan earns 1, a default costs 10.
LOSS, THRESHOLD = 10, 1 / 11


def profit(p, y):
    """Mean profit per application."""
    return np.mean((p < THRESHOLD) * np.where(y == 1, -LOSS, 1))


print(f"{'':16s} log loss  said  profit")
for name, model in models.items():
    p = model.predict_proba(X_test)
    gain = profit(p[:, 1], y_test)
    print(f"{name:16s} {log_loss(y_test, p):8.3f} {p[:, 1].mean():5.2f} {gain:7.3f}")
print(f"share of defaults: {y_test.mean():.2f}")

# %%
# The picture shows why: class weights shift what the linear model says.
display = ReliabilityDisplay.from_estimator(models, X_test, y_test)
display.ax_.set_title("Default")
plt.show()
