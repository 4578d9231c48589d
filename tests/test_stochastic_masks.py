"""Masks, blocks and branches. Each statistical bound has a false-alarm probability of at most 1e-8; there are fewer
than 50 of them, so that of the file stays below 1e-6. (Seeds are fixed, so a pass repeats.)"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, norm
from test_stochastic import ALARM, assert_binomial, keep_probability

from jreg import stochastic

KEY = jax.random.key(21)
Z = norm.isf(ALARM / 2)

AT_ZERO = {
    "dropout": lambda x, s: stochastic.dropout(KEY, x, s),
    "classic_dropout": lambda x, s: stochastic.classic_dropout(KEY, x, s),
    "weight_scaled": lambda x, s: stochastic.weight_scaled(x, s),
    "spatial_dropout": lambda x, s: stochastic.spatial_dropout(KEY, x, s),
    "drop_connect": lambda x, s: stochastic.drop_connect(KEY, x, s),
    "alpha_dropout": lambda x, s: stochastic.alpha_dropout(KEY, x, s),
    "feature_alpha_dropout": lambda x, s: stochastic.feature_alpha_dropout(KEY, x, s),
    "drop_block": lambda x, s: stochastic.drop_block(KEY, x, s, 2),
    "feature_cutout": lambda x, s: stochastic.feature_cutout(KEY, x, s, axis=(1, 2)),
    "drop_path": lambda x, s: stochastic.drop_path(KEY, x, s),
    "zoneout": lambda x, s: stochastic.zoneout(KEY, x, -x, s),
    "zoneout_average": lambda x, s: stochastic.zoneout_average(x, -x, s),
    "gaussian_noise": lambda x, s: stochastic.gaussian_noise(KEY, x, s),
    "uniform_noise": lambda x, s: stochastic.uniform_noise(KEY, x, s),
    "gaussian_dropout": lambda x, s: stochastic.gaussian_dropout(KEY, x, s),
    "salt_and_pepper": lambda x, s: stochastic.salt_and_pepper(KEY, x, s),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_strength_zero_returns_every_bit(dtype):
    special = [1.0, -1.5, 0.0, -0.0, np.inf, -np.inf, np.nan, float(jnp.finfo(dtype).max)]
    x = np.array([special, special[::-1]]).reshape(2, 4, 2, 1).astype(dtype)
    every = jax.jit(lambda x, s: {name: f(x, s) for name, f in AT_ZERO.items()})
    bits = np.uint32 if dtype == jnp.float32 else np.uint16
    for name, y in every(x, jnp.float32(0)).items():
        assert np.asarray(y).view(bits).tolist() == x.view(bits).tolist(), name


def test_classic_dropout_has_the_mask_of_dropout_and_no_factor():
    x = np.random.default_rng(0).normal(size=40_000).astype(np.float32)
    y = np.asarray(stochastic.classic_dropout(KEY, x, 0.3))
    assert_binomial((y != 0).sum(), x.size, keep_probability(0.3))
    mask = np.asarray(stochastic.dropout(KEY, x, 0.3)) != 0
    assert np.array_equal(y, np.where(mask, x, 0))


def test_drop_connect_keeps_its_share_of_the_weights():
    w = stochastic.drop_connect(KEY, jnp.full((200, 200), 3.0), 0.75)
    assert_binomial(int((w != 0).sum()), 40_000, 0.25)
    assert set(np.unique(w)) == {0.0, 12.0}


def test_spatial_dropout_drops_channels_of_examples():
    y = np.asarray(stochastic.spatial_dropout(KEY, jnp.ones((400, 2, 3, 50)), 0.5))
    assert (y == y[:, :1, :1]).all()
    mask = y[:, 0, 0] != 0
    assert_binomial(mask.sum(), 20_000, 0.5)
    # Neighbouring channels, and the same channels of neighbouring examples, agree like coins.
    assert_binomial((mask[:, 1:] == mask[:, :-1]).sum(), 400 * 49, 0.5)
    assert_binomial((mask[1:] == mask[:-1]).sum(), 399 * 50, 0.5)


@pytest.mark.parametrize("of", [stochastic.spatial_dropout, stochastic.feature_alpha_dropout])
def test_channels_may_stand_first(of):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5, 6, 7)), jnp.float32)
    first = of(KEY, x, 0.5, axis=1)
    last = of(KEY, jnp.moveaxis(x, 1, -1), 0.5)
    assert np.array_equal(first, jnp.moveaxis(last, -1, 1))
    with pytest.raises(ValueError, match="axis is 0, which contains the axis of the examples"):
        of(KEY, x, 0.5, axis=0)
    with pytest.raises(ValueError, match="axis=4 does not exist"):
        of(KEY, x, 0.5, axis=4)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_alpha_dropout_keeps_mean_zero_and_variance_one(rate):
    draw = jax.jit(lambda x: stochastic.alpha_dropout(KEY, x, rate))
    at_0, at_1 = (np.asarray(draw(jnp.full(200, value)), np.float64) for value in (0.0, 1.0))
    q = keep_probability(rate)
    kept = at_0 != at_1
    a, b, dropped = (at_1 - at_0)[kept][0], at_0[kept][0], at_0[~kept][0]
    # The dropped value is SELU's at minus infinity before the affine map; the moments are those of two cases. Both are
    # differences of numbers of up to 2.9, and off by a few roundings of those.
    assert dropped == pytest.approx(a * float(jax.nn.selu(-1e4)) + b, abs=2e-6)
    assert q * b + (1 - q) * dropped == pytest.approx(0, abs=2e-6)
    assert q * (a**2 + b**2) + (1 - q) * dropped**2 == pytest.approx(1, abs=1e-5)


def test_alpha_dropout_keeps_the_moments_of_normal_activations():
    n, q = 1_000_000, keep_probability(0.2)
    x = jax.random.normal(jax.random.key(0), (n,))
    y = np.asarray(stochastic.alpha_dropout(KEY, x, 0.2), np.float64)
    # Central limit theorem with the mixture's true fourth moment, bounded by its largest part.
    assert abs(y.mean()) < Z / np.sqrt(n)
    assert abs((y**2).mean() - 1) < Z * np.sqrt(3 / q**2 / n)


def test_feature_alpha_dropout_saturates_channels_of_examples():
    x = jnp.zeros((400, 2, 3, 50))
    y = np.asarray(stochastic.feature_alpha_dropout(KEY, x, 0.5))
    assert (y == y[:, :1, :1]).all()
    assert_binomial((y[:, 0, 0] > 0).sum(), 20_000, 0.5)


def test_drop_path_drops_examples():
    y = np.asarray(stochastic.drop_path(KEY, jnp.ones((20_000, 1, 3)), 0.2))
    assert (y == y[:, :, :1]).all()
    assert_binomial((y[:, 0, 0] != 0).sum(), 20_000, keep_probability(0.2))
    np.testing.assert_allclose(y[y != 0], 1 / keep_probability(0.2), rtol=1e-6)


def test_linear_depth_rates_leave_the_papers_expected_depth():
    # Huang et al., section 3: with p_L = 0.5 the expected depth of 54 blocks is (3 L - 1) / 4, about 40.
    rates = stochastic.linear_depth_rates(0.5, 54)
    assert float(jnp.sum(1 - rates)) == pytest.approx((3 * 54 - 1) / 4, rel=4e-6)  # up to 54 roundings
    assert float(rates[-1]) == 0.5
    with pytest.raises(ValueError, match="depth is 0, but must be at least 1"):
        stochastic.linear_depth_rates(0.5, 0)


def test_shake_shake_mixes_forward_and_backward_by_independent_uniform_shares():
    n = 5000
    first, second = jnp.ones((n, 2)), jnp.zeros((n, 2))

    def total(first, second):
        y = stochastic.shake_shake(KEY, first, second)
        return y.sum(), y

    (to_first, to_second), y = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(first, second)
    alpha, beta = np.asarray(y), np.asarray(to_first)
    assert (alpha == alpha[:, :1]).all()
    assert (beta == beta[:, :1]).all()
    np.testing.assert_allclose(to_second, 1 - beta, atol=1e-6)
    for share in (alpha[:, 0], beta[:, 0]):
        assert kstest(share, "uniform").pvalue > ALARM
    assert abs(np.corrcoef(alpha[:, 0], beta[:, 0])[0, 1]) < Z / np.sqrt(n)
    # Forward mode takes the same shares as reverse mode.
    tangent = jax.jvp(lambda a: stochastic.shake_shake(KEY, a, second), (first,), (first,))[1]
    np.testing.assert_allclose(tangent, beta, atol=1e-6)


def test_shake_shake_of_equal_branches_is_the_branch():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
    np.testing.assert_allclose(stochastic.shake_shake(KEY, x, x), x, atol=1e-6)
    with pytest.raises(ValueError, match=r"branches have shapes \(6, 3\) and \(6, 2\)"):
        stochastic.shake_shake(KEY, x, x[:, :2])


def test_zoneout_keeps_the_previous_state_at_its_rate():
    new, previous = jnp.full(20_000, 1.0), jnp.full(20_000, 5.0)
    y = np.asarray(stochastic.zoneout(KEY, new, previous, 0.25))
    assert_binomial((y == 5).sum(), 20_000, 0.25)
    assert ((y == 1) | (y == 5)).all()
    assert stochastic.zoneout_average(new, previous, 0.25)[0] == 0.75 * 1 + 0.25 * 5
    assert stochastic.zoneout_average(new, previous * jnp.inf, 0.0)[0] == 1
    for of in (lambda *a: stochastic.zoneout(KEY, *a), stochastic.zoneout_average):
        with pytest.raises(ValueError, match=r"states have shapes \(20000,\) and \(3,\)"):
            of(new, previous[:3], 0.5)


drop_block = jax.jit(stochastic.drop_block, static_argnums=3)


def test_drop_block_zeroes_whole_blocks_and_rescales_by_the_share_left():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 7, 9, 4)), jnp.float32)
    y = np.asarray(drop_block(KEY, x, 0.3, 3))
    zero = y == 0
    covered = np.zeros_like(zero)
    for n, i, j, c in np.ndindex(6, 5, 7, 4):
        if zero[n, i : i + 3, j : j + 3, c].all():
            covered[n, i : i + 3, j : j + 3, c] = True
    assert np.array_equal(covered, zero)
    for n in range(6):
        left = ~zero[n]
        assert 0 < left.sum() < left.size
        np.testing.assert_allclose(y[n][left], np.asarray(x)[n][left] * (left.size / left.sum()), rtol=1e-6)


def test_drop_block_drops_each_element_as_often_as_blocks_cover_it():
    n, rate, block, side = 20_000, 0.3, 3, 6
    y = np.asarray(drop_block(KEY, jnp.ones((n // 20, side, side, 20)), rate, block))
    gamma = rate / block**2 * side**2 / (side - block + 1) ** 2
    gamma = 1 - keep_probability(gamma)
    # A corner lies in one block, the middle in nine.
    assert_binomial((y[:, 0, 0] == 0).sum(), n, gamma)
    assert_binomial((y[:, 2, 3] == 0).sum(), n, 1 - (1 - gamma) ** 9)


def test_drop_block_of_one_element_is_dropout_and_of_the_whole_map_drops_channels():
    x = jnp.ones((10, 4, 5, 500))
    single = np.asarray(drop_block(KEY, x, 0.3, 1))
    assert_binomial((single != 0).sum(), x.size, keep_probability(0.3))
    whole = np.asarray(drop_block(KEY, jnp.ones((10, 4, 4, 500)), 0.3, 4)) != 0
    assert (whole == whole[:, :1, :1]).all()
    assert_binomial(whole[:, 0, 0].sum(), 5000, keep_probability(0.3))


def test_drop_block_of_one_example_does_not_depend_on_the_others():
    x = jnp.ones((2, 5, 5, 3))
    alone = drop_block(KEY, x, 0.3, 2)
    beside = drop_block(KEY, x.at[1].set(100.0), 0.3, 2)
    assert np.array_equal(alone[0], beside[0])


@pytest.mark.parametrize("block", [0, 6])
def test_drop_block_refuses_blocks_that_do_not_fit(block):
    with pytest.raises(ValueError, match=f"block_size is {block}, but must be at"):
        stochastic.drop_block(KEY, jnp.ones((2, 5, 7, 3)), 0.3, block)


def test_feature_cutout_zeroes_one_run_at_a_uniform_place():
    n, size, length = 20_000, 7, 3
    y = np.asarray(stochastic.feature_cutout(KEY, jnp.ones((n, size)), 0.4))  # 2.8 features
    starts = (y == 0).argmax(axis=1)
    index = np.arange(size)
    assert np.array_equal(y == 0, (index >= starts[:, None]) & (index < starts[:, None] + length))
    for count in np.bincount(starts, minlength=size - length + 1):
        assert_binomial(count, n, 1 / (size - length + 1), ALARM / 5)


def test_feature_cutout_along_two_axes_cuts_a_rectangle_out_of_all_channels():
    y = np.asarray(stochastic.feature_cutout(KEY, jnp.ones((50, 4, 6, 3)), 0.5, axis=(1, 2)))
    zero = y == 0
    assert (zero == zero[..., :1]).all()
    rows, columns = zero[..., 0].any(axis=2), zero[..., 0].any(axis=1)
    assert (rows.sum(axis=1) == 2).all()
    assert (columns.sum(axis=1) == 3).all()
    assert np.array_equal(zero[..., 0], rows[:, :, None] & columns[:, None, :])
    assert len({tuple(row) for row in rows.tolist()}) == 3  # all places; one is missing with 3 (2/3)^50 < 5e-9


BATCHED = {"spatial_dropout": 2, "feature_alpha_dropout": 2, "drop_block": 3, "feature_cutout": 2, "drop_path": 1}
RATES = sorted(set(AT_ZERO) - {"gaussian_noise", "uniform_noise"})


@pytest.mark.parametrize("name", RATES)
def test_bad_rates_are_refused(name):
    for rate in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=rf"{name}'s rate is .* must lie in \[0, 1\)"):
            AT_ZERO[name](jnp.ones((2, 4, 4, 3)), rate)


@pytest.mark.parametrize("name", AT_ZERO)
def test_whole_numbers_are_refused(name):
    with pytest.raises(TypeError, match=rf"{name}'s [xw] has dtype int32, but must have a floating one"):
        AT_ZERO[name](jnp.ones((2, 4, 4, 3), jnp.int32), 0.5)


@pytest.mark.parametrize(("name", "axes"), BATCHED.items())
def test_arrays_with_too_few_axes_are_refused(name, axes):
    with pytest.raises(ValueError, match=f"{name}'s x has shape .* needs {axes} axes or more"):
        AT_ZERO[name](jnp.ones((4,) * (axes - 1)), 0.5)
