import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jreg import projections

# Shape, axis given, and the axes that stand for one unit's incoming weights.
LAYOUTS = [
    ((6, 4), None, (0,)),
    ((3, 3, 2, 5), None, (0, 1, 2)),
    ((7,), None, (0,)),
    ((4, 6), 1, (1,)),
    ((4, 6), -1, (1,)),
    ((2, 3, 4), (0, 2), (0, 2)),
    ((2, 3, 4), (-1, 0), (0, 2)),
]
each_layout = pytest.mark.parametrize(("shape", "axis", "incoming"), LAYOUTS)


def weights(shape, seed=0, scale=1.0):
    return jnp.asarray(scale * np.random.default_rng(seed).normal(size=shape), jnp.float32)


def units(w, incoming):
    """One row a unit, its incoming weights as columns."""
    w = np.asarray(w)
    kept = [a for a in range(w.ndim) if a not in incoming]
    return w.transpose(*kept, *sorted(incoming)).reshape(int(np.prod([w.shape[a] for a in kept])), -1)


@pytest.mark.some(3)
@each_layout
def test_max_norm_is_optax_projection_onto_the_ball_unit_by_unit(shape, axis, incoming):
    w = weights(shape, scale=0.8)
    ball = jax.jit(jax.vmap(optax.projections.projection_l2_ball, (0, None)))
    for c in (0.1, 1.0, 100.0):
        actual = units(projections.max_norm(w, c, axis), incoming)
        np.testing.assert_allclose(actual, ball(units(w, incoming), c), rtol=1e-6, atol=1e-7)


@each_layout
def test_max_norm_lands_inside_the_ball_and_is_idempotent(shape, axis, incoming):
    once = projections.max_norm(weights(shape), 0.7, axis)
    # The norm of up to 18 weights is rounded with every sum.
    assert np.linalg.norm(units(once, incoming).astype(np.float64), axis=1).max() <= 0.7 * (1 + 1e-6)
    np.testing.assert_allclose(projections.max_norm(once, 0.7, axis), once, rtol=1e-6)


def test_max_norm_finds_the_nearest_point_of_the_ball():
    w = np.asarray(weights((5, 3), scale=3.0), np.float64)
    nearest = np.asarray(projections.max_norm(jnp.asarray(w, jnp.float32), 1.0), np.float64)
    rng = np.random.default_rng(1)
    others = rng.normal(size=(2000, 5, 3))
    others *= rng.uniform(size=(2000, 1, 3)) / np.linalg.norm(others, axis=1, keepdims=True)
    distance = np.linalg.norm(others - w, axis=1).min(axis=0)
    assert (np.linalg.norm(nearest - w, axis=0) <= distance + 1e-6).all()
    # The variational inequality <w - P(w), v - P(w)> <= 0 characterizes the projection onto a convex set.
    assert np.einsum("ij,nij->nj", w - nearest, others - nearest).max() <= 1e-5


def test_max_norm_changes_only_the_units_that_are_too_long():
    w = jnp.array([[3.0, 0.3], [4.0, 0.4]])
    assert projections.max_norm(w, 1.0)[:, 1].tolist() == w[:, 1].tolist()
    np.testing.assert_allclose(projections.max_norm(w, 1.0)[:, 0], [0.6, 0.8], rtol=1e-6)


def test_max_norm_leaves_a_unit_of_exactly_the_radius():
    w = jnp.array([[3.0], [4.0]])
    assert projections.max_norm(w, 5.0).tolist() == w.tolist()


def test_max_norm_with_an_infinite_radius_is_the_identity_and_keeps_zeros():
    w = jnp.array([[0.0, -2.5e18], [-0.0, 3.0]])
    assert np.array_equal(np.signbit(projections.max_norm(w, jnp.inf)), np.signbit(w))
    assert projections.max_norm(w, jnp.inf).tolist() == w.tolist()


def test_max_norm_is_non_expansive():
    a, b = weights((6, 4), 1), weights((6, 4), 2)
    before = np.linalg.norm(a - b, axis=0)
    after = np.linalg.norm(projections.max_norm(a, 0.5) - projections.max_norm(b, 0.5), axis=0)
    assert (after <= before + 1e-6).all()


@each_layout
def test_unit_norm_has_length_one_and_the_same_direction(shape, axis, incoming):
    w = weights(shape, scale=5.0)
    before, after = units(w, incoming).astype(np.float64), units(projections.unit_norm(w, axis), incoming)
    np.testing.assert_allclose(np.linalg.norm(after.astype(np.float64), axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(after, before / np.linalg.norm(before, axis=1, keepdims=True), rtol=1e-6)


def test_unit_norm_leaves_zeros_and_has_finite_gradients_there():
    w = jnp.array([[0.0, 3.0], [0.0, 4.0]])
    np.testing.assert_allclose(projections.unit_norm(w), [[0.0, 0.6], [0.0, 0.8]], rtol=1e-6)
    assert bool(jnp.isfinite(jax.jit(jax.jacobian(projections.unit_norm))(w)).all())


def test_non_negative_is_the_nearest_point_of_the_orthant():
    w = weights((6, 4))
    np.testing.assert_array_equal(projections.non_negative(w), optax.projections.projection_non_negative(w))
    np.testing.assert_array_equal(projections.non_negative(w), np.where(np.asarray(w) > 0, w, 0))


@pytest.mark.parametrize("c", [0, -1.0, float("nan"), np.float32(-2), np.array(0.0)])
def test_a_known_radius_must_be_positive(c):
    with pytest.raises(ValueError, match=r"max_norm's radius c is .* must be above 0"):
        projections.max_norm(jnp.ones((2, 2)), c)


@pytest.mark.parametrize("axis", [2, -3, (0, 5)])
def test_an_axis_that_does_not_exist_is_refused_with_the_shape(axis):
    for projection in (lambda w: projections.max_norm(w, 1.0, axis), lambda w: projections.unit_norm(w, axis)):
        with pytest.raises(ValueError, match=r"axis=.* does not exist in an array of shape \(2, 2\)"):
            projection(jnp.ones((2, 2)))
