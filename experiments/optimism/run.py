"""How much too good is a cross-validated score, where there is nothing to learn?

Command:  python experiments/optimism/run.py        (--smoke runs in half a minute)
Data:     labels of pure noise: 200 rows of 10 normal features, 100 rows of each of 2 classes, so that any network is
          right on half of new rows, however it was chosen; 120 draws
Network:  MLP 10-16-2, ReLU, Adam 1e-2, batches of 32, at most 40 epochs, patience 10; 12 settings, L2 x dropout;
          5 folds, 1 seed
Hardware: two cores of an AMD EPYC, no GPU, busy with other work; some 5 minutes of processor time for 28,800 trainings
          in 4 compiled programs, and 1.5 for 30 nested studies by each rule
Result:   points of accuracy above the truth, +- standard error, where the epoch is chosen by
          validation accuracy: +6.96 +- 0.30 for a setting chosen before, +8.21 by one standard error, +9.26 best mean
          validation loss: +2.10 +- 0.34, +4.27, +5.40
          accuracy of a tenth of the training rows, set aside: -0.41 +- 0.31, +1.16, +2.46
          loss of a tenth of the training rows: -0.62 +- 0.35, +1.04, +2.27
          nested estimates, in the same order: -0.05 +- 0.55, +0.25 +- 0.62, -1.13 +- 0.63, -0.27 +- 0.56
"""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import optax
from matplotlib.figure import Figure

import jreg
from jreg import losses, nn, penalties, statistics
from jreg.splits import k_fold

HERE = Path(__file__).parent
ROWS, FEATURES, FOLDS = 200, 10, 5
# How many draws are one study.
TOGETHER = 40
SPACE = jreg.grid(l2=[0.0, 1e-3, 1e-2, 1e-1], dropout=[0.0, 0.3, 0.6]).along("l2", "dropout")
# What chooses the epoch: a column, of the rows that score or of a tenth of the training rows.
RULES: dict[str, tuple[str, float | None]] = {
    "validation accuracy": ("val_accuracy", None),
    "validation loss": ("val_loss", None),
    "accuracy of other rows": ("val_accuracy", 0.1),
    "loss of other rows": ("val_loss", 0.1),
}
COLOURS = ("#b3372e", "#e0a458", "#5b8fb0", "#1f4e79")


def recipe(hp: Any) -> jreg.Recipe:
    """A small network with room to learn noise by heart."""
    return jreg.Recipe(
        nn.MLP((16, 2), dropout=hp["dropout"]),
        losses.softmax_cross_entropy,
        optax.adam(1e-2),
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
    )


def noise(draw: int) -> jreg.Dataset:
    """Features and labels that have nothing to do with each other."""
    rng = np.random.default_rng(draw)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    return jreg.Dataset(x, rng.permutation(np.arange(ROWS) % 2), name="noise")


def options_of(rule: str, smoke: bool) -> dict[str, Any]:
    """What a study of one draw is asked with."""
    monitor, fraction = RULES[rule]
    stopping = jreg.EarlyStopping(patience=10, monitor=monitor)
    asked = {"epochs": 3 if smoke else 40, "batch_size": 32, "stopping": stopping, "validation_fraction": fraction}
    return {**asked, "progress": False}


def together(draws: range, rule: str, smoke: bool) -> np.ndarray:
    """``(settings, draws, folds, 1)``, the scores of several draws, from one study that has the folds of all."""
    data = [noise(draw) for draw in draws]
    whole = jreg.Dataset(np.concatenate([d.x for d in data]), np.concatenate([d.y for d in data]), name="noise")
    pairs = [
        (train + place * ROWS, validation + place * ROWS)
        for place, (draw, one) in enumerate(zip(draws, data, strict=True))
        for train, validation in k_fold(one, FOLDS, seed=draw)
    ]
    study = jreg.cross_validate(recipe, whole, SPACE, cv=pairs, keep=[], **options_of(rule, smoke))
    return study.scores.reshape(len(SPACE.settings), len(data), FOLDS, 1)


