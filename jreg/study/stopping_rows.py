"""Rows that stop apart from rows that score: a share of a fold's training rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from jreg._base.names import cut, shown
from jreg.data import Dataset
from jreg.data.load import has_classes
from jreg.results import FoldRows


def set_aside(data: Dataset, train: Any, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Divides training rows into those that are trained on and a share to stop on; classes keep their shares.

    Where rows belong to groups it is a share of the groups, and classes don't keep theirs. The choice depends on which
    rows there are and on nothing else, not on their order: the same fold has the same rows to stop on in every study.

    Args:
      data: classification data with one label per row are stratified.
      train: row numbers; of one that comes several times, all copies go together.
      fraction: the share to stop on, in (0, 1).

    Returns:
      The rows to train on, in the order in which they came, and those to stop on, each once and in ascending order.

    Raises:
      ValueError: `fraction` is out of range, or the rows can't be divided so that both parts have each class.
      TypeError: `fraction` is no number.

    >>> data = Dataset(x=[[0.0]] * 12, y=[0, 1] * 6)
    >>> train, stopping = set_aside(data, np.arange(10), 0.2)
    >>> len(train), sorted(data.y[stopping].tolist())
    (8, [0, 1])

    Source: scikit-learn's ``validation_fraction``, as in ``MLPClassifier``.
    """
    check_fraction(fraction)
    train = np.asarray(train)
    rows = np.unique(train).astype(np.int64)
    seed = int.from_bytes(hashlib.sha256(rows.astype("<i8").tobytes()).digest()[:4], "little")
    some = np.asarray(data.y)[rows] if has_classes(data) else None
    groups = None if data.groups is None else np.asarray(data.groups)[rows]
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit

    kind = GroupShuffleSplit if groups is not None else ShuffleSplit if some is None else StratifiedShuffleSplit
    try:
        [(_, chosen)] = kind(1, test_size=float(fraction), random_state=seed).split(rows, some, groups)
    except ValueError as error:
        raise ValueError(
            f"validation_fraction={fraction:g} of {len(rows)} training rows of {data.name} can't be set aside to stop "
            f"on ({cut(str(error))}): take another share, or fewer folds"
        ) from None
    stopping = np.sort(rows[chosen])
    return train[~np.isin(train, stopping)], stopping


def apart(data: Dataset, pairs: Iterable[tuple[Any, Any]], fraction: float | None) -> list[tuple[Any, ...]]:
    """Pairs of rows to train and to score on, each with the rows to stop on; as they are without a fraction."""
    if fraction is None:
        return [tuple(pair) for pair in pairs]
    divided = [(set_aside(data, train, fraction), validation) for train, validation in pairs]
    return [(rest, validation, stopping) for (rest, stopping), validation in divided]


def set_apart(data: Dataset, folds: Iterable[FoldRows], fraction: float | None) -> tuple[FoldRows, ...]:
    """The folds with rows to stop on; outer ones of nested folds, which stop on nothing, stay as they are."""

    def divided(fold: FoldRows) -> FoldRows:
        [parts] = apart(data, [(fold.train, fold.validation)], None if fold.role == "outer" else fraction)
        return FoldRows(fold.number, fold.role, *parts)

    return tuple(map(divided, folds))


def together(fold: FoldRows) -> tuple[np.ndarray, np.ndarray]:
    """The pair of rows that `apart` makes the same fold of again."""
    return np.concatenate([fold.train, fold.stopping]) if len(fold.stopping) else fold.train, fold.validation


def fraction_of(fraction: Any, stopping: Any) -> float | None:
    """The share to stop on, as a plain number; None where there is none.

    Raises:
      ValueError: it is out of range, or nothing stops.
      TypeError: it is no number.
    """
    if fraction is None:
        return None
    check_fraction(fraction)
    if stopping is None:
        raise ValueError(
            f"validation_fraction is {fraction:g}, but nothing stops on the rows that it sets aside: give early "
            "stopping, such as stopping=jreg.EarlyStopping(patience=10), or leave it out"
        )
    return float(fraction)


def check_fraction(fraction: Any) -> None:
    """Raises TypeError or ValueError unless `fraction` is a number between 0 and 1."""
    wanted = "but must be a share of the training rows between 0 and 1, such as 0.1, or None for no rows to stop on"
    if isinstance(fraction, bool) or not isinstance(fraction, int | float | np.integer | np.floating):
        raise TypeError(f"validation_fraction is {shown(fraction)}, {wanted}")
    if not 0 < fraction < 1:
        raise ValueError(f"validation_fraction is {fraction:g}, {wanted}")
