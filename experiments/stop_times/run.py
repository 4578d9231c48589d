"""What is refilling worth on real stop times, beside lockstep and beside deleting what has stopped?

Command:  python experiments/stop_times/run.py            (--smoke runs in seconds)
Data:     stop times of packs of 64 networks, with the shares that follow from the wall clocks in TabPack's repository
          (ICML 2026; estimates: a member is needed until its best step and 17 epochs more); made rows of 11 features,
          as churn has. A member's validation can't be made to stop at a given time, so a clock stops it: a constant
          term of the objective that grows until then, which early stopping monitors
Network:  MLP 11-384-384-2, ReLU, AdamW with a learning rate and decay of each member's own, batches of 256
Size:     4 packs, 256 trainings; the longest of a pack takes 12 epochs of 5 steps (churn's takes 51 of 25), so that all
          fits into ten minutes; the share is that of the real lengths
Hardware: two cores of an AMD EPYC (AVX-512), no GPU, other work at a lower priority; 10 min 20 s and 1,096 processor
          seconds for 3 rounds of both data sets, of which 20 s for 6 compilations
Result:   processor time / that of lockstep, medians of 3 rounds, and the share of computed steps that was needed
                                      churn (0.68 needed)    diamond (0.49 needed)
          lockstep                    1,    0.68             1,    0.49
          shrinking at halvings       0.77, 0.86             0.59, 0.81
          refill, 16 slots            0.57, 0.95             0.45, 0.93
          refill, one slot per core   0.42, 1.00             0.32, 1.00
          published: removal alone is worth 1.5 to 2.0 times over lockstep; here 1.3 and 1.7 times, at halvings
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import jreg
from jreg import losses, nn
from jreg.objective import on_network

HERE = Path(__file__).parent
MEMBERS, BATCH, PATIENCE = 64, 256, 16
# TabPack's clocks: steps until its last member stopped, and the share of 64 times as many that was needed.
PUBLISHED = {
    "churn": (1275, 25, 0.68),
    "california": (4472, 52, 0.55),
    "adult": (6222, 102, 0.51),
    "house": (4560, 57, 0.50),
    "otto": (4524, 78, 0.59),
    "diamond": (5984, 68, 0.49),
    "higgs-small": (6519, 123, 0.54),
}
TIMED, QUEUES = ("churn", "diamond"), (2, 6, 20)
COLOURS = {
    "lockstep": "#d55e00",
    "shrinking": "#e69f00",
    "refill, 16 slots": "#0072b2",
    "refill, one slot per core": "#56b4e9",
}


class Size(NamedTuple):
    """How much is trained: training rows, units of a layer, epochs of the longest, packs, and members of each."""

    rows: int
    units: int
    longest: int
    packs: int
    members: int


def lengths(name: str, longest: int, members: int = MEMBERS) -> np.ndarray:
    """Epochs of each member, with the published share of the longest one's.

    No member stops before its patience has run out, and the others are spread by a power of evenly spaced quantiles:
    length = first + (longest - first) * u^k, whose mean is that of the share for k = (longest - mean) / (mean - first).
    """
    steps, steps_of_epoch, share = PUBLISHED[name]
    first = (PATIENCE + 1) / (steps / steps_of_epoch)
    power = (1 - share) / (share - first)
    u = (np.arange(members) + 0.5) / members
    drawn = np.maximum(2, np.round(longest * (first + (1 - first) * u**power))).astype(int)
    drawn[-1] = longest
    return np.random.default_rng(0).permutation(drawn)


def made(size: Size) -> jreg.Dataset:
    """Rows of 11 features, as churn has, with the labels of a random network and noise; a fifth validates."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((size.rows * 5 // 4, 11)).astype(np.float32)
    hidden = np.tanh(x @ rng.standard_normal((11, 16)))
    chance = 1 / (1 + np.exp(-2 * hidden @ rng.standard_normal(16)))
    return jreg.Dataset(x, (rng.random(len(x)) < chance).astype(np.int32), name="made")


def recipe_of(size: Size) -> Callable[[Any], jreg.Recipe]:
    """TabPack's shape, two layers under AdamW, with a clock that early stopping monitors.

    The clock adds the number of updates to the objective, a constant that has no gradient, until ``hp["ticks"]``.
    """

    def recipe(hp: Any) -> jreg.Recipe:
        ticks = hp["ticks"]
        clock = on_network(lambda network, params, x: jnp.ones(()), name="clock")
        return jreg.Recipe(
            nn.MLP((size.units, size.units, 2)),
            losses.softmax_cross_entropy,
            optax.adamw(hp["learning_rate"], weight_decay=hp["decay"]),
            penalty=(lambda count: jnp.minimum(jnp.asarray(count, jnp.float32), ticks)) * clock,
        )

    return recipe


