"""What does a second layer bring, and what does it bring without an activation function?

Command:  JREG_DATA_DIR=... python experiments/depth/run.py           (--smoke takes seconds and uses digits)
Data:     MNIST, all 60,000 training images, scored on the 10,000 test images; nothing is chosen by these scores
Network:  784-10, 784-256-10 and 784-256-256-10, with ReLU and without, Adam 1e-3, batches of 100, 8 epochs, 3 seeds;
          784-10 with the squared error of one-hot targets, and by plain gradient descent with a rate of 0.01
Hardware: two cores of an AMD EPYC (AVX-512), no GPU, busy with other work: 88 s, 128 s of processor time
Result:   test accuracies, beside what lectures say: one layer with the squared error 0.851 (0.85), softmax regression
          by gradient descent 0.899 (0.90) and by Adam 0.926 (0.92), two layers 0.980 (0.98), three 0.979. Two and
          three linear layers: 0.923 and 0.915; the product of their matrices has the same outputs to 2.5e-5 of up to
          40, which is float32's rounding, and the same prediction for each of the 10,000 test images
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import jreg
from jreg import losses, nn, statistics

HERE = Path(__file__).parent
# A hidden unit is max(x, slope x): with a slope of 1 it is linear, so that both kinds train in one program.
RELU, LINEAR = {"slope": 0.0, "squared": 0.0, "optimizer": "adam"}, {"slope": 1.0, "squared": 0.0, "optimizer": "adam"}
SETTINGS: dict[str, dict[str, Any]] = {
    "1 layer, squared error": {**LINEAR, "layers": 1, "squared": 1.0},
    "1 layer, softmax, gradient descent": {**LINEAR, "layers": 1, "optimizer": "sgd"},
    "1 layer, softmax": {**LINEAR, "layers": 1},
    "2 linear layers": {**LINEAR, "layers": 2},
    "3 linear layers": {**LINEAR, "layers": 3},
    "2 layers, ReLU": {**RELU, "layers": 2},
    "3 layers, ReLU": {**RELU, "layers": 3},
}
# What lectures say.
CLAIMED = {"1 layer, squared error": 0.85, "1 layer, softmax, gradient descent": 0.90, "1 layer, softmax": 0.92}
CLAIMED |= {"2 layers, ReLU": 0.98}
COLOURS = ("#b3372e", "#e0a458", "#5b8fb0", "#7f7f7f", "black", "#1f4e79", "#8064a2")


def recipe(hp: Any) -> jreg.Recipe:
    """A network of some layers, trained on a share of the squared error and for the rest on the cross-entropy."""
    slope, squared, adam = hp["slope"], hp["squared"], hp["optimizer"] == "adam"

    def loss(outputs: jax.Array, labels: jax.Array) -> jax.Array:
        errors = jnp.sum(jnp.square(outputs - jax.nn.one_hot(labels, 10)), axis=-1)
        return squared * errors + (1 - squared) * losses.softmax_cross_entropy(outputs, labels)

    return jreg.Recipe(
        nn.MLP((256,) * (hp["layers"] - 1) + (10,), activation=lambda x: jnp.maximum(x, slope * x)),
        loss,
        optax.adam(1e-3) if adam else optax.sgd(1e-2),
        preprocess=jreg.data.scale(255),
    )


def collapsed(network: jreg.Network, x: np.ndarray) -> dict[str, float]:
    """How far a stack of linear layers is from the one layer that its matrices multiply to."""
    layers = [network.params[f"Dense_{number}"] for number in range(len(network.params))]
    found = {}
    for kind in (np.float64, np.float32):
        weights, bias = np.eye(np.prod(x.shape[1:]), dtype=kind), kind(0)
        for layer in layers:
            kernel = np.asarray(layer["kernel"], kind)
            weights, bias = weights @ kernel, bias @ kernel if np.ndim(bias) else bias
            bias = bias + np.asarray(layer["bias"], kind)
        one = (x.reshape(len(x), -1) / 255).astype(kind) @ weights + bias
        outputs = network.outputs(x)
        found[f"difference from the product in {kind.__name__}"] = float(np.abs(outputs - one).max())
    found["largest output"] = float(np.abs(outputs).max())
    found["predictions that differ"] = int((outputs.argmax(-1) != one.argmax(-1)).sum())
    return found


def interval(values: np.ndarray) -> tuple[float, float]:
    """The mean over seeds and half the width of its 95% interval."""
    column = np.asarray(values, np.float64).reshape(-1, 1)
    found = statistics.paired_difference(column, np.zeros_like(column), test_share=0.0)
    return float(found.difference), float(found.high - found.difference)


def measured(name: str, smoke: bool) -> dict[str, Any]:
    """The test accuracy of each seed after each epoch, and of a linear stack what it collapses to."""
    data = jreg.load_dataset("digits" if smoke else "mnist")
    x_test, y_test = np.asarray(data.x_test), np.asarray(data.y_test)
    both = jreg.Dataset(np.concatenate([data.x, x_test]), np.concatenate([data.y, y_test]), name=data.name)
    rows = np.arange(len(both))
    setting = {**SETTINGS[name], "layers": 2, "optimizer": "adam"} if smoke else SETTINGS[name]  # one program
    linear = setting["slope"] == 1 and setting["layers"] > 1
    study = jreg.cross_validate(
        recipe,
        both,
        [setting],
        cv=[(rows[: len(data)], rows[len(data) :])],
        seeds=2 if smoke else 3,
        epochs=2 if smoke else 8,
        batch_size=100,
        keep=[jreg.keep.network],
        progress=False,
    )
    curves = study.curve("val_accuracy")[0, 0]
    found: dict[str, Any] = {"accuracy": [[round(float(value), 4) for value in seed] for seed in curves]}
    if linear:
        stacks = [collapsed(network, x_test) for network in study.networks(study.settings[0])]
        found["collapse"] = {key: float(f"{max(stack[key] for stack in stacks):.3g}") for key in stacks[0]}
    return found


def drawn(found: dict[str, dict[str, Any]]) -> Figure:
    """Final accuracies beside what lectures say, and accuracies by epoch."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, ((name, one), colour) in enumerate(zip(found.items(), COLOURS, strict=True)):
        curves = np.array(one["accuracy"])
        mean, half = interval(curves[:, -1])
        left.errorbar(mean, place, xerr=half, fmt="o", color=colour, capsize=3)
        left.annotate(f"{mean:.3f}", (mean + half, place), (6, -3), textcoords="offset points", fontsize=8)
        if name in CLAIMED:
            left.plot(
                CLAIMED[name],
                place,
                "|",
                color="black",
                markersize=18,
                label="what lectures say" if not place else None,
            )
        right.plot(np.arange(1, curves.shape[1] + 1), curves.mean(axis=0), color=colour, label=name)
    for place, line in enumerate(right.lines):
        line.set_linestyle(("-", "--", ":")[place % 3])
    left.set_yticks(range(len(found)), list(found))
    left.set_ylim(len(found) - 0.5, -0.7)
    left.set_xlabel("test accuracy after the last epoch")
    left.set_title("Layers help with an activation function between them", fontsize=10)
    left.margins(x=0.12)
    left.legend(fontsize=8, frameon=False, loc="upper right")
    right.set_xlabel("epoch")
    right.set_ylabel("test accuracy")
    right.set_title("Stacked linear layers do no better than one", fontsize=10)
    right.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes results.json and depth.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="where the figure and its numbers go")
    parser.add_argument("--again", action="store_true", help="measure what results.json there has already, too")
    parser.add_argument("--smoke", action="store_true", help="digits, 2 seeds and epochs, to see that it runs")
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    before = json.loads(path.read_text()) if path.exists() and not options.again else {}
    found: dict[str, Any] = before.get("found", {}) if before.get("smoke") == options.smoke else {}
    for name in SETTINGS:
        if name not in found:
            found[name] = measured(name, options.smoke)
            path.write_text(json.dumps({"smoke": options.smoke, "found": found}) + "\n")
        mean, half = interval(np.array(found[name]["accuracy"])[:, -1])
        print(f"{name}: {mean:.4f} ± {half:.4f} {found[name].get('collapse', '')}", flush=True)
    drawn(found).savefig(options.out / "depth.png", dpi=120)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
