"""The network of a task as a Flax Linen module, for the flax loop and for jreg's convolutional study."""

import jax
from flax import linen

from peers.patches import max_pool, patches_of


class Network(linen.Module):
    """Convolutions with ReLU and 2x2 max pooling, then dense layers with ReLU and dropout, then one without."""

    convolutions: tuple[int, ...]
    hidden: tuple[int, ...]
    outputs: int
    dropout: float = 0.0

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """The logits."""
        he = linen.initializers.he_uniform()
        for channels in self.convolutions:
            x = max_pool(linen.relu(linen.Dense(channels, kernel_init=he)(patches_of(x))))
        x = x.reshape(len(x), -1)
        for units in self.hidden:
            x = linen.relu(linen.Dense(units, kernel_init=he)(x))
            if self.dropout:
                x = linen.Dropout(self.dropout, deterministic=not train)(x)
        return linen.Dense(self.outputs, kernel_init=he)(x)
