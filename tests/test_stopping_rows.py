"""Rows that stop apart from rows that score, the final network's updates, and looks at the test set."""

import dataclasses
import functools
import json
import re
import shutil
import sqlite3
import warnings

import jax
import numpy as np
import optax
import pytest

import jreg
from jreg import losses, nn, penalties
from jreg.data import standardize
from jreg.results import Results
from jreg.store import load_note, salvage, schema
from jreg.study.stopping_rows import set_aside
from jreg.training import FINAL

ONE_BY_ONE = jreg.Layout(tuple(jax.devices()), 1)
STOPPING = jreg.EarlyStopping(2)
OPTIONS = {"cv": 3, "epochs": 12, "batch_size": 16, "stopping": STOPPING, "progress": False, "layout": ONE_BY_ONE}
SPACE = jreg.grid(l2=[1e-3, 0.1])
SHARE = 0.2


def recipe(hp):
    return jreg.Recipe(
        nn.MLP((5, 3), dropout=0.2),
        losses.softmax_cross_entropy,
        optax.sgd(0.1, momentum=0.9),
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
        preprocess=standardize(),
    )


@pytest.fixture(scope="module")
def wine():
    return jreg.load_dataset("wine")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stored") / "study"


@pytest.fixture(scope="module")
def study(wine, folder):
    """With one seed, and stored."""
    return jreg.cross_validate(recipe, wine, SPACE, validation_fraction=SHARE, store=folder, **OPTIONS)


# The rows.


def test_classes_keep_their_shares_and_no_row_is_lost():
    data = jreg.Dataset(np.zeros((100, 1)), np.repeat([0, 1, 2], [50, 30, 20]))
    train, stopping = set_aside(data, np.arange(100), SHARE)
    assert np.bincount(data.y[stopping]).tolist() == [10, 6, 4]
    assert sorted([*train, *stopping]) == list(range(100))


def test_the_choice_depends_on_which_rows_there_are_and_keeps_their_order():
    data = jreg.Dataset(np.zeros((60, 1)), np.linspace(0, 1, 60))
    rows = np.random.default_rng(0).permutation(60)[:40]
    train, stopping = set_aside(data, rows, SHARE)
    # Twice as often, in another order: the same rows go, with all their copies.
    again, same = set_aside(data, np.concatenate([rows[::-1], rows]), SHARE)
    np.testing.assert_array_equal(same, stopping)
    np.testing.assert_array_equal(train, rows[~np.isin(rows, stopping)])
    np.testing.assert_array_equal(again, np.concatenate([train[::-1], train]))
    assert len(stopping) == 8
    other = set_aside(data, rows[:-1], SHARE)[1]
    assert not np.array_equal(other, stopping)


def test_groups_stay_whole():
    groups = np.arange(90) // 3
    data = jreg.Dataset(np.zeros((90, 1)), np.arange(90) % 2, groups=groups)
    train, stopping = set_aside(data, np.arange(60), SHARE)
    assert not set(groups[train]) & set(groups[stopping])
    assert len(stopping) == 12


def test_several_labels_and_trees_of_examples_have_rows_to_stop_on(wine):
    flags = np.eye(4, dtype=int)[np.arange(20) % 4]
    labels = jreg.Dataset({"a": np.zeros((20, 1)), "b": np.zeros((20, 2))}, flags, task="multilabel")
    assert len(set_aside(labels, np.arange(20), 0.1)[1]) == 2
    assert len(set_aside(wine, np.arange(len(wine)), np.float32(0.5))[1]) == len(wine) // 2


@pytest.mark.parametrize(
    ("fraction", "error", "sentence"),
    [
        (0.0, ValueError, "validation_fraction is 0, but must be a share of the training rows between 0 and 1"),
        (1, ValueError, "validation_fraction is 1, but"),
        (-0.1, ValueError, "validation_fraction is -0.1, but"),
        (np.nan, ValueError, "validation_fraction is nan, but"),
        (np.inf, ValueError, "validation_fraction is inf, but"),
        (True, TypeError, "validation_fraction is True, but"),
        ("0.1", TypeError, "validation_fraction is '0.1', but"),
        ([0.1], TypeError, r"validation_fraction is \[0.1\], but"),
        (0.001, ValueError, r"validation_fraction=0.001 of 94 training rows of wine can't be set aside.*take another"),
    ],
)
def test_a_share_that_is_none_is_refused(wine, fraction, error, sentence):
    with pytest.raises(error, match=sentence):
        jreg.cross_validate(recipe, wine, SPACE, validation_fraction=fraction, **OPTIONS)
    with pytest.raises(error, match=sentence.split(",")[0].replace("94", "142")):
        set_aside(wine, np.arange(len(wine)), fraction)


