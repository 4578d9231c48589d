"""What every leaf function keeps: one row a function, in one file a family."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

F32, BF16, F16 = jnp.dtype("float32"), jnp.dtype("bfloat16"), jnp.dtype("float16")
ALL = (F32, BF16, F16)
# A handful of roundings of each dtype, relative to numbers of about 1.
TOLERANCE = {F32: 2e-6, BF16: 4 * 2.0**-8, F16: 4 * 2.0**-11}

LABELS = jnp.array([2, 0, 1, 1, 2])
TARGETS = jnp.array([0.5, -1.0, 2.0, 0.0, 1.5])
WEIGHTS = jnp.array([1.0, 1.0, 1.0, 0.0, 1.0])
NETWORK = {"dense": {"kernel": (5, 3), "bias": (3,)}, "norm": {"scale": (3,)}}


class Case(NamedTuple):
    """One row: `of` is the function, `call` calls it with the array(s) x and the strength s.

    `strengths` are values of s to compare at (None: it has none), `identity` is the one at which the result is
    exactly `unchanged(x)`, `out` is the result's shape ("same": x's), `out_dtype` None means x's. `rounded` is for an
    `unchanged` that adds up or takes logarithms: two programs may do that in another order or with fused
    multiplications, so no bits can be promised between them.
    """

    of: Callable
    call: Callable
    shape: Any
    out: Any
    strengths: tuple[float, ...] | None = None
    identity: float | None = None
    unchanged: Callable = lambda x: x
    dtypes: tuple = ALL
    out_dtype: Any = None
    rounded: bool = False

    def __hash__(self) -> int:
        """No two rows share `call`, and `shape` may be a dict."""
        return hash(self.call)


def transformed(transform, x):
    params = jax.tree.map(lambda u: u * 2 + 1, x)
    return transform.update(x, transform.init(params), params)[0]
