"""Which devices train, and how a study is laid over them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Literal

import jax
import numpy as np
from jax.sharding import Mesh

from jreg import _check

AXIS = "slots"


def use_cpu_devices(count: int | None = None) -> None:
    """Makes JAX see one CPU device a core, over which a study spreads its trainings.

    Call it in a script before JAX computes anything; the command line does. It sets JAX's
    ``jax_num_cpu_devices`` and has no effect on a GPU or TPU.

    Args:
      count: how many devices; None: as many as this process may use cores.

    Raises:
      RuntimeError: JAX has already started with another number.

    >>> import jax
    >>> use_cpu_devices(len(jax.devices("cpu")))  # what it already is, so this changes nothing
    """
    wanted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = wanted if count is None else _check.count(count, "use_cpu_devices' count")
    try:
        jax.config.update("jax_num_cpu_devices", wanted)
    except RuntimeError:
        # JAX refuses even the number it has when that was not set but found.
        if len(jax.devices("cpu")) == wanted:
            return
        raise RuntimeError(
            "JAX has already started, so its number of CPU devices is fixed: call jreg.use_cpu_devices() first"
        ) from None


@dataclasses.dataclass(frozen=True)
class Layout:
    """How many trainings run at once and where.

    Attributes:
      devices: the devices the slots are spread over.
      slots: trainings at once on each device.
      inner: ``"map"`` runs a device's slots one after the other, which leaves out empty ones; ``"vmap"`` runs them
        as one batch.
    """

    devices: tuple[jax.Device, ...]
    slots: int
    inner: Literal["map", "vmap"]

    def __post_init__(self) -> None:
        _check.count(self.slots, "the layout's slots")
        if self.inner not in ("map", "vmap"):
            raise ValueError(f"the layout's inner loop is {self.inner!r}, but must be 'map' or 'vmap'")

    @property
    def mesh(self) -> Mesh:
        """The devices as a mesh with the one axis `AXIS`."""
        return Mesh(np.array(self.devices), (AXIS,))


def choose_layout(
    trainings: int,
    devices: Sequence[jax.Device] | None = None,
    slots: int | None = None,
    inner: Literal["map", "vmap"] | None = None,
) -> Layout:
    """The layout for so many trainings: on CPU one slot a device, elsewhere a batch of up to 64.

    A training keeps a core busy by itself, while a GPU or TPU needs many at once.

    >>> choose_layout(60, devices=jax.devices()[:1]).slots
    1
    """
    chosen = tuple(jax.local_devices() if devices is None else devices)
    on_cpu = chosen[0].platform == "cpu"
    if slots is None:
        slots = 1 if on_cpu else min(64, -(-trainings // len(chosen)))
    return Layout(chosen, slots, inner or ("map" if on_cpu else "vmap"))
