"""Bytes on a device: the formulas against XLA's own account, and the number of slots that they choose."""

import itertools

import jax
import numpy as np
import optax
import pytest

import jreg
from jreg import losses, nn, training
from jreg._base.machine import free_memory
from jreg.data import standardize
from jreg.engine import compiled, memory, program
from jreg.engine import layout as layouts
from jreg.engine.layout import Layout
from jreg.engine.memory import Sizes, arguments, fitting, nbytes, outbox_length, sizes_of
from jreg.engine.pool import Pool
from jreg.study.design import Design
from jreg.training import keep

pytestmark = pytest.mark.adam
DEVICES = tuple(jax.devices())
STOPPING = jreg.EarlyStopping(2)
SPACE = jreg.grid(learning_rate=[1e-3, 3e-3, 1e-2, 3e-2])
OUTPUTS, NETWORK = keep.outputs, keep.network
# The program's outputs that are no slots and no outbox: four counts of four bytes each. Beside its outputs a CPU has
# a table with a pointer of eight bytes to each of them.
COUNTS, POINTER = 4, 8


def mlp(hp):
    optimizer = optax.adam(hp["learning_rate"])
    return jreg.Recipe(nn.MLP((16, 3)), losses.softmax_cross_entropy, optimizer, preprocess=standardize())


def noisy(hp):
    """With a random key in the optimizer's state, and running averages."""
    optimizer = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(0)), optax.adam(hp["learning_rate"]))
    return jreg.Recipe(nn.MLP((4, 3), normalization="batch"), losses.softmax_cross_entropy, optimizer)


def planned(function=mlp, stopping=None, kept=(), stages=1):
    """A plan, its jobs, the rows and the folds."""
    data = jreg.load_dataset("wine")
    options = {"cv": 3, "epochs": 5, "batch_size": 16, "stopping": stopping, "keep": kept}
    design = Design.of(function, data, SPACE, **options)
    wanted = design.everything()
    [(plan, jobs)] = design.jobs(wanted, np.arange(wanted.settings.size).reshape(-1, 1))
    paths, hp = jobs.id.reshape(-1, stages), {name: column.reshape(-1, stages) for name, column in jobs.hp.items()}
    jobs = jax.tree.map(lambda leaf: leaf[: len(paths)], jobs)._replace(id=paths, hp=hp)
    return plan, jobs, training.rows_of(data), design.folds


def sizes_for(plan, jobs, rows, folds):
    return sizes_of(*program.shapes_of(plan, first(jobs), rows, folds), rows, folds)


def first(jobs):
    return jax.tree.map(lambda leaf: leaf[0], jobs)


@pytest.fixture
def accounts(monkeypatch):
    """The memory analyses of the programs that are compiled, in order."""
    found, by_account = [], compiled.bytes_of
    monkeypatch.setattr(compiled, "bytes_of", lambda made: found.append(made.memory_analysis()) or by_account(made))
    compiled._bytes_needed.cache_clear()
    return found


CASES = {
    "plain": {},
    "stopping": {"stopping": STOPPING},
    "outputs": {"kept": (OUTPUTS,)},
    "stopping, outputs and network": {"stopping": STOPPING, "kept": (OUTPUTS, NETWORK)},
    "path": {"stopping": STOPPING, "kept": (OUTPUTS,), "stages": 2},
    "keys and averages": {"function": noisy, "stopping": STOPPING},
}


# The formulas have slots and what a case has apart.
USUAL = [("plain", (1, 1)), ("path", (4, 4)), ("keys and averages", (4, 4))]


@pytest.mark.some(1)
@pytest.mark.parametrize(
    ("case", "slots", "batch"),
    [
        pytest.param(case, *layout, marks=() if (case, layout) in USUAL else pytest.mark.slow)
        for case in CASES
        for layout in ((1, 1), (4, 1), (4, 4))
    ],
)
def test_arguments_are_what_the_compiled_program_takes(case, slots, batch, accounts):
    plan, jobs, rows, folds = planned(**CASES[case])
    sizes = sizes_for(plan, jobs, rows, folds)
    made = compiled.compile_program(plan, Layout(DEVICES, slots, batch), first(jobs), rows, folds, None)
    [account] = accounts
    assert account.argument_size_in_bytes == arguments(sizes, slots)
    # Slots and outbox are written over, so they are no memory of their own.
    own = slots * sizes.slot + outbox_length(sizes, slots, None) * sizes.outcome
    assert account.alias_size_in_bytes == own
    outputs = len(jax.tree.leaves((made.slots, made.outbox))) + COUNTS
    assert account.output_size_in_bytes == own + 4 * COUNTS + POINTER * outputs


