"""Scores along one hyperparameter, a line for each combination of the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from jreg.recipe import describe
from jreg.report.canvas import BAND, COLOURS, QUIET, Scored, canvas, distinct, legend, mark, near_best, plain, style
from jreg.report.scales import scale_of

MOST_LINES = len(COLOURS)


def groups(scored: Scored, along: str) -> dict[str, list[int]]:
    """The settings' numbers by the combination of the other hyperparameters, in words."""
    found: dict[str, list[int]] = {}
    for number, setting in enumerate(scored.space.settings):
        others = {name: setting[name] for name in scored.varied() if name != along}
        found.setdefault(describe(others), []).append(number)
    return found


def lines(scored: Scored, along: str) -> Any:
    """Mean scores with error bars of one standard error along a hyperparameter.

    At most eight lines have colours, error bars and a name: those of marked settings, and then those with the best
    scores. The others are drawn in grey.
    """
    scale = scale_of(scored.space, along)
    found = groups(scored, along)
    rank = {number: place for place, number in enumerate(scored.order)}
    marked = set(scored.marks.values())
    names = sorted(found, key=lambda name: (marked.isdisjoint(found[name]), min(rank[n] for n in found[name])))
    shown = names[:MOST_LINES]
    labels = distinct([plain(name, 48) for name in shown])
    figure, grid = canvas(8 + 0.075 * max(26, *map(len, labels)), 5)
    axes = grid[0, 0]
    scale.apply(axes)
    if (band := near_best(scored)) is not None:
        axes.axhspan(*band, **BAND)
    for name in names[MOST_LINES:]:
        numbers = _along(scored, found[name], along)
        places = [scale.at[scored.space.settings[number][along]] for number in numbers]
        (line,) = axes.plot(places, scored.means[numbers], color=QUIET, lw=0.8, marker=".", ms=3, zorder=1)
        if name == names[MOST_LINES]:
            line.set_label(f"{len(names) - MOST_LINES} more combinations")
    for place, (name, label) in enumerate(zip(shown, labels, strict=True)):
        numbers = _along(scored, found[name], along)
        places = scale.beside(axes, place, len(shown))
        at = [places[scored.space.settings[number][along]] for number in numbers]
        bars = {"capsize": 3, "elinewidth": 1, "ms": 5, "zorder": 3, "label": label or "mean"}
        axes.errorbar(at, scored.means[numbers], scored.errors[numbers], **bars, **style(place))
        mark(axes, {n: (x, scored.means[n]) for n, x in zip(numbers, at, strict=True)}, scored.marks)
        for number, x in zip(numbers, at, strict=True):
            if not np.isfinite(scored.means[number]):
                lost = {"marker": "x", "color": COLOURS[place], "ls": "none", "clip_on": False}
                axes.plot(x, 0.02, transform=axes.get_xaxis_transform(), label="no score", **lost)
    axes.set_ylabel(scored.axis)
    figure.suptitle(scored.heading(scored.drawn), fontsize="medium")
    axes.grid(alpha=0.3)
    legend(figure, [axes], "outside right upper", ncols=1)
    return figure


def _along(scored: Scored, numbers: list[int], along: str) -> list[int]:
    return sorted(numbers, key=lambda number: scored.space.settings[number][along])
