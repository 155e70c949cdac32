"""Progress of training: reported to scikit-learn's callbacks, and to the terminal."""

from __future__ import annotations

import sys
from typing import Any

from skmergecal._typing import Estimator

__all__ = ["Progress"]


class Progress:
    """Reports runs and their epochs.

    Parameters
    ----------
    owner : estimator
        In whose name callbacks are called.
    context : CallbackContext or None
        Of scikit-learn, where the installed version has callbacks. Below it there is a task for
        each run, and below that one for each epoch.
    verbose : int
        Above 0, a line is printed for each epoch.
    """

    def __init__(self, owner: Estimator, context: Any, verbose: int) -> None:
        self.owner, self.context, self.verbose = owner, context, verbose
        self.run: Any = None

    def begin(self, epochs: int) -> None:
        """A run begins."""
        if self.context is not None:
            self.run = self.context.subcontext(task_name="tune", max_subtasks=epochs)
            self.run.call_on_fit_task_begin(estimator=self.owner)

    def epoch(self, number: int, epochs: int, loss: float, held_out: float | None) -> None:
        """An epoch is over."""
        if self.run is not None:
            task = self.run.subcontext(task_name="epoch")
            task.call_on_fit_task_begin(estimator=self.owner)
            task.call_on_fit_task_end(estimator=self.owner)
        if self.verbose > 0:
            what = "" if held_out is None else f", held-out loss {held_out:.6g}"
            name = type(self.owner).__name__
            sys.stdout.write(f"[{name}] epoch {number} of {epochs}: loss {loss:.6g}{what}\n")

    def end(self) -> None:
        """The run is over."""
        if self.run is not None:
            self.run.call_on_fit_task_end(estimator=self.owner)
            self.run = None
