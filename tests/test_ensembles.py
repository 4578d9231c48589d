"""Ensembles: weights, the greedy choice, several seeds, and what a network says under its own noise."""

import functools
import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy.stats import entropy, norm
from sklearn.metrics import log_loss, mean_squared_error

import jreg
from jreg import losses, nn
from jreg.data import standardize
from jreg.network import Ensemble, Network, greedy_weights
from jreg.study import Greedy
from jreg.study import greedy as greedy_module

pytestmark = pytest.mark.adam
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
ONE_BY_ONE = jreg.Layout(tuple(jax.devices()[:1]), 1)
CE = losses.softmax_cross_entropy


def recipe(hp):
    return jreg.Recipe(
        nn.MLP((6, 3), dropout=hp["dropout"]), CE, optax.sgd(hp["rate"], momentum=0.9), preprocess=standardize()
    )


@pytest.fixture(scope="module")
def wine():
    return jreg.load_dataset("wine")


@pytest.fixture(scope="module")
def study(wine):
    # The last setting diverges.
    space = jreg.search.as_space(
        [{"dropout": d, "rate": r} for d, r in ((0.0, 0.02), (0.3, 0.1), (0.5, 0.003), (0.0, 1e30))]
    )
    options = {"cv": 3, "seeds": 2, "epochs": 4, "batch_size": 16, "progress": False, "layout": ONE_BY_ONE}
    return jreg.cross_validate(recipe, wine, space, stopping=jreg.EarlyStopping(2), **options)


def mse(y, p):
    return float(np.mean((y - p) ** 2))


# The greedy choice.


def all_ensembles(predictions, y, size):
    """The smallest error of every multiset of members up to a size."""
    members = range(len(predictions))
    sets = (s for length in range(1, size + 1) for s in itertools.combinations_with_replacement(members, length))
    return min(mse(y, predictions[list(one)].mean(0)) for one in sets)


def slow_greedy(predictions, y, size):
    chosen, path = [], []
    for _ in range(size):
        errors = [mse(y, predictions[[*chosen, m]].mean(0)) for m in range(len(predictions))]
        chosen.append(int(np.argmin(errors)))
        path.append((min(errors), list(chosen)))
    _, best = min(path, key=lambda pair: pair[0])
    return np.bincount(best, minlength=len(predictions)) / len(best)


@pytest.mark.parametrize("seed", range(5))
def test_the_greedy_choice_is_that_of_a_slow_loop_and_no_worse_than_the_best_member(seed):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=30)
    predictions = y + rng.normal(size=(4, 30)) * rng.uniform(0.5, 1.5, size=(4, 1))
    weights = greedy_weights(predictions, y, mse, 6, maximize=False)
    np.testing.assert_allclose(weights, slow_greedy(predictions, y, 6))
    error = mse(y, weights @ predictions)
    assert all_ensembles(predictions, y, 6) - 1e-12 <= error <= min(mse(y, one) for one in predictions)
    np.testing.assert_array_equal(weights, greedy_weights(predictions, y, lambda *a: -mse(*a), 6, maximize=True))


def test_of_equal_members_the_first_is_taken_once_and_an_infinite_metric_is_no_end():
    same = np.ones((3, 5))
    assert greedy_weights(same, np.zeros(5), mse, 4, maximize=False).tolist() == [1, 0, 0]
    # Alone each is infinitely wrong about some row.
    p = np.array([[0.0, 1.0], [1.0, 0.0]])
    with np.errstate(divide="ignore"):
        weights = greedy_weights(p, np.ones(2), lambda y, p: -np.log(p).mean(), 4, maximize=False)
    assert weights.tolist() == [0.5, 0.5]


