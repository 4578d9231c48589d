"""Every fold x every setting x every seed of a study, trained by one compiled program."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base import checks
from jreg._base.files import check_folder
from jreg.data import Dataset
from jreg.engine.layout import Layout
from jreg.engine.pool import members_of
from jreg.recipe import Hyperparameters, Recipe, check_read, extremes
from jreg.report.progress import Display, Progress
from jreg.search.racing import Race, Round
from jreg.search.space import Space, as_space
from jreg.splits import as_folds
from jreg.study.groups import plan_group, ranked_by, train_group
from jreg.study.result import Study
from jreg.study.tally import Tally
from jreg.training.stopping import EarlyStopping


def cross_validate(
    recipe: Callable[[Any], Recipe],
    data: Dataset,
    space: Space | Iterable[Mapping[str, Any]],
    *,
    cv: Any = 5,
    seeds: int | Iterable[int] = 1,
    epochs: int,
    batch_size: int = 64,
    stopping: EarlyStopping | None = None,
    race: Race | None = None,
    warm: str | None = None,
    score: str | None = None,
    store: str | Path | None = None,
    layout: Layout | None = None,
    progress: bool | Callable[[Progress], None] = True,
) -> Study:
    r"""Trains every setting on every fold with every seed and scores it on the fold's validation rows.

    .. math:: \text{score}(\lambda) = \frac1{KS} \sum_{k=1}^K \sum_{s=1}^S \text{score of training}(\lambda, k, s)

    Settings whose static part is the same train in one compiled program; the numbers in them are traced. A
    training's result depends on its setting, fold and seed and on nothing else. With early stopping the score is
    taken at the best epoch, on the rows that chose it, which flatters every setting a little and alike: judge the
    final network by the test set (`refit`).

    Args:
      recipe: a function of the hyperparameters that returns a `Recipe`.
      data: its test set is not touched.
      space: what `grid` returns, or a list of settings.
      cv: a number of folds (stratified for classification, shuffled with seed 0), a scikit-learn splitter, or
        pairs of (training rows, validation rows).
      seeds: how many seeds, 0, 1, ..., or which; they set the initial weights, the order of examples and dropout.
      epochs: passes over the training rows at most.
      batch_size: examples a step, unless the recipe says otherwise.
      stopping: early stopping, or None.
      race: gives settings up early, such as `successive_halving`, `hyperband` and `paired_elimination`; None: all
        are trained to their end.
      warm: the name of a traced strength along which each training starts from the network of the next larger
        strength, as glmnet computes a regularization path; None: all start afresh.
      score: a column of the history that ranks the settings; None: ``"val_"`` and the recipe's first metric.
      store: a folder for results.json, settings.csv, trainings.csv and curves.csv; on Ctrl-C they hold what has
        been finished.
      layout: devices and slots; None: `choose_layout` decides by rule, and a measurement in a long study.
      progress: True shows it on standard error; False doesn't; a function is called with each `Progress`.

    Returns:
      A `Study`.

    Raises:
      KeyError: the recipe reads a hyperparameter that is not in the space.
      TypeError: an argument, or what the recipe returns, has the wrong type; or a traced value stands where
        Python needs a number.
      ValueError: a value is out of range, or the data doesn't fit the folds.

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
    if store is not None:
        check_folder(store)
    space = as_space(space)
    numbers = seeds_of(seeds)
    folds = as_folds(cv, data)
    shape = (len(space.settings), folds.train.shape[0], len(numbers))
    if race is not None and not isinstance(race, Race):
        raise TypeError(
            f"race is a {type(race).__name__}, but must be a jreg.Race, such as jreg.successive_halving(least=3)"
        )
    if race is not None and warm is not None:
        raise ValueError("a warm path trains every setting to its end, so it can't race: give race or warm, not both")
    lines = [[setting] for setting in range(shape[0])] if warm is None else space.paths(warm)
    rounds = race.rounds(shape, checks.count(epochs, "epochs")) if race else [_all(shape, epochs)]
    plans, called, columns = {}, [], ()
    for static, group in space.groups().items():
        settings = [
            Hyperparameters(setting) for setting in extremes(space, [space.settings[number] for number in group])
        ]
        plan, columns = plan_group(recipe, settings, static, data, folds, epochs, batch_size, stopping, columns)
        plans[static] = plan
        called += settings
    check_read(space, called)
    ranked = ranked_by(score, columns)
    tally = Tally(shape, columns, epochs, ranked)
    values = {name: np.array([setting[name] for setting in space.settings]) for name in space.traced}
    share = float(np.mean(folds.validation_count / folds.train_count))
    kept = np.zeros(shape[0], bool)
    groups = {static: set(group) for static, group in space.groups().items()}
    lines_of = {static: [line for line in lines if line[0] in group] for static, group in groups.items()}
    layouts = dict.fromkeys(lines_of, layout)
    with contextlib.ExitStack() as stack:
        show = stack.enter_context(Display()) if progress is True else progress or (lambda progress: None)
        try:
            for number, round_ in enumerate(rounds):
                kept |= round_.joins
                wanted = kept[:, None, None] & round_.trainings & tally.unfinished(round_.epochs)
                tally.begin(int(wanted.sum()), number, len(rounds))
                for static, own in lines_of.items():
                    members = members_of(values, own, wanted[[line[0] for line in own]], numbers, round_.epochs)
                    if len(members.fold):
                        # A race's later rounds train as its first one did.
                        layouts[static] = train_group(plans[static], layouts[static], members, data, folds, tally, show)
                if race and kept.any() and number + 1 < len(rounds):
                    dropped = kept & ~tally.keep(race, kept, number, round_.epochs, share)
                    kept &= ~dropped
                    tally.drop(dropped)
        finally:
            # Also when Ctrl-C ends the study: what has been finished is kept.
            study = Study(
                recipe,
                data,
                space,
                folds,
                numbers,
                epochs,
                batch_size,
                stopping,
                ranked,
                columns,
                **tally.findings(),
                warm=warm,
            )
            if store is not None and tally.any_done:
                study.save(store)
    return study


def seeds_of(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """The seeds' numbers, 0, 1, ... where only how many is said.

    Raises:
      ValueError: they are out of range, or one comes twice.
      TypeError: one is no whole number.
    """
    if isinstance(seeds, Iterable):
        numbers = tuple(checks.count(seed, "a seed", least=0) for seed in seeds)
        if not numbers or len(set(numbers)) < len(numbers) or max(numbers) >= 2**32:
            raise ValueError(f"seeds are {numbers}, but must be one or more different numbers below 2**32")
        return numbers
    return tuple(range(checks.count(seeds, "seeds")))


def _all(shape: tuple[int, int, int], epochs: int) -> Round:
    return Round(epochs, np.ones(shape[1:], bool), np.ones(shape[0], bool))
