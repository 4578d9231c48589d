"""Contestants in processes of their own, taken in turn A B C A B C. Standard library only.

A contestant's process answers in JSON on its standard output, a line for each run.
"""

import contextlib
import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from harness import report

Answer = dict[str, Any]
Commands = Mapping[str, list[str]]


class Turn(NamedTuple):
    """What a contestant did in a round.

    Attributes:
      round: from 1; 0 is the first run of a process that goes on.
      name: the contestant's.
      seconds: the whole process, timed from outside; None for a process that goes on.
      answer: what it said.
    """

    round: int
    name: str
    seconds: float | None
    answer: Answer


def serve(prepare: Callable[[], Callable[[], Answer]], once: bool) -> None:
    """A contestant's side: runs once, or once for every line it reads, and answers with the seconds it took."""
    # Answers have the standard output for themselves, whatever a library prints.
    with contextlib.redirect_stdout(sys.stderr):
        run = prepare()
        for _ in ["once"] if once else sys.stdin:
            began = time.perf_counter()
            answer = run()
            answer = {"seconds": time.perf_counter() - began, **answer}
            print(json.dumps(answer), file=sys.__stdout__, flush=True)


def steady(commands: Commands, rounds: int) -> Iterator[Turn]:
    """Warm processes: each one's first run, which compiles, then the rounds; one runs while the others wait idle."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for name, command in commands.items():
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            worker = subprocess.Popen(command, env=report.environment(), **pipes)
            # Leaving the context closes its input, upon which it ends.
            workers[name] = stack.enter_context(worker)
            stack.push(functools.partial(_end, worker))
            yield Turn(0, name, None, _ask(worker))
        for number in range(1, rounds + 1):
            for name, worker in workers.items():
                yield Turn(number, name, None, _ask(worker))


def fresh(commands: Commands, rounds: int) -> Iterator[Turn]:
    """A new process for every run, timed from its start to its end."""
    for number in range(1, rounds + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            done = subprocess.run(command, env=report.environment(), check=True, stdout=subprocess.PIPE, text=True)
            took = time.perf_counter() - began
            yield Turn(number, name, took, json.loads(done.stdout.splitlines()[-1]))


def _end(worker: subprocess.Popen, kind: type[BaseException] | None, *_: Any) -> None:
    """Ends a worker that would go on with its run, after Ctrl-C for example."""
    if kind is not None:
        worker.terminate()


def _ask(worker: subprocess.Popen) -> Answer:
    """Lets a contestant run once."""
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write("run\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise RuntimeError(f"a contestant ended with status {worker.wait()}: {' '.join(worker.args)}")
    return json.loads(answer)
