"""What networks are made of, by name: an affine map, a normalization, an activation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
from flax import linen

from jreg._base.types import Array
from jreg.nn.convolution import Conv, with_channels
from jreg.nn.dense import Dense
from jreg.nn.normalization import BatchRenorm, GhostBatchNorm, ResponseNorm
from jreg.nn.weights import CosineConv, CosineDense, WeightStandardized

Activation = str | Callable[[Array], Array]
Normalization = str | Callable[[], linen.Module] | None

# Of activations, so each may come before or after the activation function.
LAYERS: dict[str, Callable[[], linen.Module]] = {
    "batch": linen.BatchNorm,
    "batch_renorm": BatchRenorm,
    "ghost_batch": GhostBatchNorm,
    "layer": linen.LayerNorm,
    "group": lambda: linen.GroupNorm(num_groups=None, group_size=8),
    "instance": linen.InstanceNorm,
    "rms": linen.RMSNorm,
    "response": ResponseNorm,
}
# Of weights: the layer itself changes.
WEIGHTS = ("weight", "spectral", "standardized", "cosine")
POSITIONS = ("before", "after")


def check_several(owner: str, name: str, values: Any, what: str) -> None:
    """Raises unless these are the widths of one layer or more."""
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise TypeError(f"{owner}'s {name} are {values!r}, but must be a tuple, {what}: such as ({values}, 10)")
    if not len(values):
        raise ValueError(f"{owner}'s {name} are empty, but must be {what}")


def check(owner: str, activation: Activation, normalization: Normalization, position: str, spatial: bool) -> None:
    """Raises ValueError unless a network can have this activation and this normalization there."""
    known = callable(activation) or activation in ("prelu", "identity") or callable(getattr(jax.nn, activation, None))
    if not known:
        raise ValueError(f"{owner}'s activation is {activation!r}, but jax.nn has no such function")
    names = [name for name in (*LAYERS, *WEIGHTS) if spatial or name != "instance"]
    if not (normalization is None or callable(normalization) or normalization in names):
        *some, last = map(repr, names)
        raise ValueError(
            f"{owner}'s normalization is {normalization!r}, but must be {', '.join(some)}, {last}, a function that "
            "makes a Linen layer, or None"
        )
    if position not in POSITIONS:
        raise ValueError(f"{owner}'s position is {position!r}, but must be 'before' or 'after' (the activation)")
    if position == "after" and normalization in WEIGHTS:
        raise ValueError(
            f"{owner}'s normalization {normalization!r} is one of weights, which has no position after the activation"
        )


def activated(activation: Activation, x: Array) -> Array:
    """The activation of x; called inside a compact method."""
    if activation == "prelu":
        return linen.PReLU()(x)
    return (getattr(jax.nn, activation) if isinstance(activation, str) else activation)(x)


def affine(
    normalization: Normalization, x: Array, units: int, kernel_init: Callable[..., Any], train: bool, **conv: Any
) -> Array:
    """A dense layer, or with a `kernel_size` a convolution, with a normalization of weights, if it is one."""
    if normalization == "cosine":
        layer = CosineConv if conv else CosineDense
        return layer(units, kernel_init=kernel_init, **conv)(x)
    layer = Conv(units, kernel_init=kernel_init, **conv) if conv else Dense(units, kernel_init=kernel_init)
    if normalization == "weight":
        return linen.WeightNorm(layer)(x)
    if normalization == "spectral":
        return linen.SpectralNorm(layer)(x, update_stats=train)
    if normalization == "standardized":
        return WeightStandardized(layer)(x)
    return layer(x)


def normalized(normalization: Normalization, x: Array, train: bool, mask: Array | None) -> Array:
    """X after a normalization of activations, if it is one; `mask` has one entry per row."""
    if normalization is None or normalization in WEIGHTS:
        return x
    if normalization == "group" and x.shape[-1] % 8:
        raise ValueError(
            f"normalization 'group' has groups of 8 units, which {x.shape[-1]} units are not a multiple of: use "
            "normalization=lambda: flax.linen.GroupNorm(num_groups)"
        )
    layer = (LAYERS[normalization] if isinstance(normalization, str) else normalization)()
    accepted = inspect.signature(type(layer).__call__).parameters
    if "train" not in accepted and "use_running_average" not in accepted:
        # It looks at each row by itself; with a mask, rows of padding would have no numbers to average and be NaN.
        return layer(x)
    rows = None if mask is None else mask.reshape(-1, *(1,) * (x.ndim - 1))
    told = {"train": train, "use_running_average": not train, "mask": rows}
    return layer(x, **{name: value for name, value in told.items() if name in accepted})


def images(owner: str, x: Array) -> Array:
    """A batch of images with channels; grey ones ``(batch, height, width)`` get one.

    Raises:
      ValueError: `x` is no batch of images.
    """
    if x.ndim not in (3, 4):
        raise ValueError(
            f"{owner} got inputs of shape {x.shape}, but needs images, (batch, height, width, channels), or grey ones, "
            "(batch, height, width)"
        )
    return with_channels(x, 2)
