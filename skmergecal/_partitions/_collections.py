"""Dask collections of one length, partition by partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import numpy as np

from skmergecal._optional import is_dask, optional_import
from skmergecal._partitions._dask import delayed
from skmergecal._validation import count_rows

__all__ = ["are_dask", "delayed_partitions", "first_rows", "meta_of", "refuse_unlike_rows"]

_KINDS = ("dask.array.Array", "dask.dataframe.DataFrame", "dask.dataframe.Series")


def are_dask(*collections: Any) -> bool:
    """Whether one of them is a Dask collection, or a dict that holds one."""
    values = [v for c in collections for v in (c.values() if isinstance(c, Mapping) else [c])]
    return any(map(is_dask, values))


def delayed_partitions(*, shared: bool = False, **collections: Any) -> list[tuple[Any, ...]]:
    """What each partition has of several collections: for each a Delayed, in order.

    Parameters
    ----------
    shared : bool, default=False
        Whether tasks keep their names: for what is computed together with other collections of
        the user's. Otherwise no other computation has them, see `_Renamed`.
    **collections : dask Array, DataFrame or Series, dict of such, or None
        By name. Their rows lie in the same partitions.

    Raises
    ------
    TypeError
        If something is no such collection.
    ValueError
        If there are different numbers of partitions.
    """
    parts: dict[str, list[Any]] = {}
    renamed = None if shared else _Renamed()
    for name, values in collections.items():
        if isinstance(values, Mapping):
            columns = {
                key: _delayed_of(f"{name}[{key!r}]", v, renamed) for key, v in values.items()
            }
            _refuse_other_numbers({f"{name}[{key!r}]": own for key, own in columns.items()})
            together = zip(*columns.values(), strict=True)
            parts[name] = [dict(zip(columns, own, strict=True)) for own in together]
        elif values is not None:
            parts[name] = _delayed_of(name, values, renamed)
    _refuse_other_numbers(parts)
    n_parts = len(next(iter(parts.values())))
    each = [parts.get(name, [None] * n_parts) for name in collections]
    return list(zip(*each, strict=True))


def _refuse_other_numbers(parts: Mapping[str, list[Any]]) -> None:
    numbers = {name: len(own) for name, own in parts.items()}
    if len(set(numbers.values())) > 1:
        found = ", ".join(f"{name} has {number}" for name, number in numbers.items())
        msg = (
            f"different numbers of partitions: {found}. Their rows should lie in the same "
            "partitions: take all of them from one DataFrame, or call repartition (DataFrame) or "
            "rechunk (Array) with the same divisions or chunks"
        )
        raise ValueError(msg)


def _delayed_of(name: str, values: Any, renamed: _Renamed | None) -> list[Any]:
    """A Delayed for each partition, of an Array for each block of all its columns."""
    if not is_dask(values) or not hasattr(values, "to_delayed"):
        msg = (
            f"{name} is a {type(values).__name__}; beside Dask collections it should be one, too, "
            "in the same partitions: "
            + (
                "dask.dataframe.from_pandas(values, npartitions=...)"
                if hasattr(values, "iloc")
                else "dask.array.from_array(values, chunks=...)"
            )
            + ", for instance"
        )
        raise TypeError(msg)
    if type(values).__name__ not in ("Array", "DataFrame", "Series"):
        kinds = ", ".join(_KINDS)
        msg = f"{name} should be one of {kinds}; got a Dask {type(values).__name__}: convert it"
        raise TypeError(msg)
    if hasattr(values, "rechunk"):
        if values.ndim not in (1, 2):
            msg = f"{name} should have one or two dimensions; got {values.ndim}: reshape it"
            raise ValueError(msg)
        values = values.rechunk({1: -1}) if values.ndim == 2 else values
    # Optimised by themselves, two columns of one random source would have different rows.
    made = values.to_delayed(optimize_graph=False)
    found = list(made.ravel() if hasattr(made, "ravel") else made)
    return found if renamed is None else renamed.parts(found)


class _Renamed:
    """Graphs of several collections, in which each task has a new name.

    Dask fuses the tasks of a collection in one computation, and not in another. A scheduler that
    knows a task from one and gets it with other dependencies from the next keeps a mixture of
    both, and can wait forever once a worker is lost. With names of its own, a computation shares
    no task with others; what several collections have in common stays in common.
    """

    def __init__(self) -> None:
        self.suffix = uuid4().hex
        self.layers: dict[str, Any] = {}

    def parts(self, given: Sequence[Any]) -> list[Any]:
        """The same Delayed objects, all of one graph, with new names."""
        if not given:
            return []
        graph = given[0].dask
        known = graph.keys()
        layers = {self.name(name): self._layer(name, graph, known) for name in graph.layers}
        needs = {self.name(k): {*map(self.name, of)} for k, of in graph.dependencies.items()}
        new = type(graph)(layers, needs)
        (layer,) = given[0].__dask_layers__()
        return [type(part)(self.name(part.key), new, layer=self.name(layer)) for part in given]

    def name(self, key: Any) -> Any:
        """The new name of a task or a layer."""
        if isinstance(key, tuple):
            return (self.name(key[0]), *key[1:])
        return f"{key}-{self.suffix}"

    def _layer(self, name: str, graph: Any, known: Any) -> Any:
        """A layer with new names, made once for all collections that have it."""
        if name not in self.layers:
            high = optional_import(
                "dask.highlevelgraph", extra="distributed", purpose="a Dask collection"
            )
            own = graph.layers[name]
            tasks = {self.name(key): self._task(key, task, known) for key, task in own.items()}
            self.layers[name] = high.MaterializedLayer(tasks, annotations=own.annotations)
        return self.layers[name]

    def _task(self, key: Any, task: Any, known: Any) -> Any:
        if not hasattr(task, "dependencies"):
            return self._moved(task, known)
        needs = {other: self.name(other) for other in (key, *task.dependencies) if other in known}
        return task.substitute(needs, key=self.name(key))

    def _moved(self, value: Any, known: Any) -> Any:
        """A task that is a tuple, with lists and dicts in it; a name; or a value, or a Future."""
        if isinstance(value, tuple) and value and callable(value[0]):
            return (value[0], *(self._moved(v, known) for v in value[1:]))
        if isinstance(value, list):
            return [self._moved(v, known) for v in value]
        if isinstance(value, dict):
            return {k: self._moved(v, known) for k, v in value.items()}
        try:
            return self.name(value) if value in known else value
        except TypeError:  # not hashable
            return value


def meta_of(X: Any) -> Any:
    """No rows, with the columns and types of a collection."""
    if isinstance(X, Mapping):
        return {name: meta_of(values) for name, values in X.items()}
    if hasattr(X, "rechunk"):
        return np.empty((0, *X.shape[1:]), dtype=X.dtype)
    return X._meta


def first_rows(partitions: list[tuple[Any, ...]], n_rows: int) -> Any:
    """Up to so many rows of the first partition that has some; None where none has."""
    dask = optional_import("dask", extra="distributed", purpose="a Dask collection")
    for X, *_ in partitions:
        (found,) = dask.compute(delayed(_head)(X, n_rows))
        if found is not None:
            return found
    return None


def _head(X: Any, n_rows: int) -> Any:
    if isinstance(X, Mapping):
        heads = {name: _head(values, n_rows) for name, values in X.items()}
        return None if any(values is None for values in heads.values()) else heads
    if not len(X):
        return None
    return X.iloc[:n_rows] if hasattr(X, "iloc") else X[:n_rows]


def refuse_unlike_rows(**collections: Any) -> None:
    """Raise ValueError where a partition of one collection has other rows than that of the first.

    Parameters
    ----------
    **collections : array-like, dict of such, or None
        What a partition has of each, by name.
    """
    (what, values), *others = collections.items()
    first = next(iter(values.values())) if isinstance(values, Mapping) else values
    n_rows = count_rows(first, what)
    for name, own in others:
        if own is None:
            continue
        if len(own) != n_rows:
            msg = (
                f"{what} has {n_rows} rows and {name} has {len(own)}: give all of them the same "
                "rows in each partition, by taking them from one DataFrame for instance"
            )
            raise ValueError(msg)
        indexes = [table.index for table in (first, own) if hasattr(table, "iloc")]
        if len(indexes) == 2 and not indexes[0].equals(indexes[1]):
            msg = (
                f"{what} and {name} have different indexes, so that their rows may be in different "
                "orders: take both from one DataFrame, or call reset_index on both"
            )
            raise ValueError(msg)
