"""Speed: the digits grid of 40 trainings with jreg and three peers, taken in turn on one machine.

5 stratified folds of all 1,797 rows x 8 strengths of L2; a network of 64-128-128-10 ReLU units with dropout 0.5 after
each hidden layer (scikit-learn: none, it has no dropout), Adam with learning rate 1e-3, batches of 64, 30 epochs,
inputs divided by 16, the validation accuracy after the last epoch. The contestants are in bench_peers/:

  jreg      one call of jreg.cross_validate; it also evaluates the losses and accuracies of every epoch
  flax      (a) Flax and optax in a Python loop around a jitted train step, one device with both cores
  sklearn   (b) GridSearchCV of MLPClassifier in two processes
  jax       (c) plain JAX by hand: shard_map over two CPU devices, a sequential map of trainings in each

Two measurements, each for so many rounds of A B C D A B C D ...:

  steady      every contestant in a process of its own that has run the grid once before (compilation and the start of
              scikit-learn's workers are left out) and waits idle while another one runs
  end to end  a fresh process for the grid, timed from outside: imports, loading the data, compilation, training; no
              persistent compilation cache; bytecode of all packages is there from the steady part

Command:   python experiments/bench_digits.py
Hardware:  two cores of an AMD EPYC with AVX-512, no GPU; Python 3.11.7, jax 0.10.2, flax 0.12.8, optax 0.2.8,
           scikit-learn 1.9.1
Time:      167 s
Numbers:   median seconds, and their ratio to jreg's (smallest to largest round)
                     steady                            end to end
           jreg      1.63                              7.59
           flax      5.39   3.31 (3.21 to 3.80)        9.11   1.20 (1.19 to 1.35)
           sklearn   5.42   3.33 (3.21 to 3.40)        8.18   1.08 (1.05 to 1.21)
           jax       1.67   1.02 (0.99 to 1.05)        4.95   0.65 (0.63 to 0.90)
"""

import argparse
import contextlib
import importlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench_peers import report