@pytest.mark.parametrize("case", CASES)
def test_sizes_are_sums_over_the_leaves(case):
    plan, jobs, rows, folds = planned(**CASES[case])
    slot, outcome = program.shapes_of(plan, first(jobs), rows, folds)
    sizes, state = sizes_of(slot, outcome, rows, folds), slot.state
    # As arrays on the device, which know their bytes without us; a random key's are those of its words.
    for size, shapes in ((sizes.slot, slot), (sizes.outcome, outcome), (sizes.job, slot.job)):
        arrays = jax.tree.leaves(jax.device_put(program.empty(shapes, 1)))
        arrays = [jax.random.key_data(a) if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key) else a for a in arrays]
        assert size == sum(array.nbytes for array in arrays)
    # The formulas of the docstring.
    history = 4 * plan.epochs * len(plan.columns)
    network = nbytes((state.params, state.model_state))
    parts = sizes.job + network + nbytes(state.opt_state) + nbytes(state.statistics) + history + 13
    assert sizes.slot == parts + (network + 13 if plan.stopping else 0)
    assert sizes.outcome == history + nbytes(outcome.kept) + 20
    assert sizes.job == sizes.stages * (4 + 4) + 48 + 12
    assert sizes.shared == nbytes((rows.x, rows.y)) + nbytes(folds)
    assert sizes.stages == CASES[case].get("stages", 1)


def test_the_worked_example_of_the_page():
    """Digits' network under Adam with early stopping, reckoned by hand."""

    def recipe(hp):
        return jreg.Recipe(
            nn.MLP((128, 128, 10)), losses.softmax_cross_entropy, optax.adam(1e-3),
            penalty=hp["l2"] * jreg.on_params(jreg.penalties.l2), preprocess=standardize(),
        )  # fmt: skip

    data = jreg.load_dataset("digits")
    options = {"cv": 5, "epochs": 30, "batch_size": 64, "stopping": STOPPING, "keep": (OUTPUTS,)}
    design = Design.of(recipe, data, jreg.grid(l2=[1e-4]), **options)
    wanted = design.everything()
    [(plan, jobs)] = design.jobs(wanted, np.arange(wanted.settings.size).reshape(-1, 1))
    sizes = sizes_for(plan, jobs, training.rows_of(data), design.folds)
    parameters = 4 * ((64 + 1) * 128 + (128 + 1) * 128 + (128 + 1) * 10)
    job, history, statistics = 4 + 4 + 48 + 12, 4 * 30 * 6, 4 * 3 * 64
    slot = job + parameters + (2 * parameters + 4) + statistics + history + 13 + (parameters + 13)
    # The largest of five folds of 1,437 rows has 288 for validation; a sixth fold is all rows for the final training.
    outcome, folds = history + 4 * 288 * 10 + 20, 6 * 4 * (1437 + 288 + 3)
    assert sizes == Sizes(slot, outcome, job, 4 * (64 + 1) * 1437 + folds, 1)


def test_the_outbox_has_room_for_all_that_can_end_or_for_one():
    sizes = Sizes(slot=10, outcome=1000, job=8, shared=0, stages=3)
    assert outbox_length(sizes, 4, None) == (256 + 4) * 3
    assert outbox_length(sizes, 4, 10**6) == 50
    assert outbox_length(sizes, 4, 10) == 1
    assert outbox_length(sizes._replace(outcome=2**24), 4, None) == 4


# The choice of slots.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slots", "batch"), [pytest.param(5, 5, marks=pytest.mark.slow), (6, 2), pytest.param(4, 1, marks=pytest.mark.slow)]
)
def test_the_largest_layout_that_fits_is_found_with_two_compilations(slots, batch, monkeypatch):
    plan, jobs, rows, folds = planned(stopping=STOPPING)
    # An outbox of one whatever the limit, so that accounts of different limits can be compared.
    monkeypatch.setattr(memory, "_OUTBOX_BYTES", 0)
    asked, known = [], compiled._bytes_needed
    monkeypatch.setattr(compiled, "_bytes_needed", lambda *given: asked.append(known(*given)) or asked[-1])

    def made(layout, limit):
        monkeypatch.setattr(layouts, "memory", lambda device, sharing: limit)
        asked.clear()
        return Pool(plan, layout, first(jobs), rows, folds).layout

    largest = Layout(DEVICES, slots, batch)
    account = {}
    for layout in dict.fromkeys(map(largest.with_slots, range(slots, 0, -1))):
        assert made(layout, None) == layout
        account[layout] = asked[0]
    for one, other in itertools.pairwise(account):
        # Less than the larger one needs, but as much as the smaller one does and half of what is between.
        limit = (account[one] + account[other]) / 2 / memory.SHARE
        assert made(largest, limit) == other
        assert len(asked) <= 2
    assert made(largest, 2 * account[largest]) == largest
    assert len(asked) == 1


@pytest.mark.slow
def test_a_study_in_less_memory_compiles_at_most_twice(monkeypatch, accounts):
    monkeypatch.setattr(memory, "_OUTBOX_BYTES", 0)
    data = jreg.load_dataset("wine")
    options = {"cv": 3, "epochs": 3, "batch_size": 16, "layout": Layout(DEVICES, 8, 8), "progress": False}
    whole = jreg.cross_validate(mlp, data, SPACE, **options)
    needed = memory.bytes_of(_Made(accounts.pop()))
    monkeypatch.setattr(layouts, "memory", lambda device, sharing: int(0.9 * needed))
    small = jreg.cross_validate(mlp, data, SPACE, **options)
    assert 1 <= small.layout.slots < 8
    assert 1 <= len(accounts) <= 2
    assert memory.bytes_of(_Made(accounts[-1])) <= memory.SHARE * int(0.9 * needed)
    np.testing.assert_allclose(small.history, whole.history, rtol=1e-4, atol=1e-5)