def test_bags_average_choices_among_parts_of_the_members():
    y = RNG.normal(size=20)
    predictions = y + RNG.normal(size=(6, 20))
    found = greedy_weights(predictions, y, mse, 5, maximize=False, bags=3, rng=np.random.default_rng(1))
    rng, plain = np.random.default_rng(1), np.zeros(6)
    for _ in range(3):
        part = np.sort(rng.choice(6, 3, replace=False))
        plain[part] += slow_greedy(predictions[part], y, 5) / 3
    np.testing.assert_allclose(found, plain)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("changed", "error", "sentence"),
    [
        ({"predictions": np.ones((0, 3))}, ValueError, "one member and one row at least"),
        ({"predictions": np.ones(3)}, ValueError, r"predictions have shape \(3,\)"),
        ({"targets": np.ones(2)}, ValueError, "one member"),
        ({"predictions": np.array([[0, 0, 0], [0, np.nan, 0]])}, ValueError, "member 1 predicts NaN"),
        ({"metric": lambda y, p: math.nan}, ValueError, "is NaN for every ensemble of 1"),
        ({"size": 0}, ValueError, "size is 0"),
        ({"size": 2.0}, TypeError, "size is 2.0"),
        ({"bags": 2}, ValueError, r"give rng=np.random.default_rng\(0\)"),
        ({"bags": 2, "rng": RNG, "fraction": 0.0}, ValueError, "fraction is 0.0"),
    ],
)
def test_wrong_inputs_of_the_greedy_choice_say_what_is_allowed(changed, error, sentence):
    given = {"predictions": np.ones((2, 3)), "targets": np.ones(3), "metric": mse, "size": 2, "maximize": False}
    with pytest.raises(error, match=sentence):
        greedy_weights(**(given | changed))


# Of a study.


def test_a_fold_is_scored_by_weights_that_other_folds_chose(study, wine):
    found = study.greedy_ensemble(5)
    outside = [study.out_of_fold(study.settings[number]) for number in range(3)]
    p, folds = np.stack([one.probabilities for one in outside]), outside[0].folds
    loss = functools.partial(log_loss, labels=[0, 1, 2])
    for fold in range(3):
        here, others = folds == fold, folds != fold
        weights = greedy_weights(p[:, others], wine.y[others], loss, 5, maximize=False)
        assert found.scores[fold] == pytest.approx(loss(wine.y[here], np.tensordot(weights, p[:, here], 1)), rel=1e-9)
        best = np.argmin([loss(wine.y[others], one[others]) for one in p])
        assert found.single[fold] == pytest.approx(loss(wine.y[here], p[best, here]), rel=1e-9)
    np.testing.assert_allclose(found.weights[:3], greedy_weights(p, wine.y, loss, 5, maximize=False))
    assert found.weights[3] == 0  # it diverged
    assert found.score == found.scores.mean()
    assert repr(found) == "Greedy(weights=float64[4], scores=float64[3], single=float64[3])"


def test_what_was_chosen_predicts_with_its_weights(study, wine):
    chosen = Greedy(np.array([0.25, 0.75, 0.0, 0.0]), np.zeros(3), np.zeros(3), False)
    ensemble = study.ensemble(chosen)
    assert len(ensemble) == 12
    one, other = (study.ensemble(study.settings[n]).predict_proba(wine.x_test) for n in (0, 1))
    np.testing.assert_allclose(ensemble.predict_proba(wine.x_test), 0.25 * one + 0.75 * other, atol=1e-12)


def test_with_repeated_folds_no_row_is_scored_that_was_chosen_on(study, monkeypatch, wine):
    seen = []

    def watching(y, p):
        seen.append(set(p[:, 0].tolist()))
        return mse(y, p[:, 0])

    one = study.out_of_fold(study.settings[0])
    # Rows 0 to 5, of which 0 and 1 are validated twice; a prediction is its row's number.
    rows, folds = np.array([0, 0, 1, 1, 2, 3, 4, 5]), np.array([0, 3, 0, 2, 1, 1, 2, 3])
    outputs = np.repeat(rows[None, :, None] + 1.0, 3, axis=2)
    found = one._replace(
        rows=rows, folds=folds, targets=rows.astype(float)[:, None], outputs=outputs, task="regression"
    )
    found = found._replace(targets=np.zeros((8, 3)))
    monkeypatch.setattr(greedy_module, "of_setting", lambda *_: found)
    result = study.greedy_ensemble(1, [study.settings[0]], metric=lambda y, p: watching(y[:, 0], p))
    # For each fold the choice, the score, the best one's choice and its score; then the choice on all rows.
    for fold in range(4):
        choice, score = seen[4 * fold : 4 * fold + 2]
        assert score == {float(row) + 1 for row in rows[folds == fold]}
        assert not choice & score
    assert result.weights.tolist() == [1, 0, 0, 0]


