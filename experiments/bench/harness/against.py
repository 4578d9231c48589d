"""Two commits of jreg against each other: the same grid and the same processes, taken in turn."""

import argparse
import contextlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from peers.grids import Sizes

from harness import race, report
from harness.contestants import command
from harness.measuring import part_of
from harness.peak import peak_flops
from harness.ratios import paired

# What is compared.
COMPARED = {
    "steady_seconds": "whole call, steady",
    "program_seconds": "in the program, steady",
    "compile_seconds": "compilation, first run",
    "end_to_end_seconds": "end to end, a fresh process",
}


class Versions(NamedTuple):
    """The two folders that jreg is imported from."""

    old: Path
    new: Path


@contextlib.contextmanager
def versions_of(commit: str) -> Iterator[Versions]:
    """A worktree of the commit and a copy of this checkout's jreg in a temporary folder, removed in any case.

    The copy stays as it is while somebody goes on working.
    """
    # Ended by a signal, Python would leave without cleaning up.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="jreg-against-") as folder:
        old, new = (Path(folder).resolve() / name for name in Versions._fields)
        try:
            # Without the repository's hooks, which are for people's checkouts.
            report.git("-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--quiet", str(old), commit)
            root = Path(report.git("rev-parse", "--show-toplevel"))
            shutil.copytree(root / "jreg", new / "jreg", ignore=shutil.ignore_patterns("__pycache__"))
            # Otherwise the first process of each would also compile it to bytecode.
            for version in (old, new):
                subprocess.run([sys.executable, "-m", "compileall", "-q", str(version / "jreg")], check=True)
            yield Versions(old, new)
        finally:
            if old.exists():
                report.git("worktree", "remove", "--force", str(old))
            signal.signal(signal.SIGTERM, before)


def commit_of(name: str) -> str:
    """The full name of a commit."""
    try:
        return report.git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except (OSError, subprocess.CalledProcessError):
        sys.exit(f"git knows no commit {name!r} here")


def run(args: argparse.Namespace, tasks: list[str], sizes: dict[str, Sizes]) -> None:
    """Measures the tasks one after the other, prints and writes."""
    commit = commit_of(args.against)
    with versions_of(commit) as versions:
        for task in tasks:
            began, top = time.perf_counter(), report.header()
            top["machine"]["peak_flops"] = peak_flops(args.peak_size)
            top["against"] = {"name": args.against, "commit": commit}
            found = measure(task, versions, sizes[task], args)
            result = {**top, "task": task, "sizes": sizes[task]._asdict(), **found}
            result |= {"ratios": ratios(found["studies"]), "took_seconds": time.perf_counter() - began}
            show(result)
            report.write(args.out / f"against_{task}.json", result)


def measure(task: str, versions: Versions, sizes: Sizes, args: argparse.Namespace) -> dict[str, Any]:
    """The seconds of both versions in each round, and what work they did."""
    found: dict[str, dict[str, Any]] = {}
    folders = {name: ["--checkout", str(folder)] for name, folder in versions._asdict().items()}
    turns: list[Iterator[race.Turn]] = []
    if "steady" in args.measure:
        commands = {name: command(task, "jreg", sizes, *more) for name, more in folders.items()}
        turns.append(race.steady(commands, args.rounds))
    if "end_to_end" in args.measure:
        commands = {name: command(task, "jreg", sizes, "--once", *more) for name, more in folders.items()}
        turns.append(race.fresh(commands, args.fresh_rounds))
    for turn in (turn for part in turns for turn in part):
        answer, more, part = turn.answer, turn.answer["more"], part_of(turn)
        one = found.setdefault(turn.name, {"jreg": answer["jreg"], **{key: [] for key in COMPARED}})
        one |= {key: answer[key] for key in ("scores", "steps", "epochs", "validations", "trainings")}
        if part == "steady":
            one["steady_seconds"].append(answer["seconds"])
            one["program_seconds"].append(more["device_seconds"])
        else:
            one["compile_seconds"].append(more["compile_seconds"])
        if turn.seconds is not None:
            one["end_to_end_seconds"].append(turn.seconds)
        seconds = answer["seconds"] if turn.seconds is None else turn.seconds
        detail = f"{more['device_seconds']:7.2f} in the program {more['compile_seconds']:7.2f} compilation"
        print(f"{task:9}{part:11} {turn.round or '':1}  {turn.name:4}{seconds:8.2f} s {detail}", flush=True)
    both = zip(found["old"]["scores"], found["new"]["scores"], strict=True)
    apart = max(abs(one - other) for one, other in both)
    return {"studies": found, "scores_apart": apart}


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """New over old of what was measured."""
    old, new = found["old"], found["new"]
    return {key: paired(new[key], old[key]) for key in COMPARED if old[key]}


def show(result: dict[str, Any]) -> None:
    """Prints a task's table."""
    old, new = (result["studies"][name] for name in Versions._fields)
    print(f"\n{report.describe(result)}\nagainst {result['against']['name']}, {result['against']['commit'][:10]}\n")
    print(
        f"{result['task']}: new / old, the median of the rounds' ratios (smallest to largest), and a rough 95% interval"
    )
    print(f"{'':28}{'old':>9}{'new':>9}{'new / old':>25}{'95%':>17}{'rounds':>8}")
    for key, one in result["ratios"].items():
        times = "".join(f"{statistics.median(version[key]):>9.2f}" for version in (old, new))
        spread = f"{one['ratio']:.3f} ({one['lowest']:.3f} to {one['highest']:.3f})"
        interval = "{:.3f} to {:.3f}".format(*one["interval"]) if one["interval"] else "-"
        print(f"{COMPARED[key]:28}{times}{spread:>25}{interval:>17}{len(one['rounds']):>8}")
    for key in ("steps", "epochs", "validations"):
        same = "as many" if old[key] == new[key] else "NOT AS MANY"
        print(f"{key:28}{old[key]:>9}{new[key]:>9}  {same}")
    print(f"mean scores of the settings differ by at most {result['scores_apart']:.2g}")
    print(f"took {result['took_seconds']:.0f} s\n")
