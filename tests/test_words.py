"""What jreg says about objects and mistakes: short, in words, and what to do."""

import functools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import jreg
from jreg import losses, metrics, models, nn, on_params, penalties
from jreg._base.brief import brief
from jreg._base.names import cut, listed, printable, shown
from jreg.report import settings_table
from jreg.training import Status, doors
from jreg.training.check import make_plan, sample_steps, sampled

KEY = jax.random.key(0)
CE = losses.softmax_cross_entropy


def tried(recipe, data, setting, space=None):
    """Tries a setting on shapes, as every fit and study does first; nothing is compiled."""
    folds = jreg.splits.pack([(np.arange(len(data)), np.arange(0))])
    samples = sampled(recipe, [setting], sample_steps(data, folds, 1, 8))
    return make_plan(recipe, samples, (), data, folds, 1, 8, None)


def plain(**parts):
    given = {"model": nn.MLP((3,)), "loss": CE, "optimizer": optax.sgd(0.1)} | parts
    return lambda hp: jreg.Recipe(**given)


class Small(nnx.Module):
    def __init__(self, *, rngs):
        self.layer = nnx.Linear(2, 3, rngs=rngs)

    def __call__(self, x):
        return self.layer(x)


@pytest.mark.parametrize("model", [Small, functools.partial(nnx.Linear, 2, 3)])
def test_an_nnx_class_that_needs_rngs_alone_is_a_model(blobs, model):
    key, x = jax.random.key(3), jnp.asarray(blobs.x[:4])
    made, params = models.as_model(model), models.as_model(model).init(key, x)[0]
    expected = (Small(rngs=nnx.Rngs(key)).layer if model is Small else model(rngs=nnx.Rngs(key)))(x)
    found, _ = made.apply(params, {}, x, train=False, key=None, mask=None)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def of_library(module, name="Net"):
    """A class that inherits from one of a library that isn't here."""
    return type(name, (type("Module", (), {"__module__": module}),), {})


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (lambda: Small(rngs=nnx.Rngs(0)), r"models.from_nnx\(lambda rngs: Small\(..., rngs=rngs\)\)"),
        (lambda: nnx.Linear, r"class Linear of flax.nnx, .* models.from_nnx\(lambda rngs: Linear\("),
        (lambda: nn.MLP, r"the class MLP of flax.linen, .* made of the class, MLP\(...\)"),
        (of_library("equinox._module"), r"models.from_equinox\(lambda key: Net\(..., key=key\)\)"),
        (lambda: of_library("equinox._module"), r"the class Net of equinox"),
        (lambda: of_library("haiku._src.module"), r"from_haiku\(haiku.transform\(lambda x: Net\("),
        (of_library("haiku._src.transform", "Transformed"), r"models.from_haiku\(transformed\)"),
        (of_library("torch.nn.modules.module"), "JAX can't train a PyTorch network: write it in Flax"),
        (of_library("keras.src.models.model"), "JAX can't trace a Keras model: write it in Flax"),
        (of_library("sklearn.base"), "a scikit-learn estimator trains by itself"),
        (lambda: optax.sgd(0.1), r"Recipe\(model, loss, optimizer\) takes its parts in this order"),
        (lambda: 3, "a recipe's model is a int, but must be a Flax Linen module"),
    ],
)
def test_a_network_given_as_it_is_gets_what_to_write(model, sentence):
    with pytest.raises(TypeError, match=sentence):
        models.as_model(model())


def test_an_adapter_given_a_module_wants_a_function():
    with pytest.raises(TypeError, match=r"from_nnx got a Small itself, but needs a function: .*lambda rngs: Small\("):
        models.from_nnx(Small(rngs=nnx.Rngs(0)))
    with pytest.raises(TypeError, match=r"from_equinox got a Net itself, but needs a function: .*lambda key: Net\("):
        models.from_equinox(of_library("equinox._module")())
    with pytest.raises(TypeError, match="from_nnx got a int, but needs a function that builds the module"):
        models.from_nnx(3)  # ty: ignore[invalid-argument-type]


def test_the_old_name_of_from_nnx_warns():
    with pytest.warns(DeprecationWarning, match=r"jreg.nn.from_nnx is deprecated .* use jreg.models.from_nnx"):
        assert nn.from_nnx is models.from_nnx  # ty: ignore[unresolved-attribute]
    with pytest.raises(AttributeError, match="has no attribute 'from_torch'"):
        _ = nn.from_torch  # ty: ignore[unresolved-attribute]


