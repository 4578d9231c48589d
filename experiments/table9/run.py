"""Does the order of Table 9 hold: penalties, max-norm, dropout?

Command:  python experiments/table9/run.py             (--smoke runs in seconds; --full is the published protocol)
Data:     MNIST. Strengths are tuned on 50,000 training images and scored on the other 10,000; the final networks train
          on all 60,000, and the error on the 10,000 test images counts after the last epoch
Network:  784-1024-1024-2048-10, ReLU, 3.97 million weights, drawn from N(0, 1 / inputs); dropout of 20% of the inputs
          and 50% of the hidden units; SGD, batches of 100, a learning rate that falls to 0, momentum from 0.5 to 0.95
Budget:   tuning: 20 trainings of 3,000 updates (6 epochs); final: 6 rows x 3 seeds of 15,000 updates (25 epochs), and
          three rows once with 45,000, where the paper has 1,000,000
Hardware: two cores of an Intel Xeon and of an AMD EPYC (AVX-512), no GPU: 24 s of a processor per 60,000 images, 5.4
          hours of it in all, half of that on two quiet cores; a start goes on where the last one ended
Result:   errors in %, means of three seeds, behind them one network with 45,000 updates, and published: L2 1.29, 1.29
          (1.62); with L1 towards the end 1.33 (1.60); with KL sparsity 1.29 (1.55); max-norm 1.26, 1.22 (1.35); dropout
          with L2 1.40 (1.25), with max-norm 1.52, 1.26 (1.05). So dropout is behind after 15,000 updates, by 0.16
          points (0.04 to 0.27) against the penalties, and has caught up after 45,000
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import jreg
from jreg import losses, nn, on_activations, on_params, penalties, project, projections, statistics

HERE = Path(__file__).parent
# A setting in which nothing regularizes.
NONE = {"l2": 0.0, "l1": 0.0, "kl": 0.0, "c": np.inf}


class Row(NamedTuple):
    """A row of Table 9: its error in %, what is tuned, and the row to whose setting it adds something."""

    group: str
    published: float
    tuned: dict[str, list[float]]
    dropout: float = 0.0
    adds_to: str | None = None


ROWS = {
    "L2": Row("penalties", 1.62, {"learning_rate": [0.03, 0.1], "l2": [1e-4, 5e-4]}),
    "dropout + max-norm": Row("dropout", 1.05, {"learning_rate": [0.1, 0.3], "c": [2.0, 3.0]}, 0.5),
    "max-norm": Row("max-norm", 1.35, {"learning_rate": [0.03, 0.1], "c": [2.0, 4.0]}),
    "dropout + L2": Row("dropout", 1.25, {"learning_rate": [0.03, 0.1], "l2": [1e-5, 1e-4]}, 0.5),
    "L2 + L1 towards the end": Row("penalties", 1.60, {"l1": [1e-6, 5e-6]}, adds_to="L2"),
    "L2 + KL sparsity": Row("penalties", 1.55, {"kl": [1e-4, 1e-3]}, adds_to="L2"),
}
# What trains for longer, to see whether dropout's errors fall further than the others.
LONGER = ("dropout + max-norm", "L2", "max-norm")
COLOURS = {"penalties": "#5b8fb0", "max-norm": "#c98a2b", "dropout": "#b3372e"}


class Budget(NamedTuple):
    """What is trained for how long.

    Attributes:
      data: name of the data set.
      largest: its largest grey value.
      features: units of each layer.
      rows: training rows in tuning, held-out rows, and training rows of the final networks.
      tuning_epochs: of a training in tuning.
      epochs: of a final one.
      seeds: of the final ones.
      longer: epochs of one more training of each row in `LONGER`; 0 for none.
      together: how many trainings end before the next ones begin, and are written.
      published_schedule: whether learning rate and momentum change as the authors' do.
    """

    data: str = "mnist"
    largest: int = 255
    features: tuple[int, ...] = (1024, 1024, 2048, 10)
    rows: tuple[int, int, int] = (50_000, 10_000, 60_000)
    tuning_epochs: int = 6
    epochs: int = 25
    seeds: int = 3
    longer: int = 75
    together: int = 2
    published_schedule: bool = False


BUDGETS = {
    "table9": Budget(),
    "full": Budget(tuning_epochs=2000, epochs=1667, longer=0, together=16, published_schedule=True),
    # Folds of one size share a compiled program.
    "smoke": Budget("digits", 16, (16, 10), (600, 360, 600), tuning_epochs=1, epochs=1, seeds=1, longer=1, together=16),
}


def recipe_of(budget: Budget) -> Callable[..., jreg.Recipe]:
    """One recipe for all rows: a strength of 0 or an infinite radius leaves a regularizer out."""

    def recipe(hp: Any, steps: Any) -> jreg.Recipe:
        rate, l1 = hp["learning_rate"], hp["l1"]

        def learning_rate(count: jax.Array) -> jax.Array:
            # The authors' 1 / (1 + t / 10,000) ends at a hundredth of where it begins, which is therefore higher.
            done = count / steps.total_steps
            return 10 * rate / (1 + 100 * done) if budget.published_schedule else rate * (1 - done)

        def momentum(count: jax.Array) -> jax.Array:
            end = 0.99 if budget.published_schedule else 0.95
            return end - (end - 0.5) * jnp.exp(-10 * count / steps.total_steps)

        def towards_the_end(count: jax.Array) -> jax.Array:
            return jnp.where(count < 3 * steps.total_steps // 4, 0, l1)

        sgd = optax.inject_hyperparams(optax.sgd)(learning_rate=learning_rate, momentum=momentum)
        sparsity = on_activations(partial(penalties.kl_sparsity, rho=0.1), "hidden_*")
        return jreg.Recipe(
            nn.MLP(
                budget.features,
                dropout=hp["dropout"],
                input_dropout=0.4 * hp["dropout"],
                kernel_init=jax.nn.initializers.variance_scaling(1.0, "fan_in", "normal"),
            ),
            losses.softmax_cross_entropy,
            optax.chain(sgd, project(projections.max_norm, c=hp["c"])),
            penalty=hp["l2"] * on_params(penalties.l2)
            + towards_the_end * on_params(penalties.l1)
            + hp["kl"] * sparsity,
            preprocess=jreg.data.scale(budget.largest),
        )

    return recipe


class Trainer:
    """Trains lists of settings, a few at a time, and writes each few into the JSON file before the next."""

    def __init__(self, budget: Budget, path: Path, store: Path | None, again: bool):
        self.budget, self.path, self.store, self.recipe = budget, path, store, recipe_of(budget)
        data = jreg.load_dataset(budget.data)
        x, y = np.concatenate([data.x, data.x_test]), np.concatenate([data.y, data.y_test])
        self.data = jreg.Dataset(x.reshape(len(x), -1), y, name=budget.data)
        shuffled, test = np.random.default_rng(0).permutation(len(data)), np.arange(len(data), len(x))
        tuning, held_out, final = budget.rows
        last = shuffled[:final], test
        self.folds = {
            "tuning": (shuffled[:tuning], shuffled[tuning : tuning + held_out]),
            "final": last,
            "longer": last,
        }
        known = json.loads(path.read_text()) if path.exists() and not again else {}
        asked = json.loads(json.dumps(budget._asdict()))
        self.found: dict[str, Any] = known if known.get("budget") == asked else {"budget": asked}
        self.found["test_images"] = len(test)
        if again and store is not None:
            shutil.rmtree(store, ignore_errors=True)

    def train(self, phase: str, wanted: Sequence[tuple[dict[str, Any], dict[str, float]]], epochs: int) -> None:
        """Trains what isn't known yet of pairs of what a training is called, with a row and a seed, and its setting."""
        known = self.found.setdefault(phase, [])
        new = [(name, setting) for name, setting in wanted if not any(name.items() <= one.items() for one in known)]
        for place in range(0, len(new), self.budget.together):
            names, settings = zip(*new[place : place + self.budget.together], strict=True)
            seconds, processor = time.perf_counter(), time.process_time()
            study = jreg.cross_validate(
                self.recipe,
                self.data,
                settings,
                cv=[self.folds[phase]],
                seeds=[names[0]["seed"]],
                epochs=epochs,
                batch_size=100,
                keep=[jreg.keep.outputs],
                store=self.store and self.store / f"{phase}-{len(known)}",
                layout=jreg.choose_layout(len(settings), 4_000_000),
                progress=False,
            )
            took = np.array([time.perf_counter() - seconds, time.process_time() - processor]) / len(names)
            for name, setting in zip(names, settings, strict=True):
                predicted = study.out_of_fold(setting)
                # Of a training that diverged all outputs are NaN, and the first class is as good as any.
                wrong = np.flatnonzero(predicted.outputs[0].argmax(axis=-1) != predicted.targets)
                record = {**name, "error": round(100 * len(wrong) / len(predicted.targets), 2)}
                record |= {"seconds": round(took[0]), "processor_seconds": round(took[1])}
                known.append(record | ({} if phase == "tuning" else {"wrong": " ".join(map(str, wrong))}))
                print(phase, {key: value for key, value in known[-1].items() if key != "wrong"}, flush=True)
            self.write()

    def write(self) -> None:
        """What has been found, also in the middle of a phase."""
        trained = {phase: self.found[phase] for phase in ("final", "longer") if self.found.get(phase)}
        summary = {phase: summarized(records, self.found["test_images"]) for phase, records in trained.items()}
        if summary:
            self.found["summary"] = summary
            drawn(summary, self.budget).savefig(self.path.with_suffix(".png"), dpi=120)
        # A process that is killed while it writes leaves the old file.
        half = self.path.with_suffix(".half")
        half.write_text(json.dumps(self.found, indent=1) + "\n")
        half.replace(self.path)

    def tuned(self, name: str) -> dict[str, float]:
        """The setting of a row: of what was tried the one with the fewest errors on held-out rows."""
        row = ROWS[name]
        tried = [one for one in self.found["tuning"] if one["row"] == name]
        best = min(tried, key=lambda one: one["error"])
        return self.begins(row) | {key: best[key] for key in row.tuned}

    def begins(self, row: Row) -> dict[str, float]:
        """What isn't tuned."""
        return self.tuned(row.adds_to) if row.adds_to else NONE | {"dropout": row.dropout}

    def candidates(self, names: Sequence[str]) -> list[tuple[dict[str, Any], dict[str, float]]]:
        """What tuning tries for some rows."""
        tries = ((name, values) for name in names for values in jreg.grid(**ROWS[name].tuned).settings)
        return [({"row": name, "seed": 0, **values}, self.begins(ROWS[name]) | values) for name, values in tries]

    def run(self) -> None:
        """Tunes, first the rows that others add to, then trains the chosen settings, seed by seed, and some longer."""
        for adding in (False, True):
            names = [name for name, row in ROWS.items() if bool(row.adds_to) == adding]
            self.train("tuning", self.candidates(names), self.budget.tuning_epochs)
        self.found["chosen"] = {name: {key: self.tuned(name)[key] for key in row.tuned} for name, row in ROWS.items()}
        for seed in range(self.budget.seeds):
            self.train("final", [({"row": name, "seed": seed}, self.tuned(name)) for name in ROWS], self.budget.epochs)
            if self.budget.longer and not seed:
                longer = [({"row": name, "seed": seed}, self.tuned(name)) for name in LONGER]
                self.train("longer", longer, self.budget.longer)
        self.write()


