"""The one loop that conducts a study: a policy says what next, an executor trains, results and observers see it."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Sequence

from jreg._base import interrupt
from jreg.engine import Executor
from jreg.report.meter import Meter
from jreg.results import Results, Trained
from jreg.store import Folder, Halfway, Nowhere
from jreg.study import errors
from jreg.study.baseline import baseline
from jreg.study.design import Design
from jreg.study.going_on import note
from jreg.study.halfway import go_on, halfway_of, text_of
from jreg.study.ledger import Ledger
from jreg.study.observing import Observer
from jreg.study.policy import Decision, Policy, Replayed, View
from jreg.training import Status


def run(
    design: Design,
    policy: Policy,
    executor: Executor,
    store: Nowhere | None = None,
    observers: Sequence[Observer] = (),
    timeout: float | None = None,
) -> tuple[Design, Results]:
    """Trains what a policy wants until it is done, and goes on where an earlier run of the same study ended.

    Args:
      design: what is asked.
      policy: what decides; `jreg.study.policies` has some.
      executor: who trains.
      store: what lasts; default: nothing but the results that are returned.
      observers: are called with a `Progress` when something is compiled or has been trained.
      timeout: seconds after which it ends, with what has been found by then; default: none.

    Returns:
      The design, with the settings that the policy has added, and the results.
    """
    return _Run(design, policy, executor, store or Nowhere(), observers).train(timeout)


class _Run:
    """The state of the loop."""

    def __init__(
        self, design: Design, policy: Policy, executor: Executor, store: Nowhere, observers: Sequence[Observer]
    ):
        self.design, self.policy, self.executor, self.store = design, policy, executor, store
        self.observers, self.ledger = observers, Ledger()
        stored = store.stored()
        # A protocol is asked for its members one by one, which is too much for every round of the loop.
        self.replayed = policy if isinstance(policy, Replayed) else None
        if self.replayed is not None and stored is not None:
            self.design = self.replayed.replay(store.log(), design, stored)
        self.results = store.open(self.design.spec)
        note(self.design, policy, store)
        self.halfway: Sequence[Halfway] = store.halfway()
        self.meter = Meter(self.results)
        # None before anything has been started.
        self.advanced: bool | None = None
        self.grown = False
        executor.watch(self.tell)

    def tell(self, compiling: int = 0) -> None:
        """Lets the observers know."""
        progress = self.meter.progress(compiling)
        for observe in self.observers:
            observe(progress)

    def train(self, timeout: float | None) -> tuple[Design, Results]:
        """Goes round until the policy is done or the time is over."""
        end = None if timeout is None else time.monotonic() + timeout
        try:
            # Ctrl-C waits until what has been trained is stored; compiling, which may take minutes, it ends at once.
            with interrupt.held():
                while more := self.step():
                    if end is not None and time.monotonic() >= end:
                        break
                self.save()
        except BaseException:
            self.save()
            raise
        finally:
            self.close()
        if more and timeout is not None:
            self.warn(timeout)
        return self.design, self.results

    def warn(self, timeout: float) -> None:
        """Says that the study isn't complete, and what goes on with it."""
        how = "another one with store='FOLDER' could be gone on with"
        if isinstance(self.store, Folder):
            how = f"jreg.resume({str(self.store.folder)!r}, recipe, data) goes on with it"
        warnings.warn(
            f"the study ended after {timeout:g} seconds, before it was complete: {how}", RuntimeWarning, stacklevel=5
        )

    def step(self) -> bool:
        """Asks the policy once and does what it decides; returns whether there is more to do."""
        view = View(self.design, self.results, self.executor, self.ledger, self.advanced)
        decision = self.policy.next(view)
        if self.advanced:
            # After the policy, so that it knows of everything even when an observer ends the study.
            self.tell()
        if decision.done:
            return False
        self.meter.begin(decision)
        failed = self.append(decision)
        pruned = self.cancel(decision)
        self.start(decision, view)
        # The policy hears of failed settings as of what has been trained.
        self.advanced = bool(failed)
        if decision.again or not self.executor.busy:
            self.keep([*failed, *pruned])
            return True
        found = self.trained(decision.epochs)
        self.keep([*failed, *pruned, *found])
        errors.check(self.design.spec, found)
        self.advanced = True
        if self.store.due:
            self.save()
        interrupt.check()
        return True

    def keep(self, found: Sequence[Trained]) -> None:
        """Stores what trainings have left, and what the policy has decided."""
        if not self.store.keeps:
            return
        log = [] if self.replayed is None else self.replayed.log()
        # A layout is known, and stays, once its program has trained.
        layouts = getattr(self.executor, "layouts", {}).items()
        self.results.layouts = {text_of(plan.static): layout.numbers for plan, layout in layouts}
        found = [some for some in found if len(some)]
        if found or log:
            self.store.append(self.results, found, log)

    def append(self, decision: Decision) -> list[Trained]:
        """Adds the settings that the policy has added; returns the trainings of those that can't be built."""
        failed = []
        for setting in decision.settings:
            self.design, without = errors.appended(self.design, setting)
            self.results.grow(self.design.spec)
            self.grown = True
            if without is not None:
                self.results.add(without)
                self.meter.given_up(len(without))
                failed.append(without)
        return failed

    def cancel(self, decision: Decision) -> list[Trained]:
        """Gives trainings up; returns those."""
        if not decision.cancel:
            return []
        names = self.ledger.give_up(decision.cancel)
        if names:
            self.executor.cancel(names)
        self.meter.given_up(len(names))
        return [self.results.prune(decision.cancel)]

    def start(self, decision: Decision, view: View) -> None:
        """Hands trainings to the executor."""
        for wanted in decision.start:
            if self.design.failed.intersection(wanted.settings.flat):
                continue
            self.meter.started(wanted.settings.size)
            if self.halfway:
                wanted = go_on(self.executor, self.ledger, view, self.halfway, wanted)
            for plan, jobs in self.design.jobs(wanted, self.ledger.enter(self.design, wanted)):
                self.executor.submit(plan, jobs)
        if decision.start:
            self.halfway = ()

    def trained(self, epochs: int | None) -> list[Trained]:
        """Trains; returns what trainings that have ended have left."""
        chunk = self.executor.advance(epochs)
        found = [self.ledger.ended(outcome) for outcome in chunk.outcomes]
        fresh = []
        for some in found:
            # What was given up has been counted as that.
            known = self.results.statuses(some.setting, some.fold, some.seed) == Status.PRUNED
            fresh.append(some.take(~known) if known.any() else some)
            self.results.add(some)
        self.meter.add(chunk, fresh)
        return found

    def save(self) -> None:
        """Stores what is under way."""
        if self.store.keeps:
            self.store.checkpoint(halfway_of(self.executor, self.ledger))

    def close(self) -> None:
        """Ends the study: what has been finished is kept, whatever ended it."""
        self.meter.end()
        if self.grown:
            self.design = dataclasses.replace(self.design, spec=self.design.spec.listed())
            self.results.grow(self.design.spec)
        try:
            self.results.baseline = baseline(self.design)
        finally:
            # The baseline calls the recipe again, and whatever that raises, results are kept.
            self.store.close(self.results)
