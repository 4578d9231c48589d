"""Does it help an autoencoder to decode with its encoder's weights?

Command:  python experiments/tying/run.py        (--smoke runs in seconds on digits)
Data:     MNIST: 200, 1,000 or 20,000 images to train on, three draws of each, and 500 others to measure on
Network:  autoencoders 784-64-784, ReLU and then sigmoid outputs, squared error: tied, with 51,024 parameters; untied,
          with 101,200; untied with 32 hidden units, 50,992. Adam 3e-3, batches of 50; 400, 120 and 8 epochs for 200,
          1,000 and 20,000 images; each without noise and with 30% of the pixels zeroed while it trains (a traced rate)
Hardware: two cores of an AMD EPYC (AVX-512), no GPU, busy with other work; 89 s, 139 s of processor time
Result:   squared error of a pixel of other images, with 200, 1,000 and 20,000 images: tied 0.0276, 0.0113, 0.0054;
          untied 0.0216, 0.0083, 0.0052; untied with as many parameters as the tied one 0.0279, 0.0146, 0.0113. So tying
          is no regularizer that helps where images are few; it costs little where they are many. There is no published
          table to compare with
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from matplotlib.figure import Figure
from PIL import Image

import jreg
from jreg import losses, nn, statistics

HERE = Path(__file__).parent
# Each kind's form and hidden units, and its colour.
KINDS = {
    "tied": ("tied", 64, "#b3372e"),
    "untied": ("untied", 64, "#1f4e79"),
    "untied, half": ("untied", 32, "#9aa5b1"),
}
# How many images train, and for how many epochs.
SIZES = {200: 400, 1000: 120, 20_000: 8}
NOISES = {"clean": 0.0, "denoising": 0.3}


def recipe(hp: Any) -> jreg.Recipe:
    """An autoencoder whose inputs lose pixels at a traced rate while it trains."""
    made = nn.TiedAutoencoder if hp["form"] == "tied" else nn.Autoencoder
    return jreg.Recipe(
        made((hp["units"],), activation="relu", output="sigmoid", input_dropout=hp["noise"]),
        losses.squared_error,
        optax.adam(3e-3),
        preprocess=jreg.data.min_max(per="data"),
        reconstruct=True,
        batch_size=50,
    )


def weights(params: Any) -> tuple[np.ndarray, np.ndarray]:
    """``(units, pixels)`` each: what a unit looks for, and what it paints."""
    if "kernel_0" in params:
        return np.asarray(params["kernel_0"]).T, np.asarray(params["kernel_0"]).T
    return np.asarray(params["Dense_0"]["kernel"]).T, np.asarray(params["Dense_1"]["kernel"])


def summarized(values: Any, others: Any = 0.0) -> list[float]:
    """The mean difference over draws, and its 95% interval."""
    values = np.asarray(values, np.float64).reshape(-1, 1)
    others = np.broadcast_to(np.reshape(others, (-1, 1)), values.shape)
    found = statistics.paired_difference(values, others, test_share=0.0)
    return [float(f"{value:.4g}") for value in (found.difference, found.low, found.high)]


def principal_components(train: np.ndarray, measured: np.ndarray, units: int) -> float:
    """The mean squared error of a pixel by the best linear code, fitted on the training images."""
    mean = train.mean(axis=0)
    directions = np.linalg.eigh(np.cov(train.T))[1][:, -units:]
    centred = measured - mean
    return float(np.square(centred - centred @ directions @ directions.T).mean())


def measure(size: int, smoke: bool, out: Path) -> dict[str, Any]:
    """The errors of all kinds with so many training images, and a picture of the first draw's networks."""
    data = jreg.load_dataset("digits" if smoke else "mnist")
    count, draws, epochs = (200, 2, 2) if smoke else (500, 3, SIZES[size])
    rows = [np.random.default_rng(draw).permutation(len(data) - count)[:size] for draw in range(draws)]
    # An epoch's time grows with the rows of the data set, so those that no draw has are left out.
    used = np.unique(np.concatenate([*rows, np.arange(len(data) - count, len(data))]))
    data, rows = jreg.Dataset(data.x[used], data.y[used], name=data.name), [np.searchsorted(used, r) for r in rows]
    measured = np.arange(len(data) - count, len(data))
    pixels = np.float64(data.x).reshape(len(data), -1) / float(data.x.max())
    clean, kept = pixels[measured], 1 - NOISES["denoising"]
    # What training sees: pixels that are kept are divided by the share of those.
    corrupted = clean * (np.random.default_rng(0).uniform(size=clean.shape) < kept) / kept
    inputs = (corrupted * float(data.x.max())).reshape(data.x[measured].shape).astype(np.float32)
    errors = {"principal components": np.array([principal_components(pixels[train], clean, 64) for train in rows])}
    found: dict[str, Any] = {"principal components": {"error": summarized(errors["principal components"])}}
    shown = {}
    for kind, (form, units, _) in list(KINDS.items())[: 1 if smoke else None]:
        study = jreg.cross_validate(
            recipe,
            data,
            jreg.grid(form=[form], units=[units], noise=list(NOISES.values())),
            cv=[(train, measured) for train in rows],
            epochs=epochs,
            score="val_loss",
            keep=[jreg.keep.network, jreg.keep.train_scores],
        )
        for noise, setting in zip(NOISES, study.settings, strict=True):
            name, networks = f"{kind}, {noise}", study.networks(setting)
            # The loss is half the squared error.
            errors[name] = 2 * np.array(setting.scores)[:, 0]
            encoder, decoder = weights(networks[0].params)
            cosines = (encoder * decoder).sum(1) / np.linalg.norm(encoder, axis=1) / np.linalg.norm(decoder, axis=1)
            found[name] = {
                "parameters": sum(leaf.size for leaf in jax.tree.leaves(networks[0].params)),
                "error": summarized(errors[name]),
                "training_error": summarized(2 * study.train_scores(setting)["loss"]),
                "error_from_corrupted": summarized([np.square(n.outputs(inputs) - clean).mean() for n in networks]),
                "cosine_of_encoder_and_decoder": round(float(cosines.mean()), 3),
            }
            shown[name] = networks[0]
        for name in shown:
            if name.startswith("tied") and (other := name.replace("tied", "untied", 1)) in errors:
                found[name]["less_untied"] = summarized(errors[name], errors[other])
    buffer = io.BytesIO()
    pictured(shown, data.x[measured], size).savefig(buffer, dpi=90)
    # Filters are noisy, and a third as large in 64 colours.
    few = Image.open(buffer).convert("RGB").quantize(64, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(out / f"networks_{size}.png", optimize=True)
    return found


def pictured(shown: dict[str, jreg.Network], images: np.ndarray, size: int) -> Figure:
    """Reconstructions of some images, and the largest filters of the networks with 64 units."""
    side = int(np.sqrt(images[0].size))
    columns = 7
    lines, filters = {"images": images[:columns]}, {}
    for kind in KINDS:
        if (network := shown.get(f"{kind}, clean")) is not None:
            lines[f"by {kind}"] = np.asarray(network.outputs(images[:columns]))
            encoder, decoder = weights(network.params)
            largest = np.argsort(-np.linalg.norm(decoder, axis=1))[:columns]
            if kind == "tied":
                filters["tied:\nboth"] = encoder[largest]
            elif kind == "untied":
                filters |= {"untied:\nencoder": encoder[largest], "untied:\ndecoder": decoder[largest]}
    lines |= filters
    figure = Figure(figsize=(6, 0.87 * len(lines) + 0.4), layout="constrained")
    for (name, values), line in zip(lines.items(), figure.subplots(len(lines), columns), strict=True):
        limit = np.abs(values).max() * (0.7 if name in filters else 1)
        look = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit} if name in filters else {"cmap": "gray"}
        for one, axes in zip(values, line, strict=True):
            axes.imshow(one.reshape(side, side), **look)
            axes.set_xticks([])
            axes.set_yticks([])
        line[0].set_ylabel(name.replace(", half", "\nhalf"), fontsize=7)
    figure.suptitle(f"Trained on {size:,} images: reconstructions of new ones, and filters", fontsize=10)
    return figure


