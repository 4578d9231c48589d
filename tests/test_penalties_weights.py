"""Penalties of one weight array, against slow loops, NumPy's decompositions and finite differences."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreg import penalties


def weights(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def exact(w):
    return np.asarray(w, np.float64)


@functools.cache
def slope_of(f):
    """Value and gradient as one compiled program, which takes less time than its operations one by one."""
    return jax.jit(jax.value_and_grad(f))


def orthonormal(rows, columns, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(rows, columns)))[0]


def slopes(f, w, step=1e-5):
    """Central differences of a NumPy function in double precision."""
    w = exact(w)
    out = np.zeros_like(w)
    for place in itertools.product(*map(range, w.shape)):
        nudge = np.zeros_like(w)
        nudge[place] = step
        out[place] = (f(w + nudge) - f(w - nudge)) / (2 * step)
    return out


def columns_of(w, axis):
    """One list of numbers a group, by a loop over what the group's axes leave."""
    w = exact(w)
    within = {a % w.ndim for a in ((axis,) if isinstance(axis, int) else axis)}
    kept = [a for a in range(w.ndim) if a not in within]
    groups = []
    for place in itertools.product(*(range(w.shape[a]) for a in kept)):
        index = [slice(None)] * w.ndim
        for a, i in zip(kept, place, strict=True):
            index[a] = i
        groups.append(w[tuple(index)].reshape(-1))
    return groups


def pairs(w, axis):
    groups = columns_of(w, axis)
    return [(j, k, float(a @ b)) for (j, a), (k, b) in itertools.product(enumerate(groups), repeat=2)]


def slow_group_lasso(w, axis):
    return sum(np.sqrt(sum(x * x for x in group)) for group in columns_of(w, axis))


def slow_orthogonal(w, axis):
    return sum(abs(dot - (j == k)) for j, k, dot in pairs(w, axis))


def slow_soft(w, axis):
    return sum((dot - (j == k)) ** 2 for j, k, dot in pairs(w, axis))


LAYOUTS = [((6, 4), None, 0), ((4, 6), -1, 1), ((3, 3, 2, 5), None, (0, 1, 2)), ((2, 3, 4), (0, 2), (0, 2))]


@pytest.mark.parametrize(("shape", "axis", "within"), LAYOUTS)
@pytest.mark.parametrize(
    ("penalty", "slow"),
    [
        (penalties.group_lasso, slow_group_lasso),
        (penalties.orthogonal, slow_orthogonal),
        (penalties.soft_orthogonality, slow_soft),
    ],
)
def test_values_and_gradients_are_those_of_slow_loops(penalty, slow, shape, axis, within):
    w = weights(*shape)
    value, gradient = slope_of(lambda w: penalty(w, axis=axis))(w)
    np.testing.assert_allclose(value, slow(w, within), rtol=1e-5)
    np.testing.assert_allclose(gradient, slopes(lambda v: slow(v, within), w), rtol=1e-4, atol=1e-4)


def test_elastic_net_ratio_is_scikit_learns():
    from sklearn.linear_model import enet_path

    w = weights(6)
    for ratio in (0.0, 0.3, 1.0):
        expected = ratio * np.abs(exact(w)).sum() + (1 - ratio) / 2 * (exact(w) ** 2).sum()
        np.testing.assert_allclose(penalties.elastic_net_ratio(w, ratio), expected, rtol=1e-6)
    # Its documented objective is ||y - Xw||^2 / 2n + alpha * ratio * |w|_1 + alpha * (1 - ratio) / 2 * |w|_2^2, so
    # the gradient vanishes at its coefficients where they aren't 0.
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=40)
    found = enet_path(x, y, l1_ratio=0.3, alphas=[0.05], tol=1e-10)[1][:, 0]

    def objective(w):
        residual = jnp.asarray(x, jnp.float32) @ w - jnp.asarray(y, jnp.float32)
        return jnp.sum(residual**2) / 80 + 0.05 * penalties.elastic_net_ratio(w, 0.3)

    gradient = jax.grad(objective)(jnp.asarray(found, jnp.float32))
    assert np.count_nonzero(found) >= 2
    np.testing.assert_allclose(np.asarray(gradient)[found != 0], 0, atol=1e-6)


