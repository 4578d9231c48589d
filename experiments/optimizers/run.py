"""Which optimizers, initial weights and skip connections let a network learn, each with its own best learning rate?

Command:  python experiments/optimizers/run.py        (--smoke runs in seconds)
Data:     1,000 of scikit-learn's digits, 100 of each class, in 5 folds
Network:  MLP 64-64-64-10, ReLU, He's weights, batches of 32, 15 epochs (375 steps); 11 learning rates, 1e-4 to 10, for
          each of 9 optimizers. SGD with momentum 0.9 and 6 rates, 3e-4 to 0.1, for 7 initializers of 10 hidden layers
          of tanh or ReLU, and with 8 rates, 3e-5 to 0.1, for 4, 12 and 36 hidden layers with and without layer
          normalization and skip connections
Hardware: two cores of an AMD EPYC (AVX-512), no GPU; 4 minutes, much of them for compiling 32 programs
Published: Glorot and Bengio (2010): the bound is sqrt(6 / (m + n)). He et al. (2015): 30 layers of ReLU stall with
          Glorot's weights and learn with He's. He et al. (2016): skip connections train a thousand layers. Martens
          (2010): 15 inputs of each unit. Wilson et al. (2017): SGD with its best rate is as good as Adam or better
Result:   accuracy, +- standard error. Optimizers with their own rates: 0.956 +- 0.007 for SGD and for momentum, 0.945
          (Lion) to 0.968 (AdamW), no sure difference to SGD; with the rate 1e-3: SGD 0.362, Adam 0.944
          10 layers of tanh, ReLU: He 0.939, 0.943; Glorot 0.933, 0.889; orthogonal 0.951, 0.882; sparse 0.652, 0.1;
          Glorot without its root, a standard deviation of 0.01 and zeros 0.1. In 20 layers of tanh Glorot's gradients
          are 0.3, and 1e-13 without the root
          4, 12 and 36 layers: plain 0.948, 0.920, 0.589 +- 0.028; layer normalization 0.958, 0.926, 0.470 +- 0.043;
          with skip connections, too, 0.960, 0.964, 0.951 +- 0.006
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen
from matplotlib.figure import Figure

import jreg
from jreg import initializers, losses, nn, statistics

HERE = Path(__file__).parent
FOLDS, UNITS = 5, 64
OPTIMIZERS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "SGD": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "Nesterov": lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True),
    "AdaGrad": optax.adagrad,
    "RMSProp": optax.rmsprop,
    "Adam": optax.adam,
    "AdamW": lambda rate: optax.adamw(rate, weight_decay=1e-2),
    "Nadam": optax.nadam,
    "Lion": optax.lion,
}


def without_the_root(key: Any, shape: Sequence[int], dtype: Any = jnp.float32) -> Any:
    """Uniform weights up to 6 / (m + n), as some print Glorot's bound, which is the root of that."""
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0) * (6 / (shape[0] + shape[1]))


INITIALIZERS: dict[str, Any] = {
    "He": initializers.he_normal(),
    "Glorot": initializers.glorot_uniform(),
    "orthogonal": initializers.orthogonal(),
    "sparse, 15 inputs": initializers.sparse(15),
    "Glorot without its root": without_the_root,
    "normal, 0.01": linen.initializers.normal(0.01),
    "zeros": linen.initializers.zeros,
}
NETWORKS = ("plain", "layer normalization", "skip connections")
MARKERS = "os^Dv<>Pp"
COLOURS = ("#000000", "#b3372e", "#e0a458", "#1f4e79", "#5b8fb0", "#7a5195", "#4d7c3a", "#999999", "#d45087")
# What the trainings have, where nothing else is compared.
USUAL = {"optimizer": "momentum", "initializer": "He", "activation": "relu", "network": "plain", "depth": 2}
# Learning rates in half decades: of all optimizers the same ones, and those of momentum's that are worth trying; deep
# networks take smaller ones.
RATES, FEWER, SMALLER = np.logspace(-4, 1, 11), np.logspace(-3.5, -1, 6), np.logspace(-4.5, -1, 8)
PARTS: dict[str, tuple[list[dict[str, Any]], np.ndarray]] = {
    "optimizers": ([{"optimizer": name} for name in OPTIMIZERS], RATES),
    "initializers": (
        [{"activation": act, "initializer": name, "depth": 10} for act in ("tanh", "relu") for name in INITIALIZERS],
        FEWER,
    ),
    "depth": ([{"network": name, "depth": depth} for name in NETWORKS for depth in (4, 12, 36)], SMALLER),
}


