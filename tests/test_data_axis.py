"""Trainings that several devices share: they give what one device gives, to rounding."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
import sharing
import test_contract as contract
import test_scheduler as scheduler
from contract import F32
from jax.sharding import PartitionSpec

import jreg
from jreg import keep, losses, nn, training
from jreg.engine import compiled, groups, memory
from jreg.engine import saved as states
from jreg.engine.layout import AXIS, Layout
from jreg.engine.pool import Pool
from jreg.store import Folder
from jreg.study import going_on
from jreg.training import check
from jreg.training.spreading import split

DEVICES = tuple(jax.devices())
SHARED, ALONE = Layout(data=2), Layout(DEVICES[:1])
# Sums over at most 66 rows, of which each device adds up its own first: each is off by some roundings of 6e-8, and a
# dozen steps of plain gradient descent carry them on without making them much larger. Numbers are of about 1.
TOLERANCE = 1e-5
# Beside shared trainings that would fit into one device and are as many as there are devices; all of these do.
quiet = pytest.mark.filterwarnings("ignore:data=2 has 2 devices share each training")


class Device:
    """Stands for an accelerator in a layout that nothing is compiled for."""

    platform = "gpu"

    def __repr__(self):
        return "gpu:0"


def close(found, expected, what=""):
    found, expected = np.asarray(found), np.asarray(expected)
    if np.issubdtype(expected.dtype, np.floating):
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE, err_msg=what)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=what)


# Layouts.


def test_a_layout_has_defaults_and_groups():
    assert Layout().devices == DEVICES == SHARED.devices
    assert (Layout().slots, Layout().batch, Layout().data, Layout().groups) == (1, 1, 1, 2)
    assert Layout().mesh.axis_names == (AXIS,)
    four = Layout([Device() for _ in range(8)], 6, 3, data=4)
    assert (four.groups, four.lanes, four.with_slots(4).data) == (2, 12, 4)
    assert [one.devices for one in four.programs] == [four.devices[:4], four.devices[4:]]
    assert str(four) == "2 x 4 GPU x 6 slots in batches of 3"
    assert (four.numbers, Layout(slots=3).numbers) == ((6, 3, 4), (3, 1))
    assert dict(SHARED.mesh.shape) == {AXIS: 1, "data": 2}


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        (3, ValueError, "the layout has 2 devices, but with data=3 their number must be a multiple of 3: leave some"),
        (0, ValueError, "the layout's data is 0, but must be at least 1"),
        (2.0, TypeError, "the layout's data is 2.0, but must be a whole number of at least 1"),
    ],
)
def test_a_number_of_devices_that_makes_no_groups_is_refused(data, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        Layout(data=data)


def test_what_no_axis_is_for_is_left_as_it_is():
    x = np.ones((5, 2))
    assert split(x) is x
    # Neither is an axis of that name which a user has: this is no place to decide over it.
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh):
        assert split(x) is x


# What is computed of rows that are split.


@pytest.mark.some(6)
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{case.of.__name__}{number}") for number, case in enumerate(contract.CASES)]
)
def test_each_leaf_function_of_split_rows_is_that_of_whole_ones(case):
    x, s = contract.example(case, F32), contract.traced(contract.middle(case))

    def inside(x, s):
        return case.call(jax.tree.map(lambda leaf: split(leaf) if leaf.ndim else leaf, x), s)

    everywhere = PartitionSpec()
    shared = jax.shard_map(
        inside, mesh=SHARED.mesh, in_specs=everywhere, out_specs=everywhere, axis_names={AXIS}, check_vma=False
    )
    found = jax.jit(shared)(x, s)
    jax.tree.map(close, found, jax.jit(case.call)(x, s))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in sharing.FAMILIES if name != "small"])
def test_a_study_on_eight_devices_is_that_of_one(tmp_path, name):
    run(tmp_path, name)


@pytest.mark.slow
def test_a_small_study_on_eight_devices_is_that_of_one(tmp_path):
    run(tmp_path, "small")
    # What trains beside a training changes no bit of it.
    two, one = (left(tmp_path, "small", kind) for kind in ("shared", "group"))
    for what in two:
        np.testing.assert_array_equal(two[what], one[what], err_msg=what)


def left(folder, name, kind):
    with np.load(folder / f"{name}-{kind}.npz") as found:
        return dict(found)


def run(folder, name):
    """Trains a study in a process that has eight devices, on one of them and on two groups of four."""
    paths = os.pathsep.join([str(Path(jreg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    script = [sys.executable, sharing.__file__, str(folder), name]
    done = subprocess.run(
        script, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    expected, found = (left(folder, name, kind) for kind in ("one", "shared"))
    assert sorted(found) == sorted(expected)
    assert {"history", "epochs", "network 0 0", "outputs 0 0"} <= set(found)
    for what in expected:
        close(found[what], expected[what], what)
    # Each group has a program of its own, so that nothing can travel between groups.
    programs = json.loads((folder / f"{name}-programs.json").read_text())
    assert len(programs) == 2
    for devices, partitions, collectives in programs:
        assert (len(devices), partitions, collectives > 0) == (4, 4, True)
    assert not set(programs[0][0]) & set(programs[1][0])
    # The settings and the epochs are no copies of each other.
    first, second = expected["history"][..., 0, :], expected["history"][..., 1, :]
    assert np.nanmax(np.abs(first[0] - first[1])) > 100 * TOLERANCE
    assert np.nanmax(np.abs(first - second)) > 100 * TOLERANCE


# On this process's two devices.


def recipe(hp):
    model = nn.MLP((6, 3), dropout=0.3, normalization="batch")
    penalty = hp["l2"] * jreg.on_params(jreg.penalties.l2)
    return jreg.Recipe(model, losses.softmax_cross_entropy, optax.sgd(0.03), penalty=penalty)


OPTIONS = {"cv": 3, "epochs": 5, "batch_size": 7, "progress": False, "keep": [keep.network, keep.outputs]}
SPACE = jreg.grid(l2=[1e-3, 1e-1])


def conduct(data, **changes):
    return jreg.cross_validate(recipe, data, changes.pop("space", SPACE), **OPTIONS | changes)


def same(found, expected, compare=close):
    compare(found.epochs_run, expected.epochs_run)
    compare(found.history, expected.history)
    for setting in range(len(expected.spec.settings)):
        for kind in expected.spec.keep:
            one, other = ([tree for _, tree in study.results.kept(setting, kind)] for study in (expected, found))
            jax.tree.map(compare, other, one)


@pytest.fixture(scope="module")
def wines():
    wine = jreg.load_dataset("wine")
    x = np.asarray(wine.x, np.float64)
    return jreg.Dataset((x - x.mean(0)) / x.std(0), wine.y, name="wine")


@pytest.mark.slow
def test_a_study_that_goes_on_shares_its_trainings_as_before_and_says_when_that_is_no_use(
    wines, tmp_path, counted, monkeypatch
):
    # Six trainings on two devices: each device could have three of its own.
    with pytest.warns(UserWarning, match="6 trainings keep 2 devices busy: a layout without data") as said:
        whole = conduct(wines, layout=SHARED)
    assert len(said) == 1
    assert (str(whole.layout), whole.results.timing.devices) == ("1 x 2 CPU x 1 slots one by one", 2)
    same(whole, conduct(wines, layout=ALONE))
    before = counted[0]
    # Three trainings are faster on two devices that share them, if that costs next to nothing.
    half = conduct(wines, layout=SHARED, store=tmp_path, space=jreg.grid(l2=[1e-3]))
    assert half.results.layouts == {"{}": (1, 1, 2)}
    found = conduct(wines, store=tmp_path)
    # Nothing was compiled for the program that is known.
    assert counted[0] == before
    assert found.layout == SHARED
    same(found, whole, np.testing.assert_array_equal)
    with Folder(tmp_path) as store:
        monkeypatch.setattr(jax, "local_devices", lambda: list(DEVICES[:1]))
        assert list(going_on.layouts(found.design, store).values()) == [ALONE]


@pytest.mark.slow
@quiet
def test_a_checkpoint_of_one_device_goes_on_with_two(wines):
    plan, jobs = scheduler.plan_of(epochs=scheduler.EPOCHS), scheduler.members(seeds=(0,))
    jobs = jax.tree.map(lambda leaf: leaf[:3], jobs)
    expected = scheduler.run(scheduler.made(plan, ALONE, jobs))[0]
    begun = scheduler.made(plan, ALONE, jobs)
    begun.advance(2)
    there, rest = begun.saved(), begun.queued
    state = states.fitted(plan, there.jobs, there.stage, there.state, scheduler.ROWS, scheduler.FOLDS)
    assert (state.epoch.tolist(), rest) == ([2], 2)
    going = Pool(plan, SHARED, jax.tree.map(lambda leaf: leaf[0], jobs), scheduler.ROWS, scheduler.FOLDS)
    going.restore(there.jobs, there.stage, state, there.place)
    going.submit(jax.tree.map(lambda leaf: leaf[1:], jobs))
    scheduler.same(scheduler.run(going)[0], expected, exact=False)


def account(layout, width=2000, rows=128):
    """(arguments, temporaries) in bytes of a program on each device, by XLA's own account."""
    data = jreg.Dataset(np.zeros((rows + 1, 4)), np.arange(rows + 1) % 3, name="zeros")
    folds = jreg.splits.pack([(np.arange(rows), np.arange(rows, rows + 1))])

    def wide(hp):
        return jreg.Recipe(nn.MLP((width, 3)), losses.softmax_cross_entropy, optax.sgd(0.1))

    samples = check.sampled(wide, [{}], check.sample_steps(data, folds, 1, rows))
    plan = check.make_plan(wide, samples, (), data, folds, 1, rows, None)
    given = training.Rows(data.x, data.y)
    job = scheduler.members(values={"rate": np.ones(1)}, seeds=(0,))
    job = jax.tree.map(lambda leaf: leaf[0], job)._replace(hp={}, epochs=np.int32(1), limit=np.int32(1))
    pool = Pool(plan, layout, job, given, folds)
    slots, outbox, *more = groups.of_programs(
        layout, pool._slots, pool._outbox, pool._work([], 1), pool._rows, pool._folds
    )[0]
    found = compiled.lower(plan, layout.programs[0], (slots, outbox), *more).compile().memory_analysis()
    return found.argument_size_in_bytes, found.temp_size_in_bytes