def test_elastic_net_and_its_ratio_form_agree_as_documented():
    w, ratio, strength = weights(6), 0.25, 0.7
    other = strength * ratio * penalties.elastic_net(w, (1 - ratio) / (2 * ratio))
    np.testing.assert_allclose(strength * penalties.elastic_net_ratio(w, ratio), other, rtol=1e-6)


def test_sparse_group_lasso_lies_between_its_parts():
    w = weights(4, 3)
    parts = float(penalties.l1(w)), float(penalties.group_lasso(w, axis=-1))
    whole = slope_of(lambda w: penalties.sparse_group_lasso(w, 0.25, axis=-1))(w)[0]
    np.testing.assert_allclose(whole, np.dot([0.25, 0.75], parts), rtol=1e-6)


def test_group_lasso_leaves_zero_groups_alone_and_prunes_what_its_axis_says():
    w = jnp.array([[3.0, 0.0], [4.0, 0.0], [0.0, 0.0]])
    _, units = slope_of(penalties.group_lasso)(w)
    np.testing.assert_allclose(units, [[0.6, 0.0], [0.8, 0.0], [0.0, 0.0]], rtol=1e-6)
    _, inputs = slope_of(lambda w: penalties.group_lasso(w, axis=-1))(w)
    np.testing.assert_allclose(inputs, [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], rtol=1e-6)


def test_l2_sp_is_l2_of_the_difference():
    w, reference = weights(4, 3), weights(4, 3, seed=1)
    np.testing.assert_allclose(penalties.l2_sp(w, reference), ((exact(w) - exact(reference)) ** 2).sum() / 2, rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(penalties.l2_sp)(w, reference), w - reference)
    assert float(penalties.l2_sp(w, w)) == 0.0


def test_hoyer_square_ignores_scale_and_counts_equal_weights():
    w = weights(7)
    expected = np.abs(exact(w)).sum() ** 2 / (exact(w) ** 2).sum()
    for scale in (1e-25, 1.0, 1e25):
        np.testing.assert_allclose(slope_of(penalties.hoyer_square)(w * scale)[0], expected, rtol=1e-5)
    np.testing.assert_allclose(
        slope_of(penalties.hoyer_square)(w)[1],
        slopes(lambda v: np.abs(v).sum() ** 2 / (v**2).sum(), w),
        rtol=1e-4,
        atol=1e-5,
    )
    # Half precision couldn't hold the squared sum of these, 9e8.
    np.testing.assert_allclose(penalties.hoyer_square(jnp.full(300, 100.0, jnp.float16)), 300, rtol=1e-3)


def test_log_sum_is_the_papers_less_its_value_at_zero():
    w, epsilon = weights(6), 0.3
    expected = np.log(np.abs(exact(w)) + epsilon).sum() - 6 * np.log(epsilon)
    value, gradient = slope_of(penalties.log_sum)(w, epsilon)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    expected = np.sign(exact(w)) / (np.abs(exact(w)) + epsilon)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    np.testing.assert_array_equal(slope_of(penalties.log_sum)(jnp.zeros(6), epsilon)[1], 0)
    # In float16 itself this epsilon would be 0.
    assert np.isfinite(float(penalties.log_sum(jnp.ones(3, jnp.float16), 1e-9)))


@pytest.mark.parametrize(
    "penalty",
    [penalties.orthogonal, penalties.soft_orthogonality, penalties.srip, penalties.weight_correlation],
)
def test_orthonormal_units_cost_nothing(penalty):
    w = jnp.asarray(orthonormal(6, 4), jnp.float32)
    assert float(slope_of(penalty)(w)[0]) < 1e-5
    assert float(slope_of(penalty)(w.at[0, 0].add(0.5))[0]) > 1e-2
    value, gradient = slope_of(penalty)(jnp.eye(6, 4))
    assert float(value) == 0.0
    np.testing.assert_array_equal(gradient, 0)


def test_double_sided_orthogonality_is_the_sum_of_both_sides():
    w = weights(5, 3)
    both = np.linalg.norm(exact(w).T @ w - np.eye(3)) ** 2 + np.linalg.norm(w @ exact(w).T - np.eye(5)) ** 2
    double = jax.jit(lambda w: penalties.soft_orthogonality(w, double_sided=True))
    np.testing.assert_allclose(double(w), both, rtol=1e-5)
    # Orthonormal columns of a 5 x 3 matrix leave a projection of rank 3, at distance 2 from the identity.
    tall = jnp.asarray(orthonormal(5, 3), jnp.float32)
    np.testing.assert_allclose(double(tall), 2, rtol=1e-5)


