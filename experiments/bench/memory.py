"""Memory: the peak resident memory of a jreg study with 50 and with 1,000 trainings, and with 1, 2, 4 and 8 devices.

The digits grid of speed.py with 3 epochs and dropout 0.5, 5 folds x 10 and x 200 strengths of L2. Every study
runs in a fresh process, the two sizes in turn, and reports its own high-water mark (`ru_maxrss`) after the imports and
at the end. The goal: 20 times as many trainings take at most 1.5 times the memory.

With several simulated devices, networks of 1000-64-10 under Adam with early stopping on 20,000 rows of made-up data, 4
slots per device: what lies on each device while they train beside what `jreg/engine/memory.py` says, and by how much a
device more makes the process grow. All of them share the cores there are, so that their time says nothing.

Command:   python experiments/bench/memory.py
Hardware:  two cores of an AMD EPYC, no GPU; Python 3.11.7, jax 0.10.2
Time:      44 s
Numbers:   540 MiB with 50 trainings, 568 MiB with 1,000, of which 247 MiB are there after the imports: ratio 1.05
"""

import argparse
import contextlib
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
    parser.add_argument(
        "--devices", type=int, nargs="*", default=[1, 2, 4, 8], help="simulated ones; none leaves it out"
    )
    parser.add_argument("--rows", type=int, default=20_000, help="of the data on each device")
    parser.add_argument("--out", type=Path, default=report.RUNS / "memory.json")
    parser.add_argument("--once", type=int, help="run the study with so many strengths in this process")
    parser.add_argument("--on", type=int, help="run the study on so many devices in this process")
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


def run_on(devices: int, rows: int) -> None:
    """Trains on so many devices, and prints what lies on each of them and what it should be."""
    import jax
    import numpy as np
    import optax

    import jreg
    from jreg.engine import compiled, memory, program
    from jreg.training import rows_of

    jreg.use_cpu_devices(devices)
    random = np.random.default_rng(0)
    data = jreg.Dataset(random.random((rows, 1000), np.float32), np.arange(rows) % 10, name="made up")

    def recipe(hp: Any) -> jreg.Recipe:
        penalty = hp["l2"] * jreg.on_params(jreg.penalties.l2)
        return jreg.Recipe(jreg.nn.MLP((64, 10)), jreg.losses.softmax_cross_entropy, optax.adam(1e-3), penalty=penalty)

    found: dict[str, Any] = {"devices": devices}
    account = compiled.bytes_of
    compiled.bytes_of = lambda made: found.setdefault("account_bytes", account(made))  # ty: ignore[invalid-assignment]

    def look(progress: Any) -> None:
        if not progress.running:
            return
        held = dict.fromkeys(range(devices), 0)
        for array in jax.live_arrays():
            for shard in array.addressable_shards:
                held[shard.device.id] += shard.data.nbytes
        found.update(device_bytes=list(held.values()), resident_bytes=resident())
        raise StopIteration

    layout, folds = jreg.Layout(tuple(jax.devices()), 4), [(np.arange(rows // 10, rows), np.arange(rows // 10))]
    space = jreg.grid(l2=np.logspace(-5, -1, 8 * devices))
    how: dict[str, Any] = {"cv": folds, "epochs": 50, "batch_size": 256, "keep": []}
    how["stopping"] = jreg.EarlyStopping(50)
    with contextlib.suppress(StopIteration):  # a look is enough
        jreg.cross_validate(recipe, data, space, **how, layout=layout, progress=look)
    design = jreg.Design.of(recipe, data, space, **how)
    [(plan, jobs)] = design.jobs(design.everything(), np.arange(8 * devices).reshape(-1, 1))
    example, held = jax.tree.map(lambda leaf: leaf[0], jobs), rows_of(data)
    shapes = program.shapes_of(plan, example, held, design.folds)
    sizes = memory.sizes_of(*shapes, held, design.folds)
    outbox = memory.outbox_length(sizes, layout.slots, None) * sizes.outcome
    found["formula"] = {"slots": layout.slots * sizes.slot, "outbox": outbox, "data and folds": sizes.shared}
    print(json.dumps(found))


def resident() -> int:
    """The bytes of this process that are in memory now, or where a system doesn't say, were at most."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return round(peak() * 2**20)


def on_devices(counts: list[int], rows: int) -> dict[str, Any]:
    """What lies on each device, and by how much each one more makes the process grow, beside the formula."""
    runs = [fresh("--on", str(count), "--rows", str(rows)) for count in counts]
    expected = sum(runs[0]["formula"].values())
    print(f"\nby formula {expected / 2**20:.2f} MiB on each device: {runs[0]['formula']}")
    for one in runs:
        on = [size / 2**20 for size in one["device_bytes"]]
        whole, account = one["resident_bytes"] / 2**20, one["account_bytes"] / 2**20
        print(
            f"{one['devices']} devices: {report.spread(on)} MiB on each, by XLA's account with temporaries "
            f"{account:.0f} MiB; {whole:.0f} MiB the process"
        )
    found: dict[str, Any] = {"rows": rows, "runs": runs, "formula_bytes": expected}
    if len(runs) > 1:
        first, last = runs[0], runs[-1]
        grown = (last["resident_bytes"] - first["resident_bytes"]) / (last["devices"] - first["devices"])
        found["grown_bytes"] = grown
        print(f"a device more: {grown / 2**20:.0f} MiB more of the process")
    return found


def measure(epochs: int, strengths: int) -> dict[str, Any]:
    """The high-water marks of a study in a fresh process."""
    return fresh("--once", str(strengths), "--epochs", str(epochs))


def fresh(*arguments: str) -> dict[str, Any]:
    """What a process of its own says."""
    command = [sys.executable, str(Path(__file__).resolve()), *arguments]
    done = subprocess.run(command, env=report.environment(), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures, prints and writes."""
    args = parse()
    if args.once:
        run_once(args.epochs, args.once)
        return
    if args.on:
        run_on(args.on, args.rows)
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
    devices = on_devices(args.devices, args.rows) if args.devices else None
    found |= {"devices": devices}
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
