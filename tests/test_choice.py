"""Which setting is chosen, what a table says of it, and what a constant prediction scores."""

import json
import math
import sys
from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import metrics as sklearn_metrics
from sklearn.dummy import DummyClassifier, DummyRegressor

import jreg
from jreg import losses, metrics, nn, report, search, statistics, store
from jreg.data import standardize
from jreg.results import Baseline, FoldRows, Found, Results, Spec, table
from jreg.results.summary import summary
from jreg.statistics import mean_and_standard_error
from jreg.study.baseline import baseline
from jreg.study.default import study_for
from jreg.study.refit import interval_of
from jreg.training import Column, Status

NAN, INF = float("nan"), float("inf")


def results_of(space, scores, maximize=True, status=None, epochs=1) -> Results:
    """Results whose trainings have these scores, ``(settings, folds, seeds)``."""
    scores = np.asarray(scores, np.float32)
    column = Column("validation", "metric", "accuracy", maximize)
    folds = tuple(FoldRows(n, "validation", np.arange(2), np.arange(2, 4)) for n in range(scores.shape[1]))
    spec = Spec(
        "points", 4, "classification", space, folds, tuple(range(scores.shape[2])), 9, 1, 1, None, None, column,
        (column,), (), {},
    )  # fmt: skip
    results = Results(spec)
    for place in np.ndindex(scores.shape):
        ended = Status.COMPLETED if status is None else status[place[0]]
        length = epochs if isinstance(epochs, int) else epochs[place[0]]
        history = np.full((length, 1), scores[place], np.float32)
        results.add([Found(*place, "validation", ended, length, length - 1, history, {})])
    return results


# how regularized a setting is


@pytest.mark.parametrize("listed", [[0.01, 0.1, 1.0], [1.0, 0.1, 0.01], [0.1, 1.0, 0.01]])
@pytest.mark.parametrize("maximize", [True, False])
def test_a_single_traced_axis_counts_by_its_values(listed, maximize):
    results = results_of(jreg.grid(l2=listed, width=64), np.full((3, 3, 1), 0.5), maximize)
    assert results.one_standard_error.hyperparameters["l2"] == 1.0
    assert results.best.number == results.ranking[0].number == results.settings[0].number == 0


@pytest.mark.parametrize("listed", [[1.0, 2.0, INF], [INF, 2.0, 1.0]])
def test_a_minus_turns_the_direction(listed):
    space = jreg.grid(max_norm=listed)
    equal = np.full((3, 2, 1), 0.5)
    assert results_of(space, equal).one_standard_error.hyperparameters == {"max_norm": INF}
    assert results_of(space.along("-max_norm"), equal).one_standard_error.hyperparameters == {"max_norm": 1.0}


def test_a_learning_rate_that_is_not_named_does_not_decide():
    space = jreg.grid(l2=[1e-2, 1e-4], learning_rate=[1.0, 0.1, 0.01])
    scores = np.array([0.80, 0.90, 0.85, 0.91, 0.70, 0.60])[:, None, None] + np.array([-0.03, 0.03])[:, None]
    results = results_of(space.along("l2"), scores)  # standard error 0.03
    assert results.one_standard_error.hyperparameters == {"l2": 1e-2, "learning_rate": 0.1}
    # Nobody has said which of two axes regularizes, so that no setting counts as more regularized than the best one.
    unsaid = results_of(space, scores)
    assert unsaid.one_standard_error.number == unsaid.best.number
    assert "nothing says which setting is more regularized" in report.summary(unsaid, None)
    assert results_of(space.along(), scores).one_standard_error.number == unsaid.best.number


@pytest.mark.parametrize("names", [("l2", "-c"), ("-c", "l2"), ("depth",), ("-depth", "c", "-l2"), ()])
def test_strengths_are_the_places_in_the_named_order(names):
    space = search.random_space(
        60, 0, l2=search.choice([0.0, 1e-3, 0.1]), c=search.choice([1.0, 2.0, INF]), depth=search.choice([1, 2, 3])
    )
    found = space.along(*names).strengths()

    def key(setting):
        return tuple(-setting[n[1:]] if n[0] == "-" else setting[n] for n in names)

    keys = [key(setting) for setting in space.settings]
    assert found.tolist() == [sorted(set(keys)).index(one) for one in keys]


