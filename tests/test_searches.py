"""Studies that don't train every setting to its end, ask for the next one, or start it from its neighbour's network."""

import csv
import dataclasses
import functools
import json

import jax
import numpy as np
import optax
import optuna
import pytest
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, lasso_path
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold
from test_racing import run as slow_race
from test_racing import scikit_learn

import jreg
from jreg import losses, nn, penalties, prox, report
from jreg.data import standardize
from jreg.engine import pool
from jreg.results import table
from jreg.search.racing import Race, hyperband, merits, paired_elimination, successive_halving
from jreg.training import Status

EPOCHS = 9
# Slots that run one by one: a batch of another size would differ in the last bits.
LAYOUT = jreg.Layout(tuple(jax.devices()), 3)
LOSS = {"score": "val_loss"}


def recipe(hp):
    return jreg.Recipe(
        nn.MLP((hp.get("width", 4), 3)),
        losses.softmax_cross_entropy,
        optax.sgd(hp["learning_rate"], momentum=0.5),
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
        preprocess=standardize(),
    )


RATES = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3]
SETTINGS = [{"learning_rate": rate, "l2": l2} for rate in RATES for l2 in (1e-4, 1e-2)]
# From some epoch on the weights overflow.
SETTINGS += [{"learning_rate": 1e8, "l2": 1e-4}, {"learning_rate": 1e30, "l2": 1e-2}]
OPTIONS = {"cv": 3, "seeds": 2, "epochs": EPOCHS, "batch_size": 32, "layout": LAYOUT, "progress": False}
FIELDS = ("history", "epochs_run", "best_epochs", "status", "scores")


@pytest.fixture(scope="module")
def wine():
    return jreg.load_dataset("wine")


@pytest.fixture(scope="module")
def validate(wine):
    """`validate(space, **options)`: a study, the same one for the same arguments."""
    known = {}

    def found(space=None, **options):
        space = range(len(SETTINGS)) if space is None else space
        key = (tuple(space), *sorted(options.items()))
        if key not in known:
            with jax.numpy_dtype_promotion("strict"):
                chosen = [SETTINGS[number] for number in space]
                known[key] = jreg.cross_validate(recipe, wine, chosen, **(OPTIONS | options))
        return known[key]

    return found


