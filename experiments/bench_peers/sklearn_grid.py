"""The grid with scikit-learn: GridSearchCV of MLPClassifier in two processes. It has no dropout."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

from bench_peers.task import BATCH, HIDDEN, LEARNING_RATE, Outcome, Task

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
    steps = network.n_iter_ * -(-(network.t_ // network.n_iter_) // BATCH)
    return {"accuracy": network.score(x, y), "steps": steps}


def make(task: Task) -> Callable[[], Outcome]:
    """The search; scikit-learn divides alpha by the batch size, so it is multiplied by it here."""
    network = Network(
        hidden_layer_sizes=HIDDEN,
        batch_size=BATCH,
        learning_rate_init=LEARNING_RATE,
        max_iter=task.epochs,
        # Never stops early: this many epochs without progress don't fit into max_iter.
        n_iter_no_change=task.epochs + 1,
        random_state=0,
    )

    def run() -> Outcome:
        search: Any = GridSearchCV(
            network, {"alpha": task.strengths * BATCH}, cv=task.folds, n_jobs=JOBS, refit=False, scoring=scores
        )
        found = search.fit(task.x, task.y).cv_results_
        steps = sum(found[f"split{fold}_test_steps"].sum() for fold in range(len(task.folds)))
        return Outcome(found["mean_test_accuracy"].tolist(), int(steps))

    return run
