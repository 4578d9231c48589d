"""What a race would have done with a study that is complete, without training anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jreg.data import Dataset
from jreg.results import Results
from jreg.search.race import History, Race
from jreg.study.row_scores import NAME, row_scores
from jreg.training import Status


class Replay(NamedTuple):
    """What a race would have left.

    Attributes:
      kept: ``(settings,)``, whether the setting would have reached the end.
      reached: ``(settings, folds, seeds)``, the epochs to which each training would have been trained.
      epochs: how many epochs would have been trained in all; of a race with rungs more than `reached` adds up to, since
        a setting that goes on starts again.
      scores: ``(settings, folds, seeds)``, the study's own, NaN for what would not have been trained to its end.
    """

    kept: np.ndarray
    reached: np.ndarray
    epochs: int
    scores: np.ndarray


def replay(results: Results, race: Race, folds: Sequence[int] | None = None, data: Dataset | None = None) -> Replay:
    """Runs the rule of a race on the scores that a study without a race has stored.

    Args:
      results: of a study in which every setting was trained, such as ``study.results`` or what `jreg.load_results`
        reads; for a race that compares rows one that keeps `jreg.keep.RowScores`.
      race: any race.
      folds: the places of the folds in the order in which the race meets them; default: as they are.
      data: for a race that compares rows where these have weights or groups.

    Returns:
      A `Replay`; on the CPU with one training per batch the race itself would have come to the same.

    Raises:
      ValueError: a training is missing or was given up, the order isn't one of all folds, a race trains to a rung in a
        study with early stopping, or it compares rows and the study doesn't have their scores.
    """
    shape = results.shape
    order = np.arange(shape[1]) if folds is None else np.asarray(folds)
    if sorted(order.tolist()) != list(range(shape[1])):
        raise ValueError(f"the order of the folds is {order.tolist()}, but must have each of 0 to {shape[1] - 1} once")
    if not np.isin(results.status, (Status.COMPLETED, Status.STOPPED, Status.DIVERGED)).all():
        raise ValueError("a race is replayed on a complete study, but some trainings are missing or were given up")
    rounds = race.rounds(shape, results.spec.epochs)
    if results.spec.stopping is not None and any(round_.epochs < results.spec.epochs for round_ in rounds):
        raise ValueError("a race that trains to rungs can't be replayed on a study with early stopping")
    if race.needs_rows and NAME not in next(iter(results)).kept:
        raise ValueError("this race compares rows: train the study with keep=[jreg.keep.RowScores(column, task)]")
    ended, reached, spent = results.epochs[:, order], np.zeros(shape, np.int64), 0
    kept = np.zeros(shape[0], bool)
    for number, round_ in enumerate(rounds):
        kept = kept | round_.joins
        trains = kept[:, None, None] & round_.trainings & (reached < np.minimum(round_.epochs, ended))
        reached[trains] = np.minimum(round_.epochs, ended)[trains]
        spent += int(reached[trains].sum())
        if number < len(rounds) - 1:
            history = _history(results, race, order, reached, kept, data)
            kept = kept & race.pruner(history._replace(round=number, epochs=round_.epochs))
    reached = reached[:, np.argsort(order)]
    return Replay(kept, reached, spent, np.where(reached == results.epochs, results.scores, np.nan))


def _history(
    results: Results, race: Race, order: np.ndarray, reached: np.ndarray, kept: np.ndarray, data: Dataset | None
) -> History:
    """What the pruner would be shown."""
    spec = results.spec
    curves = results.curve(spec.score.label)[:, order]
    run = np.arange(spec.epochs) < reached[..., None]
    whole = reached == results.epochs[:, order]
    last = np.take_along_axis(curves, np.maximum(reached - 1, 0)[..., None], axis=-1)[..., 0].astype(np.float64)
    scores = np.where(whole, results.scores[:, order], np.where(reached > 0, last, np.nan))

    def rows(fold: int, seed: int) -> np.ndarray:
        return row_scores(results, data, int(order[fold]), seed)

    share = float(np.mean([len(fold.validation) / len(fold.train) for fold in spec.numbered()]))
    shown = np.where(run, curves, np.nan)
    found = History(scores, shown, reached > 0, kept.copy(), 0, spec.epochs, results.maximize, share)
    return found._replace(rows=rows if race.needs_rows else None)
