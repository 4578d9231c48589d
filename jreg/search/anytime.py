"""A race that may look after every training: settings are given up on evidence that stays valid."""

from __future__ import annotations

from functools import partial

import numpy as np

from jreg._base import checks
from jreg.search.race import History, Race, alive, merits, one_by_one
from jreg.statistics import betting_evalue, mcnemar_evalue


def anytime_elimination(alpha: float, *, clip: float | None = None) -> Race:
    r"""Drops settings whose networks are worse on the validation rows, by evidence that may be looked at after each.

    .. math:: \frac{1}{T (S - 1)} \sum_{t} \sum_{b} E_t(a, b) \ge \frac S\alpha

    where t are the trainings so far of T = folds x seeds planned ones, b the settings that are still in the race and
    ahead of a in the mean so far, S the settings of the study, and E the e-value of a's row losses against b's in one
    training: `jreg.statistics.mcnemar_evalue` of the rows that one of both gets wrong, where losses are 0 and 1, else
    `jreg.statistics.betting_evalue`, both against "a's are no larger". Each round trains the settings that are left for
    all epochs with the next fold, and after all folds with the next seed. One with a diverged training is dropped at
    once, the leader never.

    Call a setting unbeaten if in every planned training its network's expected loss on a new row is at most that of
    every other setting's network. **With probability at least 1 - alpha the race gives up no unbeaten setting**:

    - Given its training rows, a fold's validation rows are new and independent (in a stratified fold with its shares of
      classes), so that E has expectation at most 1 if a's network is no worse than b's. Folds share training rows and
      seeds share validation rows, so evidence of several trainings must not be multiplied; the mean of e-values is an
      e-value however they depend on each other.
    - It is the mean over the *planned* trainings. A training's E is fixed when it ends and none is negative, so the sum
      so far never exceeds the one that the whole study would end with, and looking early costs nothing. A mean over the
      trainings so far could exceed it, and would not be valid at every look.
    - The mean is taken over all S - 1 rivals too, so the data may choose who leads: counting only those that are ahead,
      or still in the race, leaves terms out. By Markov's inequality an unbeaten setting reaches S / alpha with
      probability at most alpha / S, and there are at most S of them.

    What it doesn't promise: it is about the risk of these trained networks, not about how a setting would do on other
    training sets, and a setting that is best in the mean but beaten in one training isn't unbeaten. Early stopping on
    the validation rows themselves makes them no longer new. Where rows come in groups, such as patients, a group's sum
    stands for a row; row weights and the sizes of groups count as known, and losses are divided by the largest.

    Args:
      alpha: above 0 and at most 0.5.
      clip: what a row's loss (or its score, where higher is better) is cut to from above, as log losses and squared
        errors have no bound, and from below to 0; the promise is then about the cut losses. Default: nothing is cut,
        and the study's score must lie in [0, 1] for each row, as an accuracy does.

    Returns:
      A `Race` for studies whose score is a mean over rows.

    Raises:
      ValueError: a number is out of range; while the study runs also if a row's score is outside [0, 1] without `clip`.

    >>> right = np.array([[1.0] * 90 + [0.0] * 10, [1.0] * 88 + [0.0] * 12, [1.0] * 40 + [0.0] * 60])
    >>> scores = np.full((3, 5, 1), np.nan)
    >>> scores[:, 0, 0] = right.mean(axis=1)
    >>> trained = np.isfinite(scores)
    >>> history = History(scores, scores[..., None], trained, np.ones(3, bool), 0, 1, True, 0.25, lambda *_: right)
    >>> anytime_elimination(alpha=0.05).pruner(history)
    array([ True,  True, False])

    Source: Vovk and Wang, E-values: calibration, combination and applications, Annals of Statistics 49 (2021);
    Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86 (2024).
    """
    if isinstance(alpha, bool) or not isinstance(alpha, int | float | np.number) or not 0 < alpha <= 0.5:
        raise ValueError(f"anytime_elimination's alpha is {alpha!r}, but must be above 0 and at most 0.5")
    if clip is not None:
        checks.positive(clip, "anytime_elimination's clip")
    return Race(partial(_eliminate, alpha=alpha, clip=clip), one_by_one, needs_rows=True)


def _eliminate(history: History, alpha: float, clip: float | None) -> np.ndarray:
    keep = alive(history)
    chosen = np.flatnonzero(keep)
    if history.rows is None:
        raise ValueError("anytime_elimination needs the scores of validation rows: History.rows is None")
    if len(chosen) < 2:
        return keep
    evidence = np.zeros((len(chosen), len(chosen)))
    for fold, seed in np.argwhere(history.trained[keep].all(axis=0)).tolist():
        losses = _losses(history.rows(fold, seed)[chosen], history.maximize, clip)
        evidence += _against_each_other(losses, clip or 1.0)
    settings, planned = len(history.kept), history.trained[0].size
    merit = merits(history)[chosen]
    total = np.where(merit > merit[:, None], evidence, 0.0).sum(axis=1)
    keep[chosen] = total < settings / alpha * planned * (settings - 1)
    return keep


def _losses(scores: np.ndarray, maximize: bool, clip: float | None) -> np.ndarray:
    """Row scores as losses between 0 and the bound; NaN, which a diverged network leaves, is the worst."""
    bound = clip or 1.0
    scores = np.where(np.isnan(scores), 0.0 if maximize else bound, scores)
    outside = (scores < 0) | (scores > bound)
    if clip is None and outside.any():
        raise ValueError(
            f"a validation row has the score {scores[outside][0]:g}, but without clip all must lie in [0, 1]: rank by "
            "an accuracy, or give anytime_elimination(alpha, clip=...), to which larger losses are cut"
        )
    scores = np.clip(scores, 0.0, bound)
    return bound - scores if maximize else scores


def _against_each_other(losses: np.ndarray, bound: float) -> np.ndarray:
    """``(settings, settings)``, the evidence that the first has larger losses than the second."""
    if ((losses == 0) | (losses == bound)).all():
        wrong = losses / bound
        worse = wrong @ (1 - wrong).T
        return mcnemar_evalue(worse, worse.T, alternative="greater")
    return np.stack([betting_evalue(own - losses, bound) for own in losses])
