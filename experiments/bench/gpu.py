"""Batches on an accelerator: throughput, compilation and memory with 1, 2, 4, ... 512 slots, one by one and in a batch.

The question of HFTA (Wang et al., Horizontally fused training array, 2021): how many times the throughput of one
training after the other has a device that trains many as one program. Its best cases are 15.1 times on a TPU and 11.5
on a GPU. By its protocol warm-up is left out, every member has random hyperparameters of its own, and the median of
three repeats counts. One device is used. Each number of slots, S, is measured twice:

  one by one  jreg.Layout(devices, S, batch=1): the slots are computed one after the other
  batch       jreg.Layout(devices, S, batch=S): all slots are computed as one vmapped batch

  tiny, digits, mnist, cnn  the networks of speed.py; mnist and cnn where JREG_DATA_DIR has the files
  tabpack                   two layers of 384 units on 6,400 x 11 made rows, batches of 256, AdamW, own learning rate,
                            weight decay and dropout each

Throughput is training-epochs per second in the program, member-steps are gradient steps of single networks. Every
measurement has a process of its own, so that its peak of memory is its own: the device's where it keeps account, else
the process's. The doubling ends where the slots don't fit into the device's memory.

The loop: an epoch of the digits network with dropout and Adam, for some members as one batch, whose number of steps is
an argument of the program (unknown), against the same with blocks of 8 steps inside (blocks), and against a number of
steps that the compiler knows (known). A GPU may have to ask the host whether a loop of unknown length goes on.

Command:   python experiments/bench/gpu.py [--task tiny digits ...] [--most 512]      (--smoke: a minute on a CPU)
Hardware:  not measured on a GPU
Numbers:   see docs/performance.md
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import race, report
from peers.grids import NEED_MNIST, Sizes, make_task, mnist_folder
from peers.task import Setting, Task

TASKS = ("tiny", "digits", "mnist", "cnn", "tabpack")
HFTA = {"TPU": 15.1, "GPU": 11.5}
DEPTH = 2


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", choices=TASKS, help="default: all")
    parser.add_argument("--most", type=int, default=512, help="slots")
    parser.add_argument("--epochs", type=int, default=5, help="of each training")
    parser.add_argument("--rounds", type=int, default=3, help="repeats of each measurement")
    parser.add_argument("--seconds", type=float, default=4.0, help="that a repeat takes at least, about")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 64], help="networks in the loop's batch")
    parser.add_argument("--rows", type=int, help="of the data")
    parser.add_argument("--peak-size", type=int, default=8192, help="of the matrices that the peak is measured with")
    parser.add_argument("--smoke", action="store_true", help="a tiny version that runs on CPUs")
    parser.add_argument("--out", type=Path, default=report.RUNS / "gpu.json")
    parser.add_argument("--be", type=json.loads, help="be the process of this measurement")
    args = parser.parse_args()
    args.task = args.task or (["tiny", "tabpack"] if args.smoke else list(TASKS))
    if args.smoke:
        args.most, args.epochs, args.rounds, args.seconds, args.members, args.peak_size = 2, 1, 1, 0.0, [2], 256
    return args


def task_of(name: str, rows: int | None, epochs: int) -> Task:
    """A task whose trainings all run to their last epoch."""
    task = make_task(name, Sizes(epochs=epochs, rows=rows))._replace(patience=None)
    swept = {key: values for key, values in task.swept.items() if key != "blocks"}
    return task._replace(swept=swept, fixed=Setting(blocks=DEPTH) if name == "tabpack" else task.fixed)


def settings_of(task: Task, count: int, rng: np.random.Generator) -> list[dict[str, float]]:
    """Random hyperparameters between the smallest and largest that the task sweeps, log-uniform where above 0."""
    columns = {}
    for name, values in task.swept.items():
        low, high = float(values.min()), float(values.max())
        logs = name != "dropout" and low > 0
        columns[name] = np.exp(rng.uniform(np.log(low), np.log(high), count)) if logs else rng.uniform(low, high, count)
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def throughput(task: str, rows: int | None, epochs: int, slots: int, batch: int, rounds: int, seconds: float) -> Any:
    """The process of one layout: trainings' epochs per second; None where it doesn't fit into memory."""
    import jax
    from peers import jreg_study

    import jreg

    device = jax.local_devices()[0]
    layout, work = jreg.Layout((device,), slots, batch), task_of(task, rows, epochs)
    data, recipe = jreg.Dataset(work.x, work.y, name=work.name), jreg_study.recipe_of(work)

    def run(trainings: int, seed: int) -> Any:
        space = settings_of(work, trainings, np.random.default_rng(seed))
        options = {"cv": work.folds[:1], "epochs": epochs, "batch_size": work.batch, "progress": False}
        return jreg.cross_validate(recipe, data, space, layout=layout, **options)

    first = run(slots, seed=0)
    if first.layout != layout:
        return None
    took = run(slots, seed=1).results.timing.device_seconds
    trainings = slots * max(1, round(seconds / took))
    times = [run(trainings, seed=2 + number).results.timing for number in range(rounds)]
    rates = [timing.useful / timing.device_seconds for timing in times]
    return {
        "slots": slots,
        "batch": batch,
        "trainings": trainings,
        "epochs_per_second": rates,
        "member_steps_per_second": [rate * work.steps for rate in rates],
        "compile_seconds": first.results.timing.compile_seconds,
        **memory_of(device),
    }


def memory_of(device: Any) -> dict[str, Any]:
    """The most bytes that were in use so far, and by whose account."""
    try:
        found = device.memory_stats() or {}
    except (RuntimeError, NotImplementedError):  # backends that keep no account raise one or the other
        found = {}
    if "peak_bytes_in_use" in found:
        return {"memory_mib": found["peak_bytes_in_use"] / 2**20, "memory_of": "device"}
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"memory_mib": used / (2**20 if sys.platform == "darwin" else 2**10), "memory_of": "process"}


def device(size: int) -> dict[str, Any]:
    """The process that looks at the device: its kind, and its peak by a float32 matrix product of JAX.

    JAX's default precision is used, which is TF32 on newer GPUs.
    """
    import jax
    from harness.peak import flops

    a = jax.random.normal(jax.random.key(0), (size, size))
    multiply = jax.jit(lambda a, b: a @ b)
    peak = flops(lambda a, b: multiply(a, b).block_until_ready(), a, a, 5)
    found = jax.local_devices()[0]
    return {"kind": found.device_kind, "platform": found.platform, "peak_flops": peak}


def ask(part: str, **what: Any) -> Any:
    """What a process of its own answers; None, with its last words printed, where it failed."""
    command = [sys.executable, str(Path(__file__).resolve()), "--be", json.dumps({"part": part, **what})]
    done = subprocess.run(command, env=report.environment(cpu=False), capture_output=True, text=True)
    if done.returncode:
        print(f"{part} {what} failed: {done.stderr.strip().splitlines()[-1:]}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])["found"]


def be(part: str, what: dict[str, Any]) -> None:
    """Is the process of a measurement."""

    def prepare() -> Any:
        if part == "loop":
            from harness.loop import loop

            return lambda: {"found": loop(**what)}
        function = {"device": device, "throughput": throughput}[part]
        return lambda: {"found": function(**what)}

    race.serve(prepare, once=True)


def measure(task: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One task with twice as many slots each time: both layouts, and batch / one by one."""
    found = []
    number = 1
    while number <= args.most:
        shared = {"task": task, "rows": args.rows, "epochs": args.epochs, "slots": number}
        shared |= {"rounds": args.rounds, "seconds": args.seconds}
        single = ask("throughput", batch=1, **shared)
        # One slot is the same layout either way.
        batch = single if number == 1 else ask("throughput", batch=number, **shared)
        for name, one in (("one by one", single), ("batch", batch)):
            if one is not None and (number > 1 or name == "batch"):
                print(row_of(task, name, one), flush=True)
        if batch is None:
            print(f"{task}: a batch of {number} slots doesn't fit")
            break
        ratio = middle(batch) / middle(single) if single else None
        found.append({"slots": number, "one_by_one": single, "batch": batch, "ratio": ratio})
        number *= 2
    return found


