"""Speed: five grids of trainings with jreg and its peers, taken in turn on one machine.

  digits    40 trainings: 5 folds x 8 strengths of L2; 64-128-128-10, dropout 0.5, batches of 64, 30 epochs
  tiny      1,000 trainings on breast cancer: 10 folds x 20 strengths of L2 x 5 seeds; 30-16-1, batches of 32, 30 epochs
  mnist     12 trainings on 12,000 images: 3 folds x 4 rates of dropout; 784-256-256-10, batches of 128, 5 epochs
  stopping  1,000 trainings of the digits network, early stopping due after about 10 epochs, for 1 in 16 after about 95
  cnn       12 trainings on 2,000 images: 3 folds x 4 strengths of L2; two 3x3 convolutions, batches of 64, 2 epochs

All with Adam, 1e-3 but in `stopping`; the score is the validation accuracy. mnist and cnn read the files of MNIST from
the folder ``mnist`` in the one that JREG_DATA_DIR names. The contestants are in peers/:

  jreg      one call of jreg.cross_validate; it also evaluates the losses and accuracies of every epoch
  jax       plain JAX by hand: shard_map over two CPU devices, a sequential map of trainings or blocks in each
  sklearn   GridSearchCV of MLPClassifier in two processes; it has no dropout, so it does less
  torch     PyTorch, a loop with fused Adam, two threads
  torch2    the same in two processes with a thread each
  ensemble  torch.func: all trainings as one vmapped network
  keras     Keras 3 on JAX, a compiled model and a fit for each training
  flax      Flax and optax in a Python loop around a jitted train step
  whole     (stopping) jreg without early stopping, with as many steps in all: the throughput of the ideal
  naive     (stopping) the plain JAX program vmapped, whose while_loop runs until its slowest member stops

A contestant whose package is missing is left out. A slow one runs a slice of the trainings (`SLICES`), evenly spaced
settings, and its times are extrapolated: ~ marks them. Two measurements, each for so many rounds of A B C A B C ...:

  steady      every contestant in a process of its own that has run the grid once before (compilation and the start of
              worker processes are left out) and waits idle while another one runs
  end to end  a fresh process for the grid, timed from outside: imports, loading the data, compilation, training; no
              persistent compilation cache; bytecode of all packages is there from the steady part

The share of the peak is 6 operations for each weight in a matrix product or convolution and each example in training,
and 2 in validation, over the steady seconds and the fastest large float32 matrix product of the same run.

Command:   python experiments/bench/speed.py [--task digits ...]
Numbers:   see docs/performance.md
"""

import argparse
import importlib
import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from peers import race, report
from peers.task import NEED_MNIST, TASKS, Sizes, make_task, mnist_folder, part_of

