"""The score against each hyperparameter: where the best value lies, and how much it matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jreg.report.canvas import COLOURS, near_best
from jreg.report.figures import kind_of
from jreg.report.html.charts import GRID, INK, Picture, apply, short
from jreg.report.html.markup import Markup, Section, figure, joined, table, tag
from jreg.report.html.view import View, plus_minus
from jreg.report.lines import groups
from jreg.report.scales import scale_of
from jreg.report.text import error, number, text

_MOST_PANELS = 12
# Of a random search; each has a point for each setting.
_MOST_AXES = 6
_MOST_BARS = 120
_MOST_RANKED = 30
# What the numbers behind a chart show; all settings are in their own table.
_MOST_ROWS = 60
_RINGS = {"one-standard-error rule": ("s", 13, "1-SE rule"), "best": ("o", 11, "best")}


def strength(view: View) -> Section | None:
    """Scores along every hyperparameter that was swept."""
    if not view.results.finished or len(view.spec.settings) < 2:
        return None
    kind, names = kind_of(view.spec.space)
    if kind == "dots":
        return Section("strength", "Scores", _ranked(view))
    if kind == "points":
        return Section("strength", "Score and strength", _scattered(view, names[:_MOST_AXES]))
    along, swept = names[0], view.spec.space.traced
    others = [name for name in view.varied if name != along and name in swept]
    parts = [_figure(view, along, _groups(view, along), "along")]
    parts += [_figure(view, name, {"": _profile(view, name)}, f"profile{n}", True) for n, name in enumerate(others)]
    return Section("strength", "Score and strength", joined(parts))


def _groups(view: View, along: str) -> dict[str, list[int]]:
    """The settings by what else differs, the combinations with the best settings first."""
    rank, marked = {place: n for n, place in enumerate(view.scored.order)}, set(view.scored.marks.values())
    found = groups(view.scored, along)
    order = sorted(found, key=lambda words: (marked.isdisjoint(found[words]), min(rank[n] for n in found[words])))
    chosen = set(order[:_MOST_PANELS])
    return {words: numbers for words, numbers in found.items() if words in chosen}


def _profile(view: View, name: str) -> list[int]:
    """For each value of a hyperparameter the best setting that has it."""
    found: dict[Any, int] = {}
    for place in view.scored.order:
        if np.isfinite(view.scored.means[place]):
            found.setdefault(view.spec.settings[place][name], place)
    return list(found.values())


def _limits(view: View, there: Sequence[int]) -> tuple[float, float]:
    """The ends of the upright axis for these settings, with the bars that are drawn."""
    spread = np.nan_to_num(view.scored.errors[there]) if len(there) <= _MOST_BARS else 0.0
    means = view.scored.means[there]
    low, high = float((means - spread).min()), float((means + spread).max())
    room = 0.06 * (high - low) or 0.01
    return low - room, high + room


def _scattered(view: View, names: Sequence[str]) -> Markup:
    """Settings that are no grid, one chart for each hyperparameter."""
    scored, best = view.scored, view.results.best
    there = [n for n in view.shown if np.isfinite(scored.means[n])]
    limits = _limits(view, there)
    charts = [_along(view, name, there, "", limits, f"points{p}", False) for p, name in enumerate(names)]
    rows = [
        (view.setting(n), *(text(view.spec.settings[n][name]) for name in names), number(scored.means[n]))
        for n in there[:_MOST_ROWS]
    ]
    left = f" (the best {_MOST_ROWS}; the others are in the table of settings)" if len(there) > _MOST_ROWS else ""
    data = table(["setting", *names, view.score], rows, f"{view.score} and the hyperparameters drawn{left}")
    at = ", ".join(f"{name} = {text(best.hyperparameters[name])}" for name in names)
    means = scored.means[there]
    worst = float(means.min() if view.results.maximize else means.max())
    caption = (
        f"{view.score} is best at {at} ({plus_minus(best.mean, best.standard_error)}); the shown settings reach to "
        f"{number(worst)}{_bars(view, len(there))}."
    )
    edges = [edge for name in names for edge in _edges(view, name)]
    return joined([figure(charts, caption, data), *edges])


def _bars(view: View, count: int) -> str:
    if near_best(view.scored) is None:
        return ""
    drawn = "Bars are standard errors, and the" if count <= _MOST_BARS else "The"
    return f". {drawn} band is what lies within one standard error of the best"


def _figure(view: View, along: str, parts: dict[str, list[int]], key: str, profile: bool = False) -> Markup:
    scored = view.scored
    there = [n for numbers in parts.values() for n in numbers if np.isfinite(scored.means[n])]
    limits = _limits(view, there)
    charts = [_along(view, along, n, w, limits, f"{key}{p}") for p, (w, n) in enumerate(parts.items())]
    rows = [
        (text(view.spec.settings[n][along]), view.setting(n), number(scored.means[n]), error(scored.errors[n]))
        for n in sorted(there, key=lambda n: scored.order.index(n) if len(there) > _MOST_ROWS else n)[:_MOST_ROWS]
    ]
    title = f"{view.score} along {along}"
    left = f" (the best {_MOST_ROWS}; the others are in the table of settings)" if len(there) > _MOST_ROWS else ""
    data = table([along, "setting", "mean", "standard error"], rows, title + left)
    return joined([figure(charts, _caption(view, along, there, profile), data), *_edges(view, along)])


def _caption(view: View, along: str, there: Sequence[int], profile: bool) -> str:
    """What the chart shows, with its numbers."""
    means = view.scored.means[list(there)]
    best = view.results.best
    ends = sorted((float(means.min()), float(means.max())), reverse=view.results.maximize)
    at = text(best.hyperparameters[along])
    reach = f"{view.score} is best at {along} = {at} ({plus_minus(best.mean, best.standard_error)})"
    if profile:
        reach += f"; the best settings of the other values reach to {number(ends[1])}"
    else:
        reach += f"; the shown settings reach from {number(ends[0])} to {number(ends[1])}"
    if left := 0 if profile else np.isfinite(view.scored.means).sum() - len(there):
        reach += f"; {left} more settings aren't drawn"
    simple = view.results.one_standard_error
    rule = ""
    if view.spec.space.strength_order and simple.number != best.number:
        value = text(simple.hyperparameters[along])
        rule = f", and the dotted line marks the one-standard-error choice, {along} = {value}"
    return f"{reach}{_bars(view, len(there))}. The dashed line marks the best{rule}."


def _edges(view: View, along: str) -> list[Markup]:
    found = (check for check in view.checks if check.code == "J101" and check.where == along)
    return [tag("p", tag("code", check.code), f" {check.sentence}.", class_="warn") for check in found]


def _along(
    view: View,
    along: str,
    numbers: list[int],
    words: str,
    limits: tuple[float, float],
    key: str,
    joined_up: bool = True,
) -> Markup:
    scored, picture = view.scored, Picture(2.7 if words else 3.0)
    axes, scale = picture.axes, scale_of(view.spec.space, along)
    apply(scale, axes)
    order = sorted(numbers, key=lambda n: float(view.spec.settings[n][along]))
    at = [scale.at[float(view.spec.settings[n][along])] for n in order]
    means, errors = scored.means[order], scored.errors[order]
    if (band := near_best(scored)) is not None:
        axes.axhspan(*band, color=GRID, alpha=0.3, lw=0)
    if joined_up:
        axes.plot(at, means, color=COLOURS[0], lw=1, zorder=2)
    if len(order) <= _MOST_BARS and np.isfinite(errors).any():
        axes.errorbar(at, means, errors, fmt="none", ecolor=COLOURS[0], elinewidth=1, capsize=2.5, zorder=3)
    picture.spots(at, means, [view.title(n) for n in order], order, color=COLOURS[0], ms=5 if len(order) < 100 else 3.5)
    for label, (marker, size, name) in _RINGS.items():
        place = scored.marks.get(label)
        if place in order and (label == "best" or view.spec.space.strength_order):
            x = at[order.index(place)]
            axes.axvline(x, color=INK, lw=0.9, ls=(0, (5, 3)) if label == "best" else (0, (1, 2)), zorder=1)
            axes.plot(x, scored.means[place], marker=marker, ms=size, mfc="none", mec=INK, ls="none", label=name)
    lost = [x for x, mean in zip(at, means, strict=True) if not np.isfinite(mean)]
    if lost:
        low = np.full(len(lost), 0.03)
        how = {"marker": "x", "color": COLOURS[1], "ls": "none", "transform": axes.get_xaxis_transform()}
        axes.plot(lost, low, label="no score", **how)
    axes.set_ylim(*limits)
    axes.set_ylabel(short(view.score, 32))
    if words:
        axes.set_title(short(words, 40))
    picture.grid()
    picture.legend(3)
    return picture.svg(key, f"{view.score} along {along}{words and ', '}{words}")


def _ranked(view: View) -> Markup:
    """The best settings and the marked ones, from the best down, where there is no number to draw along."""
    scored = view.scored
    marked = set(scored.marks.values())
    chosen = [n for p, n in enumerate(scored.order) if p < _MOST_RANKED or n in marked]
    chosen = [n for n in chosen if np.isfinite(scored.means[n])]
    picture = Picture(1.0 + 0.2 * len(chosen), left=150)
    axes, rows = picture.axes, np.arange(len(chosen))
    if (band := near_best(scored)) is not None:
        axes.axvspan(*band, color=GRID, alpha=0.3, lw=0)
    if np.isfinite(scored.errors[chosen]).any():
        axes.errorbar(
            scored.means[chosen], rows, xerr=scored.errors[chosen], fmt="none", ecolor=COLOURS[0], elinewidth=1
        )
    picture.spots(scored.means[chosen], rows, [view.title(n) for n in chosen], chosen, color=COLOURS[0])
    axes.set_yticks(rows, [short(view.setting(n), 26) for n in chosen])
    axes.set_ylim(len(chosen) - 0.4, -0.6)
    axes.set_xlabel(short(scored.axis, 60))
    picture.grid("x")
    picture.legend(2)
    data = table(
        ["setting", "mean", "standard error"],
        [(view.setting(n), number(scored.means[n]), error(scored.errors[n])) for n in chosen],
        f"{view.score} of the settings shown",
    )
    best, last = chosen[0], chosen[-1]
    caption = (
        f"From {view.setting(best)} with {view.measured(best)} down to {view.setting(last)} with "
        f"{view.measured(last)}. The band is what lies within one standard error of the best."
    )
    return figure([picture.svg("ranked", f"{view.score} of settings, from the best down")], caption, data)
