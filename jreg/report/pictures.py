"""Results as pictures, and all of them in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jreg.recipe import describe
from jreg.report import figures, learning, ranked
from jreg.report.canvas import Scored
from jreg.results import Results, SettingResult, selection
from jreg.training import Column


def scores(results: Results) -> Any:
    """A matplotlib figure of the scores: lines, a heatmap, points or ranked dots, as the space asks for."""
    return figures.scores(scored(results))


def differences(results: Results) -> Any:
    """A matplotlib figure of the differences to the best setting within folds, with 95% intervals of their means.

    Seeds are averaged within folds; where there is one fold, seeds are the pairs. The intervals are those of
    Student's t for each setting alone: folds share training rows, and the best was chosen by these scores, so that
    they say what is clearly worse and not what is certainly as good.
    """
    folds = results.shape[1]
    by_pair, pair = (results.scores.mean(axis=2), "fold") if folds > 1 else (results.scores[:, 0], "seed")
    return ranked.differences(scored(results), by_pair, pair, results.spec.repeats)


def scored(results: Results) -> Scored:
    """What the pictures of a study's scores show."""
    means, errors = selection.means(results)
    spec, (_, folds, seeds) = results.spec, results.shape
    each = [selection.in_repeats(folds, spec.repeat_count)] if folds > 1 else []
    each += [f"{seeds} seeds"] if seeds > 1 else []
    return Scored(
        spec.space,
        means,
        errors,
        [result.number for result in results.ranking],
        {label: result.number for label, result in marked(results).items()},
        spec.score.label,
        results.maximize,
        " x ".join(each) or "1 fold",
        spec.data,
    )


def marked(results: Results) -> dict[str, SettingResult]:
    """The settings that no picture leaves out."""
    found = {"best": results.best, "one-standard-error rule": results.one_standard_error}
    worst = [result for result in results.ranking if np.isfinite(result.mean)][-1]
    return found if worst.number == results.best.number else found | {"worst": worst}


def curves(results: Results) -> Any:
    """A matplotlib figure of the learning curves of the best setting, the one-standard-error choice and the worst."""
    spec = results.spec
    loss = Column("validation", "loss", "loss")
    wanted = [loss] if spec.score.key == loss.key else [loss, spec.score]
    panels = [learning.Panel(column._replace(split="train").label, column) for column in wanted]
    named: dict[int, list[str]] = {}
    for label, result in marked(results).items():
        named.setdefault(result.number, []).append(label)
    drawn = {
        f"{', '.join(labels)}: {describe(spec.settings[number])}": {
            name: results.curve(name)[number].reshape(-1, spec.epochs)
            for panel in panels
            for name in (panel.train, panel.validation.label)
        }
        for number, labels in named.items()
    }
    return learning.curves(drawn, panels, spec.data)


def save_pictures(results: Results, folder: Path) -> None:
    """Draws scores.png, differences.png and curves.png into a folder, where there is a best setting."""
    if results.finished:
        for draw in (scores, differences, curves):
            draw(results).savefig(folder / f"{draw.__name__}.png")
