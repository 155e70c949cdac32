"""Collection of members: fitted, with their opinions on rows that they did not see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.parallel import Parallel, delayed

from skmergecal._compat import _safe_indexing
from skmergecal._memory import HashedRows, Memo
from skmergecal._numerics import softening_of
from skmergecal._typing import Estimator, IntArray, NamedEstimators
from skmergecal._validation import encode_labels, union_of_classes, warn_if_few
from skmergecal._warnings import Gathered, Warned, warn_again, warn_user
from skmergecal.members._cache import Cache
from skmergecal.members._feature_names import warn_of_names
from skmergecal.members._fit import FitTask, is_reproducible
from skmergecal.members._fit_rows import FitRows
from skmergecal.members._fold_average import (
    FoldAverage,
    average_member,
    fold_average_in,
    make_parts,
)
from skmergecal.members._held_out_part import Fold, HeldOutMembers
from skmergecal.members._labels import are_codes, find_unlike, labels_of_codes, refuse_codes
from skmergecal.members._member import Member, Opinion, check_fitted, classes_of
from skmergecal.members._read import choose_reader
from skmergecal.members._routing import RoutedParams

__all__ = [
    "all_frozen",
    "collect",
    "concatenate",
    "encode_for",
    "fitted_member",
    "frozen_members",
    "known_members",
    "make_member",
    "merged_classes",
    "refuse_lacking",
    "warn_of_unlike",
]


def _is_frozen(estimator: Estimator) -> bool:
    return isinstance(estimator, FrozenEstimator)


def all_frozen(estimators: NamedEstimators) -> bool:
    """Whether nothing is fitted here, so that any rows are held-out rows."""
    return all(_is_frozen(estimator) for _, estimator in estimators)


def merged_classes(
    known: Sequence[tuple[str, Estimator, np.ndarray]], labels: np.ndarray | None = None
) -> np.ndarray:
    """Union of the classes of frozen members and, where a member is fitted here, of y."""
    parts = [own for _, _, own in known]
    return union_of_classes(*_different(parts if labels is None else [*parts, labels]))


def known_members(estimators: NamedEstimators) -> list[tuple[str, Estimator, np.ndarray]]:
    """The frozen members, with their classes."""
    frozen = [(name, estimator) for name, estimator in estimators if _is_frozen(estimator)]
    for name, estimator in frozen:
        check_fitted(name, estimator)
    return [(name, estimator, classes_of(name, estimator)) for name, estimator in frozen]


def encode_for(
    labels: np.ndarray, classes: np.ndarray, known: Sequence[tuple[str, Estimator, np.ndarray]]
) -> IntArray:
    """Labels as column numbers; frozen members that know none of them may know codes."""
    names = [name for name, _, _ in known]
    remedy = f"All estimators {names} are frozen and know no others: drop these rows."
    try:
        return encode_labels(labels, classes, remedy=remedy)
    except ValueError as error:
        found = refuse_codes(known, labels)
        if not found:
            raise
        msg = f"{error} Or {found[0]}"
        raise ValueError(msg) from None


def _different(parts: list[np.ndarray]) -> list[np.ndarray]:
    """The sets of labels without those that another one repeats."""
    kept: list[np.ndarray] = []
    for part in parts:
        same = (p.dtype == part.dtype and np.array_equal(p, part) for p in kept)
        if not any(same):
            kept.append(part)
    return kept


def make_member(
    name: str,
    estimator: Estimator,
    classes: np.ndarray,
    X: Any,
    fingerprint: str | None,
    cache: Cache,
    trained_on: np.ndarray | None = None,
) -> Member:
    own = classes_of(name, estimator)
    if trained_on is not None and are_codes(own) and not np.array_equal(own, classes):
        own = labels_of_codes(own, np.unique(trained_on))
    columns = encode_labels(own, classes, remedy=f"They are classes of estimator {name!r}.")
    average = fold_average_in(estimator)
    if average is not None:

        def choose(who: str, model: Estimator) -> tuple[str, str | None]:
            key = cache.fingerprint(model)
            return cache.source(who, model, X, key), key

        parts = make_parts(average, name, own, columns, len(classes), choose)
        return Member(name, estimator, "", own, columns, len(classes), parts=parts)
    source = cache.source(name, estimator, X, fingerprint)
    return Member(name, estimator, source, own, columns, len(classes), fingerprint=fingerprint)


def _unlike_members(
    members: Sequence[Member], classes: np.ndarray, y: IntArray | None
) -> list[str]:
    """Questions about members whose classes may be others under other names; mostly none.

    Parameters
    ----------
    members : sequence of Member
    classes : ndarray of shape (n_classes,)
    y : ndarray of shape (n_held_out,) or None
        Column numbers of the classes of the rows.
    """
    known = [(m.name, m.estimator, m.classes) for m in members]
    return [str(u) for u in find_unlike(known, None if y is None else classes[np.unique(y)])]


def warn_of_unlike(
    members: Sequence[Member], classes: np.ndarray, y: IntArray | None = None
) -> None:
    """Warn of the first member whose classes may be others under other names."""
    for unlike in _unlike_members(members, classes, y)[:1]:
        warn_user(unlike)


def refuse_lacking(
    members: Sequence[Member],
    classes: np.ndarray,
    y: IntArray | None = None,
    *,
    for_logits: bool = False,
) -> None:
    """Raise ValueError if a member gives no probability to a class that it does not know.

    Parameters
    ----------
    members : sequence of Member
    classes : ndarray of shape (n_classes,)
    y : ndarray of shape (n_held_out,), default=None
        Column numbers of the classes of the rows.
    for_logits : bool, default=False
        Whether it is an error because logits are needed; else because the user wants one.
    """
    for member in members:
        if len(member.lacks):
            unseen = classes[member.lacks].tolist()
            reason, other = "and missing_classes='error'", ""
            if for_logits:
                reason = "so that it has no logits for them"
                other = "method='probabilities', where it gives them probability 0, or "
            msg = (
                f"estimator {member.name!r} never saw the classes {unseen}, {reason}: leave it "
                f"out, train it on all classes, or use {other}missing_classes='soften', where it "
                "gives each a small constant probability, with another method than 'parameters'"
            )
            raise ValueError(". Or ".join([msg, *_unlike_members(members, classes, y)[:1]]))


def fitted_member(name: str, estimator: Estimator, like: Member) -> Member:
    """A fitted estimator as a member with the classes of another one."""
    source = choose_reader(name, estimator)
    return replace(
        like, name=name, estimator=estimator, source=source, softening=0.0, fingerprint=None
    )


def frozen_members(
    estimators: NamedEstimators, cache: Cache, y: np.ndarray | None = None
) -> tuple[list[Member], np.ndarray]:
    """Members and classes of frozen estimators, without rows; y is an example of labels."""
    known = known_members(estimators)
    refuse_codes(known, y)
    classes = merged_classes(known)
    return [
        make_member(name, e, classes, None, _fingerprint(e, cache), cache) for name, e in estimators
    ], classes


def _fingerprint(estimator: Estimator, cache: Cache) -> str | None:
    """That of a frozen member; the models of an average have their own."""
    return None if fold_average_in(estimator) is not None else cache.fingerprint(estimator)


def collect(
    estimators: NamedEstimators,
    rows: FitRows,
    *,
    cv: Any,
    routed: RoutedParams,
    cache: Cache,
    n_jobs: int | None,
    held_out: bool = True,
    opinions: bool = True,
    average: str | None = None,
    held_by: Mapping[str, list[IntArray]] | None = None,
    missing_classes: str = "auto",
) -> HeldOutMembers:
    """Fit the members, or take the frozen ones, and read their opinions of held-out rows.

    Frozen members are read on all rows. The others are cross-fitted, each row read by a clone
    that did not see it; then a clone is fitted on all rows, or those of the folds are averaged.

    Parameters
    ----------
    estimators : sequence of (str, estimator)
    rows : FitRows
    cv : int, splitter or iterable of (train, test)
    routed : tuple
        Parameters of each member's ``fit``, and of the splitter.
    cache : Cache
    n_jobs : int or None
    held_out : bool, default=True
        Whether held-out opinions are needed. Else nothing is cross-fitted, and members fitted
        here are read on their own training rows: that is enough to see zeros.
    opinions : bool, default=True
        Whether any are needed. Else members are read only until a zero is seen.
    average : {"logits", "probabilities"}, default=None
        Members fitted here are the averages of the models of the folds, which average that by
        themselves. None: they are fitted on all rows.
    held_by : dict of str to list of ndarray, default=None
        By the name of a frozen `FoldAverage`: the rows that each of its models is read on.
    missing_classes : {"auto", "error", "soften"}, default="auto"
        What becomes of classes that members, or their clones in some folds, do not know: zeros,
        with a warning for folds; an error; or a share of the softening.
    """
    names = [name for name, _ in estimators]
    own = [(name, e) for name, e in estimators if not _is_frozen(e)]
    labels = rows.labels[rows.kept]
    known = known_members(estimators)
    if own or not all(np.array_equal(classes, known[0][2]) for _, _, classes in known):
        refuse_codes(known, labels)
    classes = merged_classes(known, labels if own else None)
    column = np.full(rows.n_samples, -1, dtype=np.intp)
    column[rows.kept] = encode_for(labels, classes, known)
    if rows.sample_weight is not None:
        warn_if_few(float(rows.sample_weight[rows.kept].sum()), len(classes))

    warn_of_names([(name, e) for name, e in estimators if _is_frozen(e)], rows.X)
    work = _MemberFits(rows, classes, routed[0], cache)
    held_out = held_out or average is not None
    splits = rows.splits(cv, routed[1]) if held_out and own else []
    plan: list[IntArray | None] = [train for train, _ in splits]
    if average is None or not own:
        plan.append(None if rows.all_kept else rows.kept)
    clones = _fit_all(work, own, plan, n_jobs)
    if average is not None and own:
        seen = np.unique(column[rows.kept])
        models = {name: [fitted[name] for fitted in clones] for name, _ in own}
        clones.append({n: average_member(m, classes, seen, average) for n, m in models.items()})
    frozen = {n: work.member(n, e, _fingerprint(e, cache)) for n, e in estimators if _is_frozen(e)}
    per_fit = [[{**frozen, **fitted}[name] for name in names] for fitted in clones]
    members = per_fit.pop()
    held_rows = np.concatenate([test for _, test in splits]) if splits else rows.kept
    places = _places([len(test) for _, test in splits] or [len(held_rows)])
    folds = [Fold(fit, place) for fit, place in zip(per_fit or [members], places, strict=True)]

    weight = rows.weight_of(held_rows)
    if missing_classes == "soften":
        fill = softening_of(np.zeros((len(held_rows), 1)), weight) / len(classes)
        members, folds = [m.filled(fill) for m in members], [f.filled(fill) for f in folds]
    else:
        if missing_classes == "error":
            refuse_lacking(members, classes, column[held_rows])
        _tell_of_missed_classes(folds, members, classes, error=missing_classes == "error")
    collected = HeldOutMembers(members, classes, [], held_rows, column[held_rows], weight, folds)
    if not (opinions or held_out or held_by):
        softened = [work.softened(member) for member in members]
        return replace(collected, members=softened)
    if held_by is not None:
        read = [work.opinion_of_folds(m, held_by[m.name]) for m in members]
    else:
        read = [work.opinion(folds, i, held_rows, name in frozen) for i, name in enumerate(names)]
    return _with_opinions(collected, read, cache)


def _with_opinions(
    collected: HeldOutMembers, opinions: list[Opinion], cache: Cache
) -> HeldOutMembers:
    """The collected members with held-out opinions, and softened as these call for."""
    weight = collected.sample_weight
    read = zip(collected.members, opinions, strict=True)
    members = [member.with_softening(opinion, weight) for member, opinion in read]
    members = [_with_known_softening(member) for member in members]
    key = cache.key(collected.y, collected.sample_weight)
    return replace(collected, members=members, opinions=opinions, labels_key=key)


def _with_known_softening(member: Member) -> Member:
    """A member whose average, if it was made here, softens by itself as in the pool."""
    made = member.estimator
    if not isinstance(made, FoldAverage):
        return member
    known = FoldAverage(
        made.estimators,
        classes=made.classes,
        average=made.average,
        softening=member.softening,
        missing_share=max(part.fill for part in member.parts),
    )
    return replace(member, estimator=known)


def _places(lengths: list[int]) -> list[slice]:
    ends = np.cumsum([0, *lengths]).tolist()
    return [slice(a, b) for a, b in pairwise(ends)]


@dataclass(frozen=True)
class _MemberFits:
    """What fitting and reading need: the rows, the classes, the parameters of fit, the cache."""

    rows: FitRows
    classes: np.ndarray
    params: dict[str, dict[str, Any]]
    cache: Cache

    def member(
        self,
        name: str,
        estimator: Estimator,
        fingerprint: str | None,
        trained_on: np.ndarray | None = None,
    ) -> Member:
        X = self.rows.kept_X
        return make_member(name, estimator, self.classes, X, fingerprint, self.cache, trained_on)

    def fit(self, task: FitTask) -> tuple[Member, list[Warned]]:
        """Fit a clone on the rows of a fold; what it warned of, perhaps in another process."""
        with Gathered() as warned:
            try:
                estimator = self.cache.fit(task)
            except Exception as error:
                error.add_note(f"while fitting estimator {task.name!r}")
                raise
            labels = self.rows.labels if task.rows is None else self.rows.labels[task.rows]
            return self.member(task.name, estimator, task.key, labels), warned

    @cached_property
    def kept(self) -> HashedRows:
        """The rows that count, hashed once for all members."""
        return self.cache.data(self.rows.kept_X)

    def tasks(self, estimators: NamedEstimators, plan: list[IntArray | None]) -> Iterator[FitTask]:
        X, labels = self.rows.X, self.rows.labels
        data = self.cache.key(X, labels)
        keys = {
            name: self.cache.estimator_key(clone(estimator), self.params.get(name, {}), data)
            for name, estimator in estimators
            if data is not None and is_reproducible(estimator)
        }
        for train in plan:
            for name, estimator in estimators:
                params = self.params.get(name, {})
                key = keys.get(name)
                if key is not None:
                    key = self.cache.key(key, train)
                yield FitTask(name, estimator, X, labels, train, params, key)

    def softened(self, member: Member) -> Member:
        """A member with its softening, read only as far as that takes."""
        weight = self.rows.weight_of(self.rows.kept)
        return member.softened(self.cache.softening(member, self.kept, weight))

    def opinion(self, folds: list[Fold], index: int, held_rows: IntArray, frozen: bool) -> Opinion:
        """One member's opinion of the held-out rows: read fold by fold, or once if frozen."""
        if frozen:
            member = folds[0].members[index]
            whole = self.cache.opinion(member, self.kept)
            if held_rows is self.rows.kept:
                return whole
            position = np.searchsorted(self.rows.kept, held_rows)
            return whole.take(position, Memo.of_all([whole.memo], self.cache.key(position)))
        parts = []
        for fold in folds:
            member = fold.members[index]
            X = _safe_indexing(self.rows.X, held_rows[fold.places])
            parts.append(self.cache.opinion(member, self.cache.data(X)))
        return concatenate(parts)

    def opinion_of_folds(self, member: Member, held: list[IntArray]) -> Opinion:
        """The opinion of an average of the rows that count, each row read by the model of its fold.

        The rows of all folds together are those that count.
        """
        held = [np.intersect1d(rows, self.rows.kept) for rows in held]
        parts = [
            self.cache.opinion(model, self.cache.data(_safe_indexing(self.rows.X, rows)))
            for model, rows in zip(member.parts, held, strict=True)
            if len(rows)
        ]
        joined = concatenate(parts)
        order = np.argsort(np.concatenate(held))
        return joined.take(order, Memo.of_all([joined.memo], self.cache.key(order)))