def test_the_default_scores_are_scikit_learns():
    p, labels = RNG.dirichlet(np.ones(3), size=20), RNG.integers(0, 3, size=20)
    assert greedy_module.log_loss(labels, p) == pytest.approx(log_loss(labels, p, labels=[0, 1, 2]))
    several = RNG.integers(0, 2, size=(20, 3))
    each = [log_loss(several[:, label], p[:, label], labels=[0, 1]) for label in range(3)]
    assert greedy_module.log_loss(several, p) == pytest.approx(np.mean(each))
    assert greedy_module.mean_squared_error(several, p) == pytest.approx(mean_squared_error(several, p))
    assert math.isfinite(greedy_module.log_loss(np.array([1]), np.array([[1.0, 0.0]])))


def test_greedy_ensembles_that_cannot_be_chosen_say_why(study):
    with pytest.raises(ValueError, match="no setting was trained to its end without diverging"):
        study.greedy_ensemble(3, [study.settings[3]])
    with pytest.raises(TypeError, match="the metric is 'accuracy', but must be a function"):
        study.greedy_ensemble(3, metric="accuracy")
    with pytest.raises(ValueError, match="maximize goes with a metric of yours"):
        study.greedy_ensemble(3, maximize=True)
    with pytest.raises(ValueError, match="size is 0"):
        study.greedy_ensemble(0)


# Several seeds.


def test_final_networks_of_several_seeds_train_in_the_studys_program(study, wine, caplog):
    alone = jreg.refit(study, progress=False)  # and compiles the few programs around it
    with jax.log_compiles():
        ensemble = jreg.refit_ensemble(study, seeds=[3, 0], progress=False)
        assert "_advance" not in re.findall(r"Finished XLA compilation of jit\((\w+)\)", caplog.text)
    assert [network.more["seed"] for network in ensemble] == [3, 0]
    jax.tree.map(np.testing.assert_array_equal, ensemble[1].params, alone.params)
    assert ensemble[1].epochs == alone.epochs
    for label, curve in alone.history.items():
        np.testing.assert_array_equal(curve, ensemble[1].history[label])
    assert not np.array_equal(ensemble[0].predict_proba(wine.x_test), alone.predict_proba(wine.x_test))
    assert ensemble.predict(wine.x_test).shape == (len(wine.x_test),)


def test_seed_ensembles_that_cannot_be_trained_say_why(study):
    with pytest.raises(TypeError, match="refit_ensemble got a Results"):
        jreg.refit_ensemble(study.results)
    with pytest.raises(ValueError, match="one or more different numbers"):
        jreg.refit_ensemble(study, [1, 1])
    with pytest.raises(ValueError, match="never had a finite score"):
        jreg.refit_ensemble(study, 2, study.settings[3])


# Weights.


def linear(kernel, task="regression", **more):
    """A linear network with the given weights."""
    params = {"Dense_0": {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.zeros(len(kernel[0]))}}
    example = jax.ShapeDtypeStruct((len(kernel),), jnp.float32)

    def of(hp):
        return jreg.Recipe(nn.Linear(len(kernel[0])), losses.squared_error, optax.sgd(0.1))

    return Network(of, {}, (), params, {}, ((), ()), task, "identity", target_shape=(1,), example=example, **more)


