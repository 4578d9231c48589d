"""Residual networks with stochastic depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen

from jreg import initializers, stochastic
from jreg._base import checks
from jreg._base.types import Array, Scalar
from jreg.nn._parts import Activation, Normalization, activated, affine, check, check_several, images, normalized
from jreg.nn.branches import DropPath
from jreg.nn.dense import Dense
from jreg.nn.layers import Dropout


class ResidualMLP(linen.Module):
    r"""Residual blocks of dense layers, with normalization before activation (pre-activation) and stochastic depth.

    .. math:: h_{l+1} = h_l + \frac{b_l}{1 - p_l} f_l(h_l), \qquad
       f(h) = W' \operatorname{dropout}(\phi(\operatorname{norm}(W \phi(\operatorname{norm}(h)))))

    An affine map leads into the blocks; normalization, activation and an affine map lead out. In training a block's
    branch is dropped for an example (:math:`b_l = 0`) with probability :math:`p_l = \text{drop_path}\; l / L` in
    block l of L: the last block's rate is the one given, those before it rise to it linearly. The outputs of the blocks
    are sown in ``"intermediates"`` as ``"hidden_0"``, ``"hidden_1"`` and so on.

    Args:
      units: width of the blocks.
      blocks: L, how many there are.
      outputs: of the network.
      activation: a function, or the name of one in `jax.nn`; ``"prelu"`` learns a slope for each layer.
      drop_path: rate of the last block, in [0, 1); may be traced.
      dropout: rate inside the blocks, in [0, 1); may be traced.
      normalization: as `MLP` has it; default: ``"layer"``.
      kernel_init: initializer of the weights; default: He's uniform one.

    Raises:
      ValueError: a known rate lies outside [0, 1), a number is below 1, or the activation or normalization has no
        such name.
      TypeError: a number of units, blocks or outputs is no whole number.

    >>> import jax, jax.numpy as jnp
    >>> network, x = ResidualMLP(16, blocks=3, outputs=2, drop_path=0.2), jnp.ones((2, 8))
    >>> network.apply(network.init(jax.random.key(0), x), x).shape
    (2, 2)

    Source: He, Zhang, Ren and Sun, Identity mappings in deep residual networks, ECCV (2016); Huang et al., Deep
    networks with stochastic depth, ECCV (2016), equation 4.
    """

    units: int
    blocks: int
    outputs: int
    activation: Activation = "relu"
    drop_path: Scalar = 0.0
    dropout: Scalar = 0.0
    normalization: Normalization = "layer"
    kernel_init: Callable[..., Any] = initializers.he_uniform()

    def __post_init__(self) -> None:
        for name in ("units", "blocks", "outputs"):
            checks.count(getattr(self, name), f"ResidualMLP's {name}")
        checks.rate(self.drop_path, "ResidualMLP's drop_path")
        checks.rate(self.dropout, "ResidualMLP's dropout")
        check("ResidualMLP", self.activation, self.normalization, "before", spatial=False)
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        """The outputs ``(batch, outputs)``; rows where `mask` is False are padding."""
        x = Dense(self.units, kernel_init=self.kernel_init)(x.reshape(x.shape[0], -1))
        for number in range(self.blocks):
            branch = x
            for place in range(2):
                branch = _before(self, branch, train, mask)
                branch = Dropout(self.dropout)(branch, train) if place else branch
                branch = affine(self.normalization, branch, self.units, self.kernel_init, train)
            x = x + DropPath(_rate(self.drop_path, number, self.blocks))(branch, train)
            self.sow("intermediates", f"hidden_{number}", x)
        return Dense(self.outputs, kernel_init=self.kernel_init)(_before(self, x, train, mask))


class ResidualCNN(linen.Module):
    r"""A small pre-activation ResNet: stages of residual blocks of 3x3 convolutions, with stochastic depth.

    .. math:: h_{l+1} = s(h_l) + \frac{b_l}{1 - p_l} f_l(h_l), \qquad
       f(h) = W' * \phi(\operatorname{norm}(W * \phi(\operatorname{norm}(h))))

    Each stage but the first halves the sides of the images; there the shortcut s is a 1x1 convolution, elsewhere the
    identity. The mean over all pixels leads into the last affine map. In training a block's branch is dropped for an
    example (:math:`b_l = 0`) with probability :math:`p_l = \text{drop_path}\; l / L` in block l of all L. The
    outputs of the blocks are sown in ``"intermediates"`` as ``"hidden_0"``, ``"hidden_1"`` and so on.

    Args:
      channels: of each stage.
      blocks: of each stage.
      outputs: of the network.
      activation: a function, or the name of one in `jax.nn`; ``"prelu"`` learns a slope for each layer.
      drop_path: rate of the last block, in [0, 1); may be traced.
      normalization: as `CNN` has it; default: ``"batch"``.
      kernel_init: initializer of the weights; default: He's normal one.

    Raises:
      ValueError: a known rate lies outside [0, 1), a number is below 1, the activation or normalization has no such
        name, or x is no batch of images, ``(batch, height, width, channels)`` or ``(batch, height, width)``.
      TypeError: a number of blocks or outputs is no whole number.

    >>> import jax, jax.numpy as jnp
    >>> network, x = ResidualCNN((4, 8), blocks=1, outputs=10), jnp.ones((2, 8, 8, 1))
    >>> jax.eval_shape(network.apply, jax.eval_shape(network.init, jax.random.key(0), x), x).shape
    (2, 10)

    Source: He, Zhang, Ren and Sun, Identity mappings in deep residual networks, ECCV (2016); Huang et al., Deep
    networks with stochastic depth, ECCV (2016), equation 4.
    """

    channels: Sequence[int]
    blocks: int
    outputs: int
    activation: Activation = "relu"
    drop_path: Scalar = 0.0
    normalization: Normalization = "batch"
    kernel_init: Callable[..., Any] = initializers.he_normal()

    def __post_init__(self) -> None:
        for name in ("blocks", "outputs"):
            checks.count(getattr(self, name), f"ResidualCNN's {name}")
        check_several("ResidualCNN", "channels", self.channels, "those of each stage")
        checks.rate(self.drop_path, "ResidualCNN's drop_path")
        check("ResidualCNN", self.activation, self.normalization, "before", spatial=True)
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        """The outputs ``(batch, outputs)``; rows where `mask` is False are padding."""
        x = images("ResidualCNN", x)

        def convolution(x: Array, units: int, size: int, strides: int) -> Array:
            options = {"kernel_size": (size, size), "strides": strides}
            return affine(self.normalization, x, units, self.kernel_init, train, **options)

        x = convolution(x, self.channels[0], 3, 1)
        depth = len(self.channels) * self.blocks
        for number in range(depth):
            units = self.channels[number // self.blocks]
            strides = 2 if number and number % self.blocks == 0 else 1
            branch = _before(self, x, train, mask)
            if strides > 1 or units != x.shape[-1]:
                x = convolution(branch, units, 1, strides)
            branch = convolution(branch, units, 3, strides)
            branch = convolution(_before(self, branch, train, mask), units, 3, 1)
            x = x + DropPath(_rate(self.drop_path, number, depth))(branch, train)
            self.sow("intermediates", f"hidden_{number}", x)
        x = jnp.mean(_before(self, x, train, mask), axis=(1, 2))
        return Dense(self.outputs, kernel_init=self.kernel_init)(x)


def _before(network: ResidualMLP | ResidualCNN, x: Array, train: bool, mask: Array | None) -> Array:
    return activated(network.activation, normalized(network.normalization, x, train, mask))


def _rate(rate: Scalar, number: int, depth: int) -> Scalar:
    # A rate written down as 0 stays a number, so that its layers cost nothing.
    return rate if checks.concrete(rate) == 0 else stochastic.linear_depth_rates(rate, depth)[number]
