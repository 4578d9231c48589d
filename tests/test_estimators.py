"""Estimators of scikit-learn's."""

import pickle

import jax
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

import jreg
from jreg.estimators import MLPClassifier, MLPRegressor, StudyClassifier, StudyRegressor
from jreg.estimators.recipes import perceptron

pytestmark = pytest.mark.adam

SMALL = {"hidden": (16,), "epochs": 60, "learning_rate": 1e-2, "random_state": 0}
SWEPT = {
    "hidden": [(16,)], "activation": ["relu"], "l1": [0.0], "weight_decay": [0.0], "dropout": [0.0],
    "max_norm": [float("inf")], "learning_rate": [1e-2],
}  # fmt: skip


def space(outputs, task="classification", l2=(0.0, 1e-2)):
    return jreg.grid(l2=list(l2), outputs=[outputs], task=[task], **SWEPT).along("l2")


def classifier(**changes):
    options = {"cv": 3, "epochs": 8, "patience": None, "random_state": 0} | changes
    return StudyClassifier(perceptron, space(3), **options)


@pytest.fixture(scope="module")
def wine():
    x, y = load_wine(return_X_y=True)
    return x, np.array(["red", "rosé", "white"])[y]


@pytest.fixture(scope="module")
def fitted(wine):
    return MLPClassifier(**SMALL).fit(*wine)


@pytest.fixture(scope="module")
def studied(wine):
    return classifier().fit(*wine)


# Mini-batches are drawn by row, so that a row twice and a row of weight 2 are two different draws.
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": "mini-batches hold other rows where rows are doubled"}
CHECKED = [
    MLPClassifier(**SMALL),
    MLPRegressor(**SMALL | {"epochs": 100}),
    StudyClassifier(cv=2, epochs=30),
    StudyRegressor(cv=2, epochs=30),
]


@pytest.mark.slow
@pytest.mark.parametrize("estimator", CHECKED, ids=lambda estimator: type(estimator).__name__)
def test_every_check_of_scikit_learns(estimator):
    failed = {}

    def note(check_name, exception, status, **_):
        if status == "failed":
            failed[check_name] = str(exception)

    # Warnings that skipped checks give are no errors of ours.
    with pytest.warns():
        check_estimator(estimator, expected_failed_checks=EXPECTED, on_fail=None, callback=note)
    assert failed == {}


# Those that train nothing, or on the same few rows.
CHEAP = {
    "check_estimator_cloneable", "check_estimator_tags_renamed", "check_valid_tag_types", "check_estimator_repr",
    "check_no_attributes_set_in_init", "check_estimators_unfitted", "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order", "check_parameters_default_constructible", "check_get_params_invariance", "check_set_params",
    "check_classifiers_one_label", "check_all_zero_sample_weights_error",
}  # fmt: skip


@pytest.mark.parametrize("estimator", CHECKED, ids=lambda estimator: type(estimator).__name__)
def test_checks_that_train_nothing(estimator):
    seen = 0
    for own, check in estimator_checks_generator(estimator):
        if check.func.__name__ in CHEAP:
            check(own)
            seen += 1
    assert seen >= 8


def test_labels_of_any_type_come_back(fitted, wine):
    x, y = wine
    assert fitted.classes_.tolist() == ["red", "rosé", "white"]
    assert (fitted.predict(x) == y).mean() > 0.95
    np.testing.assert_array_equal(
        fitted.predict_proba(x).argmax(1), np.searchsorted(fitted.classes_, fitted.predict(x))
    )
    np.testing.assert_allclose(fitted.predict_proba(x).sum(axis=1), 1, rtol=1e-12)


def test_it_is_the_network_that_fit_trains(fitted, wine):
    x, y = wine
    data = jreg.Dataset(x, np.unique(y, return_inverse=True)[1])
    hp = dict(fitted.network_.hyperparameters)
    key = np.random.RandomState(0).randint(2**31 - 1)
    expected = jreg.fit(jax.random.key(key), perceptron, data, hp, epochs=60, batch_size=64)
    jax.tree.map(np.testing.assert_array_equal, fitted.network_.params, expected.params)


