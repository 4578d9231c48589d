"""Pictures with matplotlib, which is imported when the first one is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jreg.recipe import describe
from jreg.search.space import Space
from jreg.training import Column

_MOST_LINES = 8
_MOST_COLUMNS = 3


def canvas(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    """A matplotlib figure of this size in inches, and its panels ``(rows, columns)``."""
    # The object interface needs no display and leaves pyplot's global state alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def scores(space: Space, means: np.ndarray, errors: np.ndarray, score: str, best: int, simple: int, title: str) -> Any:
    """Mean score with error bars of one standard error against the hyperparameters.

    A grid is drawn against one of them, with a line for each combination of the others. Settings that are no grid and
    differ in several traced hyperparameters are drawn as points, with a panel for each of these and a colour for each
    static part.

    Args:
      space: a grid's traced axis with the most values goes along the bottom; without one the settings do.
      means, errors: ``(settings,)``.
      score: the label of the upright axis.
      best, simple: numbers of the best setting and of the one chosen by the one-standard-error rule.
      title: of the picture.

    Returns:
      A matplotlib Figure.
    """
    swept = [name for name in space.traced if len(space.axes[name]) > 1]
    if len(swept) > 1 and len(space.settings) != math.prod(map(len, space.axes.values())):
        return _points(space, swept, means, errors, score, best, simple, title)
    figure, grid = canvas(8, 5)
    axes = grid[0, 0]
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
        _mark(axes, dict(zip(numbers, at, strict=True)), means, best, simple)
    if along:
        _scale(axes, space, along, position)
    else:
        axes.set_xticks(range(len(space.settings)), [describe(s) for s in space.settings], rotation=45, ha="right")
    axes.set_xlabel(along or "setting")
    axes.set_ylabel(f"{score} (mean and standard error over folds)")
    left_out = f", {len(lines) - _MOST_LINES} more lines left out" if len(lines) > _MOST_LINES else ""
    axes.set_title(f"{title}: {len(space.settings)} settings{left_out}")
    axes.legend(fontsize="small", markerscale=0.6)
    axes.grid(alpha=0.3)
    return figure


def _points(
    space: Space,
    swept: list[str],
    means: np.ndarray,
    errors: np.ndarray,
    score: str,
    best: int,
    simple: int,
    title: str,
) -> Any:
    rows = math.ceil(len(swept) / _MOST_COLUMNS)
    columns = math.ceil(len(swept) / rows)
    figure, grid = canvas(3.6 * columns + 1, 3.2 * rows + 1, rows, columns)
    colours = _static_parts(space)
    for axes, name in zip(grid.flat, swept, strict=False):
        position, beyond = _finite([setting[name] for setting in space.settings])
        for place, (label, numbers) in enumerate(colours.items()):
            at = [position[number] for number in numbers]
            style = {"fmt": "o", "ms": 4, "capsize": 2, "elinewidth": 0.8, "color": f"C{place}", "alpha": 0.7}
            axes.errorbar(at, means[numbers], errors[numbers], label=label, **style)
        _mark(axes, dict(enumerate(position)), means, best, simple)
        _scale(axes, space, name, position)
        axes.set_xlabel(name + beyond)
        axes.set_ylabel(score)
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(swept) :]:
        axes.remove()
    figure.suptitle(f"{title}: {len(space.settings)} settings, mean and standard error over folds")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    return figure


def _static_parts(space: Space) -> dict[str, list[int]]:
    """The settings' numbers by what is static in them, as far as there are colours for."""
    parts: dict[str, list[int]] = {}
    for number, setting in enumerate(space.settings):
        static = {name: v for name, v in setting.items() if name not in space.traced and len(space.axes[name]) > 1}
        parts.setdefault(describe(static) or "a setting", []).append(number)
    return parts if len(parts) <= _MOST_LINES else {"a setting": list(range(len(space.settings)))}


def _finite(values: list[float]) -> tuple[list[float], str]:
    """Places on an axis: infinity beyond the largest number, and a note that says so."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) == len(values):
        return values, ""
    last = max(finite) + 0.1 * (max(finite) - min(finite)) or 1.0
    return [value if math.isfinite(value) else last for value in values], " (last place: infinity)"


def _scale(axes: Any, space: Space, name: str, position: Sequence[float]) -> None:
    least, most = min(position), max(position)
    wide = least > 0 and most > 20 * least
    logarithmic = wide if space.logarithmic is None else name in space.logarithmic
    if logarithmic and least > 0:
        axes.set_xscale("log")
    elif logarithmic and most > 0:
        # Where a hyperparameter is switched off it is 0, which a logarithmic scale has no place for.
        above = min(value for value in position if value > 0)
        axes.set_xscale("symlog", linthresh=10.0 ** math.floor(math.log10(above)))


def _mark(axes: Any, position: Mapping[int, float], means: np.ndarray, best: int, simple: int) -> None:
    """Marks the best setting and that of the one-standard-error rule, where they are among those drawn."""
    for number, marker, size, label in ((best, "*", 18, "best"), (simple, "s", 14, "one-standard-error rule")):
        if number in position:
            style = {"marker": marker, "ms": size, "mfc": "none", "mec": "black", "label": label, "ls": "none"}
            axes.plot(position[number], means[number], **style)


def _positions(space: Space, along: str | None) -> list[float]:
    if along is None:
        return list(map(float, range(len(space.settings))))
    return [setting[along] for setting in space.settings]


class Panel(NamedTuple):
    """What a row of panels shows.

    Attributes:
      train: label of the training column.
      validation: the validation column.
    """

    train: str
    validation: Column


def curves(settings: Mapping[str, Mapping[str, np.ndarray]], panels: Sequence[Panel], title: str) -> Any:
    """Learning curves: a column of panels for each setting, a thin line for each training and their mean.

    Args:
      settings: by label, the columns of the history as ``(trainings, epochs)``, NaN where not run.
      panels: one for each row of the picture.
      title: of the picture.

    Returns:
      A matplotlib Figure.
    """
    figure, grid = canvas(5.5 * len(settings), 3.5 * len(panels), len(panels), len(settings))
    for column, (label, curves_) in enumerate(settings.items()):
        for row, panel in enumerate(panels):
            axes = grid[row, column]
            for name, colour in zip((panel.train, panel.validation.label), ("tab:blue", "tab:orange"), strict=True):
                values = curves_[name]
                epochs = np.arange(1, values.shape[1] + 1)
                axes.plot(epochs, values.T, color=colour, lw=0.6, alpha=0.5)
                # Where some trainings have stopped, a mean of the others would jump.
                mean = values.mean(axis=0)
                axes.plot(epochs, mean, color=colour, lw=2, label=f"{name}, mean while all folds train")
            axes.set_xlabel("epoch")
            axes.set_ylabel(panel.validation.name)
            if panel.validation.kind == "loss":
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
