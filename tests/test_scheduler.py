"""Slots, queues and layouts: whatever the schedule, each training gives what a slow and obvious loop gives."""

import collections
import dataclasses
import functools
import itertools
import json
import os
import re
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg  # noqa: F401  # its LAPACK is loaded before threads are counted
from threadpoolctl import threadpool_info, threadpool_limits

import jreg
from jreg import losses, training
from jreg._base.random import unrolled
from jreg.cli import main
from jreg.engine import compiled, groups, measure, memory, pool, program
from jreg.engine import layout as layouts
from jreg.engine.jobs import Job
from jreg.engine.layout import Layout, choose_layout
from jreg.engine.pool import Pool
from jreg.splits import as_pairs, pack
from jreg.training import Rows, Status, Training, keys, shuffle, step

EPOCHS = 12
FIELDS = ("history", "epochs_run", "best_epochs", "status")


def network(dropout=True):
    """A linear map with noise on its inputs, as the pair of functions that compiles fastest."""

    def init(key, x):
        return jax.random.normal(key, (x.shape[-1], 3), x.dtype)

    def apply(weights, x, train, rngs):
        return (x + 0.1 * jax.random.normal(rngs["dropout"], x.shape, x.dtype) if train and dropout else x) @ weights

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
ROWS, FOLDS = Rows(DATA.x, DATA.y), pack(as_pairs(3, DATA))
VALUES = {name: np.array([setting[name] for setting in SPACE.settings]) for name in SPACE.traced}
ONE_BY_ONE = Layout(tuple(jax.devices()), 1)
STUDY = {"cv": 3, "seeds": 2, "epochs": EPOCHS, "batch_size": 8, "stopping": STOPPING, "progress": False}


def plan_of(function=recipe, stopping=STOPPING, epochs=EPOCHS):
    settings = [jreg.recipe.Hyperparameters(setting) for setting in SPACE.settings]
    samples = [(setting, jreg.recipe.build(function, setting)) for setting in settings]
    return training.make_plan(function, samples, (), DATA, FOLDS, epochs, 8, stopping)


@pytest.fixture(scope="module")
def plan():
    return plan_of()


def members(lines=None, values=VALUES, limit=EPOCHS, seeds=(0, 1)):
    """Jobs of every line of settings with all folds and seeds, whose ids count settings, then folds, then seeds."""
    lines = [[setting] for setting in range(len(next(iter(values.values()))))] if lines is None else lines
    line, fold, seed = np.nonzero(np.ones((len(lines), 3, len(seeds)), bool))
    settings = np.asarray(lines)[line]
    ids = ((settings * 3 + fold[:, None]) * len(seeds) + seed[:, None]).astype(np.int32)
    hp = {name: np.asarray(column, np.float32)[settings] for name, column in values.items()}
    drawn, epochs = np.asarray(seeds, np.uint32)[seed], np.full(len(line), EPOCHS, np.int32)
    drawn = keys.streams_on_host(drawn, FOLDS.number[fold])
    return Job(ids, hp, fold.astype(np.int32), drawn, epochs, np.full(len(line), limit, np.int32))


def joined(*parts):
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def made(plan, layout, those):
    made = Pool(plan, layout, jax.tree.map(lambda leaf: leaf[0], those), ROWS, FOLDS)
    made.submit(those)
    return made


def run(pool, budgets=None):
    """The outcomes by id, as a dict, and the chunks."""
    found, chunks = {}, []
    for budget in budgets or itertools.repeat(None):
        if not (pool.running or pool.queued):
            break
        chunks.append(pool.advance(budget))
        found |= by_id(chunks[-1].outcomes)
    return found, chunks


def by_id(outcomes):
    """(history, epochs, best epoch, status) by id."""
    [found] = outcomes
    fields = (found.id, found.history, found.epochs, found.best_epoch, found.status)
    return {int(number): tuple(rest) for number, *rest in zip(*fields, strict=True)}


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


@functools.cache
def jitted(plan):
    return jax.jit(functools.partial(training.start, plan)), jax.jit(functools.partial(training.epoch, plan))


