"""The grid in plain JAX: one jitted program that maps over the trainings on two CPU devices, without a library.

What makes it fast: a training is a scan of scans inside one XLA device a core; small networks are batched in blocks,
larger ones are trained one after the other; convolutions are matrix products; both layers' masks are one draw; and
random bits are the ones that JAX drew by default before they became partitionable, which cost half as much.

`make` validates once, at the end of a training (with early stopping the loss in every epoch too). `make_validating`
measures what jreg does in every epoch, and returns it: the means of the training steps' losses, accuracies and
penalties, and the loss and accuracy on the validation rows.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from peers.patches import max_pool, patches_of
from peers.task import Members, Outcome, Setting, Task, by_depth, by_setting, members, padded_folds

DEVICES = 2
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
# Trainings that a device runs as one batch, where more than one was measured to be faster.
BLOCKS = {"tiny": 25}


class Data(NamedTuple):
    """Examples, labels, and the rows of each fold with -1 for padding."""

    x: Any
    y: Any
    train: Any
    validation: Any


class Progress(NamedTuple):
    """A training with early stopping between two epochs."""

    carry: Any
    epoch: Any
    best: Any
    best_params: Any
    wait: Any


def init(key: jax.Array, task: Task) -> list[tuple[jax.Array, jax.Array]]:
    """He's uniform weights, and zeros as biases."""
    channels = (1, *task.convolutions)
    shapes: list[tuple[int, ...]] = [(3, 3, *pair) for pair in itertools.pairwise(channels)]
    side = task.x.shape[1] // 2 ** len(shapes)
    inputs = side * side * channels[-1] if shapes else task.x.shape[1]
    shapes += itertools.pairwise((inputs, *task.hidden, task.outputs))
    bounds = [np.sqrt(6 / np.prod(shape[:-1])) for shape in shapes]
    keys = jax.random.split(key, len(shapes))
    return [
        (jax.random.uniform(k, shape, minval=-bound, maxval=bound), jnp.zeros(shape[-1]))
        for k, shape, bound in zip(keys, shapes, bounds, strict=True)
    ]


def logits_of(task: Task, params: list, x: jax.Array, key: jax.Array | None, rate: Any) -> jax.Array:
    """The network; with a key, with dropout."""
    convolutions = len(task.convolutions)
    for kernel, bias in params[:convolutions]:
        x = max_pool(jax.nn.relu(patches_of(x) @ kernel.reshape(-1, kernel.shape[-1]) + bias))
    x = x.reshape(len(x), -1)
    *hidden, (w, b) = params[convolutions:]
    masks = None
    if key is not None and not (isinstance(rate, float) and rate == 0):
        # The hidden layers are equally wide, so that their masks can be drawn together.
        masks = jax.random.bernoulli(key, 1 - rate, (len(hidden), len(x), task.hidden[0]))
    for number, (weights, bias) in enumerate(hidden):
        x = jax.nn.relu(x @ weights + bias)
        if masks is not None:
            x = jnp.where(masks[number], x / (1 - rate), 0)
    return x @ w + b


def losses_of(logits: jax.Array, y: jax.Array) -> jax.Array:
    """The cross-entropy of each example, of a softmax or of one sigmoid."""
    if logits.shape[-1] == 1:
        return jax.nn.softplus(logits[:, 0]) - y * logits[:, 0]
    return jax.nn.logsumexp(logits, axis=-1) - jnp.take_along_axis(logits, y[:, None], axis=-1)[:, 0]


def right(logits: jax.Array, y: jax.Array) -> jax.Array:
    """Which examples are classified correctly."""
    return (jnp.argmax(logits, axis=-1) if logits.shape[-1] > 1 else logits[:, 0] > 0) == y


def adam(
    count: jax.Array, rate: Any, decay: Any, params: list, gradients: list, first: list, second: list
) -> tuple[list, list, list]:
    """One step of Adam, or of AdamW where `decay` isn't 0; `count` starts at 0."""
    t = (count + 1).astype(jnp.float32)
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradients)
    second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradients)
    if not (isinstance(decay, float) and decay == 0):
        params = jax.tree.map(lambda p: p - rate * decay * p, params)
    rate, scale = rate / (1 - BETA1**t), 1 / (1 - BETA2**t)
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(scale * v) + EPSILON), params, first, second)
    return params, first, second


