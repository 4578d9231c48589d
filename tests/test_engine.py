"""The engine: one program a study, and a training's result depends on its setting, fold and seed alone."""

import dataclasses
import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jreg
import jreg.study.default
from jreg import losses, nn, on_params, penalties, project, projections, training
from jreg.data import standardize
from jreg.engine import compiled, pool, program
from jreg.study.design import Design
from jreg.training import Status, keys
from jreg.training.shuffle import shuffled

FIELDS = ("history", "epochs_run", "best_epochs", "status")


def recipe(hp):
    """Everything that a member may have of its own, under an optimizer that strict dtypes allow."""
    return jreg.Recipe(
        model=nn.MLP((8, 3), dropout=hp["dropout"]),
        loss=functools.partial(losses.softmax_cross_entropy, label_smoothing=hp["smoothing"]),
        penalty=hp["l2"] * on_params(penalties.l2) + hp["l1"] * on_params(penalties.l1),
        optimizer=optax.chain(
            optax.sgd(hp["learning_rate"], momentum=hp["momentum"]),
            project(functools.partial(projections.max_norm, c=hp["max_norm"])),
        ),
        preprocess=standardize(),
    )


SETTING = {
    "dropout": 0.25,
    "smoothing": 0.1,
    "l2": 1e-3,
    "l1": 1e-4,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "max_norm": 2.0,
}
SPACE = [
    SETTING,
    SETTING | {"dropout": 0.0, "smoothing": 0.0, "l1": 0.0},
    SETTING | {"learning_rate": 0.01, "l2": 0.1, "max_norm": 0.5},
    SETTING | {"momentum": 0.0, "learning_rate": 0.3},
]
STOPPING = jreg.EarlyStopping(patience=3)


def validate(data, space=SPACE, function=recipe, **options):
    defaults = {"cv": 4, "seeds": 2, "epochs": 8, "batch_size": 16, "stopping": STOPPING, "progress": False}
    return jreg.cross_validate(function, data, space, **(defaults | options))


def same(one, other, exact=True):
    for field in FIELDS:
        a, b = getattr(one, field), getattr(other, field)
        if exact:
            np.testing.assert_array_equal(a, b, err_msg=field)
        else:
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5, err_msg=field)


def test_a_study_is_one_trace_and_one_compilation_and_a_second_one_none(blobs, counted):
    calls = []

    def watched(hp):
        calls.append({type(hp[name]).__name__ for name in SETTING})
        return recipe(hp)

    before = counted[0]
    validate(blobs, function=watched)
    assert counted[0] - before == 1
    traced = [kinds for kinds in calls if "float" not in kinds]
    # The shapes of the state and of an outcome, start, epoch and outcome each build the recipe once; 32 trainings don't
    # add to that.
    assert 0 < len(traced) <= 5
    calls.clear()
    other = [{name: value * 0.7 for name, value in setting.items()} for setting in SPACE]
    validate(blobs, other, function=watched, seeds=[5, 6])
    assert counted[0] - before == 1
    assert not any("float" not in kinds for kinds in calls)


@pytest.mark.slow
def test_a_study_that_is_known_is_not_traced_again(blobs, counted):
    calls = []

    def watched(hp):
        made = recipe(hp)

        def init(key, x):
            calls.append("init")
            return made.model.init(key, x)

        def apply(params, x, train, rngs):
            calls.append("apply")
            return made.model.apply(params, x, train=train, rngs=rngs)

        return dataclasses.replace(made, model=(init, apply))

    first = validate(blobs, function=watched)
    assert {"init", "apply"} == set(calls)
    calls.clear()
    before = counted[0]
    same(validate(blobs, function=watched), first)
    assert (calls, counted[0] - before) == ([], 0)
    # Another type is another setting, whatever its value is equal to; so are other shapes.
    validate(blobs, [setting | {"l2": 0} for setting in SPACE[:1]], function=watched)
    assert calls


