"""One network as an estimator of scikit-learn's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jreg._base import checks
from jreg._base.names import shown
from jreg.data import Dataset
from jreg.estimators.base import Classifier, Estimator, Regressor
from jreg.estimators.recipes import ACTIVATIONS, NUMBERS, perceptron
from jreg.network import Network
from jreg.splits import hold_out
from jreg.training import EarlyStopping, Status, fit


class _Perceptron(Estimator):
    """One multilayer perceptron, trained once."""

    hidden: Sequence[int]
    activation: str
    epochs: int
    batch_size: int
    patience: int | None
    validation_fraction: float

    def _train(self, data: Dataset) -> Any:
        hidden = tuple(checks.count(width, "hidden's width") for width in self.hidden)
        if self.activation not in ACTIVATIONS:
            allowed = ", ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"activation is {shown(self.activation)}, but must be one of {allowed}")
        numbers = {name: float(getattr(self, name)) for name in NUMBERS}
        words = {"hidden": hidden, "activation": self.activation, "outputs": self._width, "task": self._task}
        setting, seed = numbers | words, self._seed()
        rows: dict[str, Any] = {}
        if self.patience is not None:
            [(train, validation)] = hold_out(data, self.validation_fraction, seed)
            rows = {"train": train, "validation": validation, "stopping": EarlyStopping(self.patience)}
        size = min(checks.count(self.batch_size, "batch_size"), len(data))
        fitted = fit(jax.random.key(seed), perceptron, data, setting, epochs=self.epochs, batch_size=size, **rows)
        if fitted.status == Status.DIVERGED:
            raise ValueError(
                f"the training diverged after {int(fitted.epochs)} epochs: try a learning_rate below "
                f"{numbers['learning_rate']:g}"
            )
        self.n_iter_ = int(fitted.epochs)
        self.history_ = {label: np.asarray(values)[: self.n_iter_] for label, values in fitted.history.items()}
        network = jax.tree.map(np.asarray, tuple(fitted[:3]))
        self.network_ = Network.of(perceptron, setting, NUMBERS, network, data, epochs=self.n_iter_)
        return self


class MLPClassifier(Classifier, _Perceptron):
    r"""A multilayer perceptron with jreg's regularizers as a classifier of scikit-learn's.

    .. math:: \min_\theta \frac1n \sum_i w_i \, \mathrm{CE}(f_\theta(x_i), y_i)
       + \mathrm{l2} \cdot \tfrac12 \|W\|^2 + \mathrm{l1} \cdot \|W\|_1

    by Adam on standardized features, with dropout behind each hidden layer, AdamW's decay, and the incoming weights of
    each unit at most `max_norm` long. Penalties, decay and norms are of weights, never of biases. Numbers are traced:
    another value of theirs compiles nothing.

    Args:
      hidden: units of each hidden layer.
      activation: ``"relu"``, ``"tanh"``, ``"logistic"``, ``"gelu"``, ``"silu"``, ``"selu"`` or ``"identity"``.
      l2, l1: strengths of the penalties, at least 0.
      weight_decay: of AdamW's convention, at least 0.
      dropout: the rate, in [0, 1).
      max_norm: above 0; infinity for none.
      learning_rate: of Adam.
      epochs: the most passes over the rows.
      batch_size: rows per step.
      patience: epochs without a better validation loss after which training stops, and the best parameters are
        kept; None trains for all epochs on all rows.
      validation_fraction: the share of rows to validate on where there is a `patience`.
      class_weight: None, ``"balanced"``, or weights by label.
      random_state: of the initial weights, the order of rows, dropout and the validation rows.

    Attributes:
      classes_: the labels.
      network_: a `jreg.Network`.
      n_iter_: epochs that were run.
      history_: losses and metrics by label, one number for each epoch.

    Raises:
      ValueError: a number is out of range, labels are all one class, or the training diverges.

    >>> from sklearn.datasets import load_wine
    >>> x, y = load_wine(return_X_y=True)
    >>> fitted = MLPClassifier(hidden=(16,), l2=1e-3, learning_rate=1e-2, random_state=0).fit(x[::2], y[::2])
    >>> fitted.score(x[1::2], y[1::2]) > 0.9
    True
    """

    def __init__(
        self,
        hidden: Sequence[int] = (128, 128),
        *,
        activation: str = "relu",
        l2: float = 0.0,
        l1: float = 0.0,
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        max_norm: float = float("inf"),
        learning_rate: float = 1e-3,
        epochs: int = 100,
        batch_size: int = 64,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        class_weight: str | Mapping[Any, float] | None = None,
        random_state: Any = None,
    ):
        self.hidden, self.activation = hidden, activation
        self.l2, self.l1, self.weight_decay = l2, l1, weight_decay
        self.dropout, self.max_norm = dropout, max_norm
        self.learning_rate, self.epochs, self.batch_size = learning_rate, epochs, batch_size
        self.patience, self.validation_fraction = patience, validation_fraction
        self.class_weight, self.random_state = class_weight, random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:  # noqa: N803
        """Trains on rows ``(n, features)`` with labels ``(n,)`` of any type, and weights ``(n,)``."""
        return self._train(self._dataset(X, y, sample_weight))


class MLPRegressor(Regressor, _Perceptron):
    r"""A multilayer perceptron with jreg's regularizers as a regressor of scikit-learn's.

    It minimizes half the squared error of standardized targets, with the terms of `MLPClassifier`, whose arguments it
    has but for `class_weight`. Predictions are in the targets' own units.

    Raises:
      ValueError: a number is out of range, or the training diverges.

    >>> from sklearn.datasets import load_diabetes
    >>> x, y = load_diabetes(return_X_y=True)
    >>> fitted = MLPRegressor(hidden=(16,), l2=1e-2, learning_rate=1e-2, random_state=0).fit(x[::2], y[::2])
    >>> fitted.score(x[1::2], y[1::2]) > 0.3
    True
    """

    def __init__(
        self,
        hidden: Sequence[int] = (128, 128),
        *,
        activation: str = "relu",
        l2: float = 0.0,
        l1: float = 0.0,
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        max_norm: float = float("inf"),
        learning_rate: float = 1e-3,
        epochs: int = 100,
        batch_size: int = 64,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = None,
    ):
        self.hidden, self.activation = hidden, activation
        self.l2, self.l1, self.weight_decay = l2, l1, weight_decay
        self.dropout, self.max_norm = dropout, max_norm
        self.learning_rate, self.epochs, self.batch_size = learning_rate, epochs, batch_size
        self.patience, self.validation_fraction = patience, validation_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:  # noqa: N803
        """Trains on rows ``(n, features)`` with numbers ``(n,)`` or ``(n, k)``, and weights ``(n,)``."""
        return self._train(self._dataset(X, y, sample_weight))
