"""Scores of every combination of two hyperparameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from jreg.report.canvas import Scored, canvas, legend, mark, plain
from jreg.report.text import text

_MOST_NUMBERS = 12


def heatmap(scored: Scored, across: str, upwards: str) -> Any:
    """A cell for each combination, its mean score as colour and, where there is room, as a number."""
    columns, rows = (sorted(set(scored.space.axes[name])) for name in (across, upwards))
    cell = {
        number: (columns.index(setting[across]), rows.index(setting[upwards]))
        for number, setting in enumerate(scored.space.settings)
    }
    shown = np.full((len(rows), len(columns)), np.nan)
    for number, (column, row) in cell.items():
        shown[row, column] = scored.means[number]
    numbers = len(columns) <= _MOST_NUMBERS and len(rows) <= _MOST_NUMBERS
    width, height = (1.05, 0.75) if numbers else (0.4, 0.4)
    figure, grid = canvas(max(6.5, 2.6 + width * len(columns)), max(4.6, 1.7 + height * len(rows)))
    axes = grid[0, 0]
    axes.set_facecolor("white")
    picture = axes.imshow(np.ma.masked_invalid(shown), cmap="cividis", origin="lower", aspect="auto")
    if numbers:
        _write(axes, scored, cell, picture)
        _outline(axes, scored, cell)
    else:
        mark(axes, cell, scored.marks)
        legend(figure, [axes])
    axes.set_xticks(range(len(columns)), [_value(value) for value in columns], rotation=0 if numbers else 90)
    axes.set_yticks(range(len(rows)), [_value(value) for value in rows])
    axes.set_xlabel(plain(across))
    axes.set_ylabel(plain(upwards))
    drawn = scored.drawn if numbers else f"mean over {scored.over}"
    figure.suptitle(scored.heading(drawn), fontsize="medium")
    figure.colorbar(picture, label=scored.axis)
    return figure


def _value(value: float) -> str:
    return text(value).replace("inf", "∞")


def _write(axes: Any, scored: Scored, cell: dict[int, tuple[int, int]], picture: Any) -> None:
    """Writes mean, standard error and what a setting is into its cell."""
    for number, place in cell.items():
        mean, error = scored.means[number], scored.errors[number]
        named = [
            label.replace("one-standard-error rule", "1-SE rule") for label, n in scored.marks.items() if n == number
        ]
        if not np.isfinite(mean):
            axes.text(*place, "no score", ha="center", va="center", fontsize="small")
            continue
        error_line = [f"± {error:.4f}"] if np.isfinite(error) else []
        red, green, blue, _ = picture.to_rgba(mean)
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.4
        words = "\n".join(
            [f"{mean:.4g}" if abs(mean) >= 1 else f"{mean:.4f}", *error_line, *[", ".join(named)][: len(named)]]
        )
        axes.text(*place, words, ha="center", va="center", fontsize="small", color="white" if dark else "black")


def _outline(axes: Any, scored: Scored, cell: dict[int, tuple[int, int]]) -> None:
    from matplotlib.patches import Rectangle

    for label, dashes in (("one-standard-error rule", "--"), ("best", "-")):
        if label in scored.marks:
            column, row = cell[scored.marks[label]]
            corner = (column - 0.46, row - 0.46)
            for colour, width in (("white", 4), ("black", 2)):
                axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, ec=colour, lw=width, ls=dashes, zorder=4))
