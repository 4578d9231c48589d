"""Networks that reconstruct their inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen

from jreg import initializers
from jreg._base import checks
from jreg._base.types import Array, Scalar
from jreg.nn._parts import Activation, activated, check, check_several
from jreg.nn.dense import Dense
from jreg.nn.layers import Dropout
from jreg.nn.noise import GaussianNoise


class Autoencoder(linen.Module):
    r"""An encoder and a decoder of dense layers that reconstruct the inputs from a code.

    .. math:: \hat x = W'_1 \phi(\cdots \phi(W'_K \phi(W_K \cdots \phi(W_1 \tilde x))))

    The decoder has the encoder's widths in reverse; inputs of more than two axes are flattened, and so are outputs.
    With noise on its inputs, which training adds and the targets don't have, it is a denoising autoencoder. The
    hidden activations are sown in ``"intermediates"`` as ``"hidden_0"``, ``"hidden_1"`` and so on; the code is the one
    of number ``len(features) - 1``, and a penalty of its mean makes a sparse autoencoder.

    Args:
      features: units of each layer of the encoder, the code last.
      activation: of the hidden layers: a function, or the name of one in `jax.nn`.
      output: of the reconstruction, in the same form: ``"identity"``, or ``"sigmoid"`` for inputs in [0, 1].
      input_noise: standard deviation of normal noise on the inputs, at least 0; may be traced.
      input_dropout: rate on the inputs, in [0, 1); may be traced. Inputs that are kept are divided by the keep
        probability.
      kernel_init: initializer of the weights; default: Glorot's uniform one.

    Raises:
      ValueError: a known rate or deviation is out of range, there are no features, or an activation has no such name.

    >>> import jax, jax.numpy as jnp
    >>> network, x = Autoencoder((16, 2), input_noise=0.1), jnp.ones((5, 8, 8))
    >>> network.apply(network.init(jax.random.key(0), x), x).shape
    (5, 64)

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), sections 14.1, 14.2.1 and 14.5; Vincent et al.,
    Stacked denoising autoencoders, JMLR 11 (2010).
    """

    features: Sequence[int]
    activation: Activation = "relu"
    output: Activation = "identity"
    input_noise: Scalar = 0.0
    input_dropout: Scalar = 0.0
    kernel_init: Callable[..., Any] = initializers.glorot_uniform()

    def __post_init__(self) -> None:
        _check_options(self)
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """The reconstructions ``(batch, inputs)``."""
        x = x.reshape(x.shape[0], -1)
        inputs = x.shape[-1]
        x = _corrupted(self, x, train)
        for number, units in enumerate((*self.features, *self.features[-2::-1])):
            x = activated(self.activation, Dense(units, kernel_init=self.kernel_init)(x))
            self.sow("intermediates", f"hidden_{number}", x)
        return activated(self.output, Dense(inputs, kernel_init=self.kernel_init)(x))


class TiedAutoencoder(linen.Module):
    r"""An autoencoder whose decoder uses the encoder's weights, transposed.

    .. math:: h_k = \phi(W_k^\top h_{k-1} + b_k), \qquad \hat h_{k-1} = \phi(W_k \hat h_k + c_k)

    Each layer has one parameter ``kernel_k``, used twice; its gradient is the sum of both uses', and a penalty counts
    it once. Inputs of more than two axes are flattened, and so are outputs. The hidden activations are sown in
    ``"intermediates"`` as ``"hidden_0"``, ``"hidden_1"`` and so on, as `Autoencoder` does.

    Args:
      features: units of each layer of the encoder, the code last.
      activation: of the hidden layers: a function, or the name of one in `jax.nn`.
      output: of the reconstruction, in the same form: ``"identity"``, or ``"sigmoid"`` for inputs in [0, 1].
      input_noise: standard deviation of normal noise on the inputs, at least 0; may be traced.
      input_dropout: rate on the inputs, in [0, 1); may be traced.
      kernel_init: initializer of the weights; default: Glorot's uniform one.

    Raises:
      ValueError: a known rate or deviation is out of range, there are no features, or an activation has no such name.

    >>> import jax, jax.numpy as jnp
    >>> network, x = TiedAutoencoder((2,)), jnp.ones((5, 8))
    >>> jax.tree.map(jnp.shape, network.init(jax.random.key(0), x)["params"])
    {'bias_0': (2,), 'kernel_0': (8, 2), 'visible_bias_0': (8,)}

    Source: Vincent et al., Stacked denoising autoencoders, JMLR 11 (2010), section 4.1; Goodfellow, Bengio and
    Courville, Deep Learning (2016), section 7.9 for parameter sharing.
    """

    features: Sequence[int]
    activation: Activation = "relu"
    output: Activation = "identity"
    input_noise: Scalar = 0.0
    input_dropout: Scalar = 0.0
    kernel_init: Callable[..., Any] = initializers.glorot_uniform()

    def __post_init__(self) -> None:
        _check_options(self)
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """The reconstructions ``(batch, inputs)``."""
        x = _corrupted(self, x.reshape(x.shape[0], -1), train)
        kernels = []
        for number, units in enumerate(self.features):
            kernels.append(self.param(f"kernel_{number}", self.kernel_init, (x.shape[-1], units)))
            bias = self.param(f"bias_{number}", linen.initializers.zeros, (units,))
            x = activated(self.activation, _affine(x, kernels[-1], bias))
            self.sow("intermediates", f"hidden_{number}", x)
        for number in reversed(range(len(kernels))):
            kernel = kernels[number]
            bias = self.param(f"visible_bias_{number}", linen.initializers.zeros, kernel.shape[:1])
            x = activated(self.activation if number else self.output, _affine(x, kernel.T, bias))
            if number:
                self.sow("intermediates", f"hidden_{2 * len(kernels) - 1 - number}", x)
        return x


def _check_options(network: Autoencoder | TiedAutoencoder) -> None:
    name = type(network).__name__
    checks.strength(network.input_noise, f"{name}'s input_noise")
    checks.rate(network.input_dropout, f"{name}'s input_dropout")
    check_several(name, "features", network.features, "the units of the encoder's layers, the code last")
    for activation in (network.activation, network.output):
        check(name, activation, None, "before", spatial=False)


def _corrupted(network: Autoencoder | TiedAutoencoder, x: Array, train: bool) -> Array:
    return GaussianNoise(network.input_noise)(Dropout(network.input_dropout)(x, train), train)


def _affine(x: Array, kernel: Array, bias: Array) -> Array:
    return jnp.dot(x, kernel.astype(x.dtype)) + bias.astype(x.dtype)[None, :]
