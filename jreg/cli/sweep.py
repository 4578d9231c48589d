"""``jreg sweep``."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import jreg
from jreg._base import checks
from jreg._base.files import free_folder
from jreg.cli.data import ALL_ROWS, NOTHING, SUFFIXES, Switch, TableOptions, noted
from jreg.cli.merge import finish_shard
from jreg.cli.output import next_steps, say
from jreg.cli.ray import Ray, executor_of
from jreg.cli.recipes import load_recipe, template_for
from jreg.cli.studies import FINAL, Clock, Noted, finish, going_on_by, resume_command, small_networks
from jreg.data.load import BUILT_IN
from jreg.data.summary import in_short, notes_on
from jreg.store import NAME
from jreg.study import Shard, default
from jreg.study.stopping_rows import fraction_of
from jreg.training.keep import KNOWN

Kept = tuple[Literal["outputs", "network", "train_scores"], ...]


@dataclasses.dataclass(frozen=True)
class FoldOptions:
    """How often each setting is trained, and on which rows it is scored."""

    cv: Annotated[int, tyro.conf.arg(aliases=("--folds",))] = 5
    """how many folds, parts that the non-test rows are split into."""
    outer: Annotated[int | None, tyro.conf.arg(metavar="INT", **NOTHING, aliases=("--nested",))] = None
    """outer folds of a nested cross-validation, whose --folds choose inside each of them: an honest estimate of
    the whole procedure, and no final network."""
    seeds: int = 1
    """trainings of each setting on each fold."""
    seed: int = 0
    """of the first training, and of the choice of the test rows."""
    validation_fraction: Annotated[float | None, tyro.conf.arg(metavar="FLOAT", **NOTHING)] = None
    """share of each fold's training rows to stop on, such as 0.1; by default training stops on the rows that
    score it, which flatters the scores."""
    error_score: float | Literal["raise"] = math.nan
    """what a training scores that diverges, a number, or raise to end the study there; by default its setting has
    no mean."""


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How long, and in which steps."""

    epochs: int = 100
    """the most passes over the training rows."""
    patience: int = 10
    """stop a training after this number of epochs without a better validation loss."""
    batch_size: int = 64
    """examples per step."""


