"""Prints what speed.py found."""

from typing import Any

from harness import report
from harness.measuring import MEASUREMENTS


def goal_of(one: dict[str, Any], sign: str = ">=") -> str:
    """A goal and whether it is met; nothing where there is none."""
    return "" if one["goal"] is None else f"goal {sign} {one['goal']}: {report.verdict(one['met'])}"


def show(result: dict[str, Any]) -> None:
    """Prints the tables of a task."""
    print("\n" + report.describe(result))
    _times(result)
    _work(result)
    _ratios(result)
    _stops(result)
    if result["member_steps"]["published"]:
        print("\nmember-steps per second: gradient steps of single networks")
        for name, rate in result["member_steps"]["per_second"].items():
            print(f"{name:54}{rate:8.0f}")
        for name, rate in result["member_steps"]["published"].items():
            print(f"{name:54}{'~' + str(rate):>8}")
        print("The published ones are estimates, on other hardware and data, of another implementation that does more.")
    if any(one["share"] > 1 for one in result["shares"].values()):
        print("DOUBTFUL: a contestant was faster than the peak, so something else kept the machine busy")
    for fault in result["unlike"]:
        print(f"NOT COMPARABLE: {fault}")


def _times(result: dict[str, Any]) -> None:
    print(f"\n{result['task']}: median seconds (smallest to largest)")
    print(f"{'':9}{'steady':>26}{'end to end':>26}{'first run':>11}{'of peak':>9}{'best accuracy':>15}")
    for name, one in result["contestants"].items():
        sign = "~" * one["extrapolated"]
        steady, fresh = (report.spread(one[key], sign=sign) for key in MEASUREMENTS.values())
        peak = f"{result['shares'][name]['share']:.1%}" if name in result["shares"] else "-"
        first = f"{sign}{one['first_seconds']:.2f}"
        print(f"{name:9}{steady:>26}{fresh:>26}{first:>11}{peak:>9}{one['best_accuracy']:>15.4f}")


def _work(result: dict[str, Any]) -> None:
    keys = ("steps", "epochs", "validations")
    print("\nwork of all trainings: gradient steps, passes over training rows, passes over validation rows")
    print(f"{'':9}" + "".join(f"{key:>12}" for key in keys))
    for name, one in result["contestants"].items():
        counts = [f"{'~' * one['extrapolated']}{round(one[key] / one['share'])}" for key in keys]
        print(f"{name:9}" + "".join(f"{count:>12}" for count in counts))
    print("what each measures:")
    for name, one in result["contestants"].items():
        print(f"{name:9}{one['does']}")


def _ratios(result: dict[str, Any]) -> None:
    print("\npeer / jreg: of the medians (smallest to largest round); library: the fastest of them")
    for measurement, peers in result["ratios"].items():
        for name, one in peers.items():
            spread = f"{one['ratio']:.2f} ({one['lowest']:.2f} to {one['highest']:.2f})"
            print(f"{measurement.replace('_', ' '):12}{name:9}{spread:>24}  {goal_of(one)}")
    ours = result["shares"].get("jreg")
    if ours and ours["goal"]:
        print(f"jreg's share of the peak {ours['share']:.1%}, {goal_of(ours)}")


def _stops(result: dict[str, Any]) -> None:
    if "of_ideal" in result["ideal"]:
        one = result["ideal"]["of_ideal"]
        spread = f"{one['ratio']:.3f} ({one['lowest']:.3f} to {one['highest']:.3f})"
        print(f"jreg / ideal, as many steps without early stopping: {spread}, {goal_of(one, '<=')}")
        print(f"occupancy {result['ideal']['occupancy']:.3f}")
    if "naive_to_jreg" in result["ideal"]:
        ratio, waste = result["ideal"]["naive_to_jreg"], result["ideal"]["largest_to_mean_stop"]
        print(f"naive / jreg {ratio:.2f}, where the last stop / the mean stop is {waste:.2f}")
    for name, one in result["contestants"].items():
        if "stops" in one:
            stops = ", ".join(f"{key} {value:.4g}" for key, value in one["stops"].items())
            print(f"epochs of {name}'s trainings: {stops}")