@functools.cache
def sharpened(iterations):
    return jax.jit(lambda w: penalties.srip(w, iterations=iterations))


@pytest.mark.some(2)
@pytest.mark.parametrize("seed", range(4))
def test_srip_bounds_the_spectral_norm_from_below_and_reaches_it(seed):
    w = weights(6, 5, seed=seed)
    excess = exact(w).T @ exact(w) - np.eye(5)
    largest = np.linalg.norm(excess, 2)
    values = [float(sharpened(n)(w)) for n in (1, 2, 8, 40)]
    assert all(a <= b * (1 + 1e-5) for a, b in itertools.pairwise([*values, largest]))
    np.testing.assert_allclose(values[-1], largest, rtol=1e-3)


def test_srip_is_the_papers_two_pairs_of_products():
    w = weights(6, 5)
    excess = exact(w).T @ exact(w) - np.eye(5)
    start = exact(jax.random.normal(jax.random.key(0), (5, 1)))

    def slow(w):
        excess = w.T @ w - np.eye(5)
        v = start
        for _ in range(2):
            u = excess @ v
            v = excess @ u
        return np.linalg.norm(v) / np.linalg.norm(u)

    value, gradient = slope_of(penalties.srip)(w)
    np.testing.assert_allclose(value, slow(exact(w)), rtol=1e-5)
    np.testing.assert_allclose(gradient, slopes(slow, w), rtol=1e-3, atol=1e-3)
    assert float(value) > 0.5 * np.linalg.norm(excess, 2)


def test_srip_finds_the_eigenvector_that_ones_are_orthogonal_to():
    # W^T W = [[2, -1], [-1, 2]], whose difference to I has eigenvalue 2 for (1, -1) and 0 for (1, 1).
    w = jnp.asarray(np.linalg.cholesky([[2.0, -1.0], [-1.0, 2.0]]).T, jnp.float32)
    np.testing.assert_allclose(sharpened(2)(w), 2, rtol=1e-5)


def slow_correlation(w):
    units = w.shape[-1]
    filters = [w] if w.ndim == 2 else [w[..., i, :] for i in range(w.shape[-2])]
    found = []
    for kernel in filters:
        for j, k in itertools.permutations(range(units), 2):
            a, b = kernel[..., j].reshape(-1), kernel[..., k].reshape(-1)
            found.append(abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)))
    return np.mean(found)


@pytest.mark.parametrize("shape", [(6, 4), (3, 3, 2, 4), (3, 2, 4)])
def test_weight_correlation_is_the_mean_absolute_cosine(shape):
    w = weights(*shape)
    value, gradient = slope_of(penalties.weight_correlation)(w)
    np.testing.assert_allclose(value, slow_correlation(exact(w)), rtol=1e-5)
    np.testing.assert_allclose(gradient, slopes(slow_correlation, w), rtol=1e-3, atol=1e-5)


def test_weight_correlation_of_one_unit_or_of_a_dead_unit_is_finite():
    assert float(slope_of(penalties.weight_correlation)(weights(4, 1))[0]) == 0.0
    w = weights(4, 3).at[:, 1].set(0)
    value, gradient = slope_of(penalties.weight_correlation)(w)
    # Of six ordered pairs four have the dead unit in them.
    np.testing.assert_allclose(value, slow_correlation(exact(w)[:, [0, 2]]) / 3, rtol=1e-5)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (2, 3, 2, 4)])
def test_nuclear_and_spectral_norm_are_numpys(shape):
    w = weights(*shape)
    singular = np.linalg.svd(exact(w).reshape(-1, shape[-1]), compute_uv=False)
    nuclear, spectral = slope_of(penalties.nuclear_norm)(w), slope_of(penalties.spectral_norm)(w)
    np.testing.assert_allclose([nuclear[0], spectral[0]], [singular.sum(), singular[0]], rtol=1e-5)

    def norm(kind):
        return lambda v: np.linalg.norm(v.reshape(-1, shape[-1]), kind)

    np.testing.assert_allclose(nuclear[1], slopes(norm("nuc"), w), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(spectral[1], slopes(norm(2), w), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e-20])
