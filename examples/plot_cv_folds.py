"""
The models of cross-validation, merged into one
===============================================

Cross-validation leaves five models, which are usually thrown away for one that is fitted on all
rows. They can be merged: linear models into one of the same kind. :doc:`/guide/weights` and
:doc:`/guide/parameters` are the pages on this in the guide.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_validate, train_test_split

from skmergecal import MergedClassifier, WeightsDisplay

X, y = load_digits(return_X_y=True)
X_rest, X_test, y_rest, y_test = train_test_split(X, y, train_size=0.6, random_state=0)
X_train, X_held, y_train, y_held = train_test_split(X_rest, y_rest, test_size=0.3, random_state=0)
found = cross_validate(
    LogisticRegression(max_iter=3000), X_train, y_train, cv=5, return_estimator=True
)
folds = {f"fold {number}": model for number, model in enumerate(found["estimator"])}

# %%
# Weights and temperature are learned on rows that no fold has seen, and ``to_estimator`` makes
# one plain model, which costs as much as one fold's. The model fitted on all folds has no
# temperature from the held-out rows, which is part of the difference.
merged = MergedClassifier.from_fitted(folds, X_held, y_held, method="logits")
plain = merged.to_estimator(X_held)
refitted = LogisticRegression(max_iter=3000).fit(X_train, y_train)
for name, model in {**folds, "fitted on all folds": refitted, "merged": plain}.items():
    print(f"{name:20s} log loss {log_loss(y_test, model.predict_proba(X_test)):.3f}")
print(f"temperature {merged.temperature_:.2f}; {plain}")

# %%
# The folds share most of their rows, so that the held-out rows can hardly tell them apart: weights
# differ, but their bootstrap intervals are wide, and most hold equal weights.
proba = {name: model.predict_proba(X_held) for name, model in folds.items()}
display = WeightsDisplay.from_predictions(y_held, proba, n_resamples=50, random_state=0)
display.ax_.set_title("Five folds: their weights can hardly be told apart")
plt.show()
