"""Eight simulated devices leave what one leaves, bit for bit; run as a script, the studies of one number of devices."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

import jreg
from jreg import keep, losses, nn, penalties

MANY = 8


def data() -> jreg.Dataset:
    """Three overlapping classes in the plane, 90 rows and a test set."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = rng.normal(size=(120, 2)) + 2.0 * np.eye(3, 2)[y]
    return jreg.Dataset(x[:90], y[:90], x[90:], y[90:], name="blobs")


def recipe(hp: Any) -> jreg.Recipe:
    """A network that draws masks, with a state of the optimizer's."""
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    model = nn.MLP((5, 3), dropout=0.2)
    return jreg.Recipe(model, losses.softmax_cross_entropy, optax.adam(hp["lr"]), penalty=penalty)


def wide(hp: Any) -> jreg.Recipe:
    """The same, with too many parameters for a batch by rule."""
    made = recipe(hp)
    return jreg.Recipe(nn.MLP((400, 3)), made.loss, made.optimizer, penalty=made.penalty)


def unequal() -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds of rows that train on 20 to 70 and validate on 5 to 41."""
    rows = np.random.default_rng(1).permutation(90)
    return [(rows[:20], rows[20:61]), (rows[10:80], rows[80:85]), (rows[40:], rows[:23]), (rows[:33:2], rows[50:64])]


SPACE = jreg.grid(l2=[1e-4, 1e-2, 1e-1], lr=[1e-2, 1e-1])
OPTIONS: dict[str, Any] = {
    "cv": 4,
    "epochs": 6,
    "batch_size": 16,
    "stopping": jreg.EarlyStopping(patience=2, min_delta=0.02),
    "progress": False,
}


def of_study(study: jreg.Study) -> dict[str, np.ndarray]:
    """All that a study found, as arrays by name."""
    results = study.results
    found = {name: np.asarray(getattr(results, name)) for name in ("scores", "status", "epochs", "best_epochs")}
    found["history"] = results.history
    for one in results:
        for path, leaf in jax.tree.leaves_with_path(one.kept):
            found[f"{one.setting} {one.fold} {one.seed} {jax.tree_util.keystr(path)}"] = np.asarray(leaf)
    return found


def of_network(network: jreg.Network) -> dict[str, np.ndarray]:
    """The parameters of a network, and what it makes of the test set."""
    found = {jax.tree_util.keystr(path): np.asarray(p) for path, p in jax.tree.leaves_with_path(network.params)}
    return found | {"outputs": np.asarray(network.outputs(data().x_test))}


def grid(layout: jreg.Layout) -> dict[str, np.ndarray]:
    """Folds of unequal size, outputs and networks kept, and the final network."""
    kept = [keep.outputs, keep.network]
    study = jreg.cross_validate(recipe, data(), SPACE, **OPTIONS | {"cv": unequal()}, keep=kept, layout=layout)
    return of_study(study) | of_network(jreg.refit(study, progress=False))


def race(layout: jreg.Layout) -> dict[str, np.ndarray]:
    """A race over folds of unequal size that gives settings up."""
    study = jreg.cross_validate(
        recipe,
        data(),
        SPACE,
        **OPTIONS | {"cv": unequal(), "epochs": 9, "stopping": None},
        race=jreg.successive_halving(least=3),
        layout=layout,
    )
    return of_study(study)


def nested(layout: jreg.Layout) -> dict[str, np.ndarray]:
    """Nested folds: inner trainings, choices, and outer trainings that start as the inner ones end."""
    options = {name: value for name, value in OPTIONS.items() if name != "cv"}
    study = jreg.nested_cross_validate(recipe, data(), SPACE, outer=3, inner=3, **options, layout=layout)
    return of_study(study) | {"choices": np.array([choice.number for choice in study.choices])}


def warm(layout: jreg.Layout) -> dict[str, np.ndarray]:
    """Paths of trainings that start from each other's networks."""
    return of_study(jreg.cross_validate(recipe, data(), SPACE, **OPTIONS, seeds=2, warm="l2", layout=layout))