@pytest.fixture(scope="module")
def compiled():
    """Counts compilations of the program that trains."""
    seen = [0]

    def listen(event, duration, **_):
        seen[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    return seen


def watched(race):
    """The race, and a list of what its pruner is shown and says."""
    log = []

    def pruner(history):
        kept = race.pruner(history)
        log.append((history, kept))
        return kept

    return Race(pruner, race.rounds), log


def curves_of(study):
    """The score's curves in double precision; NaN from the epoch on that diverged."""
    curves = study.history[..., study.spec.columns.index(study.spec.score)].astype(np.float64)
    last = np.where(study.status == Status.DIVERGED, study.epochs_run - 1, study.spec.epochs)
    return np.where(np.arange(study.spec.epochs) < last[..., None], curves, np.nan)


def share_of(study):
    return np.mean([len(fold.validation) / len(fold.train) for fold in study.spec.folds])


def above_the_median(history):
    return merits(history) >= np.median(merits(history)[history.kept])


RACES = [
    successive_halving(1, 3),
    successive_halving("exhaust", 2),
    hyperband(1, 3, seed=1),
    paired_elimination(0.05, least=3),
    Race.at([2, 5], above_the_median),
]
NAMES = ["halving", "exhaust", "hyperband", "paired", "own"]


@pytest.mark.some(4)
@pytest.mark.parametrize("score", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize("race", RACES, ids=NAMES)
def test_survivors_and_scores_are_those_of_the_full_study_cut_at_each_rung(wine, validate, compiled, race, score):
    full = validate(score=score)
    before = compiled[0]
    race, log = watched(race)
    raced = jreg.cross_validate(recipe, wine, SETTINGS, race=race, score=score, **OPTIONS)
    assert compiled[0] == before
    expected = slow_race(race, curves_of(full), raced.results.maximize, share_of(full))
    log, slow = log[: len(log) // 2], log[len(log) // 2 :]
    for (shown, kept), (cut, slow_kept), (epochs, in_race, _) in zip(log, slow, expected, strict=False):
        assert np.flatnonzero(shown.kept).tolist() == in_race
        assert (shown.epochs, shown.maximize) == (epochs, cut.maximize)
        assert shown.test_share == pytest.approx(cut.test_share)
        np.testing.assert_array_equal(shown.trained, cut.trained)
        np.testing.assert_array_equal(shown.scores, cut.scores)
        np.testing.assert_array_equal(shown.curves[np.isfinite(cut.curves)], cut.curves[np.isfinite(cut.curves)])
        np.testing.assert_array_equal(kept, slow_kept)
    assert len(log) == len(expected) - 1
    finished = raced.status == Status.COMPLETED
    assert finished.any()
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(raced, field)[finished], getattr(full, field)[finished], err_msg=field)
    assert np.isnan(raced.scores[~finished]).all()
    last = expected[-1][1]
    assert (raced.status[last] != Status.WAITING).all()
    assert np.isfinite(raced.scores[last]).all()
    dropped = np.setdiff1d(np.arange(len(SETTINGS)), last)
    assert (raced.status[dropped] != Status.WAITING).all()
    # As far as it was trained, a dropped setting has the curve that it has in the full study.
    ran = np.arange(EPOCHS) < raced.epochs_run[..., None]
    np.testing.assert_array_equal(raced.history[ran], full.history[ran])
    assert np.isnan(raced.history[~ran]).all()
    assert raced.best.number in last
    ranked = [result.number for result in raced.ranking]
    assert sorted(ranked[: len(last)]) == last
    assert sum(full.epochs_run[dropped].ravel()) > sum(raced.epochs_run[dropped].ravel())


@pytest.mark.parametrize(("least", "factor"), [(1, 2), (1, 3), (2, 2)])
def test_halving_in_a_study_keeps_what_scikit_learn_keeps(wine, validate, least, factor):
    # All settings that converge, and mean losses that all differ.
    healthy = range(len(RATES) * 2)
    full = validate(healthy, score="val_loss")
    scores = -curves_of(full).reshape(len(healthy), -1, EPOCHS)
    taken, best, search = scikit_learn(scores, least, factor)
    race, log = watched(successive_halving(least, factor))
    raced = jreg.cross_validate(recipe, wine, SETTINGS[: len(healthy)], race=race, score="val_loss", **OPTIONS)
    kept = [np.flatnonzero(shown.kept).tolist() for shown, _ in log]
    kept.append(np.flatnonzero(np.isfinite(raced.scores).all(axis=(1, 2))).tolist())
    assert kept[: len(taken)] == [settings for _, settings in taken]
    # Its last rung is moved up to the study's epochs, or followed by one for the winner alone.
    assert len(kept) == len(taken) or kept[len(taken) :] == [[best]]
    assert [shown.epochs for shown, _ in log] == [rung for rung, _ in taken][: len(log)]
    assert search.n_candidates_ == [len(settings) for settings in kept][: len(taken)]


def test_diverged_settings_rank_last_and_say_so(wine):
    raced = jreg.cross_validate(recipe, wine, SETTINGS, race=successive_halving(1, 3), **LOSS, **OPTIONS)
    diverged = (raced.status == Status.DIVERGED).any(axis=(1, 2))
    assert diverged[-1]
    notes = {
        row["hyperparameters"]["learning_rate"] * 100 + row["hyperparameters"]["l2"]: row["note"]
        for row in table.settings(raced.results)
    }
    assert notes[SETTINGS[-1]["learning_rate"] * 100 + SETTINGS[-1]["l2"]].startswith("diverged: ")
    order = [result.number for result in raced.ranking]
    epochs = [int(raced.epochs_run[number].sum()) for number in order]
    finished = int(np.isfinite(raced.scores).all(axis=(1, 2)).sum())
    assert finished == 2
    assert epochs[finished:] == sorted(epochs[finished:], reverse=True)
    assert set(order[-2:]) == {len(SETTINGS) - 1, len(SETTINGS) - 2}


@pytest.fixture(scope="module")
def raced(wine):
    with jax.numpy_dtype_promotion("strict"):
        return jreg.cross_validate(recipe, wine, SETTINGS, race=successive_halving(1, 3), **LOSS, **OPTIONS)


@pytest.mark.slow
def test_a_raced_study_can_be_shown_saved_and_refitted(raced, tmp_path):
    count = raced.status.size
    lines = raced.table(width=100).splitlines()
    assert len(lines) == 1 + 2 + len(SETTINGS) + 1
    assert sum("dropped after 1 epoch" in line and "epochs" not in line.split("dropped")[1] for line in lines) >= 7
    assert sum("dropped after 3 epochs" in line for line in lines) == 3
    given_up = int((raced.status == Status.PRUNED).sum())
    final = jreg.refit(raced)
    assert final.hyperparameters == raced.best.hyperparameters
    assert final.epochs == EPOCHS
    text = report.summary(raced.results, final)
    assert f"{given_up} of {count} trainings were given up early; their settings rank last" in text
    raced.save(tmp_path)
    report.save_pictures(raced.results, tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    names = {"results.json", "settings.csv", "trainings.csv", "curves.csv", "study.db", "study.lock"} | {
        f"{name}.png" for name in ("scores", "curves", "differences")
    }
    assert files == names
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["best"] == raced.best.hyperparameters
    assert sum(setting["mean"] is not None for setting in found["settings"]) == 2
    with open(tmp_path / "trainings.csv") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["status"] == "pruned" for row in rows) == given_up
    assert all(row["score"] == "nan" for row in rows if row["status"] == "pruned")
    with open(tmp_path / "curves.csv") as file:
        assert len(list(csv.DictReader(file))) == raced.epochs_run.sum()


def test_a_setting_that_was_given_up_is_not_refitted(raced):
    dropped = next(result for result in raced.ranking if not np.isfinite(result.mean))
    with pytest.raises(ValueError, match="was not trained to its end"):
        jreg.refit(raced, dropped)
    assert raced.one_standard_error.number in {raced.ranking[0].number, raced.ranking[1].number}


STOPPING = jreg.EarlyStopping(patience=2, min_delta=0.02)


@pytest.mark.slow
def test_a_race_with_early_stopping_shows_scores_at_best_epochs(wine, validate):
    full = validate(stopping=STOPPING, score="val_loss")
    race, log = watched(Race.at([3, 6], above_the_median))
    raced = jreg.cross_validate(recipe, wine, SETTINGS, race=race, stopping=STOPPING, **LOSS, **OPTIONS)
    stopped_early = (full.status == Status.STOPPED) & (full.epochs_run <= 6)
    assert stopped_early.any()
    kept = np.ones(len(SETTINGS), bool)
    losses_ = full.curve("val_loss").astype(np.float64)
    for (shown, said), epochs in zip(log, (3, 6), strict=True):
        for place in np.ndindex(full.status.shape):
            ran = min(epochs, full.epochs_run[place])
            # The patience rule by hand: an epoch counts when it is better by more than the margin.
            best = value = np.inf
            for epoch in range(ran):
                if np.float32(losses_[(*place, epoch)]) < np.float32(value) - np.float32(0.02):
                    best, value = epoch, losses_[(*place, epoch)]
            gone = full.status[place] == Status.DIVERGED and full.epochs_run[place] <= epochs
            if kept[place[0]]:
                np.testing.assert_array_equal(shown.scores[place], np.nan if gone else losses_[(*place, best)])
        mean = np.where(np.isnan(shown.scores).any(axis=(1, 2)), np.inf, shown.scores.mean(axis=(1, 2)))
        kept &= mean <= np.median(mean[kept])
        np.testing.assert_array_equal(kept, said & shown.kept)
    ended = np.isin(raced.status, (Status.COMPLETED, Status.STOPPED))
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(raced, field)[ended], getattr(full, field)[ended], err_msg=field)


@pytest.mark.slow
def test_static_groups_race_against_each_other_with_a_program_each(wine, compiled):
    space = jreg.grid(width=[2, 5], learning_rate=RATES[2:], l2=[1e-3])
    options = OPTIONS | {"seeds": 1}
    before = compiled[0]
    full = jreg.cross_validate(recipe, wine, space, **LOSS, **options)
    assert compiled[0] - before == 2
    race, log = watched(successive_halving(1, 2))
    raced = jreg.cross_validate(recipe, wine, space, race=race, **LOSS, **options)
    assert compiled[0] - before == 2
    expected = slow_race(race, curves_of(full), False, share_of(full))
    shown = log[: len(log) // 2]
    assert [np.flatnonzero(history.kept).tolist() for history, _ in shown] == [kept for _, kept, _ in expected[:-1]]
    finished = raced.status == Status.COMPLETED
    np.testing.assert_array_equal(raced.history[finished], full.history[finished])


def test_a_pruner_that_keeps_nothing_leaves_a_study_without_a_best(wine, tmp_path):
    asked = []

    def nothing(history):
        asked.append(history.round)
        return np.zeros(len(history.kept), bool)

    study = jreg.cross_validate(
        recipe, wine, SETTINGS[:2], race=Race.at([1, 2, 3], nothing), store=tmp_path, **LOSS, **OPTIONS
    )
    assert asked == [0]
    assert not study.finished
    assert (study.status == Status.PRUNED).all()
    assert (study.epochs_run == 1).all()
    assert [row["note"] for row in table.settings(study.results)] == ["dropped after 1 epoch"] * 2
    sentence = "no setting has all its scores, so there is no best: the trainings are 12 pruned"
    for wants in (lambda: study.best, lambda: study.one_standard_error, lambda: jreg.refit(study), study.plot_curves):
        with pytest.raises(ValueError, match=sentence):
            wants()
    assert "12 of 12 trainings were given up early" in report.summary(study.results, None)
    assert json.loads((tmp_path / "results.json").read_text())["trainings"] == 12


class Listed:
    """Asks for settings one after the other and writes down what it is told."""

    def __init__(self, settings, goes_on=lambda trial, epoch, score: True):
        self.settings, self.goes_on, self.log, self.maximize = list(settings), goes_on, [], None

    def ask(self):
        number = sum(kind == "ask" for kind, *_ in self.log)
        self.log.append(("ask", number))
        return number, self.settings[number]

    def report(self, trial, epoch, score):
        assert type(score) is float
        assert type(epoch) is int
        self.log.append(("report", trial, epoch, score))
        return self.goes_on(trial, epoch, score)

    def tell(self, trial, score, ending):
        self.log.append(("tell", trial, score, ending))

    def check(self, maximize):
        self.maximize = maximize

    def told(self, kind, trial=None):
        return [entry[1:] for entry in self.log if entry[0] == kind and trial in (None, entry[1])]


def search(data, asker, **options):
    options = OPTIONS | {"trials": len(asker.settings)} | options
    return jreg.optimize(recipe, data, asker, **options)


def means_by_epoch(study, number):
    """Each epoch's mean over folds and seeds, one training at a time; one that has ended counts with its score."""
    means = []
    for epoch in range(study.epochs_run[number].max()):
        total = 0.0
        for place in np.ndindex(study.status.shape[1:]):
            ran = study.epochs_run[(number, *place)]
            curve = study.history[(number, *place)][:, study.spec.columns.index(study.spec.score)]
            total += float(curve[epoch]) if epoch < ran else float(study.scores[(number, *place)])
        means.append(total / study.status[number].size)
    return means


HEALTHY = [0, 3, 6, 9, 10]


@pytest.mark.parametrize("stopping", [None, STOPPING])
def test_a_search_equals_the_study_of_its_settings_and_reports_means(wine, validate, compiled, stopping):
    asker = Listed([SETTINGS[number] for number in HEALTHY])
    expected = validate(HEALTHY, stopping=stopping)
    before = compiled[0]
    found = search(wine, asker, stopping=stopping)
    # The program is that of the study.
    assert compiled[0] == before
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), err_msg=field)
    assert asker.maximize is True
    assert found.spec.space.settings == expected.spec.space.settings
    for number in range(len(HEALTHY)):
        told = asker.told("report", number)
        means = means_by_epoch(found, number)
        assert [epoch for _, epoch, _ in told] == list(range(1, len(means) + 1))
        np.testing.assert_allclose([score for *_, score in told], means, rtol=1e-12)
        assert asker.told("tell", number) == [(number, pytest.approx(found.settings[number].mean), "complete")]
    if stopping:
        assert len(np.unique(found.epochs_run)) > 1


