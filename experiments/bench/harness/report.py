"""What the benchmarks write beside their numbers. Standard library only: the parent process stays small."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RUNS = Path(__file__).parents[3] / "runs" / "bench"
_PACKAGES = ("jreg", "jax", "jaxlib", "flax", "optax", "scikit-learn", "numpy", "torch", "keras", "pytabkit")
# Instruction sets in /proc/cpuinfo, the widest first.
_AVX = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"))
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


def environment(cpu: bool = True) -> dict[str, str]:
    """The environment of a measured process: no persistent compilation cache, bytecode as usual, on the CPU or not."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_UNWANTED)}
    return {**kept, **({"JAX_PLATFORMS": "cpu"} if cpu else {}), "JAX_ENABLE_COMPILATION_CACHE": "false"}


def machine() -> dict[str, Any]:
    """The processor with its widest vectors, cores and memory, the operating system, and the load at the start.

    What a system doesn't tell is None.
    """
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = round(os.getloadavg()[0], 2)
    cpu = models[0] if models else platform.processor()
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split(":", 1)[1].split()}
    avx = next((name for flag, name in _AVX if flag in flags), None)
    pages = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30 if pages else None
    return {
        "cpu": cpu,
        "avx": avx,
        "cores": cores,
        "memory_gib": None if memory is None else round(memory, 1),
        "system": platform.platform(),
        "load_before": load,
    }


def git(*arguments: str, folder: Path | None = None) -> str:
    """What git answers in the checkout of this file, or in another one.

    Raises:
      FileNotFoundError: there is no git.
      subprocess.CalledProcessError: it failed, because this is not a checkout for example.
    """
    # In a process group of its own, so that Ctrl-C doesn't interrupt what cleans up.
    command = ["git", "-C", str(folder or Path(__file__).parent), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, start_new_session=True).stdout.strip()


def checkout() -> dict[str, Any] | None:
    """The commit of this checkout, and whether files that git follows differ from it; None outside of one."""
    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": bool(changes)}


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
    return {"date": when, "machine": machine(), "versions": versions(), "checkout": checkout()}


def describe(found: Mapping[str, Any]) -> str:
    """The header as a few lines of text."""
    place, code = found["machine"], found["checkout"]
    parts = [place["cpu"], place["avx"], f"{place['cores']} cores", f"load {place['load_before']} before the start"]
    if "peak_flops" in place:
        parts.append(f"float32 peak {place['peak_flops'] / 1e9:.0f} GFLOP/s")
    commit = f"\ncommit {code['commit'][:10]}{' with changes' if code['dirty'] else ''}" if code else ""
    packages = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"{', '.join(filter(None, parts))}\n{packages}{commit}"


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
