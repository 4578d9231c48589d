"""An epoch of the digits network as a loop of unknown length, in blocks of known length, and of known length.

jreg reads the number of steps from the fold, so its program doesn't know it. A GPU may ask the host after every step
whether such a loop goes on.
"""

import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

# Steps in a block of known length; those past the end change nothing.
BLOCK = 8


def loop(members: int, epochs: int, rounds: int) -> dict[str, Any]:
    """Seconds per epoch of each kind of loop, for so many networks as one batch and so many epochs in a call."""
    sizes, batch, steps, optimizer = (64, 128, 128, 10), 64, 23, optax.adam(1e-3)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.random((batch * steps, sizes[0]), np.float32))
    y = jnp.asarray(rng.integers(0, sizes[-1], batch * steps))

    def network(params: list, x: Any, key: Any) -> Any:
        for layer, (w, b) in enumerate(params[:-1]):
            x = jax.nn.relu(x @ w + b)
            x = jnp.where(jax.random.bernoulli(jax.random.fold_in(key, layer), 0.5, x.shape), 2 * x, 0)
        return x @ params[-1][0] + params[-1][1]

    def step(key: Any, number: Any, carry: Any) -> Any:
        params, state = carry
        a, b = (jax.lax.dynamic_slice_in_dim(part, number * batch, batch) for part in (x, y))

        def loss(params: list) -> Any:
            logits = network(params, a, jax.random.fold_in(key, number))
            return optax.softmax_cross_entropy_with_integer_labels(logits, b).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    def unknown(key: Any, count: Any, carry: Any) -> Any:
        return jax.lax.fori_loop(0, count, partial(step, key), carry)

    def blocks(key: Any, count: Any, carry: Any) -> Any:
        def inner(first: Any, number: Any, carry: Any) -> Any:
            new = step(key, jnp.minimum(first + number, count - 1), carry)
            return jax.tree.map(partial(jnp.where, first + number < count), new, carry)

        def block(number: Any, carry: Any) -> Any:
            return jax.lax.fori_loop(0, BLOCK, partial(inner, number * BLOCK), carry)

        return jax.lax.fori_loop(0, (count + BLOCK - 1) // BLOCK, block, carry)

    def known(key: Any, _: Any, carry: Any) -> Any:
        return jax.lax.fori_loop(0, steps, partial(step, key), carry)

    def start(key: Any) -> Any:
        pairs = itertools.pairwise(sizes)
        params = [(jax.random.normal(key, (m, n)) * np.sqrt(2 / m), jnp.zeros(n)) for m, n in pairs]
        return params, optimizer.init(params)

    keys = jax.random.split(jax.random.key(0), members)
    carry, count = jax.vmap(start)(keys), jnp.int32(steps)

    def compiled(epoch: Callable[..., Any]) -> Callable[[], Any]:
        def member(key: Any, count: Any, carry: Any) -> Any:
            return jax.lax.fori_loop(0, epochs, lambda n, c: epoch(jax.random.fold_in(key, n), count, c), carry)

        program = jax.jit(jax.vmap(member, in_axes=(0, None, 0)))
        return lambda: jax.block_until_ready(program(keys, count, carry))

    programs = {name: compiled(epoch) for name, epoch in (("unknown", unknown), ("blocks", blocks), ("known", known))}
    # They also compile here; the last layer's biases show that all do the same.
    ends = [np.asarray(program()[0][-1][-1]) for program in programs.values()]
    apart = max(float(abs(end - ends[0]).max()) for end in ends)
    found: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            began = time.perf_counter()
            program()
            found[name].append((time.perf_counter() - began) / epochs)
    return {"members": members, "seconds_per_epoch": found, "biases_apart": apart}
