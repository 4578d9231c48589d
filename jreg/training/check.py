"""Finding faults before anything long begins: the plan of a training, made of settings that are tried on shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jreg._base import checks
from jreg._base.types import Array
from jreg.data import Dataset
from jreg.objective import Penalty
from jreg.recipe import Hyperparameters, Recipe, Steps, build, naming
from jreg.splits import Folds
from jreg.training import blame, class_weights, doors
from jreg.training.averages import warn_of_one_row
from jreg.training.columns import Column, check_labels, find
from jreg.training.dry_run import dry_run, remembered, two_examples
from jreg.training.inputs import examples
from jreg.training.plan import Plan, block_size
from jreg.training.stopping import EarlyStopping


def make_plan(
    recipe: Callable[..., Recipe],
    samples: Sequence[tuple[Mapping[str, Any], Recipe]],
    static: tuple[tuple[str, Any], ...],
    data: Dataset,
    folds: Folds,
    epochs: int,
    batch_size: int,
    stopping: EarlyStopping | None,
    before: tuple[Column, ...] = (),
    keep: Sequence[Callable[..., Any]] = (),
    block: int | None = None,
) -> Plan:
    """The plan of trainings that share the static part of `samples`.

    Each sample, a setting and the recipe made from it with plain numbers, runs a step on shapes, to find faults
    before the long compilation.

    Args:
      before: columns that the history has in any case: those of settings planned earlier, which come first.
      block: examples evaluated at once; default: by `block_size`.

    Raises:
      ValueError: a number is out of range, stopping monitors what isn't measured, a label has no output unit, or
        these samples measure other metrics than those of `before`.
      TypeError: a number has the wrong type.
    """
    doors.check_stopping(stopping)
    made = samples[0][1]
    # Never more than the data has; how many rows a fold has, or how far it is padded, plays no part.
    size = min(made.batch_size or checks.count(batch_size, "batch_size"), len(data))
    epochs = checks.count(epochs, "epochs")
    splits = ["train", *(split for split in ("stopping", "validation") if _any(folds, split))]
    _check_weights(data, folds)
    holes = data.missing == "keep" and any(_has_nan(leaf) for leaf in jax.tree.leaves(data.x))
    measured: dict[tuple[str, str, str], Column] = {column.key: column for column in before}
    output_bytes = 0
    for setting, sample in samples:
        with naming(setting):
            if holes:
                _check_imputed(sample, data)
            with blame.whole_numbers(_known(setting), lambda values: dry_run(build(recipe, values), data)):
                numbers, output_bytes = remembered(recipe, setting, sample, data)
            class_weights.check(sample, data)
            own = _columns(sample, data, splits, numbers)
        if before and {c.key for c in own if c.kind != "penalty"} != {c.key for c in before if c.kind != "penalty"}:
            raise ValueError("the recipe measures other metrics in some settings than in others: give all the same")
        measured |= {column.key: column for column in own if column.key not in measured}
    warn_of_one_row(made.model, two_examples(made, data), np.asarray(folds.train_count), made.batch_size or batch_size)
    columns = tuple(measured.values())
    check_labels(columns)
    if stopping:
        stopping = _resolved(stopping, columns)
    counts = [np.atleast_1d(folds.part(split)[1]) for split in ("stopping", "validation") if split in splits]
    block = block or block_size(np.concatenate(counts) if counts else np.zeros(1, int))
    return Plan(recipe, static, data.task, epochs, size, block, stopping, columns, output_bytes, tuple(keep))


def sampled(
    recipe: Callable[..., Recipe], settings: Sequence[Mapping[str, Any]], steps: Steps
) -> list[tuple[Mapping[str, Any], Recipe]]:
    """Settings, and the recipes made from them with plain numbers, as `make_plan` tries them."""
    found = []
    for hp in settings:
        with naming(hp), blame.whole_numbers(_known(hp), lambda values: build(recipe, values, steps)):
            found.append((hp, build(recipe, hp, steps)))
    return found


def _known(setting: Mapping[str, Any]) -> dict[str, Any]:
    return setting.peek() if isinstance(setting, Hyperparameters) else dict(setting)


def sample_steps(data: Dataset, folds: Folds, epochs: int, batch_size: int) -> Steps:
    """What a recipe with a second argument receives when it is tried with plain numbers."""
    size = checks.count(batch_size, "batch_size")
    epochs = checks.count(epochs, "epochs")
    steps = -(-int(np.max(folds.train_count)) // min(size, len(data)))
    return Steps(np.int32(steps), np.int32(steps * epochs))


def _any(folds: Folds, split: str) -> bool:
    """Whether some fold has rows of a split."""
    rows, _ = folds.part(split)
    return rows is not None and rows.shape[-1] > 0


def _resolved(stopping: EarlyStopping, columns: Sequence[Column]) -> EarlyStopping:
    """The rule with its column and the better end of that: rows to stop on stand in for those that score."""
    column = find(columns, stopping.monitor, "EarlyStopping monitors")
    if any(other.split == "stopping" for other in columns):
        if column.split not in ("stopping", "validation"):
            raise ValueError(
                f"EarlyStopping monitors {column.label!r}, which needs no rows of its own: leave validation_fraction "
                "out, or monitor 'stop_loss' or another column of the rows that it sets aside"
            )
        column = column._replace(split="stopping")
    return dataclasses.replace(stopping, monitor=column.label).towards(column.maximize)


def _check_weights(data: Dataset, folds: Folds) -> None:
    """Raises ValueError where the rows of a fold count nothing, so that there is nothing to train or to score on."""
    if data.weights is None:
        return
    splits = {"training": (folds.train, folds.train_count), "validation": folds.part("validation")}
    if folds.stopping is not None:
        splits["stopping"] = folds.part("stopping")
    for number in range(len(folds.train)):
        for part, (all_rows, counts) in splits.items():
            rows, count = all_rows[number], counts[number]
            if count and not np.any(data.weights[rows[:count]] > 0):
                raise ValueError(
                    f"the {part} rows of fold {number} all have weight 0 in {data.name}: give each fold rows that count"
                )


def _has_nan(leaf: Any) -> bool:
    return leaf.dtype.kind == "f" and bool(np.isnan(leaf).any())


def _columns(
    recipe: Recipe, data: Dataset, splits: Sequence[str], numbers: dict[tuple[str, str, str], Any]
) -> list[Column]:
    """The columns of a recipe's history, of the numbers that a step of it measures."""
    known = recipe.metrics_for(data.task)

    def maximize(kind: str, name: str) -> bool:
        return kind != "loss" and known[name if name in known else name.split("/")[0]].maximize

    outputs = [key[1:] for key in numbers if key[0] == "train"]
    rest = [key[1:] for key in numbers if key[0] == ""]
    found = [Column(split, kind, name, maximize(kind, name)) for split in splits for kind, name in outputs]
    found.insert(len(outputs), Column("train", "penalty", ""))
    found += [Column("", kind, name, maximize(kind, name)) for kind, name in rest]
    return found + [Column("train", "penalty", name) for name in (recipe.penalty or Penalty()).names]


def _check_imputed(recipe: Recipe, data: Dataset) -> None:
    """Sends an example without a single value through preprocessing: training on NaN would only diverge."""

    def empty(leaf: Any) -> Array:
        if leaf.dtype.kind != "f":
            return jnp.zeros((2, *leaf.shape[1:]), leaf.dtype)
        return jnp.stack([jnp.full(leaf.shape[1:], value, jnp.float32) for value in (0, jnp.nan)])

    statistics, x = (), jax.tree.map(empty, data.x)
    if recipe.preprocess:
        statistics = recipe.preprocess.fit(x, jnp.ones(2, jnp.float32))
    found = jax.tree.leaves(examples(recipe, (statistics,), x))
    if any(not isinstance(leaf, Tracer) and leaf.dtype.kind == "f" and jnp.isnan(leaf).any() for leaf in found):
        raise ValueError(
            f"{data.name} has missing values, and the recipe's preprocess leaves them NaN: put jreg.data.impute() "
            "first in its chain"
        )
