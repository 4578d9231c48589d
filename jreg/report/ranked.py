"""Settings in the order of their scores, a row each: the scores, and the differences to the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jreg import statistics
from jreg.recipe import describe
from jreg.report.canvas import BAND, COLOURS, Scored, canvas, legend, mark, near_best, plain

_MOST_ROWS = 40


def dots(scored: Scored) -> Any:
    """Mean scores with error bars of one standard error, from the best setting down."""
    chosen = _chosen(scored, scored.order)
    figure, axes = _rows(scored, chosen)
    if (band := near_best(scored)) is not None:
        axes.axvspan(*band, **BAND)
    rows = np.arange(len(chosen))
    bars = {"fmt": "o", "ms": 5, "capsize": 3, "elinewidth": 1, "color": COLOURS[0], "zorder": 3}
    axes.errorbar(scored.means[chosen], rows, xerr=scored.errors[chosen], **bars)
    mark(axes, {number: (scored.means[number], row) for row, number in enumerate(chosen)}, scored.marks)
    for row, number in enumerate(chosen):
        if not np.isfinite(scored.means[number]):
            axes.text(0.01, row, "no score", transform=axes.get_yaxis_transform(), va="center", fontsize="small")
    axes.set_xlabel(scored.axis)
    return _finished(figure, axes, scored, chosen, scored.drawn)


def differences(scored: Scored, by_pair: np.ndarray, pairs: str, repeats: np.ndarray | None = None) -> Any:
    """Differences to the best setting, pair by pair, with their mean and its 95% interval.

    Args:
      scored: what is shown.
      by_pair: ``(settings, pairs)``, scores that belong together, such as those of one fold.
      pairs: what a pair is, such as "fold".
      repeats: ``(pairs,)``, which repeat of a repeated k-fold each belongs to; default: there is one.

    Returns:
      A matplotlib Figure.
    """
    found = by_pair - by_pair[scored.marks["best"]]
    chosen = _chosen(scored, [number for number in scored.order if np.isfinite(found[number]).all()])
    means, widths = paired_interval(found[chosen], repeats)
    figure, axes = _rows(scored, chosen)
    axes.axvline(0, color="black", lw=0.8)
    for row, values in enumerate(found[chosen]):
        axes.plot(
            values,
            np.full(len(values), row),
            ls="none",
            marker="|",
            ms=7,
            color="#888888",
            zorder=2,
            label=f"one {pairs}" if row == 1 else None,
        )
    bars = {"ms": 6, "capsize": 3, "elinewidth": 1.2, "ls": "none", "mec": COLOURS[0], "color": COLOURS[0], "zorder": 3}
    apart = (np.abs(means) > widths) & np.isfinite(widths)
    rows = np.arange(len(chosen))
    for which, fill, label in ((apart, COLOURS[0], "interval without 0"), (~apart, "white", "interval with 0")):
        if which.any():
            named = label if np.isfinite(widths).any() else "mean"
            axes.errorbar(means[which], rows[which], xerr=widths[which], fmt="o", mfc=fill, label=named, **bars)
    mark(axes, {number: (means[row], row) for row, number in enumerate(chosen)}, scored.marks)
    axes.set_xlabel(f"{plain(scored.score, 40)} minus the best's in the same {pairs} ({_better(scored)})")
    count = by_pair.shape[1]
    drawn = f"mean difference to the best with its 95% interval over {count} {pairs}s"
    return _finished(figure, axes, scored, chosen, drawn if count > 1 else "difference to the best")


def _better(scored: Scored) -> str:
    return f"better to the {'right' if scored.maximize else 'left'}"


def paired_interval(found: np.ndarray, repeats: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    r"""Mean of differences, and half the width of its 95% interval by Student's t.

    .. math:: \bar d \pm t_{n-1,\,0.975} \sqrt{\frac{1}{n (n - 1)} \sum_i (d_i - \bar d)^2}

    Args:
      found: ``(settings, n)``, a difference for each pair.
      repeats: ``(n,)``, which repeat of a repeated k-fold each pair belongs to; the standard error is then that of
        `jreg.statistics.mean_and_standard_error`, and n in t is the number of folds of a repeat. Default: there is one.

    Returns:
      Two arrays ``(settings,)``; the width is NaN for one pair.
    """
    from scipy.stats import t

    count = found.shape[1]
    if count == 1:
        return found[:, 0], np.full(len(found), np.nan)
    if repeats is not None:
        means, errors = statistics.mean_and_standard_error(found[..., None], repeats)
        return means, t.ppf(0.975, np.bincount(repeats).min() - 1) * errors
    return found.mean(axis=1), t.ppf(0.975, count - 1) * found.std(axis=1, ddof=1) / np.sqrt(count)


def _chosen(scored: Scored, order: Sequence[int]) -> list[int]:
    """The first settings in an order and the marked ones, which are never left out."""
    marked = set(scored.marks.values())
    room = _MOST_ROWS - len(marked.intersection(order[_MOST_ROWS:]))
    return [number for place, number in enumerate(order) if place < room or number in marked]


def _rows(scored: Scored, chosen: Sequence[int]) -> tuple[Any, Any]:
    rank = {number: place for place, number in enumerate(scored.order, 1)}
    names = [describe({name: scored.space.settings[n][name] for name in scored.varied()}) for n in chosen]
    labels = [f"{plain(name, 56)}  {rank[n]}" for name, n in zip(names, chosen, strict=True)]
    figure, grid = canvas(7 + 0.07 * max(map(len, labels)), 1.8 + 0.24 * len(chosen))
    axes = grid[0, 0]
    axes.set_yticks(range(len(chosen)), labels, fontsize="small")
    axes.set_ylim(len(chosen) - 0.4, -0.6)
    return figure, axes


def _finished(figure: Any, axes: Any, scored: Scored, chosen: Sequence[int], drawn: str) -> Any:
    figure.suptitle(scored.heading(drawn, len(scored.order) - len(chosen)), fontsize="medium")
    axes.set_ylabel("setting and rank")
    axes.grid(alpha=0.3)
    legend(figure, [axes])
    return figure