def slow(plan, those):
    """The same trainings one after another in a Python loop that knows no slot, queue or device."""
    start, step = jitted(plan)
    found = {}
    for place in range(len(those.fold)):
        job = jax.tree.map(lambda leaf, place=place: leaf[place], those)
        fold = jax.tree.map(lambda leaf, job=job: leaf[job.fold], FOLDS)
        state = None
        for stage, number in enumerate(job.id):
            hp = {name: values[stage] for name, values in job.hp.items()}
            given = Training(unrolled(jax.random.wrap_key_data(job.keys)), hp, fold, job.epochs)
            warm = None
            if state is not None and int(state.status) != Status.DIVERGED:
                best = state.stopping.best_params if plan.stopping else (state.params, state.model_state)
                warm = (np.bool_(True), best)
            state = start(given, ROWS) if warm is None else start(given, ROWS, warm)
            while int(state.status) == Status.RUNNING and int(state.epoch) < job.limit:
                state = step(state, given, ROWS)
            status = Status.WAITING if int(state.status) == Status.RUNNING else state.status
            found[int(number)] = (state.history, state.epoch, training.best_epoch(state), status)
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


def blas_threads():
    """How many threads each library of linear algebra would start."""
    return {one["filepath"]: one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_a_decomposition_stays_in_the_thread_of_its_device(monkeypatch):
    """XLA has LAPACK compute it, and threads of OpenBLAS that wait for each other made it a hundred times slower."""
    within, advance = [], groups.advance

    def looking(*given):
        within.append(blas_threads())
        return advance(*given)

    def projected(hp):
        orthogonal = jreg.project(jreg.projections.orthogonal, where=lambda *_: True)
        sgd = optax.chain(optax.sgd(hp["learning_rate"]), orthogonal)
        return jreg.Recipe(network(), losses.softmax_cross_entropy, sgd)

    monkeypatch.setattr(groups, "advance", looking)
    with threadpool_limits(3, user_api="blas"):
        jreg.cross_validate(projected, DATA, [{"learning_rate": 0.1}], **STUDY | {"epochs": 1})
        assert set(blas_threads().values()) == {3}
    assert within
    # SciPy's, which JAX takes, is among them, since all that are loaded now were then.
    assert all(one == dict.fromkeys(blas_threads(), 1) for one in within)


def test_a_layout_in_words():
    chosen = tuple(jax.devices())
    assert str(Layout(chosen, 3)) == "2 CPU x 3 slots one by one"
    assert str(Layout(chosen[:1], 8, 4)) == "1 CPU x 8 slots in batches of 4"


class Accelerator:
    platform = "gpu"


@pytest.mark.parametrize(
    ("chosen", "trainings", "parameters", "slots", "devices"),
    [
        (jax.devices(), 1000, 2001, 1, 2),
        (jax.devices(), 1000, 2000, 32, 2),
        # The last bits of a result depend on the batch, so how many trainings there are has no say; but it says how
        # many devices have something to do.
        (jax.devices(), 1, 2000, 32, 1),
        (jax.devices(), 1, 2001, 1, 1),
        (jax.devices()[:1] * 8, 60, 2000, 32, 2),
        (jax.devices()[:1] * 8, 60, 2001, 1, 8),
        ([Accelerator()], 1, 10, 1, 1),
        ([Accelerator()], 3, 10**6, 4, 1),
        ([Accelerator()], 1000, 10**6, 64, 1),
        ([Accelerator()] * 4, 25, 10, 8, 4),
        # Three batches of 8 have room for all.
        ([Accelerator()] * 4, 20, 10, 8, 3),
        ([Accelerator()] * 8, 3, 10, 1, 3),
    ],
)
def test_the_rule_for_a_layout(chosen, trainings, parameters, slots, devices):
    layout = choose_layout(trainings, parameters, chosen)
    assert (layout.slots, layout.batch, layout.devices) == (slots, slots, tuple(chosen[:devices]))


# A slow loop as the reference.


def test_a_pool_gives_what_a_slow_loop_gives(plan):
    those = members()
    # The rest is trained to a rung, and waits there unless it stopped before.
    rung = those.limit.copy()
    rung[1::2] = 5
    those = those._replace(limit=rung)
    found, _ = run(made(plan, ONE_BY_ONE, those))
    same(found, slow(plan, those), exact=False)
    epochs, status = (np.array([found[number][field] for number in range(len(found))]) for field in (1, 3))
    assert (epochs <= rung).all()
    assert (status[epochs == 5] == Status.WAITING).sum() > 5
    assert {Status.STOPPED, Status.COMPLETED, Status.WAITING} == set(status.tolist())


@pytest.mark.parametrize("stopping", [pytest.param(None, marks=pytest.mark.slow), STOPPING])
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
    assert {int(found[n][3]) for n in number} == {Status.DIVERGED}
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
    assert watched.running == len(running.id) == 2
    assert len(first.outcomes[0].id) == 0
    assert running.epochs.tolist() == [2, 2]
    for number, history in zip(running.id, running.history, strict=True):
        np.testing.assert_array_equal(history[:2], full[number][0][:2])
        assert np.isnan(history[2:]).all()
    gone, queued = int(running.id[0]), [20, 21, 53]
    watched.cancel([gone, *queued])
    assert watched.queued == len(full) - 2 - len(queued)
    watched.text()  # looking at the program changes nothing
    found, chunks = run(watched)
    assert found[gone][1:] == (2, full[gone][0][:2, 3].argmin(), Status.PRUNED)
    np.testing.assert_array_equal(found.pop(gone)[0], running.history[0])
    same(found, {n: outcome for n, outcome in full.items() if n not in (gone, *queued)})
    assert all(chunk.layout == ONE_BY_ONE for chunk in chunks)


def test_a_number_that_was_dropped_may_come_again(plan):
    those = members()
    full, _ = run(made(plan, ONE_BY_ONE, those))
    watched = made(plan, ONE_BY_ONE, those)
    watched.cancel(range(4, 54))
    found, _ = run(watched)
    same(found, {n: full[n] for n in range(4)})
    watched.submit(jax.tree.map(lambda leaf: leaf[4:6], those))
    found, _ = run(watched, itertools.repeat(1))
    same(found, {n: full[n] for n in (4, 5)})


# Shrinking.


@pytest.fixture
def eager(monkeypatch):
    """Pools shrink as soon as they may."""
    compile_ = Pool._compile

    def free(self, *arguments, **options):
        made = compile_(self, *arguments, **options)
        self._compiling = 0.0
        return made

    monkeypatch.setattr(Pool, "_compile", free)
    monkeypatch.setattr(pool, "_EXACT", ())
    # Calls of an epoch or a few.
    monkeypatch.setattr(pool, "_SECONDS", 0.0)
    monkeypatch.setattr(pool, "_LEAST_SECONDS", 0.0)


@pytest.fixture(scope="module")
def outcomes(plan):
    return run(made(plan, ONE_BY_ONE, members()))[0]


def test_the_last_trainings_move_into_fewer_slots(plan, outcomes, eager, counted):
    layout = Layout(tuple(jax.devices()), 20, 5)
    before = counted[0]
    shrinking = made(plan, layout, members())
    found, chunks = run(shrinking)
    same(found, outcomes, exact=False)
    sizes = [chunk.layout.slots for chunk in chunks]
    assert sorted(set(sizes), reverse=True) == [20, 5, 1]
    assert sizes == sorted(sizes, reverse=True)
    # No more programs than sizes; that of one slot a device made `outcomes`, and may be found compiled.
    assert 2 <= counted[0] - before <= 3
    # What is left fits.
    assert all(chunk.running <= chunk.layout.slots * 2 for chunk in chunks)


@pytest.mark.slow
def test_slots_that_run_one_by_one_stay_and_change_nothing(plan, outcomes, eager):
    found, chunks = run(made(plan, Layout(tuple(jax.devices()), 4), members()))
    assert {chunk.layout.slots for chunk in chunks} == {4}
    same(found, outcomes)


# Memory.


@pytest.mark.slow
def test_slots_are_as_many_as_the_memory_holds(plan, outcomes, monkeypatch):
    layout = Layout(tuple(jax.devices()), 20, 5)
    # The outbox takes a share of the memory, whatever that is; here the slots matter.
    monkeypatch.setattr(memory, "_OUTBOX_BYTES", 0)
    needed, by_account = [], compiled.bytes_of
    monkeypatch.setattr(compiled, "bytes_of", lambda found: needed.append(by_account(found)) or needed[-1])
    for other in (layout, layout.with_slots(5)):
        assert made(plan, other, members()).layout == other
    whole, small = needed
    assert 0 < small < whole
    limit = (small + whole) / 2 / memory.SHARE
    asked = []
    monkeypatch.setattr(layouts, "memory", lambda device, sharing: asked.append(sharing) or int(limit))
    compiled._bytes_needed.cache_clear()
    reduced = made(plan, layout, members())
    assert asked == [2]
    assert (reduced.layout.slots, reduced.layout.batch) in [(15, 5), (10, 5), (5, 5)]
    assert needed[2] == whole
    assert needed[-1] <= memory.SHARE * limit
    same(run(reduced)[0], outcomes, exact=False)


def test_shrinking_does_not_ask_for_memory_that_is_taken(plan, outcomes, eager, monkeypatch):
    shrinking = made(plan, Layout(tuple(jax.devices()), 20, 5), members())
    monkeypatch.setattr(layouts, "memory", lambda device, sharing: 1000)
    same(run(shrinking, itertools.repeat(1))[0], outcomes, exact=False)


@pytest.mark.parametrize("layout", [ONE_BY_ONE, Layout(tuple(jax.devices()), 5, 5)])
def test_one_training_that_does_not_fit_is_one_sentence(plan, monkeypatch, layout):
    monkeypatch.setattr(layouts, "memory", lambda device, sharing: 2**10)
    with pytest.raises(MemoryError) as raised:
        made(plan, layout, members())
    sentence = str(raised.value)
    assert re.fullmatch(
        r"one training needs \d+ MiB with its data, but .*cpu:0 has 0 MiB for it: use a smaller .*", sentence
    )


SOURCE = """
import jax, jreg, optax
from jreg import losses

space = jreg.grid(l2=[0.1, 0.2])
model = (lambda key, x: jax.random.normal(key, (13, 3)), lambda w, x, train, rngs: x @ w)
def recipe(hp):
    return jreg.Recipe(model, losses.softmax_cross_entropy, optax.sgd(hp["l2"]))
"""


def test_the_command_line_ends_with_that_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(layouts, "memory", lambda device, sharing: 2**10)
    monkeypatch.setattr(layouts, "_TINY", 0)
    (tmp_path / "mine.py").write_text(SOURCE)
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "mine.py", "--data", "wine", "--folds", "2", "--epochs", "1"])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("jreg: one training needs ")
    assert not (tmp_path / "runs").exists()


