"""``jreg doctor``."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

import jreg
from jreg._base.machine import free_memory
from jreg._base.names import cut
from jreg.cli.data import NOTHING, Switch, is_file
from jreg.cli.output import say
from jreg.cli.studies import FINAL, NOTE, resume_command
from jreg.network import Network
from jreg.network.saving import MODEL
from jreg.store import NAME, examine, load_note, load_results, salvage
from jreg.training import Status

_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "scipy",
    "scikit-learn",
    "narwhals",
    "safetensors",
    "matplotlib",
    "tyro",
)
# The exit code where something is damaged.
_DAMAGED = 1


def doctor(
    run: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="RUN")]] = None,
    /,
    *,
    salvage: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", **NOTHING)] = None,
    traceback: Switch = False,
) -> None:
    """Says what this machine has for jreg, or what is in the folder of a study and whether it is whole.

    Args:
      run: the folder of a study, of which nothing is run and where nothing is written.
      salvage: a new folder for what can still be read of a damaged study.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    if run is None:
        if salvage is not None:
            raise ValueError("--salvage needs the folder of the study before it: jreg doctor RUN --salvage FOLDER")
        _table(_machine())
        return
    if not run.is_dir():
        raise FileNotFoundError(f"there is no folder {run}: jreg doctor takes the folder of a study")
    if salvage is not None:
        _salvage(run, salvage)
        return
    if not (run / NAME).exists():
        raise FileNotFoundError(f"there is no study in {run}: a study writes {NAME} there")
    damaged = list(_study(run))
    if damaged:
        raise SystemExit(_DAMAGED)


def _table(rows: Iterator[tuple[str, str]]) -> None:
    for name, text in rows:
        say(f"{name:<14}{text}")


def _machine() -> Iterator[tuple[str, str]]:
    yield "jreg", jreg.__version__
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for name in _PACKAGES:
        yield name, _tried(lambda name=name: importlib.metadata.version(name))
    yield "sqlite", sqlite3.sqlite_version
    yield "cores", _tried(_cores)
    yield "devices", _tried(_devices)
    free = free_memory()
    yield "free memory", "unknown" if free is None else f"{free / 2**30:.1f} GiB"
    yield "cache", _tried(_cache)
    yield "temporary", _tried(lambda: f"{tempfile.gettempdir()}, writable")
    mnist = os.environ.get("JREG_DATA_DIR")
    yield (
        "data",
        "digits, breast_cancer, wine, diabetes and mnist1d need nothing" if _tried(_data) == "" else _tried(_data),
    )
    there = "is a folder" if mnist and Path(mnist).is_dir() else "is no folder"
    yield "JREG_DATA_DIR", f"{mnist}, which {there}" if mnist else "not set, so mnist is fetched into the cache"


def _tried(find: Callable[[], str]) -> str:
    """What a function finds, or why it doesn't."""
    try:
        return find()
    except Exception as error:  # whatever is wrong here is what the user wants to know
        return f"not there ({type(error).__name__}: {cut(' '.join(str(error).split()), 200)})"


def _devices() -> str:
    counted = Counter((device.platform, device.device_kind) for device in jax.local_devices())
    return ", ".join(f"{count} {kind} ({name})" for (name, kind), count in counted.items())


def _cores() -> str:
    # A batch job or a container may have some of them alone.
    used = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{used} of {os.cpu_count()} for this process"


def _cache() -> str:
    import pooch

    folder = Path(pooch.os_cache("jreg"))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return f"{folder}, writable"


def _data() -> str:
    from sklearn import datasets

    datasets.load_wine()
    return ""


def _study(run: Path) -> Iterator[str]:
    """Prints what a folder has; yields what is damaged."""
    found = examine(run)
    say(f"{'database':<14}{found.state}")
    yield from ["database"] if found.damaged else []
    try:
        results = load_results(run)
    except (ValueError, MemoryError) as error:
        say(f"{'results':<14}can't be read: {cut(str(error), 500)}")
        yield "results"
    else:
        _results(run, results)
    for text, whole in found.checkpoints:
        say(f"{'checkpoint':<14}{text}")
        yield from [] if whole else ["checkpoint"]
    say(f"{'lock':<14}{f'held by {found.holder}, which is writing' if found.holder else 'free'}")
    if (run / FINAL / MODEL).exists():
        final = _tried(lambda: _network(run / FINAL))
        say(f"{'final':<14}{final}")


def _network(folder: Path) -> str:
    try:
        found = jreg.load(folder)
    except ValueError as error:
        return cut(str(error), 500)
    return f"{folder}, {found if isinstance(found, Network) else repr(found)}"


def _results(run: Path, results: Any) -> None:
    spec, counts = results.spec, Counter(results.status.ravel().tolist())
    say(f"{'study':<14}{spec!r}")
    asked = results.status.size
    left = counts[int(Status.WAITING)] + counts[int(Status.RUNNING)]
    words = ", ".join(f"{count} {Status(number).word}" for number, count in sorted(counts.items()))
    say(f"{'trainings':<14}{asked - left} of {asked} have ended ({words})")
    versions = ", ".join(f"{name} {version}" for name, version in sorted(spec.versions.items()))
    say(f"{'made with':<14}{cut(versions)}")
    note: Any = None
    with contextlib.suppress(ValueError):
        note = load_note(run, NOTE)
    if isinstance(note, dict) and isinstance(note.get("data"), str):
        there = "" if not is_file(note["data"]) or Path(note["data"]).exists() else ", which isn't there any more"
        say(f"{'data':<14}{cut(note['data'])}{there}")
        recipe = note.get("recipe")
        say(f"{'goes on by':<14}{resume_command(run, Path(recipe) if isinstance(recipe, str) else None)}")


def _salvage(run: Path, out: Path) -> None:
    found = salvage(run, out)
    of = f" of {found.asked}" if found.asked else ""
    say(f"{found.trainings}{of} trainings were saved into {out}")
    if not found.whole:
        say("what the study asks is lost, so these are tables of numbers and no study that could go on")
    say(f"lost: {'; '.join(found.lost) or 'nothing that could be noticed'}")