@pytest.mark.slow
def test_settings_with_other_static_parts_are_a_program_each(blobs, counted):
    def sized(hp):
        made = recipe(SETTING | {"l2": hp["l2"]})
        return dataclasses.replace(made, model=nn.MLP((hp["width"], 3)), batch_size=hp["batch"])

    before = counted[0]
    space = [{"l2": l2, "width": w, "batch": b} for l2 in (1e-4, 1e-2) for w, b in [(4, 16), (8, 16), (8, 24)]]
    study = validate(blobs, space, function=sized, seeds=1)
    assert counted[0] - before == 3
    alone = validate(blobs, jreg.grid(l2=[1e-4, 1e-2], width=[8], batch=[24]), function=sized, seeds=1)
    chosen = [i for i, s in enumerate(study.spec.settings) if s["width"] == 8 and s["batch"] == 24]
    np.testing.assert_array_equal(study.history[chosen], alone.history)


@pytest.mark.parametrize("stopping", [pytest.param(None, marks=pytest.mark.slow), STOPPING])
def test_a_member_equals_the_same_training_done_alone(blobs, stopping):
    study = validate(blobs, stopping=stopping)
    for number, fold, seed in [(0, 0, 0), (2, 3, 1), (3, 1, 0)]:
        rows = study.spec.folds[fold]
        alone = jreg.fit(
            jreg.member_key(seed, fold),
            recipe,
            blobs,
            SPACE[number],
            epochs=8,
            batch_size=16,
            stopping=stopping,
            train=rows.train,
            validation=rows.validation,
        )
        place = number, fold, seed
        history = np.stack([alone.history[name] for name in study.results.labels], axis=-1)
        np.testing.assert_allclose(study.history[place], history, rtol=1e-5, atol=1e-6)
        assert study.epochs_run[place] == int(alone.epochs)
        assert study.best_epochs[place] == int(alone.best_epoch)
        assert study.status[place] == int(alone.status)


def slow_training(data, hp, train, validation, seed, fold, epochs, batch_size):
    """One training as a plain loop: NumPy batches, optax, and nothing of the engine but its key rule."""
    key = jax.random.fold_in(jax.random.key(seed), fold)
    inputs = ((data.x - data.x[train].mean(axis=0)) / data.x[train].std(axis=0)).astype(np.float32)
    network = nn.MLP((8, 3), dropout=hp["dropout"])
    optimizer = optax.sgd(hp["learning_rate"], momentum=hp["momentum"])
    params = network.init(jax.random.fold_in(key, 0), jnp.ones((1, 2)))["params"]
    state = optimizer.init(params)

    def cross_entropy(params, x, y, **options):
        logits = network.apply({"params": params}, x, **options)
        targets = optax.smooth_labels(jax.nn.one_hot(y, 3), hp["smoothing"])
        return optax.softmax_cross_entropy(logits, targets).mean(), logits

    def objective(params, x, y, dropout):
        weights = [layer["kernel"] for layer in params.values()]
        squares, sizes = sum((w**2).sum() for w in weights), sum(abs(w).sum() for w in weights)
        loss = cross_entropy(params, x, y, train=True, rngs={"dropout": dropout})[0]
        return loss + hp["l2"] * squares / 2 + hp["l1"] * sizes

    gradient = jax.jit(jax.grad(objective))
    curve = []
    for epoch in range(epochs):
        bits = jax.random.bits(jax.random.fold_in(jax.random.fold_in(key, 1), epoch), (len(train),), jnp.uint32)
        order = np.asarray(train)[np.argsort(np.asarray(bits), kind="stable")]
        for step in range(0, len(order), batch_size):
            rows = order[step : step + batch_size]
            noise = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, 2), epoch), step // batch_size)
            gradients = gradient(params, inputs[rows], data.y[rows], noise)
            updates, state = optimizer.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
            for layer in params.values():
                norm = np.linalg.norm(layer["kernel"], axis=0, keepdims=True)
                layer["kernel"] = layer["kernel"] * np.minimum(1, hp["max_norm"] / norm)
        loss, logits = cross_entropy(params, inputs[validation], data.y[validation])
        curve.append((loss, (np.argmax(logits, axis=-1) == data.y[validation]).mean()))
    return np.array(curve)


