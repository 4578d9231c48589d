"""Every fold x every setting x every seed of a study, trained by one compiled program."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jreg import _check, population, training
from jreg.data import Dataset
from jreg.devices import Layout, choose_layout
from jreg.progress import Display, Progress
from jreg.recipe import Hyperparameters, Recipe, build, check_read, extremes, naming
from jreg.space import Space, as_space
from jreg.splits import Folds, as_folds
from jreg.stopping import EarlyStopping, higher_is_better
from jreg.store import check_folder
from jreg.study.result import Study, scores_of
from jreg.training import Plan


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
      score: a column of the history that ranks the settings; None: ``"val_"`` and the recipe's first metric.
      store: a folder for results.json, settings.csv, trainings.csv and curves.csv; on Ctrl-C they hold what has
        been finished.
      layout: devices and slots; None: `choose_layout` decides.
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
    numbers = _seeds(seeds)
    folds = as_folds(cv, data)
    plans, called = {}, []
    for static, group in space.groups().items():
        settings = [Hyperparameters(setting) for setting in extremes(space, space.settings[group[0]])]
        samples = [(hp, _build(recipe, hp)) for hp in settings]
        plans[static] = training.make_plan(recipe, samples, static, data, folds, epochs, batch_size, stopping)
        called += settings
    check_read(space, called)
    columns = next(iter(plans.values()))[1]
    if any(other != columns for _, other in plans.values()):
        raise ValueError("the recipe measures other metrics in some settings than in others: give all the same")
    ranked = score or next(name for name in columns if name.startswith("val_") and name != "val_loss")
    if ranked not in columns or not ranked.startswith("val_"):
        names = ", ".join(name for name in columns if name.startswith("val_"))
        raise ValueError(f"score is {ranked!r}, but a study can be ranked only by: {names}")
    shape = (len(space.settings), folds.train.shape[0], len(numbers))
    layout = layout or choose_layout(int(np.prod(shape)))
    tally = _Tally(shape, columns, epochs, ranked)
    whole = (recipe, data, space, folds, numbers, epochs, batch_size, stopping, ranked, columns)
    with contextlib.ExitStack() as stack:
        show = stack.enter_context(Display()) if progress is True else progress or (lambda progress: None)
        try:
            for static, group in space.groups().items():
                _run(plans[static][0], layout, group, space, data, folds, numbers, tally, show)
        finally:
            # Also when Ctrl-C ends the study: what has been finished is kept.
            study = Study(*whole, **tally.findings(), layout=layout)
            if store is not None and tally.done:
                study.save(store)
    return study


def _run(
    plan: Plan,
    layout: Layout,
    settings: list[int],
    space: Space,
    data: Dataset,
    folds: Folds,
    seeds: tuple[int, ...],
    tally: _Tally,
    show: Callable[[Progress], None],
) -> None:
    """Trains the settings of one static group and notes the outcomes in `tally`."""
    values = {name: np.array([space.settings[s][name] for s in settings], np.float32) for name in space.traced}
    members = population.members_of(values, len(settings), folds.train.shape[0], np.array(seeds, np.uint32))
    show(tally.progress(compiling=len(members.number)))
    with training.named_tracers(plan, {name: column[0] for name, column in values.items()}, data, folds):
        chunks = population.train(plan, layout, members, training.Rows(data.x, data.y), folds)
        for chunk in chunks:
            tally.add(chunk, np.array(settings))
            show(tally.progress())


def _build(recipe: Callable[[Any], Recipe], hp: Hyperparameters) -> Recipe:
    with naming(hp):
        return build(recipe, hp)


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(seeds, Iterable):
        numbers = tuple(_check.count(seed, "a seed", least=0) for seed in seeds)
        if not numbers or len(set(numbers)) < len(numbers) or max(numbers) >= 2**32:
            raise ValueError(f"seeds are {numbers}, but must be one or more different numbers below 2**32")
        return numbers
    return tuple(range(_check.count(seeds, "seeds")))


class _Tally:
    """The outcomes so far, as arrays ``(settings, folds, seeds, ...)``."""

    def __init__(self, shape: tuple[int, int, int], columns: tuple[str, ...], epochs: int, score: str):
        self.done = 0
        self._score, self._column = score, columns.index(score)
        self._history = np.full((*shape, epochs, len(columns)), np.nan, np.float32)
        self._epochs, self._best, self._status = (np.zeros(shape, np.int64) for _ in range(3))
        self._compile = self._run = 0.0
        self._useful = self._executed = 0

    def add(self, chunk: population.Chunk, settings: np.ndarray) -> None:
        """Notes what ended in a chunk; `settings` are the numbers of the settings its members count."""
        setting, fold, seed = np.unravel_index(chunk.outcomes.number, (len(settings), *self._status.shape[1:]))
        place = (settings[setting], fold, seed)
        self._history[place] = chunk.outcomes.history
        self._epochs[place], self._best[place] = chunk.outcomes.epochs, chunk.outcomes.best_epoch
        self._status[place] = chunk.outcomes.status
        self.done += len(chunk.outcomes.number)
        self._compile, self._run = self._compile + chunk.compile_seconds, self._run + chunk.run_seconds
        self._useful, self._executed = self._useful + chunk.useful, self._executed + chunk.executed

    def progress(self, compiling: int = 0) -> Progress:
        """Where the study stands."""
        total = self._status.size
        left = self._run / self.done * (total - self.done) if self.done else None
        return Progress(self.done, total, self._best_mean(), self._score, self._run, left, compiling)

    def _best_mean(self) -> float | None:
        means = scores_of(self._history[..., self._column], self._best, self._status).mean(axis=(1, 2))
        means = means[np.isfinite(means)]
        if not means.size:
            return None
        return float(means.max() if higher_is_better(self._score) else means.min())

    def findings(self) -> dict[str, Any]:
        """The part of a `Study` that was measured."""
        return {
            "history": self._history,
            "epochs_run": self._epochs,
            "best_epochs": self._best,
            "status": self._status,
            "compile_seconds": self._compile,
            "run_seconds": self._run,
            "occupancy": self._useful / max(1, self._executed),
        }
