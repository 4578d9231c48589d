"""What all layers of noise share."""

from __future__ import annotations

from flax import linen

from jreg._base import checks
from jreg._base.types import Array, Key


class Noise(linen.Module):
    """Noise in training, from the random stream ``"dropout"``; the input as it is at evaluation.

    A layer has a field for its strength, which may be traced, and says in `noise` what it does.
    """

    # The field's name: a rate below 1, or a strength under another name.
    strength = "rate"

    def __post_init__(self) -> None:
        check = checks.rate if self.strength == "rate" else checks.strength
        check(getattr(self, self.strength), f"{type(self).__name__}'s {self.strength}")
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Applies the noise to `x` in training, and the rule of evaluation otherwise."""
        # A strength written down as 0 costs nothing; a traced one is 0 only at run time.
        if checks.concrete(getattr(self, self.strength)) == 0:
            return x
        return self.noise(self.make_rng("dropout"), x) if train else self.evaluation(x)

    def noise(self, key: Key, x: Array) -> Array:
        """The input with noise."""
        # Every layer has its own; this class is private and no layer by itself.
        raise NotImplementedError

    def evaluation(self, x: Array) -> Array:
        """What replaces the noise at evaluation."""
        return x