# A drop-out mask of another size is another mask, so with dropout the last, padded batch differs from the loop's.
@pytest.mark.parametrize(
    ("batch_size", "dropout"),
    [
        pytest.param(16, 0.0, marks=pytest.mark.slow),
        (18, 0.25),
        pytest.param(54, 0.25, marks=pytest.mark.slow),
        pytest.param(100, 0.0, marks=pytest.mark.slow),
    ],
)
def test_a_member_equals_a_plain_loop_over_numpy_batches(blobs, batch_size, dropout):
    settings = [SETTING | {"dropout": dropout}, SPACE[2] | {"dropout": dropout, "max_norm": 0.7}]
    study = validate(blobs, settings, stopping=None, batch_size=batch_size, epochs=4)
    columns = [study.results.labels.index(name) for name in ("val_loss", "val_accuracy")]
    for number, fold, seed in [(0, 0, 0), (1, 3, 1)]:
        train, validation = study.spec.folds[fold].train, study.spec.folds[fold].validation
        slow = slow_training(blobs, settings[number], train, validation, seed, fold, 4, batch_size)
        np.testing.assert_allclose(study.history[number, fold, seed][:, columns], slow, rtol=1e-4, atol=1e-5)


def test_unequal_folds_lose_no_row_and_take_no_step_too_many(blobs):
    # 17 rows in the first fold make 2 steps of 16, 16 rows in the second one make 1.
    pairs = [(np.arange(17), np.arange(40, 72)), (np.arange(16), np.arange(50, 72))]
    settings = [SETTING | {"dropout": 0.0}]
    study = validate(blobs, settings, cv=pairs, stopping=None, seeds=1, epochs=4)
    for fold, (train, validation) in enumerate(pairs):
        slow = slow_training(blobs, settings[0], train, validation, 0, fold, 4, 16)
        columns = [study.results.labels.index(name) for name in ("val_loss", "val_accuracy")]
        np.testing.assert_allclose(study.history[0, fold, 0][:, columns], slow, rtol=1e-4, atol=1e-5)


def test_an_epoch_sees_every_training_row_once_whatever_the_padding():
    rows = np.arange(100, 137, dtype=np.int32)
    padded = np.concatenate([rows, np.zeros(5, np.int32)])
    orders = []
    for train in (rows, padded):
        fold = jreg.splits.Folds(jnp.asarray(train), jnp.int32(37), None, None, None)
        orders.append(np.asarray(shuffled(jax.random.key(3), fold, 8))[:37])
        assert sorted(orders[-1]) == list(rows)
    np.testing.assert_array_equal(*orders)


@pytest.fixture(scope="module")
def reference():
    rng = np.random.default_rng(0)
    y = np.arange(72) % 3
    data = jreg.Dataset(rng.normal(size=(72, 2)) + 2.0 * np.eye(3, 2)[y], y, name="blobs")
    with jax.numpy_dtype_promotion("strict"):
        return data, validate(data)


@pytest.fixture(scope="module")
def one_by_one(reference):
    with jax.numpy_dtype_promotion("strict"):
        return validate(reference[0], layout=jreg.Layout(tuple(jax.devices()), 1))


@pytest.mark.some(1)
@pytest.mark.parametrize(
    ("devices", "slots", "batch"),
    [
        (2, 3, 1),
        (1, 6, 3),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in [(1, 1, 1), (1, 5, 1), (1, 7, 7), (2, 4, 2), (2, 4, 4)]
        ),
    ],
)
def test_results_do_not_depend_on_devices_slots_or_batch(reference, one_by_one, devices, slots, batch):
    layout = jreg.Layout(tuple(jax.devices()[:devices]), slots, batch)
    # A batch of members multiplies in another order than one; a map over them doesn't.
    same(validate(reference[0], layout=layout), one_by_one, exact=batch == 1)


@pytest.mark.parametrize(
    ("queue", "seconds"),
    [(1, 0.0), *(pytest.param(*chosen, marks=pytest.mark.slow) for chosen in [(3, 1e-4), (64, 10.0)])],
)
def test_results_do_not_depend_on_chunks_and_queues(reference, monkeypatch, queue, seconds):
    monkeypatch.setattr(compiled, "QUEUE", queue)
    monkeypatch.setattr(pool, "_SECONDS", seconds)
    # QUEUE is read while tracing too, and a trace of another length is another program.
    jax.clear_caches()
    data, expected = reference
    same(validate(data), expected)
    jax.clear_caches()


