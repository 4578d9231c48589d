"""Rows of `jreg.transforms`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from contract import NETWORK, Case, transformed
from jreg import projections, prox, transforms


def evaluated(transform, x):
    params = jax.tree.map(lambda u: u * 2 + 1, x)
    return transforms.evaluation_params(transform.update(x, transform.init(params), params)[1], params)


def after(x):
    return jax.tree.map(lambda u: (u * 2 + 1) + u, x)


def with_sam(rho, adaptive, x):
    params = jax.tree.map(lambda u: u * 2 + 1, x)
    optimizer = transforms.sam(optax.identity(), rho, adaptive)
    # The gradient of half the squared norm; x is that of the present batch.
    return optimizer.update(x, optimizer.init(params), params, grad_fn=lambda params, index: params)[0]


CASES = [
    Case(
        transforms.project,
        lambda x, s: transformed(transforms.project(functools.partial(projections.max_norm, c=s)), x),
        NETWORK,
        "same",
        strengths=(0.5, 1.5, np.inf),
    ),
    Case(
        transforms.proximal,
        lambda x, s: transformed(transforms.proximal(prox.l1, s, 0.5), x),
        NETWORK,
        "same",
        strengths=(0.0, 0.5, 2.0),
    ),
    Case(
        transforms.decoupled_weight_decay,
        lambda x, s: transformed(transforms.decoupled_weight_decay(s), x),
        NETWORK,
        "same",
        strengths=(0.0, 0.1, 1.0),
        identity=0.0,
    ),
    Case(
        transforms.adamw_weight_decay,
        lambda x, s: transformed(transforms.adamw_weight_decay(s, 0.5), x),
        NETWORK,
        "same",
        strengths=(0.0, 0.1, 1.0),
        identity=0.0,
    ),
    Case(
        transforms.decoupled_l1,
        lambda x, s: transformed(transforms.decoupled_l1(s), x),
        NETWORK,
        "same",
        strengths=(0.0, 0.1, 1.0),
        identity=0.0,
    ),
    Case(
        transforms.decay_towards,
        lambda x, s: transformed(transforms.decay_towards(s, jax.tree.map(jnp.ones_like, x)), x),
        NETWORK,
        "same",
        strengths=(0.0, 0.1, 1.0),
        identity=0.0,
    ),
    Case(
        transforms.spectral_penalty,
        lambda x, s: transformed(transforms.spectral_penalty(s), x),
        NETWORK,
        "same",
        strengths=(0.0, 0.1, 1.0),
        identity=0.0,
    ),
    *(
        Case(
            transforms.sam,
            functools.partial(lambda adaptive, x, s: with_sam(s, adaptive, x), adaptive),
            NETWORK,
            "same",
            strengths=(0.0, 0.1, 1.0),
            identity=0.0,
            unchanged=lambda x: jax.tree.map(lambda u: u * 2 + 1, x),
        )
        for adaptive in (False, True)
    ),
    Case(
        transforms.ema_params,
        lambda x, s: evaluated(transforms.ema_params(s), x),
        NETWORK,
        "same",
        strengths=(0.0, 0.5, 1.0),
        identity=0.0,
        unchanged=after,
    ),
    Case(
        transforms.swa_params,
        lambda x, s: evaluated(transforms.swa_params(s), x),
        NETWORK,
        "same",
        strengths=(0.0, 1.0, 5.0),
        identity=0.0,
        unchanged=after,
    ),
    Case(
        transforms.evaluation_params,
        lambda x, s: evaluated(transforms.ema_params(s, debias=False), x),
        NETWORK,
        "same",
        strengths=(0.0, 0.5, 1.0),
        identity=0.0,
        unchanged=after,
    ),
]

# One of each, for what is kept by all.
MADE = {
    transforms.project: transforms.project(projections.max_norm, c=0.5),
    transforms.proximal: transforms.proximal(prox.l1, 0.5, 0.5),
    transforms.decoupled_weight_decay: transforms.decoupled_weight_decay(0.1),
    transforms.adamw_weight_decay: transforms.adamw_weight_decay(0.1, 0.5),
    transforms.decoupled_l1: transforms.decoupled_l1(0.1),
    transforms.decay_towards: transforms.decay_towards(0.1),
    transforms.spectral_penalty: transforms.spectral_penalty(0.1),
    transforms.sam: transforms.sam(optax.sgd(0.1), 0.05),
    transforms.ema_params: transforms.ema_params(0.9),
    transforms.swa_params: transforms.swa_params(1),
}
