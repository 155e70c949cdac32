"""MergeReport: the losses of a merge of parameters, step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MergeReport"]


@dataclass(frozen=True)
class MergeReport:
    """Log losses on held-out rows, in nats, on the way from the members to one model.

    All are NaN where there were no labels. ``print(report)`` gives a table.

    Attributes
    ----------
    members : dict of str to float
        Each member (after its temperature, if members are calibrated).
    stages : dict of str to float
        The models that were made: "plain" (averaged as they are), "aligned", "rescale",
        "least_squares", "select" and "distilled", as far as they were tried (in every fold, where
        members are fitted here). Nets whose parameters cannot be merged are "distilled from
        member 'x'", or "distilled from the average".
    merged : float
        The result.
    pool : float
        The members' logit pool, which costs as much as all of them.
    chosen : str
        The stage that ``merged_estimator_`` is.
    barrier : float
        As ``barrier_``.
    best_member_loss : float
        The least loss of a member with positive weight.
    z : float
        By how many of its standard errors, paired over the rows, the mean loss of the result is
        above that of this member; below 0 where the result is better.

    See Also
    --------
    skmergecal.MergedClassifier : Has one as ``merge_report_``.
    skmergecal.MergePathDisplay : Draws the loss between two members.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal import MergedClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> models = {
    ...     f"C={C}": LogisticRegression(C=C, max_iter=500).fit(X[::2], y[::2]) for C in (1, 9)
    ... }
    >>> merged = MergedClassifier.from_fitted(models, X[1::2], y[1::2], method="parameters")
    >>> report = merged.merge_report_
    >>> {name: round(loss, 3) for name, loss in report.members.items()}
    {'C=1': 0.164, 'C=9': 0.077}
    >>> round(report.merged, 3), round(report.pool, 3), report.chosen  # exact for linear models
    (0.094, 0.094, 'plain')
    """

    members: Mapping[str, float]
    stages: Mapping[str, float]
    merged: float
    pool: float
    chosen: str
    barrier: float
    best_member_loss: float = math.nan
    z: float = math.nan

    def __str__(self) -> str:
        rows = [(f"member {name}", loss) for name, loss in self.members.items()]
        rows += [(f"step {name}", loss) for name, loss in self.stages.items()]
        rows += [(f"merged ({self.chosen})", self.merged), ("pool of logits", self.pool)]
        width = max(21, *(len(name) for name, _ in rows))
        lines = [f"{name:{width}s}  {loss:.4f}" for name, loss in rows]
        if not math.isnan(self.z):
            lines.append(f"{'above the best member':{width}s}  {self.z:.1f} standard errors")
        return "\n".join([f"{'':{width}s}  log loss", *lines])
