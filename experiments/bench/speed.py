"""Speed: grids of trainings with jreg and its peers, or with two commits of jreg, taken in turn on one machine.

  digits    40 trainings: 5 folds x 8 strengths of L2; 64-128-128-10, dropout 0.5, batches of 64, 30 epochs
  tiny      1,000 trainings on breast cancer: 10 folds x 20 strengths of L2 x 5 seeds; 30-16-1, batches of 32, 30 epochs
  mnist     12 trainings on 12,000 images: 3 folds x 4 rates of dropout; 784-256-256-10, batches of 128, 5 epochs
  stopping  1,000 trainings of the digits network, early stopping due after about 10 epochs, for 1 in 16 after about 95
  cnn       12 trainings on 2,000 images: 3 folds x 4 strengths of L2; two 3x3 convolutions, batches of 64, 2 epochs
  tabpack   64 trainings on made data of 6,400 x 11: 1 to 3 layers of 384 units, AdamW, batches of 256, own learning
            rate, weight decay and dropout each, early stopping with patience 16; member-steps per second

All but tabpack with Adam, 1e-3 but in `stopping`; the score is the validation accuracy. mnist and cnn read the files of
MNIST from the folder ``mnist`` in the one that JREG_DATA_DIR names. The contestants are in peers/:

  jreg      one call of jreg.cross_validate; it also evaluates the losses and accuracies of every epoch
  jax       plain JAX by hand: shard_map over two CPU devices, a sequential map of trainings or blocks in each
  jax+val   the same, measuring in every epoch what jreg does: equal work
  sklearn   GridSearchCV of MLPClassifier in two processes; it has no dropout, so it does less
  torch     PyTorch, a loop with fused Adam, two threads
  torch2    the same in two processes with a thread each
  ensemble  torch.func: all trainings as one vmapped network
  keras     Keras 3 on JAX, a compiled model and a fit for each training
  flax      Flax and optax in a Python loop around a jitted train step
  realmlp   pytabkit's RealMLP: the folds and seeds of a setting as one vectorized network, settings in turn
  whole     (stopping) jreg without early stopping, with as many steps in all: the throughput of the ideal
  naive     (stopping) the plain JAX program vmapped, whose while_loop runs until its slowest member stops

Each one's gradient steps, epochs and validation passes are counted and printed. A contestant whose package is missing
is left out. A slow one runs a slice of the trainings (`SLICES`), evenly spaced settings, and its times are
extrapolated: ~ marks them. Two measurements, each for so many rounds of A B C A B C ...:

  steady      every contestant in a process of its own that has run the grid once before (compilation and the start of
              worker processes are left out) and waits idle while another one runs
  end to end  a fresh process for the grid, timed from outside: imports, loading the data, compilation, training; no
              persistent compilation cache; bytecode of all packages is there from the steady part

The share of the peak is 6 operations for each weight in a matrix product or convolution and each example in training,
and 2 in validation, over the steady seconds and the fastest large float32 matrix product of the same run.

`--against COMMIT` runs jreg alone, of the commit (a temporary worktree) and of this checkout with its changes, A B A B,
and prints new / old with its spread. `--quick` takes less: three minutes on two cores with `--against`.

Command:   python experiments/bench/speed.py [--task digits ...] [--quick] [--against COMMIT]
Numbers:   see docs/performance.md
"""

import argparse
import json
import time
from pathlib import Path

from harness import against, report
from harness.contestants import CONTESTANTS, QUICK, compete, entered
from harness.measuring import MEASUREMENTS, measure
from harness.peak import peak_flops
from harness.ratios import ideal, member_steps, ratios, shares, unlike
from harness.tables import show
from peers.grids import NEED_MNIST, TASKS, Sizes, mnist_folder

