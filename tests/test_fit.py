"""One training: what it begins with, what it is evaluated with, who watches it, and how it is differentiated."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import jreg
from jreg import losses, nn, transforms
from jreg.training import Status
from jreg.training.initial import initial

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5]) + RNG.normal(size=30)).astype(np.float32)
DATA = jreg.Dataset(X, Y)
TRAIN = slice(0, 20)
OPTIONS = {"epochs": 3, "batch_size": 8, "validation": np.arange(20, 30)}
# The whole of the training rows in one step, so that the order of rows plays no part.
WHOLE = {"epochs": 6, "batch_size": 20, "validation": np.arange(20, 30)}


def line(key, x):
    return {"w": jnp.ones((3, 1))}


LINEAR = (line, lambda params, x, train, rngs: x @ params["w"])


def of(optimizer, **more):
    return lambda hp: jreg.Recipe(LINEAR, losses.squared_error, optimizer, **more)


def plain(hp):
    return jreg.Recipe(LINEAR, losses.squared_error, optax.sgd(hp["rate"]))


def half_square(w, rows=TRAIN):
    """The loss of a linear model and its gradient, written out."""
    x, y = X[rows].astype(np.float64), Y[rows].astype(np.float64)
    error = x @ w - y
    return np.mean(error**2) / 2, x.T @ error / len(y)


@pytest.mark.adam
@pytest.mark.parametrize("stopping", [jreg.EarlyStopping(10), pytest.param(None, marks=pytest.mark.slow)])
def test_schedule_free_training_is_scored_and_ends_at_the_average(stopping):
    rate, b1 = 0.25, 0.9
    z = x = np.ones(3)
    scores = []
    for step in range(1, 7):
        y = (1 - b1) * z + b1 * x
        z = z - rate * half_square(y)[1]
        x = (1 - 1 / step) * x + z / step
        scores.append(half_square(x, slice(20, 30))[0])
    best = int(np.argmin(scores))
    free = of(contrib.schedule_free(optax.sgd(rate), rate, b1=b1))
    fitted = jreg.fit(KEY, free, DATA, **WHOLE, stopping=stopping)
    np.testing.assert_allclose(fitted.history["val_loss"], scores, rtol=1e-4)
    # The score falls to the end, so that the best parameters are the last ones.
    assert int(fitted.best_epoch) == best == 5
    np.testing.assert_allclose(fitted.params["w"][:, 0], x, rtol=1e-4)


@pytest.mark.adam
def test_a_polyak_step_is_the_loss_over_the_squared_gradient():
    w = np.ones(3)
    for _ in range(6):
        value, gradient = half_square(w)
        w = w - min(1.0, value / (gradient @ gradient)) * gradient
    fitted = jreg.fit(KEY, of(optax.polyak_sgd(max_learning_rate=1.0, eps=0.0)), DATA, **WHOLE)
    np.testing.assert_allclose(fitted.params["w"][:, 0], w, rtol=1e-4)


@pytest.mark.adam
def test_reduce_on_plateau_sees_the_loss_of_each_step():
    # With this rate the loss grows from step to step, so that each second one halves the rate.
    w, scale, best, wait = np.ones(3), 1.0, np.inf, 0
    for _ in range(6):
        value, gradient = half_square(w)
        wait = 0 if value < (1 - 1e-4) * best else wait + 1
        best = min(best, value) if wait == 0 else best
        if wait == 2:
            scale, wait = scale / 2, 0
        w = w - 2.5 * scale * gradient
    chain = optax.chain(optax.sgd(2.5), contrib.reduce_on_plateau(factor=0.5, patience=2))
    fitted = jreg.fit(KEY, of(chain), DATA, **WHOLE)
    assert scale < 1
    np.testing.assert_allclose(fitted.params["w"][:, 0], w, rtol=1e-3)


AVERAGED = {
    "ema_params": optax.chain(optax.sgd(0.1), transforms.ema_params(0.5)),
    "schedule_free": contrib.schedule_free(optax.sgd(0.1), 0.1),
}


def with_batches(optimizer):
    return lambda hp: jreg.Recipe(nn.MLP((4, 1), normalization="batch"), losses.squared_error, optimizer)


@pytest.mark.adam
@pytest.mark.parametrize("name", ["ema_params", pytest.param("schedule_free", marks=pytest.mark.slow)])
def test_averaged_parameters_get_the_batch_statistics_that_belong_to_them(name):
    recipe = with_batches(AVERAGED[name])
    fitted = jreg.fit(KEY, recipe, DATA, **WHOLE)
    dense, found = fitted.params["Dense_0"], fitted.model_state["batch_stats"]["BatchNorm_0"]
    hidden = np.asarray(X[TRAIN], np.float64) @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
    np.testing.assert_allclose(found["mean"], hidden.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["var"], hidden.var(axis=0), rtol=1e-4)
    # The score is that of the network that is left.
    score = jreg.evaluate(recipe, fitted, X[20:], Y[20:])["loss"]
    np.testing.assert_allclose(score, fitted.history["val_loss"][-1], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fit", "fit_stream"])
def test_training_rows_in_several_batches_weigh_by_their_number(how):
    # The parameters stand still, so that the means of batches of 8, 8 and 4 rows are those of the rows.
    recipe = with_batches(optax.chain(optax.set_to_zero(), transforms.swa_params(1)))
    if how == "fit":
        fitted = jreg.fit(KEY, recipe, DATA, **OPTIONS)
    else:
        fitted = jreg.fit_stream(KEY, recipe, list(zip(X, Y, strict=True)), **OPTIONS)
    dense, found = fitted.params["Dense_0"], fitted.model_state["batch_stats"]["BatchNorm_0"]
    hidden = np.asarray(X[TRAIN], np.float64) @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
    np.testing.assert_allclose(found["mean"], hidden.mean(axis=0), rtol=1e-4, atol=1e-5)
    # The mean of variances within batches lacks that of their means.
    assert (np.asarray(found["var"]) < hidden.var(axis=0)).all()


def test_a_training_begins_with_what_the_recipe_gives():
    fitted = jreg.fit(KEY, plain, DATA, {"rate": 0.1}, **OPTIONS)
    for given in (fitted, fitted.params, lambda drawn: {"w": fitted.params["w"]}):
        params, _ = initial(of(optax.sgd(0.1), initial=given)({}), KEY, X)
        np.testing.assert_array_equal(params["w"], fitted.params["w"])
    again = jreg.fit(KEY, of(optax.sgd(0.0), initial=fitted), DATA, **OPTIONS)
    np.testing.assert_array_equal(again.params["w"], fitted.params["w"])


@pytest.mark.slow
def test_running_averages_come_with_the_parameters():
    recipe = with_batches(optax.sgd(0.1))({})
    params, state = initial(recipe, KEY, X)
    given = SimpleNamespace(params=params, model_state=jax.tree.map(lambda leaf: leaf + 1, state))
    found = initial(dataclasses.replace(recipe, initial=given), jax.random.key(1), X)
    jax.tree.map(np.testing.assert_array_equal, found, (params, given.model_state))
    drawn = initial(dataclasses.replace(recipe, initial=params), jax.random.key(1), X)
    jax.tree.map(np.testing.assert_array_equal, drawn, (params, state))


def test_what_a_training_begins_with_must_fit_the_model():
    for given, sentence in (
        ({"v": jnp.ones((3, 1))}, r"initial is a tree with the paths v, but must have those of the parameters: w"),
        ({"w": jnp.ones((2, 1))}, r"initial has shape \(2, 1\) at w, but the model's is \(3, 1\)"),
    ):
        with pytest.raises(ValueError, match=sentence):
            jreg.fit(KEY, of(optax.sgd(0.1), initial=given), DATA, **OPTIONS)


def test_observers_see_each_epoch_of_the_same_training():
    seen, others = [], []
    watched = jreg.fit(KEY, plain, DATA, {"rate": 0.1}, **OPTIONS, progress=[seen.append, others.append])
    fitted = jreg.fit(KEY, plain, DATA, {"rate": 0.1}, **OPTIONS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), watched, fitted)
    assert [epoch.done for epoch in seen] == [1, 2, 3]
    assert [epoch.status for epoch in seen] == [Status.RUNNING, Status.RUNNING, Status.COMPLETED]
    np.testing.assert_allclose([epoch.measured["val_loss"] for epoch in seen], watched.history["val_loss"], rtol=1e-6)
    assert seen == others
    with pytest.raises(TypeError, match=r"progress has True, but must be functions of a jreg.training.Epoch"):
        jreg.fit(KEY, plain, DATA, {"rate": 0.1}, **OPTIONS, progress=[True])


@pytest.mark.slow
def test_a_training_is_differentiated_forwards():
    def score(rate):
        return jreg.fit(KEY, plain, DATA, {"rate": rate}, **WHOLE).history["val_loss"][-1]

    # Written out in double precision: w goes w - rate * gradient six times.
    def exact(rate):
        w = np.ones(3)
        for _ in range(6):
            w = w - rate * half_square(w)[1]
        return half_square(w, slice(20, 30))[0]

    slope = (exact(0.1 + 1e-5) - exact(0.1 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.jacfwd(score)(jnp.float32(0.1)), slope, rtol=1e-3)
    with pytest.raises(ValueError, match=r"can't be differentiated backwards: take jax\.jvp or jax\.jacfwd"):
        jax.grad(score)(jnp.float32(0.1))


@pytest.mark.slow
def test_observers_see_each_epoch_of_a_stream():
    seen = []
    fitted = jreg.fit_stream(KEY, plain, list(zip(X, Y, strict=True)), {"rate": 0.1}, **OPTIONS, progress=seen.append)
    np.testing.assert_allclose([epoch.measured["val_loss"] for epoch in seen], fitted.history["val_loss"], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.adam
def test_batches_of_trainings_and_the_final_network_have_the_statistics_of_their_averages():
    def recipe(hp):
        return with_batches(contrib.schedule_free(optax.sgd(hp["rate"]), hp["rate"]))(hp)

    layout = jreg.Layout(tuple(jax.devices()[:1]), slots=4, batch=4)
    options = {"cv": 2, "epochs": 3, "batch_size": 20, "progress": False}
    study = jreg.cross_validate(recipe, DATA, jreg.grid(rate=[0.1, 0.2]), **options, layout=layout)
    alone = jreg.cross_validate(recipe, DATA, jreg.grid(rate=[0.1, 0.2]), **options)
    np.testing.assert_allclose(study.scores, alone.scores, rtol=1e-4)
    final = jreg.refit(study)
    hidden = X.astype(np.float64) @ np.asarray(final.params["Dense_0"]["kernel"]) + np.asarray(
        final.params["Dense_0"]["bias"]
    )
    found = final.model_state["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(found, hidden.mean(axis=0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"train": []}, ValueError, r"fit's train names no row"),
        ({"train": np.zeros(8, bool)}, ValueError, r"fit's train names no row"),
        ({"validation": range(8)}, ValueError, r"fit's validation takes all 8 rows"),
        ({"batch_size": None}, TypeError, r"batch_size is None"),
        ({"epochs": None}, TypeError, r"epochs is None"),
        ({"progress": True}, TypeError, r"progress is True, but must be a function of a jreg\.training\.Epoch"),
        ({"hp": {"rate": "1e-3"}}, TypeError, r"'rate' is the text '1e-3', but must be a number"),
        ({"hp": {"rate": [0.1]}}, TypeError, r"'rate' has the value \[0\.1\], which is not hashable"),
    ],
)
def test_arguments_that_no_training_can_have_are_refused(options, error, sentence):
    data = jreg.Dataset(np.ones((8, 3)), np.arange(8.0))
    with pytest.raises(error, match=sentence):
        jreg.fit(KEY, plain, data, **{"epochs": 1, "hp": {"rate": 0.1}} | options)


def test_an_observer_can_not_be_traced():
    def score(rate):
        return jreg.fit(KEY, plain, DATA, {"rate": rate}, epochs=1, progress=print).epochs

    with pytest.raises(TypeError, match=r"fit calls progress after each epoch, which it can't while jax\.jit"):
        jax.jit(score)(0.1)


def test_an_array_without_axes_is_a_traced_number():
    found = [jreg.fit(KEY, plain, DATA, {"rate": kind(0.25)}, **OPTIONS) for kind in (float, np.array)]
    np.testing.assert_array_equal(*[one.history["train_loss"] for one in found])