def errors_drawn(found: dict[str, Any]) -> Figure:
    """The error on other images by the number of training images, without and with noise."""
    figure = Figure(figsize=(8.5, 3.8), layout="constrained")
    panels = figure.subplots(1, 2)
    sizes = [int(size) for size in found]
    linear = [found[str(size)]["principal components"]["error"][0] for size in sizes]
    for axes, (noise, column) in zip(panels, (("clean", "error"), ("denoising", "error_from_corrupted")), strict=True):
        for kind, (_, units, colour) in KINDS.items():
            if (name := f"{kind}, {noise}") in next(iter(found.values())):
                values, low, high = np.array([found[str(size)][name][column] for size in sizes]).T
                bars = np.stack([values - low, high - values])
                axes.errorbar(
                    sizes,
                    values,
                    bars,
                    color=colour,
                    marker="o",
                    markersize=4,
                    capsize=3,
                    label=f"{kind} ({units} units)",
                )
                if noise == "clean":
                    train = [found[str(size)][name]["training_error"][0] for size in sizes]
                    axes.plot(sizes, train, color=colour, linestyle=":", linewidth=1.2)
        if noise == "clean":
            axes.plot(sizes, linear, color="black", linestyle="--", linewidth=1, label="64 principal components")
        axes.set(xscale="log", xlabel="training images", ylabel="squared error per pixel", xticks=sizes)
        axes.set_xticklabels([f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
    figure.suptitle("With few images tying makes other images worse, with many it costs nothing", fontsize=11)
    panels[0].set_title("Other images (dotted: training images)", fontsize=10)
    panels[1].set_title("30% of the pixels zeroed, in training too", fontsize=10)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes tying.json and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="where the pictures and the numbers go")
    parser.add_argument("--again", action="store_true", help="measure what tying.json has already, too")
    parser.add_argument("--smoke", action="store_true", help="the tied one on few digits, to see that it runs")
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "tying.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() and not options.again else {}
    for size in (100,) if options.smoke else SIZES:
        if str(size) not in found:
            found[str(size)] = measure(size, options.smoke, options.out)
            path.write_text(json.dumps(found, indent=1) + "\n")
        for name, one in found[str(size)].items():
            print(f"{size} images, {name}: {one}")
    errors_drawn(found).savefig(options.out / "errors.png", dpi=120)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
