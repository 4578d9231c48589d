"""The grid with jreg: one call of `jreg.cross_validate`."""

from collections.abc import Callable
from typing import Any

import optax

import jreg
from bench_peers.task import BATCH, CLASSES, DROPOUT, HIDDEN, LEARNING_RATE, Outcome, Task, steps_per_epoch


def recipe(hp: Any) -> jreg.Recipe:
    """A multilayer perceptron with dropout, L2 on its kernels, and Adam."""
    return jreg.Recipe(
        model=jreg.nn.MLP((*HIDDEN, CLASSES), dropout=DROPOUT),
        loss=jreg.losses.softmax_cross_entropy,
        penalty=hp["l2"] * jreg.on_params(jreg.penalties.l2),
        optimizer=optax.adam(LEARNING_RATE),
    )


def make(task: Task) -> Callable[[], Outcome]:
    """The study; unlike its peers' it also measures losses and accuracies of every epoch."""
    jreg.use_cpu_devices()
    data = jreg.Dataset(task.x, task.y, name="digits")
    space = jreg.grid(l2=task.strengths)

    def run() -> Outcome:
        study = jreg.cross_validate(
            recipe, data, space, cv=task.folds, epochs=task.epochs, batch_size=BATCH, progress=False
        )
        return Outcome([result.mean for result in study.results], int(study.epochs_run.sum()) * steps_per_epoch(task))

    return run
