import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

import jreg
from jreg import activations, nn
from jreg.nn import _parts

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(6, 16)), jnp.float32)
IMAGES = jnp.asarray(RNG.normal(size=(6, 8, 8, 2)), jnp.float32)


def filled(network, x=X, spread=0.3):
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(network.init, KEY, x)
    # Not counts, and no negative variances.
    return jax.tree.map(
        lambda leaf: jnp.asarray(np.abs(rng.normal(size=leaf.shape)) * spread + 0.05, leaf.dtype), shapes
    )


def train(network, variables, x, mask=None, key=KEY):
    collections = [name for name in variables if name != "params"]
    options = {"mask": mask} if mask is not None else {}
    run = functools.partial(network.apply, train=True, mutable=collections)
    return jax.jit(run)(variables, x, rngs={"dropout": key}, **options)


def hidden(network, variables, x, **options):
    mutable = ["intermediates", *(name for name in variables if name != "params")]
    _, seen = jax.jit(functools.partial(network.apply, mutable=mutable, **options))(variables, x)
    return {name: value for name, (value,) in seen["intermediates"].items() if name.startswith("hidden_")}


NAMES = [*_parts.LAYERS, *_parts.WEIGHTS]


@pytest.mark.some(4)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "instance"])
def test_mlp_has_every_normalization_and_padding_moves_none(name):
    network = nn.MLP((8, 8, 3), normalization=name)
    variables = filled(network)
    assert "Dense_0" in variables["params"] or name == "cosine"
    assert (variables.keys() > {"params"}) == (name in ("batch", "batch_renorm", "ghost_batch", "spectral"))
    expected, moved = train(network, variables, X)
    mask = jnp.arange(9) < 6
    y, again = train(network, variables, jnp.concatenate([X, jnp.full((3, 16), 1e3)]), mask)
    np.testing.assert_allclose(y[:6], expected, rtol=1e-4, atol=1e-4)
    assert np.isfinite(y).all()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), again, moved)


# The others take the same way in both networks.
@pytest.mark.some(3)
@pytest.mark.parametrize("name", ["batch", "ghost_batch", "group", "instance", "response", "standardized", "cosine"])
def test_cnn_has_normalizations_and_padding_moves_none(name):
    network = nn.CNN((8,), (3,), normalization=name)
    variables = filled(network, IMAGES)
    expected, moved = train(network, variables, IMAGES)
    mask = jnp.arange(8) < 6
    y, again = train(network, variables, jnp.concatenate([IMAGES, jnp.full((2, 8, 8, 2), 1e2)]), mask)
    np.testing.assert_allclose(y[:6], expected, rtol=1e-4, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), again, moved)


@pytest.mark.parametrize("position", ["before", "after"])
def test_position_says_what_comes_first(position):
    network = nn.MLP((8, 3), activation="tanh", normalization="layer", position=position)
    variables = filled(network)
    p = variables["params"]
    h = linen.Dense(8).apply({"params": p["Dense_0"]}, X)

    def norm(h):
        return linen.LayerNorm().apply({"params": p["LayerNorm_0"]}, h)

    h = jnp.tanh(norm(h)) if position == "before" else norm(jnp.tanh(h))
    expected = linen.Dense(3).apply({"params": p["Dense_1"]}, h)
    np.testing.assert_allclose(network.apply(variables, X), expected, rtol=1e-5, atol=1e-5)


def test_normalization_may_be_made_by_a_function():
    network = nn.MLP((8, 3), normalization=functools.partial(nn.GhostBatchNorm, size=2))
    variables = filled(network)
    assert set(variables["params"]) == {"Dense_0", "Dense_1", "GhostBatchNorm_0"}
    _, moved = train(network, variables, X)
    assert not np.allclose(moved["batch_stats"]["GhostBatchNorm_0"]["ghost_mean"], 0)


def test_noise_may_be_made_by_a_function():
    network = nn.MLP((8, 3), noise=lambda: nn.GaussianDropout(0.5))
    variables = filled(network)
    np.testing.assert_array_equal(network.apply(variables, X), nn.MLP((8, 3)).apply(variables, X))
    noisy = [train(network, variables, X, key=jax.random.key(seed))[0] for seed in (1, 2)]
    assert not np.allclose(*noisy)