def numpy_norm(w):
    return np.linalg.norm(np.asarray(w))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", (lambda key, x: jnp.zeros((2, 3)), lambda w, x, train, rngs: np.asarray(x) @ w)),
        ("loss", lambda outputs, targets: np.log(outputs).sum(-1)),
        ("loss", lambda outputs, targets: CE(outputs, targets) if outputs.sum() > 0 else outputs[:, 0]),
        ("loss", lambda outputs, targets: float(outputs[0, 0])),
        ("loss", lambda outputs, targets: outputs[0, 0].item()),
        ("loss", lambda outputs, targets: [0.1, 0.2][targets[0]]),
        ("penalty", 0.1 * on_params(numpy_norm)),
        ("augment", lambda key, x: np.flip(np.asarray(x))),
        ("mixing", lambda key, x, y, weights: (np.asarray(x), y)),
        ("optimizer", optax.stateless(lambda updates, params: jax.tree.map(np.asarray, updates))),
    ],
)
def test_numpy_and_python_on_traced_arrays_name_the_part(blobs, part, value):
    with pytest.raises(TypeError, match=rf"the recipe's {part} hands a traced array to NumPy .* write jax.numpy"):
        tried(plain(**{part: value}), blobs, {})


def host_accuracy(outputs, targets, weights=None):
    return float(np.mean(np.asarray(outputs).argmax(-1) == np.asarray(targets)))


@pytest.mark.parametrize("lift", [metrics.average, metrics.collecting])
def test_a_metric_of_numpy_names_itself_and_the_study_that_scores_it(blobs, lift):
    measured = {"accuracy": metrics.accuracy, "theirs": lift(host_accuracy, maximize=True)}
    with pytest.raises(TypeError, match=r"the metric 'theirs' hands .* jreg.metrics, .* study.score\("):
        tried(plain(metrics=measured), blobs, {})


def test_a_metric_of_scikit_learn_as_it_is_names_the_study_that_scores_it():
    from sklearn.metrics import f1_score, make_scorer

    for metric in (f1_score, make_scorer(f1_score)):
        with pytest.raises(TypeError, match=r"the metric 'f1' is .* one of jreg.metrics, .* study.score\("):
            plain(metrics={"f1": metric})({})


def test_pythons_own_errors_name_the_part(blobs):
    with pytest.raises(ValueError, match=r"the recipe's loss raised AttributeError: .* has no attribute '?detach"):
        tried(plain(loss=lambda outputs, targets: outputs.detach()), blobs, {})
    with pytest.raises(TypeError, match=r"the recipe's model returns None: does its __call__ say return"):
        tried(plain(model=(lambda key, x: {}, lambda params, x, train, rngs: None)), blobs, {})


def test_errors_of_other_libraries_name_the_part(blobs):
    def wrong(params, x, train, rngs):
        return x @ jnp.ones((99, 3))

    with pytest.raises(TypeError, match=r"the recipe's model raised TypeError: .*\(99,"):
        tried(plain(model=(lambda key, x: {}, wrong)), blobs, {})


