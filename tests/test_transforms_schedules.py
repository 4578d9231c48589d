"""What docs/api/transforms.md says of optax's schedules, optimizers and transforms under traced numbers."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jreg import projections, prox, transforms

PAGE = Path(__file__).parents[1] / "docs" / "api" / "transforms.md"
SHOWN = {}
with jax.numpy_dtype_promotion("standard"):
    exec("\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)), SHOWN)
VALUES = jnp.array([0.05, 0.1, 0.2])

TRACEABLE = {
    "constant_schedule(value)": optax.constant_schedule,
    "linear_schedule(init_value, end_value)": lambda a: optax.linear_schedule(a, a / 10, 10),
    "polynomial_schedule(init_value, end_value, power)": lambda a: optax.polynomial_schedule(a, a / 10, 10 * a, 10),
    "cosine_decay_schedule(init_value, alpha, exponent)": lambda a: optax.cosine_decay_schedule(a, 10, a, 10 * a),
    "exponential_decay(init_value, end_value)": lambda a: optax.exponential_decay(a, 10, 0.5, end_value=a / 10),
    "piecewise_constant_schedule(init_value)": lambda a: optax.piecewise_constant_schedule(a, {3: 0.1}),
    "warmup_constant_schedule(peak_value)": lambda a: optax.warmup_constant_schedule(0.0, a, 10),
    "warmup_exponential_decay_schedule(peak_value)": lambda a: optax.warmup_exponential_decay_schedule(
        0.0, a, 3, 20, 0.5
    ),
    "cosine_onecycle_schedule(peak_value)": lambda a: optax.cosine_onecycle_schedule(10, a),
    "linear_onecycle_schedule(peak_value)": lambda a: optax.linear_onecycle_schedule(10, a),
    "warmup_cosine_decay_schedule(init_value, end_value)": lambda a: optax.warmup_cosine_decay_schedule(
        a, 1.0, 10, 20, a
    ),
    "join_schedules": lambda a: optax.join_schedules(
        [optax.linear_schedule(0.0, a, 3), optax.cosine_decay_schedule(a, 10)], [3]
    ),
}
REFUSED = {
    "linear_schedule(transition_steps)": lambda a: optax.linear_schedule(1.0, 0.1, 100 * a),
    "cosine_decay_schedule(decay_steps)": lambda a: optax.cosine_decay_schedule(1.0, 100 * a),
    "exponential_decay(decay_rate)": lambda a: optax.exponential_decay(1.0, 10, a),
    "piecewise_constant_schedule(scales)": lambda a: optax.piecewise_constant_schedule(1.0, {3: a}),
    "warmup_cosine_decay_schedule(peak_value)": lambda a: optax.warmup_cosine_decay_schedule(0.0, a, 10, 20),
    "warmup_exponential_decay_schedule(decay_rate)": lambda a: optax.warmup_exponential_decay_schedule(
        0.0, 1.0, 3, 20, a
    ),
    "cosine_onecycle_schedule(div_factor)": lambda a: optax.cosine_onecycle_schedule(10, 1.0, div_factor=100 * a),
    "sgdr_schedule(peak_value)": lambda a: optax.sgdr_schedule(
        [{"init_value": 0.0, "peak_value": a, "decay_steps": 10, "warmup_steps": 3}]
    ),
}
COUNTS = jnp.arange(0, 30, 3, dtype=jnp.int32)


# As users compile: the emitters that tests do without divide exactly, and a power of less than nothing is NaN.
OPTIONS = {"xla_cpu_use_fusion_emitters": True} if jax.__version_info__ < (0, 11) else None


def swept(schedule):
    """The schedule at several counts, for members with one value each."""
    of_members = jax.vmap(lambda a: jax.vmap(lambda n: jnp.asarray(schedule(a)(n)))(COUNTS))
    return jax.jit(of_members, compiler_options=OPTIONS)(VALUES)


def plain(schedule):
    return [[float(schedule(float(a))(int(n))) for n in COUNTS] for a in VALUES]


@pytest.mark.some(4)
@pytest.mark.adam  # optax divides an int32
@pytest.mark.parametrize("name", TRACEABLE)
def test_schedules_that_accept_traced_values_equal_the_plain_ones(name):
    np.testing.assert_allclose(swept(TRACEABLE[name]), plain(TRACEABLE[name]), rtol=2e-5, atol=1e-7)


@pytest.mark.adam
@pytest.mark.parametrize("name", REFUSED)
def test_schedules_that_refuse_traced_values(name):
    with pytest.raises(jax.errors.TracerBoolConversionError):
        swept(REFUSED[name])


# What the page says to write instead, beside what it stands for with plain numbers.
INSTEAD = {
    "warmup_cosine_decay_schedule": (
        lambda a: SHOWN["warmup_cosine"](a, warmup=5, total=20, end=0.1),
        lambda a: optax.warmup_cosine_decay_schedule(0.0, a, 5, 20, end_value=0.1 * a),
    ),
    "exponential_decay": (
        lambda a: SHOWN["exponential"](0.3, a, every=10),
        lambda a: optax.exponential_decay(0.3, 10, a),
    ),
    "piecewise_constant_schedule": (
        lambda a: SHOWN["drop"](0.3, at=7, scale=a),
        lambda a: optax.piecewise_constant_schedule(0.3, {7: a}),
    ),
    "cosine_decay_schedule(decay_steps)": (
        lambda a: SHOWN["cosine"](0.3, 100 * a),
        lambda a: optax.cosine_decay_schedule(0.3, 100 * a),
    ),
}


@pytest.mark.adam
@pytest.mark.parametrize("name", INSTEAD)
def test_what_to_write_instead_is_the_same_schedule_and_is_traced(name):
    ours, theirs = INSTEAD[name]
    np.testing.assert_allclose(swept(ours), plain(theirs), rtol=2e-5, atol=1e-7)


HP = {"rate": [0.1, 0.01], "b1": [0.0, 0.9], "b2": [0.9, 0.999], "eps": [1e-3, 1e-6], "decay": [0.0, 0.1]}
HP |= {"clip": [0.1, 10.0], "eta": [0.01, 0.0], "gamma": [0.55, 0.0]}


@pytest.mark.some(5)
@pytest.mark.adam
@pytest.mark.parametrize("name", [*SHOWN["RECIPES"], *SHOWN["GRADIENTS"]])
def test_each_optimizer_and_gradient_transform_takes_traced_hyperparameters(name):
    make = (SHOWN["RECIPES"] | SHOWN["GRADIENTS"])[name]
    params = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)

    def run(hp):
        optimizer, w = make(hp), params
        state = optimizer.init(w)
        for _ in range(3):
            updates, state = optimizer.update(2 * w, state, w)
            w = optax.apply_updates(w, updates)
        return w

    many = jax.jit(jax.vmap(run))({key: jnp.asarray(column) for key, column in HP.items()})
    for n in range(2):
        known = jax.jit(lambda n=n: run({key: column[n] for key, column in HP.items()}))()
        np.testing.assert_allclose(many[n], known, rtol=2e-5, atol=1e-6)


def test_the_optimizers_of_the_lectures_are_shown():
    named = ["gradient descent, SGD", "momentum", "Nesterov", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW"]
    assert list(SHOWN["RECIPES"]) == named


@pytest.mark.adam
def test_reduce_on_plateau_refuses_a_traced_factor():
    with pytest.raises(jax.errors.TracerBoolConversionError):
        jax.jit(lambda a: optax.contrib.reduce_on_plateau(a).init(jnp.ones(3)))(0.5)


@pytest.mark.adam
def test_one_key_of_add_noise_is_the_same_noise_in_every_member():
    def noise(key, scale):
        transform = optax.add_noise(scale, 0.0, key)
        return transform.update(jnp.zeros(4), transform.init(jnp.zeros(4)))[0]

    same = jax.jit(jax.vmap(lambda scale: noise(0, scale)))(jnp.array([1.0, 1.0]))
    np.testing.assert_array_equal(same[0], same[1])
    other = jax.jit(jax.vmap(noise, (0, None)))(jax.random.split(jax.random.key(0), 2), 1.0)
    assert not np.array_equal(other[0], other[1])


def falling(count):
    return jnp.where(count < 2, 0.5, 0.25)


# Each with a number that is 0.5 at the first two updates and 0.25 then, what it makes of a weight in one update
# without a gradient, and the same with the number in `optax.inject_hyperparams`.
SCHEDULED = {
    "project": (
        lambda number: transforms.project(projections.max_norm, c=number),
        lambda w, number: min(w, number),
        lambda wrap: wrap(lambda number: transforms.project(projections.max_norm, c=number)),
    ),
    "proximal": (
        lambda number: transforms.proximal(prox.l1, number, 0.125),
        lambda w, number: w - 0.125 * number,
        lambda wrap: wrap(lambda number: transforms.proximal(prox.l1, number, 0.125)),
    ),
    "decoupled_weight_decay": (
        transforms.decoupled_weight_decay,
        lambda w, number: w * (1 - number),
        lambda wrap: lambda number: wrap(transforms.decoupled_weight_decay)(rate=number),
    ),
    "adamw_weight_decay": (
        lambda number: transforms.adamw_weight_decay(number, 0.5),
        lambda w, number: w * (1 - number / 2),
        lambda wrap: lambda number: wrap(transforms.adamw_weight_decay)(rate=number, learning_rate=0.5),
    ),
    "decoupled_l1": (
        lambda number: transforms.decoupled_l1(number),
        lambda w, number: max(w - number, 0.0),
        lambda wrap: lambda number: wrap(transforms.decoupled_l1)(rate=number),
    ),
    "decay_towards": (
        lambda number: transforms.decay_towards(number, {"kernel": jnp.full((1, 1), 3.0)}),
        lambda w, number: w + number * (3.0 - w),
        lambda wrap: wrap(lambda number: transforms.decay_towards(number, {"kernel": jnp.full((1, 1), 3.0)})),
    ),
    # The largest singular value of a number is the number, and its vectors are signs.
    "spectral_penalty": (
        lambda number: optax.chain(transforms.spectral_penalty(number), optax.sgd(1.0)),
        lambda w, number: w * (1 - number),
        lambda wrap: lambda number: optax.chain(wrap(transforms.spectral_penalty)(strength=number), optax.sgd(1.0)),
    ),
    # The gradient of half the square at the worst point near a positive w is that point.
    "sam": (
        lambda number: transforms.sam(optax.sgd(0.125), number),
        lambda w, number: w - 0.125 * (w + number),
        lambda wrap: lambda number: wrap(transforms.sam)(optimizer=optax.sgd(0.125), rho=number),
    ),
}


def walked(transform, gradient=jnp.zeros_like):
    def step(carry, _):
        w, state = carry
        params = {"kernel": w}

        def grad_fn(params, index):
            return jax.tree.map(gradient, params)

        updates, state = transform.update(grad_fn(params, 0), state, params, grad_fn=grad_fn)
        w = optax.apply_updates(params, updates)["kernel"]
        return (w, state), w

    w = jnp.full((1, 1), 2.0)
    return jax.lax.scan(step, (w, transform.init({"kernel": w})), length=4)[1].ravel()


@pytest.mark.some(4)
@pytest.mark.adam  # inject_hyperparams promotes
@pytest.mark.parametrize("name", SCHEDULED)
def test_the_numbers_of_transforms_may_be_schedules_and_may_be_injected(name):
    make, once, injected = SCHEDULED[name]
    gradient = (lambda w: w) if name == "sam" else jnp.zeros_like
    makes = {"schedule": make(falling), "injected": injected(optax.inject_hyperparams)(falling)}
    makes |= {"number": make(0.5), "injected number": injected(optax.inject_hyperparams)(0.5)}
    found = jax.jit(lambda: {key: walked(transform, gradient) for key, transform in makes.items()})()
    w, expected, still, constant = 2.0, [], 2.0, []
    for number in (0.5, 0.5, 0.25, 0.25):
        w, still = once(w, number), once(still, 0.5)
        expected.append(w)
        constant.append(still)
    for key, ws in found.items():
        np.testing.assert_allclose(ws, constant if "number" in key else expected, rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", [name for name in SCHEDULED if name not in ("sam", "decay_towards")])
def test_a_group_without_weights_is_left_alone(name):
    make = SCHEDULED[name][0]
    groups = {"weights": make(0.5), "rest": make(0.5)}
    chain = optax.partition(groups, {"kernel": "weights", "bias": "rest"})
    params = {"kernel": jnp.full((1, 1), 2.0), "bias": jnp.full(1, 2.0)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = jax.jit(lambda: chain.update(zeros, chain.init(params), params))()
    assert float(updates["bias"][0]) == 0
    np.testing.assert_allclose(updates["kernel"][0, 0], SCHEDULED[name][1](2.0, 0.5) - 2.0, rtol=1e-6)
    with pytest.raises(ValueError, match=r"matches no parameter"):
        make(0.5).update({"bias": zeros["bias"]}, make(0.5).init({"bias": zeros["bias"]}), {"bias": params["bias"]})


def test_a_reference_of_all_parameters_serves_a_group():
    reference = {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}
    chain = optax.masked(transforms.decay_towards(0.5, reference), {"kernel": True, "bias": False})
    params = {"kernel": jnp.full((1, 1), 2.0), "bias": jnp.full(1, 2.0)}
    updates, _ = chain.update(jax.tree.map(jnp.zeros_like, params), chain.init(params), params)
    assert (float(updates["kernel"][0, 0]), float(updates["bias"][0])) == (-1.0, 0.0)


def test_known_numbers_of_a_projection_are_checked():
    params = {"kernel": jnp.ones((1, 1))}
    with pytest.raises(ValueError, match=r"c is -1, but a radius must be above 0"):
        transforms.project(projections.max_norm, c=-1.0).update(params, optax.EmptyState(), params)
