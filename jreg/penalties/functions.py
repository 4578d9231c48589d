"""Penalties of the network as a function, and of its loss."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import in_range, wide, wide_dtype
from jreg._base.types import Array, Key, PyTree, Scalar
from jreg.penalties._arrays import unit


def jacobian(function: Callable[[Array], Array], x: Array) -> Array:
    r"""Half the squared Frobenius norm of the outputs' derivatives by the input, exactly.

    .. math:: \Omega(f, x) = \tfrac12 \sum_{ij} \left( \frac{\partial f_i(x)}{\partial x_j} \right)^2

    It costs a pass for each output or each input, whichever are fewer; `jacobian_projection` costs one.

    Args:
      function: ``x -> outputs`` for one example.
      x: the example, of any shape and floating dtype.

    Returns:
      A scalar of x's dtype, float32 at least.

    Raises:
      TypeError: `x` is no array of floating dtype.

    >>> import jax.numpy as jnp
    >>> w = jnp.array([[1.0, 2.0], [0.0, 3.0]])
    >>> float(jacobian(lambda x: x @ w, jnp.ones(2)))  # (1 + 4 + 9) / 2
    7.0

    Source: Hoffman, Roberts and Yaida, Robust learning with Jacobian regularization (2019);
    Sokolic et al., Robust large margin deep neural networks, IEEE Trans. Signal Process. 65 (2017).
    """
    checks.floating(x, "jacobian's x")
    outputs = jax.eval_shape(function, x)
    derivative = jax.jacrev if outputs.size <= x.size else jax.jacfwd
    return jnp.sum(jnp.square(wide(derivative(function)(x)))) / 2


def jacobian_projection(key: Key, function: Callable[[Array], Array], x: Array) -> Array:
    r"""An unbiased estimate of `jacobian` from one random direction of the outputs.

    .. math:: \Omega(f, x) = \frac{C}{2} \left\lVert \frac{\partial (v^\top f(x))}{\partial x} \right\rVert^2,
       \qquad v \text{ uniform on the unit sphere of } \mathbb{R}^C

    Its mean over v is the exact value, and so is the value itself for a single output.

    Args:
      key: a JAX random key (`jax.random.key`).
      function: ``x -> outputs`` for one example, with C outputs in all.
      x: the example, of any shape and floating dtype.

    Returns:
      A scalar of x's dtype, float32 at least.

    Raises:
      TypeError: `x` is no array of floating dtype.

    >>> import jax, jax.numpy as jnp
    >>> round(float(jacobian_projection(jax.random.key(0), lambda x: 2 * x, jnp.ones(3))), 4)  # 3 * 2^2 / 2
    6.0

    Source: Hoffman, Roberts and Yaida, Robust learning with Jacobian regularization (2019),
    algorithm 1.
    """
    checks.floating(x, "jacobian_projection's x")
    outputs, pull = jax.vjp(function, x)
    direction = unit(jax.random.normal(key, (outputs.size,)))
    (gradient,) = pull(direction.reshape(outputs.shape).astype(outputs.dtype))
    return outputs.size / 2 * jnp.sum(jnp.square(wide(gradient)))


def input_gradient(function: Callable[[Array], Array], x: Array) -> Array:
    r"""Half the squared gradient of one example's loss by its input: double backpropagation.

    .. math:: \Omega(J, x) = \tfrac12 \sum_j \left( \frac{\partial J(x)}{\partial x_j} \right)^2

    Args:
      function: ``x -> loss`` for one example, a scalar.
      x: the example, of any shape and floating dtype.

    Returns:
      A scalar of x's dtype, float32 at least.

    Raises:
      TypeError: `x` is no array of floating dtype.
      ValueError: `function` returns something else than a scalar.

    >>> import jax.numpy as jnp
    >>> float(input_gradient(lambda x: jnp.sum(x**2), jnp.array([1.0, 2.0])))  # (2^2 + 4^2) / 2
    10.0

    Source: Drucker and LeCun, Improving generalization performance using double backpropagation, IEEE Trans. Neural
    Netw. 3 (1992).
    """
    checks.floating(x, "input_gradient's x")
    shape = jax.eval_shape(function, x).shape
    if shape:
        raise ValueError(
            f"input_gradient's function returned an array of shape {shape}, but must return the scalar loss of one "
            f"example: for outputs use jacobian"
        )
    return jnp.sum(jnp.square(wide(jax.grad(function)(x)))) / 2


def path_norm(function: Callable[[PyTree, Array], Array], params: PyTree, x: Array) -> Array:
    r"""Sum over all paths from an input to an output of the product of squared weights: the squared path norm.

    .. math:: \Omega(\theta) = \phi_2^2(\theta) = \sum_{\text{paths}} \prod_{e \in \text{path}} \theta_e^2
       = \sum_k f_k(\theta^2; 1, \dots, 1)

    One pass with squared weights over an input of ones computes it, for networks of affine maps and ReLU, sums and
    average pooling among them; a bias begins paths of its own. Other activations, maximum pooling and normalization
    make it another number.

    Args:
      function: ``(params, x) -> outputs``, the network in evaluation mode.
      params: its parameters, of floating dtype.
      x: a batch of inputs ``(batch, ...)``, of which the shape of one and the dtype are used.

    Returns:
      A scalar of the outputs' dtype, float32 at least.

    Raises:
      TypeError: `x` is no array of floating dtype.
      ValueError: `x` has no axis for the batch.

    >>> import jax.numpy as jnp
    >>> params = [jnp.array([[1.0, 2.0]]), jnp.array([[3.0], [-1.0]])]  # two paths: 1 * 3 and 2 * -1
    >>> float(path_norm(lambda p, x: jnp.maximum(x @ p[0], 0) @ p[1], params, jnp.zeros((5, 1))))
    13.0

    Source: Neyshabur, Salakhutdinov and Srebro, Path-SGD: path-normalized optimization in deep neural networks
    (NeurIPS 2015).
    """
    checks.floating(x, "path_norm's x")
    if x.ndim == 0:
        raise ValueError("path_norm's x is a scalar, but must be a batch of inputs (batch, ...)")
    squares = jax.tree.map(lambda w: jnp.square(wide(w)), params)
    return jnp.sum(wide(function(squares, jnp.ones((1, *x.shape[1:]), wide_dtype(x)))))


def flooding(loss: Array, b: Scalar) -> Array:
    r"""Keeps the training loss near a level instead of 0: below it the gradient is turned around.

    .. math:: \tilde J = |J - b| + b

    Args:
      loss: the loss of a batch, of any shape and floating dtype.
      b: the flood level, at least 0; may be traced; at 0 a loss that isn't negative stays as it is.

    Returns:
      An array of loss's shape and dtype; its gradient by the loss is 0 where it equals `b`.

    Raises:
      TypeError: `loss` is no array of floating dtype.
      ValueError: a known `b` is negative or not finite.

    >>> import jax.numpy as jnp
    >>> float(flooding(jnp.array(0.25), b=0.5)), float(flooding(jnp.array(2.0), b=0.5))
    (0.75, 2.0)

    Source: Ishida et al., Do we need zero training loss after achieving zero training error? (ICML 2020).
    """
    checks.strength(b, "flooding's b")
    checks.floating(loss, "flooding's loss")
    level = in_range(b, loss.dtype)
    above = loss - level
    # As in penalties.l1: JAX gives abs the derivative 1 at 0.
    return above * jax.lax.stop_gradient(jnp.sign(above)) + level
