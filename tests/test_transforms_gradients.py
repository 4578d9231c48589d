"""What changes the gradient: SAM and ASAM, the spectral penalty, and optax's own clipping, for each member alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jreg import projections, prox
from jreg.transforms import (
    decay_towards,
    decoupled_l1,
    decoupled_weight_decay,
    ema_params,
    project,
    proximal,
    sam,
    spectral_penalty,
    swa_params,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)), RNG.normal(size=(20, 3))
PARAMS = {
    "bias": jnp.asarray(RNG.normal(size=3), jnp.float32),
    "kernel": jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32),
}


def loss(params):
    outputs = jnp.asarray(X, jnp.float32) @ params["kernel"] + params["bias"][None, :]
    return jnp.mean(jnp.square(outputs - jnp.asarray(Y, jnp.float32)))


def grad_fn(params, index):
    return gradient(params)


gradient = jax.jit(jax.grad(loss))


def by_hand(kernel, bias):
    """The gradients of `loss` worked out, in float64."""
    rest = 2 * (X @ kernel + bias - Y) / Y.size
    return X.T @ rest, rest.sum(axis=0)


def stepped(optimizer, params, state):
    updates, state = optimizer.update(grad_fn(params, 0), state, params, value=loss(params), grad_fn=grad_fn)
    return optax.apply_updates(params, updates), state


def worst(kernel, bias, rho, adaptive):
    """The perturbed weights, from the papers' formulas."""
    g, b = by_hand(kernel, bias)
    t = np.abs(kernel) + 0.01 if adaptive else np.ones_like(kernel)
    norm = np.sqrt(np.sum((t * g) ** 2) + np.sum(b**2))
    return kernel + rho * t**2 * g / norm, bias + rho * b / norm


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("rho", [0.05, 0.5, 3.0])
def test_sam_steps_along_the_gradient_at_the_worst_weights(adaptive, rho):
    optimizer = sam(optax.sgd(0.1), rho, adaptive)
    step = jax.jit(functools.partial(stepped, optimizer))
    params, state = PARAMS, optimizer.init(PARAMS)
    kernel, bias = (np.asarray(PARAMS[name], np.float64) for name in ("kernel", "bias"))
    for _ in range(3):
        params, state = step(params, state)
        g, b = by_hand(*worst(kernel, bias, rho, adaptive))
        kernel, bias = kernel - 0.1 * g, bias - 0.1 * b
        np.testing.assert_allclose(params["kernel"], kernel, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(params["bias"], bias, rtol=1e-5, atol=1e-6)


def test_sam_looks_at_a_place_of_distance_rho_where_the_loss_is_larger():
    seen = []

    def record(params, index):
        seen.append(params)
        return grad_fn(params, index)

    optimizer = sam(optax.sgd(0.1), 0.3)
    optimizer.update(grad_fn(PARAMS, 0), optimizer.init(PARAMS), PARAMS, grad_fn=record)
    (place,) = seen
    distance = optax.tree.norm(jax.tree.map(jnp.subtract, place, PARAMS))
    np.testing.assert_allclose(distance, 0.3, rtol=1e-5)
    assert float(loss(place)) > float(loss(PARAMS))


def test_asam_is_unchanged_by_a_rescaling_that_leaves_the_function():
    # w1 * w2 is the network; distances relative to the weights don't see which of the two is larger (to the 0.01).
    def product(params):
        return jnp.square(jnp.sum(params["a"]) * jnp.sum(params["b"]) - 1.0)

    def perturbed(scale, adaptive):
        params = {"a": jnp.full((1, 1), 200.0 * scale), "b": jnp.full((1, 1), 200.0 / scale)}
        places = []
        gradient = jax.jit(jax.grad(product))
        optimizer = sam(optax.sgd(0.1), 0.5, adaptive)
        optimizer.update(
            gradient(params), optimizer.init(params), params, grad_fn=lambda p, _: places.append(p) or gradient(p)
        )
        return float(product(places[0]))

    np.testing.assert_allclose(perturbed(5.0, True), perturbed(1.0, True), rtol=1e-3)
    assert abs(perturbed(5.0, False) / perturbed(1.0, False) - 1) > 1e-3


@pytest.mark.adam
@pytest.mark.parametrize("adaptive", [False, True])
def test_a_radius_of_zero_is_the_plain_optimizer_bit_by_bit(adaptive):
    plain = optax.with_extra_args_support(optax.adam(0.1))
    ours = sam(optax.adam(0.1), 0.0, adaptive)
    ends = []
    for optimizer in (plain, ours):
        params, state = PARAMS, optimizer.init(PARAMS)
        # Compiled as a whole, two optimizers are two programs, which may round differently.
        for _ in range(3):
            params, state = stepped(optimizer, params, state)
        ends.append(params)
    jax.tree.map(np.testing.assert_array_equal, *ends)


@pytest.mark.parametrize("adaptive", [False, True])
def test_sam_takes_a_traced_radius(adaptive):
    def run(rho):
        optimizer = sam(optax.sgd(0.1), rho, adaptive)
        return stepped(optimizer, PARAMS, optimizer.init(PARAMS))[0]

    many = jax.jit(jax.vmap(run))(jnp.array([0.0, 0.5]))
    for n, rho in enumerate((0.0, 0.5)):
        jax.tree.map(lambda a, b, n=n: np.testing.assert_allclose(a[n], b, rtol=2e-6, atol=1e-6), many, run(rho))


def test_sam_takes_float64():
    with jax.enable_x64(True):
        w = jnp.asarray([3.0, 4.0], jnp.float64)
        optimizer = sam(optax.sgd(1.0), 5.0)
        updates, _ = optimizer.update(w, optimizer.init(w), w, grad_fn=lambda params, _: params)
        assert updates.dtype == jnp.float64
        np.testing.assert_allclose(updates, [-6.0, -8.0], rtol=1e-14)


def test_sam_without_a_gradient_moves_nowhere_and_is_finite():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    optimizer = sam(optax.sgd(0.1), 0.5)
    updates, _ = optimizer.update(zeros, optimizer.init(PARAMS), PARAMS, grad_fn=lambda params, _: zeros)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(updates))