def concatenate(parts: list[Opinion]) -> Opinion:
    """Opinions of several blocks of rows as one."""
    memo = Memo.of_all([part.memo for part in parts])
    if len({part.logarithmic for part in parts}) > 1:
        parts = [Opinion(part.proba(), logarithmic=False, fill=part.fill) for part in parts]
    values = np.concatenate([part.values for part in parts])
    return Opinion(values, parts[0].logarithmic, memo, max(part.fill for part in parts))


def _fit_all(
    work: _MemberFits, estimators: NamedEstimators, plan: list[IntArray | None], n_jobs: int | None
) -> list[dict[str, Member]]:
    """Members by name, for each set of training rows of the plan."""
    if not estimators:
        return [{} for _ in plan]
    done = Parallel(n_jobs=n_jobs)(delayed(work.fit)(task) for task in work.tasks(estimators, plan))
    for member, warned in done:
        warn_again(warned, f"estimator {member.name!r}")
    fitted = [member for member, _ in done]
    size = len(estimators)
    unfitted = dict(estimators)
    for member in fitted:
        work.cache.remember(member, unfitted[member.name])
    return [
        {member.name: member for member in fitted[i * size : (i + 1) * size]}
        for i in range(len(plan))
    ]


def _tell_of_missed_classes(
    folds: list[Fold], members: list[Member], classes: np.ndarray, *, error: bool
) -> None:
    missed: dict[str, set[int]] = {}
    for k, final in enumerate(members):
        lost = {c for fold in folds for c in fold.members[k].missing.tolist()}
        lost = (lost - set(final.missing.tolist())) | set(final.lost.tolist())
        if lost:
            missed[final.name] = lost
    if missed:
        what = {name: classes[sorted(columns)].tolist() for name, columns in missed.items()}
        found = f"in some folds of cv the training rows miss classes: {what}"
        if error:
            msg = (
                f"{found}, and missing_classes='error': use fewer folds, or stratified ones, or "
                "missing_classes='soften', with which these classes get a small constant "
                "probability there"
            )
            raise ValueError(msg)
        warn_user(
            f"{found}. There these classes get a small constant probability; use fewer folds, or "
            "stratified ones, to avoid it."
        )
