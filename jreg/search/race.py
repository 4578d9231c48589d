"""What a race is: what its rule receives, what it trains between two decisions, and the rounds that several share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from jreg._base import checks


class History(NamedTuple):
    """What a pruner receives after a round, as NumPy arrays.

    Attributes:
      scores: ``(settings, folds, seeds)``, each training's score so far: at its best epoch under early stopping,
        else at its last; NaN where it diverged or has not been trained.
      curves: ``(settings, folds, seeds, epochs)``, the score after each of the study's epochs; NaN where not run.
      trained: ``(settings, folds, seeds)``, whether the training took part in a round so far; a diverged one did.
      kept: ``(settings,)``, whether the setting has joined the race and is still in it.
      round, epochs: the zero-based number of the round that just ended, and the epochs to which it trained.
      maximize: whether higher scores are better.
      test_share: validation rows divided by training rows of a fold, mean over folds.
      rows: of a `Race` that asks for it a function of a fold's and a seed's place, zero-based: ``(settings, rows)``,
        the score of each validation row alone, NaN for settings that have not been trained there. Where rows have
        weights or groups, see `jreg.anytime_elimination`. Default: None.
    """

    scores: np.ndarray
    curves: np.ndarray
    trained: np.ndarray
    kept: np.ndarray
    round: int
    epochs: int
    maximize: bool
    test_share: float
    rows: Callable[[int, int], np.ndarray] | None = None


class Round(NamedTuple):
    """What is trained between two decisions.

    Attributes:
      epochs: to which the settings in the race are trained.
      trainings: ``(folds, seeds)``, with which folds and seeds.
      joins: ``(settings,)``, which settings enter the race with this round.
    """

    epochs: int
    trainings: np.ndarray
    joins: np.ndarray


Pruner = Callable[[History], np.ndarray]
Shape = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Race:
    """A pruner, and the rounds after which, but for the last, it is asked which settings go on.

    Args:
      pruner: from a `History` which settings go on, ``(settings,)`` bool; ignored for those not in the race.
      rounds: returns a sequence of `Round` for (settings, folds, seeds) and the epochs to which the last one trains.
      needs_rows: whether the pruner reads `History.rows`, for which the study then keeps a number per validation row.
    """

    pruner: Pruner
    rounds: Callable[[Shape, int], Sequence[Round]]
    needs_rows: bool = False

    @classmethod
    def at(cls, rungs: Sequence[int], pruner: Pruner) -> Race:
        """All settings, folds and seeds, with the pruner asked after each of the epochs in `rungs`.

        Args:
          rungs: numbers of epochs from low to high, from 1 to the study's epochs, which need not be among them.
          pruner: a function of a `History` that returns which settings go on, ``(settings,)`` bool.

        Raises:
          ValueError, TypeError: a rung is out of range, order or not whole, or `pruner` is no function.

        >>> race = Race.at([5, 10], pruner=lambda history: merits(history) > 0.5)
        >>> [step.epochs for step in race.rounds((4, 3, 1), 30)]
        [5, 10, 30]
        """
        rungs = tuple(checks.count(rung, "a rung") for rung in rungs)
        if list(rungs) != sorted(set(rungs)):
            raise ValueError(f"the rungs are {list(rungs)}, but must ascend")
        if not callable(pruner):
            raise TypeError(f"the pruner is {pruner!r}, but must be a function of a History")
        return cls(pruner, partial(rounds_at, rungs=rungs))


def merits(history: History) -> np.ndarray:
    """How good each setting is so far: its mean score over the folds and seeds trained, negated if lower is better.

    Returns:
      ``(settings,)``; minus infinity where a training diverged or none was run.

    >>> scores = np.array([[[0.7], [0.9]], [[0.6], [np.nan]]])
    >>> trained = np.ones((2, 2, 1), bool)
    >>> merits(History(scores, scores[..., None], trained, np.ones(2, bool), 0, 1, True, 0.5)).tolist()
    [0.8, -inf]
    """
    trainings = history.trained.sum(axis=(1, 2))
    with np.errstate(invalid="ignore"):  # infinities of both signs
        total = np.where(history.trained, history.scores, 0.0).sum(axis=(1, 2), dtype=np.float64)
    means = total / np.maximum(trainings, 1) * (1 if history.maximize else -1)
    return np.where(np.isfinite(means) & (trainings > 0), means, -np.inf)


def alive(history: History) -> np.ndarray:
    """``(settings,)``, those in the race of which no training has diverged; where all have, one of them."""
    found = history.kept & np.isfinite(merits(history))
    # One is enough to say so.
    return found if found.any() else history.kept & (np.cumsum(history.kept) == 1)


def rounds_at(shape: Shape, epochs: int, rungs: Sequence[int]) -> list[Round]:
    """All settings with all folds and seeds to each rung, and to the study's epochs."""
    if rungs and rungs[-1] > epochs:
        raise ValueError(f"a race has a rung of {rungs[-1]} epochs, but the study has only {epochs}")
    ends = [*(rung for rung in rungs if rung < epochs), epochs]
    return [Round(end, np.ones(shape[1:], bool), np.full(shape[0], number == 0)) for number, end in enumerate(ends)]


def one_by_one(shape: Shape, epochs: int) -> list[Round]:
    """One training of each setting after another, for all epochs: the next fold, and after all folds the next seed."""
    settings, folds, seeds = shape
    order = np.arange(folds * seeds).reshape(seeds, folds).T
    return [Round(epochs, order == number, np.full(settings, number == 0)) for number in range(folds * seeds)]
