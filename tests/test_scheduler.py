"""Slots, queues and layouts: whatever the schedule, each training gives what a slow and obvious loop gives."""

import contextlib
import functools
import itertools
import json
import os
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jreg
from jreg import cli, devices, losses, metrics, population, scheduler, training, tuning
from jreg.devices import Layout, choose_layout
from jreg.population import Member
from jreg.scheduler import Population, members_of
from jreg.space import as_space
from jreg.splits import as_folds
from jreg.study.groups import plan_group
from jreg.training import Rows

EPOCHS = 12
FIELDS = ("history", "epochs_run", "best_epochs", "status")


def network(dropout=True):
    """A linear map with noise on its inputs, as the pair of functions that compiles fastest."""

    def init(key, x):
        return jax.random.normal(key, (x.shape[-1], 3))

    def apply(weights, x, train, rngs):
        return (x + 0.1 * jax.random.normal(rngs["dropout"], x.shape) if train and dropout else x) @ weights

    return init, apply


def recipe(hp):
    return jreg.Recipe(
        network(),
        losses.softmax_cross_entropy,
        optax.sgd(hp["learning_rate"]),
        penalty=hp["l2"] * jreg.on_params(jreg.penalties.l2, where=lambda path, leaf: True),
    )


def blobs():
    rng = np.random.default_rng(0)
    y = np.arange(24) % 3
    return jreg.Dataset(rng.normal(size=(24, 2)) + 2.0 * np.eye(3, 2)[y], y, name="blobs")


DATA, STOPPING = blobs(), jreg.EarlyStopping(2)
SPACE = jreg.grid(l2=[0.01, 0.1, 1.0], learning_rate=[0.03, 0.3, 1.0])
ROWS, FOLDS = Rows(DATA.x, DATA.y), as_folds(3, DATA)
VALUES = {name: np.array([setting[name] for setting in SPACE.settings]) for name in SPACE.traced}
ONE_BY_ONE = Layout(tuple(jax.devices()), 1)
STUDY = {"cv": 3, "seeds": 2, "epochs": EPOCHS, "batch_size": 8, "stopping": STOPPING, "progress": False}


def plan_of(function=recipe, space=SPACE, stopping=STOPPING, epochs=EPOCHS, data=DATA, folds=FOLDS):
    settings = [jreg.recipe.Hyperparameters(setting) for setting in as_space(space).settings]
    return plan_group(function, settings, (), data, folds, epochs, 8, stopping)[0]


@pytest.fixture(scope="module")
def plan():
    return plan_of()


def members(lines=None, values=VALUES, limit=EPOCHS, seeds=(0, 1)):
    lines = [[setting] for setting in range(len(next(iter(values.values()))))] if lines is None else lines
    return members_of(values, lines, np.ones((len(lines), 3, len(seeds)), bool), seeds, limit)


def joined(*parts):
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def made(plan, layout, those):
    made = Population(plan, layout, jax.tree.map(lambda leaf: leaf[0], those), ROWS, FOLDS)
    made.add(those)
    return made


def run(population, budgets=itertools.repeat(None)):
    """The outcomes by number, as a dict, and the chunks."""
    found, chunks = {}, []
    for budget in budgets:
        if not (population.running or population.queued):
            break
        chunks.append(population.advance(budget))
        found |= by_number(chunks[-1].outcomes)
    return found, chunks


def by_number(outcomes):
    return {int(outcome[0]): outcome[1:] for outcome in zip(*outcomes, strict=True)}


def same(found, expected, exact=True):
    assert sorted(found) == sorted(expected)
    for number, outcome in expected.items():
        for value, wanted in zip(found[number], outcome, strict=True):
            if exact:
                np.testing.assert_array_equal(value, wanted, err_msg=str(number))
            else:
                np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6, err_msg=str(number))


def same_study(one, other, exact=True):
    for field in FIELDS:
        a, b = getattr(one, field), getattr(other, field)
        if exact:
            np.testing.assert_array_equal(a, b, err_msg=field)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=field)


