"""What does normalization allow: larger learning rates, less dropout, small batches?

Command:  JREG_DATA_DIR=... python experiments/normalization/run.py           (--smoke takes seconds and uses digits)
Data:     MNIST, 5,000 training images in 5 folds, so that 4,000 train and 1,000 score
Network:  MLP 784-128-128-128-10, ReLU, plain SGD, batches of 50 for 8 epochs, with dropout 16, batches of 4 and
          8 for 4; a training that diverges scores 0.1, as guessing does
Hardware: two cores of an AMD EPYC (AVX-512), no GPU; TIME
Result:   RESULT
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
LEARNING_RATES = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
DROPOUTS = [0.0, 0.1, 0.2, 0.4]
# What is asked of which normalizations.
PARTS = {
    "learning rates": list(LOOKS),
    "dropout": ["none", "batch"],
    "batches of 4": ["none", "batch", "batch_renorm"],
    "batches of 8": ["none", "batch", "batch_renorm"],
}


def recipe(hp: Any) -> jreg.Recipe:
    """A network whose learning rate and dropout are traced, so that each normalization is one program."""
    return jreg.Recipe(
        nn.MLP(
            (128, 128, 128, 10),
            dropout=hp["dropout"],
            normalization=None if hp["normalization"] == "none" else hp["normalization"],
        ),
        losses.softmax_cross_entropy,
        optax.sgd(hp["learning_rate"]),
        preprocess=jreg.data.scale(255),
        batch_size=hp["batch_size"],
    )


def asked(part: str, smoke: bool) -> tuple[list[float], list[float], int, int]:
    """The learning rates, rates of dropout, batch size and epochs of a part."""
    if smoke:
        return LEARNING_RATES[1:3], [0.0, 0.1], BATCH, 2
    if part == "learning rates":
        return LEARNING_RATES, [0.0], BATCH, 8
    if part == "dropout":
        return [0.1, 0.3], DROPOUTS, BATCH, 16
    return [0.01, 0.03, 0.1], [0.0], int(part.split()[-1]), 4


def measured(part: str, normalization: str, smoke: bool) -> list[dict[str, Any]]:
    """Validation accuracies of each fold, by learning rate and dropout."""
    rates, dropouts, batch_size, epochs = asked(part, smoke)
    data = jreg.data.subset(jreg.load_dataset("digits" if smoke else "mnist"), 20 if smoke else 500)
    study = jreg.cross_validate(
        recipe,
        data,
        jreg.grid(learning_rate=rates, dropout=dropouts, normalization=[normalization], batch_size=[batch_size]),
        cv=FOLDS,
        epochs=epochs,
        keep=[],
        error_score=0.1,
        progress=False,
    )
    return [
        {
            "learning_rate": setting.hyperparameters["learning_rate"],
            "dropout": setting.hyperparameters["dropout"],
            "scores": [round(float(score), 4) for score in setting.scores[:, 0]],
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
    """Prints what each normalization is best at, and how it stands to the first one."""
    for part, by_normalization in found.items():
        first, against = next(iter(by_normalization.items()))
        for normalization, rows in by_normalization.items():
            top = best(rows)
            wide = [row["learning_rate"] for row in rows if np.mean(row["scores"]) > np.mean(top["scores"]) - 0.02]
            print(
                f"{part}, {normalization}: {np.mean(top['scores']):.4f} with a rate of {top['learning_rate']:g} and "
                f"dropout of {top['dropout']:g}, within 0.02 from {min(wide):g} to {max(wide):g}; against {first} "
                f"{difference(top, best(against))}",
                flush=True,
            )


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
    middle.set_xlabel("rate of dropout (best learning rate of each)")
    middle.set_title("and gains less from dropout", fontsize=10)
    right.set_xscale("log")
    right.set_xticks([4, 8, BATCH], ["4", "8", str(BATCH)], minor=False)
    right.minorticks_off()
    right.set_xlabel("batch size (best learning rate of each)")
    right.set_title("Small batches need renormalization", fontsize=10)
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
    for part, normalizations in PARTS.items():
        known = found.setdefault(part, {})
        for normalization in ["batch"] if options.smoke else normalizations:
            if normalization not in known:
                known[normalization] = measured(part, normalization, options.smoke)
                path.write_text(json.dumps({"smoke": options.smoke, "found": found}) + "\n")
    summarized(found)
    drawn(found).savefig(options.out / "normalization.png", dpi=120)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