def flat(draws: range, rule: str, smoke: bool) -> dict[str, np.ndarray]:
    """The estimates of each draw."""
    blocks = [draws[first : first + TOGETHER] for first in range(0, len(draws), TOGETHER)]
    scores = np.concatenate([together(block, rule, smoke) for block in blocks], axis=1)
    found: dict[str, list[float]] = {"a setting chosen before": [], "one standard error": [], "best mean": []}
    for number in range(len(draws)):
        means, errors = statistics.mean_and_standard_error(scores[:, number])
        found["a setting chosen before"].append(float(means.mean()))
        found["one standard error"].append(means[statistics.one_standard_error(means, errors, SPACE.strengths())])
        found["best mean"].append(means[statistics.best_of(means)])
    return {name: np.array(values) for name, values in found.items()}


def nested(draws: int, rule: str, smoke: bool) -> np.ndarray:
    """The nested estimate of each draw: rows that no choice has looked at."""
    asked = {"outer": FOLDS, "inner": 4, "keep": [], **options_of(rule, smoke)}
    studies = (jreg.nested_cross_validate(recipe, noise(draw), SPACE, **asked) for draw in range(draws))
    return np.array([study.estimate.mean for study in studies])


def summarized(values: np.ndarray) -> dict[str, float]:
    """How far the estimates are above the truth, 0.5, on average, in percentage points."""
    excess = 100 * (values - 0.5)
    error = excess.std(ddof=1) / np.sqrt(len(excess))
    return {"optimism": round(float(excess.mean()), 2), "standard_error": round(float(error), 2)}


def drawn(found: dict[str, dict[str, dict[str, float]]], draws: int) -> Figure:
    """The optimism of each estimate under each rule, with 95% intervals."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    estimates = list(dict.fromkeys(name for rule in found.values() for name in rule))
    for number, ((rule, by_estimate), colour) in enumerate(zip(found.items(), COLOURS, strict=True)):
        places = [estimates.index(name) + 0.14 * (number - 1.5) for name in by_estimate]
        values = [one["optimism"] for one in by_estimate.values()]
        bars = [1.96 * one["standard_error"] for one in by_estimate.values()]
        marker = "s" if RULES[rule][1] is None else "o"
        axes.errorbar(places, values, bars, fmt=marker, color=colour, capsize=3, label=rule)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(estimates)), [textwrap.fill(name, 15) for name in estimates])
    axes.set_xlabel("what is reported")
    axes.set_ylabel("accuracy above the truth\n(percentage points)")
    axes.set_title(
        f"Labels of pure noise: {ROWS} rows, {len(SPACE.settings)} settings, {draws} draws; nested estimates: fewer",
        fontsize=10,
    )
    figure.legend(
        title="the epoch is chosen by", fontsize=8, title_fontsize=8, frameon=False, loc="outside right upper"
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Measures, and writes optimism.json and optimism.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=120, help="how many data sets")
    parser.add_argument(
        "--nested", type=int, default=30, help="of how many there are nested estimates, which take long"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="where the figure and its numbers go")
    parser.add_argument("--again", action="store_true", help="measure what optimism.json there has already, too")
    parser.add_argument("--smoke", action="store_true", help="3 draws and epochs, to see that it runs")
    options = parser.parse_args()
    draws, inside = (3, 2) if options.smoke else (options.draws, options.nested)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "optimism.json"
    before = json.loads(path.read_text()) if path.exists() and not options.again else {}
    found: dict[str, Any] = before.get("optimism", {}) if before.get("draws") == draws else {}
    for rule in RULES:
        known = found.setdefault(rule, {})
        if not known:
            known |= {name: summarized(values) for name, values in flat(range(draws), rule, options.smoke).items()}
        if "nested" not in known:
            known["nested"] = summarized(nested(inside, rule, options.smoke))
        line = ", ".join(f"{name} {one['optimism']:+.2f} +- {one['standard_error']:.2f}" for name, one in known.items())
        print(f"{rule}: {line}", flush=True)
        text = {
            "draws": draws,
            "nested draws": inside,
            "unit": "percentage points of accuracy above 50%",
            "optimism": found,
        }
        path.write_text(json.dumps(text, indent=1) + "\n")
    drawn(found, draws).savefig(options.out / "optimism.png", dpi=150)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
