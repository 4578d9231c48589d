"""What a study is remarked on, each by a study that deserves it and one that doesn't, and how often without a cause."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scored import results_of

import jreg
from jreg import report, search
from jreg.results import Check, check
from jreg.training import EarlyStopping, Status

INF, NAN = math.inf, math.nan


def codes(results, **options):
    return [found.code for found in check(results, **options)]


def along(space, best, **options):
    """A study whose setting with these values is the best."""
    merit = [setting == {**setting, **best} for setting in space.settings]
    scores = np.array(merit)[:, None, None] * 0.1 + np.array([0.5, 0.52, 0.49])[:, None]
    return results_of(space, scores, **options)


# the edge of an axis


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("listed", [[0.1, 1.0, 0.01], [1.0, 0.1, 0.01]])
@pytest.mark.parametrize(("value", "end"), [(1.0, "largest"), (0.01, "smallest"), (0.1, None)])
def test_a_best_value_at_the_edge_of_its_axis(listed, value, end, maximize):
    space = jreg.grid(l2=listed, rate=[0.1])
    results = results_of(
        space,
        (np.array(listed) == value)[:, None, None] * (1 if maximize else -1) + np.zeros((3, 1)),
        maximize=maximize,
    )
    found = check(results)
    assert [one.code for one in found] == (["J101"] if end else [])
    if end:
        assert found[0].where == "l2"
        beyond = {"largest": "larger", "smallest": "smaller"}[end]
        assert found[0].sentence == (
            f"the best setting has the {end} l2 that was tried, l2={value:g}: a {beyond} one may be better"
        )


def test_nothing_lies_beyond_none_nor_between_two_values():
    assert codes(along(jreg.grid(l2=[0.0, 0.1, 1.0]), {"l2": 0.0})) == []
    assert codes(along(jreg.grid(max_norm=[1.0, 3.0, INF]), {"max_norm": INF})) == []
    assert codes(along(jreg.grid(max_norm=[1.0, 3.0, INF]), {"max_norm": 1.0})) == ["J101"]
    assert codes(along(jreg.grid(l2=[0.1, 1.0]), {"l2": 1.0})) == []
    assert codes(along(jreg.grid(name=["a", "b", "c"]), {"name": "c"})) == []
    assert codes(along(jreg.grid(flag=[False, True, None], of=[None]), {"flag": True})) == []


def test_whole_numbers_and_drawn_values_have_edges_too():
    assert codes(along(jreg.grid(width=[32, 64, 128]), {"width": 128})) == ["J101"]
    space = search.random_space(20, 1, l2=search.log_uniform(1e-4, 1.0), rate=search.uniform(0.1, 0.2))
    largest = max(space.settings, key=lambda setting: setting["l2"])
    found = check(along(space, largest))
    assert [one.where for one in found] == ["l2"]


def test_a_tie_with_a_setting_inside_is_no_edge():
    results = results_of(jreg.grid(l2=[0.1, 1.0, 10.0]), np.array([0.5, 0.9, 0.9])[:, None, None] + np.zeros((3, 1)))
    assert codes(results) == ["J105"]
    results = results_of(jreg.grid(l2=[0.1, 1.0, 10.0]), np.array([0.9, 0.5, 0.9])[:, None, None] + np.zeros((3, 1)))
    assert codes(results) == ["J101", "J105"]


# folds that disagree


@pytest.mark.parametrize("maximize", [True, False])
def test_a_fold_in_which_another_setting_wins_clearly(maximize):
    rng = np.random.default_rng(0)
    scores = np.array([0.9, 0.88, 0.86])[:, None, None] + 0.002 * rng.normal(size=(3, 8, 2))
    assert "J102" not in codes(results_of(jreg.grid(l2=[1.0, 2.0, 3.0]), scores, maximize=True))
    scores[2, 5] += 0.08
    found = check(results_of(jreg.grid(l2=[2.0, 1.0, 3.0]), scores if maximize else -scores, maximize=maximize))
    assert [(one.code, one.where) for one in found] == [("J102", "fold 5")]
    assert found[0].sentence.startswith(
        "fold 5 disagrees with the others: there l2=3 is better than the best setting by"
    )
    ahead = (scores[2] - scores[0]).mean(axis=1)
    assert f"by {ahead[5]:.3g}, and on average worse by {-ahead.mean():.3g}" in found[0].sentence


def test_disagreement_is_grubbs_test_where_scores_have_no_steps():
    # Five settings whose differences to the best one have the same deviation, so that the pooled one is their own.
    rng, alarms, none = np.random.default_rng(1), 0, 0
    for _ in range(60):
        noise = rng.standard_t(0.7, size=6)
        ahead = rng.permuted(np.tile(noise - noise.mean(), (5, 1)), axis=1) - 0.01 - 1e-5 * np.arange(5)[:, None]
        results = results_of(jreg.grid(l2=[float(n) for n in range(6)]), np.vstack([np.zeros(6), ahead])[..., None])
        limit = stats.t.isf(0.01 / 30, 4)
        grubbs = (ahead - ahead.mean(axis=1, keepdims=True)) / ahead.std(axis=1, ddof=1, keepdims=True)
        rejected = (grubbs > 5 / math.sqrt(6) * math.sqrt(limit**2 / (4 + limit**2))) & (ahead > 0)
        expected = [f"fold {fold}" for fold in np.flatnonzero(rejected.any(axis=0))]
        assert [one.where for one in check(results) if one.code == "J102"] == expected
        alarms, none = alarms + bool(expected), none + (not expected)
    assert min(alarms, none) > 3


def test_disagreement_is_rare_without_a_cause():
    # Grubbs' bound is at most 0.01 of such studies; the limit is passed by that with probability 1e-6.
    rng, trials, alarms = np.random.default_rng(2), 120, 0
    for _ in range(trials):
        settings = int(rng.integers(2, 12))
        scores = 0.02 * rng.normal(size=(settings, 1, 1)) + 0.05 * rng.normal(size=(settings, 5, 1))
        alarms += "J102" in codes(results_of(jreg.grid(l2=[float(n) for n in range(settings)]), scores))
    assert alarms <= stats.binom.ppf(1 - 1e-6, trials, 0.01)


def test_scores_in_steps_are_no_disagreement():
    # Four folds one row worse and one a row better are nothing, though the four have no variance.
    scores = np.full((2, 5, 1), 0.5)
    scores[1] -= 0.025
    scores[1, 3] += 0.05
    assert "J102" not in codes(results_of(jreg.grid(l2=[1.0, 2.0]), scores))
    assert "J102" not in codes(results_of(jreg.grid(l2=[1.0, 2.0]), np.full((2, 5, 1), 0.5)))


# trainings that ended in an error, ties, epochs, rows


@pytest.mark.parametrize(("status", "code"), [(Status.DIVERGED, "J103"), (Status.FAILED, "J104")])
def test_trainings_that_ended_in_an_error(status, code):
    statuses = np.full((4, 3, 2), Status.COMPLETED)
    statuses[1, 2, 0] = statuses[3] = status
    space, scores = jreg.grid(l2=[1.0, 2.0, 3.0, 4.0]), np.array([0.3, 0.4, 0.5, 0.2])[:, None, None] + np.zeros((3, 2))
    found = check(results_of(space, scores, status=statuses))
    assert found == [Check(code, f"7 of 24 trainings {status.word}; their settings rank last", "settings 1, 3")]
    counted = check(results_of(space, scores, status=statuses, error_score=0.25))
    assert counted[0].sentence == f"7 of 24 trainings {status.word}; they count with val_accuracy 0.25"
    # Where nothing is finished there is still something to say.
    nothing = check(results_of(space, scores, status=np.full((4, 3, 2), status)))
    assert [one.code for one in nothing] == [code]
    assert nothing[0].where == "settings 0, 1, 2, 3"


def test_ties_at_the_top():
    scores = np.array([0.5, 0.75, 0.75, 0.25])[:, None, None] + np.zeros((3, 1))
    found = check(results_of(jreg.grid(l2=[1.0, 2.0, 3.0, 4.0]), scores))
    sentence = "2 settings have the best mean; the first of them in the space counts as best"
    assert found == [Check("J105", sentence, "settings 1, 2")]


@pytest.mark.parametrize(("last", "remarked"), [(0, False), (3, False), (4, True), (6, True)])
def test_trainings_that_were_best_in_their_last_epoch(last, remarked):
    space = jreg.grid(l2=[1.0, 2.0, 3.0])
    scores = np.array([0.3, 0.5, 0.4])[:, None, None] + np.zeros((3, 2))
    best_epochs = np.full((3, 3, 2), 5)
    best_epochs[0] = 8  # another setting's, which has no say
    best_epochs[1].flat[:last] = 8
    found = check(results_of(space, scores, best_epochs=best_epochs, stopping=EarlyStopping(patience=3)))
    assert [one.code for one in found] == (["J106"] if remarked else [])
    if remarked:
        assert found[0] == Check(
            "J106",
            f"{last} of 6 trainings of the best setting were at their best in their last epoch, number 9: more epochs "
            "may be better",
            "setting 1",
        )
    # Without early stopping each is scored in its last epoch.
    assert codes(results_of(space, scores)) == []


def test_few_rows_to_score_on():
    space, scores = jreg.grid(l2=[1.0, 2.0]), np.array([0.3, 0.5])[:, None, None] + np.zeros((3, 1))
    assert codes(results_of(space, scores, rows=(60, 30))) == []
    found = check(results_of(space, scores, rows=(58, 29)))
    assert [(one.code, one.where) for one in found] == [("J107", "folds 0, 1, 2")]
    assert "3 of 3 folds have fewer than 30 rows to score on, down to 29" in found[0].sentence


# all together


def test_each_can_be_silenced_and_no_other_name():
    statuses = np.full((4, 3, 1), Status.COMPLETED)
    statuses[2] = Status.DIVERGED
    scores = np.array([0.1, 0.2, 0.3, 0.5])[:, None, None] + np.zeros((3, 1))
    results = results_of(jreg.grid(l2=[1.0, 2.0, 3.0, 4.0]), scores, status=statuses, rows=(20, 10))
    assert codes(results) == ["J101", "J103", "J107"]
    assert codes(results, silence=("J101", "J107")) == codes(results, silence={"J101", "J107", "J102"}) == ["J103"]
    assert codes(results, silence="J103") == ["J101", "J107"]
    for wrong in ("J101 ", "J999", "", 101, None):
        with pytest.raises(ValueError, match=f"silence names {str(wrong)!r}, but the codes are J101, J102"):
            check(results, [wrong])


def test_a_summary_prints_each_with_its_code_once():
    statuses = np.full((4, 3, 1), Status.COMPLETED)
    statuses[2] = Status.PRUNED
    scores = np.array([0.1, 0.5, 0.3, 0.5])[:, None, None] + np.zeros((3, 1))
    results = results_of(jreg.grid(l2=[1.0, 2.0, 3.0, 4.0]), scores, status=statuses, rows=(20, 10))
    lines = report.summary(results, None).splitlines()
    found = check(results)
    assert [one.code for one in found] == ["J105", "J107"]
    for one in found:
        assert lines.count(f"{one.code}: {one.sentence}") == 1
    assert "3 of 12 trainings were given up early; their settings rank last" in lines


def test_the_page_lists_every_code():
    page = (Path(__file__).parents[1] / "docs" / "statistics.md").read_text()
    listed = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| J1")}
    with pytest.raises(ValueError, match="the codes are") as error:
        check(results_of(jreg.grid(l2=[1.0]), np.zeros((1, 2, 1))), ["?"])
    assert listed == set(str(error.value).partition("codes are ")[2].split(", "))