def test_norms_of_equal_singular_values_have_finite_gradients(scale):
    q = orthonormal(5, 3)
    w = jnp.asarray(scale * q, jnp.float32)
    nuclear, spectral = slope_of(penalties.nuclear_norm)(w)[1], slope_of(penalties.spectral_norm)(w)[1]
    # At equal singular values U V^T is the matrix of orthonormal columns itself.
    np.testing.assert_allclose(nuclear, q if scale else 0 * q, atol=1e-5)
    # A subgradient of the spectral norm has nuclear norm 1 and the inner product sigma with w.
    np.testing.assert_allclose(np.linalg.norm(exact(spectral), "nuc"), 1.0 if scale else 0.0, rtol=1e-5)
    np.testing.assert_allclose(np.sum(exact(spectral) * exact(w)), scale, rtol=1e-4)


def test_nuclear_norm_ignores_directions_of_singular_values_that_are_zero():
    w = jnp.outer(jnp.array([3.0, 0.0, 4.0]), jnp.array([1.0, 0.0]))
    value, gradient = slope_of(penalties.nuclear_norm)(w)
    np.testing.assert_allclose(value, 5, rtol=1e-6)
    np.testing.assert_allclose(gradient, np.outer([0.6, 0.0, 0.8], [1.0, 0.0]), rtol=1e-5, atol=1e-6)


def test_power_iteration_climbs_to_the_spectral_norm_and_its_gradient():
    w = weights(3, 3, 2, 6)
    step = jax.jit(penalties.spectral_norm_step)
    state, values = penalties.spectral_norm_init(jax.random.key(0), w), []
    np.testing.assert_allclose(jnp.linalg.norm(state), 1, rtol=1e-6)
    for _ in range(60):
        value, state = step(w, state)
        values.append(float(value))
    assert all(a <= b * (1 + 1e-5) for a, b in itertools.pairwise(values))
    largest, direction = slope_of(penalties.spectral_norm)(w)
    np.testing.assert_allclose(values[-1], largest, rtol=1e-4)
    np.testing.assert_allclose(jnp.linalg.norm(state), 1, rtol=1e-6)
    _, gradient = slope_of(lambda w: penalties.spectral_norm_step(w, state)[0])(w)
    np.testing.assert_allclose(gradient, direction, atol=1e-2)


def test_power_iteration_leaves_its_state_alone_at_zero_and_goes_on_from_there():
    state = penalties.spectral_norm_init(jax.random.key(0), jnp.zeros((4, 3)))
    value, after = jax.jit(penalties.spectral_norm_step)(jnp.zeros((4, 3)), state)
    assert float(value) == 0.0
    np.testing.assert_array_equal(after, state)


@pytest.mark.parametrize("shape", [(4, 3, 2), (2, 4, 3, 2)])
def test_total_variation_is_a_loop_over_neighbors(shape):
    x = exact(weights(*shape))
    total = 0.0
    for place in itertools.product(*map(range, shape)):
        for axis in (-3, -2):
            other = list(place)
            other[axis] += 1
            if other[axis] < shape[axis]:
                total += abs(x[tuple(other)] - x[place])
    value, gradient = slope_of(penalties.total_variation)(weights(*shape))
    np.testing.assert_allclose(value, total, rtol=1e-5)
    # Each absolute difference adds a sign to one pixel and takes it from the other.
    np.testing.assert_allclose(jnp.sum(gradient), 0, atol=1e-5)
    np.testing.assert_array_equal(gradient, np.round(gradient))


def test_total_variation_of_a_series_and_of_a_flat_image():
    assert float(penalties.total_variation(jnp.array([[1.0], [4.0], [2.0]]), axis=-2)) == 5.0
    value, gradient = slope_of(penalties.total_variation)(jnp.ones((4, 3, 2)))
    assert float(value) == 0.0
    np.testing.assert_array_equal(gradient, 0)


