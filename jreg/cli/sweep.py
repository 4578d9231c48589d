"""``jreg sweep``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import jreg
from jreg._base import checks
from jreg._base.files import free_folder
from jreg.cli.data import Columns, File, Switch, Task, noted
from jreg.cli.output import say
from jreg.cli.recipes import load_recipe
from jreg.cli.studies import Clock, Noted, finish, going_on_by, resume_command
from jreg.data.load import BUILT_IN
from jreg.data.summary import in_short, notes_on
from jreg.study import default
from jreg.study.stopping_rows import fraction_of


def sweep(
    recipe: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="RECIPE.py")]] = None,
    /,
    *,
    data: str = "digits",
    target: str | None = None,
    task: Task = None,
    test: File = None,
    drop: Columns = (),
    categories: Columns = (),
    unseen: Literal["error", "zeros"] = "error",
    missing: Literal["reject", "keep"] = "reject",
    cv: Annotated[int, tyro.conf.arg(aliases=("--folds",))] = 5,
    outer: Annotated[int | None, tyro.conf.arg(metavar="INT", aliases=("--nested",))] = None,
    seeds: int = 1,
    epochs: int = 100,
    patience: int = 10,
    validation_fraction: float | None = None,
    batch_size: int = 64,
    seed: int = 0,
    test_size: float = 0.2,
    error_score: float | Literal["raise"] = math.nan,
    store: Annotated[str | None, tyro.conf.arg(metavar="FOLDER", aliases=("--out",))] = None,
    restart: Switch = False,
    time_limit: Annotated[str | None, tyro.conf.arg(metavar="TIME")] = None,
    json: Switch = False,
    traceback: Switch = False,
) -> None:
    """Cross-validates settings of a recipe in one compiled program, and tests the best one.

    Args:
      recipe: a Python file with recipe(hp) and space; without one, 12 settings of L2, dropout and max-norm.
      data: digits, breast_cancer, wine, diabetes, mnist, mnist1d, openml:NAME, or the path of an .npz, a .csv or a
        folder with x.npy and y.npy.
      target: the target column of a .csv; by default its last one.
      task: what the targets are for; by default what they show, which is printed.
      test: the test set of a .csv, coded as the first file; by default a share of its rows.
      drop: columns of a .csv that are no features.
      categories: columns of a .csv whose values are categories though they look like numbers.
      unseen: what a category becomes that only the test set has, an error or zeros.
      missing: keep missing values for the recipe to impute, or reject them.
      cv: how many folds, parts that the non-test rows are split into.
      outer: outer folds of a nested cross-validation, whose --folds choose inside each of them: an honest estimate of
        the whole procedure, and no final network.
      seeds: trainings of each setting on each fold.
      epochs: the most passes over the training rows.
      patience: stop a training after this number of epochs without a better validation loss.
      validation_fraction: share of each fold's training rows to stop on, such as 0.1; by default training stops on the
        rows that score it, which flatters the scores.
      batch_size: examples per step.
      seed: of the first training, and of the choice of the test rows.
      test_size: share of rows held out for the test, where the data brings no test set.
      error_score: what a training scores that diverges, a number, or raise to end the study there; by default its
        setting has no mean.
      store: folder for the study; one that has the same study goes on with it. By default a new one, runs/ and the
        data's name.
      restart: begin anew beside the folder, as FOLDER-2 and so on.
      time_limit: end in good order after this time, such as 90s, 15m, 2h or 1d.
      json: print one JSON object on standard output and nothing else there.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    # Checked before the data is read, which takes longer.
    clock = Clock(time_limit)
    stopping = jreg.EarlyStopping(patience=patience)
    fraction_of(validation_fraction, stopping)
    numbers = range(seed, seed + checks.count(seeds, "seeds"))
    _check_places(recipe, data)
    made = None if recipe is None else load_recipe(recipe)
    how: dict[str, Any] = {"target": target, "test": test, "drop": drop, "categories": categories, "unseen": unseen}
    how |= {"task": task, "missing": missing, "test_size": test_size, "seed": seed}
    dataset = jreg.load_dataset(data, **how)
    # What a data set that comes with a name is for is no guess.
    for line in notes_on(dataset) if dataset.encoder is None else in_short(dataset):
        say(line, aside=True)
    function, space = made or default.study_for(dataset)
    if store == "":
        raise ValueError("--store is empty, but must be the path of a folder, such as runs/digits")
    folder = Path("runs") / dataset.name if store is None else Path(store)
    folder = free_folder(folder) if store is None or restart else folder
    goes_on = resume_command(folder, recipe)
    with going_on_by(folder, goes_on):
        kept = Noted(folder, {**noted(data, how), "recipe": None if recipe is None else str(recipe)})
        asked: dict[str, Any] = {"seeds": numbers, "epochs": epochs, "batch_size": batch_size}
        asked |= {"stopping": stopping, "store": kept, "timeout": clock.left, "error_score": error_score}
        asked |= {"validation_fraction": validation_fraction}
        if outer is None:
            study = jreg.cross_validate(function, dataset, space, cv=cv, **asked)
        else:
            study = jreg.nested_cross_validate(function, dataset, space, outer=outer, inner=cv, **asked)
        finish(study, kept, function, clock, goes_on, json)


def _check_places(recipe: Path | None, data: str) -> None:
    """Raises ValueError where data stands in the recipe's place, or a recipe in that of the data."""
    named = str(recipe)
    known = named.startswith("openml:") or named in BUILT_IN or Path(named).suffix in (".csv", ".npz", ".npy")
    if recipe is not None and (known or (recipe / "x.npy").exists()):
        raise ValueError(f"{recipe} is data, and a recipe file stands there: jreg sweep --data {recipe}")
    if Path(data).suffix == ".py":
        raise ValueError(f"--data {data} is a recipe file, which stands without an option: jreg sweep {data}")