def test_the_order_of_strength_goes_with_everything_that_is_made_of_a_space():
    space = jreg.grid(l2=[0.1, 1.0], c=[1.0, 2.0]).along("-c", "l2")
    assert space.as_static("c").order == space.order == ("-c", "l2")
    spec = results_of(space, np.zeros((4, 2, 1))).spec
    assert spec.grown([{"l2": 0.5, "c": 0.5}]).space.strengths().tolist() == [2, 0, 3, 1, 4]
    written = json.loads(json.dumps(spec.head(), allow_nan=False))
    assert Spec.of(written, spec.settings, spec.folds).space.order == ("-c", "l2")
    del written["space"]["order"]  # as results of an earlier version
    assert Spec.of(written, spec.settings, spec.folds).space.order is None


@pytest.mark.parametrize(
    ("names", "error", "sentence"),
    [
        (["norm"], KeyError, "the space has no hyperparameter 'norm': it has l2, name"),
        (["l2", "-l2"], ValueError, "along names 'l2' twice"),
        (["name"], ValueError, "along names 'name', which has the value 'relu'.*give numbers, or leave it out"),
        (["of"], ValueError, "along names 'of', which has the value None"),
        ([["l2"]], TypeError, r"along got \['l2'\], but takes names"),
    ],
)
def test_along_refuses_what_has_no_order(names, error, sentence):
    with pytest.raises(error, match=sentence):
        jreg.grid(l2=[0.1, 0.2], name=["relu", "tanh"], of=[None]).along(*names)


def test_a_warm_path_goes_from_the_strongest_down():
    space = jreg.grid(c=[1.0, 3.0, 2.0], l2=[0.1, 0.2])
    assert space.paths("c") == [[2, 4, 0], [3, 5, 1]]
    assert space.along("l2", "-c").paths("c") == [[0, 4, 2], [1, 5, 3]]
    assert space.along("l2", "-c").paths("l2") == [[1, 0], [3, 2], [5, 4]]


def test_the_rule_is_a_slow_search_through_all_settings():
    rng = np.random.default_rng(0)
    for _ in range(300):
        count, maximize = int(rng.integers(1, 9)), bool(rng.integers(2))
        means = rng.integers(0, 4, count) / 4
        errors, strengths = rng.integers(0, 3, count) / 4, rng.integers(0, 3, count)
        sign = 1 if maximize else -1
        # Which of several best ones comes first in the space says nothing.
        best = max(range(count), key=lambda n: (sign * means[n], strengths[n], errors[n]))
        near = [n for n in range(count) if sign * (means[n] - means[best]) >= -errors[best]]
        chosen = max(near, key=lambda n: (strengths[n], sign * means[n]))  # of equals the first
        assert statistics.one_standard_error(means, errors, strengths, maximize) == chosen


# ties


def test_settings_that_tie_have_one_order_everywhere():
    space = jreg.grid(l2=[0.1, 0.01], learning_rate=[float(n) for n in range(1, 7)]).along("l2")
    # Trained for different lengths, which must not decide.
    results = results_of(space, np.full((12, 3, 1), 0.897), epochs=[*range(1, 10), 1, 2, 3])
    assert [result.number for result in results.ranking] == list(range(12))
    assert results.best.number == results.one_standard_error.number == 0
    rows = table.settings(results)
    assert [row["note"] for row in rows] == ["tied best 1-SE"] + ["tied"] * 11
    assert report.table(results).count("tied") == 12
    assert "12 settings have the best mean; the first of them in the space counts as best" in report.summary(
        results, None
    )


