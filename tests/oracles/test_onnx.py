"""Networks as ONNX, computed by onnxruntime."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import optax
import pytest
from flax import linen

import jreg
from jreg import activations, losses, nn
from jreg.data import by_part, chain, impute, min_max, scale, standardize, whiten
from jreg.models import as_model
from jreg.network import Network, to_onnx
from jreg.training.inputs import examples

RNG = np.random.default_rng(0)
ROWS = RNG.normal(3.0, 2.0, size=(40, 5)).astype(np.float32)
IMAGES = RNG.integers(0, 256, size=(12, 7, 6, 2)).astype(np.uint8)
CE = losses.softmax_cross_entropy


def moved(tree):
    """A tree whose numbers are those of no fresh network; variances stay positive."""
    return jax.tree.map(lambda a: a + jnp.asarray(RNG.uniform(0.1, 0.5, size=a.shape), a.dtype), tree)


def trained(model, x, y=None, preprocess=None, targets=None, **parts):
    """A network with parameters that no layer begins with."""
    y = np.arange(len(x)) % 3 if y is None else y
    data, weights = jreg.Dataset(x, y, name="rows"), jnp.ones(len(x))
    given = {"loss": CE, "optimizer": optax.sgd(0.1), "preprocess": preprocess, "targets": targets} | parts
    statistics = (
        preprocess.fit(jnp.asarray(data.x), weights) if preprocess else (),
        targets.fit(jnp.asarray(data.y), weights) if targets else (),
    )
    recipe = jreg.Recipe(model, **given)
    inputs = examples(recipe, statistics, jnp.asarray(data.x[:2]))
    params, model_state = moved(as_model(model).init(jax.random.key(0), inputs))
    return Network.of(lambda hp: recipe, {}, (), (params, model_state, statistics), data)


def agrees(network, x):
    made = to_onnx(network)
    onnx.checker.check_model(onnx.load_from_string(made), full_check=True)
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    expected = np.asarray(network.outputs(x))
    for count in (len(x), 1):
        [found] = session.run(["outputs"], {"x": x[:count]})
        assert found.shape == (count, *expected.shape[1:])
        np.testing.assert_allclose(found, expected[:count], rtol=1e-5, atol=1e-5 * np.abs(expected).max())


ACTIVATIONS = [
    *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "swish", "mish", "softplus", "sigmoid"),
    *("tanh", "log_sigmoid", "soft_sign", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "softmax"),
    *("log_softmax", "identity", "prelu", jnp.sin, jnp.cos, jnp.exp, jnp.abs, jnp.sign, jnp.arctan, jnp.square),
    functools.partial(jax.nn.gelu, approximate=False),
    functools.partial(jax.nn.leaky_relu, negative_slope=0.3),
    functools.partial(jax.nn.elu, alpha=0.5),
    functools.partial(activations.maxout, pieces=2),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_every_activation(activation):
    agrees(trained(nn.MLP((8, 3), activation=activation), ROWS, preprocess=standardize()), ROWS)


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize(
    "normalization",
    [
        "batch",
        "layer",
        "ghost_batch",
        functools.partial(linen.BatchNorm, momentum=0.9, epsilon=1e-2, use_scale=False),
        functools.partial(linen.LayerNorm, epsilon=1e-2, use_bias=False),
    ],
    ids=str,
)
def test_normalization(normalization, position):
    agrees(trained(nn.MLP((8, 4, 3), normalization=normalization, position=position, dropout=0.2), ROWS), ROWS)
    model = nn.CNN((4, 3), (8, 3), normalization=normalization, position=position, spatial_dropout=0.2)
    agrees(trained(model, IMAGES, preprocess=scale(255)), IMAGES)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_convolutions_of_every_size_and_grey_images(size):
    for channels in ((4, 3, 2, 2), ()):
        agrees(trained(nn.CNN(channels, (8, 3), kernel_size=size), IMAGES, preprocess=min_max(-1, 1)), IMAGES)
    agrees(trained(nn.CNN((4,), (3,), kernel_size=size, activation="prelu"), IMAGES[..., 0]), IMAGES[..., 0])


@pytest.mark.parametrize(
    "preprocess",
    [
        None,
        standardize(),
        standardize(center=False),
        min_max(-1, 2),
        scale(3),
        impute(),
        chain(impute("median"), scale(2), standardize(), min_max()),
    ],
)
def test_preprocessing(preprocess):
    # Large beside their differences, whole, and missing.
    late = (ROWS + 1e6).astype(np.float32)
    whole = (ROWS * 100).astype(np.int32) + 10**6
    for x in (ROWS, late, whole):
        if preprocess is not None or x is ROWS:
            agrees(trained(nn.MLP((8, 3)), x, preprocess=preprocess), x)


@pytest.mark.parametrize(
    "targets", [None, standardize(), min_max(-1, 1), scale(10), chain(standardize(), scale(2)), impute()]
)
@pytest.mark.parametrize("y", [ROWS[:, 0] + 1e4, ROWS[:, :2] * 100], ids=["one", "two"])
def test_a_regression_is_in_its_own_units(targets, y):
    units = 1 if y.ndim == 1 else 2
    network = trained(nn.MLP((8, units)), ROWS, y.astype(np.float32), loss=losses.squared_error, targets=targets)
    agrees(network, ROWS)


def test_linear_noise_and_metadata():
    agrees(trained(nn.Linear(3), ROWS), ROWS)
    noisy = nn.MLP((8, 3), noise=functools.partial(nn.GaussianNoise, 0.5))
    network = dataclasses.replace(trained(noisy, ROWS), classes=("a", "b", "c"))
    agrees(network, ROWS)
    about = {entry.key: entry.value for entry in onnx.load_from_string(to_onnx(network)).metadata_props}
    assert about == {"task": "classification", "link": "softmax", "classes": '["a", "b", "c"]'}


def test_a_file(tmp_path):
    network = trained(nn.MLP((8, 3)), ROWS)
    assert network.to_onnx(tmp_path / "net.onnx").read_bytes() == to_onnx(network)


@pytest.mark.parametrize(
    ("model", "parts", "sentence"),
    [
        (nn.ResidualMLP(4, 1, 3), {}, "not this network: it is jreg.nn.ResidualMLP"),
        (linen.Dense(3), {}, "it is flax.linen.Dense"),
        (nn.MLP((4, 3), activation=lambda x: x), {}, "MLP's activation: the function <lambda> is in no list"),
        (nn.MLP((4, 3), activation="squareplus"), {}, "no activation squareplus"),
        (nn.MLP((4, 3), normalization="spectral"), {}, "normalization 'spectral'"),
        (nn.MLP((4, 3), noise=functools.partial(nn.ClassicDropout, 0.5)), {}, "noise, jreg.nn.ClassicDropout"),
        (nn.MLP((4, 3)), {"preprocess": whiten()}, "preprocessing whiten"),
        (
            nn.MLP((4, 3)),
            {"preprocess": jreg.data.Preprocessor(lambda x, w: (), lambda s, x: x)},
            "network's preprocess",
        ),
    ],
)
def test_what_onnx_has_not(model, parts, sentence):
    with pytest.raises(ValueError, match=sentence):
        to_onnx(trained(model, ROWS, **parts))


def test_several_arrays():
    data = jreg.Dataset({"a": ROWS, "b": ROWS}, np.arange(40) % 3)
    model = (lambda key, x: jnp.zeros((5, 3)), lambda w, x, train, rngs: x["a"] @ w)
    network = Network.of(
        lambda hp: jreg.Recipe(model, CE, optax.sgd(0.1), preprocess=by_part(a=scale(2))),
        {},
        (),
        (ROWS[:5, :3], {}, ()),
        data,
    )
    with pytest.raises(ValueError, match="networks of one array"):
        to_onnx(network)
