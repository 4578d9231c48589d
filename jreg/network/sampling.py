"""What a network says under its own noise: Monte-Carlo dropout, and how unsure that shows it to be."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jreg._base.brief import brief
from jreg._base.names import listed
from jreg._base.tree import path_of
from jreg._base.types import Array, PyTree
from jreg.models import as_model
from jreg.network.predictions import check_one, labels_of, mean_probabilities, probabilities_of, values_of
from jreg.recipe import Recipe, build
from jreg.training.inputs import examples

Static = tuple[tuple[str, Any], ...]


class Sampled(NamedTuple):
    r"""What several passes through a network with noise predict.

    .. math:: \underbrace{H\big(\tfrac1S \sum_s p_s\big)}_{\text{entropy}} =
       \underbrace{\tfrac1S \sum_s H(p_s)}_{\text{noise of the data}} +
       \underbrace{I}_{\text{mutual information}}

    Attributes:
      values: ``(samples, n, ...)`` float64, the probabilities of each pass, or the values of a regression.
      task: of the network.

    Source: Gal and Ghahramani, Dropout as a Bayesian approximation, ICML (2016); Houlsby et al., Bayesian active
    learning for classification and preference learning (2011), for the mutual information, known as BALD.
    """

    values: np.ndarray
    task: str

    __repr__ = brief

    @property
    def mean(self) -> np.ndarray:
        """``(n, ...)``, the mean of the probabilities or of the values."""
        return mean_probabilities(list(self.values))

    @property
    def standard_deviation(self) -> np.ndarray:
        """``(n, ...)``, of the passes; of a regression without the noise of the targets themselves."""
        return self.values.std(axis=0, ddof=1)

    @property
    def entropy(self) -> np.ndarray:
        """``(n, ...)`` in nats, of the mean of the probabilities; of several labels each one's own.

        Raises:
          ValueError: it is a regression.
        """
        return self._entropy(self.mean)

    @property
    def mutual_information(self) -> np.ndarray:
        """``(n, ...)`` in nats, the part of the entropy that comes from the passes' disagreement.

        Raises:
          ValueError: it is a regression.
        """
        # Rounding must not make it negative.
        return np.maximum(self._entropy(self.mean) - self._entropy(self.values).mean(axis=0), 0)

    def _entropy(self, p: np.ndarray) -> np.ndarray:
        if self.task == "regression":
            raise ValueError("a regression has no entropy of classes: take standard_deviation")
        from scipy.special import entr

        return entr(p) + entr(1 - p) if self.task == "multilabel" else entr(p).sum(-1)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _passes(recipe: Callable[..., Recipe], static: Static, hp: Any, network: Any, keys: Array, x: PyTree) -> PyTree:
    made = build(recipe, {**dict(static), **hp})
    params, state, statistics = network
    inputs = examples(made, statistics, x)

    def one(key: Array) -> PyTree:
        outputs, _ = as_model(made.model).apply(params, state, inputs, train=True, key=key, mask=None)
        return values_of(outputs, statistics[1], made.targets)

    return jax.lax.map(one, keys)


def sampled(
    given: tuple[Callable[..., Recipe], Static, Any, Any],
    keys: Array,
    x: PyTree,
    rows: int,
    of_outputs: tuple[str, str | None, tuple[int, ...]],
) -> Sampled:
    """Passes with noise over blocks of rows; see `Network.sample`.

    Args:
      given: recipe, static hyperparameters, traced ones, and the three trees of the network.
      keys: one for each pass.
      x: examples.
      rows: how many at a time.
      of_outputs: task, link and the shape of one target.
    """
    (task, link, shape), state = of_outputs, given[3][1]
    if jax.tree.leaves(state):
        names = [path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
        raise ValueError(
            f"the network has variables that a pass in training changes ({listed(names, 2)}), as batch normalization "
            "has, and there a row's outputs depend on the rows beside it: take an ensemble, study.ensemble() or "
            "jreg.refit_ensemble(study)"
        )
    count, parts = jax.tree.leaves(x)[0].shape[0], []
    for number, first in enumerate(range(0, max(count, 1), rows)):
        some = jax.tree.map(lambda leaf, first=first: leaf[first : first + rows], x)
        # Rows of another block have noise of their own.
        found = _passes(*given, jax.vmap(lambda key, n=number: jax.random.fold_in(key, n))(keys), some)
        check_one(found)
        parts.append(np.asarray(found))
    outputs = np.concatenate(parts, axis=1)
    if count and len(outputs) > 1 and (outputs == outputs[:1]).all():
        raise ValueError(
            "the network's passes are all alike: its model has no noise, such as dropout with a rate above 0, or none "
            "that reaches these outputs, so that they say nothing of its uncertainty; take an ensemble, "
            "study.ensemble() or jreg.refit_ensemble(study)"
        )
    if task == "regression":
        return Sampled(np.stack([labels_of(one, task, shape) for one in outputs]).astype(np.float64), task)
    return Sampled(np.stack([probabilities_of(one, link, task) for one in outputs]), task)
