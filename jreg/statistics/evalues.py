"""E-values: evidence that may be looked at at any time, and averaged however its parts depend on each other.

An e-value is at least 0 and has an expectation of at most 1 where the null hypothesis holds, so that it reaches
1 / alpha with probability at most alpha. The mean of several is one again, however they depend on each other.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

# Shares of the largest bet, between which capital is split: sines of equally spaced angles, whose density is that of
# 2 p - 1 where p has the Beta(1/2, 1/2) distribution above 1/2.
_BETS = np.sin(math.pi / 2 * (np.arange(64) + 0.5) / 64)
# Rows that are multiplied before a logarithm is taken: 2**256 is far from overflow.
_BLOCK = 256


def mcnemar_evalue(n10: Any, n01: Any, *, alternative: Literal["two-sided", "greater"] = "two-sided") -> np.ndarray:
    r"""Evidence that two classifiers differ, from the rows that one of them gets right and the other doesn't.

    .. math:: E = \frac{2^n B(\frac12 + n_{10}, \frac12 + n_{01})}{B(\frac12, \frac12)}, \qquad n = n_{10} + n_{01}

    The likelihood ratio between a coin whose chance p is drawn from Beta(1/2, 1/2) and a fair one, which each of these
    rows tosses if both classifiers err equally often. McNemar's test has a level for one look at a number of rows fixed
    before; the probability that E reaches 1 / alpha at any of arbitrarily many looks is at most alpha: for alpha = 0.05
    it is 0.0224, 0.0311, 0.0354 and 0.0374 within 20, 100, 500 and 2,000 such rows.

    Args:
      n10: rows that the first gets wrong and the second right, whole numbers of at least 0.
      n01: rows that the first gets right and the second wrong.
      alternative: ``"two-sided"``, against "they err equally often"; or ``"greater"``, against "the first errs no more
        often": p is then drawn from the part of Beta(1/2, 1/2) above 1/2, which up to doubles E.

    Returns:
      E, float64, of the shape that `n10` and `n01` broadcast to; infinite beyond 1e308.

    Raises:
      ValueError: a number is negative or not whole, or `alternative` is another word.

    >>> float(mcnemar_evalue(10, 0).round(2)), float(mcnemar_evalue(10, 0, alternative="greater").round(2))
    (180.43, 360.79)

    Source: Robbins, Statistical methods related to the law of the iterated logarithm, Annals of Mathematical Statistics
    41 (1970); Ramdas, Grünwald, Vovk and Shafer, Game-theoretic statistics and safe anytime-valid inference (2023).
    """
    from scipy.special import betainc, betaln

    if alternative not in ("two-sided", "greater"):
        raise ValueError(f"alternative is {alternative!r}, but must be 'two-sided' or 'greater'")
    worse, better = (_counts(value, name) for value, name in ((n10, "n10"), (n01, "n01")))
    logarithm = (worse + better) * math.log(2) + betaln(0.5 + worse, 0.5 + better) - betaln(0.5, 0.5)
    with np.errstate(over="ignore", divide="ignore"):
        if alternative == "greater":
            # The probability that p is above 1/2, over what it was before the rows.
            logarithm = logarithm + np.log(2 * betainc(0.5 + better, 0.5 + worse, 0.5))
        return np.exp(logarithm)


def betting_evalue(differences: Any, bound: float) -> np.ndarray:
    r"""Evidence that the mean of bounded differences is above 0: what a gambler wins who bets that it is.

    .. math:: E = \frac1{64} \sum_{j=1}^{64} \prod_i \left(1 + \lambda_j \frac{d_i}{B}\right), \qquad
       \lambda_j = \sin \frac{\pi (j - \frac12)}{128}

    Each row pays :math:`d_i / B` for every unit bet on it. Capital starts at 1 and is split between 64 gamblers, each
    of whom bets the same share of it on every row, so that the order of the rows doesn't matter. No bet gains in
    expectation if each row's mean, given those before, is at most 0; nor if rows are independent and the mean of their
    means is at most 0, as a product is largest where its factors are equal. With differences of 0-1 losses E is
    `mcnemar_evalue` with the alternative "greater", but for a sum in an integral's place.

    Args:
      differences: ``(..., n)``, losses of the first minus losses of the second on n rows.
      bound: B above 0, which no difference exceeds in size, known before the rows are seen.

    Returns:
      E, ``(...)`` float64; infinite beyond 1e308.

    Raises:
      ValueError: a difference is NaN or larger than the bound, there is no axis of rows, or the bound isn't positive.

    >>> float(betting_evalue([0.5, -0.1, 0.4, 0.6, 0.2, 0.5], bound=1.0).round(2))
    3.45

    Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, Journal of the Royal
    Statistical Society B 86 (2024), section 4 and the mixture of bets in its appendix; Cover, Universal portfolios,
    Mathematical Finance 1 (1991).
    """
    from scipy.special import logsumexp

    if isinstance(bound, bool | str) or np.ndim(bound) or not 0 < bound < math.inf:
        raise ValueError(f"betting_evalue's bound is {bound!r}, but must be a finite number above 0")
    paid = np.asarray(differences, np.float64)
    if paid.ndim == 0:
        raise ValueError("betting_evalue's differences are a single number, but must have a last axis of rows")
    if not (np.abs(paid) <= bound).all():
        worst = paid.flat[np.argmax(~(np.abs(paid) <= bound))]
        raise ValueError(
            f"a difference is {worst}, but must lie within the bound, {bound}: clip losses that may exceed it"
        )
    paid = np.concatenate([paid / bound, np.zeros((*paid.shape[:-1], -paid.shape[-1] % _BLOCK))], axis=-1)
    paid = paid.reshape(*paid.shape[:-1], paid.shape[-1] // _BLOCK, _BLOCK)
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        capital = [np.log(np.prod(1 + bet * paid, axis=-1)).sum(axis=-1) for bet in _BETS]
        return np.exp(logsumexp(capital, axis=0) - math.log(len(_BETS)))


def _counts(value: Any, name: str) -> np.ndarray:
    found = np.asarray(value, np.float64)
    if not ((found >= 0) & (found == np.floor(found)) & np.isfinite(found)).all():
        raise ValueError(f"mcnemar_evalue's {name} is {value!r}, but must be whole numbers of at least 0")
    return found
