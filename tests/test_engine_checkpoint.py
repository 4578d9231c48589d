"""Trainings that are stopped under way and go on elsewhere, against the same ones that nobody stopped: every bit."""

import functools

import jax
import numpy as np
import optax
import pytest

import jreg
from jreg import losses, nn
from jreg._base import tensors
from jreg.data import standardize
from jreg.engine import Layout, Local, Saved, compiled, measure, program
from jreg.study.design import Design
from jreg.training import Status

# optax raises floats to whole powers.
pytestmark = pytest.mark.adam
EPOCHS = 7
STOPPING = jreg.EarlyStopping(patience=2)
BOTH = jreg.grid(l2=[0.01, 0.3], learning_rate=[0.03, 0.3], noise=["no", "yes"])
SPACE = jreg.grid(l2=[0.01, 0.3], learning_rate=[0.03, 0.3], noise=["no"])
# The first of the added settings diverges, and the training after it begins afresh.
PATHS = [*SPACE.settings, *({"l2": 0.1, "learning_rate": rate, "noise": "no"} for rate in (1e30, 0.1))]
SPACES = {"one": SPACE, "both": BOTH, "paths": PATHS}
DEVICES = tuple(jax.devices())


def noise(kind):
    return optax.add_noise(1e-4, 0.55, jax.random.key(3, impl=kind))


def linear(hp):
    """A linear map with noise on its inputs and momentum, which compiles fast; its noise on gradients has keys."""

    def init(key, x):
        return jax.random.normal(key, (x.shape[-1], 3), x.dtype)

    def apply(weights, x, train, rngs):
        return (x + 0.1 * jax.random.normal(rngs["dropout"], x.shape, x.dtype) if train else x) @ weights

    optimizer = optax.sgd(hp["learning_rate"], momentum=0.9)
    return jreg.Recipe(
        (init, apply),
        losses.softmax_cross_entropy,
        optimizer if hp["noise"] == "no" else optax.chain(noise("rbg"), optimizer),
        penalty=hp["l2"] * jreg.on_params(jreg.penalties.l2, where=lambda path, leaf: True),
    )


def everything(hp, kind):
    """Whatever a state may hold: moments, a random key, running averages, statistics of preprocessing."""
    return jreg.Recipe(
        nn.MLP((5, 3), dropout=0.2, normalization="batch"),
        losses.softmax_cross_entropy,
        optax.chain(noise(kind) if kind else optax.identity(), optax.adam(hp["learning_rate"])),
        penalty=(hp["l2"] if hp["noise"] == "no" else 0.0) * jreg.on_params(jreg.penalties.l2),
        preprocess=standardize(),
    )


without_keys, with_rbg, with_threefry = (
    functools.partial(everything, kind=kind) for kind in (None, "rbg", "threefry2x32")
)


def small():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    return jreg.Dataset(rng.normal(size=(30, 2)) + 2.0 * np.eye(3, 2)[y], y, name="blobs")


DATA = small()


@functools.cache
def design_of(function=linear, space="one", stopping=STOPPING):
    options = {"epochs": EPOCHS, "batch_size": 8, "stopping": stopping, "keep": (jreg.keep.network,)}
    return Design.of(function, DATA, SPACES[space], cv=3, seeds=1, **options)


def jobs_of(design, lines=None, limit=EPOCHS):
    """``{plan: jobs}``: all trainings, or paths through these settings."""
    wanted = design.everything()
    if lines is not None:
        settings = np.repeat(np.asarray(lines), 3, axis=0)
        folds = np.tile(np.arange(3), len(lines))
        wanted = wanted._replace(settings=settings, folds=folds, seeds=np.zeros(len(folds), np.int64))
    ids = np.arange(wanted.settings.size).reshape(wanted.settings.shape)
    return dict(design.jobs(wanted._replace(limit=limit), ids))


def local(design, layout=None, **options):
    return Local(DATA, design.folds, layout, trainings=12, **options)


def collect(found, chunk):
    for outcomes in chunk.outcomes:
        for place, number in enumerate(outcomes.id):
            found[int(number)] = jax.tree.map(lambda leaf, place=place: leaf[place].copy(), outcomes)
    return chunk.useful


