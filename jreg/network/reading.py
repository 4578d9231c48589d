"""Saved networks as they are read: checked before anything is built, and nothing in them is run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jreg._base import tensors
from jreg._base.machine import free_memory
from jreg._base.names import cut, shown
from jreg._base.types import PyTree
from jreg.data import Encoder
from jreg.network.saving import FORMAT, MODEL, PROGRAM, WEIGHTS

# Of model.json, whose longest parts are histories and the categories of a table.
_MOST_JSON = 2**25
_DTYPES = ("float16", "float32", "float64", "bool", "int8", "int16", "int32", "uint8", "uint16", "uint32")
_PARTS = ("params", "model_state", "statistics")


def read_model(folder: Path) -> dict[str, Any]:
    """What model.json says, with the fields of a network or an ensemble in their types.

    Raises:
      ValueError: there is none, or it isn't one of jreg's, or is damaged.
    """
    path = inside(folder, MODEL)
    try:
        found = json.loads(tensors.read_file(path, _MOST_JSON).decode(), parse_constant=_no_number)
    except RecursionError:
        raise ValueError(f"{path} is nested too deep to be a network of jreg's") from None
    except ValueError as error:
        raise ValueError(f"{path} can't be read as the description of a network: {cut(str(error))}") from None
    if not isinstance(found, dict) or found.get("kind") not in ("network", "ensemble"):
        raise ValueError(f"{path} is no description of a network of jreg's")
    if found.get("format") != FORMAT or isinstance(found["format"], bool):
        raise ValueError(
            f"{path} has the format {shown(found.get('format'))}, but this jreg reads format {FORMAT}: a newer jreg "
            "may have written it"
        )
    checks = _NETWORK if found["kind"] == "network" else _ENSEMBLE
    for name, (fits, what) in checks.items():
        if name not in found or not fits(found[name]):
            got = shown(found[name]) if name in found else "missing"
            raise ValueError(f"{path} is damaged: {name} is {got}, but must be {what}")
    return found


def read_weights(folder: Path, model: Mapping[str, Any]) -> dict[str, PyTree]:
    """Parameters, running averages and statistics by name.

    Raises:
      ValueError: there are none, or others than model.json was written with.
    """
    data = checked(folder, WEIGHTS, model["weights"]["sha256"])
    tree, _ = tensors.from_bytes(data)
    if not isinstance(tree, dict) or set(tree) != set(_PARTS):
        raise ValueError(f"{folder / WEIGHTS} has no {', '.join(_PARTS)}")
    if not isinstance(tree["statistics"], list | tuple) or len(tree["statistics"]) != 2:
        raise ValueError(f"{folder / WEIGHTS} has no statistics of examples and of targets")
    return {name: tree[name] for name in _PARTS}


def read_program(folder: Path, model: Mapping[str, Any]) -> bytes:
    """The bytes of the program.

    Raises:
      ValueError: there are none, or others than model.json was written with.
    """
    return checked(folder, PROGRAM, model["program"]["sha256"])


def checked(folder: Path, name: str, digest: str) -> bytes:
    """A file's bytes, if their SHA-256 is the one given."""
    path, free = inside(folder, name), free_memory()
    # The bytes, the arrays made of them, and both copied to a device.
    data = tensors.read_file(path, 2**40 if free is None else free // 4)
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(
            f"{path} isn't the file that {MODEL} was written with (its SHA-256 differs): it is damaged, cut off or "
            "from another network, so save the network again"
        )
    return data


def inside(folder: Path, name: str) -> Path:
    """The path of a file in a folder.

    Raises:
      ValueError: it is a link that leads out of the folder.
    """
    path = folder / name
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} is a link out of the folder, which isn't followed: put the file itself there")
    return path