def test_group_normalization_by_name_needs_groups():
    with pytest.raises(ValueError, match=r"groups of 8 units, which 6 units are not a multiple of: use"):
        nn.MLP((6, 3), normalization="group").init(KEY, X)


def test_prelu_learns_a_slope_for_each_layer():
    network = nn.MLP((8, 8, 3), activation="prelu")
    variables = filled(network)
    assert {"PReLU_0", "PReLU_1"} < set(variables["params"])
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(network.apply(v, X))))(variables)["params"]
    assert float(gradient["PReLU_0"]["negative_slope"]) != 0


def test_mlp_with_maxout_is_its_formula():
    network = nn.MLP((8, 3), activation=functools.partial(activations.maxout, pieces=2))
    variables = filled(network)
    p = variables["params"]
    assert p["Dense_1"]["kernel"].shape == (4, 3)
    maps = np.asarray(X @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"][None, :])
    expected = maps.reshape(6, 4, 2).max(axis=2) @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"][None, :]
    np.testing.assert_allclose(network.apply(variables, X), expected, rtol=1e-5, atol=1e-5)
    layer = nn.Maxout(4, pieces=2)
    y = layer.apply({"params": {"Dense_0": p["Dense_0"]}}, X)
    np.testing.assert_allclose(y, maps.reshape(6, 4, 2).max(axis=2), rtol=1e-5, atol=1e-5)


def test_linear_is_one_affine_map_from_zero():
    variables = nn.Linear(3).init(KEY, IMAGES)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(variables))
    variables = filled(nn.Linear(3), IMAGES)
    dense = jax.tree.map(np.asarray, variables["params"]["Dense_0"])
    expected = np.asarray(IMAGES).reshape(6, -1) @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(nn.Linear(3).apply(variables, IMAGES), expected, rtol=1e-5, atol=1e-5)


SOWN = [
    (nn.MLP((8, 4, 3), dropout=0.5), X, 2),
    (nn.CNN((4, 4), (8, 3), dropout=0.5, spatial_dropout=0.5), IMAGES, 3),
    (nn.ResidualMLP(8, blocks=2, outputs=3), X, 2),
    (nn.ResidualCNN((4, 8), blocks=1, outputs=3), IMAGES, 2),
    (nn.Autoencoder((8, 2)), X, 3),
    (nn.TiedAutoencoder((8, 2)), X, 3),
]


@pytest.mark.some(3)
@pytest.mark.parametrize(("network", "x", "count"), SOWN, ids=lambda value: type(value).__name__)
def test_hidden_activations_are_sown_in_order_before_dropout(network, x, count):
    variables = filled(network, x)
    assert "intermediates" not in variables
    seen = hidden(network, variables, x)
    assert sorted(seen) == [f"hidden_{n}" for n in range(count)]
    assert all(value.shape[0] == 6 for value in seen.values())
    first = hidden(network, variables, x, train=True, rngs={"dropout": KEY})["hidden_0"]
    if not isinstance(network, nn.ResidualCNN):  # its batch normalization takes the batch's statistics in training
        np.testing.assert_allclose(first, seen["hidden_0"], rtol=1e-5, atol=1e-5)


def test_cnn_is_its_formula():
    network = nn.CNN((4,), (3,), activation="tanh")
    variables = filled(network, IMAGES)
    p = variables["params"]
    h = jnp.tanh(linen.Conv(4, (3, 3)).apply({"params": p["Conv_0"]}, IMAGES))
    h = linen.max_pool(h, (2, 2), (2, 2)).reshape(6, -1)
    expected = linen.Dense(3).apply({"params": p["Dense_0"]}, h)
    np.testing.assert_allclose(network.apply(variables, IMAGES), expected, rtol=1e-5, atol=1e-5)


def test_pooling_cuts_odd_edges_off_and_ends_at_one_pixel():
    x = IMAGES[:, :7, :5]
    assert jax.eval_shape(nn.CNN((4,) * 4, (3,)).init, KEY, x)["params"]["Dense_0"]["kernel"].shape == (4, 3)


