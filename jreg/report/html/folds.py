"""The winner and the runner-up, fold by fold."""

from __future__ import annotations

import numpy as np

from jreg.report.canvas import COLOURS
from jreg.report.html.charts import GRID, Picture, short
from jreg.report.html.markup import Section, figure, table
from jreg.report.html.view import View
from jreg.report.text import number
from jreg.results import compare

_MOST_TICKS = 12
# Beside each other, so that equal scores are both seen.
_ASIDE = 0.08


def folds(view: View) -> Section | None:
    """The scores of the two best settings on the same folds, with one fold on the same seeds."""
    results = view.results
    if not results.finished or len(view.spec.settings) < 2 or results.scores[0].size < 2:
        return None
    best, second = results.ranking[0], results.ranking[1]
    if not np.isfinite(second.scores).all():
        return None
    by_fold = results.shape[1] > 1
    a, b = (one.scores.mean(axis=1) if by_fold else one.scores[0] for one in (best, second))
    unit = "fold" if by_fold else "seed"
    names = [fold.number for fold in view.spec.numbered()] if by_fold else list(view.spec.seeds)
    ahead = (a - b) * (1 if results.maximize else -1)
    at = np.arange(len(names))
    picture = Picture(3.0)
    axes = picture.axes
    axes.plot([at - _ASIDE, at + _ASIDE], [a, b], color=GRID, lw=2, zorder=1)
    for scores, result, place, label in ((a, best, 0, "best"), (b, second, 1, "runner-up")):
        titles = [f"{label}, {unit} {n}: {number(s)}" for n, s in zip(names, scores, strict=True)]
        how = {"color": COLOURS[place], "marker": "os"[place], "label": label}
        picture.spots(at + (2 * place - 1) * _ASIDE, scores, titles, [result.number] * len(names), **how)
        axes.axhline(scores.mean(), color=COLOURS[place], lw=1, ls=("-", (0, (4, 2)))[place], zorder=2)
    step = max(1, -(-len(names) // _MOST_TICKS))
    axes.set_xticks(at[::step], [str(n) for n in names[::step]])
    axes.set_xlabel(unit)
    axes.set_ylabel(short(view.score, 32))
    picture.grid("y")
    picture.legend(2)
    wins, ties = int((ahead > 0).sum()), int((ahead == 0).sum())
    tied = f" and equals it in {ties}" if ties else ""
    caption = (
        f"The best setting, {view.setting(best.number)}, beats the runner-up, {view.setting(second.number)}, in {wins} "
        f"of {len(names)} {unit}s{tied}; the mean difference of {view.score} is {number(float((a - b).mean()))}"
    )
    if by_fold:
        found = compare(results, best, second)
        if np.isfinite(found.low):
            caption += f", 95% interval {number(found.low)} to {number(found.high)} (corrected resampled t)"
    caption += ". Lines are the means."
    rows = [(n, number(x), number(y), number(x - y)) for n, x, y in zip(names, a, b, strict=True)]
    data = table([unit, "best", "runner-up", "difference"], rows, f"{view.score} of both, {unit} by {unit}")
    chart = picture.svg("folds", f"{view.score} of the best setting and the runner-up by {unit}")
    return Section("folds", "Winner and runner-up", figure([chart], caption, data))