CONTESTANTS = {"jreg": "jreg_study", "flax": "flax_loop", "sklearn": "sklearn_grid", "jax": "jax_by_hand"}
MEASUREMENTS = {"steady": "steady_seconds", "end_to_end": "end_to_end_seconds"}
# The least ratio of a peer's median to jreg's that counts as a success; end to end has to be above it.
GOALS = {"steady": {"flax": 2.5, "sklearn": 2.0, "jax": 1.0}, "end_to_end": {"sklearn": 1.0}}
LEAST_ACCURACY = 0.95


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each contestant is taken")
    parser.add_argument("--epochs", type=int, default=30, help="of each training; 1 for a smoke test")
    parser.add_argument("--strengths", type=int, default=8, help="of L2; 2 for a smoke test")
    parser.add_argument(
        "--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="in this order"
    )
    parser.add_argument("--measure", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--out", type=Path, default=report.RUNS / "digits.json")
    parser.add_argument("--contestant", choices=CONTESTANTS, help="be this contestant's process")
    parser.add_argument("--once", action="store_true", help="with --contestant: run the grid once and end")
    return parser.parse_args()


def compete(args: argparse.Namespace) -> None:
    """A contestant's process: runs the grid once, or once for every line it reads, and answers in JSON."""
    from bench_peers.task import make_task

    contestant = importlib.import_module(f"bench_peers.{CONTESTANTS[args.contestant]}")
    # Answers have the standard output for themselves, whatever a library prints.
    with contextlib.redirect_stdout(sys.stderr):
        run = contestant.make(make_task(args.epochs, args.strengths))
        for _ in ["once"] if args.once else sys.stdin:
            began = time.perf_counter()
            outcome = run()
            answer = {"seconds": time.perf_counter() - began, **outcome._asdict()}
            print(json.dumps(answer), file=sys.__stdout__, flush=True)


def command(args: argparse.Namespace, name: str, *more: str) -> list[str]:
    """Starts a contestant's process."""
    sizes = ["--epochs", str(args.epochs), "--strengths", str(args.strengths)]
    return [sys.executable, str(Path(__file__).resolve()), "--contestant", name, *sizes, *more]


def ask(worker: subprocess.Popen) -> dict[str, Any]:
    """Lets a contestant run the grid once."""
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write("run\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise RuntimeError(f"a contestant ended with status {worker.wait()}: {' '.join(worker.args)}")
    return json.loads(answer)


def begin(answer: dict[str, Any]) -> dict[str, Any]:
    """What is known of a contestant after its first run."""
    scores = answer["scores"]
    return {
        "first_seconds": answer["seconds"],
        "scores": scores,
        "best_accuracy": max(scores),
        "steps": answer["steps"],
        **{key: [] for key in MEASUREMENTS.values()},
    }


def measure_steady(args: argparse.Namespace, found: dict[str, dict[str, Any]]) -> None:
    """Adds the times of warm processes."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in args.contestants:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            worker = subprocess.Popen(command(args, name), env=report.environment(), **pipes)
            # Leaving the context closes its input, upon which it ends.
            workers[name] = stack.enter_context(worker)
            found[name] = begin(ask(worker))
            print(f"first run  {name:8} {found[name]['first_seconds']:6.2f} s", flush=True)
        for number in range(args.rounds):
            for name, worker in workers.items():
                took = ask(worker)["seconds"]
                found[name]["steady_seconds"].append(took)
                print(f"steady, round {number + 1}  {name:8} {took:6.2f} s", flush=True)


def measure_end_to_end(args: argparse.Namespace, found: dict[str, dict[str, Any]]) -> None:
    """Adds the times of fresh processes."""
    for number in range(args.rounds):
        for name in args.contestants:
            began = time.perf_counter()
            once = command(args, name, "--once")
            done = subprocess.run(once, env=report.environment(), check=True, stdout=subprocess.PIPE, text=True)
            took = time.perf_counter() - began
            found.setdefault(name, begin(json.loads(done.stdout)))["end_to_end_seconds"].append(took)
            print(f"end to end, round {number + 1}  {name:8} {took:6.2f} s", flush=True)


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Each peer's time over jreg's: of the medians, and the smallest and largest of one round, with the goals."""
    compared: dict[str, dict[str, dict[str, Any]]] = {}
    for measurement, key in MEASUREMENTS.items():
        compared[measurement] = {}
        for name in [name for name in found if name != "jreg"] if "jreg" in found else []:
            ours, theirs = found["jreg"][key], found[name][key]
            if not ours:
                continue
            rounds = [their / our for our, their in zip(ours, theirs, strict=True)]
            ratio = statistics.median(theirs) / statistics.median(ours)
            goal = GOALS[measurement].get(name)
            enough = None if goal is None else ratio >= goal if measurement == "steady" else ratio > goal
            compared[measurement][name] = {
                "ratio": ratio,
                "lowest": min(rounds),
                "highest": max(rounds),
                "goal": goal,
                "met": enough,
            }
    return compared


def show(result: dict[str, Any]) -> None:
    """Prints the tables."""
    found = result["contestants"]
    print("\n" + report.describe(result))
    print("\nmedian seconds (smallest to largest)")
    print(f"{'':9}{'steady':>22}{'end to end':>24}{'first run':>11}{'best accuracy':>15}{'steps':>8}")
    for name, one in found.items():
        steady, fresh = (report.spread(one[key]) for key in MEASUREMENTS.values())
        print(
            f"{name:9}{steady:>22}{fresh:>24}{one['first_seconds']:>11.2f}{one['best_accuracy']:>15.4f}{one['steps']:>8}"
        )
    print("\npeer / jreg: of the medians (smallest to largest round)")
    for measurement, peers in result["ratios"].items():
        for name in (name for name in found if name in peers):
            one = peers[name]
            sign = ">=" if measurement == "steady" else ">"
            goal = "" if one["goal"] is None else f"goal {sign} {one['goal']}: {'met' if one['met'] else 'MISSED'}"
            spread = f"{one['ratio']:.2f} ({one['lowest']:.2f} to {one['highest']:.2f})"
            print(f"{measurement.replace('_', ' '):12}{name:9}{spread:>22}  {goal}")
    if not result["alike"]:
        print(f"\nNOT COMPARABLE: a best accuracy is below {LEAST_ACCURACY}, or the numbers of steps differ")


def main() -> None:
    """Measures, prints and writes."""
    args = parse()
    if args.contestant:
        compete(args)
        return
    began, top = time.perf_counter(), report.header()
    found: dict[str, dict[str, Any]] = {}
    if "steady" in args.measure:
        measure_steady(args, found)
    if "end_to_end" in args.measure:
        measure_end_to_end(args, found)
    alike = min(one["best_accuracy"] for one in found.values()) > LEAST_ACCURACY
    alike = alike and len({one["steps"] for one in found.values()}) == 1
    sizes = {"rounds": args.rounds, "epochs": args.epochs, "strengths": args.strengths}
    result = {**top, **sizes, "contestants": found, "ratios": ratios(found), "alike": alike}
    result["took_seconds"] = time.perf_counter() - began
    show(result)
    print(f"\ntook {result['took_seconds']:.0f} s")
    report.write(args.out, result)


if __name__ == "__main__":
    main()