# Each contestant's file and function, and the package that it needs and that may be missing.
CONTESTANTS = {
    "jreg": ("jreg_study", "make", None),
    "jax": ("jax_by_hand", "make", None),
    "sklearn": ("sklearn_grid", "make", None),
    "torch": ("torch_loop", "make", "torch"),
    "torch2": ("torch_loop", "make_in_two", "torch"),
    "ensemble": ("torch_ensemble", "make", "torch"),
    "keras": ("keras_fits", "make", "keras"),
    "flax": ("flax_loop", "make", None),
    "whole": ("jreg_study", "make_unstopped", None),
    "naive": ("jax_by_hand", "make_vmapped", None),
}
LIBRARIES = ("sklearn", "torch", "torch2", "ensemble", "keras", "flax")
ENTERED = {
    "digits": ("jreg", "jax", *LIBRARIES),
    "tiny": ("jreg", "jax", *LIBRARIES),
    "mnist": ("jreg", "jax", *LIBRARIES),
    "stopping": ("jreg", "whole", "jax", "naive"),
    "cnn": ("jreg", "jax", *(name for name in LIBRARIES if name != "sklearn")),
}
# Settings and seeds of the slices that slow contestants run; None: all.
SLICES = {
    "digits": {"keras": (1, None)},
    "tiny": {"sklearn": (4, None), "torch": (2, None), "torch2": (2, None), "keras": (1, 1), "flax": (2, None)},
    "mnist": {},
    "stopping": {"naive": (32, None)},
    "cnn": {},
}
MEASUREMENTS = {"steady": "steady_seconds", "end_to_end": "end_to_end_seconds"}
# The least ratio to jreg's median of the fastest library's and of plain JAX's, and jreg's least share of the peak.
GOALS = {
    "digits": {"steady": {"library": 2.5, "jax": 1.3}, "end_to_end": {"library": 1.5}, "peak": 0.5},
    "tiny": {"steady": {"library": 1.5, "jax": 1.2}, "end_to_end": {"library": 1.5}, "peak": 0.1},
    "mnist": {"steady": {"library": 1.5, "jax": 1.0}, "end_to_end": {"library": 1.2}, "peak": 0.75},
}
# The most that jreg's time may be of the ideal: useful steps at the speed without early stopping.
MOST_OF_IDEAL = 1.15
# Below it something is broken; and no two contestants' best settings may differ by more.
LEAST_ACCURACY = {"digits": 0.95, "tiny": 0.96, "mnist": 0.92, "stopping": 0.9, "cnn": 0.65}
MOST_APART = {"digits": 0.02, "tiny": 0.02, "mnist": 0.02, "stopping": 0.03, "cnn": 0.15}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=3, help="how often each contestant is taken")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, help="in this order; default: all of the task")
    parser.add_argument("--measure", nargs="+", choices=MEASUREMENTS, help="default: both, of stopping: steady")
    parser.add_argument("--epochs", type=int, help="of each training at most; 1 for a smoke test")
    parser.add_argument("--settings", type=int, help="values of what is swept; 2 for a smoke test")
    parser.add_argument("--seeds", type=int, help="of each setting and fold")
    parser.add_argument("--rows", type=int, help="of the data")
    parser.add_argument("--peak-size", type=int, default=4096, help="of the matrices that the peak is measured with")
    parser.add_argument("--out", type=Path, default=report.RUNS, help="folder for speed_TASK.json")
    parser.add_argument("--contestant", choices=CONTESTANTS, help="be this contestant's process")
    parser.add_argument("--once", action="store_true", help="with --contestant: run the grid once and end")
    return parser.parse_args()


def sizes_of(args: argparse.Namespace) -> Sizes:
    """What the command line changes about the tasks."""
    return Sizes(args.epochs, args.settings, args.seeds, args.rows)


def slice_of(task: str, name: str) -> tuple[int | None, int | None]:
    """Settings and seeds that a contestant runs."""
    return SLICES[task].get(name, (None, None))


def compete(args: argparse.Namespace) -> None:
    """A contestant's process."""
    (name,) = args.task
    file, function, _ = CONTESTANTS[args.contestant]

    def prepare() -> Any:
        module = importlib.import_module(f"peers.{file}")
        whole = make_task(name, sizes_of(args))
        task = part_of(whole, *slice_of(name, args.contestant))
        run = getattr(module, function)(task)
        train, validation = (sum(map(len, rows)) / len(task.folds) for rows in zip(*task.folds, strict=True))

        def answer() -> dict[str, Any]:
            outcome = run()
            examples = 6 * outcome.steps * train / task.steps + 2 * outcome.validations * validation
            known = {"share": task.trainings / whole.trainings, "trainings": task.trainings}
            return {**outcome._asdict(), **known, "operations": examples * task.multiplications}

        return answer

    race.serve(prepare, args.once)


def commands(args: argparse.Namespace, task: str, names: list[str], *more: str) -> dict[str, list[str]]:
    """Starts the contestants' processes."""
    given = [(f"--{key}", value) for key, value in sizes_of(args)._asdict().items() if value is not None]
    sizes = [str(word) for pair in given for word in pair]
    start = [sys.executable, str(Path(__file__).resolve()), "--task", task]
    return {name: [*start, "--contestant", name, *sizes, *more] for name in names}


