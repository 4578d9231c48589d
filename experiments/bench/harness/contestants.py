"""Who takes part in which grid, and the process of a contestant."""

import argparse
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any, NamedTuple

from peers.grids import Sizes, make_task, part_of
from peers.task import operations

from harness import race

SPEED = Path(__file__).parents[1] / "speed.py"


class Contestant(NamedTuple):
    """One way to run a grid.

    Attributes:
      file: in peers/.
      function: in it, task -> a function that runs the grid.
      package: that it needs and that may be missing.
      does: what it measures besides taking the gradient steps.
    """

    file: str
    function: str
    package: str | None
    does: str


_EVERY_EPOCH = "loss, accuracy and penalty of the training steps; validation loss and accuracy after every epoch"
_AT_THE_END = "validation accuracy once, at the end"
CONTESTANTS = {
    "jreg": Contestant("jreg_study", "make", None, f"{_EVERY_EPOCH}; outputs on the validation rows at the end"),
    "jax": Contestant("jax_by_hand", "make", None, f"{_AT_THE_END}; with early stopping also the loss in every epoch"),
    "jax+val": Contestant("jax_by_hand", "make_validating", None, f"{_EVERY_EPOCH}: jreg's work, but for the outputs"),
    "sklearn": Contestant("sklearn_grid", "make", None, f"training loss of the steps; {_AT_THE_END}; no dropout"),
    "torch": Contestant("torch_loop", "make", "torch", _AT_THE_END),
    "torch2": Contestant("torch_loop", "make_in_two", "torch", _AT_THE_END),
    "ensemble": Contestant("torch_ensemble", "make", "torch", _AT_THE_END),
    "keras": Contestant("keras_fits", "make", "keras", f"loss and accuracy of the training steps; {_AT_THE_END}"),
    "flax": Contestant("flax_loop", "make", None, _AT_THE_END),
    "realmlp": Contestant(
        "realmlp",
        "make",
        "pytabkit",
        "validation accuracy after every epoch, best epoch kept; drops the last, smaller batch of an epoch",
    ),
    "whole": Contestant("jreg_study", "make_unstopped", None, f"jreg without early stopping: {_EVERY_EPOCH}"),
    "naive": Contestant("jax_by_hand", "make_vmapped", None, "validation loss in every epoch, accuracy at the end"),
}
LIBRARIES = ("sklearn", "torch", "torch2", "ensemble", "keras", "flax", "realmlp")
ENTERED = {
    "digits": ("jreg", "jax", "jax+val", *LIBRARIES),
    "tiny": ("jreg", "jax", "jax+val", *LIBRARIES),
    "mnist": ("jreg", "jax", "jax+val", *LIBRARIES),
    "stopping": ("jreg", "whole", "jax", "naive"),
    "cnn": ("jreg", "jax", "jax+val", *(name for name in LIBRARIES if name not in ("sklearn", "realmlp"))),
    "tabpack": ("jreg", "jax"),
}
QUICK = ("jreg", "jax", "jax+val")
# Settings and seeds of the slices that slow contestants run; None: all.
SLICES = {
    "digits": {"keras": (1, None)},
    "tiny": {
        "sklearn": (4, None),
        "torch": (2, None),
        "torch2": (2, None),
        "keras": (1, 1),
        "flax": (2, None),
        "realmlp": (4, None),
    },
    "mnist": {},
    "stopping": {"naive": (32, None)},
    "cnn": {},
    "tabpack": {},
}


def entered(names: list[str] | None, task: str) -> list[str]:
    """The contestants of a task that can run here; says which can't. `names`: default: all of the task."""
    able = []
    for name in names or ENTERED[task]:
        package = CONTESTANTS[name].package
        if name not in ENTERED[task]:
            print(f"{task}: {name} does not take part")
        elif package and importlib.util.find_spec(package) is None:
            print(f"{task}: {name} is left out, because {package} is not installed")
        else:
            able.append(name)
    return able


def command(task: str, name: str, sizes: Sizes, *more: str) -> list[str]:
    """Starts a contestant's process."""
    given = [(f"--{key}", value) for key, value in sizes._asdict().items() if value is not None]
    words = [str(word) for pair in given for word in pair]
    return [sys.executable, str(SPEED), "--task", task, "--contestant", name, *words, *more]


def compete(args: argparse.Namespace, sizes: Sizes) -> None:
    """A contestant's process, with jreg from the folder `args.checkout` where that is given."""
    (name,) = args.task
    contestant = CONTESTANTS[args.contestant]
    if args.checkout:
        sys.path.insert(0, str(args.checkout))

    def prepare() -> Any:
        module = importlib.import_module(f"peers.{contestant.file}")
        known: dict[str, Any] = {}
        if args.checkout:
            known["jreg"] = str(_jreg_in(args.checkout))
        whole = make_task(name, sizes)
        task = part_of(whole, *SLICES[name].get(args.contestant, (None, None)))
        run = getattr(module, contestant.function)(task)
        known |= {"share": task.trainings / whole.trainings, "trainings": task.trainings}

        def answer() -> dict[str, Any]:
            outcome = run()
            return {**outcome._asdict(), **known, "operations": operations(task, outcome)}

        return answer

    race.serve(prepare, args.once)


def _jreg_in(checkout: Path) -> Path:
    """Where the imported jreg lies, which has to be in the checkout: an installed one would time the wrong code."""
    import jreg

    file = Path(str(jreg.__file__)).resolve()
    if not file.is_relative_to(checkout.resolve()):
        raise RuntimeError(f"jreg was imported from {file}, but it should come from {checkout}")
    return file
