"""Rows of `jreg.losses`."""

import jax.numpy as jnp

from contract import F32, LABELS, TARGETS, Case
from jreg import losses

SHARES = jnp.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.1, 0.1, 0.8], [1 / 3, 1 / 3, 1 / 3]])
CLASS_WEIGHTS = jnp.array([0.5, 1.0, 2.0])
SEVERAL = jnp.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
VECTORS = SHARES - 0.3

CASES = [
    Case(
        losses.softmax_cross_entropy,
        lambda x, s: losses.softmax_cross_entropy(x, LABELS, s),
        (5, 3),
        (5,),
        strengths=(0.0, 0.1, 0.5),
        identity=0.0,
        unchanged=lambda x: losses.softmax_cross_entropy(x, LABELS),
        rounded=True,
    ),
    Case(losses.sigmoid_cross_entropy, lambda x, s: losses.sigmoid_cross_entropy(x, LABELS % 2), (5, 1), (5,)),
    Case(losses.squared_error, lambda x, s: losses.squared_error(x, TARGETS), (5, 1), (5,)),
    Case(
        losses.softmax_cross_entropy,
        lambda x, s: losses.softmax_cross_entropy(x, SHARES, s, CLASS_WEIGHTS),
        (5, 3),
        (5,),
        strengths=(0.0, 0.1, 0.5),
        identity=0.0,
        unchanged=lambda x: losses.softmax_cross_entropy(x, SHARES, class_weights=CLASS_WEIGHTS),
        rounded=True,
    ),
    Case(losses.sigmoid_cross_entropy, lambda x, s: losses.sigmoid_cross_entropy(x, SEVERAL), (5, 3), (5, 3)),
    Case(losses.hinge, lambda x, s: losses.hinge(x, LABELS % 2), (5, 1), (5,)),
    Case(losses.squared_hinge, lambda x, s: losses.squared_hinge(x, LABELS % 2), (5, 1), (5,)),
    Case(losses.multiclass_hinge, lambda x, s: losses.multiclass_hinge(x, LABELS), (5, 3), (5,)),
    Case(
        losses.focal,
        lambda x, s: losses.focal(x, LABELS, s),
        (5, 3),
        (5,),
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
        unchanged=lambda x: losses.softmax_cross_entropy(x, LABELS),
        rounded=True,
    ),
    Case(
        losses.sigmoid_focal,
        lambda x, s: losses.sigmoid_focal(x, LABELS % 2, s),
        (5, 1),
        (5,),
        strengths=(0.0, 0.5, 2.0),
        identity=0.0,
        unchanged=lambda x: losses.sigmoid_cross_entropy(x, LABELS % 2),
        rounded=True,
    ),
    Case(losses.absolute_error, lambda x, s: losses.absolute_error(x, TARGETS), (5, 1), (5,)),
    Case(
        losses.huber,
        lambda x, s: losses.huber(x, TARGETS, s),
        (5, 1),
        (5,),
        strengths=(0.5, 1.0, 2.0),
        identity=1e3,
        unchanged=lambda x: losses.squared_error(x, TARGETS),
    ),
    Case(losses.cosine_proximity, lambda x, s: losses.cosine_proximity(x, VECTORS), (5, 3), (5,)),
    Case(losses.kl_divergence, lambda x, s: losses.kl_divergence(x, SHARES), (5, 3), (5,)),
    Case(losses.for_task, lambda x, s: losses.for_task("multilabel").loss(x, SEVERAL), (5, 3), (5, 3)),
]
CASES = [case._replace(out_dtype=F32) for case in CASES]
