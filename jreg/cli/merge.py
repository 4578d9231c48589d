"""``jreg merge``, and how a shard of a study ends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

import jreg
from jreg._base.names import listed
from jreg.cli.data import Switch
from jreg.cli.output import command, say, say_json
from jreg.cli.studies import LIMITED, NOTE, Clock, resume_command
from jreg.recipe import describe
from jreg.results import Results
from jreg.store import Disagreement, Merged, load_note
from jreg.study import Shard


def merge(
    runs: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN ...")]],
    /,
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")],
    json: Switch = False,
    traceback: Switch = False,
) -> None:
    """Joins the folders of a study's shards, or of any trainings of one study, into one folder.

    Args:
      runs: the folders, which are only read; they may overlap.
      out: where to; jreg resume trains there what is missing, and then the final network.
      json: print one JSON object on standard output and nothing else there.
      traceback: show where in the code a mistake was noticed.
    """
    del traceback  # main looks at it when a mistake is noticed
    if out == Path():
        raise ValueError("--out is empty, but must be the path of a folder, such as runs/all")
    merged = jreg.merge(runs, out)
    total = len(merged.results) + merged.missing
    if json:
        found = {"folder": str(out), "trainings": len(merged.results), "missing": merged.missing}
        say_json(found | {"disagreements": [_named(one) for one in merged.disagreements]})
    else:
        say(f"{len(merged.results)} of {total} trainings are in {out}, from {len(runs)} folders")
    if merged.missing:
        say(f"missing:  {_missing(merged)}", aside=json)
    for one in merged.disagreements[:10]:
        which = _training(merged.results, *one[:3])
        say(f"jreg: {one.kept} and {one.other} differ in {which}: that of {one.kept} stays", aside=True)
    if len(merged.disagreements) > 10:
        say(f"jreg: and of {len(merged.disagreements) - 10} more trainings", aside=True)
    note = load_note(out, NOTE)
    recipe = note.get("recipe") if isinstance(note, dict) else None
    say(f"go on:    {resume_command(out, recipe if isinstance(recipe, str) else None)}", aside=json)


def finish_shard(results: Results, folder: Path, shard: Shard, clock: Clock, goes_on: str, json: bool) -> None:
    """Says what a shard has trained, and what joins all of them.

    Raises:
      SystemExit: the time limit has ended it.
    """
    left, total = shard.left(results)
    if json:
        say_json({"folder": str(folder), "shard": str(shard), "trainings": total - left, "missing": left})
    else:
        say(f"shard {shard}: {total - left} of its {total} trainings are in {folder}")
    if left:
        why = f"the time limit of {clock.limit} is over, " if clock.over else ""
        say(f"jreg: {why}{left} of {total} trainings are left; this goes on: {goes_on}", aside=True)
        raise SystemExit(LIMITED)
    others = command("merge", "SHARDS", "--out", folder.parent / "all").replace("SHARDS", f"{folder.parent}/shard-*")
    say(f"join all: {others}", aside=json)


def _missing(merged: Merged) -> str:
    """The trainings that are missing, in words."""
    if merged.results.spec.numbered("outer"):
        return f"{merged.missing} trainings of a nested study"
    found = [_training(merged.results, *key) for key in merged.results.missing()]
    return f"{len(found)} trainings: {listed(found, 3)}"


def _training(results: Results, setting: int, fold: int, seed: int) -> str:
    return f"{describe(results.spec.settings[setting])} on fold {fold} with seed {seed}"


def _named(one: Disagreement) -> dict[str, int | str]:
    return {**one._asdict(), "kept": str(one.kept), "other": str(one.other)}
