"""Studies that are interrupted go on and end with the bits of one that was not; larger ones train what is missing."""

import dataclasses
import functools
import random
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
import resuming
from resuming import KINDS, SMALL, Seldom, assert_same, conduct, digest, small
from sklearn.model_selection import KFold, RepeatedKFold, ShuffleSplit

import jreg
from jreg import losses, nn
from jreg.engine.pool import Pool
from jreg.store import Folder
from jreg.study import going_on
from jreg.training import Status

pytestmark = pytest.mark.adam


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of a program train for three epochs, so that a small study has many of them."""
    monkeypatch.setattr(Pool, "_epochs", lambda self, given: 3)


@pytest.fixture(scope="module")
def wine() -> jreg.Dataset:
    return resuming.data()


class Counting(Folder):
    """A folder that counts the epochs that are added to it."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.trainings: list[tuple[int, int, int]] = []

    def append(self, results, found, log=()):
        for some in found:
            self.trainings += zip(some.setting.tolist(), some.fold.tolist(), some.seed.tolist(), strict=True)
        super().append(results, found, log)


def images_of(kind: str, every: int, folder: Path, wine: jreg.Dataset) -> tuple[jreg.Study, list[Path]]:
    """A study, and what a process that was killed would have left after each of its calls."""
    store, images = Seldom(folder / "whole", every), []

    def crash(progress: Any) -> None:
        store.settle()
        images.append(folder / f"image-{len(images)}")
        shutil.copytree(store.folder, images[-1])

    return conduct(kind, store, data=wine, progress=crash), images


