"""A study whose settings are chosen while it runs, by the results so far."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jreg import training
from jreg._base import checks
from jreg._base.files import check_folder
from jreg.data import Dataset
from jreg.engine import measure
from jreg.engine.layout import Layout
from jreg.engine.pool import Population, members_of
from jreg.engine.program import Member
from jreg.recipe import Hyperparameters, Recipe
from jreg.report.progress import Display, Progress
from jreg.search.asking import Asker, Ending
from jreg.search.space import Setting, Space, traced_of, values_of
from jreg.splits import Folds, as_folds
from jreg.study.cross_validation import seeds_of
from jreg.study.groups import plan_group, ranked_by
from jreg.study.result import Study
from jreg.study.tally import Tally
from jreg.training import Plan, Rows
from jreg.training.stopping import EarlyStopping, higher_is_better

Static = tuple[tuple[str, Any], ...]


def optimize(
    recipe: Callable[[Any], Recipe],
    data: Dataset,
    asker: Asker,
    *,
    trials: int,
    cv: Any = 5,
    seeds: int | Iterable[int] = 1,
    epochs: int,
    batch_size: int = 64,
    stopping: EarlyStopping | None = None,
    every: int = 1,
    score: str | None = None,
    store: str | Path | None = None,
    layout: Layout | None = None,
    progress: bool | Callable[[Progress], None] = True,
) -> Study:
    """Trains settings that a search chooses: a free slot asks for the next, and results are told as they come.

    All folds and seeds of a trial train at once. Every so many epochs the asker is told the mean score of each trial
    after each of them (a training that has stopped counts with its final score), and may give the trial up. A trial
    with a diverged training has failed, and its other trainings are given up. Settings with the same static part share
    a compiled program; programs take turns. With a given layout that runs slots one by one the order of asking and
    telling, and so the result, doesn't depend on the clock.

    Args:
      recipe, data, cv, seeds, epochs, batch_size, stopping, score, store, progress: as in `cross_validate`.
      asker: `jreg.Optuna`, or anything with the methods of `jreg.search.Asker`.
      trials: how many settings to ask for; those that are open when Ctrl-C ends the search are told as failed.
      every: epochs that are trained before the asker is told of them.
      layout: devices and slots; None: at least a slot for each fold and seed.

    Returns:
      A `Study` of the settings in the order they were asked for.

    Raises:
      ValueError: a value is out of range, the asker's direction is not the score's, or a setting has other names than
        the first.
      TypeError: an argument, or what the recipe or the asker returns, has the wrong type.

    Source: Akiba et al., Optuna (2019), for ask and tell; Li et al., A system for massively parallel hyperparameter
    tuning (2020), for trials that don't wait for each other.
    """
    if store is not None:
        check_folder(store)
    if not all(callable(getattr(asker, name, None)) for name in ("ask", "report", "tell", "check")):
        raise TypeError(f"the asker is a {type(asker).__name__}, but must have the methods ask, report, tell and check")
    checks.count(trials, "trials")
    checks.count(every, "every")
    numbers, folds = seeds_of(seeds), as_folds(cv, data)
    search = _Search(recipe, data, asker, folds, numbers, epochs, batch_size, stopping, score, layout, trials)
    with contextlib.ExitStack() as stack:
        show = stack.enter_context(Display()) if progress is True else progress or (lambda progress: None)
        try:
            search.run(every, show)
        finally:
            # Also when Ctrl-C ends the search: what has been finished is kept.
            study = search.study()
            if study is not None and store is not None and search.tally.any_done:
                study.save(store)
            search.close()
    if study is None:
        raise ValueError("the asker gave no setting")
    return study


class _Search:
    """The trials that are open, and the programs they train in."""

    tally: Tally

    def __init__(
        self,
        recipe: Callable[[Any], Recipe],
        data: Dataset,
        asker: Asker,
        folds: Folds,
        seeds: tuple[int, ...],
        epochs: int,
        batch_size: int,
        stopping: EarlyStopping | None,
        score: str | None,
        layout: Layout | None,
        trials: int,
    ):
        self._recipe, self._data, self._asker, self._folds, self._seeds = recipe, data, asker, folds, seeds
        self._options = (epochs, batch_size, stopping)
        self._score, self._layout, self._trials = score, layout, trials
        self._settings: list[Setting] = []
        self._open: dict[int, Any] = {}
        self._static: dict[int, Static] = {}
        self._busy: dict[Static, int] = {}
        self._plans: dict[Static, Plan] = {}
        self._populations: dict[Static, Population] = {}
        self._columns: tuple[str, ...] = ()

    def run(self, every: int, show: Callable[[Progress], None]) -> None:
        """Asks, trains and tells until all trials have ended."""
        self._ask(show)
        # Trainings that were given up leave their slots when the program is called next.
        while self._open or self._populations:
            under_way = {}
            for static, population in list(self._populations.items()):
                with training.named_tracers(self._plans[static], _traced(self._settings[-1]), self._data, self._folds):
                    chunk = population.advance(every)
                self.tally.add(chunk)
                running = population.snapshot()
                self.tally.look(running.number, running.epochs, running.history)
                under_way[static] = running.number
                if not population.running and not population.queued:
                    # Its slots take memory; compiled it stays.
                    del self._populations[static]
            for number in list(self._open):
                self._follow(number)
            self._busy = {static: self.tally.unended(trainings) for static, trainings in under_way.items()}
            self.tally.running = sum(self._busy.values())
            show(self.tally.progress())
            self._ask(show)

    def _ask(self, show: Callable[[Progress], None]) -> None:
        """Asks for settings while slots are free."""
        while len(self._settings) < self._trials:
            waiting = sum(population.queued for population in self._populations.values())
            free = [p.lanes - self._busy.get(static, 0) for static, p in self._populations.items()]
            if self._populations and waiting >= max(free):
                return
            number = len(self._settings)
            self._open[number], setting = self._asker.ask()
            setting = self._checked(setting)
            traced = _traced(setting)
            static = tuple((name, value) for name, value in setting.items() if name not in traced)
            self._prepare(static, setting)
            self._settings.append(setting)
            self._static[number] = static
            values = {name: np.array([known[name] for known in self._settings]) for name in traced}
            wanted = np.ones((1, *self.tally.shape[1:]), bool)
            members = members_of(values, [[number]], wanted, self._seeds, self._options[0])
            if static not in self._populations:
                if self.tally.is_first(self._plans[static]):
                    show(self.tally.progress(compiling=wanted.size))
                self._populations[static] = self._population(static, members)
            self._populations[static].add(members)

    def _checked(self, setting: Any) -> Setting:
        if not isinstance(setting, Mapping):
            raise TypeError(f"the asker gave the setting {setting!r}, but must give a mapping of names to values")
        first = self._settings[0] if self._settings else setting
        if not setting or set(setting) != set(first):
            raise ValueError(
                f"the asker gave the setting {dict(setting)}, but all must have the same hyperparameters, at least "
                "one: give those that don't apply a fixed value"
            )
        found = {name: values_of(f"hyperparameter {name!r}", (setting[name],))[0] for name in first}
        for name in [name for name in found if self._settings and (name in _traced(found)) != (name in _traced(first))]:
            raise TypeError(
                f"the asker gave {name}={found[name]!r} after {first[name]!r}, but a hyperparameter is a floating "
                "number in all settings or in none"
            )
        return found

    def _prepare(self, static: Static, setting: Setting) -> None:
        """Checks a setting, and makes the plan of its static part when it is the first with it."""
        hp = Hyperparameters(setting)
        plan, columns = plan_group(self._recipe, [hp], static, self._data, self._folds, *self._options, self._columns)
        if not self._columns:
            self._score = ranked_by(self._score, columns)
            self._asker.check(higher_is_better(self._score))
            shape = (self._trials, self._folds.train.shape[0], len(self._seeds))
            self.tally = Tally(shape, columns, self._options[0], self._score)
            self.tally.begin(int(np.prod(shape)))
        self._columns = columns
        self.tally.widen(len(columns))
        self._plans.setdefault(static, plan)

    def _population(self, static: Static, members: Member) -> Population:
        plan, rows = self._plans[static], Rows(self._data.x, self._data.y)
        layout = self._layout
        if layout is None:
            layout = measure.by_rule(plan, members, rows, self._folds, self.tally.status.size)
            each = -(-int(np.prod(self.tally.shape[1:])) // len(layout.devices))
            # All trainings of a trial at once, so that its mean is known after each epoch.
            layout = layout.with_slots(-(-each // layout.batch) * layout.batch)
        with training.named_tracers(plan, _traced(self._settings[-1]), self._data, self._folds):
            return Population(plan, layout, _first(members), rows, self._folds)

    def _follow(self, number: int) -> None:
        """Tells what is new about a trial, and gives it up or ends it."""
        if (self.tally.status[number] == training.DIVERGED).any():
            self._give_up(number)
            self._end(number, "failed")
            return
        for epoch, mean in self.tally.news(number):
            goes_on = self._asker.report(self._open[number], epoch, mean)
            if not isinstance(goes_on, bool | np.bool_):
                raise TypeError(f"the asker's report returned {goes_on!r}, but must say whether the trial goes on")
            # Nothing is left to give up where all trainings have ended.
            if not goes_on and self._give_up(number):
                self._end(number, "pruned")
                return
        if (self.tally.status[number] != training.RUNNING).all():
            mean = float(self.tally.scores[number].mean())
            self._end(number, "complete" if np.isfinite(mean) else "failed", mean)

    def _give_up(self, number: int) -> list[int]:
        """Gives up the trainings of a trial that have not ended; returns their numbers."""
        dropped = self.tally.give_up(number).tolist()
        if dropped:
            self._populations[self._static[number]].drop(dropped)
        return dropped

    def _end(self, number: int, ending: Ending, score: float | None = None) -> None:
        self._asker.tell(self._open.pop(number), score if ending == "complete" else None, ending)

    def close(self) -> None:
        """Tells trials that have not ended as failed."""
        for number in list(self._open):
            self._end(number, "failed")

    def study(self) -> Study | None:
        """What has been found; None before there is a setting."""
        if not self._settings:
            return None
        count = len(self._settings)
        columns = {name: [setting[name] for setting in self._settings] for name in self._settings[0]}
        traced = traced_of(columns)
        listed = {name: tuple(dict.fromkeys(sorted(c) if name in traced else c)) for name, c in columns.items()}
        space = Space(listed, tuple(self._settings), traced)
        parts = (self._recipe, self._data, space, self._folds, self._seeds, *self._options)
        return Study(*parts, self._score or "", self._columns, **self.tally.findings(count))


def _traced(setting: Setting) -> Setting:
    return {name: value for name, value in setting.items() if isinstance(value, float)}


def _first(members: Member) -> Member:
    return jax.tree.map(lambda leaf: leaf[0], members)
