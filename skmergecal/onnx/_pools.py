"""Members and pools inside a graph: what this package's own estimators compute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmergecal._typing import Array
from skmergecal.members import Member, fitted_last_step
from skmergecal.merging.fitted import (
    FittedMerge,
    LinearPoolMerge,
    LogPoolMerge,
    OneModelMerge,
    StackedPoolsMerge,
)
from skmergecal.onnx._graph import Graph, Probe
from skmergecal.onnx._read import named, read_source
from skmergecal.onnx._rows import InputRows

__all__ = [
    "GraphOpinion",
    "member_scores",
    "merged_proba",
    "merged_scaled",
    "merged_scores",
    "read_member",
]


@dataclass
class GraphOpinion:
    """A member's opinion inside a graph; the counterpart of `skmergecal.members.Opinion`.

    Attributes
    ----------
    graph : Graph
    member : Member
    raw : str
        Log-probabilities, up to a constant per row, or probabilities in the member's own columns.
    """

    graph: Graph
    member: Member
    raw: str

    def _aligned(self, x: str, elsewhere: float) -> str:
        """The member's columns where the merged classes have them, a number in the others."""
        member = self.member
        if np.array_equal(member.columns, np.arange(member.n_classes)):
            return x
        places = np.zeros((len(member.columns), member.n_classes))
        places[np.arange(len(member.columns)), member.columns] = 1.0
        row = np.zeros(member.n_classes)
        row[member.missing] = elsewhere
        return self.graph.matmul(x, places, row)

    def log_proba(self, softening: float) -> str:
        """Log-probabilities; unknown classes get softening / n_classes, or what they are filled."""
        graph, member = self.graph, self.member
        if not member.logarithmic:
            p = self._aligned(self.raw, 0.0) if softening else self.proba()
            return graph.soften(p, softening, member.n_classes)
        own = graph.log_softmax(self.raw)
        if not len(member.missing):
            return self._aligned(own, 0.0)
        share = member.fill or softening / member.n_classes
        known = graph.shifted(own, np.log1p(-share * len(member.missing)))
        with np.errstate(divide="ignore"):
            return self._aligned(known, float(np.log(share)))

    def scores(self, softening: float) -> str:
        """Log-probabilities, up to a constant per row."""
        if self.member.logarithmic and not len(self.member.missing):
            return self._aligned(self.raw, 0.0)
        return self.log_proba(softening)

    def proba(self) -> str:
        """Probabilities as the member gives them."""
        graph, member = self.graph, self.member
        p = graph.softmax(self.raw) if member.logarithmic else self.raw
        if len(member.missing) and member.fill:
            p = graph.scaled(p, 1.0 - member.fill * len(member.missing))
        return self._aligned(p, member.fill)

    def scaled_proba(self, owner: Member, temperature: float) -> str:
        """Probabilities after scaling; 0 for classes that the owner of the opinion lacks."""
        graph = self.graph
        p = graph.softmax(graph.over_temperature(self.scores(owner.softening), temperature))
        if len(owner.lacks):
            kept = np.ones(owner.n_classes)
            kept[owner.lacks] = 0.0
            p = graph.normalised(graph.scaled(p, kept))
        return p


@dataclass
class AveragedGraphOpinion:
    """The mean of the opinions of the models of folds."""

    graph: Graph
    parts: list[GraphOpinion | AveragedGraphOpinion]

    def log_proba(self, softening: float) -> str:
        """Normalised mean of log-probabilities."""
        return self.graph.log_softmax(self._mean([p.log_proba(softening) for p in self.parts]))

    def scores(self, softening: float) -> str:
        """The same: nothing is left out."""
        return self.log_proba(softening)

    def proba(self) -> str:
        """Mean of probabilities."""
        return self._mean([part.proba() for part in self.parts])

    def scaled_proba(self, owner: Member, temperature: float) -> str:
        """Mean of scaled probabilities."""
        return self._mean([part.scaled_proba(owner, temperature) for part in self.parts])

    def _mean(self, parts: list[str]) -> str:
        return self.graph.scaled(self.graph.add("Sum", *parts), 1 / len(parts))


def read_member(
    graph: Graph, member: Member, rows: InputRows
) -> GraphOpinion | AveragedGraphOpinion:
    """A member's opinion of the rows; each is read once."""
    if member.parts:
        return AveragedGraphOpinion(
            graph, [read_member(graph, part, rows) for part in member.parts]
        )
    with named(graph, member.name, member.estimator):
        raw = read_source(graph, member.estimator, member.source, rows)
        kind = type(fitted_last_step(member.estimator)[0]).__name__
        graph.probes.append(Probe("/".join(graph.path), kind, member, rows, raw))
    return GraphOpinion(graph, member, raw)


