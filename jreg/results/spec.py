"""What a study asks, as plain values: settings, folds, seeds, options."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from jreg._base import checks
from jreg._base.names import cut
from jreg.results.values import canonical, plain, restored, tuples
from jreg.search.space import Setting, Space
from jreg.splits import repeats
from jreg.training import FINAL, Column, EarlyStopping

# What a training is computed by; another NumPy or Python changes nothing.
COMPUTED_BY = ("jreg", "jax", "jaxlib", "flax", "optax")


class FoldRows(NamedTuple):
    """One fold.

    Attributes:
      number: from which the keys of its trainings are derived; never given twice.
      role: ``"validation"``, ``"inner"``, ``"outer"``, ``"final"`` or ``"bootstrap"``; scores of different roles are
        never averaged together.
      train: row numbers to train on.
      validation: row numbers to score on; none for the final training.
      stopping: row numbers to stop on; none where that is done on those to score on.
    """

    number: int
    role: str
    train: np.ndarray
    validation: np.ndarray
    stopping: np.ndarray = np.arange(0)

    def __repr__(self) -> str:
        stops = f"{len(self.stopping)} to stop on, " if len(self.stopping) else ""
        rows = f"{len(self.train)} rows to train on, {stops}{len(self.validation)} to score on"
        return f"FoldRows({self.number}, {self.role}: {rows})"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Spec:
    """What a study asks; it knows no code and no data, and grows without renumbering what is there.

    Attributes:
      data: the data set's name.
      rows: how many rows it has that are not for the test.
      task: ``"classification"``, ``"multilabel"`` or ``"regression"``.
      space: the settings in the order in which they were asked for, and what says how regularized one is.
      folds: in the order in which they were asked for.
      seeds: the seeds' numbers.
      epochs: the most passes over the training rows.
      batch_size: examples per step, unless the recipe says otherwise.
      block: examples that an evaluation takes at once; kept by additions, because last bits may depend on it.
      stopping: early stopping, or None.
      validation_fraction: the share of each fold's training rows that is set aside to stop on; None where that is done
        on the rows that score.
      warm: the strength along which trainings begin from each other's networks, or None.
      score: the column that ranks the settings.
      columns: of the history.
      keep: names of the keep functions.
      versions: of the packages that matter.
      policy: what decides which trainings run, as plain values; {} for all of them.
      fingerprint: of the data, as a digest; "" where nothing is stored.
      error_score: the score of a training that diverged or failed, in units of `score`; NaN where it has none,
        ``"raise"`` where the first one ends the study.

    Raises:
      ValueError, TypeError: `error_score` is neither a number that isn't infinite nor ``"raise"``.
    """

    data: str
    rows: int
    task: str
    space: Space
    folds: tuple[FoldRows, ...]
    seeds: tuple[int, ...]
    epochs: int
    batch_size: int
    block: int
    stopping: EarlyStopping | None
    warm: str | None
    score: Column
    columns: tuple[Column, ...]
    keep: tuple[str, ...]
    versions: dict[str, str]
    policy: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fingerprint: str = ""
    error_score: float | str = math.nan
    validation_fraction: float | None = None

    def __post_init__(self) -> None:
        wanted = "but must be a finite number, float('nan') or 'raise'"
        if isinstance(self.error_score, str) and self.error_score == "raise":
            return
        if isinstance(self.error_score, bool) or not isinstance(self.error_score, Real):
            raise TypeError(f"error_score is {cut(repr(self.error_score))}, {wanted}")
        if math.isinf(self.error_score):
            raise ValueError(f"error_score is {self.error_score}, {wanted}")
        object.__setattr__(self, "error_score", float(self.error_score))

    @property
    def score_of_errors(self) -> float:
        """The score of a training that diverged or failed; NaN where it has none."""
        return self.error_score if isinstance(self.error_score, float) else math.nan

    def __repr__(self) -> str:
        asked = f"{len(self.settings)} settings x {len(self.folds)} folds x {len(self.seeds)} seeds"
        return f"Spec({self.data}: {asked}, {self.epochs} epochs, ranked by {self.score.label})"

    @property
    def final(self) -> FoldRows:
        """The fold of all rows, on which the final network trains."""
        return FoldRows(FINAL, "final", np.arange(self.rows), np.arange(0))

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The hyperparameters of each setting."""
        return self.space.settings

    @property
    def digest(self) -> str:
        """The SHA-256 of all that is asked, by which a network knows its study."""
        settings = [plain(list(setting.values())) for setting in self.settings]
        found = hashlib.sha256(json.dumps([self.head(), settings], sort_keys=True).encode())
        for fold in self.folds:
            for part in rows_key(*fold[2:]):
                found.update(part)
        return found.hexdigest()

    @property
    def ranking_role(self) -> str:
        """The role of the folds whose scores rank the settings: inner folds where settings are chosen inside others."""
        return "inner" if {fold.role for fold in self.folds} == {"inner", "outer"} else "validation"

    def numbered(self, role: str | None = None) -> tuple[FoldRows, ...]:
        """The folds of a role; default: those whose scores rank the settings."""
        role = role or self.ranking_role
        return tuple(fold for fold in self.folds if fold.role == role)

    @functools.cached_property
    def repeats(self) -> np.ndarray | None:
        """``(folds,)``, which repeat each validation fold belongs to, see `jreg.splits.repeats`; None for one alone."""
        return repeats(fold.validation for fold in self.numbered())

    @property
    def repeat_count(self) -> int:
        """How many repeats of a k-fold the validation folds are, 1 where they are none."""
        return 1 if self.repeats is None else int(self.repeats.max()) + 1

    def of_folds(self, numbers: Iterable[int]) -> Spec:
        """The same with these folds alone, in this order, as validation folds: a study that is part of this one."""
        known = {fold.number: fold for fold in self.folds}
        folds = tuple(known[number]._replace(role="validation") for number in numbers)
        return dataclasses.replace(self, folds=folds, policy={})

    def grown(
        self,
        settings: Iterable[Mapping[str, Any]] = (),
        folds: Iterable[tuple[Any, ...]] = (),
        seeds: Iterable[int] = (),
    ) -> Spec:
        """The same with more settings, folds and seeds behind those there are, which keep their numbers.

        What is there already isn't added again: a setting is its values, a fold its sets of rows: to train on, to score
        on and, where there are any, to stop on.

        Raises:
          ValueError: a setting has other hyperparameters than the space.
        """
        known = {canonical_or_id(setting) for setting in self.settings}
        named = {canonical_or_id(setting): dict(setting) for setting in settings}
        new = [setting for name, setting in named.items() if name not in known]
        for setting in new:
            if set(setting) != set(self.space.axes):
                raise ValueError(
                    f"the setting {cut(str(setting))} has other hyperparameters than the study: "
                    f"{cut(str(self.settings[0]))}"
                )
        known_folds = {rows_key(*fold[2:]) for fold in self.folds}
        first = 1 + max((fold.number for fold in self.folds if fold.number < FINAL), default=-1)
        given = [tuple(checks.rows(part, self.rows, "a fold to add") for part in parts) for parts in folds]
        more = [parts for key, parts in {rows_key(*parts): parts for parts in given}.items() if key not in known_folds]
        added = tuple(FoldRows(first + n, "validation", *parts) for n, parts in enumerate(more))
        return dataclasses.replace(
            self,
            space=extended(self.space, new),
            folds=self.folds + added,
            seeds=tuple(dict.fromkeys((*self.seeds, *seeds))),
        )

    def appended(self, setting: Setting, columns: tuple[Column, ...]) -> Spec:
        """The same with one more setting, which may be there already, as a search asks for it.

        The values of the axes are listed by `listed` at the end, which would otherwise be done for each setting.
        """
        space = self.space._replace(settings=(*self.space.settings, setting))
        return dataclasses.replace(self, space=space, columns=columns)

    def listed(self) -> Spec:
        """The same with axes that list the values of all settings, traced ones in ascending order."""
        columns = {name: [setting[name] for setting in self.settings] for name in self.space.axes}
        traced = self.space.traced
        axes = {name: tuple(dict.fromkeys(sorted(c) if name in traced else c)) for name, c in columns.items()}
        return dataclasses.replace(self, space=self.space._replace(axes=axes))

    def head(self) -> dict[str, Any]:
        """The specification as plain values, without settings and folds, of which there may be many."""
        space = {
            "axes": plain(self.space.axes),
            "traced": list(self.space.traced),
            "logarithmic": plain(self.space.logarithmic),
            "order": plain(self.space.order),
            # Their names are in the settings, and nobody may import by those.
            "functions": [name for name, values in self.space.axes.items() if any(map(callable, values))],
        }
        stopping = None if self.stopping is None else dataclasses.asdict(self.stopping)
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        simple = {name: plain(value) for name, value in own.items() if name not in ("space", "folds", "stopping")}
        return simple | {"space": space, "stopping": stopping}

    @classmethod
    def of(cls, head: Mapping[str, Any], settings: Iterable[Mapping[str, Any]], folds: Iterable[FoldRows]) -> Spec:
        """The specification with this head, and settings as plain values.

        Raises:
          ValueError: there is no such specification.
        """
        try:
            space, traced = head["space"], tuple(head["space"]["traced"])
            axes = restored(space["axes"], traced)
            known = tuple(setting_of(setting, axes, frozenset(traced)) for setting in settings)
            # Earlier versions say nothing of the order of strength, nor of what has a default.
            logarithmic, order = (None if (v := space.get(n)) is None else tuple(v) for n in ("logarithmic", "order"))
            simple = {f.name: head[f.name] for f in dataclasses.fields(cls) if f.name in head}
            simple |= {
                # NaN is None in JSON.
                "error_score": math.nan if (value := head.get("error_score")) is None else value,
                "space": Space(axes, known, traced, logarithmic, order),
                "folds": tuple(folds),
                "stopping": None if head["stopping"] is None else EarlyStopping(**head["stopping"]),
                "seeds": tuple(head["seeds"]),
                "score": Column(*head["score"]),
                "columns": tuple(Column(*column) for column in head["columns"]),
                "keep": tuple(head["keep"]),
            }
            return cls(**simple)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"this is no specification of a study: {type(error).__name__} {error}") from error


