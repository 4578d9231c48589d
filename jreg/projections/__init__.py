"""Constraints: plain functions that return the nearest weight array inside a set.

Lift them into an optax transform, last in the chain, with `jreg.project`. `axis` defaults to Flax's kernel
convention: all axes but the last are a unit's incoming weights, so ``(in, out)`` kernels of dense layers and
``(height, width, in, out)`` kernels of convolutions have one norm for each of the `out` units. Lifted, functions know
the axes of attention, stacked layers, embeddings and Equinox' weights too: `jreg.where` shows them.

Norms are computed in float32 at least, and half precision is rounded so that the result lies inside the set; where
equality is asked for (`unit_norm`, `simplex`, `orthogonal`) or singular values are bounded, it holds to rounding. A
traced radius or bound below 0 makes all weights NaN, since a traced number can't raise. Inside `jax.shard_map` a norm
is that of the part that a device holds.
"""

from jreg.projections.matrices import orthogonal, spectral_ball, symmetric
from jreg.projections.norms import max_norm, min_max_norm, non_negative, unit_norm
from jreg.projections.polytopes import box, l1_ball, simplex

__all__ = [
    "max_norm",
    "unit_norm",
    "min_max_norm",
    "non_negative",
    "box",
    "l1_ball",
    "simplex",
    "spectral_ball",
    "orthogonal",
    "symmetric",
]
