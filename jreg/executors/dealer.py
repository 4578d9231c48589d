"""An executor that deals trainings to workers: who has which, who is too slow, and what runs again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import jax
import numpy as np

from jreg._base import interrupt
from jreg._base.types import PyTree
from jreg.engine import Chunk, Job, Layout, Outcome, Running, Saved
from jreg.engine.local import joined
from jreg.executors.gathered import Gathered
from jreg.executors.hands import Call, Hand, Held, State
from jreg.executors.messages import Answer, Answered, Crew, Gone, Lost, Raised, Ready, Slots, Step
from jreg.executors.waiting import Undealt
from jreg.training import Plan

# Without a deadline of the user's: so many times as long as the longest step so far took, and at least so long. Workers
# of Ray's have the lowest priority, so on a busy machine one that lives may be silent for long.
_PATIENCE, _LEAST = 10.0, 60.0
# Compiling takes as long as it takes.
_COMPILING = 600.0
# How many workers a training may end before it is given up.
_DEATHS = 3
_POLL = 0.5


class Dealer:
    """Trains on workers; see `jreg.engine.Executor`.

    A worker gets as many trainings as it has slots, and what it trains in two seconds. What a worker had that died, or
    was silent for too long, others get, and what it says later isn't heard: so each training ends once.

    Args:
      crew: the workers.
      known: slots of plans whose study goes on; default: what the first worker's rule says.
      together: as in `jreg.executors.messages.Shared`.
      turns: as there.
      deadline: seconds after which a silent worker's trainings go to others; default: measured. One that compiles has
        ten minutes at least.

    Attributes:
      layouts: the slots that each plan's program began with, on this process's devices.
    """

    def __init__(
        self,
        crew: Crew,
        known: Mapping[Plan, Layout] | None = None,
        *,
        together: int = 1,
        turns: bool = False,
        deadline: float | None = None,
    ):
        self._crew, self._turns, self._deadline = crew, turns, deadline
        self._hands = [Hand(together) for _ in range(crew.count)]
        self._undealt = Undealt(turns)
        self._deaths: Counter[int] = Counter()
        self._longest = 0.0
        self._error: Exception | None = None
        self.layouts: dict[Plan, Layout] = dict(known or {})

    @property
    def free(self) -> int:
        """How many slots there are that no waiting job will take."""
        return sum(hand.free for hand in self._hands) - len(self._undealt)

    @property
    def busy(self) -> bool:
        """Whether anything trains or waits."""
        return len(self._undealt) > 0 or any(hand.held for hand in self._hands)

    def watch(self, compiling: Callable[[int], None]) -> None:
        """Has `compiling` called before a plan's first trainings are dealt, with the number of jobs that wait."""
        self._undealt.compiling = compiling

    def submit(self, plan: Plan, jobs: Job) -> None:
        """Queues jobs."""
        self._undealt.put(plan, jobs)

    def restore(
        self,
        plan: Plan,
        jobs: Job,
        stage: np.ndarray,
        state: Mapping[str, np.ndarray],
        place: np.ndarray | None = None,
    ) -> None:
        """Queues jobs before all that wait; they start afresh, which on a CPU gives the same bits."""
        del stage, state, place
        self._undealt.put(plan, jobs, first=True)

    def saved(self) -> list[Saved]:
        """Nothing: states stay with the workers."""
        return []

    def cancel(self, ids: Iterable[int]) -> None:
        """Gives up trainings; those that had begun come back as pruned, unless their worker dies."""
        wanted = set(ids)
        self._undealt.drop(wanted)
        for hand in self._hands:
            hand.cancelled |= wanted & set(hand.held)

    def running(self) -> Running:
        """The trainings that are under way, with their histories as of the last answers."""
        found = []
        for hand in self._hands:
            if hand.running is not None:
                ids = {number for held in hand.held.values() for number in held.left} - hand.cancelled
                if (mask := np.isin(hand.running.id, list(ids))).any():
                    found.append(Running(*(part[mask] for part in hand.running)))
        return joined(found)

    def network(self, wanted: int) -> tuple[PyTree, PyTree, PyTree]:
        """Nothing: networks stay with the workers.

        Raises:
          KeyError: always.
        """
        raise KeyError(f"the network of training {wanted} was a worker's: keep=[jreg.keep.network] brings them here")

    def advance(self, epochs: int | None = None) -> Chunk:
        """Waits until a worker has something to tell, for about a second; has all of them trained on meanwhile.

        Raises:
          ConnectionError: no worker is left, or a training has ended three of them.
          MemoryError: a training has found too little memory three times.
          Exception: what a recipe or JAX has raised on a worker, with the traceback from there.
        """
        found, began = Gathered(len(self._hands)), time.monotonic()
        while True:
            if not found.outcomes:
                if self._error is not None:
                    raise self._error
                interrupt.check()
            self._deal(epochs)
            for event in self._crew.receive(_POLL):
                self._hear(event, found)
            self._look_at_deadlines()
            over = time.monotonic() - began > 2 * _POLL and self.layouts
            if found.outcomes or over or (found.answers and self._turns):
                break
        if not self._turns:
            # So that no worker waits while what was found is stored.
            self._deal(epochs)
        slots = sum(len(hand.running.id) for hand in self._hands if hand.running is not None)
        held = sum(len(hand.held) for hand in self._hands)
        layout = next(reversed(self.layouts.values()))
        devices = [hand.devices or (1, "cpu") for hand in self._hands]
        return found.chunk(layout, devices, min(slots, held), len(self._undealt) + max(0, held - slots))

    def _deal(self, epochs: int | None) -> None:
        """Sends steps to workers: to one that is followed when it has answered, to others one ahead."""
        for depth in (1,) if self._turns else (1, 2):
            for number, hand in enumerate(self._hands):
                if hand.state is State.READY and len(hand.calls) < depth:
                    self._send(number, hand, epochs)

    def _send(self, number: int, hand: Hand, epochs: int | None) -> None:
        known, blocks = set(hand.known), self._undealt.deal(hand, self._hands)
        told = {one for call in hand.calls for one in call.drop}
        drop = tuple(sorted(hand.cancelled - told))
        if not (blocks or drop or hand.held):
            return
        plans = self._undealt.plans
        new = {place: plans[place] for place, _ in blocks}
        layouts: dict[int, Slots] = {
            place: (self.layouts[plan].slots, self.layouts[plan].batch)
            for place, plan in new.items()
            if plan in self.layouts
        }
        if not hand.calls:
            hand.since = time.monotonic()
        hand.calls.append(Call(hand.generation, drop, bool(set(new) - known)))
        self._crew.send(number, Step(hand.generation, blocks, layouts, drop, epochs), new)

    def _hear(self, event: Answered | Lost | Ready | Gone, found: Gathered) -> None:
        hand = self._hands[event.worker]
        match event:
            case Answered(number, answer):
                self._answered(number, hand, answer, found)
            case Lost(_, why):
                self._died(hand, ConnectionError(f"its worker died {_DEATHS} times ({why})"))
            case Ready():
                hand.state = State.READY
            case Gone(_, why):
                self._requeue(hand)
                hand.state = State.GONE
                if all(one.state is State.GONE for one in self._hands):
                    self._error = ConnectionError(
                        f"none of the {len(self._hands)} workers is left ({why}): what had ended is kept, and the same "
                        "study goes on with other workers"
                    )

    def _answered(self, number: int, hand: Hand, answer: Answer, found: Gathered) -> None:
        if not hand.calls:
            return
        took, call, hand.since = hand.silent(), hand.calls.popleft(), time.monotonic()
        if not call.compiles:
            self._longest = max(self._longest, took)
        if answer.generation != hand.generation:
            # What it had was taken from it.
            if hand.state is State.LATE and not hand.calls:
                hand.state = State.READY
            return
        if answer.raised is not None:
            self._failed(number, hand, answer.raised)
            return
        hand.heard(answer)
        plans = self._undealt.plans
        for place, (slots, batch) in answer.layouts.items():
            self.layouts.setdefault(plans[place], Layout(tuple(jax.local_devices()), slots, batch))
        outcomes: list[Outcome] = [one for some in answer.outcomes if (one := hand.wanted(some)) is not None]
        hand.ended += sum(len(one.id) for one in outcomes)
        hand.dropped(call.drop)
        found.add(answer, outcomes)

    def _failed(self, number: int, hand: Hand, raised: Raised) -> None:
        if raised.lacks_memory:
            # Another process may have had it. A worker that begins anew has given all of its own back.
            self._died(hand, MemoryError(f"there was too little memory for it {_DEATHS} times ({raised.text})"))
            self._crew.restart(number)
        else:
            self._requeue(hand)
            self._error = raised.error()

    def _died(self, hand: Hand, error: Exception) -> None:
        """A worker has died, and with it what it had."""
        for held in self._requeue(hand):
            self._deaths[held.first] += 1
            if self._deaths[held.first] == _DEATHS:
                what = f"a training was tried {_DEATHS} times, and {error}"
                self._error = type(error)(f"{what}: give a worker more memory, or take a smaller network")
        hand.state = State.AWAY
        hand.calls.clear()
        hand.known.clear()

    def _requeue(self, hand: Hand) -> list[Held]:
        """Puts what a worker had before all that wait."""
        found = hand.forget()
        self._undealt.give_back(found)
        return found

    def _look_at_deadlines(self) -> None:
        for number, hand in enumerate(self._hands):
            if not hand.calls or hand.state not in (State.READY, State.LATE):
                continue
            limit = self._deadline or max(_LEAST, _PATIENCE * self._longest)
            limit = max(limit, _COMPILING) if hand.calls[0].compiles else limit
            if hand.state is State.READY and hand.silent() > limit:
                self._requeue(hand)
                hand.state = State.LATE
            elif hand.silent() > 2 * limit:
                hand.state = State.AWAY
                hand.calls.clear()
                hand.known.clear()
                self._crew.restart(number)
