"""Situations that were reported of other tools: the right number, or one sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jreg
from jreg import Recipe, losses, metrics, nn, penalties, projections, prox, transforms
from jreg._base.tree import all_finite
from jreg.objective import Forward
from jreg.training import Status
from jreg.transforms.withheld import only_updates


def weighted(logits, shares, weights):
    """sum_k w_k y_k (-log p_k), in float64."""
    logits = np.asarray(logits, np.float64)
    logp = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return -(np.asarray(weights, np.float64) * shares * logp).sum(axis=-1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_mixed_label_is_the_mix_of_both_weighted_losses(smoothing):
    rng = np.random.default_rng(0)
    logits, weights = rng.normal(size=(6, 3)).astype(np.float32), np.array([1.0, 5.0, 0.2], np.float32)
    first, second, share = np.array([0, 1, 2, 0, 1, 2]), np.array([1, 2, 0, 2, 0, 1]), np.linspace(0, 1, 6)
    mixed = share[:, None] * np.eye(3)[first] + (1 - share)[:, None] * np.eye(3)[second]
    parts = [weighted(logits, (1 - smoothing) * np.eye(3)[y] + smoothing / 3, weights) for y in (first, second)]

    def loss(labels):
        return losses.softmax_cross_entropy(jnp.asarray(logits), labels, smoothing, class_weights=weights)

    np.testing.assert_allclose(loss(jnp.asarray(first)), parts[0], rtol=1e-5)
    np.testing.assert_allclose(
        loss(jnp.asarray(mixed, jnp.float32)), share * parts[0] + (1 - share) * parts[1], rtol=1e-5
    )
    # A class ruled out by an infinite logit costs nothing where it has no share.
    ruled_out = jnp.array([[0.0, -jnp.inf, 0.0]])
    found = losses.softmax_cross_entropy(ruled_out, jnp.array([0]), class_weights=weights)
    np.testing.assert_allclose(found, np.log(2), rtol=1e-6)


def test_a_unit_with_nan_has_no_norm():
    w = jnp.array([[jnp.nan, 3.0], [1.0, 4.0]])
    for found in (penalties.l2(w), penalties.group_lasso(w), projections.max_norm(w, c=1.0), projections.unit_norm(w)):
        assert np.isnan(found).any()
    # All of its weights are lost, and the other unit's are what they are alone.
    limited = np.asarray(projections.max_norm(w, c=1.0))
    assert np.isnan(limited[:, 0]).all()
    np.testing.assert_allclose(limited[:, 1], [0.6, 0.8], rtol=1e-6)


@pytest.mark.some(1)
@pytest.mark.parametrize("label", [-1, 3, -100])
def test_a_label_that_is_no_class_has_no_loss(label):
    logits, labels = jnp.array([[0.0, 1.0, 3.0], [0.0, 1.0, 3.0]]), jnp.array([label, 2])
    found = (
        losses.softmax_cross_entropy(logits, labels),
        losses.softmax_cross_entropy(logits, labels, 0.1),
        losses.softmax_cross_entropy(logits, labels, class_weights=jnp.ones(3)),
        losses.focal(logits, labels, 2.0),
        losses.multiclass_hinge(logits, labels),
    )
    for loss in found:
        assert np.isnan(loss).tolist() == [True, False]
    # What is to be ignored is left out, and so is its gradient.
    kept = jax.grad(lambda z: jnp.sum(jnp.where(labels == 2, losses.softmax_cross_entropy(z, labels), 0)))(logits)
    np.testing.assert_array_equal(kept[0], 0)
    assert np.isnan(metrics.log_loss(logits, labels))
    assert np.isnan(metrics.perplexity(logits, labels))


@pytest.mark.parametrize("loss", [losses.hinge, losses.squared_hinge, losses.sigmoid_cross_entropy])
def test_labels_of_minus_one_are_not_taken_for_zero_and_one(loss):
    assert np.isnan(loss(jnp.array([2.0, 2.0]), jnp.array([1, -1]))).tolist() == [False, True]


def test_a_label_beyond_what_its_dtype_counts_to_is_a_class():
    logits = jnp.arange(300.0)[None]
    wanted = np.log(np.exp(np.arange(300) - 299.0).sum()) + 99
    found = losses.softmax_cross_entropy(logits, jnp.array([200], jnp.uint8))
    np.testing.assert_allclose(found, [wanted], rtol=1e-6)


@pytest.mark.slow
def test_a_class_ruled_out_by_an_infinite_logit_counts_nothing():
    logits, shares = np.array([0.5, -0.3, 1.0], np.float32), np.array([0.25, 0.75, 0.0], np.float32)
    ruled_out = jnp.asarray(np.insert(logits, 1, -np.inf))[None]
    wide = jnp.asarray(np.insert(shares, 1, 0.0))[None]
    for loss in (
        lambda z, y: jnp.sum(losses.softmax_cross_entropy(z, y)),
        jax.jit(lambda z, y: jnp.sum(losses.softmax_cross_entropy(z, y, jnp.asarray(0.0)))),
        lambda z, y: jnp.sum(losses.kl_divergence(z, y)),
        lambda z, y: penalties.confidence(z),
        lambda z, y: penalties.r_drop(z, z / 2),
    ):
        found, slope = jax.value_and_grad(loss)(ruled_out, wide)
        value, wanted = jax.value_and_grad(loss)(jnp.asarray(logits)[None], jnp.asarray(shares)[None])
        np.testing.assert_allclose(found, value, rtol=1e-6)
        np.testing.assert_allclose(slope, np.insert(wanted, 1, 0.0, axis=1), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("delta", [1e4, 1e8, np.inf])
def test_hubers_gradient_is_the_error_below_any_delta(delta):
    # optax's is 0.29980 for 1e4 and 0 for 1e8.
    found = jax.value_and_grad(lambda e: losses.huber(e, jnp.zeros(()), delta))(jnp.asarray(0.3))
    np.testing.assert_allclose(found, (0.045, 0.3), rtol=1e-6)


@pytest.mark.parametrize("loss", [losses.cosine_proximity, losses.kl_divergence])
def test_a_column_is_not_taken_for_one_vector_over_the_batch(loss):
    with pytest.raises(ValueError, match=r"shape \(4, 1\) and targets of shape \(4,\), but takes vectors"):
        loss(jnp.ones((4, 1)), jnp.ones(4))


def test_what_is_no_array_of_numbers_is_said():
    with pytest.raises(TypeError, match=r"outputs is a list, but must be an array: jnp.asarray"):
        losses.hinge([0.5], [1])
    with pytest.raises(TypeError, match=r"outputs has dtype int32, but must have a floating one"):
        losses.softmax_cross_entropy(jnp.array([[0, 1]]), jnp.array([1]))
    with pytest.raises(TypeError, match=r"targets are a list, but must be an array"):
        losses.squared_error(jnp.ones(1), [1.0])
    with pytest.raises(ValueError, match=r"first axis of examples, but got single numbers: jnp.asarray"):
        metrics.accuracy([1.0], [1])
    with pytest.raises(ValueError, match=r"axis=\(0, -2\) names an axis of an array of shape \(2, 2\) twice"):
        projections.max_norm(jnp.ones((2, 2)), 1.0, axis=(0, -2))
    with pytest.raises(TypeError, match=r"axis is 0.5, but must be a whole number, several, or None"):
        penalties.group_lasso(jnp.ones((2, 2)), axis=0.5)


def test_outputs_of_nan_have_no_accuracy():
    lost = jnp.array([[jnp.nan, 1.0], [2.0, 1.0]])
    assert np.isnan(metrics.accuracy(lost, jnp.array([0, 0])))
    assert np.isnan(metrics.accuracy(lost[:, 0], jnp.array([0, 1])))
    assert metrics.accuracy(lost, jnp.array([0, 0]), jnp.array([0.0, 1.0])) == 1.0


def test_a_matrix_with_infinity_has_no_nearest_orthogonal_one():
    assert np.isnan(projections.orthogonal(jnp.array([[jnp.inf, 3.0], [1.0, 4.0]]))).all()


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_a_penalty_over_the_batch_is_a_mean_whatever_the_rows_weigh_together(scale):
    weights = scale * jnp.array([0.5, 1.5, 0.0])
    forward = Forward({}, jnp.array([[2.0], [4.0], [jnp.nan]]), weights, activations={"h": jnp.ones((3, 1))})
    np.testing.assert_allclose(jreg.on_outputs(penalties.l2)(forward), (0.5 * 2 + 1.5 * 8) / 2, rtol=1e-6)
    np.testing.assert_allclose(jreg.on_activations(penalties.l1, "h")(forward), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        transforms.decoupled_weight_decay,
        transforms.decoupled_l1,
        transforms.decay_towards,
        transforms.spectral_penalty,
        lambda rate: transforms.adamw_weight_decay(rate, 0.1),
        lambda rate: transforms.adamw_weight_decay(-rate, -0.1 * jnp.ones(())),
        lambda rate: transforms.proximal(prox.l1, 0.1, rate),
        lambda rate: transforms.sam(optax.sgd(0.1), rate),
        transforms.ema_params,
    ],
)
def test_a_traced_rate_below_0_moves_no_weights_away(make):
    params = {"kernel": jnp.array([[3.0, -1.0], [4.0, 0.5]])}

    def moved(rate):
        transform = make(rate)
        more = {"grad_fn": lambda params, index: params} if isinstance(transform.init(params), tuple) else {}
        updates, state = transform.update(params, transform.init(params), params, **more)
        return jax.tree.leaves((updates, transforms.evaluation_params(state, params)))

    assert any(np.isnan(leaf).all() for leaf in moved(jnp.asarray(-0.5)))


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(1e-7, jnp.float16), (8e3, jnp.float16), (1e-24, jnp.bfloat16), (1e-24, jnp.float32), (1e20, jnp.float32)],
)
@pytest.mark.parametrize("adaptive", [False, True])
def test_the_worst_point_nearby_is_the_same_for_gradients_of_any_size(size, dtype, adaptive):
    params, seen = {"kernel": jnp.array([[8.0], [2.0]], dtype)}, []
    gradient = {"kernel": (jnp.array([[3.0], [4.0]]) * size).astype(dtype)}

    def grad_fn(params, index):
        del index
        seen.append(params["kernel"])
        return gradient

    transform = transforms.sam(optax.sgd(1.0), 0.5, adaptive)
    transform.update(gradient, transform.init(params), params, grad_fn=grad_fn)
    g, w = np.asarray(gradient["kernel"], np.float64), np.asarray(params["kernel"], np.float64)
    scale = np.abs(w) + 0.01 if adaptive else 1
    wanted = w + 0.5 * scale**2 * g / np.linalg.norm(scale * g)
    np.testing.assert_allclose(np.asarray(seen[0], np.float64), wanted, rtol=2 * float(jnp.finfo(dtype).eps))


@pytest.mark.adam
def test_averages_of_groups_that_are_whole_branches():
    params = {"a": {"kernel": jnp.full((2, 2), 4.0), "bias": jnp.ones(2)}, "b": {"kernel": jnp.full((2, 1), 4.0)}}
    ones = jax.tree.map(jnp.ones_like, params)
    group = optax.chain(optax.sgd(1.0), transforms.ema_params(1.0))
    labels = {"a": "averaged", "b": "other"}
    optimizer = optax.partition({"averaged": group, "other": optax.MultiSteps(optax.sgd(1.0), 2)}, labels)
    state = before = optimizer.init(params)
    for _ in range(2):
        before = state
        updates, state = optimizer.update(ones, state, params)
        updates, state = only_updates(updates, before, state)
        params = optax.apply_updates(params, updates)
    found = transforms.evaluation_params(state, params)
    np.testing.assert_array_equal(found["a"]["kernel"], np.full((2, 2), 2.5))
    np.testing.assert_array_equal(found["a"]["bias"], [-0.5, -0.5])
    np.testing.assert_array_equal(found["b"]["kernel"], np.full((2, 1), 3.0))


@pytest.mark.parametrize("average", [transforms.ema_params(0.5), transforms.swa_params(1)])
def test_counts_among_parameters_are_not_averaged(average):
    params = {"kernel": jnp.ones((2, 2)), "count": jnp.array(3)}
    updates, state = average.update({"kernel": jnp.ones((2, 2)), "count": jnp.array(1)}, average.init(params), params)
    after = optax.apply_updates(params, updates)
    assert transforms.evaluation_params(state, after)["count"] == 4


def linear(optimizer, **options):
    return lambda hp: Recipe(nn.Linear(1), losses.squared_error, optimizer or optax.sgd(hp["rate"]), **options)


def numbers(rows=40):
    x = np.arange(rows)[:, None] + np.random.default_rng(0).normal(size=(rows, 2))
    return jreg.Dataset(x, 100 * x[:, 0] + 50)


@pytest.mark.some(1)
@pytest.mark.parametrize("fold", [False, True])
def test_masks_are_the_rows_that_they_mark(fold):
    data, mask = numbers(), np.arange(40) % 4 > 0
    recipe = linear(None, preprocess=jreg.data.standardize())

    def train(rows, others):
        if fold:
            space = jreg.grid(rate=[1e-3])
            return jreg.cross_validate(recipe, data, space, cv=[(rows, others)], epochs=2, progress=False).scores
        found = jreg.fit(jax.random.key(0), recipe, data, {"rate": 1e-3}, epochs=2, train=rows, validation=others)
        return jax.tree.leaves((found.params, found.statistics, found.history))

    jax.tree.map(np.testing.assert_array_equal, train(mask, ~mask), train(np.flatnonzero(mask), np.flatnonzero(~mask)))


@pytest.mark.parametrize(
    ("rows", "error", "sentence"),
    [
        (np.ones(39, bool), ValueError, "fit's train is a mask of 39 flags, but there are 40 rows"),
        ([0.5, 1.7], TypeError, r"fit's train is float64 of shape \(2,\), but must be row numbers"),
        ([0, 40], ValueError, "fit's train names a row outside 0 to 39"),
        ([-1], ValueError, "fit's train names a row outside 0 to 39"),
        ([[0, 1]], TypeError, r"fit's train is int64 of shape \(1, 2\), but must be row numbers"),
    ],
)
def test_rows_that_are_none_are_refused(rows, error, sentence):
    with pytest.raises(error, match=sentence):
        jreg.fit(jax.random.key(0), linear(optax.sgd(1e-3)), numbers(), epochs=1, train=rows)


@pytest.mark.parametrize("epoch", [2, 4])
def test_parameters_that_are_lost_after_the_last_loss_are_a_divergence(epoch):
    rate = optax.sgd(lambda count: jnp.where(count == epoch, 3e38, 1e-4))
    recipe = linear(rate, batch_size=40)
    fitted = jreg.fit(jax.random.key(0), recipe, numbers(), epochs=5)
    assert Status(int(fitted.status)) == Status.DIVERGED
    assert int(fitted.epochs) == epoch + 1
    assert np.isfinite(fitted.history["train_loss"][: epoch + 1]).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_lost_number_is_seen_in_any_precision(value, dtype):
    tree = {"w": jnp.ones((2, 3), dtype), "b": jnp.ones((), dtype), "count": jnp.int32(3)}
    lost = tree | {"b": jnp.asarray(value, dtype)}
    for found in (all_finite, jax.jit(all_finite), lambda tree: all_finite(jax.tree.map(np.asarray, tree))):
        assert bool(found(tree))
        assert not found(lost)


def test_a_final_training_that_diverges_says_so():
    # With more rows it takes more steps than the folds' trainings, and the rate explodes in those.
    rate = optax.sgd(lambda count: jnp.where(count == 3, 3e38, 1e-4))
    recipe = lambda hp: Recipe(  # noqa: E731
        nn.Linear(1), losses.squared_error, rate, penalty=hp["l2"] * jreg.on_params(penalties.l2), batch_size=10
    )
    study = jreg.cross_validate(recipe, numbers(), jreg.grid(l2=[0.1, 0.2]), cv=4, epochs=1, progress=False)
    assert np.isfinite(study.best.mean)
    with pytest.raises(
        ValueError, match=r"the final training of .* on all rows diverged, though none of its validation"
    ):
        jreg.refit(study)


def keras_rule(values, patience, start=0, baseline=None):
    """Keras' EarlyStopping, line by line: the epoch it stops after and the one whose weights it restores."""
    best, best_epoch, wait = np.inf, 0, 0
    for epoch, value in enumerate(values):
        if epoch < start:
            best_epoch = epoch
            continue
        wait += 1
        if value < best:
            best, best_epoch = value, epoch
            if baseline is None or value < baseline:
                wait = 0
            continue
        if wait >= patience and epoch > 0:
            break
    return epoch, best_epoch