# Others are in the slow test of every moment.
@pytest.mark.some(1)
@pytest.mark.parametrize("kind", ["race", "search"])
def test_a_study_goes_on_from_any_moment(kind, wine, tmp_path):
    whole, images = images_of(kind, 3, tmp_path, wine)
    statuses = set(whole.status.ravel().tolist())
    assert statuses >= ({Status.PRUNED} if kind in ("race", "hyperband", "search") else {Status.STOPPED})
    stretches = whole.results.timing.stretches
    for ended, name in ((Status.PRUNED, "pruned"), (Status.COMPLETED, "completed")):
        assert sum(getattr(one, name) for one in stretches) == (whole.status == ended).sum()
    chosen = images[1 :: max(1, len(images) // 3)]
    for image in chosen:
        study = conduct(kind, Seldom(image, 3), data=wine)
        assert_same(whole.results, study.results)
        assert_same(whole.results, jreg.load_results(image))


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_a_study_goes_on_from_every_moment(kind, every, wine, tmp_path):
    whole, images = images_of(kind, every, tmp_path, wine)
    for image in images:
        assert_same(whole.results, conduct(kind, Seldom(image, every), data=wine).results)


class EnoughError(Exception):
    """What an observer raises."""


def after(calls: int, error: type[BaseException]) -> Any:
    """An observer that raises when it is called for the n-th time."""
    count = iter(range(1000))

    def observe(progress: Any) -> None:
        if not progress.compiling and next(count) == calls:
            raise error("enough")

    return observe


@pytest.mark.some(1)
@pytest.mark.parametrize(
    ("kind", "error", "changes"),
    [
        ("grid", KeyboardInterrupt, SMALL | {"epochs": 27, "layout": jreg.Layout(tuple(jax.devices()), 2, 2)}),
        ("race", EnoughError, {}),
        ("search", EnoughError, {}),
    ],
)
def test_what_was_finished_is_saved_when_an_observer_raises(kind, error, changes, wine, tmp_path):
    whole = conduct(kind, None, data=wine, **changes)
    for calls in (2, 4, 6):
        with pytest.raises(error):
            conduct(kind, tmp_path / "cut", data=wine, progress=after(calls, error), **changes)
    assert kind != "grid" or 0 < len(jreg.load_results(tmp_path / "cut")) < len(whole.results)
    assert_same(whole.results, conduct(kind, tmp_path / "cut", data=wine, **changes).results)


def test_states_are_restored_and_not_trained_again(wine, tmp_path, monkeypatch):
    """Without this, a study that forgets its checkpoints would pass every other test here."""
    with pytest.raises(EnoughError):
        conduct("grid", tmp_path, data=wine, progress=after(3, EnoughError), **SMALL | {"epochs": 27})
    restored = []
    put = Pool.restore
    monkeypatch.setattr(Pool, "restore", lambda self, jobs, stage, state, place: (
        restored.extend(state.epoch.tolist()), put(self, jobs, stage, state, place))[1])  # fmt: skip
    conduct("grid", tmp_path, data=wine, **SMALL | {"epochs": 27})
    assert restored == [12] * 4


def test_both_checkpoints_of_a_search_are_damaged(wine, tmp_path):
    with pytest.raises(EnoughError):
        conduct("search", Seldom(tmp_path, 1), data=wine, progress=after(9, EnoughError))
    for file in (tmp_path / "checkpoints").iterdir():
        file.write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="is damaged"):
        study = conduct("search", tmp_path, data=wine)
    assert_same(conduct("search", None, data=wine).results, study.results)


@pytest.mark.some(1)
@pytest.mark.parametrize(
    ("changes", "added"),
    [
        ({"space": jreg.grid(l2=[1e-4, 1e-3, 1e-2], lr=[1e-2, 1e-1])}, 2 * 3),
        ({"seeds": [3, 0]}, 4 * 3),
        ({"cv": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)}, 4 * 3),
    ],
)
def test_more_of_the_same_trains_what_is_missing(changes, added, wine, tmp_path):
    first = SMALL | {"cv": RepeatedKFold(n_splits=3, n_repeats=1, random_state=0)}
    before = conduct("grid", tmp_path, data=wine, **first)
    store = Counting(tmp_path)
    after = conduct("grid", store, data=wine, **first | changes)
    fresh = conduct("grid", None, data=wine, **first | changes)
    assert (len(store.trainings), len(after.results)) == (added, len(before.results) + added)
    # The numbers stay, so those that were there have the same place and, in every study, the same bits.
    settings, folds, seeds = before.scores.shape
    np.testing.assert_array_equal(after.history[:settings, :folds, :seeds], before.history)
    for number, setting in enumerate(fresh.spec.settings):
        place = after.spec.settings.index(setting)
        order = [after.spec.seeds.index(seed) for seed in fresh.spec.seeds]
        np.testing.assert_array_equal(after.history[place][:, order], fresh.history[number])


def test_more_trials_of_a_search(wine, tmp_path):
    changes: dict[str, Any] = {"trials": 4}
    before = conduct("search", tmp_path, data=wine, **changes)
    store = Counting(tmp_path)
    after = conduct("search", store, data=wine, trials=6)
    assert {setting for setting, _, _ in store.trainings} == {4, 5}
    assert after.spec.settings[:4] == before.spec.settings
    np.testing.assert_array_equal(after.history[:4], before.history)
    with pytest.raises(ValueError, match=r"the policy was a search \(.*trials=6, every=2\) and is now .*trials=5"):
        conduct("search", tmp_path, data=wine, trials=5)
    with pytest.raises(ValueError, match=r"the search asked for .* as trial 0, but asks for .* now: give its sampler"):
        conduct("search", tmp_path, data=wine, trials=6, asker=resuming.asker(seed=1))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, wine) -> Path:
    """The folder of a small study."""
    folder = tmp_path_factory.mktemp("trained")
    conduct("grid", folder, data=wine, **SMALL)
    return folder


def narrower(hp: Any) -> jreg.Recipe:
    return dataclasses.replace(small(hp), model=nn.MLP((2, 3)))