class Engine:
    """Trains members for given numbers of epochs in a given layout, and counts."""

    def __init__(self, size: Size):
        self.data, self.recipe, self.size = made(size), recipe_of(size), size
        rows = np.arange(len(self.data))
        self.folds = [(rows[: size.rows], rows[size.rows :])]
        self.steps = -(-size.rows // BATCH)
        self.devices = tuple(jax.local_devices())
        rng = np.random.default_rng(1)
        count = size.packs * size.members
        self.rates, self.decays = 10 ** rng.uniform(-4, np.log10(5e-3), count), 10 ** rng.uniform(-3, 0, count)

    def train(self, epochs: np.ndarray, slots: int, batch: int | None = None) -> np.ndarray:
        """Epochs that were paid for, seconds in the program, and seconds of compilation."""
        # The clock's mean over an epoch still rises in the first one that begins with all its ticks; the next is the
        # first that doesn't improve, and with a patience of 1 the last.
        ticks = (np.maximum(epochs, 2) - 2) * self.steps
        space = [
            {"ticks": float(t), "learning_rate": rate, "decay": decay}
            for t, rate, decay in zip(ticks, self.rates, self.decays, strict=False)
        ]
        study = jreg.cross_validate(
            self.recipe,
            self.data,
            space,
            cv=self.folds,
            epochs=self.size.longest,
            batch_size=BATCH,
            stopping=jreg.EarlyStopping(patience=1, monitor="penalty_clock", mode="max"),
            layout=jreg.Layout(self.devices, slots, slots if batch is None else batch),
            keep=[],
            progress=False,
        )
        assert (study.epochs_run[:, 0, 0] == np.maximum(epochs, 2)).all()
        timing = study.results.timing
        return np.array([timing.executed, timing.run_seconds, timing.compile_seconds])

    def compiled(self) -> dict[str, float]:
        """The seconds of compilation of each layout, by its slots per device."""
        slots, found = self.size.members // len(self.devices), {}
        while slots:
            found[str(slots)] = round(float(self.train(np.full(len(self.devices), 2), slots)[2]), 1)
            slots //= 2
        return found

    def refill(self, packs: list[np.ndarray]) -> np.ndarray:
        """All trainings in one study, with a quarter of the slots of a pack."""
        return self.train(np.concatenate(packs), max(1, self.size.members // len(self.devices) // 4))

    def one_by_one(self, packs: list[np.ndarray]) -> np.ndarray:
        """The same with what jreg chooses on a CPU by itself."""
        return self.train(np.concatenate(packs), 1, 1)

    def lockstep(self, packs: list[np.ndarray]) -> np.ndarray:
        """One pack after the other, each until its last member has stopped."""
        return np.sum([self.train(pack, len(pack) // len(self.devices)) for pack in packs], axis=0)

    def shrinking(self, packs: list[np.ndarray]) -> np.ndarray:
        """One pack after the other; whenever half of its members have stopped they are deleted."""
        return np.sum([self.train(*stage) for pack in packs for stage in self.stages(pack)], axis=0)

    def stages(self, pack: np.ndarray) -> list[tuple[np.ndarray, int]]:
        """What is left to train of the members between two deletions, and in how many slots of each device."""
        return [
            (np.minimum(pack[pack > begin], end) - begin, slots // len(self.devices))
            for begin, end, slots in halvings(pack, len(self.devices))
        ]


def halvings(pack: np.ndarray, least: int = 1) -> list[tuple[int, int, int]]:
    """From when to when a pack has how many slots, if these are halved once half of them are empty."""
    ends, begin, slots, found = np.sort(pack), 0, len(pack), []
    while begin < ends[-1]:
        end = max(ends[-1 - slots // 2], begin + 2) if slots > least else ends[-1]
        # A stage of one epoch isn't worth it.
        end = ends[-1] if ends[-1] - end < 2 else end
        found.append((int(begin), int(end), slots))
        while slots > least and (ends > end).sum() <= slots // 2:
            slots //= 2
        begin = end
    return found


def refilled(epochs: np.ndarray, slots: int) -> int:
    """When the last training ends, if each slot takes the next one as soon as it is free."""
    free = np.zeros(slots, int)
    for length in epochs:
        free[free.argmin()] += length
    return int(free.max())


def counted(name: str) -> dict[str, float]:
    """The needed share of what each policy computes, at the published length."""
    steps, steps_of_epoch, _ = PUBLISHED[name]
    epochs = lengths(name, steps // steps_of_epoch)
    needed, shrunk = epochs.sum(), sum((end - begin) * slots for begin, end, slots in halvings(epochs))
    found = {"lockstep": needed / (MEMBERS * epochs.max()), "shrinking": needed / shrunk}
    for packs in QUEUES:
        many = np.tile(epochs, packs)
        found[f"refill, {packs} packs"] = many.sum() / (MEMBERS * refilled(many, MEMBERS))
    return {policy: round(float(share), 3) for policy, share in found.items()}


def timed(engine: Engine, name: str) -> dict[str, dict[str, float]]:
    """One round: the same trainings by each policy, in turn."""
    size = engine.size
    epochs = lengths(name, size.longest, size.members)
    packs = [np.roll(epochs, 7 * number) for number in range(size.packs)]
    needed = int(sum(pack.sum() for pack in packs))
    policies: dict[str, Callable[[list[np.ndarray]], np.ndarray]] = {
        "lockstep": engine.lockstep,
        "shrinking": engine.shrinking,
        "refill, 16 slots": engine.refill,
        "refill, one slot per core": engine.one_by_one,
    }
    found = {}
    for policy, train in policies.items():
        begun = time.process_time()
        executed, seconds, _ = train(packs)
        found[policy] = {
            "occupancy": float(needed / executed),
            "computed": float(executed * engine.steps),
            "seconds": seconds,
            "processor seconds": time.process_time() - begun,
        }
    return found


def summarized(rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Least, median and largest of what the rounds found, and each policy's share of lockstep, round by round."""

    def spread(values: list[float]) -> list[float]:
        return [round(float(np.quantile(values, q)), 3) for q in (0, 0.5, 1)]

    found = {}
    for policy in rounds[0]:
        own, base = ([one[which] for one in rounds] for which in (policy, "lockstep"))
        # Which device takes the next training depends on the clock, and so does the end of a queue.
        found[policy] = {"occupancy": spread([one["occupancy"] for one in own])}
        for unit in ("seconds", "processor seconds"):
            found[policy][unit] = spread([one[unit] for one in own])
            found[policy][f"{unit} / lockstep"] = spread([a[unit] / b[unit] for a, b in zip(own, base, strict=True)])
        rates = [1000 * one["processor seconds"] / one["computed"] for one in own]
        found[policy]["processor milliseconds per computed step"] = spread(rates)
    return found


def drawn(text: dict[str, Any]) -> Figure:
    """How many members train, epoch by epoch, and what each policy takes."""
    figure = Figure(figsize=(8.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    for name, style in zip(text["measured"], ("-", "--"), strict=False):
        steps, steps_of_epoch, share = PUBLISHED[name]
        epochs = lengths(name, steps // steps_of_epoch)
        alive = [(epochs > epoch).sum() for epoch in range(epochs.max() + 1)]
        left.step(np.arange(len(alive)), alive, style, where="post", color="black", label=f"{name}: {share:.0%} needed")
    left.set_xlabel("epoch")
    left.set_ylabel("members that still train")
    left.set_ylim(0, MEMBERS * 1.05)
    left.set_title("Stop times of a pack of 64", fontsize=10)
    left.legend(fontsize=8, frameon=False, loc="upper right")
    policies = list(COLOURS)
    for number, (name, found) in enumerate(text["measured"].items()):
        for place, policy in enumerate(policies):
            low, middle, high = found[policy]["processor seconds / lockstep"]
            bar = place + (0.2 if number else -0.2)
            right.barh(bar, middle, 0.36, color=COLOURS[policy], alpha=1.0 if number else 0.6)
            right.hlines(bar, low, high, color="black", linewidth=1)
            said = f"{middle:.2f}, {name}, occupancy {found[policy]['occupancy'][1]:.2f}"
            right.annotate(said, (high + 0.02, bar), fontsize=7, va="center")
    right.set_yticks(range(len(policies)), [policy.replace(", ", ",\n") for policy in policies], fontsize=8)
    right.invert_yaxis()
    right.set_xlim(0, 1.75)
    right.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    right.set_xlabel("processor time / that of lockstep\n(median and range of the rounds)")
    ratios = [found["refill, 16 slots"]["processor seconds / lockstep"][1] for found in text["measured"].values()]
    right.set_title(f"Refill takes {' and '.join(f'{ratio:.0%}' for ratio in ratios)} of lockstep's time", fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes stop_times.json and stop_times.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how many rounds, each policy in turn")
    parser.add_argument("--out", type=Path, default=HERE, help="where the figure and its numbers go")
    parser.add_argument("--again", action="store_true", help="measure what stop_times.json has already, too")
    parser.add_argument("--smoke", action="store_true", help="a few short trainings, to see that it runs")
    options = parser.parse_args(arguments)
    jreg.use_cpu_devices()
    # As many members as devices make one program of all policies.
    size = Size(64, 4, 6, 2, jax.local_device_count()) if options.smoke else Size(1280, 384, 12, 4, MEMBERS)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "stop_times.json"
    known = json.loads(path.read_text()) if path.exists() and not options.again else {}
    text: dict[str, Any] = {"size": size._asdict(), "rounds": 1 if options.smoke else options.rounds}
    text["counted"] = {name: counted(name) for name in PUBLISHED}
    same = all(known.get(key) == text[key] for key in ("size", "rounds"))
    text |= {key: known[key] for key in ("compiling", "measured")} if same else {"measured": {}}
    engine = Engine(size)
    for name in TIMED:
        if name in text["measured"]:
            continue
        text["compiling"] = text.get("compiling") or engine.compiled()
        text["measured"][name] = summarized([timed(engine, name) for _ in range(text["rounds"])])
        for policy in COLOURS:
            print(f"{name}, {policy}: {text['measured'][name][policy]}", flush=True)
        path.write_text(json.dumps(text, indent=1) + "\n")
    drawn(text).savefig(options.out / "stop_times.png", dpi=120)
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
