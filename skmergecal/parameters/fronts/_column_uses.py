"""What fitted steps do with each column: a number, a category, a flag, or not used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from skmergecal._pipelines import is_pipeline, steps_before
from skmergecal.parameters.families import column_numbers, is_identity, read_affine

__all__ = ["ColumnUse", "NoLookUpError", "inner_steps", "is_missing", "parts_of", "uses_of_columns"]

#: Where a value comes from, if not from a column as it is: from numbers, or from categories only.
_OF_NUMBERS, _OF_CATEGORIES = -1, -2


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or pd.NA."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


class NoLookUpError(Exception):
    """A step that is neither affine in numbers nor a look-up of categories.

    Parameters
    ----------
    step : transformer
    columns : sequence of int
        The columns of the input that reach it; empty if that is not known.
    """

    def __init__(self, step: Any, columns: Sequence[int]) -> None:
        super().__init__(type(step).__name__)
        self.step, self.columns = step, [c for c in columns if c >= 0]


@dataclass
class ColumnUse:
    """The use of one column.

    Attributes
    ----------
    number : bool
        Whether a step, or the model, takes its numbers.
    known : list of ndarray
        The categories of the encoders that it reaches.
    sentinels : list of object
        Values that imputers take for missing ones.
    flagged : bool
        Whether a step gives whether it is missing.
    """

    number: bool = False
    known: list[np.ndarray] = field(default_factory=list)
    sentinels: list[Any] = field(default_factory=list)
    flagged: bool = False

    @property
    def used(self) -> bool:
        """Whether any output depends on it."""
        return self.number or self.flagged or bool(self.known)

    @property
    def marks(self) -> list[Any]:
        """Numbers or texts that imputers take for missing ones."""
        return [v for v in self.sentinels if not is_missing(v)]


def uses_of_columns(steps: Sequence[Any], n_features: int) -> dict[int, ColumnUse]:
    """The use of each column that is used by fitted steps, or by the model after them.

    Raises
    ------
    NoLookUpError
        If a step is not known to be an affine map of numbers or a look-up of categories.
    """
    uses = _Uses([ColumnUse() for _ in range(n_features)])
    sources = list(range(n_features))
    for step in steps:
        sources = uses.follow(step, sources)
    uses.take_numbers(None, sources)
    return {i: use for i, use in enumerate(uses.columns) if use.used}


def inner_steps(step: Any) -> list[Any]:
    """The steps directly inside of a fitted step; none where it is a single one."""
    if isinstance(step, FrozenEstimator):
        return [step.estimator]
    if hasattr(step, "transformers_"):
        return [part for _, part, _ in step.transformers_]
    if is_pipeline(step):
        return [part for _, part in step.steps]
    return [part for _, part in getattr(step, "transformer_list", ())]


def parts_of(step: Any) -> list[Any]:
    """A step, or the steps that a Pipeline consists of, to any depth."""
    if type(step) is not Pipeline:
        return [step]
    inner = [*steps_before(step), step.steps[-1]]
    return [part for _, one in inner for part in parts_of(one)]


@dataclass
class _Uses:
    columns: list[ColumnUse]

    def follow(self, step: Any, sources: list[int]) -> list[int]:
        """Where the outputs of a step come from, given where its inputs do."""
        if isinstance(step, FrozenEstimator):
            step = step.estimator
        if step is None or isinstance(step, str) or is_identity(step):
            return [] if step == "drop" else sources
        for kind, follow in _FOLLOW.items():  # a class of the user's may transform otherwise
            if type(step) is kind:
                return follow(self, step, sources)
        if isinstance(step, SelectorMixin):
            return [sources[i] for i in np.flatnonzero(step.get_support())]
        affine = read_affine(step)
        if affine is None:
            raise NoLookUpError(step, sources)
        self.take_numbers(step, sources)
        numbers = any(s != _OF_CATEGORIES for s in sources)
        return [_OF_NUMBERS if numbers else _OF_CATEGORIES] * len(affine.shift)

    def take_numbers(self, step: Any, sources: Sequence[int]) -> None:
        """Note that columns are used as numbers, by a step or by the model."""
        for source in sources:
            if source < 0:
                continue
            self.columns[source].number = True
            if self.columns[source].marks:
                raise NoLookUpError(step or SimpleImputer(), [source])

    def _pipeline(self, step: Any, sources: list[int]) -> list[int]:
        for part in parts_of(step):
            sources = self.follow(part, sources)
        return sources

    def _union(self, step: FeatureUnion, sources: list[int]) -> list[int]:
        return [s for _, part in step.transformer_list for s in self.follow(part, sources)]

    def _columns(self, step: ColumnTransformer, sources: list[int]) -> list[int]:
        found: list[int] = []
        for _, part, columns in step.transformers_:
            places = column_numbers(columns, step)
            found += self.follow(part, [sources[i] for i in places]) if len(places) else []
        return found

    def _imputer(self, step: Any, sources: list[int]) -> list[int]:
        missing = step.missing_values
        if _OF_NUMBERS in sources and not is_missing(missing):
            raise NoLookUpError(step, [])
        for source in sources:
            if source >= 0:
                self.columns[source].sentinels.append(missing)
                if self.columns[source].number and self.columns[source].marks:
                    raise NoLookUpError(step, [source])
        for place in _flagged_places(step):
            if sources[place] >= 0:
                self.columns[sources[place]].flagged = True
        names = [f"x{i}" for i in range(len(sources))]
        own = list(getattr(step, "feature_names_in_", names))
        places = {str(name): source for name, source in zip(own, sources, strict=True)}
        flag = _OF_NUMBERS if _OF_NUMBERS in sources else _OF_CATEGORIES
        return [places.get(str(name), flag) for name in step.get_feature_names_out(own)]

    def _encoder(self, step: Any, sources: list[int]) -> list[int]:
        if _OF_NUMBERS in sources:
            raise NoLookUpError(step, [])
        for source, categories in zip(sources, step.categories_, strict=True):
            if source >= 0:
                self.columns[source].known.append(np.asarray(categories))
        return [_OF_CATEGORIES] * len(step.get_feature_names_out())


def _flagged_places(step: Any) -> list[int]:
    """The inputs of an imputer or indicator of which it gives whether they are missing."""
    indicator = step if isinstance(step, MissingIndicator) else step.indicator_
    return [] if indicator is None else [int(i) for i in indicator.features_]


_FOLLOW: dict[type, Callable[[_Uses, Any, list[int]], list[int]]] = {
    Pipeline: _Uses._pipeline,
    ColumnTransformer: _Uses._columns,
    FeatureUnion: _Uses._union,
    SimpleImputer: _Uses._imputer,
    MissingIndicator: _Uses._imputer,
    OneHotEncoder: _Uses._encoder,
    OrdinalEncoder: _Uses._encoder,
    TargetEncoder: _Uses._encoder,
}
