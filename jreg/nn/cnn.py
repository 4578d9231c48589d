"""A small convolutional network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flax import linen

from jreg import initializers
from jreg._base import checks
from jreg._base.types import Array, Scalar
from jreg.nn._parts import Activation, Normalization, activated, affine, check, check_several, images, normalized
from jreg.nn.convolution import pooled
from jreg.nn.dense import Dense
from jreg.nn.layers import Dropout, SpatialDropout


class CNN(linen.Module):
    r"""Convolutions with pooling, then dense layers: a small network for images.

    .. math:: h_{k+1} = \operatorname{dropout}(\operatorname{pool}(\phi(\operatorname{norm}(W_k * h_k + b_k))))

    A pooling takes the largest of each 2x2 square; it is left out where an axis has fewer than two pixels. The
    activations are sown in ``"intermediates"`` as ``"hidden_0"``, ``"hidden_1"`` and so on, before pooling and
    dropout.

    Args:
      channels: of each convolution.
      features: units of each dense layer, the outputs last.
      kernel_size: pixels of a side of the window.
      activation: a function, or the name of one in `jax.nn`; ``"prelu"`` learns a slope for each layer.
      dropout: rate after each hidden dense layer, in [0, 1); may be traced.
      spatial_dropout: rate at which whole channels are dropped after each convolution, in [0, 1); may be traced.
      normalization: as `MLP` has it, and ``"instance"``; it applies to the convolutions, not to the dense layers.
      kernel_init: initializer of the weights; default: He's uniform one.
      position: whether activations are normalized ``"before"`` or ``"after"`` the activation function.

    Raises:
      ValueError: a known rate lies outside [0, 1), there are no features, the activation, normalization or position
        has no such name, or x is no batch of images, ``(batch, height, width, channels)`` or, grey ones, ``(batch,
        height, width)``.

    >>> import jax, jax.numpy as jnp
    >>> network, x = CNN((4, 8), (16, 10)), jnp.ones((2, 8, 8, 1))
    >>> network.apply(network.init(jax.random.key(0), x), x).shape
    (2, 10)

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), chapter 9; Tompson et al., Efficient object
    localization using convolutional networks (2015) for dropping channels.
    """

    channels: Sequence[int]
    features: Sequence[int]
    kernel_size: int = 3
    activation: Activation = "relu"
    dropout: Scalar = 0.0
    spatial_dropout: Scalar = 0.0
    normalization: Normalization = None
    kernel_init: Callable[..., Any] = initializers.he_uniform()
    position: str = "before"

    def __post_init__(self) -> None:
        checks.rate(self.dropout, "CNN's dropout")
        checks.rate(self.spatial_dropout, "CNN's spatial_dropout")
        checks.count(self.kernel_size, "CNN's kernel_size")
        if self.channels != ():
            check_several("CNN", "channels", self.channels, "those of each convolution")
        check_several("CNN", "features", self.features, "the units of each dense layer, the outputs last")
        check("CNN", self.activation, self.normalization, self.position, spatial=True)
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        """The outputs ``(batch, features[-1])``; rows where `mask` is False are padding."""
        x = images("CNN", x)
        window = (self.kernel_size, self.kernel_size)
        for number, units in enumerate(self.channels):
            x = affine(self.normalization, x, units, self.kernel_init, train, kernel_size=window)
            if self.position == "before":
                x = normalized(self.normalization, x, train, mask)
            x = activated(self.activation, x)
            self.sow("intermediates", f"hidden_{number}", x)
            if self.position == "after":
                x = normalized(self.normalization, x, train, mask)
            x = SpatialDropout(self.spatial_dropout)(pooled(x) if min(x.shape[1:3]) > 1 else x, train)
        x = x.reshape(x.shape[0], -1)
        *hidden, outputs = self.features
        for number, units in enumerate(hidden, len(self.channels)):
            x = Dense(units, kernel_init=self.kernel_init)(x)
            x = activated(self.activation, x)
            self.sow("intermediates", f"hidden_{number}", x)
            x = Dropout(self.dropout)(x, train)
        return Dense(outputs, kernel_init=self.kernel_init)(x)
