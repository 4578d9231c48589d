"""Adapters without their libraries: pytrees and pairs that look as theirs do. tests/oracles has the real ones."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreg import models, stochastic

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), jnp.float32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Drop:
    p: Any
    inference: bool = False

    def __call__(self, x, key):
        return x if self.inference else stochastic.dropout(key, x, self.p)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    weight: jax.Array

    def __call__(self, x):
        return self.weight @ x


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Network:
    layers: list
    dropout: Drop
    offsets: jax.Array

    def __call__(self, x, *, key=None):
        h = self.dropout(self.layers[0](x), key)
        return self.layers[1](h) + self.offsets.astype(x.dtype)


def made(rate=0.5):
    def make(key):
        first, second = jax.random.split(key)
        layers = [Layer(jax.random.normal(first, (200, 4))), Layer(jax.random.normal(second, (3, 200)))]
        return Network(layers, Drop(rate), jnp.arange(3))

    return make


def test_equinox_parameters_are_its_floating_arrays_by_path():
    for rate in (0.5, jnp.float32(0.5)):
        params, state = models.from_equinox(made(rate)).init(KEY, X)
        assert jax.tree.map(jnp.shape, params) == {"layers": {"0": {"weight": (200, 4)}, "1": {"weight": (3, 200)}}}
        assert state == {}


def test_equinox_evaluation_is_the_modules_own_for_each_example():
    model = models.from_equinox(made())
    params, state = model.init(KEY, X)
    outputs, same = jax.jit(lambda p: model.apply(p, state, X, train=False, key=None, mask=None))(params)
    expected = X @ params["layers"]["0"]["weight"].T @ params["layers"]["1"]["weight"].T + jnp.arange(3.0)[None, :]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
    assert same == state


def test_equinox_rates_may_be_traced_and_each_example_has_its_mask():
    def run(rate, x):
        model = models.from_equinox(made(rate))
        params, state = model.init(KEY, x)
        return model.apply(params, state, x, train=True, key=KEY, mask=None)[0]

    same = jnp.ones((6, 4))
    outputs = jax.jit(jax.vmap(run, (0, None)))(jnp.array([0.0, 0.5]), same)
    np.testing.assert_allclose(outputs[0], np.broadcast_to(outputs[0][:1], (6, 3)), rtol=1e-5, atol=1e-5)
    assert len(np.unique(np.asarray(outputs[1])[:, 0])) == 6


def test_equinox_where_chooses_parameters():
    model = models.from_equinox(made(), lambda path, leaf: path == "layers/1/weight")
    assert list(model.init(KEY, X)[0]["layers"]) == ["1"]


class StateIndex:
    pass


jax.tree_util.register_pytree_node(StateIndex, lambda node: ((), None), lambda *_: StateIndex())


@dataclasses.dataclass
class WithState:
    index: StateIndex

    def __call__(self, x, state):
        return x, state


jax.tree_util.register_dataclass(WithState, ["index"], [])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda key: 3, r"from_equinox's make returns a int, but must return a callable"),
        (
            lambda key: WithState(StateIndex()),
            r"equinox.nn.State \(BatchNorm\?\), which is not supported",
        ),
    ],
)
def test_other_modules_than_equinoxs_are_refused_in_a_sentence(make, sentence):
    with pytest.raises(TypeError, match=sentence):
        models.from_equinox(make).init(KEY, X)


class Transformed(NamedTuple):
    init: Any
    apply: Any


class TransformedWithState(NamedTuple):
    init: Any
    apply: Any


def test_haiku_pairs_get_key_and_flag():
    def apply(params, rng, x, is_training):
        return x @ params["linear"]["w"] * (2 if is_training else 1) + (0 if rng is None else 1)

    pair = Transformed(lambda rng, x, is_training: {"linear": {"w": jnp.ones((4, 2))}}, apply)
    model = models.from_haiku(pair, flag="is_training")
    params, state = model.init(KEY, X)
    total = np.asarray(X).sum(axis=1, keepdims=True) * np.ones(2)
    evaluated = model.apply(params, state, X, train=False, key=None, mask=None)
    trained = model.apply(params, state, X, train=True, key=KEY, mask=None)
    np.testing.assert_allclose(evaluated[0], total, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(trained[0], 2 * total + 1, rtol=1e-5, atol=1e-5)
    assert evaluated[1] == trained[1] == {}


def test_haiku_state_moves_in_training_alone():
    pair = TransformedWithState(
        lambda rng, x: ({"w": jnp.ones(4)}, {"count": jnp.int32(0)}),
        lambda params, state, rng, x: (x @ params["w"], {"count": state["count"] + 1}),
    )
    model = models.from_haiku(pair)
    params, state = model.init(KEY, X)
    for train, count in ((False, 0), (True, 1)):
        _, updated = model.apply(params, state, X, train=train, key=KEY, mask=None)
        assert int(updated["haiku"]["count"]) == count


def test_other_pairs_than_haikus_are_refused_in_a_sentence():
    with pytest.raises(TypeError, match=r"from_haiku got a tuple, but needs what haiku.transform"):
        models.from_haiku((None, None))