def scaled(by: float) -> Any:
    """Recipes that differ in the numbers of an array."""

    def recipe(hp: Any) -> jreg.Recipe:
        weights = jax.numpy.asarray(np.full(3, by, np.float32))
        return dataclasses.replace(
            small(hp), loss=lambda outputs, y: losses.softmax_cross_entropy(outputs * weights[None], y)
        )

    return recipe


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"recipe": narrower}, r"the recipe trained otherwise \(it said .* and says .*narrower"),
        ({"recipe": scaled(2.0)}, "the recipe trained otherwise"),
        ({"epochs": 7}, "epochs was 6 and is now 7"),
        ({"batch_size": 16}, "batch_size was 32 and is now 16"),
        ({"stopping": jreg.EarlyStopping(patience=2)}, "stopping was None and is now"),
        ({"keep": [jreg.keep.network]}, r"keep was \('outputs',\) and is now \('network',\)"),
        ({"score": "val_loss"}, "score was"),
        ({"race": jreg.successive_halving(least=3)}, r"the policy was none and is now a race \(factor=3, least=3\)"),
        ({"warm": "l2"}, "warm was None and is now l2"),
        ({"space": jreg.grid(l2=[1e-3], lr=[1e-2, 1e-1])}, r"the space had \{'l2': 0.01, 'lr': 0.01\}"),
        ({"seeds": [1]}, "the seeds had 0"),
        ({"cv": KFold(3, shuffle=True, random_state=1)}, "3 of 3 folds were others"),
    ],
)  # fmt: skip
def test_another_study_is_refused(changes, sentence, wine, trained):
    before = digest(trained)
    with pytest.raises(ValueError, match=sentence) as caught:
        conduct("grid", trained, data=wine, **SMALL | changes)
    assert "\n" not in str(caught.value)
    assert str(trained) in str(caught.value)
    assert digest(trained) == before


@pytest.mark.slow
def test_an_array_in_a_recipe_is_part_of_it(wine, tmp_path):
    conduct("grid", tmp_path, data=wine, **SMALL | {"recipe": scaled(1.0), "epochs": 1})
    with pytest.raises(ValueError, match="the recipe trained otherwise"):
        conduct("grid", tmp_path, data=wine, **SMALL | {"recipe": scaled(1.5), "epochs": 1})
    conduct("grid", tmp_path, data=wine, **SMALL | {"recipe": scaled(1.0), "epochs": 1})


def test_what_jax_is_told_for_a_thread_alone_changes_no_fingerprint(wine, trained):
    before = digest(trained)
    with jax.numpy_dtype_promotion("standard"), jax.default_matmul_precision("highest"):
        conduct("grid", Counting(trained), data=wine, **SMALL)
    assert jreg.load_results(trained).spec.versions
    assert before


def test_other_data_and_another_version_are_refused(wine, trained, monkeypatch):
    before = digest(trained)
    x = wine.x.copy()
    x[3, 4] += 1e-3
    with pytest.raises(ValueError, match="the data were others"):
        conduct("grid", trained, data=dataclasses.replace(wine, x=x), **SMALL)
    monkeypatch.setattr("jreg.study.design.versions", lambda: {"jax": "0.0.1"})
    with pytest.raises(ValueError, match=r"the version of jax was .* and is now 0.0.1"):
        conduct("grid", trained, data=wine, **SMALL)
    assert digest(trained) == before


@pytest.mark.some(2)
@pytest.mark.parametrize("kind", ["grid", "race", "warm", "search"])
def test_a_study_ends_when_its_time_is_over(kind, wine, tmp_path):
    changes = {"data": wine} if kind == "search" else {"data": wine, **SMALL}
    folder = tmp_path / "limited"
    whole = conduct(kind, None, **changes)
    with pytest.warns(RuntimeWarning, match=r"ended after 1e-09 seconds.*jreg.resume\('.*limited', recipe, data\)"):
        part = conduct(kind, folder, timeout=1e-9, **changes)
    assert "missing" in repr(part)
    assert "missing" not in repr(whole)
    asker = resuming.asker() if kind == "search" else None
    again = jreg.resume(
        folder, changes.get("recipe", resuming.recipe), wine, asker=asker, layout=_layout(), progress=False
    )
    assert_same(whole.results, again.results)