def test_cnn_drops_whole_channels():
    network = nn.CNN((64,), (3,), activation=jnp.exp, spatial_dropout=0.5)
    variables = filled(network, IMAGES)
    seen = {"capture_intermediates": lambda module, _: "Dropout" in type(module).__name__, "mutable": ["intermediates"]}
    _, found = jax.jit(functools.partial(network.apply, train=True, **seen))(variables, IMAGES, rngs={"dropout": KEY})
    (dropped,) = (value["__call__"][0] for name, value in found["intermediates"].items() if "Spatial" in name)
    zero = np.asarray(dropped == 0)
    assert (zero.all(axis=(1, 2)) == zero.any(axis=(1, 2))).all()
    # 384 fair draws: off by more than 5.5 standard deviations below 1e-7.
    assert abs(zero.all(axis=(1, 2)).mean() - 0.5) < 5.5 * 0.5 / np.sqrt(384)


RESIDUAL = [
    (nn.ResidualMLP(8, blocks=3, outputs=3, normalization="layer"), X),
    (nn.ResidualCNN((4, 8), blocks=1, outputs=3, normalization="layer"), IMAGES),
]


@pytest.mark.parametrize(("network", "x"), RESIDUAL, ids=["mlp", "cnn"])
def test_residual_branches_of_zero_leave_the_shortcut(network, x):
    variables = filled(network, x)
    seen = hidden(network, variables, x)
    stem, first, kernels = {
        nn.ResidualMLP: (linen.Dense(8), "Dense_0", "Dense_2"),
        nn.ResidualCNN: (nn.Conv(4, (3, 3)), "Conv_0", "Conv_2"),
    }[type(network)]
    variables["params"][kernels] = jax.tree.map(jnp.zeros_like, variables["params"][kernels])
    changed = hidden(network, variables, x)
    expected = stem.apply({"params": variables["params"][first]}, x)
    np.testing.assert_allclose(changed["hidden_0"], expected, rtol=1e-5, atol=1e-5)
    assert not np.allclose(seen["hidden_0"], expected)


def test_stochastic_depth_drops_branches_of_examples_at_rates_on_a_line():
    blocks, rate, rows = 4, 0.8, 2000
    x = jnp.ones((rows, 3))
    network = nn.ResidualMLP(4, blocks=blocks, outputs=1, normalization=None, drop_path=rate)
    # Multiples of 1/64, whose sums are exact in whatever order: what skips a branch is equal to the last bit.
    variables = jax.tree.map(lambda p: jnp.round(p * 64) / 64, filled(network, x))
    seen = jax.jit(lambda v, k: hidden(network, v, x, train=True, rngs={"dropout": k}))(variables, KEY)
    before = linen.Dense(4).apply({"params": variables["params"]["Dense_0"]}, x)
    for number in range(blocks):
        after = seen[f"hidden_{number}"]
        dropped = np.asarray((after == before).all(axis=1))
        expected = rate * (number + 1) / blocks
        # Four counts of 2,000, each off by more than 6 standard deviations below 1e-8.
        assert abs(dropped.mean() - expected) < 6 * np.sqrt(expected * (1 - expected) / rows)
        before = after


def test_stochastic_depth_takes_traced_rates_and_is_off_at_evaluation():
    network = nn.ResidualMLP(8, blocks=2, outputs=3)
    variables = filled(network)
    plain = network.apply(variables, X)

    def run(rate, train):
        return network.clone(drop_path=rate).apply(variables, X, train=train, rngs={"dropout": KEY})

    rates = jnp.array([0.0, 0.9])
    trained, evaluated = (jax.jit(jax.vmap(functools.partial(run, train=train)))(rates) for train in (True, False))
    np.testing.assert_allclose(trained[0], plain, rtol=1e-5, atol=1e-5)
    assert not np.allclose(trained[1], plain)
    np.testing.assert_allclose(evaluated, jnp.stack([plain, plain]), rtol=1e-5, atol=1e-5)


def test_autoencoders_are_their_formulas():
    params = filled(nn.Autoencoder((8, 2)))["params"]
    sizes = [params[f"Dense_{n}"]["kernel"].shape for n in range(4)]
    assert sizes == [(16, 8), (8, 2), (2, 8), (8, 16)]
    network = nn.TiedAutoencoder((8, 2), activation="tanh", output="sigmoid")
    variables = filled(network)
    p = {name: np.asarray(value, np.float64) for name, value in variables["params"].items()}
    h = np.tanh(np.asarray(X) @ p["kernel_0"] + p["bias_0"])
    h = np.tanh(h @ p["kernel_1"] + p["bias_1"])
    h = np.tanh(h @ p["kernel_1"].T + p["visible_bias_1"])
    expected = 1 / (1 + np.exp(-(h @ p["kernel_0"].T + p["visible_bias_0"])))
    np.testing.assert_allclose(network.apply(variables, X), expected, rtol=1e-5, atol=1e-6)


