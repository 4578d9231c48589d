"""Sets that are not a norm of each unit: nearest points, against scipy, NumPy and the optimality condition."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy.optimize import brentq

from jreg import projections

# Shape, axis given, and the axes that stand for one unit's incoming weights.
LAYOUTS = [
    ((6, 4), None, (0,)),
    ((3, 2, 2, 5), None, (0, 1, 2)),
    ((7,), None, (0,)),
    ((4, 6), -1, (1,)),
    ((2, 3, 4), (-1, 0), (0, 2)),
]
each_layout = pytest.mark.parametrize(("shape", "axis", "incoming"), LAYOUTS)
RNG = np.random.default_rng(0)


@functools.cache
def compiled(f, *static):
    """One program for several tests: the operations one by one are a program each, and the contract looks at them."""
    return jax.jit(f, static_argnums=static)


def weights(shape, seed=0, scale=1.0):
    return jnp.asarray(scale * np.random.default_rng(seed).normal(size=shape), jnp.float32)


def by_units(f, w, incoming):
    """`f` of each unit's incoming weights, by a loop over what they leave."""
    w = np.array(w, np.float64)
    kept = [a for a in range(w.ndim) if a not in incoming]
    for place in itertools.product(*(range(w.shape[a]) for a in kept)):
        index = [slice(None)] * w.ndim
        for a, i in zip(kept, place, strict=True):
            index[a] = i
        unit = w[tuple(index)]
        w[tuple(index)] = np.reshape(f(unit.ravel()), unit.shape)
    return w


def on_simplex(v, total):
    """Where scipy finds the threshold that makes the sum right."""
    threshold = brentq(lambda t: np.maximum(v - t, 0).sum() - total, v.min() - total, v.max(), xtol=1e-14)
    return np.maximum(v - threshold, 0)


def in_l1_ball(v, c):
    return v if np.abs(v).sum() <= c else np.sign(v) * on_simplex(np.abs(v), c)


@each_layout
def test_simplex_is_what_a_root_finder_gives(shape, axis, incoming):
    project = functools.partial(compiled(projections.simplex, 2), axis=axis)
    for total in (0.1, 1.0, 30.0):
        expected = by_units(lambda v, total=total: on_simplex(v, total), weights(shape), incoming)
        actual = np.asarray(project(weights(shape), np.float32(total)))
        np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-6 * total)
        np.testing.assert_allclose(actual.sum(axis=incoming), total, rtol=2e-6)
        assert actual.min() >= 0


@each_layout
def test_l1_ball_is_what_a_root_finder_gives(shape, axis, incoming):
    project = jax.jit(functools.partial(projections.l1_ball, axis=axis))
    for c in (0.1, 1.0, 3.0, 100.0):
        expected = by_units(lambda v, c=c: in_l1_ball(v, c), weights(shape), incoming)
        actual = np.asarray(project(weights(shape), np.float32(c)))
        np.testing.assert_allclose(actual, expected, atol=2e-6)
        np.testing.assert_array_equal(actual == 0, expected == 0)


@pytest.mark.parametrize("projection", [projections.l1_ball, projections.simplex])
def test_the_number_of_a_polytope_is_traced_and_has_a_derivative(projection):
    w, numbers = weights((6, 4)), (0.5, 1.0, 4.0)
    many = jax.jit(jax.vmap(projection, (None, 0)))(w, jnp.asarray(numbers))
    slopes = jax.jit(jax.vmap(jax.jacobian(projection, argnums=(0, 1)), (None, 0)))(w, jnp.asarray(numbers))
    for number, traced in zip(numbers, many, strict=True):
        known = jax.jit(
            functools.partial(projection, **{"c" if projection is projections.l1_ball else "total": number})
        )
        np.testing.assert_allclose(traced, known(w), rtol=2e-6, atol=1e-6)
    assert all(bool(jnp.isfinite(s).all()) for s in slopes)


