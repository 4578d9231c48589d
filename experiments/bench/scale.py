"""Scale: a million trainings through the whole path, and a search of 2,000 trials.

  grid    jreg.cross_validate with a store on breast cancer: 30-4-1 networks, one epoch in batches of 64, 100,000
          strengths of L2 x 10 folds, then the table of the best 10. The goal: the host's work (the seconds of all that,
          without those in the compiled program and those of compiling) stays below 60 s, and the peak of the memory
          (`ru_maxrss`) below 4 GB. Fewer settings come before, to see what grows faster than they do.
  search  jreg.optimize, 2,000 trials of an asker that answers at once, the same networks without a store.

Each has a fresh process, which has trained a small study of the same program before. Seconds of the processor are those
of the thread that runs the study, whose waiting for the compiled program costs none; they say on a machine with other
work what the clock would say on an idle one. The store's writer has a thread of its own, which stands beside them.

Command:   python experiments/bench/scale.py [--settings 5000 20000 100000]
Hardware:  two cores of an Intel Xeon, no GPU, shared with work that left it a sixth of their time; Python 3.11.7,
           jax 0.10.2
Time:      9 minutes for the 1,000,000 trainings there
Numbers:   1,000,000 trainings: 36 s of the processor for the study's thread and 15 s for the writer's, 0.98 GB at the
           peak, of which 0.51 GB are there before; on the clock 528 s, of which 324 s in the compiled program
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import report

FOLDS = 10
HOST_SECONDS, BYTES = 60.0, 4e9


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1, help="processes of each size")
    parser.add_argument("--settings", type=int, nargs="*", default=[5_000, 20_000, 100_000], help="of the grids")
    parser.add_argument("--trials", type=int, default=2_000, help="of the search; 0 leaves it out")
    parser.add_argument("--out", type=Path, default=report.RUNS / "scale.json")
    parser.add_argument("--once", nargs=2, metavar=("WHAT", "COUNT"), help="do it in this process")
    return parser.parse_args()


def recipe(hp: Any) -> Any:
    """A 30-4-1 network with L2."""
    import optax

    from jreg import Recipe, losses, nn, on_params, penalties

    penalty = hp["l2"] * on_params(penalties.l2)
    return Recipe(nn.MLP((4, 1)), losses.sigmoid_cross_entropy, optax.sgd(0.1), penalty=penalty)


class Asker:
    """Draws strengths, and gives nothing up."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)

    def ask(self) -> tuple[None, dict[str, float]]:
        """The next strength."""
        return None, {"l2": float(self._random.random())}

    def report(self, *_: Any) -> bool:
        """Goes on."""
        return True

    def tell(self, *_: Any) -> None:
        """Learns nothing."""

    check = tell


def once(what: str, count: int) -> dict[str, Any]:
    """A grid of so many settings, or a search of so many trials."""
    import jreg
    from jreg.store.writer import Writer

    data = jreg.load_dataset("breast_cancer")
    how: dict[str, Any] = {"cv": FOLDS, "epochs": 1, "batch_size": 64, "progress": lambda progress: None}

    def run(count: int, folder: str | None) -> jreg.Study:
        if what == "search":
            return jreg.optimize(recipe, data, Asker(), trials=count, **how)
        return jreg.cross_validate(recipe, data, jreg.grid(l2=np.logspace(-6, 0, count)), store=folder, **how)

    written = [0.0]
    write = Writer._write

    def timed(self: Writer) -> None:
        write(self)
        written[0] += time.thread_time()

    with tempfile.TemporaryDirectory() as folder:
        run(2, f"{folder}/small")
        Writer._write = timed  # ty: ignore[invalid-assignment]
        before, began, own = peak(), time.perf_counter(), time.thread_time()
        study = run(count, f"{folder}/large")
        lines = study.table(10)
        took, own = time.perf_counter() - began, time.thread_time() - own
        files = sum(file.stat().st_size for file in Path(folder).glob("large/*"))
    timing = study.results.timing
    if len(lines.splitlines()) < min(count, 10) or len(study.results) != count * FOLDS:
        raise SystemExit("trainings are missing")
    return {
        "trainings": len(study.results),
        "seconds": took,
        "device_seconds": timing.device_seconds,
        "compile_seconds": timing.compile_seconds,
        "host_seconds": took - timing.device_seconds - timing.compile_seconds,
        "processor_seconds": own,
        "writer_processor_seconds": written[0],
        "bytes": peak(),
        "bytes_before": before,
        "files_bytes": files,
    }


def peak() -> int:
    """The high-water mark of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def fresh(what: str, count: int) -> dict[str, Any]:
    """What a process of its own says."""
    command = [sys.executable, str(Path(__file__).resolve()), "--once", what, str(count)]
    done = subprocess.run(command, env=report.environment(), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures, prints and writes."""
    args = parse()
    if args.once:
        print(json.dumps(once(args.once[0], int(args.once[1]))))
        return
    began, found = time.perf_counter(), report.header()
    print(report.describe(found))
    sizes = [("grid", count) for count in args.settings] + ([("search", args.trials)] if args.trials else [])
    found["sizes"] = []
    for what, count in sizes:
        runs = [fresh(what, count) for _ in range(args.rounds)]
        found["sizes"].append({"what": what, "count": count, "runs": runs})
        print(f"\n{what} of {count}, {runs[0]['trainings']} trainings")
        for name in ("seconds", "device_seconds", "host_seconds", "processor_seconds", "writer_processor_seconds"):
            print(f"  {name.replace('_', ' '):<26}{report.spread([run[name] for run in runs], 1)}")
        for name in ("bytes", "bytes_before", "files_bytes"):
            print(f"  {name.replace('_', ' '):<26}{report.spread([run[name] / 1e6 for run in runs], 0)} MB")
        met = all(run["host_seconds"] <= HOST_SECONDS and run["bytes"] <= BYTES for run in runs)
        print(f"  goal {HOST_SECONDS:.0f} s of the host and {BYTES / 1e9:.0f} GB: {report.verdict(met)}")
    found["took_seconds"] = time.perf_counter() - began
    print(f"\ntook {found['took_seconds']:.0f} s")
    report.write(args.out, found)


if __name__ == "__main__":
    main()
