"""A race by a rule of thumb: nobody goes on who is behind the leader's worst fold."""

from __future__ import annotations

from functools import partial

import numpy as np

from jreg._base import checks
from jreg.search.race import History, Race, Round, Shape, alive, merits, one_by_one


def forgiving_elimination(least: int = 2) -> Race:
    r"""Drops settings whose mean so far is below the worst fold of the best one.

    .. math:: \bar s_a < \min_k s_{b,k}, \qquad b = \arg\max \bar s

    where the means are over the trainings so far, and :math:`s_{b,k}` is the score of fold k, averaged over the seeds
    so far. Each round trains the settings that are left for all epochs with the next fold, and after all folds with the
    next seed. One with a diverged training is dropped at once, the leader never. The rule has no level: it is lenient
    where folds are noisy, and hasty where few of them have been trained.

    In the paper settings come one after the other and are compared with the best that was evaluated on all folds; here
    they run side by side and are compared with the best so far, whose worst fold may still come. Its "aggressive" rule,
    below the incumbent's mean, would leave one setting here.

    Args:
      least: trainings of each setting before the first decision, at least 1; of one training alone the worst is the
        mean, so that all but the best would be dropped.

    Returns:
      A `Race`; its rounds raise ValueError when `least` leaves nothing to save.

    Raises:
      ValueError, TypeError: `least` is out of range or not whole.

    >>> scores = np.array([[0.90, 0.80, 0.91], [0.82, 0.83, 0.81], [0.75, 0.79, 0.78]])[:, :, None]
    >>> history = History(scores, scores[..., None], scores > 0, np.ones(3, bool), 2, 1, True, 0.5)
    >>> forgiving_elimination().pruner(history)
    array([ True,  True, False])

    Source: Bergman, Purucker and Hutter, Don't waste your time: early stopping cross-validation, AutoML (2024), the
    rule "forgiving".
    """
    checks.count(least, "forgiving_elimination's least")
    return Race(partial(_forgive, least=least), partial(_rounds, least=least))


def _rounds(shape: Shape, epochs: int, least: int) -> list[Round]:
    if least >= shape[1] * shape[2]:
        allowed = f"below {shape[1] * shape[2]}, the study's folds x seeds"
        raise ValueError(f"forgiving_elimination's least is {least}, but must be {allowed}")
    return one_by_one(shape, epochs)


def _forgive(history: History, least: int) -> np.ndarray:
    keep = alive(history)
    pairs = history.trained[keep].all(axis=0)
    if pairs.sum() < least or keep.sum() < 2:
        return keep
    merit = np.where(keep, merits(history), -np.inf)
    best, folds = int(np.argmax(merit)), pairs.any(axis=1)
    scores = np.where(pairs, history.scores[best], 0.0)[folds].sum(axis=1, dtype=np.float64) / pairs[folds].sum(axis=1)
    keep &= merit >= np.min(scores if history.maximize else -scores)
    keep[best] = True
    return keep