def summarized(trained: list[dict[str, Any]], images: int) -> dict[str, Any]:
    """Each row's mean error in % with the 95% interval of one network, and how far groups differ on the same images."""
    wrong: dict[str, list[np.ndarray]] = {}
    for one in trained:
        wrong.setdefault(one["row"], []).append(np.isin(np.arange(images), np.array(one["wrong"].split(), int)))
    rows = {}
    for name, row in ROWS.items():
        if name in wrong:
            errors = [100 * float(one.mean()) for one in wrong[name]]
            low, high = statistics.binomial_interval(round(np.mean(errors) * images / 100), images)
            rows[name] = {
                "published": row.published,
                "errors": [round(error, 2) for error in errors],
                "mean": round(float(np.mean(errors)), 2),
                "interval": [round(100 * low, 2), round(100 * high, 2)],
            }
    shares = {
        group: np.mean([one for name in wrong if ROWS[name].group == group for one in wrong[name]], axis=0)
        for group in dict.fromkeys(ROWS[name].group for name in wrong)
    }
    differences = {}
    for a, b in (("penalties", "max-norm"), ("max-norm", "dropout"), ("penalties", "dropout")):
        if a in shares and b in shares:
            # Percentage points, by resampling images.
            given = 0, lambda _, share: 100 * share.mean(), np.zeros(images), shares[a], shares[b]
            test = statistics.paired_bootstrap(*given, resamples=1000)
            differences[f"{a} - {b}"] = [round(float(value), 2) for value in (test.difference, test.low, test.high)]
    return {"rows": rows, "differences": differences}