def slow(plan, those):
    """The same trainings one after another in a Python loop that knows no slot, queue or device."""
    start = jax.jit(functools.partial(training.start, plan))
    step = jax.jit(functools.partial(training.epoch, plan))
    found = {}
    for place in range(len(those.fold)):
        member = jax.tree.map(lambda leaf, place=place: leaf[place], those)
        fold = jax.tree.map(lambda leaf, member=member: leaf[member.fold], FOLDS)
        key = training.member_key(member.seed, member.fold)
        state = None
        for stage, number in enumerate(member.number):
            hp = {name: values[stage] for name, values in member.hp.items()}
            warm = None
            if state is not None and int(state.status) != training.DIVERGED:
                best = state.stopping.best_params if plan.stopping else (state.params, state.model_state)
                warm = (np.bool_(True), best)
            state = start(key, hp, ROWS, fold, warm)
            while int(state.status) == training.RUNNING and int(state.epoch) < member.limit:
                state = step(state, key, hp, ROWS, fold)
            found[int(number)] = (state.history, state.epoch, training.best_epoch(state), state.status)
    return found


# Layouts.


@pytest.mark.parametrize(
    ("slots", "batch", "error", "sentence"),
    [
        (0, 1, ValueError, "the layout's slots is 0, but must be at least 1"),
        (1, 0, ValueError, "the layout's batch is 0, but must be at least 1"),
        (1.5, 1, TypeError, "the layout's slots is 1.5, but must be a whole number of at least 1"),
        (4, 2.0, TypeError, "the layout's batch is 2.0, but must be a whole number of at least 1"),
        (4, 3, ValueError, "the layout's slots are 4, but must be a multiple of its batch, 3"),
        (4, 8, ValueError, "the layout's slots are 4, but must be a multiple of its batch, 8"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(slots, batch, error, sentence):
    with pytest.raises(error) as raised:
        Layout(tuple(jax.devices()), slots, batch)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("slots", "batch", "wanted", "expected"),
    [
        (1, 1, 5, (5, 1)),
        (32, 32, 8, (8, 8)),
        (32, 32, 31, (31, 31)),
        (32, 32, 64, (64, 32)),
        (20, 4, 5, (4, 4)),
        (20, 4, 8, (8, 4)),
        (6, 3, 1, (1, 1)),
    ],
)
def test_other_slots_are_whole_batches_or_one_smaller_one(slots, batch, wanted, expected):
    layout = Layout(tuple(jax.devices()), slots, batch)
    other = layout.with_slots(wanted)
    assert (other.slots, other.batch, other.devices) == (*expected, layout.devices)


def test_a_layout_in_words():
    chosen = tuple(jax.devices())
    assert str(Layout(chosen, 3)) == "2 CPU x 3 slots one by one"
    assert str(Layout(chosen[:1], 8, 4)) == "1 CPU x 8 slots in batches of 4"


class Accelerator:
    platform = "gpu"


@pytest.mark.parametrize(
    ("chosen", "trainings", "parameters", "slots"),
    [
        (jax.devices(), 1000, 2001, 1),
        (jax.devices(), 1000, 2000, 32),
        # The last bits of a result depend on the batch, so how many trainings there are has no say.
        (jax.devices(), 1, 2000, 32),
        ([Accelerator()], 1, 10, 1),
        ([Accelerator()], 3, 10**6, 4),
        ([Accelerator()], 1000, 10**6, 64),
        ([Accelerator()] * 4, 20, 10, 8),
    ],
)
def test_the_rule_for_a_layout(chosen, trainings, parameters, slots):
    layout = choose_layout(trainings, parameters, chosen)
    assert (layout.slots, layout.batch, layout.devices) == (slots, slots, tuple(chosen))


# A slow loop as the reference.


def test_a_population_gives_what_a_slow_loop_gives(plan):
    those = members()
    # The rest is trained to a rung, and ends as running unless it stopped before.
    rung = those.limit.copy()
    rung[1::2] = 5
    those = those._replace(limit=rung)
    found, _ = run(made(plan, ONE_BY_ONE, those))
    same(found, slow(plan, those), exact=False)
    epochs, status = (np.array([found[number][field] for number in range(len(found))]) for field in (1, 3))
    assert (epochs <= rung).all()
    assert (status[epochs == 5] == training.RUNNING).sum() > 5
    assert {training.STOPPED, training.COMPLETED, training.RUNNING} == set(status.tolist())


@pytest.mark.parametrize("stopping", [None, STOPPING])
def test_a_path_gives_what_a_slow_loop_gives(plan, stopping):
    chosen = plan_of(stopping=None) if stopping is None else plan
    # The second stage of the last line diverges, and the third begins afresh.
    values = {name: np.append(column, 1e30 if name == "learning_rate" else 0.1) for name, column in VALUES.items()}
    lines = [[6, 3, 0], [7, 4, 1], [8, 9, 2]]
    those = members(lines, values)
    found, _ = run(made(chosen, ONE_BY_ONE, those))
    expected = slow(chosen, those)
    same(found, expected, exact=False)
    number = np.arange(9 * 6, 10 * 6)
    assert {int(found[n][3]) for n in number} == {training.DIVERGED}
    # Afresh: the last stage is what that setting gives alone.
    alone = slow(chosen, members([[2]], values))
    same({n: found[n] for n in alone}, alone, exact=False)
    cold = slow(chosen, members([[0]], values))
    assert all(abs(found[n][0][0] - cold[n][0][0]).max() > 1e-3 for n in cold)


# Giving up, and looking.


def test_dropped_trainings_leave_nothing_or_end_as_pruned(plan):
    those = members()
    full, _ = run(made(plan, ONE_BY_ONE, those))
    watched = made(plan, ONE_BY_ONE, those)
    first = watched.advance(2)
    running = watched.snapshot()
    assert watched.running == len(running.number) == 2
    assert len(first.outcomes.number) == 0
    assert running.epochs.tolist() == [2, 2]
    for number, history in zip(running.number, running.history, strict=True):
        np.testing.assert_array_equal(history[:2], full[number][0][:2])
        assert np.isnan(history[2:]).all()
    gone, queued = int(running.number[0]), [20, 21, 53]
    watched.drop([gone, *queued])
    assert watched.queued == len(full) - 2 - len(queued)
    watched.text()  # looking at the program changes nothing
    found, chunks = run(watched)
    assert found[gone][1:] == (2, full[gone][0][:2, 3].argmin(), training.PRUNED)
    np.testing.assert_array_equal(found.pop(gone)[0], running.history[0])
    same(found, {n: outcome for n, outcome in full.items() if n not in (gone, *queued)})
    assert all(chunk.layout == ONE_BY_ONE for chunk in chunks)


def test_a_number_that_was_dropped_may_come_again(plan):
    those = members()
    full, _ = run(made(plan, ONE_BY_ONE, those))
    watched = made(plan, ONE_BY_ONE, those)
    watched.drop(range(4, 54))
    found, _ = run(watched)
    same(found, {n: full[n] for n in range(4)})
    watched.add(jax.tree.map(lambda leaf: leaf[4:6], those))
    found, _ = run(watched)
    same(found, {n: full[n] for n in (4, 5)})


# Shrinking.


@pytest.fixture
def eager(monkeypatch):
    """Populations shrink as soon as they may."""
    compile_ = Population._compile

    def free(self, *arguments, **options):
        made = compile_(self, *arguments, **options)
        self._compiling = 0.0
        return made

    monkeypatch.setattr(Population, "_compile", free)


@pytest.fixture(scope="module")
def counted():
    """Counts XLA compilations: `before = counted[0]; ...; counted[0] - before`."""
    seen = [0]

    def listen(event, duration, **_):
        seen[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    return seen


@pytest.fixture(scope="module")
def outcomes(plan):
    return run(made(plan, ONE_BY_ONE, members()))[0]


def test_the_last_trainings_move_into_fewer_slots(plan, outcomes, eager, counted):
    layout = Layout(tuple(jax.devices()), 20, 5)
    before = counted[0]
    shrinking = made(plan, layout, members())
    found, chunks = run(shrinking, itertools.repeat(1))
    same(found, outcomes, exact=False)
    sizes = [chunk.layout.slots for chunk in chunks]
    assert sorted(set(sizes), reverse=True) == [20, 5, 1]
    assert sizes == sorted(sizes, reverse=True)
    assert counted[0] - before == 3
    # What is left fits.
    assert all(chunk.running <= chunk.layout.slots * 2 for chunk in chunks)


def test_slots_that_run_one_by_one_stay(plan, eager):
    found, chunks = run(made(plan, Layout(tuple(jax.devices()), 4), members()), itertools.repeat(1))
    assert {chunk.layout.slots for chunk in chunks} == {4}
    assert len(found) == 54
