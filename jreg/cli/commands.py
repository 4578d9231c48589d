"""The command line: ``jreg sweep`` and ``jreg data``."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro

import jreg
from jreg import report, store
from jreg._base import checks
from jreg._base.files import check_folder, free_folder
from jreg.data.summary import in_short, notes_on, summarize, to_text
from jreg.recipe import Recipe
from jreg.results.files import summary as summary_of
from jreg.results.values import plain
from jreg.search.space import Space, as_space
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
    folds: int = 5,
    seeds: int = 1,
    epochs: int = 100,
    patience: int = 10,
    batch_size: int = 64,
    seed: int = 0,
    test_size: float = 0.2,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None,
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
      folds: how many parts the non-test rows are split into.
      seeds: trainings of each setting on each fold.
      epochs: the most passes over the training rows.
      patience: stop a training after this number of epochs without a better validation loss.
      batch_size: examples per step.
      seed: of the first training, and of the choice of the test rows.
      test_size: share of rows held out for the test, where the data brings no test set.
      out: folder for results and pictures; by default runs/ and the data's name.
      json: print one JSON object on standard output and nothing else there.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    # Checked before the data is read, which takes longer.
    stopping = jreg.EarlyStopping(patience=patience)
    numbers = range(seed, seed + checks.count(seeds, "seeds"))
    made = None if recipe is None else load_recipe(recipe)
    how: dict[str, Any] = {"target": target, "test": test, "drop": drop, "categories": categories, "unseen": unseen}
    dataset = jreg.load_dataset(data, **how, task=task, missing=missing, test_size=test_size, seed=seed)
    # What a data set that comes with a name is for is no guess.
    for line in notes_on(dataset) if dataset.encoder is None else in_short(dataset):
        print(line, file=sys.stderr)
    function, space = made or default.study_for(dataset)
    folder = out or free_folder(Path("runs") / dataset.name)
    try:
        study = jreg.cross_validate(
            function,
            dataset,
            space,
            cv=folds,
            seeds=numbers,
            epochs=epochs,
            batch_size=batch_size,
            stopping=stopping,
            store=folder,
        )
        # Before the final training, which may fail.
        report.save_pictures(study.results, folder)
        final = jreg.refit(study) if study.finished else None
        store.write_results(folder, study.results, report.test_result(final))
    except KeyboardInterrupt:
        written = (folder / "results.json").exists()
        kept = f"what had been finished is in {folder}" if written else "nothing had been finished"
        print(f"jreg: interrupted; {kept}", file=sys.stderr)
        raise SystemExit(130) from None
    if json:
        _print_json(plain({**summary_of(study.results), **report.test_result(final)}))
    else:
        width = max(60, shutil.get_terminal_size((60, 24)).columns)
        print(report.summary(study.results, final, width=width))
    print(f"results and pictures are in {folder}", file=sys.stderr if json else sys.stdout)


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
    if shape or out or dataset.x.ndim > 2:
        figure = report.samples(dataset, shape or None)
        path = out or Path("runs") / f"{dataset.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    if json:
        _print_json(plain(found | {"picture": None if path is None else str(path)}))
        return
    print(to_text(found))
    if path is not None:
        print(f"\nsamples are in {path}")


def _print_json(found: dict[str, Any]) -> None:
    print(json.dumps(found, allow_nan=False))


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
    if arguments == ["--version"]:
        print(f"jreg {jreg.__version__}")
        return
    jreg.use_cpu_devices()
    _keep_programs()
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"sweep": sweep, "data": show_data},
            prog="jreg",
            description="Which regularization, how strong, and how sure?",
            args=arguments,
        )
    except _USER_ERRORS as error:
        if "--traceback" in arguments:
            raise
        # str() of a KeyError is the repr of its sentence.
        sentence = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"jreg: {sentence}", file=sys.stderr)
        raise SystemExit(2) from None


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
