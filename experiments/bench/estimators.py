"""Estimators: StudyClassifier beside scikit-learn's GridSearchCV of MLPClassifier, taken in turn on one machine.

Both fit the same grid on scikit-learn's digits and then the best setting on all training rows: 5 folds x 8 strengths of
L2, the same folds, 64-128-128-10 with rectifiers, Adam with 1e-3, batches of 64, 30 epochs, no early stopping; 40
trainings and one more. Their accuracy is that of the refitted network on the 360 test rows.

  jreg      StudyClassifier, on two CPU devices; it also measures losses and accuracies in every epoch, and keeps the
            outputs on the validation rows
  sklearn   GridSearchCV with n_jobs=2, and the refit; it measures the accuracy once, at the end

Two measurements, each for so many rounds of A B A B:

  end to end  a fresh process, timed from outside: imports, loading, compilation, the grid and the refit; no persistent
              compilation cache
  again       fit once more in a process that has fitted the same before, so that nothing is compiled and the worker
              processes are there

Command:   python experiments/bench/estimators.py        (--smoke runs in seconds)
Hardware:  two quiet cores of an AMD EPYC (AVX-512), no GPU; Python 3.11.7, jax 0.10.2, scikit-learn 1.9.1; 2 minutes
Numbers:   sklearn / jreg, of the medians (smallest to largest round): end to end 1.19 (1.15 to 1.30), 8.22 and 6.90 s;
           again 2.92 (2.81 to 3.09), 5.52 and 1.89 s; test accuracy 0.9694 and 0.9722
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import race, report
from harness.ratios import compare

HIDDEN, CLASSES, BATCH, RATE = (128, 128), 10, 64, 1e-3


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a tiny version that runs in seconds")
    parser.add_argument("--rounds", type=int, default=5, help="how often each one is taken, of both measurements")
    parser.add_argument("--epochs", type=int, default=30, help="of each training")
    parser.add_argument("--settings", type=int, default=8, help="strengths of L2")
    parser.add_argument("--out", type=Path, default=report.RUNS / "estimators.json")
    parser.add_argument("--contestant", choices=MAKERS, help="be this contestant's process")
    parser.add_argument("--once", action="store_true", help="with --contestant: fit once and end")
    options = parser.parse_args()
    if options.smoke:
        options.epochs, options.settings = 1, 2
    return options


def rows() -> tuple[Any, ...]:
    """Training and test rows of digits, between 0 and 1, and the folds of the training rows."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold, train_test_split

    x, y = load_digits(return_X_y=True)
    split = train_test_split((x / 16).astype(np.float32), y, test_size=360, stratify=y, random_state=0)
    x, x_test, y, y_test = split
    return x, y, x_test, y_test, list(StratifiedKFold(5, shuffle=True, random_state=0).split(x, y))


def strengths(count: int) -> list[float]:
    """The grid: strengths of L2, each half of which times the squared weights is added to the mean loss."""
    return [10 ** (-5 + 3 * n / max(1, count - 1)) for n in range(count)]


def recipe(hp: Any) -> Any:
    """The network, as jreg trains it."""
    import optax

    import jreg

    return jreg.Recipe(
        jreg.nn.MLP((*HIDDEN, CLASSES)),
        jreg.losses.softmax_cross_entropy,
        optax.adam(RATE),
        penalty=hp["l2"] * jreg.on_params(jreg.penalties.l2),
    )


def study(settings: int, epochs: int) -> Callable[[], Any]:
    """The fit with jreg."""
    import jreg
    from jreg.estimators import StudyClassifier

    jreg.use_cpu_devices()
    x, y, x_test, y_test, folds = rows()
    options = {"cv": folds, "epochs": epochs, "batch_size": BATCH, "patience": None, "random_state": 0}

    def run() -> dict[str, Any]:
        fitted = StudyClassifier(recipe, jreg.grid(l2=strengths(settings)), **options).fit(x, y)
        timing = fitted.study_.results.timing
        more = {"compile_seconds": timing.compile_seconds, "program_seconds": timing.device_seconds}
        return _answer(fitted, x_test, y_test, settings * len(folds), more)

    return run


