import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import spatial, special, stats
from scipy.special import log_softmax
from sklearn.metrics import hinge_loss, log_loss

from jreg import losses

RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(3 * RNG.normal(size=(20, 5)), jnp.float32)
LABELS = jnp.asarray(RNG.integers(0, 5, 20))
# A cross-entropy is the difference of a logarithm and a logit, here of up to 8, each of them rounded a few times.
ROUNDED = {"rtol": 2e-6, "atol": 4 * 8 * float(np.finfo(np.float32).eps)}


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_label_smoothing_is_cross_entropy_with_optax_smoothed_labels(smoothing):
    smooth = optax.smooth_labels(jax.nn.one_hot(LABELS, 5), jnp.float32(smoothing))
    expected = optax.losses.softmax_cross_entropy(LOGITS, smooth)
    for value in (smoothing, jnp.float32(smoothing)):
        actual = losses.softmax_cross_entropy(LOGITS, LABELS, value)
        np.testing.assert_allclose(actual, expected, **ROUNDED)


def test_softmax_cross_entropy_is_the_closed_form_in_double_precision():
    log_p = log_softmax(np.asarray(LOGITS, np.float64), axis=1)
    plain, mean = -log_p[np.arange(20), LABELS], -log_p.mean(axis=1)
    np.testing.assert_allclose(losses.softmax_cross_entropy(LOGITS, LABELS), plain, **ROUNDED)
    np.testing.assert_allclose(
        losses.softmax_cross_entropy(LOGITS, LABELS, 0.25), 0.75 * plain + 0.25 * mean, **ROUNDED
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradient_is_softmax_minus_the_smoothed_label(smoothing):
    gradient = jax.jit(jax.grad(lambda z: losses.softmax_cross_entropy(z, LABELS, smoothing).sum()))(LOGITS)
    label = (1 - smoothing) * np.eye(5)[LABELS] + smoothing / 5
    np.testing.assert_allclose(gradient, jax.nn.softmax(LOGITS) - label, atol=5e-7)


def test_minimum_of_the_smoothed_loss_is_the_smoothed_label():
    # At z = log(target) the gradient vanishes: the finite logits label smoothing is for.
    target = np.array([0.04, 0.04, 0.84, 0.04, 0.04])
    at = jnp.asarray(np.log(target), jnp.float32)
    gradient = jax.jit(jax.grad(lambda z: losses.softmax_cross_entropy(z, jnp.array(2), 0.2)))(at)
    np.testing.assert_allclose(gradient, 0, atol=2e-7)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_known_smoothing_outside_its_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=r"label_smoothing is .* must lie in \[0, 1\)"):
        losses.softmax_cross_entropy(LOGITS, LABELS, smoothing)


def test_extreme_logits_keep_losses_finite():
    extreme = jnp.array([[1e4, -1e4], [-1e4, 1e4]])
    assert losses.softmax_cross_entropy(extreme, jnp.array([0, 0])).tolist() == [0.0, 2e4]
    assert losses.sigmoid_cross_entropy(jnp.array([1e4, -1e4]), jnp.array([1, 1])).tolist() == [0.0, 1e4]


def test_sigmoid_cross_entropy_is_the_two_class_softmax():
    z, y = LOGITS[:, :1], LABELS % 2
    two = jnp.concatenate([jnp.zeros_like(z), z], axis=1)
    np.testing.assert_allclose(losses.sigmoid_cross_entropy(z, y), losses.softmax_cross_entropy(two, y), **ROUNDED)


def test_squared_error_is_half_the_square():
    assert losses.squared_error(jnp.array([1.0, -2.0]), jnp.array([4.0, 0.0])).tolist() == [4.5, 2.0]


@pytest.mark.parametrize("loss", [losses.sigmoid_cross_entropy, losses.squared_error])
def test_a_column_of_outputs_is_the_same_as_a_vector(loss):
    y = (LABELS % 2).astype(jnp.float32)
    assert loss(LOGITS[:, :1], y).tolist() == loss(LOGITS[:, 0], y).tolist()


@pytest.mark.parametrize("loss", [losses.sigmoid_cross_entropy, losses.squared_error])
def test_outputs_that_do_not_fit_the_targets_are_refused_with_both_shapes(loss):
    # Broadcasting (20, 5) against (5,) or (20, 1) against (1,) would train on nonsense in silence.
    for outputs, targets in ((LOGITS, jnp.ones(5)), (LOGITS, jnp.ones(20)), (LOGITS[:, :1], jnp.ones(1))):
        with pytest.raises(ValueError, match=r"outputs of shape \(20.* do not fit targets of shape"):
            loss(outputs, targets)


def test_soft_labels_that_are_one_hot_are_integer_labels():
    soft = jax.nn.one_hot(LABELS, LOGITS.shape[-1])
    for smoothing in (0.0, 0.3):
        np.testing.assert_allclose(
            losses.softmax_cross_entropy(LOGITS, soft, smoothing),
            losses.softmax_cross_entropy(LOGITS, LABELS, smoothing),
            **ROUNDED,
        )


