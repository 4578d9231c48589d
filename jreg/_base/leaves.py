"""The leaves of a parameter tree with what surrounds them, and which are weights, by name, shape and module's class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from jreg._base.names import path_of
from jreg._base.types import Path, PyTree

_LEARNED_INPUT = re.compile(r"embed|(^|_)tokens?$|^cls$|^pos(ition)?(al)?(_|$)")
SCALE = re.compile(r"(^|_)scale(_|$)|^gamma$|^g$|slope|threshold|^epsilon$")
BIAS = re.compile(r"bias|^b_?\d*$|offset|^beta$")

# Of each module, the shapes of all leaves in it by their path from there.
Shapes = dict[tuple[str, ...], dict[str, tuple[int, ...]]]


class Place(NamedTuple):
    """A leaf with what surrounds it."""

    path: Path
    modules: tuple[str, ...]
    name: str
    shape: tuple[int, ...]
    owner: Any

    @property
    def parent(self) -> str:
        return self.modules[-1] if self.modules else ""

    @property
    def kind(self) -> set[str]:
        """The names of the owner's classes in Equinox."""
        return {c.__name__ for c in type(self.owner).__mro__ if c.__module__.startswith("equinox.nn")}


def surroundings(tree: PyTree) -> tuple[list[Place], Shapes]:
    """The leaves of a tree, in `jax.tree.leaves` order, and the shapes in each of its modules."""
    places = [_place(tree, keys, leaf) for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)]
    beside: Shapes = {}
    for place in places:
        for n in range(len(place.modules) + 1):
            beside.setdefault(place.modules[:n], {})["/".join((*place.modules[n:], place.name))] = place.shape
    return places, beside


def _place(tree: PyTree, keys: tuple[Any, ...], leaf: Any) -> Place:
    path = path_of(keys)
    # PyTorch's names have dots in one flat dictionary.
    parts = re.split(r"[/.]", path)
    # Flax's boxes of a parameter have it as their value.
    if len(parts) > 1 and parts[-1] == "value" and isinstance(keys[-1], jax.tree_util.GetAttrKey):
        parts.pop()
    node, owner = tree, _module(tree)
    for key in keys[:-1]:
        node = _inside(node, key)
        owner = _module(node) or owner
    return Place(path, tuple(parts[:-1]), parts[-1], tuple(getattr(leaf, "shape", ())), owner)


def _inside(node: Any, key: Any) -> Any:
    if isinstance(key, jax.tree_util.GetAttrKey):
        return getattr(node, key.name, None)
    place = getattr(key, "key", getattr(key, "idx", None))
    return node[place] if isinstance(node, Mapping | Sequence) else None


def _module(node: Any) -> Any:
    """The node, if it is an Equinox module, which is known without importing Equinox."""
    return node if any(c.__module__.startswith("equinox.") for c in type(node).__mro__) else None


def what_it_is(place: Place, beside: Shapes) -> tuple[str, bool]:
    """What a leaf is in words, and whether it is the weights of an affine map."""
    name, siblings = place.name.lower(), beside[place.modules]
    matrix = len(place.shape) > 1
    if matrix and (name.endswith("kernel") or (name == "b" and "a" in siblings)):
        return "weights of an affine map", True
    if BIAS.search(name) or (name.startswith("b") and any(other.lower() == f"w{name[1:]}" for other in siblings)):
        return "bias", False
    bias = siblings.get(place.name.replace("weight", "bias"))
    if "weight" in name and (
        place.kind & {"LayerNorm", "GroupNorm", "RMSNorm", "BatchNorm"}
        or re.search(r"norm|^ln", place.parent.lower())
        or (matrix and bias == place.shape)
    ):
        return "scale", False
    if SCALE.search(name):
        return "scale", False
    table = (name, bias, place.owner) == ("weight", None, None) and re.search(r"^emb|embed", place.parent.lower())
    if _LEARNED_INPUT.search(name) or "Embedding" in place.kind or table:
        return "embedding", False
    if not matrix:
        return "fewer than two axes", False
    return "weights of an affine map", True


def weights(tree: PyTree) -> list[bool]:
    """Which leaves are the weights of affine maps, in `jax.tree.leaves` order."""
    places, beside = surroundings(tree)
    return [what_it_is(place, beside)[1] for place in places]