@pytest.mark.parametrize(("lanes", "together"), [(6, 1), (12, 2)])
def test_free_slots_ask_and_trials_that_train_together_take_turns(wine, lanes, together):
    asker = Listed(SETTINGS[:4])
    search(wine, asker, layout=jreg.Layout(LAYOUT.devices, lanes // 2))
    expected = []
    for begin in range(0, 4, together):
        group = range(begin, begin + together)
        expected += [("ask", trial) for trial in group]
        for epoch in range(1, EPOCHS):
            expected += [("report", trial, epoch) for trial in group]
        for trial in group:
            expected += [("report", trial, EPOCHS), ("tell", trial)]
    assert [entry[: 3 if entry[0] == "report" else 2] for entry in asker.log] == expected


def test_a_slot_that_falls_free_does_not_wait_for_the_others(wine):
    asker = Listed(SETTINGS[:3], goes_on=lambda trial, epoch, score: (trial, epoch) != (0, 2))
    study = search(wine, asker, layout=jreg.Layout(LAYOUT.devices, 6))
    assert asker.log.index(("ask", 2)) == 2 + 2 * 2 + 1  # two trials asked for, two epochs of each, one told
    assert (study.epochs_run[0] == 2).all()
    order = [entry[1:3] for entry in asker.log if entry[0] == "report"]
    assert order.index((2, 1)) < order.index((1, 5))


def test_a_report_that_is_answered_with_false_gives_the_trial_up(wine, validate):
    asker = Listed(SETTINGS[:4], goes_on=lambda trial, epoch, score: not (trial in (1, 3) and epoch >= 3))
    found, full = search(wine, asker), validate(range(4))
    assert [ending for *_, ending in sorted(asker.told("tell"))] == ["complete", "pruned"] * 2
    assert [score is None for _, score, _ in sorted(asker.told("tell"))] == [False, True] * 2
    assert [epoch for _, epoch, _ in asker.told("report", 1)] == [1, 2, 3]
    assert (found.status[[1, 3]] == Status.PRUNED).all()
    assert (found.epochs_run[[1, 3]] == 3).all()
    assert (found.best_epochs[[1, 3]] == 2).all()
    np.testing.assert_array_equal(found.history[[1, 3], ..., :3, :], full.history[[1, 3], ..., :3, :])
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(found, field)[[0, 2]], getattr(full, field)[[0, 2]], err_msg=field)
    assert [row["note"] for row in table.settings(found.results)][2:] == ["dropped after 3 epochs"] * 2
    assert found.results.timing.occupancy > 0


def test_only_what_has_not_ended_is_given_up(wine):
    # At the last epoch nothing is left to give up, so the trial is complete.
    asker = Listed(SETTINGS[:2], goes_on=lambda trial, epoch, score: epoch < EPOCHS)
    assert (search(wine, asker).status == Status.COMPLETED).all()
    assert [ending for *_, ending in asker.told("tell")] == ["complete"] * 2


def test_a_search_does_not_depend_on_the_clock(wine):
    def goes_on(trial, epoch, score):
        return epoch < 4 or score > 0.5 + 0.02 * trial

    logs = []
    for wait in (0.0, 0.05):
        asker = Listed(SETTINGS[:8], goes_on)
        told = []

        def show(progress, wait=wait, told=told):
            told.append(progress)
            if len(told) % 5 == 0:
                functools.reduce(lambda a, b: a + b, range(int(wait * 1e6)), 0)

        study = search(wine, asker, progress=show)
        logs.append((asker.log, [getattr(study, field).tobytes() for field in FIELDS[:4]]))
    assert logs[0] == logs[1]
    assert "pruned" in [ending for *_, ending in asker.told("tell")]


def test_a_diverged_trial_has_failed_and_its_other_trainings_are_given_up(wine, validate):
    asker = Listed([SETTINGS[6], SETTINGS[13], SETTINGS[8]])
    found, full = search(wine, asker, score="val_loss"), validate([6, 13, 8])
    assert asker.maximize is False
    assert sorted(asker.told("tell"))[1] == (1, None, "failed")
    assert all(np.isfinite(score) for *_, score in asker.told("report"))
    assert (found.status[1] == Status.DIVERGED).any()
    assert np.isin(found.status[1], (Status.DIVERGED, Status.PRUNED)).all()
    np.testing.assert_array_equal(found.history[[0, 2]], full.history[[0, 2]])
    assert found.ranking[-1].number == 1
    assert table.settings(found.results)[-1]["note"].startswith("diverged: ")
    asker = Listed([SETTINGS[13]])
    study = search(wine, asker)
    assert asker.told("tell") == [(0, None, "failed")]
    with pytest.raises(ValueError, match="every setting has a training that diverged"):
        _ = study.best


def test_settings_with_other_static_parts_take_turns(wine, compiled):
    settings = [{"width": width, "learning_rate": 0.1, "l2": 1e-3} for width in (2, 5, 2, 5)]
    jreg.cross_validate(recipe, wine, settings[:2], **OPTIONS | {"seeds": 1})
    before = compiled[0]
    asker = Listed(settings)
    found = search(wine, asker, seeds=1)
    assert compiled[0] == before
    assert found.spec.space.traced == ("learning_rate", "l2")
    first, second = asker.told("report", 0), asker.told("report", 1)
    assert len(first) == len(second) == EPOCHS
    places = [asker.log.index(("report", *entry)) for entry in (first[0], second[0], first[1], second[1])]
    assert places == sorted(places)
    alone = jreg.cross_validate(recipe, wine, settings, **OPTIONS | {"seeds": 1})
    np.testing.assert_array_equal(found.history, alone.history)


@pytest.mark.parametrize("every", [4, 100])
def test_every_so_many_epochs_all_of_them_are_reported(wine, every):
    asker = Listed(SETTINGS[:2], goes_on=lambda trial, epoch, score: (trial, epoch) != (1, 2))
    study = search(wine, asker, every=every, layout=jreg.Layout(LAYOUT.devices, 3))
    reports = [(trial, epoch) for trial, epoch, _ in asker.told("report")]
    assert [epoch for trial, epoch in reports if trial == 0] == list(range(1, EPOCHS + 1))
    if every == 4:
        # What came in one turn is trained, whatever is said of its first epochs.
        assert [epoch for trial, epoch in reports if trial == 1] == [1, 2]
        assert (study.epochs_run[1] == 4).all()
        assert asker.told("tell", 1) == [(1, None, "pruned")]
    else:
        assert asker.told("tell", 1)[0][-1] == "complete"


def test_one_trial_is_a_study_and_is_saved_even_when_it_is_given_up(wine, validate, tmp_path):
    found = search(wine, Listed(SETTINGS[6:7]), store=tmp_path / "one")
    np.testing.assert_array_equal(found.history, validate([6]).history)
    assert found.best.number == found.one_standard_error.number == 0
    assert jreg.refit(found).epochs == EPOCHS
    found.plot(), found.plot_curves()
    asker = Listed(SETTINGS[6:7], goes_on=lambda *_: False)
    found = search(wine, asker, store=tmp_path / "none")
    assert asker.told("tell") == [(0, None, "pruned")]
    assert (found.best_epochs == 0).all()
    assert (found.epochs_run == 1).all()
    assert json.loads((tmp_path / "none" / "results.json").read_text())["settings"][0]["mean"] is None


def interrupt_after(trainings):
    def show(progress):
        if progress.done >= trainings:
            raise KeyboardInterrupt

    return show


def test_ctrl_c_keeps_what_is_finished_and_ends_open_trials(wine, tmp_path):
    asker = Listed(SETTINGS[:6])
    with pytest.raises(KeyboardInterrupt):
        search(wine, asker, store=tmp_path, progress=interrupt_after(12), layout=jreg.Layout(LAYOUT.devices, 6))
    found = json.loads((tmp_path / "results.json").read_text())
    means = [setting["mean"] for setting in found["settings"]]
    assert sum(mean is not None for mean in means) == 2
    # Each trial that was asked for is told how it ended.
    assert len(asker.told("ask")) == len(asker.told("tell"))
    assert {ending for *_, ending in asker.told("tell")} <= {"complete", "failed"}
    assert [ending for *_, ending in asker.told("tell")].count("complete") == 2


def test_ctrl_c_in_a_race_keeps_what_is_finished(wine, tmp_path):
    options = OPTIONS | {"race": successive_halving(1, 3), "progress": interrupt_after(3)}
    with pytest.raises(KeyboardInterrupt):
        jreg.cross_validate(recipe, wine, SETTINGS[:8], store=tmp_path, **options)
    with open(tmp_path / "trainings.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    assert sum(row["epochs"] != "0" for row in rows) >= 3
    assert {row["status"] for row in rows} == {"waiting"}


def suggest(trial):
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1.0, log=True),
        "l2": trial.suggest_float("l2", 1e-5, 0.1, log=True),
    }


