"""Which devices train, and how a study is laid over them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jreg._base import checks
from jreg._base.machine import free_memory
from jreg.training.spreading import DATA

# The axis along which devices, or groups of them, have slots of their own.
AXIS = "slots"
# Slots of a batch on an accelerator and, on a CPU, for networks of at most the last number of parameters.
_BATCH, _TINY_BATCH, _TINY = 64, 32, 2000


def use_cpu_devices(count: int | None = None) -> None:
    """Makes JAX see one CPU device per core, over which a study spreads its trainings.

    Call it in a script before JAX computes anything; the command line does. It sets JAX's
    ``jax_num_cpu_devices`` and has no effect on a GPU or TPU.

    Args:
      count: how many devices; default: one per core that this process may use.

    Raises:
      RuntimeError: JAX has already started with another number.

    >>> import jax
    >>> use_cpu_devices(len(jax.devices("cpu")))  # what it already is, so this changes nothing
    """
    wanted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = wanted if count is None else checks.count(count, "use_cpu_devices' count")
    try:
        jax.config.update("jax_num_cpu_devices", wanted)
    except RuntimeError:
        # JAX refuses even the number it has when that was not set but found.
        if len(jax.local_devices(backend="cpu")) == wanted:
            return
        raise RuntimeError(
            "JAX has already started, so its number of CPU devices is fixed: call jreg.use_cpu_devices() first"
        ) from None


def one_thread_per_device(layout: Layout) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Makes contexts in which a program's decompositions on a CPU each stay in one thread.

    XLA has LAPACK compute them, whose OpenBLAS would start a thread per core for each, and its threads wait for each
    other busily: beside other processes a 128 x 128 matrix took 0.1 to 1 seconds instead of 2 to 6 milliseconds. With
    one thread its bits don't depend on the number of cores either. Call it when the program is compiled, since LAPACK
    is loaded then.
    """
    if layout.devices[0].platform != "cpu":
        return contextlib.nullcontext
    from threadpoolctl import ThreadpoolController

    return partial(ThreadpoolController().limit, limits=1, user_api="blas")


