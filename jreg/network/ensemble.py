"""Several networks that predict together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jreg._base.names import listed
from jreg._base.types import PyTree
from jreg.network.network import Network
from jreg.network.predictions import mean_probabilities, most_probable
from jreg.network.saving import save_ensemble


class Ensemble(tuple[Network, ...]):
    """Networks of one task, with the verbs of one: the mean of their probabilities, or of their values.

    Args:
      networks: at least one.

    Raises:
      ValueError: there is none, or they have different tasks.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.11.
    """

    def __new__(cls, networks: Iterable[Network]) -> Ensemble:
        """Checks the networks."""
        made = super().__new__(cls, networks)
        if not made or len({network.task for network in made}) > 1:
            raise ValueError(
                f"an ensemble needs networks of one task, but got {listed([network.task for network in made])}"
            )
        return made

    def __repr__(self) -> str:
        return f"Ensemble({len(self)} networks, {self[0].task})"

    def save(self, folder: str | Path, *, program: bool | None = None, more: Mapping[str, Any] | None = None) -> Path:
        """Writes each network into a folder of its own, member_0, member_1 and so on, and a model.json beside them.

        Arguments, result and errors are those of `Network.save`.
        """
        return save_ensemble(self, folder, program, more)

    def predict_proba(self, x: PyTree) -> np.ndarray:
        """The mean of the networks' probabilities, ``(n, K)``."""
        return mean_probabilities([network.predict_proba(x) for network in self])

    def predict(self, x: PyTree) -> np.ndarray:
        """The most probable classes by the mean of the probabilities, or the mean of the values."""
        if self[0].task == "regression":
            return mean_probabilities([network.predict(x) for network in self])
        found = most_probable(self.predict_proba(x), self[0].task)
        return found if (encoder := self[0].encoder_for(x)) is None else encoder.decode(found)
