"""How much too good is a cross-validated score, by what has looked at the rows that score?

Command:  python experiments/optimism/run.py        (--smoke runs in seconds)
Data:     noise: 200 rows of 10 normal features, 100 rows of each of 2 classes, so that any network is right on half of
          new rows, however it was chosen; 120 draws, 30 of them nested. Digits: 300 of scikit-learn's 1,797 images, 40
          draws, 10 of them nested; the other 1,497 say how good the same networks are. Preprocessing: 10 features that
          differ most between the classes, of 500 of noise or of the digits' 64, and standardized
Network:  MLP 10-16-2 or 64-16-10, ReLU, Adam 1e-2, batches of 32, at most 40 epochs, patience 10; 12 settings, L2 x
          dropout; 5 folds, 1 seed. Preprocessing: one setting, 20 epochs, nothing stops
Hardware: two cores of an AMD EPYC (AVX-512), no GPU. Noise: 6.5 minutes of processor time for 28,800 trainings and 30
          nested studies by each rule; the rest: 3.2, or 2.6 by the clock
Published: Varma and Simon (2006): on labels without meaning the error of the best setting is below 30% in 18.5%
          (shrunken centroids) and 38% (SVM) of the data sets, and a nested estimate is close to the truth. Ambroise and
          McLachlan (2002): genes chosen before the folds make a rule look better than it is
Result:   points of accuracy above the truth, +- standard error, where the epoch is chosen by
          validation accuracy: noise +6.96 +- 0.30 for a setting chosen before, +8.21 by one standard error, +9.26 best
          mean; digits +3.49 +- 0.22, +3.22, +3.19
          validation loss: +2.10 +- 0.34, +4.27, +5.40; digits +0.28 +- 0.21, +0.90, +0.90
          accuracy of a tenth of the training rows, set aside: -0.41 +- 0.31, +1.16, +2.46; digits -0.00, +0.90, +0.96
          loss of a tenth of the training rows: -0.62 +- 0.35, +1.04, +2.27; digits -0.09, +0.36, +0.65
          nested estimates, in the same order: -0.05 +- 0.55, +0.25 +- 0.62, -1.13 +- 0.63, -0.27 +- 0.56; digits +0.01
          +- 0.49, +0.01 +- 0.51, +0.17 +- 0.45, +0.09 +- 0.63
          before the folds instead of inside them: features chosen +16.36 +- 0.33, digits +1.29 +- 0.31; standardized
          +0.12 +- 0.08, digits -0.12 +- 0.09
"""

from __future__ import annotations

import argparse
import functools
import json
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import jreg
from jreg import losses, nn, penalties, statistics
from jreg.data import Preprocessor, scale
from jreg.splits import hold_out, k_fold
from jreg.training import measure

HERE = Path(__file__).parent
# Rows of a study; of digits there are others, which say the truth.
ROWS = {"noise": 200, "digits": 300}
CLASSES = {"noise": 2, "digits": 10}
FEATURES, MANY, CHOSEN, FOLDS = 10, 500, 10, 5
# How many draws are one study, and how many where features are chosen from all of the study's rows.
TOGETHER, FEW = 40, 20
SPACE = jreg.grid(l2=[0.0, 1e-3, 1e-2, 1e-1], dropout=[0.0, 0.3, 0.6]).along("l2", "dropout")
# What chooses the epoch: a column, of the rows that score or of a tenth of the training rows.
RULES: dict[str, tuple[str, float | None]] = {
    "validation accuracy": ("val_accuracy", None),
    "validation loss": ("val_loss", None),
    "accuracy of other rows": ("val_accuracy", 0.1),
    "loss of other rows": ("val_loss", 0.1),
}
# What all rows have a part in: mean and standard deviation, and which features there are.
BEFORE: dict[str, tuple[bool, bool]] = {
    "nothing": (False, False),
    "standardizing": (True, False),
    "choosing features": (False, True),
    "both": (True, True),
}
# What their results are called in the file.
KEYS = {"noise": "optimism", "digits": "digits"}
COLOURS = ("#b3372e", "#e0a458", "#5b8fb0", "#1f4e79")


@functools.cache
def recipe_of(kind: str) -> Callable[[Any], jreg.Recipe]:
    """A small network with room to learn noise by heart; one function for each kind, so that one program serves."""

    def recipe(hp: Any) -> jreg.Recipe:
        return jreg.Recipe(
            nn.MLP((16, CLASSES[kind]), dropout=hp["dropout"]),
            losses.softmax_cross_entropy,
            optax.adam(1e-2),
            penalty=hp["l2"] * jreg.on_params(penalties.l2),
            preprocess=scale(16) if kind == "digits" else None,
        )

    return recipe


