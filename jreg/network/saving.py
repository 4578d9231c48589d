"""Networks as folders: weights.safetensors, model.json, and a program where it takes one."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base import tensors
from jreg._base.described import UnnamedError, Vocabulary
from jreg._base.files import check_folder, write_bytes
from jreg._base.names import qualified_name
from jreg.network.describing import described, rebuildable
from jreg.network.program import exported
from jreg.recipe import build

if TYPE_CHECKING:
    from jreg.network.network import Network

FORMAT = 1
WEIGHTS, PROGRAM, MODEL = FILES = ("weights.safetensors", "program.bin", "model.json")


def member(number: int) -> str:
    """The folder of an ensemble's network."""
    return f"member_{number}"


def save_network(
    network: Network, folder: str | Path, program: bool | None, more: Mapping[str, Any] | None = None
) -> Path:
    """Writes a network into a folder; see `Network.save`."""
    path = _folder(folder)
    tree = {"params": network.params, "model_state": network.model_state, "statistics": network.statistics}
    weights = tensors.to_bytes(tree)
    model, data = _described(network, tensors.from_bytes(weights)[0], program)
    model["weights"] = {"sha256": hashlib.sha256(weights).hexdigest()}
    model["more"] = {**network.more, **(more or {})}
    write_bytes(path / WEIGHTS, weights)
    if data is not None:
        write_bytes(path / PROGRAM, data)
    _write_model(path / MODEL, model)
    _clear(path, WEIGHTS, *([] if data is None else [PROGRAM]))
    return path


def save_ensemble(
    networks: Sequence[Network],
    folder: str | Path,
    program: bool | None,
    more: Mapping[str, Any] | None = None,
    weights: np.ndarray | None = None,
) -> Path:
    """Writes a folder for each network and one model.json that counts them; see `Ensemble.save`."""
    path = _folder(folder)
    places = [path / member(number) for number in range(len(networks))]
    for place in places:
        if place.is_symlink():
            raise ValueError(f"{place} is a link: networks are written into the folder itself, so remove it")
    for place, network in zip(places, networks, strict=True):
        save_network(network, place, program, more)
    whole = {"format": FORMAT, "kind": "ensemble", "members": len(networks), "weights": _plain(weights)}
    _write_model(path / MODEL, whole)
    _clear(path, *(place.name for place in places))
    return path


def _described(network: Network, tree: Any, program: bool | None) -> tuple[dict[str, Any], bytes | None]:
    """What model.json says, and the program's bytes."""
    if network.example is None:
        raise ValueError("a network whose example isn't known can't be saved: give Network its example")
    hp = {
        name: jnp.asarray(value, jnp.float32) if name in network.traced else value
        for name, value in network.hyperparameters.items()
    }
    made = build(network.recipe, hp)
    recipe = described(made, hp)
    found = {
        "format": FORMAT,
        "kind": "network",
        "task": network.task,
        "link": network.link,
        "classes": network.classes,
        "target_shape": network.target_shape,
        "features": network.features,
        "example": described_example(network.example),
        "encoder": None if network.encoder is None else _plain(dataclasses.asdict(network.encoder)),
        "recipe": recipe,
        "hyperparameters": {name: _value(value) for name, value in network.hyperparameters.items()},
        "traced": network.traced,
        "epochs": network.epochs,
        "history": {name: _plain(values) for name, values in network.history.items()},
        "test": _plain(network.test),
        "interval": _plain(network.interval),
        "versions": _versions(),
        "program": None,
    }
    if program is False or (program is None and rebuildable(recipe)):
        return found, None
    try:
        data, platforms = exported(made, tree, network.example)
    except ValueError as error:
        if program:
            raise
        return {**found, "program": {"error": str(error)}}, None
    found["program"] = {"sha256": hashlib.sha256(data).hexdigest(), "platforms": platforms}
    return found, data


def described_example(example: Any) -> Any:
    """Shape and dtype of one example, or of each of its parts, as JSON has them."""
    if hasattr(example, "dtype"):
        return {"shape": list(example.shape), "dtype": np.dtype(example.dtype).name}
    if isinstance(example, Mapping):
        return {"dict": {str(name): described_example(part) for name, part in example.items()}}
    if type(example) not in (list, tuple):
        raise ValueError(f"an example is a {type(example).__name__}, but only dicts, lists and tuples can be saved")
    return {type(example).__name__: [described_example(part) for part in example]}


def _value(value: Any) -> Any:
    """A hyperparameter; one that no list has is the text that tables show of it."""
    try:
        if callable(value) and not isinstance(value, type):
            from jreg.nn.described import VOCABULARY

            return VOCABULARY.plain(value, {})
        return Vocabulary({}).plain(value, {})
    except (UnnamedError, ImportError):
        return qualified_name(value) or repr(value)


def _plain(value: Any) -> Any:
    """Numbers, texts, lists and dicts as JSON has them; NaN and infinities are texts."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _versions() -> dict[str, str]:
    found = {}
    for name in ("jreg", "jax", "jaxlib", "flax", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a source tree that isn't installed
            continue
    return found


def _folder(folder: str | Path) -> Path:
    if not str(folder):
        raise ValueError("the folder to save into is '', but must have a name")
    path = Path(folder)
    check_folder(path)
    if (path / MODEL).exists() and not _ours(path / MODEL):
        raise ValueError(f"{path / MODEL} is no file of jreg's and would be lost: save into another folder")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _ours(path: Path) -> bool:
    try:
        found = json.loads(tensors.read_file(path, 2**25))
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("kind") in ("network", "ensemble") and "format" in found


def _write_model(path: Path, model: Mapping[str, Any]) -> None:
    lines = [f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in model.items()]
    write_bytes(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def _clear(path: Path, *kept: str) -> None:
    """Removes what a network or an ensemble that was in the folder before has left; other files stay."""
    for name in (WEIGHTS, PROGRAM):
        if name not in kept:
            (path / name).unlink(missing_ok=True)
    number = 0
    while (place := path / member(number)).is_dir() and not place.is_symlink():
        if place.name not in kept and (place / MODEL).exists() and _ours(place / MODEL):
            for name in FILES:
                (place / name).unlink(missing_ok=True)
            if not os.listdir(place):
                place.rmdir()
        number += 1
