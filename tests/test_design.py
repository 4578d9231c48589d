"""What a study leaves and what it may grow by: identity, the final training, kept things, rows of any number."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import LeaveOneGroupOut, RepeatedKFold

import jreg
from jreg import losses, metrics, nn, penalties
from jreg.data import standardize
from jreg.engine import Local, compiled
from jreg.network.predictions import labels_of, mean_probabilities, probabilities_of
from jreg.results import Results
from jreg.study import Design, Everything, run
from jreg.study.out_of_fold import OutOfFold
from jreg.training import FINAL, Status

ONE_BY_ONE = jreg.Layout(tuple(jax.devices()), 1)
OPTIONS = {"cv": 3, "seeds": 2, "epochs": 5, "batch_size": 16, "progress": False, "layout": ONE_BY_ONE}
SPACE = jreg.grid(l2=[1e-3, 0.1], learning_rate=[0.1])


def recipe(hp):
    return jreg.Recipe(
        nn.MLP((5, 3), dropout=0.2),
        losses.softmax_cross_entropy,
        optax.sgd(hp["learning_rate"], momentum=0.9),
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
        preprocess=standardize(),
    )


@pytest.fixture(scope="module")
def wine():
    return jreg.load_dataset("wine")


@pytest.fixture(scope="module")
def study(wine):
    with jax.numpy_dtype_promotion("strict"):
        return jreg.cross_validate(recipe, wine, SPACE, stopping=jreg.EarlyStopping(3), **OPTIONS)


# The final training.


def test_a_refit_compiles_no_training_program(wine, caplog, counted):
    def compiled_names():
        return re.findall(r"Finished XLA compilation of jit\((\w+)\)", caplog.text)

    with jax.log_compiles():
        # A recipe of its own, so that nothing is compiled before.
        study = jreg.cross_validate(lambda hp: recipe(hp), wine, SPACE, stopping=jreg.EarlyStopping(3), **OPTIONS)
        assert compiled_names().count("_advance") == 1
        caplog.clear()
        final = jreg.refit(study)
        # What scores the test rows is compiled once.
        assert "_advance" not in compiled_names()
        assert compiled_names().count("_scores") == 1
    # A fold's epoch has fewer updates than one of all rows.
    steps = np.array([-(-len(fold.train) // 16) for fold in study.spec.folds])
    updates = float(((study.best.best_epochs + 1) * steps[:, None]).mean())
    assert final.epochs == round(updates / -(-len(wine) // 16))
    before = counted[0]
    with pytest.warns(RuntimeWarning, match="the test set has been looked at 2 times"):
        jreg.refit(study, study.settings[1])
    assert counted[0] == before


@pytest.mark.parametrize("stopping", [pytest.param(None, marks=pytest.mark.slow), jreg.EarlyStopping(3)])
def test_a_refit_equals_a_fit_on_all_rows(wine, stopping):
    study = jreg.cross_validate(recipe, wine, SPACE, stopping=stopping, **OPTIONS)
    final = jreg.refit(study)
    alone = jreg.fit(
        jreg.member_key(0, FINAL), recipe, wine, study.best.hyperparameters, epochs=final.epochs, batch_size=16
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), final.params, alone.params)
    for label, column in final.history.items():
        np.testing.assert_allclose(column, alone.history[label], rtol=1e-4, atol=1e-6, err_msg=label)
    test = jreg.evaluate(recipe, alone, wine.x_test, wine.y_test, study.best.hyperparameters)
    assert final.test == pytest.approx(test, rel=1e-5)
    np.testing.assert_array_equal(final.predict(wine.x_test), np.argmax(final.outputs(wine.x_test), -1))
    np.testing.assert_allclose(final.predict_proba(wine.x_test).sum(1), 1, atol=1e-12)


def test_the_key_of_the_final_training_is_that_of_no_fold():
    keys = {bytes(jax.random.key_data(jreg.member_key(0, fold))) for fold in (*range(200), FINAL)}
    assert len(keys) == 201


# Identity.


def test_a_design_grows_without_changing_what_is_there(wine, study):
    pairs = [(fold.train, fold.validation) for fold in study.spec.folds]
    more = [(np.arange(10, 60), np.arange(60, 90)), (np.arange(130), np.arange(130, 142))]
    settings = [{"l2": 0.01, "learning_rate": 0.1}, *SPACE.settings]
    grown = study.design.grown(settings, [*more, pairs[1]], [7, 0])
    assert grown.spec.settings == (*SPACE.settings, settings[0])
    assert [fold.number for fold in grown.spec.folds] == [0, 1, 2, 3, 4]
    assert grown.spec.seeds == (0, 1, 7)
    executor = Local(wine, grown.folds, ONE_BY_ONE, trainings=45)
    _, results = run(grown, Everything([grown.everything()]), executor)
    assert results.scores.shape == (3, 5, 3)
    for field in ("scores", "status", "epochs", "best_epochs", "history"):
        np.testing.assert_array_equal(getattr(results, field)[:2, :3, :2], getattr(study.results, field), err_msg=field)
    # Only what is missing is trained where results are there.
    there = Results(grown.spec)
    there.add(study.results)
    missing = there.missing()
    assert len(missing) == 45 - 12
    _, rest = run(grown, Everything([grown.everything(missing)]), Local(wine, grown.folds, ONE_BY_ONE, trainings=33))
    there.add(rest)
    np.testing.assert_array_equal(there.history, results.history)


# What is kept.


def test_out_of_fold_outputs_are_those_of_networks_that_are_trained_again(wine, study):
    found = study.out_of_fold()
    assert found.rows.tolist() == list(range(len(wine)))
    networks = study.networks()
    assert len(networks) == 6
    for network, (fold, seed) in zip(networks, np.ndindex(3, 2), strict=True):
        rows = study.spec.folds[fold].validation
        np.testing.assert_allclose(
            found.outputs[seed][rows], network.outputs(wine.x[rows]), rtol=1e-5, atol=1e-6, err_msg=f"{fold} {seed}"
        )
    by_fold = study.score(accuracy_score, by_fold=True)
    np.testing.assert_allclose(by_fold, study.best.scores, atol=1e-6)
    each = [log_loss(wine.y, found.of_seed(seed).probabilities) for seed in range(2)]
    assert study.score(log_loss, response="predict_proba") == pytest.approx(np.mean(each), rel=1e-12)
    assert study.score("neg_log_loss") == pytest.approx(-np.mean(each), rel=1e-12)
    np.testing.assert_allclose(
        study.ensemble().predict_proba(wine.x_test),
        np.mean([network.predict_proba(wine.x_test) for network in networks], axis=0),
        atol=1e-12,
    )


@pytest.mark.slow
def test_networks_are_the_same_bit_by_bit_when_they_are_trained_again(wine, study):
    kept = jreg.cross_validate(recipe, wine, SPACE, stopping=jreg.EarlyStopping(3), keep=[jreg.keep.network], **OPTIONS)
    again, there = study.networks(SPACE.settings[1]), kept.networks(SPACE.settings[1])
    for one, other in zip(again, there, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one.params, other.params)
        jax.tree.map(np.testing.assert_array_equal, one.statistics, other.statistics)
    # Without outputs that are kept they come from these networks.
    np.testing.assert_allclose(
        kept.out_of_fold(SPACE.settings[1]).outputs, study.out_of_fold(SPACE.settings[1]).outputs, rtol=1e-5, atol=1e-6
    )


def largest_weight(finished):
    return {"largest": optax.tree.max(finished.params)}


def pair_of_norms(finished):
    return optax.tree.norm(finished.params), (optax.tree.norm(finished.params, squared=True),)


def test_a_keep_function_of_the_users_own(wine, study):
    kept = jreg.cross_validate(recipe, wine, SPACE, keep=[largest_weight, pair_of_norms, jreg.keep.network], **OPTIONS)
    assert [name for name, _ in sorted(kept.results.get(0, 0, 0).kept.items())] == [
        "largest",
        "network",
        "pair_of_norms",
    ]
    for row in kept.results:
        params = row.kept["network"]["params"]
        assert row.kept["largest"] == max(leaf.max() for leaf in jax.tree.leaves(params))
        norm, (squared,) = row.kept["pair_of_norms"]
        assert squared == pytest.approx(norm**2, rel=1e-6)
    with pytest.raises(TypeError, match="the keep function <lambda> returned a str, but must return a dict"):
        jreg.cross_validate(recipe, wine, SPACE, keep=[lambda finished: "no"], **OPTIONS)
    with pytest.raises(ValueError, match="two keep functions keep something called 'largest'"):
        jreg.cross_validate(recipe, wine, SPACE, keep=[largest_weight, largest_weight], **OPTIONS)


@pytest.mark.slow
def test_a_full_outbox_loses_nothing(wine, study, monkeypatch):
    for capacity in (1, 3):
        monkeypatch.setattr(compiled, "outbox_length", lambda *_, capacity=capacity: capacity)
        small = jreg.cross_validate(recipe, wine, SPACE, stopping=jreg.EarlyStopping(3), **OPTIONS)
        np.testing.assert_array_equal(small.history, study.history)
        np.testing.assert_array_equal(small.out_of_fold().outputs, study.out_of_fold().outputs)


def test_repeated_folds_predict_rows_as_often_as_they_are_validated(wine):
    study = jreg.cross_validate(
        recipe, wine, SPACE, **OPTIONS | {"cv": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), "epochs": 1}
    )
    assert np.bincount(study.out_of_fold().rows).tolist() == [2] * len(wine)


# Rows of any number.


@pytest.mark.slow
def test_folds_of_very_unequal_size_train_as_they_do_alone():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(5), [10, 20, 70, 200, 400])
    y = rng.integers(0, 3, 700)
    data = jreg.Dataset(rng.normal(size=(700, 4)) + np.eye(3, 4)[y], y, groups=groups)
    study = jreg.cross_validate(recipe, data, SPACE, **OPTIONS | {"cv": LeaveOneGroupOut(), "seeds": 1})
    assert [len(fold.validation) for fold in study.spec.folds] == [10, 20, 70, 200, 400]
    for place in (0, 4):
        fold = study.spec.folds[place]
        alone = jreg.fit(
            jreg.member_key(0, place), recipe, data, SPACE.settings[0], epochs=5, batch_size=16,
            train=fold.train, validation=fold.validation,
        )  # fmt: skip
        for label in study.results.labels:
            np.testing.assert_allclose(
                study.curve(label)[0, place, 0], alone.history[label], rtol=1e-5, atol=1e-6, err_msg=label
            )


@pytest.mark.slow
def test_masks_do_not_depend_on_padding(wine):
    """Folds that fit into one batch, in a study whose largest fold has four times the rows."""
    pairs = [(np.arange(30), np.arange(30, 40)), (np.arange(20, 142), np.arange(20))]
    study = jreg.cross_validate(recipe, wine, SPACE, **OPTIONS | {"cv": pairs, "batch_size": 142, "seeds": 1})
    few = jreg.Dataset(wine.x[:40], wine.y[:40])
    alone = jreg.fit(
        jreg.member_key(0, 0), recipe, few, SPACE.settings[0], epochs=5, batch_size=142,
        train=pairs[0][0], validation=pairs[0][1],
    )  # fmt: skip
    np.testing.assert_allclose(study.curve("val_loss")[0, 0, 0], alone.history["val_loss"], rtol=1e-5)


@pytest.mark.some(1)
@pytest.mark.parametrize("batch", [1, 4])
def test_a_schedule_fits_every_fold_every_rung_and_the_refit(wine, batch):
    def scheduled(hp, steps):
        falling = optax.cosine_decay_schedule(hp["learning_rate"], 1.0)

        def rate(count):
            return falling(count / steps.total_steps)

        # The last rate of an epoch as a measure of the parameters: a bias that the optimizer moves by it.
        def init(key, x):
            return {"w": jnp.zeros((x.shape[-1], 3), x.dtype), "rate": jnp.zeros((), x.dtype)}

        def apply(params, x, train, rngs):
            return x @ params["w"] + 0 * params["rate"]

        def update(updates, state, params=None):
            moved = {"w": -rate(state) * updates["w"], "rate": rate(state) - params["rate"]}
            return moved, state + 1

        optimizer = optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)
        seen = metrics.of_params(lambda params: params["rate"], maximize=False)
        return jreg.Recipe(
            (init, apply),
            losses.softmax_cross_entropy,
            optimizer,
            preprocess=standardize(),
            metrics={"accuracy": metrics.accuracy, "rate": seen},
        )

    pairs = [(np.arange(17), np.arange(100, 142)), (np.arange(90), np.arange(90, 142))]
    options = OPTIONS | {
        "cv": pairs,
        "epochs": 6,
        "seeds": 1,
        "layout": jreg.Layout(tuple(jax.devices()), batch, batch),
    }

    def cosine(rate, steps):
        """The rate of each epoch's last step."""
        return rate * (1 + np.cos(np.pi * (np.arange(1, 7) * steps - 1) / (6 * steps))) / 2

    space = jreg.grid(learning_rate=[0.1, 0.01])
    race = jreg.successive_halving(2, factor=2)
    for chosen in (None, race):
        study = jreg.cross_validate(scheduled, wine, space, race=chosen, **options)
        rates = study.curve("rate")[study.best.number, :, 0]
        for fold, steps in enumerate((2, 6)):
            # The last rate is a difference of 1 and nearly 1, so its error is that of 1 times the first rate.
            rate = study.best.hyperparameters["learning_rate"]
            np.testing.assert_allclose(rates[fold], cosine(rate, steps), rtol=1e-5, atol=1e-6 * rate)
    final = jreg.refit(study)
    np.testing.assert_allclose(final.history["rate"], cosine(rate, -(-len(wine) // 16)), rtol=1e-5, atol=1e-6 * rate)


def test_weights_of_rows_are_weighted_least_squares():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 1)).astype(np.float32)
    weights = np.where(np.arange(80) < 40, 10.0, 0.1)
    y = np.where(np.arange(80) < 40, 2.0, -2.0) * x[:, 0]
    data = jreg.Dataset(x, y, weights=weights)

    def linear(hp):
        return jreg.Recipe(nn.Linear(1), losses.squared_error, optax.sgd(0.05), batch_size=80, preprocess=standardize())

    design = np.stack([x[:, 0], np.ones(80)], axis=1)
    right = np.linalg.solve(design.T @ (weights[:, None] * design), design.T @ (weights * y))
    fitted = jreg.fit(jax.random.key(0), linear, data, epochs=600)
    mean = np.average(x[:, 0], weights=weights)
    deviation = np.sqrt(np.average((x[:, 0] - mean) ** 2, weights=weights))
    [kernel] = (leaf for path, leaf in jax.tree_util.tree_leaves_with_path(fitted.params) if leaf.ndim == 2)
    assert float(kernel[0, 0]) / deviation == pytest.approx(right[0], abs=1e-4)
    # The measured loss is weighted, too.
    residuals = (design @ right - y) ** 2 / 2
    assert fitted.history["train_loss"][-1] == pytest.approx(np.average(residuals, weights=weights), rel=1e-4)


@pytest.mark.parametrize(("zero", "part"), [(np.arange(30), "validation"), (np.arange(30, 60), "training")])
def test_rows_that_count_nothing_are_refused(zero, part):
    weights = np.ones(90)
    weights[zero] = 0
    data = jreg.Dataset(np.zeros((90, 2)), np.arange(90) % 3, weights=weights, name="some")
    pairs = [(np.arange(30, 60), np.arange(30))]
    with pytest.raises(ValueError, match=f"the {part} rows of fold 0 all have weight 0 in some: give each fold"):
        jreg.cross_validate(recipe, data, SPACE, **OPTIONS | {"cv": pairs})


# Other rows than tables.


@pytest.mark.slow
def test_a_small_language_model_trains_in_a_study():
    rng = np.random.default_rng(0)
    # The next token is the one before plus one, but for one in ten.
    tokens = np.cumsum(np.where(rng.random((240, 13)) < 0.1, 3, 1), axis=1) % 7
    data = jreg.Dataset(tokens[:, :-1], tokens[:, 1:], task="classification", name="counting")
    assert data.x.dtype == np.int32

    def language_model(hp):
        def init(key, x):
            assert x.dtype == jnp.int32
            one, two = jax.random.split(key)
            return {"embedding": jax.random.normal(one, (7, 8)) * 0.1, "kernel": jax.random.normal(two, (8, 7)) * 0.1}

        def apply(params, x, train, rngs):
            return params["embedding"][x] @ params["kernel"]

        return jreg.Recipe(
            (init, apply),
            losses.softmax_cross_entropy,
            optax.sgd(hp["learning_rate"]),
            metrics={"perplexity": metrics.perplexity, "accuracy": metrics.accuracy},
        )

    study = jreg.cross_validate(
        language_model, data, jreg.grid(learning_rate=[0.01, 3.0]), **OPTIONS | {"epochs": 20, "seeds": 1}
    )
    assert study.spec.score.label == "val_perplexity"
    assert study.best.hyperparameters == {"learning_rate": 3.0}
    # The entropy of the source: a step of 3 with probability 0.1.
    assert np.exp(-0.9 * np.log(0.9) - 0.1 * np.log(0.1)) * 0.9 < study.best.mean < 2.0
    final = jreg.refit(study)
    assert final.predict(data.x[:5]).shape == (5, 12)
    assert (final.predict(data.x) == data.y).mean() > 0.85
    assert study.out_of_fold().probabilities.shape == (240, 12, 7)


@pytest.mark.slow
def test_a_segmentation_of_dictionaries_trains_in_a_study():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 6, 6, 1), np.uint8)
    brightness = rng.choice([90.0, 160.0], (60, 1)).astype(np.float32)
    masks = (images[..., 0] > brightness[:, :, None]).astype(np.int64)
    data = jreg.Dataset({"image": images, "brightness": brightness}, masks, task="classification", name="masks")
    assert data.x["image"].dtype == np.uint8

    def segmentation(hp):
        def init(key, x):
            return {name: jnp.zeros((), jnp.float32) for name in "abc"}

        def apply(params, x, train, rngs):
            above = x["image"][..., 0] / np.float32(255) * params["a"] + x["brightness"][:, :, None] / 255 * params["b"]
            logits = above + params["c"]
            return jnp.stack([-logits, logits], axis=-1)

        def loss(outputs, targets):
            each = losses.softmax_cross_entropy(outputs, targets)
            return each, {"edge": each[:, 0], "inside": each[:, 1:-1]}

        loss.link = "softmax"
        return jreg.Recipe((init, apply), loss, optax.sgd(hp["learning_rate"], momentum=0.9))

    study = jreg.cross_validate(
        segmentation, data, jreg.grid(learning_rate=[1.0, 10.0]), **OPTIONS | {"epochs": 30, "seeds": 1}
    )
    assert {"train_edge", "val_edge", "val_inside", "val_accuracy"} <= set(study.results.labels)
    assert study.best.mean > 0.9
    assert jreg.refit(study).predict({"image": images, "brightness": brightness}).shape == (60, 6, 6)
    shares = study.curve("val_loss") - (study.curve("val_edge") / 6)
    assert np.isfinite(shares).all()


