"""Workers as Ray's actors: starting them, what each is asked, and what became of it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jreg._base.names import listed
from jreg.executors.messages import Answered, Gone, Lost, Ready, Shared, Step
from jreg.executors.shell import shell
from jreg.training import Plan

# Settings of JAX's that change what is computed, or whether a program is compiled at all.
_CONFIG = (
    "jax_enable_x64",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_default_matmul_precision",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
)
_CACHE = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
# What an answer that is there may take to be read.
_READING = 60.0
# How long an actor that restarts is asked again after it has been unavailable.
_PAUSE = 1.0


class Actor:
    """One actor.

    Attributes:
      handle: Ray's.
      steps: references to answers that haven't come, the oldest first.
      greeting: the reference to the answer of one that is started, or None.
      again: when one that was unavailable is greeted again, or None.
      since: when it was last known to be lost.
    """

    def __init__(self, handle: Any):
        self.handle = handle
        self.steps: deque[Any] = deque()
        self.greeting: Any = None
        self.again: float | None = None
        self.since = time.monotonic()


class RayCrew:
    """Ray's actors as a `jreg.executors.messages.Crew`.

    Args:
      ray: the package, which is connected to a cluster.
      shared: what each worker needs, put into the object store once.
      count: how many actors.
      options: Ray's, of each actor.
      devices: the kind and number that each was promised.
      wait: seconds that they may take to start, and to restart.
    """

    def __init__(
        self, ray: Any, shared: Shared, count: int, options: Mapping[str, Any], devices: tuple[str, int], wait: float
    ):
        self._ray, self.count, self._devices, self._wait = ray, count, devices, wait
        self._options = dict(options)
        # Kept here, so that a restarted actor finds it (ray 53727).
        self._shared = ray.put(shared)
        self._plans: dict[int, Any] = {}
        actor = ray.remote(shell())
        self._actors = [Actor(actor.options(**options).remote()) for _ in range(count)]
        self._gone: set[int] = set()

    def start(self, names: Sequence[str]) -> None:
        """Waits for all of them.

        Args:
          names: of packages whose versions must be this process's.

        Raises:
          ValueError: one can't train here.
          ConnectionError: they don't start, since the cluster has no room for them, or die at once.
        """
        self._names = tuple(names)
        for actor in self._actors:
            self._greet(actor)
        greetings = [actor.greeting for actor in self._actors]
        ready, _ = self._ray.wait(greetings, num_returns=len(greetings), timeout=self._wait)
        for actor in self._actors:
            if actor.greeting in ready:
                try:
                    found = self._ray.get(actor.greeting, timeout=_READING)
                except self._ray.exceptions.RayError as error:
                    raise ConnectionError(f"a Ray worker can't be started: {_short(error)}") from error
                if (trouble := self._trouble(found)) is not None:
                    raise ValueError(trouble)
                actor.greeting = None
        if len(ready) < self.count:
            there = listed([f"{value:g} {name}" for name, value in _resources(self._ray.cluster_resources()).items()])
            raise ConnectionError(
                f"{self.count - len(ready)} of {self.count} Ray workers haven't started within {self._wait:g} seconds: "
                f"each asks for {_asked(self._options)}, and the whole cluster has {there}"
            )

    def send(self, worker: int, step: Step, plans: Mapping[int, Plan]) -> None:
        """As `jreg.executors.messages.Crew.send`."""
        for number, plan in plans.items():
            if number not in self._plans:
                self._plans[number] = self._ray.put(plan)
        # In lists, so that an actor that has them already doesn't read them once more.
        references = {number: [self._plans[number]] for number in plans}
        actor = self._actors[worker]
        actor.steps.append(actor.handle.step.remote(step, [self._shared], references, _READING))

    def receive(self, seconds: float) -> Sequence[Answered | Lost | Ready | Gone]:
        """As `jreg.executors.messages.Crew.receive`."""
        now = time.monotonic()
        for actor in self._actors:
            if actor.again is not None and now >= actor.again:
                self._greet(actor)
        references = [actor.greeting or actor.steps[0] for actor in self._actors if actor.greeting or actor.steps]
        if references:
            self._ray.wait(references, num_returns=1, timeout=seconds, fetch_local=False)
            # The others' too, so that none is taken for silent only because this process was busy.
            there = set(self._ray.wait(references, num_returns=len(references), timeout=0)[0])
        else:
            time.sleep(min(seconds, _PAUSE))
            there = set()
        found = []
        for number, actor in enumerate(self._actors):
            if number in self._gone:
                continue
            if actor.greeting is not None and actor.greeting in there:
                found += self._greeted(number, actor)
            elif actor.greeting is None and actor.steps and actor.steps[0] in there:
                found += self._answered(number, actor)
            elif (actor.greeting is not None or actor.again is not None) and now - actor.since > self._wait:
                found += self._give_up(number, f"it hasn't come back within {self._wait:g} seconds")
        return found

    def restart(self, worker: int) -> None:
        """As `jreg.executors.messages.Crew.restart`."""
        actor = self._actors[worker]
        self._ray.kill(actor.handle, no_restart=False)
        self._lose(actor)

    def end(self) -> None:
        """Ends the actors."""
        for actor in self._actors:
            # A cluster that is gone has no actors either, and why the study ended says more.
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor.handle)

    def _greet(self, actor: Actor) -> None:
        actor.again = None
        config = {name: getattr(jax.config, name) for name in (*_CONFIG, *_CACHE) if hasattr(jax.config, name)}
        actor.greeting = actor.handle.hello.remote(self._devices, socket.gethostname(), config, _CACHE, self._names)

    def _lose(self, actor: Actor) -> None:
        """One is unavailable, which is no failure while it restarts: it is greeted until it answers."""
        actor.steps.clear()
        actor.greeting, actor.since, actor.again = None, time.monotonic(), time.monotonic() + _PAUSE

    def _answered(self, number: int, actor: Actor) -> list[Answered | Lost | Gone]:
        try:
            answer = self._ray.get(actor.steps[0], timeout=_READING)
        except self._ray.exceptions.GetTimeoutError:
            # It is asked for again, and is over its deadline some time.
            return []
        except self._ray.exceptions.RayError as error:
            self._lose(actor)
            return [Lost(number, _short(error))]
        if answer is None:
            self._lose(actor)
            return [Lost(number, "it was started again")]
        actor.steps.popleft()
        return [Answered(number, answer)]

    def _greeted(self, number: int, actor: Actor) -> list[Ready | Gone]:
        try:
            found = self._ray.get(actor.greeting, timeout=_READING)
        except (self._ray.exceptions.ActorUnavailableError, self._ray.exceptions.GetTimeoutError):
            actor.greeting, actor.again = None, time.monotonic() + _PAUSE
            return []
        except self._ray.exceptions.RayError as error:
            return self._give_up(number, _short(error))
        actor.greeting = None
        if (trouble := self._trouble(found)) is not None:
            return self._give_up(number, trouble)
        return [Ready(number)]

    def _give_up(self, number: int, why: str) -> list[Any]:
        actor = self._actors[number]
        actor.greeting = actor.again = None
        actor.steps.clear()
        self._gone.add(number)
        self._ray.kill(actor.handle)
        return [Gone(number, why)]

    def _trouble(self, found: Mapping[str, Any]) -> str | None:
        """Why a worker that has answered can't train, in a sentence."""
        if "error" in found:
            return (
                f"a Ray worker on {found['host']} can't import jreg ({found['error']}): install it there, or ship it, "
                "jreg.executors.Ray(runtime_env=...)"
            )
        own = _versions(self._names)
        others = [
            f"{name} {found['versions'].get(name) or 'not installed'} where this process has {version}"
            for name, version in own.items()
            if found["versions"].get(name) != version
        ]
        if others:
            return f"a Ray worker on {found['host']} has {listed(others)}: results would differ, so install the same"
        kind, count = self._devices
        there = [one for one in found["devices"] if kind == "cpu" or one != "cpu"]
        if len(there) < count:
            sees = listed([f"{found['devices'].count(one)} {one.upper()}" for one in dict.fromkeys(found["devices"])])
            return (
                f"a Ray worker on {found['host']} was promised {count} {kind.upper()}, but its JAX sees "
                f"{sees or 'none'}: install JAX for it there, or leave it out of resources"
            )
        return None


def _versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of this process, as a worker states them."""
    import platform

    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a source tree that isn't installed
            continue
    return found


def _short(error: BaseException) -> str:
    """The first line of what Ray says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def _resources(resources: Mapping[str, float]) -> dict[str, float]:
    """Those that a person asks for."""
    hidden = ("node:", "object_store_memory", "memory", "accelerator_type:")
    return {name: value for name, value in resources.items() if not name.startswith(hidden)}


def _asked(options: Mapping[str, Any]) -> str:
    found = {"CPU": options["num_cpus"], "GPU": options["num_gpus"], **options["resources"]}
    return listed([f"{value:g} {name}" for name, value in found.items() if value])