@pytest.mark.slow
def test_l1_ball_leaves_units_inside_it_bit_by_bit():
    w = weights((6, 4)).at[:, 0].multiply(1e-3)
    np.testing.assert_array_equal(projections.l1_ball(w, 1.0)[:, 0], w[:, 0])
    assert jax.jit(jax.jacobian(lambda x: projections.l1_ball(x, jnp.inf)))(w).sum() == w.size
    assert projections.l1_ball(jnp.zeros((0, 3)), 1.0).shape == (0, 3)


@pytest.mark.slow
@pytest.mark.parametrize("projection", [projections.l1_ball, projections.simplex])
def test_polytopes_keep_float32_where_x64_is_on(projection):
    w = weights((6, 4))
    with jax.enable_x64(True):
        wide = projection(w, 1.0)
        slope = jax.grad(lambda x: projection(x, 1.0)[0].sum())(w)
    assert (wide.dtype, slope.dtype) == (jnp.float32, jnp.float32)
    np.testing.assert_allclose(wide, projection(w, 1.0), rtol=2e-6, atol=1e-7)


def test_box_clips_and_takes_bounds_for_each_weight():
    w = weights((6, 4))
    np.testing.assert_array_equal(projections.box(w, -0.5, jnp.inf), np.maximum(np.asarray(w), np.float32(-0.5)))
    lower, upper = -jnp.abs(weights((1, 4), 1)), jnp.abs(weights((1, 4), 2))
    np.testing.assert_array_equal(projections.box(w, lower, upper), np.clip(w, lower, upper))


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 2, 3, 4), (1, 5)])
@pytest.mark.parametrize("c", [0.3, 1.5, 100.0])
def test_spectral_ball_clips_numpys_singular_values(shape, c):
    w = weights(shape)
    u, s, vt = np.linalg.svd(np.asarray(w, np.float64).reshape(-1, shape[-1]), full_matrices=False)
    p = np.asarray(compiled(projections.spectral_ball)(w, c))
    np.testing.assert_allclose(p.reshape(-1, shape[-1]), u @ np.diag(np.minimum(s, c)) @ vt, atol=3e-6)
    assert np.linalg.norm(p.reshape(-1, shape[-1]), 2) <= c * (1 + 2e-6)
    assert c < 100 or (p == np.asarray(w)).all()


def test_spectral_ball_stays_exact_for_weights_far_outside():
    p = np.asarray(projections.spectral_ball(weights((6, 3), scale=1e6), 1e-3), np.float64)
    np.testing.assert_allclose(np.linalg.svd(p)[1], 1e-3, rtol=3e-6)


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 2, 3)])
def test_orthogonal_is_scipys_polar_factor_and_solves_the_procrustes_problem(shape):
    w = np.asarray(weights(shape), np.float64).reshape(-1, shape[-1])
    q = np.asarray(projections.orthogonal(weights(shape)), np.float64).reshape(w.shape)
    factor = scipy.linalg.polar(w, "right" if w.shape[0] >= w.shape[1] else "left")[0]
    np.testing.assert_allclose(q, factor, atol=5e-6)
    gram = q.T @ q if w.shape[0] >= w.shape[1] else q @ q.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=2e-6)
    if w.shape[0] == w.shape[1]:
        np.testing.assert_allclose(q, scipy.linalg.orthogonal_procrustes(np.eye(len(w)), w)[0], atol=5e-6)


def test_no_orthonormal_matrix_is_nearer_than_orthogonals():
    w = np.asarray(weights((5, 3)), np.float64)
    nearest = np.linalg.norm(w - np.asarray(projections.orthogonal(weights((5, 3)))))
    others = np.linalg.qr(RNG.normal(size=(5000, 5, 3)))[0]
    near = np.linalg.qr(np.asarray(projections.orthogonal(weights((5, 3)))) + 0.01 * RNG.normal(size=(500, 5, 3)))[0]
    near *= np.sign(np.einsum("nij,ij->nj", near, w))[:, None, :]
    assert np.linalg.norm(w - others, axis=(1, 2)).min() >= nearest - 1e-6
    assert np.linalg.norm(w - near, axis=(1, 2)).min() >= nearest - 1e-6