def test_a_subset_is_predicted_as_it_is_among_others(fitted, wine):
    x, _ = wine
    np.testing.assert_array_equal(fitted.predict_proba(x[50:57]), fitted.predict_proba(x)[50:57])


def test_pickle_and_files_without_pickle(fitted, studied, wine, tmp_path):
    x, _ = wine
    for one in (fitted, studied):
        again = pickle.loads(pickle.dumps(one))
        np.testing.assert_array_equal(again.predict_proba(x), one.predict_proba(x))
        assert not hasattr(again, "study_")
    loaded = jreg.load(fitted.save(tmp_path / "net"))
    np.testing.assert_allclose(loaded.predict_proba(x), fitted.predict_proba(x), rtol=1e-5, atol=1e-7)


def test_not_fitted_says_so():
    for estimator in (MLPClassifier(), StudyRegressor()):
        with pytest.raises(NotFittedError):
            estimator.predict(np.ones((2, 3)))
        with pytest.raises(NotFittedError):
            estimator.save("nowhere")


def test_other_numbers_compile_nothing(fitted, wine, counted):
    before = counted[0]
    MLPClassifier(**SMALL | {"l2": 1e-2, "dropout": 0.1, "random_state": 3}).fit(*wine).predict(wine[0])
    assert counted[0] == before


def test_early_stopping_keeps_the_best(wine):
    stopped = MLPClassifier(**SMALL | {"patience": 3, "validation_fraction": 0.3, "epochs": 200}).fit(*wine)
    assert stopped.n_iter_ < 200
    assert len(stopped.history_["val_loss"]) == stopped.n_iter_
    assert stopped.n_iter_ - 1 - np.argmin(stopped.history_["val_loss"]) == 3


@pytest.mark.slow
def test_class_weights_are_sample_weights(wine):
    x, y = wine
    weights = {"red": 1.0, "rosé": 5.0, "white": 0.5}
    one = MLPClassifier(**SMALL, class_weight=weights).fit(x, y)
    other = MLPClassifier(**SMALL).fit(x, y, sample_weight=[weights[label] for label in y])
    np.testing.assert_array_equal(one.predict_proba(x), other.predict_proba(x))


def test_a_regression_is_in_its_own_units():
    x, y = load_diabetes(return_X_y=True)
    one = MLPRegressor(**SMALL | {"l2": 0.05}).fit(x, 1000 * y + 5e5)
    assert one.score(x, 1000 * y + 5e5) > 0.4
    both = MLPRegressor(**SMALL | {"l2": 0.05}).fit(x, np.stack([y, -y], axis=1))
    assert both.predict(x).shape == (len(x), 2)
    with pytest.warns(DataConversionWarning):
        assert MLPRegressor(**SMALL | {"l2": 0.05}).fit(x, 1000 * y[:, None] + 5e5).predict(x).shape == (len(x),)


def test_pipelines_and_searches_of_scikit_learns(wine):
    x, y = wine
    pipeline = make_pipeline(MinMaxScaler(), MLPClassifier(**SMALL))
    search = GridSearchCV(pipeline, {"mlpclassifier__l2": [0.0, 10.0]}, cv=KFold(2, shuffle=True, random_state=0))
    search.fit(x, y)
    assert search.best_params_ == {"mlpclassifier__l2": 0.0}
    assert search.score(x, y) > 0.9
    assert cross_val_score(clone(pipeline), x, y, cv=2).min() > 0.8


def test_importances_calibration_and_thresholds_of_scikit_learns(fitted, wine):
    x, y = wine
    found = permutation_importance(fitted, x, y, n_repeats=2, random_state=0)
    assert found.importances_mean.max() > 0.02
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method="sigmoid").fit(x, y)
    np.testing.assert_allclose(calibrated.predict_proba(x).sum(axis=1), 1, rtol=1e-6)