@pytest.mark.parametrize("patience", [1, 2, 4])
@pytest.mark.parametrize("start", [0, 4])
@pytest.mark.parametrize("baseline", [None, 1.55, 0.0])
def test_the_start_and_the_baseline_follow_keras(patience, start, baseline):
    values = [0.1, 5.0, 4.0, 3.0, 2.0, 1.5, 1.6, 1.7, 1.0, 1.1, 1.2, 1.3, 1.4]
    stopping = jreg.EarlyStopping(patience, start_from_epoch=start, baseline=baseline)
    state = stopping.init({"epoch": jnp.float32(-1)})
    for epoch, value in enumerate(values):
        state = stopping.update(state, value, epoch, {"epoch": jnp.float32(epoch)})
        if state.stopped:
            break
    assert (epoch, int(state.best_epoch)) == keras_rule(values, patience, start, baseline)
    assert int(state.best_params["epoch"]) == int(state.best_epoch)


def test_a_start_and_a_baseline_that_are_none_are_refused():
    with pytest.raises(ValueError, match="start_from_epoch is -1, but must be at least 0"):
        jreg.EarlyStopping(2, start_from_epoch=-1)
    with pytest.raises(ValueError, match="baseline is nan, but must be a finite number"):
        jreg.EarlyStopping(2, baseline=float("nan"))


