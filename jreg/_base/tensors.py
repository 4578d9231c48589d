"""Arrays as safetensors: a file format without code in it, whose header is checked before anything is allocated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

from jreg._base.names import cut
from jreg._base.types import PyTree

# The format's name of each dtype; ml_dtypes, which JAX brings, has those that NumPy lacks.
_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "U32": np.dtype(np.uint32),
    "I32": np.dtype(np.int32),
    "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64),
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "C64": np.dtype(np.complex64),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
# The entry of a file's metadata that says how dicts, lists and tuples lie around its arrays.
_STRUCTURE = "structure"


def plain_arrays(tree: PyTree) -> PyTree:
    """The tree with NumPy arrays; random keys are their data."""

    def plain(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.asarray(leaf)

    return jax.tree.map(plain, tree)


def named(tree: PyTree) -> dict[str, np.ndarray]:
    """The arrays of a tree by their paths.

    >>> list(named({"dense": {"kernel": np.zeros(2), "bias": np.zeros(1)}, "steps": (np.zeros(3),)}))
    ['dense/bias', 'dense/kernel', 'steps/0']
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(plain_arrays(tree))
    found = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}
    if len(found) < len(flat):
        # Such as {"a/b": ...} beside {"a": {"b": ...}}, or 1 beside "1".
        found = {f"{number}/{path_name(path)}": leaf for number, (path, leaf) in enumerate(flat)}
    return found


def path_name(path: Any) -> str:
    """A leaf's path in a tree as text."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def restored(arrays: Mapping[str, np.ndarray], like: PyTree) -> PyTree:
    """The arrays that `named` gave in the structure of another tree, whose shapes and dtypes they must have.

    Raises:
      ValueError: an array is missing or surplus, or has another shape or dtype.
    """
    shapes = jax.tree.map(_shape_of, like)
    wanted = named(jax.tree.map(lambda shape: np.broadcast_to(np.zeros((), shape.dtype), shape.shape), shapes))
    if wanted.keys() != arrays.keys():
        other = sorted(wanted.keys() ^ arrays.keys())
        raise ValueError(f"the arrays differ from those expected in {cut(', '.join(other))}")
    for name, expected in wanted.items():
        found = arrays[name]
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise ValueError(
                f"the array {name} is {found.dtype} of shape {found.shape}, but must be {expected.dtype} of shape "
                f"{expected.shape}"
            )
    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(
        structure, [_keyed(arrays[name], leaf) for name, leaf in zip(wanted, leaves, strict=True)]
    )


def _shape_of(leaf: Any) -> jax.ShapeDtypeStruct:
    if hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype)


def _keyed(array: np.ndarray, like: Any) -> Any:
    if hasattr(like, "dtype") and jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(
            jax.numpy.asarray(array), impl=str(jax.random.key_impl(like)) if isinstance(like, jax.Array) else None
        )
    return array


def to_bytes(tree: PyTree, metadata: Mapping[str, str] | None = None) -> bytes:
    """Dicts, lists and tuples of arrays as one safetensors file, with texts beside them.

    Raises:
      TypeError: there is something else between the arrays, or an array of a dtype that the format lacks.

    >>> tree, metadata = from_bytes(to_bytes({"w": [np.arange(3), np.ones(2)], "none": None}, {"by": "jreg"}))
    >>> tree, metadata
    ({'none': None, 'w': [array([0, 1, 2]), array([1., 1.])]}, {'by': 'jreg'})
    """
    tree = plain_arrays(tree)
    arrays = named(tree)
    structure = json.dumps(_structure(tree, iter(arrays)))
    return packed(arrays, {_STRUCTURE: structure, **(metadata or {})})


def packed(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Named arrays and texts as one safetensors file.

    Raises:
      TypeError: the format lacks the dtype of an array.
    """
    import safetensors.numpy  # importing jreg imports no package beside JAX and optax

    for name, array in arrays.items():
        if array.dtype.newbyteorder("=") not in _NAMES:
            raise TypeError(f"{name} is {array.dtype}, which can't be stored: the format has {', '.join(_DTYPES)}")
    return safetensors.numpy.save({name: np.require(a, requirements="C") for name, a in arrays.items()}, dict(metadata))


def unpacked(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The named arrays and the texts of a safetensors file.

    Raises:
      ValueError: it isn't one, is cut off, or has a dtype that NumPy lacks.
    """
    import safetensors

    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"this is no safetensors file, or a damaged one: {cut(str(error))}") from None
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"{cut(name)} has the dtype {entry['dtype']}, which this jreg doesn't read")
        arrays[name] = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return arrays, {str(name): str(text) for name, text in metadata.items()}


def from_bytes(data: bytes) -> tuple[PyTree, dict[str, str]]:
    """The tree and the texts that `to_bytes` wrote.

    Raises:
      ValueError: they aren't, or are damaged.
    """
    arrays, metadata = unpacked(data)
    try:
        structure = json.loads(metadata.pop(_STRUCTURE))
        left = dict(arrays)
        tree = _rebuilt(structure, left)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"this safetensors file has no tree of arrays of jreg's: {cut(repr(error))}") from None
    if left:
        raise ValueError(f"this safetensors file has arrays outside its tree: {cut(', '.join(left))}")
    return tree, metadata


def read_file(path: Path, most: int = 2**40) -> bytes:
    """A file's bytes.

    Raises:
      ValueError: it is larger than `most`, or no file.
      OSError: it can't be read.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if (size := path.stat().st_size) > most:
        raise ValueError(f"{path} has {size} bytes, but at most {most} are expected")
    return path.read_bytes()


def _structure(tree: PyTree, names: Any) -> Any:
    """How containers lie around arrays, as JSON; `names` are the arrays' in the order of JAX's leaves."""
    if tree is None:
        return None
    if isinstance(tree, np.ndarray):
        return next(names)
    if isinstance(tree, Mapping):
        if not all(isinstance(key, str | int) and not isinstance(key, bool) for key in tree):
            raise TypeError(
                f"a dict has the keys {cut(str(list(tree)))}, but must have texts or whole numbers to be stored"
            )
        return {"dict": [[key, _structure(tree[key], names)] for key in sorted(tree)]}
    if type(tree) in (list, tuple):
        return {type(tree).__name__: [_structure(item, names) for item in tree]}
    raise TypeError(f"a {type(tree).__name__} can't be stored: give dicts, lists and tuples of arrays")


def _rebuilt(structure: Any, arrays: dict[str, np.ndarray]) -> PyTree:
    if structure is None:
        return None
    if isinstance(structure, str):
        return arrays.pop(structure)
    [(kind, items)] = structure.items()
    if kind == "dict":
        return {key: _rebuilt(item, arrays) for key, item in items}
    made = [_rebuilt(item, arrays) for item in items]
    return {"list": list, "tuple": tuple}[kind](made)