def test_weights_count_in_predictions_and_come_back_from_the_disk(tmp_path):
    x = np.array([[1.0], [2.0]], np.float32)
    ensemble = Ensemble([linear([[2.0]]), linear([[6.0]])], [1, 3])
    assert ensemble.weights.tolist() == [0.25, 0.75]
    assert ensemble.predict(x).tolist() == [[5.0], [10.0]]
    assert repr(ensemble) == "Ensemble(2 networks, regression, weighted)"
    again = jreg.load(ensemble.save(tmp_path / "weighted"))
    assert again.weights.tolist() == [0.25, 0.75]
    assert again.predict(x).tolist() == [[5.0], [10.0]]
    plain = Ensemble(ensemble[:1]).save(tmp_path / "weighted")
    assert jreg.load(plain).weights is None
    path = plain / "model.json"
    # As it was written before there were weights, and as nobody has written it.
    before = path.read_text().replace(',\n "weights": null', "")
    path.write_text(before)
    assert jreg.load(plain).weights is None
    for weights in ('"a"', "[1, 1]", "[NaN]", "[1e999]", "[0]", "[true]", "{}", "[[1]]", "[1, [2]]"):
        path.write_text(before.replace("\n}", f',\n "weights": {weights}\n}}'))
        with pytest.raises(ValueError, match=r"model.json (is damaged|can't be read)"):
            jreg.load(plain)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([1.0], r"an ensemble of 2 networks got the weights \[1.0\], but needs a number for each"),
        ([1.0, "a"], "needs a number for each"),
        ([True, False], "needs a number for each"),
        ([1.0, -1.0], "weights are 1.0, -1.0, but must be finite and at least 0"),
        ([0.0, 0.0], "not all 0"),
        ([math.nan, 1.0], "must be finite"),
    ],
)
def test_weights_that_are_none_say_so(weights, sentence):
    with pytest.raises(ValueError, match=sentence):
        Ensemble([linear([[1.0]]), linear([[1.0]])], weights)


# Noise of its own.


def noisy(rate, task="classification", link="softmax", features=(2,), **more):
    def of(hp):
        model = nn.MLP(features, input_dropout=hp["rate"], **more)
        return jreg.Recipe(model, CE if link == "softmax" else losses.squared_error, optax.sgd(0.1))

    init = jreg.models.as_model(of({"rate": rate}).model).init
    shapes, state = jax.eval_shape(init, KEY, jax.ShapeDtypeStruct((1, 2), jnp.float32))
    # Units differ from each other.
    params = jax.tree.map(lambda w: np.resize(np.arange(1.0, 1.0 + features[-1], dtype=np.float32), w.shape), shapes)
    example = jax.ShapeDtypeStruct((2,), jnp.float32)
    shape = () if task == "classification" else (features[-1],)
    return Network(
        of, {"rate": rate}, ("rate",), params, state, ((), ()), task, link, target_shape=shape, example=example
    )


def test_passes_have_the_mean_and_the_deviation_of_dropout():
    """1 + sum of two inputs 1 and 3, each kept with 0.75 and divided by 0.75: mean 5, variance (1 + 9) / 3.

    4,000 passes of 3 rows are 12,000 independent draws: six standard errors of the mean, and of the variance with the
    kurtosis below 4, are exceeded with a probability below 1e-8.
    """
    x = np.tile([1.0, 3.0], (3, 1)).astype(np.float32)
    found = noisy(0.25, "regression", "identity", (1,)).sample(KEY, x, 4000)
    assert found.values.shape == (4000, 3, 1)
    assert abs(found.values.mean() - 5) < 6 * math.sqrt(10 / 3 / 12_000)
    assert abs(found.values.var() - 10 / 3) < 6 * 10 / 3 * math.sqrt(3 / 12_000)
    np.testing.assert_allclose(found.standard_deviation[:, 0], found.values[..., 0].std(0, ddof=1))
    # Rows have noise of their own, within a pass and across blocks.
    assert abs(np.corrcoef(found.values[:, 0, 0], found.values[:, 1, 0])[0, 1]) < norm.isf(1e-8) / math.sqrt(4000)
    with pytest.raises(ValueError, match="a regression has no entropy of classes: take standard_deviation"):
        _ = found.entropy


def test_entropy_is_that_of_the_mean_and_mutual_information_what_passes_disagree_by():
    p = RNG.dirichlet(np.ones(3), size=(5, 4))
    found = jreg.network.Sampled(p, "classification")
    np.testing.assert_allclose(found.entropy, entropy(p.mean(0), axis=-1))
    np.testing.assert_allclose(found.mutual_information, entropy(p.mean(0), axis=-1) - entropy(p, axis=-1).mean(0))
    # Each pass is sure, of another class: all of the entropy is disagreement.
    sure = jreg.network.Sampled(np.eye(2)[:, None], "classification")
    assert sure.mutual_information == pytest.approx(math.log(2))
    several = jreg.network.Sampled(p, "multilabel")
    pair = np.stack([p, 1 - p], -1)
    np.testing.assert_allclose(several.entropy, entropy(pair.mean(0), axis=-1))
    assert several.mutual_information.shape == (4, 3)
    assert (jreg.network.Sampled(np.tile(p[:1], (3, 1, 1)), "classification").mutual_information >= 0).all()


