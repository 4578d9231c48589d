"""What a study's report shows beside its results: predictions, the final network, what examples look like."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import numpy as np

from jreg._base.names import shown
from jreg.data import Dataset
from jreg.network import Network
from jreg.recipe import build
from jreg.report import Beside, Predictions
from jreg.results import Results
from jreg.results.nested import NESTED
from jreg.study.design import Design
from jreg.study.out_of_fold import OutOfFold, from_kept, of_outer

# What the flat examples of built-in data are images of.
_FLAT = {"digits": (8, 8), "mnist": (28, 28)}


def beside(
    results: Results,
    data: Dataset | None,
    found: Predictions | None,
    final: Network | None = None,
    command: str = "",
    shape: Sequence[int] = (),
) -> Beside:
    """What `jreg.report.page` shows beside results, as far as it is there.

    Args:
      results: of the study.
      data: of the study.
      found: out-of-fold predictions, of the best setting or of a nested study's choices.
      final: the network that was trained on all rows.
      command: that the study was begun with.
      shape: what flat examples are images of; default: that of data which are known to be images.

    Raises:
      ValueError: `shape` is no image's, or doesn't fit the examples.
    """
    example = getattr(final.example, "shape", ()) if data is None and final is not None else ()
    own = data.x.shape[1:] if data is not None and isinstance(data.x, np.ndarray) else tuple(example)
    given = tuple(shape)
    sides = len(given) in (2, 3) and all(isinstance(side, int) and side > 0 for side in given)
    if given and not (sides and math.prod(given) == (math.prod(own) if own else math.prod(given))):
        fit = f", {math.prod(own)} numbers in all, as the examples of {results.spec.data} have" if own else ""
        raise ValueError(f"shape is {shown(given)}, but must be (height, width), or with channels{fit}")
    known = _FLAT.get(results.spec.data, ())
    if not given and len(own) == 1 and own[0] == math.prod(known):
        given = known
    return Beside(final, found, given or (own if len(own) in (2, 3) else ()), command)


def of_design(
    design: Design, results: Results, final: Network | None = None, command: str = "", shape: Sequence[int] = ()
) -> Beside:
    """What a study's own process has for its report; see `beside`.

    Raises:
      TypeError: `final` is no network.
      ValueError: `shape` is no image's, or doesn't fit the examples.
    """
    if not isinstance(final, Network | None):
        raise TypeError(f"report's final is {shown(final)}, but must be the network that jreg.refit returned")
    if results.spec.policy.get("kind") == NESTED:
        found = None
        with contextlib.suppress(ValueError):
            found = predictions(of_outer(design, results), design.data, "each outer fold's choice")
    else:
        best = results.best.hyperparameters if results.finished else None
        found = None if best is None else kept(results, design.data, build(design.recipe, best).link)
    return beside(results, design.data, found, final, command, shape)


def kept(results: Results, data: Dataset, link: str | None) -> Predictions | None:
    """The out-of-fold predictions of the best setting from the outputs that were kept; None where not all were.

    Args:
      results: of the study.
      data: that it trained on.
      link: how its loss reads outputs.
    """
    if not results.finished:
        return None
    whole = from_kept(results, results.best.number, data, link)
    return None if whole is None else predictions(whole, data, "the best setting")


def predictions(found: OutOfFold, data: Dataset, of: str) -> Predictions | None:
    """Out-of-fold predictions as a report shows them, each row once; None where it can't show such.

    Args:
      found: the predictions.
      data: of the study.
      of: what predicted, in words.
    """
    # Outputs that are several arrays or not finite make no single prediction.
    with contextlib.suppress(ValueError, TypeError):
        if not isinstance(found.targets, np.ndarray):
            return None
        found = found.averaged()
        targets, given, probabilities = found.targets, np.asarray(found.predictions), None
        if found.task != "regression" and found.link in ("softmax", "sigmoid"):
            probabilities = found.probabilities
        if found.task == "classification" and probabilities is not None:
            # Of sequences each place is a prediction.
            targets, given = targets.ravel(), given.ravel()
            probabilities = probabilities.reshape(len(targets), -1)
        if given.shape == targets.shape:
            return Predictions(targets, given, probabilities, found.task, tuple(map(str, data.labels)), of)
    return None
