r"""What a forward pass leaves behind, and the terms :math:`\sum_k \alpha_k \Omega_k` that look at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from jreg._base import checks
from jreg._base.brief import brief
from jreg._base.types import Array, Key, PyTree, Scalar

Schedule = Callable[[Array], Scalar]


class Forward(NamedTuple):
    """What one forward pass leaves for the terms of the objective to look at.

    Most terms look at one or two of these; outside a training give those that yours needs.

    Attributes:
      params: the network's parameters.
      outputs: its outputs on the batch, ``(batch, ...)``.
      weights: 1 for rows of the batch that are data, 0 for padding, ``(batch,)``.
      inputs: the batch, ``(batch, ...)``, as the network saw it.
      targets: what the loss compares the outputs with, ``(batch, ...)``.
      loss: the mean loss of the batch, without penalties.
      activations: hidden activations by path, each ``(batch, ...)``; only when some term asks for them.
      step: how many updates there have been before, int32.
      key: a random key of this step that nothing else uses.
      network: ``(params, x) -> outputs`` as at evaluation, without noise and with running averages.
      again: ``key -> outputs``, another pass in training with other noise.
      losses: ``(outputs, targets) -> one loss per example``.
    """

    params: PyTree
    outputs: Any
    weights: Any
    inputs: Any = None
    targets: Any = None
    loss: Any = None
    activations: dict[str, Array] | None = None
    step: Any = 0
    key: Key | None = None
    network: Callable[[PyTree, Array], Array] | None = None
    again: Callable[[Key], Array] | None = None
    losses: Callable[[Array, Array], Array] | None = None

    __repr__ = brief


class Term(NamedTuple):
    """One term alpha * Omega.

    Attributes:
      strength: alpha, a number or a schedule ``step -> number``.
      name: what the history calls it.
      function: Omega, a function of a `Forward`.
      needs: which of `Forward.activations` and `Forward.key` it looks at, which cost something to make.
    """

    strength: Scalar | Schedule
    name: str
    function: Callable[[Forward], Array]
    needs: frozenset[str] = frozenset()


class Penalty:
    """A sum of `Term`; build it with the lifts and the operators ``+`` and ``*``.

    A strength is a number, which may be traced, or an optax schedule, which is called with the number of updates
    made so far: ``optax.linear_schedule(0.0, 1e-3, 1000) * on_params(l1)``.
    """

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
        if isinstance(strength, Penalty):
            return NotImplemented
        if not callable(strength):
            if not (jnp.isscalar(strength) or jnp.ndim(strength) == 0):
                return NotImplemented
            for term in self.terms:
                checks.strength(strength, f"the strength of {term.name}")
        return Penalty(tuple(term._replace(strength=_product(strength, term.strength)) for term in self.terms))

    __rmul__ = __mul__

    @property
    def names(self) -> tuple[str, ...]:
        """The terms' names, each once."""
        return tuple(dict.fromkeys(term.name for term in self.terms))

    def needs(self, field: str) -> bool:
        """Whether some term looks at ``"activations"`` or ``"key"`` of a `Forward`."""
        return any(field in term.needs for term in self.terms)

    def values(self, forward: Forward) -> dict[str, Array]:
        """Each term's strength times its value, by name; terms of one name are added."""
        found: dict[str, Array] = {}
        for term in self.terms:
            strength = term.strength(forward.step) if callable(term.strength) else term.strength
            value = jnp.asarray(strength, jnp.float32) * term.function(forward).astype(jnp.float32)
            found[term.name] = found[term.name] + value if term.name in found else value
        return found

    def __call__(self, forward: Forward) -> Array:
        """The sum of all terms, a float32 scalar."""
        return sum(self.values(forward).values(), start=jnp.zeros((), jnp.float32))

    def __repr__(self) -> str:
        return " + ".join(f"{_shown(term.strength)} * {term.name}" for term in self.terms) or "no penalty"


def _product(a: Any, b: Any) -> Any:
    if not callable(a) and not callable(b):
        return a * b
    first, second = ((f if callable(f) else lambda step, f=f: f) for f in (a, b))

    def product(step: Array) -> Array:
        return jnp.asarray(first(step), jnp.float32) * jnp.asarray(second(step), jnp.float32)

    return product


def _shown(strength: Any) -> str:
    return "schedule" if callable(strength) else str(strength)