def finished(executor, found, epochs=None):
    """Trains to the end; how many epochs of a training that took."""
    useful = 0
    while executor.busy:
        useful += collect(found, executor.advance(epochs))
    return useful


def same(found, expected):
    assert sorted(found) == sorted(expected)
    for number, outcome in expected.items():
        wanted, got = tensors.named(outcome._replace(id=0)), tensors.named(found[number]._replace(id=0))
        assert wanted.keys() == got.keys()
        for name, value in wanted.items():
            np.testing.assert_array_equal(got[name], value, err_msg=f"{name} of {number}")


@functools.cache
def whole(design, layout, lines=None, **options):
    """The outcomes of all trainings that nobody stopped, and the epochs that they took."""
    executor, found = local(design, layout, **options), {}
    for plan, jobs in jobs_of(design, lines).items():
        executor.submit(plan, jobs)
    return found, finished(executor, found)


def stopped(executor, every, steps):
    """What trainings left within `steps` epochs, the epochs that took, and the states of the others."""
    for plan, jobs in every.items():
        executor.submit(plan, jobs)
    found = {}
    useful = sum(collect(found, executor.advance(1)) for _ in range(steps))
    return found, useful, executor.saved()


def from_file(saved):
    """The states as another process would read them."""
    arrays, _ = tensors.unpacked(tensors.packed(saved.state, {}))
    return arrays


def go_on(executor, every, found, saved, first=True):
    """Hands out what hasn't ended, under other numbers; the order of the two kinds of jobs doesn't matter."""

    def rest():
        for plan, jobs in every.items():
            gone = {int(number) for one in saved for number in one.jobs.id[:, 0]} | set(found)
            left = [n for n, number in enumerate(jobs.id[:, 0]) if int(number) not in gone]
            executor.submit(plan, jax.tree.map(lambda leaf, left=left: leaf[left], renumbered(jobs)))

    if not first:
        rest()
    for one in saved:
        executor.restore(one.plan, renumbered(one.jobs)._replace(limit=limits(every, one)), one.stage, from_file(one))
    if first:
        rest()


def limits(every, one):
    return np.full(len(one.stage), every[one.plan].limit[0], np.int32)


def renumbered(jobs):
    return jobs._replace(id=jobs.id + np.int32(1000))


def ended(executor, found, epochs=None):
    """Adds what the executor finds under the old numbers; how many epochs that took."""
    more = {}
    useful = finished(executor, more, epochs)
    assert not found.keys() & {number - 1000 for number in more}
    found |= {number - 1000: outcome for number, outcome in more.items()}
    return useful


LAYOUTS = {
    "one": Layout(DEVICES[:1], 2, 1),
    "two devices": Layout(DEVICES, 2, 1),
    "a batch": Layout(DEVICES[:1], 4, 4),
    "batches on two devices": Layout(DEVICES, 4, 2),
}


@pytest.mark.parametrize(
    ("layout", "function"),
    [
        ("a batch", without_keys),
        # In a batch, keys of the first kind draw what the batch's first one does.
        pytest.param("two devices", with_rbg, marks=pytest.mark.slow),
        pytest.param("batches on two devices", with_threefry, marks=pytest.mark.slow),
    ],
)
def test_trainings_go_on_bit_for_bit(layout, function, counted):
    design, layout = design_of(function), LAYOUTS[layout]
    expected, epochs = whole(design, layout)
    assert {Status.STOPPED, Status.COMPLETED} == {int(outcome.status) for outcome in expected.values()}
    every = jobs_of(design)
    before, waits = counted[0], set()
    for steps in (1, 4, 6):
        executor = local(design, layout)
        found, useful, [saved] = stopped(executor, every, steps)
        assert saved.layout == layout
        assert 0 < len(saved.stage) <= layout.slots * len(layout.devices)
        assert saved.stage.dtype == np.int32
        assert (saved.state["epoch"] > 0).all()
        waits |= {*saved.state["stopping/wait"]}
        other = local(design, layouts={saved.plan: saved.layout})
        go_on(other, every, found, [saved], first=steps != 4)
        # Nothing is trained twice, so what is there goes on, and the rest begins.
        assert useful + ended(other, found) == epochs
        same(found, expected)
        assert other.layouts == {saved.plan: layout}
    assert waits == {0, 1}
    # Whoever goes on in the same process compiles nothing but what keys of optimizers take.
    assert counted[0] - before <= (function is not without_keys)


