"""The grid with scikit-learn: GridSearchCV of MLPClassifier in two processes. It has no dropout."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

from peers.task import LEARNING_RATE, Outcome, Task

JOBS = 2


class Network(MLPClassifier):
    """An MLPClassifier that runs all its epochs without saying that it could go on."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Network":
        """Trains; the filter is set here because warnings are raised in the worker processes."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().fit(x, y)


def scores(network: Network, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The accuracy, and how many steps were taken (`t_` counts examples)."""
    steps = network.n_iter_ * -(-(network.t_ // network.n_iter_) // network.batch_size)
    return {"accuracy": network.score(x, y), "steps": steps}


def make(task: Task) -> Callable[[], Outcome]:
    """The search; a swept rate of dropout becomes as many seeds, and the same number of trainings."""
    network = Network(
        hidden_layer_sizes=task.hidden,
        batch_size=task.batch,
        learning_rate_init=LEARNING_RATE,
        alpha=0,
        max_iter=task.epochs,
        # Never stops early: this many epochs without progress don't fit into max_iter.
        n_iter_no_change=task.epochs + 1,
        random_state=0,
    )
    seeds = task.seeds
    grid: dict[str, Any] = {}
    if "l2" in task.swept:
        # scikit-learn divides alpha by the batch size.
        grid["alpha"] = task.swept["l2"] * task.batch
    else:
        seeds *= len(task.settings)
    grid["random_state"] = list(range(seeds))

    def run() -> Outcome:
        search: Any = GridSearchCV(network, grid, cv=task.folds, n_jobs=JOBS, refit=False, scoring=scores)
        found = search.fit(task.x, task.y).cv_results_
        steps = sum(found[f"split{fold}_test_steps"].sum() for fold in range(len(task.folds)))
        means = found["mean_test_accuracy"].reshape(len(task.settings), -1).mean(axis=1)
        return Outcome(means.tolist(), int(steps), task.trainings * task.epochs, task.trainings)

    return run
