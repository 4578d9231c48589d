import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from jreg import nn
from jreg.nn.normalization import moments

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(1.5, 2.0, size=(7, 3)), jnp.float32)
IMAGES = jnp.asarray(RNG.normal(size=(5, 4, 4, 3)), jnp.float32)


def started(layer, x=X):
    """Parameters that are not their start, and running statistics as they begin."""
    variables = jax.jit(layer.init)(KEY, x)
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), variables["params"])
    return {**variables, "params": params}


def trained(layer, variables, x, mask=None):
    run = jax.jit(functools.partial(layer.apply, train=True, mutable=["batch_stats"]))
    y, updated = run(variables, x, mask=mask)
    return y, updated["batch_stats"]


BATCH = [nn.BatchRenorm(), nn.GhostBatchNorm(size=4), nn.GhostBatchNorm(size=50)]


@pytest.mark.some(3)
@pytest.mark.parametrize("layer", BATCH, ids=repr)
@pytest.mark.parametrize("x", [X, IMAGES], ids=["rows", "images"])
def test_padding_changes_no_statistic_and_no_other_row(layer, x):
    variables = started(layer, x)
    expected, moved = trained(layer, variables, x)
    rows = len(x)
    mask = (jnp.arange(rows + 4) < rows).reshape(-1, *(1,) * (x.ndim - 1))
    for filler in (0.0, 1e6):
        padded = jnp.concatenate([x, jnp.full((4, *x.shape[1:]), filler)])
        y, again = trained(layer, variables, padded, mask)
        np.testing.assert_allclose(y[:rows], expected, rtol=1e-5, atol=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), again, moved)


@pytest.mark.parametrize("layer", BATCH, ids=repr)
def test_a_batch_of_padding_alone_moves_nothing_and_stays_finite(layer):
    variables = started(layer)
    mask = jnp.zeros((7, 1), bool)
    y, moved = trained(layer, variables, X, mask)
    assert np.isfinite(y).all()
    for name in {"mean", "ghost_mean", "ghost_var", "deviation"} & set(moved):
        np.testing.assert_array_equal(moved[name], variables["batch_stats"][name])
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(trained(layer, variables, x, mask)[0])))(X)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("layer", BATCH[:2], ids=repr)
def test_each_member_has_its_own_statistics(layer):
    xs = jnp.stack([X, 5 * X - 3])
    variables = started(layer)
    together = jax.jit(jax.vmap(functools.partial(trained, layer, variables)))(xs)
    for n in range(2):
        alone = trained(layer, variables, xs[n])
        jax.tree.map(lambda a, b, n=n: np.testing.assert_allclose(a[n], b, rtol=1e-4, atol=1e-5), together, alone)


def test_renormalization_without_room_is_batch_normalization():
    plain = linen.BatchNorm(use_running_average=False, epsilon=1e-3)
    variables = started(plain)
    expected = plain.apply(variables, X, mutable=["batch_stats"])[0]
    layer = nn.BatchRenorm(r_max=1.0, d_max=0.0)
    y, _ = trained(layer, {**layer.init(KEY, X), "params": variables["params"]}, X)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_renormalization_within_its_limits_trains_as_it_evaluates():
    layer = nn.BatchRenorm(r_max=1e6, d_max=1e6)
    variables = started(layer)
    variables["batch_stats"] |= {"mean": jnp.array([0.5, -2.0, 3.0]), "deviation": jnp.array([0.7, 1.5, 4.0])}
    np.testing.assert_allclose(trained(layer, variables, X)[0], layer.apply(variables, X), rtol=1e-4, atol=1e-4)


def test_renormalization_by_hand():
    layer = nn.BatchRenorm(r_max=1.5, d_max=0.25, momentum=0.8, epsilon=0.0)
    variables = {"params": {"scale": jnp.full(1, 2.0), "bias": jnp.full(1, 1.0)}}
    variables["batch_stats"] = {"mean": jnp.zeros(1), "deviation": jnp.ones(1), "count": jnp.int32(4)}
    # Mean 4 and deviation 2: the ratio 2 is cut to 1.5, the shift 4 to 0.25.
    y, moved = trained(layer, variables, jnp.array([[2.0], [6.0]]))
    np.testing.assert_allclose(y.ravel(), [2 * (-1.5 + 0.25) + 1, 2 * (1.5 + 0.25) + 1], rtol=1e-6)
    np.testing.assert_allclose([moved["mean"][0], moved["deviation"][0]], [0.8, 1.2], rtol=1e-6)
    assert int(moved["count"]) == 5


def test_renormalization_lets_no_gradient_through_its_corrections():
    layer = nn.BatchRenorm(r_max=1.5, d_max=0.25)
    variables = started(layer)
    ratio = np.clip(np.sqrt(np.asarray(X).var(axis=0) + 1e-3), 1 / 1.5, 1.5)

    def frozen(x):
        standard = (x - x.mean(axis=0, keepdims=True)) / jnp.sqrt(x.var(axis=0, keepdims=True) + 1e-3)
        return jnp.sum(jnp.sin(3 * x) * standard * ratio[None, :] * variables["params"]["scale"][None, :])

    def layered(x):
        # The shift and the bias only move the outputs; their product with the weights is taken out again.
        y = trained(layer, variables, x)[0]
        shift = y - jax.lax.stop_gradient(y)
        standard = (x - x.mean(axis=0, keepdims=True)) / jnp.sqrt(x.var(axis=0, keepdims=True) + 1e-3)
        value = jax.lax.stop_gradient(standard) * ratio[None, :] * variables["params"]["scale"][None, :]
        return jnp.sum(jnp.sin(3 * x) * (value + shift))

    np.testing.assert_allclose(jax.jit(jax.grad(layered))(X), jax.jit(jax.grad(frozen))(X), rtol=1e-3, atol=1e-4)


