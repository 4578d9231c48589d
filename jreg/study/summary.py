"""A finished study as a folder of results and pictures, as text, and as one JSON object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jreg._base.files import write_text
from jreg.recipe import describe
from jreg.store import files
from jreg.study import Refit, Study


def to_json(study: Study, final: Refit | None) -> dict[str, Any]:
    """What ``jreg sweep --json`` prints: `Study.to_json` and the test result."""
    found = study.to_json()
    if final is not None:
        found |= {
            "test": final.test,
            "test_accuracy": final.test.get("accuracy"),
            "test_interval": final.interval,
            "refit_epochs": final.epochs,
        }
    return files.plain(found)


def save(study: Study, final: Refit | None, folder: Path) -> list[Path]:
    """Writes the results and the pictures; returns the files."""
    study.save(folder)
    if not study.finished:
        return sorted(folder.iterdir())
    write_text(folder / "results.json", files.to_text(to_json(study, final)))
    for name, figure in (("scores.png", study.plot()), ("curves.png", study.plot_curves())):
        figure.savefig(folder / name)
    return sorted(folder.iterdir())


def summary(study: Study, final: Refit | None, most: int = 24) -> str:
    """The table of settings, which one won, by how much and how sure, and the test result."""
    total = len(study.space.settings)
    lines = [study.table(most)]
    if total > most:
        lines.append(f"and {total - most} more settings, see settings.csv")
    if study.finished:
        best, simple = study.best, study.one_standard_error
        folds, seeds = study.scores.shape[1:]
        lines += [
            "",
            f"best:      {describe(best.hyperparameters)}",
            f"           {study.score} {best.mean:.4f} +- {best.standard_error:.4f} "
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
        rows = len(study.data.y)
        passes = "1 epoch" if final.epochs == 1 else f"{final.epochs} epochs"
        lines.append(
            f"test:      {name} {value:.4f}{interval}, best setting trained on all {rows} non-test rows for {passes}"
        )
    diverged = sum(row["status"] == "diverged" for row in study.trainings())
    if diverged:
        lines.append(f"{diverged} of {study.status.size} trainings diverged; their settings rank last")
    pruned = sum(row["status"] == "pruned" for row in study.trainings())
    if pruned:
        lines.append(f"{pruned} of {study.status.size} trainings were given up early; their settings rank last")
    lines.append(
        f"time:      {(study.epochs_run > 0).sum()} trainings in {study.run_seconds:.1f} s "
        f"({study.trainings_per_second:.3g} a second) after {study.compile_seconds:.1f} s of compilation, "
        f"on {study.layout}; occupancy {study.occupancy:.0%}"
    )
    return "\n".join(lines)