def test_lbfgs_finds_the_ridge_solution():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(40, 5)) @ np.diag([10.0, 3.0, 1.0, 0.3, 0.1])).astype(np.float32)
    y = (x @ np.arange(1.0, 6.0) + 2).astype(np.float32)
    penalty = 0.3 * jreg.on_params(penalties.l2)
    recipe = linear(optax.lbfgs(), penalty=penalty, batch_size=40)
    fitted = jreg.fit(jax.random.key(0), recipe, jreg.Dataset(x, y), epochs=60)
    centred = x.astype(float) - x.mean(axis=0)
    # The gradient of half the mean squared error is X'X w / n.
    ridge = np.linalg.solve(centred.T @ centred / 40 + 0.3 * np.eye(5), centred.T @ (y - y.mean()) / 40)
    np.testing.assert_allclose(fitted.params["Dense_0"]["kernel"][:, 0], ridge, atol=1e-2)


def test_a_softmax_over_one_output_is_refused():
    data = jreg.Dataset(np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2)
    recipe = lambda hp: Recipe(nn.Linear(1), losses.softmax_cross_entropy, optax.sgd(0.1))  # noqa: E731
    with pytest.raises(ValueError, match="a softmax over one class is always 1: give it 2 outputs"):
        jreg.fit(jax.random.key(0), recipe, data, epochs=1)


