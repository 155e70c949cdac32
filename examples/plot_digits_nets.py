"""
Two nets become one
===================

Two nets of handwritten digits, from different random starts and different rows: each knows what the
other does not, yet the mean of their weights is worse than either, since hidden units are in
different orders. Matched, they can be averaged, and one net predicts nearly as well as both
together, in half the time. :ref:`nets` is the section on this in the guide.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from skmergecal import MergedClassifier, MergePathDisplay

X, y = load_digits(return_X_y=True)
X = X / 16
X_train, X_rest, y_train, y_rest = train_test_split(X, y, train_size=0.5, random_state=1)
X_held, X_test, y_held, y_test = train_test_split(X_rest, y_rest, train_size=0.5, random_state=1)
nets = [
    MLPClassifier((64,), alpha=0.01, max_iter=2000, random_state=seed).fit(
        X_train[seed::2], y_train[seed::2]
    )
    for seed in (0, 1)
]

# %%
# The loss of nets between the two. As they are, their mean is worse than either; with units
# matched by weights, it is better.
display = MergePathDisplay.from_estimators(
    *nets, X_test, y_test, alignments=(None, "weights", "activations")
)
display.ax_.set_title("Digits: nets between two nets")
plt.show()

# %%
# ``method="parameters"`` does this and repairs what is left. The rows that the nets were trained on
# help, without labels. The table has the loss of the held-out rows after each step.
one = MergedClassifier.from_fitted(nets, X_held, y_held, method="parameters", X_unlabeled=X_train)
print(one.merge_report_)

# %%
# The pool keeps both nets. On the test rows, the one net is better than either of them; the lead of
# the pool may be chance. ``+-`` is twice the standard error of the difference to the one net.
pool = MergedClassifier.from_fitted(nets, X_held, y_held, method="logits")


def losses(model):
    """Log loss of each test row."""
    return -np.log(model.predict_proba(X_test)[np.arange(len(y_test)), y_test])


for name, model in {"net 0": nets[0], "net 1": nets[1], "pool": pool, "one net": one}.items():
    loss, apart = losses(model), losses(model) - losses(one)
    print(f"{name:8s} log loss {loss.mean():.3f} +- {2 * apart.std() / len(apart) ** 0.5:.3f}")
