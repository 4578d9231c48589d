"""``jreg data``, and the options that say which data are meant."""

from __future__ import annotations

import dataclasses
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
from jreg.data.tables import MOST_CATEGORIES
from jreg.results.values import plain

# What is not given has no value that would say anything.
NOTHING: Any = {
    "help_behavior_hint": lambda default: "" if default in ("None", "False", "") else f"(default: {default})"
}
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv", **NOTHING)]
Column = Annotated[str | None, tyro.conf.arg(metavar="COLUMN", **NOTHING)]
Columns = Annotated[tuple[str, ...], tyro.conf.arg(metavar="COLUMN ...", **NOTHING)]
Task = Annotated[
    Literal["classification", "multilabel", "regression"] | None,
    tyro.conf.arg(metavar="{classification,multilabel,regression}", **NOTHING),
]
Sign = Annotated[str | None, tyro.conf.arg(metavar="SIGN", **NOTHING)]
Switch = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(**NOTHING)]
# Of files with data.
SUFFIXES = (".csv", ".tsv", ".npz", ".npy")
Limit = Annotated[int, tyro.conf.arg(metavar="INT")]


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """Which rows and columns of the data are used, and for what; most of them are of a .csv."""

    target: Column = None
    """the target column; by default the last one."""
    task: Task = None
    """what the targets are for; by default what they show, which is printed."""
    groups: Column = None
    """the column that says which rows belong together, such as a patient's number."""
    weights: Column = None
    """the column that says how much each row counts."""
    drop: Columns = ()
    """columns that are no features."""
    categorical: Columns = ()
    """columns whose values are categories though they look like numbers."""
    most_categories: Limit = MOST_CATEGORIES
    """categories that a column may have, each of which becomes a feature."""
    missing: Literal["reject", "keep"] = "reject"
    """keep missing values, which the recipe then imputes, or reject them."""
    unseen: Literal["error", "zeros"] = "error"
    """what a category becomes that only another table has, an error or zeros."""
    delimiter: Sign = None
    """what separates columns, such as ';' or tab; by default what the first line shows."""
    decimal: Annotated[str, tyro.conf.arg(metavar="SIGN")] = "."
    """the sign before the decimals of numbers, . or ,"""
    thousands: Sign = None
    """the sign between groups of three digits."""
    test: File = None
    """the test set, a .csv that is coded as the first; by default a share of the rows."""
    test_size: float = 0.2
    """share of rows held out for the test, where the data brings no test set."""

    def how(self, seed: int) -> dict[str, Any]:
        """What `jreg.load_dataset` takes."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        # No shell makes it easy to write a tab.
        own["delimiter"] = {"tab": "\t", "\\t": "\t"}.get(str(self.delimiter), self.delimiter)
        return {**own, "seed": seed}


ALL_ROWS = TableOptions()
# The options by which data are loaded, the types that JSON has of their values, and what they were before they existed.
_OPTIONS: dict[str, type | tuple[type, ...]] = {
    "target": (str, type(None)),
    "test": (str, type(None)),
    "groups": (str, type(None)),
    "weights": (str, type(None)),
    "drop": list,
    "categorical": list,
    "most_categories": int,
    "unseen": str,
    "delimiter": (str, type(None)),
    "decimal": str,
    "thousands": (str, type(None)),
    "task": (str, type(None)),
    "missing": str,
    "test_size": (int, float),
    "seed": int,
}
_BEFORE: dict[str, Any] = {
    **dict.fromkeys(("groups", "weights", "delimiter", "thousands")),
    "most_categories": 256,
    "decimal": ".",
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
    if isinstance(found, dict):
        found = {**_BEFORE, "categorical": found.get("categories"), **found}
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
    shape: Annotated[tuple[int, ...], tyro.conf.arg(metavar="HEIGHT WIDTH", **NOTHING)] = (),
    seed: int = 0,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png", **NOTHING)] = None,
    json: Switch = False,
    traceback: Switch = False,
    table: Annotated[TableOptions, tyro.conf.arg(name="rows and columns")] = ALL_ROWS,
) -> None:
    """Shows what is in a data set, and draws samples of images.

    Args:
      name: digits, breast_cancer, wine, diabetes, mnist, mnist1d, openml:NAME, or the path of an .npz, a .csv or a
        folder with x.npy and y.npy.
      shape: what flat examples are images of, such as 8 8 for digits.
      seed: of the choice of the test rows.
      out: the picture; by default runs/ and the data's name.
      json: print one JSON object on standard output and nothing else there.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    dataset = jreg.load_dataset(name, **table.how(seed))
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
