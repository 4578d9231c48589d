"""The grid with Flax and optax as a careful user writes it: a Python loop around a jitted train step.

What makes it fast: it compiles once, because the strength is an argument of the step (once for each rate of dropout,
because Flax's `Dropout` refuses a traced one); rows are gathered on the device, which is sent one order of rows an
epoch; the step counter lives on the device, so a step sends nothing; parameters and optimizer state are donated;
nothing waits for a result before all trainings are under way; random bits are the ones that JAX drew by default
before they became partitionable, which cost half as much.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from peers.network import Network
from peers.task import LEARNING_RATE, Outcome, Setting, Task, by_setting, padded_folds

optimizer = optax.adam(LEARNING_RATE)


@functools.partial(jax.jit, static_argnums=0)
def start(network: Network, key: jax.Array, x: jax.Array) -> tuple[Any, Any, jax.Array]:
    """Parameters, optimizer state and step counter before the first step."""
    params = network.init(key, x[:1])["params"]
    return params, optimizer.init(params), jnp.zeros((), jnp.int32)


def losses_of(logits: jax.Array, y: jax.Array) -> jax.Array:
    """The cross-entropy of each example, of a softmax or of one sigmoid."""
    if logits.shape[-1] == 1:
        return optax.sigmoid_binary_cross_entropy(logits[:, 0], y)
    return optax.softmax_cross_entropy_with_integer_labels(logits, y)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def step(
    network: Network, state: tuple, x: jax.Array, y: jax.Array, order: jax.Array, l2: jax.Array | None, key: jax.Array
) -> tuple:
    """One step on the next batch of `order`, ``(steps, batch)`` row numbers with -1 for padding."""
    params, opt_state, count = state
    chosen = order[count % order.shape[0]]
    weight = (chosen >= 0).astype(jnp.float32)

    def objective(params: Any) -> jax.Array:
        rngs = {"dropout": jax.random.fold_in(key, count)}
        logits = network.apply({"params": params}, x[chosen], train=True, rngs=rngs)
        loss = jnp.sum(weight * losses_of(logits, y[chosen])) / jnp.maximum(jnp.sum(weight), 1)
        if l2 is None:
            return loss
        return loss + 0.5 * l2 * sum(jnp.sum(jnp.square(layer["kernel"])) for layer in params.values())

    updates, opt_state = optimizer.update(jax.grad(objective)(params), opt_state, params)
    return optax.apply_updates(params, updates), opt_state, count + 1


@functools.partial(jax.jit, static_argnums=0)
def accuracy(network: Network, state: tuple, x: jax.Array, y: jax.Array, chosen: jax.Array) -> jax.Array:
    """The share of the rows `chosen` (-1 is padding) that are classified correctly."""
    logits = network.apply({"params": state[0]}, x[chosen])
    predicted = jnp.argmax(logits, -1) if logits.shape[-1] > 1 else logits[:, 0] > 0
    return jnp.sum((chosen >= 0) & (predicted == y[chosen])) / jnp.sum(chosen >= 0)


def make(task: Task) -> Callable[[], Outcome]:
    """The loop, on one CPU device whose thread pool uses every core."""
    jax.config.update("jax_threefry_partitionable", False)
    x, y = jnp.asarray(task.x), jnp.asarray(task.y)
    validation = jnp.asarray(padded_folds(task)[1])

    def train(setting: Setting, fold: int, seed: int) -> jax.Array:
        network = Network(task.convolutions, task.hidden, task.outputs, setting.dropout)
        rows, rng = task.folds[fold][0], np.random.default_rng((seed, fold))
        key = jax.random.fold_in(jax.random.key(seed), fold)
        strength = jnp.float32(setting.l2) if "l2" in task.swept else None
        state = start(network, key, x)
        padding = np.full(task.steps * task.batch - len(rows), -1)
        for _ in range(task.epochs):
            order = np.concatenate([rng.permutation(rows), padding]).astype(np.int32)
            batches = jnp.asarray(order.reshape(task.steps, task.batch))
            for _ in range(task.steps):
                state = step(network, state, x, y, batches, strength, key)
        return accuracy(network, state, x, y, validation[fold])

    def run() -> Outcome:
        scores = [
            train(setting, fold, seed)
            for setting in task.settings
            for fold in range(len(task.folds))
            for seed in range(task.seeds)
        ]
        steps = len(scores) * task.epochs * task.steps
        return Outcome(by_setting(task, jax.device_get(scores)), steps, len(scores) * task.epochs, len(scores))

    return run
