"""Which of many networks to average, chosen greedily by predictions for rows that they didn't see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jreg._base import checks
from jreg._base.names import cut

Metric = Callable[[np.ndarray, np.ndarray], float]


def greedy_weights(
    predictions: np.ndarray,
    targets: np.ndarray,
    metric: Metric,
    size: int,
    *,
    maximize: bool,
    bags: int = 0,
    fraction: float = 0.5,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    r"""The weights of an ensemble that grows by the member that helps most, each as often as it does.

    .. math:: w_j = \frac{c_j}{\sum_i c_i}, \qquad
       j_{t+1} = \arg\max_j\, \text{metric}\left(y, \frac{\sum_{s \le t} p_{j_s} + p_j}{t + 1}\right)

    It begins with the best member, adds one at a time, the first of equal ones, and ends as the best of the ensembles
    that it came by, so that it is never worse than the best member on these rows. What it scores there says nothing of
    new rows, because it was chosen for it: `jreg.Study.greedy_ensemble` scores on other folds.

    Args:
      predictions: ``(members, n, ...)``, probabilities or values for rows that the members didn't see.
      targets: ``(n, ...)``.
      metric: ``(targets, predictions) -> number``.
      size: how many members it adds at most; one may come several times.
      maximize: whether higher is better.
      bags: 0, or how many times the choice is made among a random part of the members, and the weights averaged,
        which helps where members are many and rows few.
      fraction: the part of the members in each bag, in (0, 1]; at least one.
      rng: from which the bags are drawn.

    Returns:
      ``(members,)`` weights of at least 0 that sum to 1, float64.

    Raises:
      ValueError: there are no members, the shapes don't fit, a prediction is NaN, the metric is of no ensemble, or
        there are bags and no `rng`.
      TypeError: `size` or `bags` is no whole number.

    >>> right, wrong, unsure = [0.9, 0.1], [0.2, 0.8], [0.6, 0.4]  # the probabilities of class 1 for two rows
    >>> def brier(y, p):
    ...     return float(np.mean((y - p) ** 2))
    >>> greedy_weights(np.array([wrong, unsure, right]), np.array([1, 0]), brier, 4, maximize=False).tolist()
    [0.0, 0.0, 1.0]

    Source: Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble selection from libraries of models, ICML (2004).
    """
    size, bags = checks.count(size, "greedy_weights's size"), checks.count(bags, "greedy_weights's bags", least=0)
    predictions, targets = np.asarray(predictions, np.float64), np.asarray(targets)
    if predictions.ndim < 2 or not len(predictions) or predictions.shape[1] != len(targets) or not len(targets):
        raise ValueError(
            f"greedy_weights's predictions have shape {predictions.shape} and its targets {targets.shape}, but must "
            "have (members, n, ...) and (n, ...) with one member and one row at least"
        )
    if not np.isfinite(predictions).all():
        number = np.argwhere(~np.isfinite(predictions))[0][0]
        raise ValueError(f"greedy_weights's member {number} predicts NaN or infinity: leave it out, it has diverged")
    if not bags:
        return _grown(predictions, targets, metric, size, maximize)
    if rng is None:
        raise ValueError("greedy_weights's bags are drawn at random: give rng=np.random.default_rng(0)")
    if not 0 < fraction <= 1:
        raise ValueError(f"greedy_weights's fraction is {fraction}, but must lie in (0, 1], such as 0.5")
    weights = np.zeros(len(predictions))
    for _ in range(bags):
        part = np.sort(rng.choice(len(predictions), max(1, round(fraction * len(predictions))), replace=False))
        weights[part] += _grown(predictions[part], targets, metric, size, maximize)
    return weights / bags


def _grown(predictions: np.ndarray, targets: np.ndarray, metric: Metric, size: int, maximize: bool) -> np.ndarray:
    """The weights of one choice."""
    sign = 1 if maximize else -1
    counts, total = np.zeros(len(predictions)), np.zeros(predictions.shape[1:])
    best, chosen = 0.0, None
    for step in range(1, size + 1):
        scores = np.array([sign * float(metric(targets, (total + one) / step)) for one in predictions])
        if np.isnan(scores).all():
            raise ValueError(
                f"the metric {cut(getattr(metric, '__name__', repr(metric)))} is NaN for every ensemble of {step}"
            )
        member = int(np.nanargmax(scores))
        counts[member] += 1
        total = total + predictions[member]
        # A longer one that is no better is left, as is what rounding makes of one and the same member.
        better = scores[member] > best and not np.isclose(scores[member], best, rtol=1e-12, atol=0)
        if chosen is None or better:
            best, chosen = scores[member], counts / step
    assert chosen is not None
    return chosen