def train(task: Task, validating: bool, member: Members, data: Data) -> tuple[jax.Array, Any, Any]:
    """One training: its validation accuracy, the epochs it ran and, if it is `validating`, what each epoch measured."""
    setting: Setting = task.fixed._replace(**member.swept)
    key = jax.random.fold_in(jax.random.key(member.seed), member.fold)
    init_key, order_key, noise_key = jax.random.split(key, 3)
    rows, validation = data.train[member.fold], data.validation[member.fold]
    padding = jnp.full(task.steps * task.batch - rows.shape[0], -1, rows.dtype)
    there = validation >= 0

    def step(carry: tuple, inputs: tuple[jax.Array, jax.Array]) -> tuple[tuple, Any]:
        params, first, second = carry
        count, chosen = inputs
        weight = (chosen >= 0).astype(jnp.float32)

        def objective(params: list) -> tuple[jax.Array, Any]:
            noise = jax.random.fold_in(noise_key, count)
            logits = logits_of(task, params, data.x[chosen], noise, setting.dropout)
            losses, penalty = losses_of(logits, data.y[chosen]), jnp.float32(0)
            loss = jnp.sum(weight * losses) / jnp.maximum(jnp.sum(weight), 1)
            if "l2" in task.swept:
                penalty = 0.5 * setting.l2 * sum(jnp.sum(weights * weights) for weights, _ in params)
            if not validating:
                return loss + penalty, None
            correct = jnp.sum(weight * right(logits, data.y[chosen]))
            return loss + penalty, jnp.stack([jnp.sum(weight * losses), correct, penalty])

        rate = task.learning_rate if setting.learning_rate is None else setting.learning_rate
        if setting.active is not None:
            rate = jnp.where(count < setting.active * task.steps, rate, 0.0)
        gradients, seen = jax.grad(objective, has_aux=True)(params)
        return adam(count, rate, setting.decay, params, gradients, first, second), seen

    def evaluate(params: list) -> tuple[jax.Array, jax.Array]:
        logits, y, count = logits_of(task, params, data.x[validation], None, 0.0), data.y[validation], jnp.sum(there)
        return jnp.sum(there * losses_of(logits, y)) / count, jnp.sum(there & right(logits, y)) / count

    def epoch(carry: tuple, number: jax.Array) -> tuple[tuple, Any]:
        order = jax.random.permutation(jax.random.fold_in(order_key, number), rows)
        batches = jnp.concatenate([order, padding]).reshape(task.steps, task.batch)
        carry, seen = jax.lax.scan(step, carry, (number * task.steps + jnp.arange(task.steps), batches))
        if not validating:
            return carry, None
        examples = jnp.sum(rows >= 0)
        measured = jnp.sum(seen, axis=0) / jnp.stack([examples, examples, jnp.asarray(task.steps)])
        return carry, jnp.concatenate([measured, jnp.stack(evaluate(carry[0]))])

    def next_epoch(now: Progress) -> Progress:
        carry, _ = epoch(now.carry, now.epoch)
        loss, _ = evaluate(carry[0])
        better = loss < now.best
        best_params = jax.tree.map(lambda new, old: jnp.where(better, new, old), carry[0], now.best_params)
        wait = jnp.where(better, 0, now.wait + 1)
        return Progress(carry, now.epoch + 1, jnp.minimum(loss, now.best), best_params, wait)

    params = init(init_key, task)
    zeros = jax.tree.map(jnp.zeros_like, params)
    carry = (params, zeros, zeros)
    if task.patience is None:
        (params, _, _), measured = jax.lax.scan(epoch, carry, jnp.arange(task.epochs))
        if validating:
            return measured[-1, -1], jnp.asarray(task.epochs), measured
        ran = jnp.asarray(task.epochs)
    else:
        patience, zero = task.patience, jnp.zeros((), jnp.int32)
        last = jax.lax.while_loop(
            lambda now: (now.epoch < task.epochs) & (now.wait < patience),
            next_epoch,
            Progress(carry, zero, jnp.float32(np.inf), params, zero),
        )
        params, ran = last.best_params, last.epoch
    return evaluate(params)[1], ran, None


def make(task: Task) -> Callable[[], Outcome]:
    """The compiled program; each device trains its half of the members one block after the other."""
    return _make(task, BLOCKS.get(task.name))


def make_validating(task: Task) -> Callable[[], Outcome]:
    """The same, measuring in every epoch what jreg measures; for grids without early stopping."""
    return _make(task, BLOCKS.get(task.name), validating=True)


def make_vmapped(task: Task) -> Callable[[], Outcome]:
    """All members of a device as one batch: with early stopping, all run until the last of them stops."""
    return _make(task, task.trainings)


def _make(task: Task, block: int | None, validating: bool = False) -> Callable[[], Outcome]:
    jax.config.update("jax_num_cpu_devices", DEVICES)
    jax.config.update("jax_threefry_partitionable", False)
    # Networks of different shapes need a program each.
    parts = [(numbers, _program(part, block, validating)) for numbers, part in by_depth(task)]
    shape = (len(task.settings), task.trainings // len(task.settings))

    def run() -> Outcome:
        scores, epochs = np.empty(shape), np.empty(shape, int)
        for numbers, program in parts:
            found = program()
            scores[numbers], epochs[numbers] = (part.reshape(len(numbers), -1) for part in found)
        ran = int(epochs.sum())
        more = {"stops": epochs.reshape(-1).tolist()} if task.patience else {}
        validations = ran if validating else ran + task.trainings if task.patience else task.trainings
        return Outcome(by_setting(task, scores), ran * task.steps, ran, validations, more)

    return run


def _program(task: Task, block: int | None, validating: bool) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """All trainings of networks of one shape: their scores and the epochs they ran."""
    data = Data(*map(jnp.asarray, (task.x, task.y, *padded_folds(task))))
    count = task.trainings
    # Both devices get as many members; an odd one out is trained twice.
    padded = -(-count // DEVICES) * DEVICES
    columns = jax.tree.map(lambda column: np.resize(column, padded), members(task))
    own, all_ = PartitionSpec("members"), PartitionSpec()

    @jax.jit
    @functools.partial(
        jax.shard_map,
        mesh=Mesh(np.array(jax.devices()), ("members",)),
        in_specs=(own, all_),
        out_specs=own,
        check_vma=False,
    )
    def program(columns: Members, data: Data) -> tuple[jax.Array, jax.Array, Any]:
        size = None if block is None else min(block, padded // DEVICES)
        return jax.lax.map(lambda member: train(task, validating, member, data), columns, batch_size=size)

    def run() -> tuple[np.ndarray, np.ndarray]:
        scores, epochs, measured = program(columns, data)
        # What was measured is fetched, as a user would.
        jax.tree.map(np.asarray, measured)
        return np.asarray(scores)[:count], np.asarray(epochs)[:count]

    return run