def test_devices_share_the_memory_of_a_cpu(monkeypatch):
    assert layouts.memory(jax.devices()[0], 4) > 2**20
    monkeypatch.setattr(layouts, "free_memory", lambda: 10**9)
    assert [layouts.memory(jax.devices()[0], sharing) for sharing in (1, 4)] == [10**9, 10**9 // 4]


# The measurement that chooses a layout.


@pytest.fixture(scope="module")
def told():
    with jax.numpy_dtype_promotion("strict"):
        return jreg.cross_validate(recipe, DATA, SPACE, **STUDY, layout=ONE_BY_ONE)


@pytest.mark.slow
def test_a_long_study_measures_and_says_what_it_chose(told, monkeypatch):
    monkeypatch.setattr(measure, "_WORTH", 0)
    monkeypatch.setattr(measure, "_BATCHES", measure._BATCHES | {"cpu": (1, 5)})
    said = []
    study = jreg.cross_validate(recipe, DATA, SPACE, **STUDY | {"progress": said.append})
    assert (study.layout.slots, study.layout.batch) in [(1, 1), (5, 5)]
    assert study.layout.devices == tuple(jax.devices())
    assert {progress.layout for progress in said} <= {None, study.layout}
    assert said[-1].done == said[-1].total == study.scores.size
    same_study(study, told, exact=study.layout == ONE_BY_ONE)


def test_a_short_study_goes_by_the_rule(told, monkeypatch):
    monkeypatch.setattr(measure, "fastest", None)
    study = jreg.cross_validate(recipe, DATA, SPACE, **STUDY)
    assert (study.layout.slots, study.layout.batch) == (32, 32)
    same_study(study, told, exact=False)


@pytest.fixture
def rates(monkeypatch):
    """Throughputs by slots instead of measured ones, and which were asked for."""
    known, asked = {}, []

    def throughput(pool, layout, *_):
        asked.append(layout.slots)
        assert layout.batch == layout.slots
        return known[layout.slots]

    monkeypatch.setattr(measure, "_WORTH", 0)
    monkeypatch.setattr(measure, "_throughput", throughput)
    return known, asked


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("measured", "asked", "chosen"),
    [
        ({1: 5.0, 8: 5.2}, [1, 8], 1),
        ({1: 5.0, 8: 6.0, 32: 6.2}, [1, 8, 32], 8),
        ({1: 5.0, 8: 6.0, 32: 7.0}, [1, 8, 32], 32),
        ({1: 5.0, 8: None}, [1, 8], 1),
        ({1: None}, [1], 32),
    ],
)
def test_batches_grow_while_they_are_faster(plan, rates, measured, asked, chosen):
    rates[0].update(measured)
    layout = Layout(tuple(jax.devices()), 32, 32)
    found = measure.fastest(made(plan, layout, members()), members(), ROWS, FOLDS)
    assert (found.slots, found.batch, found.devices) == (chosen, chosen, layout.devices)
    assert rates[1] == asked


