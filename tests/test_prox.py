import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from jreg import penalties, projections, prox

ROWS = [
    (prox.l1, "prox.l1's threshold t"),
    (prox.l2, "prox.l2's threshold t"),
    (functools.partial(prox.elastic_net, beta=0.5), "prox.elastic_net's threshold t"),
    (prox.group_lasso, "prox.group_lasso's threshold t"),
    (functools.partial(prox.sparse_group_lasso, l1_ratio=0.5), "prox.sparse_group_lasso's threshold t"),
    (prox.nuclear_norm, "prox.nuclear_norm's threshold t"),
]
OPERATORS = [operator for operator, _ in ROWS]
each_operator = pytest.mark.parametrize(
    "operator", OPERATORS, ids=lambda f: getattr(f, "func", f).__name__ if callable(f) else str(f)
)
# Shape, axis given, and the axes that stand for one group.
LAYOUTS = [
    ((6, 4), None, (0,)),
    ((3, 3, 2, 5), None, (0, 1, 2)),
    ((7,), None, (0,)),
    ((4, 6), -1, (1,)),
    ((2, 3, 4), (0, 2), (0, 2)),
]
each_layout = pytest.mark.parametrize(("shape", "axis", "within"), LAYOUTS)
EPS = np.finfo(np.float32).eps


@functools.cache
def compiled(f, *static):
    """One program for several tests: the operations one by one are a program each, and the contract looks at them."""
    return jax.jit(f, static_argnums=static)


def elementwise(w, t, beta):
    known = prox.l1(w, t), prox.l2(w, t), prox.elastic_net(w, t, beta)
    return *known, prox.l1(w, t, non_negative=True), prox.non_negative(w, t)


def weights(shape, seed=0, scale=1.0):
    return jnp.asarray(scale * np.random.default_rng(seed).normal(size=shape), jnp.float32)


def soft(x, t):
    """One number's soft threshold, case by case."""
    if x > t:
        return x - t
    if x < -t:
        return x + t
    return 0.0


def shortened(group, t):
    """One group's block soft threshold."""
    length = sum(float(x) ** 2 for x in group) ** 0.5
    return [float(x) * (length - t) / length if length > t else 0.0 for x in group]


def by_groups(f, w, within):
    """`f` of each group, by a loop over what the group's axes leave."""
    w = np.array(w, np.float64)
    kept = [a for a in range(w.ndim) if a not in within]
    for place in itertools.product(*(range(w.shape[a]) for a in kept)):
        index = [slice(None)] * w.ndim
        for a, i in zip(kept, place, strict=True):
            index[a] = i
        group = w[tuple(index)]
        w[tuple(index)] = np.reshape(f(group.ravel()), group.shape)
    return w


def assert_same_zeros(actual, expected):
    np.testing.assert_array_equal(np.asarray(actual) == 0, np.asarray(expected) == 0)
    assert 0 < np.count_nonzero(expected) < np.size(expected)


@pytest.mark.parametrize("beta", [0.0, 0.25, 3.0])
@pytest.mark.parametrize("t", [0.1, 0.7])
def test_l1_l2_and_elastic_net_minimize_over_a_fine_grid(t, beta):
    w = np.asarray(weights(12), np.float64)
    grid = np.arange(-40_000, 40_001) / 10_000  # its points are 1e-4 apart and 0 is one of them
    half = 0.5 * (grid - w[:, None]) ** 2
    omegas = [np.abs(grid), 0.5 * grid**2, np.abs(grid) + beta * grid**2]
    omegas += [np.where(grid < 0, np.inf, grid), np.where(grid < 0, np.inf, 0)]
    for found, omega in zip(compiled(elementwise)(weights(12), t, beta), omegas, strict=True):
        np.testing.assert_allclose(found, grid[np.argmin(half + t * omega, axis=1)], atol=6e-5)


def test_l1_and_elastic_net_are_the_threshold_number_by_number():
    w = weights((6, 4))
    expected = np.array([[soft(float(x), 0.5) for x in row] for row in w])
    np.testing.assert_allclose(prox.l1(w, 0.5), expected, rtol=2e-6)
    assert_same_zeros(prox.l1(w, 0.5), expected)
    np.testing.assert_allclose(prox.elastic_net(w, 0.5, 2.0), expected / 3, rtol=2e-6)
    assert_same_zeros(prox.elastic_net(w, 0.5, 2.0), expected)


