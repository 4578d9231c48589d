"""The command line: ``jreg sweep`` and ``jreg data``."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro

import jreg
from jreg import report
from jreg._base import checks, interrupt
from jreg._base.files import check_folder, free_folder
from jreg.cli.arguments import parse
from jreg.cli.output import abandon, prepare, say
from jreg.data.load import BUILT_IN
from jreg.data.summary import in_short, notes_on, summarize, to_text
from jreg.recipe import Recipe
from jreg.results.summary import summary as summary_of
from jreg.results.values import plain
from jreg.search.space import Space, as_space
from jreg.store import write_results
from jreg.study import default

# What a wrong argument, file or value raises; anything else is a fault of jreg's own and keeps its traceback.
_USER_ERRORS = (ValueError, TypeError, KeyError, OSError, MemoryError)


def sweep(
    recipe: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="RECIPE.py")]] = None,
    /,
    *,
    data: str = "digits",
    target: str | None = None,
    task: Literal["classification", "multilabel", "regression"] | None = None,
    test: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None,
    drop: Annotated[tuple[str, ...], tyro.conf.arg(metavar="COLUMN ...")] = (),
    categories: Annotated[tuple[str, ...], tyro.conf.arg(metavar="COLUMN ...")] = (),
    unseen: Literal["error", "zeros"] = "error",
    missing: Literal["reject", "keep"] = "reject",
    cv: Annotated[int, tyro.conf.arg(aliases=("--folds",))] = 5,
    seeds: int = 1,
    epochs: int = 100,
    patience: int = 10,
    batch_size: int = 64,
    seed: int = 0,
    test_size: float = 0.2,
    store: Annotated[str | None, tyro.conf.arg(metavar="FOLDER", aliases=("--out",))] = None,
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    traceback: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
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
      seeds: trainings of each setting on each fold.
      epochs: the most passes over the training rows.
      patience: stop a training after this number of epochs without a better validation loss.
      batch_size: examples per step.
      seed: of the first training, and of the choice of the test rows.
      test_size: share of rows held out for the test, where the data brings no test set.
      store: folder for results and pictures; by default runs/ and the data's name.
      json: print one JSON object on standard output and nothing else there.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    # Checked before the data is read, which takes longer.
    stopping = jreg.EarlyStopping(patience=patience)
    numbers = range(seed, seed + checks.count(seeds, "seeds"))
    _check_places(recipe, data)
    made = None if recipe is None else load_recipe(recipe)
    how: dict[str, Any] = {"target": target, "test": test, "drop": drop, "categories": categories, "unseen": unseen}
    dataset = jreg.load_dataset(data, **how, task=task, missing=missing, test_size=test_size, seed=seed)
    # What a data set that comes with a name is for is no guess.
    for line in notes_on(dataset) if dataset.encoder is None else in_short(dataset):
        say(line, aside=True)
    function, space = made or default.study_for(dataset)
    if store == "":
        raise ValueError("--store is empty, but must be the path of a folder, such as runs/digits")
    folder = free_folder(Path("runs") / dataset.name) if store is None else Path(store)
    try:
        study = jreg.cross_validate(
            function,
            dataset,
            space,
            cv=cv,
            seeds=numbers,
            epochs=epochs,
            batch_size=batch_size,
            stopping=stopping,
            store=folder,
        )
        # Before the final training, which may fail.
        with report.Display(transient=True) as show:
            show(report.Progress.of_stage("drawing pictures"))
            report.save_pictures(study.results, folder)
        final = jreg.refit(study) if study.finished else None
        write_results(folder, study.results, report.test_result(final))
    except KeyboardInterrupt:
        written = (folder / "results.json").exists()
        raise KeyboardInterrupt(
            f"what had been finished is in {folder}" if written else "nothing had been finished"
        ) from None
    if json:
        _print_json(plain({**summary_of(study.results), **report.test_result(final)}))
    else:
        width = max(60, shutil.get_terminal_size((60, 24)).columns)
        say(report.summary(study.results, final, width=width))
    say(f"results and pictures are in {folder}", aside=json)


def show_data(
    name: tyro.conf.Positional[str],
    /,
    *,
    target: str | None = None,
    task: Literal["classification", "multilabel", "regression"] | None = None,
    test: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None,
    drop: Annotated[tuple[str, ...], tyro.conf.arg(metavar="COLUMN ...")] = (),
    categories: Annotated[tuple[str, ...], tyro.conf.arg(metavar="COLUMN ...")] = (),
    unseen: Literal["error", "zeros"] = "error",
    missing: Literal["reject", "keep"] = "reject",
    shape: Annotated[tuple[int, ...], tyro.conf.arg(metavar="HEIGHT WIDTH")] = (),
    test_size: float = 0.2,
    seed: int = 0,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None,
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    traceback: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> None:
    """Shows what is in a data set, and draws samples of images.

    Args:
      name: digits, breast_cancer, wine, diabetes, mnist, mnist1d, openml:NAME, or the path of an .npz, a .csv or a
        folder with x.npy and y.npy.
      target: the target column of a .csv; by default its last one.
      task: what the targets are for; by default what they show, which is printed.
      test: the test set of a .csv, coded as the first file; by default a share of its rows.
      drop: columns of a .csv that are no features.
      categories: columns of a .csv whose values are categories though they look like numbers.
      unseen: what a category becomes that only the test set has, an error or zeros.
      missing: keep missing values of a file or of OpenML, or reject them.
      shape: what flat examples are images of, such as 8 8 for digits.
      test_size: share of rows held out for the test, where the data brings no test set.
      seed: of the choice of the test rows.
      out: the picture; by default runs/ and the data's name.
      json: print one JSON object on standard output and nothing else there.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    how: dict[str, Any] = {"target": target, "test": test, "drop": drop, "categories": categories, "unseen": unseen}
    dataset = jreg.load_dataset(name, **how, task=task, missing=missing, test_size=test_size, seed=seed)
    found = summarize(dataset)
    path = None
    if out == Path():
        raise ValueError("--out is empty, but must be the path of a picture, such as runs/digits.png")
    if shape or out or dataset.x.ndim > 2:
        figure = report.samples(dataset, shape or None)
        path = out or Path("runs") / f"{dataset.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    if json:
        _print_json(plain(found | {"picture": None if path is None else str(path)}))
        return
    say(to_text(found))
    if path is not None:
        say(f"\nsamples are in {path}")