def test_no_batch_is_tried_that_the_study_would_not_fill(plan, rates):
    rates[0].update({1: 5.0, 8: 6.0})
    few = jax.tree.map(lambda leaf: leaf[:10], members())
    assert measure.fastest(made(plan, ONE_BY_ONE, few), few, ROWS, FOLDS).slots == 8
    assert rates[1] == [1, 8]


@pytest.fixture
def cache(tmp_path):
    """A folder of compiled programs, which are not kept in this process."""
    jax.config.update("jax_enable_compilation_cache", False)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "programs"))
    yield tmp_path / "programs"
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", True)


@pytest.mark.some(4)
@pytest.mark.parametrize("content", ["", "{", "[]", '{"KEY": true}', '{"KEY": 0}', '{"KEY": "5"}', b"\xff\xfe"])
def test_a_measurement_is_remembered_and_a_broken_note_is_none(told, rates, cache, content):
    rates[0].update({1: 5.0, 8: 5.0})
    study = functools.partial(jreg.cross_validate, recipe, DATA, SPACE, **STUDY)
    same_study(study(), told)
    assert rates[1] == [1, 8]
    notes = cache / "jreg-layouts.json"
    ((key, slots),) = json.loads(notes.read_text()).items()
    assert slots == 1
    assert study().layout == ONE_BY_ONE
    assert rates[1] == [1, 8]
    notes.write_bytes(content.replace("KEY", key).encode() if isinstance(content, str) else content)
    assert study().layout == ONE_BY_ONE
    assert rates[1] == [1, 8] * 2
    assert json.loads(notes.read_text())[key] == 1


