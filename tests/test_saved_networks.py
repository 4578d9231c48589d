"""Networks on disk: what comes back in another process, what a damaged or hostile folder can't do."""

import dataclasses
import functools
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen
from numpy_reader import outputs as numpy_outputs

import jreg
from jreg import activations, losses, metrics, nn
from jreg._base import tensors
from jreg.data import Encoder, by_part, chain, impute, min_max, scale, standardize, standardize_samples, whiten
from jreg.models import as_model
from jreg.network import Ensemble, Network
from jreg.training.inputs import examples

CE = losses.softmax_cross_entropy
RNG = np.random.default_rng(0)
ROWS = RNG.normal(3.0, 2.0, size=(20, 4)).astype(np.float32)
IMAGES = RNG.integers(0, 256, size=(6, 6, 5, 1)).astype(np.uint8)
CLASSES = (np.arange(20) % 3).astype(np.int32)


class Own(linen.Module):
    """A network that no list has."""

    @linen.compact
    def __call__(self, x, train=False):
        x = linen.BatchNorm(use_running_average=not train)(x)
        return linen.Dense(3)(jnp.sin(linen.Dense(4)(x)))


def network(model, x=ROWS, y=None, hp=None, preprocess=None, targets=None, **parts):
    """A network as a training leaves it, without the training: fresh weights, moved a little."""
    if isinstance(x, jreg.Dataset):
        data = x
    else:
        count = len(jax.tree.leaves(x)[0])
        data = jreg.Dataset(x, np.arange(count) % 3 if y is None else y, name="rows")
    weights = jnp.ones(len(data))
    given = {"loss": CE, "optimizer": optax.sgd(0.1), "preprocess": preprocess, "targets": targets} | parts

    def recipe(hp):
        return jreg.Recipe(model(hp) if not isinstance(model, linen.Module | tuple) else model, **given)

    @jax.jit
    def start(x, y):
        made = recipe(hp or {})
        statistics = (preprocess.fit(x, weights) if preprocess else (), targets.fit(y, weights) if targets else ())
        first = examples(made, statistics, jax.tree.map(lambda part: part[:2], x))
        variables = as_model(made.model).init(jax.random.key(0), first)
        return *jax.tree.map(
            lambda a: a + jnp.linspace(0.1, 0.3, a.size, dtype=a.dtype).reshape(a.shape), variables
        ), statistics

    params, state, statistics = start(data.x, data.y)
    return Network.of(recipe, hp or {}, tuple(hp or ()), (params, state, statistics), data)


def same(one, other, x):
    """Whether two networks' outputs are equal bit by bit."""
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one.outputs(x)), jax.tree.leaves(other.outputs(x)), strict=True)
    )


@pytest.fixture(scope="module")
def small():
    """The smallest network, with everything that model.json can say."""
    made = network(nn.MLP((4, 3), normalization="batch"), preprocess=standardize())
    said = {"history": {"train_loss": np.array([1.0, np.nan, np.inf], np.float32)}, "interval": (0.5, 0.75)}
    return dataclasses.replace(made, epochs=3, test={"loss": 0.5, "accuracy": 0.7}, more={"study": "abc"}, **said)


@pytest.fixture
def folder(small, tmp_path):
    return small.save(tmp_path / "net")


def changed(folder, change):
    """Edits model.json."""
    found = json.loads((folder / "model.json").read_text())
    change(found)
    (folder / "model.json").write_text(json.dumps(found))
    return folder


def rewritten(folder, tree):
    """Other weights, whose checksum model.json has."""
    data = tensors.to_bytes(tree)
    (folder / "weights.safetensors").write_bytes(data)
    return changed(folder, lambda m: m["weights"].update(sha256=hashlib.sha256(data).hexdigest()))