def setting_of(found: Mapping[str, Any], names: Iterable[str], traced: frozenset[str]) -> Setting:
    """A setting from plain values: traced ones are floats again, lists are tuples."""
    return {name: float(found[name]) if name in traced else tuples(found[name]) for name in names}


def canonical_or_id(setting: Mapping[str, Any]) -> str:
    """`canonical`, with a local function standing for itself."""
    try:
        return canonical(setting)
    except ValueError:
        return repr(sorted((name, value if not callable(value) else id(value)) for name, value in setting.items()))


def rows_key(*parts: Any) -> tuple[bytes, ...]:
    """What tells a fold from others: its sets of rows, to train on, to score on and perhaps to stop on."""
    found = [np.sort(np.asarray(part, np.int64)).tobytes() for part in parts]
    return tuple(found[:2]) if not any(found[2:]) else tuple(found)


def extended(space: Space, settings: Sequence[Setting]) -> Space:
    """A space with more settings; new values of an axis come behind those it has, traced ones in ascending order.

    >>> from jreg.search import grid
    >>> extended(grid(l2=[0.1, 0.3]), [{"l2": 0.2}]).axes
    {'l2': (0.1, 0.2, 0.3)}
    """
    axes = {}
    for name, values in space.axes.items():
        listed = tuple(dict.fromkeys((*values, *(setting[name] for setting in settings))))
        if len(listed) > len(values) and name in space.traced:
            descends = len(values) > 1 and list(values) == sorted(values, reverse=True)
            listed = tuple(sorted(listed, reverse=descends))
        axes[name] = listed
    ordered = tuple({name: setting[name] for name in axes} for setting in settings)
    return space._replace(axes=axes, settings=space.settings + ordered)
