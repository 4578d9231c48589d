"""Results as one JSON object: its schema, written and read in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jreg.results.results import Found, Results, Timing
from jreg.results.selection import Baseline
from jreg.results.spec import Spec
from jreg.results.values import plain
from jreg.training import Status

# Of the object that `to_json` makes; another one is refused.
FORMAT = 1


def summary(results: Results) -> dict[str, Any]:
    """What a person asks first, as plain values: settings with their scores, the best, times."""
    timing = results.timing
    found: dict[str, Any] = {
        "data": results.spec.data,
        "score": results.spec.score.label,
        "maximize": results.maximize,
        "trainings": int(results.status.size),
        "compile_seconds": timing.compile_seconds,
        "run_seconds": timing.run_seconds,
        "device_seconds": timing.device_seconds,
        "occupancy": timing.occupancy,
        "devices": timing.devices,
        "layout": timing.layout,
        "trainings_per_second": results.trainings_per_second,
        "settings": [
            {
                "hyperparameters": result.hyperparameters,
                "scores": result.scores,
                "mean": result.mean,
                "standard_error": result.standard_error,
                "epochs": result.epochs,
            }
            for result in results.settings
        ],
    }
    if results.baseline is not None:
        base = results.baseline
        found["baseline"] = {**base._asdict(), "mean": base.mean, "standard_error": base.standard_error}
    if results.finished:
        found |= {
            "best": results.best.hyperparameters,
            "best_mean": results.best.mean,
            "best_standard_error": results.best.standard_error,
            "one_standard_error": results.one_standard_error.hyperparameters,
        }
    return plain(found)


def to_json(results: Results) -> dict[str, Any]:
    """The results as plain values: the summary, the specification, and the table of trainings without histories."""
    rows = sorted(results, key=lambda row: row[:3])
    table = {
        "setting": [row.setting for row in rows],
        "fold": [row.fold for row in rows],
        "seed": [row.seed for row in rows],
        "role": [row.role for row in rows],
        "status": [row.status.word for row in rows],
        "epochs": [row.epochs for row in rows],
        "best_epoch": [row.best_epoch for row in rows],
    }
    parts = {"spec": results.spec.to_json(), "timing": plain(dataclasses.asdict(results.timing)), "table": table}
    return {"format": FORMAT, **summary(results), **parts}


def from_json(found: Mapping[str, Any], curves: Iterable[Mapping[str, str]]) -> Results:
    """The results that `to_json` and `jreg.results.table.curves` wrote; nothing in them is run.

    Args:
      found: the JSON object.
      curves: rows of curves.csv, as text.

    Raises:
      ValueError: they are of another format, or damaged.
    """
    if found.get("format") != FORMAT:
        raise ValueError(f"these results have format {found.get('format')!r}, but this jreg reads format {FORMAT}")
    try:
        results = Results(Spec.from_json(found["spec"]))
        results.timing = Timing(**found["timing"])
        if found.get("baseline") is not None:
            results.baseline = Baseline(found["baseline"]["name"], tuple(map(float, found["baseline"]["scores"])))
        results.add(_found(found["table"], _histories(curves, results.labels), len(results.labels)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"these results are damaged: {type(error).__name__} {error}") from error
    return results


def _histories(curves: Iterable[Mapping[str, str]], labels: Sequence[str]) -> dict[Any, dict[int, list[float]]]:
    """The rows of the curves by (setting, fold, seed) and epoch."""
    histories: dict[Any, dict[int, list[float]]] = {}
    for number, row in enumerate(curves):
        try:
            setting, fold, seed, epoch = (int(row[name]) for name in ("setting", "fold", "seed", "epoch"))
            # Empty where only later settings have the column; a row that was cut off has None.
            values = [float("nan" if row[label] == "" else row[label]) for label in labels]
        except (TypeError, ValueError) as error:
            raise ValueError(f"these results are damaged: row {number} of the curves has {error}") from error
        histories.setdefault((setting, fold, seed), {})[epoch] = values
    return histories


def _found(table: Mapping[str, Any], histories: Mapping[Any, dict[int, list[float]]], columns: int) -> Iterable[Found]:
    words = {status.word: status for status in Status}
    names = ("setting", "fold", "seed", "role", "status", "epochs", "best_epoch")
    if len({len(table[name]) for name in names}) > 1:
        raise ValueError("these results are damaged: the columns of the table have different lengths")
    for setting, fold, seed, role, status, epochs, best in zip(*(table[name] for name in names), strict=True):
        rows = histories.get((setting, fold, seed), {})
        if rows.keys() != set(range(epochs)):
            raise ValueError(
                f"these results are damaged: setting {setting}, fold {fold}, seed {seed} ran {epochs} epochs, but the "
                f"curves have {len(rows)}, the last of them {max(rows, default=None)}"
            )
        history = np.array([rows[epoch] for epoch in range(epochs)], np.float32).reshape(-1, columns)
        yield Found(setting, fold, seed, role, words[status], epochs, best, history, {})