def refuses(folder, match, **options):
    """Loading fails with one sentence."""
    with pytest.raises(ValueError, match=match) as caught:
        jreg.load(folder, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1200


ELSEWHERE = """
import sys, numpy as np, jreg
network = jreg.load(sys.argv[1])
assert "onnx" not in sys.modules
table = sys.argv[1] + ".csv"
np.savez(sys.argv[1] + ".npz", outputs=network.outputs(table), labels=network.predict(table))
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A CSV file whose columns and labels are coded."""
    path = tmp_path_factory.mktemp("table") / "net.csv"
    lines = [f"{a:.3f},{b:.3f},{'xyz'[i % 3]},{('no', 'yes')[i % 2]}" for i, (a, b) in enumerate(ROWS[:, :2])]
    path.write_text("a,b,kind,label\n" + "\n".join(lines) + "\n")
    return path


def test_another_process_has_the_same_network_bit_by_bit(table):
    def model(hp):
        return nn.MLP((8, 2), dropout=hp["dropout"], normalization="batch", activation=jax.nn.gelu)

    made = network(model, jreg.data.from_csv(table), hp={"dropout": 0.1}, preprocess=chain(standardize(), min_max()))
    path = made.save(table.with_suffix(""))
    # The compiler's options of this process, which the tests have chosen.
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(Path(jreg.__file__).parents[1])
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(path)], check=True, env=environment, timeout=120)
    found = np.load(f"{path}.npz")
    assert np.array_equal(found["outputs"], made.outputs(table))
    assert found["labels"].tolist() == made.predict(table).tolist()
    assert set(found["labels"]) == {"no", "yes"}
    assert jreg.load(path).features == ("a", "b", "kind=x", "kind=y", "kind=z")


def test_the_networks_of_a_study(table, tmp_path):
    data = jreg.data.from_csv(table)

    def recipe(hp):
        model = nn.MLP((4, 2), dropout=hp["dropout"], activation=hp["activation"])
        return jreg.Recipe(model, CE, optax.sgd(0.1), preprocess=scale(2))

    space = jreg.grid(dropout=[0.1], activation=[jax.nn.gelu])
    study = jreg.cross_validate(recipe, data, space, epochs=1, cv=2, progress=False, keep=[jreg.keep.network])
    study.save_networks(tmp_path / "folds")
    folds = jreg.load(tmp_path / "folds")
    assert isinstance(folds, Ensemble)
    # One program for all of them.
    assert len({id(one.recipe) for one in folds}) == 1
    assert np.array_equal(folds.predict_proba(table), study.ensemble().predict_proba(table))
    said = {"data": data.name, "study": study.spec.digest, "seed": 0}
    assert [one.more for one in folds] == [{**said, "fold": fold} for fold in (0, 1)]
    assert folds[0].hyperparameters == {"dropout": 0.1, "activation": jax.nn.gelu}
    final = jreg.refit(study, progress=False)
    assert final.more.keys() == {"data", "study", "seed", "updates"}
    assert (final.more["data"], final.more["study"]) == (data.name, study.spec.digest)
    with_recipe = jreg.load(final.save(tmp_path / "final"), recipe=recipe)
    assert with_recipe.more == final.more
    assert same(with_recipe, final, table)


def test_everything_about_a_network_comes_back(small, folder):
    back = jreg.load(folder)
    for field in (
        "task",
        "link",
        "classes",
        "target_shape",
        "epochs",
        "test",
        "interval",
        "features",
        "more",
        "traced",
    ):
        assert getattr(back, field) == getattr(small, field), field
    assert back.example == small.example
    np.testing.assert_array_equal(back.history["train_loss"], small.history["train_loss"])
    assert same(back, small, ROWS)
    assert back.evaluate(ROWS, CLASSES) == small.evaluate(ROWS, CLASSES)
    arrays, _ = tensors.unpacked((folder / "weights.safetensors").read_bytes())
    assert {"params/Dense_0/kernel", "model_state/batch_stats/BatchNorm_0/mean", "statistics/0/1"} < set(arrays)
    # What was loaded is saved as it was.
    again = back.save(folder.with_name("again"))
    assert (again / "model.json").read_bytes() == (folder / "model.json").read_bytes()


