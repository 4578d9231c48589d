"""Mixing by what rows are made of. Each statistical bound has a false-alarm probability of at most 1e-8 for right code,
and there are fewer than 50 of them; seeds are fixed, so a pass repeats."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import beta, binom, kstest

from jreg import mixing

# Random draws from a beta distribution compile long; the contract's rows and the docstrings run every function.
pytestmark = pytest.mark.slow

ALARM = 1e-8
SIZE = 12
# Rows 3 and 7 are padding, whose values would be seen anywhere.
WEIGHTS = np.ones(SIZE, np.float32)
WEIGHTS[[3, 7]] = 0
DATA = WEIGHTS > 0
LABELS = np.arange(SIZE) % 3
Y = np.eye(3, dtype=np.float32)[LABELS]
# Row i is the i-th unit vector: what a mixed row is made of can be read off.
X = np.eye(SIZE, dtype=np.float32)


def mixed(f, count=400, x=X, y=Y, weights=WEIGHTS):
    batch = jax.tree.map(jnp.asarray, (x, y, weights))
    run = jax.jit(jax.vmap(lambda key: f(key, *batch)))
    return jax.tree.map(np.asarray, run(jax.random.split(jax.random.key(0), count)))


@pytest.fixture(scope="module")
def by_mixup():
    return mixed(partial(mixing.mixup, alpha=0.4), 2000)


def assert_no_padding(parts):
    assert (parts[:, DATA][:, :, ~DATA] == 0).all()


def assert_binomial(count, trials, probability):
    low, high = binom.ppf([ALARM / 2, 1 - ALARM / 2], trials, probability)
    assert low <= count <= high


def test_mixup_mixes_labels_as_it_mixes_examples(by_mixup):
    x, y = by_mixup
    assert_no_padding(x)
    np.testing.assert_allclose(x.sum(2), 1, 0, 1e-6)
    np.testing.assert_allclose(y.sum(2), 1, 0, 1e-6)
    np.testing.assert_allclose(y, x @ Y, 0, 1e-6)
    # Padding stays what it was.
    np.testing.assert_array_equal(x[:, ~DATA], np.broadcast_to(X[~DATA], (2000, 2, SIZE)))


def test_mixups_shares_are_betas_and_its_partners_a_uniform_permutation(by_mixup):
    x, _ = by_mixup
    others = x[:, DATA][:, :, DATA]
    own = np.diagonal(others, axis1=1, axis2=2)
    alone = own == 1
    # Of ten rows, each is its own partner once in ten.
    assert_binomial(alone[:, 0].sum(), 2000, 1 / 10)
    assert_binomial((others[:, 0, 1] > 0).sum(), 2000, 1 / 10)
    share = own[:, 0][~alone[:, 0]]
    # max(b, 1 - b) has twice the density of b above one half.
    assert kstest(2 * beta.cdf(share, 0.4, 0.4) - 1, "uniform").pvalue > ALARM


def test_cutmix_pastes_a_box_and_mixes_labels_by_its_area():
    images = np.broadcast_to(np.arange(SIZE, dtype=np.float32)[:, None, None, None], (SIZE, 6, 5, 2)).copy()
    x, y = mixed(partial(mixing.cutmix, alpha=1.0), x=images)
    assert not np.isin(x[:, DATA], [3, 7]).any()
    assert (x[..., 0] == x[..., 1]).all()
    foreign = x[..., 0] != np.arange(SIZE)[:, None, None]
    rows, columns = foreign.any(3).sum(2), foreign.any(2).sum(2)
    assert (foreign.sum((2, 3)) == rows * columns).all()
    assert foreign.any()
    np.testing.assert_allclose(y.sum(2), 1, 0, 1e-6)
    labels = np.eye(3)[LABELS[x[..., 0].astype(int)]].mean((2, 3))
    np.testing.assert_allclose(y, labels, 0, 1e-6)


def test_cutmix_takes_the_share_it_drew_where_the_box_is_inside():
    images = np.zeros((2, 40, 40), np.float32)
    images[1] = 1
    x, _ = mixed(partial(mixing.cutmix, alpha=1.0), 1000, images, Y[:2], WEIGHTS[:2])
    pasted = x[:, 0].mean((1, 2))
    # With Beta(1, 1) the box's area is uniform; half of the pairs are (0, 0), and edges only take away.
    assert_binomial((pasted == 0).sum(), 1000, 0.5 + 0.5 * (1 / 40) ** 2)
    assert (pasted < 0.25).sum() - (pasted == 0).sum() >= binom.ppf(ALARM, 1000, 0.5 * 0.25)


def test_sample_pairing_averages_pairs_at_its_rate_and_keeps_labels():
    x, y = mixed(partial(mixing.sample_pairing, rate=0.3), 1000)
    assert_no_padding(x)
    np.testing.assert_array_equal(y, np.broadcast_to(Y, y.shape))
    assert set(np.unique(x)) == {0.0, 0.5, 1.0}
    # Nine of ten partners are others.
    assert_binomial((x[:, 0, 0] == 0.5).sum(), 1000, 0.3 * 0.9)


def test_smote_stays_between_rows_of_a_class():
    x, y = mixed(partial(mixing.smote, reach=0.6), 1500)
    assert_no_padding(x)
    np.testing.assert_array_equal(y, np.broadcast_to(Y, y.shape))
    np.testing.assert_allclose(x.sum(2), 1, 0, 1e-6)
    same = LABELS[:, None] == LABELS
    assert (x[:, ~same] == 0).all()
    # Row 0 has the class of 6 and 9 (and of 3, which is padding): each is the partner half of the time.
    assert_binomial((x[:, 0, 6] > 0).sum(), 1500, 0.5)
    far = 1 - x[:, 0, 0]
    assert kstest(far / 0.6, "uniform").pvalue > ALARM


def test_smote_leaves_a_class_of_one_as_it_is():
    x, _ = mixed(partial(mixing.smote, reach=1.0), 5, X[:3], Y[:3], WEIGHTS[:3])
    np.testing.assert_array_equal(x, np.broadcast_to(X[:3], x.shape))


def test_label_smoothing_is_that_of_the_paper():
    _, y = mixed(partial(mixing.label_smoothing, rate=0.3), 1)
    np.testing.assert_allclose(y[0], 0.7 * Y + 0.1, 1e-6)


@pytest.mark.parametrize("f", [mixing.mixup, mixing.cutmix, mixing.sample_pairing, mixing.smote])
def test_infinite_padding_reaches_no_data_and_nothing_is_mixed_at_zero(f):
    images = np.ones((SIZE, 4, 4), np.float32)
    images[~DATA] = np.inf
    batch = jax.tree.map(jnp.asarray, (images, Y, WEIGHTS))
    run = jax.jit(jax.vmap(lambda key, strength: f(key, *batch, strength)))
    x, y = run(jax.random.split(jax.random.key(0), 23), jnp.float32([1.0] * 20 + [0.0] * 3))
    np.testing.assert_allclose(x[:20, DATA], 1, 1e-6)
    np.testing.assert_array_equal(x[20:], np.broadcast_to(images, (3, *images.shape)))
    np.testing.assert_array_equal(y[20:], np.broadcast_to(Y, (3, *Y.shape)))


def test_mixing_takes_targets_of_regression_too():
    targets = np.arange(SIZE, dtype=np.float32)[:, None]
    x, y = mixed(partial(mixing.mixup, alpha=1.0), 3, y=targets)
    np.testing.assert_allclose(y, x @ targets, 1e-5)


def test_compose_mixes_one_after_another():
    both = mixing.compose(partial(mixing.label_smoothing, rate=0.3), partial(mixing.label_smoothing, rate=0.5))
    _, y = mixed(both, 1)
    np.testing.assert_allclose(y[0], 0.5 * (0.7 * Y + 0.1) + 0.5 / 3, 1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda k: mixing.mixup(k, X, LABELS, WEIGHTS, 0.2), ValueError, "jax.nn.one_hot makes such labels"),
        (lambda k: mixing.mixup(k, X, Y[:5], WEIGHTS, 0.2), ValueError, r"\(5, 3\)"),
        (lambda k: mixing.mixup(k, X, Y, WEIGHTS[:5], 0.2), ValueError, r"\(5,\)"),
        (lambda k: mixing.mixup(k, X, Y.astype(int), WEIGHTS, 0.2), TypeError, "y has dtype int"),
        (lambda k: mixing.smote(k, X.astype(np.uint8), Y, WEIGHTS, 0.2), TypeError, "x has dtype uint8"),
        (lambda k: mixing.mixup(k, X, Y, WEIGHTS, -1.0), ValueError, "alpha is -1"),
        (lambda k: mixing.cutmix(k, X, Y, WEIGHTS, 1.0), ValueError, "needs images"),
        (lambda k: mixing.sample_pairing(k, X, Y, WEIGHTS, 1.2), ValueError, "rate is 1.2"),
        (lambda k: mixing.smote(k, X, Y, WEIGHTS, 1.2), ValueError, "reach is 1.2"),
        (lambda k: mixing.label_smoothing(k, X, Y, WEIGHTS, -0.2), ValueError, "rate is -0.2"),
    ],
)
def test_bad_input_gets_one_sentence(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call(jax.random.key(0))
    assert "\n" not in str(caught.value)
