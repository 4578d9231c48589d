"""What masks cost: dropout from packed random bits beside `jax.random.bernoulli`, as a share of a training step.

Five programs of one network that differ in the masks alone take turns, each round beginning with another: without
dropout, with masks from bernoulli, from bernoulli with threefry's rounds written out as in jreg's trainings, from 16
packed bits an element (jreg.stochastic.dropout), and from 8, whose keep probability is a multiple of 1/256. The last
three have the keys of jreg's trainings. A share is (with - without) / with, of the fastest runs, which other load
disturbs least, and as the median over rounds of a ratio within a round.

  digits  64-128-128-10, batches of 64
  mnist   784-256-256-10, batches of 128

Command:   python experiments/bench/masks.py        (--smoke runs in seconds)
Hardware:  two cores of an AMD EPYC with nothing else on them, no GPU; 50 s
Numbers:   masks as a share of a step, of the fastest runs:
           digits  bernoulli 53.5%, unrolled 28.1%, 16 bits 25.5%, 8 bits 22.2%
           mnist   bernoulli 17.1%, unrolled 13.5%, 16 bits 11.7%, 8 bits 10.4%
           8 bits save 3% and 1% of a step, for a keep probability 256 times as coarse, and don't pay.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import report

SIZES = {"digits": ((64, 128, 128, 10), 64), "mnist": ((784, 256, 256, 10), 128)}
RATE = 0.5


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a tiny version that runs in seconds")
    parser.add_argument("--steps", type=int, default=300, help="of a run, in one program")
    parser.add_argument("--rounds", type=int, default=30, help="runs of each kind of mask")
    parser.add_argument("--out", type=Path, default=report.RUNS / "masks.json")
    options = parser.parse_args()
    if options.smoke:
        options.steps, options.rounds = 5, 2
    return options


def droppers() -> dict[str, tuple[Callable[..., Any] | None, Callable[[Any], Any]]]:
    """The kinds of masks, functions (key, x, rate) -> x, with what makes their keys of a step's."""
    import jax
    import jax.numpy as jnp

    from jreg import stochastic
    from jreg._base.bits import uniform16
    from jreg._base.random import unrolled as jreg_key

    def bernoulli(key: Any, x: Any, rate: Any) -> Any:
        return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)

    def packed8(key: Any, x: Any, rate: Any) -> Any:
        # The bits of the 16-bit masks, shared out among twice as many elements.
        levels = jnp.clip(jnp.round((1 - rate) * 256), 1, 256)
        words = uniform16(key, (x.size // 2,))
        parts = jnp.concatenate([words & 0xFF, words >> 8]).reshape(x.shape)
        return jnp.where(parts < levels.astype(jnp.uint32), x * (256 / levels), 0)

    kinds = {"none": (None, jreg_key), "bernoulli": (bernoulli, lambda key: key), "unrolled": (bernoulli, jreg_key)}
    return kinds | {"packed16": (stochastic.dropout, jreg_key), "packed8": (packed8, jreg_key)}


def program(
    layers: tuple[int, ...],
    batch: int,
    steps: int,
    drop: Callable[..., Any] | None,
    key_of: Callable[[Any], Any],
) -> Callable[[float], Any]:
    """A compiled run of Adam's steps on random data, with dropout after each hidden layer at a traced rate."""
    import jax
    import jax.numpy as jnp
    import optax

    keys = iter(jax.random.split(jax.random.key(0), len(layers) + 2))
    params = [
        (jax.random.normal(next(keys), (a, b)) * (2 / a) ** 0.5, jnp.zeros(b)) for a, b in itertools.pairwise(layers)
    ]
    x = jax.random.normal(next(keys), (batch, layers[0]))
    y = jax.random.randint(next(keys), (batch,), 0, layers[-1])
    optimizer = optax.adam(1e-3)

    def loss(params: Any, key: Any, rate: Any) -> Any:
        h = x
        for number, (kernel, bias) in enumerate(params[:-1]):
            h = jax.nn.relu(h @ kernel + bias)
            h = h if drop is None else drop(jax.random.fold_in(key, number), h, rate)
        kernel, bias = params[-1]
        return optax.softmax_cross_entropy_with_integer_labels(h @ kernel + bias, y).mean()

    @jax.jit
    def run(rate: Any) -> Any:
        def step(carry: Any, key: Any) -> Any:
            params, state = carry
            value, gradient = jax.value_and_grad(loss)(params, key_of(key), rate)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(jax.random.key(1), steps))[1][-1]

    return lambda rate: jax.block_until_ready(run(jnp.float32(rate)))


def measure(layers: tuple[int, ...], batch: int, steps: int, rounds: int) -> dict[str, Any]:
    """Microseconds a step of each kind, and its share, by rounds in which all take turns."""
    runs = {name: program(layers, batch, steps, *kind) for name, kind in droppers().items()}
    for run in runs.values():
        run(RATE)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        order = [*runs][turn % len(runs) :] + [*runs][: turn % len(runs)]
        for name in order:
            start = time.perf_counter()
            runs[name](RATE)
            seconds[name].append(time.perf_counter() - start)
    found = {}
    for name, times in seconds.items():
        shares = [1 - none / one for one, none in zip(times, seconds["none"], strict=True)]
        found[name] = {
            "microseconds": 1e6 * min(times) / steps,
            "share": 1 - min(seconds["none"]) / min(times),
            "share_median": statistics.median(shares),
        }
    return found


def main() -> None:
    """Measures both sizes, prints them and writes JSON."""
    options = parse()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    results: dict[str, Any] = {**report.header(), "steps": options.steps, "rounds": options.rounds, "tasks": {}}
    for task, (layers, batch) in SIZES.items():
        results["tasks"][task] = found = measure(layers, batch, options.steps, options.rounds)
        for name, numbers in found.items():
            cost = numbers["microseconds"] - found["none"]["microseconds"]
            print(
                f"{task:7} {name:10} {numbers['microseconds']:8.1f} us a step, masks {cost:7.1f} us,"
                f" {100 * numbers['share']:5.1f}% of it (median {100 * numbers['share_median']:.1f}%)"
            )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1))
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
