"""Scores in the compiled program against scikit-learn's, with weights, ties, padding and classes without rows."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logsumexp, softmax
from sklearn import metrics as sk

from jreg import metrics

RNG = np.random.default_rng(3)
N, K, BLOCK = 46, 4, 12
LOGITS = (2 * RNG.normal(size=(N, K))).astype("f").astype(float)
LOGITS[30:36] = LOGITS[:6]  # ties between rows
LABELS = np.where(RNG.random(N) < 0.5, LOGITS.argmax(1), RNG.integers(0, K, N))
LABELS[:K] = range(K)
HALVES = np.round(2 * LOGITS) / 2
FLAGS = (LOGITS[::-1] + RNG.normal(size=(N, K)) > 0).astype(int)
Y = (RNG.normal(size=(N, 3)) + 4).astype("f").astype(float)
GUESSED = (Y + RNG.normal(size=(N, 3))).astype("f").astype(float)
SOME = np.resize([3.0, 0.0, 1.0, 0.5, 2.0], N)
# Of all rows, of some, without class 2 (or label), and of none.
WEIGHTS = np.stack([SOME, np.ones(N), SOME * (LABELS != 2), np.zeros(N)]).astype("f")


def probabilities(outputs):
    return softmax(outputs, axis=1)


def positive(outputs):
    return expit(outputs.reshape(len(outputs))) if outputs.size == len(outputs) else softmax(outputs, axis=1)[:, 1]


def classes(outputs):
    return outputs.argmax(1) if outputs.ndim == 2 and outputs.shape[1] > 1 else (outputs.reshape(len(outputs)) > 0) * 1


def of_classes(function, **options):
    return lambda o, t, w: function(t, classes(o), sample_weight=w, **options)


def of_flags(function, **options):
    return lambda o, t, w: function(t, (o > 0) * 1, sample_weight=w, **options)


def scored(function, read, **options):
    return lambda o, t, w: function(t, read(o), sample_weight=w, **options)


def top(k):
    return lambda o, t, w: sk.top_k_accuracy_score(t, o, k=k, sample_weight=w, labels=range(K))


def brier_of_flags(o, t, w):
    return np.mean([sk.brier_score_loss(t[:, k], expit(o[:, k]), sample_weight=w, pos_label=1) for k in range(K)])


def brier_of_classes(o, t, w):
    return sk.brier_score_loss(t, softmax(o, axis=1), sample_weight=w, labels=range(o.shape[1]))


def slow_ece(bins, o, t, w):
    """Bin by bin, row by row."""
    pairs = []
    for z, y, weight in zip(o, t, w, strict=True):
        if np.ndim(y):
            found = [(max(expit(a), 1 - expit(a)), (a > 0) == (b == 1), weight) for a, b in zip(z, y, strict=True)]
        elif np.size(z) == 1:
            p = expit(float(np.squeeze(z)))
            found = [(max(p, 1 - p), (p > 0.5) == (y == 1), weight)]
        else:
            p = softmax(z)
            found = [(p.max(), p.argmax() == y, weight)]
        pairs += found
    total, value = sum(weight for _, _, weight in pairs), 0.0
    for b in range(bins):
        inside = [(p, right, v) for p, right, v in pairs if b / bins < p <= (b + 1) / bins]
        mass = sum(v for _, _, v in inside)
        if mass:
            accuracy = sum(v * right for _, right, v in inside) / mass
            confidence = sum(v * p for p, _, v in inside) / mass
            value += mass / total * abs(accuracy - confidence)
    return value


def missing_is_nan(function):
    """Scikit-learn refuses several classes of which one has no rows."""

    def score(o, t, w):
        return function(o, t, w) if set(t.ravel()) == set(range(K)) else np.nan

    return score


ROC = scored(sk.roc_auc_score, probabilities, multi_class="ovr")
AP = scored(sk.average_precision_score, probabilities)
ROWS = {
    "balanced": (metrics.balanced_accuracy, LOGITS, LABELS, of_classes(sk.balanced_accuracy_score)),
    "balanced_of_two": (metrics.balanced_accuracy, HALVES[:, :1], LABELS % 2, of_classes(sk.balanced_accuracy_score)),
    "mcc": (metrics.mcc, LOGITS, LABELS, of_classes(sk.matthews_corrcoef)),
    "mcc_of_two": (metrics.mcc, HALVES[:, 0], LABELS % 2, of_classes(sk.matthews_corrcoef)),
    **{
        f"f1_{name}": (metrics.f1(name), LOGITS, LABELS, of_classes(sk.f1_score, average=name))
        for name in ("macro", "micro", "weighted")
    },
    **{
        f"f1_{name}_of_labels": (metrics.f1(name), LOGITS, FLAGS, of_flags(sk.f1_score, average=name, zero_division=0))
        for name in ("macro", "micro", "weighted")
    },
    "f1_binary": (metrics.f1("binary"), HALVES[:, 0], LABELS % 2, of_classes(sk.f1_score)),
    "top_2": (metrics.top_k_accuracy(2), HALVES, LABELS, top(2)),
    "brier": (metrics.brier, LOGITS, LABELS, brier_of_classes),
    "brier_of_two_logits": (metrics.brier, LOGITS[:, :2], LABELS % 2, brier_of_classes),
    "brier_of_one": (metrics.brier, LOGITS[:, :1], LABELS % 2, scored(sk.brier_score_loss, positive)),
    "brier_of_labels": (metrics.brier, LOGITS, FLAGS, brier_of_flags),
    "ece": (metrics.ece(7), LOGITS, LABELS, partial(slow_ece, 7)),
    "ece_of_one": (metrics.ece(15), LOGITS[:, :1], LABELS % 2, partial(slow_ece, 15)),
    "ece_of_labels": (metrics.ece(5), LOGITS, FLAGS, partial(slow_ece, 5)),
    "roc_auc": (metrics.roc_auc, LOGITS, LABELS, missing_is_nan(ROC)),
    "roc_auc_of_two": (metrics.roc_auc, HALVES[:, 0], LABELS % 2, scored(sk.roc_auc_score, positive)),
    "roc_auc_of_two_logits": (metrics.roc_auc, HALVES[:, :2], LABELS % 2, scored(sk.roc_auc_score, positive)),
    "roc_auc_of_labels": (metrics.roc_auc, HALVES, FLAGS, scored(sk.roc_auc_score, expit)),
    "average_precision": (metrics.average_precision, LOGITS, LABELS, missing_is_nan(AP)),
    "average_precision_of_two": (
        metrics.average_precision,
        HALVES[:, 0],
        LABELS % 2,
        scored(sk.average_precision_score, positive),
    ),
    "average_precision_of_labels": (
        metrics.average_precision,
        HALVES,
        FLAGS,
        scored(sk.average_precision_score, expit),
    ),
    "rmse": (metrics.rmse, GUESSED[:, :1], Y[:, 0], lambda o, t, w: sk.root_mean_squared_error(t, o, sample_weight=w)),
    "rmse_of_many": (metrics.rmse, GUESSED, Y, lambda o, t, w: sk.root_mean_squared_error(t, o, sample_weight=w)),
    "pinball": (
        metrics.pinball(0.2),
        GUESSED,
        Y,
        lambda o, t, w: sk.mean_pinball_loss(t, o, sample_weight=w, alpha=0.2),
    ),
    "mape": (metrics.mape, GUESSED, Y, lambda o, t, w: sk.mean_absolute_percentage_error(t, o, sample_weight=w)),
}


def padded(values):
    """Whole blocks and one of padding alone, NaN where the dtype has it."""
    filler = np.nan if values.dtype.kind == "f" else -7
    rows = -len(values) % BLOCK + BLOCK
    return np.concatenate([values, np.full((rows, *values.shape[1:]), filler, values.dtype)])


# One of each way to read outputs for each way to count; the others take as long again.
SLOW = {
    *("balanced_of_two", "mcc", "f1_micro", "f1_weighted", "f1_micro_of_labels", "f1_binary", "brier_of_two_logits"),
    *("brier_of_labels", "ece_of_labels", "roc_auc_of_two_logits", "roc_auc_of_labels", "average_precision"),
    *("average_precision_of_labels", "rmse"),
}


@pytest.mark.some(6)
@pytest.mark.parametrize("row", [pytest.param(row, marks=pytest.mark.slow if row in SLOW else ()) for row in ROWS])
def test_blocks_in_a_vmapped_loop_are_scikit_learns_number(row):
    metric, outputs, targets, oracle = ROWS[row]
    given = outputs.astype("f"), targets.astype("f" if targets.dtype.kind == "f" else "i4")
    blocks = [padded(values) for values in given]

    @jax.jit
    @jax.vmap
    def score(weights):
        def body(number, state):
            part = partial(jax.lax.dynamic_slice_in_dim, start_index=number * BLOCK, slice_size=BLOCK)
            new = metric.update(state, *map(part, map(jnp.asarray, blocks)), part(weights))
            return jax.tree.map(lambda a, b: b.astype(a.dtype), state, new)

        shapes = [jax.ShapeDtypeStruct((BLOCK, *values.shape[1:]), values.dtype) for values in given]
        return metric.compute(jax.lax.fori_loop(0, len(blocks[0]) // BLOCK, body, metric.init(*shapes, len(blocks[0]))))

    found = score(jnp.pad(WEIGHTS, ((0, 0), (0, len(blocks[0]) - N))))
    assert (found.dtype, found.shape) == (jnp.float32, (4,))
    for value, weights in zip(found[:3], WEIGHTS.astype(float), strict=False):
        meant = weights > 0
        with warnings.catch_warnings():
            # Of classes that are predicted alone, and of labels that never occur.
            warnings.simplefilter("ignore")
            expected = oracle(outputs[meant], targets[meant], weights[meant])
        np.testing.assert_allclose(value, expected, rtol=5e-6)
    assert np.isnan(found[3])


# Classes without rows, and numbers that aren't known.


def test_classes_without_rows_are_scikit_learns():
    logits, labels = np.eye(4, 5, dtype="f")[[0, 1, 3, 0, 1, 1]], np.array([0, 1, 0, 0, 1, 0])
    predicted, none = logits.argmax(1), np.zeros(6, int)  # class 3 is predicted alone, 2 and 4 don't occur
    averages = "macro", "micro", "weighted"
    expected = [sk.f1_score(labels, predicted, average=name) for name in averages]
    recalls = sk.recall_score(labels, predicted, average=None, labels=[0, 1])
    expected += [sk.matthews_corrcoef(labels, predicted), recalls.mean()]

    @jax.jit
    def found():
        several = [metrics.f1(name)(logits, labels) for name in averages]
        several += [metrics.mcc(logits, labels), metrics.balanced_accuracy(logits, labels)]
        # Labels or predictions of one class alone.
        zero = [metrics.mcc(logits, none), metrics.mcc(np.zeros((6, 5), "f"), labels)]
        zero += [metrics.f1("binary")(-np.ones(6, "f"), none), metrics.average_precision(logits[:, 0], none)]
        nan = [metrics.roc_auc(logits, labels), metrics.average_precision(logits, labels)]
        return several, zero, [*nan, metrics.roc_auc(logits[:, 0], none)]

    several, zero, nan = found()
    np.testing.assert_allclose(several, expected, rtol=1e-6)
    assert np.array_equal(zero, np.zeros(4))
    assert np.isnan(nan).all()


def test_a_nan_output_or_a_label_that_is_no_class_gives_nan():
    logits, labels = jnp.asarray(LOGITS, jnp.float32), jnp.asarray(LABELS)
    ones = np.ones(N)
    named = {name: ROWS[name][0] for name in ("balanced", "f1_macro", "top_2", "brier", "ece", "roc_auc")}
    for name, metric in named.items():
        found = jax.jit(metric)
        assert np.isfinite(found(logits.at[7, 1].set(jnp.nan), labels, ones * (np.arange(N) != 7))), name
        assert np.isnan(found(logits.at[7, 1].set(jnp.nan), labels, ones)), name
        if name not in ("ece", "roc_auc"):
            assert all(np.isnan(found(logits, labels.at[7].set(wrong), ones)) for wrong in (-1, K)), name


def test_mape_is_nan_where_a_target_of_weight_is_0():
    outputs, targets = jnp.array([1.0, 3.0, 5.0]), jnp.array([2.0, 2.0, 0.0])
    assert np.isnan(metrics.mape(outputs, targets))
    assert float(metrics.mape(outputs, targets, jnp.array([1.0, 1.0, 0.0]))) == 0.5


def test_sure_outputs_keep_their_order_in_the_area():
    # Most of their probabilities are 1 or 0 in float32, and some in float64.
    logits = np.array([[70, 0, 0], [60, 1, 0], [50, 0, 2], [40, 3, 0], [30, 0, 43], [20, 63, 0]], np.float32)
    labels = np.array([0, 0, 2, 1, 2, 1])
    others = [logsumexp(np.delete(logits.astype(float), k, axis=1), axis=1) for k in range(3)]
    for metric, function in (
        (metrics.roc_auc, sk.roc_auc_score),
        (metrics.average_precision, sk.average_precision_score),
    ):
        expected = np.mean([function(labels == k, logits[:, k] - others[k]) for k in range(3)])
        several, two = jax.jit(lambda m=metric: (m(logits, labels), m(logits[:, 0], labels == 0)))()
        assert float(several) == pytest.approx(expected, rel=1e-6)
        assert float(two) == pytest.approx(function(labels == 0, logits[:, 0]), rel=1e-6)


@pytest.mark.slow
def test_sequences_of_labels_are_their_flat_rows():
    logits, labels = RNG.normal(size=(6, 2, 4, 5)).astype("f"), RNG.integers(0, 5, (6, 2, 4))
    weights = np.array([1.0, 0.0, 2.0, 1.0, 1.0, 3.0])
    flat = logits.reshape(-1, 5), labels.reshape(-1), np.repeat(weights, 8)
    for metric in (metrics.f1("macro"), metrics.ece(4), metrics.brier, metrics.roc_auc, metrics.top_k_accuracy(2)):
        np.testing.assert_allclose(*jax.jit(lambda m=metric: (m(logits, labels, weights), m(*flat)))(), rtol=2e-6)


def test_the_correlation_of_many_rows_of_a_rare_class_keeps_its_digits():
    labels = np.zeros(200_000, int)
    labels[:3] = 1
    outputs = np.where(np.arange(200_000) < 2, 1.0, -1.0)
    expected = sk.matthews_corrcoef(labels, outputs > 0)
    assert float(jax.jit(metrics.mcc)(jnp.asarray(outputs, jnp.float32), labels)) == pytest.approx(expected, rel=1e-5)


# Refusals.


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: metrics.top_k_accuracy(0), ValueError, "top_k_accuracy's k is 0, but must be at least 1"),
        (lambda: metrics.top_k_accuracy(2.0), TypeError, "k is 2.0, but must be a whole number"),
        (
            lambda: metrics.top_k_accuracy(4)(LOGITS, LABELS),
            ValueError,
            r"top_k_accuracy\(4\) got .* more than 4 classes",
        ),
        (lambda: metrics.top_k_accuracy(1)(LOGITS[:, 0], FLAGS[:, 0]), ValueError, "take metrics.accuracy"),
        (lambda: metrics.ece(0), ValueError, "ece's number of bins is 0, but must be at least 1"),
        (lambda: metrics.ece(True), TypeError, "ece's number of bins is True"),
        (lambda: metrics.f1("samples"), ValueError, "f1's average is 'samples', but must be 'binary', 'macro'"),
        (lambda: metrics.f1(None), ValueError, "f1's average is None"),
        (lambda: metrics.f1("binary")(LOGITS, LABELS), ValueError, r"f1\('binary'\) takes two classes, but got"),
        (lambda: metrics.pinball(1.5), ValueError, r"pinball's quantile is 1.5, but must lie in \[0, 1\]"),
        (lambda: metrics.pinball("0.5"), TypeError, "pinball's quantile is '0.5', but must be one number"),
        (lambda: metrics.pinball([0.1, 0.9]), TypeError, r"quantile is \[0.1, 0.9\], but must be one number"),
        (lambda: metrics.mcc(LOGITS, FLAGS), ValueError, "mcc takes one label per example"),
        (lambda: metrics.balanced_accuracy(LOGITS, FLAGS), ValueError, "balanced_accuracy takes one label per example"),
        (lambda: metrics.brier(LOGITS, LABELS * 1.0), TypeError, "labels of several classes must be integers"),
        (lambda: metrics.roc_auc(LOGITS, LABELS * 1.0), TypeError, "labels of several classes must be integers"),
        (lambda: metrics.ece(5)(LOGITS, LABELS * 1.0), TypeError, "labels of several classes must be integers"),
    ],
)
def test_wrong_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        jax.eval_shape(make)


@pytest.mark.parametrize(
    "metric",
    [metrics.balanced_accuracy, metrics.f1("macro"), metrics.mcc, metrics.brier, metrics.ece(5), metrics.roc_auc,
     metrics.average_precision, metrics.rmse, metrics.mape, metrics.pinball(0.5)],
)  # fmt: skip
def test_outputs_that_do_not_fit_the_targets_are_refused_with_both_shapes(metric):
    with pytest.raises(ValueError, match=r"outputs of shape \(4, 3\) do not fit targets of shape \(4, 2\)"):
        jax.eval_shape(metric, jnp.ones((4, 3)), jnp.ones((4, 2), jnp.int32))


def test_a_traced_quantile():
    found = jax.jit(lambda q: metrics.pinball(q)(GUESSED, Y))(jnp.array(0.2))
    assert float(found) == pytest.approx(sk.mean_pinball_loss(Y, GUESSED, alpha=0.2), rel=1e-6)
    assert np.isnan(jax.jit(lambda q: metrics.pinball(q)(GUESSED, Y))(jnp.array(1.2)))


@pytest.mark.slow
def test_two_classes_have_one_calibration_error_with_one_output_and_with_two():
    one = jnp.asarray(LOGITS[:, 0], jnp.float32)
    two = jnp.stack([jnp.zeros(N), one], axis=1)
    for metric in (metrics.ece(10), metrics.brier, metrics.roc_auc, metrics.average_precision, metrics.mcc):
        np.testing.assert_allclose(*jax.jit(lambda m=metric: (m(one, LABELS % 2), m(two, LABELS % 2)))(), rtol=1e-5)
