"""Training on rows that are read when they are needed: the results of `fit`, in bounded memory."""

import sys
import threading
import time

import jax
import numpy as np
import optax
import pytest

import jreg
from jreg import Recipe, losses, mixing, nn, on_params, penalties
from jreg.data import chain, impute, min_max, scale, standardize
from jreg.training import Status, fit, fit_stream
from jreg.training.stream import _step

KEY = jax.random.key(0)


class Source:
    """Rows of arrays; notes which are read."""

    def __init__(self, x, y):
        self.x, self.y, self.read = x, y, []

    def __len__(self):
        return len(self.y)

    def __getitem__(self, number):
        self.read.append(number)
        return self.x[number], self.y[number]


def recipe_of(preprocess=None, outputs=3, **parts):
    defaults = {"loss": losses.softmax_cross_entropy, "optimizer": optax.sgd(0.1, momentum=0.9)}
    return lambda hp: Recipe(nn.MLP((4, outputs)), preprocess=preprocess, **(defaults | parts))


# The same function has the same programs.
PLAIN = recipe_of()


def agree(first, second):
    """The same training but for rounding: one step compiled alone may round another way than inside the whole."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def everything(hp):
    return Recipe(
        nn.MLP((8, 3), dropout=hp["dropout"]),
        losses.softmax_cross_entropy,
        optax.sgd(0.1, momentum=0.9),
        penalty=hp["l2"] * on_params(penalties.l2),
        preprocess=standardize(),
        augment=lambda key, x: x + 0.1 * jax.random.normal(key, x.shape, x.dtype),
        mixing=lambda key, x, y, weights: mixing.mixup(key, x, y, weights, 0.3),
    )


@pytest.mark.slow
def test_all_that_a_step_may_have_gives_what_fit_gives(blobs):
    options = {
        "epochs": 9,
        "batch_size": 16,
        "validation": np.arange(5, 25),
        "stopping": jreg.EarlyStopping(patience=1),
    }
    setting = {"dropout": 0.2, "l2": 1e-3}
    first = fit(KEY, everything, blobs, setting, **options)
    second = fit_stream(KEY, everything, Source(blobs.x, blobs.y), setting, **options)
    agree(first, second)
    assert 0 < first.epochs < 9
    again = fit_stream(KEY, everything, Source(blobs.x, blobs.y), setting, **options, workers=3, prefetch=1)
    for a, b in zip(jax.tree.leaves(second), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_an_autoencoder_of_bytes_in_several_blocks_with_averaged_parameters_gives_what_fit_gives(monkeypatch):
    monkeypatch.setattr("jreg.data.blocks._NUMBERS", 64 * 500)
    for module in ("plan", "stream"):
        monkeypatch.setattr(f"jreg.training.{module}.MOST_ROWS", 180)
    digits = jreg.load_dataset("digits")
    x = np.asarray(digits.x).astype(np.uint8).reshape(-1, 64)
    optimizer = optax.chain(optax.sgd(0.1), jreg.transforms.ema_params(0.9))
    recipe = recipe_of(standardize(), 64, loss=losses.squared_error, optimizer=optimizer, reconstruct=True)
    options = {"epochs": 2, "validation": np.arange(0, 1350, 5), "train": np.arange(1, 1200, 5)}
    agree(
        fit(KEY, recipe, jreg.Dataset(x, digits.y), **options), fit_stream(KEY, recipe, Source(x, digits.y), **options)
    )


@pytest.mark.slow
def test_targets_are_preprocessed_and_missing_values_imputed_as_in_fit():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3)).astype(np.float32)
    y = (100 * x[:, 0] + 7).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    recipe = recipe_of(chain(impute(), min_max()), 1, targets=standardize(), loss=losses.squared_error)
    first = fit(KEY, recipe, jreg.Dataset(x, y, missing="keep"), epochs=3, batch_size=16)
    agree(first, fit_stream(KEY, recipe, Source(x, y), epochs=3, batch_size=16, missing="keep"))


def test_rows_are_read_once_an_epoch_and_only_those_that_are_meant(blobs):
    source = Source(blobs.x, blobs.y)
    fit_stream(KEY, PLAIN, source, epochs=3, batch_size=16, train=np.arange(32), validation=np.arange(40, 50))
    # The first row is looked at twice for its shape.
    assert source.read[:2] == [0, 0]
    counts = np.bincount(source.read[2:], minlength=72)
    assert (counts[:32] == 3).all()
    assert (counts[40:50] == 3).all()
    assert counts.sum() == 3 * 42


@pytest.mark.slow
def test_statistics_are_of_the_training_rows_alone(blobs):
    validation = np.arange(30)
    source = Source(np.where(np.arange(72)[:, None] < 30, 1e6, blobs.x).astype(np.float32), blobs.y)
    fitted = fit_stream(KEY, recipe_of(standardize()), source, epochs=1, validation=validation)
    mean, deviation, _ = fitted.statistics[0]
    np.testing.assert_allclose(mean[0], blobs.x[30:].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(deviation[0], blobs.x[30:].std(axis=0), rtol=1e-5)


class Slow(Source):
    """Rows made when they are asked for, of which no copy is kept; notes what is on the device meanwhile."""

    def __init__(self, length):
        self.length, self.most, self.asked = length, 0, []

    def __len__(self):
        return self.length

    def __getitem__(self, number):
        self.most = max(self.most, sum(array.nbytes for array in jax.live_arrays()))
        self.asked.append(number)
        return np.full(256, number % 3, np.float32), np.int32(number % 3)


@pytest.mark.slow
def test_neither_memory_nor_compilation_grows_with_the_source():
    recipe, most = recipe_of(scale(3.0)), []
    jax.clear_caches()
    for length in (200, 2008):
        source, before = Slow(length), sum(array.nbytes for array in jax.live_arrays())
        options = {"epochs": 1, "batch_size": 32, "validation": np.arange(8)}
        fit_stream(KEY, recipe, source, **options)
        most.append(source.most - before)
    # All rows would be 2 MB, a batch is 32 kB; only the history and the parameters are there beside a few of them.
    assert most[0] < 2e5
    assert most[1] < 2e5
    # The last batch of each epoch is padded, and no shape tells the length.
    assert _step._cache_size() == 1


@pytest.mark.slow
def test_later_epochs_compile_nothing(blobs, counted):
    class Noted(Source):
        def __getitem__(self, number):
            marks.append(counted[0])
            return super().__getitem__(number)

    marks = []
    fit_stream(KEY, recipe_of(), Noted(blobs.x, blobs.y), epochs=4, batch_size=16, validation=np.arange(8))
    assert len(marks) == 2 + 4 * 72
    assert marks[0] < marks[2 + 2 * 72] == marks[-1]


@pytest.mark.slow
def test_only_so_many_batches_are_read_ahead(monkeypatch, blobs):
    source, ahead = Source(blobs.x, blobs.y), []

    def noted(*arguments):
        time.sleep(0.05)
        ahead.append(len(source.read) - 2 - 8 * len(ahead))
        return _step(*arguments)

    monkeypatch.setattr("jreg.training.stream._step", noted)
    fit_stream(KEY, PLAIN, source, epochs=1, batch_size=8, workers=1, prefetch=2)
    # The batch at hand and two more.
    assert 8 <= max(ahead) <= 24


def reading():
    return [thread for thread in threading.enumerate() if thread.name.startswith("grain-prefetch")]


def test_an_interrupt_comes_through_and_no_thread_reads_on(monkeypatch, blobs):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("jreg.training.stream._step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_stream(KEY, PLAIN, Source(blobs.x, blobs.y), epochs=1, batch_size=4)
    for thread in reading():
        thread.join(5)
    assert not reading()


def test_a_training_that_diverges_ends(blobs):
    recipe = recipe_of(optimizer=optax.sgd(1e30))
    fitted = fit_stream(KEY, recipe, Source(blobs.x, blobs.y), epochs=5, batch_size=16)
    assert int(fitted.status) == Status.DIVERGED
    assert int(fitted.epochs) < 5


def test_a_median_is_imputed_by_statistics_of_a_sample(blobs):
    preprocess = impute("median")
    source = Source(blobs.x, blobs.y)
    with pytest.raises(ValueError, match=r"needs all rows at once to be fitted, as impute.*statistics of a sample"):
        fit_stream(KEY, recipe_of(preprocess), source, epochs=1)
    medians = np.float32([[0.5, 0.25]])
    fitted = fit_stream(KEY, recipe_of(preprocess), source, epochs=1, batch_size=16, statistics=(medians, ()))
    np.testing.assert_array_equal(fitted.statistics[0], medians)


def changed(data, row, x=None, y=None):
    rows = [list(pair) for pair in zip(data.x, data.y, strict=True)]
    rows[row] = [rows[row][0] if x is None else x, rows[row][1] if y is None else y]
    return rows


FAULTS = {
    "no-length": (lambda data: iter([1]), TypeError, "the source is a list_iterator, but must have a length and"),
    "empty": (lambda data: [], ValueError, "no rows to train on: the source is empty"),
    "no-pair": (lambda data: [1.0, 2.0], TypeError, r"row 0 of the source is a float, but must be a pair \(x, y\)"),
    "three": (lambda data: [(1, 2, 3)], TypeError, r"row 0 of the source has 3 parts, but must be a pair"),
    "shape": (lambda data: changed(data, 7, np.zeros(3, np.float32)), ValueError, r"row 7 .* of shape \(3,\), but"),
    "dtype": (lambda data: changed(data, 7, np.zeros(2, np.uint8)), ValueError, "row 7 of the source has x uint8"),
    "nan": (lambda data: changed(data, 7, np.float32([0, np.nan])), ValueError, r"source\[7\]'s x has NaN"),
    "label": (lambda data: changed(data, 7, y=np.int32(3)), ValueError, r"source\[7\] has label 3, out of range: .* 3"),
    "negative": (lambda data: changed(data, 7, y=np.int32(-1)), ValueError, r"source\[7\]'s y has label -1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_source_gets_one_sentence(blobs, name):
    make, error, sentence = FAULTS[name]
    with pytest.raises(error, match=sentence) as caught:
        fit_stream(KEY, PLAIN, make(blobs), epochs=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"workers": 0}, ValueError, "workers is 0, but must be at least 1"),
        ({"prefetch": 1.5}, TypeError, "prefetch is 1.5, but must be a whole number"),
        ({"train": [0, 72]}, ValueError, "train names a row outside 0 to 71"),
        ({"validation": [-1]}, ValueError, "validation names a row outside 0 to 71"),
        ({"validation": [0.5]}, TypeError, "validation is float64 of shape"),
        ({"validation": np.arange(72)}, ValueError, "no rows to train on"),
        ({"missing": "drop"}, ValueError, "missing is 'drop', but must be"),
        ({"missing": "keep"}, ValueError, "preprocess leaves them NaN: put jreg.data.impute"),
    ],
)
def test_a_wrong_option_gets_one_sentence(blobs, options, error, sentence):
    with pytest.raises(error, match=sentence):
        fit_stream(KEY, PLAIN, Source(blobs.x, blobs.y), epochs=1, **options)


def test_without_grain_one_sentence_says_how_to_get_it(monkeypatch, blobs):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ImportError, match=r'pip install "jreg\[grain\]"') as caught:
        fit_stream(KEY, PLAIN, Source(blobs.x, blobs.y), epochs=1)
    assert "\n" not in str(caught.value)
