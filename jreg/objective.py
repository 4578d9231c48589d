r"""The objective :math:`\tilde J(\theta) = J(\theta) + \sum_k \alpha_k \Omega_k(\theta)`.

`on_params` and `on_outputs` lift a leaf function to a `Penalty`; penalties add, and scale by numbers that may
be traced: ``hp["l2"] * on_params(l2) + hp["l1"] * on_params(l1)``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jreg import _check
from jreg._tree import kernels, selected
from jreg._types import Array, PyTree, Scalar, Where


class Forward(NamedTuple):
    """What one forward pass leaves for the terms of the objective to look at.

    Attributes:
      params: the network's parameters.
      outputs: its outputs on the batch, ``(batch, ...)``.
      weights: 1 for rows of the batch that are data, 0 for padding, ``(batch,)``.
    """

    params: PyTree
    outputs: Array
    weights: Array


class Term(NamedTuple):
    """One term alpha * Omega: its strength, its name and the function of a `Forward`."""

    strength: Scalar
    name: str
    function: Callable[[Forward], Array]


class Penalty:
    """A sum of `Term`; build it with `on_params` and the operators ``+`` and ``*``."""

    # Without this NumPy would spread `np.float64(2) * penalty` over an object array.
    __array_ufunc__ = None

    def __init__(self, terms: tuple[Term, ...] = ()):
        self.terms = terms

    def __add__(self, other: Any) -> Penalty:
        if isinstance(other, Penalty):
            return Penalty(self.terms + other.terms)
        # sum() starts from 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    __radd__ = __add__

    def __mul__(self, strength: Any) -> Penalty:
        if isinstance(strength, Penalty) or not (jnp.isscalar(strength) or jnp.ndim(strength) == 0):
            return NotImplemented
        for term in self.terms:
            _check.strength(strength, f"the strength of {term.name}")
        return Penalty(tuple(term._replace(strength=strength * term.strength) for term in self.terms))

    __rmul__ = __mul__

    def values(self, forward: Forward) -> dict[str, Array]:
        """Each term's strength times its value, by name; terms of one name are added."""
        found: dict[str, Array] = {}
        for term in self.terms:
            value = term.function(forward)
            value = jnp.asarray(term.strength, jnp.float32) * value.astype(jnp.float32)
            found[term.name] = found[term.name] + value if term.name in found else value
        return found

    def __call__(self, forward: Forward) -> Array:
        """The sum of all terms, a float32 scalar."""
        return sum(self.values(forward).values(), start=jnp.zeros((), jnp.float32))

    def __repr__(self) -> str:
        return " + ".join(f"{term.strength} * {term.name}" for term in self.terms) or "no penalty"


def on_params(penalty: Callable[[Array], Array], where: Where = kernels) -> Penalty:
    r"""Sums a penalty of one weight array over a network's weights.

    .. math:: \Omega(\theta) = \sum_{w \in \text{where}(\theta)} \text{penalty}(w)

    Args:
      penalty: ``w -> scalar``, such as `jreg.penalties.l2`.
      where: which parameters: a path pattern (``"*/kernel"``) or a function of (path, leaf). The default
        takes the weights of affine maps and leaves biases and normalization scales alone.

    Returns:
      A `Penalty` of strength 1.

    Raises:
      ValueError: `where` matches no parameter (when the objective is evaluated).

    >>> import jax.numpy as jnp
    >>> from jreg.penalties import l2
    >>> objective = 0.1 * on_params(l2)
    >>> params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    >>> round(float(objective(Forward(params, None, None))), 6)
    0.2

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.1.
    """

    def function(forward: Forward) -> Array:
        flags = selected(forward.params, where)
        chosen = [w for w, flag in zip(jax.tree.leaves(forward.params), flags, strict=True) if flag]
        return functools.reduce(jnp.add, [penalty(w).astype(jnp.float32) for w in chosen])

    return Penalty((Term(1.0, _name(penalty), function),))


def on_outputs(penalty: Callable[[Array], Array]) -> Penalty:
    r"""Averages a penalty of one example's outputs over the batch.

    .. math:: \Omega = \frac{\sum_i m_i\, \text{penalty}(\hat y_i)}{\sum_i m_i}

    Args:
      penalty: ``outputs of one example -> scalar``.

    Returns:
      A `Penalty` of strength 1; rows that are padding don't count.

    >>> import jax.numpy as jnp
    >>> from jreg.penalties import l2
    >>> float(on_outputs(l2)(Forward({}, jnp.ones((3, 2)), jnp.array([1.0, 1.0, 0.0]))))
    1.0

    Source: Pereyra et al., Regularizing neural networks by penalizing confident output distributions (2017).
    """

    def function(forward: Forward) -> Array:
        values = jax.vmap(penalty)(forward.outputs).astype(jnp.float32)
        return jnp.sum(forward.weights * values) / jnp.maximum(jnp.sum(forward.weights), 1)

    return Penalty((Term(1.0, _name(penalty), function),))


def _name(function: Callable[..., Any]) -> str:
    inner = function.func if isinstance(function, functools.partial) else function
    return getattr(inner, "__name__", type(inner).__name__)
