"""The state of a monitor: what is written, and how it is set again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmergecal.monitoring._advice import Reference
from skmergecal.monitoring._batches import Batches
from skmergecal.monitoring._bets import Bets
from skmergecal.monitoring._comparison import ModelComparison
from skmergecal.monitoring._conformal import Exchangeability
from skmergecal.monitoring._evidence import Grid
from skmergecal.monitoring._members import MemberWatches
from skmergecal.monitoring._mixture import Evidence
from skmergecal.monitoring._null import Tolerance
from skmergecal.monitoring._plug_in import PlugIn
from skmergecal.monitoring._state import from_text, to_text
from skmergecal.monitoring._streams import Streams
from skmergecal.monitoring._unlabelled import Observed
from skmergecal.monitoring._watch import Watch
from skmergecal.monitoring._window import Window

__all__ = ["read_state", "restore", "write_state"]

#: What may be in it.
_CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(Bets, Evidence, Exchangeability, Grid, MemberWatches, Observed, PlugIn, Reference),
        *(Streams, Tolerance, Watch, Window),
    )
}


def write_state(monitor: Any, settings: Sequence[str]) -> str:
    """The state of a monitor as JSON, without estimators."""
    state: dict[str, Any] = {name: getattr(monitor, name) for name in settings}
    if monitor.classes is not None:
        state["classes"] = np.asarray(monitor.classes)
    state.update(
        seen=monitor._seen,
        n_batches=monitor._batches.n_batches,
        records=list(monitor._batches.records),
        fitted=monitor._fitted,
        comparisons={n: [c.alpha, c._bets, c._sums] for n, c in monitor.comparisons_.items()},
    )
    if monitor._streams is not None:
        state.update(
            known=monitor.classes_, tolerance_=monitor.tolerance_, streams=monitor._streams
        )
    if monitor._observed is not None:
        state.update(observed=monitor._observed, generator=monitor._random.bit_generator.state)
    return to_text(state)


def read_state(text: str) -> dict[str, Any]:
    """The state of some JSON."""
    return from_text(text, _CLASSES)


def restore(monitor: Any, state: dict[str, Any]) -> None:
    """Set the state of a new monitor with the same settings.

    Raises
    ------
    ValueError
        If it has another estimator than the one whose state it is.
    """
    monitor._seen, monitor._fitted = state["seen"], state["fitted"]
    monitor._batches = Batches(state["records"], state["n_batches"])
    for name, (alpha, bets, sums) in state["comparisons"].items():
        comparison = monitor.comparisons_[name] = ModelComparison(alpha)
        comparison._bets, comparison._sums = bets, sums
    if "streams" not in state:
        return
    streams, known = state["streams"], np.asarray(state["known"])
    names = streams.members.names if streams.members is not None else []
    deployed = monitor._deployed
    for what, was, now in (
        (
            "classes",
            known.tolist(),
            known.tolist() if deployed is None else deployed.classes.tolist(),
        ),
        ("members", names, [member.name for member in monitor._members]),
    ):
        if was != now:
            msg = (
                f"the state is of a monitor of the {what} {was}, those of the estimator are {now}: "
                "pass the estimator that was monitored"
            )
            raise ValueError(msg)
    monitor.classes_, monitor.tolerance_ = known, state["tolerance_"]
    monitor._streams = streams
    if "observed" in state:
        monitor._observed = state["observed"]
        monitor._random.bit_generator.state = state["generator"]