def member_scores(graph: Graph, member: Member, rows: InputRows) -> str:
    """Log-probabilities of a member, softened, in the merged columns; up to a constant per row."""
    return read_member(graph, member, rows).scores(member.softening)


def merged_scores(graph: Graph, merge: FittedMerge, rows: InputRows) -> str:
    """Merged scores before the temperature."""
    if isinstance(merge, OneModelMerge):
        return member_scores(graph, merge.merged, rows)
    if isinstance(merge, StackedPoolsMerge):
        return _stacked(graph, merge, rows)
    active = list(merge.active())
    if isinstance(merge, LinearPoolMerge):
        parts = []
        for member, _, temperature in active:
            opinion = read_member(graph, member, rows)
            scale = merge.calibrates[0]
            parts.append(opinion.scaled_proba(member, temperature) if scale else opinion.proba())
        return _weighted(graph, parts, [w for _, w, _ in active], active[0][0].n_classes)
    assert isinstance(merge, LogPoolMerge)
    logs = [member_scores(graph, member, rows) for member, _, _ in active]
    return _weighted(graph, logs, [w / t for _, w, t in active], active[0][0].n_classes)


def _weighted(graph: Graph, parts: list[str], weights: list[float], width: int) -> str:
    """The weighted sum of matrices of one shape."""
    if len(parts) == 1:
        return graph.scaled(parts[0], weights[0])
    stacked = graph.scaled(graph.stack(parts, width), np.array(weights)[:, None])
    return graph.total(stacked, keep=False)


def _stacked(graph: Graph, merge: StackedPoolsMerge, rows: InputRows) -> str:
    fit, used = merge.fit, [k for k in range(len(merge.members)) if merge.fit.uses(k)]
    classwise, width = fit.classwise, len(merge.fit.classwise.intercept)
    opinions = [read_member(graph, merge.members[k], rows) for k in used]
    logs = [
        opinion.scores(merge.members[k].softening)
        for k, opinion in zip(used, opinions, strict=True)
    ]
    z = graph.over_temperature(graph.stack(logs, width), merge.member_temperatures[used][:, None])
    softened = graph.scaled(graph.softmax(z), 1.0 - merge.softening)
    p = graph.shifted(softened, merge.softening / width)
    log_p = graph.add("Log", p)
    parts = [graph.scaled(log_p, classwise.weights[used])]
    if classwise.proba_weights[used].any():
        parts.append(graph.scaled(p, classwise.proba_weights[used]))
    both = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
    scores = graph.shifted(graph.total(both, keep=False), classwise.intercept)
    if classwise.across is not None:
        flat = graph.add("Reshape", log_p, np.array([-1, len(used) * width]))
        directions = classwise.across.directions[used].reshape(len(used) * width, -1)
        across = graph.matmul(graph.matmul(flat, directions), classwise.across.loadings)
        scores = graph.add("Add", scores, across)
    for pool in fit.linear:
        if pool.factor:
            which = [number for number, k in enumerate(used) if pool.uses(k)]
            own = p if pool.calibrated else None
            pooled = _linear(graph, pool.weights[used], which, own, opinions, width)
            soft = graph.soften(pooled, pool.softening, width)
            logits = graph.log_softmax(graph.over_temperature(soft, pool.temperature))
            scores = graph.add("Add", scores, graph.scaled(logits, pool.factor))
    return scores


def _linear(
    graph: Graph,
    weights: Array,
    which: list[int],
    calibrated: str | None,
    opinions: list[GraphOpinion | AveragedGraphOpinion],
    width: int,
) -> str:
    """A linear pool of calibrated probabilities, or of the members' own."""
    if calibrated is not None:
        return graph.total(graph.scaled(calibrated, weights[:, None]), keep=False)
    parts = [opinions[number].proba() for number in which]
    return _weighted(graph, parts, [float(weights[number]) for number in which], width)


def merged_scaled(graph: Graph, merge: FittedMerge, scores: str) -> str:
    """Merged log-probabilities after the temperature."""
    return graph.log_softmax(_tempered(graph, merge, scores))


def merged_proba(graph: Graph, merge: FittedMerge, scores: str) -> str:
    """Merged probabilities."""
    if isinstance(merge, LinearPoolMerge) and not merge.calibrates[1]:
        return scores
    return graph.softmax(_tempered(graph, merge, scores))


def _tempered(graph: Graph, merge: FittedMerge, scores: str) -> str:
    if isinstance(merge, LinearPoolMerge):
        scores = graph.soften(scores, merge.softening, merge.members[0].n_classes)
    return graph.over_temperature(scores, merge.temperature)
