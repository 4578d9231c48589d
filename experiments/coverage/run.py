"""How often do a study's intervals cover, and what does it cost that the scored rows chose something?

Command:  python experiments/coverage/run.py            (--smoke runs in seconds and writes nothing into this folder)
Data:     simulated: a new data set each time, 100 rows of 10 features and 20 new rows to cover; the target is a sine, a
          product and a line of four of them with noise of standard deviation 1
Network:  MLP 10-32-1, ReLU, Adam 1e-2, batches of 20, 60 epochs, 5 folds; 6 strengths of L2
Intervals: CV+ with alpha = 0.1, so that 0.9 is meant and 0.8 - 0.14 guaranteed
HARDWARE
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jreg
from jreg import losses, nn, penalties
from jreg.statistics import cv_plus
from jreg.training import measure

HERE = Path(__file__).parent
ROWS, NEW, FOLDS, ALPHA = 100, 20, 5, 0.1
EACH = ROWS + NEW
OWN = np.arange(ROWS) % FOLDS
VALIDATION = [np.arange(fold, ROWS, FOLDS) for fold in range(FOLDS)]
TRAIN = [np.setdiff1d(np.arange(ROWS), rows) for rows in VALIDATION]


def recipe(hp: Any) -> jreg.Recipe:
    """A small network that 80 rows don't determine."""
    return jreg.Recipe(
        nn.MLP((32, 1)),
        losses.squared_error,
        optax.adam(1e-2),
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
    )


def new_rows(finished: Any) -> dict[str, Any]:
    """What the network of a fold says of the new rows of its data set, which lie behind those that it knows."""
    first = finished.fold.validation[0] // EACH * EACH + ROWS
    x = jax.lax.dynamic_slice_in_dim(jnp.asarray(finished.rows.x), first, NEW)
    return {"new": measure.forward(finished.recipe, finished.params, finished.model_state, finished.statistics, x)}


def simulated(sets: int) -> jreg.Dataset:
    """All data sets below each other."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(sets * EACH, 10))
    signal = 2 * np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + x[:, 3]
    return jreg.Dataset(x, signal + rng.normal(size=len(x)), name="simulated")


def pairs(sets: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Five folds of each data set, so that all of them are one study in one program."""
    folds = list(zip(TRAIN, VALIDATION, strict=True))
    return [(n * EACH + train, n * EACH + validation) for n in range(sets) for train, validation in folds]


def predictions(study: jreg.Study, sets: int) -> tuple[np.ndarray, np.ndarray]:
    """``(settings, sets, rows)`` out of fold, and ``(settings, sets, folds, new rows)``."""
    settings = range(len(study.settings))
    kept = [
        [np.stack([tree for _, tree in study.results.kept(s, name)]) for s in settings] for name in ("outputs", "new")
    ]
    outside, new = (np.squeeze(np.stack(one), -1).reshape(len(settings), sets, FOLDS, -1) for one in kept)
    # Row i is in fold i % 5 at the place i // 5.
    return outside.transpose(0, 1, 3, 2).reshape(len(settings), sets, ROWS), new


def cover(y: np.ndarray, outside: np.ndarray, new: np.ndarray, minmax: bool = False) -> tuple[float, float]:
    """The share of a data set's new rows that are covered, and the mean width."""
    low, high = cv_plus(y[:ROWS] - outside, OWN, new, ALPHA, minmax)
    return float(((low <= y[ROWS:]) & (y[ROWS:] <= high)).mean()), float((high - low).mean())


