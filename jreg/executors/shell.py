"""The actor, which carries its own code to a worker, so that it can say there why jreg can't be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def shell() -> type:
    """The actor's class: a local one, which Ray ships as it is instead of by the name of its module."""

    class Shell:
        """Says what is there, and has a `jreg.executors.worker.Worker` train."""

        def __init__(self) -> None:
            self.worker: Any = None
            self.greeted = False

        def hello(
            self,
            devices: tuple[str, int],
            host: str,
            config: Mapping[str, Any],
            only_there: Sequence[str],
            names: Sequence[str],
        ) -> dict[str, Any]:
            """Starts JAX as the driver has it; returns versions and devices, or why it can't.

            The kind and number of devices that it was promised; the driver's host; settings of JAX's, and which of them
            are for that host; packages whose versions are asked for.
            """
            import importlib.metadata
            import os
            import platform
            import socket

            here = {"host": socket.gethostname(), "process": os.getpid()}
            kind, count = devices
            if kind == "cpu":
                # XLA would start a thread per core of the node, and workers would be in each other's way.
                os.environ.setdefault("NPROC", str(count))
            try:
                import jax

                if kind == "cpu" and not self.greeted:
                    # On a node with an accelerator of which nothing was promised.
                    jax.config.update("jax_platforms", "cpu")
                for name, value in config.items():
                    if hasattr(jax.config, name) and (name not in only_there or here["host"] == host):
                        jax.config.update(name, value)
                from jreg.engine import use_cpu_devices

                if kind == "cpu" and not self.greeted:
                    use_cpu_devices(count)
                found = [device.platform for device in jax.local_devices()]
            except Exception as error:
                return {**here, "error": f"{type(error).__name__}: {error}"}
            self.greeted = True
            versions = {"python": ".".join(platform.python_version_tuple()[:2])}
            for name in names:
                try:
                    versions[name] = importlib.metadata.version(name)
                except importlib.metadata.PackageNotFoundError:
                    versions[name] = ""
            return {**here, "versions": versions, "devices": found}

        def step(self, step: Any, shared: Sequence[Any], plans: Mapping[int, Sequence[Any]], limit: float) -> Any:
            """A `Step`, with references to what it needs; None where an actor that has restarted wasn't greeted."""
            import importlib

            ray = importlib.import_module("ray")
            from jreg.executors.messages import Answer, Raised
            from jreg.executors.worker import Worker

            if not self.greeted:
                return None
            try:
                if self.worker is None:
                    self.worker = Worker(ray.get(shared[0], timeout=limit))
                new = [number for number in plans if number not in self.worker.plans]
                found = ray.get([plans[number][0] for number in new], timeout=limit)
            except Exception as error:
                # Such as a recipe in a module that isn't on this node.
                return Answer(step.generation, raised=Raised.of(error))
            return self.worker.step(step, dict(zip(new, found, strict=True)))

    return Shell
