"""Transforms behind an optimizer that withholds its update: nothing happens until there is one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jreg
from jreg import projections, prox, transforms

MODEL = (lambda key, x: {}, lambda params, x, train, rngs: x)
PARAMS = {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)}
SGD = optax.sgd(0.5)
# Powers of two, so that sums are exact.
PULL = transforms.proximal(prox.l1, 0.25, 0.5)


def every(steps, optimizer=SGD):
    return optax.MultiSteps(optimizer, steps).gradient_transformation()


def walk(optimizer, gradients):
    """The kernel after each step of a recipe, and the last state."""
    recipe = jreg.Recipe(MODEL, jreg.losses.squared_error, optimizer)

    def step(carry, gradient):
        params, state = carry
        given = jax.tree.map(lambda w: jnp.full_like(w, gradient), params)
        updates, state = recipe.update(given, state, params, gradient, lambda params: gradient, lambda params, _: given)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    (_, state), seen = jax.lax.scan(step, (PARAMS, optimizer.init(PARAMS)), jnp.asarray(gradients, jnp.float32))
    return seen["kernel"][:, 0, 0].tolist(), state


ACTS = {
    "proximal": (PULL, 0.875),
    "project": (transforms.project(projections.max_norm, c=0.5), 0.5),
    "decoupled_weight_decay": (transforms.decoupled_weight_decay(0.25), 0.75),
    "decoupled_l1": (transforms.decoupled_l1(0.25), 0.75),
    "decay_towards": (transforms.decay_towards(0.25, {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}), 0.75),
    "optax.add_decayed_weights": (optax.add_decayed_weights(-0.25), 0.75),
}


@pytest.mark.adam  # MultiSteps promotes
def test_what_stands_behind_multi_steps_acts_only_at_its_updates():
    # Even without a gradient, where the zeros of an update look like those of a step that only accumulates.
    for name, (transform, landed) in ACTS.items():
        assert walk(optax.chain(every(3), transform), [0, 0, 0])[0] == [1, 1, landed], name
        assert walk(every(3, optax.chain(SGD, transform)), [0, 0, 0])[0] == [1, 1, landed], name


WITHHELD = {
    "MultiSteps": (lambda: optax.chain(every(2), PULL), [0, 0, 0, 0], [1, 0.875, 0.875, 0.75]),
    "MultiSteps in a chain": (lambda: optax.chain(optax.chain(every(2)), PULL), [0, 0], [1, 0.875]),
    "a named chain": (lambda: optax.named_chain(("z", every(2)), ("a", PULL)), [0, 0], [1, 0.875]),
    "apply_every": (lambda: optax.chain(SGD, optax.apply_every(2), PULL), [0, 0], [1, 0.875]),
    "apply_if_finite": (lambda: optax.chain(optax.apply_if_finite(SGD, 9), PULL), [np.nan, 0], [1, 0.875]),
    "skip_not_finite": (
        lambda: optax.chain(
            optax.MultiSteps(SGD, 1, should_skip_update_fn=optax.skip_not_finite).gradient_transformation(), PULL
        ),
        [np.nan, 0],
        [1, 0.875],
    ),
    "one group of two": (
        lambda: optax.partition(
            {"kernel": optax.chain(every(2), PULL), "bias": SGD}, lambda params: {name: name for name in params}
        ),
        [0, 0],
        [1, 0.875],
    ),
    "masked": (lambda: optax.masked(optax.chain(every(2), PULL), {"kernel": True, "bias": False}), [0, 0], [1, 0.875]),
}


@pytest.mark.adam
@pytest.mark.parametrize("name", WITHHELD)
def test_a_step_without_an_update_changes_nothing(name):
    make, gradients, expected = WITHHELD[name]
    assert walk(make(), gradients)[0] == expected


@pytest.mark.adam
def test_averages_and_schedules_count_updates_and_not_steps():
    # The strength is 1 at the first update and 0.5 at the second.
    def strength(count):
        return 1 / (1 + count)

    chain = optax.chain(every(2), transforms.proximal(prox.l1, strength, 0.25), transforms.ema_params(0.5))
    seen, state = walk(chain, [1, 1, 0, 0])
    assert seen == [1, 0.25, 0.25, 0.125]
    assert int(state[1].count) == int(state[2].count) == 2
    np.testing.assert_allclose(state[2].average["kernel"], (0.5 * 0.25 + 0.125) / 1.5, rtol=1e-6)


def test_an_optimizer_that_makes_every_update_computes_nothing_more():
    recipe = jreg.Recipe(MODEL, jreg.losses.squared_error, optax.chain(optax.sgd(0.5, momentum=0.5), PULL))

    def step(update, params):
        return update(params, recipe.optimizer.init(params), params)

    mine = jax.make_jaxpr(lambda p: step(lambda g, s, p: recipe.update(g, s, p, jnp.zeros(()), lambda p: 0, None), p))
    assert str(mine(PARAMS)) == str(jax.make_jaxpr(lambda p: step(recipe.optimizer.update, p))(PARAMS))


def test_a_transform_without_extra_arguments_says_what_to_do():
    narrow = optax.GradientTransformationExtraArgs(
        SGD.init, lambda updates, state, params=None, *, value: (updates, state)
    )
    recipe = dataclasses.replace(jreg.Recipe(MODEL, jreg.losses.squared_error, SGD), optimizer=narrow)
    with pytest.raises(TypeError, match=r"let its update take \*\*extra_args, and use jreg\.transforms\.sam"):
        recipe.update(PARAMS, narrow.init(PARAMS), PARAMS, jnp.zeros(()), lambda params: 0, lambda params, _: params)
