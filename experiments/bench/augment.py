"""Augmentation: an affine map and an elastic distortion of 28x28 images, in jreg, PyTorch and scipy, and beside a step.

Same work: 128 images, each with its own rotation up to 15 degrees, shift up to 2 pixels, zoom up to 15 percent and an
elastic field with alpha 34 and sigma 4, in one bilinear resampling with zeros outside. jreg does it in a compiled
function with a key an image; PyTorch with affine_grid, separable conv2d for the field, and grid_sample, on the whole
batch (once more with the products of matrices that jreg has in place of conv2d, the fastest that was found);
scipy with gaussian_filter and map_coordinates, one image after another, as a host's loader does. A step is forward,
backward and Adam of 784-256-256-10 on the same batch. Contestants take turns (A B C D, A B C D), and a ratio is the
median of the rounds' ratios.

Command:   python experiments/bench/augment.py [--smoke]
Hardware:  two cores of an AMD EPYC with nothing else on them, no GPU; --torch-threads 1
Time:      20 s
Numbers:   a batch takes 0.83 ms in jreg; PyTorch 17 (11 to 20) times as long with conv2d and 2.5 (2.2 to 2.7) times
           with products of matrices, scipy 17 (14 to 18) times. A step takes 0.85 ms without augmentation and 1.64 ms
           with it, of which it is 0.49 (0.39 to 0.59)
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import report

BATCH, SIDE = 128, 28
ALPHA, SIGMA, DEGREES, PIXELS, ZOOM = 34.0, 4.0, 15.0, 2.0, 0.15


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="turns of all contestants")
    parser.add_argument("--seconds", type=float, default=0.3, help="that each takes in a turn")
    parser.add_argument("--torch-threads", type=int, help="of PyTorch; 1 where others use the cores too")
    parser.add_argument("--smoke", action="store_true", help="one short round, to see that it runs")
    parser.add_argument("--out", type=Path, default=report.RUNS / "augment.json")
    return parser.parse_args()


def in_jax(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Augmentation alone, a training step alone, and the step on augmented images, compiled."""
    from functools import partial

    import jax
    import jax.numpy as jnp
    import optax

    import jreg
    from jreg import augment

    f = partial(
        augment.affine_elastic, alpha=ALPHA, sigma=SIGMA, rotation=DEGREES, shift=PIXELS, zoom=ZOOM, mode="constant"
    )
    network, optimizer = jreg.nn.MLP((256, 256, 10)), optax.adam(1e-3)
    images, labels, key = jnp.asarray(x), jnp.asarray(y), jax.random.key(0)
    params = network.init(key, images.reshape(BATCH, -1))

    def augmented(key: Any, images: Any) -> Any:
        return jax.vmap(f)(jax.random.split(key, BATCH), images)

    def step(params: Any, state: Any, images: Any) -> Any:
        def loss(params: Any) -> Any:
            logits = network.apply(params, images.reshape(BATCH, -1))
            return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    alone, plain = jax.jit(augmented), jax.jit(step)
    both = jax.jit(lambda params, state, key, images: step(params, state, augmented(key, images)))
    state = optimizer.init(params)
    return {
        "jreg": lambda: jax.block_until_ready(alone(key, images)),
        "step": lambda: jax.block_until_ready(plain(params, state, images)),
        "step and jreg": lambda: jax.block_until_ready(both(params, state, key, images)),
    }