def test_limits_follow_schedules_of_the_step_and_may_be_traced():
    ramp = nn.BatchRenorm(r_max=optax.linear_schedule(1.0, 3.0, 10), d_max=optax.linear_schedule(0.0, 5.0, 10))
    variables = started(ramp)
    for step in (0, 5, 10):
        variables["batch_stats"] |= {"count": jnp.int32(step)}
        fixed = jax.jit(lambda r, d: trained(nn.BatchRenorm(r, d), variables, X)[0])
        share = step / 10
        expected = fixed(1 + 2 * share, 5 * share)
        np.testing.assert_allclose(trained(ramp, variables, X)[0], expected, rtol=1e-5, atol=1e-5)


def test_ghost_batches_are_batch_normalization_of_each_part():
    layer = nn.GhostBatchNorm(size=5, momentum=0.9)
    variables = started(layer)
    y, moved = trained(layer, variables, X)
    stats = {name: variables["batch_stats"][f"ghost_{name}"] for name in ("mean", "var")}
    parts = []
    for part in (X[:5], X[5:]):
        plain = linen.BatchNorm(use_running_average=False, momentum=0.9 ** (len(part) / 5))
        output, updated = plain.apply({**variables, "batch_stats": stats}, part, mutable=["batch_stats"])
        stats = updated["batch_stats"]
        parts.append(output)
    np.testing.assert_allclose(y, np.concatenate(parts), rtol=1e-4, atol=1e-4)
    for name, value in stats.items():
        np.testing.assert_allclose(moved[f"ghost_{name}"], value, rtol=1e-5, atol=1e-5)
    evaluated = plain.clone(use_running_average=True).apply({**variables, "batch_stats": stats}, X)
    again = layer.apply({**variables, "batch_stats": moved}, X)
    np.testing.assert_allclose(again, evaluated, rtol=1e-4, atol=1e-5)


def test_response_normalization_by_its_formula():
    layer = nn.ResponseNorm()
    variables = started(layer, IMAGES)
    gamma, beta, tau = (np.asarray(variables["params"][name]) for name in ("scale", "bias", "threshold"))
    x = np.asarray(IMAGES, np.float64)
    power = (x**2).mean(axis=(1, 2), keepdims=True)
    expected = np.maximum(gamma * x / np.sqrt(power + 1e-6) + beta, tau)
    np.testing.assert_allclose(layer.apply(variables, IMAGES), expected, rtol=1e-5, atol=1e-5)


def test_response_normalization_learns_its_epsilon_and_leaves_out_the_threshold():
    layer = nn.ResponseNorm(learn_epsilon=True, threshold=False)
    params = layer.init(KEY, X)["params"]
    assert set(params) == {"scale", "bias", "epsilon"}
    expected = np.asarray(X) / np.sqrt(np.asarray(X) ** 2 + 1.01e-4)
    np.testing.assert_allclose(layer.apply({"params": params}, X), expected, rtol=1e-5)
    assert np.isfinite(jax.grad(lambda x: jnp.sum(layer.apply({"params": params}, x)))(jnp.zeros_like(X))).all()


@pytest.mark.parametrize("layer", [*BATCH[:2], nn.ResponseNorm()], ids=repr)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_kept_outside_and_left_inside(layer, dtype):
    x = (X * 100).astype(dtype)
    told = {"train": True} if layer in BATCH else {}
    run = jax.jit(functools.partial(layer.apply, mutable=["batch_stats"], **told))
    y, updated = run(jax.jit(layer.init)(KEY, x), x)
    assert y.dtype == dtype
    assert np.isfinite(np.asarray(y, np.float32)).all()
    assert {leaf.dtype.name for leaf in jax.tree.leaves(updated)} <= {"float32", "int32"}


def test_moments_of_what_the_mask_marks():
    mask = jnp.asarray(RNG.random(size=(7, 1)) < 0.6)
    mean, variance, count = moments(X, (0,), mask)
    chosen = np.asarray(X)[np.asarray(mask).ravel()]
    np.testing.assert_allclose(mean[0], chosen.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance[0], chosen.var(axis=0), rtol=1e-4)
    assert (np.asarray(count) == len(chosen)).all()


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: nn.BatchRenorm(r_max=0.5), ValueError, r"BatchRenorm's r_max is 0.5, but must be at least 1"),
        (lambda: nn.BatchRenorm(d_max=-1.0), ValueError, r"BatchRenorm's d_max is -1, but"),
        (lambda: nn.GhostBatchNorm(size=0), ValueError, r"GhostBatchNorm's size is 0, but must be at least 1"),
        (lambda: nn.GhostBatchNorm(size=2.5), TypeError, r"GhostBatchNorm's size is 2.5, but must be a whole"),
        (lambda: nn.ResponseNorm(epsilon=0.0), ValueError, r"ResponseNorm's epsilon is 0, but"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()
