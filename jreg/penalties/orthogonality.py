"""Penalties of weight vectors that aren't orthonormal, or that point in similar directions."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import matrix, product, safe_norm, wide
from jreg._base.reading import layerwise
from jreg._base.sharding import whole
from jreg._base.tree import Axis
from jreg._base.types import Array
from jreg.penalties._arrays import unit
from jreg.penalties.norms import l1


def _excess(vectors: Array) -> Array:
    return product(vectors.T, vectors) - jnp.eye(vectors.shape[1], dtype=vectors.dtype)


@layerwise
def orthogonal(w: Array, axis: Axis = None) -> Array:
    r"""Sum of absolute differences between the units' Gram matrix and the identity.

    .. math:: \Omega(W) = \sum_{jk} \left| W^\top W - I \right|_{jk}

    A kernel ``(inputs, units)`` holds a unit's weights in a column; a lecture that writes units as rows means the
    same by :math:`W W^\top`. A convolution's kernel ``(height, width, inputs, units)`` is taken as the matrix
    ``(height * width * inputs, units)``.

    Args:
      w: weights with two axes or more, of floating dtype.
      axis: the axes of one vector; None: all but the last, a unit's incoming weights. More units than inputs can't
        all be orthonormal; -1 asks it of the weights that leave an input instead.

    Returns:
      A scalar of w's dtype, float32 at least; 0 where the vectors are orthonormal, with gradient 0.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: `w` is empty or has fewer than two axes, or `axis` does not exist.

    >>> import jax.numpy as jnp
    >>> float(orthogonal(jnp.eye(3, 2))), float(orthogonal(jnp.array([[1.0, 1.0], [0.0, 1.0]])))
    (0.0, 3.0)

    Source: Brock et al., Neural photo editing with introspective adversarial networks (ICLR 2017).
    """
    return l1(_excess(matrix(w, "orthogonal", axis)))


@layerwise
def soft_orthogonality(w: Array, axis: Axis = None, double_sided: bool = False) -> Array:
    r"""Squared Frobenius distance between the units' Gram matrix and the identity.

    .. math:: \Omega(W) = \lVert W^\top W - I \rVert_F^2 \qquad
       \left( + \lVert W W^\top - I \rVert_F^2 \text{ if double-sided} \right)

    Args:
      w: weights with two axes or more, of floating dtype.
      axis: the axes of one vector; None: all but the last, a unit's incoming weights. More units than inputs can't
        all be orthonormal; -1 asks it of the weights that leave an input instead.
      double_sided: whether rows are to be orthonormal as well as columns, which only a square matrix can reach.

    Returns:
      A scalar of w's dtype, float32 at least.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: `w` is empty or has fewer than two axes, or `axis` does not exist.

    >>> import jax.numpy as jnp
    >>> float(soft_orthogonality(jnp.eye(3, 2))), float(soft_orthogonality(jnp.eye(3, 2), double_sided=True))
    (0.0, 1.0)

    Source: Bansal, Chen and Wang, Can we gain more from orthogonality regularizations in training deep networks?
    (NeurIPS 2018).
    """
    vectors = matrix(w, "soft_orthogonality", axis)
    total = jnp.sum(jnp.square(_excess(vectors)))
    if double_sided:
        total = total + jnp.sum(jnp.square(_excess(vectors.T)))
    return total


@layerwise
def srip(w: Array, axis: Axis = None, iterations: int = 2) -> Array:
    r"""Spectral norm of the difference between the units' Gram matrix and the identity: restricted isometry.

    .. math:: \Omega(W) = \sigma(W^\top W - I) = \sup_{z \ne 0} \left| \frac{\lVert W z \rVert^2}{\lVert z \rVert^2} - 1
       \right|

    It is estimated from below by power iteration, :math:`u \leftarrow A v,\ v \leftarrow A u,\ \sigma \leftarrow
    \lVert v \rVert / \lVert u \rVert` with :math:`A = W^\top W - I`, and the gradient is the estimate's own. The
    paper draws the first v at random; here it is one fixed draw, so that the function needs no key.

    Args:
      w: weights with two axes or more, of floating dtype.
      axis: the axes of one vector; None: all but the last, a unit's incoming weights.
      iterations: how many pairs of products, at least 1; the paper's default is 2.

    Returns:
      A scalar of w's dtype, float32 at least; 0 where the vectors are orthonormal, with gradient 0.

    Raises:
      TypeError: `w` is no array of floating dtype, or `iterations` no whole number.
      ValueError: `w` is empty or has fewer than two axes, `axis` does not exist, or `iterations` is below 1.

    >>> import jax.numpy as jnp
    >>> round(float(srip(jnp.diag(jnp.array([2.0, 1.0, 1.0])))), 4)  # the largest of 2^2 - 1, 0, 0
    3.0

    Source: Bansal, Chen and Wang, Can we gain more from orthogonality regularizations in training deep networks?
    (NeurIPS 2018).
    """
    iterations = checks.count(iterations, "srip's iterations")
    excess = _excess(matrix(w, "srip", axis))
    # Ones would be orthogonal to the leading eigenvector of many matrices that people write down.
    v = jax.random.normal(jax.random.key(0), (excess.shape[0], 1), excess.dtype)
    for _ in range(iterations):
        u = unit(product(excess, v))
        v = product(excess, u)
    return safe_norm(v)[0, 0]


@layerwise
def weight_correlation(w: Array) -> Array:
    r"""Mean absolute cosine between the weight vectors of two units of a layer.

    .. math:: \Omega(w) = \frac{1}{n (n - 1)} \sum_{j \ne k}
       \frac{|w_j^\top w_k|}{\lVert w_j \rVert \lVert w_k \rVert}

    For a convolution's kernel ``(height, width, inputs, units)`` the cosines are those of two units' filters of the
    same input, averaged over the inputs as well. For a dense kernel this is Keras' ``OrthogonalRegularizer`` of factor
    1 in mode ``"columns"``.

    Args:
      w: weights with two axes or more, of floating dtype, with units along the last axis.

    Returns:
      A scalar in [0, 1] of w's dtype, float32 at least; 0 for a single unit. Units whose weights are all 0 have
      cosine 0.

    Raises:
      TypeError: `w` is no array of floating dtype.
      ValueError: `w` is empty or has fewer than two axes.

    >>> import jax.numpy as jnp
    >>> round(float(weight_correlation(jnp.array([[1.0, -3.0, 0.0], [0.0, 0.0, 2.0]]))), 4)  # pairs: 1, 0, 0
    0.3333

    Source: Jin et al., How does weight correlation affect the generalisation ability of deep neural networks?
    (NeurIPS 2020).
    """
    checks.matrix(w, "weight_correlation")
    w, units = whole(w), w.shape[-1]
    # One matrix an input: (inputs, height * width, units); a dense layer is one matrix.
    filters = wide(w[None] if w.ndim == 2 else jnp.moveaxis(w, -2, 0).reshape(w.shape[-2], -1, units))
    directions = unit(filters, axis=1)
    cosines = jax.vmap(lambda columns: product(columns.T, columns))(directions)
    between = jnp.where(jnp.eye(units, dtype=bool)[None], 0, cosines)
    return l1(between) / max(filters.shape[0] * units * (units - 1), 1)
