"""Class weights from the training rows of each fold, against scikit-learn's."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

import jreg
from jreg import losses, nn
from jreg.training import class_weights

RNG = np.random.default_rng(0)
Y = RNG.permutation(np.repeat([0, 1, 2], [30, 12, 6]))
X = RNG.normal(size=(48, 2)).astype(np.float32) + np.eye(3, 2, dtype=np.float32)[Y]
DATA = jreg.Dataset(X, Y, name="unequal")
WEIGHTS = RNG.uniform(0.2, 3, 48)


def network(class_weight="balanced", outputs=3, loss=losses.softmax_cross_entropy, **more):
    def recipe(hp):
        return jreg.Recipe(nn.Linear(outputs), loss, optax.sgd(hp["rate"]), class_weight=class_weight, **more)

    return recipe


def fitted(data, recipe, rate=0.5, **options):
    given = {"epochs": 1, "batch_size": len(data)} | options
    return jreg.fit(jax.random.key(0), recipe, data, {"rate": rate}, **given)


def kernel_and_bias(params):
    leaves = sorted(jax.tree.leaves(params), key=lambda leaf: -leaf.ndim)
    return [np.asarray(leaf, np.float64) for leaf in leaves]


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_weights_are_scikit_learns(weights):
    counts = np.bincount(Y, weights, minlength=3)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=Y, sample_weight=weights)
    np.testing.assert_allclose(class_weights.balanced(jnp.asarray(counts, jnp.float32)), expected, rtol=1e-6)


def test_a_class_without_rows_counts_nothing_and_isnt_counted():
    found = class_weights.balanced(jnp.array([4.0, 0.0, 12.0]))
    np.testing.assert_allclose(found, [2, 0, 2 / 3], rtol=1e-6)


def test_a_step_is_that_of_scikit_learns_sample_weights():
    """The gradient of a step, from what it changes, is that of the loss with scikit-learn's weights for the rows."""
    data, recipe = dataclasses.replace(DATA, weights=WEIGHTS), network()
    train, rest = np.arange(0, 36), np.arange(36, 48)
    start, found = (fitted(data, recipe, rate, train=train, validation=rest) for rate in (0.0, 0.5))
    own = WEIGHTS[train]
    # What scikit-learn's balanced estimators multiply the rows' weights by.
    share = own * compute_class_weight("balanced", classes=np.arange(3), y=Y[train], sample_weight=own)[Y[train]]
    kernel, bias = kernel_and_bias(start.params)
    logits = X[train].astype(np.float64) @ kernel + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = (share / share.sum())[:, None] * (probabilities - np.eye(3)[Y[train]])
    after = kernel_and_bias(found.params)
    np.testing.assert_allclose(after[0], kernel - 0.5 * X[train].T @ error, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after[1], bias - 0.5 * error.sum(axis=0), rtol=1e-5, atol=1e-6)
    # The columns of the history don't know of it.
    each = -np.log(probabilities[np.arange(36), Y[train]])
    assert float(found.history["train_loss"][0]) == pytest.approx(np.average(each, weights=own), rel=1e-5)
    logits = X[rest].astype(np.float64) @ after[0] + after[1]
    each = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(12), Y[rest]]
    assert float(found.history["val_loss"][0]) == pytest.approx(np.average(each, weights=WEIGHTS[rest]), rel=1e-5)


@pytest.mark.slow
def test_the_optimum_is_that_of_a_balanced_logistic_regression():
    strength = 0.05
    penalty = strength * jreg.on_params(jreg.penalties.l2)
    found = fitted(DATA, network(penalty=penalty), epochs=400)
    # Here the mean of weighted losses and strength |w|^2 / 2, there C times their sum and |w|^2 / 2.
    model = LogisticRegression(C=1 / (strength * len(DATA)), class_weight="balanced", tol=1e-8, max_iter=1000).fit(X, Y)
    kernel, bias = kernel_and_bias(found.params)
    np.testing.assert_allclose(kernel.T, model.coef_, atol=2e-3)
    np.testing.assert_allclose(bias - bias.mean(), model.intercept_, atol=2e-3)


