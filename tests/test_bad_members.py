"""A training that diverges and a setting that the recipe can't build: the reason is kept, and nothing else is lost."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jreg
from jreg import losses, metrics, report, statistics
from jreg.engine import pool
from jreg.results import Spec, table
from jreg.training import Column, Status, why_diverged

NAN, INF = math.nan, math.inf
EPOCHS, NEVER = 4, -1.0
STEPS = 2  # of 16 rows in batches of 8
ONE_BY_ONE = jreg.Layout(tuple(jax.devices()), 1)
OPTIONS = {"cv": 3, "epochs": EPOCHS, "batch_size": 8, "layout": ONE_BY_ONE, "progress": False}


def blobs():
    rng = np.random.default_rng(0)
    y = np.arange(24) % 3
    return jreg.Dataset(rng.normal(size=(24, 2)) + 2.0 * np.eye(3, 2)[y], y, name="blobs")


DATA = blobs()


def init(key, x):
    return {"kernel": jax.random.normal(key, (x.shape[-1], 3), x.dtype), "hidden": jnp.ones(())}


def apply(params, x, train, rngs):
    # Like a unit behind ReLU: minus infinity is nothing here.
    return x @ params["kernel"] * (1 + jax.nn.relu(params["hidden"]))


def breaking(step):
    """Makes a parameter minus infinite in that step; its own state is never finite."""

    def update(updates, state, params=None):
        count, worst = state
        broken = updates | {"hidden": jnp.where(count == step, -jnp.inf, updates["hidden"])}
        return broken, (count + 1, worst)

    return optax.GradientTransformation(lambda params: (jnp.zeros(()), jnp.full((), jnp.inf)), update)


def recipe(hp):
    optimizer = optax.chain(optax.sgd(hp["rate"]), breaking(hp["step"]))
    return jreg.Recipe((init, apply), losses.softmax_cross_entropy, optimizer)


# One that trains, one that breaks in the second step of the third epoch, one whose loss overflows.
SPACE = [{"rate": 0.1, "step": NEVER}, {"rate": 0.1, "step": 2.0 * STEPS + 1}, {"rate": 3e38, "step": NEVER}]


def validate(space=SPACE, **options):
    return jreg.cross_validate(recipe, DATA, space, **OPTIONS | options)


@pytest.fixture(scope="module")
def study():
    with jax.numpy_dtype_promotion("strict"):
        return validate()


@pytest.fixture(scope="module")
def counted():
    """The same study, in which a training that diverges counts with a score of 0.25."""
    with jax.numpy_dtype_promotion("strict"):
        return validate(error_score=0.25)


# The reason.

COLUMNS = (
    Column("train", "loss", "loss"),
    Column("validation", "loss", "loss"),
    Column("validation", "metric", "accuracy", True),
    Column("train", "penalty", "later"),
)


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ([[0.7, 0.6, 0.91], [0.5, 0.4, 0.5]], "parameters not finite in epoch 2, last val_accuracy 0.91"),
        ([[0.7, 0.6, 0.91], [0.5, INF, 0.5]], "val_loss not finite in epoch 2, last val_accuracy 0.91"),
        ([[0.7, 0.6, 0.91], [NAN, NAN, 0.5]], "train_loss not finite in epoch 2, last val_accuracy 0.91"),
        (
            [[0.7, 0.6, 0.123456], [0.7, 0.6, NAN], [NAN] * 3],
            "train_loss not finite in epoch 3, last val_accuracy 0.1235",
        ),
        ([[NAN, NAN, 0.3]], "train_loss not finite in epoch 1"),
    ],
)
def test_the_reason_is_read_from_the_history(history, reason):
    assert why_diverged(np.array(history, np.float32), COLUMNS, COLUMNS[2]) == reason


def test_parameters_that_no_loss_shows_end_a_training(study):
    assert (study.status[0] == Status.COMPLETED).all()
    assert (study.status[1] == Status.DIVERGED).all()
    assert (study.epochs_run[1] == 3).all()
    # All losses were finite: the reason is one that only the parameters know.
    assert np.isfinite(study.history[1, :, :, :3]).all()
    # Until then it was what its neighbour is.
    np.testing.assert_array_equal(study.history[1, :, :, :2], study.history[0, :, :, :2])


def test_the_table_says_why_and_what_was_last_good(study):
    notes = [row["note"] for row in table.settings(study.results)]
    last = study.curve("val_accuracy")[1, 0, 0, 1]
    others, epochs = "(and 2 more of its trainings)", study.epochs_run[2, 0, 0]
    assert notes[1:] == [
        f"diverged: parameters not finite in epoch 3, last val_accuracy {last:.4g} {others}",
        f"diverged: {why_diverged(study.history[2, 0, 0, :epochs], study.spec.columns, study.spec.score)} {others}",
    ]
    assert f"loss not finite in epoch {epochs}" in notes[2]
    assert [line.split()[-1] for line in study.table().splitlines()[-3:-1]] == ["diverged"] * 2


@pytest.mark.parametrize("stopping", [jreg.EarlyStopping(9), pytest.param(None, marks=pytest.mark.slow)])
def test_early_stopping_keeps_the_network_from_before(stopping):
    options = {"epochs": EPOCHS, "batch_size": 8, "stopping": stopping}
    rows = {"train": np.arange(16), "validation": np.arange(16, 24)}
    broken = jreg.fit(jax.random.key(0), recipe, DATA, SPACE[1], **options, **rows)
    assert Status(int(broken.status)) == Status.DIVERGED
    assert int(broken.epochs) == 3
    if stopping is None:
        assert broken.params["hidden"] == -INF
    else:
        assert int(broken.best_epoch) <= 1
        assert np.isfinite(broken.params["hidden"])


# error_score.


def test_without_a_score_a_diverged_training_leaves_its_setting_without_a_mean(study):
    assert np.isnan(study.scores[1:]).all()
    assert math.isnan(study.spec.error_score)
    assert [result.number for result in study.ranking] == [0, 1, 2]
    assert np.isnan([result.mean for result in study.settings[1:]]).all()


def test_a_score_for_errors_is_one_like_any_other(study, counted):
    np.testing.assert_array_equal(counted.history, study.history)
    expected = np.where(study.status == Status.DIVERGED, 0.25, study.scores)
    np.testing.assert_array_equal(counted.scores, expected)
    means, errors = statistics.mean_and_standard_error(expected)
    assert [result.mean for result in counted.settings] == means.tolist()
    np.testing.assert_array_equal([result.standard_error for result in counted.settings], errors)
    assert counted.best.number == int(np.argmax(means))
    # Other columns have no value for it.
    assert np.isnan(counted.results.values(counted.results.column("val_loss"))[1:]).all()
    assert "6 of 9 trainings diverged; they count with val_accuracy 0.25" in report.summary(counted.results, None)
    assert "6 of 9 trainings diverged; their settings rank last" in report.summary(study.results, None)


def test_it_takes_part_in_ranking_and_in_the_rule_of_one_standard_error():
    # Worse than 1.5 is what the two others are, so the broken one wins; its scores have no spread.
    space = jreg.grid(rate=[0.1, 3e38], step=[NEVER])
    found = validate(space, error_score=1.5)
    assert [result.number for result in found.ranking] == [1, 0]
    assert (found.best.number, found.best.mean, found.best.standard_error) == (1, 1.5, 0.0)
    assert found.one_standard_error.number == 1


def test_it_is_part_of_what_is_asked(counted, study, tmp_path):
    counted.save(tmp_path)
    loaded = jreg.load_results(tmp_path)
    assert loaded.spec.error_score == 0.25
    np.testing.assert_array_equal(loaded.scores, counted.scores)
    written = study.spec.head()
    assert written["error_score"] is None
    assert math.isnan(Spec.of(written, study.spec.settings, study.spec.folds).error_score)
    del written["error_score"]
    assert math.isnan(Spec.of(written, study.spec.settings, study.spec.folds).error_score)
    assert Spec.of(written | {"error_score": "raise"}, study.spec.settings, study.spec.folds).error_score == "raise"


@pytest.mark.parametrize(
    ("value", "error", "sentence"),
    [
        (INF, ValueError, r"error_score is inf, but must be a finite number, float\('nan'\) or 'raise'"),
        (True, TypeError, "error_score is True, but must be"),
        ("ignore", TypeError, "error_score is 'ignore', but must be"),
        (None, TypeError, "error_score is None, but must be"),
    ],
)
def test_other_values_are_refused(value, error, sentence):
    with pytest.raises(error, match=sentence):
        validate(error_score=value)


def test_the_first_diverged_training_ends_a_study_that_asks_for_it(study, monkeypatch, tmp_path):
    monkeypatch.setattr(pool, "_SECONDS", 0.0)
    reason = why_diverged(study.history[1, 0, 0, :3], study.spec.columns, study.spec.score)
    with pytest.raises(FloatingPointError) as raised:
        validate(SPACE[:2], error_score="raise", store=tmp_path)
    assert str(raised.value) == (
        f"setting 1 (rate=0.1 step=5) diverged on fold 0 with seed 0: {reason}; with error_score=float('nan') such a "
        "training has no score and the others go on"
    )
    kept = jreg.load_results(tmp_path)
    # The third fold trained beside the training that diverged.
    assert (kept.status[0, :2] == Status.COMPLETED).all()
    np.testing.assert_array_equal(kept.scores[0, :2], study.scores[0, :2])
    assert (kept.status[1] == Status.DIVERGED).any()


# A setting that the recipe can't build.


class Listed:
    """Asks for settings in order, and notes what it is told."""

    def __init__(self, settings):
        self.settings, self.ended, self.asked = settings, {}, -1

    def ask(self):
        self.asked += 1
        return self.asked, self.settings[self.asked]

    def report(self, trial, epoch, score):
        assert math.isfinite(score)
        return True

    def tell(self, trial, score, ending):
        assert trial not in self.ended
        self.ended[trial] = (ending, score)

    def check(self, maximize):
        pass


def sized(hp):
    if hp["width"] == 0:
        raise ZeroDivisionError(f"no width of {hp['width']}")
    return recipe({"rate": hp["rate"], "step": NEVER})


WIDTHS = [{"rate": rate, "width": width} for rate, width in [(0.1, 4), (0.1, 0), (0.3, 4), (0.2, 0)]]
WARNING = r"setting \d failed: the recipe raised ZeroDivisionError: no width of 0 \(in the setting rate=0.\d width=0\)"


def search(settings=WIDTHS, **options):
    asker = Listed(settings)
    return jreg.optimize(sized, DATA, asker, trials=len(settings), **OPTIONS | options), asker


@pytest.fixture(scope="module")
def searched():
    with jax.numpy_dtype_promotion("strict"), pytest.warns(RuntimeWarning, match=WARNING):
        return search()


def test_a_trial_that_the_recipe_cannot_build_takes_no_other_with_it(searched):
    study, asker = searched
    assert {trial: ending for trial, (ending, _) in asker.ended.items()} == dict(
        enumerate(["complete", "failed", "complete", "failed"])
    )
    assert (study.status[[1, 3]] == Status.FAILED).all()
    assert (study.status[[0, 2]] == Status.COMPLETED).all()
    alone = jreg.cross_validate(sized, DATA, [WIDTHS[0], WIDTHS[2]], **OPTIONS)
    np.testing.assert_array_equal(study.history[[0, 2]], alone.history)
    np.testing.assert_array_equal(study.results.baseline.scores, alone.results.baseline.scores)
    assert study.results.missing() == []


def test_failed_trainings_are_shown_ranked_and_stored(searched, tmp_path):
    study, _ = searched
    assert sorted(result.number for result in study.ranking[2:]) == [1, 3]
    assert [row["note"] for row in table.settings(study.results)[2:]] == ["failed"] * 2
    assert study.table().count("failed") == 2
    assert "6 of 12 trainings failed; their settings rank last" in report.summary(study.results, None)
    for draw in (study.plot, study.plot_differences, study.plot_curves):
        assert draw().axes
    study.save(tmp_path)
    loaded = jreg.load_results(tmp_path)
    np.testing.assert_array_equal(loaded.status, study.status)
    assert sum("failed" in row for row in table.trainings(loaded)) == 6
    with pytest.raises(ValueError, match="was not trained to its end"):
        jreg.refit(study, study.settings[1])


def test_with_a_score_for_errors_the_search_hears_that_score():
    with pytest.warns(RuntimeWarning, match=WARNING):
        study, asker = search([*WIDTHS[:2], {"rate": 3e38, "width": 4}], error_score=0.25)
    assert [asker.ended[trial] for trial in (1, 2)] == [("complete", 0.25)] * 2
    assert asker.ended[0] == ("complete", study.settings[0].mean)
    assert [result.mean for result in study.settings[1:]] == [0.25] * 2


def test_a_search_whose_later_trials_all_fail_ends():
    with pytest.warns(RuntimeWarning, match=WARNING):
        study, asker = search([WIDTHS[0], *[WIDTHS[1]] * 5])
    assert study.best.number == 0
    assert [asker.ended[trial][0] for trial in range(1, 6)] == ["failed"] * 5


def test_the_error_itself_ends_the_search_at_the_first_trial_and_where_it_is_asked_for(tmp_path):
    with pytest.raises(ValueError, match="no width of 0"):
        search(WIDTHS[1:])
    with pytest.raises(ValueError, match="no width of 0") as raised:
        search(error_score="raise", store=tmp_path)
    assert raised.value.__notes__ == ["with error_score=float('nan') the search goes on without this setting"]
    assert (tmp_path / "results.json").exists()


# What a user's own function raises.


def test_an_error_in_a_callback_leaves_everything_finished_in_the_store(study, monkeypatch, tmp_path):
    monkeypatch.setattr(pool, "_SECONDS", 0.0)
    done = []

    def watch(progress):
        done.append(progress.done)
        if progress.done >= 2:
            raise KeyError("a bug in the callback")

    with pytest.raises(KeyError, match="a bug in the callback"):
        validate(SPACE[:1], progress=watch, store=tmp_path)
    kept = jreg.load_results(tmp_path)
    finished = kept.status == Status.COMPLETED
    assert finished.sum() == done[-1] >= 2
    np.testing.assert_array_equal(kept.history[finished], study.history[:1][finished])


def test_an_error_in_a_metric_while_training_leaves_everything_finished_in_the_store(study, monkeypatch, tmp_path):
    monkeypatch.setattr(pool, "_SECONDS", 0.0)

    def fussy(outputs, y):
        def on_host(first):
            if np.isnan(first).any():
                raise KeyError("a bug in the metric")
            return first

        return jax.pure_callback(
            on_host, jax.ShapeDtypeStruct(y.shape, jnp.float32), outputs[:, 0], vmap_method="sequential"
        )

    def watched(hp):
        return jreg.Recipe(
            (init, apply),
            losses.softmax_cross_entropy,
            optax.sgd(hp["rate"]),
            metrics={"accuracy": metrics.accuracy, "fussy": metrics.average(fussy, maximize=True)},
        )

    with pytest.raises(Exception, match="a bug in the metric"):
        jreg.cross_validate(watched, DATA, [{"rate": 0.1}, {"rate": 3e38}], **OPTIONS | {"store": tmp_path})
    kept = jreg.load_results(tmp_path)
    # The third fold trained beside the training that raised.
    assert (kept.status[0, :2] == Status.COMPLETED).all()
