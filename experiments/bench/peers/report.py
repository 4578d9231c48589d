"""What the benchmarks write beside their numbers. Standard library only: the parent process stays small."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RUNS = Path(__file__).parents[3] / "runs" / "bench"
_PACKAGES = ("jreg", "jax", "jaxlib", "flax", "optax", "scikit-learn", "numpy", "torch", "keras")
# Switches of the caller's shell that would change what is measured.
_UNWANTED = (
    "JAX_",
    "XLA_",
    "OMP_",
    "OPENBLAS_",
    "MKL_",
    "KERAS_",
    "TORCH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPROFILEIMPORTTIME",
)


def environment() -> dict[str, str]:
    """The environment of a measured process: on the CPU, no persistent compilation cache, bytecode as usual."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_UNWANTED)}
    return {**kept, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}


def machine() -> dict[str, Any]:
    """The processor, its cores, the operating system and the load before the measurement."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = round(os.getloadavg()[0], 2)
    cpu = models[0] if models else platform.processor()
    return {"cpu": cpu, "cores": cores, "system": platform.platform(), "load_before": load}


def versions() -> dict[str, str]:
    """Python's and the packages' versions, without importing them."""
    installed = {}
    for name in _PACKAGES:
        # torch and keras are optional.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return {"python": platform.python_version(), **installed}


def header() -> dict[str, Any]:
    """When, where and with what."""
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"date": when, "machine": machine(), "versions": versions()}


def describe(found: Mapping[str, Any]) -> str:
    """The header as two lines of text."""
    place = found["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"{place['cpu']}, {place['cores']} cores, load {place['load_before']} before the start\n{packages}"


def spread(values: Sequence[float], digits: int = 2, sign: str = "") -> str:
    """The median after a sign, and the smallest and largest value in brackets; a dash without values."""
    if not values:
        return "-"
    return f"{sign}{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def verdict(met: bool) -> str:
    """Whether a goal is met, for people."""
    return "met" if met else "MISSED"


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Writes the numbers as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(f"written to {path}")
