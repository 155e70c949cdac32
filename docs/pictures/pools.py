"""Two members, and their averages: of probabilities, and of log-probabilities."""

import matplotlib.pyplot as plt
import numpy as np

from skmergecal.pooling import linear_pool, logarithmic_pool

LINEAR, LOGIT = "#0072B2", "#D55E00"
opinions = np.array([[[0.60, 0.39, 0.01]], [[0.05, 0.40, 0.55]]])
weights = np.array([0.5, 0.5])
bars = {
    "member A": (opinions[0, 0], "0.55"),
    "member B": (opinions[1, 0], "0.8"),
    "average of probabilities": (linear_pool(opinions, weights)[0], LINEAR),
    "average of logits": (np.exp(logarithmic_pool(np.log(opinions), weights))[0], LOGIT),
}
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for k, (name, (proba, colour)) in enumerate(bars.items()):
    left.bar(np.arange(3) + (k - 1.5) * 0.2, proba, width=0.2, color=colour, label=name)
left.set_xticks(range(3), ["class 1", "class 2", "class 3"])
left.set(ylabel="probability", ylim=(0, 1), title="class 2 is the one that both find possible")
left.legend(frameon=False, fontsize="small")

p = np.geomspace(1e-4, 0.9, 200)
both = np.array([np.column_stack([p, 1 - p]), np.tile([0.9, 0.1], (len(p), 1))])
right.plot(p, linear_pool(both, weights)[:, 0], color=LINEAR, label="average of probabilities")
pooled = np.exp(logarithmic_pool(np.log(both), weights))[:, 0]
right.plot(p, pooled, color=LOGIT, linestyle="--", label="average of logits")
right.axhline(0.9, color="0.8", linewidth=1)
right.text(1e-4, 0.92, "member B gives .9", color="0.4", fontsize="small")
right.set(xscale="log", xlabel="what member A gives", ylim=(0, 1), title="a veto counts, or not")
right.set(ylabel="pooled probability")
right.legend(frameon=False, fontsize="small", loc="lower right")