def test_integer_parts_that_preprocessing_leaves_alone_reach_an_embedding():
    x = {"numbers": np.arange(12.0).reshape(6, 2), "city": np.arange(6)}
    data = jreg.Dataset(x, np.arange(6) % 2, name="houses")
    seen = []

    def recipe(hp):
        def apply(params, x, train, rngs):
            seen.append(x["city"].dtype)
            return params["city"][x["city"]] + x["numbers"] * hp["a"]

        scaled = jreg.data.by_part(numbers=jreg.data.standardize())
        model = (lambda key, x: {"city": jnp.zeros((6, 2))}, apply)
        return jreg.Recipe(model, losses.softmax_cross_entropy, optax.sgd(0.1), preprocess=scaled)

    Design.of(recipe, data, jreg.grid(a=[0.5]), cv=2, epochs=1)
    assert set(seen) == {jnp.dtype("int32")}


def out_of_fold(outputs):
    return OutOfFold(np.arange(3), np.zeros(3), np.zeros(3), outputs, "classification", None)


@pytest.mark.parametrize(
    "read",
    [
        lambda outputs: labels_of(outputs, "classification"),
        lambda outputs: probabilities_of(outputs, None, "classification"),
        lambda outputs: mean_probabilities([outputs, outputs]),
        lambda outputs: out_of_fold(outputs).predictions,
        lambda outputs: out_of_fold(outputs).probabilities,
    ],
)
def test_several_arrays_of_outputs_are_no_prediction(read):
    with pytest.raises(TypeError, match=r"outputs are the parts kind, size, and jreg doesn't know which of them"):
        read({"kind": np.zeros((3, 2)), "size": np.zeros((3, 1))})


