"""What the commands that train have in common: a store that knows its command, how a study ends, what is printed."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jreg
from jreg import report
from jreg._base import interrupt
from jreg._base.names import cut
from jreg.cli.output import command, say, say_json
from jreg.data import Dataset
from jreg.models import as_model
from jreg.network import Network
from jreg.recipe import Recipe, build
from jreg.results import Results, Spec, Trained
from jreg.results.summary import summary as summary_of
from jreg.results.values import plain
from jreg.search.space import Space
from jreg.store import NAME, Folder, export, load_note, write_results
from jreg.study.design import KEPT_BYTES
from jreg.study.reporting import of_design
from jreg.training import Status, keep

FINAL, NOTE, REPORT = "final", "command", "report.html"
PICTURES = ("scores.png", "differences.png", "curves.png")
# What the command line was given, for the study's note.
WORDS: ContextVar[Sequence[str]] = ContextVar("words", default=())
# The exit code of a study that its time limit has ended.
LIMITED = 3
# Bytes of networks that a study keeps without being asked.
_SMALL = 2**25
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Noted(Folder):
    """The store of a command, with a note of how it was given.

    Attributes:
      trained: how many trainings this process has stored.
    """

    def __init__(self, folder: Path, note: Mapping[str, Any]):
        super().__init__(folder)
        # A study that goes on keeps the command that it was begun with.
        self._note, self.trained = {"words": list(WORDS.get()), **note}, 0

    def open(self, spec: Spec) -> Results:
        """As `Folder.open`."""
        results = super().open(spec)
        self.note(NOTE, dict(self._note))
        return results

    def append(self, results: Results, found: Sequence[Trained], log: Sequence[dict[str, Any]] = ()) -> None:
        """As `Folder.append`."""
        self.trained += sum(map(len, found))
        super().append(results, found, log)

    def close(self, results: Results) -> None:
        """As `Folder.close`; the command says itself what couldn't be written."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            super().close(results)


