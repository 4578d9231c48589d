"""Which picture of its scores a study gets."""

from __future__ import annotations

import math
from typing import Any, Literal

from jreg.report.canvas import Scored
from jreg.report.heatmap import heatmap
from jreg.report.lines import MOST_LINES, lines
from jreg.report.points import points
from jreg.report.ranked import dots
from jreg.report.scales import is_numeric
from jreg.search.space import Space

_LEAST_SIDE = 3


def scores(scored: Scored) -> Any:
    """The picture that shows these scores best.

    Args:
      scored: what is shown.

    Returns:
      A matplotlib Figure.
    """
    kind, names = kind_of(scored.space)
    if kind == "heatmap":
        return heatmap(scored, *names)
    if kind == "lines":
        return lines(scored, *names)
    return points(scored, list(names)) if kind == "points" else dots(scored)


def kind_of(space: Space) -> tuple[Literal["lines", "heatmap", "points", "dots"], tuple[str, ...]]:
    """How the scores of a space are drawn, and the hyperparameters along the picture's axes.

    - A heatmap for a grid of two traced hyperparameters with three values or more each.
    - Lines for any other grid with a traced hyperparameter, along the one with the most values.
    - Points where the settings are no grid: a panel for each traced hyperparameter.
    - Ranked dots where there is nothing to draw along, such as names, or too few values for too many lines.

    >>> from jreg.search import grid
    >>> kind_of(grid(l2=[0.0, 0.1, 1.0], dropout=[0.0, 0.2, 0.5]))
    ('heatmap', ('l2', 'dropout'))
    >>> kind_of(grid(l2=[0.0, 0.1, 1.0], dropout=[0.0, 0.5]))
    ('lines', ('l2',))
    >>> kind_of(grid(activation=["relu", "tanh"], width=[32, 64]))
    ('dots', ())
    """
    varied = [name for name, values in space.axes.items() if len(values) > 1]
    swept = [name for name in varied if name in space.traced]
    if not swept and len(varied) == 1 and is_numeric(space.axes[varied[0]]):
        swept = varied
    if not swept:
        return "dots", ()
    if len(varied) > 1 and len(space.settings) != math.prod(map(len, space.axes.values())):
        return "points", tuple(swept)
    longest, *others = sorted(swept, key=lambda name: -len(space.axes[name]))
    sides = [len(space.axes[name]) for name in varied]
    if len(varied) == 2 and others and min(sides) >= _LEAST_SIDE:
        return "heatmap", (longest, *others)
    if len(space.axes[longest]) < _LEAST_SIDE and len(space.settings) > MOST_LINES * len(space.axes[longest]):
        return "dots", ()
    return "lines", (longest,)
