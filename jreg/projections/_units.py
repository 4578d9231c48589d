"""What projections share: one unit's incoming weights as a vector, an array as a matrix, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jreg._base.sharding import whole
from jreg._base.tree import Axis, axes
from jreg._base.types import Array


def by_unit(f: Callable[[Array], Array], w: Array, axis: Axis) -> Array:
    """`f`, from vector to vector of the same length, of each unit's incoming weights."""
    along = axes(w, axis)
    order = (*(a for a in range(w.ndim) if a not in along), *along)
    turned = jnp.transpose(whole(w), order)
    count = math.prod(turned.shape[: w.ndim - len(along)])
    rows = turned.reshape(count, w.size // max(count, 1))
    return jnp.transpose(jax.vmap(f)(rows).reshape(turned.shape), tuple(np.argsort(order)))
