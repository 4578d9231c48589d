"""Whitening: features without correlations and with variance one."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import lax

from jreg._base import checks
from jreg._base.types import Array, Scalar
from jreg.data.blocks import over_rows, shifted
from jreg.data.offsets import ends
from jreg.data.preprocess import check_rows, shifted_back
from jreg.data.preprocessor import Preprocessor, described, for_array


@described
def whiten(kind: str = "zca", epsilon: Scalar = 1e-6, components: int | None = None) -> Preprocessor:
    r"""Turns and scales the examples so that the training rows' covariance is the identity.

    .. math:: x \leftarrow V (\Lambda + \epsilon I)^{-1/2} (x - \mu), \qquad
       U \Lambda U^\top = \frac{\sum_i w_i (x_i - \mu)(x_i - \mu)^\top}{\sum_i w_i}

    with V the product of U and what stands left of it: the rotation back, U, for ZCA, which of all whitenings changes
    the examples least, so that images still look like images; none for PCA, whose entries are principal components,
    the one with the largest variance first.

    Args:
      kind: ``"zca"`` or ``"pca"``.
      epsilon: added to the variance of each principal component, above 0; may be traced. The covariance becomes
        :math:`\Lambda / (\Lambda + \epsilon)`. Components in which the training rows hardly vary are noise that a
        small epsilon blows up; for images in [0, 1] about 0.01 to 0.1 is usual.
      components: how many principal components PCA keeps; default: all. Static.

    Returns:
      A `Preprocessor` to float32, ZCA in the shape of the examples, PCA ``(n, components)``. It keeps d x d numbers
      for examples of d features. `invert` undoes it but for components that were left out.

    Raises:
      ValueError: `kind` is neither, a known `epsilon` is not above 0, or there are fewer features than `components`.

    >>> import jax.numpy as jnp
    >>> fit, apply, _ = whiten(epsilon=1e-9)
    >>> x = jnp.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> jnp.round(apply(fit(x, jnp.ones(4)), x), 3).tolist()[0]
    [1.4140000343322754, 0.0]

    Source: Bell and Sejnowski, The "independent components" of natural scenes are edge filters (1997); Kessy, Lewin
    and Strimmer, Optimal whitening and decorrelation (2018); epsilon as in Coates and Ng, Learning feature
    representations with k-means (2012), section 2.2.
    """
    if kind not in ("zca", "pca"):
        raise ValueError(f"whiten's kind is {kind!r}, but must be 'zca' or 'pca'")
    checks.positive(epsilon, "whiten's epsilon")
    if components is not None:
        checks.count(components, "whiten's components")
        if kind == "zca":
            raise ValueError("whiten keeps all components with 'zca', so it takes no components: use 'pca'")

    def fit(x: Array, weights: Array) -> tuple[Array, Array, Array, Array | None]:
        features = math.prod(x.shape[1:])
        if components is not None and components > features:
            raise ValueError(f"whiten is to keep {components} components, but the examples have {features} features")
        share = weights / jnp.sum(weights)
        offset, scale = ends(x, weights)
        # Variances beyond float32 need another unit; those below it vanish beside epsilon in any case.
        unit = jnp.ones((), jnp.float32) if scale is None else jnp.maximum(jnp.max(scale), 1)
        mean = over_rows(lambda x, share: jnp.sum(share * x, axis=0, keepdims=True), x, share, offset=offset)

        def products(x: Array, share: Array) -> Array:
            rows = (jnp.sqrt(share) * ((x - mean) / unit)).reshape(x.shape[0], -1)
            return jnp.matmul(rows.T, rows, precision=lax.Precision.HIGHEST)

        covariance = over_rows(products, x, share, offset=offset)
        variances, vectors = jnp.linalg.eigh(covariance)
        # The largest variance first; a vector's sign is a matter of taste, and here the largest entry is positive.
        variances, vectors = variances[::-1][:components], vectors[:, ::-1][:, :components]
        largest = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), axis=0, keepdims=True), axis=0)
        # Rounding leaves a variance of 0 a little below it. In another unit epsilon may be less than that.
        least = jnp.where(unit > 1, 1e-14 * variances[0], 0)
        deviations = unit * jnp.sqrt(jnp.maximum(variances, least) + jnp.float32(epsilon) / unit / unit)[None]
        return mean, vectors * jnp.where(largest < 0, -1, 1).astype(jnp.float32), deviations, offset

    def turned(centred: Array, vectors: Array) -> Array:
        return jnp.matmul(centred.reshape(centred.shape[0], -1), vectors, precision=lax.Precision.HIGHEST)

    def back(vectors: Array, z: Array, shape: tuple[int, ...]) -> Array:
        return jnp.matmul(z, vectors.T, precision=lax.Precision.HIGHEST).reshape(-1, *shape)

    def apply(statistics: tuple[Array, Array, Array, Array | None], x: Array) -> Array:
        mean, vectors, deviations, offset = statistics
        check_rows(x, mean, "whiten")
        white = turned(shifted(x, offset) - mean, vectors) / deviations
        return white if kind == "pca" else back(vectors, white, x.shape[1:])

    def invert(statistics: tuple[Array, Array, Array, Array | None], x: Array) -> Array:
        mean, vectors, deviations, offset = statistics
        white = x if kind == "pca" else turned(x, vectors)
        return shifted_back(back(vectors, white * deviations, mean.shape[1:]) + mean, offset)

    return for_array("whiten", fit, apply, invert)
