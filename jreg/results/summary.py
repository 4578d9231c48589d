"""Results as plain values, for whoever reads them without jreg."""

from __future__ import annotations

from typing import Any

from jreg.results import selection
from jreg.results.nested import NESTED
from jreg.results.results import Results
from jreg.results.values import plain

# More settings than a person looks at; settings.csv has all.
_MOST = 10_000


def summary(results: Results) -> dict[str, Any]:
    """What a person asks first, as plain values: the best 10,000 settings with their scores, the best, times."""
    timing, shown = results.timing, sorted(selection.order(results)[:_MOST].tolist())
    found: dict[str, Any] = {
        "data": results.spec.data,
        "task": results.spec.task,
        "versions": results.spec.versions,
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
            for result in (results.settings[number] for number in shown)
        ],
    }
    if left_out := len(results.settings) - len(shown):
        found["settings_left_out"] = left_out
    if results.baseline is not None:
        base = results.baseline
        numbers = {"mean": base.mean, "standard_error": base.standard_error}
        found["baseline"] = {"name": base.name, "scores": base.scores, **numbers}
    if results.spec.policy.get("kind") == NESTED:
        # Its best setting by all inner folds is nobody's choice.
        return plain(found | {"trainings": found["trainings"] + results.nested.scores.size, "nested": _nested(results)})
    if results.finished:
        found |= {
            "best": results.best.hyperparameters,
            "best_mean": results.best.mean,
            "best_standard_error": results.best.standard_error,
            "one_standard_error": results.one_standard_error.hyperparameters,
        }
    return plain(found)


def _nested(results: Results) -> dict[str, Any]:
    """The honest estimate and the naive one where nothing is missing, and what each outer fold chose."""
    nested, found = results.nested, dict[str, Any]()
    if nested.finished:
        for name in ("estimate", "naive", "optimism"):
            mean, error, _ = getattr(nested, name)
            found |= {name: mean, f"{name}_standard_error": error}
    found["missing"] = nested.missing
    chosen = zip(nested.choices, nested.scores, nested.epochs, strict=True)
    found["choices"] = [
        None
        if choice is None
        else {"hyperparameters": choice.hyperparameters, "inner_mean": choice.mean, "scores": scores, "epochs": epochs}
        for choice, scores, epochs in chosen
    ]
    return found
