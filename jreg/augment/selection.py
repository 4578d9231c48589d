"""Putting augmentations together: one after another, sometimes, some of a list, and on rows that are flat."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp

from jreg._base import checks
from jreg._base.types import Array, Key, Scalar

Augmentation: TypeAlias = Callable[[Key, Array], Array]


def compose(*augmentations: Augmentation) -> Augmentation:
    r"""One augmentation after another, each with a key of its own.

    .. math:: y = (f_n \circ \dots \circ f_1)(x)

    Args:
      *augmentations: functions ``(key, x) -> x``, the first one applied first; none leave x as it is.

    Returns:
      A function ``(key, x) -> x``.

    >>> from functools import partial
    >>> import jax, jax.numpy as jnp
    >>> from jreg import augment
    >>> f = compose(partial(augment.shift, pixels=2.0), partial(augment.cutout, size=4))
    >>> f(jax.random.key(0), jnp.ones((8, 8))).shape
    (8, 8)

    Source: torchvision's ``Compose``.
    """

    def composed(key: Key, x: Array) -> Array:
        for one, augmentation in zip(jax.random.split(key, max(len(augmentations), 1)), augmentations, strict=False):
            x = augmentation(one, x)
        return x

    return composed


def with_probability(augmentation: Augmentation, p: Scalar) -> Augmentation:
    r"""Applies an augmentation with probability `p`, and otherwise leaves the image as it is.

    .. math:: y = \begin{cases} f(x) & \text{with probability } p \\ x & \text{otherwise} \end{cases}

    Args:
      augmentation: a function ``(key, x) -> x`` that keeps shape and dtype. It is computed in any case.
      p: in [0, 1]; may be traced; at 0 the result is x.

    Returns:
      A function ``(key, x) -> x``.

    Raises:
      ValueError: a known `p` lies outside [0, 1].

    >>> from functools import partial
    >>> import jax, jax.numpy as jnp
    >>> from jreg import augment
    >>> sometimes = with_probability(partial(augment.random_erasing, area=0.4), p=0.5)
    >>> sometimes(jax.random.key(0), jnp.ones((8, 8))).shape
    (8, 8)

    Source: torchvision's ``RandomApply``.
    """
    checks.share(p, "augment.with_probability's p")

    def sometimes(key: Key, x: Array) -> Array:
        decide, apply = jax.random.split(key)
        return jnp.where(jax.random.bernoulli(decide, jnp.asarray(p, jnp.float32)), augmentation(apply, x), x)

    return sometimes


def rand_augment(
    key: Key, x: Array, choices: Sequence[Callable[[Key, Array, Array], Array]], n: int, magnitude: Scalar
) -> Array:
    r"""Applies `n` augmentations drawn from a list, all with the same magnitude: RandAugment.

    .. math:: y = (f_{k_n} \circ \dots \circ f_{k_1})(x; m), \qquad k_i \sim \operatorname{Uniform}\{1, \dots, K\}

    Under `jax.vmap`, and so in training, all choices are computed for every image and one is kept, `n` times: a list
    costs as much as all its entries together.

    Args:
      key: a JAX random key.
      x: one image, ``(height, width)`` or ``(height, width, channels)``, floating, in the range that the choices need.
      choices: functions ``(key, x, magnitude) -> x`` that keep shape and dtype, such as `rotate`; a lambda gives one a
        scale of its own, ``lambda key, x, m: augment.rotate(key, x, 30 * m)``.
      n: how many, at least 0, with repetition; not traced.
      magnitude: m, at least 0, handed to each choice; may be traced.

    Returns:
      An array of x's shape and dtype.

    Raises:
      ValueError: there are no choices, `n` is negative, or a known `magnitude` is negative or not finite.
      TypeError: `n` is no whole number.

    >>> import jax, jax.numpy as jnp
    >>> from jreg import augment
    >>> choices = [augment.shift, lambda key, x, m: augment.rotate(key, x, 10 * m)]
    >>> rand_augment(jax.random.key(0), jnp.ones((8, 8)), choices, n=2, magnitude=1.5).shape
    (8, 8)

    Source: Cubuk, Zoph, Shlens and Le, RandAugment: practical automated data augmentation with a reduced search space
    (2020).
    """
    checks.count(n, "augment.rand_augment's n", least=0)
    checks.strength(magnitude, "augment.rand_augment's magnitude")
    if not choices:
        raise ValueError("augment.rand_augment got no choices, but needs a list of functions (key, x, magnitude) -> x")
    amount = jnp.asarray(magnitude, jnp.float32)
    for turn in jax.random.split(key, n) if n else ():
        choose, apply = jax.random.split(turn)
        x = jax.lax.switch(jax.random.randint(choose, (), 0, len(choices)), list(choices), apply, x, amount)
    return x


def as_image(augmentation: Augmentation, shape: Sequence[int]) -> Augmentation:
    r"""Applies an augmentation of images to flat rows, such as scikit-learn's digits with their 64 features.

    .. math:: y = \operatorname{flat}\bigl(f(\operatorname{image}(x))\bigr)

    Args:
      augmentation: a function ``(key, x) -> x`` of one image.
      shape: of the image, ``(height, width)`` or ``(height, width, channels)``, in the rows' order.

    Returns:
      A function ``(key, x) -> x`` of one row ``(features,)``, which raises ValueError where the row has another size.

    >>> from functools import partial
    >>> import jax, jax.numpy as jnp
    >>> from jreg import augment
    >>> f = as_image(partial(augment.shift, pixels=1.0), (8, 8))
    >>> f(jax.random.key(0), jnp.ones(64)).shape
    (64,)

    Source: NumPy's ``reshape``.
    """
    target = tuple(checks.count(size, "augment.as_image's shape") for size in shape)

    def of_row(key: Key, x: Array) -> Array:
        if x.size != math.prod(target):
            raise ValueError(
                f"augment.as_image got an array of shape {x.shape}, which makes no image of shape {target}"
            )
        return augmentation(key, x.reshape(target)).reshape(x.shape)

    return of_row
