"""Normalization, initial weights and activations beside PyTorch's and Keras'."""

import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch
from flax import linen
from torch.nn.utils import parametrizations

from jreg import activations, initializers, nn

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = RNG.normal(1.0, 2.0, size=(12, 8)).astype(np.float32)
IMAGES = RNG.normal(size=(4, 6, 5, 8)).astype(np.float32)
SCALE, BIAS = (RNG.normal(size=8).astype(np.float32) for _ in range(2))


def first(images):
    return torch.tensor(images).permute(0, 3, 1, 2)


def close(ours, theirs, **options):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), **{"rtol": 1e-4, "atol": 1e-4, **options})


def affine(layer):
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(SCALE))
        if getattr(layer, "bias", None) is not None:
            layer.bias.copy_(torch.tensor(BIAS))
    return layer


PARAMS = {"scale": jnp.asarray(SCALE), "bias": jnp.asarray(BIAS)}


def test_batch_norm_and_what_comes_down_to_it():
    theirs = affine(torch.nn.BatchNorm1d(8, momentum=0.1))
    expected = theirs(torch.tensor(X))
    for layer, prefix, more in (
        (linen.BatchNorm(use_running_average=False, momentum=0.9), "", {}),
        (nn.GhostBatchNorm(size=12, momentum=0.9), "ghost_", {"train": True}),
    ):
        stats = {f"{prefix}mean": jnp.zeros(8), f"{prefix}var": jnp.ones(8)}
        y, moved = layer.apply({"params": PARAMS, "batch_stats": stats}, X, mutable=["batch_stats"], **more)
        close(y, expected)
        close(moved["batch_stats"][f"{prefix}mean"], theirs.running_mean)
        # PyTorch keeps the variance with n - 1 in its denominator, Flax (and jreg) with n.
        close((moved["batch_stats"][f"{prefix}var"] - 0.9) * 12 / 11, theirs.running_var - 0.9)
    renorm = nn.BatchRenorm(r_max=1.0, d_max=0.0, epsilon=1e-5)
    variables = {"params": PARAMS, "batch_stats": renorm.init(KEY, X)["batch_stats"]}
    close(renorm.apply(variables, X, train=True, mutable=["batch_stats"])[0], expected)


def test_ghost_batches_are_pytorchs_batch_norm_of_chunks():
    theirs = affine(torch.nn.BatchNorm1d(8, momentum=0.1))
    expected = torch.cat([theirs(part) for part in torch.tensor(X).split(4)])
    layer = nn.GhostBatchNorm(size=4, momentum=0.9)
    variables = {"params": PARAMS, "batch_stats": {"ghost_mean": jnp.zeros(8), "ghost_var": jnp.ones(8)}}
    y, moved = layer.apply(variables, X, train=True, mutable=["batch_stats"])
    close(y, expected)
    close(moved["batch_stats"]["ghost_mean"], theirs.running_mean)


@pytest.mark.parametrize(("r_max", "d_max"), [(3.0, 5.0), (1.1, 0.2)])
def test_batch_renormalization_is_keras(r_max, d_max):
    limits = {"rmax": r_max, "rmin": 1 / r_max, "dmax": d_max}
    theirs = keras.layers.BatchNormalization(renorm=True, renorm_clipping=limits)
    theirs.build(X.shape)
    for variable, value in ((theirs.gamma, SCALE), (theirs.beta, BIAS)):
        variable.assign(value)
    mean, deviation = 0.3 * BIAS, 1.0 + 0.1 * np.abs(SCALE)
    for variable, value in ((theirs.renorm_mean, mean), (theirs.renorm_stddev, deviation)):
        variable.assign(value)
    stats = {"mean": jnp.asarray(mean), "deviation": jnp.asarray(deviation), "count": jnp.int32(0)}
    layer = nn.BatchRenorm(r_max, d_max)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected = np.asarray(theirs(X, training=True))
    y, _ = layer.apply({"params": PARAMS, "batch_stats": stats}, X, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (linen.GroupNorm(num_groups=4), torch.nn.GroupNorm(4, 8)),
        (linen.InstanceNorm(), torch.nn.InstanceNorm2d(8, affine=True)),
    ],
    ids=["group", "instance"],
)
def test_norms_of_images(ours, theirs):
    # Flax's GroupNorm adds 1e-6 where PyTorch adds 1e-5.
    ours = ours.clone(epsilon=1e-5)
    expected = affine(theirs)(first(IMAGES)).permute(0, 2, 3, 1)
    close(ours.apply({"params": PARAMS}, IMAGES), expected)


