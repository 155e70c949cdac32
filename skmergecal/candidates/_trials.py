"""Trials of a study of Optuna that have a value to compare; Optuna itself is not needed."""

from __future__ import annotations

from typing import Any

__all__ = ["complete_trials"]


def complete_trials(study: Any, what: str) -> tuple[list[Any], int]:
    """Trials that are complete, and by what to multiply values so that the highest is the best.

    Raises
    ------
    TypeError
        If it is no study.
    ValueError
        If it has several objectives.
    """
    if not hasattr(study, "trials") or not hasattr(study, "directions"):
        msg = (
            f"{what} should be a study of Optuna; got a {type(study).__name__}: of a fitted "
            "search, use members_from_search(search)"
        )
        raise TypeError(msg)
    if len(study.directions) != 1:
        msg = (
            f"{what} should have one objective, by which trials are ordered; it has "
            f"{len(study.directions)}. Choose trials yourself: [(f'trial {{t.number}}', "
            "make_estimator(t)) for t in study.best_trials]"
        )
        raise ValueError(msg)
    trials = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    return trials, -1 if study.directions[0].name == "MINIMIZE" else 1
