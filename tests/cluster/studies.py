"""A study that is trained on a Ray cluster; run as a script, one whose driver is killed in its middle."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optax

import jreg
from jreg import losses, nn, penalties
from jreg.report import Progress
from jreg.store import Nowhere

SPACE = jreg.grid(l2=[0.0, *np.logspace(-5, -1, 9).tolist()])
ASKED: dict[str, Any] = {"cv": 5, "epochs": 600, "stopping": jreg.EarlyStopping(patience=150), "progress": False}
TRAININGS = 50


def make(fault: str = "", flag: Path | None = None) -> Any:
    """A recipe, as a closure, so that Ray ships it as it is; with a fault that happens in other processes than this."""
    driver = os.getpid()

    def broken_on_the_worker() -> None:
        raise ZeroDivisionError("only there")

    def recipe(hp: Any) -> jreg.Recipe:
        if os.getpid() != driver:
            if fault == "raises":
                broken_on_the_worker()
            if flag is not None and not flag.exists():
                flag.touch()
                np.ones(2**50)
        penalty = hp["l2"] * jreg.on_params(penalties.l2)
        # Of more parameters than a CPU trains in a batch, whose bits would depend on the neighbours.
        return jreg.Recipe(nn.MLP((160, 3)), losses.softmax_cross_entropy, optax.sgd(1e-2), penalty=penalty)

    return recipe


def wine() -> jreg.Dataset:
    """The wines, standardized, with their last rows left out."""
    found = jreg.load_dataset("wine")
    x = np.asarray(found.x, np.float64)
    return jreg.Dataset((x - x.mean(0)) / x.std(0), found.y, name="wine")


class Counted(Nowhere):
    """How often each training has been stored."""

    keeps = True

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int, int], int] = {}

    def append(self, results: Any, found: Any, log: Any = ()) -> None:
        """Counts."""
        for some in found:
            for key in zip(some.setting.tolist(), some.fold.tolist(), some.seed.tolist(), strict=True):
                self.seen[key] = self.seen.get(key, 0) + 1


def workers() -> list[int]:
    """The processes of the actors that this process has started, by Ray's name for them."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and (place / "cmdline").read_bytes().startswith(b"ray::Shell"):
                raylet = parent(int(place.name))
                if parent(raylet) == os.getpid():
                    found.append(int(place.name))
        except (OSError, StopIteration):
            continue
    return sorted(found)


def parent(process: int) -> int:
    """A process' parent."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("PPid:")).split()[1])


if __name__ == "__main__":
    import ray

    # As in the tests, which say with which flags of XLA's.
    jreg.use_cpu_devices(2)
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20, log_to_driver=False)

    def kill(progress: Progress) -> None:
        """The end of this process, as by a power cut."""
        if progress.done >= 15:
            os.kill(os.getpid(), signal.SIGKILL)

    executor = jreg.executors.Ray(num_workers=2, resources={"CPU": 1})
    jreg.cross_validate(make(), wine(), SPACE, store=sys.argv[1], executor=executor, **{**ASKED, "progress": kill})
