"""A training that several devices share: which of its arrays are split among them, and which each of them has.

Inside the program of a layout with ``data`` above 1 the mesh has an axis of that name which is left to the compiler: it
splits what is computed of an array that is split, and adds up what belongs together. So the code of a training, and a
network in it, needs to know nothing of it, but for the two functions here. Without such an axis they change nothing.
"""

from __future__ import annotations

import jax
from jax.sharding import PartitionSpec

from jreg._base.types import PyTree

# The axis of the devices that share a training.
DATA = "data"


def split(tree: PyTree) -> PyTree:
    """Arrays with one row per example, a part of the rows on each device; the compiler pads them to equal parts."""
    return jax.lax.with_sharding_constraint(tree, PartitionSpec(DATA)) if _is_shared() else tree


def whole(tree: PyTree) -> PyTree:
    """Arrays that each device has all of, such as parameters."""
    return jax.lax.with_sharding_constraint(tree, PartitionSpec()) if _is_shared() else tree


def _is_shared() -> bool:
    # A mesh that a user has set around a call of `fit` has no manual axis.
    mesh = jax.sharding.get_abstract_mesh()
    return bool(mesh.manual_axes) and DATA in mesh.auto_axes
