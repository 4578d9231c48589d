import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jreg import nn
from jreg._base.types import Model
from jreg.models import as_model

X = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), jnp.float32)
KEY = jax.random.key(0)
PADDING = jnp.asarray(np.arange(8)[:, None] >= 5, jnp.float32) * jnp.ones((8, 4))


def double_in_training(train):
    return 2.0 if train else 1.0


class Train(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        return linen.Dense(2)(x) * double_in_training(train)


class Training(linen.Module):
    @linen.compact
    def __call__(self, x, *, training):
        return linen.Dense(2)(x) * double_in_training(training)


class Deterministic(linen.Module):
    @linen.compact
    def __call__(self, x, deterministic):
        return linen.Dense(2)(x) * double_in_training(not deterministic)


class NoFlag(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(2)(x)


class Masked(linen.Module):
    @linen.compact
    def __call__(self, x, mask=None):
        y = linen.Dense(2)(x)
        return y if mask is None else jnp.where(mask[:, None], y, 0)


class Normalized(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        return linen.BatchNorm(use_running_average=not train, momentum=0.5)(x)


def filled(network, x=X):
    """Variables of normal random numbers: cheaper than init's, and no bias is zero."""
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), jax.eval_shape(network.init, KEY, x)
    )


def affine(params, x):
    kernel, bias = (np.asarray(params["Dense_0"][name], np.float64) for name in ("kernel", "bias"))
    return np.asarray(x, np.float64) @ kernel + bias


def start(module):
    model = as_model(module)
    params, state = jax.jit(model.init)(KEY, X)
    return functools.partial(model.apply, params, state), params, state


@pytest.mark.parametrize(("module", "factor"), [(Train(), 2), (Training(), 2), (Deterministic(), 2), (NoFlag(), 1)])
def test_linen_modules_are_told_in_their_own_word_whether_they_train(module, factor):
    apply, params, state = start(module)
    assert state == {}
    evaluated, same = apply(X, train=False, key=None, mask=None)
    trained, updated = apply(X, train=True, key=KEY, mask=None)
    assert same == updated == {}
    np.testing.assert_allclose(evaluated, affine(params, X), rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(trained, factor * affine(params, X), rtol=2e-6, atol=1e-6)


def test_linen_modules_that_ask_for_the_mask_get_it():
    apply, params, _ = start(Masked())
    mask = jnp.arange(8) < 5
    for train in (False, True):
        outputs, _ = apply(X, train=train, key=KEY, mask=mask)
        assert (np.asarray(outputs)[5:] == 0).all()
        np.testing.assert_allclose(outputs[:5], affine(params, X)[:5], rtol=2e-6, atol=1e-6)


def test_batch_statistics_move_in_training_alone():
    apply, _, state = start(Normalized())
    assert apply(X, train=False, key=None, mask=None)[1] == state
    _, updated = apply(X, train=True, key=KEY, mask=None)
    mean = updated["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, 0.5 * np.asarray(X).mean(axis=0), rtol=1e-5, atol=1e-7)  # from 0, momentum 0.5
    assert jax.tree.structure(updated) == jax.tree.structure(state)


def test_batch_statistics_are_each_members_own():
    model = as_model(Normalized())
    xs = jnp.stack([X, 3 * X + 1])
    params, state = jax.vmap(model.init)(jax.random.split(KEY), xs)
    run = functools.partial(model.apply, train=True, mask=None)
    _, updated = jax.jit(jax.vmap(lambda p, s, x, k: run(p, s, x, key=k)))(params, state, xs, jax.random.split(KEY))
    for n in range(2):
        expected = 0.5 * np.asarray(xs[n]).mean(axis=0)
        np.testing.assert_allclose(updated["batch_stats"]["BatchNorm_0"]["mean"][n], expected, rtol=1e-5, atol=1e-6)


def test_dropout_of_flax_and_of_jreg_get_the_key():
    class Both(linen.Module):
        @linen.compact
        def __call__(self, x, train=False):
            return linen.Dropout(0.5, deterministic=not train)(x), nn.Dropout(0.5)(x, train)

    apply, _, _ = start(Both())
    first, again, other = (apply(X, train=True, key=jax.random.key(seed), mask=None)[0] for seed in (1, 1, 2))
    for a, b, c in zip(first, again, other, strict=True):
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)
        assert (np.asarray(a) == 0).any()
    for output in apply(X, train=False, key=None, mask=None)[0]:
        np.testing.assert_array_equal(output, X)


SEEN = []


def pair_init(key, x):
    return jax.random.normal(key, (x.shape[-1], 3))


def pair_apply(w, x, train, rngs):
    SEEN.append((train, sorted(rngs)))
    return x @ w


class Object:
    init = staticmethod(pair_init)
    apply = staticmethod(pair_apply)


@pytest.mark.parametrize("network", [(pair_init, pair_apply), Object()], ids=["pair", "object"])
def test_pairs_and_objects_of_pure_functions(network):
    apply, params, state = start(network)
    # Normal numbers in a program of their own may differ in their last bit.
    np.testing.assert_allclose(params, pair_init(KEY, X), rtol=1e-5, atol=1e-6)
    SEEN.clear()
    outputs, same = apply(X, train=True, key=KEY, mask=None)
    apply(X, train=False, key=None, mask=None)
    np.testing.assert_allclose(outputs, X @ params, rtol=1e-6, atol=2e-6)  # terms of up to 7, which cancel
    assert same == state == {}
    assert SEEN == [(True, ["dropout", "params"]), (False, [])]


def test_pairs_with_state_return_it_updated():
    def init(key, x):
        return {"params": jnp.float32(2), "counter": jnp.int32(0)}

    def apply(variables, x, train, rngs):
        return x * variables["params"], {"counter": variables["counter"] + jnp.int32(train)}

    run, params, state = start((init, apply))
    assert (float(params), int(state["counter"])) == (2.0, 0)
    outputs, updated = run(X, train=True, key=KEY, mask=None)
    assert np.array_equal(outputs, 2 * X)
    assert int(updated["counter"]) == 1


def test_pairs_whose_variables_are_params_alone_get_them_back_in_that_form():
    def apply(variables, x, train, rngs):
        return x * variables["params"]["a"]

    run, _, state = start((lambda key, x: {"params": {"a": jnp.float32(3)}}, apply))
    assert state == {}
    assert np.array_equal(run(X, train=True, key=KEY, mask=None)[0], 3 * X)


def test_a_model_stays_as_it_is():
    model = as_model(NoFlag())
    assert as_model(model) is model
    assert isinstance(model, Model)


@pytest.mark.parametrize("wrong", [None, 3, "MLP", pair_init, (pair_init,), (pair_init, 3), {"init": pair_init}])
def test_anything_else_is_refused_by_type(wrong):
    with pytest.raises(TypeError, match=r"a recipe's model is a .*, but must be a Flax Linen module"):
        as_model(wrong)


@pytest.mark.parametrize("shape", [(5, 4), (5, 2, 3), (5, 2, 3, 1)])
def test_mlp_flattens_and_has_the_layers_asked_for(shape):
    x = jnp.ones(shape)
    variables = jax.eval_shape(nn.MLP((7, 6, 3)).init, KEY, x)
    inputs = int(np.prod(shape[1:]))
    kernels = [variables["params"][f"Dense_{n}"]["kernel"].shape for n in range(3)]
    assert kernels == [(inputs, 7), (7, 6), (6, 3)]
    assert jax.eval_shape(nn.MLP((7, 6, 3)).apply, variables, x).shape == (5, 3)


def test_mlp_of_one_layer_is_affine():
    variables = filled(nn.MLP((2,)))
    np.testing.assert_allclose(nn.MLP((2,)).apply(variables, X), affine(variables["params"], X), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ["tanh", jnp.tanh])
def test_mlp_is_its_formula(activation):
    network = nn.MLP((5, 2), activation=activation)
    variables = filled(network)
    hidden = np.tanh(affine(variables["params"], X))
    expected = affine({"Dense_0": variables["params"]["Dense_1"]}, hidden)
    np.testing.assert_allclose(network.apply(variables, X), expected, rtol=1e-5, atol=1e-5)


def test_mlp_weights_are_hes_uniform_and_biases_zero():
    params = jax.jit(nn.MLP((400, 2)).init)(KEY, jnp.ones((1, 100)))["params"]["Dense_0"]
    bound = np.sqrt(6 / 100)
    assert np.abs(params["kernel"]).max() <= bound
    assert np.abs(params["kernel"]).max() > 0.99 * bound  # 40,000 draws, all below: 0.99**40000
    assert (np.asarray(params["bias"]) == 0).all()


def test_mlp_dropout_takes_traced_rates_and_is_off_at_evaluation():
    variables = filled(nn.MLP((16, 3)))

    def run(rate, input_rate, train):
        network = nn.MLP((16, 3), dropout=rate, input_dropout=input_rate)
        return network.apply(variables, X, train=train, rngs={"dropout": KEY})

    rates = jnp.array([0.0, 0.5, 0.0]), jnp.array([0.0, 0.0, 0.5])
    plain = nn.MLP((16, 3)).apply(variables, X)
    trained = jax.jit(jax.vmap(functools.partial(run, train=True)))(*rates)
    # Outputs are sums of 16 terms, of up to 20 with these weights.
    np.testing.assert_allclose(trained[0], plain, rtol=1e-5, atol=1e-5)
    assert not np.allclose(trained[1], plain)
    assert not np.allclose(trained[2], plain)
    for evaluated in jax.jit(jax.vmap(functools.partial(run, train=False)))(*rates):
        np.testing.assert_allclose(evaluated, plain, rtol=1e-5, atol=1e-5)


def test_input_dropout_drops_inputs_and_dropout_hidden_units():
    variables = filled(nn.MLP((1000, 1)), X[:1])
    rng = {"dropout": jax.random.key(5)}
    features = {"capture_intermediates": lambda module, _: isinstance(module, nn.Dropout), "mutable": ["intermediates"]}
    network = nn.MLP((1000, 1), activation=lambda h: jnp.ones_like(h), dropout=0.5)
    _, seen = jax.jit(functools.partial(network.apply, train=True, **features))(variables, X[:1], rngs=rng)
    (inputs,), (hidden,) = (seen["intermediates"][f"Dropout_{n}"]["__call__"] for n in range(2))
    np.testing.assert_array_equal(inputs, X[:1])
    assert set(np.unique(hidden)) == {0.0, 2.0}
    assert 400 < np.count_nonzero(hidden) < 600  # off by more than 6.3 standard deviations: below 1e-9


@functools.cache
def batch_normalized():
    network = nn.MLP((6, 3), normalization="batch")
    run = jax.jit(functools.partial(network.apply, train=True, mutable=["batch_stats"]))
    return functools.partial(run, filled(network))


def normalized(x, mask):
    return batch_normalized()(x, mask=mask)


@pytest.mark.parametrize("filler", [0.0, -50.0, 1e4])
def test_padding_does_not_move_batch_statistics(filler):
    padded = jnp.asarray(np.concatenate([X, np.full((3, 4), filler, np.float32)]))
    mask = jnp.arange(11) < 8
    outputs, updated = normalized(padded, mask)
    expected, moved = normalized(X, None)
    np.testing.assert_allclose(outputs[:8], expected, rtol=1e-5, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), updated, moved)


def test_padding_changes_no_bit_of_the_other_rows():
    mask = jnp.arange(8) < 5
    (a, moved), (b, again) = (normalized(X + value * PADDING, mask) for value in (7.0, -300.0))
    np.testing.assert_array_equal(a[:5], b[:5])
    jax.tree.map(np.testing.assert_array_equal, moved, again)


def test_without_the_mask_padding_would_move_them():
    (_, moved), (_, again) = (normalized(X + value * PADDING, None) for value in (7.0, -300.0))
    assert not np.allclose(jax.tree.leaves(moved)[0], jax.tree.leaves(again)[0])


@pytest.mark.parametrize(("normalization", "layer"), [("batch", "BatchNorm_0"), ("layer", "LayerNorm_0")])
def test_normalization_has_a_scale_and_a_bias_after_each_hidden_layer(normalization, layer):
    params = jax.eval_shape(nn.MLP((6, 3), normalization=normalization).init, KEY, X)["params"]
    assert params[layer]["scale"].shape == params[layer]["bias"].shape == (6,)
    assert set(params) == {"Dense_0", "Dense_1", layer}


def test_layer_normalization_looks_at_each_row_alone():
    network = nn.MLP((6, 3), normalization="layer")
    variables = filled(network)
    apply = jax.jit(functools.partial(network.apply, train=True))
    np.testing.assert_allclose(apply(variables, X[2:3]), apply(variables, X)[2:3], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dropout": 1.0}, r"MLP's dropout is 1, but a rate must lie in \[0, 1\)"),
        ({"dropout": -0.1}, r"MLP's dropout is -0.1, but a rate must lie"),
        ({"input_dropout": 2}, r"MLP's input_dropout is 2, but a rate must lie"),
        ({"dropout": float("nan")}, r"MLP's dropout is nan, but a rate must lie"),
        ({"normalization": "bach"}, r"normalization is 'bach', but must be 'batch', .*'cosine', a function .* or None"),
        ({"normalization": "instance"}, r"normalization is 'instance', but must be 'batch', .*"),
        ({"position": "middle"}, r"MLP's position is 'middle', but must be 'before' or 'after'"),
        ({"normalization": "weight", "position": "after"}, r"'weight' is one of weights, which has no position after"),
        ({"activation": "rellu"}, r"activation is 'rellu', but jax.nn has no such function"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        nn.MLP((6, 3), **options)
