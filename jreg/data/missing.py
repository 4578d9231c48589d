"""Missing values, which are NaN."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from jreg._base import checks
from jreg._base.types import Array, Scalar
from jreg.data.blocks import over_rows
from jreg.data.offsets import ends
from jreg.data.preprocess import check_rows
from jreg.data.preprocessor import Preprocessor, described, for_array


@described
def impute(strategy: str | Scalar = "mean") -> Preprocessor:
    r"""Replaces missing values by one number per feature, learned from the training rows that have one.

    .. math:: x_{ij} \leftarrow m_j \text{ where } x_{ij} \text{ is NaN}, \qquad
       m_j = \frac{\sum_{i: x_{ij} \text{ is a number}} w_i x_{ij}}{\sum_{i: x_{ij} \text{ is a number}} w_i}

    A feature that no training row has becomes 0. It comes first in a `chain`, of a `Dataset` that keeps missing values.

    Args:
      strategy: ``"mean"``, ``"median"``, or a number, which may be traced and needs no training rows. Rows of weight
        two count as two rows; the median of any weights is the number that half of the weight lies below and half
        above, or the mean of two neighbours where it is exactly half (to a millionth of the sum, unless the weights
        are whole numbers).

    Returns:
      A `Preprocessor` to float32 without `invert`.

    Raises:
      ValueError: `strategy` is another word, or NaN.

    >>> import jax.numpy as jnp
    >>> fit, apply, _ = impute("median")
    >>> x = jnp.array([[1.0], [3.0], [jnp.nan], [100.0]])
    >>> apply(fit(x, jnp.array([1.0, 1.0, 1.0, 0.0])), x).tolist()
    [[1.0], [3.0], [2.0], [100.0]]

    Source: scikit-learn's ``SimpleImputer``; Little and Rubin, Statistical analysis with missing data (2002),
    section 4.2.1.
    """
    number = checks.concrete(strategy)
    if isinstance(strategy, str) and strategy not in ("mean", "median"):
        raise ValueError(f"impute's strategy is {strategy!r}, but must be 'mean', 'median' or a number")
    if number is not None and not abs(number) < float("inf"):
        raise ValueError(f"impute is to fill in {number:g}, but must fill in a finite number")

    def fit(x: Array, weights: Array) -> Array:
        if not isinstance(strategy, str):
            return jnp.full((1, *x.shape[1:]), strategy, jnp.float32)
        if strategy == "mean":
            return _means(x, weights)
        flat = x.reshape(x.shape[0], -1)
        # One feature after the other, because sorting takes several times the memory of what is sorted.
        medians = lax.map(lambda place: _median(flat[:, place], weights), jnp.arange(flat.shape[1]))
        return medians.reshape(1, *x.shape[1:])

    def apply(statistics: Array, x: Array) -> Array:
        x = x.astype(jnp.float32)
        check_rows(x, statistics, "impute")
        return jnp.where(jnp.isnan(x), statistics, x)

    return for_array("impute", fit, apply)


def _means(x: Array, weights: Array) -> Array:
    offset, _ = ends(x, weights)

    def sums(x: Array, weights: Array) -> tuple[Array, Array]:
        counts = jnp.where(jnp.isnan(x), 0, weights)
        known = jnp.where(jnp.isnan(x), 0, x)
        return jnp.sum(counts * known, axis=0, keepdims=True), jnp.sum(counts, axis=0, keepdims=True)

    total, count = over_rows(sums, x, weights, offset=offset)
    mean = total / jnp.where(count > 0, count, 1)
    return mean if offset is None else mean + offset.astype(jnp.float32)


def _median(values: Array, weights: Array) -> Array:
    values = values.astype(jnp.float32)
    counts = jnp.where(jnp.isnan(values), 0, weights)
    order = jnp.argsort(jnp.where(counts > 0, values, jnp.inf))
    below = jnp.cumsum(counts[order])
    total = below[-1]
    # Sums of whole numbers are exact; those of others may miss the half by rounding, in either direction.
    slack = jnp.where(jnp.all(counts == jnp.round(counts)), 0, 1e-6 * total)
    # A row of weight two is two rows, so the middle is where half of the weight has passed.
    lower, upper = (
        values[order[jnp.argmax(passed)]] for passed in (below >= total / 2 - slack, below > total / 2 + slack)
    )
    return jnp.where(total > 0, lower + (upper - lower) / 2, 0)
