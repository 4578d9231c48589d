"""Scaling: a jreg study's time per training as it grows, and two CPU devices against one.

  size     the tiny grid of speed.py (30-16-1 on breast cancer) with 20 epochs, 100 and 10,000 trainings: the
           goal is that a training takes at most 5% more in the large study. Compilation is left out; the engine's own
           seconds (`study.results.timing.run_seconds`) count, and the seconds of the whole call, whose fixed part a
           study of 100 tiny trainings doesn't hide, stand beside them. A run of the small study is the median of
           several.
  devices  the digits grid of speed.py with 10 epochs on two devices, and on one: the goal is 1.8 times the speed.
           The one device's process is pinned to one core (`os.sched_setaffinity`), because XLA's thread pool otherwise
           gives its matrix products the other core too; unpinned it stands beside them.

Every study has a process of its own; the first run, which compiles, is left out; then they are taken in turn.

Command:   python experiments/bench/scaling.py
Numbers:   see docs/performance.md
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from harness import race, report

# The tiny grid has 10 folds x 5 seeds.
TRAININGS_A_SETTING = 50
MOST_GROWTH = 1.05
LEAST_SPEEDUP = 1.8


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each study is taken")
    parser.add_argument("--part", nargs="+", choices=["size", "devices"], default=["size", "devices"])
    parser.add_argument("--trainings", type=int, nargs=2, default=[100, 10_000], help="multiples of 50")
    parser.add_argument("--size-epochs", type=int, default=20, help="of each training of the part size")
    parser.add_argument("--repeats", type=int, default=20, help="of the small study in a run")
    parser.add_argument("--settings", type=int, default=8, help="of the digits grid in the part devices")
    parser.add_argument("--device-epochs", type=int, default=10, help="of each training of the part devices")
    parser.add_argument("--out", type=Path, default=report.RUNS / "scaling.json")
    parser.add_argument("--be", type=json.loads, help="be the process of this study")
    return parser.parse_args()


def compete(study: dict[str, Any]) -> None:
    """A study's process: on so many devices, pinned to one core or not, so many times a run."""
    if study["pinned"]:
        # Before anything starts threads, which keep the cores they began with.
        if not hasattr(os, "sched_setaffinity"):
            sys.exit("this system can't pin a process to a core")
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])

    def prepare() -> Any:
        from peers import grids, jreg_study

        import jreg

        jreg.use_cpu_devices(study["devices"])
        sizes = grids.Sizes(epochs=study["epochs"], settings=study["settings"])
        run = jreg_study.make_on_found_devices(grids.make_task(study["task"], sizes))

        def answer() -> dict[str, Any]:
            own, whole = [], []
            for _ in range(study["repeats"]):
                began = time.perf_counter()
                outcome = run()
                whole.append(time.perf_counter() - began)
                own.append(outcome.more["run_seconds"])
            return {"run_seconds": statistics.median(own), "call_seconds": statistics.median(whole)}

        return answer

    race.serve(prepare, once=False)


def take(studies: dict[str, dict[str, Any]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """The seconds of each study in each round."""
    start = [sys.executable, str(Path(__file__).resolve()), "--be"]
    commands = {name: [*start, json.dumps(study)] for name, study in studies.items()}
    found = {name: {"run_seconds": [], "call_seconds": []} for name in studies}
    for turn in race.steady(commands, rounds):
        if turn.round:
            for key, values in found[turn.name].items():
                values.append(turn.answer[key])
            times = f"{turn.answer['run_seconds']:8.3f} s, the whole call {turn.answer['call_seconds']:8.3f} s"
            print(f"round {turn.round}  {turn.name:22}{times}", flush=True)
    return found


def size(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds per training in a small study and in a large one."""
    shared = {"task": "tiny", "epochs": args.size_epochs, "devices": None, "pinned": False}
    repeats = (args.repeats, 1)
    studies = {
        f"{count} trainings": {**shared, "settings": count // TRAININGS_A_SETTING, "repeats": times}
        for count, times in zip(args.trainings, repeats, strict=True)
    }
    found = take(studies, args.rounds)
    counts = [study["settings"] * TRAININGS_A_SETTING for study in studies.values()]
    growth = {}
    for key in ("run_seconds", "call_seconds"):
        each = [statistics.median(one[key]) / count for one, count in zip(found.values(), counts, strict=True)]
        print(f"microseconds per training, {key}: " + ", ".join(f"{1e6 * seconds:.0f}" for seconds in each))
        growth[key] = each[1] / each[0]
    met = growth["run_seconds"] <= MOST_GROWTH
    print(f"large / small {growth['run_seconds']:.3f}, goal <= {MOST_GROWTH}: {report.verdict(met)}")
    print(f"large / small of whole calls {growth['call_seconds']:.3f}")
    return {"studies": found, "trainings": counts, "growth": growth, "goal": MOST_GROWTH, "met": met}


def devices(args: argparse.Namespace) -> dict[str, Any]:
    """Two devices against one."""
    shared = {"task": "digits", "epochs": args.device_epochs, "settings": args.settings, "repeats": 1}
    studies = {
        "2 devices": {**shared, "devices": 2, "pinned": False},
        "1 device, 1 core": {**shared, "devices": 1, "pinned": True},
        "1 device, all cores": {**shared, "devices": 1, "pinned": False},
    }
    found = take(studies, args.rounds)
    two, pinned, free = (statistics.median(one["call_seconds"]) for one in found.values())
    met = pinned / two >= LEAST_SPEEDUP
    print(f"1 device on 1 core / 2 devices {pinned / two:.2f}, goal >= {LEAST_SPEEDUP}: {report.verdict(met)}")
    print(f"1 device on all cores / 2 devices {free / two:.2f}")
    return {"studies": found, "speedup": pinned / two, "unpinned": free / two, "goal": LEAST_SPEEDUP, "met": met}


def main() -> None:
    """Measures, prints and writes."""
    args = parse()
    if args.be:
        compete(args.be)
        return
    began, found = time.perf_counter(), report.header()
    print(report.describe(found) + "\n")
    parts = {"size": size, "devices": devices}
    for part in args.part:
        found[part] = parts[part](args)
    found["took_seconds"] = time.perf_counter() - began
    print(f"\ntook {found['took_seconds']:.0f} s")
    report.write(args.out, found)


if __name__ == "__main__":
    main()
