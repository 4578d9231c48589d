"""A recipe as plain values, as far as evaluation needs it, and the recipe that these make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optax

from jreg import data, losses, metrics
from jreg._base.described import UnnamedError, Vocabulary
from jreg._base.names import shown
from jreg.data import Preprocessor
from jreg.recipe import Recipe

_PREPROCESSORS: dict[str, Callable[..., Preprocessor]] = {
    "by_part": data.by_part,
    "chain": data.chain,
    "impute": data.impute,
    "min_max": data.min_max,
    "scale": data.scale,
    "standardize": data.standardize,
    "standardize_samples": data.standardize_samples,
    "whiten": data.whiten,
}
_LOSSES = (
    *("absolute_error", "cosine_proximity", "focal", "hinge", "huber", "kl_divergence", "multiclass_hinge"),
    *("sigmoid_cross_entropy", "sigmoid_focal", "softmax_cross_entropy", "squared_error", "squared_hinge"),
)
_METRICS = ("accuracy", "log_loss", "mae", "mse", "perplexity", "r2")
_PLAIN = Vocabulary({})
# A whole program preprocesses by itself, so it receives the statistics beside the examples.
_WITH_STATISTICS = Preprocessor(lambda x, weights: (), lambda statistics, x: {"statistics": statistics, "x": x})
_LOSS = Vocabulary({f"jreg.losses.{name}": getattr(losses, name) for name in _LOSSES})
_METRIC = Vocabulary({f"jreg.metrics.{name}": getattr(metrics, name) for name in _METRICS})


def described(recipe: Recipe, hp: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a recipe that evaluation needs as JSON has them, and in ``"unnamed"`` why some can't be named.

    Args:
      recipe: built with `hp`.
      hp: its hyperparameters; those that it takes as they are go by name.
    """
    found: dict[str, Any] = {"reconstruct": recipe.reconstruct}
    unnamed = {}
    parts: dict[str, Callable[[], Any]] = {
        "model": lambda: _module(recipe.model, hp),
        "preprocess": lambda: _preprocessor(recipe.preprocess, hp),
        "targets": lambda: _preprocessor(recipe.targets, hp),
        "loss": lambda: _LOSS.plain(recipe.loss, hp),
        "metrics": lambda: _metrics(recipe.metrics, hp),
    }
    for name, part in parts.items():
        try:
            found[name] = part()
        except UnnamedError as error:
            found[name], unnamed[name] = None, str(error)
    return {**found, "unnamed": unnamed}


def rebuildable(found: Mapping[str, Any]) -> bool:
    """Whether what a recipe's network computes can be made from what `described` wrote."""
    return not found["unnamed"].keys() & {"model", "preprocess", "targets"}


def recipe_of(found: Mapping[str, Any], link: str | None, model: Any = None) -> Callable[..., Recipe]:
    """A recipe function that makes what `described` wrote.

    Args:
      found: what was written.
      link: of the loss.
      model: in place of the one that was written, with the preprocessing in it.

    Raises:
      ValueError: it names what no table has.
    """
    inside = model is not None
    unknown = [name for name in ("loss", "metrics") if name in found["unnamed"]]
    # Loss and metrics are in the units of scaled targets, which the outputs of a whole program aren't.
    unknown += ["targets"] if inside and (found["targets"] or "targets" in found["unnamed"]) else []
    unknown += ["examples to reconstruct"] if inside and found["reconstruct"] else []

    def refused(outputs: Any, targets: Any) -> Any:
        del outputs, targets
        raise ValueError(
            f"evaluate needs the recipe, whose {unknown[0]} the saved network can't name: "
            "jreg.load(folder, recipe=recipe); predict and outputs work without it"
        )

    refused.link = link  # ty: ignore[missing-attribute]

    def rebuilt(hp: Mapping[str, Any]) -> Recipe:
        module = model
        if not inside:
            from jreg.nn.described import VOCABULARY

            module = VOCABULARY.rebuilt(found["model"], hp)
        return Recipe(
            module,
            refused if unknown else _LOSS.rebuilt(found["loss"], hp),
            optax.identity(),
            metrics=None if unknown or found["metrics"] is None else _named(found["metrics"], hp),
            preprocess=_WITH_STATISTICS if inside else _preprocessing(found["preprocess"], hp),
            targets=None if inside else _preprocessing(found["targets"], hp),
            reconstruct=not inside and bool(found["reconstruct"]),
        )

    return rebuilt


def _module(model: Any, hp: Mapping[str, Any]) -> Any:
    import sys

    # A module of Linen can only exist once Flax has been imported, which programs without it are spared.
    if "flax.linen" not in sys.modules:
        raise UnnamedError(f"{shown(model)} is no network of jreg.nn")
    from jreg.nn.described import VOCABULARY

    found = VOCABULARY.plain(model, hp)
    if not (isinstance(found, dict) and "class" in found):
        raise UnnamedError(f"{shown(model)} is no network of jreg.nn")
    return found


def _metrics(given: Mapping[str, Any] | None, hp: Mapping[str, Any]) -> Any:
    # Measures of the parameters are no part of an evaluation.
    if not given:
        return None
    scores = {name: metric for name, metric in given.items() if isinstance(metric, metrics.Metric)}
    return {name: _METRIC.plain(metric, hp) for name, metric in scores.items()}


def _named(found: Any, hp: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        raise ValueError(f"the metrics are {shown(found)}, but must be a dict of names")
    scores = {name: _METRIC.rebuilt(metric, hp) for name, metric in found.items()}
    # Without any name the task's own would stand in.
    return scores or {"none": metrics.of_params(lambda params: 0.0, maximize=False)}


def _preprocessor(given: Preprocessor | None, hp: Mapping[str, Any]) -> Any:
    if given is None:
        return None
    if given.made is None or given.made[0] not in _PREPROCESSORS:
        raise UnnamedError("it is no preprocessor of jreg.data's")
    name, arguments = given.made
    if name == "chain":
        return {"name": name, "parts": [_preprocessor(part, hp) for part in arguments["preprocessors"]]}
    if name == "by_part":
        parts = {**(arguments["parts"] or {}), **arguments.get("named", {})}
        return {"name": name, "parts": {part: _preprocessor(one, hp) for part, one in parts.items()}}
    return {"name": name, "arguments": {key: _PLAIN.plain(value, hp) for key, value in arguments.items()}}


def _preprocessing(found: Any, hp: Mapping[str, Any]) -> Preprocessor | None:
    if found is None:
        return None
    name = found.get("name") if isinstance(found, Mapping) else None
    if not isinstance(name, str) or name not in _PREPROCESSORS:
        raise ValueError(f"the preprocessing {shown(name)} is none of {', '.join(_PREPROCESSORS)}")
    if name == "chain":
        parts = [_preprocessing(part, hp) for part in found["parts"]]
        return data.chain(*parts)  # ty: ignore[invalid-argument-type]
    if name == "by_part":
        return data.by_part({part: _preprocessing(one, hp) for part, one in found["parts"].items()})  # ty: ignore[invalid-argument-type]
    return _PREPROCESSORS[name](**{key: _PLAIN.rebuilt(value, hp) for key, value in found["arguments"].items()})
