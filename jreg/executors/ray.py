"""Where a study trains: on a cluster of Ray's."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import math
import re
import signal
import socket
import threading
import warnings
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from jreg._base import checks
from jreg._base.names import shown
from jreg.engine import Layout
from jreg.executors.crew import RayCrew
from jreg.executors.dealer import Dealer
from jreg.executors.messages import Shared
from jreg.training import Plan

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:/\s]+):(\d{1,5})")
# How long a node may take to accept a connection; Ray itself tries for minutes.
_CONNECTING = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ray:
    """Trains on the workers of a Ray cluster: `executor=` of `jreg.cross_validate` and the like.

    Each worker is an actor with devices of its own. It receives the data once and a few trainings at a time, and this
    process alone writes the store. A worker that dies is started again, and what it hadn't finished runs elsewhere.

    Args:
      num_workers: how many; default: as many as the cluster has room for.
      resources: what each worker has, by Ray's names, such as ``{"CPU": 2}`` or ``{"GPU": 1}``; ``"memory"`` is in
        bytes. Default: one GPU where the cluster has any, or else one CPU. With CPUs alone it trains on as many CPU
        devices.
      address: of the cluster, such as ``"10.0.0.5:6379"``, or ``"auto"`` for the one that this machine belongs to.
        Default: the cluster that this process has joined by ``ray.init``, or else one on this machine, which ends with
        the study.
      runtime_env: as in Ray, what a worker's environment has beside what is installed on its node, such as
        ``{"working_dir": "."}`` for a recipe that imports modules of yours.
      max_restarts: how often a worker is started again.
      deadline: seconds after which a silent worker's trainings are given to others; compiling may take ten minutes in
        any case. Default: ten times as long as the longest answer took so far, and a minute at least.
      wait: seconds that workers may take to start.

    Raises:
      ValueError, TypeError: a number is out of range, or the address is none.

    >>> Ray(num_workers=2, resources={"CPU": 1}).num_workers
    2
    """

    num_workers: int | None = None
    resources: Mapping[str, float] | None = None
    address: str | None = None
    runtime_env: Mapping[str, Any] | None = None
    max_restarts: int = 10
    deadline: float | None = None
    wait: float = 120.0

    def __post_init__(self) -> None:
        if self.num_workers is not None:
            checks.count(self.num_workers, "num_workers")
        checks.count(self.max_restarts, "max_restarts", least=0)
        checks.seconds(self.deadline, "deadline")
        checks.seconds(self.wait, "wait")
        if self.resources is not None:
            if not isinstance(self.resources, Mapping) or not self.resources:
                raise TypeError(
                    f"resources are {shown(self.resources)}, but must be what each worker has, such as {{'CPU': 2}}"
                )
            for name, value in self.resources.items():
                checks.positive(value, f"the resource {name}")
        if self.address is not None and self.address not in ("auto", "local") and not _place(self.address):
            raise ValueError(
                f"Ray's address is {shown(self.address)}, but must be a host and a port, such as '10.0.0.5:6379', or "
                "'auto' on a node of the cluster: a study is driven from one of its nodes, so ray:// is none"
            )

    @contextlib.contextmanager
    def started(
        self, shared: Shared, total: int, known: Mapping[Plan, Layout], names: Sequence[str]
    ) -> Generator[Dealer]:
        """An executor over workers that are there, and are ended behind it.

        Args:
          shared: what they need.
          total: how many trainings there are, for all of them.
          known: layouts of plans whose study goes on.
          names: of packages whose versions must be this process's.

        Raises:
          ImportError: Ray isn't installed.
          ConnectionError: there is no such cluster, or workers don't start.
          ValueError: the cluster hasn't what is asked for, or a worker can't train what this process would.
        """
        try:
            ray = importlib.import_module("ray")
        except ImportError:
            raise ImportError('jreg.executors.Ray needs the package ray: pip install "jreg[ray]"') from None
        with _joined(ray, self.address) as is_own:
            there = ray.cluster_resources()
            each = dict(self.resources or ({"GPU": 1} if there.get("GPU") else {"CPU": 1}))
            room = min(math.floor(there.get(name, 0) / value) for name, value in each.items())
            if room < (self.num_workers or 1) and (is_own or self.num_workers is None):
                lacks = next(
                    name for name, value in each.items() if there.get(name, 0) < value * (self.num_workers or 1)
                )
                raise ValueError(
                    f"{self.num_workers or 1} workers with {each[lacks]:g} {lacks} each were asked for, but "
                    f"{'this machine' if is_own else 'the cluster'} has {there.get(lacks, 0):g}: ask for fewer, or "
                    "join a larger cluster by its address"
                )
            count = self.num_workers or room
            crew = RayCrew(
                ray,
                shared._replace(trainings=-(-total // count)),
                count,
                self._options(each),
                _promised(each),
                self.wait,
            )
            try:
                crew.start(names)
                yield Dealer(crew, known, together=shared.together, turns=shared.turns, deadline=self.deadline)
            finally:
                crew.end()

    def _options(self, each: Mapping[str, float]) -> dict[str, Any]:
        own = {name: value for name, value in each.items() if name not in ("CPU", "GPU", "memory")}
        # An actor without CPUs would be put anywhere, however many there are already.
        found = {"num_cpus": each.get("CPU", 1), "num_gpus": each.get("GPU", 0), "resources": own}
        found |= {"max_restarts": self.max_restarts}
        if "memory" in each:
            found["memory"] = each["memory"]
        if self.runtime_env is not None:
            found["runtime_env"] = dict(self.runtime_env)
        return found


def _promised(each: Mapping[str, float]) -> tuple[str, int]:
    """The kind and number of devices that each worker has."""
    kind = next((name for name in ("GPU", "TPU") if name in each), "CPU")
    return kind.lower(), max(1, math.floor(each.get(kind, 1)))


def _place(address: str) -> tuple[str, int] | None:
    found = _ADDRESS.fullmatch(address)
    return None if found is None else (found[1].strip("[]"), int(found[2]))


@contextlib.contextmanager
def _joined(ray: Any, address: str | None) -> Generator[bool]:
    """Joins a cluster, and leaves it; whether it is one that is on this machine for this study alone."""
    if ray.is_initialized():
        yield False
        return
    is_own = address in (None, "local")
    if (place := _place(address or "")) is not None:
        try:
            socket.create_connection(place, timeout=_CONNECTING).close()
        except OSError as error:
            raise ConnectionError(
                f"there is no Ray cluster at {address} ({error.strerror or error}): start one by ray start --head, or "
                "leave the address out to use this machine alone"
            ) from None
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            # The children replace themselves by another program at once, so they never wait for JAX's threads.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            ray.init(
                address="local" if is_own else address,
                include_dashboard=False if is_own else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConnectionError(
            f"there is no Ray cluster at {address or 'this machine'} ({str(error).splitlines()[0][:200]}): start one "
            "by ray start --head, or leave the address out to use this machine alone"
        ) from error
    if threading.current_thread() is threading.main_thread():
        # Ray takes the signal that ends a process, with which a study stores what is under way.
        signal.signal(signal.SIGTERM, handler)
    try:
        yield is_own
    finally:
        ray.shutdown()
