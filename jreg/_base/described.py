"""Functions, modules and numbers as plain values of JSON and back, by explicit tables: nothing is looked up by name."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.names import cut, listed, shown

# Numbers of one array; more are weights, which have a file of their own.
_MOST = 10_000
_DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
# What Linen adds to the fields of every module.
_LINEN = ("parent", "name")


class UnnamedError(ValueError):
    """A value that no table has."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What a file may name.

    Attributes:
      functions: by name; calls with some arguments filled in (`functools.partial`) may be named, too.
      classes: dataclasses by name, such as Linen modules.
      words: the texts that a field of this name may have, whatever its class.
      makers: fields that may be a function without arguments that makes an instance of a class.
    """

    functions: Mapping[str, Callable[..., Any]]
    classes: Mapping[str, type] = dataclasses.field(default_factory=dict)
    words: Mapping[str, Collection[str]] = dataclasses.field(default_factory=dict)
    makers: Collection[str] = ()

    def plain(self, value: Any, hp: Mapping[str, Any]) -> Any:
        """A value as JSON has it; one that is an item of `hp` itself is named as that hyperparameter.

        Raises:
          UnnamedError: it can't be named.
        """
        for name, item in hp.items():
            if isinstance(item, jax.Array) and value is item:
                return {"hyperparameter": name}
        if isinstance(value, np.generic):
            value = value.item()
        known = next((name for name, function in self.functions.items() if function is value), None)
        if known is not None:
            return {"function": known}
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if type(value) in (list, tuple):
            return [self.plain(item, hp) for item in value]
        if isinstance(value, jax.Array | np.ndarray):
            return _plain_array(value)
        if isinstance(value, functools.partial):
            options = {name: self.plain(item, hp) for name, item in value.keywords.items()}
            return {**self.plain(value.func, hp), "arguments": self.plain(value.args, hp), "options": options}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._instance(value, hp)
        if (dtype := _dtype_name(value)) is not None:
            return {"dtype": dtype}
        raise UnnamedError(f"{shown(value)} is in no list of names")

    def _instance(self, value: Any, hp: Mapping[str, Any]) -> dict[str, Any]:
        kind = next((name for name, known in self.classes.items() if type(value) is known), None)
        if kind is None:
            raise UnnamedError(f"the class {type(value).__name__} is in no list of names")
        arguments: dict[str, Any] = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            # Weights are there already, so nothing is drawn again.
            if field.name == "parent" or field.name.endswith("_init") or (field.name == "name" and item is None):
                continue
            try:
                if field.name in self.makers and callable(item) and not dataclasses.is_dataclass(item):
                    arguments[field.name] = {"makes": self.plain(item(), hp)}
                else:
                    arguments[field.name] = self.plain(item, hp)
            except UnnamedError as error:
                default = field.default_factory() if callable(field.default_factory) else field.default
                if not (item is default or (not callable(item) and item == default)):
                    raise UnnamedError(f"{kind}'s {field.name}: {error}") from None
        return {"class": kind, "arguments": arguments}

    def rebuilt(self, found: Any, hp: Mapping[str, Any]) -> Any:
        """The value that `plain` wrote.

        Raises:
          ValueError: it names what no table has, or is something else.
        """
        if found is None or isinstance(found, bool | int | float | str):
            return found
        if isinstance(found, list):
            return tuple(self.rebuilt(item, hp) for item in found)
        if not isinstance(found, Mapping):
            raise ValueError(f"{shown(found)} is no value that a network is written with")
        if "class" in found:
            kind = _known(found["class"], self.classes, "class")
            arguments = _mapping(found["arguments"])
            allowed = {field.name for field in dataclasses.fields(kind)} - {"parent"}
            if unknown := [name for name in arguments if name not in allowed]:
                raise ValueError(f"{found['class']} has no argument {cut(unknown[0], 60)!r}")
            return kind(**{name: self._argument(name, item, hp) for name, item in arguments.items()})
        if "function" in found:
            function = _known(found["function"], self.functions, "function")
            if found.keys() == {"function"}:
                return function
            options = {name: self.rebuilt(item, hp) for name, item in _mapping(found["options"]).items()}
            return functools.partial(function, *self.rebuilt(found["arguments"], hp), **options)
        if "hyperparameter" in found:
            return _known(found["hyperparameter"], hp, "hyperparameter")
        if "array" in found:
            return jnp.asarray(np.asarray(found["array"], _dtype(found["dtype"])))
        if "dtype" in found:
            return _dtype(found["dtype"])
        if "float" in found and found["float"] in ("nan", "inf", "-inf"):
            return float(found["float"])
        raise ValueError(f"{cut(str(list(found)), 60)} is no value that a network is written with")

    def _argument(self, name: str, found: Any, hp: Mapping[str, Any]) -> Any:
        if isinstance(found, str) and name in self.words and found not in self.words[name]:
            raise ValueError(f"the {name} {cut(found, 60)!r} is in no list of names")
        if name in self.makers and isinstance(found, Mapping) and "makes" in found:
            # Linen makes a layer anew at each call.
            self.rebuilt(found["makes"], hp)
            return lambda: self.rebuilt(found["makes"], hp)
        return self.rebuilt(found, hp)


def _known(name: Any, table: Mapping[str, Any], what: str) -> Any:
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"the {what} {cut(str(name), 60)!r} is none of those that a file may name: {listed(table)}")
    return table[name]


def _mapping(found: Any) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise ValueError(f"{shown(found)} is no list of arguments by name")
    return found


def _dtype_name(value: Any) -> str | None:
    try:
        return next(name for name in _DTYPES if value is getattr(jnp, name) or value == np.dtype(_dtype(name)))
    except (StopIteration, TypeError):
        return None


def _dtype(name: Any) -> Any:
    if name not in _DTYPES:
        raise ValueError(f"the dtype {cut(str(name), 60)!r} is none of {', '.join(_DTYPES)}")
    return getattr(jnp, name)


def _plain_array(value: Any) -> dict[str, Any]:
    array = np.asarray(value)
    if array.size > _MOST or array.dtype.name not in _DTYPES or not np.isfinite(array.astype(np.float64)).all():
        raise UnnamedError(f"an array of {array.dtype} and shape {array.shape} is no number to write down")
    return {"array": array.tolist(), "dtype": array.dtype.name}