def test_what_is_saved_is_a_copy_and_saving_changes_nothing():
    design, layout = design_of(), LAYOUTS["two devices"]
    executor = local(design, layout)
    found, useful, [saved] = stopped(executor, jobs_of(design), 2)
    kept = jax.tree.map(np.copy, saved._replace(plan=None, layout=None))
    [again] = executor.saved()
    assert isinstance(again, Saved)
    # What lies in the devices' memory may not be written to.
    assert all(leaf.flags.writeable for leaf in jax.tree.leaves(saved[2:]))
    assert executor.running().epochs.tolist() == saved.state["epoch"].tolist() == [2] * 4
    assert useful + finished(executor, found) == whole(design, layout)[1]
    same(found, whole(design, layout)[0])
    for one in (saved, again):
        jax.tree.map(np.testing.assert_array_equal, one._replace(plan=None, layout=None), kept)
    assert executor.saved() == []


def test_restored_trainings_are_there_at_once():
    design, layout = design_of(), LAYOUTS["two devices"]
    _, _, [saved] = stopped(local(design, layout), jobs_of(design), 2)
    other = local(design, layout)
    few = jax.tree.map(lambda leaf: leaf[:3], saved[2:])
    other.restore(saved.plan, *few[:3])
    assert other.busy
    assert other.free == 1
    running = other.running()
    assert sorted(running.id) == sorted(saved.jobs.id[:3, 0])
    assert running.epochs.tolist() == [2, 2, 2]
    # They come to the devices in turn, whose slots follow each other.
    [again] = other.saved()
    jax.tree.map(np.testing.assert_array_equal, again[2:5], jax.tree.map(lambda leaf: leaf[[0, 2, 1]], few[:3]))
    # Or into the slots that they had.
    third = local(design, layout)
    third.restore(saved.plan, *few)
    jax.tree.map(np.testing.assert_array_equal, third.saved()[0][2:], few)
    other.cancel(saved.jobs.id[:2, 0])
    chunk = other.advance(1)
    assert sorted(chunk.outcomes[0].id) == sorted(saved.jobs.id[:2, 0])
    assert set(chunk.outcomes[0].status) == {Status.PRUNED}
    other.restore(saved.plan, *jax.tree.map(lambda leaf: leaf[:0], few))
    assert (other.running().id, len(other.running().epochs)) == (saved.jobs.id[2, 0], 1)


LINES = ((1, 4, 3), (0, 4, 3), (5, 2, 0), (3, 5, 2))


@pytest.mark.parametrize(
    ("layout", "stopping", "room", "moments"),
    [
        ("two devices", STOPPING, 1, (2, 5, 7, 17)),
        pytest.param("one", STOPPING, None, (5, 8, 13, 38), marks=pytest.mark.slow),
        pytest.param("a batch", None, None, (2, 8, 24, 37), marks=pytest.mark.slow),
    ],
)
def test_paths_go_on_within_and_between_their_trainings(layout, stopping, room, moments, monkeypatch):
    if room:
        # Trainings then end faster than their outcomes are taken.
        monkeypatch.setattr(compiled, "outbox_length", lambda *_: room)
    design, layout = design_of(space="paths", stopping=stopping), LAYOUTS[layout]
    expected, epochs = whole(design, layout, LINES)
    assert Status.DIVERGED in {int(outcome.status) for outcome in expected.values()}
    every, kinds = jobs_of(design, LINES), set()
    for steps in moments:
        found, useful, [saved] = stopped(local(design, layout), every, steps)
        between, state = saved.state["epoch"] == 0, saved.state
        kinds |= {(bool(b), int(s)) for b, s in zip(between, saved.stage, strict=True)}
        waits = ~between & ((state["status"] != Status.RUNNING) | (state["epoch"] >= EPOCHS))
        kinds |= {("uncollected", int(stage) > 0) for stage in saved.stage[waits]}
        other = local(design, layout)
        go_on(other, every, found, [saved], first=steps != 5)
        assert useful + ended(other, found, epochs=3) == epochs
        same(found, expected)
    # Before the second and the third training of a path, within each, and at the end of one.
    assert {(True, 1), (True, 2), (False, 0), (False, 1), (False, 2)} <= kinds
    assert (("uncollected", True) in kinds) == bool(room)


