"""Ray: two workers of one core each against one process with two devices, on the digits grid of speed.py.

The goal is 0.85 of the process's speed. Seconds are those of the trainings (`study.results.timing.run_seconds`),
without compilation; the start of the workers stands beside them, and the seconds of the whole call. Each way has a
process of its own, in which the study is run several times: the cluster is started once, workers anew in each study.
Both keep their programs in a folder, so that they compile in the first run, which is left out; then they are taken in
turn.

Command:   python experiments/bench/ray_workers.py, where the extra `ray` is installed
Numbers:   two cores of an Intel Xeon (AVX-512), --settings 12 --rounds 4, four minutes: 1.08 (0.95 to 1.19); the
           cluster starts in 2.4 s, two workers in 1.4 s
"""

import argparse
import json
import logging
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from harness import race, report

LEAST = 0.85
WAYS = ("one process, 2 devices", "2 Ray workers")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is taken")
    parser.add_argument("--settings", type=int, default=32, help="of the digits grid")
    parser.add_argument("--epochs", type=int, default=200, help="of each training")
    parser.add_argument("--out", type=Path, default=report.RUNS / "ray.json")
    parser.add_argument("--be", type=json.loads, help="be the process of this way")
    return parser.parse_args()


def compete(way: dict[str, Any]) -> None:
    """The process of one way."""

    def prepare() -> Any:
        import os
        import tempfile

        # Also in the workers, which have this environment.
        os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "true"
        import jax
        import numpy as np
        import optax

        import jreg
        from jreg import losses, nn, penalties

        jreg.use_cpu_devices(2)
        programs = tempfile.TemporaryDirectory(prefix="jreg-bench-")
        jax.config.update("jax_compilation_cache_dir", programs.name)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

        def recipe(hp: Any) -> jreg.Recipe:
            network = nn.MLP((128, 128, 10), dropout=hp["dropout"])
            penalty = hp["l2"] * jreg.on_params(penalties.l2)
            return jreg.Recipe(network, losses.softmax_cross_entropy, optax.adam(1e-3), penalty=penalty)

        data = jreg.load_dataset("digits")
        space = jreg.grid(l2=np.logspace(-5, -2, way["settings"] // 2).tolist(), dropout=[0.0, 0.5])
        executor = None
        if way["name"] == WAYS[1]:
            import ray

            began = time.perf_counter()
            how = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 200 * 2**20}
            ray.init(**how, log_to_driver=False, logging_level=logging.ERROR)
            way["cluster_seconds"] = time.perf_counter() - began
            executor = jreg.executors.Ray(num_workers=2, resources={"CPU": 1})

        def answer(programs: Any = programs) -> dict[str, Any]:
            del programs  # which lasts as long as this
            began, first = time.perf_counter(), []

            def observe(progress: Any) -> None:
                if progress.compiling and not first:
                    first.append(time.perf_counter() - began)

            options = {"cv": 5, "epochs": way["epochs"], "progress": observe, "executor": executor}
            study = jreg.cross_validate(recipe, data, space, **options)
            timing = study.results.timing
            return {
                "run_seconds": timing.run_seconds,
                "compile_seconds": timing.compile_seconds,
                "start_seconds": first[0],
                "call_seconds": time.perf_counter() - began,
                "cluster_seconds": way.get("cluster_seconds", 0.0),
                "score": float(np.nanmean(study.scores)),
            }

        return answer

    race.serve(prepare, once=False)


def main() -> None:
    """Takes both in turn and says how they compare."""
    args = parse()
    if args.be is not None:
        compete(args.be)
        return
    header = report.header()
    print(report.describe(header) + "\n")
    start = [sys.executable, str(Path(__file__).resolve()), "--be"]
    shared = {"settings": args.settings, "epochs": args.epochs}
    commands = {name: [*start, json.dumps({"name": name, **shared})] for name in WAYS}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    for turn in race.steady(commands, args.rounds):
        if turn.round:
            found[turn.name].append(turn.answer)
            words = ", ".join(
                f"{key} {turn.answer[key]:.2f}" for key in ("run_seconds", "start_seconds", "call_seconds")
            )
            print(f"round {turn.round}  {turn.name:24}{words}", flush=True)
    one, two = ([answer["run_seconds"] for answer in found[name]] for name in WAYS)
    ratios = [a / b for a, b in zip(one, two, strict=True)]
    ratio = statistics.median(ratios)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    starts = statistics.median(answer["start_seconds"] for answer in found[WAYS[1]])
    said = report.verdict(ratio >= LEAST)
    print(f"speed of 2 Ray workers / one process: {ratio:.3f} ({spread}), goal >= {LEAST}: {said}")
    print(f"start of the cluster {found[WAYS[1]][0]['cluster_seconds']:.1f} s, of two workers {starts:.1f} s")
    same = {answer["score"] for answers in found.values() for answer in answers}
    print(f"mean scores: {sorted(same)}")
    numbers = {"ways": found, "ratios": ratios, "ratio": ratio, "goal": LEAST, "met": ratio >= LEAST}
    report.write(args.out, {**header, **numbers, "sizes": shared})


if __name__ == "__main__":
    main()