def search(settings: int, epochs: int) -> Callable[[], Any]:
    """The fit with scikit-learn."""
    from peers.sklearn_grid import JOBS, Network
    from sklearn.model_selection import GridSearchCV

    x, y, x_test, y_test, folds = rows()
    network = Network(
        hidden_layer_sizes=HIDDEN,
        batch_size=BATCH,
        learning_rate_init=RATE,
        max_iter=epochs,
        # Never stops early: this many epochs without progress don't fit into max_iter.
        n_iter_no_change=epochs + 1,
        random_state=0,
    )
    # scikit-learn divides alpha by the batch size.
    grid = {"alpha": [strength * BATCH for strength in strengths(settings)]}

    def run() -> dict[str, Any]:
        fitted = GridSearchCV(network, grid, cv=folds, n_jobs=JOBS).fit(x, y)
        return _answer(fitted, x_test, y_test, settings * len(folds), {})

    return run


def _answer(fitted: Any, x_test: Any, y_test: Any, trainings: int, more: dict[str, float]) -> dict[str, Any]:
    score = float(fitted.score(x_test, y_test))
    return {"test_accuracy": score, "best_mean": float(fitted.best_score_), "trainings": trainings, **more}


MAKERS = {"jreg": study, "sklearn": search}


def measure(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The seconds of each contestant, taken in turn, and what it answered."""
    sizes = ["--epochs", str(args.epochs), "--settings", str(args.settings)]
    commands = {name: [sys.executable, str(Path(__file__).resolve()), "--contestant", name, *sizes] for name in MAKERS}
    found: dict[str, dict[str, Any]] = {name: {"end_to_end_seconds": [], "again_seconds": []} for name in MAKERS}
    for turn in race.fresh({name: [*command, "--once"] for name, command in commands.items()}, args.rounds):
        found[turn.name]["end_to_end_seconds"].append(turn.seconds)
        print(f"end to end {turn.round}  {turn.name:8}{turn.seconds:8.2f} s", flush=True)
    for turn in race.steady(commands, args.rounds):
        if turn.round:
            found[turn.name]["again_seconds"].append(turn.answer["seconds"])
            print(f"again      {turn.round}  {turn.name:8}{turn.answer['seconds']:8.2f} s", flush=True)
        else:
            # Of its first fit, which compiles.
            kept = ("test_accuracy", "best_mean", "trainings", "compile_seconds", "program_seconds")
            found[turn.name] |= {"first_seconds": turn.answer["seconds"]}
            found[turn.name] |= {key: turn.answer[key] for key in kept if key in turn.answer}
    return found


def main() -> None:
    """Measures, prints and writes."""
    args = parse()
    if args.contestant:
        race.serve(lambda: MAKERS[args.contestant](args.settings, args.epochs), args.once)
        return
    began, top = time.perf_counter(), report.header()
    found = measure(args)
    keys = ("end_to_end_seconds", "again_seconds")
    ratios = {key: compare(found["jreg"][key], [found["sklearn"][key]]) for key in keys}
    result = {**top, "rounds": args.rounds, "epochs": args.epochs, "settings": args.settings, "contestants": found}
    result |= {"ratios": ratios, "took_seconds": time.perf_counter() - began}
    print(report.describe(result) + "\n\nmedian seconds (smallest to largest)")
    print(f"{'':9}{'end to end':>26}{'again':>26}{'test accuracy':>15}{'best mean':>11}")
    for name, one in found.items():
        times = "".join(f"{report.spread(one[key]):>26}" for key in keys)
        print(f"{name:9}{times}{one['test_accuracy']:>15.4f}{one['best_mean']:>11.4f}")
    print("sklearn / jreg: of the medians (smallest to largest round)")
    for key, one in ratios.items():
        name = key.removesuffix("_seconds").replace("_", " ")
        print(f"{name:12}{one['ratio']:8.2f} ({one['lowest']:.2f} to {one['highest']:.2f})")
    ours = found["jreg"]
    print(
        f"jreg's first fit: {ours['compile_seconds']:.2f} s of compilation, {ours['program_seconds']:.2f} s of training"
    )
    print(f"\ntook {result['took_seconds']:.0f} s")
    report.write(args.out, result)


if __name__ == "__main__":
    main()
