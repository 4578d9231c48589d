"""Running averages of a network: what a batch of few rows counts in them, and which batches have one row."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.tree import path_of
from jreg._base.types import Array, PyTree
from jreg.models import as_model

# What Flax's SpectralNorm keeps beside the averages comes from the weights alone; GhostBatchNorm counts rows by itself.
_OF_WEIGHTS, _COUNTED = ("u", "sigma"), ("ghost_mean", "ghost_var")
_OF_NNX = ("mean", "var")


def by_rows(before: PyTree, after: PyTree, rows: Array, full: Array) -> PyTree:
    r"""The model's state after a batch that has `rows` rows, of `full` ones.

    .. math:: \mu \leftarrow \mu + \frac nB (\mu' - \mu), \qquad \mu' = m \mu + (1 - m) \mu_\text{batch}

    So a row counts the same in a small batch and in a full one, which moves the averages as it always did, bit by bit.
    A batch whose rows all count nothing leaves them as they are.
    """
    share = jnp.asarray(rows, jnp.float32) / jnp.asarray(full, jnp.float32)

    def moved(keys: tuple[Any, ...], old: Array, new: Array) -> Array:
        if not averaged(keys, new) or path_of(keys).endswith(_COUNTED):
            return new
        # Flax averages in double precision where the batch is in it, and begins in single.
        new = new.astype(old.dtype)
        part = old + share.astype(old.dtype) * (new - old)
        return jnp.where(rows >= full, new, jnp.where(rows > 0, part, old))

    return jax.tree_util.tree_map_with_path(moved, before, after)


def warn_of_one_row(model: Any, x: PyTree, counts: np.ndarray, size: int) -> None:
    """Says so where a batch has one row and the network normalizes batches, which makes zeros of a single row.

    Args:
      model: of the recipe.
      x: two examples as shapes, as the model receives them.
      counts: how many rows each fold trains on.
      size: of the batches.
    """
    lonely = [int(count) for count in counts.ravel() if count % size == 1 or size == 1 or count == 1]
    names = _normalized_rows(model, x) if lonely else []
    if not names:
        return
    others = [near for near in range(max(2, size - 16), size + 17) if all(count % near != 1 for count in lonely)]
    nearest = min(others, key=lambda near: abs(near - size), default=None)
    advice = f": batch_size={nearest} leaves no such batch" if nearest else ""
    batches = f"{lonely[0]} rows in batches of {size} end with a batch of one row"
    warnings.warn(
        f"{batches if size > 1 else 'a batch has one row'}, of which batch normalization ({names[0]}) makes zeros"
        f"{advice}",
        UserWarning,
        stacklevel=2,
    )


def _normalized_rows(model: Any, x: PyTree) -> Sequence[str]:
    """The layers that normalize one number per row and unit by averages over rows."""
    made = as_model(model)
    params, state = jax.eval_shape(made.init, jax.random.key(0), x)
    kept = [path_of(keys) for keys, leaf in jax.tree_util.tree_leaves_with_path(state) if averaged(keys, leaf)]
    layers = list(dict.fromkeys("/".join(path.split("/")[1:-1]) for path in kept))
    if not layers or made.capture is None:
        return layers

    def shown(params: PyTree, state: PyTree, x: PyTree) -> dict[str, Array]:
        assert made.capture is not None
        return made.capture(params, state, x, train=True, key=jax.random.key(0), mask=jnp.ones(2, bool))[2]

    shapes = jax.eval_shape(shown, params, state, x)
    # An image has a mean and a variance over its pixels.
    return [layer for layer in layers if layer not in shapes or shapes[layer].ndim == 2]


def averaged(keys: tuple[Any, ...], leaf: Any) -> bool:
    """Whether a leaf of the model's state is a running average over batches.

    These are the floating ones in the collection ``"batch_stats"``, and in NNX modules those with the names that its
    `BatchNorm` gives them.
    """
    path = path_of(keys).split("/")
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return False
    return path[-1] not in _OF_WEIGHTS if path[0] == "batch_stats" else path[0] == "nnx" and path[-1] in _OF_NNX