def test_orthogonal_is_orthonormal_where_the_rank_is_too_low():
    # Two equal columns, one of zeros, and nothing but zeros: any nearest point will do, but it has to be one.
    column = np.asarray(weights((5,)), np.float64)
    jacobian = jax.jit(jax.jacobian(projections.orthogonal))
    for w in (np.stack([column, column, 0 * column], axis=1), np.zeros((5, 3))):
        q = np.asarray(projections.orthogonal(jnp.asarray(w, jnp.float32)), np.float64)
        np.testing.assert_allclose(q.T @ q, np.eye(3), atol=2e-6)
        # The greatest inner product with an orthonormal matrix is the sum of the singular values.
        np.testing.assert_allclose(np.sum(q * w), np.linalg.norm(w, "nuc"), rtol=1e-5, atol=1e-6)
        assert bool(jnp.isfinite(jacobian(jnp.asarray(w, jnp.float32))).all())


def test_symmetric_is_the_mean_with_the_transpose_of_each_matrix():
    w = np.asarray(weights((2, 3, 4, 4)), np.float64)
    p = projections.symmetric(weights((2, 3, 4, 4)))
    np.testing.assert_allclose(p, (w + w.transpose(0, 1, 3, 2)) / 2, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(p, jnp.swapaxes(p, -1, -2))
    np.testing.assert_array_equal(projections.symmetric(p), p)
    largest = jnp.full((2, 2), jnp.finfo(jnp.float16).max, jnp.float16)
    np.testing.assert_array_equal(projections.symmetric(largest), largest)


def random_points(name, shape, count=400):
    """Points of a convex set, and its projection."""
    v = RNG.normal(size=(count, *shape))
    if name == "box":
        return np.clip(v, -0.3, 0.7), functools.partial(projections.box, lower=-0.3, upper=0.7)
    if name == "non_negative":
        return np.abs(v), projections.non_negative
    if name == "l1_ball":
        v *= RNG.uniform(size=(count, 1, shape[1])) / np.abs(v).sum(axis=1, keepdims=True)
        return v, functools.partial(projections.l1_ball, c=1.0)
    if name == "simplex":
        v = np.abs(v)
        return v / v.sum(axis=1, keepdims=True), functools.partial(projections.simplex, total=1.0)
    if name == "min_max_norm from 0":
        v *= RNG.uniform(size=(count, 1, shape[1])) / np.linalg.norm(v, axis=1, keepdims=True)
        return v, functools.partial(projections.min_max_norm, low=0.0, high=1.0)
    if name == "spectral_ball":
        v *= RNG.uniform(size=(count, 1, 1)) / np.linalg.norm(v, 2, axis=(1, 2))[:, None, None]
        return v, functools.partial(projections.spectral_ball, c=1.0)
    return v + v.transpose(0, 2, 1), projections.symmetric


CONVEX = ["box", "non_negative", "l1_ball", "simplex", "min_max_norm from 0", "spectral_ball", "symmetric"]


@pytest.mark.parametrize("name", CONVEX)
def test_the_nearest_point_of_a_convex_set_satisfies_its_inequality(name):
    # <w - P(w), v - P(w)> <= 0 for every v of the set, and P(w) of the set: nothing else is needed to be nearest.
    points, projection = random_points(name, (4, 4))
    projection = jax.jit(projection)
    for seed in range(5):
        w = weights((4, 4), seed, 2.0)
        p = np.asarray(projection(w), np.float64)
        np.testing.assert_allclose(projection(jnp.asarray(p, jnp.float32)), p, atol=2e-6)
        rest = np.asarray(w, np.float64) - p
        assert np.einsum("ij,nij->n", rest, points - p).max() <= 2e-5 * max(np.linalg.norm(rest), 1)
        # Non-expansive, as projections onto convex sets are.
        other = weights((4, 4), seed + 10, 2.0)
        assert np.linalg.norm(p - np.asarray(projection(other))) <= np.linalg.norm(np.asarray(w - other)) + 1e-5


@each_layout
def test_min_max_norm_moves_each_unit_along_itself_into_the_shell(shape, axis, incoming):
    w = weights(shape)
    w = w.at[(slice(None),) * (len(shape) - 1) + (0,)].multiply(1e-2)
    low, high = 1.0, 1.5

    def nearest(v):
        length = np.linalg.norm(v)
        return v * np.clip(length, low, high) / length

    expected = by_units(nearest, w, incoming)
    whole, part, none = (compiled(projections.min_max_norm, 4)(w, low, high, rate, axis) for rate in (1.0, 0.25, 0.0))
    np.testing.assert_allclose(whole, expected, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(part, 0.75 * np.asarray(w, np.float64) + 0.25 * expected, rtol=2e-6, atol=1e-7)
    np.testing.assert_array_equal(none, w)


def test_min_max_norm_is_max_norm_below_zero_and_keeps_units_of_zeros():
    w = weights((5, 3)).at[:, 1].set(0.0)
    np.testing.assert_allclose(projections.min_max_norm(w, 0.0, 0.7), projections.max_norm(w, 0.7), rtol=1e-6)
    assert not np.asarray(projections.min_max_norm(w, 1.0, 2.0))[:, 1].any()
    slope = jax.jit(jax.jacobian(lambda x: projections.min_max_norm(x, 1.0, jnp.inf)))(w)
    assert bool(jnp.isfinite(slope).all())


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_min_max_norm_lengthens_tiny_units_in_half_precision(dtype):
    lengthened = jax.jit(lambda w: projections.min_max_norm(w, 2.0, 3.0))(np.full((4, 1), 2e-5, dtype))
    np.testing.assert_allclose(np.asarray(lengthened, np.float32), 1.0, rtol=0.02)


@pytest.mark.some(3)
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (2, 2, 6)])
@pytest.mark.parametrize("name", ["spectral_ball", "orthogonal"])
def test_singular_value_projections_have_the_derivative_that_differences_show(shape, name):
    rng = np.random.default_rng(0)
    w, change, seed = rng.normal(size=(3, *shape))
    u, s, vt = np.linalg.svd(w.reshape(-1, shape[-1]), full_matrices=False)

    def numpy(matrix, c):
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        s = np.minimum(s, c) if name == "spectral_ball" else np.ones_like(s)
        return (u @ np.diag(s) @ vt).reshape(shape)

    def ours(w, c):
        return projections.spectral_ball(w, c) if name == "spectral_ball" else projections.orthogonal(w)

    @jax.jit
    def both(w, c):
        _, pull = jax.vjp(ours, w, c)
        return jax.jvp(ours, (w, c), (change, 0.5))[1], pull(jnp.asarray(seed))

    # At equal singular values the vectors' own derivatives are infinite; at 0 the polar factor has none.
    spectra = [s, np.full_like(s, 2.0), *([np.r_[s[:-1], 0.0]] if name == "spectral_ball" else [])]
    with jax.enable_x64(True):
        for spectrum in spectra:
            matrix = u @ np.diag(spectrum) @ vt
            forward, back = both(jnp.asarray(matrix.reshape(shape)), jnp.asarray(1.2))
            step = 1e-6 * change.reshape(matrix.shape)
            difference = numpy(matrix + step, 1.2 + 0.5e-6) - numpy(matrix - step, 1.2 - 0.5e-6)
            np.testing.assert_allclose(forward, difference / 2e-6, atol=1e-7)
            reverse = np.sum(back[0] * change) + 0.5 * back[1]
            np.testing.assert_allclose(np.sum(seed * forward), reverse, rtol=1e-9)


