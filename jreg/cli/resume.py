"""``jreg resume``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro

import jreg
from jreg.cli.data import NOTHING, File, Switch, load_noted, noted
from jreg.cli.merge import finish_shard
from jreg.cli.output import next_steps, say
from jreg.cli.ray import Ray, executor_of
from jreg.cli.recipes import load_recipe
from jreg.cli.studies import FINAL, NOTE, Clock, Noted, finish, going_on_by, resume_command
from jreg.store import SHARD, load_note
from jreg.study import Shard, default


def resume(
    run: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]],
    recipe: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="RECIPE.py")]] = None,
    /,
    *,
    data: Annotated[str | None, tyro.conf.arg(metavar="DATA", **NOTHING)] = None,
    test: File = None,
    time_limit: Annotated[str | None, tyro.conf.arg(metavar="TIME", **NOTHING)] = None,
    ray: Ray = None,
    ray_workers: Annotated[int | None, tyro.conf.arg(metavar="INT", **NOTHING)] = None,
    json: Switch = False,
    traceback: Switch = False,
) -> None:
    """Goes on with a study of jreg sweep that was ended by whatever, with the options that it had.

    Args:
      run: the folder of the study.
      recipe: the recipe file with which it was begun, which is only run where it is named here.
      data: where the data are now, if they aren't where they were.
      test: where the test set of a .csv is now.
      time_limit: end in good order after this time, such as 90s, 15m, 2h or 1d.
      ray: train on the workers of a Ray cluster, as in jreg sweep.
      ray_workers: how many; by default as many as there is room for.
      json: print one JSON object on standard output and nothing else there.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    clock = Clock(time_limit)
    executor = executor_of(ray, ray_workers)
    if not run.is_dir():
        raise FileNotFoundError(f"there is no folder {run}: jreg resume takes the folder of a study")
    found = load_note(run, NOTE)
    # A stranger's note may hold anything.
    before = found.get("recipe") if isinstance(found, dict) and isinstance(found.get("recipe"), str) else None
    if before is not None and recipe is None:
        raise ValueError(
            f"{run} was trained with the recipe file {before}, which is code and runs only where it is named: "
            f"{resume_command(run, before)}"
        )
    if isinstance(found, dict) and before is None and recipe is not None:
        raise ValueError(f"{run} was trained without a recipe file: {resume_command(run, None)}")
    made = None if recipe is None else load_recipe(recipe)
    dataset = load_noted(found, run, data, test)
    function, space = made or default.study_for(dataset)
    goes_on = resume_command(run, recipe)
    with going_on_by(run, goes_on):
        moved = noted(data or found["data"], {**found, "test": test or found["test"]})
        kept = Noted(run, {**found, **moved})
        asked: dict[str, Any] = {"space": space, "timeout": clock.left, "executor": executor}
        study = jreg.resume(kept, function, dataset, **asked)
        if (shard := load_note(run, SHARD)) is not None:
            finish_shard(study.results, run, Shard.named(shard), clock, goes_on, json)
            return
        finish(study, kept, function, clock, goes_on, json)
    if (run / FINAL).is_dir():
        # Nothing is left to go on with.
        say(next_steps(run, recipe, Path(data or str(found["data"])).suffix, goes_on=False), aside=json)
