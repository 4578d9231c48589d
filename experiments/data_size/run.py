"""From how many training images on does dropout help?

Command:  python experiments/data_size/run.py        (--smoke runs in seconds, without MNIST)
Data:     100 to 50,000 of MNIST's training images, nested sets of four draws, three of large ones; all
          10,000 test images
Network:  784-512-512-10, ReLU, where the authors have 784-1024-1024-2048-10; without dropout, and with half of the
          hidden units and four fifths of the inputs kept, as published without scaling in training; SGD with momentum
          0.9 whose learning rate falls linearly from 0.1 to 0, batches of 50; 2,000 updates for up to 10,000 images and
          10,000 for 50,000 (the authors made a million)
Hardware: two cores of an AMD EPYC (AVX-512), no GPU, busy with other work; 3 min 39 s, 311 s of processor time, for 40
          trainings in one compiled program
Result:   errors in % without and with dropout, and the difference with its 95% interval over draws. Published (figure
          10, no table): no gain with 100 and 500 images, then a growing one, then a declining one
             100: 26.74  23.58  +3.16 (+0.61 to +5.71)
             500: 11.97  10.43  +1.55 (+1.27 to +1.83)
           1,000:  8.66   7.35  +1.31 (+0.84 to +1.77)
           5,000:  4.34   4.19  +0.15 (-0.67 to +0.97)
          10,000:  3.12   3.65  -0.53 (-0.89 to -0.18)
          50,000:  1.65   2.04  -0.40 (-0.52 to -0.27)
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optax
from matplotlib.figure import Figure

import jreg
from jreg import losses, nn, statistics

HERE = Path(__file__).parent
# How many sets of training images there are of each size.
DRAWS = {100: 4, 500: 4, 1000: 3, 5000: 3, 10_000: 3, 50_000: 3}
SETTINGS = {"no dropout": {"hidden": 0.0, "inputs": 0.0}, "dropout": {"hidden": 0.5, "inputs": 0.2}}
COLOURS = ("#c0571a", "#1f4e79")
MARKERS = ("s", "o")


def recipe_of(hidden: Sequence[int]) -> Any:
    """The recipe of both settings; rates are traced, so that they share a program."""

    def recipe(hp: Any, steps: jreg.Steps) -> jreg.Recipe:
        falling = optax.linear_schedule(0.1, 0.0, 1)
        return jreg.Recipe(
            nn.MLP((*hidden, 10), noise=lambda: nn.ClassicDropout(hp["hidden"]), input_dropout=hp["inputs"]),
            losses.softmax_cross_entropy,
            optax.sgd(lambda count: falling(count / steps.total_steps), momentum=0.9),
            preprocess=jreg.data.scale(255),
        )

    return recipe


def row_sets(total: int, draws: dict[int, int], least: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Nested sets of training rows with as many draws of each size as asked.

    All sets train for as many epochs, so a set of few rows has each of them several times: it makes as many updates
    per epoch as one of `least` rows.
    """
    orders = [np.random.default_rng(draw).permutation(total) for draw in range(max(draws.values()))]
    # Nothing is stopped or chosen, so validation rows are a formality; the test images score the finished networks.
    return [
        (np.resize(orders[draw][:size], max(size, least)), orders[draw][-100:])
        for size, count in draws.items()
        for draw in range(count)
    ]


def measured(
    recipe: Any, data: jreg.Dataset, draws: dict[int, int], least: int, epochs: int, store: str | None
) -> list[dict[str, Any]]:
    """The test errors of both settings for each size in %, and their difference."""
    study = jreg.cross_validate(
        recipe,
        data,
        list(SETTINGS.values()),
        cv=row_sets(len(data), draws, least),
        epochs=epochs,
        batch_size=50,
        keep=[jreg.keep.network],
        store=store,
        progress=store is not None,
    )
    errors = np.array(
        [
            [100 - 100 * network.evaluate(data.x_test, data.y_test)["accuracy"] for network in study.networks(setting)]
            for setting in study.settings
        ]
    )
    found, first = [], 0
    for size, count in draws.items():
        part = errors[:, first : first + count, None]
        first += count
        means, standard_errors = statistics.mean_and_standard_error(part)
        gain = statistics.paired_difference(part[0], part[1], 0.0)
        found.append(
            {
                "rows": size,
                "draws": count,
                "errors": dict(zip(SETTINGS, np.round(means, 3).tolist(), strict=True)),
                "standard_errors": dict(zip(SETTINGS, np.round(standard_errors, 3).tolist(), strict=True)),
                "gain": [round(float(value), 3) for value in gain[:3]],
            }
        )
    return found


def drawn(found: list[dict[str, Any]]) -> Figure:
    """Test errors over the number of training images, and what dropout gains with 95% intervals."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [one["rows"] for one in found]
    for name, colour, marker in zip(SETTINGS, COLOURS, MARKERS, strict=True):
        means = [one["errors"][name] for one in found]
        bars = [one["standard_errors"][name] for one in found]
        left.errorbar(sizes, means, bars, color=colour, marker=marker, capsize=3, label=f"{name}, ± standard error")
    left.set_yscale("log")
    low, high = left.get_ylim()
    ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 30, 50, 80) if low < tick < high]
    left.set_yticks(ticks, [f"{tick}" for tick in ticks])
    left.set_yticks([], minor=True)
    left.set_ylabel("test error (%)")
    left.legend(frameon=False, fontsize=8)
    share = np.array([one["gain"] for one in found]) / [[one["errors"]["no dropout"]] for one in found] * 100
    bars = np.abs(share[:, 1:] - share[:, :1]).T
    right.errorbar(sizes, share[:, 0], bars, color=COLOURS[1], marker=MARKERS[1], capsize=3)
    right.axhline(0, color="0.4", linewidth=0.8)
    right.set_ylabel("errors that dropout saves\n(% of those without it, 95% intervals)")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("training images")
        axes.spines[["top", "right"]].set_visible(False)
    helped = [one["rows"] for one in found if one["gain"][1] > 0]
    title = (
        f"Dropout surely helps with up to {max(helped):,} training images" if helped else "Dropout surely helps nowhere"
    )
    figure.suptitle(title, fontsize=11)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes data_size.json and data_size.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=HERE, help="where the figure and its numbers go")
    parser.add_argument("--again", action="store_true", help="measure what data_size.json has already, too")
    parser.add_argument("--smoke", action="store_true", help="two epochs of small networks, to see that it runs")
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    smoke = options.smoke
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "data_size.json"
    found = json.loads(path.read_text()) if path.exists() and not options.again else []
    if not found:
        data = jreg.load_dataset("digits" if smoke else "mnist")
        draws = {50: 3, 200: 2, 1000: 2} if smoke else DRAWS
        least, epochs = (200, 2) if smoke else (10_000, options.epochs)
        store = None if smoke else "runs/data_size"
        if options.again and store:
            shutil.rmtree(store, ignore_errors=True)
        found = measured(recipe_of((32, 32) if smoke else (512, 512)), data, draws, least, epochs, store)
        path.write_text(json.dumps(found, indent=1) + "\n")
    for one in found:
        errors = ", ".join(f"{name} {error:.2f}%" for name, error in one["errors"].items())
        gain, low, high = one["gain"]
        print(f"{one['rows']:6,} images: {errors}; gain {gain:+.2f} ({low:+.2f} to {high:+.2f})", flush=True)
    drawn(found).savefig(options.out / "data_size.png", dpi=120)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
