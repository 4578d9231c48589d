"""Sharpness-aware minimization: gradients from the worst point nearby."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jreg._base import checks
from jreg._base.arrays import in_range, wide
from jreg._base.types import Array, Scalar, Where
from jreg.transforms._params import Number, begun_state, given, mapped, now

# The paper's, for weights near zero; its experiments use it throughout.
_ETA = 0.01


def sam(
    optimizer: optax.GradientTransformation, rho: Number, adaptive: bool = False, where: Where | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""Gives an optimizer the gradient at the worst weights within `rho` of the present ones: SAM, and ASAM.

    .. math:: \epsilon = \rho \frac{T^2 g}{\lVert T g \rVert_2}, \qquad
       g_\text{SAM} = \nabla J(w + \epsilon)

    with T = 1 for SAM. ASAM measures distance relative to the weights, :math:`T = |w| + 0.01` for those `where`
    chooses and 1 for the others, so that rescaling layers doesn't change what counts as near; products with T are
    elementwise. The norm is over all parameters. This is `optax.contrib.sam` in opaque mode, which asks for a second
    gradient of the same batch at every step: twice the cost. The optimizer inside is called without further
    arguments, such as the loss's value.

    Args:
      optimizer: what moves the parameters, a whole chain; put `sam` outside.
      rho: radius, at least 0: a number, which may be traced, or an optax schedule of the count. At 0 the
        optimizer is as it was. The papers use 0.05 for SAM and 0.5 for ASAM.
      adaptive: whether it is ASAM.
      where: which parameters ASAM scales: a path pattern or a function of (path, leaf); default: the weights of
        affine maps.

    Returns:
      A transform that needs ``params`` and ``grad_fn``, a function of (params, index) that gives the gradient of the
      batch at other parameters. jreg's training passes it.

    Raises:
      ValueError: a known `rho` is negative, ``update`` is called without params or grad_fn, or `where` matches
        nothing (ASAM).

    >>> import jax, jax.numpy as jnp, optax
    >>> loss = lambda params: jnp.sum(params["kernel"] ** 2)
    >>> params = {"kernel": jnp.array([[3.0], [4.0]])}
    >>> optimizer = sam(optax.sgd(1.0), rho=2.5)
    >>> grad_fn = lambda params, index: jax.grad(loss)(params)
    >>> updates, _ = optimizer.update(grad_fn(params, 0), optimizer.init(params), params, grad_fn=grad_fn)
    >>> print(updates["kernel"])  # -2 (w + 2.5 w / |w|)
    [[ -9.]
     [-12.]]

    Source: Foret, Kleiner, Mobahi and Neyshabur, Sharpness-aware minimization, ICLR 2021; Kwon, Kim, Park and Choi,
    ASAM: Adaptive sharpness-aware minimization, ICML 2021, algorithm 1.
    """
    checks.strength(rho, "sam's rho")

    # optax subtracts what this returns: it is written for optimizers that go downhill.
    def climb(updates: optax.Updates, state: Any, params: optax.Params | None = None):
        (radius,), state = now(state, rho)
        return jax.tree.map(jnp.negative, _perturbation(updates, params, radius, adaptive, where)), state

    up = optax.GradientTransformation(lambda params: begun_state(rho), climb)
    inner = optax.contrib.sam(optimizer, up, reset_state=False, opaque_mode=True)

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        grad_fn: Callable[[optax.Params, int], optax.Updates] | None = None,
        **extra: Any,
    ):
        del extra
        if grad_fn is None:
            raise ValueError(
                "sam needs gradients at other parameters: call update(updates, state, params, grad_fn=grad_fn), and "
                "put sam around the whole optimizer"
            )
        return inner.update(updates, state, given(params, "sam"), grad_fn=grad_fn)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def _perturbation(
    gradients: optax.Updates, params: optax.Params | None, rho: Scalar, adaptive: bool, where: Where | None
) -> optax.Params:
    params = given(params, "sam")

    def scaled(g: Array, w: Array) -> Array:
        return g * (jnp.abs(w) + jnp.asarray(_ETA, w.dtype)).astype(g.dtype)

    # Half precision has neither the factor of a small gradient nor the product of a large one.
    gradients = jax.tree.map(wide, gradients)
    # Of a gradient near 1 no square overflows or vanishes; a power of 2 costs no digits.
    sizes = [jnp.max(jnp.abs(g), initial=0) for g in jax.tree.leaves(gradients)]
    _, power = jnp.frexp(functools.reduce(jnp.maximum, sizes or [jnp.zeros(())]))
    gradients = jax.tree.map(lambda g: g * jnp.ldexp(jnp.ones((), g.dtype), -jnp.clip(power, -125, 125)), gradients)
    once = mapped(scaled, where, gradients, params) if adaptive else gradients
    squares = [jnp.sum(jnp.square(g)) for g in jax.tree.leaves(once)]
    total = jnp.asarray(sum(squares))
    # Without a gradient there is no direction, and the quotient of zeros would be NaN.
    zero = total == 0
    factor = in_range(rho, total.dtype) / jnp.sqrt(jnp.where(zero, 1, total))
    twice = mapped(scaled, where, once, params) if adaptive else once
    return jax.tree.map(lambda g, w: (factor.astype(g.dtype) * g).astype(w.dtype), twice, params)
