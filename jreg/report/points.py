"""Scores of settings that are no grid, a panel for each hyperparameter."""

from __future__ import annotations

import math
from typing import Any

from jreg.recipe import describe
from jreg.report.canvas import BAND, COLOURS, Scored, canvas, distinct, legend, mark, near_best, plain, style
from jreg.report.scales import scale_of

_MOST_COLUMNS = 3


def points(scored: Scored, names: list[str]) -> Any:
    """Mean scores with error bars of one standard error against each of some hyperparameters.

    What else differs between settings has a colour and a marker, as far as there are enough of them.
    """
    rows = math.ceil(len(names) / _MOST_COLUMNS)
    columns = math.ceil(len(names) / rows)
    figure, grid = canvas(max(6.5, 3.6 * columns + 1), 3.2 * rows + 1.3, rows, columns)
    parts = _parts(scored, names)
    labels = distinct([plain(name, 40) for name in parts])
    for axes, name in zip(grid.flat, names, strict=False):
        scale = scale_of(scored.space, name)
        scale.apply(axes)
        places = [scale.at[float(setting[name])] for setting in scored.space.settings]
        if (band := near_best(scored)) is not None:
            axes.axhspan(*band, **BAND)
        for place, (label, numbers) in enumerate(zip(labels, parts.values(), strict=True)):
            drawn = {**style(place), "ls": "none", "ms": 4, "capsize": 2, "elinewidth": 0.6, "alpha": 0.8, "zorder": 3}
            at = [places[number] for number in numbers]
            axes.errorbar(at, scored.means[numbers], scored.errors[numbers], label=label, **drawn)
        mark(axes, {n: (at, scored.means[n]) for n, at in enumerate(places)}, scored.marks)
        axes.set_ylabel(plain(scored.score, 40))
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(names) :]:
        axes.remove()
    figure.suptitle(scored.heading(f"{scored.axis}, {scored.drawn}"), fontsize="medium")
    legend(figure, grid[0])
    return figure


def _parts(scored: Scored, names: list[str]) -> dict[str, list[int]]:
    """The settings' numbers by what else differs in them, as far as there are colours for."""
    parts: dict[str, list[int]] = {}
    for number, setting in enumerate(scored.space.settings):
        others = {name: setting[name] for name in scored.varied() if name not in names}
        parts.setdefault(describe(others) or "a setting", []).append(number)
    return parts if len(parts) <= len(COLOURS) else {"a setting": list(range(len(scored.space.settings)))}