def test_rows_that_nothing_stops_on_are_refused(wine):
    with pytest.raises(ValueError, match=r"is 0.2, but nothing stops on the rows.*stopping=jreg.EarlyStopping"):
        jreg.cross_validate(recipe, wine, SPACE, validation_fraction=SHARE, **OPTIONS | {"stopping": None})
    for monitor in ("train_loss", "penalty"):
        asked = OPTIONS | {"stopping": jreg.EarlyStopping(2, monitor=monitor)}
        with pytest.raises(ValueError, match=rf"monitors '{monitor}', which needs no rows of its own"):
            jreg.cross_validate(recipe, wine, SPACE, validation_fraction=SHARE, **asked)
    with pytest.raises(ValueError, match="monitors 'stop_loss', but measured are only: train_loss"):
        jreg.cross_validate(recipe, wine, SPACE, **OPTIONS | {"stopping": jreg.EarlyStopping(2, monitor="stop_loss")})


def test_rows_to_stop_on_that_count_nothing_are_refused(wine):
    rows = set_aside(wine, np.arange(100), SHARE)[1]
    weights = np.ones(len(wine))
    weights[rows] = 0
    weighted = dataclasses.replace(wine, weights=weights)
    pairs = [(np.arange(100), np.arange(100, len(wine)))]
    with pytest.raises(ValueError, match="the stopping rows of fold 0 all have weight 0"):
        jreg.cross_validate(recipe, weighted, SPACE, validation_fraction=SHARE, **OPTIONS | {"cv": pairs})


# The study.


def test_a_fold_is_a_fit_that_validates_on_the_rows_to_stop_on(wine, study):
    fold, setting = study.spec.folds[1], SPACE.settings[1]
    assert sorted([*fold.train, *fold.stopping, *fold.validation]) == list(range(len(wine)))
    alone = jreg.fit(
        jreg.member_key(0, 1), recipe, wine, setting, epochs=12, batch_size=16, stopping=STOPPING,
        train=fold.train, validation=fold.stopping,
    )  # fmt: skip
    np.testing.assert_allclose(study.curve("stop_loss")[1, 1, 0], alone.history["val_loss"], rtol=1e-5)
    np.testing.assert_allclose(study.curve("stop_accuracy")[1, 1, 0], alone.history["val_accuracy"], rtol=1e-5)
    assert study.best_epochs[1, 1, 0] == alone.best_epoch
    scored = jreg.evaluate(recipe, alone, wine.x[fold.validation], wine.y[fold.validation], setting)
    np.testing.assert_allclose(study.scores[1, 1, 0], scored["accuracy"], rtol=1e-5)
    assert len(study.out_of_fold().rows) == len(wine)


def test_the_best_epoch_is_that_of_the_rows_to_stop_on(study):
    np.testing.assert_array_equal(study.best_epochs, np.nanargmin(study.curve("stop_loss"), axis=-1))
    # Validation rows are measured in each epoch, too.
    assert (np.isnan(study.curve("val_loss")) == np.isnan(study.curve("stop_loss"))).all()
    at_best = np.take_along_axis(study.curve("val_accuracy"), study.best_epochs[..., None], axis=-1)[..., 0]
    np.testing.assert_array_equal(study.scores, at_best)


@pytest.mark.parametrize(
    ("monitor", "looked_at", "mode"),
    [
        ("val_loss", "stop_loss", "min"),
        ("stop_loss", "stop_loss", "min"),
        ("val_accuracy", "stop_accuracy", "max"),
        ("stop_accuracy", "stop_accuracy", "max"),
    ],
)
def test_rows_to_stop_on_stand_in_for_those_that_score(wine, monitor, looked_at, mode):
    rule = jreg.EarlyStopping(2, monitor=monitor)
    [plan] = jreg.Design.of(
        recipe, wine, SPACE, cv=3, epochs=2, stopping=rule, validation_fraction=SHARE
    ).plans.values()
    assert (plan.stopping.monitor, plan.stopping.mode) == (looked_at, mode)
    assert plan.monitored.split == "stopping"