def test_norms_of_rows():
    close(linen.LayerNorm(epsilon=1e-5).apply({"params": PARAMS}, X), affine(torch.nn.LayerNorm(8))(torch.tensor(X)))
    rms = affine(torch.nn.RMSNorm(8, eps=1e-6))
    close(linen.RMSNorm(epsilon=1e-6).apply({"params": {"scale": PARAMS["scale"]}}, X), rms(torch.tensor(X)))


def test_weight_norm():
    theirs = parametrizations.weight_norm(torch.nn.Linear(8, 3))
    with torch.no_grad():
        theirs.parametrizations.weight.original0.mul_(1.7)
    length, direction = (getattr(theirs.parametrizations.weight, f"original{n}").detach().numpy() for n in (0, 1))
    params = {
        "layer_instance": {"kernel": jnp.asarray(direction.T), "bias": jnp.asarray(theirs.bias.detach().numpy())},
        "layer_instance/kernel/scale": jnp.asarray(length[:, 0]),
    }
    close(linen.WeightNorm(linen.Dense(3)).apply({"params": params}, X), theirs(torch.tensor(X)))


def test_spectral_norm():
    theirs = parametrizations.spectral_norm(torch.nn.Linear(8, 3, bias=False), n_power_iterations=50)
    kernel = theirs.parametrizations.weight.original.detach().numpy().T
    layer = linen.SpectralNorm(linen.Dense(3, use_bias=False), n_steps=50)
    variables = layer.init(KEY, X, update_stats=False)
    variables = {**variables, "params": {"layer_instance": {"kernel": jnp.asarray(kernel)}}}
    y, _ = layer.apply(variables, X, update_stats=True, mutable=["batch_stats"])
    close(y, theirs(torch.tensor(X)))


def test_convolution_and_its_gradients():
    theirs = torch.nn.Conv2d(8, 4, 3, stride=2, padding=1)
    kernel = jnp.asarray(theirs.weight.detach().numpy().transpose(2, 3, 1, 0))
    params = {"kernel": kernel, "bias": jnp.asarray(theirs.bias.detach().numpy())}
    layer = nn.Conv(4, (3, 3), strides=2, padding=((1, 1), (1, 1)))
    y = theirs(first(IMAGES))
    close(layer.apply({"params": params}, IMAGES), y.permute(0, 2, 3, 1))
    y.square().sum().backward()
    gradient = jax.grad(lambda p: jnp.sum(jnp.square(layer.apply({"params": p}, IMAGES))))(params)
    close(gradient["kernel"], theirs.weight.grad.permute(2, 3, 1, 0), atol=1e-2)


def test_cosines():
    w = RNG.normal(size=(8, 3)).astype(np.float32)
    expected = torch.nn.functional.cosine_similarity(torch.tensor(X)[:, :, None], torch.tensor(w)[None], dim=1)
    close(nn.CosineDense(3).apply({"params": {"kernel": jnp.asarray(w)}}, X), expected)


@pytest.mark.parametrize("slope", [SCALE, SCALE[:1]], ids=["channels", "one"])
def test_prelu(slope):
    expected = torch.nn.functional.prelu(torch.tensor(X), torch.tensor(slope))
    close(activations.prelu(jnp.asarray(X), jnp.asarray(slope) if slope.size > 1 else slope[0]), expected)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh", "selu"])
def test_activations(name):
    function = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    close(getattr(activations, name)(jnp.asarray(X)), function(torch.tensor(X)), rtol=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (initializers.glorot_uniform(), torch.nn.init.xavier_uniform_),
        (initializers.he_uniform(), functools.partial(torch.nn.init.kaiming_uniform_, nonlinearity="relu")),
    ],
    ids=["glorot", "he"],
)
def test_bounds_of_initial_weights(ours, theirs):
    torch.manual_seed(0)
    # Of 60,000 draws from [-b, b] the largest is below 0.999 b with probability 0.999**60000 < 1e-26.
    largest = float(theirs(torch.empty(200, 300)).abs().max())
    assert abs(float(jnp.abs(ours(KEY, (300, 200))).max()) / largest - 1) < 2e-3


def test_orthogonal_initial_weights():
    theirs = torch.nn.init.orthogonal_(torch.empty(5, 9)).numpy()
    ours = np.asarray(initializers.orthogonal()(KEY, (9, 5)))
    np.testing.assert_allclose(ours.T @ ours, theirs @ theirs.T, atol=1e-5)


def test_sparse_initial_weights_have_pytorchs_zeros():
    torch.manual_seed(0)
    # PyTorch's sparsity is the share of zeros among the inputs, rounded up, in each column of (inputs, units).
    theirs = torch.nn.init.sparse_(torch.empty(20, 7), sparsity=0.8, std=1.0)
    ours = initializers.sparse(4)(KEY, (20, 7))
    np.testing.assert_array_equal((np.asarray(ours) != 0).sum(axis=0), (theirs != 0).sum(dim=0).numpy())
