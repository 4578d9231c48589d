"""``jreg data``, and the options that say which data are meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import jreg
from jreg import report
from jreg.cli.output import say, say_json
from jreg.data import Dataset
from jreg.data.load import BUILT_IN
from jreg.data.summary import summarize, to_text
from jreg.results.values import plain

Task = Literal["classification", "multilabel", "regression"] | None
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")]
Columns = Annotated[tuple[str, ...], tyro.conf.arg(metavar="COLUMN ...")]
Switch = Annotated[bool, tyro.conf.FlagCreatePairsOff]
# The options by which data are loaded, and the types that JSON has of their values.
_OPTIONS: dict[str, type | tuple[type, ...]] = {
    "target": (str, type(None)),
    "test": (str, type(None)),
    "drop": list,
    "categories": list,
    "unseen": str,
    "task": (str, type(None)),
    "missing": str,
    "test_size": (int, float),
    "seed": int,
}


def is_file(name: str) -> bool:
    """Whether data of this name come from files of the user's."""
    return name not in BUILT_IN and not name.startswith("openml:")


def noted(name: str, how: Mapping[str, Any]) -> dict[str, Any]:
    """Which data are meant, as plain values that mean the same in another working directory."""
    own = {option: list(value) if isinstance(value, tuple) else value for option, value in how.items()}
    test = None if how["test"] is None else str(Path(how["test"]).absolute())
    return {**own, "test": test, "data": str(Path(name).absolute()) if is_file(name) else name}


def load_noted(found: Any, place: Path, data: str | None, test: Path | None) -> Dataset:
    """The data that `noted` has said, or of the same options from where they are now.

    Raises:
      ValueError: there is no such note, or they can't be loaded.
    """
    types = {**_OPTIONS, "data": str}
    if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in types.items()):
        raise ValueError(
            f"{place} doesn't say which data it trained on, as studies of jreg sweep do: go on with it in Python, "
            "jreg.resume(folder, recipe, data)"
        )
    how: dict[str, Any] = {name: tuple(v) if isinstance(v := found[name], list) else v for name in _OPTIONS}
    if test is not None:
        how["test"] = test
    name = found["data"] if data is None else data
    if data is None and is_file(name) and not Path(name).exists():
        raise ValueError(f"the data of {place} are no longer at {name}: say where they are, --data PATH")
    return jreg.load_dataset(name, **how)


def show_data(
    name: tyro.conf.Positional[str],
    /,
    *,
    target: str | None = None,
    task: Task = None,
    test: File = None,
    drop: Columns = (),
    categories: Columns = (),
    unseen: Literal["error", "zeros"] = "error",
    missing: Literal["reject", "keep"] = "reject",
    shape: Annotated[tuple[int, ...], tyro.conf.arg(metavar="HEIGHT WIDTH")] = (),
    test_size: float = 0.2,
    seed: int = 0,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None,
    json: Switch = False,
    traceback: Switch = False,
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
        say_json(plain(found | {"picture": None if path is None else str(path)}))
        return
    say(to_text(found))
    if path is not None:
        say(f"\nsamples are in {path}")
