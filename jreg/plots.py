"""Pictures with matplotlib, which is imported when the first one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jreg.recipe import describe
from jreg.space import Space

_MOST_LINES = 8


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    # The object interface needs no display and leaves pyplot's global state alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def scores(space: Space, means: np.ndarray, errors: np.ndarray, score: str, best: int, simple: int, title: str) -> Any:
    """Mean score with error bars of one standard error against one hyperparameter, a line for each of the others.

    Args:
      space: its traced axis with the most values goes along the bottom; without one the settings do.
      means, errors: ``(settings,)``.
      score: the label of the upright axis.
      best, simple: numbers of the best setting and of the one chosen by the one-standard-error rule.
      title: of the picture.

    Returns:
      A matplotlib Figure.
    """
    figure, grid = _figure(8, 5)
    axes = grid[0, 0]
    swept = [name for name in space.traced if len(space.axes[name]) > 1]
    along = max(swept, key=lambda name: len(space.axes[name]), default=None)
    position = _positions(space, along)
    lines: dict[str, list[int]] = {}
    for number, setting in enumerate(space.settings):
        others = {n: value for n, value in setting.items() if n != along and len(space.axes[n]) > 1}
        lines.setdefault(describe(others) if along else "settings", []).append(number)
    ranked = sorted(lines, key=lambda line: best not in lines[line])
    for place, line in enumerate(ranked[:_MOST_LINES]):
        numbers = sorted(lines[line], key=lambda number: position[number])
        # Bars of neighbouring lines would hide each other at the same place.
        shift = 1 + 0.03 * (place - len(ranked[:_MOST_LINES]) / 2) if along and min(position) > 0 else 1
        at = [position[number] * shift for number in numbers]
        joined = "-" if along else ""
        style = {"fmt": "o" + joined, "capsize": 3, "color": f"C{place}"}
        axes.errorbar(at, means[numbers], errors[numbers], label=line or None, **style)
        for number, x in zip(numbers, at, strict=True):
            if number == best:
                axes.plot(x, means[number], "*", ms=18, mfc="none", mec="black", label="best", ls="none")
            if number == simple:
                axes.plot(
                    x, means[number], "s", ms=14, mfc="none", mec="black", label="one-standard-error rule", ls="none"
                )
    if along and min(position) > 0 and max(position) > 20 * min(position):
        axes.set_xscale("log")
    elif not along:
        axes.set_xticks(range(len(space.settings)), [describe(s) for s in space.settings], rotation=45, ha="right")
    axes.set_xlabel(along or "setting")
    axes.set_ylabel(f"{score} (mean and standard error over folds)")
    left_out = f", {len(lines) - _MOST_LINES} more lines left out" if len(lines) > _MOST_LINES else ""
    axes.set_title(f"{title}: {len(space.settings)} settings{left_out}")
    axes.legend(fontsize="small", markerscale=0.6)
    axes.grid(alpha=0.3)
    return figure


def _positions(space: Space, along: str | None) -> list[float]:
    if along is None:
        return list(map(float, range(len(space.settings))))
    return [setting[along] for setting in space.settings]


def curves(settings: Mapping[str, Mapping[str, np.ndarray]], panels: Sequence[tuple[str, str]], title: str) -> Any:
    """Learning curves: a column of panels for each setting, a thin line for each training and their mean.

    Args:
      settings: by label, the columns of the history as ``(trainings, epochs)``, NaN where not run.
      panels: the (train, validation) columns of each row of panels.
      title: of the picture.

    Returns:
      A matplotlib Figure.
    """
    figure, grid = _figure(5.5 * len(settings), 3.5 * len(panels), len(panels), len(settings))
    for column, (label, curves_) in enumerate(settings.items()):
        for row, pair in enumerate(panels):
            axes = grid[row, column]
            for name, colour in zip(pair, ("tab:blue", "tab:orange"), strict=True):
                values = curves_[name]
                epochs = np.arange(1, values.shape[1] + 1)
                axes.plot(epochs, values.T, color=colour, lw=0.6, alpha=0.5)
                # Where some trainings have stopped, a mean of the others would jump.
                mean = values.mean(axis=0)
                axes.plot(epochs, mean, color=colour, lw=2, label=f"{name}, mean while all folds train")
            axes.set_xlabel("epoch")
            axes.set_ylabel(pair[1].removeprefix("val_"))
            if pair[1].endswith("loss"):
                axes.set_yscale("log")
            axes.grid(alpha=0.3, which="both")
            axes.legend(fontsize="small")
        grid[0, column].set_title(label, fontsize="medium")
    for row in grid:
        low, high = (f(axes.get_ylim()[i] for axes in row) for i, f in enumerate((min, max)))
        for axes in row:
            axes.set_ylim(low, high)
    figure.suptitle(f"{title}: learning curves of the best and the worst setting (thin lines: one training each)")
    return figure