def example_of(found: Any) -> PyTree:
    """One example as `jax.ShapeDtypeStruct`, or a tree of them.

    Raises:
      ValueError: it is none.
    """
    if isinstance(found, dict) and found.keys() == {"shape", "dtype"}:
        if not _is_shape(found["shape"]) or found["dtype"] not in _DTYPES:
            raise ValueError(f"an example has the shape {shown(found['shape'])} and dtype {shown(found['dtype'])}")
        return jax.ShapeDtypeStruct(tuple(found["shape"]), np.dtype(found["dtype"]))
    if isinstance(found, dict) and len(found) == 1:
        [(kind, parts)] = found.items()
        if kind == "dict" and isinstance(parts, dict) and parts:
            return {name: example_of(part) for name, part in parts.items()}
        if kind in ("list", "tuple") and isinstance(parts, list) and parts:
            return {"list": list, "tuple": tuple}[kind](map(example_of, parts))
    raise ValueError(f"an example is {shown(found)}, but must have a shape and a dtype")


def encoder_of(found: Mapping[str, Any] | None) -> Encoder | None:
    """The encoder that was written.

    Raises:
      ValueError: it isn't one.
    """
    if found is None:
        return None
    fields = {
        "columns": _is_texts,
        "categories": lambda v: isinstance(v, list) and all(one is None or _is_texts(one) for one in v),
        "target": lambda v: v is None or isinstance(v, str),
        "task": lambda v: v in ("classification", "multilabel", "regression"),
        "labels": lambda v: isinstance(v, list) and all(isinstance(one, str) or _is_number(one) for one in v),
        "drop": _is_texts,
        "unseen": lambda v: isinstance(v, str),
        "missing": lambda v: isinstance(v, str),
    }
    # What encoders didn't have from the beginning.
    later = {
        "offsets": lambda v: isinstance(v, list) and all(map(_is_number, v)) and len(v) in (0, len(found["columns"])),
        "delimiter": lambda v: v is None or isinstance(v, str),
        "decimal": lambda v: isinstance(v, str),
        "thousands": lambda v: v is None or isinstance(v, str),
    }
    wrong = [name for name, fits in fields.items() if name not in found or not fits(found[name])]
    wrong = wrong or [name for name in found if name not in fields and not (name in later and later[name](found[name]))]
    if wrong or len(found["columns"]) != len(found["categories"]):
        raise ValueError(f"the encoder's {cut(wrong[0]) if wrong else 'columns'} are damaged")
    return Encoder(**found)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON's")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 16 and all(map(_is_count, value)) and math.prod(value) < 2**31


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_written(value: Any) -> bool:
    return _is_number(value) or value in ("nan", "inf", "-inf")


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_digest(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("sha256"), str)


Check = tuple[Callable[[Any], bool], str]
_NETWORK: dict[str, Check] = {
    "task": (lambda v: v in ("classification", "multilabel", "regression"), "a task"),
    "link": (lambda v: v in (None, "softmax", "sigmoid", "identity"), "'softmax', 'sigmoid', 'identity' or null"),
    "classes": (_is_texts, "a list of texts"),
    "features": (_is_texts, "a list of texts"),
    "target_shape": (_is_shape, "a shape"),
    "example": (_is_dict, "an object"),
    "encoder": (lambda v: v is None or isinstance(v, dict), "an object or null"),
    "recipe": (lambda v: isinstance(v, dict) and isinstance(v.get("unnamed"), dict), "an object"),
    "hyperparameters": (_is_dict, "an object"),
    "traced": (_is_texts, "a list of texts"),
    "epochs": (_is_count, "a whole number"),
    "history": (
        lambda v: (
            isinstance(v, dict) and all(isinstance(one, list) and all(map(_is_written, one)) for one in v.values())
        ),
        "lists of numbers by name",
    ),
    "test": (lambda v: isinstance(v, dict) and all(map(_is_written, v.values())), "numbers by name"),
    "interval": (
        lambda v: v is None or (isinstance(v, list) and len(v) == 2 and all(map(_is_number, v))),
        "two numbers",
    ),
    "weights": (_is_digest, "an object with a sha256"),
    "program": (lambda v: v is None or _is_digest(v) or (isinstance(v, dict) and "error" in v), "an object or null"),
    "more": (_is_dict, "an object"),
}
_ENSEMBLE: dict[str, Check] = {"members": (lambda v: _is_count(v) and v > 0, "a whole number above 0")}