def test_elastic_net_is_the_operator_of_the_penalty_of_that_name():
    # Where the result isn't zero the objective is smooth, and its gradient vanishes there.
    w = weights((6, 4))
    p = prox.elastic_net(w, 0.3, 0.7)
    slope = jax.jit(jax.grad(lambda v: 0.3 * penalties.elastic_net(v, 0.7) + 0.5 * jnp.sum(jnp.square(v - w))))(p)
    # It is the sum of terms as large as the weights, each of which is rounded a few times.
    assert np.abs(slope)[np.asarray(p) != 0].max() < 8 * EPS * np.abs(w).max()


def test_l1_takes_a_threshold_for_each_weight():
    w, t = weights((6, 4)), jnp.abs(weights((6, 4), 1))
    expected = [[soft(float(x), float(s)) for x, s in zip(*pair, strict=True)] for pair in zip(w, t, strict=True)]
    np.testing.assert_allclose(prox.l1(w, t), expected, rtol=2e-6, atol=1e-7)


@each_layout
def test_group_lasso_shortens_group_by_group(shape, axis, within):
    w = weights(shape)
    lengths = np.sqrt(np.sum(np.square(np.asarray(w, np.float64)), axis=within))
    for t in (0.1, float(np.median(lengths)) * 1.001, 100.0):
        expected = by_groups(lambda group, t=t: shortened(group, t), w, within)
        actual = compiled(prox.group_lasso, 2)(w, t, axis)
        np.testing.assert_allclose(actual, expected, rtol=3e-6, atol=1e-6)
        np.testing.assert_array_equal(np.asarray(actual) == 0, expected == 0)


@each_layout
@pytest.mark.parametrize("l1_ratio", [0.0, 0.3, 1.0])
def test_sparse_group_lasso_meets_the_optimality_condition(shape, axis, within, l1_ratio):
    t = 0.8
    w = np.asarray(weights(shape), np.float64)
    p = np.asarray(compiled(prox.sparse_group_lasso, 3)(weights(shape), t, l1_ratio, axis), np.float64)

    def violation(pair):
        v, x = np.split(pair, 2)
        residual = v - x  # must be a subgradient of t * Omega at x
        if not x.any():
            # A point of the l1 ball's box plus one of the group's ball: what the box can't absorb has length <= 1.
            rest = [soft(r, l1_ratio * t) for r in residual]
            return max(np.linalg.norm(rest) - (1 - l1_ratio) * t, 0)
        rest = residual - (1 - l1_ratio) * t * x / np.linalg.norm(x)
        off = np.where(x != 0, np.abs(rest - l1_ratio * t * np.sign(x)), np.maximum(np.abs(rest) - l1_ratio * t, 0))
        return off.max()

    kept = [a for a in range(w.ndim) if a not in within]
    size = int(np.prod([w.shape[a] for a in within]))
    groups = [np.transpose(a, (*kept, *within)).reshape(-1, size) for a in (w, p)]
    assert max(violation(np.concatenate(pair)) for pair in zip(*groups, strict=True)) < 2e-6


