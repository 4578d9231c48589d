"""Early stopping against Keras' rule: curves worked out by hand, and a plain-Python oracle on random ones.

The rule (`keras.callbacks.EarlyStopping(restore_best_weights=True)`): an epoch improves if its value is below
best - min_delta (mode max: above best + min_delta); it then becomes the best and the wait is 0. Otherwise the wait
grows by one and training stops once wait >= patience.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jreg
from jreg import losses, metrics, nn, penalties
from jreg.splits import pack
from jreg.training import EarlyStopping, make_plan

NAN, INF = math.nan, math.inf
# name: (curve, patience, min_delta, mode, epoch of the stop or None, best epoch)
CURVES = {
    # Every epoch improves, so the wait never leaves 0.
    "monotone": ([5, 4, 3, 2, 1], 1, 0, "min", None, 4),
    # e0 best, e1 best, e2 wait 1, e3 wait 2 = patience.
    "plateau": ([3, 2, 2, 2, 2], 2, 0, "min", 3, 1),
    # Equal is not below: e1 wait 1, e2 wait 2, e3 wait 3.
    "equal_values": ([1, 1, 1, 1, 1], 3, 0, "min", 3, 0),
    # e1: 1.5 < 2 - .5 is false, wait 1; e2: 1 < 1.5, best, wait 0; e3: .5 < .5 is false, wait 1.
    "min_delta_exactly_met": ([2, 1.5, 1, 0.5], 2, 0.5, "min", None, 2),
    # Below .75 is asked throughout: .875 wait 1, .8125 wait 2, .75 (met, not passed) wait 3.
    "creeping_too_slowly": ([1, 0.875, 0.8125, 0.75, 0.5], 3, 0.25, "min", 3, 0),
    # The bar stays at .75: e1 wait 1, e2 wait 2, e3 .625 passes it, bar .375; e4 .5 wait 1.
    "small_steps_add_up": ([1, 0.875, 0.75, 0.625, 0.5], 4, 0.25, "min", None, 3),
    # e1 best .5, e2 wait 1, e3 wait 2 stops; .9 is never seen.
    "mode_max": ([0.1, 0.5, 0.4, 0.3, 0.9], 2, 0, "max", 3, 1),
    # e1: .75 > .75 is false, wait 1; e2: .875 > .75, best; e3: 1.25 > 1.125, best.
    "mode_max_with_min_delta": ([0.5, 0.75, 0.875, 1.25], 2, 0.25, "max", None, 3),
    # e1 best, e2 NaN wait 1, e3 best wait 0, e4 wait 1, e5 wait 2.
    "nan_in_the_middle": ([3, 2, NAN, 1, NAN, NAN, 0], 2, 0, "min", 5, 3),
    # NaN is below nothing: wait 1; then 3 is below infinity, best wait 0; 2 best.
    "nan_first": ([NAN, 3, 2], 2, 0, "min", None, 2),
    # Diverged for good: waits 1, 2, 3.
    "nan_to_the_end": ([2, NAN, NAN, NAN, NAN], 3, 0, "min", 3, 0),
    # As in "nan_in_the_middle", upwards: e1 wait 1, e2 best, e3 wait 1, e4 wait 2.
    "nan_in_mode_max": ([1, NAN, 2, NAN, NAN], 2, 0, "max", 4, 2),
    # Infinity is not below infinity: wait 1; 3 best; 3 wait 1.
    "infinite_first": ([INF, 3, 3], 2, 0, "min", None, 1),
    # Waits 1, 2, then e3 best with wait 0; e4, e5, e6 wait 1, 2, 3.
    "late_improvement_within_patience": ([2, 3, 3, 1, 4, 4, 4], 3, 0, "min", 6, 3),
    # The improvement of e3 comes when e2 has already stopped (wait 2).
    "improvement_after_the_stop": ([1, 2, 2, 0.5], 2, 0, "min", 2, 0),
    # e1 improves, and an improvement never stops although 0 >= 0; e2 wait 1 >= 0.
    "patience_0": ([2, 1, 1.5, 0.5], 0, 0, "min", 2, 1),
    # The same curve: e2 wait 1 >= 1.
    "patience_1": ([2, 1, 1.5, 0.5], 1, 0, "min", 2, 1),
    # Every second epoch improves: waits 0 1 0 1 0 1.
    "never_stops": ([3, 4, 2, 4, 1, 4], 2, 0, "min", None, 4),
    # e1 best .8, e2 wait 1, e3 best .7, e4 .75, e5 .72, e6 .71 wait 3; .6 is never seen.
    "noise": ([1.0, 0.8, 0.9, 0.7, 0.75, 0.72, 0.71, 0.6], 3, 0, "min", 6, 3),
    # Waits 1, 2, then e3 best.
    "improvement_at_the_last_epoch": ([3, 4, 4, 2], 3, 0, "min", None, 3),
    # The stop falls on the last epoch: waits 1, 2.
    "stop_at_the_last_epoch": ([3, 4, 4], 2, 0, "min", 2, 0),
    # Getting worse from the start.
    "rising": ([1, 2, 3, 4], 1, 0, "min", 1, 0),
    # Negative losses: -2 < -1, best; -1.5 wait 1; -2 wait 2.
    "negative_values": ([-1, -2, -1.5, -2, -5], 2, 0, "min", 3, 1),
}
each_curve = pytest.mark.parametrize(
    ("curve", "patience", "min_delta", "mode", "stop", "best"), CURVES.values(), ids=CURVES.keys()
)


def params_of(epoch):
    return {"w": jnp.float32(100) + epoch, "n": jnp.array([0, 1], jnp.int32) + jnp.int32(epoch)}


def states_of(stopping, curve, update=None):
    state, states = stopping.init(params_of(-50)), []
    for epoch, value in enumerate(curve):
        state = (update or stopping.update)(state, value, epoch, params_of(epoch))
        states.append(state)
    return states


def scanned(stopping, curves):
    """The last state and the stop flags of each of the curves, (n, epochs), in one program."""

    def one(curve):
        def body(state, pair):
            epoch, value = pair
            state = stopping.update(state, value, epoch, {"w": 100 + epoch.astype(jnp.float32)})
            return state, state.stopped

        return jax.lax.scan(body, stopping.init({"w": jnp.float32(50)}), (jnp.arange(len(curve)), curve))

    return jax.jit(jax.vmap(one))(jnp.asarray(curves, jnp.float32))


def keras(curve, patience, min_delta, mode):
    """Epoch of the stop (or None), best epoch."""
    best, best_epoch, wait = (INF if mode == "min" else -INF), -1, 0
    for epoch, value in enumerate(curve):
        wait += 1
        improved = value < best - min_delta if mode == "min" else value > best + min_delta
        if improved:
            best, best_epoch, wait = value, epoch, 0
        elif wait >= patience:
            return epoch, best_epoch
    return None, best_epoch


@each_curve
def test_curve_worked_out_by_hand(curve, patience, min_delta, mode, stop, best):
    states = states_of(EarlyStopping(patience, min_delta, mode=mode), curve)
    flags = [bool(state.stopped) for state in states]
    assert (flags.index(True) if any(flags) else None) == stop
    last = states[-1]
    assert int(last.best_epoch) == best
    assert float(last.best) == np.float32(curve[best])
    assert float(last.best_params["w"]) == 100 + best
    assert last.best_params["n"].tolist() == [best, best + 1]
    assert (last.best.dtype, last.best_epoch.dtype, last.wait.dtype, last.stopped.dtype) == (
        jnp.float32,
        jnp.int32,
        jnp.int32,
        jnp.bool_,
    )


@each_curve
def test_the_oracle_agrees_with_the_hand(curve, patience, min_delta, mode, stop, best):
    assert keras(curve, patience, min_delta, mode) == (stop, best)


@each_curve
def test_nothing_changes_after_the_stop(curve, patience, min_delta, mode, stop, best):
    stopping = EarlyStopping(patience, min_delta, mode=mode)
    states = states_of(stopping, [*curve, -1e9 if mode == "min" else 1e9, NAN])
    if stop is not None:
        for later in states[stop + 1 :]:
            jax.tree.map(np.testing.assert_array_equal, later, states[stop])


@pytest.mark.parametrize(("patience", "min_delta"), [(0, 0.0), (1, 0.25), (2, 0.25), (4, 0.0)])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_random_curves_under_jit_vmap_and_scan_agree_with_the_oracle(patience, min_delta, mode):
    # Multiples of 1/8, so that differences are exact and min_delta is often met exactly; with ties and some NaN.
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.integers(-4, 4, (200, 15)), axis=1) / 8 * rng.choice([-1, 1], (200, 1))
    noisy = rng.integers(0, 16, (200, 15)) / 8
    curves = np.where(np.arange(200)[:, None] % 2 == 0, walk, noisy)
    curves[:, 1:][rng.uniform(size=(200, 14)) < 0.03] = NAN
    curves[:5] = np.arange(15) * (-1 if mode == "min" else 1)  # never stop
    state, flags = scanned(EarlyStopping(patience, min_delta, mode=mode), curves)
    stops = [int(np.argmax(row)) if row.any() else None for row in np.asarray(flags)]
    expected = [keras(curve, patience, min_delta, mode) for curve in curves]
    assert list(zip(stops, state.best_epoch.tolist(), strict=True)) == expected
    np.testing.assert_array_equal(state.best_params["w"], [100 + best for _, best in expected])
    np.testing.assert_array_equal(state.best, [curve[best] for curve, (_, best) in zip(curves, expected, strict=True)])


@pytest.mark.parametrize("name", ["nan_in_the_middle", "mode_max"])
def test_jit_and_scan_equal_the_eager_loop_state_by_state(name):
    curve, patience, min_delta, mode, *_ = CURVES[name]
    stopping = EarlyStopping(patience, min_delta, mode=mode)
    eager = states_of(stopping, curve)
    for a, b in zip(states_of(stopping, curve, jax.jit(stopping.update)), eager, strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)
    last, flags = scanned(stopping, [curve])
    assert flags[0].tolist() == [bool(state.stopped) for state in eager]
    for name in ("best", "best_epoch", "wait", "stopped"):
        np.testing.assert_array_equal(getattr(last, name)[0], getattr(eager[-1], name))


def test_members_stop_each_at_its_own_epoch():
    state, flags = scanned(EarlyStopping(2), [[3, 2, 2, 2, 0], [1, 2, 3, 4, 5], [5, 4, 3, 2, 1]])
    assert np.asarray(flags).sum(axis=1).tolist() == [2, 3, 0]
    assert state.best_params["w"].tolist() == [101, 100, 104]


def test_parameters_given_at_the_start_stand_in_until_there_is_a_best():
    state = states_of(EarlyStopping(5), [NAN, NAN])[-1]
    assert (int(state.best_epoch), int(state.wait), bool(state.stopped)) == (-1, 2, False)
    assert float(state.best_params["w"]) == 50


def test_parameters_keep_their_dtype():
    stopping = EarlyStopping(1)
    half = {"w": jnp.ones(2, jnp.bfloat16)}
    assert stopping.update(stopping.init(half), 1.0, 0, half).best_params["w"].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("monitor", "mode", "maximize"),
    [
        ("val_loss", "auto", False),
        ("penalty", "auto", False),
        ("penalty_l2", "auto", False),
        ("val_accuracy", "auto", True),
        ("train_accuracy", "auto", True),
        ("val_error", "auto", False),
        ("val_r2", "auto", True),
        ("norm", "auto", False),
        ("val_loss", "max", True),
        ("val_accuracy", "min", False),
    ],
)
def test_mode_auto_is_the_better_end_of_the_column(monitor, mode, maximize):
    stopping = EarlyStopping(1, monitor=monitor, mode=mode)
    y = np.linspace(0, 1, 6) if monitor == "val_r2" else np.arange(6) % 2
    data = jreg.Dataset(np.eye(6), y)
    measured = {"accuracy": metrics.accuracy, "error": metrics.average(lambda z, _: z[:, 0], maximize=False)}
    measured["norm"] = metrics.of_params(lambda params: optax.tree.norm(params), maximize=False)
    recipe = jreg.Recipe(
        nn.MLP((1,)),
        losses.squared_error if monitor == "val_r2" else losses.sigmoid_cross_entropy,
        optax.sgd(0.1),
        penalty=0.1 * jreg.on_params(penalties.l2),
        metrics=None if monitor == "val_r2" else measured,
    )
    plan = make_plan(lambda hp: recipe, [({}, recipe)], (), data, pack([([0, 1, 2, 3], [4, 5])]), 2, 4, stopping)
    assert plan.stopping.maximize is maximize
    assert plan.monitored.label == monitor


@pytest.mark.parametrize(("monitor", "mode", "maximize"), [("val_loss", "auto", False), ("val_x", "max", True)])
def test_alone_the_better_end_is_that_of_the_loss_or_stated(monitor, mode, maximize):
    assert EarlyStopping(1, monitor=monitor, mode=mode).maximize is maximize


def test_alone_another_column_needs_a_mode():
    with pytest.raises(ValueError, match=r"monitor='val_accuracy'.* give mode='min' or mode='max'") as caught:
        EarlyStopping(1, monitor="val_accuracy").init({})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"patience": -1}, ValueError, "patience is -1, but must be at least 0"),
        ({"patience": 1.5}, TypeError, "patience is 1.5, but must be a whole number"),
        ({"patience": True}, TypeError, "patience is True, but must be a whole number"),
        ({"patience": 1, "min_delta": -0.1}, ValueError, "min_delta is -0.1"),
        ({"patience": 1, "min_delta": NAN}, ValueError, "min_delta is nan"),
        ({"patience": 1, "mode": "least"}, ValueError, "mode is 'least', but must be 'auto', 'min' or 'max'"),
    ],
)
def test_wrong_options_are_refused(options, error, sentence):
    with pytest.raises(error, match=sentence):
        EarlyStopping(**options)


def test_numpy_numbers_are_options_too():
    assert EarlyStopping(np.int64(3), np.float32(0.5)) == EarlyStopping(3, 0.5)


def test_parameters_and_the_state_can_be_donated():
    stopping = jreg.EarlyStopping(patience=2)
    step = jax.jit(lambda state, params: (stopping.update(state, 1.0, 0, params), params), donate_argnums=(0, 1))
    params = {"w": jnp.arange(3.0)}
    state, params = step(stopping.init(params), params)
    assert state.best_params["w"].tolist() == params["w"].tolist() == [0, 1, 2]
