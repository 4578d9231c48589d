import doctest
import importlib
import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    roc_auc_score,
)

from jreg import metrics

RNG = np.random.default_rng(0)
# Numbers that float32 holds, so that both sides are given the same ones.
LOGITS = (3 * RNG.normal(size=(23, 5))).astype("f").astype(float)
LABELS = RNG.integers(0, 5, 23)
Y = (RNG.normal(size=23) + 5).astype("f").astype(float)
PREDICTED = (Y + 0.1 * LOGITS[:, 0]).astype("f").astype(float)
MANY = RNG.normal(size=(23, 3)).astype("f").astype(float)
MANY_PREDICTED = (MANY + 0.4 * RNG.normal(size=(23, 3))).astype("f").astype(float)
WEIGHTS = np.array([*[3.0, 0.0, 1.0, 0.5, 2.0] * 4, 1.0, 0.0, 4.0])


def roc_auc(outputs, targets, weights):
    """Share of the pairs of a positive and a negative that are in order, a tie counting half."""
    pairs = jnp.where(targets == 1, weights, 0)[:, None] * jnp.where(targets == 0, weights, 0)[None]
    over = outputs[:, None] - outputs[None]
    return jnp.sum(pairs * (jnp.sign(over) + 1) / 2) / jnp.sum(pairs)


AUC = metrics.collecting(roc_auc, maximize=True)


def flat_log_loss(outputs, targets, weights):
    return log_loss(targets, softmax(outputs, axis=1), sample_weight=weights, labels=range(5))


# The metric, its outputs and targets, and the same number by scikit-learn in float64.
ROWS = {
    "accuracy": (metrics.accuracy, LOGITS, LABELS, lambda o, t, w: accuracy_score(t, o.argmax(1), sample_weight=w)),
    "sign": (metrics.accuracy, LOGITS[:, 0], LABELS % 2, lambda o, t, w: accuracy_score(t, o > 0, sample_weight=w)),
    "column": (metrics.accuracy, LOGITS[:, :1], LABELS % 2, lambda o, t, w: accuracy_score(t, o > 0, sample_weight=w)),
    "multilabel": (
        metrics.accuracy,
        LOGITS,
        (LOGITS[::-1] > 0).astype(int),
        lambda o, t, w: np.mean([accuracy_score(t[:, k], o[:, k] > 0, sample_weight=w) for k in range(5)]),
    ),
    "log_loss": (metrics.log_loss, LOGITS, LABELS, flat_log_loss),
    "log_loss_of_two": (
        metrics.log_loss,
        LOGITS[:, :1],
        LABELS % 2,
        lambda o, t, w: log_loss(t, 1 / (1 + np.exp(-o[:, 0])), sample_weight=w),
    ),
    "perplexity": (metrics.perplexity, LOGITS, LABELS, lambda o, t, w: np.exp(flat_log_loss(o, t, w))),
    "mse": (metrics.mse, PREDICTED[:, None], Y, lambda o, t, w: mean_squared_error(t, o, sample_weight=w)),
    "mse_of_many": (metrics.mse, MANY_PREDICTED, MANY, lambda o, t, w: mean_squared_error(t, o, sample_weight=w)),
    "mae": (metrics.mae, PREDICTED, Y, lambda o, t, w: mean_absolute_error(t, o, sample_weight=w)),
    "mae_of_many": (metrics.mae, MANY_PREDICTED, MANY, lambda o, t, w: mean_absolute_error(t, o, sample_weight=w)),
    "r2": (metrics.r2, PREDICTED[:, None], Y, lambda o, t, w: r2_score(t, o, sample_weight=w)),
    "r2_of_many": (
        metrics.r2,
        MANY_PREDICTED,
        MANY,
        lambda o, t, w: r2_score(t, o, sample_weight=w, multioutput="variance_weighted"),
    ),
    "collecting": (AUC, LOGITS[:, 0], LABELS % 2, lambda o, t, w: roc_auc_score(t, o, sample_weight=w)),
}
each_row = pytest.mark.parametrize("row", ROWS)


def arrays(row):
    metric, outputs, targets, oracle = ROWS[row]
    to = jnp.int32 if targets.dtype.kind == "i" else jnp.float32
    return metric, jnp.asarray(outputs, jnp.float32), jnp.asarray(targets, to), oracle(outputs, targets, WEIGHTS)


