"""Half precision goes in, sums and norms are computed in float32 at least; and second derivatives are right."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jreg import losses, metrics, nn, on_params, penalties, project, projections, prox
from jreg.objective import Forward

HALVES = (jnp.dtype("float16"), jnp.dtype("bfloat16"))
# Squares, their sums and the sums of absolute values are all above 65,504, the largest number of float16.
WEIGHTS = 900 * np.random.default_rng(0).normal(size=(400, 8)) + 1500
REFERENCE = np.float32(-2.5)


def per_unit(w):
    return np.linalg.norm(w, axis=0)


def gram(w):
    return np.abs(w.T @ w - np.eye(w.shape[1]))


def singular(w):
    return np.linalg.svd(w, compute_uv=False)


# What jreg computes, and the formula of its docstring with NumPy in float64.
SUMS = {
    "l1": (penalties.l1, lambda w: np.abs(w).sum()),
    "l2": (penalties.l2, lambda w: (w**2).sum() / 2),
    "elastic_net": (lambda w: penalties.elastic_net(w, 0.5), lambda w: (0.5 * w**2 + np.abs(w)).sum()),
    "elastic_net_ratio": (
        lambda w: penalties.elastic_net_ratio(w, 0.25),
        lambda w: (0.25 * np.abs(w) + 0.375 * w**2).sum(),
    ),
    "l2_sp": (
        lambda w: penalties.l2_sp(w, jnp.full(w.shape, REFERENCE)),
        lambda w: ((w - REFERENCE) ** 2).sum() / 2,
    ),
    "group_lasso": (penalties.group_lasso, lambda w: per_unit(w).sum()),
    "sparse_group_lasso": (
        lambda w: penalties.sparse_group_lasso(w, 0.5),
        lambda w: (np.abs(w).sum() + per_unit(w).sum()) / 2,
    ),
    "hoyer_square": (penalties.hoyer_square, lambda w: np.abs(w).sum() ** 2 / (w**2).sum()),
    "log_sum": (lambda w: penalties.log_sum(w, 1e-3), lambda w: np.log1p(np.abs(w) / 1e-3).sum()),
    "total_variation": (
        lambda w: penalties.total_variation(w, axis=0),
        lambda w: np.abs(np.diff(w, axis=0)).sum(),
    ),
    "nuclear_norm": (penalties.nuclear_norm, lambda w: singular(w).sum()),
    "spectral_norm": (penalties.spectral_norm, lambda w: singular(w)[0]),
    "orthogonal": (penalties.orthogonal, lambda w: gram(w).sum()),
    "soft_orthogonality": (penalties.soft_orthogonality, lambda w: (gram(w) ** 2).sum()),
    "squared_error": (
        lambda w: losses.squared_error(w, jnp.zeros_like(w)).sum(),
        lambda w: (w**2).sum() / 2,
    ),
    "huber": (
        lambda w: losses.huber(w, jnp.zeros_like(w), 100.0).sum(),
        lambda w: np.where(np.abs(w) <= 100, w**2 / 2, 100 * (np.abs(w) - 50)).sum(),
    ),
    "softmax": (
        # The exponentials of 70,000 equal logits add up to 70,000.
        lambda w: losses.softmax_cross_entropy(jnp.zeros(70_000, w.dtype) + w[0, 0], jnp.array(1)),
        lambda w: np.log(70_000),
    ),
    "mse": (lambda w: metrics.mse(w, jnp.zeros_like(w)), lambda w: (w**2).mean()),
}


# 4 W (W^T W - I) of such weights is no number of float16.
OUT_OF_RANGE = {("soft_orthogonality", HALVES[0])}

halves = pytest.mark.parametrize("dtype", HALVES, ids=str)


@halves
def test_sums_of_half_precision_are_those_of_float64(dtype):
    w = jnp.asarray(WEIGHTS, dtype)
    stored = np.asarray(w, np.float64)

    @jax.jit
    def all_of_them(w):
        return {name: jax.value_and_grad(function)(w) for name, (function, _) in SUMS.items()}

    for name, (found, gradient) in all_of_them(w).items():
        assert found.dtype == jnp.float32, name
        np.testing.assert_allclose(found, SUMS[name][1](stored), 1e-5, err_msg=name)
        assert gradient.dtype == dtype, name
        assert np.isfinite(gradient).all() or (name, dtype) in OUT_OF_RANGE, name


def test_a_term_of_the_objective_is_finite_and_so_is_its_gradient():
    w = jnp.full((50, 40), 12.0, jnp.float16)
    for penalty, right in ((penalties.l2, 144_000), (penalties.l1, 24_000)):
        term = 1e-3 * on_params(penalty)
        value, gradient = jax.value_and_grad(lambda params, term=term: term(Forward(params, None, None)))({"k": w})
        assert float(value) == pytest.approx(1e-3 * right, rel=1e-5)
        np.testing.assert_allclose(gradient["k"], 1e-3 * (12 if penalty is penalties.l2 else 1), 1e-3)


def norms(w, order=2):
    return np.linalg.norm(np.asarray(w, np.float64), order, axis=0)


@halves
def test_projected_weights_of_half_precision_lie_inside(dtype):
    rng, spacing = np.random.default_rng(1), float(jnp.finfo(dtype).eps)
    w = jnp.asarray(rng.normal(size=(40, 200)) * rng.choice([0.05, 0.2, 1, 30], 200), dtype)

    @jax.jit
    def projected(w):
        return {
            "max": projections.max_norm(w, 1.0),
            "again": projections.max_norm(projections.max_norm(w, 1.0), 1.0),
            "min_max": projections.min_max_norm(w, 0.5, 1.0),
            "l1": projections.l1_ball(w, 1.0),
            "box": projections.box(w, -0.1, 0.3),
            "unit": projections.unit_norm(w),
        }

    found, long = projected(w), norms(w) > 1
    # Inside to float32's rounding, and no further inside than one spacing of the dtype.
    for name, order in (("max", 2), ("min_max", 2), ("l1", 1)):
        length = norms(found[name], order)
        assert length.max() <= 1 + 1e-6, name
        assert length[norms(w, order) > 1].min() >= 1 - spacing, name
    np.testing.assert_array_equal(found["again"], found["max"])
    np.testing.assert_array_equal(found["max"][:, ~long], w[:, ~long])
    assert (np.abs(norms(found["unit"]) - 1) < spacing / 2).all()
    box = np.asarray(found["box"], np.float64)
    assert -0.1 <= box.min() < -0.1 * (1 - spacing)
    assert 0.3 >= box.max() > 0.3 * (1 - spacing)


@halves
def test_applied_updates_stay_inside(dtype):
    rng = np.random.default_rng(2)
    params = {"kernel": jnp.asarray(rng.normal(size=(40, 50)), dtype)}
    chain = project(functools.partial(projections.max_norm, c=1.0))

    @jax.jit
    def applied(params, step):
        return optax.apply_updates(params, chain.update(step, optax.EmptyState(), params)[0])

    for _ in range(3):
        params = applied(params, {"kernel": jnp.asarray(0.1 * rng.normal(size=(40, 50)), dtype)})
    assert norms(params["kernel"]).max() <= 1 + float(jnp.finfo(dtype).eps)


def test_bounds_that_half_precision_lacks():
    w = jnp.array([60_000.0, -60_000.0, 6e-8, jnp.nan], jnp.float16)

    @jax.jit
    def moved(w):
        units = w[:, None]
        limits = (1e6, 70_000.0)
        return projections.box(w, -1e6, 1e6), *(projections.max_norm(units[:3], c) for c in limits)

    wide, inside, scaled = moved(w)
    np.testing.assert_array_equal(wide, w)
    np.testing.assert_array_equal(inside[:, 0], w[:3])
    np.testing.assert_allclose(scaled[:2, 0].astype(jnp.float32), 70_000 / 2**0.5 * np.array([1, -1]), 2e-3)


@halves
def test_units_of_a_norm_beyond_float16_have_cosines(dtype):
    x = jnp.full((1, 64), 30_000.0, dtype)
    kernel = jnp.ones((64, 1), dtype)
    assert nn.CosineDense(1).apply({"params": {"kernel": kernel}}, x).astype(jnp.float32) == pytest.approx(1, rel=0.01)


@halves
def test_thresholds_of_half_precision_are_rounded_once(dtype):
    w = jnp.asarray(WEIGHTS[:20], dtype)
    stored = np.asarray(w, np.float64)
    shrunk = stored * np.maximum(1 - 0.3 / per_unit(stored), 0)
    np.testing.assert_allclose(
        np.asarray(prox.group_lasso(w, 0.3), np.float64), shrunk, float(jnp.finfo(dtype).eps) / 2
    )


def second_difference(function, w, direction):
    """How the gradient of a smooth function moves, by differences of its values in float64."""
    e, moved = 1e-3, np.zeros_like(w)
    for place in np.ndindex(*w.shape):
        unit = np.zeros_like(w)
        unit[place] = e
        ends = [function(w + a * unit + b * e * direction) for a in (1, -1) for b in (1, -1)]
        moved[place] = (ends[0] - ends[1] - ends[2] + ends[3]) / (4 * e * e)
    return moved


def hessian_product(penalty):
    return jax.jit(lambda w, v: jax.jvp(jax.grad(penalty), (w,), (v,))[1])


@pytest.mark.parametrize(
    ("penalty", "order"), [(penalties.nuclear_norm, "nuc"), (penalties.spectral_norm, 2)], ids=["nuclear", "spectral"]
)
def test_second_derivatives_of_norms_of_singular_values(penalty, order):
    product = hessian_product(penalty)
    for shape in ((4, 3), (3, 4)):
        w, v = np.random.default_rng(3).normal(size=(2, *shape))
        expected = second_difference(lambda w: np.linalg.norm(w, order), w, v)
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(product(w.astype(np.float32), v.astype(np.float32)), expected, atol=2e-4)
    # Forwards over forwards, and where the derivative doesn't exist.
    twice = jax.jvp(lambda w: jax.jvp(penalty, (w,), (v,))[1], (w,), (v,))[1]
    np.testing.assert_allclose(twice, (expected * v).sum(), atol=1e-3)
    for at in (np.eye(3, 4), np.zeros((3, 4)), np.outer([1, 2, 3], [1, 0, 0, 1])):
        assert np.isfinite(product(at.astype(np.float32), v.astype(np.float32))).all()


def test_a_power_iteration_says_that_its_gradient_has_no_derivative():
    w = jnp.array([[3.0, 0.0], [1.0, -4.0]])
    state = penalties.spectral_norm_init(jax.random.key(0), w)

    def estimate(w):
        return penalties.spectral_norm_step(w, state)[0]

    assert np.isfinite(jax.jvp(estimate, (w,), (w,))[1])
    with pytest.raises(TypeError, match=r"spectral_norm_step .* has no second derivative: use spectral_norm"):
        jax.hessian(estimate)(w)


@pytest.mark.parametrize(
    "function",
    [
        penalties.l2,
        penalties.nuclear_norm,
        lambda w: projections.max_norm(w, 1.0),
        lambda w: prox.l1(w, 1.0),
    ],
)
def test_complex_weights_keep_both_parts(function):
    w = jnp.array([[3.0 + 4.0j]])
    with pytest.raises(TypeError, match=r"has dtype complex64, .* real numbers, jnp\.stack\(\[w\.real, w\.imag\]\)"):
        function(w)
    assert float(penalties.l2(jnp.stack([w.real, w.imag]))) == 12.5
