"""What a study asks, bound to the recipe and the data that answer it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jreg import training
from jreg._base import checks
from jreg._base.names import cut
from jreg.data import Dataset
from jreg.engine import Job
from jreg.recipe import Hyperparameters, Recipe, check_read, extremes
from jreg.results import Spec
from jreg.results.spec import FoldRows
from jreg.search.space import Setting, Space, as_space, values_of
from jreg.splits import Folds, as_pairs, pack
from jreg.study.given import ranked_by, seeds_of
from jreg.study.stopping_rows import apart, fraction_of, set_apart
from jreg.study.trainings import Static, Trainings, grouped
from jreg.study.versions import versions
from jreg.training import Column, EarlyStopping, Keep, Plan, doors, keep

# Out-of-fold outputs are kept without being asked for up to this number of bytes in all.
KEPT_BYTES = 2**28


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Design:
    """A specification with the recipe and the data that it is about; every way to run a study begins with one.

    Attributes:
      spec: what is asked, as plain values.
      recipe: the function of the hyperparameters.
      data: what is trained on.
      plans: the static part of the trainings, by what is static in their settings.
      keep: functions of a `jreg.training.Finished` whose results outlive the training.
      failed: places of settings that a search asked for and that the recipe can't build; they have no plan.
      tried: by what is static the range of each traced hyperparameter within which settings were tried on shapes.
    """

    spec: Spec
    recipe: Callable[..., Recipe]
    data: Dataset
    plans: dict[Static, Plan]
    keep: tuple[Keep, ...]
    failed: frozenset[int] = frozenset()
    tried: dict[Static, dict[str, tuple[float, float]]] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Design({self.spec!r}, {self.data!r})"

    @classmethod
    def of(
        cls,
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
        warm: str | None = None,
        score: str | None = None,
        keep: Sequence[Keep] | None = None,
        error_score: float | str = np.nan,
        trainings: int | None = None,
        folds: Sequence[FoldRows] | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> Design:
        """Checks what `jreg.cross_validate` is given, and tries each kind of setting on shapes.

        `trainings` is how many there will be, where the space doesn't say; `folds`, with numbers and roles, take the
        place of `cv`; `policy` is what decides which trainings run, as plain values.
        """
        doors.check_data(data)
        doors.check_keep(keep)
        space, numbers = as_space(space), seeds_of(seeds)
        fraction = fraction_of(validation_fraction, stopping)
        if folds is None:
            folds = [FoldRows(number, "validation", *pair) for number, pair in enumerate(as_pairs(cv, data))]
        rows = set_apart(data, folds, fraction)
        count = trainings or len(space.settings) * len(rows) * len(numbers)
        epochs = checks.count(epochs, "epochs")
        first = Spec(
            data=data.name,
            rows=len(data),
            task=data.task,
            space=space,
            folds=rows,
            seeds=numbers,
            epochs=epochs,
            batch_size=batch_size,
            block=0,
            stopping=stopping,
            warm=warm,
            score=Column("validation", "loss", "loss"),
            columns=(),
            keep=(),
            versions=versions(),
            policy=dict(policy or {}),
            error_score=error_score,
            validation_fraction=fraction,
        )
        made = cls(first, recipe, data, {}, tuple(keep or ()))
        called = []
        for static, group in space.groups().items():
            settings = extremes(space, [space.settings[number] for number in group])
            samples = [Hyperparameters(setting) for setting in settings]
            made, called = made.planned(static, samples), called + samples
        check_read(space, called)
        if keep is None:
            made = made.with_outputs(count)
        spec = dataclasses.replace(made.spec, score=ranked_by(score, made.spec.columns))
        return dataclasses.replace(made, spec=spec)

    def with_outputs(self, trainings: int) -> Design:
        """The same with outputs kept, where those of this number of trainings stay under `KEPT_BYTES`."""
        each = max(plan.output_bytes for plan in self.plans.values()) * self.folds.validation.shape[-1]
        if each * trainings > KEPT_BYTES:
            return self
        return self.keeping((keep.outputs,))

    def keeping(self, functions: tuple[Keep, ...]) -> Design:
        """The same with these keep functions."""
        plans = {static: dataclasses.replace(plan, keep=functions) for static, plan in self.plans.items()}
        spec = dataclasses.replace(self.spec, keep=keep.names(functions))
        return dataclasses.replace(self, spec=spec, plans=plans, keep=functions)

    def planned(self, static: Static, samples: Sequence[Hyperparameters]) -> Design:
        """The same with a plan for settings of this static part, tried on `samples`.

        Raises:
          ValueError: these settings measure other metrics than those before them.
        """
        spec = self.spec
        steps = training.sample_steps(self.data, self.folds, spec.epochs, spec.batch_size)
        tried = training.sampled(self.recipe, samples, steps)
        plan = training.make_plan(
            self.recipe,
            tried,
            static,
            self.data,
            self.folds,
            spec.epochs,
            spec.batch_size,
            spec.stopping,
            spec.columns,
            self.keep,
            spec.block or None,
        )
        grown = dataclasses.replace(spec, columns=plan.columns, block=plan.block, keep=keep.names(self.keep))
        known = self.tried.get(static, {})
        ends = {}
        for name in spec.space.traced:
            values = [*known.get(name, ()), *(sample.peek()[name] for sample in samples)]
            ends[name] = min(values), max(values)
        # A plan that is there stays: its program is compiled.
        plans, tried = {static: plan, **self.plans}, {**self.tried, static: ends}
        return dataclasses.replace(self, spec=grown, plans=plans, tried=tried)

    @functools.cached_property
    def folds(self) -> Folds:
        """The folds as arrays, in the order of the specification, and behind them the fold of all rows.

        With rows to stop on it comes a second time, without and with such rows of its own.
        """
        rows = [*self.spec.folds, self.spec.final]
        if (fraction := self.spec.validation_fraction) is not None:
            [parts] = apart(self.data, [(self.spec.final.train, self.spec.final.validation)], fraction)
            rows.append(FoldRows(self.spec.final.number, self.spec.final.role, *parts))
        stopping = None if fraction is None else [fold.stopping for fold in rows]
        return pack([(fold.train, fold.validation) for fold in rows], [fold.number for fold in rows], stopping)

    def static_of(self, setting: Setting) -> Static:
        """What is static in a setting."""
        traced = self.spec.space.traced
        return tuple((name, value) for name, value in setting.items() if name not in traced)

    def appended(self, setting: Mapping[str, Any]) -> Design:
        """The same with one more setting, which is tried on shapes where it goes beyond those that were.

        Raises:
          ValueError, TypeError: it has other hyperparameters than the first setting, or of other kinds.
        """
        checked = self.checked(setting)
        static, made = self.static_of(checked), self
        ends = self.tried.get(static, {}).items()
        if static not in self.plans or any(not low <= checked[name] <= high for name, (low, high) in ends):
            made = self.planned(static, [Hyperparameters(checked)])
        # Another setting changes no fold, so the packed ones can stay.
        return _with_folds(dataclasses.replace(made, spec=made.spec.appended(checked, made.spec.columns)), self.folds)

    def grown(
        self,
        settings: Iterable[Mapping[str, Any]] = (),
        folds: Iterable[tuple[Any, Any]] = (),
        seeds: Iterable[int] = (),
    ) -> Design:
        """The same with more settings, folds and seeds; the numbers of those there are, and their results, stay."""
        before, folds = len(self.spec.settings), list(folds)
        new = apart(self.data, as_pairs(folds, self.data) if folds else [], self.spec.validation_fraction)
        spec = self.spec.grown([self.checked(setting) for setting in settings], new, seeds)
        made = dataclasses.replace(self, spec=dataclasses.replace(spec, columns=self.spec.columns))
        for setting in spec.settings[before:]:
            made = made.planned(made.static_of(setting), [Hyperparameters(setting)])
        return made

    def without_plan(self, setting: Mapping[str, Any]) -> Design:
        """The same with one more setting, which can't be trained."""
        spec = self.spec.appended(self.checked(setting), self.spec.columns)
        failed = self.failed | {len(self.spec.settings)}
        return _with_folds(dataclasses.replace(self, spec=spec, failed=failed), self.folds)

    def checked(self, setting: Any) -> Setting:
        """A setting as one of this study's.

        Raises:
          ValueError, TypeError: it has other hyperparameters than the first setting, or of other kinds.
        """
        if not isinstance(setting, Mapping):
            raise TypeError(f"the setting is {setting!r}, but must be a mapping of names to values")
        first = self.spec.settings[0]
        if set(setting) != set(first):
            raise ValueError(
                f"the setting {cut(str(dict(setting)))} has other hyperparameters than the first one, "
                f"{cut(str(first))}: give those that don't apply a fixed value"
            )
        found = {name: values_of(f"hyperparameter {name!r}", (setting[name],))[0] for name in first}
        for name in found:
            if isinstance(found[name], float) != isinstance(first[name], float):
                raise TypeError(
                    f"a setting has {name}={found[name]!r} after {first[name]!r}, but a hyperparameter is a floating "
                    "number in all settings or in none"
                )
        return found

    def everything(self, missing: Iterable[tuple[int, int, int]] | None = None) -> Trainings:
        """All trainings that rank the settings, or those of the (setting, fold number, seed) that are missing."""
        spec = self.spec
        if missing is None:
            places = [place for place, fold in enumerate(spec.folds) if fold.role == spec.ranking_role]
            grid = np.meshgrid(range(len(spec.settings)), places, spec.seeds, indexing="ij")
            settings, places, seeds = (axis.reshape(-1) for axis in grid)
        else:
            place = {fold.number: number for number, fold in enumerate(spec.folds)}
            found = [(setting, place[fold], seed) for setting, fold, seed in missing]
            settings, places, seeds = np.array(found, np.int64).reshape(-1, 3).T
        return Trainings(settings[:, None], places, seeds, spec.epochs, spec.epochs)

    def jobs(self, wanted: Trainings, ids: np.ndarray) -> Iterator[tuple[Plan, Job]]:
        """Trainings as jobs of the engine, those of one program together; `ids` has the shape of `wanted.settings`."""
        settings, groups = self.spec.settings, grouped(wanted, self.spec.settings, self.static_of)
        for static, rows in groups.items():
            chosen = wanted.settings[rows]
            # Of a million trainings' settings, folds and seeds few are different.
            numbers, which = np.unique(chosen, return_inverse=True)
            values = [settings[number] for number in numbers.tolist()]
            hp = {
                name: np.array([setting[name] for setting in values], np.float32)[which.reshape(chosen.shape)]
                for name in self.spec.space.traced
            }
            epochs, limit = (np.full(len(rows), value, np.int32) for value in (wanted.epochs, wanted.limit))
            fold, seed = wanted.folds[rows].astype(np.int32), wanted.seeds[rows].astype(np.uint32)
            pairs, which = np.unique(seed.astype(np.int64) * (fold.max() + 1) + fold, return_inverse=True)
            seeds, folds = np.divmod(pairs, fold.max() + 1)
            keys = training.streams_on_host(seeds.astype(np.uint32), self.folds.number[folds])[which.reshape(-1)]
            yield self.plans[static], Job(ids[rows].astype(np.int32), hp, fold, keys, epochs, limit)


def _with_folds(design: Design, folds: Folds) -> Design:
    design.__dict__["folds"] = folds
    return design
