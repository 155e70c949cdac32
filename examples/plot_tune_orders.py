"""
Tune, then merge, or merge, then tune?
======================================

Three nets of handwritten digits, stopped early, are to become one net, and it is to be trained a
little further. Before merging, each net; or afterwards, the one net? With labels, or with the
pooled probabilities of the three? :func:`~skmergecal.compare_fit_orders` fits the nets once in each
fold and every order on rows that they have not seen, and compares the orders on the same test rows.
:doc:`/guide/tuning` is the page on this in the guide, with a study of twelve data sets.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skmergecal import FitOrderDisplay, compare_fit_orders

X, y = (rows[::2] for rows in load_digits(return_X_y=True))
nets = [
    make_pipeline(MinMaxScaler(), MLPClassifier((32,), max_iter=60, random_state=seed))
    for seed in range(3)
]
further = {"random_state": 0, "cv": 2}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # the nets stop after 60 epochs on purpose
    table = compare_fit_orders(
        [(f"net {seed}", net) for seed, net in enumerate(nets)],
        X,
        y,
        calibrate=False,
        method="parameters",
        weights="log_loss",
        tune={"epochs": 30, **further},
        distil={"epochs": 30, **further},
        cv=3,
        random_state=0,
    )

# %%
# Scores are minus the log loss. The lines are intervals of 95 % for the difference to merging
# alone; they take into account that folds share training rows. Temperatures are left out here
# (``calibrate=False``), to see what training does. 30 more epochs help these nets, and help most
# after merging. Distilling adds little without labels: it can only come near to the three nets.
# Nets that were trained to the end gain from neither order; the study in the guide has such, too.
display = FitOrderDisplay.from_results(table)
display.ax_.set_title("Digits: three nets, stopped early, become one")
plt.show()
for name, mean, low, high in zip(
    display.names, table["mean"], table["low"], table["high"], strict=True
):
    print(f"{name:34s} {mean:.3f}, difference {low:+.3f} to {high:+.3f}")

# %%
# ``merge-then-tune`` trains one net, ``tune-then-merge`` three. ``merge-then-distil`` needs no
# labels. What each costs (seconds, without training the three nets):
for name, fit, predict in zip(display.names, table["fit_time"], table["predict_time"], strict=True):
    print(f"{name:34s} fit {fit:5.1f} s, predict {1000 * predict:4.1f} ms")