def test_folds_of_a_study_have_weights_of_their_own():
    """Gradient descent from zero on each fold, by hand, with scikit-learn's weights of its own training rows."""
    pairs = [(np.arange(24), np.arange(24, 48)), (np.arange(20, 48), np.arange(20))]
    zeros = network(initial=lambda drawn: jax.tree.map(jnp.zeros_like, drawn))
    study = jreg.cross_validate(
        zeros, DATA, jreg.grid(rate=[0.5]), cv=pairs, epochs=3, batch_size=48, progress=False, keep=[]
    )
    x, hot = np.c_[X, np.ones(48)].astype(np.float64), np.eye(3)[Y]
    for fold, (train, rest) in enumerate(pairs):
        weights = compute_sample_weight("balanced", Y[train])
        w, expected = np.zeros((3, 3)), []
        for _ in range(3):
            error = softmax(x[train] @ w, axis=1) - hot[train]
            w -= 0.5 * x[train].T @ (weights[:, None] / weights.sum() * error)
            expected.append(-(hot[rest] * log_softmax(x[rest] @ w, axis=1)).sum(axis=1).mean())
        np.testing.assert_allclose(study.curve("val_loss")[0, fold, 0], expected, rtol=1e-5)


def test_a_mixed_example_counts_by_the_mix_of_its_classes():
    """Integers, shares of two classes in one number, and shares of several."""
    weights = jnp.array([0.5, 2.0])
    np.testing.assert_allclose(class_weights.of_targets(weights, jnp.array([1, 0])), [2, 0.5])
    np.testing.assert_allclose(class_weights.of_targets(weights, jnp.array([0.0, 1.0, 0.25])), [0.5, 2, 0.875])
    np.testing.assert_allclose(class_weights.of_targets(weights, jnp.array([[0.75, 0.25], [0, 1]])), [0.875, 2])


@pytest.mark.slow
def test_a_single_output_has_two_classes():
    y = (Y > 0).astype(int)
    sigmoid = fitted(jreg.Dataset(X, y), network(outputs=1, loss=losses.sigmoid_cross_entropy))
    by_hand = jreg.Dataset(X, y, weights=compute_sample_weight("balanced", y))
    expected = fitted(by_hand, network(None, outputs=1, loss=losses.sigmoid_cross_entropy))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), sigmoid.params, expected.params)


@pytest.mark.slow
def test_a_stream_balances_the_same():
    source = list(zip(X, Y, strict=True))
    options = {"epochs": 2, "batch_size": 16, "train": np.arange(40)}
    read = jreg.fit_stream(jax.random.key(0), network(), source, {"rate": 0.5}, **options)
    held = fitted(DATA, network(), **options)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), read.params, held.params)


@pytest.mark.parametrize(
    ("data", "more", "error", "sentence"),
    [
        (DATA, {"class_weight": "equal"}, ValueError, "the recipe's class_weight is .*equal.*, but must be 'balanced'"),
        (
            DATA,
            {"class_weight": {0: 1.0}},
            ValueError,
            "the recipe's class_weight is .*, but must be 'balanced' or None",
        ),
        (DATA, {"reconstruct": True}, ValueError, "neither mixing, targets nor a class_weight"),
        (
            jreg.Dataset(X, X[:, 0], name="numbers"),
            {"outputs": 1, "loss": losses.squared_error},
            ValueError,
            "class_weight is 'balanced', but the rows of numbers don't have one class each: leave it out",
        ),
        (
            jreg.Dataset(X, np.eye(3, dtype=int)[Y], name="flags", task="multilabel"),
            {"loss": losses.sigmoid_cross_entropy},
            ValueError,
            "class_weight is 'balanced', but the rows of flags don't have one class each",
        ),
    ],
)
def test_what_has_no_classes_to_balance_is_refused(data, more, error, sentence):
    with pytest.raises(error, match=sentence):
        fitted(data, network(**more))
