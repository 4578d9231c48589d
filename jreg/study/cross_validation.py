"""Every fold x every setting x every seed of a study, trained by one compiled program."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base import checks
from jreg._base.names import shown
from jreg.data import Dataset
from jreg.engine import Layout
from jreg.executors import Ray
from jreg.recipe import Recipe
from jreg.report.progress import Progress
from jreg.search.racing import Race
from jreg.search.space import Space
from jreg.study import going_on, pods
from jreg.study.design import Design, Trainings
from jreg.study.executing import check_executor, executing
from jreg.study.observing import observers
from jreg.study.policies import Everything, Racing
from jreg.study.policy import Policy
from jreg.study.run import run
from jreg.study.study import Study
from jreg.training import EarlyStopping, Keep


def cross_validate(
    recipe: Callable[..., Recipe],
    data: Dataset,
    space: Space | Iterable[Mapping[str, Any]],
    *,
    cv: Any = 5,
    seeds: int | Iterable[int] = 1,
    epochs: int,
    batch_size: int = 64,
    stopping: EarlyStopping | None = None,
    validation_fraction: float | None = None,
    race: Race | None = None,
    warm: str | None = None,
    score: str | None = None,
    keep: Sequence[Keep] | None = None,
    error_score: float | str = np.nan,
    store: str | Path | None = None,
    layout: Layout | None = None,
    executor: Ray | None = None,
    timeout: float | None = None,
    shard: str | tuple[int, int] | None = None,
    progress: bool | Callable[[Progress], None] | Sequence[Callable[[Progress], None]] = True,
) -> Study:
    r"""Trains every setting on every fold with every seed and scores it on the fold's validation rows.

    .. math:: \text{score}(\lambda) = \frac1{KS} \sum_{k=1}^K \sum_{s=1}^S \text{score of training}(\lambda, k, s)

    Settings whose static part is the same train in one compiled program; the numbers in them are traced. A
    training's result depends on its setting, fold and seed and on nothing else. With early stopping the score is
    taken at the best epoch, on the rows that chose it, which flatters every setting; with `validation_fraction` other
    rows choose the epoch, and the score of a setting is honest. That of the best setting stays flattered by the choice
    among settings: judge the final network by the test set (`refit`).

    Args:
      recipe: a function of the hyperparameters that returns a `Recipe`.
      data: its test set is not touched.
      space: what `grid` returns, or a list of settings.
      cv: a number of folds (stratified for classification, shuffled with seed 0, groups kept together), a scikit-learn
        splitter, or pairs of (training rows, validation rows).
      seeds: how many seeds, 0, 1, ..., or which; they set the initial weights, the order of examples and dropout.
      epochs: the most passes over the training rows.
      batch_size: examples per step, unless the recipe says otherwise.
      stopping: early stopping; default: all trainings run for all epochs.
      validation_fraction: a share of each fold's training rows, such as 0.1, that is not trained on but stopped on, so
        that no row that scores a training also chooses its epoch. Classes keep their shares, groups stay together, and
        the same fold always has the same rows. The history has columns of them, ``"stop_loss"`` and so on, and a column
        of the validation rows that `stopping` monitors stands for that of the rows to stop on: the default
        ``"val_loss"`` for ``"stop_loss"``. Default: training stops on the rows that score it.
      race: gives settings up early, such as `successive_halving`, `hyperband`, `paired_elimination`,
        `anytime_elimination` and `forgiving_elimination`; default: all are trained to their end.
      warm: the name of a traced strength along which each training starts from the network of the next larger
        strength, as glmnet computes a regularization path; default: every training starts from fresh weights.
      score: the label of a validation column that ranks the settings; default: ``"val_"`` and the recipe's first
        metric.
      keep: functions of a `jreg.training.Finished`, run on the device when a training ends, whose results outlive it:
        `jreg.keep.outputs`, `jreg.keep.network`, or your own. Default: outputs, where those of all trainings stay
        under 256 MiB.
      error_score: the score of a training that diverges, as in scikit-learn; NaN, the default, leaves its setting
        without a mean, and ``"raise"`` ends the study, with what has been finished in the store.
      store: a folder that keeps what is asked and found while the study trains, or a `jreg.store.Folder`. Where it has
        the same study already, or one with fewer settings, folds or seeds, only what is missing is trained, so that a
        study that was killed goes on.
      layout: devices and slots; default: `choose_layout` decides by rule, and a measurement in a long study.
      executor: who trains, such as ``jreg.executors.Ray(num_workers=4)``; default: this process, on its own devices.
      timeout: seconds after which the study ends in good order, with what has been found by then; default: none.
      shard: the share of the trainings that this process trains, such as ``"3/16"``, ``(3, 16)`` or ``"auto/16"``, see
        `jreg.study.Shard`; `jreg.merge` joins the stores of all of them. Default: all trainings, or with a store after
        ``jax.distributed.initialize()`` the share of this process, into a folder of its own in `store`, where process 0
        joins them at the end; ``"0/1"`` is all trainings even then.
      progress: True shows it on standard error; False doesn't; a function, or several, are called with each
        `jreg.report.Progress`.

    Returns:
      A `Study`.

    Raises:
      ConnectionError: there is no cluster for `executor`, or none of its workers is left.
      FloatingPointError: a training diverges, and `error_score` is ``"raise"``.
      KeyError: the recipe reads a hyperparameter that is not in the space.
      TypeError: an argument, or what the recipe returns, has the wrong type; or a traced value stands where
        Python needs a number.
      ValueError: a value is out of range, the data doesn't fit the folds, or `store` has another study.

    >>> import optax
    >>> from jreg import Recipe, grid, load_dataset, losses, nn
    >>> recipe = lambda hp: Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.adam(hp["learning_rate"]))
    >>> study = cross_validate(
    ...     recipe, load_dataset("wine"), grid(learning_rate=[1e-4, 1e-1]), cv=3, epochs=5, progress=False
    ... )
    >>> study.scores.shape
    (2, 3, 1)

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), algorithm 5.1.
    """
    if race is not None and not isinstance(race, Race):
        raise TypeError(
            f"race is a {type(race).__name__}, but must be a jreg.Race, such as jreg.successive_halving(least=3)"
        )
    if race is not None and warm is not None:
        raise ValueError("a warm path trains every setting to its end, so it can't race: give race or warm, not both")
    if not isinstance(layout, Layout | None):
        raise TypeError(
            f"layout is {shown(layout)}, but must be a jreg.Layout, such as jreg.Layout(jax.local_devices(), 4)"
        )
    checks.seconds(timeout, "timeout")
    check_executor(executor, layout, shard)
    begun, (place, own) = time.monotonic(), pods.share_of(shard, store, executor)
    if own is not None and (race is not None or warm is not None):
        why = "race decides by all scores" if warm is None else "warm path goes on from network to network"
        raise ValueError(
            f"shard is {own}, but a {why}, so its trainings can't be dealt out: leave out "
            f"{'race' if warm is None else 'warm'}, or have one process train all: shard='0/1'"
        )
    asked: dict[str, Any] = {"cv": cv, "seeds": seeds, "epochs": epochs, "batch_size": batch_size, "stopping": stopping}
    asked["validation_fraction"] = validation_fraction
    with place as kept, observers(progress) as watching:
        design = Design.of(recipe, data, space, warm=warm, score=score, keep=keep, error_score=error_score, **asked)
        how = {} if race is None else going_on.described(race)
        if race is not None and race.needs_rows:
            design = going_on.keeping_rows(design)
        design = going_on.asked(design, kept, how, default_keep=keep is None)
        policy = policy_of(design, race) if own is None else Everything([own.share(design.everything())], own)
        known = going_on.layouts(design, kept)
        wanted: dict[str, Any] = {"trainings": int(np.prod(_shape(design))), "measures": own is None}
        with executing(executor, design, layout, known, **wanted) as trains:
            found = run(design, policy, trains, kept, watching, timeout)
        study = Study.of(*found, trains, kept)
    pods.join(place, own, study.results, begun)
    return study


def policy_of(design: Design, race: Race | None) -> Policy:
    """What trains all of a design's settings, or as far as a race lets them."""
    spec = design.spec
    if race is not None:
        return Racing(race, race.rounds(_shape(design), spec.epochs))
    if spec.warm is None:
        return Everything([design.everything()])
    paths = np.array(spec.space.paths(spec.warm))
    path, fold, seed = (axis.reshape(-1) for axis in np.indices((len(paths), *_shape(design)[1:])))
    seeds = np.asarray(spec.seeds, np.int64)[seed]
    return Everything([Trainings(paths[path], fold, seeds, spec.epochs, spec.epochs)])


def _shape(design: Design) -> tuple[int, int, int]:
    return len(design.spec.settings), len(design.spec.folds), len(design.spec.seeds)
