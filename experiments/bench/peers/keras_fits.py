"""The grid with Keras 3 on JAX as its guides have it: a compiled model and a call of `fit` for each training."""

import os
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "jax"

import keras

from peers.task import Outcome, Setting, Task, by_setting

# Steps in one call of the compiled function; more of them compile for longer than they save.
STEPS = 8


def network_of(task: Task, setting: Setting) -> keras.Model:
    """The compiled model."""

    def options() -> dict:
        # Keras doesn't halve the squared norm.
        return {"kernel_regularizer": keras.regularizers.L2(setting.l2 / 2)} if setting.l2 else {}

    layers = [keras.Input(task.x.shape[1:])]
    for channels in task.convolutions:
        layers += [
            keras.layers.Conv2D(channels, 3, padding="same", activation="relu", **options()),
            keras.layers.MaxPooling2D(2),
        ]
    layers += [keras.layers.Flatten()] if task.convolutions else []
    for units in task.hidden:
        layers.append(keras.layers.Dense(units, activation="relu", **options()))
        layers += [keras.layers.Dropout(setting.dropout)] if setting.dropout else []
    model = keras.Sequential([*layers, keras.layers.Dense(task.outputs, **options())])
    binary = task.outputs == 1
    model.compile(
        optimizer=keras.optimizers.Adam(task.learning_rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True)
        if binary
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0) if binary else "accuracy"],
        steps_per_execution=min(STEPS, task.steps),
        jit_compile=True,
    )
    return model


def make(task: Task) -> Callable[[], Outcome]:
    """A fit and an evaluation a training."""

    def train(setting: Setting, fold: int, seed: int) -> tuple[float, int]:
        keras.utils.set_random_seed(1000 * seed + fold)
        rows, validation = task.folds[fold]
        model = network_of(task, setting)
        model.fit(task.x[rows], task.y[rows], batch_size=task.batch, epochs=task.epochs, verbose=0)
        found = model.evaluate(task.x[validation], task.y[validation], batch_size=len(validation), verbose=0)
        return float(found[1]), int(model.optimizer.iterations)

    def run() -> Outcome:
        folds, seeds = range(len(task.folds)), range(task.seeds)
        found = [train(setting, fold, seed) for setting in task.settings for fold in folds for seed in seeds]
        scores, steps = zip(*found, strict=True)
        return Outcome(by_setting(task, scores), sum(steps), len(scores) * task.epochs, len(scores))

    return run
