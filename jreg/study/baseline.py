"""What a constant prediction scores, so that a table shows whether anything was learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from jreg import losses, metrics, training
from jreg.data import Preprocessor
from jreg.recipe import Recipe, build
from jreg.results import Baseline
from jreg.study.design import Design
from jreg.training import Column

_ACCURACY = (metrics.accuracy,)
_CROSS_ENTROPY = (metrics.log_loss, metrics.perplexity, losses.softmax_cross_entropy, losses.sigmoid_cross_entropy)
# Of the errors of numbers; the variance that is explained is no mean of errors.
_ERRORS: tuple[tuple[Any, Callable[[np.ndarray], np.ndarray]], ...] = (
    (metrics.mse, np.square),
    (metrics.mae, np.abs),
    (losses.squared_error, lambda error: np.square(error) / 2),
    (losses.absolute_error, np.abs),
)


def baseline(design: Design) -> Baseline | None:
    """The scores of the best constant prediction on each validation fold, computed in NumPy.

    For classes it is their shares among the fold's training rows, so that the accuracy is that of the majority class;
    for numbers it is the training rows' mean. Rows count by their weights.

    Args:
      design: of the study.

    Returns:
      None where the score is no loss or metric of outputs of jreg's own, settings don't agree about it, or it isn't
      finite, as the log loss of a class that a fold's training rows lack.
    """
    data, spec = design.data, design.spec
    made = _recipes(design)
    scored = [_scored(recipe, data.task, spec.score) for recipe in made]
    if any(one is not scored[0] for one in scored) or not isinstance(data.y, np.ndarray):
        return None
    function, weights = scored[0], np.ones(len(data)) if data.weights is None else data.weights.astype(np.float64)
    folds = [(fold.train, fold.validation) for fold in spec.numbered()]
    if not all(weights[train].any() for train, _ in folds):
        return None
    if data.task == "regression":
        scores, name = _of_numbers(data.y, weights, folds, function, [recipe.targets for recipe in made])
    else:
        scores, name = _of_classes(data.y, weights, folds, function, data.task)
    if not scores or not np.isfinite(scores).all():
        return None
    # As the networks' scores are, so that who predicts the same has the same score.
    repeats = () if spec.repeats is None else tuple(spec.repeats.tolist())
    return Baseline(name, tuple(float(np.float32(score)) for score in scores), repeats)


def _recipes(design: Design) -> list[Recipe]:
    """One of each compiled program."""
    spec = design.spec
    steps = training.sample_steps(design.data, design.folds, spec.epochs, spec.batch_size)
    groups = ([n for n in group if n not in design.failed] for group in spec.space.groups().values())
    return [build(design.recipe, spec.settings[group[0]], steps) for group in groups if group]


def _scored(recipe: Recipe, task: str, score: Column) -> Any:
    """The function behind the score; None where it isn't of outputs and the data's own targets."""
    if recipe.reconstruct or score.kind not in ("loss", "metric"):
        return None
    if score.kind == "loss":
        return recipe.loss if score.name == "loss" else None
    return recipe.metrics_for(task).get(score.name)


def _of_classes(
    y: np.ndarray, weights: np.ndarray, folds: Sequence[tuple[Any, Any]], function: Any, task: str
) -> tuple[list[float], str]:
    """Scores by fold of the shares of classes, or of each of several labels."""
    right, scores = any(function is known for known in _ACCURACY), []
    if (not right and not any(function is known for known in _CROSS_ENTROPY)) or y.min() < 0:
        return [], ""
    for train, validation in folds:
        known, of_row = y[train], weights[train]
        if task == "multilabel":
            share = np.average(known, axis=0, weights=of_row)
            probability = np.where(y[validation] == 1, share, 1 - share)
            hit = y[validation] == (share > 0.5)
        else:
            # Each of a row's labels, such as those of its tokens, counts for the row alike.
            each = np.broadcast_to(of_row.reshape(-1, *[1] * (y.ndim - 1)), known.shape)
            share = np.bincount(known.ravel(), each.ravel(), minlength=int(y.max()) + 1)
            share = share / share.sum()
            probability, hit = share[y[validation]], y[validation] == share.argmax()
        with np.errstate(divide="ignore"):
            value = _mean(hit if right else -np.log(probability), weights[validation])
        scores.append(float(np.exp(value)) if function is metrics.perplexity else value)
    return scores, "majority class" if right else "class frequencies"


def _of_numbers(
    y: np.ndarray,
    weights: np.ndarray,
    folds: Sequence[tuple[Any, Any]],
    function: Any,
    targets: Sequence[Preprocessor | None],
) -> tuple[list[float], str]:
    """Scores by fold of the training rows' mean."""
    error = next((f for known, f in _ERRORS if function is known), None)
    if error is None and function is not metrics.r2:
        return [], ""
    same, transform = _transform(targets, y)
    if not same:
        return [], ""
    scores = []
    for train, validation in folds:
        given = y
        if transform is not None:
            # Scores are in the units in which the loss is minimized.
            meant = np.zeros(len(y), np.float32)
            np.add.at(meant, train, weights[train])
            given = np.asarray(transform(y, meant))
        given = given.astype(np.float64)
        seen, of_row = given[validation], weights[validation]
        errors = seen - np.average(given[train], axis=0, weights=weights[train])
        if error is not None:
            scores.append(_mean(error(errors), of_row))
            continue
        spread = _mean(np.square(seen - np.average(seen, axis=0, weights=of_row)), of_row) if of_row.any() else 0
        scores.append(1 - _mean(np.square(errors), of_row) / spread if spread else np.nan)
    return scores, "training mean"


def _transform(targets: Sequence[Preprocessor | None], y: np.ndarray) -> tuple[bool, Any]:
    """Whether the recipes of all programs do the same to targets, and that, compiled: of all rows and their weights."""
    given = [one for one in targets if one is not None]
    if len(given) < len(targets) or not given:
        return not given, None
    functions = [partial(_transformed, one) for one in given]
    # Functions don't compare, but what JAX makes of them does.
    ones = np.ones(len(y), np.float32)
    first, *others = [jax.make_jaxpr(one)(y, ones) for one in functions]
    same = all(str(one) == str(first) and _equal(one.consts, first.consts) for one in others)
    return same, jax.jit(functions[0])


def _transformed(targets: Preprocessor, y: Any, weights: Any) -> Any:
    return targets.apply(targets.fit(y, weights), y)


def _equal(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(map(np.array_equal, some, others))


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean over rows of the mean of each row's values; NaN without any weight."""
    by_row = values.reshape(len(values), -1).mean(axis=1)
    return float(np.average(by_row, weights=weights)) if weights.any() else np.nan