MATRICES = [
    penalties.orthogonal,
    penalties.soft_orthogonality,
    penalties.srip,
    penalties.weight_correlation,
    penalties.nuclear_norm,
    penalties.spectral_norm,
    lambda w: penalties.spectral_norm_init(jax.random.key(0), w),
    lambda w: penalties.spectral_norm_step(w, jnp.ones(2)),
]
ANY_SHAPE = [
    penalties.l1,
    penalties.l2,
    lambda w: penalties.elastic_net(w, 0.5),
    lambda w: penalties.elastic_net_ratio(w, 0.5),
    lambda w: penalties.l2_sp(w, w),
    penalties.group_lasso,
    lambda w: penalties.sparse_group_lasso(w, 0.5),
    penalties.hoyer_square,
    lambda w: penalties.log_sum(w, 0.5),
    lambda w: penalties.total_variation(w, axis=0),
]


@pytest.mark.parametrize("penalty", MATRICES + ANY_SHAPE)
@pytest.mark.parametrize(
    "w", [jnp.ones((3, 2), jnp.int32), np.ones((3, 2), bool), [[1.0, 2.0]], jnp.ones((3, 2), complex)]
)
def test_weights_that_are_no_floating_array_are_named(penalty, w):
    with pytest.raises(
        TypeError,
        match=r"'s (w|x|array of weights) (has dtype .*, but must have a floating one|is a list, but must be)",
    ):
        penalty(w)


@pytest.mark.parametrize("penalty", MATRICES)
@pytest.mark.parametrize(("shape", "words"), [((3,), "two axes or more"), ((0, 2), "empty"), ((2, 0), "empty")])
def test_matrices_that_are_none_are_named(penalty, shape, words):
    with pytest.raises(ValueError, match=words):
        penalty(jnp.ones(shape))


@pytest.mark.parametrize("penalty", ANY_SHAPE)
def test_an_empty_array_costs_nothing(penalty):
    assert float(penalty(jnp.ones((0, 2)))) == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda w: penalties.group_lasso(w, axis=2),
        lambda w: penalties.sparse_group_lasso(w, 0.5, axis=-3),
        lambda w: penalties.orthogonal(w, axis=2),
        lambda w: penalties.soft_orthogonality(w, axis=(0, 5)),
        lambda w: penalties.srip(w, axis=2),
        lambda w: penalties.total_variation(w),
    ],
)
def test_an_axis_that_does_not_exist_is_named(call):
    with pytest.raises(ValueError, match=r"axis=.* does not exist in an array of shape \(3, 2\)"):
        call(jnp.ones((3, 2)))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda w: penalties.elastic_net(w, -1.0), ValueError, "elastic_net's beta is -1"),
        (lambda w: penalties.elastic_net_ratio(w, 1.5), ValueError, r"l1_ratio is 1.5, but must lie in \[0, 1\]"),
        (lambda w: penalties.sparse_group_lasso(w, -0.1), ValueError, "sparse_group_lasso's l1_ratio is -0.1"),
        (lambda w: penalties.log_sum(w, 0.0), ValueError, "epsilon is 0, but must be a finite number above 0"),
        (lambda w: penalties.log_sum(w, float("nan")), ValueError, "epsilon is nan"),
        (lambda w: penalties.l2_sp(w, jnp.ones(3)), ValueError, r"reference has shape \(3,\), but w has"),
        (lambda w: penalties.srip(w, iterations=0), ValueError, "iterations is 0, but must be at least 1"),
        (lambda w: penalties.srip(w, iterations=1.5), TypeError, "iterations is 1.5, but must be a whole"),
        (lambda w: penalties.spectral_norm_step(w, jnp.ones(3)), ValueError, r"shape \(3,\), but w of shape \(3, 2\)"),
    ],
)
def test_bad_numbers_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call(jnp.ones((3, 2)))


def test_epsilon_may_be_traced():
    w, epsilons = weights(5), jnp.array([0.1, 1.0, 3.0])
    values, slopes_ = jax.jit(jax.vmap(jax.value_and_grad(penalties.log_sum, argnums=1), (None, 0)))(w, epsilons)
    for n, epsilon in enumerate((0.1, 1.0, 3.0)):
        np.testing.assert_allclose(values[n], penalties.log_sum(w, epsilon), rtol=1e-5)
        size = np.abs(exact(w))
        np.testing.assert_allclose(slopes_[n], np.sum(-size / (epsilon * (epsilon + size))), rtol=1e-4)
