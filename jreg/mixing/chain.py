"""Mixings one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax

from jreg._base.types import Array, Key

Mixing: TypeAlias = Callable[[Key, Array, Array, Array], tuple[Array, Array]]


def compose(*mixings: Mixing) -> Mixing:
    r"""One mixing after another, each with a key of its own.

    .. math:: (\tilde x, \tilde y) = (f_n \circ \dots \circ f_1)(x, y)

    Args:
      *mixings: functions ``(key, x, y, weights) -> (x, y)``, the first one applied first.

    Returns:
      A function ``(key, x, y, weights) -> (x, y)``.

    >>> from functools import partial
    >>> import jax, jax.numpy as jnp
    >>> from jreg.mixing import label_smoothing, mixup
    >>> both = compose(partial(mixup, alpha=0.2), partial(label_smoothing, rate=0.1))
    >>> both(jax.random.key(0), jnp.eye(3), jnp.eye(3), jnp.ones(3))[1].sum(axis=1).round(5).tolist()
    [1.0, 1.0, 1.0]

    Source: torchvision's ``Compose``.
    """

    def composed(key: Key, x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
        for one, mixing in zip(jax.random.split(key, max(len(mixings), 1)), mixings, strict=False):
            x, y = mixing(one, x, y, weights)
        return x, y

    return composed
