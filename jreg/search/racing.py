"""When a study gives settings up: rules that receive the scores after each round and say which settings go on."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Literal

import numpy as np

from jreg import statistics
from jreg._base import checks
from jreg.search.race import History, Race, Round, Shape, merits, one_by_one, rounds_at


def successive_halving(least: int | Literal["exhaust"], factor: int = 3) -> Race:
    r"""The best 1 in `factor` settings go on, and are trained `factor` times as long.

    .. math:: r_k = r_0 \eta^k, \qquad n_{k+1} = \lceil n_k / \eta \rceil

    where n_k settings are trained to r_k epochs, r_0 = `least` and :math:`\eta` = `factor`. They rank by their mean
    score over folds and seeds, diverged ones last; ties go to the one ahead at the rung before, then to the later
    one in the space. Rungs and survivors are those of scikit-learn's ``HalvingGridSearchCV`` with epochs as its
    resource: :math:`1 + \lfloor \log_\eta n_0 \rfloor` rungs, fewer if the next would pass the study's epochs R.
    Where that class stops below R, here the last rung's winner goes on to R if a further rung would have fitted;
    else, or with one setting left, that rung is moved up to R. (Its logarithm of 243 to the base 3 is 4, here 5.)

    Args:
      least: r_0, at least 1 and at most R, or ``"exhaust"``: such that the last rung comes close to R.
      factor: at least 2.

    Returns:
      A `Race`; its rounds raise ValueError when `least` is above R.

    Raises:
      ValueError, TypeError: a number is out of range or not whole.

    >>> [step.epochs for step in successive_halving(least=3).rounds((9, 5, 1), 30)]
    [3, 9, 30]

    Source: Jamieson and Talwalkar, Non-stochastic best arm identification, AISTATS (2016); scikit-learn's class.
    """
    if least != "exhaust":
        checks.count(least, "successive_halving's least")
    checks.count(factor, "successive_halving's factor", least=2)
    return Race(partial(_halve, factor=factor), partial(_halving_rounds, least=least, factor=factor))


def hyperband(least: int, factor: int = 3, *, seed: int) -> Race:
    r"""Successive halving in brackets that begin at different rungs, in case early scores mislead.

    .. math:: s_{\max} = \lfloor \log_\eta (R / r) \rfloor, \qquad
       n_s \propto \Big\lceil \frac{s_{\max} + 1}{s + 1} \eta^s \Big\rceil, \qquad
       n_{s,i} = \max(1, \lfloor n_s \eta^{-i} \rfloor), \qquad r_{s,i} = \lfloor R \, \eta^{i - s} \rfloor

    with R the study's epochs, r = `least` and :math:`\eta` = `factor`: bracket s begins with n_s settings at
    r_{s,0} epochs, and n_{s,i} of them reach r_{s,i}. The study's settings are dealt to the brackets at random (the
    paper draws as many as those ask for), with sizes rounded by largest remainders. They rank by their mean score,
    those with a diverged training last; ties go to the later one in the space.

    Args:
      least: r, at least 1 and at most R.
      factor: at least 2.
      seed: deals settings to brackets, at least 0.

    Returns:
      A `Race`; its rounds raise ValueError when `least` is above R.

    Raises:
      ValueError, TypeError: a number is out of range or not whole.

    >>> rounds = hyperband(least=1, seed=0).rounds((143, 5, 1), 81)
    >>> [(step.epochs, int(step.joins.sum())) for step in rounds]
    [(1, 81), (3, 34), (9, 15), (27, 8), (81, 5)]

    Source: Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, Hyperband, JMLR 18 (2018), algorithm 1 and table 1.
    """
    checks.count(least, "hyperband's least")
    checks.count(factor, "hyperband's factor", least=2)
    checks.count(seed, "hyperband's seed", least=0)
    numbers = {"least": least, "factor": factor, "seed": seed}
    return Race(partial(_halve_brackets, **numbers), partial(_hyperband_rounds, **numbers))


def paired_elimination(alpha: float, least: int = 2) -> Race:
    r"""Drops settings that are significantly worse than the best, one training of each setting after another.

    .. math:: t = \frac{\bar d}{\sqrt{\left(\frac1J + \frac{n_2}{n_1}\right) \hat\sigma^2_d}} > t_{J-1,\,1-\alpha}

    where d are the differences to the setting with the best mean so far; `jreg.statistics.corrected_t`, which makes the
    tests, says the rest. Each round trains the settings that are left for all epochs with the next fold, and after all
    folds with the next seed. One with a diverged training is dropped at once, one whose differences are all equal if it
    is worse, the best never. A race makes many tests of level `alpha` against the best of many settings, so it drops a
    setting that is as good more often. Coarse scores may differ equally by chance: take a larger `least` then.

    Args:
      alpha: the level of each one-sided test, above 0 and at most 0.5.
      least: trainings of each setting before the first test, at least 2, and below the study's folds times seeds.

    Returns:
      A `Race`; its rounds raise ValueError when `least` leaves nothing to save.

    Raises:
      ValueError, TypeError: a number is out of range, or `least` is not whole.

    >>> scores = np.array([[0.90, 0.92, 0.91], [0.80, 0.83, 0.81], [0.91, 0.90, 0.92]])[:, :, None]
    >>> history = History(scores, scores[..., None], scores > 0, np.ones(3, bool), 2, 1, True, 0.5)
    >>> paired_elimination(alpha=0.01).pruner(history)
    array([ True, False,  True])

    Source: Maron and Moore, The racing algorithm, Artificial Intelligence Review 11 (1997); Nadeau and Bengio,
    Inference for the generalization error, Machine Learning 52 (2003), section 3.
    """
    if not 0 < alpha <= 0.5:
        raise ValueError(f"paired_elimination's alpha is {alpha}, but must be above 0 and at most 0.5")
    checks.count(least, "paired_elimination's least", least=2)
    return Race(partial(_eliminate, alpha=alpha, least=least), partial(_paired_rounds, least=least))


def _halving_rounds(shape: Shape, epochs: int, least: int | Literal["exhaust"], factor: int) -> list[Round]:
    required = 1 + _powers(1, shape[0], factor)
    first = max(1, epochs // factor ** (required - 1)) if isinstance(least, str) else least
    possible = 1 + _powers(first, epochs, factor)
    rungs = [first * factor**power for power in range(min(required, possible))]
    further = required < possible and shape[0] > factor ** (required - 1)
    return rounds_at(shape, epochs, rungs if further else rungs[:-1])


def _halve(history: History, factor: int) -> np.ndarray:
    # The rungs so far are exact multiples of each other; their means settle ties, as scikit-learn's order does.
    rungs = [history.epochs // factor**back for back in range(history.round, 0, -1)]
    earlier = [merits(history._replace(scores=history.curves[..., rung - 1])) for rung in rungs]
    return _best(history, history.kept, -(-int(history.kept.sum()) // factor), *earlier)


def _hyperband_rounds(shape: Shape, epochs: int, least: int, factor: int, seed: int) -> list[Round]:
    bracket, sizes = _deal(shape[0], epochs, least, factor, seed)
    return [Round(epochs // factor**s, np.ones(shape[1:], bool), bracket == s) for s in range(len(sizes))[::-1]]


def _halve_brackets(history: History, least: int, factor: int, seed: int) -> np.ndarray:
    bracket, sizes = _deal(len(history.kept), history.curves.shape[-1], least, factor, seed)
    latest = len(sizes) - 1 - history.round  # the bracket that began with this round
    numbers = {s: max(1, sizes[s] // factor ** (s - latest + 1)) for s in range(latest, len(sizes))}
    return np.any([_best(history, history.kept & (bracket == s), numbers[s]) for s in numbers], axis=0)


def _deal(settings: int, epochs: int, least: int, factor: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each setting's bracket, and the brackets' sizes from s = 0 on."""
    top = _powers(least, epochs, factor)
    shares = [-(-(top + 1) * factor**s // (s + 1)) for s in range(top + 1)]
    sizes, remainders = np.divmod(settings * np.array(shares), sum(shares))
    sizes[np.argsort(remainders, kind="stable")[top + 1 - (settings - sizes.sum()) :]] += 1
    bracket = np.empty(settings, int)
    bracket[np.random.default_rng(seed).permutation(settings)] = np.repeat(np.arange(top + 1), sizes)
    return bracket, sizes


def _paired_rounds(shape: Shape, epochs: int, least: int) -> list[Round]:
    pairs = shape[1] * shape[2]
    if least >= pairs or shape[1] < 2:
        allowed = f"below {pairs}, the study's folds x seeds, of 2 folds or more"
        raise ValueError(f"paired_elimination's least is {least}, but must be {allowed}")
    return one_by_one(shape, epochs)


def _eliminate(history: History, alpha: float, least: int) -> np.ndarray:
    from scipy.stats import t

    merit = np.where(history.kept, merits(history), -np.inf)
    best, keep = np.argmax(merit), np.isfinite(merit)
    if not keep.any():  # all diverged: one is enough to say so
        return history.kept & (np.cumsum(history.kept) == 1)
    pairs = history.trained[keep].all(axis=0)
    folds = pairs.any(axis=1)
    if pairs.sum() >= least and folds.sum() > 1:
        scores = np.where(pairs, history.scores, 0).sum(axis=2)[:, folds] / pairs.sum(axis=1)[folds]
        worse = (scores[best] - scores[keep]) * (1 if history.maximize else -1)
        found = statistics.corrected_t(worse[..., None], history.test_share)
        keep[keep] = ~(found.mean > t.isf(alpha, found.degrees) * found.error)
    return keep


def _best(history: History, among: np.ndarray, number: int, *earlier: np.ndarray) -> np.ndarray:
    """The best settings of `among`, at most `number`; ties go to those ahead in the last of `earlier`, and so on."""
    order = np.lexsort((*earlier, merits(history)))
    order = order[among[order]]
    return np.isin(np.arange(len(among)), order[max(0, len(order) - number) :])


def _powers(least: int, most: int, factor: int) -> int:
    """How often `least` can be multiplied by `factor` without passing `most`: a logarithm in whole numbers."""
    if least > most:
        raise ValueError(f"a race's least is {least} epochs, but the study has only {most}")
    return next(power for power in count() if least * factor ** (power + 1) > most)