MODELS = {
    "linear": (nn.Linear(3), ROWS),
    "mlp": (nn.MLP((4, 3), activation=functools.partial(activations.maxout, pieces=2), position="after"), ROWS),
    "prelu": (nn.MLP((4, 3), activation="prelu", normalization="spectral", noise=lambda: nn.ClassicDropout(0.3)), ROWS),
    "traced": (lambda hp: nn.MLP((4, 3), noise=lambda: nn.ClassicDropout(hp["r"])), ROWS, {"r": 0.3}),
    "ghost": (nn.MLP((8, 3), normalization=functools.partial(nn.GhostBatchNorm, size=4, epsilon=0.1)), ROWS),
    "cnn": (nn.CNN((3,), (3,), normalization="instance", dropout=0.2), IMAGES),
    "resmlp": (nn.ResidualMLP(4, 2, 3, drop_path=0.5), ROWS),
    "rescnn": (nn.ResidualCNN((3, 4), 1, 3, normalization="weight"), IMAGES),
    "autoencoder": (nn.Autoencoder((3, 2), output="sigmoid"), ROWS),
    "tied": (nn.TiedAutoencoder((3, 2), activation=jax.nn.selu), ROWS),
    "sequential": (
        linen.Sequential(
            [
                nn.WeightStandardized(linen.Dense(4, name="first")),
                jax.nn.relu,
                nn.Maxout(4),
                nn.CosineDense(3, use_scale=True),
            ]
        ),
        ROWS,
    ),
    "convolutions": (
        linen.Sequential([nn.Conv(2, (2, 2), padding=((0, 1), (1, 0))), nn.StochasticPool((2, 2))]),
        IMAGES,
    ),
    "half": (linen.Sequential([linen.Dense(3, dtype=jnp.bfloat16, param_dtype=jnp.float16)]), ROWS),
}
NAMES = ["traced", "sequential"]


@pytest.mark.adam
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in NAMES else pytest.mark.slow) for name in MODELS]
)
def test_networks_of_jreg_nn_are_rebuilt_by_name(name, tmp_path):
    model, x, *hp = MODELS[name]
    made = network(model, x, hp=hp[0] if hp else None)
    path = made.save(tmp_path)
    assert not (path / "program.bin").exists()
    assert same(jreg.load(path), made, x)


