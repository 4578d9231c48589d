"""Real modules of Equinox and Haiku, and every lift on the parameters of each kind of model."""

import equinox
import haiku
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jreg
from jreg import nn
from jreg.models import as_model

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 13)), jnp.float32)


class Equinox(equinox.Module):
    layers: list
    dropout: equinox.nn.Dropout
    norm: equinox.nn.LayerNorm

    def __init__(self, key, rate):
        first, second = jax.random.split(key)
        self.layers = [equinox.nn.Linear(13, 16, key=first), equinox.nn.Linear(16, 3, key=second)]
        self.dropout = equinox.nn.Dropout(rate)
        self.norm = equinox.nn.LayerNorm(16)

    def __call__(self, x, *, key=None):
        return self.layers[1](self.dropout(jax.nn.relu(self.norm(self.layers[0](x))), key=key))


def forward(x, is_training):
    h = haiku.BatchNorm(True, True, 0.9)(haiku.Linear(16)(x), is_training)
    h = jax.nn.relu(h)
    if is_training:
        h = haiku.dropout(haiku.next_rng_key(), 0.2, h)
    return haiku.Linear(3)(h)


def plain(x):
    return haiku.Linear(3)(jnp.tanh(haiku.Linear(16)(x)))


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.first, self.second = nnx.Linear(13, 16, rngs=rngs), nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
        return self.second(jax.nn.relu(self.first(x)))


def start(key, x):
    return {"first": {"w": 0.1 * jax.random.normal(key, (13, 3)), "b": jnp.zeros(3)}}


def run(params, x, train, rngs):
    return x @ params["first"]["w"] + params["first"]["b"][None, :]


MODELS = {
    "linen": lambda rate: nn.MLP((16, 3), dropout=rate),
    "nnx": lambda rate: jreg.models.from_nnx(Nnx),
    "equinox": lambda rate: jreg.models.from_equinox(lambda key: Equinox(key, rate)),
    "haiku": lambda rate: jreg.models.from_haiku(haiku.transform(plain)),
    "haiku with state": lambda rate: jreg.models.from_haiku(haiku.transform_with_state(forward), "is_training"),
    "dict": lambda rate: (start, run),
}
models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@models
@pytest.mark.adam
def test_a_study_runs(model):
    def recipe(hp):
        return jreg.Recipe(
            model(hp["rate"]),
            jreg.losses.softmax_cross_entropy,
            optax.chain(optax.adam(1e-2), jreg.project(lambda w: jreg.projections.max_norm(w, 5.0))),
            penalty=hp["l2"] * jreg.on_params(jreg.penalties.l2),
            preprocess=jreg.data.standardize(),
        )

    space = jreg.grid(rate=[0.0, 0.5], l2=[1e-3])
    study = jreg.cross_validate(recipe, jreg.load_dataset("wine"), space, cv=2, epochs=2)
    assert np.isfinite([result.mean for result in study.settings]).all()
    assert study.best.mean > 0.4  # of three classes


@models
def test_penalties_projections_and_proximal_operators_find_the_weights(model):
    # Haiku's dropout multiplies a mask by numbers.
    with jax.numpy_dtype_promotion("standard"):
        params, _ = as_model(model(0.0)).init(KEY, X)
    # Haiku's normalizations have scales and offsets of shape (1, n); Equinox keeps (out, in).
    flags = [leaf.ndim == 2 and leaf.shape[0] > 1 for leaf in jax.tree.leaves(params)]
    matrices = [np.asarray(leaf) for leaf, flag in zip(jax.tree.leaves(params), flags, strict=True) if flag]
    assert matrices
    inputs = 1 if "layers" in params else 0
    value = jreg.on_params(jreg.penalties.l2)(jreg.objective.Forward(params, X, jnp.ones(6)))
    np.testing.assert_allclose(value, sum((w**2).sum() / 2 for w in matrices), rtol=1e-5)
    zeros = jax.tree.map(jnp.zeros_like, params)
    for transform, check in (
        (
            jreg.project(lambda w: jreg.projections.max_norm(w, 0.05)),
            lambda w: np.linalg.norm(w, axis=inputs).max() < 0.0501,
        ),
        (jreg.proximal(jreg.prox.l1, 100.0, 1.0), lambda w: (w == 0).all()),
    ):
        updates, _ = transform.update(zeros, transform.init(params), params)
        moved = optax.apply_updates(params, updates)
        assert jax.tree.structure(moved) == jax.tree.structure(params)
        for flag, before, after in zip(flags, jax.tree.leaves(params), jax.tree.leaves(moved), strict=True):
            assert check(np.asarray(after)) if flag else np.array_equal(before, after)


def test_equinox_outputs_are_its_own():
    model = jreg.models.from_equinox(lambda key: Equinox(key, 0.5))
    params, state = model.init(KEY, X)
    assert sorted(params) == ["layers", "norm"]
    expected = jax.vmap(equinox.nn.inference_mode(Equinox(KEY, 0.5)))(X)
    outputs, _ = jax.jit(lambda p: model.apply(p, state, X, train=False, key=None, mask=None))(params)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    keys = jax.random.split(KEY, 6)
    expected = jax.vmap(lambda x, key: Equinox(jax.random.key(0), 0.5)(x, key=key))(X, keys)
    trained, _ = model.apply(params, state, X, train=True, key=KEY, mask=None)
    np.testing.assert_allclose(trained, expected, rtol=1e-5, atol=1e-5)


def test_equinox_batch_norm_is_refused():
    with pytest.raises(TypeError, match=r"equinox.nn.State"):
        jreg.models.from_equinox(lambda key: equinox.nn.BatchNorm(3, "batch", mode="batch")).init(KEY, X)


def test_haiku_outputs_are_its_own():
    transformed = haiku.transform(plain)
    model = jreg.models.from_haiku(transformed)
    params, state = model.init(KEY, X)
    outputs, _ = model.apply(params, state, X, train=False, key=None, mask=None)
    np.testing.assert_allclose(outputs, transformed.apply(params, None, X), rtol=1e-6, atol=1e-6)