def test_a_tie_is_seen_where_folds_have_the_same_scores_in_another_order():
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=(5, 3)).astype(np.float32).astype(np.float64)
    means = {float(mean_and_standard_error(rng.permuted(scores.ravel()).reshape(5, 3))[0]) for _ in range(200)}
    assert means == {math.fsum(scores.ravel()) / 15}


def test_a_tie_is_of_the_best_alone_and_not_of_those_without_a_score():
    results = results_of(jreg.grid(l2=[1.0, 2.0, 3.0, 4.0]), np.array([0.5, NAN, 0.25, NAN])[:, None, None])
    assert [row["note"] for row in table.settings(results)] == ["best 1-SE", "", "no score", "no score"]
    assert "tie" not in report.table(results)
    assert "have the best mean" not in report.summary(results, None)


# no best


def test_a_score_that_is_undefined_is_named_as_the_reason():
    space = jreg.grid(l2=[1.0, 2.0])
    for value in (NAN, INF):
        with pytest.raises(ValueError, match=r"val_accuracy is NaN or infinite in 6 of 6 trainings that came to their"):
            _ = results_of(space, np.full((2, 3, 1), value)).best
    some = results_of(space, np.full((2, 3, 1), NAN), status=[Status.COMPLETED, Status.DIVERGED])
    with pytest.raises(ValueError, match=r"NaN or infinite in 3 of 3 .*\(the trainings are 3 completed, 3 diverged\)$"):
        _ = some.best
    with pytest.raises(ValueError, match=r"so there is no best: the trainings are 6 pruned$"):
        _ = results_of(space, np.full((2, 3, 1), NAN), status=[Status.PRUNED] * 2).best


# tables


@pytest.mark.parametrize("count", [1, 3, 4, 24])
def test_no_line_of_a_table_is_wider_than_a_narrow_terminal(count):
    names = [f"strength_{n}" for n in range(count)]
    space = search.as_space([{name: 10.0**-place / (n + 3) for n, name in enumerate(names)} for place in range(4)])
    results = results_of(space, np.arange(12.0).reshape(4, 3, 1) / 16)
    results.baseline = Baseline("majority class", (0.25, 0.25, 0.5))
    text = report.table(results)
    assert max(map(len, text.splitlines())) <= 60
    words = text.replace("=", " ").split()
    for setting in space.settings:
        for name, value in setting.items():
            assert name in words
            assert f"{value:.4g}" in words
    assert text.splitlines()[-1].split() == ["0.3333", "0.0833", "baseline"]


def test_what_is_the_same_in_all_settings_stands_once_above_a_table():
    results = results_of(jreg.grid(l2=[0.1, 0.2], rate=1e-3, width=64, name="[relu]"), np.zeros((2, 2, 1)))
    heading, lines = report.table(results, width=200).split("\n", 1)
    assert heading.endswith("; in all settings: rate=0.001 width=64 name=[relu]")
    assert lines.splitlines()[0].split() == ["l2", "mean", "SE", "epochs"]


def test_a_shortened_table_makes_no_more_rows_and_keeps_the_baseline():
    results = results_of(jreg.grid(l2=np.arange(1.0, 51.0)), np.arange(50.0)[:, None, None])
    results.baseline = Baseline("training mean", (-1.5,))
    assert [row["mean"] for row in table.settings(results, 3)] == [49.0, 48.0, 47.0]
    assert len(report.table(results, 3).splitlines()) == 2 + 2 + 3 + 1
    assert report.table(results, 3).splitlines()[-1].split()[0] == "-1.5000"


def test_small_and_large_scores_keep_their_digits():
    space = jreg.grid(l2=[1.0, 2.0])
    for scores, shown in (([1.234567e-5, 2e-5], "1.235e-05"), ([1234567.0, 2e6], "1.235e+06"), ([0.0, 0.5], "0.0000")):
        text = report.table(results_of(space, np.array(scores)[:, None, None], maximize=False))
        assert shown in text.split()