def network(hp: Any) -> linen.Module:
    """Hidden layers of 64 units, two of them in each block with a skip connection."""
    more = {"activation": hp["activation"], "kernel_init": INITIALIZERS[hp["initializer"]]}
    if hp["network"] == "skip connections":
        return nn.ResidualMLP(UNITS, blocks=hp["depth"] // 2, outputs=10, **more)
    normalization = "layer" if hp["network"] == "layer normalization" else None
    return nn.MLP((UNITS,) * hp["depth"] + (10,), normalization=normalization, **more)


def recipe(hp: Any) -> jreg.Recipe:
    """All names are static, and the learning rate is traced."""
    optimizer = OPTIMIZERS[hp["optimizer"]](hp["learning_rate"])
    return jreg.Recipe(
        network(hp), losses.softmax_cross_entropy, optimizer, preprocess=jreg.data.standardize(), batch_size=32
    )


def swept(part: str, smoke: bool) -> list[dict[str, Any]]:
    """How good each combination of names is with its best learning rate, and what each rate gives.

    A fold is scored with the rate that is best in the other folds, so that the choice among rates doesn't flatter.
    """
    names, rates = PARTS[part]
    # The smoke test's are all alike, so that it compiles one program.
    names, rates, images, epochs = ([{}] * 2, rates[4:6], 10, 1) if smoke else (names, rates, 100, 15)
    data = jreg.data.subset(jreg.load_dataset("digits", test_size=0), images)
    settings = [{**USUAL, **one, "learning_rate": float(rate)} for one in names for rate in rates]
    # Who diverges has learned nothing.
    asked = {"cv": FOLDS, "epochs": epochs, "keep": [], "error_score": 0.1, "progress": False}
    study = jreg.cross_validate(recipe, data, settings, **asked)
    scores = study.scores.reshape(len(names), len(rates), FOLDS)
    losses_ = study.curve("train_loss")[..., -1].reshape(scores.shape)
    others = [np.delete(scores, fold, axis=-1).mean(axis=-1).argmax(axis=-1) for fold in range(FOLDS)]
    best = np.array([scores[range(len(names)), chosen, fold] for fold, chosen in enumerate(others)]).T[..., None]
    means, errors = statistics.mean_and_standard_error(best)
    # The first of the list is what the others are compared with.
    gain, low, high, _ = statistics.paired_difference(best, best[:1], 1 / (FOLDS - 1))
    found = []
    for number, one in enumerate(names):
        curve, top = scores[number].mean(axis=-1), int(scores[number].mean(axis=-1).argmax())
        numbers = {
            "accuracy": means[number],
            "standard error": errors[number],
            "training loss": losses_[number, top].mean(),
        }
        numbers |= {"gain": gain[number], "low": low[number], "high": high[number]}
        numbers = {key: round(float(value), 4) if np.isfinite(value) else None for key, value in numbers.items()}
        near = int((curve > curve.max() - 0.02).sum())
        more = {"rate": float(f"{rates[top]:.1e}"), "rates within 2 points": near, "by rate": curve.round(3).tolist()}
        found.append({**one, **numbers, **more})
    return found


def at_the_start(smoke: bool) -> dict[str, dict[str, list[list[float]]]]:
    """Root mean squares of activations, and norms of the weights' gradients, of 20 hidden layers before any step.

    Geometric means over seeds, so that a layer has the typical size and not the largest one.
    """
    data = jreg.load_dataset("digits", test_size=0)
    x, y = jnp.asarray(data.x[:128]), jnp.asarray(data.y[:128])
    x = (x - x.mean(axis=0, keepdims=True)) / jnp.maximum(x.std(axis=0, keepdims=True), 1e-3)
    depth, seeds = (2, 1) if smoke else (20, 5)
    found: dict[str, dict[str, list[list[float]]]] = {}
    for activation in ("tanh",) if smoke else ("tanh", "relu"):
        for name in list(INITIALIZERS)[: 1 if smoke else None]:
            model = network({**USUAL, "activation": activation, "initializer": name, "depth": depth})

            def loss(params: Any, model: Any = model) -> Any:
                outputs, sown = model.apply({"params": params}, x, mutable="intermediates")
                hidden = [sown["intermediates"][f"hidden_{layer}"][0] for layer in range(depth)]
                return losses.softmax_cross_entropy(outputs, y).mean(), jnp.stack(
                    [jnp.sqrt(jnp.mean(one**2)) for one in hidden]
                )

            logs = []
            for seed in range(seeds):
                gradients, sizes = jax.grad(loss, has_aux=True)(model.init(jax.random.key(seed), x)["params"])
                norms = [jnp.linalg.norm(gradients[f"Dense_{layer}"]["kernel"]) for layer in range(depth)]
                logs.append(np.log(np.maximum([np.asarray(sizes), np.asarray(norms)], 1e-30)))
            activations, norms = np.exp(np.mean(logs, axis=0))
            rounded = [[float(f"{value:.2e}") for value in some] for some in (activations, norms)]
            found.setdefault(activation, {})[name] = rounded
    return found


def tidy(figure: Figure) -> Figure:
    """Without the upper and right spines."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def of_optimizers(found: list[dict[str, Any]], rates: np.ndarray) -> Figure:
    """Accuracy by learning rate, and the best of each optimizer."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for number, one in enumerate(found):
        style = {"color": COLOURS[number], "marker": MARKERS[number]}
        left.plot(rates[: len(one["by rate"])], one["by rate"], markersize=4, **style)
        bar = 100 * np.array([[one["gain"] - one["low"]], [one["high"] - one["gain"]]])
        right.errorbar(100 * one["gain"], number, xerr=bar, capsize=3, **style)
    left.set_xscale("log")
    left.set_xlabel("learning rate")
    left.set_ylabel("validation accuracy after 15 epochs")
    left.set_title("Each optimizer has its own learning rate", fontsize=10)
    names = [one.get("optimizer", "") for one in found]
    right.set_yticks(range(len(found)), names)
    right.invert_yaxis()
    right.axvline(0, color="grey", linewidth=0.8)
    right.set_xlabel("accuracy, difference to SGD (points)")
    right.set_title("With it, they hardly differ", fontsize=10)
    return tidy(figure)


def of_initializers(start: dict[str, Any], trained: list[dict[str, Any]]) -> Figure:
    """Activations and gradients by layer before the first step, and what is learned."""
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    panels = figure.subplots(2, 3, squeeze=False, width_ratios=(4, 4, 3))
    for line, (activation, by_name) in zip(panels, start.items(), strict=False):
        for number, sizes in enumerate(by_name.values()):
            for axes, values in zip(line, sizes, strict=False):
                shown = np.where(np.array(values) > 1e-20, values, np.nan)
                style = {"color": COLOURS[number], "marker": MARKERS[number], "markevery": 3}
                axes.plot(range(1, len(values) + 1), shown, markersize=4, linewidth=1, **style)
                axes.set_yscale("log")
                axes.set_xlabel("hidden layer of 20")
        line[0].set_ylabel(f"{activation}: activations,\nroot mean square")
        line[1].set_ylabel("gradients of the\nweights, norm")
        mine = [one for one in trained if one.get("activation", activation) == activation]
        for number, one in enumerate(mine):
            style = {"color": COLOURS[number], "marker": MARKERS[number], "capsize": 3}
            line[2].errorbar(one["accuracy"], number, xerr=2 * one["standard error"], **style)
        line[2].set_yticks(range(len(mine)), [one.get("initializer", "") for one in mine], fontsize=8)
        line[2].invert_yaxis()
        line[2].set_xlim(0, 1)
        line[2].set_xlabel("accuracy with 10 layers")
    figure.suptitle(
        "Without its root Glorot's bound is as bad as zeros: nothing arrives at the last layer", fontsize=11
    )
    return tidy(figure)


def of_depth(found: list[dict[str, Any]]) -> Figure:
    """Accuracy by depth, with the best learning rate of each network."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    labels = (*NETWORKS[:2], "layer normalization and skip connections")
    for number, (name, label) in enumerate(zip(NETWORKS, labels, strict=True)):
        mine = [one for one in found if one.get("network", "plain") == name]
        places = [one.get("depth", 2) * 1.04 ** (number - 1) for one in mine]
        means, errors = ([one[key] for one in mine] for key in ("accuracy", "standard error"))
        axes.errorbar(
            places, means, 2 * np.array(errors), color=COLOURS[number], marker=MARKERS[number], capsize=3, label=label
        )
    axes.set_xscale("log")
    axes.set_xticks([4, 12, 36], ["4", "12", "36"])
    axes.minorticks_off()
    axes.set_xlabel("hidden layers of 64 ReLU units")
    axes.set_ylabel("validation accuracy")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("With skip connections 36 layers train as well as 4", fontsize=10)
    return tidy(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, and writes optimizers.json and three pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="where the figures and their numbers go")
    parser.add_argument("--again", action="store_true", help="measure what optimizers.json has already, too")
    parser.add_argument(
        "--smoke", action="store_true", help="100 images, one epoch and one network, to see that it runs"
    )
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "optimizers.json"
    found = json.loads(path.read_text()) if path.exists() and not options.again else {}
    for part in ("at the start", *PARTS):
        if part not in found:
            found[part] = at_the_start(options.smoke) if part == "at the start" else swept(part, options.smoke)
            path.write_text(json.dumps(found) + "\n")
    for one in (one for part in PARTS for one in found[part]):
        print({key: value for key, value in one.items() if key != "by rate"})
    of_optimizers(found["optimizers"], RATES).savefig(options.out / "optimizers.png", dpi=120)
    of_initializers(found["at the start"], found["initializers"]).savefig(options.out / "initializers.png", dpi=100)
    of_depth(found["depth"]).savefig(options.out / "depth.png", dpi=120)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
