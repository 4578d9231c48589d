"""Penalties of activations, outputs, functions and losses, against slow loops, closed forms and finite differences."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr

from jreg import losses, penalties

EPS = float(np.finfo(np.float32).eps)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def uniform(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(0.05, 0.95, size=shape), jnp.float32)


def exact(x):
    return np.asarray(x, np.float64)


@functools.cache
def slope_of(f):
    """Value and gradient as one compiled program, which takes less time than its operations one by one."""
    return jax.jit(jax.value_and_grad(f))


def slopes(f, x, step=1e-5):
    """Central differences of a NumPy function in double precision."""
    x = exact(x)
    out = np.zeros_like(x)
    for place in itertools.product(*map(range, x.shape)):
        nudge = np.zeros_like(x)
        nudge[place] = step
        out[place] = (f(x + nudge) - f(x - nudge)) / (2 * step)
    return out


def slow_kl(h, rho):
    total = 0.0
    for mean in h.reshape(len(h), -1).mean(0):
        total += rel_entr(rho, mean) + rel_entr(1 - rho, 1 - mean)
    return total


def slow_variance(h):
    return np.var(h.reshape(len(h), -1), axis=0).sum()


def slow_decov(h):
    covariance = np.cov(h.reshape(len(h), -1), rowvar=False, bias=True)
    return (np.linalg.norm(covariance) ** 2 - np.linalg.norm(np.diag(covariance)) ** 2) / 2


INPUTS = normal(6, 2, 2, seed=3)


def slow_laplacian(h, bandwidth=1.5):
    total = 0.0
    for i, j in itertools.product(range(len(h)), repeat=2):
        near = np.exp(-np.sum((exact(INPUTS)[i] - exact(INPUTS)[j]) ** 2) / (2 * bandwidth**2))
        total += near * np.sum((h[i] - h[j]) ** 2)
    return total / (2 * len(h) ** 2)


def laplacian(h, weights, inputs=INPUTS):
    return penalties.laplacian(h, weights, inputs, 1.5)


BATCHED = [
    (functools.partial(penalties.kl_sparsity, rho=0.1), functools.partial(slow_kl, rho=0.1)),
    (penalties.variance, slow_variance),
    (penalties.decov, slow_decov),
    (laplacian, slow_laplacian),
]
each_batched = pytest.mark.parametrize(("penalty", "slow"), BATCHED, ids=["kl", "variance", "decov", "laplacian"])


@each_batched
@pytest.mark.parametrize("shape", [(6, 4), (6, 2, 3)])
def test_values_and_gradients_are_those_of_slow_loops(penalty, slow, shape):
    h = uniform(*shape)
    value, gradient = slope_of(penalty)(h, jnp.ones(6))
    np.testing.assert_allclose(value, slow(exact(h)), rtol=1e-4)
    np.testing.assert_allclose(gradient, slopes(slow, h), rtol=1e-3, atol=1e-5)


def padded(h, garbage):
    """Two rows of padding in the middle and two at the end."""
    bad = jnp.full((2, *h.shape[1:]), garbage, h.dtype)
    return jnp.concatenate([h[:3], bad, h[3:], bad])


MASK = jnp.array([1.0, 1, 1, 0, 0, 1, 1, 1, 0, 0])


@each_batched
@pytest.mark.parametrize("garbage", [0.0, 7.0, np.inf, np.nan])
def test_padded_rows_do_not_count_whatever_they_hold(penalty, slow, garbage):
    h = uniform(6, 4)

    def of_batch_with(garbage):
        inputs = {"inputs": padded(INPUTS, garbage)} if penalty is laplacian else {}
        return slope_of(penalty)(padded(h, garbage), MASK, **inputs)

    value, gradient = of_batch_with(garbage)
    plain, plain_gradient = slope_of(penalty)(h, jnp.ones(6))
    # Four rows more may change the order of a sum, and so the last bits.
    np.testing.assert_allclose(value, plain, rtol=1e-5)
    np.testing.assert_allclose(gradient[MASK > 0], plain_gradient, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(gradient[MASK == 0], 0)
    # The same shapes with zeros in the padding differ in nothing.
    jax.tree.map(np.testing.assert_array_equal, (value, gradient), of_batch_with(0.0))


@pytest.mark.parametrize("penalty", [penalties.variance, penalties.decov])
def test_padded_rows_change_no_bit_where_sums_are_exact(penalty):
    # Multiples of 1/8 below 4 and a batch of 8: all means and products are exact in float32.
    h = jnp.asarray(np.random.default_rng(0).integers(-31, 32, size=(8, 4)) / 8, jnp.float32)
    more = jnp.concatenate([h, jnp.full((5, 4), jnp.nan)])
    weights = jnp.concatenate([jnp.ones(8), jnp.zeros(5)])
    np.testing.assert_array_equal(slope_of(penalty)(more, weights)[0], slope_of(penalty)(h, jnp.ones(8))[0])


@each_batched
def test_a_batch_of_padding_alone_is_finite(penalty, slow):
    value, gradient = slope_of(penalty)(jnp.full((6, 4), jnp.nan), jnp.zeros(6))
    assert np.isfinite(value)
    np.testing.assert_array_equal(gradient, 0)


def test_fractional_weights_are_those_of_repeated_rows():
    h, weights = uniform(3, 4), jnp.array([0.5, 1.0, 1.5])
    repeated = h[jnp.array([0, 1, 1, 2, 2, 2])]
    for penalty, slow in BATCHED[:3]:
        np.testing.assert_allclose(slope_of(penalty)(h, weights)[0], slow(exact(repeated)), rtol=1e-4)


def test_kl_sparsity_is_zero_at_its_target_and_finite_for_dead_and_full_units():
    h = jnp.full((4, 3), 0.25)
    value, gradient = slope_of(penalties.kl_sparsity)(h, jnp.ones(4), 0.25)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    edges = jnp.array([[0.0, 1.0, 5.0]])
    value, gradient = slope_of(penalties.kl_sparsity)(edges, jnp.ones(1), 0.05)
    tiny = 2.0**-23
    expected = sum(rel_entr(0.05, m) + rel_entr(0.95, 1 - m) for m in (tiny, 1 - tiny, 1 - tiny))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_array_equal(gradient, 0)


def test_kl_sparsity_target_and_laplacian_bandwidth_may_be_traced():
    h, numbers = uniform(6, 4), jnp.array([0.3, 0.5, 0.8])

    def both(number):
        sparse = penalties.kl_sparsity(h, jnp.ones(6), number)
        return sparse, penalties.laplacian(h, jnp.ones(6), INPUTS, number)

    values = jax.jit(jax.vmap(both))(numbers)
    derivatives = jax.jit(jax.vmap(jax.jacrev(both)))(numbers)

    def slow(x):
        return np.array([slow_kl(exact(h), x), slow_laplacian(exact(h), x)])

    # The second one is the difference of two sums: at 0.3, where hardly a pair is near, they are 0.05 and it is 3e-5.
    whole = float(np.mean(np.sum(np.square(exact(h) - exact(h).mean(axis=0)), axis=1)))
    for n, number in enumerate((0.3, 0.5, 0.8)):
        sparse, smooth = slow(number)
        np.testing.assert_allclose(values[0][n], sparse, rtol=1e-4)
        np.testing.assert_allclose(values[1][n], smooth, rtol=1e-4, atol=EPS * whole)
        change = (slow(number + 1e-6) - slow(number - 1e-6)) / 2e-6
        np.testing.assert_allclose([d[n] for d in derivatives], change, rtol=1e-3, atol=1e-6)


def test_decov_ignores_shifts_and_vanishes_for_uncorrelated_units():
    h = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(penalties.decov(h, jnp.ones(4))) == 0.0
    h = normal(6, 4)
    shifted, plain = slope_of(penalties.decov)(h + 5, jnp.ones(6)), slope_of(penalties.decov)(h, jnp.ones(6))
    np.testing.assert_allclose(shifted[0], plain[0], rtol=1e-4)


def test_laplacian_is_the_trace_with_the_graph_laplacian():
    h = normal(6, 4)
    flat = exact(INPUTS).reshape(6, -1)
    edges = np.exp(-np.square(flat[:, None] - flat[None]).sum(-1) / (2 * 1.5**2))
    graph = np.diag(edges.sum(1)) - edges
    value = slope_of(laplacian)(h, jnp.ones(6))[0]
    np.testing.assert_allclose(value, np.trace(exact(h).T @ graph @ h) / 36, rtol=1e-5)
    np.testing.assert_allclose(slope_of(laplacian)(jnp.full((6, 4), 1000.0), jnp.ones(6))[0], 0, atol=1e-4)


def test_confidence_is_the_divergence_from_uniform_less_log_classes():
    z = normal(7)
    p = np.exp(log_softmax(exact(z)))
    np.testing.assert_allclose(penalties.confidence(z), rel_entr(p, 1 / 7).sum() - np.log(7), rtol=1e-5)
    np.testing.assert_allclose(penalties.confidence(jnp.array([200.0, 0.0, -200.0])), 0, atol=1e-6)
    two = normal(2, 5)
    np.testing.assert_allclose(penalties.confidence(two), sum(map(penalties.confidence, two)), rtol=1e-6)


def test_label_smoothing_penalizes_the_other_divergence():
    z, y, rate = normal(1, 5), jnp.array([2]), 0.3
    log_p = log_softmax(exact(z)[0])
    other = rel_entr(1 / 5, np.exp(log_p)).sum()
    expected = (1 - rate) * -log_p[2] + rate * (other + np.log(5))
    np.testing.assert_allclose(losses.softmax_cross_entropy(z, y, rate)[0], expected, rtol=1e-5)


def test_r_drop_is_the_mean_of_both_divergences():
    first, second = normal(2, 5), normal(2, 5, seed=1)
    p, q = np.exp(log_softmax(exact(first), -1)), np.exp(log_softmax(exact(second), -1))
    expected = (rel_entr(p, q).sum() + rel_entr(q, p).sum()) / 2
    np.testing.assert_allclose(penalties.r_drop(first, second), expected, rtol=1e-5)
    np.testing.assert_allclose(penalties.r_drop(second, first), expected, rtol=1e-5)
    # Equal distributions whose logits differ by a constant.
    np.testing.assert_allclose(penalties.r_drop(first, first + 3), 0, atol=1e-5)
    assert float(penalties.r_drop(first, first)) == 0.0


W = normal(4, 3, seed=5)


def network(x):
    return jnp.tanh(x @ W)


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_jacobian_is_that_of_finite_differences(shape):
    x = normal(*shape)

    def derivatives(x):
        columns = [np.tanh(x.reshape(-1) @ exact(W))[k] for k in range(3)]
        return np.array(columns)

    total = sum(np.square(slopes(lambda v, k=k: derivatives(v)[k], x)).sum() for k in range(3))
    np.testing.assert_allclose(penalties.jacobian(lambda x: network(x.reshape(-1)), x), total / 2, rtol=1e-5)


def test_jacobian_of_a_linear_map_is_its_norm_whether_it_widens_or_narrows():
    for map_ in (W, W.T):
        of_map = slope_of(lambda w, x: penalties.jacobian(lambda x: x @ w, x))
        value, gradient = of_map(map_, jnp.ones(map_.shape[0]))
        np.testing.assert_allclose(value, np.square(exact(W)).sum() / 2, rtol=1e-6)
        np.testing.assert_allclose(gradient, map_, rtol=1e-6)


def test_jacobian_projection_is_unbiased():
    # Each of 20,000 independent estimates is at most C = 3 times the exact value, and they scatter by half of it: by
    # Bernstein's inequality their mean is off by 6 standard errors with a probability below 1e-6.
    x = normal(4)
    keys = jax.random.split(jax.random.key(7), 20_000)
    values = exact(jax.jit(jax.vmap(lambda key: penalties.jacobian_projection(key, network, x)))(keys))
    whole = float(penalties.jacobian(network, x))
    assert values.max() <= 3 * whole * (1 + 1e-5)
    assert abs(values.mean() - whole) < 6 * values.std() / np.sqrt(len(values))


def test_jacobian_projection_of_one_output_is_exact():
    x = normal(4)

    def one(x):
        return network(x)[:1]

    pair = jax.jit(
        lambda key, x: (penalties.jacobian_projection(key, one, x), penalties.jacobian(one, x)),
    )(jax.random.key(0), x)
    np.testing.assert_allclose(*pair, rtol=1e-6)


def test_input_gradient_is_that_of_finite_differences_and_trains_through():
    x = normal(4)

    def slow(x):
        return np.square(np.tanh(x @ exact(W))).sum()

    value = jax.jit(lambda x: penalties.input_gradient(lambda x: jnp.sum(jnp.square(network(x))), x))(x)
    np.testing.assert_allclose(value, np.square(slopes(slow, x)).sum() / 2, rtol=1e-4)
    # Half the squared gradient of (w.x)^2 / 2 is (w.x)^2 |w|^2 / 2, whose derivative by w has a closed form.
    w = normal(4, seed=1)
    _, through = slope_of(lambda w: penalties.input_gradient(lambda x: jnp.square(w @ x) / 2, x))(w)
    dot, length = exact(w) @ exact(x), np.square(exact(w)).sum()
    np.testing.assert_allclose(through, dot * length * exact(x) + dot**2 * exact(w), rtol=1e-4)


def layers(*widths, seed=0):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=pair), jnp.float32) for pair in itertools.pairwise(widths)]


def forward(params, x):
    for w in params[:-1]:
        x = jax.nn.relu(x @ w)
    return x @ params[-1]


def test_path_norm_is_the_sum_over_all_paths():
    params = layers(3, 4, 2, 2)
    total = 0.0
    for path in itertools.product(range(3), range(4), range(2), range(2)):
        weights = [exact(w)[a, b] for w, (a, b) in zip(params, itertools.pairwise(path), strict=True)]
        total += np.prod(np.square(weights))
    np.testing.assert_allclose(penalties.path_norm(forward, params, jnp.zeros((5, 3))), total, rtol=1e-5)


def test_path_norm_does_not_change_when_units_are_rescaled_but_l2_does():
    params = layers(3, 4, 2)
    scales = jnp.array([0.5, 2.0, 4.0, 0.25])
    other = [params[0] * scales[None, :], params[1] / scales[:, None]]
    x = normal(5, 3)
    np.testing.assert_allclose(forward(other, x), forward(params, x), rtol=1e-5, atol=1e-5)
    value = penalties.path_norm(forward, params, x)
    np.testing.assert_allclose(penalties.path_norm(forward, other, x), value, rtol=1e-5)
    assert abs(sum(map(penalties.l2, other)) - sum(map(penalties.l2, params))) > 1


def test_path_norm_looks_at_the_shape_of_the_inputs_alone():
    params = layers(3, 4, 2)
    values = {float(penalties.path_norm(forward, params, jnp.full((n, 3), v))) for n in (1, 5) for v in (0.0, jnp.nan)}
    assert len(values) == 1


def test_flooding_turns_the_gradient_below_the_level():
    losses_ = jnp.array([0.1, 0.5, 2.0])
    np.testing.assert_allclose(penalties.flooding(losses_, 0.5), [0.9, 0.5, 2.0], rtol=1e-6)
    gradient = jax.vmap(jax.grad(penalties.flooding), (0, None))(losses_, 0.5)
    np.testing.assert_array_equal(gradient, [-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(penalties.flooding(losses_, 0.0), losses_)


ONES = jnp.ones(6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: penalties.kl_sparsity(uniform(6, 2), ONES, 0.0), ValueError, "rho is 0, but must lie between"),
        (lambda: penalties.kl_sparsity(uniform(6, 2), ONES, 1.0), ValueError, "rho is 1, but must lie between"),
        (lambda: penalties.kl_sparsity(uniform(6, 2), ONES, np.nan), ValueError, "rho is nan"),
        (lambda: penalties.kl_sparsity(jnp.ones((6, 2), int), ONES, 0.1), TypeError, "kl_sparsity's h has dtype int"),
        (lambda: penalties.variance(uniform(6, 2), jnp.ones(5)), ValueError, r"variance's h has shape \(6, 2\) and"),
        (lambda: penalties.variance(uniform(6, 2), jnp.ones((6, 1))), ValueError, r"one weight a row, \(6,\)"),
        (lambda: penalties.decov(jnp.ones((0, 2)), jnp.ones(0)), ValueError, "a batch of at least one row"),
        (lambda: penalties.decov(jnp.array(1.0), jnp.ones(1)), ValueError, "a batch of at least one row"),
        (lambda: laplacian(uniform(6, 2), ONES, INPUTS[:5]), ValueError, "laplacian's inputs has shape"),
        (lambda: laplacian(uniform(6, 2), ONES, INPUTS > 0), TypeError, "laplacian's inputs has dtype bool"),
        (lambda: penalties.laplacian(uniform(6, 2), ONES, INPUTS, 0.0), ValueError, "bandwidth is 0, but must be"),
        (
            lambda: penalties.confidence(uniform(3, 1)),
            ValueError,
            r"the logit z of a sigmoid unit is the pair \(0, z\)",
        ),
        (lambda: penalties.confidence(jnp.arange(3)), TypeError, "confidence's logits has dtype int"),
        (lambda: penalties.r_drop(uniform(3), uniform(4)), ValueError, r"shapes \(3,\) and \(4,\), which must agree"),
        (lambda: penalties.r_drop(uniform(1), uniform(1)), ValueError, "two classes or more"),
        (lambda: penalties.jacobian(network, jnp.arange(4)), TypeError, "jacobian's x has dtype int"),
        (lambda: penalties.jacobian_projection(jax.random.key(0), network, [1.0]), TypeError, "x is a list"),
        (lambda: penalties.input_gradient(network, uniform(4)), ValueError, "must return the scalar loss"),
        (lambda: penalties.input_gradient(network, jnp.arange(4)), TypeError, "input_gradient's x has dtype int"),
        (lambda: penalties.path_norm(forward, layers(1, 1), jnp.array(1.0)), ValueError, "path_norm's x is a scalar"),
        (lambda: penalties.path_norm(forward, layers(1, 1), jnp.ones((1, 1), int)), TypeError, "path_norm's x has"),
        (lambda: penalties.flooding(jnp.array(1.0), -0.5), ValueError, "flooding's b is -0.5"),
        (lambda: penalties.flooding(jnp.array(1), 0.5), TypeError, "flooding's loss has dtype int"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
