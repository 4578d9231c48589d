import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, r2_score

from jreg import losses, metrics

RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(3 * RNG.normal(size=(20, 5)), jnp.float32)
LABELS = jnp.asarray(RNG.integers(0, 5, 20))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_label_smoothing_is_cross_entropy_with_optax_smoothed_labels(smoothing):
    smooth = optax.smooth_labels(jax.nn.one_hot(LABELS, 5), jnp.float32(smoothing))
    expected = optax.losses.softmax_cross_entropy(LOGITS, smooth)
    for value in (smoothing, jnp.float32(smoothing)):
        actual = losses.softmax_cross_entropy(LOGITS, LABELS, value)
        np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-6)


def test_softmax_cross_entropy_is_the_closed_form_in_double_precision():
    log_p = log_softmax(np.asarray(LOGITS, np.float64), axis=1)
    plain, mean = -log_p[np.arange(20), LABELS], -log_p.mean(axis=1)
    np.testing.assert_allclose(losses.softmax_cross_entropy(LOGITS, LABELS), plain, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        losses.softmax_cross_entropy(LOGITS, LABELS, 0.25), 0.75 * plain + 0.25 * mean, rtol=1e-6, atol=1e-6
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
    gradient = jax.grad(lambda z: losses.softmax_cross_entropy(z, jnp.array(2), 0.2))(at)
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
    np.testing.assert_allclose(
        losses.sigmoid_cross_entropy(z, y), losses.softmax_cross_entropy(two, y), rtol=2e-6, atol=1e-6
    )


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


def padded(values, filler):
    return jnp.concatenate([values, jnp.full((3, *values.shape[1:]), filler, values.dtype)])


ONES = jnp.concatenate([jnp.ones(20), jnp.zeros(3)])


@pytest.mark.parametrize("filler", [0, 4])
def test_accuracy_is_scikit_learns_whatever_the_padding(filler):
    expected = accuracy_score(LABELS, np.argmax(LOGITS, axis=1))
    assert 0 < expected < 1
    actual = metrics.accuracy(padded(LOGITS, filler), padded(LABELS, filler), ONES)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(20,), (20, 1)])
def test_accuracy_of_one_unit_is_its_sign(shape):
    z, y = LOGITS[:, 0], LABELS % 2
    expected = accuracy_score(y, np.asarray(z) > 0)
    np.testing.assert_allclose(metrics.accuracy(z.reshape(shape), y, jnp.ones(20)), expected, rtol=1e-6)


@pytest.mark.parametrize("filler", [0.0, -1e4])
@pytest.mark.parametrize("column", [False, True])
def test_r2_is_scikit_learns_whatever_the_padding(filler, column):
    y = jnp.asarray(np.random.default_rng(1).normal(size=20) + 5, jnp.float32)
    predicted = y + 0.3 * LOGITS[:, 0]
    expected = r2_score(np.asarray(y, np.float64), np.asarray(predicted, np.float64))
    outputs = padded(predicted[:, None] if column else predicted, filler)
    np.testing.assert_allclose(metrics.r2(outputs, padded(y, -filler), ONES), expected, rtol=1e-5)


def test_weights_count_rows_as_often():
    weights = np.array([3, 0, 1, 2] * 5)
    repeated = np.repeat(np.arange(20), weights)
    y = LOGITS[:, 1]
    np.testing.assert_allclose(
        metrics.accuracy(LOGITS, LABELS, jnp.asarray(weights, jnp.float32)),
        accuracy_score(LABELS[repeated], np.argmax(LOGITS, axis=1)[repeated]),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        metrics.r2(LOGITS[:, 0], y, jnp.asarray(weights, jnp.float32)),
        r2_score(np.asarray(y, np.float64)[repeated], np.asarray(LOGITS[:, 0], np.float64)[repeated]),
        rtol=1e-5,
    )


def test_r2_of_the_mean_is_zero_and_of_the_targets_one():
    y = jnp.array([1.0, 2.0, 6.0])
    assert float(metrics.r2(jnp.full(3, 3.0), y, jnp.ones(3))) == 0.0
    assert float(metrics.r2(y, y, jnp.ones(3))) == 1.0