def test_class_weights_are_scikit_learns_sample_weights():
    class_weights = np.arange(1.0, LOGITS.shape[-1] + 1, dtype=np.float32)
    actual = losses.softmax_cross_entropy(LOGITS, LABELS, class_weights=jnp.asarray(class_weights))
    each = class_weights[np.asarray(LABELS)]
    probabilities = special.softmax(np.asarray(LOGITS, np.float64), axis=1)
    expected = log_loss(LABELS, probabilities, sample_weight=each, labels=range(LOGITS.shape[-1]))
    np.testing.assert_allclose(actual.sum() / each.sum(), expected, rtol=1e-6)


@pytest.mark.parametrize("weights", [jnp.ones(2), jnp.ones((3, 1)), 1.0])
def test_class_weights_are_one_a_class(weights):
    with pytest.raises(ValueError, match=r"class_weights has shape .*one number for each of the \d+ classes"):
        losses.softmax_cross_entropy(LOGITS, LABELS, class_weights=weights)


def test_hinge_is_scikit_learns():
    z, y = LOGITS[:, 0], LABELS % 2
    np.testing.assert_allclose(losses.hinge(z, y).mean(), hinge_loss(2 * np.asarray(y) - 1, z), rtol=1e-6)
    np.testing.assert_allclose(losses.squared_hinge(z, y), np.asarray(losses.hinge(z, y)) ** 2, rtol=1e-6)


def test_multiclass_hinge_is_scikit_learns():
    expected = hinge_loss(LABELS, np.asarray(LOGITS), labels=range(LOGITS.shape[-1]))
    np.testing.assert_allclose(losses.multiclass_hinge(LOGITS, LABELS).mean(), expected, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_by_the_papers_formula(gamma):
    p = np.take_along_axis(np.asarray(jax.nn.softmax(LOGITS), np.float64), np.asarray(LABELS)[:, None], 1)[:, 0]
    np.testing.assert_allclose(losses.focal(LOGITS, LABELS, gamma), -((1 - p) ** gamma) * np.log(p), rtol=2e-5)
    two = jnp.stack([jnp.zeros_like(LOGITS[:, 0]), LOGITS[:, 0]], 1)
    np.testing.assert_allclose(
        losses.sigmoid_focal(LOGITS[:, 0], LABELS % 2, gamma),
        losses.focal(two, LABELS % 2, gamma),
        rtol=2e-5,
        atol=1e-6,
    )


def test_focal_of_a_sure_label_has_a_finite_gradient():
    sure = jnp.array([[40.0, -40.0]])
    for gamma in (0.0, 0.5, 1.0):
        slope = jax.jit(jax.grad(lambda z, g=gamma: losses.focal(z, jnp.array([0]), g).sum()))
        assert np.isfinite(slope(sure)).all()


def test_huber_and_absolute_error_by_hand():
    outputs, targets = jnp.array([0.0, 1.0, -3.0]), jnp.array([0.0, 2.0, 1.0])
    assert losses.absolute_error(outputs, targets).tolist() == [0.0, 1.0, 4.0]
    assert losses.huber(outputs, targets, 2.0).tolist() == [0.0, 0.5, 6.0]
    assert jax.grad(lambda z: losses.absolute_error(z, targets).sum())(outputs).tolist() == [0.0, -1.0, -1.0]


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_hubers_delta_is_above_zero(bad):
    with pytest.raises(ValueError, match=r"huber's delta is -?[01], but a radius must be above 0"):
        losses.huber(jnp.ones(1), jnp.ones(1), bad)


def test_cosine_proximity_and_kl_divergence_against_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6, 4))
    expected = [spatial.distance.cosine(*pair) for pair in zip(a, b, strict=True)]
    a, b = a.astype(np.float32), b.astype(np.float32)
    np.testing.assert_allclose(jax.jit(losses.cosine_proximity)(a, b), expected, rtol=1e-5)
    p = np.exp(b) / np.exp(b).sum(1, keepdims=True)
    q = np.exp(a) / np.exp(a).sum(1, keepdims=True)
    expected = stats.entropy(p, q, axis=1)
    np.testing.assert_allclose(jax.jit(losses.kl_divergence)(a, p.astype(np.float32)), expected, rtol=1e-4)


def test_the_table_of_tasks_is_the_lectures():
    rows = {name: losses.for_task(name) for name in ("binary", "multiclass", "multilabel", "regression")}
    assert [row.activation(jnp.zeros(2)).tolist() for row in rows.values()] == [
        [0.5, 0.5],
        [0.5, 0.5],
        [0.5, 0.5],
        [0, 0],
    ]
    assert rows["multiclass"].loss is losses.softmax_cross_entropy
    assert rows["regression"].loss is losses.squared_error
    assert {rows["binary"].loss, rows["multilabel"].loss} == {losses.sigmoid_cross_entropy}
    unit = losses.for_task("unit_regression")
    # The least cross-entropy is where the activation gives the target.
    z = jnp.log(jnp.array([0.25]) / 0.75)
    assert abs(float(jax.grad(lambda z: unit.loss(z, jnp.array([0.25])).sum())(z)[0])) < 1e-6
    assert float(unit.metric(jnp.array([z[0], -z[0]]), jnp.array([0.25, 0.75]), jnp.ones(2))) > 1 - 1e-6
    with pytest.raises(ValueError, match="for_task got 'ranking', but must get one of binary, multiclass"):
        losses.for_task("ranking")
