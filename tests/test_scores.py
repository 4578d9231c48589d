"""Scores of out-of-fold predictions: pooled and by fold, arrays, weights; and of training rows, as networks predict."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from sklearn import metrics as sk

import jreg
from jreg import losses, metrics, nn
from jreg.study import Design, OutOfFold
from jreg.study.scoring import scores, train_scores

ONE_BY_ONE = jreg.Layout(tuple(jax.devices()), 1)
RNG = np.random.default_rng(5)
X = RNG.normal(size=(61, 4)).astype("f")
Y = (X @ RNG.normal(size=(4, 3)) + RNG.normal(size=(61, 3))).argmax(1)
WEIGHTS = np.resize([1.0, 0.0, 2.5, 0.5], 61)
KEEP = [jreg.keep.outputs, jreg.keep.train_scores, jreg.keep.network]
SPACE = jreg.grid(learning_rate=[0.05])


def recipe(hp):
    return jreg.Recipe(
        nn.MLP((5, 3), dropout=0.5),
        losses.softmax_cross_entropy,
        optax.sgd(hp["learning_rate"], momentum=0.9),
        preprocess=jreg.data.standardize(),
        metrics={"accuracy": metrics.accuracy, "f1": metrics.f1("macro")},
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    data, options = jreg.Dataset(X, Y, weights=WEIGHTS, name="rows"), {"stopping": jreg.EarlyStopping(2), "keep": KEEP}
    options |= {"cv": 3, "seeds": 2, "epochs": 3, "batch_size": 16, "progress": False, "layout": ONE_BY_ONE}
    with jax.numpy_dtype_promotion("strict"):
        return jreg.cross_validate(recipe, data, SPACE, store=tmp_path_factory.mktemp("run"), **options)


# Of rows that the networks didn't see.


def test_a_metric_in_the_program_is_the_score_by_fold(study):
    found = study.out_of_fold()
    np.testing.assert_allclose(found.weights, WEIGHTS[found.rows])
    np.testing.assert_allclose(study.score(metrics.accuracy, by_fold=True), study.best.scores, rtol=1e-6)
    np.testing.assert_allclose(study.score(sk.accuracy_score, by_fold=True), study.best.scores, rtol=1e-6)
    curve, best = study.curve("val_f1")[0], study.best.best_epochs
    expected = np.take_along_axis(curve, best[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(study.score(sk.f1_score, by_fold=True, average="macro"), expected, rtol=1e-5)


@pytest.mark.slow
def test_every_metric_of_classes_trains_in_the_program_and_is_the_score_by_fold():
    every = {
        "auc": metrics.roc_auc,
        "ap": metrics.average_precision,
        "mcc": metrics.mcc,
        "balanced": metrics.balanced_accuracy,
        "top2": metrics.top_k_accuracy(2),
        "brier": metrics.brier,
        "ece": metrics.ece(10),
    }

    def measured(hp):
        return dataclasses.replace(recipe(hp), metrics=every)

    data = jreg.Dataset(X, Y, weights=WEIGHTS, name="rows")
    options = {"cv": 3, "seeds": 2, "epochs": 2, "batch_size": 16, "progress": False, "keep": KEEP, "score": "val_auc"}
    study = jreg.cross_validate(measured, data, SPACE, layout=jreg.Layout(tuple(jax.devices()), 4), **options)
    for name, metric in every.items():
        by_fold = study.score(metric, by_fold=True)
        np.testing.assert_allclose(by_fold, study.curve(f"val_{name}")[0, ..., -1], rtol=1e-4, err_msg=name)
    rows = np.asarray(study.spec.numbered()[2].train)
    expected = study.networks()[5].evaluate(X[rows], Y[rows], WEIGHTS[rows])
    assert {name: found[2, 1] for name, found in study.train_scores().items()} == pytest.approx(expected, rel=1e-4)


def test_the_recipes_first_metric_ranks_whether_it_is_a_mean_or_not():
    def measured(hp):
        given = {"f1": metrics.f1("macro"), "accuracy": metrics.accuracy, "auc": metrics.roc_auc}
        return dataclasses.replace(recipe(hp), metrics=given)

    spec = Design.of(measured, jreg.Dataset(X, Y, name="rows"), SPACE, cv=3, epochs=1).spec
    assert spec.score.label == "val_f1"
    assert [column.name for column in spec.columns if column.split == "validation"] == ["loss", "f1", "accuracy", "auc"]


def test_weights_are_given_to_what_takes_them(study):
    found = [study.out_of_fold().of_seed(seed) for seed in range(2)]
    weighted = [sk.accuracy_score(one.targets, one.predictions, sample_weight=one.weights) for one in found]
    plain = [sk.accuracy_score(one.targets, one.predictions) for one in found]
    assert abs(np.mean(weighted) - np.mean(plain)) > 1e-3
    for metric in (sk.accuracy_score, "accuracy", metrics.accuracy):
        assert study.score(metric) == pytest.approx(np.mean(weighted), rel=1e-6)
        assert study.score(metric, sample_weight=None) == pytest.approx(np.mean(plain), rel=1e-6)
    # What takes none is called without: a function of one's own, and a scorer.
    assert study.score(lambda targets, predicted: np.mean(targets == predicted)) == pytest.approx(np.mean(plain))
    assert study.score("adjusted_rand_score") == pytest.approx(
        np.mean([sk.adjusted_rand_score(one.targets, one.predictions) for one in found])
    )


def test_arrays_are_means_over_seeds_or_by_fold(study):
    found = [study.out_of_fold().of_seed(seed) for seed in range(2)]
    counts = [sk.confusion_matrix(one.targets, one.predictions) for one in found]
    np.testing.assert_allclose(study.score(sk.confusion_matrix, sample_weight=None), np.mean(counts, axis=0))
    by_fold = study.score(sk.confusion_matrix, by_fold=True, labels=range(3))
    assert by_fold.shape == (3, 2, 3, 3)
    np.testing.assert_allclose(by_fold.sum(axis=0).mean(axis=0), study.score(sk.confusion_matrix), rtol=1e-9)
    each = study.score(sk.f1_score, average=None)
    assert each.shape == (3,)
    assert each.mean() == pytest.approx(study.score(sk.f1_score, average="macro"))
    several = study.score(sk.precision_recall_fscore_support, average=None)
    np.testing.assert_allclose(several[2], each)


def hand_made(folds, targets, outputs, link="sigmoid"):
    rows = np.arange(len(folds))
    return OutOfFold(rows, np.asarray(folds), np.asarray(targets), np.asarray(outputs)[None], "classification", link)


def test_the_pooled_area_of_networks_that_know_nothing_is_below_a_half():
    # Each fold's networks have learned the share of class 1 among their training rows and nothing else. By fold all
    # rows tie, and the area is 1/2. Pooled, rows from folds with fewer of class 1 are scored higher.
    folds = np.repeat(range(4), 10)
    targets = np.concatenate([np.arange(10) < count for count in (3, 4, 6, 7)]).astype(int)
    shares = [targets[folds != fold].mean() for fold in range(4)]
    found = hand_made(folds, targets, np.log(shares)[folds] - np.log1p(-np.array(shares))[folds])
    by_fold = scores(found, "roc_auc", "predict", True, {})
    np.testing.assert_array_equal(by_fold, np.full((4, 1), 0.5))
    # Of the pairs of a positive and a negative, by hand: 3, 4, 6, 7 positives and 7, 6, 4, 3 negatives a fold.
    positives, negatives = (3, 4, 6, 7), (7, 6, 4, 3)
    higher = sum(p * n for a, p in enumerate(positives) for b, n in enumerate(negatives) if shares[a] > shares[b])
    tied = sum(p * n for p, n in zip(positives, negatives, strict=True))
    pooled = (higher + tied / 2) / 400
    assert scores(found, "roc_auc", "predict", False, {}) == pytest.approx(pooled)
    assert scores(found, metrics.roc_auc, "predict", False, {}) == pytest.approx(pooled, rel=1e-6)
    assert pooled < 0.4
    # One row per fold: 0.
    alone = np.array([(targets.sum() - y) / 39 for y in targets])
    assert scores(hand_made(range(40), targets, np.log(alone / (1 - alone))), "roc_auc", "predict", False, {}) == 0


@pytest.mark.parametrize(
    ("metric", "options", "error", "message"),
    [
        (lambda *_: {"f1": 1.0}, {}, TypeError, "returned a dict that is no array of numbers: call it on"),
        (sk.classification_report, {}, TypeError, "classification_report returned a str that is no array"),
        (
            sk.confusion_matrix,
            {"by_fold": True},
            ValueError,
            r"returned arrays of shape \(2, 2\) and \(3, 3\) .* labels=",
        ),
        ("accuracy", {"average": "macro"}, TypeError, "the metric 'accuracy' takes no 'average': keywords are for"),
        (metrics.accuracy, {"k": 3}, TypeError, "takes no 'k'"),
        (3, {}, TypeError, "the metric is 3, but must be a function of"),
        (metrics.of_params(optax.tree.norm, maximize=False), {}, TypeError, "but must be a function of"),
        (sk.accuracy_score, {"response": "probabilities"}, ValueError, "response is 'probabilities', but must be"),
    ],
)
def test_what_is_no_score_is_refused(metric, options, error, message):
    targets = [0, 1, 0, 0, 1, 2]
    found = hand_made([0, 0, 0, 1, 1, 1], targets, np.eye(3)[[0, 1, 1, 2, 1, 2]], "softmax")
    options = dict(options)
    arguments = options.pop("response", "predict"), options.pop("by_fold", False)
    with pytest.raises(error, match=message):
        scores(found, metric, *arguments, options)


# Of rows that they saw.


def test_train_scores_are_those_of_the_networks_on_the_training_rows(study):
    found = study.train_scores()
    assert set(found) == {"loss", "accuracy", "f1"}
    folds = study.spec.numbered()
    for number, network in enumerate(study.networks()):
        rows = np.asarray(folds[number // 2].train)
        expected = network.evaluate(X[rows], Y[rows], WEIGHTS[rows])
        for name, value in expected.items():
            assert found[name].shape == (3, 2)
            assert found[name][number // 2, number % 2] == pytest.approx(value, rel=1e-5), name


def test_train_scores_outlive_the_process(study, tmp_path):
    again = jreg.load_results(study.save(tmp_path / "copy"))
    kept = [tree["f1"] for _, tree in again.kept(0, "train_scores")]
    np.testing.assert_array_equal(np.reshape(kept, (3, 2)), study.train_scores()["f1"])


def test_train_scores_that_were_not_kept_say_how_to_keep_them(study):
    nothing = SimpleNamespace(shape=study.results.shape, kept=lambda number, name: [])
    some = SimpleNamespace(shape=(1, 4, 2), kept=study.results.kept)
    for results in (nothing, some):
        with pytest.raises(
            ValueError, match=r"training rows were not scored.*keep=\[jreg.keep.outputs, jreg.keep.train"
        ):
            train_scores(results, 0)