def entered(args: argparse.Namespace, task: str) -> list[str]:
    """The contestants of a task that can run here; says which can't."""
    names = []
    for name in args.contestants or ENTERED[task]:
        package = CONTESTANTS[name][2]
        if name not in ENTERED[task]:
            print(f"{task}: {name} does not take part")
        elif package and importlib.util.find_spec(package) is None:
            print(f"{task}: {name} is left out, because {package} is not installed")
        else:
            names.append(name)
    return names


def begin(answer: race.Answer) -> dict[str, Any]:
    """What is known of a contestant after its first run."""
    kept = ("scores", "steps", "validations", "share", "trainings", "operations")
    found = {
        "first_seconds": answer["seconds"] / answer["share"],
        "best_accuracy": max(answer["scores"]),
        "extrapolated": answer["share"] < 1,
        **{key: answer[key] for key in kept},
        **{key: [] for key in MEASUREMENTS.values()},
    }
    if "stops" in answer["more"]:
        found["stops"] = stops_of(answer["more"]["stops"])
    return found


def stops_of(epochs: list[int]) -> dict[str, float]:
    """How the trainings' numbers of epochs are spread, and the share of those below a quarter of the largest."""
    early = sum(epoch < max(epochs) / 4 for epoch in epochs) / len(epochs)
    mean = statistics.mean(epochs)
    return {
        "mean": mean,
        "median": statistics.median(epochs),
        "smallest": min(epochs),
        "largest": max(epochs),
        "early_share": early,
        "largest_to_mean": max(epochs) / mean,
    }


def measure(args: argparse.Namespace, task: str, names: list[str], measures: list[str]) -> dict[str, dict[str, Any]]:
    """Takes the contestants in turn; the times of slices are extrapolated."""
    found: dict[str, dict[str, Any]] = {}
    turns = []
    if "steady" in measures:
        turns.append(race.steady(commands(args, task, names), args.rounds))
    if "end_to_end" in measures:
        turns.append(race.fresh(commands(args, task, names, "--once"), args.rounds))
    for turn in (turn for part in turns for turn in part):
        answer = turn.answer
        one = found.setdefault(turn.name, begin(answer))
        seconds = answer["seconds"] / answer["share"]
        if turn.seconds is not None:
            # Imports and loading don't grow with the slice.
            seconds += turn.seconds - answer["seconds"]
            one["end_to_end_seconds"].append(seconds)
        elif turn.round:
            one["steady_seconds"].append(seconds)
        for key, value in answer["more"].items():
            if key != "stops" and (turn.round or turn.seconds is not None):
                one.setdefault(key, []).append(value)
        part = "first run" if turn.round == 0 else "steady" if turn.seconds is None else "end to end"
        print(
            f"{task:9}{part:11} {turn.round or '':1}  {turn.name:9}{'~' * one['extrapolated']:1}{seconds:8.2f} s",
            flush=True,
        )
    return found


def compare(ours: list[float], theirs: list[list[float]]) -> dict[str, float]:
    """The ratio of the fastest of some peers to jreg: of the medians, and the smallest and largest of one round."""
    rounds = [min(times) / our for our, *times in zip(ours, *theirs, strict=True)]
    ratio = min(map(statistics.median, theirs)) / statistics.median(ours)
    return {"ratio": ratio, "lowest": min(rounds), "highest": max(rounds)}


