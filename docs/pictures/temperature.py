"""Probabilities of one row, and log loss of many, against the temperature."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import log_softmax, softmax

from skmergecal.calibration import fit_temperature

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
T = np.geomspace(0.2, 8, 200)
z = np.array([2.0, 1.0, -1.0])
colours, lines = ("#D55E00", "#0072B2", "#009E73"), ("-", "--", ":")
for c in range(3):
    proba = softmax(z / T[:, None], axis=1)[:, c]
    left.plot(T, proba, color=colours[c], linestyle=lines[c], label=f"class {c + 1}")
left.axhline(1 / 3, color="0.8", linewidth=1, zorder=0)
left.set(xscale="log", xlabel="temperature", ylabel="probability", ylim=(0, 1))
left.set_title("one row: the order of the classes stays")
left.legend(frameon=False, fontsize="small")

rng = np.random.default_rng(0)
true = rng.normal(scale=1.5, size=(2000, 3))
y = (softmax(true, axis=1).cumsum(axis=1) < rng.random((2000, 1))).sum(axis=1)
said = log_softmax(2 * true, axis=1)  # twice as confident as is right
loss = [-log_softmax(said / t, axis=1)[np.arange(2000), y].mean() for t in T]
best = fit_temperature(said, y).temperature
right.plot(T, loss, color="k")
right.plot([best], [np.interp(best, T, loss)], "s", color="#D55E00")
right.annotate(f"T = {best:.2f}", (best, np.interp(best, T, loss)), (best, min(loss) + 0.4))
right.axvline(1, color="0.8", linewidth=1, zorder=0)
right.text(1, max(loss), " as it is", color="0.4", fontsize="small", va="top")
right.set(xscale="log", xlabel="temperature", ylabel="log loss", title="2,000 over-confident rows")
for ax in (left, right):
    ax.set_xticks([0.25, 0.5, 1, 2, 4, 8], ["1/4", "1/2", "1", "2", "4", "8"])
    ax.minorticks_off()
