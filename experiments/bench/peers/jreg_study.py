"""The grid with jreg: one call of `jreg.cross_validate`.

`speed.py --against` runs this file with an older jreg too, so it uses only what both have.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

import jreg
from peers.task import Outcome, Setting, Task

TIMES = ("occupancy", "compile_seconds", "run_seconds", "device_seconds")


def recipe_of(task: Task) -> Callable[[Any], jreg.Recipe]:
    """The recipe of a task."""

    def recipe(hp: Any) -> jreg.Recipe:
        setting = task.fixed._replace(**hp)
        return jreg.Recipe(
            model=model_of(task, setting),
            loss=jreg.losses.sigmoid_cross_entropy if task.outputs == 1 else jreg.losses.softmax_cross_entropy,
            penalty=setting.l2 * jreg.on_params(jreg.penalties.l2) if "l2" in task.swept else None,
            optimizer=optimizer_of(task, setting),
        )

    return recipe


def model_of(task: Task, setting: Setting) -> Any:
    """A multilayer perceptron of jreg's, or the benchmark's own convolutional network."""
    if task.convolutions:
        from peers.network import Network

        return Network(task.convolutions, task.hidden, task.outputs)
    return jreg.nn.MLP((*task.hidden * setting.blocks, task.outputs), dropout=setting.dropout)


def optimizer_of(task: Task, setting: Setting) -> optax.GradientTransformation:
    """Adam, or AdamW where the task sweeps its decay; the learning rate may fall to 0 after the setting's epochs."""
    rate = task.learning_rate if setting.learning_rate is None else setting.learning_rate
    if setting.active is not None:
        return optax.adam(lambda count: jnp.where(count < setting.active * task.steps, rate, 0.0))
    return optax.adamw(rate, weight_decay=setting.decay) if "decay" in task.swept else optax.adam(rate)


def make(task: Task) -> Callable[[], Outcome]:
    """The study; unlike its peers' it also measures losses and accuracies of every epoch."""
    jreg.use_cpu_devices()
    return make_on_found_devices(task)


def make_on_found_devices(task: Task) -> Callable[[], Outcome]:
    """The study on the devices that JAX has been given."""
    data = jreg.Dataset(task.x, task.y, name=task.name)
    names = list(task.swept)
    space = [{name: getattr(setting, name) for name in names} for setting in task.settings]
    recipe = recipe_of(task)
    stopping = jreg.EarlyStopping(patience=task.patience) if task.patience else None

    def run() -> Outcome:
        study = jreg.cross_validate(
            recipe,
            data,
            space,
            cv=task.folds,
            seeds=task.seeds,
            epochs=task.epochs,
            batch_size=task.batch,
            stopping=stopping,
            progress=False,
        )
        # Commits before results had a class of their own keep times and settings elsewhere (`speed.py --against`).
        timing = study.results.timing if hasattr(study.results, "timing") else study
        results = study.settings if hasattr(study, "settings") else study.results
        epochs = int(study.epochs_run.sum())
        more: dict[str, Any] = {name: getattr(timing, name) for name in TIMES if hasattr(timing, name)}
        if stopping:
            more["stops"] = study.epochs_run.reshape(-1).tolist()
        validations = epochs + task.trainings * keeps(study)
        return Outcome([result.mean for result in results], epochs * task.steps, epochs, validations, more)

    return run


def keeps(study: Any) -> bool:
    """Whether the study kept the outputs on the validation rows, which costs one more pass over them per training."""
    if not hasattr(study.results, "timing"):
        return False
    return any(getattr(found, "kept", None) for found in study.results)


def make_unstopped(task: Task) -> Callable[[], Outcome]:
    """The study of a task with early stopping without it: each training runs for the mean of the epochs it would."""
    mean = np.mean(task.swept["active"]) + (task.patience or 0)
    return make(task._replace(patience=None, epochs=min(task.epochs, round(mean))))
