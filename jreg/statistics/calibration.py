"""Probabilities that say how often they are right."""

from __future__ import annotations

from typing import Any

import numpy as np

# Between these temperatures the best one is looked for.
LEAST, MOST = 1e-3, 1e3


def temperature(outputs: Any, targets: Any, weights: Any = None) -> float:
    r"""The number by which logits are divided so that their log loss on these rows is least.

    .. math:: \hat T = \arg\min_T -\sum_i w_i \log \operatorname{softmax}(z_i / T)_{y_i}

    or with a sigmoid of each output. Above 1 the network was too sure of itself, below 1 not sure enough. Predicted
    classes don't change. In 1/T the log loss is convex, so there is one minimum; it is found where the derivative is 0,

    .. math:: \sum_i w_i \left(\sum_k p_{ik} z_{ik} - z_{i y_i}\right) = 0, \qquad p_i = \operatorname{softmax}(z_i/T)

    Judge it on other rows than these (`jreg.Study.calibration` does).

    Args:
      outputs: ``(n, ..., K)`` logits of a softmax; ``(n, 1)`` or ``(n,)`` of a sigmoid, above 0 means class 1; or
        ``(n, K)`` with targets of that shape, a sigmoid for each of several labels. Rows that training didn't see.
      targets: ``(n, ...)`` class numbers, or ``(n, K)`` of 0 and 1.
      weights: ``(n,)`` of at least 0; default: all alike.

    Returns:
      The temperature, in [0.001, 1000]: the lower end where the log loss still falls there, as where all rows are
      predicted rightly, and the upper end where it still falls there, as where outputs are worse than no answer. 1
      where it changes nothing, because all logits of each row are equal.

    Raises:
      TypeError: targets are not class numbers, as in a regression.
      ValueError: the shapes don't fit, an output is NaN or infinite, a label is no class, a weight is negative, or
        nothing has weight.

    >>> import numpy as np
    >>> logits = np.array([[4.0, 0.0]] * 4)  # sure of class 0 by 4, right three times out of four
    >>> round(temperature(logits, np.array([0, 0, 0, 1])), 4), round(float(4 / np.log(3)), 4)
    (3.641, 3.641)

    Source: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017; Platt, Probabilistic
    outputs for support vector machines (1999).
    """
    from scipy.optimize import brentq
    from scipy.special import expit, softmax

    logits, labels = np.asarray(outputs, np.float64), np.asarray(targets)
    if labels.dtype.kind not in "iub":
        raise TypeError(
            f"temperature's targets have dtype {labels.dtype}, but must be class numbers or flags of 0 and 1: a "
            "regression has no probabilities to calibrate"
        )
    shared = _checked(weights, logits, labels)
    if logits.ndim > 1 and logits.shape[:-1] == labels.shape and logits.shape[-1] > 1:
        logits, own = _of_classes(logits, labels)
        shared = np.broadcast_to(shared.reshape(-1, *[1] * (labels.ndim - 1)), labels.shape).ravel()

        def slope(log_t: float) -> float:
            probabilities = softmax(logits / np.exp(log_t), axis=1)
            return float(shared @ (np.sum(probabilities * logits, axis=1) - own))
    else:
        logits, flags = _of_flags(logits, labels)
        shared = np.broadcast_to(shared.reshape(-1, *[1] * (flags.ndim - 1)), flags.shape)

        def slope(log_t: float) -> float:
            return float(np.sum(shared * (expit(logits / np.exp(log_t)) - flags) * logits))

    # The derivative with respect to 1/T, which falls as T rises.
    low, high = np.log(LEAST), np.log(MOST)
    sharp, blunt = slope(low), slope(high)
    if sharp <= 0 <= blunt:
        return 1.0
    if sharp <= 0:
        return LEAST
    if blunt >= 0:
        return MOST
    return float(np.exp(brentq(slope, low, high, xtol=1e-12, rtol=1e-12)))


def _checked(weights: Any, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    count = len(labels) if labels.ndim else 0
    if not count or logits.shape[:1] != labels.shape[:1]:
        raise ValueError(
            f"temperature got outputs of shape {logits.shape} and targets of shape {labels.shape}, but needs a row of "
            "outputs for each of at least one target"
        )
    if not np.isfinite(logits).all():
        raise ValueError("temperature got outputs that are NaN or infinite: leave out trainings that diverged")
    found = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if found.shape != (count,) or not (np.isfinite(found).all() and (found >= 0).all() and found.any()):
        raise ValueError(
            f"temperature's weights must be {count} finite numbers of at least 0, one per row and not all 0, but have "
            f"shape {found.shape}" + (f" and reach from {found.min():g} to {found.max():g}" if found.size else "")
        )
    return found / found.sum()


def _of_classes(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits ``(m, K)`` around their largest one, and those of the labels."""
    flat, numbers = logits.reshape(-1, logits.shape[-1]), labels.ravel().astype(np.int64)
    if not ((numbers >= 0) & (numbers < flat.shape[1])).all():
        raise ValueError(
            f"temperature's targets reach from {numbers.min()} to {numbers.max()}, but there are {flat.shape[1]} "
            "classes, numbered from 0"
        )
    flat = flat - flat.max(axis=1, keepdims=True)
    return flat, flat[np.arange(len(flat)), numbers]


def _of_flags(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if logits.shape not in (labels.shape, (*labels.shape, 1)):
        raise ValueError(
            f"temperature got outputs of shape {logits.shape} and targets of shape {labels.shape}, but needs the same "
            "shape, or one more axis of outputs, the last, with a logit per class"
        )
    flags = labels.astype(np.int64)
    if not np.isin(flags, (0, 1)).all():
        raise ValueError(f"temperature's targets reach from {flags.min()} to {flags.max()}, but one output says 0 or 1")
    return logits.reshape(labels.shape), flags.astype(np.float64)
