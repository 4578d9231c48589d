"""Times of a task's contestants, taken in turn."""

import statistics
from collections.abc import Iterator
from typing import Any

from peers.grids import Sizes

from harness import race
from harness.contestants import CONTESTANTS, command

MEASUREMENTS = {"steady": "steady_seconds", "end_to_end": "end_to_end_seconds"}


def begin(name: str, answer: race.Answer) -> dict[str, Any]:
    """What is known of a contestant after its first run."""
    kept = ("scores", "steps", "epochs", "validations", "share", "trainings", "operations")
    found = {
        "does": CONTESTANTS[name].does,
        "first_seconds": answer["seconds"] / answer["share"],
        "best_accuracy": max(answer["scores"]),
        "extrapolated": answer["share"] < 1,
        **{key: answer[key] for key in kept},
        **{key: [] for key in MEASUREMENTS.values()},
    }
    if "stops" in answer["more"]:
        found["stops"] = stops_of(answer["more"]["stops"])
    return found


def stops_of(epochs: list[int]) -> dict[str, float]:
    """How the trainings' numbers of epochs are spread, and the share of those below a quarter of the largest."""
    early = sum(epoch < max(epochs) / 4 for epoch in epochs) / len(epochs)
    mean = statistics.mean(epochs)
    return {
        "mean": mean,
        "median": statistics.median(epochs),
        "smallest": min(epochs),
        "largest": max(epochs),
        "early_share": early,
        "largest_to_mean": max(epochs) / mean,
    }


def part_of(turn: race.Turn) -> str:
    """Which part of the measurement a turn belongs to."""
    return "end to end" if turn.seconds is not None else "steady" if turn.round else "first run"


def measure(
    task: str, names: list[str], sizes: Sizes, rounds: int, fresh_rounds: int, measures: list[str]
) -> dict[str, dict[str, Any]]:
    """Takes the contestants in turn; the times of slices are extrapolated."""
    found: dict[str, dict[str, Any]] = {}
    turns: list[Iterator[race.Turn]] = []
    if "steady" in measures:
        turns.append(race.steady({name: command(task, name, sizes) for name in names}, rounds))
    if "end_to_end" in measures:
        turns.append(race.fresh({name: command(task, name, sizes, "--once") for name in names}, fresh_rounds))
    for turn in (turn for part in turns for turn in part):
        answer, part = turn.answer, part_of(turn)
        one = found.setdefault(turn.name, begin(turn.name, answer))
        seconds = answer["seconds"] / answer["share"]
        if turn.seconds is not None:
            # Imports and loading don't grow with the slice.
            seconds += turn.seconds - answer["seconds"]
            one["end_to_end_seconds"].append(seconds)
        elif turn.round:
            one["steady_seconds"].append(seconds)
        for key, value in answer["more"].items():
            if key != "stops" and part != "first run":
                one.setdefault(key, []).append(value)
        sign = "~" * one["extrapolated"]
        print(f"{task:9}{part:11} {turn.round or '':1}  {turn.name:9}{sign:1}{seconds:8.2f} s", flush=True)
    return found
