"""Barrier of a merge of parameters: what is done where the one model is worse than its members."""

from __future__ import annotations

from skmergecal._warnings import warn_user
from skmergecal.exceptions import MergeBarrierError, MergeBarrierWarning
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted import OneModelMerge

__all__ = ["guard_barrier"]


def guard_barrier(merge: OneModelMerge, settings: Settings) -> bool:
    """Whether the merged model may be used; if not, ``on_barrier`` decides what is done.

    Raises
    ------
    MergeBarrierError
        With ``on_barrier="raise"``.

    Warns
    -----
    MergeBarrierWarning
        With ``on_barrier="warn"`` (and the model is used), or ``"logits"`` (and it is not).
    """
    tolerated = settings.barrier_tolerance * merge.member_loss
    if not merge.barrier > tolerated:
        return True
    why = (
        ": nets from different starts cannot be averaged as they are. Use alignment='auto' and "
        "repair='auto', with the members' training rows as X_unlabeled, or method='logits', or "
        "members trained from one start."
    )
    if settings.on_barrier == "raise":
        loss = merge.member_loss
        msg = (
            f"the averaged parameters make a model with log loss {loss + merge.barrier:.4g}, "
            f"while the members have {loss:.4g} on average (barrier {merge.barrier:.4g}, "
            f"tolerated {tolerated:.4g}){why}"
        )
        raise MergeBarrierError(msg)
    # No numbers: Python shows warnings of the same text once, also those of a grid search.
    msg = f"the averaged parameters make a model that is worse than its members by barrier_{why}"
    if settings.on_barrier == "logits":
        msg += " The logit pool is used instead."
    warn_user(msg, MergeBarrierWarning)
    return settings.on_barrier != "logits"
