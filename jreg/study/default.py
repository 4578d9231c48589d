"""The study that the command line runs when it is not given a recipe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import optax

from jreg import losses, nn, penalties, projections
from jreg.data import Dataset, chain, impute, scale, standardize
from jreg.objective import on_params
from jreg.recipe import Recipe
from jreg.search.space import Space, grid
from jreg.transforms import project


def study_for(data: Dataset) -> tuple[Callable[[Any], Recipe], Space]:
    """A multilayer perceptron with two hidden layers of 128, and 12 settings of L2, dropout and max-norm.

    The first of them does without all three, so that a study shows whether they help.
    Images of bytes are divided by 255, other examples standardized; the targets of a regression too. Missing values
    become the feature's mean.

    >>> from jreg.data import load_dataset
    >>> recipe, space = study_for(load_dataset("wine"))
    >>> len(space.settings)
    12
    """
    preprocess = scale(255) if data.x.dtype == np.uint8 else standardize()
    if data.missing == "keep":
        preprocess = chain(impute(), preprocess)
    task = losses.for_task("multiclass" if data.task == "classification" else data.task)
    outputs = max(2, data.classes) if data.task == "classification" else data.classes

    def recipe(hp: Any) -> Recipe:
        max_norm = partial(projections.max_norm, c=hp["max_norm"])
        return Recipe(
            model=nn.MLP((128, 128, outputs), dropout=hp["dropout"]),
            loss=task.loss,
            penalty=hp["l2"] * on_params(penalties.l2),
            optimizer=optax.chain(optax.adam(1e-3), project(max_norm)),
            preprocess=preprocess,
            targets=standardize() if data.task == "regression" else None,
        )

    space = grid(l2=[0.0, 1e-3, 1e-2], dropout=[0.0, 0.5], max_norm=[float("inf"), 1.0])
    return recipe, space.along("l2", "dropout", "-max_norm")
