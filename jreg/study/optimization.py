"""A study whose settings are chosen while it runs, by the results so far."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jreg._base import checks
from jreg.data import Dataset
from jreg.engine import Layout
from jreg.executors import Ray
from jreg.recipe import Recipe
from jreg.report.progress import Progress
from jreg.search.asking import Asker, SharedAsker
from jreg.search.space import as_space
from jreg.splits import as_pairs
from jreg.store import NAME, Folder, Nowhere, folder_or_nowhere
from jreg.study import going_on
from jreg.study.asking import Asking
from jreg.study.design import Design
from jreg.study.executing import check_executor, executing
from jreg.study.given import seeds_of
from jreg.study.observing import observers
from jreg.study.run import run
from jreg.study.study import Study
from jreg.training import EarlyStopping, Keep, doors


def optimize(
    recipe: Callable[..., Recipe],
    data: Dataset,
    asker: Asker,
    *,
    trials: int,
    cv: Any = 5,
    seeds: int | Iterable[int] = 1,
    epochs: int,
    batch_size: int = 64,
    stopping: EarlyStopping | None = None,
    validation_fraction: float | None = None,
    every: int = 1,
    score: str | None = None,
    keep: Sequence[Keep] | None = None,
    error_score: float | str = math.nan,
    store: str | Path | None = None,
    layout: Layout | None = None,
    executor: Ray | None = None,
    timeout: float | None = None,
    progress: bool | Callable[[Progress], None] | Sequence[Callable[[Progress], None]] = True,
) -> Study:
    """Trains settings that a search chooses: a free slot asks for the next, and it receives results as they come.

    All folds and seeds of a trial train at once. After `every` epochs the asker receives the mean score of each trial
    after each of them (a training that has stopped counts with its final score), and may give the trial up. A trial
    with a diverged training has failed, unless `error_score` is a number, and its other trainings are given up.
    Settings with the same static part share a compiled program; programs take turns. With a given layout that runs
    slots one by one the order of asking and telling, and so the result, doesn't depend on the clock.

    Args:
      recipe, data, cv, seeds, epochs, batch_size, stopping, validation_fraction, score, keep, timeout, progress: as in
        `cross_validate`.
      store: as in `cross_validate`; a search that goes on asks its `asker` once more for the trials that were, so that
        its sampler needs a seed.
      asker: `jreg.Optuna`, or anything with the methods of `jreg.search.Asker`.
      trials: how many settings to ask for, of a search that processes share all of them together; those that are open
        when Ctrl-C ends the search end as failed, or wait in a shared search's store for who goes on.
      every: epochs that are trained before the asker receives their scores.
      error_score: as in `cross_validate`; where it is a number, a trial with a diverged training is complete. A recipe
        that raises for a later trial than the first leaves that trial's trainings failed, with a warning that says why,
        and ends the search with ``"raise"``.
      layout: devices and slots; default: at least one slot per fold and seed.
      executor: as in `cross_validate`; what is asked then depends on which worker answers first.

    Returns:
      A `Study` of the settings in the order they were asked for.

    Raises:
      FloatingPointError: a training diverges, and `error_score` is ``"raise"``.
      ValueError: a value is out of range, the asker's direction is not the score's, or a setting has other names than
        the first.
      TypeError: an argument, or what the recipe or the asker returns, has the wrong type.

    Source: Akiba et al., Optuna (2019), for ask and tell; Li et al., A system for massively parallel hyperparameter
    tuning (2020), for trials that don't wait for each other.
    """
    if not all(callable(getattr(asker, name, None)) for name in ("ask", "report", "tell", "check")):
        raise TypeError(f"the asker is a {type(asker).__name__}, but must have the methods ask, report, tell and check")
    checks.count(trials, "trials")
    checks.count(every, "every")
    checks.seconds(timeout, "timeout")
    check_executor(executor, layout)
    doors.check_data(data)
    numbers, pairs = seeds_of(seeds), as_pairs(cv, data)
    shared = asker if isinstance(asker, SharedAsker) and asker.shared else None
    policy, place = None, folder_or_nowhere(store)
    try:
        together = len(pairs) * len(numbers)
        options: dict[str, Any] = {
            "epochs": epochs,
            "batch_size": batch_size,
            "stopping": stopping,
            "validation_fraction": validation_fraction,
            "score": score,
            "keep": keep,
            "error_score": error_score,
        }
        with place as kept, observers(progress) as watching:
            owner = None if shared is None else _owner(kept)
            trial, setting = asker.ask() if shared is None else _first(shared, kept, trials, owner or {})
            policy = Asking(asker, trials, every, trial, owner)
            space = as_space([_checked(setting)])
            design = Design.of(recipe, data, space, cv=pairs, seeds=numbers, trainings=trials * together, **options)
            asker.check(design.spec.score.maximize)
            how = {"kind": "search", "asker": type(asker).__name__, "trials": trials, "every": every}
            how |= {} if shared is None else {"shared": True}
            design = going_on.asked(design, kept, how, default_keep=keep is None)
            known = going_on.layouts(design, kept)
            # All trainings of a trial at once, so that its mean is known after each epoch.
            wanted: dict[str, Any] = {"trainings": trials * together, "turns": True, "together": together}
            with executing(executor, design, layout, known, **wanted) as trains:
                design, results = run(design, policy, trains, kept, watching, timeout)
    finally:
        # Also when Ctrl-C ends the search.
        if policy is not None:
            policy.close(lasts=isinstance(place, Folder) and (place.folder / NAME).exists())
    return Study.of(design, results, trains, kept)


def _checked(setting: Any) -> Mapping[str, Any]:
    if not isinstance(setting, Mapping):
        raise TypeError(f"the asker gave the setting {setting!r}, but must give a mapping of names to values")
    if not setting:
        raise ValueError("the asker gave the setting {}, but must give at least one hyperparameter with its value")
    return setting


def _owner(store: Nowhere) -> dict[str, str]:
    """What the trials of a shared search know this process by, and a later one that goes on with its store."""
    place = str(store.folder.resolve()) if isinstance(store, Folder) else ""
    known = store.known(going_on.OWNER) if isinstance(store, Folder) else None
    return {"id": known["id"] if known else uuid.uuid4().hex, "store": place}


def _first(asker: SharedAsker, store: Nowhere, trials: int, owner: Mapping[str, str]) -> tuple[Any, Any]:
    """The first trial of this process and its setting: of one that goes on with a store the one that it was."""
    if (stored := store.stored()) is not None and stored.policy.get("shared"):
        if log := store.log():
            return asker.recall(log[0]["trial"]), stored.settings[0]
        # It ended before anything was stored of its first trial, as while that was compiled.
        asker.forget(owner, ())
        store.forget()
    asked = asker.ask_within(trials, owner)
    if asked is None:
        raise ValueError(
            f"the processes of this search have asked for {trials} trials already, so nothing is left for this one: "
            "read what they have stored, or search with more trials"
        )
    return asked
