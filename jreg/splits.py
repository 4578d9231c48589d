"""Folds as index arrays, so that the data sits on the device once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from jreg._base import checks
from jreg._base.brief import brief
from jreg._base.names import shown
from jreg.data import Dataset
from jreg.data.load import split


class Folds(NamedTuple):
    """Row numbers of each fold, padded with row 0 to one length and counted; of one fold without the leading axis.

    Attributes:
      train: ``(folds, n)`` int32 rows to train on.
      train_count: ``(folds,)`` int32, how many of them are meant.
      validation: ``(folds, m)`` int32 rows to validate on; m is 0 where there are none.
      validation_count: ``(folds,)`` int32.
      number: ``(folds,)`` uint32, from which the keys of a fold's trainings are derived.
      stopping: ``(folds, k)`` int32 rows to stop on; None in a study that stops on its validation rows.
      stopping_count: ``(folds,)`` int32; None as well.
    """

    train: Any
    train_count: Any
    validation: Any
    validation_count: Any
    number: Any
    # None has no leaves, so that a program without stopping rows is what it would be without these fields.
    stopping: Any = None
    stopping_count: Any = None

    __repr__ = brief

    def part(self, split: str) -> tuple[Any, Any]:
        """The rows of ``"train"``, ``"stopping"`` or ``"validation"``, and how many of them are meant."""
        return getattr(self, split), getattr(self, f"{split}_count")


def pack(
    pairs: Iterable[tuple[Any, Any]], numbers: Iterable[int] | None = None, stopping: Iterable[Any] | None = None
) -> Folds:
    """Stacks (training rows, validation rows) pairs of unequal lengths.

    Args:
      pairs: row numbers, whole ones of at least 0; `as_pairs` makes such of masks.
      numbers: of the folds; default: 0, 1, ...
      stopping: row numbers to stop on, of each fold; default: no fold has any.

    Raises:
      TypeError: rows are flags or fractions.
      ValueError: one is negative.

    >>> pack([([0, 1, 2], [3]), ([2, 3], [0, 1])]).train.tolist()
    [[0, 1, 2], [2, 3, 0]]
    """

    def stack(parts: list[Any], what: str) -> tuple[np.ndarray, np.ndarray]:
        parts = [checks.rows(part, None, f"fold {number}'s {what}") for number, part in enumerate(parts)]
        rows = np.zeros((len(parts), max(len(part) for part in parts)), np.int32)
        for row, part in zip(rows, parts, strict=True):
            row[: len(part)] = part
        return rows, np.array([len(part) for part in parts], np.int32)

    train, validation = zip(*pairs, strict=True)
    named = range(len(train)) if numbers is None else numbers
    apart = () if stopping is None else stack(list(stopping), "stopping")
    parts = *stack(list(train), "train"), *stack(list(validation), "validation")
    return Folds(*parts, np.array(list(named), np.uint32), *apart)


def k_fold(data: Dataset, folds: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Partitions the rows into `folds` validation sets of equal size, shuffled; classes keep their shares.

    Where rows belong to groups, none is in two folds, and sizes and shares are as near to equal as that allows.

    Args:
      data: classification data with one label per row are stratified, others only shuffled.
      folds: at least 2.
      seed: of the shuffle.

    Returns:
      One (training rows, validation rows) pair per fold.

    Raises:
      ValueError: there are fewer rows or groups than folds, or fewer examples of a class.
      TypeError: `folds` is no whole number.

    >>> data = Dataset(x=[[0.0]] * 6, y=[0, 1] * 3)
    >>> [len(validation) for _, validation in k_fold(data, 3)]
    [2, 2, 2]

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), algorithm 5.1; scikit-learn's splitters.
    """
    folds = checks.count(folds, "the number of folds", least=2)
    if len(data) < folds:
        raise ValueError(f"{data.name} has {len(data)} rows, fewer than the {folds} folds asked for")
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    groups, options = data.groups, {"shuffle": True, "random_state": seed}
    together = 0 if groups is None else len(np.unique(groups))
    if groups is not None and together < folds:
        raise ValueError(f"{data.name} has {together} groups of rows, fewer than the {folds} folds asked for")
    if data.task != "classification" or not isinstance(data.y, np.ndarray) or data.y.ndim > 1:
        splitter = KFold(folds, **options) if groups is None else GroupKFold(folds, **options)
        return list(splitter.split(np.zeros(len(data)), groups=groups))
    counts = np.bincount(data.y)
    rare = [int(label) for label in np.flatnonzero((counts > 0) & (counts < folds))]
    if rare:
        raise ValueError(
            f"{data.name}'s class {rare[0]} has {counts[rare[0]]} examples, fewer than the {folds} folds asked for"
        )
    # The splitter wants as many rows as labels but never reads them.
    splitter = StratifiedKFold(folds, **options) if groups is None else StratifiedGroupKFold(folds, **options)
    return list(splitter.split(data.y, data.y, groups))