def test_the_verdict_stands_before_the_table():
    space = jreg.grid(l2=[0.0, 0.1, 0.2])
    folds = np.array([0.0, 0.1, 0.2])[:, None]
    results = results_of(space, np.array([0.5, 0.75, 0.25])[:, None, None] + folds)
    results.baseline = Baseline("majority class", (0.25, 0.35, 0.45))
    lines = report.summary(results, None).splitlines()
    assert lines[0] == "best:      l2=0.1"
    text = "\n".join(lines)
    assert "weakest:   l2=0\n           val_accuracy 0.6000 +- 0.0577; the best one is better by 0.2500 +- " in text
    assert "baseline:  majority class, val_accuracy 0.3500 +- 0.0577\n           the best setting is better by" in text
    assert text.index("baseline:") < text.index(report.table(results)) < text.index("time:")
    equal = results_of(space, np.full((3, 2, 1), 0.5))
    assert "weakest:   the best one, so regularization has gained nothing here" in report.summary(equal, None)


def test_the_default_study_has_a_setting_without_regularization():
    _, space = study_for(jreg.Dataset(np.eye(4), [0, 1, 0, 1]))
    assert space.settings[0] == {"l2": 0.0, "dropout": 0.0, "max_norm": INF}
    assert space.strengths()[0] == 0
    assert space.settings[int(space.strengths().argmax())] == {"l2": 1e-2, "dropout": 0.5, "max_norm": 1.0}


# baselines

X = np.random.default_rng(0).normal(size=(30, 2))
CV = [(np.arange(10, 30), np.arange(10)), (np.r_[0:13, 21:30], np.arange(13, 21))]
WEIGHTS = np.arange(30) % 4 + 0.5


def design(y, loss, score=None, targets=None, units=3, weights=None, task=None, **named):
    def recipe(hp):
        return jreg.Recipe(nn.MLP((units,)), loss, optax.sgd(hp["rate"]), metrics=named or None, targets=targets)

    data = jreg.Dataset(X, y, weights=weights, task=task)
    return jreg.Design.of(recipe, data, jreg.grid(rate=[0.1]), cv=CV, epochs=1, score=score)


def scores_of(dummy, score, y, weights):
    """A dummy of scikit-learn's on both folds."""
    rows = np.ones(len(y)) if weights is None else weights
    found = []
    for train, validation in CV:
        fitted = dummy.fit(X[train], y[train], sample_weight=rows[train])
        found.append(score(fitted, X[validation], y[validation], rows[validation]))
    return found


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_the_baseline_of_classes_is_scikit_learns(weights):
    y = np.array([0, 0, 2, 1, 0, 2] * 5)
    majority = DummyClassifier(strategy="most_frequent")
    accuracy = scores_of(majority, lambda f, x, t, w: f.score(x, t, w), y, weights)
    cross_entropy = partial(design, y, losses.softmax_cross_entropy, weights=weights)
    found = baseline(cross_entropy())
    assert found.name == "majority class"
    assert found.scores == pytest.approx(accuracy, rel=1e-7)
    assert found.mean == pytest.approx(np.mean(accuracy), rel=1e-7)
    assert found.standard_error == pytest.approx(np.std(accuracy, ddof=1) / math.sqrt(2), rel=1e-5)

    def log_loss(fitted, x, targets, rows):
        return sklearn_metrics.log_loss(targets, fitted.predict_proba(x), sample_weight=rows, labels=[0, 1, 2])

    surprise = scores_of(DummyClassifier(strategy="prior"), log_loss, y, weights)
    assert baseline(cross_entropy("val_loss")).scores == pytest.approx(surprise, rel=1e-7)
    assert baseline(cross_entropy(nats=metrics.log_loss)).scores == pytest.approx(surprise, rel=1e-7)
    assert baseline(cross_entropy(p=metrics.perplexity)).scores == pytest.approx(np.exp(surprise), rel=1e-7)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("width", [(), (2,)], ids=["one", "two"])
