"""What all estimators share: data in, predictions out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from jreg.data import Dataset
from jreg.network import Ensemble, Network
from jreg.network.predictions import mean_probabilities, probabilities_of

# Rows that a network predicts at once: always as many, since the last bits depend on how many rows go together.
BLOCK = 256


class Estimator(BaseEstimator):
    """An estimator whose fitted attribute `network_` predicts."""

    network_: Network | Ensemble
    classes_: np.ndarray
    random_state: Any
    _task: str
    _columns: tuple[int, ...] = ()
    # Rows without which nothing can be fitted.
    _least = 1

    def _checked(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Rows as float64 and targets as jreg has them."""
        raise NotImplementedError

    @property
    def _width(self) -> int:
        """How many outputs a network has."""
        raise NotImplementedError

    def _dataset(self, x: Any, y: Any, weights: Any, groups: Any = None) -> Dataset:
        """The data as jreg has it; sets `n_features_in_` and, of frames, `feature_names_in_`."""
        x, y = self._checked(x, y)
        if weights is not None:
            weights = _check_sample_weight(weights, x, dtype=np.float64, ensure_non_negative=True)
        if (words := getattr(self, "class_weight", None)) is not None:
            own = compute_sample_weight(dict(words) if isinstance(words, Mapping) else words, self.classes_[y])
            weights = own if weights is None else own * weights
        return Dataset(x, y, weights=weights, groups=groups, name=type(self).__name__, task=self._task)

    def _outputs(self, x: Any) -> list[np.ndarray]:
        """The outputs of each network for rows, in blocks of one size."""
        check_is_fitted(self, "network_")
        x = validate_data(self, x, reset=False, dtype=np.float64)
        padded = np.concatenate([x, np.zeros((-len(x) % BLOCK, x.shape[1]))]).astype(np.float32)
        networks = self.network_ if isinstance(self.network_, Ensemble) else [self.network_]
        blocks = [padded[first : first + BLOCK] for first in range(0, len(padded), BLOCK)]
        return [np.concatenate([np.asarray(net.outputs(block)) for block in blocks])[: len(x)] for net in networks]

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def save(self, folder: str | Path) -> Path:
        """Writes the fitted network, or ensemble, as files that `jreg.load` reads without pickle.

        Raises:
          NotFittedError: `fit` hasn't been called.
          ValueError: the folder can't be written.
        """
        check_is_fitted(self, "network_")
        return self.network_.save(folder)


class Classifier(ClassifierMixin, Estimator):
    """Classifies rows of features."""

    _task = "classification"

    def _checked(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        x, y = validate_data(self, x, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"the labels are all {self.classes_[0]!r}, which is one class, but a classifier needs two or more"
            )
        return x, codes.astype(np.int32)

    @property
    def _width(self) -> int:
        return len(self.classes_)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803 (scikit-learn's name)
        """Probabilities ``(n, K)`` of the classes, in the order of `classes_`."""
        check_is_fitted(self, "network_")
        link = (self.network_[0] if isinstance(self.network_, Ensemble) else self.network_).link
        return mean_probabilities([probabilities_of(outputs, link, self._task) for outputs in self._outputs(X)])

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable label of each row, as they were given to `fit`."""
        found = self.predict_proba(X).argmax(axis=1)
        return self.classes_[found]


class Regressor(RegressorMixin, Estimator):
    """Predicts numbers from rows of features."""

    _task = "regression"

    def _checked(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        x, y = validate_data(
            self, x, y, dtype=np.float64, y_numeric=True, multi_output=True, ensure_min_samples=self._least
        )
        if y.ndim == 2 and y.shape[1] == 1:
            from sklearn.utils.validation import column_or_1d

            y = column_or_1d(y, warn=True)
        self._columns = y.shape[1:]
        return x, np.asarray(y, np.float64)

    @property
    def _width(self) -> int:
        return int(np.prod(self._columns, dtype=int))

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn needs to know: several targets at once are fine."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The predicted numbers, ``(n,)`` or ``(n, k)`` as they were given to `fit`."""
        mean = mean_probabilities(self._outputs(X))
        return mean.reshape(len(mean), *self._columns)
