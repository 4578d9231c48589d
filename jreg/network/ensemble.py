"""Several networks that predict together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base.names import listed, shown
from jreg._base.types import PyTree
from jreg.network.network import Network
from jreg.network.predictions import check_one, mean_probabilities, most_probable
from jreg.network.saving import save_ensemble


class Ensemble(tuple[Network, ...]):
    """Networks of one task, with the verbs of one: the mean of their probabilities, or of their values.

    Args:
      networks: at least one.
      weights: of each network in the mean, at least 0; default: all alike.

    Attributes:
      weights: those given, scaled to sum to 1; None where all are alike.

    Raises:
      ValueError: there is no network, they have different tasks, or the weights aren't one finite number of at least 0
        for each, not all 0.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.11.
    """

    weights: np.ndarray | None

    def __new__(cls, networks: Iterable[Network], weights: Sequence[float] | np.ndarray | None = None) -> Ensemble:
        """Checks the networks."""
        made = super().__new__(cls, networks)
        if not made or len({network.task for network in made}) > 1:
            raise ValueError(
                f"an ensemble needs networks of one task, but got {listed([network.task for network in made])}"
            )
        made.weights = None if weights is None else _weights(weights, len(made))
        return made

    def __repr__(self) -> str:
        weighted = "" if self.weights is None else ", weighted"
        return f"Ensemble({len(self)} networks, {self[0].task}{weighted})"

    def save(self, folder: str | Path, *, program: bool | None = None, more: Mapping[str, Any] | None = None) -> Path:
        """Writes each network into a folder of its own, member_0, member_1 and so on, and a model.json beside them.

        Arguments, result and errors are those of `Network.save`.
        """
        return save_ensemble(self, folder, program, more, self.weights)

    def predict_proba(self, x: PyTree) -> np.ndarray:
        """The mean of the networks' probabilities, ``(n, K)``."""
        return self._mean([network.predict_proba(x) for network in self])

    def predict(self, x: PyTree) -> np.ndarray:
        """The most probable classes by the mean of the probabilities, or the mean of the values."""
        if self[0].task == "regression":
            return self._mean([network.predict(x) for network in self])
        found = most_probable(self.predict_proba(x), self[0].task)
        return found if (encoder := self[0].encoder_for(x)) is None else encoder.decode(found)

    def _mean(self, parts: list[np.ndarray]) -> np.ndarray:
        if self.weights is None:
            return mean_probabilities(parts)
        for part in parts:
            check_one(part)
        return np.tensordot(self.weights, np.stack(parts).astype(np.float64), axes=1)


def _weights(weights: Any, count: int) -> np.ndarray:
    found = np.asarray(weights)
    if found.shape != (count,) or found.dtype.kind not in "fiu":
        raise ValueError(
            f"an ensemble of {count} networks got the weights {shown(weights)}, but needs a number for each"
        )
    found = found.astype(np.float64)
    if not np.isfinite(found).all() or found.min() < 0 or not found.sum() > 0:
        raise ValueError(
            f"an ensemble's weights are {listed(found.tolist())}, but must be finite and at least 0, and not all 0"
        )
    return found / found.sum()
