"""Averages of parameters, against sums written out, and where evaluation finds them."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jreg.transforms import AverageState, ema_params, evaluation_params, swa_params

PARAMS = {"kernel": jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32), "bias": jnp.ones(3)}
GRADIENTS = np.random.default_rng(1).normal(size=(12, 4, 3))


# A power of two: a step's product is exact, so that the same step has the same bits in every program.
RATE = 0.25


def path(transform, steps=12, wrap=lambda chain: chain, params=PARAMS):
    """The parameters and what evaluation takes after each of the steps."""
    chain = wrap(optax.chain(optax.sgd(RATE), transform))

    @jax.jit
    def step(params, state, gradient):
        updates, state = chain.update({"kernel": gradient, "bias": jnp.ones(3)}, state, params)
        return optax.apply_updates(params, updates), state

    state, found = chain.init(params), []
    for gradient in GRADIENTS[:steps]:
        params, state = step(params, state, jnp.asarray(gradient, jnp.float32))
        found.append((np.asarray(params["kernel"], np.float64), evaluation_params(state, params)["kernel"]))
    return [w for w, _ in found], [np.asarray(e) for _, e in found]


def weighted(ws, weights):
    return sum(a * w for a, w in zip(weights, ws, strict=True)) / sum(weights)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 1.0])
def test_the_corrected_average_weighs_parameters_by_their_age(decay):
    ws, averages = path(ema_params(decay))
    for t in range(1, 13):
        expected = weighted(ws[:t], [decay ** (t - i) for i in range(1, t + 1)])
        np.testing.assert_allclose(averages[t - 1], expected, rtol=3e-6, atol=1e-6)
    if decay == 0:
        np.testing.assert_array_equal(averages[-1], ws[-1])


def test_decay_one_is_the_mean_of_all_parameters():
    ws, averages = path(ema_params(1.0))
    np.testing.assert_allclose(averages[-1], np.mean(ws, axis=0), rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_the_uncorrected_average_begins_with_the_first_parameters(decay):
    ws, averages = path(ema_params(decay, debias=False))
    expected = ws[0]
    for w, average in zip(ws[1:], averages[1:], strict=True):
        expected = decay * expected + (1 - decay) * w
        np.testing.assert_allclose(average, expected, rtol=3e-6, atol=1e-6)
    np.testing.assert_array_equal(averages[0], ws[0])


def test_the_decay_may_be_a_schedule_such_as_the_warm_up():
    ws, averages = path(ema_params(lambda n: jnp.minimum(0.6, (1 + n) / (10 + n)), debias=False))
    expected = ws[0]
    for n, w in enumerate(ws[1:], start=1):
        decay = min(0.6, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * w
        np.testing.assert_allclose(averages[n], expected, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize(("start", "every"), [(0, 1), (1, 1), (4, 1), (4, 3), (0, 5), (12, 1), (40, 2)])
def test_swa_is_the_mean_of_the_parameters_that_count(start, every):
    ws, averages = path(swa_params(start, every))
    taken = []
    for t in range(1, 13):
        if t >= start and (t - max(start, 1)) % every == 0:
            taken.append(ws[t - 1])
        expected = np.mean(taken, axis=0) if taken else ws[t - 1]
        np.testing.assert_allclose(averages[t - 1], expected, rtol=3e-6, atol=1e-6)
        if len(taken) < 2 and (not taken or taken[0] is ws[t - 1]):
            np.testing.assert_array_equal(averages[t - 1], ws[t - 1])


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("make", "columns"),
    [
        (ema_params, ([0.0, 0.5, 1.0],)),
        (functools.partial(ema_params, debias=False), ([0.0, 0.5, 1.0],)),
        (swa_params, ([1.0, 3.0, 50.0], [1.0, 2.0, 1.0])),
        (swa_params, ([1, 3, 50], [1, 2, 1])),
    ],
)
def test_numbers_are_traced_under_jit_and_vmap(make, columns):
    def run(*numbers):
        chain = optax.chain(optax.sgd(RATE), make(*numbers))

        def step(carry, gradient):
            params, state = carry
            updates, state = chain.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), None

        start = PARAMS["kernel"]
        (params, state), _ = jax.lax.scan(step, (start, chain.init(start)), jnp.asarray(GRADIENTS, jnp.float32))
        return evaluation_params(state, params)

    many = jax.jit(jax.vmap(run))(*map(jnp.asarray, columns))
    for n in range(3):
        _, averages = path(make(*(column[n] for column in columns)))
        np.testing.assert_allclose(many[n], averages[-1], rtol=3e-6, atol=1e-6)


def test_training_goes_on_with_the_parameters():
    plain, _ = path(optax.identity())
    for transform in (ema_params(0.9), swa_params(3)):
        jax.tree.map(np.testing.assert_array_equal, path(transform)[0], plain)


WRAPPED = {
    "inside a chain of chains": lambda chain: optax.chain(optax.clip(10.0), optax.chain(chain)),
    "named_chain": lambda chain: optax.named_chain(("clip", optax.clip(10.0)), ("rest", chain)),
    "masked": lambda chain: optax.masked(chain, {"kernel": True, "bias": False}),
    "partition": lambda chain: optax.partition({"a": chain, "b": optax.sgd(RATE)}, {"kernel": "a", "bias": "b"}),
    "apply_if_finite": lambda chain: optax.apply_if_finite(chain, 3),
    "MultiSteps": lambda chain: optax.MultiSteps(chain, 1).gradient_transformation(),
    "with_extra_args_support": optax.with_extra_args_support,
}


@pytest.mark.adam  # some wrappers promote
@pytest.mark.parametrize("name", WRAPPED)
def test_evaluation_params_finds_the_average_in_any_state(name):
    _, plain = path(ema_params(0.8))
    _, wrapped = path(ema_params(0.8), wrap=WRAPPED[name])
    np.testing.assert_allclose(wrapped, plain, rtol=2e-6, atol=1e-6)


@pytest.mark.adam
def test_evaluation_params_looks_into_inject_hyperparams():
    make = optax.inject_hyperparams(lambda rate, decay: optax.chain(optax.sgd(rate), ema_params(decay)))
    _, wrapped = path(optax.identity(), wrap=lambda _: make(rate=RATE, decay=0.8))
    np.testing.assert_allclose(wrapped, path(ema_params(0.8))[1], rtol=2e-6, atol=1e-6)


def test_masked_out_parameters_are_those_of_training():
    chain = optax.masked(optax.chain(optax.sgd(1.0), ema_params(0.5)), {"kernel": True, "bias": False})
    state, params = chain.init(PARAMS), PARAMS
    for _ in range(3):
        updates, state = chain.update(jax.tree.map(jnp.ones_like, params), state, params)
        params = optax.apply_updates(params, updates)
    evaluated = evaluation_params(state, params)
    np.testing.assert_array_equal(evaluated["bias"], params["bias"])
    assert not np.array_equal(evaluated["kernel"], params["kernel"])


@pytest.mark.adam  # MultiSteps promotes
def test_steps_that_only_accumulate_gradients_are_no_updates():
    every_second = optax.MultiSteps(optax.chain(optax.sgd(RATE), ema_params(0.8)), 2).gradient_transformation()
    params, state = PARAMS["kernel"], every_second.init(PARAMS["kernel"])
    seen, update = [], jax.jit(every_second.update)
    for gradient in GRADIENTS:
        updates, state = update(jnp.asarray(gradient, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
        seen.append(np.asarray(params, np.float64))
    (average,) = [
        n for n in jax.tree.leaves(state, is_leaf=lambda n: isinstance(n, AverageState)) if hasattr(n, "mass")
    ]
    assert int(average.count) == 6
    expected = weighted(seen[1::2], [0.8 ** (5 - i) for i in range(6)])
    np.testing.assert_allclose(evaluation_params(state, params), expected, rtol=3e-6, atol=1e-6)


def test_without_an_average_the_parameters_are_returned_and_two_are_refused():
    for optimizer in (optax.sgd(0.1, momentum=0.9), optax.identity(), optax.masked(optax.adam(0.1), True)):
        assert evaluation_params(optimizer.init(PARAMS), PARAMS) is PARAMS
    both = optax.chain(ema_params(0.9), optax.chain(swa_params(2)))
    with pytest.raises(ValueError, match=r"keeps 2 averages of parameters: leave only one"):
        evaluation_params(both.init(PARAMS), PARAMS)


def test_half_precision_parameters_are_averaged_in_float32():
    # 1 + 1/1000 is 1 in bfloat16: an average kept in it would never move.
    chain = ema_params(0.999, debias=False)
    params = jnp.zeros(2, jnp.bfloat16)
    state = chain.init(params)
    _, state = chain.update(jnp.ones(2, jnp.bfloat16), state, params)
    step = jax.jit(chain.update)
    for _ in range(700):
        _, state = step(jnp.zeros(2, jnp.bfloat16), state, params)
    assert state.average.dtype == jnp.float32
    np.testing.assert_allclose(state.average, 0.999**700, rtol=1e-4)
    assert evaluation_params(state, params).dtype == jnp.bfloat16


@pytest.mark.parametrize("transform", [ema_params(0.9), swa_params(2)])
def test_update_without_params_says_what_is_missing(transform):
    with pytest.raises(ValueError, match=r"(ema|swa)_params needs the parameters"):
        transform.update(PARAMS, transform.init(PARAMS))


def test_numbers_out_of_range_are_refused():
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"ema_params' decay is .*, but must lie in \[0, 1\]"):
            ema_params(decay)
    for start in (-1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"swa_params' start is .*, but must be a whole number of at least 0"):
            swa_params(start)
    for every in (0, 1.5, float("inf")):
        with pytest.raises(ValueError, match=r"swa_params' every is .*, but must be a whole number of at least 1"):
            swa_params(0, every)


def schedule_free_path(wrap, steps=5):
    """The average x of schedule-free gradient descent, written out for the kernel, and what evaluation takes."""
    chain, b1 = wrap(optax.contrib.schedule_free(optax.sgd(RATE), RATE, b1=0.5)), 0.5
    params, state = PARAMS, chain.init(PARAMS)
    update = jax.jit(chain.update)
    z = x = np.asarray(PARAMS["kernel"], np.float64)
    for step, gradient in enumerate(GRADIENTS[:steps], start=1):
        updates, state = update({"kernel": jnp.asarray(gradient, jnp.float32), "bias": jnp.ones(3)}, state, params)
        params = optax.apply_updates(params, updates)
        z = z - RATE * gradient
        x = (1 - 1 / step) * x + z / step
    np.testing.assert_allclose(params["kernel"], b1 * x + (1 - b1) * z, rtol=1e-5, atol=1e-5)
    return x, evaluation_params(state, params), params


SCHEDULE_FREE = {
    "alone": lambda free: free,
    "chain": lambda free: optax.chain(optax.identity(), free),
    "masked": lambda free: optax.masked(free, {"kernel": True, "bias": False}),
    "one group of two": lambda free: optax.partition({"a": free, "b": optax.sgd(RATE)}, {"kernel": "a", "bias": "b"}),
    "both groups": lambda free: optax.partition(
        {"a": free, "b": optax.chain(optax.sgd(RATE), ema_params(0.0))}, {"kernel": "a", "bias": "b"}
    ),
}


@pytest.mark.adam
@pytest.mark.parametrize("name", SCHEDULE_FREE)
def test_evaluation_takes_the_average_of_schedule_free_optimizers(name):
    x, evaluated, params = schedule_free_path(SCHEDULE_FREE[name])
    np.testing.assert_allclose(evaluated["kernel"], x, rtol=1e-5, atol=1e-5)
    if name not in ("alone", "chain"):
        np.testing.assert_array_equal(evaluated["bias"], params["bias"])


def test_two_averages_of_one_parameter_are_refused():
    both = optax.contrib.schedule_free(optax.chain(optax.sgd(RATE), ema_params(0.5)), RATE)
    with pytest.raises(ValueError, match=r"keeps 2 averages of parameters: leave only one"):
        evaluation_params(both.init(PARAMS), PARAMS)


class Doubled(NamedTuple):
    """A state of somebody else's, which has something for evaluation."""

    count: int

    def evaluation_params(self, params):
        return {"kernel": 2 * params["kernel"], "bias": optax.MaskedNode()}


def test_any_state_with_the_method_is_asked():
    evaluated = evaluation_params((optax.EmptyState(), Doubled(0)), PARAMS)
    np.testing.assert_array_equal(evaluated["kernel"], 2 * PARAMS["kernel"])
    assert evaluated["bias"] is PARAMS["bias"]