def test_a_study_without_such_rows_has_no_trace_of_them(wine):
    plain = jreg.Design.of(recipe, wine, SPACE, cv=3, epochs=2, stopping=STOPPING)
    assert plain.folds.stopping is None
    assert len(jax.tree.leaves(plain.folds)) == 5
    assert not any(column.split == "stopping" for column in plain.spec.columns)


@pytest.mark.slow
def test_a_race_and_a_search_rank_by_honest_scores(wine, study):
    raced = jreg.cross_validate(
        recipe, wine, SPACE, validation_fraction=SHARE, race=jreg.successive_halving(4, factor=2), **OPTIONS
    )
    survivor = raced.best.number
    np.testing.assert_array_equal(raced.scores[survivor], study.scores[survivor])
    asker = InOrder(SPACE.settings)
    found = jreg.optimize(recipe, wine, asker, trials=2, validation_fraction=SHARE, **OPTIONS)
    np.testing.assert_array_equal(found.scores, study.scores)
    np.testing.assert_allclose([asker.told[0], asker.told[1]], study.scores.mean(axis=(1, 2)), rtol=1e-6)


class InOrder:
    """Asks for settings in order, and lets all go on."""

    def __init__(self, settings):
        self.settings, self.asked, self.told = settings, 0, {}

    def check(self, maximize):
        assert maximize

    def ask(self):
        self.asked += 1
        return self.asked - 1, self.settings[self.asked - 1]

    def report(self, trial, epoch, score):
        return True

    def tell(self, trial, score, ending):
        self.told[trial] = score


# The store.


def test_what_is_stored_has_the_rows(study, folder):
    read = jreg.load_results(folder).spec
    assert read.validation_fraction == SHARE
    assert read.digest == study.spec.digest
    for one, other in zip(read.folds, study.spec.folds, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one[2:], other[2:])
    with sqlite3.connect(folder / "study.db") as connection:
        # Training rows are all others here, so they take no room.
        assert connection.execute("SELECT count(train), count(stopping) FROM fold").fetchone() == (0, 3)
    connection.close()


@pytest.mark.slow
def test_a_study_grows_by_seeds_and_goes_on(wine, study, folder, tmp_path):
    asked = OPTIONS | {"validation_fraction": SHARE, "seeds": 2}
    whole = jreg.cross_validate(recipe, wine, SPACE, **asked)
    shutil.copytree(folder, tmp_path / "copy")
    grown = jreg.cross_validate(recipe, wine, SPACE, store=tmp_path / "copy", **asked)
    np.testing.assert_array_equal(grown.history, whole.history)
    np.testing.assert_array_equal(grown.history[:, :, :1, : study.history.shape[3]], study.history)
    with sqlite3.connect(tmp_path / "copy" / "study.db") as connection:
        connection.execute("DELETE FROM training WHERE setting = 1")
    connection.close()
    gone_on = jreg.resume(tmp_path / "copy", recipe, wine, layout=ONE_BY_ONE, progress=False)
    np.testing.assert_array_equal(gone_on.history, whole.history)


@pytest.mark.slow
def test_a_study_grows_by_folds(wine, tmp_path):
    # Training rows in no order, which a resumed study has to keep.
    pairs = [(np.random.default_rng(n).permutation(100)[:80], np.arange(100, 142)) for n in range(3)]
    asked = OPTIONS | {"validation_fraction": SHARE, "epochs": 4}
    whole = jreg.cross_validate(recipe, wine, SPACE, **asked | {"cv": pairs})
    jreg.cross_validate(recipe, wine, SPACE, store=tmp_path / "a", **asked | {"cv": pairs[:2]})
    grown = jreg.cross_validate(recipe, wine, SPACE, store=tmp_path / "a", **asked | {"cv": pairs})
    np.testing.assert_array_equal(grown.history, whole.history)
    with sqlite3.connect(tmp_path / "a" / "study.db") as connection:
        connection.execute("DELETE FROM training WHERE setting = 1")
    connection.close()
    gone_on = jreg.resume(tmp_path / "a", recipe, wine, layout=ONE_BY_ONE, progress=False)
    np.testing.assert_array_equal(gone_on.history, whole.history)


