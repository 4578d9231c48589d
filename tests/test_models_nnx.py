import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jreg
from jreg import models, stochastic

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), jnp.float32)


class Network(nnx.Module):
    def __init__(self, rngs, rate=0.5):
        self.layers = nnx.List([nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)])
        self.norm = nnx.BatchNorm(8, momentum=0.5, rngs=rngs)
        self.dropout = nnx.Dropout(rate, rngs=rngs)

    def __call__(self, x, mask=None):
        h = self.norm(self.layers[0](x), mask=None if mask is None else mask[:, None])
        return self.layers[1](self.dropout(jax.nn.relu(h)))


class Masks(nnx.Module):
    """Two dropouts of ones, and one whose rate may be traced."""

    def __init__(self, rngs, rate=0.5):
        self.first, self.second, self.rngs = nnx.Dropout(0.5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs), rngs
        self.scale, self.rate = nnx.Param(jnp.ones(())), rate

    def __call__(self, x, train):
        ones = jnp.ones((x.shape[0], 200)) * self.scale[...]
        third = stochastic.dropout(self.rngs.dropout(), ones, self.rate) if train else ones
        return jnp.stack([self.first(ones), self.second(ones), third])


def test_parameters_are_a_dict_by_path_and_averages_the_state():
    params, state = jax.jit(models.from_nnx(Network).init)(KEY, X)
    shapes = {"layers": {"0": {"kernel": (4, 8), "bias": (8,)}, "1": {"kernel": (8, 3), "bias": (3,)}}}
    assert jax.tree.map(jnp.shape, params) == {**shapes, "norm": {"scale": (8,), "bias": (8,)}}
    assert jax.tree.map(jnp.shape, state) == {"nnx": {"norm": {"mean": (8,), "var": (8,)}}}
    assert float(jreg.objective.on_params(jreg.penalties.l2, "layers/0/kernel").terms[0].strength) == 1


def test_outputs_are_the_modules_own():
    module = Network(nnx.Rngs(3))
    model = models.from_nnx(Network)
    params, state = model.init(jax.random.key(3), X)
    # Other values than the start's, so that it shows whose are used.
    params = jax.tree.map(lambda p: p + 0.1, params)
    for place, layer in (("0", module.layers[0]), ("1", module.layers[1])):
        layer.kernel[...], layer.bias[...] = params["layers"][place]["kernel"], params["layers"][place]["bias"]
    module.norm.scale[...], module.norm.bias[...] = params["norm"]["scale"], params["norm"]["bias"]
    module.eval()
    outputs, same = model.apply(params, state, X, train=False, key=None, mask=None)
    np.testing.assert_allclose(outputs, module(X), rtol=1e-5, atol=1e-5)
    assert same is state


def test_training_moves_averages_by_rows_of_data_alone():
    model = models.from_nnx(Network)
    params, state = model.init(KEY, X)
    run = jax.jit(lambda x, mask: model.apply(params, state, x, train=True, key=KEY, mask=mask)[1])
    moved = run(jnp.concatenate([X, 100 * jnp.ones((2, 4))]), jnp.arange(8) < 6)
    first = params["layers"]["0"]
    expected = 0.5 * np.asarray(X @ first["kernel"] + first["bias"][None, :]).mean(axis=0)
    np.testing.assert_allclose(moved["nnx"]["norm"]["mean"], expected, rtol=1e-4, atol=1e-5)
    assert jax.tree.structure(moved) == jax.tree.structure(state)


def test_every_dropout_and_every_member_and_step_has_masks_of_its_own():
    model = models.from_nnx(Masks)
    params, state = model.init(KEY, X)
    run = jax.jit(jax.vmap(lambda key: model.apply(params, state, X, train=True, key=key, mask=None)[0]))
    masks = np.asarray(run(jax.random.split(KEY, 2)) == 0).reshape(6, -1)
    # Pairs of 1,200 fair coins: equal in half of them but for 6 standard deviations (below 1e-7 for 15 pairs).
    for n in range(6):
        for m in range(n):
            assert abs((masks[n] == masks[m]).mean() - 0.5) < 6 * 0.5 / np.sqrt(1200)
    again = run(jax.random.split(KEY, 2))
    np.testing.assert_array_equal(np.asarray(again == 0).reshape(6, -1), masks)
    evaluated, _ = model.apply(params, state, X, train=False, key=None, mask=None)
    np.testing.assert_array_equal(evaluated, np.ones((3, 6, 200)))


def test_a_study_of_nnx_modules_with_a_traced_rate_and_a_penalty():
    class Swept(nnx.Module):
        def __init__(self, rngs, rate):
            self.a, self.b, self.rngs = nnx.Linear(2, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs), rngs
            self.rate = rate

        def __call__(self, x, train):
            h = jax.nn.relu(self.a(x))
            return self.b(stochastic.dropout(self.rngs.dropout(), h, self.rate) if train else h)

    def recipe(hp):
        return jreg.Recipe(
            models.from_nnx(lambda rngs: Swept(rngs, hp["rate"])),
            jreg.losses.softmax_cross_entropy,
            optax.sgd(0.1),
            penalty=hp["l2"] * jreg.on_params(jreg.penalties.l2, "*/kernel"),
        )

    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    data = jreg.Dataset(rng.normal(size=(30, 2)) + 2.0 * np.eye(3, 2)[y], y, name="blobs")
    study = jreg.cross_validate(recipe, data, jreg.grid(rate=[0.0, 0.5], l2=[0.0, 1.0]), cv=2, epochs=2)
    means = [result.mean for result in study.settings]
    assert np.isfinite(means).all()


@pytest.mark.parametrize("make", [lambda rngs: 3, lambda rngs: nnx.Dict(a=nnx.Param(jnp.ones(2)))], ids=["3", "dict"])
def test_what_is_no_module_is_refused_in_a_sentence(make):
    with pytest.raises(TypeError, match=r"from_nnx's make returns a \w+, but must return a callable nnx.Module"):
        models.from_nnx(make).init(KEY, X)