@pytest.mark.slow
def test_two_devices_need_half_the_memory_for_what_a_batch_makes():
    (given, temporary), (given_to_two, temporary_of_two) = map(account, (ALONE, SHARED))
    assert given == given_to_two
    # Hidden activations are a megabyte, and nothing else is as large.
    assert temporary > 2**20
    assert 0.45 < temporary_of_two / temporary < 0.65


def test_at_most_so_many_bytes_a_training_takes_by_itself():
    sizes = memory.Sizes(slot=1000, outcome=100, job=10, shared=5000, stages=1)
    arguments = memory.arguments(sizes, 1, 10**6)
    four = Layout([Device() for _ in range(4)], data=4)
    assert memory.alone(sizes, four, arguments + 700, 10**6) == arguments + 4 * 700
    assert memory.alone(sizes, four, None, 10**6) is None


def test_a_training_that_is_too_large_for_a_device_may_be_shared_and_says_so():
    sizes = memory.Sizes(slot=1000, outcome=100, job=10, shared=5000, stages=1)
    for data, advice in ((1, r"more devices for each training \(jreg.Layout\(data=2\)\)"), (4, "or another device$")):
        with pytest.raises(MemoryError, match=advice):
            memory.fitting(sizes, Layout([Device() for _ in range(4)], data=data), 10**5, needed=10**6)
