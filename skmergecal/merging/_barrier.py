"""Barrier of a merge of parameters: what is done where the one model is worse than its members."""

from __future__ import annotations

from skmergecal._warnings import warn_user
from skmergecal.exceptions import MergeBarrierError, MergeBarrierWarning
from skmergecal.merging._merge_report import MergeReport
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted import OneModelMerge

__all__ = ["guard_barrier"]

#: Standard errors by which the merged model may be worse than its best member.
_MAX_Z = 2.0
#: Losses that differ by less are the same, but for the rounding of parameters.
_SAME_LOSS = 1e-6
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
    loss, report = merge.member_loss, merge.report
    tolerated = settings.barrier_tolerance * loss
    if merge.barrier > tolerated:
        why = (
            ": nets from different starts cannot be averaged as they are. Use alignment='auto' and "
            "repair='auto', with the members' training rows as X_unlabeled, or method='logits', or "
            "members trained from one start."
        )
        measured = (
            f"the averaged parameters make a model with log loss {loss + merge.barrier:.4g}, "
            f"while the members have {loss:.4g} on average (barrier {merge.barrier:.4g}, "
            f"tolerated {tolerated:.4g})"
        )
        # No numbers: Python shows warnings of the same text once, also those of a grid search.
        worse = "the averaged parameters make a model that is worse than its members by barrier_"
    elif report is not None and _is_worse_than_best(report, settings):
        why = (
            ": use weights='log_loss', which gives weak members little weight, or leave these out. "
            "More rows as X_unlabeled bring merged nets nearer to the pool of their members."
        )
        measured = (
            f"the merged model has log loss {report.merged:.4g}, its best member "
            f"{report.best_member_loss:.4g}, less by {report.z:.1f} standard errors"
        )
        worse = (
            "the merged model is worse than its best member by more than two standard errors "
            "(merge_report_.z)"
        )
    else:
        return True
    if settings.on_barrier == "raise":
        msg = f"{measured}{why}"
        raise MergeBarrierError(msg)
    msg = f"{worse}{why}"
    if settings.on_barrier == "logits":
        msg += " The logit pool is used instead."
    warn_user(msg, MergeBarrierWarning)
    return settings.on_barrier != "logits"


def _is_worse_than_best(report: MergeReport, settings: Settings) -> bool:
    """Whether merging made a model that is clearly worse than the best member.

    One that is the members' pool, as of linear models, is what the weights ask for.
    """
    is_pool = abs(report.merged - report.pool) < _SAME_LOSS
    return not is_pool and report.z > _MAX_Z and settings.barrier_tolerance < _ANYTHING
