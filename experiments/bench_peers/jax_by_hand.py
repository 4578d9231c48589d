"""The grid in plain JAX: one jitted program that maps over the trainings on two CPU devices, without a library.

What makes it fast: a training is a scan of scans inside one XLA device a core; both layers' masks are one draw; and
random bits are the ones that JAX drew by default before they became partitionable, which cost half as much.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

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

DEVICES = 2
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Data(NamedTuple):
    """Examples, labels, and the rows of each fold with -1 for padding."""

    x: Any
    y: Any
    train: Any
    validation: Any


def init(key: jax.Array, sizes: tuple[int, ...]) -> list[tuple[jax.Array, jax.Array]]:
    """He's uniform weights, and zeros as biases."""
    pairs = list(itertools.pairwise(sizes))
    return [
        (jax.random.uniform(k, pair, minval=-1, maxval=1) * np.sqrt(6 / pair[0]), jnp.zeros(pair[1]))
        for k, pair in zip(jax.random.split(key, len(pairs)), pairs, strict=True)
    ]


def logits_of(params: list, x: jax.Array, key: jax.Array | None) -> jax.Array:
    """The network; with a key, with dropout."""
    *hidden, (w, b) = params
    # The hidden layers are equally wide, so that their masks can be drawn together.
    masks = None if key is None else jax.random.bernoulli(key, 1 - DROPOUT, (len(hidden), len(x), HIDDEN[0]))
    for number, (weights, bias) in enumerate(hidden):
        x = jax.nn.relu(x @ weights + bias)
        if masks is not None:
            x = jnp.where(masks[number], x / (1 - DROPOUT), 0)
    return x @ w + b


def adam(count: jax.Array, params: list, gradients: list, first: list, second: list) -> tuple[list, list, list]:
    """One step of Adam; `count` starts at 0."""
    t = (count + 1).astype(jnp.float32)
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradients)
    second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradients)
    rate, scale = LEARNING_RATE / (1 - BETA1**t), 1 / (1 - BETA2**t)
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(scale * v) + EPSILON), params, first, second)
    return params, first, second


def train(member: tuple[jax.Array, jax.Array], data: Data, epochs: int, steps: int) -> jax.Array:
    """One training; returns its validation accuracy."""
    fold, l2 = member
    init_key, order_key, noise_key = jax.random.split(jax.random.key(fold), 3)
    rows, validation = data.train[fold], data.validation[fold]
    padding = jnp.full(steps * BATCH - rows.shape[0], -1, rows.dtype)

    def step(carry: tuple, inputs: tuple[jax.Array, jax.Array]) -> tuple[tuple, None]:
        params, first, second = carry
        count, chosen = inputs
        weight = (chosen >= 0).astype(jnp.float32)

        def objective(params: list) -> jax.Array:
            logits = logits_of(params, data.x[chosen], jax.random.fold_in(noise_key, count))
            target = jnp.take_along_axis(logits, data.y[chosen][:, None], axis=-1)[:, 0]
            losses = jax.nn.logsumexp(logits, axis=-1) - target
            norms = sum(jnp.sum(weights * weights) for weights, _ in params)
            return jnp.sum(weight * losses) / jnp.sum(weight) + 0.5 * l2 * norms

        return adam(count, params, jax.grad(objective)(params), first, second), None

    def epoch(carry: tuple, number: jax.Array) -> tuple[tuple, None]:
        order = jax.random.permutation(jax.random.fold_in(order_key, number), rows)
        batches = jnp.concatenate([order, padding]).reshape(steps, BATCH)
        return jax.lax.scan(step, carry, (number * steps + jnp.arange(steps), batches))

    params = init(init_key, (data.x.shape[1], *HIDDEN, CLASSES))
    zeros = jax.tree.map(jnp.zeros_like, params)
    (params, _, _), _ = jax.lax.scan(epoch, (params, zeros, zeros), jnp.arange(epochs))
    right = jnp.argmax(logits_of(params, data.x[validation], None), axis=-1) == data.y[validation]
    return jnp.sum(right & (validation >= 0)) / jnp.sum(validation >= 0)


def make(task: Task) -> Callable[[], Outcome]:
    """The compiled program; each device trains its half of the members one after the other."""
    jax.config.update("jax_num_cpu_devices", DEVICES)
    jax.config.update("jax_threefry_partitionable", False)
    steps, folds = steps_per_epoch(task), len(task.folds)
    data = Data(*map(jnp.asarray, (task.x, task.y, *padded_folds(task))))
    members = (np.tile(np.arange(folds), len(task.strengths)), np.repeat(task.strengths, folds).astype(np.float32))
    count = len(members[0])
    # Both devices get as many members; an odd one out is trained twice.
    members = tuple(np.resize(column, -(-count // DEVICES) * DEVICES) for column in members)
    own, all_ = PartitionSpec("members"), PartitionSpec()

    @jax.jit
    @functools.partial(
        jax.shard_map,
        mesh=Mesh(np.array(jax.devices()), ("members",)),
        in_specs=(own, all_),
        out_specs=own,
        check_vma=False,
    )
    def program(members: tuple[jax.Array, jax.Array], data: Data) -> jax.Array:
        return jax.lax.map(lambda member: train(member, data, task.epochs, steps), members)

    def run() -> Outcome:
        scores = np.asarray(program(members, data))[:count].reshape(-1, folds)
        return Outcome(scores.mean(axis=1).tolist(), len(members[0]) * task.epochs * steps)

    return run