class _Made:
    def __init__(self, account):
        self.memory_analysis = lambda: account


def test_slots_that_do_not_fit_are_not_compiled(monkeypatch):
    plan, jobs, rows, folds = planned()
    sizes = sizes_for(plan, jobs, rows, folds)
    asked = []
    monkeypatch.setattr(compiled, "_bytes_needed", lambda plan, layout, *_: asked.append(layout))
    for slots in (1, 3, 64):
        limit = int(1000 + (sizes.shared + 256 * sizes.job + slots * sizes.slot) / (0.9 - 0.05))
        found = compiled.compile_program(plan, Layout(DEVICES, 10**3, 10**3), first(jobs), rows, folds, limit)
        [layout] = asked
        assert found.layout == layout
        assert arguments(sizes, layout.slots, limit) <= memory.SHARE * limit
        assert arguments(sizes, layout.slots + 1, limit) > memory.SHARE * limit
        asked.clear()
    with pytest.raises(MemoryError, match=r"one training needs 0 MiB with its data, but .*cpu:0 has 0 MiB"):
        compiled.compile_program(plan, Layout(DEVICES, 4), first(jobs), rows, folds, sizes.shared)
    assert not asked


def test_nothing_takes_memory_before_it_is_known_to_fit(monkeypatch):
    plan, jobs, rows, folds = planned()
    for taking in ("program.empty", "jax.device_put"):
        monkeypatch.setattr(f"jreg.engine.compiled.{taking}", lambda *_: pytest.fail("memory was taken"))
    sizes = sizes_for(plan, jobs, rows, folds)
    # One that the arguments alone pass, and one of which the program's own account says so.
    for limit, account in ((sizes.shared, 0), (2**30, 2**30)):
        monkeypatch.setattr(compiled, "_bytes_needed", lambda *_, account=account: account)
        sentence = r"one training needs \d+ MiB with its data, but .*cpu:0 has \d+ MiB .* or fewer devices \(jreg.use"
        with pytest.raises(MemoryError, match=sentence):
            compiled.compile_program(plan, Layout(DEVICES, 1), first(jobs), rows, folds, limit)


def _machine(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal:       2000 kB\nMemAvailable:   1000 kB\n"}
OWN = {"memory.max": "700000", "memory.current": "500000", "memory.stat": "anon 1\ninactive_file 100000\n"}
LIMITED = {f"sys/fs/cgroup/job/{name}": text for name, text in OWN.items()}
FIRST = {"memory.limit_in_bytes": "600000", "memory.usage_in_bytes": "150000", "memory.stat": "total_inactive_file 5"}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (MEMINFO, 1_024_000),
        # What the kernel keeps of files it would give back.
        (MEMINFO | LIMITED | {"proc/self/cgroup": "0::/job"}, 300_000),
        (MEMINFO | LIMITED | {"proc/self/cgroup": "0::/job/step"}, 300_000),
        (MEMINFO | LIMITED | {"proc/self/cgroup": "0::/other"}, 1_024_000),
        (MEMINFO | {f"sys/fs/cgroup/{name}": t for name, t in OWN.items()} | {"proc/self/cgroup": "0::/x"}, 300_000),
        (MEMINFO | LIMITED | {"proc/self/cgroup": "0::/job", "sys/fs/cgroup/job/memory.max": "max"}, 1_024_000),
        (MEMINFO | {"proc/self/cgroup": "not what it should be\n"}, 1_024_000),
        (
            MEMINFO
            | {"proc/self/cgroup": "3:cpu:/job\n4:memory:/job\n"}
            | {f"sys/fs/cgroup/memory/job/{name}": text for name, text in FIRST.items()},
            450_005,
        ),
        (MEMINFO | LIMITED | {"proc/self/cgroup": "0::/job", "sys/fs/cgroup/job/memory.current": "900000"}, 0),
    ],
)
def test_free_memory_is_the_least_that_any_limit_leaves(tmp_path, files, free):
    assert free_memory(_machine(tmp_path, files)) == free


def test_free_memory_of_this_machine_is_some():
    assert 2**20 < free_memory() < 2**50


def test_a_layout_that_failed_is_never_chosen_again():
    sizes = Sizes(slot=1000, outcome=100, job=8, shared=0, stages=1)
    layout, limit = Layout(DEVICES[:1], 8, 2), 10**5
    given = arguments(sizes, 8, limit)
    for needed in (given, int(memory.SHARE * limit) + 1, 10**9):
        assert fitting(sizes, layout, limit, needed).slots < 8
    # One slot of which only an estimate says that it doesn't fit is to be compiled, one that was compiled is not.
    assert fitting(sizes, layout, limit, 10**9) == layout.with_slots(1)
    with pytest.raises(MemoryError, match="one training needs 954 MiB"):
        fitting(sizes, layout.with_slots(1), limit, 10**9)