@dataclasses.dataclass(frozen=True)
class Layout:
    """How many trainings run at once and where.

    Attributes:
      devices: the devices the slots are spread over; default: all that this process has.
      slots: trainings at once on each device, or with `data` on each group of devices.
      batch: how many of a device's slots are computed as one batch (`jax.vmap`); the batches run one after the
        other, and one without a running training is left out. 1 runs each slot by itself.
      data: how many devices share a training, for one whose batches are too large for the memory of a single device.
        Each has a part of the rows of every batch and of every block of an evaluation, and all of the parameters.

    Raises:
      ValueError: `slots` is no multiple of `batch`, the devices can't be put into groups of `data`, a number is
        below 1, or a device is of another process.
      TypeError: one of them is no whole number, or `devices` are none.

    >>> layout = Layout(jax.devices()[:1], slots=4)
    >>> layout.groups, layout.lanes
    (1, 4)
    """

    devices: tuple[jax.Device, ...] = dataclasses.field(default_factory=lambda: tuple(jax.local_devices()))
    slots: int = 1
    batch: int = 1
    data: int = 1

    def __post_init__(self) -> None:
        devices = (self.devices,) if isinstance(self.devices, jax.Device) else tuple(self.devices)
        if not devices or not all(hasattr(device, "platform") for device in devices):
            raise TypeError(
                f"the layout's devices are {self.devices!r}, but must be devices of JAX's: jax.local_devices()"
            )
        own = jax.process_index()
        if others := [device for device in devices if getattr(device, "process_index", own) != own]:
            raise ValueError(
                f"the layout has {others[0]!r} of process {others[0].process_index}, but process {own} trains on its "
                "own devices: jax.local_devices()"
            )
        object.__setattr__(self, "devices", devices)
        checks.count(self.slots, "the layout's slots")
        checks.count(self.batch, "the layout's batch")
        if self.slots % self.batch:
            raise ValueError(f"the layout's slots are {self.slots}, but must be a multiple of its batch, {self.batch}")
        checks.count(self.data, "the layout's data")
        if len(devices) % self.data:
            raise ValueError(
                f"the layout has {len(devices)} device{'s' * (len(devices) > 1)}, but with data={self.data} their "
                f"number must be a multiple of {self.data}: leave some out, or take another data"
            )

    @property
    def mesh(self) -> Mesh:
        """The devices as a mesh with the axis `AXIS`, and where they share trainings a second one, ``"data"``."""
        devices = np.array(self.devices)
        return Mesh(devices, (AXIS,)) if self.data == 1 else Mesh(devices.reshape(-1, self.data), (AXIS, DATA))

    @property
    def groups(self) -> int:
        """How many devices, or groups that share their trainings, have slots and a queue of their own."""
        return len(self.devices) // self.data

    @property
    def numbers(self) -> tuple[int, ...]:
        """(slots, batch), and where devices share trainings also how many: what a study that goes on has to know."""
        return (self.slots, self.batch) if self.data == 1 else (self.slots, self.batch, self.data)

    @property
    def lanes(self) -> int:
        """Trainings at once."""
        return self.slots * self.groups

    @property
    def programs(self) -> tuple[Layout, ...]:
        """The layouts of the programs that train: one for all devices, or one for each group that shares trainings."""
        if self.data == 1:
            return (self,)
        first = range(0, len(self.devices), self.data)
        return tuple(dataclasses.replace(self, devices=self.devices[at : at + self.data]) for at in first)

    def with_slots(self, slots: int) -> Layout:
        """A copy with at most `slots` slots per device: whole batches, or one batch that is smaller."""
        batch = min(slots, self.batch)
        return dataclasses.replace(self, slots=slots // max(1, batch) * batch, batch=batch)

    def __str__(self) -> str:
        how = "one by one" if self.batch == 1 else f"in batches of {self.batch}"
        kind = self.devices[0].platform.upper()
        devices = f"{len(self.devices)} {kind}" if self.data == 1 else f"{self.groups} x {self.data} {kind}"
        return f"{devices} x {self.slots} slots {how}"


def choose_layout(trainings: int, parameters: int, devices: Sequence[jax.Device] | None = None) -> Layout:
    """The layout to begin with: on a CPU one slot a device, or a batch when networks are tiny; elsewhere up to 64.

    A training of a network of some size keeps a core busy by itself; in a tiny one a core spends its time between
    the operations, and a GPU or TPU does so in most.

    Args:
      trainings: how many there are to do.
      parameters: of one network.
      devices: default: all that this process has.

    >>> choose_layout(60, 25_000, devices=jax.devices()[:1]).slots
    1
    """
    chosen = tuple(jax.local_devices() if devices is None else devices)
    if chosen[0].platform == "cpu":
        # Measured, see docs/performance.md: below this a batch wins, above it the cache does. How many trainings
        # there are has no say, because the last bits of a result depend on the size of the batch.
        slots = _TINY_BATCH if parameters <= _TINY else 1
    else:
        share = -(-trainings // len(chosen))
        slots = min(_BATCH, 2 ** (share - 1).bit_length())
    # A device without a training would have slots for nothing.
    return Layout(chosen[: max(1, -(-trainings // slots))], slots, slots)


def memory(device: jax.Device, sharing: int = 1) -> int | None:
    """Bytes that a program may use on a device, one of `sharing` that divide the same memory; None: nobody knows."""
    try:
        statistics = device.memory_stats()
    except (jax.errors.JaxRuntimeError, NotImplementedError):
        # Backends that don't keep account raise one or the other, and a CPU returns None.
        statistics = None
    if statistics and "bytes_limit" in statistics:
        return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
    free = free_memory() if device.platform == "cpu" else None
    return None if free is None else free // sharing