@pytest.fixture(autouse=True)
def quiet():
    """Optuna writes a line to its log for each trial."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_optuna_chooses_and_prunes(wine, compiled, validate):
    validate()
    theirs = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=5),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    # One that diverges.
    theirs.enqueue_trial({"learning_rate": 1.0, "l2": 0.1})

    def extended(trial):
        found = suggest(trial)
        return found if trial.number else found | {"learning_rate": 1e30}

    before = compiled[0]
    study = jreg.optimize(recipe, wine, jreg.Optuna(theirs, extended), trials=15, **OPTIONS)
    assert compiled[0] == before
    assert theirs.best_value == pytest.approx(study.best.mean, abs=1e-12)
    assert theirs.best_trial.number == study.best.number
    assert [trial.state.name for trial in theirs.trials].count("PRUNED") >= 1
    for number, trial in enumerate(theirs.trials):
        status = study.status[number]
        name = "FAIL" if (status == Status.DIVERGED).any() else "PRUNED"
        assert trial.state.name == ("COMPLETE" if (status == Status.COMPLETED).all() else name)
        means = means_by_epoch(study, number)
        steps = list(trial.intermediate_values)
        assert steps == list(range(1, len(steps) + 1))
        if trial.state.name != "FAIL":
            assert len(steps) == len(means)
            np.testing.assert_allclose(list(trial.intermediate_values.values()), means)
            assert study.spec.space.settings[number] == trial.params
    assert theirs.trials[0].state.name == "FAIL"


def test_optunas_grid_is_covered_once(wine):
    axes = {"learning_rate": [0.01, 0.1], "l2": [1e-4, 1e-3, 1e-2]}
    theirs = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.GridSampler(axes, seed=0), pruner=optuna.pruners.NopPruner()
    )
    study = jreg.optimize(recipe, wine, jreg.Optuna(theirs, suggest), trials=6, **OPTIONS)
    key = functools.partial(sorted, key=lambda setting: tuple(setting.values()))
    assert key(study.spec.space.settings) == key(jreg.grid(**axes).settings)
    assert {trial.state.name for trial in theirs.trials} == {"COMPLETE"}
    assert theirs.best_value == pytest.approx(study.best.mean, abs=1e-12)


def test_what_optuna_raises_is_not_swallowed(wine):
    theirs = optuna.create_study(direction="maximize")

    def elsewhere(trial):
        found = suggest(trial)
        # Someone else ends the trial.
        theirs.tell(trial, state=optuna.trial.TrialState.FAIL)
        return found

    with pytest.raises((ValueError, RuntimeError)):
        jreg.optimize(recipe, wine, jreg.Optuna(theirs, elsewhere), trials=1, **OPTIONS)


# Warm paths. The optimizers are run to rest with full batches: what is left is float32.


# A path is a place in line: three folds leave most slots of a batch empty.
ONE_BY_ONE = jreg.Layout(tuple(jax.devices()), 2)


def on_paths(function, data, space, **options):
    defaults = {
        "cv": KFold(3, shuffle=True, random_state=0),
        "batch_size": 1000,
        "progress": False,
        "layout": ONE_BY_ONE,
    }
    return jreg.cross_validate(function, data, space, **(defaults | options))


def linear(strength, where, rate, momentum):
    return optax.chain(
        optax.sgd(rate, momentum=momentum), jreg.proximal(prox.l1, strength, rate / (1 - momentum), where=where)
    )


def lasso(hp):
    return jreg.Recipe(
        nn.MLP((1,)),
        losses.squared_error,
        linear(hp["l1"], "*/kernel", 0.2, 0.85),
        preprocess=standardize(),
        targets=standardize(),
    )


STRENGTHS = np.geomspace(1e-3, 0.5, 20).tolist()


@pytest.fixture(scope="module")
def diabetes():
    full = jreg.load_dataset("diabetes")
    return jreg.Dataset(full.x, full.y, name="diabetes")


@pytest.fixture(scope="module")
def references(diabetes):
    """scikit-learn's coefficients, validation losses and r2 of each strength and fold, in double precision."""
    found = []
    for train, test in KFold(3, shuffle=True, random_state=0).split(diabetes.x):
        x, y = diabetes.x.astype(np.float64), diabetes.y.astype(np.float64)
        x, y = (x - x[train].mean(0)) / x[train].std(0), (y - y[train].mean()) / y[train].std()
        _, weights, _ = lasso_path(x[train], y[train], alphas=STRENGTHS, tol=1e-10, max_iter=100_000)
        weights = weights[:, ::-1].T
        errors = y[test] - weights @ x[test].T
        r2 = 1 - (errors**2).sum(1) / ((y[test] - y[test].mean()) ** 2).sum()
        found.append((weights, (errors**2).mean(1) / 2, r2))
    weights, loss, r2 = (np.stack(parts, axis=1) for parts in zip(*found, strict=True))
    return weights, loss, r2


