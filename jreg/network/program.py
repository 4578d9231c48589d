"""The forward pass of a network as a program of its own, for a process that can't build the network."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.names import cut
from jreg._base.types import Array, Key, Model, PyTree
from jreg.network.predictions import values_of
from jreg.recipe import Recipe
from jreg.training import measure

# JAX's names of platforms; a network that can't be compiled for all of them goes with fewer.
_PLATFORMS = (("cpu", "cuda", "tpu"), ("cpu", "cuda"), ("cpu",))


def exported(recipe: Recipe, tree: dict[str, PyTree], example: PyTree) -> tuple[bytes, tuple[str, ...]]:
    """The program ``(params, model_state, statistics, x) -> outputs`` for any number of rows, and its platforms.

    Args:
      recipe: of the network.
      tree: its three trees by name.
      example: one example as `jax.ShapeDtypeStruct`, or a tree of them.

    Raises:
      ValueError: JAX can't export it.

    Source: JAX's page on exporting and serializing.
    """
    # It brings flatbuffers, which only networks that are written or read this way need.
    from jax import export

    def whole(params: PyTree, model_state: PyTree, statistics: PyTree, x: PyTree) -> PyTree:
        found = measure.forward(recipe, params, model_state, statistics, x)
        return values_of(found, statistics[1], recipe.targets)

    (rows,) = export.symbolic_shape("n")
    parts = (tree[name] for name in ("params", "model_state", "statistics"))
    like = [jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), part) for part in parts]
    x = jax.tree.map(lambda part: jax.ShapeDtypeStruct((rows, *part.shape), part.dtype), example)
    reason = ""
    for platforms in _PLATFORMS:
        try:
            made = export.export(jax.jit(whole), platforms=platforms)(*like, x)
            return bytes(made.serialize()), platforms
        except Exception as error:  # whatever a network of one's own raises when it is traced for any number of rows
            reason = cut(f"{type(error).__name__}: {error}".splitlines()[0])
    raise ValueError(f"JAX can't export the network for any number of rows: {reason}")


def model_of(data: bytes, example: PyTree, name: str) -> Model:
    """A model that runs a program, with the statistics beside the examples.

    Whoever made the program can do anything on this machine: call it for programs that are trusted.

    Raises:
      ValueError: it is none, or is for other platforms than this process's.
    """
    from jax import export

    try:
        program = export.deserialize(bytearray(data))
    except Exception as error:  # flatbuffers and MLIR raise what they like
        raise ValueError(f"{name} is no program of jax.export's: {cut(str(error))}") from None
    platform = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    if platform not in program.platforms:
        raise ValueError(f"{name} is a program for {', '.join(program.platforms)}, but this process runs on {platform}")

    def start(key: Key, x: Array) -> tuple[PyTree, PyTree]:
        del key, x
        raise ValueError(f"{name} evaluates and doesn't train: train with the network's recipe")

    def run(params: PyTree, state: PyTree, x: Any, *, train: bool, key: Key | None, mask: Array | None):
        del key, mask
        if train:
            start(jnp.zeros(()), x)
        given = jax.tree.map(_as, x["x"], example)
        return program.call(params, state, x["statistics"], given), state

    return Model(start, run)


def _as(part: Array, like: Any) -> Array:
    if part.dtype != like.dtype and not np.can_cast(part.dtype, like.dtype, "same_kind"):
        raise ValueError(f"x is {part.dtype}, but the network's program takes {like.dtype}: x.astype({like.dtype})")
    return part.astype(like.dtype)