def test_a_rung_goes_on_to_the_next_one():
    design, layout = design_of(), LAYOUTS["two devices"]
    expected, epochs = whole(design, layout)
    [(plan, few)] = jobs_of(design, limit=3).items()
    few = jax.tree.map(lambda leaf: leaf[:4], few)
    found, useful, [saved] = stopped(local(design, layout), {plan: few}, 2)
    assert not found
    assert saved.jobs.limit.tolist() == [3] * 4
    other = local(design, layout)
    go_on(other, jobs_of(design), found, [saved])
    assert useful + ended(other, found) == epochs
    same(found, expected)
    assert {int(outcome.limit) for outcome in found.values()} == {EPOCHS}


@pytest.mark.slow
def test_programs_that_take_turns_go_on():
    design, layout = design_of(space="both"), LAYOUTS["two devices"]
    every = jobs_of(design)
    assert len(every) == 2
    expected, epochs = whole(design, layout, turns=True)
    for steps, first in ((1, True), (4, False)):
        found, useful, saved = stopped(local(design, layout, turns=True), every, steps)
        assert {one.plan for one in saved} == set(every)
        other = local(design, layouts={one.plan: one.layout for one in saved}, turns=True, together=6)
        go_on(other, every, found, saved, first)
        assert len(other.saved()) == 2
        assert useful + ended(other, found, epochs=1) == epochs
        same(found, expected)
        assert set(other.layouts.values()) == {layout}


def test_states_without_a_slot_start_afresh_before_the_others():
    design, layout = design_of(), LAYOUTS["two devices"]
    expected, epochs = whole(design, layout)
    [(plan, jobs)] = jobs_of(design).items()
    every, later = {plan: jobs}, jax.tree.map(lambda leaf: leaf[6:], jobs)
    found, useful, [saved] = stopped(local(design, layout), every, 2)
    _, _, [unlucky] = stopped(local(design, layout), {plan: later}, 3)
    assert not found
    other, began = local(design, layout), []
    go_on(other, every, {}, [saved, unlucky], first=False)
    assert other.running().id.tolist() == [n + 1000 for n in saved.jobs.id[[0, 2, 1, 3], 0]]
    assert other.free == -(len(expected) - 4)
    while other.busy:
        useful += collect(found, other.advance(1))
        began += [n - 1000 for n in other.running().id if n - 1000 not in began]
    assert useful == epochs
    same({number - 1000: outcome for number, outcome in found.items()}, expected)
    assert set(began[:4]) == {*saved.jobs.id[:, 0]}
    assert set(began[4:8]) == {*unlucky.jobs.id[:, 0]}


def test_a_job_that_had_not_begun_is_an_ordinary_one():
    design, layout = design_of(), LAYOUTS["two devices"]
    _, _, [saved] = stopped(local(design, layout), jobs_of(design), 1)
    other, found = local(design, layout), {}
    other.restore(saved.plan, saved.jobs, saved.stage, saved.state | {"epoch": np.zeros(4, np.int32)})
    assert (other.running().id.size, other.saved()) == (0, [])
    finished(other, found)
    same(found, {number: whole(design, layout)[0][number] for number in saved.jobs.id[:, 0]})