@pytest.fixture(scope="module")
def lasso_study(diabetes):
    known = {}

    def found(**options):
        key = tuple(sorted(options.items()))
        if key not in known:
            with jax.numpy_dtype_promotion("strict"):
                known[key] = on_paths(lasso, diabetes, jreg.grid(l1=STRENGTHS), **options)
        return known[key]

    return found


@pytest.mark.parametrize("warm", ["l1", pytest.param(None, marks=pytest.mark.slow)])
def test_the_lasso_is_scikit_learns(lasso_study, references, warm):
    study = lasso_study(epochs=400, warm=warm)
    _, loss, r2 = references
    for column, expected in (("val_loss", loss), ("val_r2", r2)):
        found = study.history[:, :, 0, -1, study.spec.columns.index(study.results.column(column))]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (study.status == Status.COMPLETED).all()
    assert study.best.number == np.argmax(r2.mean(axis=1))


@pytest.mark.slow
def test_the_lassos_coefficients_are_scikit_learns_and_its_zeros_exact(diabetes, references):
    weights = references[0]
    for fold, (train, test) in enumerate(KFold(3, shuffle=True, random_state=0).split(diabetes.x)):
        strength = STRENGTHS[12]
        fitted = jreg.fit(
            jreg.member_key(0, fold), lasso, diabetes, {"l1": strength}, epochs=400, batch_size=1000,
            train=train, validation=test,
        )  # fmt: skip
        found = np.asarray(fitted.params["Dense_0"]["kernel"])[:, 0]
        np.testing.assert_allclose(found, weights[12, fold], atol=1e-4)
        assert (found == 0).tolist() == (weights[12, fold] == 0).tolist()
        assert 0 < (found == 0).sum() < 10