@pytest.mark.parametrize("seed", range(4))
def test_sparse_group_lasso_is_what_a_general_minimizer_finds(seed):
    w, t, l1_ratio = np.asarray(weights((3, 1), seed, 2.0)), 1.0, 0.4

    def objective(v):
        omega = l1_ratio * np.abs(v).sum() + (1 - l1_ratio) * np.linalg.norm(v)
        return t * omega + 0.5 * np.sum((v - w.ravel()) ** 2)

    found = minimize(objective, w.ravel(), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    p = np.asarray(compiled(prox.sparse_group_lasso, 3)(w, t, l1_ratio, None), np.float64).ravel()
    assert objective(p) <= found.fun + 1e-6
    np.testing.assert_allclose(p, found.x, atol=1e-3)


def test_sparse_group_lasso_ends_at_group_lasso_and_l1():
    w = weights((6, 4))
    np.testing.assert_array_equal(prox.sparse_group_lasso(w, 0.7, 0.0), prox.group_lasso(w, 0.7))
    np.testing.assert_array_equal(prox.sparse_group_lasso(w, 0.7, 1.0), prox.l1(w, 0.7))


def test_the_second_numbers_may_be_traced():
    w = weights((6, 4))
    for operator in (prox.elastic_net, prox.sparse_group_lasso):
        many = jax.jit(jax.vmap(operator, (None, None, 0)))(w, 0.7, jnp.array([0.0, 0.3, 1.0]))
        for second, traced in zip((0.0, 0.3, 1.0), many, strict=True):
            np.testing.assert_allclose(traced, operator(w, 0.7, second), rtol=2e-6, atol=2e-7)


def test_sparse_group_lasso_zeroes_whole_units_and_weights_of_the_others():
    w = jnp.array([[3.0, 0.3], [0.2, 0.4], [2.0, 0.3]])
    assert (np.asarray(prox.sparse_group_lasso(w, 0.6, 0.5)) == 0).tolist() == [
        [False, True],
        [True, True],
        [False, True],
    ]


def test_non_negative_is_the_projection():
    w = weights((6, 4))
    for t in (0.0, 3.0):
        np.testing.assert_array_equal(prox.non_negative(w, t), projections.non_negative(w))


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 2, 3, 4), (1, 5)])
@pytest.mark.parametrize("t", [0.3, 1.5, 100.0])
def test_nuclear_norm_thresholds_numpys_singular_values(shape, t):
    w = weights(shape)
    u, s, vt = np.linalg.svd(np.asarray(w, np.float64).reshape(-1, shape[-1]), full_matrices=False)
    p = np.asarray(compiled(prox.nuclear_norm)(w, t))
    np.testing.assert_allclose(p.reshape(-1, shape[-1]), u @ np.diag([soft(x, t) for x in s]) @ vt, atol=3e-6)
    rank = np.linalg.matrix_rank(p.reshape(-1, shape[-1]), tol=1e-5)
    assert rank == np.sum(s > t)
    assert t < 100 or not p.any()  # not one weight is left


@pytest.mark.parametrize("shape", [(6, 3), (3, 6)])
def test_nuclear_norm_meets_the_optimality_condition(shape):
    w, t = np.asarray(weights(shape), np.float64), 1.0
    p = np.asarray(compiled(prox.nuclear_norm)(weights(shape), t), np.float64)
    # (w - p) / t is a subgradient: of spectral norm at most 1, and its product with p is p's nuclear norm.
    slope = (w - p) / t
    assert np.linalg.norm(slope, 2) <= 1 + 5e-6  # a few roundings of p
    np.testing.assert_allclose(np.sum(slope * p), np.linalg.norm(p, "nuc"), rtol=1e-5)


def derivatives(primals, tangents, seed):
    """The derivative of `prox.nuclear_norm` in a direction, and its product with a seed in forward and reverse mode."""
    _, forward = jax.jvp(prox.nuclear_norm, primals, tangents)
    back = jax.vjp(prox.nuclear_norm, *primals)[1](seed)
    return forward, jnp.sum(seed * forward), jnp.sum(back[0] * tangents[0]) + back[1] * tangents[1]


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 2, 3)])
@pytest.mark.parametrize("singular_values", ["as they come", "all equal", "one zero"])
def test_nuclear_norm_has_the_derivative_that_differences_show(shape, singular_values):
    rng = np.random.default_rng(0)
    w, change = rng.normal(size=(2, *shape))
    u, s, vt = np.linalg.svd(w.reshape(-1, shape[-1]), full_matrices=False)
    s = {"as they come": s, "all equal": np.full_like(s, 2.0), "one zero": np.r_[s[:-1], 0.0]}[singular_values]
    w = (u @ np.diag(s) @ vt).reshape(shape)

    def numpy(e):
        u, s, vt = np.linalg.svd((w + e * change).reshape(-1, shape[-1]), full_matrices=False)
        return (u @ np.diag(np.maximum(s - 1.2 - 0.5 * e, 0)) @ vt).reshape(shape)

    with jax.enable_x64(True):
        forward, *products = compiled(derivatives)((w, np.array(1.2)), (change, np.array(0.5)), rng.normal(size=shape))
        np.testing.assert_allclose(forward, (numpy(1e-6) - numpy(-1e-6)) / 2e-6, atol=1e-7)
        np.testing.assert_allclose(*products, rtol=1e-10, atol=1e-13)