def in_torch(x: np.ndarray, products: bool) -> Callable[[], Any] | None:
    """The same on the batch with PyTorch's own functions, the field by products or conv2d; None without PyTorch."""
    try:
        import torch
    except ModuleNotFoundError:
        return None
    from torch.nn import functional

    images, radius = torch.from_numpy(x)[:, None], int(4 * SIGMA)
    kernel = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * SIGMA**2))
    kernel = kernel / kernel.sum()
    blur = sum(
        torch.diag(kernel[radius + by].expand(SIDE - abs(by)), by) for by in range(1 - SIDE, SIDE) if abs(by) <= radius
    )
    down, across = kernel.reshape(1, 1, -1, 1), kernel.reshape(1, 1, 1, -1)

    @torch.inference_mode()
    def run() -> Any:
        angle, zoom, *shift = (2 * torch.rand(4, BATCH) - 1).unbind()
        angle, factor = angle * np.deg2rad(DEGREES), torch.exp(-zoom * np.log1p(ZOOM))
        cos, sin = torch.cos(angle) * factor, torch.sin(angle) * factor
        # affine_grid's places go from -1 to 1, so a pixel is 2 / 28.
        right, low = (by * PIXELS * 2 / SIDE for by in shift)
        matrix = torch.stack([torch.stack([cos, -sin, right], -1), torch.stack([sin, cos, low], -1)], 1)
        grid = functional.affine_grid(matrix, [BATCH, 1, SIDE, SIDE], align_corners=False)
        noise = 2 * torch.rand(2 * BATCH, 1, SIDE, SIDE) - 1
        if products:
            field = blur @ noise @ blur.T
        else:
            field = functional.conv2d(functional.conv2d(noise, down, padding=(radius, 0)), across, padding=(0, radius))
        grid = grid + (field * ALPHA * 2 / SIDE).reshape(BATCH, 2, SIDE, SIDE).permute(0, 2, 3, 1)
        return functional.grid_sample(images, grid, "bilinear", "zeros", align_corners=False)

    return run


def in_scipy(x: np.ndarray) -> Callable[[], Any]:
    """The same one image after another with scipy.ndimage."""
    from scipy import ndimage

    rng = np.random.default_rng(0)
    middle = (SIDE - 1) / 2
    around = np.indices((SIDE, SIDE), dtype=np.float32).reshape(2, -1) - middle

    def one(image: np.ndarray) -> np.ndarray:
        angle, zoom, *shift = rng.uniform(-1, 1, 4)
        angle, factor = angle * np.deg2rad(DEGREES), np.exp(-zoom * np.log1p(ZOOM))
        cos, sin = np.cos(angle) * factor, np.sin(angle) * factor
        places = np.array([[cos, sin], [-sin, cos]], np.float32) @ around + middle + PIXELS * np.array(shift)[:, None]
        noise = rng.random((2, SIDE, SIDE), np.float32) * 2 - 1
        field = [ALPHA * ndimage.gaussian_filter(part, SIGMA, mode="constant") for part in noise]
        return ndimage.map_coordinates(image, places.reshape(2, SIDE, SIDE) + field, order=1, mode="grid-constant")

    return lambda: np.stack([one(image) for image in x])


def timed(run: Callable[[], Any], seconds: float) -> float:
    """Milliseconds a call, over about so many seconds."""
    calls, began = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - began < seconds:
        run()
        calls += 1
    return 1e3 * (time.perf_counter() - began) / calls


def main() -> None:
    """Measures, prints and writes."""
    args = parse()
    rounds, seconds = (1, 0.05) if args.smoke else (args.rounds, args.seconds)
    top, rng = report.header(), np.random.default_rng(0)
    print(report.describe(top), "\n")
    x, y = rng.random((BATCH, SIDE, SIDE), np.float32), rng.integers(0, 10, BATCH)
    contestants = {**in_jax(x, y), "torch": in_torch(x, False), "torch products": in_torch(x, True)}
    contestants["scipy"] = in_scipy(x)
    running = {name: run for name, run in contestants.items() if run is not None}
    if args.torch_threads and "torch" in running:
        import torch

        torch.set_num_threads(args.torch_threads)
    for run in running.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, run in running.items():
            times[name].append(timed(run, seconds))
    for name, values in times.items():
        print(f"{name:15}{report.spread(values):>28} ms a batch of {BATCH}")
    peers = [name for name in ("torch", "torch products", "scipy") if name in times]
    against = {name: [t / o for t, o in zip(times[name], times["jreg"], strict=True)] for name in peers}
    share = [1 - alone / both for alone, both in zip(times["step"], times["step and jreg"], strict=True)]
    for name, values in against.items():
        print(f"{name} takes {report.spread(values)} times as long as jreg")
    print(f"augmentation is {report.spread(share)} of a step with it")
    ratios = {name: statistics.median(values) for name, values in against.items()}
    report.write(args.out, {**top, "milliseconds": times, "ratios": ratios, "share": statistics.median(share)})


if __name__ == "__main__":
    main()