def errors_of(study, loss):
    """(settings, folds, epochs), how far the validation loss is from that of the solution."""
    return np.abs(study.curve("val_loss")[:, :, 0] - loss[..., None])


@pytest.mark.slow
def test_a_warm_path_is_there_sooner(lasso_study, references):
    needed, early = [], []
    for warm in ("l1", None):
        near = errors_of(lasso_study(epochs=400, warm=warm), references[1]) < 1e-4
        assert near[..., -1].all()
        # From which epoch on it stays there.
        needed.append(400 - np.argmin(np.concatenate([near, np.zeros((20, 3, 1), bool)], -1)[..., ::-1][..., 1:], -1))
        early.append(errors_of(lasso_study(epochs=20, warm=warm), references[1])[:-1, :, -1].mean())
    (warm, cold), (nearer, farther) = needed, early
    # The strongest one starts afresh in both.
    np.testing.assert_array_equal(warm[-1], cold[-1])
    assert warm.sum() < 0.8 * cold.sum()
    assert nearer < farther / 3


def logistic(hp):
    return jreg.Recipe(
        nn.MLP((3,)),
        losses.softmax_cross_entropy,
        optax.sgd(0.3, momentum=0.9),
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
    )


def from_zero(hp):
    return dataclasses.replace(
        logistic(hp), model=nn.MLP((3,), kernel_init=jax.nn.initializers.zeros), optimizer=optax.sgd(0.5)
    )