def garbage(values, rows):
    """The values with rows of padding behind them, NaN where the dtype has it."""
    filler = jnp.nan if jnp.issubdtype(values.dtype, jnp.floating) else -7
    return jnp.concatenate([values, jnp.full((rows, *values.shape[1:]), filler, values.dtype)])


@pytest.mark.some(7)
@each_row
def test_one_call_is_scikit_learns_with_sample_weights(row):
    metric, outputs, targets, expected = arrays(row)
    actual = jax.jit(metric)(outputs, targets, WEIGHTS)
    assert actual.dtype == jnp.float32
    assert actual.shape == ()
    np.testing.assert_allclose(actual, expected, rtol=3e-6)
    np.testing.assert_allclose(metric(outputs, targets), metric(outputs, targets, np.ones(23)), rtol=0)


@pytest.mark.some(7)
@each_row
def test_blocks_of_unequal_sizes_with_nan_in_their_padding_are_one_call(row):
    metric, outputs, targets, expected = arrays(row)
    blocks = [(0, 4, 3), (4, 5, 0), (5, 5, 2), (5, 20, 1), (20, 23, 4)]
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct((4, *a.shape[1:]), a.dtype), (outputs, targets))
    state = metric.init(*shapes, 23 + 10)
    update = jax.jit(metric.update)
    for start, stop, extra in blocks:
        rows = slice(start, stop)
        weights = np.r_[WEIGHTS[rows], np.zeros(extra)].astype("f")
        new = update(state, garbage(outputs[rows], extra), garbage(targets[rows], extra), weights)
        for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(new), strict=True):
            assert (before.shape, before.dtype) == (after.shape, after.dtype)
        state = new
    np.testing.assert_allclose(metric.compute(state), expected, rtol=3e-6)


@pytest.mark.some(4)
@each_row
def test_state_passes_through_a_loop_under_vmap(row):
    metric, outputs, targets, expected = arrays(row)
    size, count = 6, 4
    outputs, targets = garbage(outputs, 1), garbage(targets, 1)
    weights = jnp.asarray(np.r_[WEIGHTS, 0], jnp.float32)

    def score(weights):
        def body(n, state):
            block = partial(jax.lax.dynamic_slice_in_dim, start_index=n * size, slice_size=size)
            return metric.update(state, block(outputs), block(targets), block(weights))

        return metric.compute(jax.lax.fori_loop(0, count, body, metric.init(outputs[:size], targets[:size], 24)))

    several = jnp.stack([weights, jnp.zeros(24), jnp.where(jnp.arange(24) < 23, 1.0, 0.0)])
    actual = jax.jit(jax.vmap(score))(several)
    np.testing.assert_allclose(actual, [expected, np.nan, metric(outputs[:23], targets[:23])], rtol=3e-6)


@pytest.mark.some(4)
@each_row
def test_scan_over_blocks_is_one_call(row):
    metric, outputs, targets, expected = arrays(row)
    blocks = jax.tree.map(
        lambda a: garbage(a, 2).reshape(5, 5, *a.shape[1:]), (outputs, targets, jnp.asarray(WEIGHTS, jnp.float32))
    )
    blocks = (*blocks[:2], jnp.nan_to_num(blocks[2]))
    state = metric.init(blocks[0][0], blocks[1][0], 25)
    state, _ = jax.lax.scan(lambda state, block: (metric.update(state, *block), None), state, blocks)
    np.testing.assert_allclose(metric.compute(state), expected, rtol=3e-6)


@each_row
def test_state_and_score_keep_their_dtypes_where_x64_is_on(row):
    with jax.enable_x64(True):
        metric, outputs, targets, weights = *arrays(row)[:3], jnp.asarray(WEIGHTS, jnp.float32)
        state = jax.eval_shape(lambda: metric.init(outputs, targets, 23))
        assert jax.eval_shape(metric.update, state, outputs, targets, weights) == state
        assert jax.eval_shape(metric, outputs, targets).dtype == jnp.float32


def test_no_weight_is_nan():
    for metric, shape in ((metrics.accuracy, (3, 2)), (metrics.mse, (3,)), (metrics.perplexity, (3, 2))):
        assert np.isnan(metric(jnp.zeros(shape), jnp.zeros(3, jnp.int32), jnp.zeros(3)))


