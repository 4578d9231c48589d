"""Folds inside folds: the rows of a nested study."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from jreg.data import Dataset
from jreg.results import FoldRows
from jreg.splits import as_pairs
from jreg.training import FINAL


def nested_folds(outer: Any, inner: Any, data: Dataset) -> tuple[list[FoldRows], list[int]]:
    """The inner folds of all outer ones, numbered from 0, and the outer ones, numbered behind that of all rows.

    Returns:
      The folds, and how many inner ones each outer one has.

    Raises:
      ValueError, TypeError: an outer fold's training rows can't be split so, or its inner folds have other rows.
    """
    pairs = as_pairs(outer, data)
    given = list(inner) if _is_list(inner) else [inner] * len(pairs)
    if len(given) != len(pairs):
        raise ValueError(f"inner has pairs for {len(given)} outer folds, but there are {len(pairs)} of them")
    folds: list[FoldRows] = []
    counts = []
    for k, ((train, _), how) in enumerate(zip(pairs, given, strict=True)):
        named = f"{data.name} without outer fold {k}"
        if _is_list(how):
            found = as_pairs(how, data)
            if not np.isin(np.concatenate([rows for pair in found for rows in pair]), train).all():
                raise ValueError(f"inner folds of outer fold {k} have rows that aren't among its training rows")
        else:
            found = [(train[some], train[others]) for some, others in as_pairs(how, _rows(data, train, named))]
        folds += [FoldRows(len(folds) + number, "inner", *pair) for number, pair in enumerate(found)]
        counts.append(len(found))
    return folds + [FoldRows(FINAL + 1 + k, "outer", *pair) for k, pair in enumerate(pairs)], counts


def _is_list(given: Any) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, str) and not hasattr(given, "split")


def _rows(data: Dataset, rows: np.ndarray, name: str) -> Dataset:
    """What a splitter looks at of some rows: targets and groups."""
    y = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], data.y)
    groups = None if data.groups is None else data.groups[rows]
    return Dataset(np.zeros((len(rows), 1), np.float32), y, name=name, task=data.task, groups=groups)