def test_folds_that_come_later_are_divided_as_they_would_have_been(wine):
    pairs = [(np.random.default_rng(n).permutation(100)[:80], np.arange(100, 142)) for n in range(3)]
    asked = {"epochs": 4, "batch_size": 16, "stopping": STOPPING, "validation_fraction": SHARE}
    design, whole = (jreg.Design.of(recipe, wine, SPACE, cv=some, seeds=2, **asked) for some in (pairs[:2], pairs))
    grown = design.grown(folds=pairs)
    assert len(grown.spec.folds) == 3
    for one, other in zip(grown.spec.folds, whole.spec.folds, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one[2:], other[2:])


@pytest.mark.parametrize("fraction", [None, 0.3])
def test_with_another_share_it_is_another_study(wine, study, folder, fraction):
    with pytest.raises(
        ValueError, match=rf"has a study of which validation_fraction was 0.2 and is now {fraction}: ask"
    ):
        jreg.cross_validate(recipe, wine, SPACE, validation_fraction=fraction, store=folder, **OPTIONS)


def test_a_database_without_rows_to_stop_on_is_read_and_gone_on_with(wine, tmp_path):
    plain = jreg.Design.of(recipe, wine, SPACE, cv=3, epochs=2, stopping=STOPPING)
    jreg.store.write(tmp_path / "old", Results(plain.spec))
    path = tmp_path / "old" / "study.db"
    with sqlite3.connect(path) as connection:
        head = json.loads(connection.execute("SELECT value FROM study WHERE name = 'spec'").fetchone()[0])
        del head["validation_fraction"]
        connection.execute("UPDATE study SET value = ? WHERE name = 'spec'", (json.dumps(head),))
        rows = connection.execute("SELECT fold, role, validation, train FROM fold").fetchall()
        connection.execute("DROP TABLE fold")
        # The first version's own text.
        connection.execute(
            "CREATE TABLE fold (fold INTEGER PRIMARY KEY, role TEXT NOT NULL, validation BLOB NOT NULL, train BLOB)"
        )
        connection.executemany("INSERT INTO fold VALUES (?, ?, ?, ?)", rows)
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    read = jreg.load_results(tmp_path / "old")
    assert read.spec.digest == plain.spec.digest
    saved = salvage(tmp_path / "old", tmp_path / "saved")
    assert saved.whole
    assert not saved.lost
    jreg.store.add_note(tmp_path / "old", "seen", 1)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    connection.close()
    assert jreg.load_results(tmp_path / "old").spec.digest == plain.spec.digest


def test_what_is_salvaged_has_the_rows(study, folder, tmp_path):
    found = salvage(folder, tmp_path / "saved")
    assert found.whole
    assert jreg.load_results(tmp_path / "saved").spec.digest == study.spec.digest


# The final network.


@pytest.fixture(scope="module")
def untested(wine):
    """The same data without a test set, so that nothing looks at one."""
    return dataclasses.replace(wine, x_test=None, y_test=None)


def seen_by(function):
    """What a function returns, and what it tells of its progress."""
    told = []
    return function(progress=told.append), [progress.stage for progress in told]


@pytest.mark.slow
def test_the_final_network_makes_as_many_updates_as_validation_chose(untested):
    # Epochs of 2 and of 6 updates; of all rows 9.
    pairs = [(np.arange(17), np.arange(100, 142)), (np.arange(90), np.arange(90, 142))]
    study = jreg.cross_validate(recipe, untested, SPACE, **OPTIONS | {"cv": pairs, "seeds": 2})
    updates = [
        (int(study.best.best_epochs[fold, seed]) + 1) * steps for fold, steps in ((0, 2), (1, 6)) for seed in (0, 1)
    ]
    meant = sum(updates) / 4
    final, said = seen_by(functools.partial(jreg.refit, study))
    assert final.epochs == max(1, round(meant / 9)) == len(final.history["train_loss"])
    assert final.more["updates"] == {"meant": meant, "made": 9 * final.epochs}
    passes = "1 epoch" if final.epochs == 1 else f"{final.epochs} epochs"
    assert said == [
        f"refitting on all 142 rows for {passes} ({9 * final.epochs} updates; validation chose {meant:.1f})"
    ]
    assert "test" not in final.more


@pytest.mark.slow
def test_one_epoch_is_the_least(untested):
    pairs = [(np.arange(5), np.arange(100, 142))]
    study = jreg.cross_validate(recipe, untested, SPACE, **OPTIONS | {"cv": pairs, "epochs": 2})
    final = jreg.refit(study, progress=False)
    assert final.epochs == 1
    assert final.more["updates"]["meant"] < final.more["updates"]["made"] == 9