class Clock:
    """The time that a command may take.

    Args:
      limit: as a person writes it, such as 2h; None for no limit.

    Raises:
      ValueError: it is no time.

    >>> Clock("1.5h").seconds
    5400.0
    """

    def __init__(self, limit: str | None):
        self.limit, self._begun = limit, time.monotonic()
        self.seconds: float | None = None
        if limit is not None:
            found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", limit)
            if found is None or not float(found[1]):
                raise ValueError(
                    f"--time-limit is {cut(repr(limit), 40)}, but must be seconds above 0, or a number with s, m, h or "
                    "d, such as 90s, 15m, 2h or 1d"
                )
            self.seconds = float(found[1]) * _UNITS[found[2]]

    @property
    def left(self) -> float | None:
        """Seconds that are left, above 0; None for no limit."""
        if self.seconds is None:
            return None
        return max(1e-3, self._begun + self.seconds - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether the limit has been reached."""
        return self.seconds is not None and time.monotonic() >= self._begun + self.seconds


@contextlib.contextmanager
def going_on_by(folder: Path, goes_on: str) -> Generator[None]:
    """Where a signal ends the study, says what goes on; a folder that was reserved for nothing goes."""
    try:
        with warnings.catch_warnings():
            # `finish` says it, with the command.
            warnings.filterwarnings("ignore", "the study ended after", RuntimeWarning)
            yield
    except KeyboardInterrupt as error:
        begun = (folder / NAME).exists()
        words = f"what had been finished is in {folder}, and this goes on: {goes_on}" if begun else "nothing was begun"
        error.args = (words,)
        raise
    finally:
        release(folder)


def release(folder: Path) -> None:
    """Removes a folder that has nothing but the lock of a study that never began."""
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {"study.lock"}:
            (folder / "study.lock").unlink(missing_ok=True)
            folder.rmdir()
    with contextlib.suppress(OSError):
        if folder.parent == Path("runs"):
            # Only where it is empty, too.
            folder.parent.rmdir()


def finish(
    study: jreg.Study | jreg.NestedStudy,
    store: Noted,
    recipe: Callable[..., Recipe],
    clock: Clock,
    goes_on: str,
    json: bool,
    quiet: bool = False,
) -> None:
    """Draws, trains the final network, prints and says where everything is, as far as the study has come.

    A nested study is about the procedure, so it has neither pictures nor a final network.

    Raises:
      ValueError: the final training diverged, or not everything could be written; after what there is was printed.
      SystemExit: the time limit has ended the study.
    """
    results, folder, trouble = study.results, store.folder, store.trouble
    nested = isinstance(study, jreg.NestedStudy)
    missing = int(np.isin(results.status, (Status.WAITING, Status.RUNNING)).sum())
    missing = study.nested.missing if nested else missing
    limited = bool(missing) or (clock.over and not nested)
    final, failed = None, None
    if not limited and not nested:
        try:
            # Libraries of C drop a KeyboardInterrupt that falls into their callbacks.
            with interrupt.held():
                _draw(results, folder, again=store.trained > 0, quiet=quiet)
        except OSError as error:
            trouble = trouble or error
        try:
            final = _final(study, folder, recipe, quiet) if study.finished else None
        except OSError as error:
            trouble = trouble or error
        except ValueError as error:
            failed = error
        try:
            write_results(folder, results, report.test_result(final))
        except OSError as error:
            trouble = trouble or error
    try:
        with interrupt.held():
            _report(study, folder, final)
    except OSError as error:
        trouble = trouble or error
    if json:
        say_json(plain({**summary_of(results), **report.test_result(final)}))
    else:
        width = max(40, shutil.get_terminal_size((60, 24)).columns)
        say(report.nested(results, width) if nested else report.summary(results, final, width=width))
    if trouble is not None:
        raise ValueError(
            f"not everything could be written into {folder} ({_short(trouble)}): {_elsewhere(study, final)}"
        )
    if failed is not None:
        raise failed
    if limited:
        total = results.status.size + (study.scores.size if nested else 0)
        left = f"{missing} of {total} trainings are left" if missing else "the final training is left"
        say(f"jreg: the time limit of {clock.limit} is over, {left}; this goes on: {goes_on}", aside=True)
        raise SystemExit(LIMITED)
    if store.trained == 0:
        say(f"the study in {folder} had been finished, and nothing was trained again", aside=True)
    where = f", the final network in {folder / FINAL}" if final is not None else ""
    say(
        f"results {'' if nested else 'and pictures '}are in {folder}{where}, the report in {folder / REPORT}",
        aside=json,
    )


def _draw(results: Results, folder: Path, again: bool, quiet: bool) -> None:
    if again or not all((folder / name).exists() for name in PICTURES):
        with contextlib.nullcontext(lambda progress: None) if quiet else report.Display(transient=True) as show:
            show(report.Progress.of_stage("drawing pictures"))
            report.save_pictures(results, folder)


def _report(study: jreg.Study | jreg.NestedStudy, folder: Path, final: Network | None) -> None:
    line = begun_with(load_note(folder, NOTE))
    report.write_page(study.results, folder / REPORT, of_design(study.design, study.results, final, line))


def begun_with(note: Any) -> str:
    """The command that a study was begun with, which a note may say; "" where it doesn't."""
    words = note.get("words") if isinstance(note, dict) else None
    known = isinstance(words, list) and words and all(isinstance(word, str) for word in words)
    return command(*words) if known else ""


def _final(study: jreg.Study, folder: Path, recipe: Callable[..., Recipe], quiet: bool) -> Network:
    """The final network, which may be there from before."""
    place = folder / FINAL
    if place.is_dir():
        with contextlib.suppress(ValueError, OSError):
            found = jreg.load(place, recipe=recipe)
            if isinstance(found, Network) and found.more.get("study") == study.spec.digest:
                return found
    final = jreg.refit(study, progress=not quiet)
    try:
        final.save(place)
    except (ValueError, TypeError) as error:
        say(f"jreg: the final network couldn't be saved: {cut(str(error))}", aside=True)
    return final


def _elsewhere(study: jreg.Study | jreg.NestedStudy, final: Network | None) -> str:
    """Writes what there is into a temporary folder, and says where that is."""
    try:
        place = Path(tempfile.mkdtemp(prefix="jreg-")) / "study"
        study.save(place)
        export(place, study.results)
        write_results(place, study.results, report.test_result(final))
        if final is not None:
            final.save(place / FINAL)
    except (OSError, ValueError, TypeError, sqlite3.Error) as error:
        return f"there is no room for it in {tempfile.gettempdir()} either ({_short(error)}), so what is above is all"
    return f"it is in {place}"


def _short(error: Exception) -> str:
    return cut((isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__)


def small_networks(
    recipe: Callable[..., Recipe], data: Dataset, space: Space, cv: int, seeds: int
) -> list[Callable[..., Any]] | None:
    """What trainings leave: all that can be kept, where the networks of all of them are small; else None."""
    model = as_model(build(recipe, space.settings[0]).model)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((2, *data.x.shape[1:]), jnp.float32))
    network = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    runs = len(space.settings) * seeds
    few = runs * cv * network <= _SMALL and runs * len(data) * 4 * max(2, data.classes) <= KEPT_BYTES
    return [keep.outputs, keep.network, keep.train_scores] if few else None


def resume_command(folder: Path, recipe: Path | None) -> str:
    """What goes on with a study."""
    return command("resume", folder, recipe)
