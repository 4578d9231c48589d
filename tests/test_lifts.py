"""What a training hands to the terms of its objective, and what becomes of them."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

import jreg
from jreg import Recipe, losses, nn, penalties
from jreg.models import Model, as_model, with_weights
from jreg.objective import (
    Forward,
    on_activations,
    on_inputs,
    on_loss,
    on_network,
    on_outputs,
    on_params,
    on_passes,
)

PARAMS = {"a": {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.ones(2)}, "b": {"kernel": jnp.array([[3.0], [4.0]])}}
KEY = jax.random.key(0)


def linear(units=3):
    """A network without bias as a pair of plain functions, its weights the parameters."""
    return (
        lambda key, x: {"w": jax.random.normal(key, (x.shape[-1], units)) / 4},
        lambda params, x, train, rngs: x @ params["w"],
    )


def trained(data, model=None, epochs=2, hp=None, loss=losses.softmax_cross_entropy, optimizer=None, **parts):
    def recipe(hp):
        made = {name: part(hp) if name == "penalty" else part for name, part in parts.items()}
        return Recipe(model or linear(), loss, optimizer or optax.sgd(0.1), **made)

    return jreg.fit(KEY, recipe, data, hp or {}, epochs=epochs, batch_size=16)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (re.compile("kernel$"), 10.0),
        (re.compile("^a/"), 5.0),
        ({"a": {"kernel": False, "bias": True}, "b": {"kernel": True}}, 9.0),
        ({"a": {"kernel": np.bool_(True), "bias": False}, "b": {"kernel": False}}, 3.0),
    ],
)
def test_where_is_a_regular_expression_or_a_tree_of_flags(where, expected):
    assert float(on_params(penalties.l1, where)(Forward(PARAMS, None, None))) == expected


def test_a_tree_of_flags_has_the_parameters_structure():
    with pytest.raises(ValueError, match=r"where is a tree with the paths a, but must have those of the param.*: a/b"):
        on_params(penalties.l1, {"a": True})(Forward(PARAMS, None, None))
    with pytest.raises(ValueError, match=r"where=.* matches no parameter; the paths are: a/bias, a/kernel, b/kernel"):
        on_params(penalties.l1, re.compile("^kernel"))(Forward(PARAMS, None, None))
    with pytest.raises(TypeError, match="where is 3, but must be a path pattern"):
        on_params(penalties.l1, 3)(Forward(PARAMS, None, None))


def test_a_reference_is_paired_with_its_weights():
    def distance(w, reference):
        return jnp.sum(jnp.square(w - reference)) / 2

    reference = jax.tree.map(lambda w: w - 1, PARAMS)
    assert float(on_params(distance, reference=reference)(Forward(PARAMS, None, None))) == (2 + 2) / 2
    with pytest.raises(ValueError, match="reference is a tree with the paths none, but must have"):
        on_params(distance, reference={})(Forward(PARAMS, None, None))


# optax's schedules, too, mix floating numbers with an int32 count.
@pytest.mark.adam
def test_a_strength_may_be_a_schedule_of_the_updates(blobs):
    schedule = optax.piecewise_constant_schedule(1.0, {5: 0.0})

    def seen(strength):
        fitted = trained(blobs, penalty=lambda hp: strength * on_params(lambda w: jnp.ones(()), name="one"), epochs=3)
        return fitted.history["penalty_one"].tolist()

    # 72 rows in batches of 16 are 5 updates an epoch.
    assert seen(schedule) == pytest.approx([1.0, 0.0, 0.0])
    assert seen(optax.linear_schedule(0.0, 15.0, 15)) == pytest.approx([2.0, 7.0, 12.0])
    scaled = 2.0 * (schedule * (3.0 * on_params(penalties.l1)))
    assert float(scaled(Forward(PARAMS, None, None, step=0))) == 60.0
    assert float(scaled(Forward(PARAMS, None, None, step=5))) == 0.0
    assert repr(schedule * on_params(penalties.l1)) == "schedule * l1"


@pytest.mark.slow
@pytest.mark.adam
def test_a_schedule_counts_the_updates_of_a_shorter_fold(blobs):
    def recipe(hp):
        return Recipe(
            linear(), losses.softmax_cross_entropy, optax.sgd(hp["lr"]),
            penalty=optax.linear_schedule(0.0, 100.0, 100) * on_params(lambda w: jnp.ones(()), name="count"),
        )  # fmt: skip

    # Training rows 71 and 1: 5 updates and 1 update an epoch in one program.
    cv = [(np.arange(71), [71]), ([0], np.arange(1, 72))]
    study = jreg.cross_validate(recipe, blobs, jreg.grid(lr=[0.1]), cv=cv, epochs=3, batch_size=16, progress=False)
    found = study.curve("penalty_count")[0, :, 0]
    np.testing.assert_allclose(found, [[2, 7, 12], [0, 1, 2]], rtol=1e-6)


def test_every_term_is_in_the_history_by_name(blobs):
    def penalty(hp):
        return (
            0.5 * on_params(penalties.l2) + 0.1 * on_params(penalties.l1) + 0.1 * on_params(penalties.l2, name="more")
        )

    fitted = trained(blobs, penalty=penalty)
    terms = [fitted.history[f"penalty_{name}"] for name in ("l2", "l1", "more")]
    np.testing.assert_allclose(sum(terms), fitted.history["penalty"], rtol=1e-5)
    np.testing.assert_allclose(terms[2], terms[0] / 5, rtol=1e-5)


@pytest.mark.slow
def test_settings_with_different_terms_share_a_study(blobs):
    def recipe(hp):
        leaf = getattr(penalties, hp["kind"])
        return Recipe(linear(), losses.softmax_cross_entropy, optax.sgd(0.1), penalty=hp["s"] * on_params(leaf))

    space = jreg.grid(kind=["l1", "l2"], s=[0.1])
    study = jreg.cross_validate(recipe, blobs, space, cv=2, epochs=2, progress=False)
    assert study.results.labels[-2:] == ("penalty_l1", "penalty_l2")
    measured = np.isfinite(study.history[:, :, :, :, -2:]).all(axis=(1, 2, 3))
    assert measured.tolist() == [[True, False], [False, True]]
    assert np.isfinite(study.scores).all()


class Sown(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        h = jax.nn.relu(linen.Dense(4)(x))
        self.sow("intermediates", "hidden_0", h)
        return linen.Dense(3)(h)


def test_activations_of_linen_networks_and_plain_ones():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)), jnp.float32)
    model = as_model(Sown())
    params, state = model.init(KEY, x)
    outputs, _, found = model.capture(params, state, x, train=True, key=KEY, mask=None)
    assert {"hidden_0", "Dense_0", "Dense_1"} <= set(found)
    hidden = jax.nn.relu(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None])
    np.testing.assert_allclose(found["hidden_0"], hidden, rtol=1e-6)
    np.testing.assert_allclose(found["Dense_1"], outputs, rtol=1e-6)
    plain = as_model(
        (lambda key, x: jnp.ones((2, 1)), lambda w, x, train, rngs: (x @ w, {"intermediates": {"h": x * 2}}))
    )
    outputs, state, found = plain.capture(jnp.ones((2, 1)), {}, x, train=True, key=KEY, mask=None)
    assert (outputs.shape, state, list(found)) == ((5, 1), {}, ["h"])
    np.testing.assert_array_equal(found["h"], x * 2)


def test_a_penalty_of_activations_shrinks_them(blobs):
    def activity(strength):
        penalty = lambda hp: strength * on_activations(penalties.l1, "hidden_*")  # noqa: E731
        fitted = trained(blobs, Sown(), epochs=5, penalty=penalty)
        captured = as_model(Sown()).capture(fitted.params, {}, jnp.asarray(blobs.x), train=False, key=None, mask=None)
        return float(jnp.abs(captured[2]["hidden_0"]).mean())

    assert activity(1.0) < activity(0.0) / 2


def test_penalties_of_a_batch_get_its_weights_and_inputs():
    def spread(h, weights, inputs):
        return jnp.sum(weights[:, None] * h * inputs)

    forward = Forward({}, jnp.ones((3, 2)), jnp.array([1.0, 0.0, 1.0]), jnp.arange(6.0).reshape(3, 2))
    assert float(on_outputs(spread)(forward)) == 0 + 1 + 4 + 5
    again = forward._replace(activations={"h": jnp.full((3, 2), 2.0)})
    assert float(on_activations(functools.partial(spread), "h")(again)) == 20.0


def test_activations_that_nobody_shows_or_that_no_path_matches(blobs):
    penalty = lambda hp: 0.1 * on_activations(penalties.l1, "hidden_*")  # noqa: E731
    with pytest.raises(ValueError, match=r"where='hidden_\*' matches no activation; the paths are: none"):
        trained(blobs, penalty=penalty)
    shown = as_model(linear())
    with pytest.raises(ValueError, match="needs the hidden activations, but the recipe's model shows none"):
        trained(blobs, Model(shown.init, shown.apply), penalty=penalty)


@pytest.mark.slow
def test_the_function_of_the_inputs_is_the_network_without_noise():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)), jnp.float32)
    w = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    forward = Forward(
        {"w": w}, x @ w, jnp.array([1.0, 1.0, 0.0, 1.0]), x, jnp.array([0, 1, 0, 1]), key=KEY,
        network=lambda params, x: x @ params["w"], losses=losses.softmax_cross_entropy,
    )  # fmt: skip
    by_hand = lambda f, x: jnp.sum(jnp.square(jax.jacobian(f)(x)))  # noqa: E731
    np.testing.assert_allclose(on_inputs(by_hand)(forward), jnp.sum(w**2), rtol=1e-6)
    # The gradient of the cross-entropy at z is W (p - y).
    errors = jax.nn.softmax(x @ w) - jax.nn.one_hot(forward.targets, 2)
    squares = np.asarray(jnp.sum((errors @ w.T) ** 2, axis=1))
    np.testing.assert_allclose(on_inputs(by_hand, of="loss")(forward), squares[[0, 1, 3]].mean(), rtol=1e-5)
    drawn = []
    on_inputs(lambda key, f, x: drawn.append(key) or jax.random.uniform(key))(forward)
    values = jax.vmap(jax.random.uniform)(jax.vmap(lambda n: jax.random.fold_in(KEY, n))(jnp.arange(4)))
    assert len(set(values.tolist())) == 4
    with pytest.raises(ValueError, match="on_inputs is of 'weights', but must be of 'outputs' or 'loss'"):
        on_inputs(by_hand, of="weights")


@pytest.mark.slow
def test_a_network_in_training_sees_noise_twice_and_none_on_its_inputs(blobs):
    def difference(first, second):
        return jnp.sum(jnp.abs(first - second))

    def seen(rate):
        model = nn.MLP((8, 3), dropout=rate)
        return trained(blobs, model, epochs=1, penalty=lambda hp: on_passes(difference)).history["penalty_difference"][
            0
        ]

    assert float(seen(0.0)) == 0.0
    assert float(seen(0.5)) > 0.1


def test_the_loss_can_be_wrapped_and_the_network_looked_at_whole(blobs):
    flooded = trained(blobs, penalty=lambda hp: on_loss(lambda loss: jnp.abs(loss - 5.0) + 5.0, name="flood"), epochs=1)
    # |J - 5| + 5 = 10 - J below 5: the loss grows, by the same steps as with its sign turned.
    turned = trained(blobs, loss=lambda z, y: -losses.softmax_cross_entropy(z, y), epochs=1)
    np.testing.assert_allclose(flooded.params["w"], turned.params["w"], rtol=1e-4, atol=1e-5)
    # One is a mean over batches, the other over rows, and the last batch is smaller.
    added, loss = flooded.history["penalty_flood"], flooded.history["train_loss"]
    np.testing.assert_allclose(added, 10 - 2 * loss, rtol=2e-2)
    whole = on_network(lambda f, params, x: jnp.sum(f({"w": jnp.square(params["w"])}, jnp.ones_like(x[:1]))))
    forward = Forward({"w": jnp.array([[3.0], [4.0]])}, None, None, jnp.ones((5, 2)), network=lambda p, x: x @ p["w"])
    assert float(whole(forward)) == 25.0


def test_augmentation_draws_for_each_example_in_training_alone(blobs):
    shown = []

    def augment(key, x):
        assert x.shape == (2,)
        shown.append(key.shape)
        return x + jax.random.normal(key, x.shape) * 100

    noisy, plain = trained(blobs, augment=augment, epochs=1), trained(blobs, epochs=1)
    assert set(shown) == {()}
    assert float(noisy.history["train_loss"][0]) > 10 * float(plain.history["train_loss"][0])
    same = trained(blobs, augment=lambda key, x: x, epochs=1)
    np.testing.assert_array_equal(same.params["w"], plain.params["w"])


def test_mixing_gives_soft_targets_and_sees_the_padding(blobs):
    def mixing(key, x, y, weights):
        assert y.shape[1:] == (3,)
        assert y.dtype == jnp.float32
        return x, jnp.full_like(y, 1 / 3) * jnp.sign(1 + weights[:, None])

    mixed = trained(blobs, mixing=mixing, epochs=200, optimizer=optax.sgd(0.5))
    # The best answer to equal shares is none: all outputs equal.
    assert float(jnp.ptp(mixed.params["w"], axis=1).max()) < 1e-3
    kept = trained(blobs, mixing=lambda key, x, y, weights: (x, y), epochs=1)
    np.testing.assert_allclose(kept.params["w"], trained(blobs, epochs=1).params["w"], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_mixing_of_numbers_has_one_column():
    rng = np.random.default_rng(0)
    data = jreg.Dataset(rng.normal(size=(20, 2)), rng.normal(size=20))

    def mixing(key, x, y, weights):
        assert y.shape[1:] == (1,)
        return x, y

    mixed = trained(data, linear(1), loss=losses.squared_error, mixing=mixing)
    np.testing.assert_array_equal(mixed.params["w"], trained(data, linear(1), loss=losses.squared_error).params["w"])


def test_reconstruction_of_a_linear_network_is_principal_components():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)) * [3.0, 2.0, 0.5, 0.3]
    data = jreg.Dataset(x - x.mean(0), np.zeros(64, int))
    code = (
        lambda key, x: {"w": jax.random.normal(key, (4, 2)) / 2},
        lambda params, x, train, rngs: x @ params["w"] @ params["w"].T,
    )
    fitted = trained(data, code, epochs=300, loss=losses.squared_error, optimizer=optax.sgd(0.02), reconstruct=True)
    lost = np.linalg.svd(data.x)[1] ** 2
    np.testing.assert_allclose(fitted.history["train_loss"][-1], lost[2:].sum() / 64 / 4 / 2, rtol=2e-2)
    assert float(fitted.history["train_r2"][-1]) == pytest.approx(1 - lost[2:].sum() / lost.sum(), abs=1e-3)
    with pytest.raises(
        ValueError, match="reconstructs the examples, so it can have neither mixing, targets nor a class_weight"
    ):
        trained(data, code, reconstruct=True, targets=jreg.data.standardize())


def test_noise_on_weights_is_drawn_in_training_alone():
    x = jnp.ones((1, 2))
    noisy = with_weights(linear(), lambda key, w: w + jax.random.normal(key, w.shape))
    params, state = noisy.init(KEY, x)
    passes = [noisy.apply(params, state, x, train=True, key=jax.random.key(n), mask=None)[0] for n in range(2)]
    assert float(jnp.abs(passes[0] - passes[1]).min()) > 1e-3
    still = noisy.apply(params, state, x, train=False, key=None, mask=None)[0]
    np.testing.assert_array_equal(still, x @ params["w"])
    tied = with_weights(Sown(), lambda w: w * 0, where="*/kernel")
    params, state = tied.init(KEY, x)
    for train in (True, False):
        outputs = tied.apply(params, state, x, train=train, key=KEY, mask=None)[0]
        np.testing.assert_array_equal(outputs, jnp.broadcast_to(params["Dense_1"]["bias"], (1, 3)))
    assert list(tied.capture(params, state, x, train=True, key=KEY, mask=None)[2])


@pytest.mark.slow
def test_evaluation_takes_the_average_of_the_parameters(blobs):
    rows = np.arange(len(blobs.y))
    last = {}

    def recipe(hp):
        averaging = jreg.transforms.swa_params(start=5) if hp["average"] else optax.identity()
        return Recipe(linear(), losses.softmax_cross_entropy, optax.chain(optax.sgd(0.5), averaging))

    for average in (False, True):
        fitted = jreg.fit(
            KEY, recipe, blobs, {"average": average}, epochs=4, batch_size=16, train=rows[:60], validation=rows[60:]
        )
        found = jreg.evaluate(recipe, fitted, blobs.x[60:], blobs.y[60:], {"average": average})
        assert found["loss"] == pytest.approx(float(fitted.history["val_loss"][-1]), rel=1e-5)
        last[average] = fitted.params["w"]
    assert float(jnp.abs(last[True] - last[False]).max()) > 1e-3


@pytest.mark.slow
def test_sam_gets_gradients_of_the_batch(blobs):
    plain = trained(blobs, optimizer=optax.sgd(0.1))
    none = trained(blobs, optimizer=jreg.transforms.sam(optax.sgd(0.1), rho=0.0))
    some = trained(blobs, optimizer=jreg.transforms.sam(optax.sgd(0.1), rho=0.5))
    np.testing.assert_allclose(none.params["w"], plain.params["w"], rtol=1e-6)
    assert float(jnp.abs(some.params["w"] - plain.params["w"]).max()) > 1e-3


@pytest.mark.slow
@pytest.mark.adam
def test_an_optimizer_with_a_key_of_its_own_can_be_swept(blobs):
    def recipe(hp):
        noise = optax.add_noise(hp["eta"], 0.55, KEY)
        return Recipe(linear(), losses.softmax_cross_entropy, optax.chain(noise, optax.sgd(0.1)))

    study = jreg.cross_validate(recipe, blobs, jreg.grid(eta=[0.0, 1.0]), cv=2, epochs=2, progress=False)
    assert np.isfinite(study.scores).all()
    assert (study.history[0] != study.history[1]).any()
