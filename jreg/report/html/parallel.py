"""All hyperparameters at once: a line for each setting."""

from __future__ import annotations

import numpy as np

from jreg.report.canvas import COLOURS
from jreg.report.html.charts import GRID, INK, Picture, short
from jreg.report.html.markup import Section, figure, table
from jreg.report.html.view import View
from jreg.report.scales import is_numeric, scale_of
from jreg.report.text import number, text

_MOST_AXES = 7
_MOST_ROWS = 40
# Numbers of at least so many settings are close together within this share of their axis; few are by chance.
_LEAST, _NARROW = 5, 0.5


def parallel(view: View) -> Section | None:
    """Parallel coordinates, with the score as the last axis and the best tenth in colour."""
    if not view.results.finished or not 2 <= len(view.varied) <= _MOST_AXES:
        return None
    means = view.scored.means
    shown = [n for n in view.shown if np.isfinite(means[n])]
    if len(shown) < 3:
        return None
    places, ticks = zip(*(_axis(view, name) for name in view.varied), strict=True)
    low, high = float(means[shown].min()), float(means[shown].max())
    score = (means - low) / ((high - low) or 1)
    lines = np.column_stack([np.array([place[n] for n in shown]) for place in places] + [score[shown]])
    picture = Picture(3.2, left=14)
    axes, at = picture.axes, list(range(len(view.varied) + 1))
    best = max(1, len(shown) // 10)
    for some, colour, width, alpha in (
        (slice(best, None), COLOURS[0], 0.8, 0.45 if len(shown) < 200 else 0.2),
        (slice(None, best), COLOURS[1], 1.8 if best < 20 else 0.7, 1.0 if best < 20 else 0.6),
    ):
        chosen = shown[some]
        if chosen:
            titles = [view.title(n) for n in chosen]
            picture.paths(at, lines[some], titles, chosen, colors=colour, linewidths=width, alpha=alpha)
    for x in at:
        axes.axvline(x, color=INK, lw=0.8, zorder=1)
    words_of = {"fontsize": 9, "va": "center", "zorder": 6}
    words_of["bbox"] = {"fc": "white", "ec": "none", "alpha": 0.8, "pad": 0.8}
    for x, marks in enumerate(ticks):
        for y, words in marks:
            axes.text(x + 0.03, y, short(words, 12), **words_of)
    for y, value in ((0.0, low), (1.0, high)):
        axes.text(at[-1] + 0.03, y, number(value), **words_of)
    names = [short(name, 14) for name in (*view.varied, view.score)]
    axes.set_xticks(at, names, fontsize=9)
    axes.set_yticks([])
    axes.set_xlim(-0.1, at[-1] + 0.45)
    axes.set_ylim(-0.06, 1.06)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    rows = [(n, *(text(view.spec.settings[n][name]) for name in view.varied), number(means[n])) for n in shown]
    left = f" (the best {_MOST_ROWS}; the others are in the table of settings)" if len(rows) > _MOST_ROWS else ""
    caption = f"Each line is a setting; in colour {'the best' if best == 1 else f'the best {best}'} of {len(shown)}. "
    data = table(["setting", *view.varied, view.score], rows[:_MOST_ROWS], f"Settings and their scores{left}")
    chart = picture.svg("parallel", f"Hyperparameters and {view.score} of each setting as lines")
    return Section(
        "parallel", "All hyperparameters at once", figure([chart], caption + _agree(view, shown[:best]), data)
    )


def _agree(view: View, best: list[int]) -> str:
    """What the best settings have in common: a value, or numbers from a part of their axis."""
    same, near = [], []
    for name in view.varied:
        values = [view.spec.settings[n][name] for n in best]
        at, _ = _axis(view, name)
        if len(set(map(text, values))) == 1:
            same.append(f"{name} = {text(values[0])}")
        elif len(best) >= _LEAST and is_numeric(values) and np.ptp(at[best]) <= _NARROW:
            near.append(f"{name} from {text(min(values))} to {text(max(values))}")
    if len(best) == 1:
        return f"It has {', '.join(same)}."
    found = ", ".join([*same, *near])
    return f"All of these have {found}." if found else "These lie nowhere close together."


def _axis(view: View, name: str) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Where each setting lies on an axis, from 0 to 1, and its ends or values in words."""
    values = [setting[name] for setting in view.spec.settings]
    if name in view.spec.space.traced or is_numeric(values):
        scale = scale_of(view.spec.space, name)
        at = np.array([scale.at[float(value)] for value in values])
        if scale.kind == "log":
            at = np.log(at)
        elif scale.kind == "symlog":
            at = np.log(np.maximum(at, scale.threshold / 3))
        low, high = at.min(), at.max()
        at = (at - low) / ((high - low) or 1)
        ends = {float(at[n]): text(values[n]).replace("inf", "∞") for n in (int(at.argmin()), int(at.argmax()))}
        return at, list(ends.items())
    known = list(dict.fromkeys(map(text, (*view.spec.space.axes[name], *values))))
    step = max(1, len(known) - 1)
    marks = [(n / step, words) for n, words in enumerate(known)] if len(known) <= 8 else []
    return np.array([known.index(text(value)) / step for value in values]), marks