PREPROCESSING = [
    (chain(impute(), standardize(per="data"), min_max(-1, 2)), standardize()),
    pytest.param(
        chain(standardize_samples(), scale(3), whiten("pca", 0.1, 2)),
        chain(min_max(), scale(2)),
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("preprocess", "targets"), PREPROCESSING)
def test_preprocessing_and_a_regression_in_its_own_units(preprocess, targets, tmp_path):
    y = ROWS[:, 0] * 100 + 1e4
    loss = functools.partial(losses.huber, delta=2.0)
    scores = {"mae": metrics.mae, "norm": metrics.of_params(lambda p: 0.0, maximize=False)}
    made = network(nn.MLP((1,)), y=y, preprocess=preprocess, targets=targets, loss=loss, metrics=scores)
    back = jreg.load(made.save(tmp_path))
    assert same(back, made, ROWS)
    assert abs(back.predict(ROWS).mean() - y.mean()) < 1000
    assert back.evaluate(ROWS, y) == made.evaluate(ROWS, y)
    assert set(back.evaluate(ROWS, y)) == {"loss", "mae"}


def test_several_arrays(tmp_path):
    model = (
        lambda key, x: {"deep": [jnp.zeros((4, 3)), (jnp.zeros(3),)]},
        lambda w, x, train, rngs: x["a"] @ w["deep"][0] + w["deep"][1][0][None],
    )
    made = network(model, {"a": ROWS, "b": ROWS[:, :1]}, preprocess=by_part(a=min_max()))
    path = made.save(tmp_path, program=False)
    refuses(path, "give the recipe")
    back = jreg.load(path, recipe=made.recipe)
    assert same(back, made, {"a": ROWS, "b": ROWS[:, :1]})
    assert isinstance(back.params["deep"][1], tuple)


@pytest.mark.parametrize("activation", ["relu", pytest.param("gelu", marks=pytest.mark.slow)])
def test_a_reader_in_numpy_alone_agrees(activation, tmp_path):
    x = (ROWS + 1e5).astype(np.float32)
    model = nn.MLP((8, 6, 2), activation=activation, normalization="batch" if activation == "relu" else None)
    y = (ROWS[:, :2] * 7 + 1000).astype(np.float32)
    made = network(model, x, y=y, preprocess=standardize(), targets=standardize(), loss=losses.squared_error)
    expected = np.asarray(made.outputs(x))
    np.testing.assert_allclose(numpy_outputs(made.save(tmp_path), x), expected, rtol=1e-6)


# Programs.


def test_a_network_of_ones_own_needs_its_recipe_or_trust(tmp_path, monkeypatch):
    made = network(Own(), preprocess=standardize())
    path = made.save(tmp_path / "own")
    model = json.loads((path / "model.json").read_text())
    assert model["program"]["platforms"] == ["cpu", "cuda", "tpu"]
    assert model["recipe"]["unnamed"] == {"model": "the class Own is in no list of names"}
    back = jreg.load(path, trust_program=True)
    # Rows in blocks, and whole numbers for floating ones.
    many = np.tile(ROWS.round(), (110, 1))
    expected = made.outputs(many)
    np.testing.assert_allclose(back.outputs(many), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(back.outputs(many[:20].astype(int)), expected[:20], rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError, match="complex"):
        back.outputs(many * 1j)
    assert back.evaluate(ROWS, CLASSES) == pytest.approx(made.evaluate(ROWS, CLASSES), rel=1e-6)
    assert same(jreg.load(path, recipe=made.recipe), made, ROWS)
    # A planted program isn't read without trust, and not with a recipe either.
    planted = b"\0" * 64
    (path / "program.bin").write_bytes(planted)
    changed(path, lambda m: m["program"].update(sha256=hashlib.sha256(planted).hexdigest()))
    refuses(path, r"program.bin is no program of jax.export", trust_program=True)
    again = back.save(path.with_name("again"))
    assert json.loads((again / "model.json").read_text())["program"]["sha256"]

    def run(*_, **__):
        raise AssertionError("a program was deserialized")

    monkeypatch.setattr("jax.export.deserialize", run)
    refuses(path, r"can't be rebuilt .* whoever made it can do anything .* trust_program=True.* recipe=recipe")
    assert same(jreg.load(path, recipe=made.recipe), made, ROWS)


def test_a_program_is_written_on_request_and_isnt_needed_then(folder, small, monkeypatch):
    assert not (folder / "program.bin").exists()
    small.save(folder, program=True)
    assert (folder / "program.bin").stat().st_size > 100
    monkeypatch.setattr("jax.export.deserialize", None)
    assert same(jreg.load(folder, trust_program=True), small, ROWS)
    small.save(folder)
    assert not (folder / "program.bin").exists()


def test_what_cant_be_exported_says_so(tmp_path):
    class Fickle(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Dense(3)(x if x.shape[0] < 100 else -x)

    made = network(Fickle())
    with pytest.raises(ValueError, match="JAX can't export the network for any number of rows"):
        made.save(tmp_path, program=True)
    made.save(tmp_path)
    refuses(tmp_path, r"saved without a program \(JAX can't export .* give the recipe", trust_program=True)


def test_evaluate_needs_a_loss_that_has_a_name(tmp_path):
    def own(outputs, targets):
        return CE(outputs, targets)

    own.link = "softmax"
    made = network(nn.MLP((3,)), loss=own)
    back = jreg.load(made.save(tmp_path))
    assert np.array_equal(back.predict_proba(ROWS), made.predict_proba(ROWS))
    with pytest.raises(ValueError, match="evaluate needs the recipe, whose loss the saved network can't name"):
        back.evaluate(ROWS, CLASSES)


def test_onnx_is_an_extra(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "jreg\[onnx\]"'):
        small.to_onnx(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


# Folders.


def test_other_files_stay_and_an_old_network_goes(small, folder):
    (folder / "notes.txt").write_text("mine")
    Ensemble([small, small, small]).save(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["member_0", "member_1", "member_2", "model.json", "notes.txt"]
    (folder / "member_2" / "notes.txt").write_text("mine")
    Ensemble([small]).save(folder)
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.*")) == [
        *("member_0/model.json", "member_0/weights.safetensors", "member_2/notes.txt", "model.json", "notes.txt"),
    ]
    assert same(jreg.load(folder)[0], small, ROWS)
    small.save(folder)
    assert not (folder / "member_0").exists()
    assert same(jreg.load(folder), small, ROWS)


def test_what_isnt_ours_isnt_replaced(small, tmp_path):
    (tmp_path / "model.json").write_text('{"model": "of somebody else"}')
    with pytest.raises(ValueError, match="no file of jreg's and would be lost"):
        small.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]
    with pytest.raises(ValueError, match="is no folder"):
        small.save(tmp_path / "model.json")
    with pytest.raises(ValueError, match="the folder to save into is ''"):
        small.save("")


def test_a_full_disk_leaves_the_old_network(small, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        dataclasses.replace(small, epochs=99).save(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "weights.safetensors"]
    assert jreg.load(folder).epochs == 3


def test_a_link_out_of_the_folder_isnt_followed(folder, small, tmp_path):
    for name in ("weights.safetensors", "model.json"):
        away = tmp_path / f"away-{name}"
        (folder / name).rename(away)
        (folder / name).symlink_to(away)
        refuses(folder, f"{name} is a link out of the folder")
        (folder / name).unlink()
        away.rename(folder / name)
    both = Ensemble([small, small]).save(tmp_path / "both")
    (both / "member_1").rename(tmp_path / "elsewhere")
    (both / "member_1").symlink_to(tmp_path / "elsewhere")
    refuses(both, "member_1 is a link out of the folder")
    with pytest.raises(ValueError, match="member_1 is a link"):
        Ensemble([small, small]).save(both)


# Damaged and hostile files.


def test_damaged_weights(folder):
    path = folder / "weights.safetensors"
    whole = path.read_bytes()
    for data in (whole[:-8], whole[:40], b"", bytes([*whole[:-1], whole[-1] ^ 1])):
        path.write_bytes(data)
        refuses(folder, "its SHA-256 differs")
    with path.open("ab") as file:
        file.truncate(2**42)  # a hole, which takes no room on the disk
    refuses(folder, "has 4398046511104 bytes, but at most")
    path.unlink()
    refuses(folder, "there is no file .*weights.safetensors")


DEEP = "[" * 100_000
TEXTS = {
    "": "can't be read",
    "[]": "is no description of a network",
    '{"kind": "network"}': "has the format None",
    '{"kind": "network", "format": 2}': "has the format 2, but this jreg reads format 1",
    '{"kind": "network", "format": true}': "has the format True",
    '{"kind": "network", "format": 1}': "task is missing",
    '{"kind": "ensemble", "format": 1, "members": 1e999}': "members is inf",
    '{"kind": "ensemble", "format": 1, "members": 1000000000}': "there is no folder .*member_0",
    '{"kind": "ensemble", "format": 1, "members": NaN}': "NaN is no number",
    '{"kind": "network", "format": 1, "task": ' + DEEP: "nested too deep",
    '{"format": 1' + "9" * 5000 + "}": "can't be read",
    "\xff": "is no description|can't be read",
}


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_model_json_that_is_none(folder, text):
    (folder / "model.json").write_bytes(text.encode("latin-1"))
    refuses(folder, TEXTS[text])


def test_a_huge_model_json_isnt_read(folder):
    with (folder / "model.json").open("ab") as file:
        file.truncate(2**36)  # a hole, which takes no room on the disk
    refuses(folder, "has 68719476736 bytes, but at most")
    refuses(folder / "nothing", "there is no folder")


WRONG = [None, True, -1, 1.5, "text", [], [1], {}, {"a": [None]}, [["x"]], 10**40]
FIELDS = ("task", "link", "classes", "features", "target_shape", "example", "encoder", "recipe", "hyperparameters")
FIELDS += ("traced", "epochs", "history", "test", "interval", "weights", "program", "more")


def test_every_field_of_another_type_is_a_sentence(folder):
    whole = (folder / "model.json").read_text()
    sentences = []
    for field in FIELDS:
        for value in WRONG:
            (folder / "model.json").write_text(whole)
            changed(folder, lambda m, field=field, value=value: m.update({field: value}))
            try:
                jreg.load(folder)
            except ValueError as error:
                sentences.append(str(error))
    assert all(str(folder) in text and len(text) < 1200 for text in sentences)
    assert len(sentences) > 0.7 * len(FIELDS) * len(WRONG)


def at(*keys):
    """A function that puts a value where the keys lead to in model.json."""

    def put(value):
        def change(model):
            for key in keys[:-1]:
                model = model[key]
            model[keys[-1]] = value

        return change

    return put


ARGUMENTS = ("recipe", "model", "arguments")
HOSTILE = [
    (at(*ARGUMENTS, "activation")("os.system"), "activation 'os.system' is in no list of names"),
    (at(*ARGUMENTS, "activation")("initializers"), "activation 'initializers' is in no list"),
    (at(*ARGUMENTS, "activation")({"function": "os.system"}), "the function 'os.system' is none of those"),
    (
        at(*ARGUMENTS, "activation")({"class": "subprocess.Popen", "arguments": {}}),
        "the class 'subprocess.Popen' is none",
    ),
    (at(*ARGUMENTS, "activation")({"hyperparameter": "__class__"}), "the hyperparameter '__class__' is none"),
    (at(*ARGUMENTS, "activation")({"array": [[1], [1, 2]], "dtype": "float32"}), "don't fit the network"),
    (at(*ARGUMENTS, "parent")(1), "has no argument 'parent'"),
    (at(*ARGUMENTS, "kernel_init")({"dtype": "object"}), "the dtype 'object' is none of"),
    (at(*ARGUMENTS, "noise")({"makes": {"function": "builtins.exec"}}), "the function 'builtins.exec' is none"),
    (at(*ARGUMENTS, "features")([10**12, 3]), "don't fit the network"),
    (at(*ARGUMENTS, "features")([4, 10**12]), "don't fit the network"),
    (at(*ARGUMENTS, "features")([4] * 20_000), "don't fit the network"),
    (
        at("recipe", "model")(
            {"class": "jreg.nn.ResidualMLP", "arguments": {"units": 4, "blocks": 10**12, "outputs": 3}}
        ),
        "fit",
    ),
    (at("recipe", "model")({"class": "jreg.nn.CNN", "arguments": {"channels": [2], "features": [3]}}), "don't fit"),
    (at("recipe", "model", "class")("jreg.nn.MLP.__init__"), "the class 'jreg.nn.MLP.__init__' is none"),
    (at("recipe", "preprocess", "name")("os.system"), "the preprocessing 'os.system' is none of"),
    (at("recipe", "preprocess", "arguments")({"command": "true"}), "don't fit the network: .*command"),
    (at("recipe", "preprocess")({"name": "min_max", "arguments": {"low": 0, "high": 1}}), "don't fit the network"),
    (at("recipe", "loss")({"function": "os.system"}), "the function 'os.system' is none of"),
    (at("example")({"shape": [10**9, 10**9], "dtype": "float32"}), "is damaged"),
    (at("example")({"shape": [5], "dtype": "float32"}), "don't fit the network"),
    (at("example")({"shape": [4], "dtype": "object"}), "is damaged"),
    (at("encoder")({"columns": ["a"]}), "the encoder's categories are damaged"),
    (at("traced")(["nothing"]), "the traced hyperparameters"),
    (at("hyperparameters")({"a": {"function": "os.system"}}), "the function 'os.system' is none"),
]


@pytest.mark.parametrize(("change", "sentence"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_description_is_a_sentence(folder, change, sentence):
    changed(folder, change)
    refuses(folder, sentence)


def test_preprocessing_nested_too_deep(folder):
    changed(folder, lambda m: m["recipe"].update(preprocess="here"))
    text = (folder / "model.json").read_text()
    for depth in (900, 50_000):
        nested = '{"name": "chain", "parts": [' * depth + "]}" * depth
        (folder / "model.json").write_text(text.replace('"here"', nested))
        refuses(folder, "nested too deep|don't fit the network|is damaged: maximum recursion")


def test_weights_of_other_shapes(folder):
    tree, _ = tensors.from_bytes((folder / "weights.safetensors").read_bytes())

    def other(**parts):
        return {**tree, **parts}

    params, statistics = tree["params"], tree["statistics"]
    dense = params["Dense_0"]
    for one, sentence in (
        (other(params={**params, "Dense_0": {**dense, "kernel": dense["kernel"][:, :3]}}), "don't fit the network"),
        (other(params={**params, "Dense_0": {**dense, "kernel": dense["kernel"].astype(np.float64)}}), "float64"),
        (other(params={**params, "../../evil": dense["bias"]}), "differ from those expected"),
        (other(params={}), "don't fit the network"),
        (other(params=[]), "don't fit the network"),
        (other(model_state={}), "don't fit the network"),
        (other(statistics=((), ())), "don't fit the network"),
        (other(statistics=((statistics[0][0], statistics[0][1][:, :1], None), ())), "don't fit the network"),
        (other(statistics=()), "no statistics of examples and of targets"),
        ({"params": params}, "has no params, model_state, statistics"),
        ([], "has no params"),
    ):
        rewritten(folder, one)
        refuses(folder, sentence)
    data = b"\x90" + bytes(7) + b"\x80\x04" + bytes(200)
    (folder / "weights.safetensors").write_bytes(data)
    changed(folder, lambda m: m["weights"].update(sha256=hashlib.sha256(data).hexdigest()))
    refuses(folder, "this is no safetensors file")


def test_labels_and_columns_come_back_as_they_were(tmp_path):
    encoder = Encoder(("a", "b"), (None, ("x", "y")), "t", labels=("no", 1, 2.5), drop=("id",), unseen="zeros")
    made = dataclasses.replace(network(nn.MLP((3,)), ROWS[:, :3]), encoder=encoder)
    assert jreg.load(made.save(tmp_path)).encoder == encoder
