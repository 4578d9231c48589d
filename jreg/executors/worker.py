"""The worker's side: it trains on its own devices, and has data and programs once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jreg.engine import Chunk, Layout, Local, Running
from jreg.executors.messages import Answer, Raised, Shared, Slots, Step
from jreg.training import Plan


class Worker:
    """Trains what it is sent, in this process; whatever carries the messages is another one's affair.

    Args:
      shared: the study's data and folds.

    Attributes:
      plans: that it has, by number.
    """

    def __init__(self, shared: Shared):
        self._shared, self._generation = shared, -1
        self.plans: dict[int, Plan] = {}
        self._layouts: dict[int, Slots] = {}
        self._local = self._idle()

    def step(self, step: Step, plans: Mapping[int, Plan]) -> Answer:
        """Trains for some time, or to the end of what it has; an error becomes a part of the answer."""
        began = time.perf_counter()
        if step.generation != self._generation:
            self._generation, self._local = step.generation, self._idle()
        for number, plan in plans.items():
            # A plan that came once more would be another one, with a recipe function that was never compiled.
            self.plans.setdefault(number, plan)
        try:
            chunks = self._trained(step, began)
        except Exception as error:
            # Its trainings may be in nobody's hands now.
            self._generation, self._local = -1, self._idle()
            return Answer(step.generation, raised=Raised.of(error), seconds=time.perf_counter() - began)
        return self._answer(step, chunks, time.perf_counter() - began)

    def _trained(self, step: Step, began: float) -> list[Chunk]:
        devices = tuple(jax.local_devices())
        for number, (slots, batch) in step.layouts.items():
            self._local.layouts.setdefault(self.plans[number], Layout(devices, slots, batch))
        self._local.cancel(step.drop)
        for number, jobs in step.blocks:
            self._local.submit(self.plans[number], jobs)
        chunks: list[Chunk] = []
        while self._local.busy:
            chunks.append(self._local.advance(step.epochs))
            if step.epochs is not None or time.perf_counter() - began >= step.seconds:
                break
        return chunks

    def _answer(self, step: Step, chunks: list[Chunk], seconds: float) -> Answer:
        for number, plan in self.plans.items():
            if (layout := self._local.layouts.get(plan)) is not None:
                self._layouts[number] = (layout.slots, layout.batch)
        devices = jax.local_devices()
        return Answer(
            step.generation,
            tuple(outcome for chunk in chunks for outcome in chunk.outcomes if len(outcome.id)),
            Running(*(np.array(part) for part in self._local.running())),
            dict(self._layouts),
            (len(devices), devices[0].platform),
            sum(chunk.compile_seconds for chunk in chunks),
            sum(chunk.run_seconds for chunk in chunks),
            sum(chunk.useful for chunk in chunks),
            sum(chunk.executed for chunk in chunks),
            seconds,
        )

    def _idle(self) -> Local:
        shared, devices = self._shared, tuple(jax.local_devices())
        known = {self.plans[number]: Layout(devices, *slots) for number, slots in self._layouts.items()}
        how: dict[str, Any] = {"trainings": shared.trainings, "turns": shared.turns, "together": shared.together}
        return Local(shared.data, shared.folds, layouts=known, measures=False, **how)