def test_what_sam_lacks_is_said():
    optimizer = sam(optax.sgd(0.1), 0.5)
    with pytest.raises(ValueError, match=r"sam needs gradients at other parameters: call update\(.*grad_fn=grad_fn\)"):
        optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)
    with pytest.raises(ValueError, match=r"sam needs the parameters"):
        optimizer.update(PARAMS, optimizer.init(PARAMS), grad_fn=grad_fn)
    for rho in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"sam's rho is .* must be a finite number of at least 0"):
            sam(optax.sgd(0.1), rho)
    nowhere = sam(optax.sgd(0.1), 0.5, adaptive=True, where="*/kernal")
    with pytest.raises(ValueError, match=r"'\*/kernal' matches no parameter; the paths are: bias, kernel"):
        nowhere.update(PARAMS, nowhere.init(PARAMS), PARAMS, grad_fn=grad_fn)


def matrices(shape):
    return {"kernel": jnp.asarray(RNG.normal(size=shape), jnp.float32), "bias": jnp.ones(shape[-1])}


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 3, 2, 4)])
def test_the_spectral_penalty_comes_to_the_gradient_of_half_the_squared_norm(shape):
    params = matrices(shape)
    transform = spectral_penalty(0.7)
    zeros, state = jax.tree.map(jnp.zeros_like, params), transform.init(params)
    (updates, _), _ = jax.lax.scan(
        lambda carry, _: (transform.update(zeros, carry[1], params), None), (zeros, state), length=300
    )
    matrix = np.asarray(params["kernel"], np.float64).reshape(-1, shape[-1])
    u, s, vt = np.linalg.svd(matrix)
    # 300 iterations leave (s[1] / s[0]) ** 600 of the other directions.
    assert (s[1] / s[0]) ** 600 < 1e-6
    expected = 0.7 * s[0] * np.outer(u[:, 0], vt[0])
    np.testing.assert_allclose(updates["kernel"].reshape(matrix.shape), expected, atol=1e-5)
    assert not np.asarray(updates["bias"]).any()