def test_a_tied_kernels_gradient_is_the_sum_of_both_uses():
    network = nn.TiedAutoencoder((4,), activation="tanh")
    p = filled(network)["params"]

    def untied(down, up):
        h = jnp.tanh(X @ down + p["bias_0"][None, :])
        return jnp.sum(jnp.square(h @ up.T + p["visible_bias_0"][None, :] - X))

    first, second = jax.jit(jax.grad(untied, (0, 1)))(p["kernel_0"], p["kernel_0"])
    tied = jax.jit(jax.grad(lambda p: jnp.sum(jnp.square(network.apply({"params": p}, X) - X))))(p)["kernel_0"]
    np.testing.assert_allclose(tied, first + second, rtol=1e-4, atol=1e-4)
    assert not np.allclose(first, second, rtol=0.1)


@pytest.mark.parametrize("kind", [nn.Autoencoder, nn.TiedAutoencoder])
def test_input_noise_is_added_in_training_alone_and_may_be_traced(kind):
    variables = filled(kind((4,)))
    plain = kind((4,)).apply(variables, X)

    def run(noise, train):
        return kind((4,), input_noise=noise).apply(variables, X, train=train, rngs={"dropout": KEY})

    noisy = jax.jit(jax.vmap(functools.partial(run, train=True)))(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(noisy[0], plain, rtol=1e-5, atol=1e-5)
    assert not np.allclose(noisy[1], plain)
    np.testing.assert_allclose(run(1.0, False), plain, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: nn.Linear(0), ValueError, r"Linear's features is 0"),
        (lambda: nn.Maxout(2, pieces=0), ValueError, r"Maxout's pieces is 0"),
        (lambda: nn.CNN((4,), ()), ValueError, r"CNN's features are empty"),
        (lambda: nn.CNN((4,), (3,), dropout=1.0), ValueError, r"CNN's dropout is 1, but a rate"),
        (lambda: nn.CNN((4,), (3,), spatial_dropout=-1), ValueError, r"CNN's spatial_dropout is -1, but a rate"),
        (lambda: nn.CNN((4,), (3,), kernel_size=2.0), TypeError, r"CNN's kernel_size is 2.0"),
        (lambda: nn.CNN((4,), (3,)).init(KEY, X), ValueError, r"CNN got inputs of shape \(6, 16\), but needs images"),
        (lambda: nn.ResidualMLP(8, 0, 3), ValueError, r"ResidualMLP's blocks is 0"),
        (lambda: nn.ResidualMLP(8, 1, 3, drop_path=1.0), ValueError, r"ResidualMLP's drop_path is 1, but a rate"),
        (lambda: nn.ResidualCNN((), 1, 3), ValueError, r"ResidualCNN's channels are empty"),
        (lambda: nn.ResidualCNN((4,), 1, 3).init(KEY, X), ValueError, r"ResidualCNN got inputs of shape"),
        (lambda: nn.Autoencoder(()), ValueError, r"Autoencoder's features are empty"),
        (lambda: nn.TiedAutoencoder((2,), input_noise=-1.0), ValueError, r"TiedAutoencoder's input_noise is -1"),
        (lambda: nn.Autoencoder((2,), output="sigmod"), ValueError, r"activation is 'sigmod', but jax.nn has no"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


@pytest.mark.slow
def test_a_convolutional_study_with_a_swept_rate_and_padding():
    rng = np.random.default_rng(0)
    data = jreg.Dataset(rng.normal(size=(24, 6, 6, 1)), np.arange(24) % 2, name="noise")

    def recipe(hp):
        return jreg.Recipe(
            nn.CNN((2,), (2,), spatial_dropout=hp["rate"], normalization="batch_renorm"),
            jreg.losses.softmax_cross_entropy,
            optax.sgd(1e-2),
        )

    study = jreg.cross_validate(recipe, data, jreg.grid(rate=[0.0, 0.5]), cv=2, epochs=2, batch_size=5)
    assert all(np.isfinite(result.mean) for result in study.settings)
