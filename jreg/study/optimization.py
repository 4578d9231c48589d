"""A study whose settings are chosen while it runs, by the results so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jreg._base import checks
from jreg.data import Dataset
from jreg.engine import Layout
from jreg.executors import Ray
from jreg.recipe import Recipe
from jreg.report.progress import Progress
from jreg.search.asking import Asker
from jreg.search.space import as_space
from jreg.splits import as_pairs
from jreg.store import folder_or_nowhere
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
      trials: how many settings to ask for; those that are open when Ctrl-C ends the search end as failed.
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
    trial, setting = asker.ask()
    policy = Asking(asker, trials, every, trial)
    try:
        if not isinstance(setting, Mapping):
            raise TypeError(f"the asker gave the setting {setting!r}, but must give a mapping of names to values")
        if not setting:
            raise ValueError("the asker gave the setting {}, but must give at least one hyperparameter with its value")
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
        space = as_space([setting])
        with folder_or_nowhere(store) as kept, observers(progress) as watching:
            design = Design.of(recipe, data, space, cv=pairs, seeds=numbers, trainings=trials * together, **options)
            asker.check(design.spec.score.maximize)
            how = {"kind": "search", "asker": type(asker).__name__, "trials": trials, "every": every}
            design = going_on.asked(design, kept, how, default_keep=keep is None)
            known = going_on.layouts(design, kept)
            # All trainings of a trial at once, so that its mean is known after each epoch.
            wanted: dict[str, Any] = {"trainings": trials * together, "turns": True, "together": together}
            with executing(executor, design, layout, known, **wanted) as trains:
                design, results = run(design, policy, trains, kept, watching, timeout)
    finally:
        # Also when Ctrl-C ends the search.
        policy.close()
    return Study.of(design, results, trains, kept)
