"""Normalization of weights that Flax lacks: standardized kernels, and cosines instead of scalar products.

`flax.linen.WeightNorm` and `flax.linen.SpectralNorm` are used as they are, see the page on networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen

from jreg._base import checks
from jreg._base.arrays import safe_norm, wide
from jreg._base.leaves import weights
from jreg._base.tree import axes, kernels, map_weights
from jreg._base.types import Array, PyTree
from jreg.nn.convolution import convolved, window, with_channels
from jreg.nn.dense import dot_general


class WeightStandardized(linen.Module):
    r"""A layer whose kernels are standardized over each unit's incoming weights whenever it is called.

    .. math:: \hat W_{\cdot j} = \frac{W_{\cdot j} - \mu_j}{\sqrt{\sigma_j^2 + \epsilon}}

    The parameters stay those of the layer, by the same names, and the gradient passes through the standardization.
    It needs a normalization of activations after it, such as `flax.linen.GroupNorm`, for the outputs' scale.

    Args:
      layer: a Linen layer such as ``linen.Dense(16)`` or ``Conv(16, (3, 3))``.
      epsilon: added to the variances, above 0.

    Raises:
      ValueError: `epsilon` is not above 0.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = WeightStandardized(linen.Dense(2)), jnp.eye(4)
    >>> y = layer.apply(layer.init(jax.random.key(0), x), x)  # the kernel itself
    >>> abs(y.mean(axis=0)).round(5).tolist(), y.std(axis=0).round(2).tolist()
    ([0.0, 0.0], [1.0, 1.0])

    Source: Qiao, Wang, Liu, Shen and Yuille, Micro-batch training with batch-channel normalization and weight
    standardization (2019); `jax.nn.standardize`.
    """

    layer: linen.Module
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        checks.radius(self.epsilon, "WeightStandardized's epsilon")
        super().__post_init__()

    @linen.compact
    def __call__(self, *args: Any, **kwargs: Any) -> Array:
        """The layer's outputs with standardized kernels."""

        def standardized(w: Array) -> Array:
            # JAX's own variance is a difference of means, which cancels where a unit's weights are far from 0.
            inputs = axes(w, None)
            variance = jnp.var(w, axis=inputs, keepdims=True)
            return jax.nn.standardize(w, axis=inputs, variance=variance, epsilon=self.epsilon)

        def changed(variables: PyTree) -> PyTree:
            # The layer's kind says what its kernel's axes are; before its first call there is none.
            tree = {f"{type(self.layer).__name__}_0": variables.get("params", {})}
            if not any(weights(tree)):
                return variables
            (params,) = map_weights(standardized, kernels, None, tree).values()
            return {**variables, "params": params}

        return linen.map_variables(
            lambda layer: layer(*args, **kwargs),
            "params",
            trans_in_fn=changed,
            init=self.is_initializing(),
        )(self.layer)


class CosineDense(linen.Module):
    r"""A dense layer of cosines between the inputs and each unit's weights: cosine normalization.

    .. math:: y_j = \frac{w_j \cdot x}{\lVert w_j \rVert \lVert x \rVert} \in [-1, 1]

    There is no bias. As the last layer before a softmax it needs a scale, since logits in [-1, 1] can't be sure.

    Args:
      features: units.
      use_scale: whether there is one learned factor for all units, 1 at the start.
      kernel_init: initializer of the weights; default: Flax's.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = CosineDense(2), jnp.array([[3.0, 4.0]])
    >>> layer.apply({"params": {"kernel": jnp.array([[6.0, -4.0], [8.0, 3.0]])}}, x).round(3).tolist()
    [[1.0, 0.0]]

    Source: Luo, Zhan, Wang and Yang, Cosine normalization: using cosine similarity instead of dot product in neural
    networks (2017).
    """

    features: int
    use_scale: bool = False
    kernel_init: Callable[..., Any] = linen.initializers.lecun_normal()

    @linen.compact
    def __call__(self, x: Array) -> Array:
        """The cosines ``(..., features)``; 0 where x or a unit's weights are all zero."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features)).astype(x.dtype)
        unit, kernel = _unit(x, -1), _unit(kernel)
        return _scaled(self, dot_general(unit, kernel, (((x.ndim - 1,), (0,)), ((), ()))))


class CosineConv(linen.Module):
    r"""A convolution of cosines between each patch and each channel's weights: cosine normalization.

    .. math:: y_{pj} = \frac{w_j \cdot x_p}{\lVert w_j \rVert \lVert x_p \rVert} \in [-1, 1]

    Args:
      features: channels of the output.
      kernel_size: size of the window along each spatial axis.
      strides: one number for all spatial axes or one for each.
      padding: ``"SAME"``, ``"VALID"`` or a pair of numbers for each spatial axis; zeros add nothing to a norm.
      use_scale: whether there is one learned factor for all channels, 1 at the start.
      kernel_init: initializer of the weights; default: Flax's.

    Raises:
      ValueError: x has neither the axes ``(batch, *space, channels)`` that the kernel asks for nor ``(batch, *space)``,
        which is one channel.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = CosineConv(4, (3, 3)), jnp.ones((2, 8, 8, 1))
    >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
    (2, 8, 8, 4)

    Source: Luo, Zhan, Wang and Yang, Cosine normalization (2017), section 2.
    """

    features: int
    kernel_size: Sequence[int]
    strides: int | Sequence[int] = 1
    padding: str | Sequence[tuple[int, int]] = "SAME"
    use_scale: bool = False
    kernel_init: Callable[..., Any] = linen.initializers.lecun_normal()

    @linen.compact
    def __call__(self, x: Array) -> Array:
        """The cosines ``(batch, *space, features)``; 0 where a patch or a channel's weights are all zero."""
        x = with_channels(x, len(self.kernel_size))
        size, strides, padding = window(x, self.kernel_size, self.strides, self.padding)
        kernel = self.param("kernel", self.kernel_init, (*size, x.shape[-1], self.features)).astype(x.dtype)
        # A patch's norm from the pixels' norms: their squares are summed after a division by the largest.
        pixels = safe_norm(x, -1)
        largest = jax.lax.stop_gradient(jnp.max(pixels, axis=tuple(range(1, x.ndim)), keepdims=True))
        largest = jnp.where(largest > 0, largest, 1)
        ones = jnp.ones((*size, 1, 1), pixels.dtype)
        squares = convolved(jnp.square(pixels / largest), ones, strides, padding)
        positive = squares > 0
        norms = jnp.sqrt(jnp.where(positive, squares, 1))
        products = wide(convolved((wide(x) / largest).astype(x.dtype), _unit(kernel), strides, padding))
        return _scaled(self, jnp.where(positive, products / norms, 0).astype(x.dtype))


def _unit(x: Array, axis: int | None = None) -> Array:
    norm = safe_norm(x, axis)
    return (wide(x) / jnp.where(norm > 0, norm, 1)).astype(x.dtype)


def _scaled(module: CosineDense | CosineConv, y: Array) -> Array:
    if not module.use_scale:
        return y
    return y * module.param("scale", linen.initializers.ones, ()).astype(y.dtype)
