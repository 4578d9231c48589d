"""Many tests at once: p-values that say how sure one may be of all of them together."""

from __future__ import annotations

from typing import Any

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    r"""Holm's adjusted p-values: those up to alpha hold together with at most alpha for one false one among them.

    .. math:: \tilde p_{(i)} = \min\Big(1,\; \max_{j \le i} (m - j + 1)\, p_{(j)}\Big)

    for m p-values in ascending order, whatever their dependence.

    Args:
      p: ``(m,)``, p-values in [0, 1].

    Raises:
      ValueError, TypeError: they aren't p-values of one axis.

    >>> holm(np.array([0.04, 0.01, 0.5])).tolist()
    [0.08, 0.03, 0.5]

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).
    """
    p = _checked(p, "holm")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    r"""Benjamini and Hochberg's adjusted p-values: of those up to alpha a share of at most alpha is false, on average.

    .. math:: \tilde p_{(i)} = \min\Big(1,\; \min_{j \ge i} \frac{m}{j}\, p_{(j)}\Big)

    for m p-values in ascending order that are independent, or positively dependent.

    Args:
      p: ``(m,)``, p-values in [0, 1].

    Raises:
      ValueError, TypeError: they aren't p-values of one axis.

    >>> benjamini_hochberg(np.array([0.04, 0.01, 0.5])).round(4).tolist()
    [0.06, 0.03, 0.5]

    Source: Benjamini and Hochberg, Controlling the false discovery rate, Journal of the Royal Statistical Society B 57
    (1995); scipy.stats.false_discovery_control.
    """
    from scipy.stats import false_discovery_control

    p = _checked(p, "benjamini_hochberg")
    return np.asarray(false_discovery_control(p)) if len(p) else p


def _checked(values: Any, name: str) -> np.ndarray:
    p = np.asarray(values)
    if p.ndim != 1:
        raise ValueError(f"{name}'s p-values have shape {p.shape}, but must have one axis, (m,)")
    if not p.size:
        return np.empty(0)
    if p.dtype.kind not in "iuf":
        raise TypeError(f"{name}'s p-values have dtype {p.dtype}, but must be numbers in [0, 1]")
    wrong = p[~((p >= 0) & (p <= 1))]
    if wrong.size:
        raise ValueError(f"{name}'s p-values have {wrong[0]}, but must lie in [0, 1]")
    return p.astype(np.float64)
