"""Slots against throughput: trainings a second with 1, 2, 4, ... slots in a batch, until it stops growing.

The question of HFTA (Wang et al., Horizontally fused training array, 2021, whose best case is 15.1 times the
throughput of one training at a time on the same accelerator), with its protocol: warm-up is left out, every member has
random hyperparameters of its own, and the median of three repeats counts. One slot is one training after the other.

  tiny    the network 30-16-1 of speed.py on breast cancer
  digits  its network 64-128-128-10 with dropout
  cnn     its two convolutions on MNIST, where JREG_DATA_DIR has the files

Made for a GPU or TPU, where all slots of a device are one vmapped batch; on a CPU it runs too and shows which batch
pays there (the rule in `jreg.choose_layout` comes from it). The largest number of slots is where throughput grows by
less than a tenth, or where the device's memory ends.

Command:   python experiments/bench/slots.py [--task tiny digits cnn] [--most 1024]
Hardware:  two cores of an AMD EPYC with AVX-512, no GPU: nobody has run it on an accelerator yet
Numbers:   see docs/performance.md
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import report

GROWTH = 1.1
TASKS = ("tiny", "digits", "cnn")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--most", type=int, default=1024, help="slots of a device")
    parser.add_argument("--epochs", type=int, default=10, help="of each training")
    parser.add_argument("--rounds", type=int, default=3, help="repeats of each number of slots")
    parser.add_argument("--seconds", type=float, default=4.0, help="that a repeat takes about")
    parser.add_argument("--out", type=Path, default=report.RUNS / "slots.json")
    return parser.parse_args()


def throughput(task: Any, slots: int, epochs: int, rounds: int, seconds: float) -> dict[str, Any] | None:
    """Trainings a second with so many slots; None where they don't fit into memory."""
    import jax
    from peers import jreg_study

    import jreg

    layout = jreg.Layout(tuple(jax.local_devices()), slots, slots)
    lanes = slots * len(layout.devices)
    data = jreg.Dataset(task.x, task.y, name=task.name)
    recipe = jreg_study.recipe_of(task)

    def run(trainings: int, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        space = [{"l2": float(strength)} for strength in 10 ** rng.uniform(-6, -2, trainings)]
        options = {"cv": task.folds[:1], "epochs": epochs, "batch_size": task.batch, "progress": False}
        return jreg.cross_validate(recipe, data, space, layout=layout, **options)

    began = time.perf_counter()
    warm = run(lanes, seed=0)
    if warm.layout != layout:
        return None
    took = run(lanes, seed=1).results.timing.run_seconds
    trainings = lanes * max(1, round(seconds / took))
    rates = [trainings / run(trainings, seed=2 + number).results.timing.run_seconds for number in range(rounds)]
    return {"slots": slots, "trainings": trainings, "per_second": rates, "seconds": time.perf_counter() - began}


def measure(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One task, with twice as many slots each time."""
    from peers.task import make_task

    task, found = make_task(name), []
    slots = 1
    while slots <= args.most:
        one = throughput(task, slots, args.epochs, args.rounds, args.seconds)
        if one is None:
            print(f"{name}: {slots} slots don't fit into the device's memory")
            break
        found.append(one)
        rate, alone = (statistics.median(each["per_second"]) for each in (one, found[0]))
        spread = report.spread(one["per_second"], 1)
        print(f"{name:8}{slots:>6} slots {spread:>28} trainings a second, {rate / alone:6.2f} times one", flush=True)
        rates = [statistics.median(each["per_second"]) for each in found]
        # The last two, because a batch of two can be slower than one and of eight faster.
        if len(rates) > 2 and max(rates[-2:]) < GROWTH * max(rates[:-2]):
            break
        slots *= 2
    return found


def main() -> None:
    """Measures, prints and writes."""
    args = parse()
    import jax
    from peers.task import NEED_MNIST, mnist_folder

    import jreg

    jreg.use_cpu_devices()
    top, began = report.header(), time.perf_counter()
    devices = jax.local_devices()
    print(f"{report.describe(top)}\n{len(devices)} x {devices[0].device_kind}\n")
    tasks = [name for name in args.task if name not in NEED_MNIST or mnist_folder() is not None]
    for name in sorted(set(args.task) - set(tasks)):
        print(f"{name} is left out: JREG_DATA_DIR names no folder with MNIST")
    found = {name: measure(name, args) for name in tasks}
    result = {**top, "devices": len(devices), "kind": devices[0].device_kind, "epochs": args.epochs, "tasks": found}
    result["took_seconds"] = time.perf_counter() - began
    print(f"\ntook {result['took_seconds']:.0f} s")
    report.write(args.out, result)


if __name__ == "__main__":
    main()
