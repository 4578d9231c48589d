"""The store: what it costs a study, and how long a large one takes to be written, opened and listed.

  study  the study of `jreg sweep` on digits (12 settings x 5 folds, up to 100 epochs, patience 10) with and without a
         store, in turn in one process that has compiled the program. With a store the results are durable within a
         chunk, and the tables are written. Beside the seconds stand those of the processor, which other work on the
         machine changes less. The goal: at most 2% more.
  write  100,000 trainings of 20 epochs and 4 columns, 10,000 settings x 10 folds, in chunks of 500 into a fresh store,
         and its tables: the goal is 30 s, and 1 GB of memory above what the process had (`ru_maxrss`).
  open   a store of 1,000,000 trainings of one epoch and 4 columns, 100,000 settings x 10 folds: to open it within 5 s,
         and to list its best 20 settings within 1 s.

Writing and opening have a fresh process each time.

Command:   python experiments/bench/store.py [--part study write open]
Hardware:  two cores of an Intel Xeon, no GPU, shared with work that left it a sixth of their time; Python 3.11.7,
           jax 0.10.2
Numbers:   seconds of the processor: to write 16.1 (102 MB of memory), to open 5.3 to 5.8 where outputs were kept
           (4.1 to 4.7 on a machine with AVX-512 beside other work), to list 0.4; a store takes 0.7% of those of the
           study, 2.1% of those of the first one in a process
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from harness import report

PARTS = ("study", "write", "open")
MOST_RATIO, WRITE_SECONDS, WRITE_BYTES, OPEN_SECONDS, LIST_SECONDS = 1.02, 30.0, 1e9, 5.0, 1.0
FOLDS, CHUNK, COLUMNS = 10, 500, 4


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=3, help="how often a store is written and opened")
    parser.add_argument("--pairs", type=int, default=15, help="of studies with and without a store")
    parser.add_argument("--epochs", type=int, default=100, help="the most of each training of the study")
    parser.add_argument("--write", type=int, default=100_000, help="trainings to write, a multiple of 10")
    parser.add_argument("--open", type=int, default=1_000_000, help="trainings to open, a multiple of 10")
    parser.add_argument("--out", type=Path, default=report.RUNS / "store.json")
    parser.add_argument("--once", nargs=3, metavar=("WHAT", "TRAININGS", "FOLDER"), help="do it in this process")
    return parser.parse_args()


def seconds() -> tuple[float, float]:
    """A clock, and the processor's seconds of this process so far."""
    return time.perf_counter(), time.process_time()


@contextlib.contextmanager
def timed(found: dict[str, Any], name: str) -> Generator[None]:
    """Notes how long something took, on the clock and on the processor."""
    began = seconds()
    yield
    took = [now - then for now, then in zip(seconds(), began, strict=True)]
    found[f"{name}_seconds"], found[f"{name}_processor_seconds"] = took