def noise(draw: int, features: int = FEATURES) -> jreg.Dataset:
    """Features and labels that have nothing to do with each other."""
    rng = np.random.default_rng(draw)
    rows = ROWS["noise"]
    x = rng.normal(size=(rows, features)).astype(np.float32)
    return jreg.Dataset(x, rng.permutation(np.arange(rows) % 2), name="noise")


def sampled(draw: int, data: jreg.Dataset) -> np.ndarray:
    """The rows of digits that a study may see."""
    return hold_out(data, ROWS["digits"] / len(data), seed=draw)[0][1]


def elsewhere(finished: Any) -> dict[str, Any]:
    """The accuracy on those of 1,797 digits that the training has neither learned nor stopped nor been scored on."""
    fold, block = finished.fold, 1797
    start = fold.validation[0] // block * block
    used = [rows for rows in (fold.train, fold.validation, fold.stopping) if rows is not None]
    apart = jnp.ones(block, bool).at[jnp.concatenate(used) - start].set(False, mode="drop")
    x, y = jax.tree.map(
        lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, block), (finished.rows.x, finished.rows.y)
    )
    outputs = measure.forward(finished.recipe, finished.params, finished.model_state, finished.statistics, x)
    return {"elsewhere": jnp.mean(outputs.argmax(axis=-1) == y, where=apart)}


def options_of(rule: str, kind: str, smoke: bool) -> dict[str, Any]:
    """What a study is asked with."""
    monitor, fraction = RULES[rule]
    stopping = jreg.EarlyStopping(patience=10, monitor=monitor)
    asked = {"epochs": 3 if smoke else 40, "batch_size": 32, "stopping": stopping, "validation_fraction": fraction}
    return {**asked, "keep": [elsewhere] if kind == "digits" else [], "progress": False}


def together(draws: range, rule: str, kind: str, smoke: bool) -> tuple[np.ndarray, Any]:
    """Scores ``(settings, draws, folds)`` of several draws and the truth, from one study that has the folds of all."""
    if kind == "noise":
        data = [noise(draw) for draw in draws]
        whole = jreg.Dataset(np.concatenate([d.x for d in data]), np.concatenate([d.y for d in data]), name="noise")
        rows = [np.arange(len(one)) + place * len(one) for place, one in enumerate(data)]
    else:
        whole = jreg.load_dataset("digits", test_size=0)
        rows = [sampled(draw, whole) for draw in draws]
    pairs = [
        (own[train], own[validation])
        for draw, own in zip(draws, rows, strict=True)
        for train, validation in k_fold(jreg.Dataset(whole.x[own], whole.y[own]), FOLDS, seed=draw)
    ]
    study = jreg.cross_validate(recipe_of(kind), whole, SPACE, cv=pairs, **options_of(rule, kind, smoke))
    shape = (len(SPACE.settings), len(draws), FOLDS)
    if kind == "noise":
        return study.scores.reshape(shape), np.full(shape, 0.5)
    kept = [[value for _, value in study.results.kept(number, "elsewhere")] for number in range(shape[0])]
    return study.scores.reshape(shape), np.array(kept, np.float64).reshape(shape)


def flat(draws: range, rule: str, kind: str, smoke: bool) -> dict[str, np.ndarray]:
    """How much too good the estimates of each draw are."""
    blocks = [draws[first : first + TOGETHER] for first in range(0, len(draws), TOGETHER)]
    parts = [together(block, rule, kind, smoke) for block in blocks]
    scores, truth = (np.concatenate(some, axis=1) for some in zip(*parts, strict=True))
    found: dict[str, list[float]] = {"a setting chosen before": [], "one standard error": [], "best mean": []}
    for number in range(len(draws)):
        means, errors = statistics.mean_and_standard_error(scores[:, number, :, None])
        excess = means - truth[:, number].mean(axis=-1)
        found["a setting chosen before"].append(float(excess.mean()))
        found["one standard error"].append(excess[statistics.one_standard_error(means, errors, SPACE.strengths())])
        found["best mean"].append(excess[statistics.best_of(means)])
    return {name: np.array(values) for name, values in found.items()}