READERS = {
    "if": lambda value: 1 if value > 0.1 else 2,
    "float": float,
    "NumPy": np.log,
    "a format": lambda value: f"{value:.3f}",
    "a dict": lambda value: {0.1: 1}.get(value),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_python_that_reads_a_traced_hyperparameter_names_it(blobs, reader):
    def recipe(hp):
        reader(hp["l2"])
        return plain(penalty=hp["l2"] * on_params(penalties.l2))(hp)

    with pytest.raises(TypeError, match=r"hyperparameter 'l2' .* traced, .* jnp.where .* space.as_static\('l2'\)"):
        jreg.fit(KEY, recipe, blobs, {"l2": 0.1}, epochs=1)


@pytest.mark.parametrize(
    "recipe",
    [
        lambda hp: plain(model=nn.MLP((hp["width"], 3)))(hp),
        lambda hp: plain(model=nn.MLP((4,) * len(range(hp["width"])) + (3,)))(hp),
        lambda hp: plain(batch_size=hp["width"])(hp),
    ],
)
def test_a_floating_width_is_named(blobs, recipe):
    with pytest.raises(TypeError, match=r"hyperparameter 'width' is 4.0, a floating number, .* grid\(width=\[4\]\)"):
        tried(recipe, blobs, {"width": 4.0})


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (
            lambda l2: None,
            r"the recipe takes \(l2\), but is called with all hyper.*: write def recipe\(hp\), and hp\['l2'\]",
        ),
        (lambda: None, r"the recipe takes \(\), but is called with the hyperparameters alone: write def recipe\(hp\)"),
        (lambda a, b, c: None, r"the recipe takes \(a, b, c\)"),
        (lambda hp, *, k: None, r"the recipe takes \(hp, \*, k\)"),
        (lambda hp: None, "returns a NoneType, but must return a jreg.Recipe: does its last line say return"),
        (lambda hp: optax.sgd(0.1), r"returns a GradientTransformation\w*, .*jreg.Recipe\(model, loss, optimizer\)"),
        (lambda hp: (nn.MLP((3,)), CE), r"returns a tuple, .*jreg.Recipe\(model, loss, optimizer\)"),
        (lambda hp: nn.MLP((3,)), r"returns a MLP, .*jreg.Recipe\(model, loss, optimizer\)"),
        (plain()({}), r"the recipe is a Recipe, but must be a function of the hyperparameters: def recipe\(hp\)"),
        (jreg.Recipe, "the recipe is the class Recipe, but must be a function"),
        (nn.MLP((3,)), "the recipe is a MLP, but must be a function"),
        (optax.sgd(0.1), r"the recipe is a GradientTransformation\w*, but must be a function"),
        (plain(loss=nn.MLP((3,)), model=CE), r"loss is a MLP, but .* as in Recipe\(model, loss, optimizer\)"),
        (plain(loss=optax.sgd(0.1), optimizer=CE), r"loss is a Gradient\w*, but .* as in Recipe\("),
        (plain(optimizer=nn.MLP((3,))), r"optimizer is a MLP, but must be an optax transform"),
        (plain(optimizer=optax.adam), r"optimizer is the function adam, .* such as optax.adam\(1e-3\)"),
        (plain(metrics=["accuracy"]), r"metrics is \['accuracy'\], but must be a dict"),
        (plain(preprocess=lambda x: x), r"preprocess is the function <lambda>, .* jreg.data.standardize\(\)"),
        (plain(preprocess=jreg.data.standardize), "preprocess is the function standardize, but must be a preprocessor"),
    ],
)
def test_a_recipe_of_another_form_says_which(recipe, sentence):
    with pytest.raises(TypeError, match=sentence) as found:
        jreg.recipe.build(recipe, {"l2": 0.1})
    assert " at 0x" not in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ((np.ones((4, 2)), np.arange(4)), r"the data is a tuple, but must be a jreg.Dataset: jreg.Dataset\(x, y\)"),
        ([1, 2, 3, 4], r"jreg.Dataset\(x, y, x_test, y_test\)"),
        (np.ones((4, 2)), "the data is a ndarray"),
        ("digits", r"jreg.load_dataset\('digits'\) reads one"),
        (None, "the data is a NoneType"),
        (jreg.grid(l2=[0.1]), "the data is a Space, .* the order is recipe, data, space"),
        (plain(), "the data is a function, .* the order is recipe, data, space"),
    ],
)
def test_data_of_another_kind_says_what_to_write(data, sentence):
    options = {"epochs": 1, "progress": False}
    with pytest.raises(TypeError, match=sentence):
        jreg.cross_validate(plain(), data, jreg.grid(l2=[0.1]), **options)
    with pytest.raises(TypeError, match=sentence):
        jreg.fit(KEY, plain(), data, epochs=1)
    asker = typing.cast("typing.Any", Asker())
    with pytest.raises(TypeError, match=sentence):
        jreg.optimize(plain(), data, asker, trials=1, **options)


