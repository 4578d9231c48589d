"""The grid with Flax and optax as a careful user writes it: a Python loop around a jitted train step.

What makes it fast: it compiles once, because the strength is an argument of the step; rows are gathered on the
device, which is sent one order of rows an epoch; the step counter lives on the device, so a step sends nothing;
parameters and optimizer state are donated; nothing waits for a result before all trainings are under way; random bits
are the ones that JAX drew by default before they became partitionable, which cost half as much.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from bench_peers.task import (
    BATCH,
    CLASSES,
    DROPOUT,
    HIDDEN,
    LEARNING_RATE,
    Outcome,
    Task,
    padded_folds,
    steps_per_epoch,
)


class Network(linen.Module):
    """64-128-128-10 with dropout after each hidden layer."""

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """The logits."""
        for units in HIDDEN:
            x = linen.relu(linen.Dense(units, kernel_init=linen.initializers.he_uniform())(x))
            x = linen.Dropout(DROPOUT, deterministic=not train)(x)
        return linen.Dense(CLASSES, kernel_init=linen.initializers.he_uniform())(x)


network = Network()
optimizer = optax.adam(LEARNING_RATE)


@jax.jit
def start(key: jax.Array, x: jax.Array) -> tuple[Any, Any, jax.Array]:
    """Parameters, optimizer state and step counter before the first step."""
    params = network.init(key, x[:1], train=False)["params"]
    return params, optimizer.init(params), jnp.zeros((), jnp.int32)


@functools.partial(jax.jit, donate_argnums=0)
def step(state: tuple, x: jax.Array, y: jax.Array, order: jax.Array, l2: jax.Array, key: jax.Array) -> tuple:
    """One step on the next batch of `order`, ``(steps, batch)`` row numbers with -1 for padding."""
    params, opt_state, count = state
    chosen = order[count % order.shape[0]]
    weight = (chosen >= 0).astype(jnp.float32)

    def objective(params: Any) -> jax.Array:
        rngs = {"dropout": jax.random.fold_in(key, count)}
        logits = network.apply({"params": params}, x[chosen], train=True, rngs=rngs)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, y[chosen])
        norms = sum(jnp.sum(jnp.square(layer["kernel"])) for layer in params.values())
        return jnp.sum(weight * losses) / jnp.sum(weight) + 0.5 * l2 * norms

    updates, opt_state = optimizer.update(jax.grad(objective)(params), opt_state, params)
    return optax.apply_updates(params, updates), opt_state, count + 1


@jax.jit
def accuracy(state: tuple, x: jax.Array, y: jax.Array, chosen: jax.Array) -> jax.Array:
    """The share of the rows `chosen` (-1 is padding) that are classified correctly."""
    logits = network.apply({"params": state[0]}, x[chosen], train=False)
    return jnp.sum((chosen >= 0) & (jnp.argmax(logits, -1) == y[chosen])) / jnp.sum(chosen >= 0)


def make(task: Task) -> Callable[[], Outcome]:
    """The loop, on one CPU device whose thread pool uses every core."""
    jax.config.update("jax_threefry_partitionable", False)
    x, y = jnp.asarray(task.x), jnp.asarray(task.y)
    validation = jnp.asarray(padded_folds(task)[1])
    steps = steps_per_epoch(task)

    def train(fold: int, l2: float) -> jax.Array:
        rows, rng = task.folds[fold][0], np.random.default_rng(fold)
        key, strength = jax.random.key(fold), jnp.float32(l2)
        state = start(key, x)
        padding = np.full(steps * BATCH - len(rows), -1)
        for _ in range(task.epochs):
            order = np.concatenate([rng.permutation(rows), padding]).astype(np.int32)
            batches = jnp.asarray(order.reshape(steps, BATCH))
            for _ in range(steps):
                state = step(state, x, y, batches, strength, key)
        return accuracy(state, x, y, validation[fold])

    def run() -> Outcome:
        scores = [[train(fold, l2) for fold in range(len(task.folds))] for l2 in task.strengths]
        means = np.array(jax.device_get(scores)).mean(axis=1)
        return Outcome(means.tolist(), len(scores) * len(task.folds) * task.epochs * steps)

    return run