def _print_json(found: dict[str, Any]) -> None:
    say(json.dumps(found, allow_nan=False))


def _check_places(recipe: Path | None, data: str) -> None:
    """Raises ValueError where data stands in the recipe's place, or a recipe in that of the data."""
    named = str(recipe)
    known = named.startswith("openml:") or named in BUILT_IN or Path(named).suffix in (".csv", ".npz", ".npy")
    if recipe is not None and (known or (recipe / "x.npy").exists()):
        raise ValueError(f"{recipe} is data, and a recipe file stands there: jreg sweep --data {recipe}")
    if Path(data).suffix == ".py":
        raise ValueError(f"--data {data} is a recipe file, which stands without an option: jreg sweep {data}")


def load_recipe(path: Path) -> tuple[Callable[[Any], Recipe], Space]:
    """The function ``recipe`` and the ``space`` that a Python file defines.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it can't be run, or doesn't define both.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file: a recipe file ends in .py and defines recipe(hp) and space")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SystemExit as error:
        raise ValueError(f"{path} ends the program by sys.exit: a recipe file only defines recipe and space") from error
    except Exception as error:
        raise ValueError(f"{path} can't be run: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, "recipe", None)):
        raise ValueError(f"{path} has no function recipe(hp): define one that returns a jreg.Recipe")
    if not hasattr(module, "space"):
        raise ValueError(f"{path} has no space: define one, such as space = jreg.grid(l2=[1e-4, 1e-3])")
    return module.recipe, as_space(module.space)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; a mistake of the user's ends it with one sentence and exit code 2."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    prepare()
    interrupt.imported()
    try:
        if arguments == ["--version"]:
            say(f"jreg {jreg.__version__}")
            return
        _check_here()
        command = parse({"sweep": sweep, "data": show_data}, arguments)
        jreg.use_cpu_devices()
        _keep_programs()
        command()
    except BrokenPipeError:
        # Who read the output has seen enough; what is written into files has been written.
        abandon()
    except KeyboardInterrupt as error:
        say(f"jreg: interrupted{f'; {error}' if error.args else ''}", aside=True)
        raise SystemExit(130) from None
    except (*_USER_ERRORS, jax.errors.JaxRuntimeError) as error:
        if "--traceback" in arguments or (isinstance(error, jax.errors.JaxRuntimeError) and not _lacks_memory(error)):
            raise
        say(f"jreg: {_sentence(error)}", aside=True)
        raise SystemExit(2) from None


def _check_here() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ValueError("the working directory has been deleted: change to one that exists") from None


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _sentence(error: Exception) -> str:
    """What a person reads of an error, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    # str() of a KeyError is the repr of its sentence.
    text = " ".join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
    if _lacks_memory(error) and (not text or "RESOURCE_EXHAUSTED" in text):
        return "there is not enough memory for this study: take fewer rows, settings or seeds, or a smaller network"
    return text or type(error).__name__


def _keep_programs() -> None:
    """Lets JAX keep compiled programs in the user's cache, so that the same study compiles nothing the next time."""
    if jax.config.jax_compilation_cache_dir is not None:  # ty: ignore[missing-attribute]  # set at run time
        return
    import pooch

    folder = pooch.os_cache("jreg") / "programs"
    try:
        check_folder(folder)
    except ValueError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # JAX leaves out what compiles in less than a second; the small programs of a study count, too.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