@pytest.mark.slow
def test_results_do_not_depend_on_the_order_of_settings_folds_and_seeds(reference):
    data, expected = reference
    study = validate(data, SPACE[::-1], seeds=[1, 0])
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(study, field)[::-1, :, ::-1], getattr(expected, field), err_msg=field)


@pytest.mark.slow
def test_settings_share_keys_and_folds_and_seeds_do_not(reference):
    data, _ = reference
    study = validate(data, [SETTING, SETTING], stopping=None, epochs=2)
    np.testing.assert_array_equal(study.history[0], study.history[1])
    first = study.history[0, :, :, 0, 0].ravel()
    assert len(np.unique(first)) == first.size


def test_a_diverging_member_is_marked_and_changes_nothing_for_the_others(reference):
    data, expected = reference
    study = validate(data, [*SPACE, SETTING | {"learning_rate": 1e30, "max_norm": 1e30}])
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(study, field)[:-1], getattr(expected, field), err_msg=field)
    assert (study.status[-1] == Status.DIVERGED).all()
    assert np.isnan(study.scores[-1]).all()
    assert study.ranking[-1].number == len(SPACE)
    assert (study.epochs_run[-1] < 8).all()


@pytest.mark.slow
def test_batch_norm_keeps_running_averages_for_each_member(blobs):
    def normalized(hp):
        return dataclasses.replace(recipe(SETTING | dict(hp)), model=nn.MLP((8, 3), normalization="batch"))

    space = [{"learning_rate": 0.1, "l2": 0.0}, {"learning_rate": 0.001, "l2": 0.1}]
    together = validate(blobs, space, function=normalized, stopping=None)
    for number, setting in enumerate(space):
        alone = validate(blobs, [setting], function=normalized, stopping=None)
        np.testing.assert_array_equal(together.history[number], alone.history[0])


