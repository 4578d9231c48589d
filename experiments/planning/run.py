"""How many workers does one conductor keep busy, and what do a million trainings cost it?

Command:  python experiments/planning/run.py              (--smoke runs in seconds; sizes that are there stay)
Hardware: two cores of an Intel Xeon with AVX-512, beside seven times as much other work; a quarter of an hour for all
          but the largest study, and five minutes of the processor for that
Result:   1,000,000 trainings of 20 epochs took 280 s of the processor from the conductor and its store, 248 s by the
          formula that smaller ones gave; 193 s of them for the tables at the end. Its loop takes 38 microseconds per
          training and 409 per look, 12 per training where thousands end at once; it keeps half a million slots busy
          with trainings of a minute. 1,000 workers that are each lost once in 2 hours do 0.43% of the work again (0.42%
          by the formula). The tables are in README.md.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import heapq
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np
import optax
from scipy.optimize import nnls

import jreg
from jreg import losses, nn, penalties
from jreg.engine import Chunk, Job, Layout, Outcome, Running
from jreg.store import Folder, database
from jreg.study import Design
from jreg.study.policies import Everything
from jreg.study.run import run
from jreg.training import Plan, Status

FOLDS = 10
# Seconds; infinity isn't JSON.
NEVER = 1e12
# How long an executor looks for outcomes before it hands them to the conductor, as the local one does.
LOOK = 0.5
# What trainings take and leave repeats after so many.
MADE = 4096


class Fleet(NamedTuple):
    """Workers that don't exist.

    Attributes:
      workers: how many.
      slots: of each.
      seconds: that a training takes on average; each takes between 0.8 and 1.2 times that.
      block: seconds between two reports of a worker.
      ahead: trainings that a worker has on board per slot, beside the one that trains.
      life: seconds after which a worker is lost, on average, with all that it has not reported.
      restart: seconds until another one has taken its place.
    """

    workers: int
    slots: int = 1
    seconds: float = 60.0
    block: float = 2.0
    ahead: int = 1
    life: float = NEVER
    restart: float = 120.0


class Worker:
    """Slots that train what is on board, without anybody's help.

    Attributes:
      trains: a heap of (end, seconds, training).
      aboard: trainings that wait here.
      ended: trainings that have ended and are not reported.
      empty: since when slots have been empty.
      number: how often it was replaced.
    """

    def __init__(self, slots: int, phase: float):
        self.trains: list[tuple[float, float, int]] = []
        self.aboard: collections.deque[tuple[float, int]] = collections.deque()
        self.ended: list[tuple[float, int]] = []
        self.empty, self.phase, self.number = [0.0] * slots, phase, 0

    def train(self, until: float) -> None:
        """Trains on; slots take what is on board."""
        while self.trains and self.trains[0][0] <= until:
            end, seconds, one = heapq.heappop(self.trains)
            self.ended.append((seconds, one))
            if self.aboard:
                more, other = self.aboard.popleft()
                heapq.heappush(self.trains, (end + more, more, other))
            else:
                self.empty.append(end)

    def take(self, seconds: float, one: int, now: float) -> float:
        """Takes a training, and says how long the slot was empty that it gets."""
        if not self.empty:
            self.aboard.append((seconds, one))
            return 0.0
        since = self.empty.pop()
        heapq.heappush(self.trains, (now + seconds, seconds, one))
        return now - since

    def invested(self, now: float) -> float:
        """Seconds of slots that lie in trainings that are not reported."""
        return sum(s for s, _ in self.ended) + sum(seconds - (end - now) for end, seconds, _ in self.trains)


class Simulated:
    """A `jreg.engine.Executor` on a clock of its own, which goes on while the conductor works.

    A second of the conductor is one of the processor, of all its threads and without the simulation's: so it is
    measured on a machine that has other work, too. With `slowed` each counts as so many, and fewer workers show what
    a conductor does that is too slow.

    Attributes:
      now: seconds on the clock.
      own: seconds of the processor that the simulation took.
      losses: of workers.
      chunks: how often it was asked to train.
      per_training: seconds of the conductor, in the time of the shares.
      shares: of the slots' time from when each has had three trainings until nothing waits any more: useful, lost with
        a worker, without a worker, and empty because nothing was there to train.
    """

    def __init__(self, fleet: Fleet, epochs: int, columns: int, slowed: float = 1.0, seed: int = 0):
        self._slowed = slowed
        random = np.random.default_rng(seed)
        self.fleet, self._random, self._epochs = fleet, random, epochs
        self._seconds = (fleet.seconds * random.uniform(0.8, 1.2, MADE)).tolist()
        self._history = random.random((MADE, epochs, columns), np.float32)
        self._workers = [Worker(fleet.slots, phase) for phase in (fleet.block * random.random(fleet.workers)).tolist()]
        self._layout = Layout((jax.devices()[0],) * fleet.workers, fleet.slots)
        self._waiting: collections.deque[int] = collections.deque()
        # What happens when to which worker, if that is still the same one. Those of whom nothing is expected are idle.
        self._events: list[tuple[float, int, int, Callable[..., list[int]]]] = []
        self._idle, self._left = dict.fromkeys(range(fleet.workers)), 0
        self.now = self.own = self._stopped = 0.0
        self.losses = self.chunks = 0
        self._useful = self._lost = self._down = self._empty = 0.0
        # How many wait when the shares begin, and what had been spent until then.
        self._begins, self._spent, self._over = 0, np.zeros(7), False
        # Seconds of the conductor, and trainings that were reported to it.
        self._host, self._told = 0.0, 0
        self.shares: dict[str, float] = {}
        self.per_training = 0.0
        for place in range(fleet.workers) if fleet.life < NEVER else ():
            self._expect(random.exponential(fleet.life), place, self._die)

    @property
    def free(self) -> int:
        """How many slots no waiting training will take."""
        return max(0, self.fleet.workers * self.fleet.slots - self._left)

    @property
    def busy(self) -> bool:
        """Whether anything trains or waits."""
        return self._left > 0

    def watch(self, compiling: Callable[[int], None]) -> None:
        """Compiles nothing."""

    def submit(self, plan: Plan, jobs: Job) -> None:
        """Queues trainings."""
        del plan
        began = time.thread_time()
        self._waiting.extend(jobs.id[:, 0].tolist())
        self._left += len(jobs.id)
        self._begins = max(0, self._left - 3 * self.fleet.workers * self.fleet.slots)
        self.own += time.thread_time() - began

    def restore(self, plan: Plan, jobs: Job, stage: Any, state: Mapping[str, Any], place: Any = None) -> None:
        """Starts them afresh."""
        del stage, state, place
        self.submit(plan, jobs)

    def saved(self) -> list[Any]:
        """Nothing: what is under way is lost with its worker."""
        return []

    def cancel(self, ids: Iterable[int]) -> None:
        """Nobody asks for it without a race."""
        raise NotImplementedError

    def running(self) -> Running:
        """Nothing that a policy could see."""
        return Running(np.empty(0, np.int32), np.empty(0, np.int32), np.empty((0, 0, 0), np.float32))

    def network(self, wanted: int) -> Any:
        """There is none."""
        raise KeyError(wanted)

    def advance(self, epochs: int | None = None) -> Chunk:
        """What workers report within half a second, or until the first report."""
        del epochs
        began, before = time.thread_time(), self.now
        if self.chunks:
            took = max(0.0, time.process_time() - self.own - self._stopped)
            self._host, self.now = self._host + took, self.now + self._slowed * took
        self.chunks += 1
        here, found = self.now, list[int]()
        self._wake()
        while self._left > len(found) and (not found or self._events[0][0] <= here + LOOK):
            when, place, number, happens = heapq.heappop(self._events)
            # A report that came while the conductor was at work is answered now.
            self.now = max(self.now, when)
            if number == self._workers[place].number:
                found += happens(place, when)
        if self._left > len(found):
            self.now = max(self.now, here + LOOK)
        self._left -= len(found)
        chunk = self._chunk(np.array(found, np.int32), self.now - before)
        self.own += time.thread_time() - began
        self._stopped = time.process_time() - self.own
        return chunk

    def made(self, ids: np.ndarray) -> np.ndarray:
        """The histories that trainings of these names leave."""
        return self._history[ids % MADE]

    def _expect(self, when: float, place: int, happens: Callable[[int, float], list[int]]) -> None:
        heapq.heappush(self._events, (when, place, self._workers[place].number, happens))

    def _report(self, place: int, when: float) -> list[int]:
        """A worker says what has ended, and gets more."""
        worker = self._workers[place]
        worker.train(when)
        found, worker.ended = worker.ended, []
        # Until it was heard it went on with what was on board.
        worker.train(self.now)
        self._useful += sum(seconds for seconds, _ in found)
        self._told += len(found)
        self._refill(place)
        return [one for _, one in found]

    def _die(self, place: int, when: float) -> list[int]:
        """A worker is lost; another one is ordered, and others take its trainings."""
        worker = self._workers[place]
        worker.train(when)
        self.losses += 1
        self._lost += worker.invested(when)
        self._empty += sum(when - since for since in worker.empty)
        again = (
            [one for _, one in worker.ended] + [one for *_, one in worker.trains] + [one for _, one in worker.aboard]
        )
        self._waiting.extendleft(reversed(again))
        new = self._workers[place] = Worker(self.fleet.slots, worker.phase)
        new.number, new.empty = worker.number + 1, []
        self._idle.pop(place, None)
        self._expect(when + self.fleet.restart, place, self._return)
        self._wake()
        return []

    def _return(self, place: int, when: float) -> list[int]:
        """Another worker has taken the place of one that was lost."""
        self._down += self.fleet.restart * self.fleet.slots
        self._workers[place].empty = [when] * self.fleet.slots
        self._expect(when + self._random.exponential(self.fleet.life), place, self._die)
        self._refill(place)
        return []

    def _wake(self) -> None:
        """Workers that have nothing to do get what waits."""
        while self._idle and self._waiting:
            self._refill(self._idle.popitem()[0])

    def _refill(self, place: int) -> None:
        worker, room = self._workers[place], self.fleet.ahead * self.fleet.slots
        while self._waiting and (worker.empty or len(worker.aboard) < room):
            one = self._waiting.popleft()
            self._empty += worker.take(self._seconds[one % MADE], one, self.now)
        if len(self._waiting) <= self._begins and not self._spent.any():
            self._spent = self._spending()
        if not self._waiting and not self._over:
            parts, self._over = self._spending() - self._spent, True
            names = ("useful", "lost", "down", "empty") if parts[4] > 0 else ()
            self.shares = {name: float(part / parts[4]) for name, part in zip(names, parts, strict=False)}
            self.per_training = float(parts[5] / max(1, parts[6]))
        if not worker.trains and not worker.ended:
            self._idle[place] = None
            return
        # Reports come in steps of a block, and those that would say nothing are left out.
        first = self.now if worker.ended else worker.trains[0][0]
        blocks = math.ceil((first - worker.phase) / self.fleet.block)
        self._expect(worker.phase + blocks * self.fleet.block, place, self._report)

    def _spending(self) -> np.ndarray:
        """Seconds of slots until now: useful or likely so, lost, without a worker, empty, all; and the conductor's."""
        now, back = self.now, {place: when for when, place, _, what in self._events if what == self._return}
        useful, down, empty = self._useful, self._down, self._empty
        for worker in self._workers:
            worker.train(now)
            useful += worker.invested(now)
            empty += sum(now - since for since in worker.empty)
        for when in back.values():
            down += self.fleet.slots * (self.fleet.restart - (when - now))
        places = self.fleet.workers * self.fleet.slots
        return np.array([useful, self._lost, down, empty, now * places, self._host, self._told])

    def _chunk(self, ids: np.ndarray, took: float) -> Chunk:
        history = self.made(ids)
        full, best = np.full(len(ids), self._epochs, np.int32), np.argmin(history[..., 0], axis=1).astype(np.int32)
        status, places = np.full(len(ids), int(Status.COMPLETED), np.int32), self.fleet.workers * self.fleet.slots
        outcome = Outcome(ids, status, full, full, best, history, {})
        paid, running = round(took * places / self.fleet.seconds * self._epochs), min(self._left, places)
        useful = len(ids) * self._epochs
        return Chunk((outcome,), 0.0, took, useful, paid, running, self._left - running, self._layout)