def ratios(task: str, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Each peer's time over jreg's and that of the fastest library, with the goals."""
    compared: dict[str, dict[str, dict[str, Any]]] = {}
    for measurement, key in MEASUREMENTS.items():
        compared[measurement] = {}
        if "jreg" not in found or not found["jreg"][key]:
            continue
        goals = GOALS.get(task, {}).get(measurement, {})
        peers = {name: [one[key]] for name, one in found.items() if name not in ("jreg", "whole")}
        libraries = [found[name][key] for name in LIBRARIES if name in found]
        for name, theirs in {**peers, **({"library": libraries} if libraries else {})}.items():
            one = compare(found["jreg"][key], theirs)
            goal = goals.get(name)
            compared[measurement][name] = {**one, "goal": goal, "met": None if goal is None else one["ratio"] >= goal}
    return compared


def ideal(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Early stopping's time over that of as many steps without it, and what the naive program wastes."""
    result: dict[str, Any] = {}
    if {"jreg", "whole"} <= set(found) and found["jreg"]["steady_seconds"]:
        ours, whole = found["jreg"], found["whole"]
        scale = whole["steps"] / ours["steps"]
        pairs = zip(ours["steady_seconds"], whole["steady_seconds"], strict=True)
        rounds = [scale * mine / other for mine, other in pairs]
        ratio = scale * statistics.median(ours["steady_seconds"]) / statistics.median(whole["steady_seconds"])
        result["of_ideal"] = {"ratio": ratio, "lowest": min(rounds), "highest": max(rounds), "goal": MOST_OF_IDEAL}
        result["of_ideal"]["met"] = ratio <= MOST_OF_IDEAL
        result["occupancy"] = statistics.median(ours["occupancy"])
    if {"jreg", "naive"} <= set(found) and found["jreg"]["steady_seconds"]:
        times = (statistics.median(found[name]["steady_seconds"]) for name in ("naive", "jreg"))
        naive, mine = times
        result["naive_to_jreg"] = naive / mine
        result["largest_to_mean_stop"] = found["jreg"]["stops"]["largest_to_mean"]
    return result


def shares(task: str, found: dict[str, dict[str, Any]], peak: float) -> dict[str, dict[str, Any]]:
    """Each contestant's share of the float32 peak in the steady runs."""
    result = {}
    for name, one in found.items():
        if one["steady_seconds"]:
            speed = one["operations"] / one["share"] / statistics.median(one["steady_seconds"])
            goal = GOALS.get(task, {}).get("peak") if name == "jreg" else None
            met = None if goal is None else speed / peak >= goal
            result[name] = {"share": speed / peak, "goal": goal, "met": met}
    return result


def unlike(task: str, found: dict[str, dict[str, Any]]) -> list[str]:
    """Why the contestants can't be compared; empty when they can."""
    faults = []
    best = {name: one["best_accuracy"] for name, one in found.items() if name != "whole"}
    for name, accuracy in best.items():
        if accuracy < LEAST_ACCURACY[task]:
            faults.append(f"{name}'s best accuracy is {accuracy:.4f}, below {LEAST_ACCURACY[task]}")
    if best and max(best.values()) - min(best.values()) > MOST_APART[task]:
        faults.append(f"the best accuracies lie more than {MOST_APART[task]} apart")
    # A slice of trainings that stop early has another mean than the whole, and other random numbers other stops.
    compared = {n: one for n, one in found.items() if n != "whole" and not (task == "stopping" and one["extrapolated"])}
    steps = {name: one["steps"] / one["share"] for name, one in compared.items()}
    most = 0.02 if task == "stopping" else 1e-6
    if steps and max(steps.values()) > (1 + most) * min(steps.values()):
        faults.append("the numbers of steps differ")
    return faults


def goal_of(one: dict[str, Any], sign: str = ">=") -> str:
    """A goal and whether it is met; nothing where there is none."""
    return "" if one["goal"] is None else f"goal {sign} {one['goal']}: {report.verdict(one['met'])}"


def show(result: dict[str, Any]) -> None:
    """Prints the tables of a task."""
    found = result["contestants"]
    print("\n" + report.describe(result))
    print(f"float32 peak {result['peak_flops'] / 1e9:.0f} GFLOP/s")
    print(f"\n{result['task']}: median seconds (smallest to largest)")
    print(f"{'':9}{'steady':>26}{'end to end':>26}{'first run':>11}{'of peak':>9}{'best accuracy':>15}{'steps':>10}")
    for name, one in found.items():
        sign = "~" * one["extrapolated"]
        steady, fresh = (report.spread(one[key], sign=sign) for key in MEASUREMENTS.values())
        peak = f"{result['shares'][name]['share']:.1%}" if name in result["shares"] else "-"
        first, steps = f"{sign}{one['first_seconds']:.2f}", round(one["steps"] / one["share"])
        print(f"{name:9}{steady:>26}{fresh:>26}{first:>11}{peak:>9}{one['best_accuracy']:>15.4f}{sign}{steps:>10}")
    print("\npeer / jreg: of the medians (smallest to largest round); library: the fastest of them")
    for measurement, peers in result["ratios"].items():
        for name, one in peers.items():
            spread = f"{one['ratio']:.2f} ({one['lowest']:.2f} to {one['highest']:.2f})"
            print(f"{measurement.replace('_', ' '):12}{name:9}{spread:>24}  {goal_of(one)}")
    ours = result["shares"].get("jreg")
    if ours and ours["goal"]:
        print(f"jreg's share of the peak {ours['share']:.1%}, {goal_of(ours)}")
    if "of_ideal" in result["ideal"]:
        one = result["ideal"]["of_ideal"]
        spread = f"{one['ratio']:.3f} ({one['lowest']:.3f} to {one['highest']:.3f})"
        print(f"jreg / ideal, as many steps without early stopping: {spread}, {goal_of(one, '<=')}")
        print(f"occupancy {result['ideal']['occupancy']:.3f}")
    if "naive_to_jreg" in result["ideal"]:
        ratio, waste = result["ideal"]["naive_to_jreg"], result["ideal"]["largest_to_mean_stop"]
        print(f"naive / jreg {ratio:.2f}, where the last stop / the mean stop is {waste:.2f}")
    for name, one in found.items():
        if "stops" in one:
            stops = ", ".join(f"{key} {value:.4g}" for key, value in one["stops"].items())
            print(f"epochs of {name}'s trainings: {stops}")
    for fault in result["unlike"]:
        print(f"NOT COMPARABLE: {fault}")


def peak_flops(size: int) -> float:
    """The machine's peak, by a process of its own."""
    command = [sys.executable, str(Path(__file__).parent / "peers" / "peak.py"), "--size", str(size)]
    (turn,) = race.fresh({"peak": command}, 1)
    return turn.answer["flops"]


def run(args: argparse.Namespace, task: str) -> None:
    """Measures a task, prints and writes."""
    if task in NEED_MNIST and mnist_folder() is None:
        print(f"{task} is left out: set JREG_DATA_DIR to the folder that has MNIST in mnist/*.gz")
        return
    began, top, names = time.perf_counter(), report.header(), entered(args, task)
    if not names:
        return
    measures = args.measure or (["steady"] if task == "stopping" else list(MEASUREMENTS))
    before = peak_flops(args.peak_size)
    found = measure(args, task, names, measures)
    # Of before and after, because a machine that is shared is slow at times.
    peak = max(before, peak_flops(args.peak_size))
    sizes = {"rounds": args.rounds, **sizes_of(args)._asdict()}
    faults = unlike(task, found)
    result = {**top, "task": task, "sizes": sizes, "peak_flops": peak, "contestants": found}
    result |= {"ratios": ratios(task, found), "shares": shares(task, found, peak), "ideal": ideal(found)}
    result |= {"alike": not faults, "unlike": faults, "took_seconds": time.perf_counter() - began}
    show(result)
    print(f"\ntook {result['took_seconds']:.0f} s")
    report.write(args.out / f"speed_{task}.json", json.loads(json.dumps(result)))


def main() -> None:
    """Runs the tasks one after the other."""
    args = parse()
    if args.contestant:
        compete(args)
        return
    for task in args.task:
        run(args, task)


if __name__ == "__main__":
    main()
