"""Intervals and sets of labels that cover a stated share of new rows, from predictions for rows that weren't seen."""

from __future__ import annotations

import numpy as np

from jreg._base import checks

# How many numbers are compared at once.
_AT_ONCE = 2**22


def cv_plus(
    residuals: np.ndarray, own: np.ndarray, predictions: np.ndarray, alpha: float, minmax: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Prediction intervals by CV+, and by the jackknife+ where each row is left out alone.

    .. math:: \left[ q^-_k \{\hat\mu_{-S(i)}(x) - R_i\},\ q^+_k \{\hat\mu_{-S(i)}(x) + R_i\} \right], \qquad
       R_i = |y_i - \hat\mu_{-S(i)}(x_i)|, \quad k = \lfloor \alpha (n + 1) \rfloor

    with the k-th smallest and the k-th largest of n numbers, one for each row i, and with the predictor that has not
    seen row i's fold S(i). Where k is 0 there are too few rows for this alpha, and the interval is infinite.

    Where rows are exchangeable and no predictor depends on its fold's rows, the interval covers a new row's target with
    a probability of at least 1 - 2 alpha with the jackknife+, and of 1 - 2 alpha - sqrt(2 / n) with folds of any size;
    typical is 1 - alpha. One predictor for all rows, which saw none of them, has 1 - alpha. Several columns of targets
    are covered one by one, not all at once. A fold whose rows chose the epoch makes its residuals too small.

    Args:
      residuals: ``(n,)`` or ``(n, ...)`` for several columns of targets; their absolute values count.
      own: ``(n,)``, which predictor has not seen a row: its number below p. ``np.arange(n)`` is the jackknife+.
      predictions: ``(p, m)`` or ``(p, m, ...)``, what each predictor says of the m new rows.
      alpha: in (0, 1).
      minmax: whether the smallest and the largest prediction stand in for each row's own. This is wider, and with
        each row left out alone it covers 1 - alpha.

    Returns:
      The lower and the upper ends, ``(m,)`` or ``(m, ...)`` float64.

    Raises:
      ValueError: the shapes don't fit, a number is NaN, or `alpha` is out of range.
      TypeError: `own` has no whole numbers.

    >>> low, high = cv_plus(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2]), np.array([[5.0], [5.5], [6.0]]), alpha=0.5)
    >>> low.tolist(), high.tolist()
    ([3.5], [7.5])

    Source: Barber, Candès, Ramdas and Tibshirani, Predictive inference with the jackknife+, Annals of Statistics 49
    (2021).
    """
    residuals, predictions = np.abs(_numbers(residuals, "residuals")), _numbers(predictions, "predictions")
    own = _own(own, len(residuals), len(predictions))
    if predictions.ndim < 2 or residuals.shape[1:] != predictions.shape[2:]:
        raise ValueError(
            f"cv_plus's residuals have shape {residuals.shape} and its predictions {predictions.shape}, but must have "
            "(n, ...) and (predictors, m, ...) with the same columns"
        )
    n, k = len(residuals), _count(alpha, len(residuals))
    low, high = np.full(predictions.shape[1:], -np.inf), np.full(predictions.shape[1:], np.inf)
    if k == 0:
        return low, high
    step = max(1, _AT_ONCE // residuals.size)
    for first in range(0, predictions.shape[1], step):
        some = slice(first, first + step)
        if minmax:
            below, above = predictions[:, some].min(0)[None], predictions[:, some].max(0)[None]
        else:
            below = above = predictions[own, some]
        low[some] = np.partition(below - residuals[:, None], k - 1, axis=0)[k - 1]
        high[some] = np.partition(above + residuals[:, None], n - k, axis=0)[n - k]
    return low, high


def cross_conformal(scores: np.ndarray, own: np.ndarray, new: np.ndarray, alpha: float) -> np.ndarray:
    r"""Sets of labels by cross-conformal prediction.

    .. math:: \left\{ y : 1 + \#\{i : s_i \ge s_{-S(i)}(x, y)\} > \alpha (n + 1) \right\}

    with the score s, larger for a stranger label, of each row's label and of each label of the new row by the predictor
    that has not seen row i's fold S(i). Ties count in favour of a label and nothing is drawn at random, so that the
    sets are the same in each call and a little larger than randomized ones. A set may be empty.

    The guarantee is that of `cv_plus`: at least 1 - 2 alpha - sqrt(2 / n), at least 1 - 2 alpha where each row is left
    out alone, 1 - alpha with one predictor for all rows, and typically about 1 - alpha.

    Args:
      scores: ``(n,)``, how strange each row's label is, such as `label_scores` of it.
      own: ``(n,)``, which predictor has not seen a row: its number below p.
      new: ``(p, m, K)``, how strange each label is for each of the m new rows, by each predictor.
      alpha: in (0, 1).

    Returns:
      ``(m, K)`` flags of the labels in each row's set.

    Raises:
      ValueError: the shapes don't fit, a number is NaN, or `alpha` is out of range.
      TypeError: `own` has no whole numbers.

    >>> probabilities = np.array([[[0.9, 0.1], [0.5, 0.5]]])  # one predictor, two new rows
    >>> scores = np.array([0.1, 0.2, 0.3, 0.6])  # 1 - the probability of the right label
    >>> cross_conformal(scores, np.zeros(4, int), 1 - probabilities, alpha=0.3).tolist()
    [[True, False], [True, True]]

    Source: Vovk, Cross-conformal predictors, Annals of Mathematics and Artificial Intelligence 74 (2015); Romano,
    Sesia and Candès, Classification with valid and adaptive coverage, NeurIPS (2020), for the guarantee.
    """
    scores, new = _numbers(scores, "scores"), _numbers(new, "scores of new rows")
    own = _own(own, len(scores), len(new))
    if scores.ndim != 1 or new.ndim != 3:
        raise ValueError(
            f"cross_conformal's scores have shape {scores.shape} and those of new rows {new.shape}, but must have (n,) "
            "and (predictors, m, K)"
        )
    k = _count(alpha, len(scores))
    larger = np.zeros(new.shape[1:], np.int64)
    for number, one in enumerate(new):
        known = np.sort(scores[own == number])
        larger += len(known) - np.searchsorted(known, one, side="left")
    # 1 + larger > alpha (n + 1), in whole numbers.
    return larger >= k


def label_scores(probabilities: np.ndarray, adaptive: bool = False) -> np.ndarray:
    r"""How strange each label is by its probability, for `cross_conformal`.

    .. math:: 1 - p_y, \qquad \text{or adaptively} \quad \sum_{l :\, p_l > p_y} p_l + p_y

    The first makes the smallest sets on average; the second, known as APS, makes sets that grow with a row's doubt and
    cover easy and hard rows more evenly. Its last label counts whole and nothing is randomized, which makes sets larger
    and with few classes covers more than is asked: all labels that come last tie at 1.

    Args:
      probabilities: ``(..., K)``.
      adaptive: whether to add up the probabilities of the labels that are more probable.

    Returns:
      An array of the shape of `probabilities`, float64.

    Raises:
      ValueError: a probability is NaN or outside [0, 1].

    >>> label_scores(np.array([0.5, 0.25, 0.25]), adaptive=True).tolist()
    [0.5, 0.75, 0.75]

    Source: Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers, JASA 114 (2019); Romano, Sesia and
    Candès, Classification with valid and adaptive coverage, NeurIPS (2020).
    """
    p = _numbers(probabilities, "probabilities")
    if p.ndim < 1 or p.size == 0 or p.min() < 0 or p.max() > 1:
        raise ValueError(
            f"label_scores's probabilities have shape {p.shape} and lie outside [0, 1] or are none: give (..., K) of "
            "them, such as network.predict_proba(x)"
        )
    if not adaptive:
        return 1 - p
    order = np.argsort(-p, axis=-1, kind="stable")
    descending = np.take_along_axis(p, order, axis=-1)
    before = np.cumsum(descending, axis=-1) - descending
    # Of equals each comes after the same others.
    equal = np.diff(descending, axis=-1, prepend=2.0) == 0
    before = np.maximum.accumulate(np.where(equal, 0, before), axis=-1)
    found = np.empty_like(p)
    # The order in which numbers are added must not break ties, such as those of labels that come last.
    np.put_along_axis(found, order, (before + descending).round(12), axis=-1)
    return found


def _count(alpha: float, n: int) -> int:
    """The whole number k = floor(alpha (n + 1)), where rounding of the product takes nothing away."""
    if isinstance(alpha, bool) or not isinstance(alpha, int | float | np.number) or not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha!r}, but must lie between 0 and 1, such as 0.1 for intervals of 90%")
    return min(n, int(np.floor(alpha * (n + 1) * (1 + 1e-12))))


def _numbers(values: np.ndarray, name: str) -> np.ndarray:
    found = np.asarray(values)
    if found.dtype.kind not in "fiu":
        raise ValueError(f"the {name} are of dtype {found.dtype}, but must be real numbers")
    if not np.isfinite(found := found.astype(np.float64)).all():
        raise ValueError(f"the {name} have NaN or infinity, as after a training that diverged: leave its setting out")
    return found


def _own(own: np.ndarray, n: int, predictors: int) -> np.ndarray:
    if np.shape(own) != (n,) or n == 0:
        raise ValueError(f"own has shape {np.shape(own)}, but must have one number for each of {n} rows, at least one")
    if np.asarray(own).dtype.kind not in "iu":
        raise TypeError(f"own is {np.asarray(own).dtype}, but must have whole numbers")
    return checks.rows(own, predictors, "own")