def middle(one: dict[str, Any]) -> float:
    """The median throughput."""
    return statistics.median(one["epochs_per_second"])


def row_of(task: str, name: str, one: dict[str, Any]) -> str:
    """A line of the table."""
    steps = statistics.median(one["member_steps_per_second"])
    return (
        f"{task:9}{one['slots']:>5}  {name:12}{report.spread(one['epochs_per_second'], 1):>32}{steps:>14.0f}"
        f"{one['compile_seconds']:>13.2f}{one['memory_mib']:>10.0f} of the {one['memory_of']}"
    )


def best_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    """HFTA's number: the fastest batch over the fastest that runs one training after the other."""
    batches = {one["slots"]: middle(one["batch"]) for one in found}
    singles = [middle(one["one_by_one"]) for one in found if one["one_by_one"]]
    fastest = max(batches, key=batches.__getitem__)
    return {"slots": fastest, "ratio": batches[fastest] / max(singles)}


def main() -> None:
    """Measures, prints and writes. This process doesn't import JAX, so that the device's memory is the children's."""
    args = parse()
    if args.be:
        part = args.be.pop("part")
        be(part, args.be)
        return
    began, found = time.perf_counter(), report.header()
    found["device"] = ask("device", size=args.peak_size) or sys.exit("JAX finds no device")
    found["hardware"] = "not measured on a GPU" if found["device"]["platform"] == "cpu" else found["device"]["kind"]
    place = f"{found['device']['kind']}, {found['device']['peak_flops'] / 1e9:.0f} GFLOP/s in a matrix product"
    print(f"{report.describe(found)}\n{place}\n")
    tasks = [name for name in args.task if name not in NEED_MNIST or mnist_folder() is not None]
    for name in sorted(set(args.task) - set(tasks)):
        print(f"{name} is left out: JREG_DATA_DIR names no folder with MNIST")
    columns = f"{'training-epochs per second':>32}{'member-steps':>14}{'compilation':>13}{'MiB':>10}"
    print(f"{'':9}{'slots':>5}  {'':12}{columns}")
    found["tasks"] = {name: measure(name, args) for name in tasks}
    found["best"] = {name: best_of(rows) for name, rows in found["tasks"].items() if rows}
    print("\nfastest batch / fastest one by one (HFTA: " + ", ".join(f"{r} on a {d}" for d, r in HFTA.items()) + ")")
    for name, best in found["best"].items():
        print(f"{name:9}{best['ratio']:8.2f} with {best['slots']} slots")
    loops = (ask("loop", members=members, epochs=10, rounds=args.rounds) for members in args.members)
    found["loops"] = [one for one in loops if one]
    print("\nmilliseconds of an epoch of 23 steps of the digits network")
    for one in found["loops"]:
        times = (f"{name} {report.spread([1e3 * s for s in t])}" for name, t in one["seconds_per_epoch"].items())
        print(f"{one['members']:>5} members: {', '.join(times)}")
    found |= {"epochs": args.epochs, "took_seconds": time.perf_counter() - began}
    print(f"\ntook {found['took_seconds']:.0f} s")
    report.write(args.out, found)


if __name__ == "__main__":
    main()
