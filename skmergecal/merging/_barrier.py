"""Barrier of a merge of parameters: what is done where the one model is worse than its members."""

from __future__ import annotations

from skmergecal._warnings import warn_user
from skmergecal.exceptions import MergeBarrierError, MergeBarrierWarning
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted import OneModelMerge

__all__ = ["guard_barrier"]

#: Standard errors by which the merged model may be worse than its best member.
_MAX_Z = 2.0
#: From this tolerance on nothing is guarded.
_ANYTHING = 1.0


def guard_barrier(merge: OneModelMerge, settings: Settings) -> bool:
    """Whether the merged model may be used; if not, ``on_barrier`` decides what is done.

    It has to be about as good as the members are on average, and not clearly worse than the best.

    Raises
    ------
    MergeBarrierError
        With ``on_barrier="raise"``.

    Warns
    -----
    MergeBarrierWarning
        With ``on_barrier="warn"`` (and the model is used), or ``"logits"`` (and it is not).
    """
    found = _too_high(merge, settings) or _worse_than_best(merge, settings)
    if found is None:
        return True
    with_numbers, without, why = found
    if settings.on_barrier == "raise":
        msg = f"{with_numbers}{why}"
        raise MergeBarrierError(msg)
    # No numbers: Python shows warnings of the same text once, also those of a grid search.
    msg = f"{without}{why}"
    if settings.on_barrier == "logits":
        msg += " The logit pool is used instead."
    warn_user(msg, MergeBarrierWarning)
    return settings.on_barrier != "logits"


def _too_high(merge: OneModelMerge, settings: Settings) -> tuple[str, str, str] | None:
    """What is to be said of a merged model that is worse than its members are on average."""
    tolerated = settings.barrier_tolerance * merge.member_loss
    if not merge.barrier > tolerated:
        return None
    why = (
        ": nets from different starts cannot be averaged as they are. Use alignment='auto' and "
        "repair='auto', with the members' training rows as X_unlabeled, or method='logits', or "
        "members trained from one start."
    )
    loss = merge.member_loss
    with_numbers = (
        f"the averaged parameters make a model with log loss {loss + merge.barrier:.4g}, "
        f"while the members have {loss:.4g} on average (barrier {merge.barrier:.4g}, "
        f"tolerated {tolerated:.4g})"
    )
    without = "the averaged parameters make a model that is worse than its members by barrier_"
    return with_numbers, without, why


def _worse_than_best(merge: OneModelMerge, settings: Settings) -> tuple[str, str, str] | None:
    """The same, of one that is worse than its best member by more than chance explains."""
    report = merge.report
    if report is None or not report.z > _MAX_Z or settings.barrier_tolerance >= _ANYTHING:
        return None
    why = (
        ": use weights='log_loss', which gives weak members little weight, or leave these out; "
        "more rows as X_unlabeled help nets."
    )
    with_numbers = (
        f"the merged model has log loss {report.merged:.4g}, its best member "
        f"{report.best_member_loss:.4g}, less by {report.z:.1f} standard errors"
    )
    without = "the merged model is worse than its best member by more than two standard errors"
    return with_numbers, f"{without} (merge_report_.z)", why
