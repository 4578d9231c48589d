"""Data frames of pandas, polars, pyarrow and others, through narwhals, as columns of numbers and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def is_frame(source: Any) -> bool:
    """Whether this is a data frame of a library that narwhals knows, in memory or not."""
    # Importing narwhals takes its time, which arrays are spared.
    if not hasattr(type(source), "columns") or isinstance(source, Mapping):
        return False
    import narwhals.stable.v2 as nw

    try:
        return isinstance(nw.from_native(source, pass_through=True), nw.DataFrame | nw.LazyFrame)
    except nw.exceptions.NarwhalsError:  # one whose columns' names aren't unique
        return True


def frame_columns(frame: Any, name: str) -> tuple[dict[str, Any], frozenset[str]]:
    """The columns of a data frame by name, and which of them it says are categories.

    Raises:
      TypeError: it has no rows in memory.
      ValueError: two columns have one name, or one holds durations, lists or the like.
    """
    import narwhals.stable.v2 as nw

    try:
        found = nw.from_native(frame, pass_through=True)
    except nw.exceptions.NarwhalsError as error:
        raise ValueError(f"{name} can't be read: {' '.join(str(error).split())}") from None
    if isinstance(found, nw.LazyFrame):
        raise TypeError(
            f"a {type(frame).__name__} has no rows in memory: give what its collect() or toPandas() returns"
        )
    names = [str(column) for column in found.columns]
    series = list(found.iter_columns())
    of_categories = {
        column for column, one in zip(names, series, strict=True) if isinstance(one.dtype, nw.Categorical | nw.Enum)
    }
    held = {column: held_values(one, f"{name}'s {column!r}") for column, one in zip(names, series, strict=True)}
    return held, frozenset(of_categories)


def held_values(values: Any, name: str) -> Any:
    """The values of a series as an array of numbers or a list; anything else as it is."""
    if isinstance(values, np.ndarray | list | tuple):
        return values
    import narwhals.stable.v2 as nw

    series = nw.from_native(values, series_only=True, pass_through=True)
    if not isinstance(series, nw.Series):
        return values
    if isinstance(series.dtype, nw.Duration):
        raise ValueError(f"{name} has durations, but must have numbers or texts: give seconds or days as numbers")
    if not series.dtype.is_numeric():
        held = np.empty(len(series), object)
        held[:] = series.to_list()
        return held
    if series.null_count() or isinstance(series.dtype, nw.Decimal):
        series = series.cast(nw.Float64)
    return series.to_numpy()