def test_the_baseline_of_numbers_is_scikit_learns(weights, width):
    y = np.random.default_rng(1).normal(size=(30, *width)).astype(np.float32) * 3 + 5
    score = {
        "r2": partial(sklearn_metrics.r2_score, multioutput="variance_weighted"),
        "mse": sklearn_metrics.mean_squared_error,
        "mae": sklearn_metrics.mean_absolute_error,
    }
    for name, function in score.items():

        def of(fitted, x, targets, rows, function=function):
            return function(targets, fitted.predict(x), sample_weight=rows)

        expected = scores_of(DummyRegressor(), of, y.astype(np.float64), weights)
        metric = {name: getattr(metrics, name)}
        found = baseline(design(y, losses.squared_error, units=math.prod(width), weights=weights, **metric))
        assert found.name == "training mean"
        assert found.scores == pytest.approx(expected, rel=1e-7)
    of_loss = baseline(design(y, losses.squared_error, "val_loss", units=math.prod(width), weights=weights))
    expected = scores_of(
        DummyRegressor(),
        lambda f, x, t, w: sklearn_metrics.mean_squared_error(t, f.predict(x), sample_weight=w) / 2,
        y.astype(np.float64),
        weights,
    )
    assert of_loss.scores == pytest.approx(expected, rel=1e-7)


def test_the_baseline_has_the_units_of_the_loss():
    y = np.random.default_rng(1).normal(size=30).astype(np.float32) * 3 + 5
    found = baseline(design(y, losses.squared_error, units=1, targets=standardize(), e=metrics.mse))
    expected = [np.mean(((y[v] - y[t].mean()) / y[t].std()) ** 2) for t, v in CV]
    assert found.scores == pytest.approx(expected, rel=1e-5)


def test_a_network_that_predicts_one_class_has_the_score_of_the_baseline():
    y = (np.arange(29) % 10 == 0).astype(int)

    def recipe(hp):
        # Nothing moves, and the inputs are 0, so that the first class wins everywhere.
        return jreg.Recipe(nn.MLP((2,)), losses.softmax_cross_entropy, optax.sgd(0.0 * hp["rate"]))

    cv = [(np.r_[10:29], np.arange(10)), (np.arange(14), np.r_[14:29])]
    study = jreg.cross_validate(
        recipe, jreg.Dataset(np.zeros((29, 2)), y), jreg.grid(rate=[0.1, 0.2]), cv=cv, epochs=1, progress=False
    )
    # 9 of 10 rows and 14 of 15.
    np.testing.assert_array_equal(study.scores[0, :, 0], study.results.baseline.scores)
    text = report.summary(study.results, None)
    assert "baseline:  majority class, val_accuracy 0.9167" in text
    assert "the best setting is no better" in text
    assert "2 settings have the best mean" in text


def test_each_label_and_each_token_has_its_share():
    labels = (np.random.default_rng(2).uniform(size=(30, 3)) < [0.2, 0.6, 0.9]).astype(int)
    found = baseline(design(labels, losses.sigmoid_cross_entropy, weights=WEIGHTS))
    one_by_one = [scores_of(DummyClassifier(), lambda f, x, t, w: f.score(x, t, w), y, WEIGHTS) for y in labels.T]
    assert found.scores == pytest.approx(np.mean(one_by_one, axis=0), rel=1e-7)
    tokens = np.random.default_rng(3).integers(0, 4, (30, 5)) // 2
    rows = [(tokens[t].ravel(), tokens[v]) for t, v in CV]
    expected = [np.mean(shown == np.bincount(known).argmax()) for known, shown in rows]
    data = jreg.Dataset(X, tokens, task="classification")
    assert baseline(as_tokens(data)).scores == pytest.approx(expected, rel=1e-7)


