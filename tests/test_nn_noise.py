"""Layers of noise: the leaf function in training, the rule of evaluation otherwise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jreg import models, nn, stochastic

KEY = jax.random.key(51)
X = jnp.asarray(np.random.default_rng(0).random(size=(3, 6, 6, 4)), jnp.float32)

# What a layer is built with, its strengths under test, and the leaf function that it applies in training.
STRENGTHS = {
    "Dropout": stochastic.dropout,
    "ClassicDropout": stochastic.classic_dropout,
    "SpatialDropout": stochastic.spatial_dropout,
    "AlphaDropout": stochastic.alpha_dropout,
    "FeatureAlphaDropout": stochastic.feature_alpha_dropout,
    "DropBlock": functools.partial(stochastic.drop_block, block_size=6),  # of 7, which doesn't fit
    "FeatureCutout": stochastic.feature_cutout,
    "DropPath": stochastic.drop_path,
    "GaussianNoise": stochastic.gaussian_noise,
    "UniformNoise": stochastic.uniform_noise,
    "GaussianDropout": stochastic.gaussian_dropout,
    "SaltAndPepper": stochastic.salt_and_pepper,
}
each_layer = pytest.mark.parametrize("name", STRENGTHS)


class Key(linen.Module):
    @linen.compact
    def __call__(self):
        return self.make_rng("dropout")


def drawn(key):
    """The key that a layer draws at the top of a network."""
    return Key().apply({}, rngs={"dropout": key})


@pytest.mark.some(5)
@each_layer
def test_training_under_jit_and_vmap_is_the_leaf_function(name):
    def layer(key, s):
        return getattr(nn, name)(s).apply({}, X, train=True, rngs={"dropout": key})

    def both(key, s):
        return layer(key, s), STRENGTHS[name](drawn(key), X, s)

    keys, strengths = jax.random.split(KEY, 2), jnp.array([0.0, 0.6])
    y, expected = jax.jit(jax.vmap(both))(keys, strengths)
    # Noise may cancel a value: a few roundings of terms of up to 4.
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=2e-6)
    assert np.array_equal(y[0], X)
    assert not np.array_equal(y[1], X)


@each_layer
def test_evaluation_needs_no_key_and_returns_the_input(name):
    layer = getattr(nn, name)(0.25)
    if name == "ClassicDropout":
        assert np.array_equal(layer.apply({}, X), 0.75 * X)
    else:
        assert layer.apply({}, X) is X


@each_layer
def test_a_strength_written_as_zero_costs_nothing(name):
    assert getattr(nn, name)(0.0).apply({}, X, train=True) is X
    assert getattr(nn, name)().apply({}, X, train=True) is X


@each_layer
def test_bad_strengths_are_refused_when_the_layer_is_made(name):
    with pytest.raises(ValueError, match=rf"{name}'s \w+ is -0.1, but"):
        getattr(nn, name)(-0.1)


@pytest.mark.parametrize(
    ("layer", "leaf"),
    [
        (nn.SpatialDropout(0.5, axis=1), lambda key: stochastic.spatial_dropout(key, X, 0.5, axis=1)),
        (nn.FeatureAlphaDropout(0.5, axis=1), lambda key: stochastic.feature_alpha_dropout(key, X, 0.5, axis=1)),
        (nn.DropBlock(0.2, block_size=2), lambda key: stochastic.drop_block(key, X, 0.2, 2)),
        (nn.FeatureCutout(0.5, axis=(1, 2)), lambda key: stochastic.feature_cutout(key, X, 0.5, axis=(1, 2))),
        (nn.SaltAndPepper(0.5, -1.0, 3.0), lambda key: stochastic.salt_and_pepper(key, X, 0.5, -1.0, 3.0)),
        (nn.StochasticPool((3, 2), (2, 2)), lambda key: stochastic.stochastic_pooling(key, X, (3, 2), (2, 2))),
        (nn.FractionalMaxPool(1.5, True, True), lambda key: stochastic.fractional_max_pooling(key, X, 1.5, True, True)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, linen.Module) else "",
)
def test_options_reach_the_leaf_function(layer, leaf):
    both = jax.jit(lambda key: (layer.apply({}, X, train=True, rngs={"dropout": key}), leaf(drawn(key))))
    np.testing.assert_allclose(*both(KEY), rtol=1e-6, atol=2e-6)


def test_blocks_need_maps():
    with pytest.raises(ValueError, match=r"drop_block's x has shape \(2, 3\), but needs 3 axes or more"):
        nn.DropBlock(0.5).apply({}, jnp.ones((2, 3)), train=True, rngs={"dropout": KEY})


def test_pools_at_evaluation_have_no_noise():
    weighted = stochastic.probability_weighted_pooling(X, (2, 2))
    assert np.array_equal(nn.StochasticPool().apply({}, X), weighted)
    regular = stochastic.fractional_max_pooling(None, X, 1.5)
    assert np.array_equal(nn.FractionalMaxPool(1.5).apply({}, X), regular)


def test_layers_of_two_inputs():
    streams = {"dropout": KEY}
    mixed = nn.ShakeShake().apply({}, X, -X, train=True, rngs=streams)
    assert np.array_equal(mixed, stochastic.shake_shake(drawn(KEY), X, -X))
    assert np.array_equal(nn.ShakeShake().apply({}, X, 3 * X), 2 * X)
    kept = nn.Zoneout(jnp.float32(0.5)).apply({}, X, -X, train=True, rngs=streams)
    assert np.array_equal(kept, stochastic.zoneout(drawn(KEY), X, -X, 0.5))
    assert np.array_equal(nn.Zoneout(0.5).apply({}, X, -X), 0 * X)
    assert np.array_equal(nn.Zoneout(0.0).apply({}, X, -X, train=True), X)
    with pytest.raises(ValueError, match="Zoneout's rate is 1, but"):
        nn.Zoneout(1)


class Network(linen.Module):
    """Every layer in one residual network, with one strength for all."""

    rate: float

    @linen.compact
    def __call__(self, x, train=False):
        rate, depth = self.rate, stochastic.linear_depth_rates(self.rate, 2)
        x = nn.SaltAndPepper(rate)(nn.UniformNoise(rate)(nn.GaussianNoise(rate)(x, train), train), train)
        x = nn.FeatureCutout(rate, axis=(1, 2))(x, train)
        for block in range(2):
            first, second = (linen.relu(linen.Conv(4, (3, 3))(x)) for _ in range(2))
            x = x + nn.DropPath(depth[block])(nn.ShakeShake()(first, second, train), train)
        x = nn.SpatialDropout(rate)(nn.DropBlock(rate, 2)(x, train), train)
        x = nn.StochasticPool()(nn.FractionalMaxPool(1.5)(x, train), train)
        x = nn.FeatureAlphaDropout(rate)(x, train).reshape(len(x), -1)
        x = nn.Zoneout(rate)(linen.Dense(8)(x), linen.Dense(8)(x), train)
        for layer in (nn.AlphaDropout, nn.GaussianDropout, nn.ClassicDropout, nn.Dropout):
            x = layer(rate)(x, train)
        return linen.Dense(2)(x)


@pytest.mark.slow
def test_a_network_of_all_layers_trains_its_members_by_one_program():
    start = models.as_model(Network(0.5))
    params, _ = jax.jit(start.init)(KEY, X)

    def loss(params, key, rate):
        model = models.as_model(Network(rate))
        return (model.apply(params, {}, X, train=True, key=key, mask=None)[0] ** 2).sum()

    keys, rates = jax.random.split(KEY, 3), jnp.array([0.0, 0.1, 0.5])
    step = jax.jit(jax.vmap(jax.value_and_grad(loss), in_axes=(None, 0, 0)))
    values, gradients = step(params, keys, rates)
    assert np.isfinite(values).all()
    assert len(set(values.tolist())) == 3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    evaluated = jax.jit(lambda p: start.apply(p, {}, X, train=False, key=None, mask=None)[0])(params)
    assert evaluated.shape == (3, 2)
