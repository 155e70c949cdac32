"""Distillation of nets that cannot be aligned: one of them is trained towards their pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from skmergecal._compat import _num_samples, _safe_indexing
from skmergecal._numerics import add_weighted, log_softmax, softmax
from skmergecal._training import (
    DivergedError,
    Examples,
    OpenedEstimator,
    TrainingPlan,
    can_be_mixed,
    holds_numbers,
    open_estimator,
    stacked,
    synthetic_rows,
    train,
    whole_columns,
)
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.members import Member, copy_fitted, fitted_member

__all__ = ["DistilledMerge", "LogitPool", "distil_members", "nets_of"]

#: Maximum number of rows to train on; of more rows, evenly spaced ones are used.
_MAX_ROWS = 20_000
#: A model is as good as the pool if its divergence from it is this share of the members' mean.
_NEAR = 0.1
#: Least and most epochs over the rows, each followed by one over as many mixed rows; between these
#: limits, as many as are needed to see so many rows.
_EPOCHS = (4, 12)
_ROWS_TO_SEE = 15_000
_BATCH = 128
_STEP = 5e-3
#: Divides logits before they are compared: the pool's less likely classes then count for more.
_TEMPERATURE = 2.0


@dataclass(frozen=True)
class LogitPool:
    """The logit pool of some members.

    Attributes
    ----------
    members : sequence of Member
    weights, temperatures : ndarray of shape (n_members,)
    """

    members: Sequence[Member]
    weights: Array
    temperatures: Array

    @property
    def active(self) -> IntArray:
        """Numbers of the members of positive weight."""
        return np.flatnonzero(self.weights)

    def log_proba(self, X: Any) -> Array:
        """Its log-probabilities for some rows."""
        scaled = (self.members[k].read_log_proba(X) / self.temperatures[k] for k in self.active)
        return log_softmax(add_weighted(scaled, self.weights[self.active]))


class DistilledMerge(NamedTuple):
    """The models on the way, the one that is the result, and what it was made from."""

    stages: dict[str, Member]
    chosen: str
    origin: str


def nets_of(members: Sequence[Member]) -> list[OpenedEstimator] | None:
    """The nets inside of members, ready to be trained; None where there is another model."""
    try:
        opened = [open_estimator(member.estimator) for member in members]
    except ValueError:  # several models, or a temperature that belongs to no layer
        return None
    return opened if all(one.is_net for one in opened) else None


def distil_members(
    pool: LogitPool,
    nets: Sequence[OpenedEstimator],
    blocks: Sequence[Any],
    known: Array | None,
    plain: Member | None,
) -> DistilledMerge:
    """One net that follows the pool of several, where these cannot be aligned.

    It starts from their plain average, if that is as near to the pool as any member; else from the
    nearest member, or from the largest where architectures differ. Nothing is trained where the
    start is the pool, nearly.

    Parameters
    ----------
    pool : LogitPool
    nets : sequence of OpenedEstimator
        Those of the members.
    blocks : sequence of array-like
        Rows without labels, at least one.
    known : ndarray of shape (n_rows, n_classes) or None
        Log-probabilities of the pool for the first rows, where these are known already.
    plain : Member or None
        The plain average; None where there is none, since architectures differ.
    """
    rows = _DistilledRows.of(pool, blocks, known)
    active = pool.active
    distances = rows.distances([pool.members[k] for k in active])
    limit = _NEAR * float(pool.weights[active] @ distances)
    stages = {} if plain is None else {"plain": plain}
    first = pool.members[0]
    nearest = active[int(np.argmin(distances))]
    if plain is not None and rows.distance(plain) <= distances.min():
        name, origin, start = "plain", "from the average", _opened_like(plain, nets)
    else:
        if not _are_alike(nets, active):
            nearest = max(active, key=lambda k: nets[k].n_parameters)
        start = nets[nearest]
        name, origin = "member", f"from member {pool.members[nearest].name!r}"
        copied = start.rebuilt(copy_fitted(start.net))
        stages["member"] = fitted_member("merged", copied, pool.members[nearest])
    before = rows.distance(stages[name])
    if before <= limit:
        return DistilledMerge(stages, name, origin)
    try:
        student = rows.train(start, first.columns)
    except DivergedError:  # steps that are too long for it, such as of float16 parameters
        return DistilledMerge(stages, name, origin)
    stages["distilled"] = fitted_member("merged", student, first)
    better = rows.distance(stages["distilled"]) < before
    if name == "member" and better:
        del stages["member"]  # it is one of the members of the report
    return DistilledMerge(stages, "distilled" if better else name, origin)


def _are_alike(nets: Sequence[OpenedEstimator], active: IntArray) -> bool:
    parameters = [nets[k].parameters for k in active]
    shapes = [{name: a.shape for name, a in p.arrays.items()} for p in parameters]
    kinds = [p.architecture for p in parameters]
    return all(s == shapes[0] and k == kinds[0] for s, k in zip(shapes, kinds, strict=True))


def _opened_like(plain: Member, nets: Sequence[OpenedEstimator]) -> OpenedEstimator:
    """The average, opened; scalers that went into its first layer come out for the training."""
    opened = open_estimator(plain.estimator)
    return replace(opened, folded=len(opened.steps_before) < len(nets[0].steps_before))


@dataclass(frozen=True)
class _DistilledRows:
    """Rows to distil on, and the pool's log-probabilities for them."""

    pool: LogitPool
    X: Any
    goals: Array

    @classmethod
    def of(cls, pool: LogitPool, blocks: Sequence[Any], known: Array | None) -> _DistilledRows:
        X = blocks[0]
        for block in blocks[1:]:
            X = stacked(X, block)
        n_rows = _num_samples(X)
        chosen = np.arange(n_rows)
        if n_rows > _MAX_ROWS:
            chosen = np.linspace(0, n_rows - 1, _MAX_ROWS).astype(np.intp)
            X = _safe_indexing(X, chosen)
        n_known = 0 if known is None else int(np.searchsorted(chosen, len(known)))
        if known is None or n_known == 0:
            return cls(pool, X, pool.log_proba(X))
        goals = [known[chosen[:n_known]]]
        if n_known < len(chosen):
            others = np.arange(n_known, len(chosen))
            goals.append(pool.log_proba(_safe_indexing(X, others)))
        return cls(pool, X, np.concatenate(goals))

    def distances(self, members: Sequence[Member]) -> Array:
        return np.array([self.distance(member) for member in members])

    def distance(self, member: Member) -> float:
        """Mean Kullback-Leibler divergence of a member from the pool; infinite where it is NaN."""
        try:
            found = log_softmax(member.read_log_proba(self.X))
        except ValueError:  # output that is not finite, after steps that were too long
            return np.inf
        return float((np.exp(self.goals) * (self.goals - found)).sum(axis=1).mean())

    def train(self, start: OpenedEstimator, columns: IntArray) -> Estimator:
        """Train a copy of an estimator, whose columns are these of the pool."""
        opened = start.scaled(self.X)

        def softened(log_proba: Array) -> Array:
            return softmax(log_proba[:, columns] / _TEMPERATURE)

        n_rows = len(self.goals)
        examples = Examples(opened.rows(self.X), softened(self.goals), None)
        epochs = int(np.clip(-(-_ROWS_TO_SEE // n_rows), *_EPOCHS))
        mixes = can_be_mixed(self.X) or holds_numbers(self.X)
        batch = min(_BATCH, max(1, n_rows // 8))
        plan = TrainingPlan(
            2 * epochs, batch, _STEP, "one_cycle", None, False, epochs, _TEMPERATURE, still=True
        )
        whole = whole_columns(self.X) if mixes else np.empty(0, dtype=np.intp)

        def redraw(epoch: int, rng: np.random.Generator) -> Examples:
            if epoch % 2 or not mixes:
                return examples
            X = synthetic_rows(self.X, "mixup", whole, rng)
            return Examples(opened.rows(X), softened(self.pool.log_proba(X)), None)

        trainee = opened.trainee(seed=0)
        try:
            train(trainee, examples, plan, np.random.default_rng(0), redraw=redraw)
        except DivergedError:
            raise
        except Exception as error:  # whatever the module's own code raises
            msg = f"{type(opened.net).__name__} cannot be trained towards the pool: {error}"
            raise IncompatibleEstimatorsError(msg, "use method='logits'") from error
        return opened.rebuilt(trainee.to_estimator())