@pytest.mark.some(3)
@each_operator
def test_a_zero_threshold_is_the_identity_and_so_is_its_derivative(operator):
    both = jax.jit(lambda w, t: (operator(w, 0.0), jax.jacobian(operator)(w, t)))
    for w in (weights((6, 4)), np.zeros((6, 4), np.float32), np.ones((4, 4), np.float32)):
        same, jacobian = both(w, np.float32(0))
        np.testing.assert_array_equal(same, w)
        np.testing.assert_allclose(np.reshape(jacobian, (w.size, w.size)), np.eye(w.size), atol=1e-6)


@functools.cache
def jacobians(operator):
    return jax.jit(jax.jacobian(operator, argnums=(0, 1)))


@each_operator
@pytest.mark.parametrize("t", [0.0, 0.5])
def test_derivatives_are_finite_at_zero_and_at_the_threshold(operator, t):
    for w in (np.zeros((3, 3)), t * np.eye(3), np.full((3, 3), t), np.full((3, 3), t / 3), weights((3, 3))):
        for derivative in jacobians(operator)(np.asarray(w, np.float32), np.float32(t)):
            assert np.isfinite(derivative).all()


@each_operator
def test_operators_are_non_expansive_and_keep_zero(operator):
    a, b = weights((6, 4), 1), weights((6, 4), 2)
    for t in (0.2, 1.0):
        first, second, zero = (np.asarray(compiled(operator)(w, t)) for w in (a, b, np.zeros((6, 4), np.float32)))
        assert np.linalg.norm(first - second) <= np.linalg.norm(np.asarray(a - b)) * (1 + 1e-6)
        assert not zero.any()


@each_operator
def test_nan_is_not_hidden_by_a_zero(operator):
    w = np.array([[np.nan, 0.1], [0.1, 0.1]], np.float32)
    assert np.isnan(compiled(operator)(w, 5.0)[0, 0])


@each_operator
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_keeps_its_dtype_and_its_zeros(operator, dtype):
    p = compiled(operator)(np.full((3, 2), 1e-2, dtype), np.float32(0.5))
    assert p.dtype == dtype
    assert operator is prox.l2 or not np.asarray(p, np.float32).any()


@pytest.mark.parametrize(("operator", "name"), ROWS, ids=[name for _, name in ROWS])
@pytest.mark.parametrize("t", [-0.1, -1, float("nan"), float("inf"), np.float64(-2)])
def test_a_known_negative_threshold_is_refused(operator, name, t):
    with pytest.raises(ValueError, match=rf"{name} is .* must be a finite number of at least 0"):
        operator(jnp.ones((2, 2)), t)


@pytest.mark.parametrize("operator", [*OPERATORS, prox.non_negative])
def test_weights_that_are_no_floating_numbers_are_refused(operator):
    # A threshold of 0.5 would become 0, and the operator the identity.
    with pytest.raises(TypeError, match=r"prox.\w+'s array of weights has dtype int32, but must have a floating one"):
        operator(jnp.ones((3, 2), jnp.int32), 0.5)


def test_other_numbers_out_of_range_are_refused():
    w = jnp.ones((2, 2))
    for shape in ((2,), (1, 2), (2, 2, 2)):
        with pytest.raises(ValueError, match=r"prox.l1's threshold t has shape .*, but .* have w's shape, \(2, 2\)"):
            prox.l1(w, jnp.ones(shape))
    with pytest.raises(ValueError, match=r"prox.elastic_net's beta is -1, but"):
        prox.elastic_net(w, 0.1, -1.0)
    for l1_ratio in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"l1_ratio is .*, but must lie in \[0, 1\]"):
            prox.sparse_group_lasso(w, 0.1, l1_ratio)
    for operator in (prox.group_lasso, functools.partial(prox.sparse_group_lasso, l1_ratio=0.5)):
        with pytest.raises(ValueError, match=r"axis=2 does not exist in an array of shape \(2, 2\)"):
            operator(w, 0.1, axis=2)
    with pytest.raises(ValueError, match=r"shape \(2,\), but needs one with two axes or more"):
        prox.nuclear_norm(jnp.ones(2), 0.1)
