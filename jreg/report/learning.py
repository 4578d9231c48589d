"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jreg.report.canvas import COLOURS, canvas, legend, plain
from jreg.training import Column


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

    The mean is thick while all trainings run, and thin once some have stopped, where it is one of fewer trainings and
    may jump. The lowest panel says how many there are.

    Args:
      settings: by label, such as "best: l2=0.1", the columns of the history as ``(trainings, epochs)``, NaN where not
        run.
      panels: one for each row of the picture.
      title: of the picture.

    Returns:
      A matplotlib Figure.
    """
    heights = [3.2] * len(panels) + [0.9]
    size = (1 + 4.6 * len(settings), sum(heights) + 1.5)
    figure, grid = canvas(*size, len(panels) + 1, len(settings), heights=heights)
    for column, (label, found) in enumerate(settings.items()):
        for axes, panel in zip(grid[:-1, column], panels, strict=True):
            _draw(axes, panel, found)
        _count(grid[-1, column], found[panels[0].validation.label])
        lines = [plain(line, 56) for line in label.split(": ", 1)]
        grid[0, column].set_title("\n".join(lines), fontsize="medium")
    for panel, row in zip(panels, grid[:-1], strict=True):
        _share(row, panel, settings)
    last = max(finite(values).shape[1] for found in settings.values() for values in found.values())
    for axes in grid.flat:
        axes.set_xlim(0.5 - 0.02 * last, 0.5 + 1.02 * last)
    figure.suptitle(f"{plain(title)}: learning curves")
    legend(figure, grid[:-1].flat, ncols=2)
    return figure


def finite(values: np.ndarray) -> np.ndarray:
    """A column with NaN for what can't be drawn, without the trainings that never began and epochs nobody ran."""
    shown = np.where(np.isfinite(values), values, np.nan)
    ran = np.isfinite(shown)
    last = int(np.flatnonzero(ran.any(axis=0))[-1]) + 1 if ran.any() else 1
    return shown[ran.any(axis=1), :last]


def _draw(axes: Any, panel: Panel, found: Mapping[str, np.ndarray]) -> None:
    for name, colour, dashes, marker in (
        (panel.train, COLOURS[0], "-", "o"),
        (panel.validation.label, COLOURS[1], (0, (5, 1.5)), "s"),
    ):
        values = finite(found[name])
        epochs = np.arange(1, values.shape[1] + 1)
        axes.plot(epochs, values.T, color=colour, lw=0.5, ls=dashes, alpha=0.45)
        for training in values:
            # Where a training ends before the others, which a mean of the others would hide.
            end = np.flatnonzero(np.isfinite(training))[-1]
            axes.plot(epochs[end], training[end], color=colour, marker=marker, ms=2.5, ls="none", alpha=0.7)
        mean, whole = means(values)
        axes.plot(epochs, np.where(whole, mean, np.nan), color=colour, ls=dashes, lw=2.2, label=f"{plain(name)}: mean")
        if not whole.all():
            # From the last epoch that all have run, so that the two lines meet.
            first = max(int(whole.sum()) - 1, 0)
            rest = f"{plain(name)}: mean of the trainings that are left"
            axes.plot(epochs[first:], mean[first:], color=colour, ls=dashes, lw=1, label=rest)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(plain(panel.validation.name))
    axes.grid(alpha=0.3, which="both")


def means(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the trainings that run in each epoch, and whether all of them do."""
    count = np.isfinite(values).sum(axis=0)
    mean = np.nansum(values, axis=0) / np.where(count, count, np.nan)
    return mean, count == len(values)


def _count(axes: Any, values: np.ndarray) -> None:
    """How many trainings run in each epoch."""
    count = np.isfinite(finite(values)).sum(axis=0)
    edges = np.arange(len(count) + 1) + 0.5
    axes.stairs(count, edges, fill=True, color="#999999")
    axes.set_ylim(0, max(1, *count) * 1.15)
    axes.set_yticks([0, max(1, *count)])
    axes.set_xlabel("epoch")
    axes.set_ylabel("trainings")


def _share(row: Sequence[Any], panel: Panel, settings: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Gives the panels of a row one upright axis, a logarithmic one for losses where all are positive."""
    names = (panel.train, panel.validation.label)
    values = np.concatenate([finite(found[name]).ravel() for found in settings.values() for name in names])
    values = values[np.isfinite(values)]
    if panel.validation.kind == "loss" and values.size and (values > 0).all():
        for axes in row:
            axes.set_yscale("log")
    limits = np.array([axes.get_ylim() for axes in row])
    for axes in row:
        axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())
