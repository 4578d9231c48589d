"""The trainings that no worker has, and which of them a worker gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np

from jreg.engine import Job
from jreg.engine.waiting import Run, Waiting
from jreg.executors.hands import Hand, Held, State
from jreg.training import Plan

# A worker has trainings for so many seconds beside those in its slots: it never waits for the driver, and with it
# little dies.
_AHEAD = 2.0


class Undealt:
    """Jobs by plan, in order.

    Args:
      turns: whether programs take turns on a worker, which then gets no more than it has slots.

    Attributes:
      compiling: is called before a plan's first jobs are dealt, with the number of jobs that wait.
    """

    def __init__(self, turns: bool):
        self._turns = turns
        self._numbers: dict[Plan, int] = {}
        self._waiting: dict[int, Waiting] = {}
        # Of a path that has come back: which of its trainings have not ended.
        self._partly: dict[int, set[int]] = {}
        self._begun: set[int] = set()
        self.compiling: Callable[[int], None] = lambda trainings: None

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def plans(self) -> list[Plan]:
        """The plans by their numbers."""
        return list(self._numbers)

    def put(self, plan: Plan, jobs: Job, first: bool = False) -> None:
        """Puts jobs at the end, or before all others."""
        waiting = self._waiting.setdefault(self._numbers.setdefault(plan, len(self._numbers)), Waiting())
        run = Run(jax.tree.map(np.asarray, jobs), np.arange(len(jobs.fold)))
        if first:
            waiting.put_back([run])
        else:
            waiting.append(run)

    def give_back(self, jobs: Sequence[Held]) -> None:
        """Puts jobs that a worker had before all that wait."""
        for held in reversed(jobs):
            self._partly[held.first] = held.left
            self._waiting[held.plan].put_back([Run(held.jobs, np.array([held.row]))])

    def drop(self, ids: Iterable[int]) -> None:
        """Takes out what is given up."""
        wanted = set(ids)
        for waiting in self._waiting.values():
            waiting.drop(wanted)

    def deal(self, hand: Hand, hands: Sequence[Hand]) -> tuple[tuple[int, Job], ...]:
        """What a worker gets next: it has room for its slots and a bit more, and no more than its share of the rest."""
        blocks: list[tuple[int, Job]] = []
        room = hand.free if self._turns else self._room(hand, hands)
        while room > 0 and (place := self._next(hand, hands, bool(blocks))) is not None:
            if place not in self._begun:
                self._begun.add(place)
                self.compiling(len(self._waiting[place]))
            hand.known.add(place)
            for run in self._waiting[place].take(room):
                room -= len(run.rows)
                jobs = jax.tree.map(lambda leaf, rows=run.rows: leaf[rows], run.jobs)
                blocks.append((place, jobs))
                for row, ids in enumerate(jobs.id.tolist()):
                    hand.held[ids[0]] = Held(place, jobs, row, self._partly.pop(ids[0], set(ids)))
        return tuple(blocks)

    def _room(self, hand: Hand, hands: Sequence[Hand]) -> int:
        ready = [one for one in hands if one.state is State.READY]
        share = math.ceil((len(self) + sum(len(one.held) for one in ready)) / len(ready))
        return min(hand.lanes + max(1, hand.ahead(_AHEAD)), share) - len(hand.held)

    def _next(self, hand: Hand, hands: Sequence[Hand], has_some: bool) -> int | None:
        """Whose jobs a worker gets: of a plan that it knows, or else of the one that the fewest workers know."""
        there = [place for place, waiting in self._waiting.items() if len(waiting)]
        known = [place for place in there if place in hand.known]
        if known:
            return known[0]
        if not there or (not self._turns and (has_some or hand.held)):
            # A program is compiled when nothing else is left to do.
            return None
        return min(there, key=lambda place: sum(place in one.known for one in hands))
