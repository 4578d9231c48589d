"""Results as text."""

from __future__ import annotations

from typing import Any

from jreg.network import Network
from jreg.recipe import describe
from jreg.report.text import settings_table
from jreg.results import Results
from jreg.results import table as tables
from jreg.training import Status


def table(results: Results, most: int | None = None) -> str:
    """The ranking as text, one line per setting; `most` shortens it."""
    return settings_table(tables.settings(results)[:most], results.spec.score.label)


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