@pytest.mark.slow
def test_batch_norm_averages_leave_out_padding(blobs):
    def still(hp):
        made = recipe(SETTING | {"learning_rate": hp["learning_rate"], "max_norm": 1e9})
        return dataclasses.replace(made, model=nn.MLP((8, 3), normalization="batch"))

    # The weights hardly move, and each step moves the averages by Flax's momentum of 0.99 to the batch's moments.
    fitted = jreg.fit(jax.random.key(0), still, blobs, {"learning_rate": 1e-9}, epochs=20, batch_size=72)
    x = (blobs.x - blobs.x.mean(0)) / blobs.x.std(0)
    hidden = x @ fitted.params["Dense_0"]["kernel"]
    left = 0.99**20
    averages = fitted.model_state["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(averages["var"], left + (1 - left) * hidden.var(0), rtol=1e-4)
    ragged = jreg.fit(jax.random.key(0), still, blobs, {"learning_rate": 1e-9}, epochs=1, batch_size=64)
    averages = ragged.model_state["batch_stats"]["BatchNorm_0"]
    key = keys.of_epoch(keys.streams(jax.random.key(0)), 0)[keys.SHUFFLE]
    order = np.asarray(shuffled(key, _all_rows(72), 64))
    first, last = order[:64], order[64:72]
    hidden = x @ ragged.params["Dense_0"]["kernel"]
    # Eight rows of 64 count an eighth.
    share = 0.01 / 8
    expected = (1 - share) * (0.99 + 0.01 * hidden[first].var(0)) + share * hidden[last].var(0)
    np.testing.assert_allclose(averages["var"], expected, rtol=1e-4)


def _all_rows(count):
    return jreg.splits.Folds(jnp.arange(count), jnp.int32(count), None, None, None)


def test_early_stopping_returns_the_parameters_of_the_best_epoch(blobs):
    rows = {"train": np.arange(40), "validation": np.arange(40, 72)}
    options = {"batch_size": 8, **rows}
    key = jax.random.key(1)
    stopped = jreg.fit(key, recipe, blobs, SETTING, epochs=60, stopping=jreg.EarlyStopping(patience=4), **options)
    losses_ = np.asarray(stopped.history["val_loss"])
    ran = int(stopped.epochs)
    assert Status(int(stopped.status)) == Status.STOPPED
    assert ran < 60
    assert np.isnan(losses_[ran:]).all()
    assert int(stopped.best_epoch) == np.nanargmin(losses_) == ran - 1 - 4
    shorter = jreg.fit(key, recipe, blobs, SETTING, epochs=int(stopped.best_epoch) + 1, **options)
    jax.tree.map(np.testing.assert_array_equal, stopped.params, shorter.params)


def test_fit_is_pure_and_can_be_vmapped_over_keys_and_hyperparameters(blobs):
    def run(key, l2):
        return jreg.fit(key, recipe, blobs, SETTING | {"l2": l2}, epochs=2, batch_size=24).params

    keys, strengths = jax.random.split(jax.random.key(0), 3), jnp.array([0.0, 0.1, 1.0])
    many = jax.vmap(run)(keys, strengths)
    for number in range(3):
        one = run(keys[number], strengths[number])
        jax.tree.map(lambda a, b, n=number: np.testing.assert_allclose(a[n], b, rtol=1e-4, atol=1e-5), many, one)


@pytest.mark.slow
@pytest.mark.adam
def test_the_study_lowers_for_accelerators():
    data = jreg.load_dataset("wine")
    function, space = jreg.study.default.study_for(data)
    traced = {name: jnp.float32(value) for name, value in space.settings[0].items()}
    layout = jreg.Layout(tuple(jax.devices()), 4, 4)
    design = Design.of(function, data, space, cv=3, seeds=2, epochs=3, batch_size=32, stopping=STOPPING)
    wanted = design.everything()
    [(plan, jobs)] = design.jobs(wanted, np.arange(wanted.settings.size).reshape(-1, 1))
    rows, folds = training.rows_of(data), design.folds
    slot, outcome = program.shapes_of(plan, jax.tree.map(lambda leaf: leaf[0], jobs), rows, folds)
    slots, outbox = program.empty(slot, 8), program.empty(outcome, 4)
    queue = jax.tree.map(lambda leaf: leaf[:4].reshape(2, 2, *leaf.shape[1:]), jobs)
    work = program.Work(queue, np.full(2, 2, np.int32), np.zeros(8, bool), np.False_, np.int32(1))
    for platform in ("tpu", "cuda"):
        whole = jax.export.export(program.program(layout), platforms=[platform])
        lowered = whole(slots, outbox, work, rows, folds, plan=plan, layout=layout)
        assert lowered.platforms == (platform,)
        assert lowered.nr_devices == 2
        run = jax.jit(lambda key, hp: jreg.fit(key, function, data, hp, epochs=1, stopping=None))
        lowered = jax.export.export(run, platforms=[platform])(jax.random.key(0), traced)
        assert lowered.platforms == (platform,)


@pytest.mark.slow
def test_a_study_is_the_same_with_64_bit_numbers_enabled(blobs):
    plain = validate(blobs, SPACE[:2], epochs=3)
    with jax.enable_x64(True):
        wide = validate(blobs, SPACE[:2], epochs=3)
        final = jreg.refit(wide)
        assert final.outputs(blobs.x[:2].astype(np.float64)).dtype == np.float32
    np.testing.assert_array_equal(plain.history, wide.history)


@pytest.mark.slow
def test_networks_in_double_precision_train(blobs):
    def double(hp):
        def init(key, x):
            return jax.random.normal(key, (x.shape[-1], 3), jnp.float64)

        return jreg.Recipe(
            (init, lambda w, x, train, rngs: x.astype(jnp.float64) @ w),
            losses.softmax_cross_entropy,
            optax.sgd(hp["learning_rate"]),
            penalty=hp["l2"] * on_params(penalties.l2),
        )

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        study = jreg.cross_validate(
            double,
            blobs,
            [{"learning_rate": 0.1, "l2": 0.01}],
            cv=2,
            epochs=2,
            keep=(jreg.keep.network,),
            progress=False,
        )
        [network, _] = study.networks()
    assert network.params.dtype == np.float64
    assert np.isfinite(study.history).all()
