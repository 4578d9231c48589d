"""Bagging: bootstrap bags as folds, out-of-bag predictions against scikit-learn's definition, weights of test rows."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss

import jreg
from jreg import losses, nn
from jreg.data import standardize
from jreg.splits import as_pairs, bootstrap
from jreg.study.out_of_fold import OutOfFold

RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
X = RNG.normal(size=(60, 2)) + np.eye(3, 2)[Y]
WEIGHTS_TEST = RNG.uniform(0.2, 3, 15)
DATA = jreg.Dataset(X[:45], Y[:45], X[45:], Y[45:], name="bags", weights_test=WEIGHTS_TEST)
BAGS = bootstrap(DATA, 6, seed=1)
OPTIONS = {"epochs": 4, "batch_size": 45}


def recipe(hp):
    return jreg.Recipe(
        nn.Linear(3), losses.softmax_cross_entropy, optax.sgd(hp["rate"]), preprocess=standardize(), metrics=METRICS
    )


METRICS = {"accuracy": jreg.metrics.accuracy}


@pytest.fixture(scope="module")
def study():
    with jax.numpy_dtype_promotion("strict"):
        keep = [jreg.keep.network, jreg.keep.outputs]
        space = jreg.grid(rate=[0.5])
        return jreg.cross_validate(recipe, DATA, space, cv=BAGS, seeds=2, keep=keep, progress=False, **OPTIONS)


# Bags


def test_bags_are_drawn_with_replacement_and_leave_a_third_out():
    data = jreg.Dataset(np.zeros((500, 1)), np.arange(500) % 2)
    bags = bootstrap(data, 40, seed=3)
    assert len(bags) == 40
    for train, out in bags:
        assert len(train) == 500
        assert (np.diff(train) >= 0).all()
        assert (np.diff(out) > 0).all()
        assert sorted({*train, *out}) == list(range(500))
        assert not set(train) & set(out)
    # The share of a bag has mean 0.3675 and standard deviation below 0.02, that of 40 bags below 0.0032: 6.3 of them.
    assert np.mean([len(out) / 500 for _, out in bags]) == pytest.approx((1 - 1 / 500) ** 500, abs=0.02)
    # How often a row is drawn is Poisson(1) but for 1/n: 20,000 draws, the variance is known to 1.2%.
    counts = np.stack([np.bincount(train, minlength=500) for train, _ in bags])
    assert counts.mean() == 1
    assert counts.var() == pytest.approx(1, abs=0.08)
    for pair, same in zip(bags[:3], bootstrap(data, 3, seed=3), strict=True):
        assert all(np.array_equal(part, other) for part, other in zip(pair, same, strict=True))
    assert not np.array_equal(bags[0][0], bootstrap(data, 1, seed=4)[0][0])


def test_groups_are_drawn_whole():
    groups = np.array(list("aaabbcddddeeff"))
    data = jreg.Dataset(np.zeros((14, 1)), np.arange(14) % 2, groups=groups)
    for train, out in bootstrap(data, 20):
        counts = np.bincount(train, minlength=14)
        assert not set(groups[train]) & set(groups[out])
        assert all(len(set(counts[groups == group])) == 1 for group in "abcdef")
        assert sum(counts[groups == group][0] for group in "abcdef") == 6


def test_few_rows_always_leave_one_out():
    pairs = bootstrap(jreg.Dataset([[0.0], [1.0]], [0, 1]), 30)
    assert {(tuple(train), tuple(out)) for train, out in pairs} == {((0, 0), (1,)), ((1, 1), (0,))}


@pytest.mark.parametrize(
    ("data", "times", "seed", "error", "sentence"),
    [
        (jreg.Dataset([[0.0]], [0]), 2, 0, ValueError, "data has one row alone, so that no bag leaves anything out"),
        (jreg.Dataset(X, Y, groups=Y * 0), 2, 0, ValueError, "data has one group of rows alone"),
        (DATA, 0, 0, ValueError, "bootstrap's times is 0, but must be at least 1"),
        (DATA, 2.0, 0, TypeError, "bootstrap's times is 2.0, but must be a whole number"),
        (DATA, True, 0, TypeError, "bootstrap's times is True"),
        (DATA, 2, -1, ValueError, "bootstrap's seed is -1"),
    ],
)
def test_bags_that_make_no_sense_are_refused(data, times, seed, error, sentence):
    with pytest.raises(error, match=f"^{sentence}"):
        bootstrap(data, times, seed)


def test_bags_are_folds_with_their_repetitions():
    for (train, out), (given, rest) in zip(as_pairs(BAGS, DATA), BAGS, strict=True):
        np.testing.assert_array_equal(train, given)
        np.testing.assert_array_equal(out, rest)
    assert len(set(BAGS[0][0])) < len(BAGS[0][0])


# Trainings


def test_a_row_that_is_drawn_twice_is_one_of_weight_two(study):
    """In batches of all rows: loss, gradient and preprocessing of a bag are those of its rows with whole weights."""
    train, out = BAGS[2]
    weights = np.bincount(train, minlength=45).astype(float)
    weights[out] = 1
    weighted, rows = dataclasses.replace(DATA, weights=weights), np.unique(train)
    key, hp = jreg.member_key(1, 2), {"rate": 0.5}
    alone = jreg.fit(key, recipe, weighted, hp, train=rows, validation=out, **OPTIONS)
    for label in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(study.curve(label)[0, 2, 1], alone.history[label], rtol=1e-5)
    bag = study.networks()[2 * 2 + 1]
    for one, other in ((bag.params, alone.params), (bag.statistics, alone.statistics)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, other)


def test_out_of_bag_predictions_are_those_of_scikit_learns_bagging(study):
    """`BaggingClassifier._set_oob_score`: the sum of each member's probabilities for the rows outside of its bag."""
    predictions = np.zeros((45, 3))
    networks = study.networks()
    for number, network in enumerate(networks):
        train, _ = BAGS[number // 2]
        mask = np.ones(45, bool)
        mask[train] = False
        predictions[mask] += network.predict_proba(DATA.x[mask])
    there = predictions.sum(axis=1) > 0
    decision = predictions[there] / predictions[there].sum(axis=1)[:, None]
    found = study.out_of_fold().averaged()
    np.testing.assert_array_equal(found.rows, np.flatnonzero(there))
    np.testing.assert_allclose(found.probabilities, decision, rtol=1e-5)
    np.testing.assert_array_equal(found.predictions, decision.argmax(axis=1))
    assert accuracy_score(found.targets, found.predictions) == np.mean(decision.argmax(axis=1) == DATA.y[there])
    bagged = np.mean([network.predict_proba(DATA.x_test) for network in networks], axis=0)
    np.testing.assert_allclose(study.ensemble().predict_proba(DATA.x_test), bagged, rtol=1e-6)


def made(outputs, task, link, targets=None):
    rows = np.array([1, 1, 4, 4, 4, 7])
    targets = np.zeros(6, int) if targets is None else targets
    return OutOfFold(rows, np.array([0, 2, 0, 1, 2, 1]), targets, outputs, task, link)


@pytest.mark.parametrize("shape", [(), (2,)])
def test_values_and_flags_are_averaged_by_row(shape):
    outputs = RNG.normal(size=(2, 6, *shape))
    each = [[0, 1], [2, 3, 4], [5]]
    found = made(outputs, "regression", "identity", outputs[0]).averaged()
    assert (found.rows.tolist(), found.folds.tolist()) == ([1, 4, 7], [-1, -1, 1])
    np.testing.assert_allclose(found.predictions, [outputs[:, rows].mean(axis=(0, 1)) for rows in each])
    flags = made(outputs, "multilabel", "sigmoid", (outputs[0] > 0).astype(int)).averaged()
    chances = 1 / (1 + np.exp(-outputs))
    np.testing.assert_allclose(flags.probabilities, [chances[:, rows].mean(axis=(0, 1)) for rows in each])


def test_certain_predictions_and_several_arrays():
    outputs = np.full((1, 6, 2), -1e4)
    outputs[0, :, 0] = 1e4
    np.testing.assert_array_equal(made(outputs, "classification", "softmax").averaged().probabilities, [[1, 0]] * 3)
    parts = {"one": RNG.normal(size=(1, 6)), "two": RNG.normal(size=(1, 6, 2))}
    found = made(parts, "regression", "identity", parts["one"][0]).averaged()
    np.testing.assert_allclose(found.outputs["two"][0, 1], parts["two"][0, 2:5].mean(axis=0))
    with pytest.raises(TypeError, match="outputs are the parts one, two"):
        made(parts, "classification", "softmax").averaged()


# Test rows that count differently


def test_the_final_network_is_scored_with_the_weights_of_test_rows(study):
    final = jreg.refit(study, progress=False)
    probabilities = softmax(np.asarray(final.outputs(DATA.x_test), np.float64), axis=1)
    predicted, y = probabilities.argmax(axis=1), DATA.y_test
    assert final.test["loss"] == pytest.approx(log_loss(y, probabilities, sample_weight=WEIGHTS_TEST), rel=1e-5)
    assert final.test["accuracy"] == pytest.approx(accuracy_score(y, predicted, sample_weight=WEIGHTS_TEST), rel=1e-6)
    assert final.interval is None
    plain = final.evaluate(DATA.x_test, y)
    assert plain["accuracy"] == pytest.approx(accuracy_score(y, predicted), rel=1e-6)
    for weights, sentence in (([1, 2], r"shape \(2,\)"), (-WEIGHTS_TEST, "a negative"), (np.zeros(15), "all 0")):
        with pytest.raises(ValueError, match=f"evaluate's weights have {sentence}|evaluate's weights are {sentence}"):
            final.evaluate(DATA.x_test, y, weights)


@pytest.mark.slow
def test_a_stored_study_goes_on_with_more_bags(tmp_path, study):
    def run(bags):
        space = jreg.grid(rate=[0.5])
        return jreg.cross_validate(recipe, DATA, space, cv=bags, seeds=2, store=tmp_path, progress=False, **OPTIONS)

    assert bootstrap(DATA, 3, seed=1)[2][0].tolist() == BAGS[2][0].tolist()
    run(BAGS[:3])
    grown = run(BAGS)
    assert grown.spec.folds[4].train.tolist() == BAGS[4][0].tolist()
    np.testing.assert_array_equal(grown.scores, study.scores)
    np.testing.assert_array_equal(
        jreg.load_results(tmp_path).spec.folds[1].train, BAGS[1][0], err_msg="repetitions are stored"
    )
