"""How many units should dropout keep, and does a wide network change the answer?

Command:  python experiments/dropout_rate/run.py        (--smoke runs in seconds, without MNIST)
Data:     three disjoint sets of 5,000 of MNIST's training images; all 10,000 test images
Network:  784-256-256-256-10, ReLU, an eighth of the published width, without dropout of inputs; where p n is fixed,
          784-(64/p)-(64/p)-(128/p)-10, a quarter. Dropout as published, without scaling in training. SGD with momentum
          0.9 whose learning rate falls linearly from 0.2 to 0, or from 0.1 where p n is fixed, batches of 50, 30 epochs
          (3,000 updates; the authors made a million)
Hardware: two cores of an AMD EPYC (AVX-512), no GPU, busy with other work; the second part alone took 1 min 44 s, 157 s
          of processor time, for 18 trainings in 6 compiled programs; the first, 24 in one, no longer
Result:   test (training) errors in %
          n fixed, p = 0.1 to 1: 64.8 (64.2), 16.3 (14.7), 0.3: 7.07 (3.43), 0.4: 6.19 (1.78), 0.5: 5.62 (0.96),
          0.6: 5.43 (0.43), 0.8: 5.11 (0.07), 1: 5.77 (0.01). Published: small p underfits, flat for 0.4 <= p <= 0.8,
          rises at 1
          p n fixed: 0.1: 63.1 (62.8), 0.2: 9.70 (6.93), 0.4: 6.18 (1.53), 0.6: 5.99 (0.61), 0.8: 5.62 (0.19),
          1: 5.67 (0.01). Published: p = 0.1 falls from 2.7 to 1.7, best at about 0.6, 0.5 near it
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
KEPT = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0]
KEPT_FIXED = [0.1, 0.2, 0.4, 0.6, 0.8, 1.0]
# Units per hidden layer, and how many of them a training step sees where that number is fixed.
WIDE, SEEN = (256, 256, 256), (64, 64, 128)
TITLES = {"n fixed": f"n fixed at {WIDE[0]}", "pn fixed": f"p n fixed at {SEEN[0]}, {SEEN[1]} and {SEEN[2]}"}
COLOURS = {"test": "#1f4e79", "training": "#c0571a"}
TICKS = (0, 1, 2, 5, 10, 20, 50)
# What a 95% interval of Student's distribution takes with three draws.
T = 4.30


def settings(smoke: bool) -> dict[str, list[dict[str, Any]]]:
    """Keep probabilities are traced, so all of them share a program for each tuple of widths."""
    if smoke:
        small = [{"keep": p, "hidden": (32, 32, 32), "learning_rate": 0.1} for p in (0.2, 0.5, 1.0)]
        return {"n fixed": small, "pn fixed": small[1:2]}
    return {
        "n fixed": [{"keep": p, "hidden": WIDE, "learning_rate": 0.2} for p in KEPT],
        # The narrowest of these networks don't survive 0.2.
        "pn fixed": [
            {"keep": p, "hidden": tuple(round(units / p) for units in SEEN), "learning_rate": 0.1} for p in KEPT_FIXED
        ],
    }


def recipe(hp: Any, steps: jreg.Steps) -> jreg.Recipe:
    """A network that keeps each hidden unit with probability ``hp["keep"]``."""
    falling = optax.linear_schedule(hp["learning_rate"], 0.0, 1)
    return jreg.Recipe(
        # Scaling by 1 / p in training would make the noise of the first updates so large that small p never recover.
        nn.MLP((*hp["hidden"], 10), noise=lambda: nn.ClassicDropout(1 - hp["keep"])),
        losses.softmax_cross_entropy,
        optax.sgd(lambda count: falling(count / steps.total_steps), momentum=0.9),
        preprocess=jreg.data.scale(255),
    )


def measured(data: jreg.Dataset, space: Any, rows: int, epochs: int, store: str | None) -> list[dict[str, Any]]:
    """Test and training errors of each setting in %, one per draw of training rows."""
    order = np.random.default_rng(0).permutation(len(data))
    # Nothing is stopped or chosen, so validation rows are a formality; the test images score the finished networks.
    aside, pool = order[:100], order[100:]
    draws = [(pool[first : first + rows], aside) for first in range(0, 3 * rows, rows)]
    study = jreg.cross_validate(
        recipe,
        data,
        space,
        cv=draws,
        epochs=epochs,
        batch_size=50,
        keep=[jreg.keep.network, jreg.keep.train_scores],
        store=store,
        progress=store is not None,
    )
    found = []
    for setting in study.settings:
        test = [
            100 - 100 * network.evaluate(data.x_test, data.y_test)["accuracy"] for network in study.networks(setting)
        ]
        train = 100 - 100 * study.train_scores(setting)["accuracy"][:, 0]
        one = {"keep": round(setting.hyperparameters["keep"], 3), "hidden": setting.hyperparameters["hidden"]}
        for name, errors in (("test", np.array(test)), ("training", train)):
            mean, error = statistics.mean_and_standard_error(errors[:, None])
            one |= {name: round(float(mean), 3), f"{name} standard error": round(float(error), 3)}
        found.append(one)
    return found


def drawn(found: dict[str, list[dict[str, Any]]]) -> Figure:
    """Test and training errors over the keep probability, with 95% intervals of the three draws."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    both = figure.subplots(1, 2, sharey=True)
    for axes, (name, several) in zip(both, found.items(), strict=True):
        kept = [one["keep"] for one in several]
        for (split, colour), marker in zip(COLOURS.items(), "os", strict=True):
            bars = [T * one[f"{split} standard error"] for one in several]
            means = [one[split] for one in several]
            axes.errorbar(kept, means, bars, color=colour, marker=marker, capsize=3, label=f"{split} error")
        best = min(several, key=lambda one: one["test"])
        axes.set_title(f"{TITLES[name]}: best at p = {best['keep']:g}", fontsize=10)
        axes.set_xlabel("p, the probability of keeping a unit")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_yticks(TICKS, [f"{tick}" for tick in TICKS])
        axes.set_yticks([], minor=True)
        axes.spines[["top", "right"]].set_visible(False)
    both[0].set_ylabel("error (%)")
    both[0].set_ylim(bottom=0)
    both[0].legend(frameon=False, fontsize=8)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes dropout_rate.json and dropout_rate.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000, help="of each draw")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=HERE, help="where the figure and its numbers go")
    parser.add_argument("--again", action="store_true", help="measure what dropout_rate.json has already, too")
    parser.add_argument("--smoke", action="store_true", help="two epochs of small networks, to see that it runs")
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    smoke = options.smoke
    data = jreg.load_dataset("digits" if smoke else "mnist")
    rows, epochs = (200, 2) if smoke else (options.rows, options.epochs)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "dropout_rate.json"
    found = json.loads(path.read_text()) if path.exists() and not options.again else {}
    for name, space in settings(smoke).items():
        if name not in found:
            store = None if smoke else f"runs/dropout_rate/{name}"
            if options.again and store:
                shutil.rmtree(store, ignore_errors=True)
            found[name] = measured(data, space, rows, epochs, store)
            path.write_text(json.dumps(found, indent=1) + "\n")
        for one in found[name]:
            print(f"{name}, p = {one['keep']:g}: test {one['test']:.2f}%, training {one['training']:.2f}%", flush=True)
    drawn(found).savefig(options.out / "dropout_rate.png", dpi=120)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