def test_a_score_that_is_undefined_names_itself():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 2))
    data = jreg.Dataset(x, x[:, 0] + 0.1 * rng.normal(size=6))
    # Leave one out: r2 of a single row is not defined.
    folds = [(np.delete(np.arange(6), row), [row]) for row in range(6)]
    space = jreg.grid(rate=[0.01, 0.1])
    study = jreg.cross_validate(linear(None), data, space, cv=folds, epochs=2, progress=False)
    with pytest.raises(
        ValueError, match=r"val_r2 is NaN or infinite in 12 of 12 trainings .* such as score='val_loss'"
    ):
        _ = study.best
    by_loss = jreg.cross_validate(linear(None), data, space, cv=folds, epochs=2, progress=False, score="val_loss")
    assert np.isfinite(by_loss.best.mean)


def test_a_hyperparameter_that_is_read_as_an_attribute_is_named():
    given = jreg.recipe.Hyperparameters({"l2": 0.1})
    with pytest.raises(AttributeError, match=r"reads hyperparameter 'l2' as an attribute: write hp\['l2'\]"):
        _ = given.l2
    with pytest.raises(AttributeError, match=r"no attribute 'l3'"):
        _ = given.l3


def half(hp):
    return jreg.Recipe(nn.MLP((2,)), losses.softmax_cross_entropy, optax.sgd(0.1), preprocess=jreg.data.standardize())


