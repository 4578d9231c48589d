"""Results as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from jreg import statistics
from jreg.network import Network
from jreg.recipe import describe
from jreg.report.text import error, number, settings_table
from jreg.results import Results, check, selection
from jreg.results import table as tables
from jreg.training import Status


def table(results: Results, most: int | None = None, width: int = 60) -> str:
    """The ranking as text, one line per setting, and the baseline; `most` shortens it, no line exceeds `width`.

    Hyperparameters that are the same in all settings stand once above it.
    """
    axes, rows = results.spec.space.axes, tables.settings(results, most)
    same = {name: values[0] for name, values in axes.items() if len(values) == 1}
    for row in rows:
        row["hyperparameters"] = {name: v for name, v in row["hyperparameters"].items() if name not in same}
        # Why a setting diverged is in settings.csv.
        row["note"] = row["note"].partition(":")[0]
    base = results.baseline
    if base is not None:
        numbers = {"mean": base.mean, "standard_error": base.standard_error, "epochs": None}
        rows.append({"hyperparameters": {}, **numbers, "note": "baseline"})
    heading = [f"{results.spec.score.label}: mean and standard error (SE) over {over(results)}"]
    if base is not None:
        heading.append(f"baseline: {base.name}")
    if same:
        heading.append(f"in all settings: {describe(same)}")
    return settings_table(rows, "; ".join(heading), width)


def summary(results: Results, final: Network | None, most: int = 24, width: int = 60) -> str:
    """Which setting won, by how much and how sure, the test result, what to look at, and the table of settings."""
    spec, total = results.spec, len(results.spec.settings)
    lines = _verdict(results) if results.finished else []
    if final is not None and final.test:
        name, value = next((n, v) for n, v in final.test.items() if n != "loss")
        interval = ""
        if final.interval is not None:
            low, high = final.interval
            interval = f", 95% interval {low:.4f} to {high:.4f}"
        passes = "1 epoch" if final.epochs == 1 else f"{final.epochs} epochs"
        trained = f"best setting trained on all {spec.rows} non-test rows for {passes}"
        lines.append(f"test:      {name} {number(value)}{interval}, {trained}")
    if pruned := int((results.status == Status.PRUNED).sum()):
        lines.append(f"{pruned} of {results.status.size} trainings were given up early; their settings rank last")
    lines += [f"{found.code}: {found.sentence}" for found in check(results)]
    lines += [*([""] if lines else []), table(results, most, width)]
    if total > most:
        lines.append(f"and {total - most} more settings, see settings.csv")
    timing = results.timing
    lines += [
        "",
        f"time:      {(results.epochs > 0).sum()} trainings in {timing.run_seconds:.1f} s "
        f"({results.trainings_per_second:.3g} a second) after {timing.compile_seconds:.1f} s of compilation, "
        f"on {timing.layout}; occupancy {timing.occupancy:.0%}",
    ]
    return "\n".join(lines)


def over(results: Results) -> str:
    """What means are taken over, in words."""
    _, folds, seeds = results.shape
    return f"{selection.in_repeats(folds, results.spec.repeat_count)}, {seeds} seed{'' if seeds == 1 else 's'}"


def _verdict(results: Results) -> list[str]:
    """The best setting, the most regularized one that is as good, and what they gain on doing without."""
    spec, best, simple = results.spec, results.best, results.one_standard_error
    lines = [
        f"best:      {describe(best.hyperparameters)}",
        f"           {_score(results, best)} (mean and standard error over {over(results)})",
    ]
    lines.append(f"1-SE rule: {describe(simple.hyperparameters)}")
    if spec.space.strength_order:
        lines.append("           the most regularized setting within one standard error of the best")
    elif len(spec.settings) > 1:
        lines.append("           the best one, as nothing says which setting is more regularized: space.along(...)")
    weak = selection.weakest(results)
    if weak is not None and weak.number == best.number:
        lines.append("weakest:   the best one, so regularization has gained nothing here")
    elif weak is not None:
        lines += [
            f"weakest:   {describe(weak.hyperparameters)}",
            f"           {_score(results, weak)}; the best one is {gain(results, best.scores, weak.scores)}",
        ]
    base = results.baseline
    if base is not None:
        ahead = gain(results, best.scores, np.array(base.scores)[:, None])
        lines += [
            f"baseline:  {base.name}, {_score(results, base)}",
            f"           the best setting is {ahead}",
        ]
    return lines


def _score(results: Results, found: selection.SettingResult | selection.Baseline) -> str:
    return f"{results.spec.score.label} {number(found.mean)} +- {error(found.standard_error)}"


def gain(results: Results, scores: np.ndarray, others: np.ndarray) -> str:
    """How much better scores are than others of the same folds, as words."""
    better = (scores - others) * (1 if results.maximize else -1)
    found = statistics.mean_and_standard_error(better, results.spec.repeats)
    mean, spread = (float(value) for value in found)
    if abs(mean) <= 1e-6 * np.abs(scores).max():
        return "no better"
    return f"{'better' if mean > 0 else 'worse'} by {number(abs(mean))} +- {error(spread)}, fold by fold"


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