def changed(name, value):
    return lambda saved: saved._replace(state=saved.state | {name: value(saved.state[name])})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda saved: saved._replace(state={}), "the arrays differ from those expected in .*params"),
        (changed("params", lambda a: a[:, :1]), r"the array params is float32 of shape \(4, 1, 3\), but must be .*3\)"),
        (changed("epoch", lambda a: a[:1]), r"the array epoch is int32 of shape \(1,\), but must be int32 .*\(4,\)"),
        (changed("opt_state/0/trace", lambda a: a.astype(np.float16)), "the array opt_state/0/trace is float16"),
        (changed("epoch", lambda a: a + 100), "a training has the epoch 101, but it must be from 0 to 7"),
        (changed("status", lambda a: a - 2), "a training has the status -1, but it must be from 0 to 6"),
        (lambda saved: saved._replace(stage=saved.stage + 1), "a training has the stage 1, but it must be from 0 to 0"),
        (lambda saved: saved._replace(stage=saved.stage[1:]), r"4 trainings, but their stages have the shape \(3,\)"),
    ],
)
def test_states_that_do_not_fit_are_refused_before_anything_trains(change, sentence, monkeypatch):
    design, layout = design_of(), LAYOUTS["two devices"]
    _, _, [saved] = stopped(local(design, layout), jobs_of(design), 1)
    other = local(design, layout)
    monkeypatch.setattr("jreg.engine.local.Pool", lambda *_: pytest.fail("it began"))
    wrong = change(saved)
    with pytest.raises(ValueError, match=r"don't fit their program, so train them from the start: .*" + sentence):
        other.restore(wrong.plan, *wrong[2:])
    assert not other.busy


def test_a_layout_that_is_known_is_not_measured(monkeypatch):
    asked = []
    monkeypatch.setattr(measure, "_WORTH", 0.0)
    monkeypatch.setattr(measure, "by_rule", lambda *_: asked.append("rule") or LAYOUTS["two devices"])
    monkeypatch.setattr(measure, "fastest", lambda pool, *_: asked.append("measured") or pool.layout)
    design, layout = design_of(), LAYOUTS["two devices"]
    [(plan, jobs)] = jobs_of(design).items()
    fresh = local(design)
    fresh.submit(plan, jobs)
    fresh.advance(1)
    assert asked == ["rule", "measured"]
    given = {plan: layout}
    for turns in (False, True):
        known, found = local(design, layouts=given, turns=turns), {}
        known.submit(plan, jobs)
        finished(known, found, epochs=1)
        same(found, whole(design, layout)[0])
        assert known.layouts == given
    assert len(asked) == 2
    # Nor is one for trainings that go on, which would begin again in the layout that is fastest.
    _, _, [saved] = stopped(local(design, layout), {plan: jobs}, 1)
    other = local(design)
    other.restore(saved.plan, saved.jobs, saved.stage, saved.state)
    finished(other, {}, epochs=1)
    assert asked[2:] == ["rule"]


def test_what_an_interruption_took_is_left_out(monkeypatch):
    design, layout = design_of(space="both"), LAYOUTS["two devices"]
    every, real = jobs_of(design), program.program
    first, second = every
    stopped(local(design, layout, turns=True), every, 1)  # compiles both programs

    def saved_after(interrupted):
        """(plan, epochs) of what is left when the second program is interrupted in its second call."""
        executor, calls = local(design, layout, turns=True), []

        def advance(*given, plan, layout):
            calls.append(plan)
            return (interrupted if len(calls) == 4 else real(layout))(*given, plan=plan, layout=layout)

        monkeypatch.setattr(program, "program", lambda layout: advance)
        stopped(executor, every, 1)
        with pytest.raises(KeyboardInterrupt):
            executor.advance(1)
        assert calls == [first, second] * 2
        return [(one.plan, *one.state["epoch"]) for one in executor.saved()]

    def before(*given, plan, layout):
        raise KeyboardInterrupt

    def after(*given, plan, layout):
        real(layout)(*given, plan=plan, layout=layout)
        raise KeyboardInterrupt

    # A program's slots are its own while it runs, and nobody's when its answer is lost.
    assert saved_after(before) == [(first, 2, 2, 2, 2), (second, 1, 1, 1, 1)]
    assert saved_after(after) == [(first, 2, 2, 2, 2)]