@dataclasses.dataclass(frozen=True)
class FolderOptions:
    """Where the study is kept, and when it ends early."""

    store: Annotated[str | None, tyro.conf.arg(metavar="FOLDER", **NOTHING, aliases=("--out",))] = None
    """folder for the study; one that has the same study goes on with it. By default a new one, runs/ and the
    data's name."""
    restart: Switch = False
    """begin anew beside the folder, as FOLDER-2 and so on."""
    time_limit: Annotated[str | None, tyro.conf.arg(metavar="TIME", **NOTHING)] = None
    """end in good order after this time, such as 90s, 15m, 2h or 1d."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="NUMBER/OF", **NOTHING)] = None
    """train one of many shares of the trainings, such as 3/16, numbered from 0, into a folder of its own in FOLDER,
    for jreg merge; auto/16 takes the number from Slurm, Kubernetes or JAX."""
    ray: Ray = None
    """train on the workers of a Ray cluster: ADDRESS is HOST:PORT, or auto for the one that this machine belongs to; by
    default one on this machine alone."""
    ray_workers: Annotated[int | None, tyro.conf.arg(metavar="INT", **NOTHING)] = None
    """how many workers --ray has; by default as many as there is room for."""
    keep: Annotated[Kept, tyro.conf.arg(metavar="WHAT ...", **NOTHING)] = ()
    """what each training leaves in the folder: outputs, network, train_scores. By default outputs where they are few,
    and without a recipe all three where networks are small, so that the report has more to show."""


_FOLDS, _TRAINING, _FOLDER = FoldOptions(), TrainingOptions(), FolderOptions()


def sweep(
    recipe: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="RECIPE.py or DATA", **NOTHING)]] = None,
    /,
    *,
    data: Annotated[str | None, tyro.conf.arg(metavar="DATA", **NOTHING)] = None,
    recipe_template: Switch = False,
    quiet: Switch = False,
    json: Switch = False,
    traceback: Switch = False,
    table: Annotated[TableOptions, tyro.conf.arg(name="rows and columns")] = ALL_ROWS,
    folds: Annotated[FoldOptions, tyro.conf.arg(name="folds and seeds")] = _FOLDS,
    training: Annotated[TrainingOptions, tyro.conf.arg(name="training")] = _TRAINING,
    folder: Annotated[FolderOptions, tyro.conf.arg(name="folder and time")] = _FOLDER,
) -> None:
    """Cross-validates settings of a recipe in one compiled program, and tests the best one.

    Args:
      recipe: a Python file with recipe(hp) and space; without one, 12 settings of L2, dropout and max-norm. Or, without
        a recipe, the data.
      data: digits (which it is where nothing is named), breast_cancer, wine, diabetes, mnist, mnist1d, openml:NAME, or
        the path of an .npz, a .csv or a folder with x.npy and y.npy.
      recipe_template: print a recipe file for the data, to begin with, and train nothing.
      quiet: show neither progress nor what is noticed on the way: the results alone, and errors.
      json: print one JSON object on standard output and nothing else there.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    # Checked before the data is read, which takes longer.
    clock = Clock(folder.time_limit)
    executor = executor_of(folder.ray, folder.ray_workers, folder.shard)
    stopping = jreg.EarlyStopping(patience=training.patience)
    fraction_of(folds.validation_fraction, stopping)
    numbers = range(folds.seed, folds.seed + checks.count(folds.seeds, "seeds"))
    recipe, data = _places(recipe, data)
    made = None if recipe is None else load_recipe(recipe)
    how = table.how(folds.seed)
    dataset = jreg.load_dataset(data, **how)
    if recipe_template:
        say(template_for(dataset, data).removesuffix("\n"))
        return
    # What a data set that comes with a name is for is no guess.
    for line in [] if quiet else notes_on(dataset) if dataset.encoder is None else in_short(dataset):
        say(line, aside=True)
    function, space = made or default.study_for(dataset)
    if folder.store == "":
        raise ValueError("--store is empty, but must be the path of a folder, such as runs/digits")
    place = Path("runs") / dataset.name if folder.store is None else Path(folder.store)
    own = None if folder.shard is None else Shard.named(folder.shard)
    if own is not None:
        if folder.restart:
            raise ValueError(f"--shard {own} goes on with its folder, so it can't --restart: take another --out")
        place = place / own.folder
    elif folder.store is None or folder.restart:
        place = free_folder(place)
    goes_on = resume_command(place, recipe)
    with going_on_by(place, goes_on):
        kept = Noted(place, {**noted(data, how), "recipe": None if recipe is None else str(recipe)})
        asked: dict[str, Any] = {"seeds": numbers, "epochs": training.epochs, "batch_size": training.batch_size}
        asked |= {"stopping": stopping, "store": kept, "timeout": clock.left, "error_score": folds.error_score}
        asked |= {"validation_fraction": folds.validation_fraction, "progress": not quiet}
        asked["keep"] = [KNOWN[name] for name in dict.fromkeys(folder.keep)] or None
        if made is None and folds.outer is None and not folder.keep and not (place / NAME).exists():
            asked["keep"] = small_networks(function, dataset, space, folds.cv, len(numbers))
        asked |= {"shard": own, "executor": executor}
        if folds.outer is None:
            study = jreg.cross_validate(function, dataset, space, cv=folds.cv, **asked)
        else:
            study = jreg.nested_cross_validate(function, dataset, space, outer=folds.outer, inner=folds.cv, **asked)
        if own is not None:
            finish_shard(study.results, place, own, clock, goes_on, json)
            return
        finish(study, kept, function, clock, goes_on, json, quiet)
    if folds.outer is None and not quiet:
        say(next_steps(place, recipe, Path(data).suffix, (place / FINAL).is_dir()), aside=json)


def _places(recipe: Path | None, data: str | None) -> tuple[Path | None, str]:
    """The recipe file, and the data: one of them may stand alone.

    Raises:
      ValueError: both are data, or data are a recipe file.
    """
    named = str(recipe)
    known = named.startswith("openml:") or named in BUILT_IN or Path(named).suffix.lower() in SUFFIXES
    if recipe is not None and (known or (recipe / "x.npy").exists()):
        if data is not None:
            raise ValueError(
                f"{recipe} is data, and so is --data {data}: name one of them, and a recipe file before it"
            )
        return None, named
    if data is not None and Path(data).suffix == ".py":
        raise ValueError(f"--data {data} is a recipe file, which stands without an option: jreg sweep {data}")
    return recipe, "digits" if data is None else data
