"""Penalties of activations and outputs.

Those with a parameter `weights` look at a whole batch: weights are 1 for data and 0 for padding, and rows of weight 0
don't count, whatever is in them. Activity regularization is `jreg.penalties.l1` or `l2` through
`jreg.on_activations`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.arrays import in_range, product
from jreg._base.types import Array, Scalar
from jreg.penalties._arrays import classes, rows


def kl_sparsity(h: Array, weights: Array, rho: Scalar) -> Array:
    r"""Divergence of the units' mean activations from a target, so that each is rarely active: sparse autoencoders.

    .. math:: \Omega(h) = \sum_j \rho \log \frac{\rho}{\hat\rho_j} + (1 - \rho) \log \frac{1 - \rho}{1 - \hat\rho_j},
       \qquad \hat\rho_j = \frac{\sum_i m_i h_{ij}}{\sum_i m_i}

    It is for units with values in [0, 1], such as sigmoids. So that the value is finite, a mean is clipped to
    [e, 1 - e] with e = 1.2e-7, the epsilon of float32; a clipped unit has gradient 0.

    Args:
      h: activations of one batch, ``(batch, ...)``, of floating dtype; each element of an example is a unit.
      weights: 1 for data and 0 for padding, ``(batch,)``.
      rho: the mean activation wanted, in (0, 1), often 0.05; may be traced.

    Returns:
      A scalar of h's dtype, float32 at least.

    Raises:
      TypeError: `h` is no array of floating dtype.
      ValueError: a known `rho` lies outside (0, 1), or the batch is empty or has other weights.

    >>> import jax.numpy as jnp
    >>> h = jnp.array([[0.0, 0.75], [0.5, 0.25]])
    >>> round(float(kl_sparsity(h, jnp.ones(2), rho=0.5)), 4)  # means 1/4 and 1/2: log(2) - log(3) / 2
    0.1438

    Source: Ng, Sparse autoencoder, CS294A lecture notes (2011), section 3.
    """
    target = checks.concrete(rho)
    if target is not None and not 0 < target < 1:
        raise ValueError(f"kl_sparsity's rho is {target:g}, but must lie between 0 and 1, both left out")
    values, shares = rows(h, weights, "kl_sparsity's h")
    rare = jnp.finfo(values.dtype).eps
    means = jnp.clip(product(shares, values), rare, 1 - rare)
    rho = jnp.asarray(rho, values.dtype)
    off = (1 - rho) * (jnp.log1p(-rho) - jnp.log1p(-means))
    return jnp.sum(rho * (jnp.log(rho) - jnp.log(means)) + off)


def _centered(h: Array, weights: Array, name: str) -> tuple[Array, Array]:
    values, shares = rows(h, weights, name)
    return values - product(shares, values)[None, :], shares


def variance(h: Array, weights: Array) -> Array:
    r"""Sum of the units' variances over the batch: the mean squared distance to the batch's center.

    .. math:: \Omega(h) = \sum_j C_{jj} = \frac{\sum_i m_i \lVert h_i - \mu \rVert^2}{\sum_i m_i},
       \qquad \mu = \frac{\sum_i m_i h_i}{\sum_i m_i}

    Args:
      h: activations of one batch, ``(batch, ...)``, of floating dtype; each element of an example is a unit.
      weights: 1 for data and 0 for padding, ``(batch,)``.

    Returns:
      A scalar of h's dtype, float32 at least.

    Raises:
      TypeError: `h` is no array of floating dtype.
      ValueError: the batch is empty or has other weights.

    >>> import jax.numpy as jnp
    >>> float(variance(jnp.array([[1.0, 0.0], [3.0, 0.0]]), jnp.ones(2)))
    1.0

    Source: the diagonal of C in Cogswell et al., Reducing overfitting in deep networks by decorrelating
    representations (ICLR 2016); with a center for each class and half the sum, Wen et al., A discriminative feature
    learning approach for deep face recognition (ECCV 2016).
    """
    centered, shares = _centered(h, weights, "variance's h")
    return jnp.sum(shares[:, None] * jnp.square(centered))


def decov(h: Array, weights: Array) -> Array:
    r"""Half the squared covariances of different units over the batch: decorrelation, known as DeCov.

    .. math:: \Omega(h) = \tfrac12 \left( \lVert C \rVert_F^2 - \lVert \operatorname{diag} C \rVert^2 \right), \qquad
       C_{jk} = \frac{\sum_i m_i (h_{ij} - \mu_j)(h_{ik} - \mu_k)}{\sum_i m_i}

    Args:
      h: activations of one batch, ``(batch, ...)``, of floating dtype; each element of an example is a unit, and
        memory grows with their number squared: average a convolution's maps over positions first.
      weights: 1 for data and 0 for padding, ``(batch,)``.

    Returns:
      A scalar of h's dtype, float32 at least.

    Raises:
      TypeError: `h` is no array of floating dtype.
      ValueError: the batch is empty or has other weights.

    >>> import jax.numpy as jnp
    >>> float(decov(jnp.array([[1.0, 2.0], [3.0, 6.0]]), jnp.ones(2)))  # the covariance is 2
    4.0

    Source: Cogswell et al., Reducing overfitting in deep networks by decorrelating representations (ICLR 2016).
    """
    centered, shares = _centered(h, weights, "decov's h")
    covariance = product((shares[:, None] * centered).T, centered)
    # The diagonal is left out rather than subtracted, which would cancel.
    others = jnp.where(jnp.eye(covariance.shape[0], dtype=bool), 0, covariance)
    return jnp.sum(jnp.square(others)) / 2


def laplacian(h: Array, weights: Array, inputs: Array, bandwidth: Scalar) -> Array:
    r"""Squared differences between the activations of similar inputs: manifold regularization.

    .. math:: \Omega(h) = \frac{1}{2 n^2} \sum_{ij} W_{ij} \lVert h_i - h_j \rVert^2
       = \frac{\operatorname{tr}(h^\top L h)}{n^2},
       \qquad W_{ij} = m_i m_j \exp\left(- \frac{\lVert x_i - x_j \rVert^2}{2 s^2}\right), \quad n = \sum_i m_i

    The graph joins all rows of the batch, with L its Laplacian; the paper's t is half the squared bandwidth s.

    Args:
      h: activations or outputs of one batch, ``(batch, ...)``, of floating dtype.
      weights: 1 for data and 0 for padding, ``(batch,)``.
      inputs: what the network was given, ``(batch, ...)``, of floating dtype.
      bandwidth: s, the distance over which inputs are similar, above 0; may be traced.

    Returns:
      A scalar of h's dtype, float32 at least.

    Raises:
      TypeError: `h` or `inputs` is no array of floating dtype.
      ValueError: a known `bandwidth` is not above 0, or the batch is empty or has other inputs or weights.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[0.0], [0.0], [9.0]])  # the third input is far from the others
    >>> round(float(9 * laplacian(jnp.array([[1.0], [3.0], [8.0]]), jnp.ones(3), x, bandwidth=0.5)), 4)  # (3 - 1)^2
    4.0

    Source: Belkin, Niyogi and Sindhwani, Manifold regularization: a geometric framework for learning from labeled
    and unlabeled examples, JMLR 7 (2006).
    """
    checks.positive(bandwidth, "laplacian's bandwidth")
    outputs, shares = _centered(h, weights, "laplacian's h")
    points, _ = _centered(inputs, weights, "laplacian's inputs")
    points = points.astype(outputs.dtype) / in_range(bandwidth, outputs.dtype)
    lengths = jnp.sum(jnp.square(points), axis=1)
    distances = lengths[:, None] + lengths[None, :] - 2 * product(points, points.T)
    edges = shares[:, None] * shares[None, :] * jnp.exp(-jnp.maximum(distances, 0) / 2)
    degrees = jnp.sum(edges, axis=1)
    own = jnp.sum(degrees * jnp.sum(jnp.square(outputs), axis=1))
    return own - jnp.sum(edges * product(outputs, outputs.T))


def confidence(logits: Array) -> Array:
    r"""Negative entropy of one example's predicted classes, which penalizes being sure.

    .. math:: \Omega(z) = \sum_k p_k \log p_k = \operatorname{KL}(p \,\Vert\, u) - \log K, \qquad
       p = \operatorname{softmax}(z)

    Label smoothing penalizes the other divergence from the uniform u: with rate e its loss is (1 - e) times the
    cross-entropy plus :math:`e\,(\operatorname{KL}(u \,\Vert\, p) + \log K)`.

    Args:
      logits: outputs of one example before softmax, ``(..., classes)``, of floating dtype; sums over the other
        axes.

    Returns:
      A scalar of the logits' dtype, float32 at least, between minus log(classes) and 0.

    Raises:
      TypeError: `logits` is no array of floating dtype.
      ValueError: the last axis has fewer than two classes.

    >>> import jax.numpy as jnp
    >>> round(float(confidence(jnp.zeros(4))), 4)  # minus log 4
    -1.3863

    Source: Pereyra et al., Regularizing neural networks by penalizing confident output distributions (2017).
    """
    logp = jax.nn.log_softmax(classes(logits, "confidence"))
    # A class that is ruled out by an infinite logit has probability 0, and 0 times its logarithm counts as 0.
    return jnp.sum(jnp.exp(logp) * jnp.where(jnp.isneginf(logp), 0, logp))


def r_drop(first: Array, second: Array) -> Array:
    r"""Mean of both Kullback-Leibler divergences between two stochastic passes over one example.

    .. math:: \Omega(z^1, z^2) = \tfrac12 \left( \operatorname{KL}(p^1 \,\Vert\, p^2) + \operatorname{KL}(p^2
       \,\Vert\, p^1) \right), \qquad p^i = \operatorname{softmax}(z^i)

    Args:
      first: outputs of one pass before softmax, ``(..., classes)``, of floating dtype; sums over the other axes.
      second: those of the other pass, of the same shape and dtype.

    Returns:
      A scalar of first's dtype, float32 at least.

    Raises:
      TypeError: one of them is no array of floating dtype.
      ValueError: the shapes differ, or the last axis has fewer than two classes.

    >>> import jax.numpy as jnp
    >>> round(float(r_drop(jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([0.75, 0.25])))), 4)  # log(3) / 8
    0.1373

    Source: Liang et al., R-Drop: regularized dropout for neural networks (NeurIPS 2021).
    """
    if jnp.shape(first) != jnp.shape(second):
        raise ValueError(f"r_drop got outputs of shapes {jnp.shape(first)} and {jnp.shape(second)}, which must agree")
    one, other = (jax.nn.log_softmax(classes(logits, "r_drop")) for logits in (first, second))
    never = jnp.isneginf(one) & jnp.isneginf(other)
    ratio = jnp.where(never, 0, one) - jnp.where(never, 0, other)
    return jnp.sum((jnp.exp(one) - jnp.exp(other)) * ratio) / 2