def hold_out(data: Dataset, size: float = 0.2, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """One fold for `cv`: a random share of the rows to validate on, the others to train on; classes keep their shares.

    Where rows belong to groups it is a share of the groups, and classes don't keep theirs.

    `cross_validate` then tunes on it, and `refit` trains the best setting again on all rows and tests it once, which is
    hold-out validation.

    Args:
      data: classification data with one label per row are stratified, others only shuffled.
      size: the share of rows to validate on, in (0, 1).
      seed: of the shuffle.

    Returns:
      A list with one (training rows, validation rows) pair, both in ascending order.

    Raises:
      ValueError: `size` is out of range, or the data can't be split so that both parts have each class.

    >>> data = Dataset(x=[[0.0]] * 10, y=[0, 1] * 5)
    >>> [(train, validation)] = hold_out(data, 0.4)
    >>> sorted(data.y[validation].tolist())
    [0, 0, 1, 1]

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 5.3; scikit-learn's ``train_test_split``.
    """
    if not 0 < size < 1:
        raise ValueError(f"hold_out's size is {size}, but must lie between 0 and 1")
    return [split(data, size, seed)]


def bootstrap(data: Dataset, times: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    r"""Folds for bagging: n rows drawn from n with replacement to train on, those not drawn to validate on.

    A row that is drawn twice counts twice in the training and in the statistics of preprocessing. A draw leaves out
    :math:`(1 - 1/n)^n \approx 0.37` of the rows, which are said to be out of bag. Classes are not stratified. Where
    rows belong to groups, whole groups are drawn, as many as there are.

    ``study.ensemble()`` are then the bagged networks, and ``study.out_of_fold().averaged()`` predicts each row by
    those that didn't train on it, for the out-of-bag score.

    Args:
      data: two rows or more, in two groups or more where there are any.
      times: how many bags.
      seed: of the draws; the first bags of more are those of fewer.

    Returns:
      One (training rows with repetitions, rows out of bag) pair per bag, both in ascending order. A draw that leaves
      nothing out, as it happens with very few rows, is drawn again.

    Raises:
      ValueError: there is one row or group alone, or `times` is below 1.
      TypeError: `times` or `seed` is no whole number.

    >>> data = Dataset(x=[[0.0]] * 6, y=[0, 1] * 3)
    >>> [(train.tolist(), out.tolist()) for train, out in bootstrap(data, 2)]
    [([0, 1, 1, 3, 3, 5], [2, 4]), ([0, 0, 1, 3, 4, 5], [2])]

    Source: Breiman, Bagging predictors, Machine Learning 24 (1996), and Out-of-bag estimation (1996).
    """
    times, seed = checks.count(times, "bootstrap's times"), checks.count(seed, "bootstrap's seed", least=0)
    groups = np.arange(len(data)) if data.groups is None else np.unique(data.groups, return_inverse=True)[1]
    count = int(groups.max()) + 1
    if count < 2:
        unit = "row" if data.groups is None else "group of rows"
        raise ValueError(f"{data.name} has one {unit} alone, so that no bag leaves anything out: give two or more")
    rng, pairs = np.random.default_rng(seed), []
    while len(pairs) < times:
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)[groups]
        if not drawn.all():
            pairs.append((np.repeat(np.arange(len(data)), drawn), np.flatnonzero(drawn == 0)))
    return pairs


def repeats(validation: Iterable[Any]) -> np.ndarray | None:
    """Which repeat of a repeated k-fold each fold belongs to.

    Folds that follow each other form a repeat when none of the validated rows is in two of them and each is in one. It
    is seen in the rows alone, so that `RepeatedKFold`, several calls of `k_fold` and pairs of one's own are alike.

    Args:
      validation: the row numbers that each fold validates on, in the folds' order.

    Returns:
      ``(folds,)``, numbers from 0; None where the folds are no repeats of two folds or more, as those of one k-fold
      aren't, nor random splits and bags.

    >>> repeats([[0, 1], [2, 3], [0, 2], [1, 3]])
    array([0, 0, 1, 1])
    >>> repeats([[0, 1], [2, 3]]), repeats([[0, 1], [1, 2], [0, 3]])
    (None, None)
    """
    folds = [np.asarray(rows, np.int64) for rows in validation]
    if not folds:
        return None
    rows, places = np.unique(np.concatenate(folds), return_inverse=True)
    found, seen_in, seen, repeat = np.zeros(len(folds), np.int64), np.full(len(rows), -1), 0, 0
    for number, chosen in enumerate(np.split(places, np.cumsum([len(fold) for fold in folds])[:-1])):
        if (seen_in[chosen] == repeat).any():
            return None
        seen_in[chosen] = found[number] = repeat
        seen += len(chosen)
        if seen == len(rows):
            repeat, seen = repeat + 1, 0
    return found if repeat > 1 and not seen and np.bincount(found).min() > 1 else None


def as_pairs(cv: Any, data: Dataset) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of row numbers from a number of folds, a scikit-learn splitter, or (training, validation rows) pairs.

    A splitter receives the data's groups where there are any.

    Raises:
      ValueError: a row doesn't exist, or is in both parts of a fold, or a part is empty.
      TypeError: `cv` is none of the three.

    >>> data = Dataset(x=[[0.0]] * 4, y=[0, 1] * 2)
    >>> [(train.tolist(), validation.tolist()) for train, validation in as_pairs([([0, 1], [2, 3])], data)]
    [([0, 1], [2, 3])]
    """
    if isinstance(cv, int | np.integer):
        pairs = k_fold(data, int(cv))
    elif hasattr(cv, "split") and not isinstance(cv, str):
        # The splitter wants as many rows as labels but never reads them.
        placeholder = np.zeros(len(data))
        labels = data.y if isinstance(data.y, np.ndarray) else placeholder
        try:
            pairs = list(cv.split(placeholder, labels, data.groups))
        except ValueError as error:
            if data.groups is not None or "groups" not in str(error):
                raise
            raise ValueError(
                f"{type(cv).__name__} splits groups of rows, but {data.name} has none: give them with the data, "
                "dataclasses.replace(data, groups=...)"
            ) from error
    else:
        pairs = _pairs(cv, len(data))
    if not pairs:
        raise ValueError("cv has no folds, but needs at least one pair of training and validation rows")
    return [_checked(number, pair, len(data)) for number, pair in enumerate(pairs)]


def _checked(number: int, pair: Any, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation rows of a fold as row numbers."""
    train, validation = (
        checks.rows(part, length, f"fold {number}'s {name}").astype(np.int64)
        for name, part in zip(("train", "validation"), pair, strict=True)
    )
    if len(train) == 0 or len(validation) == 0:
        raise ValueError(f"fold {number} has {len(train)} training and {len(validation)} validation rows")
    trains = np.zeros(length, bool)
    trains[train] = True
    if trains[validation].any():
        raise ValueError(f"fold {number} trains and validates on the same row")
    return train, validation


def _pairs(cv: Any, length: int) -> list[tuple[Any, Any]]:
    wrong = TypeError(
        f"cv is {shown(cv)}, but must be a number of folds, a scikit-learn splitter, or pairs of (training rows, "
        f"validation rows) as whole numbers or as masks of {length} flags"
    )
    if isinstance(cv, str) or not isinstance(cv, Iterable):
        raise wrong
    pairs = []
    for pair in cv:
        if isinstance(pair, str) or not isinstance(pair, Iterable) or len(parts := list(pair)) != 2:
            raise wrong
        if any(isinstance(part, str) or not isinstance(part, Iterable) for part in parts):
            raise wrong
        pairs.append((parts[0], parts[1]))
    return pairs
