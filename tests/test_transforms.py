import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jreg import projections
from jreg.transforms import decoupled_weight_decay, project

RNG = np.random.default_rng(0)
PARAMS = {
    "Conv_0": {"kernel": jnp.asarray(RNG.normal(size=(3, 3, 2, 4)), jnp.float32), "bias": jnp.full(4, 9.0)},
    "Dense_0": {"kernel": jnp.asarray(RNG.normal(size=(6, 5)), jnp.float32), "bias": jnp.full(5, 9.0)},
}
UPDATES = jax.tree.map(lambda w: jnp.asarray(RNG.normal(size=w.shape), jnp.float32), PARAMS)
MOVED = jax.tree.map(lambda w, u: w + u, PARAMS, UPDATES)
ZEROS = jax.tree.map(jnp.zeros_like, PARAMS)


def landing(transform, updates=UPDATES, params=PARAMS):
    @jax.jit
    def step(updates, params):
        moved, _ = transform.update(updates, transform.init(params), params)
        return optax.apply_updates(params, moved)

    return step(updates, params)


def max_norm(c):
    return functools.partial(projections.max_norm, c=c)


def test_project_lands_on_the_projected_weights():
    new = landing(project(max_norm(0.5)))
    for layer in PARAMS:
        expected = projections.max_norm(MOVED[layer]["kernel"], 0.5)
        np.testing.assert_allclose(new[layer]["kernel"], expected, rtol=1e-6, atol=1e-6)
        axes = tuple(range(expected.ndim - 1))
        norms = np.sqrt(np.sum(np.square(np.asarray(new[layer]["kernel"], np.float64)), axis=axes))
        np.testing.assert_allclose(norms, 0.5, rtol=1e-5)


def test_project_last_in_a_chain_holds_over_many_steps():
    chain = optax.chain(optax.sgd(0.5, momentum=0.9), project(projections.non_negative))
    params, state = PARAMS, chain.init(PARAMS)
    step = jax.jit(chain.update)
    for _ in range(10):
        updates, state = step(UPDATES, state, params)
        params = jax.tree.map(lambda w, u: w + u, params, updates)
        assert min(float(params[layer]["kernel"].min()) for layer in params) >= 0.0


@pytest.mark.parametrize("transform", [project(max_norm(0.1)), decoupled_weight_decay(0.3)])
def test_biases_are_left_alone_by_default(transform):
    new = landing(transform)
    for layer in PARAMS:
        np.testing.assert_array_equal(new[layer]["bias"], MOVED[layer]["bias"])
        assert not np.array_equal(new[layer]["kernel"], MOVED[layer]["kernel"])


@pytest.mark.parametrize(
    "make", [lambda where: project(max_norm(0.1), where), lambda w: decoupled_weight_decay(0.3, w)]
)
@pytest.mark.parametrize("where", ["Dense_0/*", lambda path, leaf: path.startswith("Dense")])
def test_where_chooses_by_path(make, where):
    new = landing(make(where))
    for name in ("kernel", "bias"):
        np.testing.assert_array_equal(new["Conv_0"][name], MOVED["Conv_0"][name])
        assert not np.array_equal(new["Dense_0"][name], MOVED["Dense_0"][name])


@pytest.mark.parametrize(
    "make", [lambda where: project(max_norm(0.1), where), lambda w: decoupled_weight_decay(0.3, w)]
)
def test_a_choice_that_matches_nothing_lists_the_paths(make):
    with pytest.raises(
        ValueError, match=r"'\*/kernal' matches no parameter; the paths are: Conv_0/bias, Conv_0/kernel"
    ):
        landing(make("*/kernal"))


@pytest.mark.parametrize(
    ("transform", "name"),
    [(project(max_norm(1.0)), "project"), (decoupled_weight_decay(0.1), "decoupled_weight_decay")],
)
def test_update_without_params_says_what_is_missing(transform, name):
    with pytest.raises(ValueError, match=f"{name} needs the parameters"):
        transform.update(UPDATES, transform.init(PARAMS))