@pytest.fixture(scope="module")
def named():
    """A network of three features whose labels are texts, its training and its examples."""
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    data = jreg.Dataset(x, np.where(x[:, 0] > 0, "yes", "no"))
    fitted = jreg.fit(jax.random.key(0), half, data, epochs=2)
    return jreg.Network.of(half, {}, (), fitted[:3], data), fitted, data


@pytest.mark.parametrize("shape", [(5, 1), (3,), (5, 4), (5, 3, 1)])
def test_rows_of_another_shape_are_not_broadcast(named, shape):
    network, fitted, _ = named
    for predict in (network.predict, network.predict_proba):
        with pytest.raises(ValueError, match=r"but the network takes \(n, 3\)|which is one example alone"):
            predict(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=r"standardize got an array of shape .* fitted on rows of shape \(3,\)"):
        jreg.predict(half, fitted, np.zeros(shape, np.float32))


@pytest.mark.some(2)
@pytest.mark.parametrize("made", ["standardize", "min_max", "impute", "whiten"])
def test_every_preprocessor_knows_the_rows_that_it_was_fitted_on(made):
    fit, apply, _ = getattr(jreg.data, made)()
    statistics = fit(jnp.eye(4, 3), jnp.ones(4))
    with pytest.raises(ValueError, match=rf"{made} got an array of shape \(2, 1\), but was fitted on rows of shape"):
        apply(statistics, jnp.ones((2, 1)))


