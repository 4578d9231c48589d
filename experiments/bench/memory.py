"""Memory: the peak resident memory of a jreg study with 50 and with 1,000 trainings.

The digits grid of speed.py with 3 epochs and dropout 0.5, 5 folds x 10 and x 200 strengths of L2. Every study
runs in a fresh process, the two sizes in turn, and reports its own high-water mark (`ru_maxrss`) after the imports and
at the end. The goal: 20 times as many trainings take at most 1.5 times the memory.

Command:   python experiments/bench/memory.py
Hardware:  two cores of an AMD EPYC, no GPU; Python 3.11.7, jax 0.10.2
Time:      44 s
Numbers:   540 MiB with 50 trainings, 568 MiB with 1,000, of which 247 MiB are there after the imports: ratio 1.05
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import report

FOLDS = 5
GOAL = 1.5


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="processes of each size")
    parser.add_argument("--epochs", type=int, default=3, help="of each training")
    parser.add_argument("--strengths", type=int, nargs=2, default=[10, 200], help="of L2, in the two studies")
    parser.add_argument("--out", type=Path, default=report.RUNS / "memory.json")
    parser.add_argument("--once", type=int, help="run the study with so many strengths in this process")
    return parser.parse_args()


def peak() -> float:
    """The high-water mark of this process in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


def run_once(epochs: int, strengths: int) -> None:
    """Runs a study and prints its high-water marks."""
    from peers import grids, jreg_study

    run = jreg_study.make(grids.make_task("digits", grids.Sizes(epochs=epochs, settings=strengths)))
    before = peak()
    outcome = run()
    answer = {"imports_mib": before, "peak_mib": peak(), "trainings": FOLDS * strengths, "steps": outcome.steps}
    print(json.dumps(answer))


def measure(epochs: int, strengths: int) -> dict[str, Any]:
    """The high-water marks of a study in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), "--once", str(strengths), "--epochs", str(epochs)]
    done = subprocess.run(command, env=report.environment(), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures, prints and writes."""
    args = parse()
    if args.once:
        run_once(args.epochs, args.once)
        return
    began, top = time.perf_counter(), report.header()
    rounds = [[measure(args.epochs, strengths) for strengths in args.strengths] for _ in range(args.rounds)]
    studies = []
    for runs in zip(*rounds, strict=True):
        marks = {key: [run[key] for run in runs] for key in ("imports_mib", "peak_mib")}
        studies.append({"trainings": runs[0]["trainings"], "steps": runs[0]["steps"], **marks})
    small, large = (statistics.median(study["peak_mib"]) for study in studies)
    found = {**top, "rounds": args.rounds, "epochs": args.epochs, "studies": studies}
    found |= {"ratio": large / small, "goal": GOAL, "met": large / small <= GOAL}
    found["took_seconds"] = time.perf_counter() - began
    print(report.describe(found) + "\n\nmedian MiB (smallest to largest)")
    print(f"{'trainings':>9}{'after the imports':>28}{'at the end':>28}")
    for study in studies:
        imports, end = (report.spread(study[key], 0) for key in ("imports_mib", "peak_mib"))
        print(f"{study['trainings']:>9}{imports:>28}{end:>28}")
    print(f"ratio of the peaks {found['ratio']:.3f}, goal <= {GOAL}: {'met' if found['met'] else 'MISSED'}")
    print(f"\ntook {found['took_seconds']:.0f} s")
    report.write(args.out, found)


if __name__ == "__main__":
    main()