def test_decoupled_decay_is_the_closed_form():
    new = landing(decoupled_weight_decay(0.25))
    for layer in PARAMS:
        w, u = (np.asarray(tree[layer]["kernel"], np.float64) for tree in (PARAMS, UPDATES))
        np.testing.assert_allclose(new[layer]["kernel"], 0.75 * w + u, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rate", [-0.1, -1, float("nan"), np.float64(-2)])
def test_a_known_negative_decay_is_refused(rate):
    with pytest.raises(ValueError, match=r"decoupled_weight_decay's rate is .* must be a finite number of at least 0"):
        decoupled_weight_decay(rate)


@pytest.mark.adam
@pytest.mark.parametrize("learning_rate", [1e-1, 1e-4])
def test_decoupled_decay_is_free_of_the_learning_rate_and_adamw_is_not(learning_rate):
    # Without a gradient Adam doesn't move, so what is left of a weight is the decay alone.
    ours = landing(optax.chain(optax.adam(learning_rate), decoupled_weight_decay(0.25)), ZEROS)
    theirs = landing(optax.adamw(learning_rate, weight_decay=0.25), ZEROS)
    w = np.asarray(PARAMS["Dense_0"]["kernel"])
    np.testing.assert_allclose(ours["Dense_0"]["kernel"], 0.75 * w, rtol=1e-6)
    np.testing.assert_allclose(theirs["Dense_0"]["kernel"], (1 - 0.25 * learning_rate) * w, rtol=1e-6)


@pytest.mark.adam
def test_decoupled_decay_does_not_pass_through_adams_rescaling():
    # Adam's first step is learning_rate * sign(gradient), to eps / |gradient|.
    chain = optax.chain(optax.adam(0.01), decoupled_weight_decay(0.25))
    gradients = jax.tree.map(lambda w: jnp.where(w > 0, 50.0, -3.0), PARAMS)
    w = np.asarray(PARAMS["Dense_0"]["kernel"])
    np.testing.assert_allclose(landing(chain, gradients)["Dense_0"]["kernel"], 0.75 * w - 0.01 * np.sign(w), rtol=2e-5)


@pytest.mark.adam
@pytest.mark.parametrize("rate", [0.1, 0.01])
def test_decoupled_decay_equals_adamw_with_the_rate_over_the_learning_rate(rate):
    ours = landing(optax.chain(optax.adam(0.05), decoupled_weight_decay(rate)))
    theirs = landing(optax.adamw(0.05, weight_decay=rate / 0.05, mask=lambda p: jax.tree.map(lambda w: w.ndim > 1, p)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-7), ours, theirs)


def test_sgd_moves_no_further_than_rate_times_steps_times_the_largest_gradient():
    rng = np.random.default_rng(1)
    x, y = jnp.asarray(rng.normal(size=(40, 5)), jnp.float32), jnp.asarray(rng.normal(size=40), jnp.float32)
    rate, optimizer = 0.2, optax.sgd(0.2)
    start = w = jnp.asarray(rng.normal(size=5), jnp.float32)
    state, gradient = optimizer.init(w), jax.jit(jax.grad(lambda w: jnp.mean(jnp.square(x @ w - y))))
    largest = 0.0
    for t in range(1, 31):
        g = gradient(w)
        largest = max(largest, float(jnp.linalg.norm(g)))
        updates, state = optimizer.update(g, state, w)
        w = optax.apply_updates(w, updates)
        moved = float(jnp.linalg.norm(w - start))
        assert moved <= rate * t * largest * (1 + 1e-6)
        assert t > 1 or moved >= rate * largest * (1 - 1e-6)  # with equality at the first step


def test_strengths_are_traced_under_jit_and_vmap():
    def run(c, rate):
        return landing(optax.chain(optax.sgd(0.1), decoupled_weight_decay(rate), project(max_norm(c))))

    cs, rates = jnp.array([0.5, 2.0]), jnp.array([0.0, 0.3])
    batched = jax.jit(jax.vmap(run))(cs, rates)
    for n in range(2):
        alone = run(float(cs[n]), float(rates[n]))
        jax.tree.map(lambda a, b, n=n: np.testing.assert_allclose(a[n], b, rtol=2e-6, atol=2e-6), batched, alone)


def test_transforms_keep_no_state():
    for transform in (project(max_norm(1.0)), decoupled_weight_decay(0.1)):
        assert jax.tree.leaves(transform.init(PARAMS)) == []


@pytest.mark.adam  # optax.apply_updates itself promotes
@pytest.mark.parametrize("transform", [project(max_norm(0.5)), decoupled_weight_decay(0.25)])
def test_half_precision_weights_with_float32_updates_are_accepted(transform):
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), PARAMS)
    new, full = landing(transform, params=half), landing(transform)
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype("bfloat16")}
    np.testing.assert_allclose(
        np.asarray(new["Dense_0"]["kernel"], np.float32), full["Dense_0"]["kernel"], rtol=2.0**-6, atol=2.0**-6
    )


def test_transforms_work_inside_optax_masked():
    mask = {"Conv_0": False, "Dense_0": True}
    new = landing(optax.masked(decoupled_weight_decay(0.25), mask), ZEROS)
    np.testing.assert_array_equal(new["Conv_0"]["kernel"], PARAMS["Conv_0"]["kernel"])
    np.testing.assert_allclose(new["Dense_0"]["kernel"], 0.75 * np.asarray(PARAMS["Dense_0"]["kernel"]), rtol=1e-6)