def recipe(hp: Any) -> jreg.Recipe:
    """A 30-4-1 network with L2, which nobody trains here."""
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(nn.MLP((4, 1)), losses.sigmoid_cross_entropy, optax.sgd(0.1), penalty=penalty)


class Timed(Folder):
    """A store that says what its end took, in seconds of the processor."""

    ended = 0.0

    def close(self, results: jreg.Results) -> None:
        """Writes the rest, and the tables."""
        began = time.process_time()
        super().close(results)
        self.ended += time.process_time() - began


def conducted(
    trainings: int, fleet: Fleet, epochs: int = 20, tables: bool = True, slowed: float = 1.0
) -> dict[str, Any]:
    """What a study of so many trainings costs the host, and how busy its workers are, which don't exist."""
    data, space = jreg.load_dataset("breast_cancer"), jreg.grid(l2=np.logspace(-6, 0, trainings // FOLDS))
    began, own = time.process_time(), time.thread_time()
    design = Design.of(recipe, data, space, cv=FOLDS, epochs=epochs, batch_size=64, keep=[])
    designed = time.process_time()
    workers, done, before = Simulated(fleet, epochs, len(design.spec.columns), slowed), [0], peak()
    # Tables come once the last worker is done, so they have no say in how busy workers are.
    left_out = contextlib.nullcontext() if tables else mock.patch.object(database, "export")
    with left_out, tempfile.TemporaryDirectory() as folder, Timed(folder) as store:
        note = [lambda progress: done.append(progress.done)]
        _, results = run(design, Everything([design.everything()]), workers, store, note)
        ended, files = time.process_time(), {file.name: file.stat().st_size for file in Path(folder).iterdir()}
    own = time.thread_time() - own - workers.own
    check(workers, results, trainings)
    host = ended - began - workers.own
    return {
        "trainings": trainings,
        "epochs": epochs,
        "columns": len(design.spec.columns),
        "fleet": fleet._asdict(),
        "slowed": slowed,
        "host": host,
        "asking": designed - began,
        "loop": host - store.ended - (designed - began),
        "end": store.ended,
        "this thread": own,
        "chunks": workers.chunks,
        "looks": len(done) - 1,
        "clock": workers.now,
        "losses": workers.losses,
        "shares": workers.shares,
        "per training": workers.per_training,
        "database": files["study.db"],
        "tables": sum(size for name, size in files.items() if name.endswith((".csv", ".json"))),
        "memory": peak() - before,
    }


def check(workers: Simulated, results: jreg.Results, trainings: int) -> None:
    """Every training is there once, with what its worker left, whoever was lost.

    Raises:
      SystemExit: it isn't.
    """
    some = results.trained(
        [(setting, fold, 0) for setting in range(0, trainings // FOLDS, 97) for fold in range(FOLDS)]
    )
    # The policy wants them in the order of settings and folds, and by this they are named.
    same = np.array_equal(some.history, workers.made((some.setting * FOLDS + some.fold).astype(np.int64)))
    if len(results) != trainings or not same or (results.status != Status.COMPLETED).any():
        raise SystemExit("trainings are missing, or have another's history")


def peak() -> int:
    """The high-water mark of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# What the formulas say.


def fitted(runs: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """Seconds of the host in the loop: once, per look and per training, by least squares of relative errors."""
    loop = np.array([one["loop"] for one in runs])
    counts = np.array([[1, one["chunks"], one["trainings"]] for one in runs], float)
    once, per_look, per_training = nnls(counts / loop[:, None], np.ones(len(runs)))[0].tolist()
    return once, per_look, per_training


def spared(fleet: Mapping[str, Any]) -> dict[str, float]:
    r"""The shares of a slot's time that are useful, lost and without a worker.

    .. math:: \frac{L}{L + R} \cdot \frac{c / L}{e^{c / L} - 1} \cdot e^{-b / 2L}

    are useful: a worker lives for L seconds on average and is replaced after R; of back-to-back trainings of c seconds
    the one that a loss meets is lost, and those that ended in the half block before it.
    """
    life, rate = fleet["life"], fleet["seconds"] / fleet["life"]
    there = life / (life + fleet["restart"])
    useful = there * rate / math.expm1(rate) * math.exp(-fleet["block"] / (2 * life))
    return {"useful": useful, "lost": there - useful, "down": 1 - there}


def stored(epochs: int, columns: int) -> float:
    """Bytes per training in the database: 62 beside the history, and a page of 4,096 bytes holds whole rows."""
    row = 62 + 4 * epochs * columns
    return 4096 / max(1, 4088 // row) if row < 4088 else row


# Running, resuming and telling.


def planned(smoke: bool) -> dict[str, list[dict[str, Any]]]:
    """What is simulated, by part."""
    hours = 3600.0
    if smoke:
        spot = Fleet(20, life=0.5 * hours)
        return {
            "sizes": [{"trainings": n, "fleet": spot} for n in (100, 500)],
            "chunks": [{"trainings": 200, "fleet": Fleet(2)}],
            "histories": [{"trainings": 200, "fleet": Fleet(20), "epochs": 3}],
            "workers": [
                {"trainings": 210, "fleet": Fleet(w, seconds=2.0, block=0.5), "tables": False} for w in (3, 30)
            ],
            "losses": [{"trainings": 400, "fleet": Fleet(20, life=0.1 * hours), "tables": False}],
        }
    spot = Fleet(1_000, life=2 * hours)
    sizes = (1_000, 10_000, 100_000, 1_000_000)
    slots = (100, 300, 600, 1_000, 1_500, 2_500, 4_000, 8_000, 16_000)
    return {
        "sizes": [{"trainings": n, "fleet": spot} for n in sizes],
        # Few outcomes at a look, and many.
        "chunks": [{"trainings": 4_000, "fleet": Fleet(w)} for w in (10, 100, 4_000)],
        "histories": [{"trainings": 10_000, "fleet": Fleet(1_000), "epochs": epochs} for epochs in (1, 5, 50)],
        "workers": [
            {
                "trainings": max(10_000, min(40 * w, 320_000)),
                "fleet": Fleet(w, seconds=1.0, block=0.25),
                "tables": False,
                "slowed": 20.0,
            }
            for w in slots
        ],
        "losses": [
            {"trainings": 20_000, "fleet": Fleet(1_000, life=life * hours), "tables": False}
            for life in (0.1, 0.5, 2.0, 8.0)
        ],
    }


def fresh(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a process of its own says, so that one's memory isn't the next one's."""
    command = [sys.executable, str(Path(__file__).resolve()), "--once", json.dumps(asked)]
    done = subprocess.run(
        command, env={**os.environ, "JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def told(found: Mapping[str, Any]) -> str:
    """Everything as Markdown."""
    f, sizes, histories, workers, losses = found["formula"], [], [], [], []
    for one in found["sizes"]:
        n, us = one["trainings"], [1e6 * one[name] / one["trainings"] for name in ("asking", "loop", "end")]
        row = [f"{n:,}", f"{one['host']:.1f}", *(f"{each:.0f}" for each in us), f"{one['chunks']:,}"]
        row += [f"{one[name] / n:,.0f}" for name in ("database", "tables", "memory")]
        sizes.append([*row, f"{one['losses']:,}", percent(one["shares"].get("useful"))])
    for one in found["histories"]:
        n, bytes_ = one["trainings"], stored(one["epochs"], one["columns"])
        row = [f"{one['epochs']}", f"{1e6 * one['loop'] / n:.0f}", f"{1e6 * one['end'] / n:.0f}", f"{bytes_:.0f}"]
        histories.append([*row, *(f"{one[name] / n:,.0f}" for name in ("database", "tables"))])
    for one in found["workers"]:
        fleet, own = one["fleet"], one["per training"]
        load = fleet["workers"] * fleet["slots"] * own * one["slowed"] / fleet["seconds"]
        row = [f"{fleet['workers'] * fleet['slots']:,}", f"{fleet['seconds']:g}", f"{1e6 * own:.0f}", f"{load:.2f}"]
        workers.append([*row, percent(min(1.0, 1 / load)), percent(one["shares"]["useful"])])
    for one in found["losses"]:
        formula, shares = spared(one["fleet"]), one["shares"]
        row = [f"{one['fleet']['life'] / 3600:g}", f"{one['losses']:,}"]
        losses.append([*row, *(percent(part[name]) for name in ("lost", "down") for part in (formula, shares))])
    names = (
        "trainings, host s, us per training asking, loop, end, looks, bytes per training in the database, in tables, "
    )
    return "\n\n".join(
        [
            table(f"{names}in memory, workers lost, useful", sizes),
            f"By all studies but the largest the loop takes {f['once']:.2f} s once, {1e6 * f['per look']:.0f} us per "
            f"look and {1e6 * f['per training']:.0f} us per training, the end {1e6 * f['end']:.0f} us per training. "
            f"For the largest that predicts {f['predicted']:.0f} s; it took {found['sizes'][-1]['host']:.0f} s.",
            table(
                "epochs, us of the loop per training, of the end, bytes in the database by formula, measured, tables",
                histories,
            ),
            table(
                "slots, seconds per training, us of the loop per training, load, useful by formula, simulated",
                workers,
            ),
            table("hours a worker lives, lost, work lost by formula, simulated, away by formula, simulated", losses),
        ]
    )


def table(names: str, rows: Iterable[Sequence[str]]) -> str:
    """Rows as Markdown."""
    top = names.split(", ")
    return "\n".join(f"| {' | '.join(line)} |" for line in (top, ["---:"] * len(top), *rows))


def percent(share: float | None) -> str:
    """A share for people; a dash where a study is too small to have one."""
    return "-" if share is None else f"{share:.2%}"


def picture(found: Mapping[str, Any], path: Path) -> None:
    """Occupancy against workers, and what is lost against how long workers live."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    loads, runs = np.logspace(-2, 1, 200), found["workers"]
    left.plot(loads, np.minimum(1.0, 1 / loads), lw=1)
    own = [one["slowed"] * one["per training"] * one["fleet"]["workers"] for one in runs]
    places = [host / one["fleet"]["seconds"] for host, one in zip(own, runs, strict=True)]
    left.plot(places, [one["shares"]["useful"] for one in runs], "o", color="C0")
    left.set(xscale="log", ylabel="share of the workers' time that trains", ylim=(0, 1.05))
    left.set_xlabel("slots x host time per training / training time")
    # How many slots that is; a smoke test may find no host time.
    each = 60.0 / max(found["formula"]["per training"], 1e-9)
    axis = left.secondary_xaxis("top", functions=(lambda load: load * each, lambda slots: slots / each))
    axis.set_xlabel("slots, where a training takes a minute")
    lives = np.logspace(-1.2, 1.2, 100)
    for name, marker, label in (("lost", "o", "lost with a worker"), ("down", "s", "until another one is there")):
        base = found["losses"][0]["fleet"]
        formula = [100 * spared({**base, "life": 3600 * life})[name] for life in lives]
        [line] = right.plot(lives, formula, lw=1)
        simulated = [100 * one["shares"][name] for one in found["losses"]]
        right.plot(
            [one["fleet"]["life"] / 3600 for one in found["losses"]],
            simulated,
            marker,
            color=line.get_color(),
            label=label,
        )
    right.set(
        xscale="log", yscale="log", xlabel="hours until a worker is lost, on average", ylabel="% of its slots' time"
    )
    right.legend(fontsize="small")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.suptitle("Lines: formulas. Points: simulated, with the real conductor and store.", fontsize="medium")
    figure.savefig(path, dpi=110)


def formulas(found: Mapping[str, Any]) -> dict[str, float]:
    """The costs that the smaller studies show, in seconds, and what they predict of the largest one.

    The least per training is the loop's where each chunk has the most trainings.
    """
    *small, large = found["sizes"]
    once, per_look, per_training = fitted([*small, *found["chunks"]])
    n, last = large["trainings"], small[-1]
    end, asking = last["end"] / last["trainings"], last["asking"] / last["trainings"]
    predicted = once + per_look * large["chunks"] + (asking + per_training + end) * n
    least = min(one["loop"] / one["trainings"] for one in found["workers"])
    costs = {"once": once, "per look": per_look, "per training": per_training, "asking": asking, "end": end}
    costs["least per training"] = least
    return {**costs, "predicted": predicted}


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates what isn't there yet, and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small studies and few workers, in this process")
    parser.add_argument("--store", type=Path, default=Path("runs/planning"), help="where each simulation's numbers go")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where all numbers and the picture go")
    parser.add_argument("--once", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.once:
        print(json.dumps(conducted(**given.once | {"fleet": Fleet(**given.once["fleet"])})))
        return
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    }
    for part, several in planned(given.smoke).items():
        found[part] = []
        for asked in several:
            asked = {**asked, "fleet": asked["fleet"]._asdict()}
            name = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
            path = given.store / f"{name}.json"
            if given.smoke:
                one = conducted(**asked | {"fleet": Fleet(**asked["fleet"])})
            elif path.exists():
                one = json.loads(path.read_text())
            else:
                print(part, asked, flush=True)
                one = fresh(asked)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(one))
            found[part].append(one)
    found["formula"] = formulas(found)
    print(told(found))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    picture(found, given.out / "planning.png")
    print(f"results are in {given.out}")


if __name__ == "__main__":
    main()
