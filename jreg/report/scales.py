"""Where the values of a hyperparameter lie along an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from jreg.report.canvas import plain
from jreg.report.text import text
from jreg.search.space import Space

_WIDE = 20
# What a float32 can hold; what is larger is drawn as infinity is, and what is smaller as 0.
_LARGEST, _SMALLEST = 3e38, 1e-45
_MOST_TICKS = 8
_LEAST_GAP = 0.08
_STEP = 0.012


class Scale(NamedTuple):
    """An axis for a hyperparameter.

    Attributes:
      name: the hyperparameter.
      at: the place of each value; infinity lies beyond the largest number.
      kind: "linear", "log" or "symlog".
      threshold: the number of a symlog axis below which it is linear, so that 0 has a place.
    """

    name: str
    at: dict[float, float]
    kind: str = "linear"
    threshold: float = 0.0

    def apply(self, axes: Any) -> None:
        """Makes the axis along the bottom of a panel one of this scale, with its ticks and its label."""
        if self.kind == "symlog":
            axes.set_xscale("symlog", linthresh=self.threshold)
            # Where 0 stands beside a logarithmic axis, that axis is broken.
            axes.text(self.threshold / 2, 0, "//", transform=axes.get_xaxis_transform(), ha="center", va="center")
        elif self.kind == "log":
            axes.set_xscale("log")
        places = np.sort(axes.xaxis.get_transform().transform(np.array([*self.at.values()])))
        readable = len(places) <= _MOST_TICKS and (np.diff(places) > _LEAST_GAP * np.ptp(places)).all()
        if readable:
            axes.set_xticks([*self.at.values()], [text(value).replace("inf", "∞") for value in self.at], minor=False)
            axes.set_xticks([], minor=True)
        infinite = not readable and not all(map(math.isfinite, self.at))
        axes.set_xlabel(plain(self.name) + (" (last place: infinity)" if infinite else ""))

    def beside(self, axes: Any, line: int, lines: int) -> dict[float, float]:
        """The place of each value for one of several lines, whose bars would hide each other at the same place."""
        transform = axes.xaxis.get_transform()
        there = transform.transform(np.array([*self.at.values()], float))
        room = min(_STEP * lines * (np.ptp(there) or 1.0), 0.6 * min(np.diff(np.sort(there)), default=np.inf))
        moved = transform.inverted().transform(there + room * ((line + 0.5) / lines - 0.5))
        return dict(zip(self.at, moved.tolist(), strict=True))


def scale_of(space: Space, name: str) -> Scale:
    """The scale for one of a space's numbers: logarithmic where the values spread widely or the space says so."""
    values = sorted({float(setting[name]) for setting in space.settings})
    finite = [value for value in values if abs(value) <= _LARGEST]
    positive = [value for value in finite if value > _SMALLEST]
    # Beside 0 the smaller of two values that are a decade apart is lost, too.
    least = 9.9 if finite[:1] == [0.0] else _WIDE
    wide = bool(positive) and finite[0] >= 0 and positive[-1] > least * positive[0]
    logarithmic = wide if space.logarithmic is None else name in space.logarithmic
    if not logarithmic or not positive:
        return Scale(name, _placed(values, finite))
    if finite[0] == positive[0]:
        return Scale(name, _placed(values, finite, logarithmic=True), "log")
    threshold = 10.0 ** math.floor(math.log10(positive[0]))
    return Scale(name, _placed(values, finite, logarithmic=True), "symlog", threshold)


def _placed(values: Iterable[float], finite: list[float], logarithmic: bool = False) -> dict[float, float]:
    """Each value's place: its own, or a step beyond the other numbers for an infinite one."""
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    step = 0.2 * (high - low) or 0.2 * abs(high) or 1.0
    ends = {math.inf: 3 * high if logarithmic else high + step, -math.inf: low - step}
    return {value: value if abs(value) <= _LARGEST else ends[math.copysign(math.inf, value)] for value in values}


def is_numeric(values: Iterable[Any]) -> bool:
    """Whether all values are numbers that have a place on an axis."""
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST for value in values
    )
