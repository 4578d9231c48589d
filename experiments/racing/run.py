"""What do races save, and what do they give up that they shouldn't?

Command:  python experiments/racing/run.py                (--smoke runs in seconds)
Data:     scikit-learn's digits and wine, the 80% of their rows that jreg trains on, and 12,000 training images of MNIST
          (left out where JREG_DATA_DIR doesn't have it)
Network:  MLPs with one hidden layer, ReLU, Adam; 24 settings (6 learning rates, 2 of dropout, 2 of L2); digits: 64
          units, 10 folds x 2 seeds, 20 epochs; wine: 16 units, the same; MNIST: 32 units, 5 folds, 1 seed, 5 epochs.
          All are trained once; then each race's rule is replayed on the scores, for 50 random orders of the folds
Null:     10,000 races of 6 settings x 6 folds of 60 rows, whose networks are equally good: how many give one up
Hardware: two cores of an Intel Xeon, busy with five times as much other work: trainings 2 min (digits), 80 s (wine)
          and 95 s (MNIST), replays 20 s of a processor, the null races 38 s
Result:   anytime elimination at 0.05 gave up none of the settings as good as the best, and saved 16% of the epochs of
          digits (144 validation rows per fold), none of wine (15) and 52% of MNIST (2,400). The paired t-test at 0.05
          saved 65%, 53% and 42% and lost the best setting of digits in 42% of the orders, the forgiving rule 70%, 61%
          and 55%, and lost the best of digits in 36% and of MNIST in 12%. Among equals 0.24% of the anytime races gave
          one up, 71% of the paired ones, 98% of the forgiving ones. The whole table is in README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optax
from scipy.stats import t

import jreg
from jreg import losses, nn, penalties
from jreg.data import standardize
from jreg.search import History, Race
from jreg.study import replay
from jreg.training import Column

# Widths, folds, seeds, epochs and rows; digits and wine with all that jreg trains on.
TASKS: dict[str, tuple[tuple[int, int], int, int, int, int]] = {
    "digits": ((64, 10), 10, 2, 20, 1437),
    "wine": ((16, 3), 10, 2, 20, 142),
    "mnist": ((32, 10), 5, 1, 5, 12_000),
}
RACES: dict[str, Race] = {
    "no race": Race.at([], lambda history: history.kept),
    "successive halving": jreg.successive_halving("exhaust"),
    "paired, alpha 0.05": jreg.paired_elimination(0.05),
    "paired, alpha 0.01": jreg.paired_elimination(0.01),
    "forgiving": jreg.forgiving_elimination(),
    "anytime, alpha 0.05": jreg.anytime_elimination(0.05),
    "anytime, alpha 0.2": jreg.anytime_elimination(0.2),
}


def trained(name: str, smoke: bool, store: Path) -> jreg.Study:
    """The study in which every setting is trained."""
    widths, folds, seeds, epochs, rows = TASKS[name]
    data = jreg.load_dataset(name)
    data = jreg.Dataset(np.asarray(data.x)[:rows].reshape(rows, -1), np.asarray(data.y)[:rows], name=name)

    def recipe(hp: Any) -> jreg.Recipe:
        return jreg.Recipe(
            nn.MLP(widths, dropout=hp["dropout"]),
            losses.softmax_cross_entropy,
            optax.adam(hp["learning_rate"]),
            penalty=hp["l2"] * jreg.on_params(penalties.l2),
            preprocess=standardize(),
        )

    rates = [1e-4, 3e-2] if smoke else [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
    space = jreg.grid(learning_rate=rates, dropout=[0.0, 0.4], l2=[1e-4, 1e-2])
    accuracy = Column("validation", "metric", "accuracy", maximize=True)
    return jreg.cross_validate(
        recipe,
        data,
        space,
        cv=4 if smoke else folds,
        seeds=1 if smoke else seeds,
        epochs=3 if smoke else epochs,
        batch_size=32,
        keep=[jreg.keep.RowScores(accuracy, "classification")],
        store=store / name,
        progress=False,
    )


def as_good(results: jreg.Results) -> np.ndarray:
    """The settings that the corrected t-test on all folds can't tell from the best at 5%, two-sided."""
    scores = results.scores.mean(axis=2)
    worse = scores[results.best.number] - scores
    folds = worse.shape[1]
    error = np.sqrt(worse.var(axis=1, ddof=1) * (1 / folds + 1 / (folds - 1)))
    return worse.mean(axis=1) <= t.isf(0.025, folds - 1) * error