def made(trainings: int, epochs: int) -> tuple[Any, Any]:
    """A specification of so many trainings, and a function of the first and last one's number that makes results."""
    from jreg.results import FoldRows, Spec, Trained
    from jreg.search import grid
    from jreg.training import Column, Status

    columns = (Column("train", "objective", "objective"), Column("train", "loss", "loss"))
    columns += (Column("validation", "loss", "loss"), Column("validation", "metric", "accuracy", maximize=True))
    rows = np.arange(10 * FOLDS)
    folds = tuple(FoldRows(n, "validation", rows[rows % FOLDS != n], rows[rows % FOLDS == n]) for n in range(FOLDS))
    space = grid(l2=np.logspace(-6, 0, trainings // FOLDS))
    spec = Spec(
        "made", len(rows), "classification", space, folds, (0,), epochs, 64, 0, None, None, columns[-1], columns, (), {}
    )
    values = np.random.default_rng(0).random((CHUNK, epochs, len(columns)), np.float32)

    def results(first: int, last: int) -> Any:
        number = np.arange(first, last)
        history = values[: len(number)] * np.float32(1 - first / (2 * trainings))
        length, best = np.full(len(number), epochs), np.argmax(history[..., -1], axis=1)
        status = np.full(len(number), int(Status.COMPLETED))
        return Trained(number // FOLDS, number % FOLDS, np.zeros(len(number), int), status, length, best, history, {})

    return spec, results


def write(trainings: int, epochs: int, folder: str) -> dict[str, Any]:
    """Writes a store as a study does, chunk by chunk; the peak of the memory is above what this process had before."""
    from jreg.store import Folder

    spec, results = made(trainings, epochs)
    found: dict[str, Any] = {}
    before = peak()
    with timed(found, "write"), Folder(folder) as store:
        into = store.open(spec)
        for first in range(0, trainings, CHUNK):
            some = results(first, min(first + CHUNK, trainings))
            into.add(some)
            store.append(into, [some])
        store.close(into)
    size = sum(file.stat().st_size for file in Path(folder).iterdir())
    return found | {"write_bytes": peak() - before, "files_bytes": size}


def read(folder: str) -> dict[str, Any]:
    """Opens a store and lists its best settings."""
    from jreg import report as reports
    from jreg.store import load_results

    found: dict[str, Any] = {}
    before = peak()
    with timed(found, "open"):
        results = load_results(folder)
    with timed(found, "list"):
        text = reports.table(results, 20)
    if len(text.splitlines()) < 22:
        raise SystemExit(f"the table has too few lines:\n{text}")
    return found | {"open_bytes": peak() - before, "trainings": len(results)}


def peak() -> int:
    """The high-water mark of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def study(pairs: int, epochs: int) -> dict[str, Any]:
    """The default study with and without a store, in turn; which one is first changes from pair to pair."""
    import jreg
    from jreg.study.default import study_for

    data = jreg.load_dataset("digits")
    recipe, space = study_for(data)
    stopping = jreg.EarlyStopping(patience=10)

    def run(stored: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "run" if stored else None
            with timed(found, "study"):
                study = jreg.cross_validate(
                    recipe, data, space, epochs=epochs, stopping=stopping, store=store, progress=False
                )
        return found | {"scores": study.scores}

    first = [run(stored)["scores"] for stored in (False, True)]
    found: dict[str, list[float]] = {}
    for number in range(pairs):
        for stored in (False, True) if number % 2 else (True, False):
            took = run(stored)
            if not np.array_equal(took.pop("scores"), first[0]):
                raise SystemExit("a store changes the scores")
            print(f"{number} {'with' if stored else 'without':<8}", json.dumps(took), flush=True)
            for name, value in took.items():
                found.setdefault(f"{name}_{'with' if stored else 'without'}", []).append(value)
    return found


def fresh(what: str, trainings: int, folder: str) -> dict[str, Any]:
    """What a process of its own says of it."""
    command = [sys.executable, str(Path(__file__).resolve()), "--once", what, str(trainings), folder]
    done = subprocess.run(command, env=report.environment(), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def ratio(found: dict[str, list[float]], name: str) -> dict[str, Any]:
    """With / without a store: the median of the pairs' ratios, and an interval of 95% of it by the bootstrap."""
    each = np.array(found[f"{name}_with"]) / np.array(found[f"{name}_without"])
    drawn = np.random.default_rng(0).choice(each, (10_000, len(each)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return {"ratio": float(np.median(each)), "interval": [float(low), float(high)], "pairs": each.tolist()}


def main() -> None:
    """Measures, prints and writes."""
    args = parse()
    if args.once:
        what, trainings, folder = args.once[0], int(args.once[1]), args.once[2]
        print(json.dumps(read(folder) if what == "open" else write(trainings, 1 if what == "prepare" else 20, folder)))
        return
    began, found = time.perf_counter(), report.header()
    print(report.describe(found))
    if "study" in args.part:
        os.environ.update(report.environment())
        found["study"] = study(args.pairs, args.epochs)
        for name in ("study_seconds", "study_processor_seconds"):
            found["study"][f"{name}_ratio"] = told = ratio(found["study"], name)
            low, high = told["interval"]
            with_, without = (report.spread(found["study"][f"{name}_{which}"]) for which in ("with", "without"))
            met = report.verdict(told["ratio"] <= MOST_RATIO)
            print(f"\n{name}: with a store {with_}, without {without}")
            print(f"  ratio {told['ratio']:.4f} ({low:.4f} to {high:.4f}), goal {MOST_RATIO}: {met}")
    with tempfile.TemporaryDirectory() as folder:
        if "write" in args.part:
            runs = [fresh("write", args.write, f"{folder}/write{number}") for number in range(args.rounds)]
            found["write"] = {"trainings": args.write, "runs": runs}
            tell("write_seconds", runs, WRITE_SECONDS)
            tell("write_processor_seconds", runs, WRITE_SECONDS)
            tell("write_bytes", runs, WRITE_BYTES, 1e-6)
            tell("files_bytes", runs, scale=1e-6)
        if "open" in args.part:
            prepared = fresh("prepare", args.open, f"{folder}/open")
            runs = [fresh("open", args.open, f"{folder}/open") for _ in range(args.rounds)]
            found["open"] = {"trainings": args.open, "prepared": prepared, "runs": runs}
            tell("write_processor_seconds", [prepared])
            tell("open_seconds", runs, OPEN_SECONDS)
            tell("open_processor_seconds", runs, OPEN_SECONDS)
            tell("list_seconds", runs, LIST_SECONDS)
            tell("open_bytes", runs, scale=1e-6)
    found["took_seconds"] = time.perf_counter() - began
    print(f"\ntook {found['took_seconds']:.0f} s")
    report.write(args.out, found)


def tell(name: str, runs: list[dict[str, Any]], goal: float | None = None, scale: float = 1.0) -> None:
    """Prints what the runs say of something, bytes in millions, and whether the goal is met."""
    values = [run[name] * scale for run in runs]
    met = "" if goal is None else f", goal {goal * scale:g}: {report.verdict(np.median(values) <= goal * scale)}"
    print(f"{name.replace('bytes', 'megabytes')}: {report.spread(values)}{met}")


if __name__ == "__main__":
    main()
