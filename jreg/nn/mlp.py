"""The linear network, the multilayer perceptron and the maxout layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flax import linen

from jreg import activations, initializers
from jreg._base import checks
from jreg._base.types import Array, Scalar
from jreg.nn._parts import Activation, Normalization, activated, affine, check, check_several, normalized
from jreg.nn.dense import Dense
from jreg.nn.layers import Dropout


class Linear(linen.Module):
    r"""One affine map: linear regression, or with its loss logistic and softmax regression.

    .. math:: y = W^\top x + b

    Inputs of more than two axes are flattened. A penalty on its weights gives ridge regression, the lasso and so on;
    the default choice of parameters leaves the bias alone.

    Args:
      features: outputs, one per class or 1.
      use_bias: whether there is a bias.
      kernel_init: initializer of the weights; default: zeros, the best start for a convex loss.

    Raises:
      ValueError: `features` is below 1.
      TypeError: `features` is no whole number.

    >>> import jax, jax.numpy as jnp
    >>> network = Linear(3)
    >>> jax.tree.map(jnp.shape, network.init(jax.random.key(0), jnp.ones((2, 8))))
    {'params': {'Dense_0': {'bias': (3,), 'kernel': (8, 3)}}}

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), sections 5.1.4 and 6.2.2.3.
    """

    features: int
    use_bias: bool = True
    kernel_init: Callable[..., Any] = linen.initializers.zeros

    def __post_init__(self) -> None:
        checks.count(self.features, "Linear's features")
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array) -> Array:
        """The outputs ``(batch, features)``."""
        flat = x.reshape(x.shape[0], -1)
        return Dense(self.features, use_bias=self.use_bias, kernel_init=self.kernel_init)(flat)


class Maxout(linen.Module):
    r"""A dense layer of maxout units, each the largest of several affine maps.

    .. math:: h_j = \max_{k < K} \left(W_{\cdot, jK + k}^\top x + b_{jK + k}\right)

    In a network, ``nn.MLP((units * pieces, ..., outputs), activation=partial(activations.maxout, pieces=pieces))``
    has it in every hidden layer, with dropout and normalization.

    Args:
      features: units.
      pieces: K, affine maps per unit.
      kernel_init: initializer of the weights; default: Glorot's uniform one for all the maps.

    Raises:
      ValueError: `features` or `pieces` is below 1.
      TypeError: one of them is no whole number.

    >>> import jax, jax.numpy as jnp
    >>> layer = Maxout(4, pieces=2)
    >>> layer.apply(layer.init(jax.random.key(0), jnp.ones((2, 8))), jnp.ones((2, 8))).shape
    (2, 4)

    Source: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, Maxout networks, ICML (2013).
    """

    features: int
    pieces: int = 2
    kernel_init: Callable[..., Any] = initializers.glorot_uniform()

    def __post_init__(self) -> None:
        checks.count(self.features, "Maxout's features")
        checks.count(self.pieces, "Maxout's pieces")
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array) -> Array:
        """The units' values ``(..., features)``."""
        dense = Dense(self.features * self.pieces, kernel_init=self.kernel_init)
        return activations.maxout(dense(x), self.pieces)


class MLP(linen.Module):
    r"""A multilayer perceptron: affine map, normalization, activation, dropout, and again.

    .. math:: h_{k+1} = \operatorname{dropout}(\phi(\operatorname{norm}(W_k h_k + b_k)))

    The last layer is affine alone; inputs of more than two axes are flattened. The activations are sown in
    ``"intermediates"`` as ``"hidden_0"``, ``"hidden_1"`` and so on, before dropout.

    Args:
      features: units of each layer, the outputs last.
      activation: a function, or the name of one in `jax.nn`; ``"prelu"`` learns a slope for each layer.
      dropout: rate after each hidden layer, in [0, 1); may be traced.
      input_dropout: rate on the inputs, in [0, 1); may be traced.
      normalization: of activations, ``"batch"``, ``"batch_renorm"``, ``"ghost_batch"``, ``"layer"``, ``"group"``
        (of 8 units), ``"rms"`` or ``"response"``; of the hidden layers' weights, ``"weight"``, ``"spectral"``,
        ``"standardized"`` or ``"cosine"``; a function without arguments that makes a Linen layer, such as
        ``partial(GhostBatchNorm, size=16)``; or None. Batch statistics leave out padding.
      kernel_init: initializer of the weights; default: He's uniform one.
      position: whether activations are normalized ``"before"`` or ``"after"`` the activation function.
      noise: a function without arguments that makes a layer of noise, such as ``lambda: GaussianDropout(hp["rate"])``,
        for after each hidden layer; default: no noise but dropout.

    Raises:
      ValueError: a known rate lies outside [0, 1), there are no features, or the activation, normalization or
        position has no such name.

    >>> import jax, jax.numpy as jnp
    >>> network = MLP((16, 3), dropout=0.5)
    >>> variables = network.init(jax.random.key(0), jnp.ones((2, 8)))
    >>> network.apply(variables, jnp.ones((2, 8))).shape
    (2, 3)

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), chapter 6; He et al. (2015) for the weights.
    """

    features: Sequence[int]
    activation: Activation = "relu"
    dropout: Scalar = 0.0
    input_dropout: Scalar = 0.0
    normalization: Normalization = None
    kernel_init: Callable[..., Any] = initializers.he_uniform()
    position: str = "before"
    noise: Callable[[], linen.Module] | None = None

    def __post_init__(self) -> None:
        checks.rate(self.dropout, "MLP's dropout")
        checks.rate(self.input_dropout, "MLP's input_dropout")
        check_several("MLP", "features", self.features, "the units of each layer, the outputs last")
        check("MLP", self.activation, self.normalization, self.position, spatial=False)
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        """The outputs ``(batch, features[-1])``; rows where `mask` is False are padding."""
        x = Dropout(self.input_dropout)(x.reshape(x.shape[0], -1), train)
        *hidden, outputs = self.features
        for number, units in enumerate(hidden):
            x = affine(self.normalization, x, units, self.kernel_init, train)
            if self.position == "before":
                x = normalized(self.normalization, x, train, mask)
            x = activated(self.activation, x)
            self.sow("intermediates", f"hidden_{number}", x)
            if self.position == "after":
                x = normalized(self.normalization, x, train, mask)
            x = Dropout(self.dropout)(x, train)
            x = self.noise()(x, train) if self.noise else x
        return Dense(outputs, kernel_init=self.kernel_init)(x)