@pytest.mark.slow
def test_notes_are_of_one_program(plan, rates, cache):
    rates[0].update({1: 5.0, 8: 5.0})
    for epochs, expected in [(EPOCHS, 2), (EPOCHS, 2), (EPOCHS + 1, 4), (EPOCHS, 4)]:
        chosen = plan if epochs == EPOCHS else plan_of(epochs=epochs)
        measure.fastest(made(chosen, ONE_BY_ONE, members()), members(), ROWS, FOLDS)
        assert len(rates[1]) == expected
    assert len(json.loads((cache / "jreg-layouts.json").read_text())) == 2


def test_a_cache_that_cannot_be_written_ends_no_study(told, rates, cache):
    rates[0].update({1: 5.0, 8: 5.0})
    cache.write_text("a file where the folder should be")
    same_study(jreg.cross_validate(recipe, DATA, SPACE, **STUDY), told)


# Whatever the schedule.


@pytest.mark.parametrize("budgets", [itertools.repeat(1), itertools.cycle([3, 1, 7]), itertools.repeat(10**6)])
def test_the_lengths_of_calls_change_nothing(plan, outcomes, budgets):
    same(run(made(plan, ONE_BY_ONE, members()), budgets)[0], outcomes)


@pytest.mark.slow
def test_the_length_of_lines_changes_nothing(plan, outcomes, monkeypatch):
    monkeypatch.setattr(compiled, "QUEUE", 2)
    same(run(made(plan, ONE_BY_ONE, members()))[0], outcomes)


def test_the_order_changes_nothing(plan, outcomes):
    order = np.random.default_rng(0).permutation(54)
    those = jax.tree.map(lambda leaf: leaf[order], members())
    same(run(made(plan, ONE_BY_ONE, those))[0], outcomes)