def compared(results: jreg.Results, orders: int) -> dict[str, Any]:
    """What each rule saves and gives up, in the mean over random orders of the folds."""
    means, alike, best = results.scores.mean(axis=(1, 2)), as_good(results), results.best.number
    rng = np.random.default_rng(0)
    folds = [rng.permutation(results.shape[1]).tolist() for _ in range(orders)]
    found: dict[str, Any] = {
        "settings": len(means),
        "as good as the best": int(alike.sum()),
        "validation rows per fold": len(results.spec.numbered()[0].validation),
        "races": {},
    }
    for name, race in RACES.items():
        played = [replay(results, race, order) for order in folds]
        kept = np.array([one.kept for one in played])
        saved = np.array([1 - one.epochs / results.epochs.sum() for one in played])
        regret = means[best] - np.where(kept, means, -np.inf).max(axis=1)
        found["races"][name] = {
            "epochs saved": float(saved.mean()),
            "epochs saved, 5% and 95%": np.quantile(saved, [0.05, 0.95]).tolist(),
            "settings that end": float(kept.sum(axis=1).mean()),
            "mean regret": float(regret.mean()),
            "largest regret": float(regret.max()),
            # And every setting with the same mean.
            "best given up": float((regret > 0).mean()),
            "as good and given up": float((~kept[:, alike]).mean()),
        }
    return found


def among_equals(races: int, settings: int = 6, folds: int = 6, rows: int = 60) -> dict[str, float]:
    """The share of races among settings that are equally good in which one is given up."""
    rng = np.random.default_rng(1)
    rules = {name: RACES[name] for name in ("paired, alpha 0.05", "forgiving", "anytime, alpha 0.05")}
    found = dict.fromkeys(rules, 0)
    for _ in range(races):
        # The settings' networks get the same rows right more often than chance has it, as networks do.
        chance = rng.beta(4, 1, size=(folds, 1, rows))
        right = (rng.random((settings, folds, 1, rows)) < chance).astype(float)
        for name, race in rules.items():
            found[name] += any(not race.pruner(seen(right, number)).all() for number in range(1, folds))
    return {name: count / races for name, count in found.items()}


def seen(right: np.ndarray, trainings: int) -> History:
    """What a rule is shown after so many folds."""
    there = np.zeros(right.shape[:3], bool)
    there[:, :trainings] = True
    scores = np.where(there, right.mean(axis=-1), np.nan)
    everyone = np.ones(len(right), bool)
    share = 1 / (right.shape[1] - 1)
    rounds = trainings - 1, 1, True, share
    return History(scores, scores[..., None], there, everyone, *rounds, lambda fold, seed: right[:, fold, seed])


def table(found: dict[str, Any]) -> str:
    """Everything as Markdown."""
    lines = []
    for name, one in found["data"].items():
        lines += [
            f"{name}: {one['settings']} settings, {one['as good as the best']} of them as good as the best; "
            f"{one['validation rows per fold']} validation rows per fold\n",
            "| race | epochs saved | regret, mean and largest | best given up | as good and given up |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {race} | {r['epochs saved']:.1%} ({r['epochs saved, 5% and 95%'][0]:.0%} to "
            f"{r['epochs saved, 5% and 95%'][1]:.0%}) | {r['mean regret']:.4f}, {r['largest regret']:.4f} | "
            f"{r['best given up']:.1%} | {r['as good and given up']:.1%} |"
            for race, r in one["races"].items()
        ]
        lines.append("")
    lines += [f"{found['null races']:,} races among equals\n", "| race | one given up |", "| --- | --- |"]
    return "\n".join(lines + [f"| {race} | {share:.2%} |" for race, share in found["among equals"].items()])


def picture(found: dict[str, Any], path: Path) -> None:
    """What is saved against what is given up that is as good, one panel per data set."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(found["data"]), 4), layout="constrained")
    panels = figure.subplots(1, len(found["data"]), sharey=True, squeeze=False)[0]
    for axes, (name, one) in zip(panels, found["data"].items(), strict=True):
        for marker, (race, r) in zip("osDd^vP", one["races"].items(), strict=True):
            axes.plot(100 * r["epochs saved"], 100 * r["as good and given up"], marker, markersize=9, label=race)
        axes.set(title=name, xlabel="epochs saved, %", xlim=(-3, 100), ylim=(-3, 100))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("settings as good as the best that are given up, %")
    figure.axes[0].legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, replays, and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small studies and few replays")
    parser.add_argument("--store", type=Path, default=Path("runs/racing"), help="where the studies are kept")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the numbers and picture go")
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    store = given.store / ("smoke" if given.smoke else "full")
    names = ["wine"] if given.smoke else [name for name in TASKS if name != "mnist" or os.environ.get("JREG_DATA_DIR")]
    studies = {name: trained(name, given.smoke, store) for name in names}
    seconds = {"training": time.monotonic() - begun}
    races, orders = (20, 5) if given.smoke else (10_000, 50)
    found: dict[str, Any] = {"data": {name: compared(study.results, orders) for name, study in studies.items()}}
    seconds["replays"] = time.monotonic() - begun - seconds["training"]
    found |= {"null races": races, "among equals": among_equals(races)}
    seconds["null races"] = time.monotonic() - begun - sum(seconds.values())
    found["seconds"] = {name: round(value) for name, value in seconds.items()}
    print(table(found))
    print(found["seconds"])
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    picture(found, given.out / "races.png")
    print(f"results are in {given.out}")


if __name__ == "__main__":
    main()
