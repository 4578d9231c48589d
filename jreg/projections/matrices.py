"""Constraints of a kernel as a matrix: its singular values, its symmetry, its orthogonality."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg import prox
from jreg._base import checks
from jreg._base.arrays import in_range, matrix, product
from jreg._base.reading import layerwise
from jreg._base.sharding import spread_like, whole
from jreg._base.singular import derivative
from jreg._base.types import Array, Scalar


@layerwise
def spectral_ball(w: Array, c: Scalar) -> Array:
    r"""Lowers every singular value above `c` to `c`: the map lengthens no input by more than this factor.

    .. math:: W = U \Sigma V^\top \leftarrow U \min(\Sigma, c) V^\top

    A kernel with more than two axes is taken as the matrix of all axes but the last by the last. For a convolution
    this bounds the matrix, as Yoshida and Miyato do; the convolution's own norm can be larger, by a factor of up to
    the root of the kernel's height times width. Half precision is computed in float32. First derivatives are finite
    everywhere, also at equal singular values.

    Args:
      w: weights with two axes or more, of floating dtype.
      c: radius above 0; may be traced; infinity leaves `w` as it is, and so does any `c` that isn't exceeded.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: a known `c` is not above 0, or `w` is no matrix.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(spectral_ball(jnp.array([[3.0, 0.0], [0.0, 0.5], [0.0, 0.0]]), c=1.0))
    [[1.  0. ]
     [0.  0.5]
     [0.  0. ]]

    Source: Sedghi, Gupta and Long, The singular values of convolutional layers, ICLR 2019, for the
    projection; Yoshida and Miyato, Spectral norm regularization (2017), for the matrix of a kernel.
    """
    checks.radius(c, "spectral_ball's radius c")
    m = matrix(w, "spectral_ball")
    return spread_like(_clip_singular_values(m, in_range(c, m.dtype)).reshape(w.shape).astype(w.dtype), w)


@jax.custom_jvp
def _clip_singular_values(m: Array, c: Array) -> Array:
    u, s, vt = jnp.linalg.svd(m, full_matrices=False)
    return jnp.where(s[0] <= c, m, product(u * jnp.minimum(s, c)[None, :], vt))


@_clip_singular_values.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    # A matrix is the sum of its clipped and its thresholded one (Moreau), whose derivative is finite.
    return _clip_singular_values(*primals), tangents[0] - jax.jvp(prox.nuclear_norm, primals, tangents)[1]


def symmetric(w: Array) -> Array:
    r"""Makes square matrices equal their transpose: two directions of a connection share one weight.

    .. math:: W \leftarrow \tfrac12 \left(W + W^\top\right)

    Weights that start equal and get equal gradients stay tied anyway; this projection ties them for every optimizer.

    Args:
      w: weights whose last two axes are equally long, of floating dtype; axes before them count matrices.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: the last two axes are not equally long, or there are fewer than two.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(symmetric(jnp.array([[1.0, 4.0], [2.0, 3.0]])))
    [[1. 3.]
     [3. 3.]]

    Source: Higham, Computing a nearest symmetric positive semidefinite matrix, Linear Algebra Appl. 103 (1988),
    which gives the nearest symmetric matrix on the way.
    """
    checks.floating(w, "symmetric's array of weights")
    if w.ndim < 2 or w.shape[-1] != w.shape[-2]:
        raise ValueError(f"symmetric got an array of shape {w.shape}, but its last two axes must be equally long")
    # A sum could overflow in half precision.
    half = whole(w) / 2
    return spread_like(half + jnp.swapaxes(half, -1, -2), w)


@layerwise
def orthogonal(w: Array) -> Array:
    r"""Makes all singular values 1: the nearest matrix with orthonormal columns, or rows if it has fewer of them.

    .. math:: W = U \Sigma V^\top \leftarrow U V^\top = \arg\min_{Q^\top Q = I} \lVert Q - W \rVert_F

    This is the orthogonal factor of W's polar decomposition, the projection onto the Stiefel manifold. It is
    computed by one singular value decomposition and not by Newton-Schulz iterations, which multiply matrices only,
    but diverge for singular values above :math:`\sqrt 3`, take the more steps the smaller the least one is, and give
    no orthonormal matrix after a fixed number of them (`optax.contrib.muon` is content with such a one).

    A kernel with more than two axes is taken as the matrix of all axes but the last by the last. Half precision is
    computed in float32. Where singular values are 0 (fewer independent columns or rows than there are) no point is
    the nearest one: the result is orthonormal all the same, and one of many at the same distance, which can differ
    between machines; a matrix of zeros is such a case. There the derivative doesn't exist, and the parts that would
    be infinite count as 0.

    Args:
      w: weights with two axes or more, of floating dtype.

    Returns:
      An array of w's shape and dtype.

    Raises:
      ValueError: `w` is no matrix.
      TypeError: `w` is not floating.

    >>> import jax.numpy as jnp
    >>> print(orthogonal(jnp.array([[3.0, 0.0], [0.0, -0.5], [0.0, 0.0]])))
    [[ 1.  0.]
     [ 0. -1.]
     [ 0.  0.]]

    Source: Higham, Computing the polar decomposition - with applications, SIAM J. Sci. Stat. Comput. 7 (1986);
    Absil, Mahony and Sepulchre, Optimization algorithms on matrix manifolds (2008), section 4.1.1.
    """
    m = matrix(w, "orthogonal")
    # Of a wide matrix the transpose is decomposed.
    q = _polar_factor(m.T).T if m.shape[0] < m.shape[1] else _polar_factor(m)
    # The decomposition may make a number of infinity.
    q = jnp.where(jnp.all(jnp.isfinite(m)), q, jnp.nan)
    return spread_like(q.reshape(w.shape).astype(w.dtype), w)


@jax.custom_jvp
def _polar_factor(m: Array) -> Array:
    u, _, vt = jnp.linalg.svd(m, full_matrices=False)
    return product(u, vt)


@_polar_factor.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # See Kenney and Laub, Polar decomposition and matrix sign function condition estimates (1991).
    (m,), (change,) = primals, tangents
    u, s, vt = jnp.linalg.svd(m, full_matrices=False)
    return product(u, vt), derivative((u, s, vt), change, jnp.ones_like(s))