def batched(layout: jreg.Layout) -> dict[str, np.ndarray]:
    """Batches of four trainings, which have other neighbours on another number of devices."""
    layout = jreg.Layout(layout.devices, 4, 4)
    options = OPTIONS | {"cv": unequal(), "stopping": None}
    return of_study(jreg.cross_validate(recipe, data(), SPACE, **options, seeds=3, layout=layout))


def by_rule(layout: jreg.Layout) -> dict[str, np.ndarray]:
    """The layout that the rule chooses for a network that is tiny: batches of 32."""
    return of_study(jreg.cross_validate(recipe, data(), SPACE, **OPTIONS | {"stopping": None}, seeds=5))


def few(layout: jreg.Layout) -> dict[str, np.ndarray]:
    """Three trainings, fewer than devices, and where they trained."""
    study = jreg.cross_validate(wide, data(), SPACE.settings[:1], **OPTIONS | {"cv": unequal()[:3]})
    timing = study.results.timing
    where = {"devices": timing.devices, "layout": timing.layout, "occupancy": timing.occupancy}
    where["slots"] = timing.stretches[0].slots
    return of_study(study) | {"where": np.array(json.dumps(where))}


CASES = {case.__name__: case for case in (grid, race, nested, warm, batched, by_rule, few)}
SLOW, BATCHES = ("race", "nested", "warm", "few"), ("batched", "by_rule")


def found_on(devices: int, cases: tuple[str, ...], folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """What the studies left in a process that has so many devices."""
    command = [sys.executable, str(Path(__file__).resolve()), str(devices), str(folder), *cases]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return {case: dict(np.load(folder / f"{case} {devices}.npz")) for case in cases}


def differences(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    """The names of what isn't the same to the last bit."""
    assert one.keys() == other.keys()
    return [
        name for name in one if one[name].tobytes() != other[name].tobytes() or one[name].shape != other[name].shape
    ]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return found_on(MANY, ("grid", "few"), tmp_path_factory.mktemp("devices"))


def test_eight_devices_leave_what_one_leaves(many, tmp_path):
    one = found_on(1, ("grid",), tmp_path)["grid"]
    assert differences(one, many["grid"]) == []
    assert one["scores"].shape == (6, 4, 1)
    assert np.isfinite(one["scores"]).all()
    # Some stopped early, so that slots were refilled at different times.
    assert len(np.unique(one["epochs"])) > 1
    assert {name.split("'")[1] for name in one if name[0].isdigit()} == {"outputs", "network"}


def test_there_are_never_more_slots_than_trainings(many):
    where = json.loads(str(many["few"]["where"]))
    assert (where["devices"], where["slots"], where["layout"]) == (3, 3, "3 CPU x 1 slots one by one")
    # Two may wait for the third, and no device waits that has nothing to do.
    assert 1 / 3 <= where["occupancy"] <= 1


@pytest.mark.slow
def test_eight_devices_leave_what_one_leaves_of_other_studies(tmp_path):
    one, many = (found_on(devices, SLOW, tmp_path) for devices in (1, MANY))
    for found in (one, many):
        where = json.loads(str(found["few"].pop("where")))
        assert where["devices"] == (1 if found is one else 3)
    assert not {case: names for case in SLOW if (names := differences(one[case], many[case]))}
    assert len(np.unique(one["race"]["status"])) > 1
    assert one["nested"]["choices"].shape == (3,)


@pytest.mark.slow
def test_batches_are_equal_on_several_devices_and_to_rounding_on_one(tmp_path):
    one, two, many = (found_on(devices, BATCHES, tmp_path) for devices in (1, 2, MANY))
    assert not {case: names for case in BATCHES if (names := differences(two[case], many[case]))}
    # A program for one device goes another way through XLA, which divides by a batch's numbers there by multiplying
    # with their inverses (Adam's correction of its averages, for one).
    for case in BATCHES:
        for name, array in one[case].items():
            np.testing.assert_allclose(many[case][name], array, rtol=1e-4, atol=1e-5, err_msg=f"{case} {name}")


if __name__ == "__main__":
    jreg.use_cpu_devices(int(sys.argv[1]))
    assert len(jax.devices()) == int(sys.argv[1])
    for case in sys.argv[3:]:
        np.savez(Path(sys.argv[2]) / f"{case} {sys.argv[1]}.npz", **CASES[case](jreg.Layout(tuple(jax.devices()), 2)))
