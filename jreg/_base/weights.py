"""What each leaf of a parameter tree is, and along which axes: known are Linen, NNX, Haiku and Equinox.

Every way in which an array can be read is a candidate; names, the bias beside it and the rest of its module leave one
of them, or none is taken.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from jreg._base.leaves import BIAS, SCALE, Place, Shapes, surroundings, what_it_is
from jreg._base.reading import Doubt, Reading
from jreg._base.types import Path, PyTree

_RECURRENT = re.compile(r"^(i[ifgorzn]_?|in|h[ifgorzn]|i|h|dense_[ih])$")
_HEADS = re.compile(r"attn|attention|einsum|query")
_STACKED = re.compile("layer_stack")


class Leaf(NamedTuple):
    """One leaf of a parameter tree.

    Attributes:
      path: where it is.
      shape: the array's.
      what: what it is taken for, in words.
      weight: whether it is the weights of an affine map.
      reading: its axes; a `Doubt` where they can't be known, None with fewer than two.
    """

    path: Path
    shape: tuple[int, ...]
    what: str
    weight: bool
    reading: Reading | Doubt | None = None


def read(tree: PyTree) -> list[Leaf]:
    """What every leaf is, in `jax.tree.leaves` order."""
    places, beside = surroundings(tree)
    found = [what_it_is(place, beside) for place in places]
    possible = [
        _fitting(place, beside) if weight else _rest(place, what)
        for place, (what, weight) in zip(places, found, strict=True)
    ]
    everywhere = list(zip(places, possible, strict=True))
    likely = [_agreeing(*pair, everywhere, beside) for pair in everywhere]
    return [
        Leaf(place.path, place.shape, what, weight, _decided(place, readings))
        for place, (what, weight), readings in zip(places, found, likely, strict=True)
    ]


def _outputs_last(shape: tuple[int, ...], stack: int, inputs: int, outputs: int, window: int = 0) -> Reading:
    """Flax' order, and Haiku's: ``(stack, window, in, out)``."""
    first, last = stack + inputs, stack + inputs + outputs
    return Reading(shape, tuple(range(stack)), tuple(range(stack, first)), tuple(range(first, last)), window)


def _outputs_first(shape: tuple[int, ...], stack: int) -> Reading:
    """Equinox' order, and PyTorch's: ``(out, in, *window)``."""
    window = tuple(range(stack + 2, len(shape)))
    return Reading(shape, tuple(range(stack)), (*window, stack + 1), (stack,), len(window))


def _candidates(place: Place, beside: Shapes) -> list[Reading]:
    """How the array can be read, by its name, its rank and its module's class."""
    rank, shape, name, parent = len(place.shape), place.shape, place.name, place.parent
    flax = functools.partial(_outputs_last, shape)
    if place.owner is not None:
        if "Conv" in place.kind or "ConvTranspose" in place.kind:
            return [_outputs_first(shape, rank - 2 - place.owner.num_spatial_dims)]
        if place.kind or (name.startswith("weight") and rank == 2):
            return [_outputs_first(shape, rank - 2)]
    around = beside[place.modules[:-1]] if place.modules else {}
    neighbours = {path.split("/")[0] for path in around}
    # What is stacked elsewhere than along the first axes, as by `nn.scan` with another axis, can't be told by names.
    stacked_first = len({shape[: rank - 2] for shape in around.values()}) <= 1
    if (
        (name == "kernel" and re.match(r"Dense_\d+$|ConvLocal", parent) and stacked_first)
        or (name == "w" and re.match(r"linear(_\d+)?$", parent))
        or (name in ("w_i", "w_h") and {"w_i", "w_h"} <= set(beside[place.modules]))
        or (len(neighbours) > 1 and all(map(_RECURRENT.match, neighbours)))
    ):
        return [flax(rank - 2, 1, 1)]
    if "conv" in parent.lower() and rank > 2:
        return [flax(n, rank - n - 1, 1, rank - n - 2) for n in range(rank - 2)]
    if core := _attention(place, around):
        return [flax(*core)]
    return _all(place)


def _all(place: Place) -> list[Reading]:
    """Every way to read an array of this rank, the usual one first."""
    rank, shape = len(place.shape), place.shape
    flax = functools.partial(_outputs_last, shape)
    plain = [flax(0, rank - 1, 1, rank - 2)]
    if place.name.startswith("weight") or place.owner is not None:
        plain += [_outputs_first(shape, stack) for stack in range(rank - 1)]
    others = [
        flax(stack, rank - stack - outputs, outputs)
        for stack in range(rank - 1)
        for outputs in range(1, rank - stack)
        if (stack, outputs) != (0, 1)
    ]
    return plain + others