@pytest.fixture(scope="module")
def standardized(wine):
    """141 rows, so that three folds train on equally many, and one C stands for one strength."""
    x, y = wine.x[:141].astype(np.float64), wine.y[:141]
    return jreg.Dataset((x - x.mean(0)) / x.std(0), y, name="wine")


L2 = np.geomspace(3e-3, 1.0, 8).tolist()


@pytest.fixture(scope="module")
def logistic_losses(standardized):
    found = []
    for train, test in KFold(3, shuffle=True, random_state=0).split(standardized.x):
        x, y = standardized.x.astype(np.float64), standardized.y
        models = [LogisticRegression(C=1 / (len(train) * l2), tol=1e-10, max_iter=10_000) for l2 in L2]
        models = [model.fit(x[train], y[train]) for model in models]
        found.append([log_loss(y[test], model.predict_proba(x[test])) for model in models])
    return np.array(found).T


@pytest.mark.slow
@pytest.mark.parametrize("warm", ["l2", pytest.param(None, marks=pytest.mark.slow)])
def test_logistic_regression_is_scikit_learns(standardized, logistic_losses, warm):
    study = on_paths(logistic, standardized, jreg.grid(l2=L2), epochs=1000, warm=warm, score="val_loss")
    np.testing.assert_allclose(study.scores[..., 0], logistic_losses, atol=1e-4)
    theirs = LogisticRegressionCV(
        Cs=[1 / (94 * l2) for l2 in L2], cv=KFold(3, shuffle=True, random_state=0), scoring="neg_log_loss",
        tol=1e-10, max_iter=10_000, refit=False, l1_ratios=(0.0,), use_legacy_attributes=False,
    ).fit(standardized.x.astype(np.float64), standardized.y)  # fmt: skip
    np.testing.assert_allclose(study.scores[..., 0].T, -theirs.scores_.reshape(3, -1), atol=1e-4)
    assert study.best.number == np.argmax(theirs.scores_.reshape(3, -1).mean(axis=0))