@pytest.mark.slow
def test_sequences_and_images_of_labels_are_their_flat_rows():
    logits, labels = RNG.normal(size=(6, 2, 4, 5)), RNG.integers(0, 5, (6, 2, 4))
    weights = np.array([1.0, 0.0, 2.0, 1.0, 1.0, 3.0])
    flat = logits.reshape(-1, 5), labels.reshape(-1), np.repeat(weights, 8)
    arguments = jnp.asarray(logits, jnp.float32), jnp.asarray(labels), jnp.asarray(weights, jnp.float32)
    expected = accuracy_score(flat[1], flat[0].argmax(1), sample_weight=flat[2])
    np.testing.assert_allclose(metrics.accuracy(*arguments), expected, rtol=1e-6)
    np.testing.assert_allclose(metrics.log_loss(*arguments), flat_log_loss(*flat), rtol=1e-6)
    np.testing.assert_allclose(metrics.perplexity(*arguments), np.exp(flat_log_loss(*flat)), rtol=2e-6)
    # A channel of two classes.
    two = metrics.accuracy(arguments[0][..., :1], arguments[1] % 2, arguments[2])
    np.testing.assert_allclose(two, accuracy_score(flat[1] % 2, flat[0][:, 0] > 0, sample_weight=flat[2]), rtol=1e-6)


def test_perplexity_of_a_uniform_guess_is_the_number_of_classes():
    labels = jnp.asarray(LABELS, jnp.int32)
    np.testing.assert_allclose(metrics.perplexity(jnp.full((23, 5), 2.0), labels), 5, rtol=1e-6)
    np.testing.assert_allclose(metrics.log_loss(jnp.full((23, 5), 2.0), labels), np.log(5), rtol=1e-6)


def test_extreme_logits_keep_the_log_loss_finite():
    extreme = jnp.array([[1e4, -1e4], [-1e4, 1e4]])
    assert float(metrics.log_loss(extreme, jnp.array([0, 0]))) == 1e4
    assert float(metrics.log_loss(jnp.array([1e4, -1e4]), jnp.array([1, 1]))) == 5e3


def test_bfloat16_outputs_are_summed_in_float32():
    # In bfloat16 a sum of ones ends at 256.
    ones = jnp.ones(1000, jnp.bfloat16)
    assert float(metrics.mse(ones, jnp.zeros(1000))) == 1
    assert float(metrics.average(lambda outputs, targets: outputs, maximize=True)(ones, ones)) == 1


def test_outputs_are_reshaped_to_the_targets():
    images = jnp.asarray(RNG.normal(size=(4, 3, 2)), jnp.float32)
    for metric in (metrics.mse, metrics.mae, metrics.r2):
        assert float(metric(images.reshape(4, 6), images)) == float(metric.maximize)


def test_weights_count_rows_as_often():
    counts = np.array([*[3, 0, 1, 2] * 5, 1, 1, 0])
    repeated = np.repeat(np.arange(23), counts)
    for metric, outputs, targets, _ in map(arrays, ROWS):
        weighted = metric(outputs, targets, jnp.asarray(counts, jnp.float32))
        np.testing.assert_allclose(weighted, metric(outputs[repeated], targets[repeated]), rtol=3e-6)


def test_r2_of_the_mean_is_zero_and_of_the_targets_one():
    y = jnp.array([1.0, 2.0, 6.0])
    assert float(metrics.r2(jnp.full(3, 3.0), y, jnp.ones(3))) == 0.0
    assert float(metrics.r2(y, y, jnp.ones(3))) == 1.0


def r2_in_blocks(outputs, targets, size):
    def step(state, block):
        return metrics.r2.update(state, *block, jnp.ones(size)), None

    blocks = outputs.reshape(-1, size), targets.reshape(-1, size)
    return metrics.r2.compute(
        jax.jit(jax.lax.scan, static_argnums=0)(step, metrics.r2.init(outputs, targets, 0), blocks)[0]
    )


@pytest.mark.some(5)
@pytest.mark.parametrize("mean", [0.0, 1e3, -1e5])
@pytest.mark.parametrize("size", [1, 10, 2000])
@pytest.mark.parametrize("order", ["random", "rising"])
def test_r2_of_a_large_mean_is_that_of_float64(mean, size, order):
    rng = np.random.default_rng(1)
    y = rng.normal(size=2000)
    y = jnp.asarray((np.sort(y) if order == "rising" else y) + mean, jnp.float32)
    outputs = y + jnp.asarray(0.3 * rng.normal(size=2000), jnp.float32)
    expected = r2_score(np.asarray(y, np.float64), np.asarray(outputs, np.float64))
    np.testing.assert_allclose(r2_in_blocks(outputs, y, size), expected, rtol=2e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -12345.678])