@pytest.mark.slow
def test_an_autoencoder_of_many_rows_stacks_no_outputs():
    """60,000 rows of 784 bytes take 188 MB as outputs of an epoch; no slot may hold them."""
    rows = np.zeros((60_000, 784), np.uint8)
    data = jreg.Dataset(rows, np.zeros(60_000, np.int32), name="zeros")

    def autoencoder(hp):
        return jreg.Recipe(
            nn.MLP((8, 784)), losses.squared_error, optax.sgd(hp["learning_rate"]), reconstruct=True,
            metrics={"error": metrics.mse, "r2": metrics.r2},
        )  # fmt: skip

    pairs = [(np.arange(48_000), np.arange(48_000, 60_000))]
    design = Design.of(autoencoder, data, jreg.grid(learning_rate=[0.1]), cv=pairs, epochs=2, batch_size=100, keep=())
    wanted = design.everything()
    [(plan, jobs)] = design.jobs(wanted, np.zeros((1, 1), np.int32))
    needed = []
    by_account = compiled.bytes_of
    layout = jreg.Layout(tuple(jax.devices()[:1]), 1)
    example = jax.tree.map(lambda leaf: leaf[0], jobs)
    compiled_bytes = functools.partial(compiled.compile_program, plan, layout, example)
    try:
        compiled.bytes_of = lambda found: needed.append(by_account(found)) or needed[-1]
        compiled_bytes(jreg.training.rows_of(data), design.folds, None)
    finally:
        compiled.bytes_of = by_account
    data_bytes = rows.nbytes + sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(design.folds))
    assert needed[0] < data_bytes + 60e6, f"{(needed[0] - data_bytes) / 1e6:.0f} MB beside the data"


# Statuses.


def test_statuses_have_a_word_and_a_sentence_each():
    assert [status.name for status in Status] == [
        "WAITING", "RUNNING", "COMPLETED", "STOPPED", "DIVERGED", "PRUNED", "FAILED",
    ]  # fmt: skip
    assert len({status.sentence for status in Status}) == len(Status)
    assert all(status.word == status.name.lower() for status in Status)


@pytest.mark.slow
def test_an_observer_is_a_function_and_there_may_be_several(wine):
    one, two = [], []
    jreg.cross_validate(recipe, wine, SPACE, **OPTIONS | {"progress": [one.append, two.append]})
    assert one == two
    assert one[-1].done == one[-1].total == 12
    assert list(inspect.signature(run).parameters) == [
        "design", "policy", "executor", "store", "observers", "timeout",
    ]  # fmt: skip