class Asker:
    def ask(self):
        return 0, {"l2": 0.1}

    def report(self, trial, epoch, score):
        return True

    def tell(self, trial, score, ending):
        pass

    def check(self, maximize):
        pass


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"stopping": 5}, TypeError, r"stopping is 5, but must be .* jreg.EarlyStopping\(patience=5\)"),
        ({"stopping": jreg.EarlyStopping}, TypeError, "stopping is EarlyStopping, but must be a rule"),
        ({"keep": jreg.keep.outputs}, TypeError, "keep is a function, but must be a list of functions"),
        ({"layout": 2}, TypeError, "layout is 2, but must be a jreg.Layout"),
        ({"store": 3}, TypeError, "store is 3, but must be the path of a folder"),
        ({"store": ""}, ValueError, "store is empty, but must be the path of a folder"),
        ({"score": metrics.accuracy}, TypeError, "score is a Metric, but must be the label of a column"),
        ({"space": "l2"}, TypeError, "the space is a str, but must come from jreg.grid"),
        ({"space": [1]}, TypeError, "a setting is 1, but must be a mapping of names to values"),
    ],
)
def test_arguments_of_another_kind_say_what_to_give(blobs, options, error, sentence):
    def recipe(hp):
        return plain(penalty=hp["l2"] * on_params(penalties.l2))(hp)

    given = {"space": jreg.grid(l2=[0.1]), "cv": 2, "epochs": 1, "progress": False} | options
    with pytest.raises(error, match=sentence):
        jreg.cross_validate(recipe, blobs, given.pop("space"), **given)


def test_a_fit_without_its_key_or_with_a_number_says_so(blobs):
    for key in (plain(), 0, None):
        with pytest.raises(TypeError, match=r"must be a random key, which comes first: jax.random.key\(0\)"):
            jreg.fit(key, plain(), blobs, epochs=1)
    doors.check_key(jax.random.PRNGKey(0))
    with pytest.raises(TypeError, match=r"hp is 0.1, but must be a mapping"):
        jreg.fit(KEY, plain(), blobs, 0.1, epochs=1)  # ty: ignore[invalid-argument-type]
    with pytest.raises(TypeError, match="refit got a function, but needs the study"):
        jreg.refit(plain())  # ty: ignore[invalid-argument-type]


def test_representations_are_short_and_hold_no_arrays(blobs):
    def recipe(hp):
        return plain(model=nn.MLP((64, 3)), penalty=hp["l2"] * on_params(penalties.l2))(hp)

    told = []
    space = jreg.grid(l2=list(np.linspace(0.01, 0.3, 30)))
    study = jreg.cross_validate(recipe, blobs, space, cv=3, epochs=1, progress=False)
    final = jreg.refit(study, progress=told.append)
    history = {"train_loss": jnp.zeros(1)}
    fitted = jreg.Fit(final.params, {}, (), history, jnp.int32(1), jnp.int32(0), jnp.int32(Status.COMPLETED))
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), fitted)
    found = [
        study, study.best, study.results, study.spec, study.design, space, study.spec.folds[0], study.design.folds,
        next(iter(study.results)), study.out_of_fold(), study.design.everything(), final, jreg.Ensemble([final] * 30),
        fitted, many, blobs, recipe({"l2": 0.1}),
    ]  # fmt: skip
    for value in found:
        text = repr(value)
        assert len(text) < 250, text
        assert "\n" not in text
        assert "array(" not in text.lower()
        assert " at 0x" not in text
    assert "3 folds" in repr(study.best)
    # 2 x 64 + 64 weights and biases, then 64 x 3 + 3.
    assert repr(fitted) == "Fit(completed, 1 epochs, best epoch 0, 387 parameters, columns train_loss)"
    assert repr(many).startswith("Fit((2,) trainings: 774 parameters")
    jax.eval_shape(lambda fit: print(repr(fit)), fitted)
    # What a function that watches is told of the final training.
    assert [progress.stage for progress in told] == ["refitting on all 72 rows for 1 epoch"]


def test_a_brief_representation_leaves_out_what_is_empty():
    class Found(typing.NamedTuple):
        n: int
        x: typing.Any
        many: tuple
        nothing: typing.Any = None
        flag: bool = False
        __repr__ = brief

    assert repr(Found(0, np.zeros((2, 3)), tuple(range(50)))) == "Found(n=0, x=float64[2, 3], many=50 items)"