@pytest.mark.parametrize("size", [1, 10, 200])
def test_r2_of_constant_targets_is_nan_though_they_differ_by_rounding(value, size):
    y = np.full(200, value, np.float32)
    y[::3] = np.nextafter(y[::3], np.float32(2 * value))
    outputs = jnp.asarray(RNG.normal(size=200), jnp.float32)
    assert np.isnan(r2_in_blocks(outputs, jnp.asarray(y), size))


def test_average_of_further_axes_and_its_finish():
    outputs, targets = jnp.arange(6.0).reshape(2, 3), jnp.zeros((2, 3))
    metric = metrics.average(lambda o, t: jnp.square(o - t), maximize=False, finish=jnp.sqrt)
    np.testing.assert_allclose(metric(outputs, targets), np.sqrt(55 / 6), rtol=1e-6)
    np.testing.assert_allclose(metric(outputs, targets, jnp.array([1.0, 0.0])), np.sqrt(5 / 3), rtol=1e-6)


def test_outputs_and_targets_may_be_trees():
    def right(outputs, targets):
        return outputs["logits"].argmax(-1) == targets["label"].argmax(-1)

    def all_right(outputs, targets, weights):
        return jnp.min(jnp.where(weights > 0, right(outputs, targets), True))

    outputs = {"logits": jnp.eye(4, 3)[jnp.array([0, 1, 2, 1])], "features": jnp.ones((4, 7))}
    targets = {"label": jnp.eye(4, 3)[jnp.array([0, 1, 2, 0])]}
    weights = jnp.array([1.0, 1.0, 1.0, 0.0])
    for metric in (metrics.average(right, maximize=True), metrics.collecting(all_right, maximize=True)):
        assert float(metric(outputs, targets, weights)) == 1
        assert float(metric(outputs, targets)) == {"right": 0.75, "all_right": 0}[metric.__name__]


def test_collecting_gives_zeros_of_weight_zero_for_padding_and_unused_rows():
    def seen(outputs, targets, weights):
        jax.debug.callback(lambda *a: received.append([np.asarray(b).tolist() for b in a]), outputs, targets, weights)
        return jnp.sum(weights)

    received = []
    metric = metrics.collecting(seen, maximize=True)
    state = metric.init(jnp.zeros((2, 1)), jnp.zeros(2, jnp.int32), 6)
    state = metric.update(state, jnp.array([[1.0], [jnp.nan]]), jnp.array([5, 6]), jnp.array([2.0, 0.0]))
    state = metric.update(state, jnp.array([[3.0], [4.0]]), jnp.array([7, 8]), jnp.array([1.0, 0.5]))
    assert float(metric.compute(state)) == 3.5
    jax.effects_barrier()
    outputs, targets, weights = received[0]
    assert outputs == [[1], [0], [3], [4], [0], [0]]
    assert targets == [5, 0, 7, 8, 0, 0]
    assert weights == [2, 0, 1, 0.5, 0, 0]


def test_more_rows_than_collecting_was_told_are_nan_or_refused():
    state = AUC.init(jnp.zeros(2), jnp.zeros(2), 3)
    block = jnp.array([0.5, -0.5]), jnp.array([1.0, 0.0]), jnp.ones(2)
    state = AUC.update(state, *block)
    assert float(AUC.compute(state)) == 1
    assert np.isnan(AUC.compute(AUC.update(state, *block)))
    with pytest.raises(ValueError, match="a block has 2 rows, but init of the metric was given only 1"):
        AUC.update(AUC.init(jnp.zeros(2), jnp.zeros(2), 1), *block)


def test_metrics_of_parameters():
    params = {"kernel": jnp.array([[3.0, 0.0], [0.0, 4.0]]), "bias": jnp.zeros(2)}

    def norms(params):
        return {name: jnp.linalg.norm(w.ravel()) for name, w in params.items()}

    def zeros(params):
        return sum(jnp.sum(w == 0) for w in jax.tree.leaves(params))

    assert jax.tree.map(float, metrics.of_params(norms, maximize=False)(params)) == {"kernel": 5, "bias": 0}
    metric = metrics.of_params(zeros, maximize=True)
    assert metric.maximize
    assert jax.jit(metric)(params).dtype == jnp.float32
    assert float(metric(params)) == 4
    with pytest.raises(ValueError, match=r"of_params returned an array of shape \(2, 2\), but must return one number"):
        metrics.of_params(lambda params: params, maximize=True)(params["kernel"])


