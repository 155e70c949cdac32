"""
Nets from different seeds
=========================

Two nets that differ only in their random start give nearly the same predictions, yet the mean of
their weights is worse than either: the hidden units are in different orders. Matched, they can be
averaged; and a few epochs towards the members' pool, without labels, make one net of them.
:ref:`nets` is the section on this in the guide.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from skmergecal import MergedClassifier, MergePathDisplay

X, y = load_digits(return_X_y=True)
X = X / 16
X_train, X_rest, y_train, y_rest = train_test_split(X, y, train_size=0.5, random_state=0)
X_held, X_test, y_held, y_test = train_test_split(X_rest, y_rest, train_size=0.5, random_state=0)
nets = [
    MLPClassifier((64,), alpha=0.1, max_iter=2000, random_state=seed).fit(X_train, y_train)
    for seed in (0, 1)
]

# %%
# The loss of the nets between the two, as they are and with units matched:
display = MergePathDisplay.from_estimators(
    *nets, X_test, y_test, alignments=(None, "weights", "activations")
)
display.ax_.set_title("Digits: nets between two nets")
plt.show()

# %%
# ``method="parameters"`` does this and repairs what is left. The rows that the nets were trained on
# help, without labels.
one = MergedClassifier.from_fitted(nets, X_held, y_held, method="parameters", X_unlabeled=X_train)
print(one.merge_report_)

# %%
pool = MergedClassifier.from_fitted(nets, X_held, y_held, method="logits")
for name, model in {"net 0": nets[0], "net 1": nets[1], "one net": one, "pool": pool}.items():
    print(f"{name:8s} log loss {log_loss(y_test, model.predict_proba(X_test)):.3f}")