@pytest.mark.slow
def test_a_warm_path_stops_earlier_and_nearer_to_the_solution(standardized, logistic_losses):
    # The history has no objective: train_loss leaves the penalty out. From zero weights, and along the path, the
    # weights grow, so that the loss on the training rows falls all the way, but for the strongest penalty, which it
    # passes on its way.
    stopping = jreg.EarlyStopping(patience=5, min_delta=1e-6, monitor="train_loss")
    studies = [
        on_paths(
            from_zero, standardized, jreg.grid(l2=L2[2:]), epochs=1000, stopping=stopping, warm=warm, score="val_loss"
        )
        for warm in ("l2", None)
    ]
    assert all((study.status == Status.STOPPED).all() for study in studies)
    warm, cold = (study.epochs_run[:-1].sum() for study in studies)
    assert warm < 0.9 * cold
    near, far = (np.abs(study.scores[:-1, :, 0] - logistic_losses[2:-1]).max() for study in studies)
    assert near < 1e-3
    assert near < far


def test_a_path_is_each_training_continued_by_the_next(blobs):
    """Three stages by hand: `jreg.fit` can't start warm, so the loop is written out."""
    data = jreg.Dataset(blobs.x, blobs.y)
    study = on_paths(logistic, data, jreg.grid(l2=[0.0, 0.1, 1.0]), epochs=3, warm="l2", seeds=2)
    x, y = data.x, np.eye(3)[data.y]
    for fold, (train, _) in enumerate(KFold(3, shuffle=True, random_state=0).split(x)):
        for seed in range(2):
            key = jreg.member_key(seed, fold)
            start = nn.MLP((3,)).init(jax.random.fold_in(key, 0), np.ones((1, 2), np.float32))["params"]["Dense_0"]
            weights, bias = np.asarray(start["kernel"], np.float64), np.zeros(3)
            for number, l2 in ((2, 1.0), (1, 0.1), (0, 0.0)):
                velocity = [np.zeros((2, 3)), np.zeros(3)]
                for epoch in range(3):
                    odds = np.exp(x[train] @ weights + bias)
                    wrong = odds / odds.sum(1, keepdims=True) - y[train]
                    loss = -np.log((odds * y[train]).sum(1) / odds.sum(1)).mean()
                    found = study.history[
                        number, fold, seed, epoch, study.spec.columns.index(study.results.column("train_loss"))
                    ]
                    np.testing.assert_allclose(found, loss, rtol=1e-4)
                    gradients = x[train].T @ wrong / len(train) + l2 * weights, wrong.mean(0)
                    velocity = [0.9 * v + g for v, g in zip(velocity, gradients, strict=True)]
                    weights, bias = weights - 0.3 * velocity[0], bias - 0.3 * velocity[1]


@pytest.mark.slow
def test_a_path_does_not_depend_on_where_calls_end(wine, monkeypatch):
    # An epoch a call: each stage ends where a call does.
    monkeypatch.setattr(pool, "_SECONDS", 0.0)
    space = jreg.grid(width=[5], learning_rate=[0.1], l2=[1e-3, 1e-2, 0.1])
    study = jreg.cross_validate(recipe, wine, space, **OPTIONS | {"seeds": 1, "warm": "l2"})
    assert (study.epochs_run == EPOCHS).all()
    assert (study.status == Status.COMPLETED).all()


@pytest.mark.slow
def test_after_a_diverged_stage_the_next_begins_afresh(standardized):
    # This strength's gradient step overshoots the more each time.
    space = jreg.grid(l2=[1e-3, 0.1, 1e8, 1.0])
    warm, cold = (on_paths(logistic, standardized, space, epochs=30, warm=warm) for warm in ("l2", None))
    assert (warm.status[2] == Status.DIVERGED).all()
    np.testing.assert_array_equal(warm.history[2:], cold.history[2:])
    assert (warm.history[:2] != cold.history[:2]).any(axis=(2, 3, 4)).all()
    assert np.isfinite(warm.scores[[0, 1, 3]]).all()


@pytest.mark.slow
def test_paths_go_along_one_strength_for_each_combination_of_the_others(wine):
    space = jreg.grid(width=[2, 5], learning_rate=[0.03, 0.1], l2=[1e-3, 1e-2, 0.1])
    options = OPTIONS | {"seeds": 1, "warm": "l2"}
    study = jreg.cross_validate(recipe, wine, space, **options)
    chosen = [n for n, s in enumerate(space.settings) if (s["width"], s["learning_rate"]) == (5, 0.1)]
    alone = jreg.cross_validate(recipe, wine, [space.settings[n] for n in chosen], **options)
    np.testing.assert_array_equal(study.history[chosen], alone.history)
    assert np.isfinite(study.scores).all()