def test_weights_and_groups_are_routed(wine):
    x, y = wine
    weights, groups = np.linspace(0.5, 1.5, len(y)), np.arange(len(y)) % 4
    with sklearn.config_context(enable_metadata_routing=True):
        asked = classifier(refit=None, cv=GroupKFold(2), epochs=2).set_fit_request(sample_weight=True, groups=True)
        pipeline = make_pipeline(MinMaxScaler(), asked)
        pipeline.fit(x, y, sample_weight=weights, groups=groups)
    data = pipeline[-1].study_.data
    np.testing.assert_allclose(data.weights, weights, rtol=1e-6)
    np.testing.assert_array_equal(data.groups, groups)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_come_with_their_names(library, fitted, wine):
    frames = pytest.importorskip(library, reason=f"{library} isn't installed: not tried with its frames")
    x, y = wine
    names = [f"feature {number}" for number in range(x.shape[1])]
    frame = frames.DataFrame(dict(zip(names, x.T, strict=True)))
    one = MLPClassifier(**SMALL).fit(frame, frames.Series(y))
    assert one.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(one.predict_proba(frame), fitted.predict_proba(x))


def test_a_study_is_cross_validate(studied, wine):
    x, y = wine
    data = jreg.Dataset(x, np.unique(y, return_inverse=True)[1])
    seed = np.random.RandomState(0).randint(2**31 - 1)
    study = jreg.cross_validate(perceptron, data, space(3), cv=3, seeds=[seed], epochs=8, progress=False)
    np.testing.assert_array_equal(studied.study_.scores, study.scores)
    assert studied.best_params_ == study.best.hyperparameters
    assert studied.best_score_ == pytest.approx(study.best.mean, rel=1e-6)
    found = studied.cv_results_
    assert found["params"] == list(study.spec.settings)
    assert found["param_l2"].tolist() == [0.0, 1e-2]
    np.testing.assert_allclose(found["split1_test_score"], study.scores[:, 1, 0])
    assert found["rank_test_score"][studied.best_index_] == 1
    assert (studied.oof_predictions_ == y).mean() == pytest.approx(study.scores[studied.best_index_].mean(), abs=0.01)


def test_a_loss_is_negative_as_scikit_learn_has_it(wine):
    one = classifier(score_column="val_loss", refit=None).fit(*wine)
    assert (one.cv_results_["mean_test_score"] < 0).all()
    assert one.best_score_ == one.cv_results_["mean_test_score"].max()
    with pytest.raises(NotFittedError):
        one.predict(wine[0])


def test_the_choice_and_the_ensemble(wine):
    rule = classifier(refit="one_standard_error", ensemble=True).fit(*wine)
    assert rule.best_params_ == rule.study_.one_standard_error.hyperparameters
    assert len(rule.network_) == 3
    own = classifier(refit=lambda study: study.settings[1]).fit(*wine)
    assert own.best_index_ == 1
    with pytest.raises(ValueError, match="refit is 'first', but must be 'best'"):
        classifier(refit="first").fit(*wine)
    with pytest.raises(ValueError, match="recipe and space go together"):
        StudyClassifier(perceptron).fit(*wine)


def test_groups_reach_the_folds(wine):
    x, y = wine
    groups = np.arange(len(y)) // 2
    study = classifier(refit=None, cv=GroupKFold(3)).fit(x, y, groups=groups).study_
    for fold in study.spec.folds:
        assert not set(groups[fold.train]) & set(groups[fold.validation])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"activation": "step"}, "activation is 'step', but must be one of 'relu'"),
        ({"hidden": (0,)}, "hidden's width is 0, but must be"),
        ({"batch_size": 0}, "batch_size is 0, but must be"),
    ],
)
def test_bad_values_are_one_sentence(wine, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        MLPClassifier(**SMALL | change).fit(*wine)