@pytest.mark.slow
def test_what_a_network_is_given_is_what_a_data_set_is_made_of(named):
    network, fitted, data = named
    expected = network.outputs(data.x[:4])
    np.testing.assert_array_equal(network.outputs(data.x[:4].tolist()), expected)
    np.testing.assert_array_equal(jreg.predict(half, fitted, data.x[:4].tolist()), expected)
    texts = np.where(data.x[:, 0] > 0, "yes", "no")
    assert network.evaluate(data.x, texts) == network.evaluate(data.x, data.y)
    assert jreg.evaluate(half, fitted, data.x, data.y.tolist()) == jreg.evaluate(half, fitted, data.x, data.y)
    with pytest.raises(ValueError, match=r"'maybe' in row 1, which is none of the labels"):
        network.evaluate(data.x[:2], ["yes", "maybe"])
    with pytest.raises(ValueError, match=r"y has label -1, out of range"):
        jreg.evaluate(half, fitted, data.x[:2], [-1, 1])
    with pytest.raises(ValueError, match=r"x has shape \(0, 3\), but must be rows"):
        network.predict(data.x[:0])


def test_an_unknown_number_has_no_class(named):
    network, _, data = named
    x = data.x[:3].copy()
    x[1, 0] = np.nan
    for predict in (network.predict, jreg.Ensemble([network]).predict):
        with pytest.raises(ValueError, match=r"NaN for row 1, which is no class: .*impute"):
            predict(x)


