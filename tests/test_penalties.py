import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreg import penalties


def weights(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (3, 3, 2, 4)])
def test_values_are_the_closed_forms_in_double_precision(shape):
    w = weights(*shape)
    exact = np.asarray(w, np.float64)
    np.testing.assert_allclose(penalties.l2(w), 0.5 * (exact**2).sum(), rtol=1e-6)
    np.testing.assert_allclose(penalties.l1(w), np.abs(exact).sum(), rtol=1e-6)
    np.testing.assert_allclose(penalties.elastic_net(w, 0.7), (0.7 * exact**2 + np.abs(exact)).sum(), rtol=1e-6)


def test_gradients_are_w_and_its_sign():
    w = weights(4, 3)
    np.testing.assert_array_equal(jax.grad(penalties.l2)(w), w)
    np.testing.assert_array_equal(jax.grad(penalties.l1)(w), np.sign(w))
    np.testing.assert_allclose(
        jax.grad(penalties.elastic_net)(w, 0.7), 1.4 * np.asarray(w) + np.sign(w), rtol=1e-6, atol=1e-6
    )


def test_l2_prefers_spread_weights_and_l1_is_indifferent():
    spread, single = jnp.full(4, 0.25), jnp.array([1.0, 0, 0, 0])
    # Half of 4/16 against half of 1; both are dyadic numbers, so the comparison is exact.
    assert float(penalties.l2(spread)) == 0.125
    assert float(penalties.l2(single)) == 0.5
    assert float(penalties.l1(spread)) == float(penalties.l1(single)) == 1.0


def test_elastic_net_lies_between_its_parts():
    w = weights(6)
    assert float(penalties.elastic_net(w, 0.0)) == float(penalties.l1(w))
    np.testing.assert_allclose(penalties.elastic_net(w, 3.0) - penalties.l1(w), 6 * penalties.l2(w), rtol=1e-5)


def test_elastic_net_derivative_by_beta_is_the_sum_of_squares():
    w = weights(6)
    np.testing.assert_allclose(jax.grad(penalties.elastic_net, argnums=1)(w, 0.3), np.sum(np.square(w)), rtol=1e-6)


@pytest.mark.parametrize("penalty", [penalties.l1, penalties.l2, lambda w: penalties.elastic_net(w, 0.5)])
def test_penalties_are_convex_even_and_zero_at_zero(penalty):
    a, b = weights(8, seed=1), weights(8, seed=2)
    assert float(penalty(jnp.zeros(8))) == 0.0
    assert float(penalty(-a)) == float(penalty(a)) > 0
    assert float(penalty(0.3 * a + 0.7 * b)) <= float(0.3 * penalty(a) + 0.7 * penalty(b)) + 1e-6
