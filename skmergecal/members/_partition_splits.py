"""Splits of the rows of partitions: which are trained on, by which member, and which are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skmergecal._partitions import weights_of_part
from skmergecal._typing import IntArray
from skmergecal._validation import check_labels, union_of_classes
from skmergecal._warnings import warn_user

__all__ = ["Split", "SplitFacts", "blocks_of_partitions", "check_splits", "split_rows"]

_MOST_MEMBERS = 32


class SplitFacts(NamedTuple):
    """What is known of the split of a partition without its rows."""

    labels: np.ndarray
    """Those of the rows of positive weight, each once."""
    groups: np.ndarray
    """The same for groups; none where there are no groups."""
    n_held: int
    mark: tuple[int, int, float]


class Split(NamedTuple):
    """Numbers of the rows of a partition to train on, and of those that are held out."""

    train: IntArray
    held: IntArray
    facts: SplitFacts


def split_rows(y: Any, weight: Any, groups: Any, held_out: float, seed: tuple[int, int]) -> Split:
    """Which rows of a partition are trained on, and which are held out: the same in each pass."""
    if not len(y):
        none = np.empty(0, dtype=np.intp)
        return Split(none, none, SplitFacts(np.empty(0), np.empty(0), 0, (0, 0, 0.0)))
    labels = check_labels(y)
    weights = weights_of_part(weight, len(labels))
    rows = np.arange(len(labels)) if weights is None else np.flatnonzero(weights)
    seen, codes = np.unique(labels[rows], return_inverse=True)
    total = float(len(rows) if weights is None else weights.sum())
    rng = np.random.default_rng(np.random.SeedSequence(seed[0], spawn_key=(seed[1], 0)))
    if groups is None or not len(rows):
        names, held = np.empty(0), _choose_rows(codes, held_out, rng)
    else:
        names, of_row = np.unique(np.asarray(groups).reshape(-1)[rows], return_inverse=True)
        held = _choose_groups(codes, of_row, held_out, rng)
    facts = SplitFacts(seen, names, int(held.sum()), (len(rows), int(codes.sum()), total))
    return Split(rows[~held], rows[held], facts)


def _choose_rows(codes: IntArray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Rows to hold out: the share of each class, up to one row; of each class one is left.

    A random start keeps the share of partitions that have few rows right on average.
    """
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    steps = np.floor(share * np.arange(len(codes) + 1) + rng.random())
    held = np.zeros(len(codes), dtype=bool)
    held[order] = np.diff(steps) > 0
    classes, first = np.unique(codes[order], return_index=True)
    held[order[first[~np.isin(classes, codes[~held])]]] = False
    return held


def _choose_groups(
    codes: IntArray, of_row: IntArray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Rows of groups to hold out, whole groups, up to about the share.

    A group of each class is left; one group is held out if there are several.
    """
    n_groups, n_classes = int(of_row.max()) + 1, int(codes.max()) + 1
    table = np.bincount(of_row * n_classes + codes, minlength=n_groups * n_classes)
    table = table.reshape(n_groups, n_classes)
    sizes, left = table.sum(axis=1), table.sum(axis=0)
    order, wanted = rng.permutation(n_groups), share * len(codes)
    chosen = np.zeros(n_groups, dtype=bool)

    def can_go(group: int) -> bool:
        return not np.any((table[group] > 0) & (left == table[group]))

    for group in order.tolist():
        if sizes[group] < 2 * wanted and can_go(group):
            chosen[group] = True
            wanted -= sizes[group]
            left = left - table[group]
    if not chosen.any():
        smallest = sorted(order.tolist(), key=lambda group: int(sizes[group]))
        chosen[[group for group in smallest if can_go(group)][:1]] = True
    return np.asarray(chosen[of_row])


def check_splits(splits: Sequence[SplitFacts], held_out: float) -> None:
    """Raise ValueError where there is nothing to train on or to hold out; warn of groups."""
    seen = [split.labels for split in splits if len(split.labels)]
    if not seen:
        msg = "y has no rows of positive weight in any of its partitions: at least one is needed"
        raise ValueError(msg)
    classes = union_of_classes(*seen)
    if len(classes) < 2:
        msg = (
            f"y has only one class in all partitions, {classes.tolist()}: classifiers need rows "
            "of at least two classes"
        )
        raise ValueError(msg)
    if not any(split.n_held for split in splits):
        msg = (
            f"held_out={held_out} keeps no row from training, as a partition has too few rows or "
            "groups: pass a larger held_out, or join partitions with repartition (DataFrame) or "
            "rechunk (Array)"
        )
        raise ValueError(msg)
    _warn_of_shared_groups(splits)


def _warn_of_shared_groups(splits: Sequence[SplitFacts]) -> None:
    """Warn of groups in several partitions: a member would be read on groups that it has seen."""
    found, counts = np.unique(
        np.concatenate([split.groups for split in splits]), return_counts=True
    )
    shared = found[counts > 1]
    if len(shared):
        warn_user(
            f"{len(shared)} of {len(found)} groups, {shared[:3].tolist()} among them, have rows in "
            "several partitions: one of these may be trained on a group and another hold it out, "
            "so that the merge trusts members that know the held-out rows too well. Put each group "
            "into one partition, by DataFrame.shuffle(on=...) for instance"
        )


def blocks_of_partitions(splits: Sequence[SplitFacts], n_members: int | None) -> list[list[int]]:
    """Numbers of the partitions that each member is trained on."""
    labels = [split.labels for split in splits]
    return _with_two_classes(_blocks([len(own) for own in labels], n_members), labels)


def _blocks(n_labels: Sequence[int], n_members: int | None) -> list[list[int]]:
    """Numbers of the partitions of each member: neighbours, as many for each as possible."""
    used = np.flatnonzero(n_labels)
    if n_members is not None and n_members > len(used):
        msg = (
            f"n_members={n_members}, but there are {len(used)} partitions with rows: pass at most "
            "that many, or make more partitions with repartition (DataFrame) or rechunk (Array)"
        )
        raise ValueError(msg)
    wanted = min(_MOST_MEMBERS, len(used)) if n_members is None else n_members
    return [block.tolist() for block in np.array_split(used, wanted)]


def _with_two_classes(blocks: list[list[int]], labels: list[np.ndarray]) -> list[list[int]]:
    """The same, but what has one class joins the next; the last one the one before."""
    joined: list[list[int]] = []
    alone: list[int] = []
    waiting: list[int] = []
    for block in blocks:
        few = len(np.unique(np.concatenate([labels[number] for number in waiting + block]))) < 2
        waiting = waiting + block
        if few:
            alone += block
        else:
            joined.append(waiting)
            waiting = []
    if waiting:
        joined[-1] = joined[-1] + waiting
    if alone:
        warn_user(
            f"partitions {alone[:10]}{' and others' if len(alone) > 10 else ''} have rows of one "
            "class only: they are trained on together with their neighbours, which leaves "
            f"{len(joined)} members. If y is sorted, shuffle the rows first"
        )
    return joined