def of_networks(sets: int, settings: int) -> dict[str, np.ndarray]:
    """Coverage and width by data set, with and without stopping and choosing on the rows that are scored."""
    data = simulated(sets)
    space = jreg.grid(l2=[0.0, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]).settings[:settings]
    y, found = np.asarray(data.y).reshape(sets, EACH), {}
    for stopping in (None, jreg.EarlyStopping(patience=10)):
        keep = [jreg.keep.outputs, new_rows]
        options = {"epochs": 60, "batch_size": 20, "keep": keep, "stopping": stopping, "score": "val_loss"}
        study = jreg.cross_validate(recipe, data, space, cv=pairs(sets), **options)
        outside, new = predictions(study, sets)
        errors = ((outside - y[:, :ROWS]) ** 2).mean(-1)
        chosen = errors.argmin(0)
        stops = "stopped by the fold" if stopping else "60 epochs"
        one, minmax = f"{stops}, one setting", f"{stops}, one setting, minmax"
        found[one] = np.array([cover(y[n], outside[0, n], new[0, n]) for n in range(sets)])
        best = np.array([cover(y[n], outside[s, n], new[s, n]) for n, s in enumerate(chosen)])
        found[f"{stops}, best of {len(study.settings)}"] = best
        found[minmax] = np.array([cover(y[n], outside[0, n], new[0, n], True) for n in range(sets)])
    return found


def of_selection(sets: int) -> dict[str, np.ndarray]:
    """Ridge regression on the 10 of 500 features that correlate most with a target that is pure noise."""
    rng, found = np.random.default_rng(1), {"features chosen in each fold": [], "features chosen before the folds": []}
    for _ in range(sets):
        x, y = rng.normal(size=(EACH, 500)), rng.normal(size=EACH)
        for name, inside in zip(found, (True, False), strict=True):
            told = []
            for train in TRAIN:
                rows = train if inside else np.arange(ROWS)
                best = np.argsort(-abs(x[rows].T @ (y[rows] - y[rows].mean())))[:10]
                part = x[:, best]
                w = np.linalg.solve(part[train].T @ part[train] + np.eye(10), part[train].T @ y[train])
                told.append(part @ w)
            told = np.array(told)
            found[name].append(cover(y, told[OWN, np.arange(ROWS)], told[:, ROWS:]))
    return {name: np.array(values) for name, values in found.items()}


def table(found: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Means over data sets and their standard errors."""
    return {
        name: {
            "coverage": round(float(values[:, 0].mean()), 4),
            "standard_error": round(float(values[:, 0].std(ddof=1) / np.sqrt(len(values))), 4),
            "width": round(float(values[:, 1].mean()), 3),
        }
        for name, values in found.items()
    }


def picture(rows: dict[str, dict[str, float]], path: Path) -> None:
    """Coverage with two standard errors, beside what was meant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))[::-1]
    means, errors = (np.array([row[name] for row in rows.values()]) for name in ("coverage", "standard_error"))
    axes.errorbar(means, places, xerr=2 * errors, fmt="o", color="black", capsize=3)
    axes.axvline(1 - ALPHA, color="tab:blue", label="1 - alpha")
    axes.axvline(1 - 2 * ALPHA, color="tab:orange", linestyle="--", label="1 - 2 alpha")
    axes.set_yticks(places, list(rows))
    axes.set_xlabel("share of new rows that are covered")
    axes.legend(loc="lower left")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Simulates, prints the table, and writes it and its picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a few data sets, in seconds")
    parser.add_argument(
        "--out", type=Path, default=None, help="where to write; default: this folder, nowhere for --smoke"
    )
    args = parser.parse_args()
    began = time.perf_counter()
    sets, settings = (6, 2) if args.smoke else (200, 6)
    found = table(of_networks(sets, settings) | of_selection(sets))
    seconds = round(time.perf_counter() - began)
    for name, row in found.items():
        print(f"{name:45} {row['coverage']:.3f} +- {row['standard_error']:.3f}  width {row['width']:.2f}")
    out = args.out or (None if args.smoke else HERE)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        whole = {"data_sets": sets, "seconds": seconds, "versions": {"jreg": jreg.__version__, "jax": jax.__version__}}
        (out / "coverage.json").write_text(json.dumps({**whole, "rows": found}, indent=1) + "\n")
        picture(found, out / "coverage.png")


if __name__ == "__main__":
    main()