ALL = {
    "max_norm": lambda w: projections.max_norm(w, 0.5),
    "unit_norm": projections.unit_norm,
    "min_max_norm": lambda w: projections.min_max_norm(w, 0.1, 0.5),
    "non_negative": projections.non_negative,
    "box": lambda w: projections.box(w, -0.5, 0.5),
    "l1_ball": lambda w: projections.l1_ball(w, 0.5),
    "simplex": lambda w: projections.simplex(w, 0.5),
    "spectral_ball": lambda w: projections.spectral_ball(w, 0.5),
    "orthogonal": projections.orthogonal,
    "symmetric": projections.symmetric,
}


@pytest.mark.parametrize("name", ALL)
def test_nan_is_not_hidden_and_spoils_no_other_unit(name):
    w = weights((3, 3))
    p = np.asarray(jax.jit(ALL[name])(w.at[0, 1].set(jnp.nan)))
    assert np.isnan(p[0, 1])
    if name not in ("spectral_ball", "orthogonal", "symmetric"):
        np.testing.assert_array_equal(p[:, [0, 2]], np.asarray(jax.jit(ALL[name])(w))[:, [0, 2]])


@pytest.mark.parametrize("name", ALL)
def test_weights_that_are_no_floating_numbers_are_refused(name):
    with pytest.raises(TypeError, match=rf"{name}'s array of weights has dtype int32, but must have a floating one"):
        ALL[name](jnp.ones((3, 3), jnp.int32))