def test_a_setting_of_another_kind_is_refused():
    with pytest.raises(TypeError, match=r"the setting is 'best', but must be one of the study's settings"):
        jreg.Study.setting(None, "best")


def test_a_layout_takes_what_jax_calls_devices():
    devices = jax.devices()
    assert jreg.Layout(devices, 2) == jreg.Layout(tuple(devices), 2)
    assert jreg.Layout(devices[0], 2).devices == (devices[0],)
    with pytest.raises(TypeError, match=r"the layout's devices are 'cpu', but must be devices of JAX's"):
        jreg.Layout("cpu", 2)


def regressed(loss, **options):
    """A training of one step on six rows, of which a batch of four leaves two of padding."""
    data = jreg.Dataset(np.eye(6), np.arange(6.0))

    def recipe(hp):
        return Recipe(nn.Linear(1), loss, optax.sgd(0.1), **options)

    return jreg.fit(jax.random.key(0), recipe, data, {}, epochs=1, batch_size=4)


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (lambda outputs, targets: (outputs - targets) ** 2, "loss pairs every output with every target"),
        (
            lambda outputs, targets: jnp.mean((outputs - targets) ** 2, axis=-1),
            r"loss pairs .* shape \(n, 1\) broadcast",
        ),
        (jax.jit(lambda outputs, targets: jnp.abs(outputs - targets).sum(-1)), "loss pairs every output"),
        (optax.huber_loss, "loss pairs every output"),
        (lambda outputs, targets: jnp.mean((outputs[:, 0] - targets) ** 2), r"loss has shape \(\) for 11 examples"),
        (
            lambda outputs, targets: (outputs[:, 0], {"bias": jnp.mean(outputs)}),
            r"loss's part 'bias' has shape \(\) for",
        ),
        (
            lambda outputs, targets: optax.softmax_cross_entropy(outputs + jnp.zeros(2), targets),
            "loss raised ValueError",
        ),
    ],
)
def test_a_loss_that_mixes_examples_is_an_error(loss, sentence):
    with jax.numpy_rank_promotion("allow"), pytest.raises(ValueError, match=f"the recipe's {sentence}"):
        regressed(loss)


@pytest.mark.slow
def test_a_loss_of_ones_own_that_keeps_examples_apart_trains_as_ours_does():
    ours = jax.tree.leaves(regressed(losses.squared_error).params)
    for loss in (lambda z, y: (z[:, 0] - y) ** 2 / 2, jax.vmap(lambda z, y: (z - y) ** 2 / 2)):
        for found, right in zip(jax.tree.leaves(regressed(loss).params), ours, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-6)


def test_a_metric_that_pairs_outputs_with_targets_is_an_error():
    pairing = jreg.metrics.average(lambda outputs, targets: (outputs - targets) ** 2, maximize=False)
    with jax.numpy_rank_promotion("allow"), pytest.raises(ValueError, match="pairs every output with every target"):
        pairing(jnp.zeros((3, 1)), jnp.zeros(3))
    assert pairing(jnp.zeros((3, 1)), jnp.ones((3, 1))) == 1