@pytest.mark.slow
def test_batches_of_one_size_change_nothing(plan, outcomes):
    found = [
        run(made(plan, Layout(tuple(jax.devices()[:count]), slots, 5), members()), itertools.repeat(budget))[0]
        for count, slots, budget in [(2, 5, None), (2, 20, 3), (1, 10, 2)]
    ]
    same(found[1], found[0])
    same(found[2], found[0])
    same(found[0], outcomes, exact=False)


def elsewhere(path):
    """What a process with another number of devices finds; it runs this file as a module."""
    chosen = tuple(jax.devices())
    plan, arrays = plan_of(), {}
    for batch in (1, 5):
        found, _ = run(made(plan, Layout(chosen, batch, batch), members()))
        for field, name in enumerate(FIELDS):
            arrays[f"{name}{batch}"] = np.stack([found[number][field] for number in sorted(found)])
    if len(chosen) == 8:
        arrays["occupancy"] = np.array([occupancy(Layout(chosen, 1)), occupancy(Layout(chosen, 2, 2))])
    np.savez(path, **arrays)


CODE = """
import sys, jreg
path, devices, tests = sys.argv[1:]
jreg.use_cpu_devices(int(devices))
sys.path.insert(0, tests)
import test_scheduler
test_scheduler.elsewhere(path)
"""


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """What a process with another number of devices finds."""
    folder, here = tmp_path_factory.mktemp("others"), os.path.dirname(__file__)
    # Bits are compared, so the compiler has to make the same effort as in this process (conftest.py).
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}

    @functools.cache
    def found(count):
        path = str(folder / f"{count}.npz")
        subprocess.run([sys.executable, "-c", CODE, path, str(count), here], env=environment, check=True, timeout=300)
        return dict(np.load(path))

    return found