@pytest.mark.parametrize("name", ["spectral_ball", "orthogonal"])
@pytest.mark.parametrize("shape", [(3,), (), (0, 3), (3, 0)])
def test_what_is_no_matrix_is_refused(name, shape):
    with pytest.raises(ValueError, match=rf"{name} got an (empty array|array of shape .* two axes or more)"):
        ALL[name](jnp.ones(shape))


def test_other_bad_input_is_refused():
    w = jnp.ones((2, 3))
    for shape in ((2, 3), (4,)):
        with pytest.raises(ValueError, match=r"symmetric got .* last two axes must be equally long"):
            projections.symmetric(jnp.ones(shape))
    for c in (0, -1.0, float("nan")):
        for name in ("l1_ball", "spectral_ball"):
            with pytest.raises(ValueError, match=rf"{name}'s radius c is .* must be above 0"):
                getattr(projections, name)(w, c)
    for total in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"simplex's total is .* must be a finite number above 0"):
            projections.simplex(w, total)
    with pytest.raises(ValueError, match=r"simplex got an array of shape \(0, 3\)"):
        projections.simplex(jnp.ones((0, 3)), 1.0)
    for lower, upper in (
        (1.0, 0.0),
        (float("nan"), 1.0),
        (0.0, float("nan")),
        (np.array([0.0, 2.0, 0.0]), 1.0),
        (np.zeros(3), np.array([1.0, float("nan"), 1.0])),
    ):
        with pytest.raises(ValueError, match=r"box's bounds are .* with the lower one first"):
            projections.box(w, lower, upper)
    for shape in ((2,), (2, 2), (1, 2, 3)):
        with pytest.raises(ValueError, match=rf"box's upper has shape {re.escape(str(shape))}, but .* shape, \(2, 3\)"):
            projections.box(w, -1.0, jnp.ones(shape))
    with pytest.raises(ValueError, match=r"min_max_norm's low is -1, but"):
        projections.min_max_norm(w, -1.0, 1.0)
    for high in (0.5, float("nan")):
        with pytest.raises(ValueError, match=r"min_max_norm's high is .*, but a greatest norm is at least low, 1"):
            projections.min_max_norm(w, 1.0, high)
    for rate in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"min_max_norm's rate is .*, but must lie in \[0, 1\]"):
            projections.min_max_norm(w, 0.0, 1.0, rate)
    for projection in (
        lambda axis: projections.l1_ball(w, 1.0, axis),
        lambda axis: projections.simplex(w, 1.0, axis),
        lambda axis: projections.min_max_norm(w, 0.0, 1.0, axis=axis),
    ):
        with pytest.raises(ValueError, match=r"axis=2 does not exist in an array of shape \(2, 3\)"):
            projection(2)
