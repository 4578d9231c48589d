"""What a network's outputs mean under a loss: the link from outputs to probabilities or values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jreg.losses.classification import (
    focal,
    hinge,
    multiclass_hinge,
    sigmoid_cross_entropy,
    sigmoid_focal,
    softmax_cross_entropy,
    squared_hinge,
)
from jreg.losses.regression import absolute_error, cosine_proximity, huber, kl_divergence, squared_error

_LINKS: dict[Any, str] = {
    **dict.fromkeys((softmax_cross_entropy, focal, kl_divergence), "softmax"),
    **dict.fromkeys((sigmoid_cross_entropy, sigmoid_focal), "sigmoid"),
    **dict.fromkeys((squared_error, absolute_error, huber, cosine_proximity), "identity"),
    **dict.fromkeys((hinge, squared_hinge, multiclass_hinge), "identity"),
}


def link_of(loss: Callable[..., Any]) -> str | None:
    """``"softmax"``, ``"sigmoid"`` or ``"identity"``: how a loss reads outputs; None where it doesn't say.

    A loss of your own states its link as an attribute: ``my_loss.link = "softmax"``. A `functools.partial` has the link
    of its function.

    >>> import functools
    >>> link_of(softmax_cross_entropy), link_of(functools.partial(huber, delta=1.0)), link_of(lambda o, t: o - t)
    ('softmax', 'identity', None)
    """
    while isinstance(loss, functools.partial):
        loss = loss.func
    stated = getattr(loss, "link", None)
    if stated is not None and stated not in ("softmax", "sigmoid", "identity"):
        raise ValueError(f"the loss states the link {stated!r}, but must state 'softmax', 'sigmoid' or 'identity'")
    try:
        return stated or _LINKS.get(loss)
    except TypeError:  # a callable that can't be hashed
        return None
