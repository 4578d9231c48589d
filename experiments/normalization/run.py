"""What does normalization allow: larger learning rates, less dropout, small batches?

Command:  JREG_DATA_DIR=... python experiments/normalization/run.py           (--smoke takes seconds and uses digits)
Data:     MNIST, 5,000 training images in 5 folds, so that 4,000 train and 1,000 score; half of them with dropout
Network:  MLP 784-128-128-128-10, ReLU, plain SGD, batches of 50 for 8 epochs, batches of 4 and 8 for 4 epochs; with
          dropout 784-400-400-10 for 20 epochs and 3 seeds; a training that diverges scores 0.1, as guessing does
Hardware: two cores of an AMD EPYC (AVX-512), no GPU, busy with other work: some 4 minutes, 5 of processor time
Result:   the largest rate that trains is 3 with batch normalization (accuracy 0.911) and 0.3 without (0.932, as good as
          any at its best). Dropout of 0.5 gains +0.007 (-0.007 to +0.021) without and -0.004 (-0.011 to +0.004) with
          batch normalization. Batches of 4 cost it 0.032 (0.020 to 0.044), and renormalization brings 0.027 (0.018 to
          0.036) back. Ioffe and Szegedy (2015) and Ioffe (2017) claim all three, for deep networks on ImageNet
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optax
from matplotlib.figure import Figure

import jreg
from jreg import losses, nn, statistics

HERE = Path(__file__).parent
FOLDS, BATCH = 5, 50
LOOKS = {  # of each normalization: colour and marker
    "none": ("black", "o"),
    "batch": ("#b3372e", "s"),
    "batch_renorm": ("#e0a458", "D"),
    "layer": ("#5b8fb0", "^"),
    "weight": ("#1f4e79", "v"),
    "cosine": ("#7f7f7f", "P"),
}


class Part(NamedTuple):
    """What is asked: of which normalizations, with which numbers, and of which network."""

    normalizations: Sequence[str] = ("none", "batch", "batch_renorm")
    learning_rate: Sequence[float] = (0.01, 0.03, 0.1)
    dropout: Sequence[float] = (0.0,)
    batch_size: int = BATCH
    hidden: tuple[int, ...] = (128, 128, 128)
    per_class: int = 500
    epochs: int = 4
    seeds: int = 1


PARTS = {
    "learning rates": Part(tuple(LOOKS), (0.03, 0.1, 0.3, 1.0, 3.0, 10.0), epochs=8),
    # Wider, with fewer images and for longer, so that there is something for dropout to do.
    "dropout": Part(
        ("none", "batch"), (0.1,), (0.0, 0.1, 0.25, 0.5), hidden=(400, 400), per_class=250, epochs=20, seeds=3
    ),
    "batches of 4": Part(batch_size=4),
    "batches of 8": Part(batch_size=8),
}
SMOKE = Part(("batch",), (0.1, 0.3), (0.0, 0.1), per_class=20, epochs=2)


def recipe(hp: Any) -> jreg.Recipe:
    """A network whose learning rate and dropout are traced, so that each normalization is one program."""
    normalization = None if hp["normalization"] == "none" else hp["normalization"]
    return jreg.Recipe(
        nn.MLP((*hp["hidden"], 10), dropout=hp["dropout"], normalization=normalization),
        losses.softmax_cross_entropy,
        optax.sgd(hp["learning_rate"]),
        preprocess=jreg.data.scale(255),
        batch_size=hp["batch_size"],
    )


def measured(part: Part, normalization: str, data: jreg.Dataset) -> list[dict[str, Any]]:
    """Validation accuracies of each fold, by learning rate and dropout."""
    space = jreg.grid(
        learning_rate=part.learning_rate,
        dropout=part.dropout,
        normalization=[normalization],
        batch_size=[part.batch_size],
        hidden=[part.hidden],
    )
    study = jreg.cross_validate(
        recipe,
        jreg.data.subset(data, part.per_class),
        space,
        cv=FOLDS,
        seeds=part.seeds,
        epochs=part.epochs,
        keep=[],
        error_score=0.1,
        progress=False,
    )
    return [
        {
            "learning_rate": setting.hyperparameters["learning_rate"],
            "dropout": setting.hyperparameters["dropout"],
            "scores": [round(float(score), 4) for score in setting.scores.mean(axis=1)],
            "diverged": int((study.status[setting.number] == jreg.training.Status.DIVERGED).sum()),
        }
        for setting in study.settings
    ]


def best(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """That with the best mean, which flatters all normalizations alike."""
    return max(rows, key=lambda row: np.mean(row["scores"]))


def difference(a: dict[str, Any], b: dict[str, Any]) -> str:
    """The mean difference over folds in words, with its 95% interval."""
    columns = (np.array(row["scores"])[:, None] for row in (a, b))
    found = statistics.paired_difference(*columns, test_share=1 / (FOLDS - 1))
    return f"{found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def summarized(found: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    """Prints what each normalization is best at, and how it stands to none and to batch normalization."""
    for part, by_normalization in found.items():
        for normalization, rows in by_normalization.items():
            top = best(rows)
            wide = [row["learning_rate"] for row in rows if np.mean(row["scores"]) > np.mean(top["scores"]) - 0.02]
            against = [
                f"against {other} {difference(top, best(by_normalization[other]))}"
                for other in ("none", "batch")
                if other in by_normalization and other != normalization
            ]
            print(
                f"{part}, {normalization}: {np.mean(top['scores']):.4f} with a rate of {top['learning_rate']:g} and "
                f"dropout of {top['dropout']:g}, within 0.02 from {min(wide):g} to {max(wide):g}",
                *against,
                sep="; ",
                flush=True,
            )
        for normalization, rows in by_normalization.items():
            for row in rows[1:] if part == "dropout" else []:
                print(f"dropout, {normalization}: {row['dropout']:g} less 0 {difference(row, rows[0])}")


def drawn(found: dict[str, dict[str, list[dict[str, Any]]]]) -> Figure:
    """Accuracy along the learning rate, dropout and the batch size."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[4, 3, 3])

    def line(axes: Any, normalization: str, points: dict[float, dict[str, Any]]) -> None:
        scores = np.array([row["scores"] for row in points.values()])[..., None]
        means, errors = statistics.mean_and_standard_error(scores)
        colour, marker = LOOKS[normalization]
        label = normalization.replace("_", " ") if axes is left else None
        axes.errorbar(list(points), means, errors, color=colour, marker=marker, markersize=5, label=label)

    for normalization, rows in found["learning rates"].items():
        line(left, normalization, {row["learning_rate"]: row for row in rows if row["dropout"] == 0})
    for normalization, rows in found["dropout"].items():
        rates = sorted({row["dropout"] for row in rows})
        line(middle, normalization, {rate: best([row for row in rows if row["dropout"] == rate]) for rate in rates})
    for normalization in found["batches of 4"]:
        parts = {4: "batches of 4", 8: "batches of 8", BATCH: "learning rates"}
        line(right, normalization, {size: best(found[part][normalization]) for size, part in parts.items()})
    left.set_xscale("log")
    left.set_xlabel("learning rate")
    left.set_title("Batch normalization allows larger rates", fontsize=10)
    middle.set_xlabel("rate of dropout")
    middle.set_title("and seems to need less dropout", fontsize=10)
    right.set_xscale("log")
    right.set_xticks([4, 8, BATCH], ["4", "8", str(BATCH)], minor=False)
    right.minorticks_off()
    right.set_xlabel("batch size (best learning rate of each)")
    right.set_title("Batches of 4 need renormalization", fontsize=10)
    for axes in (left, middle, right):
        axes.set_ylabel("validation accuracy")
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(title="normalization", fontsize=8, title_fontsize=8, frameon=False, loc="lower left")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes results.json and normalization.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="where the figure and its numbers go")
    parser.add_argument("--again", action="store_true", help="measure what results.json there has already, too")
    parser.add_argument("--smoke", action="store_true", help="digits and one normalization, to see that it runs")
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    before = json.loads(path.read_text()) if path.exists() and not options.again else {}
    found: dict[str, Any] = before.get("found", {}) if before.get("smoke") == options.smoke else {}
    data = jreg.load_dataset("digits" if options.smoke else "mnist")
    for name, part in PARTS.items():
        asked = SMOKE if options.smoke else part
        known = found.setdefault(name, {})
        for normalization in asked.normalizations:
            if normalization not in known:
                known[normalization] = measured(asked, normalization, data)
                path.write_text(json.dumps({"smoke": options.smoke, "found": found}) + "\n")
    summarized(found)
    drawn(found).savefig(options.out / "normalization.png", dpi=110)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