def test_the_spectral_penalty_does_one_power_iteration_a_step():
    params = matrices((5, 3))
    transform = spectral_penalty(1.0)
    state = transform.init(params)
    v, w = np.asarray(state.v["kernel"], np.float64), np.asarray(params["kernel"], np.float64)
    for _ in range(3):
        updates, state = transform.update(jax.tree.map(jnp.zeros_like, params), state, params)
        u = w @ v / np.linalg.norm(w @ v)
        v = w.T @ u / np.linalg.norm(w.T @ u)
        image = w @ v
        sigma, u = np.linalg.norm(image), image / np.linalg.norm(image)
        np.testing.assert_allclose(updates["kernel"], sigma * np.outer(u, v), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(state.v["kernel"], v, rtol=1e-5, atol=1e-6)


def test_the_spectral_penalty_shrinks_the_largest_singular_value_alone():
    w = {"kernel": jnp.diag(jnp.array([3.0, 1.0, 0.5]))}
    chain = optax.chain(spectral_penalty(1.0), optax.sgd(0.05))

    def step(carry, _):
        params, state = carry
        updates, state = chain.update(jax.tree.map(jnp.zeros_like, params), state, params)
        return (optax.apply_updates(params, updates), state), None

    # Decay by 0.95 a step: 3 * 0.95^15 is 1.39.
    (params, _), _ = jax.lax.scan(step, (w, chain.init(w)), length=15)
    s = np.linalg.svd(np.asarray(params["kernel"], np.float64))[1]
    assert 1.35 < s[0] < 1.6
    np.testing.assert_allclose(s[1:], [1.0, 0.5], rtol=0.1)


def test_the_spectral_penalty_survives_weights_of_zero():
    zeros = {"kernel": jnp.zeros((4, 3))}
    transform = spectral_penalty(1.0)
    updates, state = transform.update(zeros, transform.init(zeros), zeros)
    np.testing.assert_array_equal(state.v["kernel"], transform.init(zeros).v["kernel"])
    assert not np.asarray(updates["kernel"]).any()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_spectral_penalty_takes_half_precision(dtype):
    params = matrices((5, 3))
    half = jax.tree.map(lambda w: w.astype(dtype), params)
    transform = spectral_penalty(0.5)
    updates, state = transform.update(jax.tree.map(jnp.zeros_like, half), transform.init(half), half)
    exact, _ = transform.update(jax.tree.map(jnp.zeros_like, params), transform.init(params), params)
    assert updates["kernel"].dtype == dtype
    assert state.v["kernel"].dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(updates["kernel"], np.float32), exact["kernel"], atol=0.03)


def test_bad_input_to_the_spectral_penalty_is_refused():
    params = matrices((5, 3))
    with pytest.raises(ValueError, match=r"spectral_penalty's strength is -1, but"):
        spectral_penalty(-1.0)
    with pytest.raises(ValueError, match=r"spectral_penalty got an array of shape \(3,\), but needs one with two axes"):
        spectral_penalty(0.1, "*").init(params)
    with pytest.raises(ValueError, match=r"matches no parameter"):
        spectral_penalty(0.1, "*/kernal").init(params)
    with pytest.raises(ValueError, match=r"spectral_penalty needs the parameters"):
        spectral_penalty(0.1).update(params, spectral_penalty(0.1).init(params))


def descent(*transforms):
    return optax.chain(*transforms, optax.sgd(0.1, momentum=0.9))


CHAINS = {
    "clip": descent(optax.clip(0.5)),
    "clip_by_global_norm": descent(optax.clip_by_global_norm(0.5)),
    "clip_by_block_rms": descent(optax.clip_by_block_rms(0.5)),
    "adaptive_grad_clip": descent(optax.adaptive_grad_clip(0.1)),
    "centralize": descent(optax.centralize()),
    "add_noise": descent(optax.add_noise(0.1, 0.55, jax.random.key(0))),
    "adam": optax.adam(0.1),
    "spectral_penalty": descent(spectral_penalty(0.1)),
    "sam": sam(optax.sgd(0.1), 0.1),
    "asam": sam(optax.sgd(0.1), 0.1, adaptive=True),
    "decay": optax.chain(
        optax.sgd(0.1), decoupled_weight_decay(0.1), decoupled_l1(0.01), decay_towards(0.1), ema_params(0.9)
    ),
    "constraints": optax.chain(
        optax.sgd(0.1),
        proximal(prox.nuclear_norm, 0.1, 0.1),
        project(functools.partial(projections.l1_ball, c=1.0)),
        project(functools.partial(projections.spectral_ball, c=1.0)),
        swa_params(1),
    ),
}


@pytest.mark.some(4)
@pytest.mark.adam
@pytest.mark.parametrize("name", CHAINS)
def test_a_members_huge_or_missing_gradient_changes_nothing_for_its_neighbours(name):
    chain = CHAINS[name]
    members = jax.tree.map(lambda w: jnp.stack([w, 2 * w, 3 * w, -w]), PARAMS)
    gradients = jax.vmap(jax.grad(loss))(members)

    def two_steps(params, gradient):
        state = chain.init(params)
        for _ in range(2):
            extra = {"grad_fn": lambda p, _: jax.tree.map(jnp.add, gradient, p)} if "sam" in name else {}
            updates, state = chain.update(gradient, state, params, **extra)
            params = optax.apply_updates(params, updates)
        return params, jax.tree.map(lambda leaf: leaf if leaf.dtype != jax.random.key(0).dtype else 0, state)

    run = jax.jit(jax.vmap(two_steps))
    calm = run(members, gradients)
    for disaster in (1e30, jnp.nan, jnp.inf):
        upset = run(members, jax.tree.map(lambda g, d=disaster: g.at[1].set(d), gradients))
        for others in (0, 2, 3):
            jax.tree.map(lambda a, b, n=others: np.testing.assert_array_equal(a[n], b[n]), calm, upset)
        assert not np.array_equal(calm[0]["kernel"][1], upset[0]["kernel"][1])