def _transposed(place: Place) -> list[Reading]:
    """The kernel ``(*window, out, in)`` of Flax' transposed convolution of a transposed kernel."""
    *window, outputs, inputs = range(len(place.shape))
    return [Reading(place.shape, (), (*window, inputs), (outputs,), len(window))] if window else []


def _attention(place: Place, around: dict[str, tuple[int, ...]]) -> tuple[int, int, int] | None:
    """How many axes of a projection are stack, inputs and outputs, where the shapes are those of heads."""
    query, out = around.get(f"query/{place.name}", ()), around.get(f"out/{place.name}", ())
    stack = len(query) - 3
    if place.parent not in ("query", "key", "value", "out") or not len(query) == len(out) == len(place.shape) > 2:
        return None
    if query[:stack] != out[:stack] or query[stack + 1 :] != out[stack : stack + 2]:
        return None
    return (stack, 2, 1) if place.parent == "out" else (stack, 1, 2)


def _fitting(place: Place, beside: Shapes) -> list[Reading]:
    """The candidates that fit the bias beside the weights, the usual one first."""
    candidates, siblings = _candidates(place, beside), beside[place.modules]
    names = [place.name.replace("kernel", "bias").replace("weight", "bias"), re.sub(r"^[wW]", "b", place.name), "bias"]
    bias = next((siblings[name] for name in names if name != place.name and name in siblings), None)
    if bias is not None and not place.kind:

        def fits(reading: Reading) -> bool:
            expected = tuple(place.shape[a] for a in (*reading.stack, *reading.outputs))
            ones = (1,) * len(bias[len(expected) :])
            return bias == expected + ones

        # A bias that fits nothing belongs to something else.
        everything = [*_all(place), *_transposed(place)]
        return list(filter(fits, candidates)) or list(filter(fits, everything)) or _all(place)
    return candidates


def _rest(place: Place, what: str) -> list[Reading]:
    """How what isn't the weights of an affine map can be read."""
    rank = len(place.shape)
    if rank < 2:
        return []
    if what == "embedding":
        # A token's vector is a unit; what has more axes is broadcast over examples.
        return [Reading(place.shape, tuple(range(rank - 2)), (rank - 1,), (rank - 2,))]
    return [Reading(place.shape, tuple(range(s)), tuple(range(s, rank)), ()) for s in range(rank)]


def _agreeing(
    place: Place, mine: list[Reading], everywhere: list[tuple[Place, list[Reading]]], beside: Shapes
) -> list[Reading]:
    """The candidates of one leaf that agree with what is known of the leaves around it."""
    if len(mine) < 2:
        return mine
    for depth in range(len(place.modules), -1, -1):
        inside = place.modules[:depth]
        around = (_stacked(*pair) for pair in everywhere if pair[0].modules[:depth] == inside)
        known = [stacked for stacked in around if stacked is not None]
        # Layers of a stack are equally many; a bias goes with its weights anyway.
        bias = not mine[0].outputs and depth == len(place.modules)
        uniform = len({shape[:1] for shape in beside[inside].values()}) == 1
        named = uniform and not known and bool(depth) and bool(_STACKED.search(inside[-1]))
        if (known and ((uniform and min(known)) or bias)) or named:
            mine = [reading for reading in mine if len(reading.stack) == min(known, default=1)] or mine
            break
        if not uniform:
            break
    if place.name.startswith("weight") and place.owner is None:
        orders = {
            _outputs_come_first(readings[0])
            for other, readings in everywhere
            if other.name.startswith("weight") and len(readings) == 1 and readings[0].outputs
        }
        if len(orders) == 1:
            mine = [reading for reading in mine if {_outputs_come_first(reading)} == orders] or mine
    return mine


def _outputs_come_first(reading: Reading) -> bool:
    return reading.outputs[0] < reading.inputs[0]


def _stacked(place: Place, readings: list[Reading]) -> int | None:
    """How many axes of a leaf count layers; None where it doesn't say."""
    if len(readings) == 1:
        return len(readings[0].stack)
    name, rank = place.name.lower(), len(place.shape)
    # A normalization has one axis of its own, and ones in front of it in Haiku.
    of_features = rank > 0 and (BIAS.search(name) or SCALE.search(name)) and "slope" not in name
    return rank - 1 if of_features and (rank == 1 or (SCALE.search(name) and 1 not in place.shape)) else None


def _decided(place: Place, readings: list[Reading]) -> Reading | Doubt | None:
    if not readings:
        return None
    convolution = len(place.shape) > 3 and readings[0].window == len(place.shape) - 2
    named = "conv" in place.parent.lower() or not _HEADS.search(place.path.lower())
    usual = convolution and place.owner is None and named
    return readings[0] if len(readings) == 1 or usual else Doubt(place.shape, place.path)
