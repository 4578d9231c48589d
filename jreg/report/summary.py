"""Results as text and pictures, and all of them in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jreg.network import Network
from jreg.recipe import describe
from jreg.report import figures, learning, ranked
from jreg.report.canvas import Scored
from jreg.report.text import settings_table
from jreg.results import Results, SettingResult
from jreg.results import table as tables
from jreg.training import Column, Status


def table(results: Results, most: int | None = None) -> str:
    """The ranking as text, one line per setting; `most` shortens it."""
    return settings_table(tables.settings(results)[:most], results.spec.score.label)


def scores(results: Results) -> Any:
    """A matplotlib figure of the scores, of the kind that `jreg.report.figures` chooses for the space."""
    return figures.scores(_scored(results))


def differences(results: Results) -> Any:
    """A matplotlib figure of the differences to the best setting within folds, with 95% intervals of their means.

    Seeds are averaged within folds; where there is one fold, seeds are the pairs. The intervals are those of
    Student's t for each setting alone: folds share training rows, and the best was chosen by these scores, so that
    they say what is clearly worse and not what is certainly as good.
    """
    folds = results.shape[1]
    by_pair, pair = (results.scores.mean(axis=2), "fold") if folds > 1 else (results.scores[:, 0], "seed")
    return ranked.differences(_scored(results), by_pair, pair)


def _scored(results: Results) -> Scored:
    means, errors = (np.array([getattr(r, name) for r in results.settings]) for name in ("mean", "standard_error"))
    spec, (_, folds, seeds) = results.spec, results.shape
    each = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((folds, "fold"), (seeds, "seed")) if n > 1]
    return Scored(
        spec.space,
        means,
        errors,
        [result.number for result in results.ranking],
        {label: result.number for label, result in _marked(results).items()},
        spec.score.label,
        results.maximize,
        " x ".join(each) or "1 fold",
        spec.data,
    )


def _marked(results: Results) -> dict[str, SettingResult]:
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
    for label, result in _marked(results).items():
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


def summary(results: Results, final: Network | None, most: int = 24) -> str:
    """The table of settings, which one won, by how much and how sure, and the test result."""
    spec, total = results.spec, len(results.spec.settings)
    lines = [table(results, most)]
    if total > most:
        lines.append(f"and {total - most} more settings, see settings.csv")
    if results.finished:
        best, simple = results.best, results.one_standard_error
        _, folds, seeds = results.shape
        lines += [
            "",
            f"best:      {describe(best.hyperparameters)}",
            f"           {spec.score.label} {best.mean:.4f} +- {best.standard_error:.4f} "
            f"(mean and standard error over {folds} folds, {seeds} {'seed' if seeds == 1 else 'seeds'})",
            f"1-SE rule: {describe(simple.hyperparameters)}",
            "           the most regularized setting within one standard error of the best",
        ]
    if final is not None and final.test:
        name, value = next((n, v) for n, v in final.test.items() if n != "loss")
        interval = ""
        if final.interval is not None:
            low, high = final.interval
            interval = f", 95% interval {low:.4f} to {high:.4f}"
        passes = "1 epoch" if final.epochs == 1 else f"{final.epochs} epochs"
        trained = f"best setting trained on all {spec.rows} non-test rows for {passes}"
        lines.append(f"test:      {name} {value:.4f}{interval}, {trained}")
    for status, what in ((Status.DIVERGED, "diverged"), (Status.PRUNED, "were given up early")):
        count = int((results.status == status).sum())
        if count:
            lines.append(f"{count} of {results.status.size} trainings {what}; their settings rank last")
    timing = results.timing
    lines.append(
        f"time:      {(results.epochs > 0).sum()} trainings in {timing.run_seconds:.1f} s "
        f"({results.trainings_per_second:.3g} a second) after {timing.compile_seconds:.1f} s of compilation, "
        f"on {timing.layout}; occupancy {timing.occupancy:.0%}"
    )
    return "\n".join(lines)


def test_result(final: Network | None) -> dict[str, Any]:
    """How the final network did, for the JSON object of a study."""
    if final is None:
        return {}
    return {
        "test": dict(final.test),
        "test_accuracy": final.test.get("accuracy"),
        "test_interval": final.interval,
        "refit_epochs": final.epochs,
    }


def save_pictures(results: Results, folder: Path) -> None:
    """Draws scores.png, differences.png and curves.png into a folder, where there is a best setting."""
    if results.finished:
        for draw in (scores, differences, curves):
            draw(results).savefig(folder / f"{draw.__name__}.png")
