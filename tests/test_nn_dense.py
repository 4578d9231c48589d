"""Dense: Flax's layer with another way to the gradient, which must lead to the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jreg import nn
from jreg.nn import dense

SHAPES = [(5, 7), (1, 7), (2, 3, 7)]


def losses_of(layer):
    """A loss that is curved in x and in the parameters."""
    return lambda params, x: jnp.sum(jnp.sin(layer.apply(params, x)))


def both(shape, features, use_bias=True, dtype=jnp.float32):
    x = jax.random.normal(jax.random.key(1), shape, dtype)
    ours, theirs = (cls(features, use_bias=use_bias, param_dtype=dtype) for cls in (nn.Dense, linen.Dense))
    params = theirs.init(jax.random.key(2), x)
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(2), x)) == jax.tree.map(jnp.shape, params)
    return ours, theirs, params, x


def close(found, expected):
    # A sum of at most 12 products of numbers of about 1, taken in another order.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, expected)


@pytest.mark.some(4)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("features", [3, 12])
@pytest.mark.parametrize("use_bias", [True, False])
def test_outputs_and_gradients_are_those_of_flax(shape, features, use_bias):
    ours, theirs, params, x = both(shape, features, use_bias)
    close(ours.apply(params, x), theirs.apply(params, x))
    for of in (0, 1, (0, 1)):
        close(*(jax.jit(jax.grad(losses_of(layer), of))(params, x) for layer in (ours, theirs)))


@pytest.mark.slow
def test_forward_mode_and_second_derivatives_are_those_of_flax():
    ours, theirs, params, x = both((4, 7), 12)
    for derive in (
        jax.jacfwd,
        jax.hessian,
        lambda f: jax.jacfwd(jax.grad(f)),
        lambda f: jax.grad(lambda p, x: f(p, x)),
    ):
        close(*(derive(losses_of(layer))(params, x) for layer in (ours, theirs)))
    close(*(jax.jacrev(jax.grad(losses_of(layer), 1))(params, x) for layer in (ours, theirs)))


def test_a_batch_of_networks_is_a_loop_over_them():
    ours, theirs, params, x = both((4, 7), 12)
    many = jax.tree.map(lambda leaf: leaf[None] * jnp.arange(1.0, 4.0).reshape(3, *(1,) * leaf.ndim), params)
    found = jax.vmap(jax.grad(losses_of(ours)), (0, None))(many, x)
    for place in range(3):
        one = jax.tree.map(lambda leaf, place=place: leaf[place], many)
        close(jax.tree.map(lambda leaf, place=place: leaf[place], found), jax.grad(losses_of(theirs))(one, x))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_stays(dtype):
    ours, _, params, x = both((5, 7), 12, dtype=dtype)
    gradient = jax.grad(lambda params: jnp.sum(ours.apply(params, x)).astype(jnp.float32))(params)
    assert {leaf.dtype for leaf in jax.tree.leaves((gradient, ours.apply(params, x)))} == {jnp.dtype(dtype)}


def test_other_products_and_devices_take_lax_itself(monkeypatch):
    x, w = jnp.ones((2, 3, 4)), jnp.ones((2, 4, 9))
    numbers = (((2,), (1,)), ((0,), (0,)))
    assert (nn.dot_general(x, w, numbers) == jax.lax.dot_general(x, w, numbers)).all()
    plain = (((1,), (0,)), ((), ()))
    assert "custom_jvp" in str(jax.make_jaxpr(lambda x, w: nn.dot_general(x, w, plain))(x[0], w[0]))
    monkeypatch.setattr(dense.jax, "default_backend", lambda: "gpu")
    assert "custom_jvp" not in str(jax.make_jaxpr(lambda x, w: nn.dot_general(x, w, plain))(x[0], w[0]))
