"""Decay in AdamW's convention, of absolute values, and towards a reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jreg import prox
from jreg.transforms import adamw_weight_decay, decay_towards, decoupled_l1, decoupled_weight_decay

RNG = np.random.default_rng(0)
PARAMS = {
    "Conv_0": {"kernel": jnp.asarray(RNG.normal(size=(3, 3, 2, 4)), jnp.float32), "bias": jnp.full(4, 9.0)},
    "Dense_0": {"kernel": jnp.asarray(RNG.normal(size=(6, 5)), jnp.float32), "bias": jnp.full(5, 9.0)},
}
GRADIENTS = [
    jax.tree.map(lambda w, n=n: jnp.asarray(np.random.default_rng(n).normal(size=w.shape), jnp.float32), PARAMS)
    for n in range(1, 7)
]
MAKERS = {
    "adamw_weight_decay": lambda rate, *where: adamw_weight_decay(rate, 0.5, *where),
    "decoupled_l1": decoupled_l1,
    "decay_towards": lambda rate, *where: decay_towards(rate, jax.tree.map(jnp.ones_like, PARAMS), *where),
}
each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def trained(chain, params=PARAMS):
    @jax.jit
    def step(params, state, gradients):
        updates, state = chain.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    state = chain.init(params)
    for gradients in GRADIENTS:
        params, state = step(params, state, gradients)
    return params


# Six steps, each with a few roundings of numbers of up to 2, which may cancel.
ROUNDED = {"rtol": 2e-6, "atol": 1e-6}


def assert_trees_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def mask(params):
    return jax.tree.map(lambda w: w.ndim > 1, params)


@pytest.mark.adam
@pytest.mark.parametrize("rate", [0.0, 1e-2, 1.0])
def test_the_adamw_convention_after_adam_is_optax_adamw(rate):
    ours = trained(optax.chain(optax.adam(0.05), adamw_weight_decay(rate, 0.05)))
    assert_trees_close(ours, trained(optax.adamw(0.05, weight_decay=rate, mask=mask)), **ROUNDED)


@pytest.mark.adam
def test_the_adamw_convention_follows_the_schedule_in_step_with_the_optimizer():
    schedule = optax.cosine_decay_schedule(0.2, 5)
    ours = trained(optax.chain(optax.adam(schedule), adamw_weight_decay(0.3, schedule, "*")))
    assert_trees_close(ours, trained(optax.adamw(schedule, weight_decay=0.3)), **ROUNDED)


def test_the_adamw_convention_after_sgd_is_decay_added_to_the_gradient():
    ours = trained(optax.chain(optax.sgd(0.1), adamw_weight_decay(0.5, 0.1)))
    theirs = trained(optax.chain(optax.add_decayed_weights(0.5, mask), optax.sgd(0.1)))
    assert_trees_close(ours, theirs, **ROUNDED)
    assert_trees_close(ours, trained(optax.chain(optax.sgd(0.1), decoupled_weight_decay(0.05))), **ROUNDED)


def test_decoupled_l1_thresholds_the_weights_before_the_step():
    w, u = PARAMS["Dense_0"]["kernel"], GRADIENTS[0]["Dense_0"]["kernel"]
    transform = decoupled_l1(0.4)
    updates, _ = transform.update(GRADIENTS[0], transform.init(PARAMS), PARAMS)
    np.testing.assert_allclose(w + updates["Dense_0"]["kernel"], prox.l1(w, 0.4) + u, **ROUNDED)


def test_decoupled_l1_alone_reaches_zero_and_stays_there():
    chain, params = decoupled_l1(0.3), {"kernel": jnp.array([[1.0, -0.5, 0.1]])}
    for expected in ([0.7, -0.2, 0.0], [0.4, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]):
        updates, _ = chain.update(jax.tree.map(jnp.zeros_like, params), optax.EmptyState(), params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["kernel"][0], expected, atol=2e-7)


def test_decay_towards_halves_the_distance_to_the_reference():
    reference = jax.tree.map(lambda w: w + 2, PARAMS)
    chain, params = decay_towards(0.5, reference), PARAMS
    for left in (1.0, 0.5, 0.25):
        updates, _ = chain.update(jax.tree.map(jnp.zeros_like, params), chain.init(PARAMS), params)
        params = optax.apply_updates(params, updates)
        for layer in PARAMS:
            distance = reference[layer]["kernel"] - params[layer]["kernel"]
            np.testing.assert_allclose(distance, left, rtol=1e-5)
            np.testing.assert_array_equal(params[layer]["bias"], PARAMS[layer]["bias"])


def test_decay_towards_zero_is_decoupled_weight_decay():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    ours = trained(optax.chain(optax.sgd(0.1), decay_towards(0.2, zeros)))
    assert_trees_close(ours, trained(optax.chain(optax.sgd(0.1), decoupled_weight_decay(0.2))), **ROUNDED)


def test_decay_towards_keeps_the_start_where_no_reference_is_given():
    given = trained(optax.chain(optax.sgd(0.1), decay_towards(0.2, PARAMS)))
    assert_trees_close(trained(optax.chain(optax.sgd(0.1), decay_towards(0.2))), given, **ROUNDED)
    starts = jnp.stack([PARAMS["Dense_0"]["kernel"], 3 * PARAMS["Dense_0"]["kernel"]])

    def run(start):
        chain = decay_towards(0.5)
        state = chain.init(start)
        return chain.update(jnp.zeros_like(start), state, start + 1)[0]

    np.testing.assert_allclose(jax.jit(jax.vmap(run))(starts), -0.5, rtol=1e-5)  # each member has its own


@each_maker
def test_numbers_are_traced_under_jit_and_vmap(make):
    rates = jnp.array([0.0, 0.3])
    many = jax.jit(jax.vmap(lambda rate: trained(optax.chain(optax.sgd(0.1), make(rate)))))(rates)
    for n in range(2):
        alone = trained(optax.chain(optax.sgd(0.1), make(float(rates[n]))))
        assert_trees_close(jax.tree.map(lambda a, n=n: a[n], many), alone, rtol=3e-6, atol=3e-6)


@each_maker
@pytest.mark.parametrize("where", ["Dense_0/*", lambda path, leaf: path.startswith("Dense")])
def test_where_chooses_by_path_and_biases_are_left_alone_by_default(make, where):
    for chosen in ((), (where,)):
        transform = make(0.3, *chosen)
        updates, _ = transform.update(GRADIENTS[0], transform.init(PARAMS), PARAMS)
        for layer in PARAMS:
            for name in ("kernel", "bias"):
                same = np.array_equal(updates[layer][name], GRADIENTS[0][layer][name])
                assert same == (layer == "Conv_0" if chosen else name == "bias")


@each_maker
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_weights_with_float32_updates_are_accepted(make, dtype):
    half = jax.tree.map(lambda w: w.astype(dtype), PARAMS)
    transform = make(0.25)
    updates, _ = transform.update(GRADIENTS[0], transform.init(half), half)
    exact, _ = transform.update(GRADIENTS[0], transform.init(PARAMS), PARAMS)
    assert_trees_close(updates, exact, atol=0.03)
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(("name", "make"), MAKERS.items())
def test_bad_input_is_refused_in_one_sentence(name, make):
    for rate in (-0.1, float("nan"), float("inf"), np.float64(-2)):
        with pytest.raises(ValueError, match=rf"{name}'s? rate is .* must be a finite number of at least 0"):
            make(rate)
    with pytest.raises(ValueError, match=f"{name} needs the parameters"):
        make(0.1).update(GRADIENTS[0], make(0.1).init(PARAMS))
    with pytest.raises(ValueError, match=r"'\*/kernal' matches no parameter; the paths are: Conv_0/bias"):
        make(0.1, "*/kernal").update(GRADIENTS[0], make(0.1).init(PARAMS), PARAMS)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"adamw_weight_decay's learning_rate is -1, but"):
        adamw_weight_decay(0.1, -1.0)
    transform = decay_towards(0.1, {"kernel": jnp.ones((2, 2))})
    with pytest.raises(ValueError, match=r"decay_towards' reference has the structure .* but the parameters have"):
        transform.update(GRADIENTS[0], transform.init(PARAMS), PARAMS)


def test_extra_arguments_are_passed_over():
    for make in (functools.partial(adamw_weight_decay, 0.1, 0.1), functools.partial(decay_towards, 0.1)):
        transform = make()
        assert isinstance(transform, optax.GradientTransformationExtraArgs)
        transform.update(GRADIENTS[0], transform.init(PARAMS), PARAMS, value=jnp.float32(1.0), grad_fn=None)
