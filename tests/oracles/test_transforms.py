"""Decay and averages of parameters against PyTorch's."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from jreg.transforms import adamw_weight_decay, ema_params, evaluation_params, swa_params

START = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
GRADIENTS = np.random.default_rng(1).normal(size=(12, 5, 3)).astype(np.float32)


def ours(chain):
    """The parameters after each step, and what evaluation takes."""
    params, state, found = jnp.asarray(START), chain.init(jnp.asarray(START)), []
    update = jax.jit(chain.update)
    for gradient in GRADIENTS:
        updates, state = update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        found.append((np.asarray(params), np.asarray(evaluation_params(state, params))))
    return found


def torchs(optimizer, averaged=None, takes=lambda step: True):
    """PyTorch's side: a module with one parameter, `optimizer` makes its optimizer, `averaged` its average."""
    module = torch.nn.Linear(1, 1, bias=False)
    module.weight = torch.nn.Parameter(torch.tensor(START))
    stepping = optimizer([module.weight])
    average = averaged(module) if averaged else None
    found = []
    for step, gradient in enumerate(GRADIENTS, start=1):
        module.weight.grad = torch.tensor(gradient)
        stepping.step()
        if average is not None and takes(step):
            average.update_parameters(module)
        kept = module if average is None or int(average.n_averaged) == 0 else average.module
        found.append((module.weight.detach().numpy().copy(), copy.deepcopy(kept).weight.detach().numpy()))
    return found


@pytest.mark.adam
@pytest.mark.parametrize("decay", [0.0, 0.1, 2.0])
def test_the_adamw_convention_after_adam_is_torchs_adamw(decay):
    theirs = torchs(lambda ps: torch.optim.AdamW(ps, lr=0.05, weight_decay=decay))
    chain = optax.chain(optax.adam(0.05), adamw_weight_decay(decay, 0.05))
    # optax takes 1 - 0.999^t in float32, of which three digits cancel at first: a step t of 0.05 is off by up to
    # 0.05 * 3e-5 / t, and twelve of them by 5e-6.
    for (a, _), (b, _) in zip(ours(chain), theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_uncorrected_average_is_torchs_averaged_model_with_ema(decay):
    average = torch.optim.swa_utils.get_ema_multi_avg_fn(decay)
    theirs = torchs(
        lambda ps: torch.optim.SGD(ps, lr=0.1),
        lambda module: torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=average),
    )
    chain = optax.chain(optax.sgd(0.1), ema_params(decay, debias=False))
    for (a, mean_a), (b, mean_b) in zip(ours(chain), theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mean_a, mean_b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("start", "every"), [(1, 1), (4, 1), (3, 4)])
def test_swa_is_torchs_averaged_model(start, every):
    theirs = torchs(
        lambda ps: torch.optim.SGD(ps, lr=0.1),
        torch.optim.swa_utils.AveragedModel,
        lambda step: step >= start and (step - start) % every == 0,
    )
    for (a, mean_a), (b, mean_b) in zip(
        ours(optax.chain(optax.sgd(0.1), swa_params(start, every))), theirs, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mean_a, mean_b, rtol=1e-5, atol=1e-6)