def test_long_lists_and_values_are_cut():
    assert len(listed(range(300_000))) < 80
    assert listed(range(300_000)).endswith(" and 299,988 more")
    assert listed(["a"] * 12) == ", ".join("a" * 12)
    assert shown(np.zeros(1000)) == "a ndarray"
    assert shown("x\n") == "'x\\n'"
    assert cut("a" * 1000, 10) == "aaaaa...aaaaa"
    assert len(cut("abc" * 100, 300)) == 300


@pytest.mark.parametrize("rows", [5000])
def test_sentences_about_thousands_of_things_stay_short(rows, tmp_path):
    single = jreg.Dataset(np.zeros((rows, 1)), np.arange(rows))
    np.savez(tmp_path / "many.npz", **{f"a{n}": np.zeros(1) for n in range(300)})
    (tmp_path / "many.csv").write_text(",".join(f"c{n}" for n in range(rows)) + "\n" + ",".join("1" * rows) + "\n")
    deep = {f"layer{n}": {"kernel": jnp.ones((1, 1))} for n in range(rows)}
    for cause in (
        lambda: jreg.data.load.split(single, 0.2, 0),
        lambda: jreg.load_dataset(tmp_path / "many.npz"),
        lambda: jreg.load_dataset(tmp_path / "many.csv", target="none"),
        lambda: jreg.grid(l2=[0.1, "a"] * rows),
        lambda: jreg.grid(**{f"h{n}": [0.1] for n in range(rows)}).as_static("none"),
        lambda: jreg.recipe.Hyperparameters({f"h{n}": 0.1 for n in range(rows)})["none"],
        lambda: jreg.study.given.seeds_of([0] * rows),
        lambda: jreg.splits.as_pairs(list(range(rows)), single),
        lambda: jreg._base.tree.map_selected(lambda w: w, "none", deep),
    ):
        with pytest.raises((ValueError, TypeError, KeyError)) as found:
            cause()
        assert len(str(found.value)) < 1000


def test_markup_and_control_characters_in_tables_are_text():
    numbers = {"mean": 0.9, "standard_error": 0.01, "epochs": 5.0, "note": ""}
    values = {"act[red]": "[relu]", "close": "[/a]", "emoji": ":smile:", "line": "a\nb\x1b[31m"}
    text = settings_table([{"hyperparameters": values, **numbers}], "sc[b]ore")
    for part in ("act[red]", "[relu]", "[/a]", ":smile:", "a\\nb\\x1b[31m", "sc[b]ore"):
        assert part in text
    assert len(text.splitlines()) == 5
    assert printable("\u202eabc\x9b\ud800") == "\\u202eabc\\x9b\\ud800"
    assert printable("ü €  日本") == "ü €  日本"


def test_complex_weights_are_not_told_to_lose_their_imaginary_part():
    with pytest.raises(TypeError, match=r"complex64, .*: give its two parts as real numbers, jnp.stack"):
        penalties.l2(jnp.ones((2, 2), jnp.complex64))
    with pytest.raises(TypeError, match=r"int32, .* convert it with .astype\(jnp.float32\)"):
        penalties.l2(jnp.ones((2, 2), jnp.int32))


class Theirs(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(3)(x).foo


def test_an_error_inside_a_model_names_it(blobs):
    with pytest.raises(ValueError, match="the recipe's model raised AttributeError"):
        tried(plain(model=Theirs()), blobs, {})


@pytest.mark.parametrize(
    "name", ["train", "training", "is_training", "deterministic", "inference", "use_running_average"]
)
@pytest.mark.parametrize("library", ["linen", "nnx"])
def test_a_network_is_told_that_it_trains_whatever_it_calls_it(name, library):
    rests = name in ("deterministic", "inference", "use_running_average")
    body = f"def call(self, x, {name}={rests}):\n    return x * (2.0 if {name} != {rests} else 1.0)"
    space: dict[str, typing.Any] = {}
    exec(body, space)
    if library == "linen":
        model = models.as_model(type("Net", (linen.Module,), {"__call__": space["call"]})())
    else:
        model = models.from_nnx(lambda rngs: type("Net", (nnx.Module,), {"__call__": space["call"]})())
    params, state = model.init(KEY, jnp.ones((1, 2)))
    for train in (True, False):
        outputs, _ = model.apply(params, state, jnp.ones((1, 2)), train=train, key=KEY if train else None, mask=None)
        assert outputs.tolist() == [[1.0 + train] * 2]