@pytest.mark.parametrize("apart", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_final_network_may_stop_on_rows_of_its_own(wine, untested, apart, caplog):
    # Not the module's study: that one was compiled without strict promotion, for which JAX has programs of their own.
    asked = jreg.cross_validate(recipe, wine, SPACE, validation_fraction=SHARE if apart else None, **OPTIONS)
    asked = dataclasses.replace(asked, design=dataclasses.replace(asked.design, data=untested))
    with jax.log_compiles():
        final, said = seen_by(functools.partial(jreg.refit, asked, validation_fraction=SHARE))
    compiled = re.findall(r"Finished XLA compilation of jit\((\w+)\)", caplog.text)
    # A study without such rows has a program that measures none.
    assert compiled.count("_advance") == (0 if apart else 1)
    rest, stopping = set_aside(wine, np.arange(len(wine)), SHARE)
    alone = jreg.fit(
        jreg.member_key(0, FINAL), recipe, wine, asked.best.hyperparameters, epochs=12, batch_size=16,
        stopping=STOPPING, train=rest, validation=stopping,
    )  # fmt: skip
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), final.params, alone.params)
    np.testing.assert_allclose(final.history["stop_loss"], alone.history["val_loss"][: final.epochs], rtol=1e-5)
    assert final.epochs == alone.epochs
    assert final.more["updates"] == {"meant": None, "made": (int(alone.best_epoch) + 1) * -(-len(rest) // 16)}
    assert said == [f"refitting on {len(rest)} rows for at most 12 epochs, stopping on {len(stopping)} others"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"stopping": None}, "validation_fraction is 0.2, but the study has no early stopping: leave it out"),
        (
            {"stopping": jreg.EarlyStopping(2, monitor="train_loss", mode="min")},
            "but the study stops by 'train_loss', which needs no rows",
        ),
    ],
)
def test_a_final_network_without_a_rule_to_stop_by_has_no_rows_to_stop_on(study, changed, sentence):
    plans = {static: dataclasses.replace(plan, **changed) for static, plan in study.design.plans.items()}
    study = dataclasses.replace(study, design=dataclasses.replace(study.design, plans=plans))
    with pytest.raises(ValueError, match=sentence):
        jreg.refit(study, validation_fraction=SHARE)
    with pytest.raises(ValueError, match="validation_fraction is 2, but must be a share"):
        jreg.refit(study, validation_fraction=2)


def test_looks_at_the_test_set_are_counted_and_the_second_one_is_warned_of(wine, study, folder, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, said = seen_by(functools.partial(jreg.refit, study))
    # Folds have epochs of 5 updates, all rows one of 9.
    meant = float((study.best.best_epochs + 1).mean() * 5)
    assert first.epochs == round(meant / 9) > 1
    assert first.more["updates"] == {"meant": pytest.approx(meant), "made": 9 * first.epochs}
    chosen = f"({9 * first.epochs} updates; validation chose {meant:.1f})"
    assert said == [f"refitting on all 142 rows for {first.epochs} epochs {chosen}"]
    assert not any(label.startswith(("stop_", "val_")) for label in first.history)
    assert first.more["test"]["looks"] == 1
    assert first.more["test"]["when"] == study.looks[0]
    first.save(tmp_path / "final")
    assert jreg.load(tmp_path / "final", recipe=recipe).more["test"] == first.more["test"]
    # Another process that goes on with it knows of that.
    again = jreg.resume(folder, recipe, wine, layout=ONE_BY_ONE, progress=False)
    with pytest.warns(RuntimeWarning, match="the test set has been looked at 2 times: choose by validation") as caught:
        second = jreg.refit(again, progress=False)
    assert caught[0].filename == __file__
    assert second.more["test"]["looks"] == 2 == len(load_note(folder, "looks"))
    again.save(tmp_path / "copy")
    assert load_note(tmp_path / "copy", "looks") == again.looks


def test_a_look_that_can_not_be_noted_is_warned_of(study, tmp_path):
    gone = dataclasses.replace(study, folder=tmp_path / "gone", looks=[])
    with pytest.warns(RuntimeWarning, match="gone couldn't note that the test set was looked at"):
        assert jreg.refit(gone, progress=False).more["test"]["looks"] == 1
    assert not (tmp_path / "gone").exists()