def as_tokens(data):
    class Tokens(nn.MLP):
        def __call__(self, x, train=False):
            return super().__call__(x, train).reshape(-1, 5, 2)

    def recipe(hp):
        return jreg.Recipe(Tokens((10,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))

    return jreg.Design.of(recipe, data, jreg.grid(rate=[0.1]), cv=CV, epochs=1)


def test_there_is_no_baseline_where_it_would_be_a_guess():
    y = np.array([0, 0, 2, 1, 0, 2] * 5)
    own = metrics.average(lambda outputs, targets: outputs.argmax(-1) == targets, maximize=True)
    assert baseline(design(y, losses.softmax_cross_entropy, accuracy=own)) is None
    smooth = partial(losses.softmax_cross_entropy, label_smoothing=0.1)
    assert baseline(design(y, smooth, "val_loss")) is None
    assert baseline(design(y, smooth)).name == "majority class"
    # A class that only validation rows have makes an infinite log loss.
    alone = np.where(np.arange(30) < 10, 2, np.arange(30) % 2)
    assert baseline(design(alone, losses.softmax_cross_entropy, "val_loss")) is None


def test_programs_that_treat_targets_differently_have_no_baseline():
    y = np.arange(30.0) + 1

    def recipe_of(first, second):
        def recipe(hp):
            targets = first() if hp["width"] == 1 else second()
            return jreg.Recipe(nn.MLP((hp["width"], 1)), losses.squared_error, optax.sgd(0.1), targets=targets)

        return jreg.Design.of(recipe, jreg.Dataset(X, y), jreg.grid(width=[1, 2]), cv=CV, epochs=1)

    assert baseline(recipe_of(standardize, standardize)) is not None
    assert baseline(recipe_of(standardize, partial(standardize, divide=False))) is None
    assert baseline(recipe_of(standardize, lambda: None)) is None


def test_a_baseline_comes_back_from_disk(tmp_path):
    results = results_of(jreg.grid(l2=[0.1, 0.2]), np.zeros((2, 2, 1)))
    for given in (None, Baseline("majority class", (0.5, 0.25))):
        results.baseline = given
        store.write(tmp_path / str(given), results)
        assert jreg.load_results(tmp_path / str(given)).baseline == given
        assert ("baseline" in summary(results)) == (given is not None)


# intervals


def test_only_rows_that_are_independent_trials_have_an_interval():
    y = np.array([0, 0, 2, 1, 0, 2] * 5)

    def interval(test_targets=y, accuracy=metrics.accuracy, groups=None, task=None, value=0.75):
        data = jreg.Dataset(X, test_targets, X[:24], test_targets[:24], groups=groups, task=task)

        def recipe(hp):
            return jreg.Recipe(
                lambda *_: None, losses.squared_error, optax.sgd(hp["rate"]), metrics={"accuracy": accuracy}
            )

        made = design(y, losses.softmax_cross_entropy)
        made = jreg.Design(made.spec, recipe, data, made.plans, made.keep)
        return interval_of(made, {"rate": 0.1}, {"accuracy": value})

    assert interval() == statistics.binomial_interval(18, 24)
    labels = np.eye(3, dtype=int)[y]
    assert interval(labels, task="multilabel") is None
    assert interval(np.tile(y[:, None], (1, 5)), task="classification") is None
    assert interval(groups=np.arange(30) // 3) is None
    assert interval(accuracy=metrics.average(lambda o, t: jnp.ones(len(t)), maximize=True)) is None
    assert interval(y.astype(np.float32), task="regression") is None
    assert interval(value=NAN) is None


def test_results_are_kept_whatever_the_baseline_raises(tmp_path, monkeypatch):
    def fails(design):
        raise RuntimeError("the recipe's file is gone")

    def recipe(hp):
        return jreg.Recipe(nn.MLP((2,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))

    monkeypatch.setattr(sys.modules["jreg.study.run"], "baseline", fails)
    data = jreg.Dataset(np.eye(8, 2), np.arange(8) % 2)
    with pytest.raises(RuntimeError, match=r"file is gone"):
        jreg.cross_validate(
            recipe, data, jreg.grid(rate=[0.1]), cv=2, epochs=1, store=tmp_path / "kept", progress=False
        )
    assert jreg.load_results(tmp_path / "kept").finished