def nested(draws: int, rule: str, kind: str, smoke: bool) -> np.ndarray:
    """How much too good the nested estimate of each draw is: of rows that no choice has looked at."""
    found = []
    for draw in range(draws):
        data, outer = noise(draw) if kind == "noise" else jreg.load_dataset("digits", test_size=0), FOLDS
        if kind == "digits":
            own = sampled(draw, data)
            folds = k_fold(jreg.Dataset(data.x[own], data.y[own]), FOLDS, seed=draw)
            outer = [(own[train], own[validation]) for train, validation in folds]
        asked = {"outer": outer, "inner": 4, **options_of(rule, kind, smoke)}
        study = jreg.nested_cross_validate(recipe_of(kind), data, SPACE, **asked)
        outside = {fold.number for fold in study.spec.numbered("outer")}
        kept = [float(row.kept["elsewhere"]) for row in study.results if kind == "digits" and row.fold in outside]
        found.append(study.estimate.mean - np.mean(kept or 0.5))
    return np.array(found)


def moments(values: Any, label: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Mean, standard deviation, and the share of the variance that lies between classes, of each feature."""
    of_class = jax.nn.one_hot(label, 10) * weights[:, None]
    total, counts = weights.sum(), of_class.sum(axis=0)
    mean = weights @ values / total
    variance = weights @ (values - mean[None, :]) ** 2 / total
    means = (of_class.T @ values) / jnp.maximum(counts, 1)[:, None]
    between = counts @ (means - mean[None, :]) ** 2 / total
    return mean, jnp.sqrt(variance), jnp.where(variance > 1e-6, between / jnp.maximum(variance, 1e-6), 0.0)


def choosing(inside: Any) -> Preprocessor:
    """Takes the features that differ most between the classes of the training rows, and standardizes them.

    A preprocessor is fitted on examples alone, so that the labels are among them: `apply` takes none of them along.
    """

    def fit(x: Any, weights: Any) -> Any:
        mean, deviation, differs = moments(x["values"], x["label"], weights)
        _, best = jax.lax.top_k(differs, CHOSEN)
        return best, mean[best] * inside, jnp.where((inside > 0) & (deviation[best] > 1e-3), deviation[best], 1.0)

    def apply(statistics: Any, x: Any) -> Any:
        best, mean, deviation = statistics
        return (x["values"][:, best] - mean[None, :]) / deviation[None, :]

    return Preprocessor(fit, apply)


@functools.cache
def prepared_of(kind: str) -> Callable[[Any], jreg.Recipe]:
    """The same network on chosen features."""

    def recipe(hp: Any) -> jreg.Recipe:
        model, loss = nn.MLP((16, CLASSES[kind])), losses.softmax_cross_entropy
        return jreg.Recipe(model, loss, optax.adam(1e-2), preprocess=choosing(hp["inside"]), batch_size=32)

    return recipe


def prepared(draws: range, name: str, kind: str, smoke: bool) -> np.ndarray:
    """How much too good the scores of some draws are, whose preprocessing was in part fitted before the folds."""
    (standardized, chosen), digits = BEFORE[name], jreg.load_dataset("digits", test_size=0)
    values, labels, pairs = [], [], []
    for place, draw in enumerate(draws):
        data = digits if kind == "digits" else noise(draw, MANY)
        own = sampled(draw, data) if kind == "digits" else np.arange(len(data))
        found = moments(data.x[own], data.y[own], np.ones(len(own), np.float32))
        mean, deviation, differs = (np.asarray(one) for one in found)
        x = (data.x - mean) / np.where(deviation > 1e-3, deviation, 1) if standardized else data.x
        # The others differ in nothing, so that no fold chooses them.
        values.append(x * (differs >= np.sort(differs)[-CHOSEN]) if chosen else x)
        labels.append(data.y)
        folds, start = k_fold(jreg.Dataset(data.x[own], data.y[own]), FOLDS, seed=draw), place * len(data)
        pairs += [(own[train] + start, own[left_out] + start) for train, left_out in folds]
    y = np.concatenate(labels)
    whole = jreg.Dataset({"values": np.concatenate(values), "label": y}, y, name=kind)
    keep = [elsewhere] if kind == "digits" else []
    asked = {"cv": pairs, "epochs": 2 if smoke else 20, "keep": keep, "progress": False}
    study = jreg.cross_validate(prepared_of(kind), whole, [{"inside": float(not standardized)}], **asked)
    truth = [float(value) for _, value in study.results.kept(0, "elsewhere")] if keep else 0.5
    return (study.scores.ravel() - np.array(truth)).reshape(len(draws), FOLDS).mean(axis=-1)


def summarized(excess: np.ndarray) -> dict[str, float]:
    """How far the estimates are above the truth on average, in percentage points."""
    error = 100 * excess.std(ddof=1) / np.sqrt(len(excess))
    return {"optimism": round(100 * float(excess.mean()), 2), "standard_error": round(float(error), 2)}


def drawn(found: dict[str, Any]) -> Figure:
    """The optimism of each estimate, by what chooses the epoch and by what was fitted before the folds."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(5, 5, 4))
    for axes, (kind, key) in zip(panels, KEYS.items(), strict=False):
        for number, (rule, by_estimate) in enumerate(found.get(key, {}).items()):
            marker, colour = "so"[RULES[rule][1] is not None], COLOURS[list(RULES).index(rule)]
            dots(axes, by_estimate, 0.14 * (number - 1.5), fmt=marker, color=colour, label=rule)
        axes.set_title(f"{kind}, {ROWS[kind]} rows", fontsize=10)
        axes.set_xlabel("what is reported")
    for number, (kind, by_step) in enumerate(found["before the folds"].items()):
        dots(panels[2], by_step, 0.2 * (number - 0.5), fmt="Dv"[number], color=COLOURS[3 * number], label=kind)
    panels[2].set_title("preprocessed before the folds", fontsize=10)
    panels[2].set_xlabel("what all rows were used for")
    panels[2].legend(fontsize=8, frameon=False)
    figure.suptitle("Rows that stop, choose or select make their own score too good", fontsize=11)
    panels[0].set_ylabel("accuracy above the truth\n(percentage points)")
    handles, labels = next(axes.get_legend_handles_labels() for axes in panels if axes.has_data())
    options: dict[str, Any] = {"title": "the epoch is chosen by", "fontsize": 8, "title_fontsize": 8, "frameon": False}
    figure.legend(handles, labels, ncols=4, loc="outside lower left", **options)
    return figure


def dots(axes: Any, found: dict[str, dict[str, float]], shift: float, **style: Any) -> None:
    """Optimism with 95% intervals, by name."""
    values, errors = ([one[key] for one in found.values()] for key in ("optimism", "standard_error"))
    axes.errorbar(np.arange(len(found)) + shift, values, 1.96 * np.array(errors), capsize=3, markersize=5, **style)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(found)), [textwrap.fill(name, 13) for name in found], fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes optimism.json and its pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--draws", type=int, default=120, help="how many data sets of noise, and three times as many as of digits"
    )
    parser.add_argument(
        "--nested", type=int, default=30, help="of how many there are nested estimates, which take long"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="where the figures and their numbers go")
    parser.add_argument("--again", action="store_true", help="measure what optimism.json has already, too")
    parser.add_argument("--smoke", action="store_true", help="2 draws and 3 epochs, to see that it runs")
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    smoke = options.smoke
    # Nested estimates would compile another program.
    draws, inside = (6, 0) if smoke else (options.draws, options.nested)
    options.out.mkdir(parents=True, exist_ok=True)
    path, asked = options.out / "optimism.json", {"draws": draws, "nested draws": inside}
    before = json.loads(path.read_text()) if path.exists() and not options.again else {}
    found = before if {key: before.get(key) for key in asked} == asked else dict(asked)
    found["unit"] = "percentage points of accuracy above the truth"

    # Of digits there are a third as many, and the smoke test has them alone.
    for kind, share in (("digits", 3),) if smoke else (("noise", 1), ("digits", 3)):
        for rule in ("validation loss",) if smoke else RULES:
            known = found.setdefault(KEYS[kind], {}).setdefault(rule, {})
            if not known:
                excess = flat(range(draws // share), rule, kind, smoke)
                known |= {name: summarized(values) for name, values in excess.items()}
            if "nested" not in known and inside:
                known["nested"] = summarized(nested(inside // share, rule, kind, smoke))
            print(kind, rule, known, flush=True)
            path.write_text(json.dumps(found, indent=1) + "\n")
    for kind, share in (("noise", 1),) if smoke else (("noise", 1), ("digits", 3)):
        if kind not in found.setdefault("before the folds", {}):
            blocks = [range(first, min(first + FEW, draws // share)) for first in range(0, draws // share, FEW)]
            excess = {name: np.concatenate([prepared(block, name, kind, smoke) for block in blocks]) for name in BEFORE}
            more = {name: summarized(values - excess["nothing"]) for name, values in excess.items()}
            found["before the folds"][kind] = {
                name: {
                    **summarized(values),
                    "more than inside": more[name]["optimism"],
                    "its standard error": more[name]["standard_error"],
                }
                for name, values in excess.items()
            }
            path.write_text(json.dumps(found, indent=1) + "\n")
        print(kind, found["before the folds"][kind], flush=True)
    drawn(found).savefig(options.out / "optimism.png", dpi=120)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