def drawn(summary: dict[str, Any], budget: Budget) -> Figure:
    """The test errors of all rows, beside the published ones."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.add_subplot()
    rows = summary["final"]["rows"]
    names = sorted(rows, key=lambda name: ROWS[name].published)
    for place, name in enumerate(names):
        colour = COLOURS[ROWS[name].group]
        axes.plot(rows[name]["interval"], [place, place], color=colour, linewidth=2)
        axes.plot(rows[name]["errors"], [place] * len(rows[name]["errors"]), "o", color=colour, markersize=5)
        axes.plot(ROWS[name].published, place, "D", color="black", markerfacecolor="white", markersize=6)
    for name, row in summary.get("longer", {"rows": {}})["rows"].items():
        place, colour = names.index(name) + 0.25, COLOURS[ROWS[name].group]
        axes.plot(row["interval"], [place, place], ":", color=colour)
        axes.plot(row["errors"], [place] * len(row["errors"]), "s", color=colour, markerfacecolor="white")
    axes.plot([], [], "o-", color="gray", label=f"{budget.epochs} epochs: seeds, and the 95% interval of 10,000 images")
    if "longer" in summary:
        axes.plot([], [], "s:", color="gray", markerfacecolor="white", label=f"{budget.longer} epochs, one seed")
    axes.plot([], [], "D", color="black", markerfacecolor="white", label="published, 1,667 epochs")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("test error (%)")
    axes.set_title("MNIST, 784-1024-1024-2048-10", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what the JSON file doesn't have yet, and draws what it has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="1,000,000 updates per training, for a GPU")
    parser.add_argument("--smoke", action="store_true", help="tiny networks on digits, to see that it runs")
    parser.add_argument("--out", type=Path, default=HERE, help="where the numbers and the figure go")
    parser.add_argument("--store", type=Path, default=Path("runs"), help="checkpoints of what is under way")
    parser.add_argument("--again", action="store_true", help="forget what the file has")
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    name = "smoke" if options.smoke else "full" if options.full else "table9"
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / ("table9-full.json" if options.full else "table9.json")
    trainer = Trainer(BUDGETS[name], path, None if options.smoke else options.store / path.stem, options.again)
    trainer.run()
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