def test_blocks_of_rows_and_saved_networks_have_noise_too(monkeypatch, tmp_path):
    network, x = noisy(0.5), RNG.normal(size=(5, 2)).astype(np.float32)
    found = network.sample(KEY, x, 3)
    again = jreg.load(network.save(tmp_path)).sample(KEY, x, 3)
    np.testing.assert_array_equal(found.values, again.values)
    assert found.mean.sum(-1) == pytest.approx(np.ones(5))
    monkeypatch.setattr("jreg.network.network.MOST_ROWS", 2)
    parts = network.sample(KEY, np.tile(x[:1], (4, 1)), 40).values
    assert parts.shape == (40, 4, 2)
    assert not np.array_equal(parts[:, :2], parts[:, 2:])


def test_networks_without_noise_of_their_own_say_so(tmp_path):
    x = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="the network's passes are all alike: its model has no noise"):
        noisy(0.0).sample(KEY, x, 2)
    with pytest.raises(
        ValueError, match=r"variables that a pass in training changes \(batch_stats/BatchNorm_0/mean, batch_stats/"
    ):
        noisy(0.5, normalization="batch", features=(3, 2)).sample(KEY, x, 2)
    with pytest.raises(ValueError, match="samples is 1, but must be at least 2"):
        noisy(0.5).sample(KEY, x, 1)
    with pytest.raises(TypeError, match="must be a random key"):
        noisy(0.5).sample(0, x, 3)
    with pytest.raises(ValueError, match="shape"):
        noisy(0.5).sample(KEY, x[:, :1], 3)


@pytest.mark.slow
def test_a_program_evaluates_only(tmp_path):
    def own(hp):
        return jreg.Recipe(functools.partial(Mine), losses.squared_error, optax.sgd(0.1))

    params, state = jreg.models.as_model(own({}).model).init(KEY, jnp.ones((1, 2)))
    example = jax.ShapeDtypeStruct((2,), jnp.float32)
    network = Network(
        own, {}, (), params, state, ((), ()), "regression", "identity", target_shape=(1,), example=example
    )
    assert network.sample(KEY, np.ones((2, 2), np.float32), 3).values.shape == (3, 2, 1)
    again = jreg.load(network.save(tmp_path), trust_program=True)
    with pytest.raises(ValueError, match="evaluates and doesn't train"):
        again.sample(KEY, np.ones((2, 2), np.float32), 3)


class Mine(nnx.Module):
    def __init__(self, *, rngs):
        self.dense, self.dropout = nnx.Linear(2, 1, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dense(self.dropout(x))


def test_samples_are_brief():
    found = jreg.network.Sampled(np.ones((2, 3)), "regression")
    assert repr(found) == "Sampled(values=float64[2, 3], task='regression')"


@pytest.mark.slow
def test_a_study_that_is_resumed_has_the_same_ensembles_and_sets(study, wine, tmp_path):
    options = {"cv": 3, "seeds": 2, "epochs": 4, "batch_size": 16, "progress": False, "layout": ONE_BY_ONE}
    space = jreg.search.as_space(study.spec.settings)
    given = {"stopping": jreg.EarlyStopping(2), "store": tmp_path / "runs", **options}
    with pytest.warns(RuntimeWarning, match="before it was complete"):
        jreg.cross_validate(recipe, wine, space, timeout=1e-9, **given)
    again = jreg.resume(tmp_path / "runs", recipe, wine, progress=False, layout=ONE_BY_ONE)
    np.testing.assert_array_equal(again.intervals(wine.x_test), study.intervals(wine.x_test))
    one, other = study.greedy_ensemble(4), again.greedy_ensemble(4)
    for field in ("weights", "scores", "single"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    pairs = zip(
        jreg.refit_ensemble(study, 2, progress=False), jreg.refit_ensemble(again, 2, progress=False), strict=True
    )
    for one, other in pairs:
        jax.tree.map(np.testing.assert_array_equal, one.params, other.params)