def test_without_a_store_the_end_of_the_time_says_so(wine):
    with pytest.warns(RuntimeWarning, match="store='FOLDER'"):
        conduct("grid", None, data=wine, timeout=1e-9, **SMALL)


def _layout() -> jreg.Layout:
    return jreg.Layout(tuple(jax.devices()), 2, 1)


def norms(finished: Any) -> dict[str, Any]:
    return {"norm": optax.tree.norm(finished.params)}


def half(history: Any) -> np.ndarray:
    """A pruner that keeps the better half."""
    means = np.nanmean(history.scores, axis=(1, 2))
    return history.kept & (means >= np.median(means[history.kept]))


def test_resume_asks_for_what_a_file_cannot_hold(wine, tmp_path):
    def by_function(hp: Any) -> jreg.Recipe:
        return dataclasses.replace(small(hp), model=nn.MLP((3, 3), activation=hp["activation"]))

    space = jreg.grid(l2=[1e-3], lr=[1e-2, 1e-1], activation=[jax.nn.relu, jax.nn.tanh])
    rule = dataclasses.replace(jreg.successive_halving(least=2), pruner=half)
    asked = {
        "recipe": by_function,
        "space": space,
        "keep": [norms],
        "race": rule,
        "cv": ShuffleSplit(2, random_state=np.random.RandomState(0)),
    }
    study = conduct("grid", tmp_path, data=wine, **SMALL | asked)
    resume = functools.partial(jreg.resume, tmp_path, by_function, wine, progress=False)
    with pytest.raises(ValueError, match=r"the study keeps norms: .*keep="):
        resume()
    with pytest.raises(ValueError, match=r"the hyperparameters activation are functions, .*space="):
        resume(keep=[norms])
    with pytest.raises(ValueError, match=r"has a race of your own: .*race="):
        resume(keep=[norms], space=space)
    assert_same(study.results, resume(keep=[norms], space=space, race=rule).results)
    with pytest.raises(FileNotFoundError, match="there are no results"):
        jreg.resume(tmp_path / "none", small, wine)


def test_resume_splits_nothing_again(wine, tmp_path):
    """A splitter without a seed gives other folds at every call."""
    with pytest.warns(RuntimeWarning, match="jreg.resume"):
        part = conduct("grid", tmp_path, data=wine, timeout=1e-9, **SMALL | {"cv": KFold(3, shuffle=True)})
    whole = jreg.resume(tmp_path, small, wine, progress=False, layout=_layout())
    assert [fold.validation.tolist() for fold in whole.spec.folds] == [f.validation.tolist() for f in part.spec.folds]
    assert not whole.results.missing()


def test_a_search_needs_its_asker(wine, tmp_path):
    with pytest.warns(RuntimeWarning, match="jreg.resume"):
        conduct("search", tmp_path, data=wine, timeout=1e-9)
    with pytest.raises(ValueError, match=r"has a search: give what it asked, resume\(\.\.\., asker="):
        jreg.resume(tmp_path, resuming.recipe, wine)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grid", pytest.param("search", marks=pytest.mark.slow)])
def test_a_random_kill(kind, tmp_path):
    """The session `faults` has a hundred."""
    server = resuming.Server(tmp_path / "programs")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    try:
        code, seconds = server.run(kind, whole)
        assert code == 0
        assert server.run(kind, cut, "training", random.Random(14).uniform(0.1, 0.5) * seconds)[0] == -9
        assert server.run(kind, cut)[0] == 0
    finally:
        server.close()
    assert_same(jreg.load_results(whole), jreg.load_results(cut))


def test_layouts_of_a_study_are_known(wine, trained):
    design = going_on.Design.of(small, wine, SMALL["space"], cv=SMALL["cv"], epochs=6, batch_size=32)
    with Folder(trained) as store:
        [layout] = going_on.layouts(design, store).values()
    assert (layout.slots, layout.batch) == (2, 1)