def test_directions():
    higher = {name for name in metrics.__all__ if getattr(getattr(metrics, name), "maximize", None) is True}
    lower = {name for name in metrics.__all__ if getattr(getattr(metrics, name), "maximize", None) is False}
    assert higher == {"accuracy", "average_precision", "balanced_accuracy", "mcc", "r2", "roc_auc"}
    assert lower == {"brier", "log_loss", "mae", "mape", "mse", "perplexity", "rmse"}
    assert metrics.f1("macro").maximize
    assert metrics.top_k_accuracy(3).maximize
    assert not metrics.ece(15).maximize
    assert not metrics.pinball(0.5).maximize
    assert AUC.maximize
    assert not metrics.average(lambda o, t: o, maximize=False).maximize


@pytest.mark.parametrize("make", [metrics.average, metrics.collecting, metrics.of_params])
def test_the_direction_is_always_stated(make):
    with pytest.raises(TypeError, match="maximize"):
        make(jnp.subtract)
    with pytest.raises(TypeError, match="positional"):
        make(jnp.subtract, True)
    with pytest.raises(TypeError, match=r"maximize of a (Params)?Metric is 'max', but must be True where higher"):
        make(jnp.subtract, maximize="max")


def test_as_metric_returns_metrics_and_refuses_all_else():
    norm = metrics.of_params(jnp.linalg.norm, maximize=False)
    assert metrics.as_metric("norm", norm) is norm
    assert metrics.as_metric("r2", metrics.r2) is metrics.r2
    with pytest.raises(TypeError, match=r"the metric 'auc' is the function roc_auc, a plain function") as error:
        metrics.as_metric("auc", roc_auc)
    assert all(
        f"jreg.metrics.{lift}(f, maximize=...)" in str(error.value) for lift in ("average", "collecting", "of_params")
    )
    for value in ("accuracy", None, metrics.Metric):
        with pytest.raises(TypeError, match=r"the metric 'x' is .* but must be a metric such as jreg.metrics.accuracy"):
            metrics.as_metric("x", value)


@pytest.mark.parametrize(
    "metric", [metrics.accuracy, metrics.log_loss, metrics.perplexity, metrics.mse, metrics.mae, metrics.r2]
)
def test_outputs_that_do_not_fit_the_targets_are_refused_with_both_shapes(metric):
    with pytest.raises(ValueError, match=r"outputs of shape \(4, 3\) do not fit targets of shape \(4, 2\)"):
        metric(jnp.ones((4, 3)), jnp.ones((4, 2), jnp.int32))
    # Broadcasting would score nonsense in silence.
    with pytest.raises(ValueError, match=r"outputs of shape \(4, 1\) do not fit targets of shape \(1,\)"):
        metric(jnp.ones((4, 1)), jnp.ones(1, jnp.int32))


def test_shapes_that_do_not_fit_are_refused():
    one = metrics.average(lambda outputs, targets: jnp.mean(outputs), maximize=True)
    with pytest.raises(ValueError, match=r"average returned an array of shape \(\) for 4 examples, .*collecting"):
        one(jnp.ones(4), jnp.ones(4))
    with pytest.raises(ValueError, match=r"collecting returned an array of shape \(4,\), but must return one number"):
        metrics.collecting(lambda outputs, targets, weights: outputs, maximize=True)(jnp.ones(4), jnp.ones(4))
    with pytest.raises(ValueError, match=r"weights have shape \(4, 1\), but must have \(4,\)"):
        metrics.mse(jnp.ones(4), jnp.ones(4), jnp.ones((4, 1)))
    for metric in (metrics.log_loss, metrics.perplexity):
        with pytest.raises(
            TypeError, match="targets have dtype float32, but labels of several classes must be integers"
        ):
            metric(jnp.ones((4, 3)), jnp.ones(4))


def test_a_metric_shows_its_functions_name_docstring_and_examples():
    for name in [name for name in metrics.__all__ if isinstance(getattr(metrics, name), metrics.Metric)]:
        metric = getattr(metrics, name)
        assert metric.__name__ == name
        assert "maximize" not in inspect.signature(metric).parameters
        assert list(inspect.signature(metric).parameters) == ["outputs", "targets", "weights"]
        assert ".. math::" in inspect.getdoc(metric)
        module = importlib.import_module(metric.__module__)
        assert getattr(module, name) is metric
        (test,) = (t for t in doctest.DocTestFinder().find(module) if t.name == f"{module.__name__}.{name}")
        assert test.examples
    assert AUC.__doc__ == roc_auc.__doc__