# Those that take long, and where compilation and imports don't matter.
STEADY_ONLY = ("stopping", "tabpack")
# The grids of --quick and of --against, and how much of them --quick runs.
SHORT = {"digits": Sizes(epochs=10), "tiny": Sizes(epochs=10), "mnist": Sizes(epochs=2)}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", choices=TASKS, help="default: all; of --quick and --against: three")
    parser.add_argument("--against", metavar="COMMIT", help="compare jreg of this commit with this checkout's")
    parser.add_argument("--quick", action="store_true", help="few rounds of small grids: a first answer")
    parser.add_argument("--rounds", type=int, help="how often each contestant is taken; default: 3")
    parser.add_argument("--fresh-rounds", type=int, help="of fresh processes; default: as many")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, help="in this order; default: all of the task")
    parser.add_argument("--measure", nargs="+", choices=MEASUREMENTS, help="default: both; some grids: steady")
    parser.add_argument("--epochs", type=int, help="of each training at most; 1 for a smoke test")
    parser.add_argument("--settings", type=int, help="values of what is swept; 2 for a smoke test")
    parser.add_argument("--seeds", type=int, help="of each setting and fold")
    parser.add_argument("--rows", type=int, help="of the data")
    parser.add_argument("--peak-size", type=int, help="of the matrices that the peak is measured with; default: 4096")
    parser.add_argument("--out", type=Path, default=report.RUNS, help="folder for speed_TASK.json or against_TASK.json")
    parser.add_argument("--contestant", choices=CONTESTANTS, help="be this contestant's process")
    parser.add_argument("--once", action="store_true", help="with --contestant: run the grid once and end")
    parser.add_argument("--checkout", type=Path, help="with --contestant: the folder that jreg is imported from")
    return parser.parse_args()


def sizes_of(args: argparse.Namespace, task: str) -> Sizes:
    """What differs from the whole task: what --quick says, and before it the command line."""
    given = Sizes(args.epochs, args.settings, args.seeds, args.rows)
    quick = SHORT.get(task, Sizes()) if args.quick else Sizes()
    return Sizes(*(one if one is not None else other for one, other in zip(given, quick, strict=True)))


def fill(args: argparse.Namespace) -> None:
    """The defaults, which depend on what is asked for."""
    args.task = args.task or list(SHORT if args.quick or args.against else TASKS)
    if args.quick:
        args.rounds, args.peak_size = args.rounds or (5 if args.against else 3), args.peak_size or 2048
        args.fresh_rounds = args.fresh_rounds or (2 if args.against else 1)
    args.rounds, args.peak_size = args.rounds or 3, args.peak_size or 4096
    args.fresh_rounds = args.fresh_rounds or args.rounds
    args.contestants = args.contestants or (list(QUICK) if args.quick else None)


def present(tasks: list[str]) -> list[str]:
    """The tasks whose data are there; says which aren't."""
    missing = [task for task in tasks if task in NEED_MNIST and mnist_folder() is None]
    for task in missing:
        print(f"{task} is left out: set JREG_DATA_DIR to the folder that has MNIST in mnist/*.gz")
    return [task for task in tasks if task not in missing]


def announce(args: argparse.Namespace, tasks: list[str]) -> None:
    """Says what is about to run."""
    who = f"jreg of {args.against} and of this checkout" if args.against else "the contestants"
    print(f"{who}: {args.rounds} rounds steady, {args.fresh_rounds} of fresh processes")
    for task in tasks:
        changed = ", ".join(f"{name} {value}" for name, value in sizes_of(args, task)._asdict().items() if value)
        print(f"  {task:9}{changed or 'whole'}")
    print(flush=True)


def run(args: argparse.Namespace, task: str) -> None:
    """Measures a task, prints and writes."""
    began, top, names = time.perf_counter(), report.header(), entered(args.contestants, task)
    if not names:
        return
    measures = args.measure or (["steady"] if task in STEADY_ONLY else list(MEASUREMENTS))
    before = peak_flops(args.peak_size)
    found = measure(task, names, sizes_of(args, task), args.rounds, args.fresh_rounds, measures)
    # Of before and after, because a machine that is shared is slow at times.
    peak = max(before, peak_flops(args.peak_size))
    top["machine"]["peak_flops"] = peak
    sizes = {"rounds": args.rounds, "fresh_rounds": args.fresh_rounds, **sizes_of(args, task)._asdict()}
    faults = unlike(task, found, whole=sizes_of(args, task) == Sizes())
    result = {**top, "task": task, "sizes": sizes, "contestants": found}
    result |= {"ratios": ratios(task, found), "shares": shares(task, found, peak), "ideal": ideal(found)}
    result |= {"member_steps": member_steps(task, found), "alike": not faults, "unlike": faults}
    result["took_seconds"] = time.perf_counter() - began
    show(result)
    print(f"\ntook {result['took_seconds']:.0f} s")
    report.write(args.out / f"speed_{task}.json", json.loads(json.dumps(result)))


def main() -> None:
    """Runs the tasks one after the other."""
    args = parse()
    if args.contestant:
        compete(args, sizes_of(args, args.task[0]))
        return
    fill(args)
    began, tasks = time.perf_counter(), present(args.task)
    announce(args, tasks)
    if args.against:
        args.measure = args.measure or list(MEASUREMENTS)
        against.run(args, tasks, {task: sizes_of(args, task) for task in tasks})
    else:
        for task in tasks:
            run(args, task)
    print(f"all took {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