# One device of two is used by test_batches_of_one_size_change_nothing.
@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("count", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_the_number_of_devices_changes_nothing(plan, other, count, batch):
    found, _ = run(made(plan, Layout(tuple(jax.devices()), batch, batch), members()))
    elsewhere = zip(*(other(count)[f"{name}{batch}"] for name in FIELDS), strict=True)
    same(dict(enumerate(elsewhere)), found)


def test_what_had_been_finished_at_an_interruption_is_what_the_full_study_finds(told, monkeypatch, tmp_path):
    told.save(tmp_path / "full")
    monkeypatch.setattr(pool, "_SECONDS", 0.0)

    def impatient(progress):
        if progress.done >= 17:
            raise KeyboardInterrupt

    options = STUDY | {"layout": ONE_BY_ONE, "store": tmp_path / "part", "progress": impatient}
    with pytest.raises(KeyboardInterrupt):
        jreg.cross_validate(recipe, DATA, SPACE, **options)
    full, part = ((tmp_path / name / "trainings.csv").read_text().splitlines() for name in ("full", "part"))
    finished = [line for line in part if "waiting" not in line]
    assert len(full) == len(part) == 1 + 54
    assert 17 <= len(finished) - 1 < 54
    assert set(finished) <= set(full)
    full, part = ((tmp_path / name / "curves.csv").read_text().splitlines() for name in ("full", "part"))
    assert 17 < len(part) < len(full)
    assert set(part) <= set(full)


# Occupancy.


def counting(hp):
    """Walks to `length` by steps of one, and stops by patience an epoch later."""
    return jreg.Recipe(
        (lambda key, x: jnp.zeros(()), lambda walked, x, train, rngs: jnp.broadcast_to(walked, x.shape[:1])),
        lambda outputs, y: jnp.abs(outputs - hp["length"]),
        optax.sgd(1.0),
        metrics={"walked": jreg.metrics.average(lambda outputs, y: outputs, maximize=True)},
    )


def occupancy(layout):
    """Of a thousand trainings, of which about one in sixteen takes ten times as long; decided without a clock."""
    pool._SECONDS, pool._LEAST_SECONDS = 1e9, 0.0
    lengths = np.where(np.random.default_rng(0).random(500) < 1 / 16, 199.0, 19.0)
    data = jreg.Dataset(np.zeros((4, 1)), np.arange(4.0))
    study = jreg.cross_validate(
        counting,
        data,
        [{"length": length} for length in lengths],
        cv=2,
        epochs=300,
        stopping=jreg.EarlyStopping(1),
        progress=False,
        layout=layout,
    )
    np.testing.assert_array_equal(study.epochs_run, np.broadcast_to(lengths[:, None, None] + 1, (500, 2, 1)))
    return study.results.timing.occupancy


@pytest.fixture
def clockless(monkeypatch):
    for name in ("_SECONDS", "_LEAST_SECONDS"):
        monkeypatch.setattr(pool, name, getattr(pool, name))


# 1000 trainings with a mean of 31 epochs are 484 a lane on 32 lanes; the last ones take up to 200 of them, and empty
# places in their batches are paid for.
@pytest.mark.parametrize(
    ("slots", "batch", "least"),
    [pytest.param(1, 1, 0.95, marks=pytest.mark.slow), (8, 2, 0.95), pytest.param(8, 8, 0.9, marks=pytest.mark.slow)],
)
def test_stopping_times_that_differ_tenfold_leave_few_slots_idle(clockless, slots, batch, least):
    found = occupancy(Layout(tuple(jax.devices()), slots, batch))
    assert least <= found <= 1


@pytest.mark.slow
def test_eight_devices_are_busy_too(other):
    one_by_one, batches = other(8)["occupancy"]
    # Were lines not shared out anew near the end, the devices would wait for each other, and it would be 0.94.
    assert 0.97 <= one_by_one <= 1
    assert 0.9 <= batches <= 1


def test_a_device_that_waits_for_another_counts_as_idle(plan):
    # Two devices and three trainings of two epochs.
    those = jax.tree.map(lambda leaf: leaf[:3], members(limit=2))
    _, chunks = run(made(plan, ONE_BY_ONE, those), [10**6])
    assert (chunks[0].useful, chunks[0].executed) == (3 * 2, 4 * 2)


# Accelerators.


@pytest.mark.some(2)
@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize(("slots", "batch"), [(1, 1), (5, 5)])
def test_the_whole_program_lowers_for_accelerators(plan, slots, batch, platform):
    layout = Layout(tuple(jax.devices()), slots, batch)
    waiting = made(plan, layout, members())
    work = waiting._work(waiting._waiting.take(2), budget=1)
    jitted = program.program(layout)
    exported = jax.export.export(jitted, platforms=[platform])(
        waiting._slots, waiting._outbox, work, waiting._rows, waiting._folds, plan=plan, layout=layout
    )
    assert exported.platforms == (platform,)
    assert exported.nr_devices == 2
    module = exported.mlir_module()
    # No library of the CPU's is called, and the CPU's compiler options stay with the CPU.
    assert "custom_call" not in module.replace("@Sharding", "")
    assert "xla_cpu" not in module


def test_only_a_cpu_gets_the_options_of_a_cpu():
    assert program.program(Layout((Accelerator(),), 1)) is program._advance_elsewhere
    assert program.program(ONE_BY_ONE) is program._advance_on_cpu


# JAX's checkers.


@pytest.mark.parametrize(
    "checker",
    # The one for leaks traces everything anew.
    [pytest.param(jax.checking_leaks, marks=pytest.mark.slow), functools.partial(jax.debug_nans, True)],
)
def test_a_study_passes_the_checkers_for_leaks_and_nan(told, checker):
    with checker():
        study = jreg.cross_validate(recipe, DATA, SPACE, **STUDY, layout=Layout(tuple(jax.devices()), 5, 5))
    same_study(study, told, exact=False)


@pytest.mark.slow
def test_the_checker_for_nan_sees_those_of_a_training():
    space = [{"l2": 0.1, "learning_rate": 1e30}]
    # JAX then looks for the operation, and where a buffer has been given away it can only say so.
    with jax.debug_nans(True), pytest.raises((FloatingPointError, RuntimeError), match=r"nan|deleted"):
        jreg.cross_validate(recipe, DATA, space, **STUDY | {"stopping": None}, layout=ONE_BY_ONE)


def test_no_key_is_used_twice(plan, outcomes):
    with jax.debug_key_reuse(True):
        same(run(made(plan, Layout(tuple(jax.devices()), 5, 5), members()))[0], outcomes, exact=False)


@pytest.mark.slow
def test_no_key_of_a_study_is_used_twice():
    x = np.random.default_rng(0).normal(size=(24, 3))
    data = jreg.Dataset(x, np.arange(24) % 3, name="noise")

    def drops(hp):
        return jreg.Recipe(jreg.nn.MLP((4, 3), dropout=0.5), losses.softmax_cross_entropy, optax.sgd(hp["rate"]))

    with jax.debug_key_reuse(True):
        study = jreg.cross_validate(drops, data, jreg.grid(rate=[0.1, 0.2]), cv=2, epochs=2, progress=False)
    assert study.finished


def test_the_checker_for_keys_sees_those_of_a_training():
    def again(hp):
        def apply(weights, x, train, rngs):
            noise = [jax.random.normal(rngs["dropout"], x.shape) for _ in range(2)] if train else [0.0]
            return (x + sum(noise)) @ weights

        return dataclasses.replace(recipe(hp), model=(network()[0], apply))

    with jax.debug_key_reuse(True), pytest.raises(jax.errors.KeyReuseError):
        made(plan_of(again), ONE_BY_ONE, members())


@pytest.mark.slow
def test_keys_differ_between_folds_seeds_epochs_steps_and_purposes_and_settings_share_them(monkeypatch):
    seen = []

    def note(purpose, key):
        jax.debug.callback(
            lambda data, purpose=purpose: seen.append((purpose, *data.tolist())), jax.random.key_data(key)
        )

    def watched(hp):
        init, apply = network()

        def noted_init(key, x):
            note("init", key)
            return init(key, x)

        def noted_apply(weights, x, train, rngs):
            for name, key in rngs.items():
                note(name, key)
            return apply(weights, x, train, rngs)

        return dataclasses.replace(recipe(hp), model=(noted_init, noted_apply))

    shuffled = shuffle.shuffled

    def noted_shuffle(key, *rest):
        note("shuffle", key)
        return shuffled(key, *rest)

    chosen = plan_of(watched, stopping=None)
    monkeypatch.setattr(step, "shuffled", noted_shuffle)
    run(made(chosen, ONE_BY_ONE, members([[0], [1]], limit=3)))
    jax.effects_barrier()
    found = collections.Counter(seen)
    # Three folds and two seeds, three epochs, two steps an epoch, in both settings.
    counts = collections.Counter(purpose for purpose, *_ in found)
    assert counts == {"init": 6, "shuffle": 6 * 3, "dropout": 6 * 3 * 2, "params": 6 * 3 * 2}
    assert set(found.values()) == {2}
    assert len({tuple(data) for _, *data in found}) == sum(counts.values())


# Traces.


@pytest.mark.slow
def test_one_trace_and_compilation_serve_all_studies_of_a_static_group(counted):
    traces = []

    def watched(hp):
        made = recipe({"l2": hp["l2"], "learning_rate": 0.1 * hp["width"]})

        def loss(outputs, y):
            traces.extend([hp["width"]] * isinstance(hp["l2"], jax.core.Tracer))
            return made.loss(outputs, y)

        return dataclasses.replace(made, loss=loss)

    def study(strengths, widths=(1,), **options):
        before, compiled = len(traces), counted[0]
        study = jreg.cross_validate(watched, DATA, jreg.grid(l2=strengths, width=list(widths)), **STUDY | options)
        assert study.finished
        return len(traces) - before, counted[0] - compiled

    halving = jreg.successive_halving(2, factor=2)
    told = {"layout": ONE_BY_ONE}
    each, programs = study([0.1, 0.2, 0.3, 0.4], **told)
    # The loss of a step, of its gradient's trace, and of the evaluations: whatever they are, of one program.
    assert 0 < each <= 4
    assert programs == 1
    assert study([0.5, 0.6, 0.7], seeds=3, **told) == (0, 0)
    assert study([0.1, 0.2, 0.3, 0.4], race=halving, **told) == (0, 0)
    # A path of four stages is a program of its own, for whatever strengths.
    assert study([0.1, 0.2, 0.3, 0.4], warm="l2", **told) == (each, 1)
    assert study([0.5, 0.6, 0.7, 0.8], warm="l2", **told) == (0, 0)
    # Another static value is another program, in a race too.
    assert study([0.1, 0.2, 0.3, 0.4], widths=(1, 2), race=halving, **told) == (each, 1)
    assert study([0.5, 0.6, 0.7, 0.8], widths=(2, 1), race=halving, **told) == (0, 0)
