"""Learning curves: the mean over trainings, the band that holds all of them, and where they stopped."""

from __future__ import annotations

from typing import Any

import numpy as np

from jreg.report.canvas import COLOURS
from jreg.report.html.charts import INK, Picture, plain_ticks, short
from jreg.report.html.markup import Markup, Section, figure, joined, table
from jreg.report.html.view import View
from jreg.report.learning import finite, means
from jreg.report.text import number
from jreg.training import Column

_MOST_ROWS = 60
_MOST_STOPS = 100
# A loss that falls by more than this factor has a logarithmic axis.
_WIDE = 10


def curves(view: View) -> Section | None:
    """The curves of the best setting, the one-standard-error choice and the worst one."""
    results, spec = view.results, view.spec
    if not results.finished or spec.epochs < 2:
        return None
    loss = Column("validation", "loss", "loss")
    wanted = [c for c in dict.fromkeys([loss, spec.score]) if c.split == "validation" and c in spec.columns]
    named: dict[int, list[str]] = {}
    for label, found in view.marks.items():
        named.setdefault(found.number, []).append(label)
    parts = [_figure(view, column, named, n) for n, column in enumerate(wanted)]
    return Section("curves", "Learning curves", joined(parts)) if parts else None


def _figure(view: View, column: Column, named: dict[int, list[str]], key: int) -> Markup:
    columns = [c for c in (column._replace(split="train"), column) if c in view.spec.columns]
    found = {
        place: {c: finite(view.results.curve(c.label)[place].reshape(-1, view.spec.epochs)) for c in columns}
        for place in named
    }
    values = np.concatenate([some.ravel() for curves in found.values() for some in curves.values()])
    values = values[np.isfinite(values)]
    limits = (values.min(), values.max()) if values.size else (0.0, 1.0)
    beyond = False
    if values.size and column.kind != "loss":
        limits, beyond = _without_begin(values, column.maximize)
    logarithmic = column.kind == "loss" and 0 < limits[0] * _WIDE < limits[1]
    room = 1.08 if logarithmic else 0.05 * (limits[1] - limits[0]) or 0.01
    limits = (limits[0] / room, limits[1] * room) if logarithmic else (limits[0] - room, limits[1] + room)
    charts = [
        _chart(
            view,
            column,
            place,
            ", ".join(labels).replace("one-standard-error rule", "1-SE"),
            found[place],
            (logarithmic, limits),
            f"curve{key}-{n}",
        )
        for n, (place, labels) in enumerate(named.items())
    ]
    left = " What lies beyond the axis, the first epochs for the most part, isn't drawn." if beyond else ""
    return figure(charts, _caption(view, column) + left, _numbers(found, named, column))


def _without_begin(values: np.ndarray, maximize: bool) -> tuple[tuple[float, float], bool]:
    """The ends of an axis for scores; where a few bad ones would take half of it, without these."""
    low, high = float(values.min()), float(values.max())
    rest = float(np.quantile(values, 0.1 if maximize else 0.9))
    if maximize and rest - low > high - rest > 0:
        return (rest, high), True
    if not maximize and high - rest > rest - low > 0:
        return (low, rest), True
    return (low, high), False


def _chart(
    view: View,
    column: Column,
    place: int,
    label: str,
    found: dict[Column, np.ndarray],
    scale: tuple[bool, tuple[float, float]],
    key: str,
) -> Markup:
    picture = Picture(3.0)
    axes = picture.axes
    for given, values in found.items():
        series = 1 if given == column else 0
        colour, epochs = COLOURS[series], np.arange(1, values.shape[1] + 1)
        mean, _ = means(values)
        ran = np.isfinite(values)
        low, high = np.where(ran, values, np.inf).min(axis=0), np.where(ran, values, -np.inf).max(axis=0)
        if len(values) > 1:
            axes.fill_between(epochs, low, high, where=ran.any(axis=0), color=colour, alpha=0.18, lw=0)
        axes.plot(epochs, mean, color=colour, lw=1.8, ls=("-", (0, (5, 1.5)))[series], label=short(given.label, 30))
    _stops(view, picture, place, found[column], scale[1])
    if scale[0]:
        axes.set_yscale("log")
    axes.set_ylim(*scale[1])
    if scale[0]:
        plain_ticks(axes.yaxis)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(short(column.name, 30))
    axes.set_title(short(f"{label}: {view.setting(place)}", 42))
    picture.grid()
    picture.legend(3)
    return picture.svg(key, f"Learning curves of {view.setting(place)}: {column.label} by epoch")


def _stops(view: View, picture: Picture, place: int, values: np.ndarray, limits: tuple[float, float]) -> None:
    """Marks the epoch whose parameters each training returned."""
    best = view.results.best_epochs[place].ravel()
    if len(values) != len(best) or len(best) > _MOST_STOPS:
        return
    there = best >= 0
    # What is measured may end before the score does, where it isn't finite any more.
    given = zip(values[there], best[there], strict=True)
    y = np.array([row[epoch] if epoch < len(row) else np.nan for row, epoch in given])
    y = np.where((y >= limits[0]) & (y <= limits[1]), y, np.nan)
    x = best[there] + 1
    titles = [f"scored in epoch {e}: {number(v)}" for e, v in zip(x.tolist(), y.tolist(), strict=True)]
    picture.spots(x, y, titles, [place] * len(x), marker="D", ms=3.5, color=INK, label="scored epoch")


def _caption(view: View, column: Column) -> str:
    best, epochs = view.results.best, view.spec.epochs
    last = best.best_epochs.ravel() + 1
    when = f"in epoch {last[0]}" if (last == last[0]).all() else f"between epochs {last.min()} and {last.max()}"
    ended = int((best.epochs < epochs).sum())
    stopped = f"; {ended} of {best.epochs.size} were stopped before epoch {epochs}" if ended else ""
    return (
        f"{column.label}: the best setting's trainings are scored {when}{stopped}. Lines are means of the trainings "
        "that still run, bands hold all of them, diamonds are the epochs whose parameters count."
    )


def _numbers(found: dict[int, dict[Column, np.ndarray]], named: dict[int, list[str]], column: Column) -> Any:
    names, columns = ["epoch"], []
    for place, curves in found.items():
        for given, values in curves.items():
            names.append(f"{given.label}, {', '.join(named[place])}")
            columns.append(means(values)[0])
    longest = max(map(len, columns))
    step = max(1, -(-longest // _MOST_ROWS))
    chosen = sorted({*range(0, longest, step), longest - 1})
    rows = [(e + 1, *(number(c[e]) if e < len(c) and np.isfinite(c[e]) else "" for c in columns)) for e in chosen]
    return table(names, rows, f"Means over trainings of {column.label}")
