"""What a person should look at before trusting a study: remarks with codes, computed from its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jreg._base.names import listed
from jreg.recipe import describe
from jreg.results import selection
from jreg.training import Status

if TYPE_CHECKING:
    from jreg.results.results import Results

# A study of settings between which no fold stands out gets J102 with at most this probability.
_CHANCE = 0.01
_FEWEST_ROWS = 30


class Check(NamedTuple):
    """A remark on a study.

    Attributes:
      code: of its kind, such as ``"J101"``; docs/statistics.md lists them.
      sentence: what was found and what may help.
      where: what it is about: a hyperparameter, folds or settings.
    """

    code: str
    sentence: str
    where: str


Found = Iterator[tuple[str, str]]


def check(results: Results, silence: Iterable[str] = ()) -> list[Check]:
    """The remarks on a study, in the order of their codes.

    Args:
      results: of the study.
      silence: codes that are left out, such as ``["J101"]``.

    Raises:
      ValueError: there is no such code.
    """
    silent = {silence} if isinstance(silence, str) else set(silence)
    if unknown := sorted(map(str, silent - set(_CHECKS))):
        raise ValueError(f"silence names {unknown[0]!r}, but the codes are {listed(_CHECKS)}")
    return [
        Check(code, sentence, where)
        for code, find in _CHECKS.items()
        if code not in silent
        for sentence, where in find(results)
    ]


def _at_the_edge(results: Results) -> Found:
    """J101: the best value lies at an end of its axis."""
    if not results.finished:
        return
    space, best = results.spec.space, results.best.number
    equal = selection.tied(results) or {best}
    for name, values in space.axes.items():
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            continue
        tried = sorted(set(values))
        value = space.settings[best][name]
        # Nothing lies beyond "none", and of two values each is an end.
        if len(tried) < 3 or value == 0 or np.isinf(value):
            continue
        if any(space.settings[number][name] not in (tried[0], tried[-1]) for number in equal):
            continue
        if value in (tried[0], tried[-1]):
            end, beyond = ("smallest", "smaller") if value == tried[0] else ("largest", "larger")
            tale = f"the best setting has the {end} {name} that was tried, {describe({name: value})}"
            yield f"{tale}: a {beyond} one may be better", name


def _folds_disagree(results: Results) -> Found:
    r"""J102: in some fold another setting beats the best one by more than chance explains.

    Grubbs' test of the largest of a setting's K differences to the best one, with a Bonferroni correction for all folds
    and settings: so of settings whose differences are independent and normal with equal variances over the folds, at
    most one study in a hundred gets it. Scores that come in steps have fewer different differences than that supposes,
    so the smallest step within a fold is added to the standard deviation; and the deviation is at least that of all
    settings together.
    """
    from scipy.stats import t

    scores, folds = results.scores, results.shape[1]
    whole = np.isfinite(scores).all(axis=(1, 2))
    if not results.finished or folds < 3 or whole.sum() < 2:
        return
    best, others = results.best.number, np.flatnonzero(whole)
    others = others[others != best]
    ahead = (scores[others] - scores[best]).mean(axis=2) * (1 if results.maximize else -1)
    spread = ahead.std(axis=1, ddof=1)
    steps = np.diff(np.sort(scores[whole].swapaxes(0, 1).reshape(folds, -1), axis=1), axis=1)
    step = steps[steps > 0].min() if (steps > 0).any() else 0.0
    spread = np.maximum(spread, np.sqrt((spread**2).mean())) + step
    beyond = (ahead - ahead.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, np.inf)[:, None]
    left = (folds - 1) ** 2 - folds * beyond**2
    statistic = beyond * np.sqrt(folds * (folds - 2) / np.maximum(left, 1e-12))
    p = np.where(ahead > 0, t.sf(statistic, folds - 2), 1.0) * ahead.size
    numbers = results.spec.numbered()
    for fold in np.flatnonzero(p.min(axis=0) <= _CHANCE):
        winner = np.argmin(p[:, fold])
        named = describe(results.spec.settings[others[winner]])
        yield (
            f"fold {numbers[fold].number} disagrees with the others: there {named} is better than the best setting by "
            f"{ahead[winner, fold]:.3g}, and on average worse by {-ahead[winner].mean():.3g}: look at that fold's rows",
            f"fold {numbers[fold].number}",
        )


def _ended(status: Status) -> Callable[[Results], Found]:
    """J103, J104: trainings that ended in an error."""

    def find(results: Results) -> Found:
        ended = results.status == status
        if not ended.any():
            return
        score, counted = results.spec.score.label, results.spec.score_of_errors
        then = f"they count with {score} {counted:g}" if np.isfinite(counted) else "their settings rank last"
        settings = np.flatnonzero(ended.any(axis=(1, 2))).tolist()
        yield (
            f"{int(ended.sum())} of {ended.size} trainings {status.word}; {then}",
            f"setting{'' if len(settings) == 1 else 's'} {listed(settings)}",
        )

    return find


def _ties(results: Results) -> Found:
    """J105: several settings have the best mean."""
    if results.finished and (tied := selection.tied(results)):
        yield (
            f"{len(tied)} settings have the best mean; the first of them in the space counts as best",
            f"settings {listed(sorted(tied))}",
        )


def _too_few_epochs(results: Results) -> Found:
    """J106: trainings of the best setting that early stopping never stopped, best in their last epoch.

    Without early stopping every training is scored in its last epoch, and how many there are is part of the recipe.
    """
    if not results.finished or results.spec.stopping is None:
        return
    best, epochs = results.best, results.spec.epochs
    last = int((best.best_epochs == epochs - 1).sum())
    if 2 * last > best.epochs.size:
        tale = f"{last} of {best.epochs.size} trainings of the best setting were at their best in their last epoch"
        yield f"{tale}, number {epochs}: more epochs may be better", f"setting {best.number}"


def _few_rows(results: Results) -> Found:
    """J107: a fold is scored on few rows."""
    rows = {fold.number: len(fold.validation) for fold in results.spec.numbered()}
    few = [number for number, count in rows.items() if count < _FEWEST_ROWS]
    if few:
        tale = f"{len(few)} of {len(rows)} folds have fewer than {_FEWEST_ROWS} rows to score on, down to"
        yield (
            f"{tale} {min(rows.values())}: fewer folds, or repeats of them, make means steadier",
            f"fold{'' if len(few) == 1 else 's'} {listed(few)}",
        )


_CHECKS: dict[str, Callable[[Results], Found]] = {
    "J101": _at_the_edge,
    "J102": _folds_disagree,
    "J103": _ended(Status.DIVERGED),
    "J104": _ended(Status.FAILED),
    "J105": _ties,
    "J106": _too_few_epochs,
    "J107": _few_rows,
}
