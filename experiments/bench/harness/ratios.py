"""What the times say: ratios to jreg with their goals, shares of the peak, and whether the work was the same."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from harness.contestants import LIBRARIES
from harness.measuring import MEASUREMENTS

# The least ratio to jreg's median of the fastest library's, of JAX by hand and of JAX by hand on the same work, and
# jreg's least share of the peak.
GOALS = {
    "digits": {"steady": {"library": 2.5, "jax+val": 1.2}, "end_to_end": {"library": 1.5, "jax": 1.0}, "peak": 0.5},
    "tiny": {"steady": {"library": 1.5, "jax+val": 1.2}, "end_to_end": {"library": 1.2, "jax": 1.0}, "peak": 0.1},
    "mnist": {"steady": {"library": 1.5, "jax+val": 1.15}, "end_to_end": {"library": 1.2, "jax": 1.0}, "peak": 0.75},
}
# The most that jreg's time may be of the ideal: useful steps at the speed without early stopping.
MOST_OF_IDEAL = 1.05
# Below it something is broken; and no two contestants' best settings may differ by more.
LEAST_ACCURACY = {"digits": 0.95, "tiny": 0.96, "mnist": 0.92, "stopping": 0.9, "cnn": 0.65, "tabpack": 0.75}
MOST_APART = {"digits": 0.02, "tiny": 0.02, "mnist": 0.02, "stopping": 0.03, "cnn": 0.15, "tabpack": 0.03}
# How far the numbers of steps may lie apart: other random numbers give other stops.
STEPS_APART = {"stopping": 0.02, "tabpack": 0.15}
# Takes fewer steps than the others, because it drops the last, smaller batch of each epoch.
OTHER_STEPS = ("realmlp",)
# Member-steps per second with TabPack's own code (PyTorch, with its online ensemble and its own optimizer and
# embeddings) on the data set churn, derived from the times in its repository.
PUBLISHED = {"TabPack, MacBook (estimate from its published times)": 540, "TabPack, A100 (the same)": 3600}
# Student's t, two-sided 95%, for 1, 2, ... degrees of freedom; a rough interval needs no more digits.
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09)


def compare(ours: list[float], theirs: list[list[float]]) -> dict[str, float]:
    """The ratio of the fastest of some peers to jreg: of the medians, and the smallest and largest of one round."""
    rounds = [min(times) / our for our, *times in zip(ours, *theirs, strict=True)]
    ratio = min(map(statistics.median, theirs)) / statistics.median(ours)
    return {"ratio": ratio, "lowest": min(rounds), "highest": max(rounds)}


def paired(new: Sequence[float], old: Sequence[float]) -> dict[str, Any]:
    """The ratios new/old of each round: their median, the smallest and largest, and a rough 95% interval.

    The interval is Student's for the mean of the logarithms; None for a single round.
    """
    rounds = [one / other for one, other in zip(new, old, strict=True)]
    interval = None
    if len(rounds) > 1:
        logs = [math.log(ratio) for ratio in rounds]
        t = _T[min(len(logs) - 1, len(_T)) - 1]
        middle, half = statistics.mean(logs), t * statistics.stdev(logs) / math.sqrt(len(logs))
        interval = [math.exp(middle - half), math.exp(middle + half)]
    return {
        "ratio": statistics.median(rounds),
        "lowest": min(rounds),
        "highest": max(rounds),
        "interval": interval,
        "rounds": rounds,
    }


def ratios(task: str, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Each peer's time over jreg's and that of the fastest library, with the goals."""
    compared: dict[str, dict[str, dict[str, Any]]] = {}
    for measurement, key in MEASUREMENTS.items():
        compared[measurement] = {}
        if "jreg" not in found or not found["jreg"][key]:
            continue
        goals = GOALS.get(task, {}).get(measurement, {})
        peers = {name: [one[key]] for name, one in found.items() if name not in ("jreg", "whole")}
        libraries = [found[name][key] for name in LIBRARIES if name in found]
        for name, theirs in {**peers, **({"library": libraries} if libraries else {})}.items():
            one = compare(found["jreg"][key], theirs)
            goal = goals.get(name)
            compared[measurement][name] = {**one, "goal": goal, "met": None if goal is None else one["ratio"] >= goal}
    return compared


def ideal(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Early stopping's time over that of as many steps without it, and what the naive program wastes."""
    result: dict[str, Any] = {}
    if {"jreg", "whole"} <= set(found) and found["jreg"]["steady_seconds"]:
        ours, whole = found["jreg"], found["whole"]
        scale = whole["steps"] / ours["steps"]
        pairs = zip(ours["steady_seconds"], whole["steady_seconds"], strict=True)
        rounds = [scale * mine / other for mine, other in pairs]
        ratio = scale * statistics.median(ours["steady_seconds"]) / statistics.median(whole["steady_seconds"])
        result["of_ideal"] = {"ratio": ratio, "lowest": min(rounds), "highest": max(rounds), "goal": MOST_OF_IDEAL}
        result["of_ideal"]["met"] = ratio <= MOST_OF_IDEAL
        result["occupancy"] = statistics.median(ours["occupancy"])
    if {"jreg", "naive"} <= set(found) and found["jreg"]["steady_seconds"]:
        times = (statistics.median(found[name]["steady_seconds"]) for name in ("naive", "jreg"))
        naive, mine = times
        result["naive_to_jreg"] = naive / mine
        result["largest_to_mean_stop"] = found["jreg"]["stops"]["largest_to_mean"]
    return result


def shares(task: str, found: dict[str, dict[str, Any]], peak: float) -> dict[str, dict[str, Any]]:
    """Each contestant's share of the float32 peak in the steady runs."""
    result = {}
    for name, one in found.items():
        if one["steady_seconds"]:
            speed = one["operations"] / one["share"] / statistics.median(one["steady_seconds"])
            goal = GOALS.get(task, {}).get("peak") if name == "jreg" else None
            met = None if goal is None else speed / peak >= goal
            result[name] = {"share": speed / peak, "goal": goal, "met": met}
    return result


def member_steps(task: str, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Gradient steps of single networks per second, and what has been published about TabPack elsewhere."""
    steady = {name: one for name, one in found.items() if one["steady_seconds"]}
    rates = {n: one["steps"] / one["share"] / statistics.median(one["steady_seconds"]) for n, one in steady.items()}
    return {"per_second": rates, "published": PUBLISHED if task == "tabpack" else {}}


def unlike(task: str, found: dict[str, dict[str, Any]], whole: bool) -> list[str]:
    """Why the contestants can't be compared; empty when they can. Only the `whole` grid has to reach its accuracy."""
    faults = []
    best = {name: one["best_accuracy"] for name, one in found.items() if name != "whole"}
    for name, accuracy in best.items():
        if whole and accuracy < LEAST_ACCURACY[task]:
            faults.append(f"{name}'s best accuracy is {accuracy:.4f}, below {LEAST_ACCURACY[task]}")
    if best and max(best.values()) - min(best.values()) > MOST_APART[task]:
        faults.append(f"the best accuracies lie more than {MOST_APART[task]} apart")
    # A slice of trainings that stop early has another mean than the whole.
    sliced = {name for name, one in found.items() if one["extrapolated"] and task in STEPS_APART}
    compared = {name: one for name, one in found.items() if name not in {"whole", *OTHER_STEPS, *sliced}}
    steps = {name: one["steps"] / one["share"] for name, one in compared.items()}
    if steps and max(steps.values()) > (1 + STEPS_APART.get(task, 1e-6)) * min(steps.values()):
        faults.append("the numbers of steps differ")
    return faults
