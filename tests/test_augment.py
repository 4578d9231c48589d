"""Augmentations beside scipy and by their distributions. Each statistical bound has a false-alarm probability of at
most 1e-8 for right code, and there are fewer than 50 of them; seeds are fixed, so a pass repeats."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import binom, kstest

from jreg import augment
from jreg.report import augmented

ALARM = 1e-8
RNG = np.random.default_rng(0)
IMAGE = RNG.random((9, 7)).astype(np.float32)
PHOTO = RNG.random((6, 5, 3)).astype(np.float32)
# jax.scipy.ndimage's modes under scipy's names: https://github.com/scipy/scipy/issues/2640
SCIPY = {"constant": "grid-constant", "nearest": "nearest", "reflect": "reflect", "wrap": "grid-wrap"}


# One program each for several tests: the operations one by one are a program each, and the contract looks at them.
warp = jax.jit(augment.warp, static_argnums=(3, 4))
gaussian_blur = jax.jit(augment.gaussian_blur)


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def drawn(f, x, count, seed=0):
    """The augmentation of one image with many keys."""
    return np.asarray(jax.jit(jax.vmap(f, in_axes=(0, None)))(keys(count, seed), jnp.asarray(x)))


def assert_uniform(values, low, high):
    assert low <= values.min() < values.max() <= high
    assert kstest((values - low) / (high - low), "uniform").pvalue > ALARM


def assert_binomial(count, trials, probability):
    low, high = binom.ppf([ALARM / 2, 1 - ALARM / 2], trials, probability)
    assert low <= count <= high


@pytest.mark.parametrize("mode", SCIPY)
def test_warp_is_scipys_affine_transform(mode):
    turned = np.array(augment.affine_matrix(rotation=30.0, shift=(1.3, -2.2), zoom=0.6, stretch=1.4, shear=12.0))
    middle = (np.array(IMAGE.shape) - 1) / 2
    a, b = turned[:, :2].astype(float), turned[:, 2].astype(float)
    expected = ndimage.affine_transform(
        IMAGE.astype(float), a, offset=middle + b - a @ middle, order=1, mode=SCIPY[mode], cval=0.3
    )
    np.testing.assert_allclose(warp(IMAGE, turned, None, mode, 0.3), expected, 0, 2e-6)


def test_warp_with_a_displacement_is_scipys_map_coordinates():
    displacement = RNG.normal(size=(2, *PHOTO.shape[:2])).astype(np.float32)
    places = np.indices(PHOTO.shape[:2]) + displacement
    out = warp(PHOTO, np.eye(2, 3, dtype=np.float32), displacement, "nearest")
    for channel in range(3):
        expected = ndimage.map_coordinates(PHOTO[..., channel].astype(float), places, order=1, mode="nearest")
        np.testing.assert_allclose(out[..., channel], expected, 0, 2e-6)


def test_the_matrix_moves_a_point_as_its_numbers_say():
    spot = jnp.zeros((9, 9)).at[4, 6].set(1.0)  # two pixels to the right of the centre

    def place(**numbers):
        moved = warp(spot, augment.affine_matrix(**numbers))
        return np.unravel_index(np.argmax(moved), moved.shape)

    assert place(rotation=90.0) == (2, 4)  # counter-clockwise: up
    assert place(rotation=180.0) == (4, 2)
    assert place(shift=(1.0, 2.0)) == (5, 8)
    assert place(zoom=2.0) == (4, 8)
    assert place(stretch=4.0) == (4, 5)  # half as wide
    low = jnp.zeros((9, 9)).at[6, 4].set(1.0)
    slanted = warp(low, augment.affine_matrix(shear=45.0))
    assert np.unravel_index(np.argmax(slanted), slanted.shape) == (6, 6)


def test_quarter_turns_are_numpys_to_rounding():
    square = IMAGE[:7]
    turned = warp(square, augment.affine_matrix(rotation=90.0), None, "nearest")
    np.testing.assert_allclose(turned, np.rot90(square), 0, 3e-6)


def measured(f, count=3000):
    """The (2, 3) matrices that an augmentation drew, from what it makes of two ramps, to which resampling is exact."""
    down, right = np.indices((9, 9), dtype=np.float32)
    ramps = jnp.stack([down, right], -1)
    # Around the centre, where nothing comes from outside.
    centre = drawn(f, ramps, count)[:, 3:6, 3:6]
    middle = centre[:, 1, 1]
    by_row, by_column = centre[:, 2, 1] - middle, centre[:, 1, 2] - middle
    return np.concatenate([np.stack([by_row, by_column], -1), (middle - 4)[..., None]], -1)


def test_rotate_draws_uniform_angles():
    a = measured(partial(augment.rotate, degrees=20.0))
    assert_uniform(np.rad2deg(np.arctan2(a[:, 0, 1], a[:, 0, 0])), -20.001, 20.001)
    np.testing.assert_allclose(np.linalg.det(a[:, :, :2]), 1, 0, 1e-4)


def test_affine_draws_independent_uniform_amounts():
    a = measured(partial(augment.affine, shift=1.0, zoom=0.2, stretch=0.1))
    assert_uniform(a[:, 0, 2] / a[:, 0, 0], -1.001, 1.001)
    assert_uniform(a[:, 1, 2] / a[:, 1, 1], -1.001, 1.001)
    assert_uniform(np.log(np.linalg.det(a[:, :, :2])) / -2, -np.log(1.2) - 1e-4, np.log(1.2) + 1e-4)
    assert_uniform(np.log(a[:, 1, 1] / a[:, 0, 0]), -np.log(1.1) - 1e-4, np.log(1.1) + 1e-4)
    amounts = [a[:, 0, 2] / a[:, 0, 0], a[:, 1, 2] / a[:, 1, 1], np.linalg.det(a[:, :, :2]), a[:, 1, 1] / a[:, 0, 0]]
    # A correlation of 3,000 independent pairs has standard deviation 0.018; 6.5 of these for 6 pairs.
    assert np.abs(np.corrcoef(amounts) - np.eye(4)).max() < 6.5 / np.sqrt(3000)


def field(count, alpha, sigma, size=33):
    """The displacements that elastic draws, from what it makes of two ramps."""
    ramps = np.stack(np.indices((size, size), dtype=np.float32), -1)
    moved = drawn(partial(augment.elastic, alpha=alpha, sigma=sigma, mode="nearest"), ramps, count)
    return moved - ramps


def test_elastic_displaces_by_the_stated_deviation():
    d = field(400, alpha=10.0, sigma=2.0)[:, 16, 16]
    expected = 10 / (2 * np.sqrt(3 * np.pi) * 2)
    # 800 nearly Gaussian numbers: chi squared, which 6 deviations bound at 1e-8.
    assert abs(np.mean(d**2) / expected**2 - 1) < 6 * np.sqrt(2 / 800)
    assert abs(np.mean(d)) < 6 * expected / np.sqrt(800)
    assert abs(np.corrcoef(d.T)[0, 1]) < 6 / np.sqrt(400)


def test_elastic_displacement_is_as_smooth_as_scipys_filter_makes_it():
    noise = np.random.default_rng(1).uniform(-1, 1, (400, 33, 33))
    peer = 10 * np.stack([ndimage.gaussian_filter(one, 2.0, mode="constant", truncate=8.0) for one in noise])
    ours = field(400, alpha=10.0, sigma=2.0)[..., 0]
    for distance in (1, 2, 4):
        theirs, mine = (
            np.mean(f[:, 16, 10] * f[:, 16, 10 + distance]) / np.mean(f[:, 16, 10] ** 2) for f in (peer, ours)
        )
        # Both are correlations of 400 pairs; 6 deviations of their difference.
        assert abs(theirs - mine) < 6 * np.sqrt(2 / 400)
    # At the corner noise comes from a quarter of the kernel.
    ratio = np.mean(ours[:, 0, 0] ** 2) / np.mean(peer[:, 0, 0] ** 2)
    assert abs(ratio - 1) < 6 * np.sqrt(4 / 400)


def test_affine_elastic_without_a_field_is_an_affine_map_and_without_a_map_a_field():
    ramps = np.stack(np.indices((9, 9), dtype=np.float32), -1)
    turned = drawn(partial(augment.affine_elastic, alpha=0.0, sigma=3.0, rotation=20.0), ramps, 5)[:, 3:6, 3:6]
    by_row = turned[:, 2, 1] - turned[:, 1, 1]
    np.testing.assert_allclose(turned[:, 1, 1], 4, 0, 1e-5)
    np.testing.assert_allclose(np.linalg.norm(by_row, axis=-1), 1, 0, 1e-4)
    assert (by_row[:, 1] != 0).all()


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0])
def test_gaussian_blur_is_scipys(sigma):
    expected = ndimage.gaussian_filter(IMAGE.astype(float), sigma, mode="reflect", truncate=12.0)
    np.testing.assert_allclose(gaussian_blur(IMAGE, sigma), expected, 0, 1e-6)


def test_blur_draws_a_width_up_to_sigma():
    spot = np.zeros((15, 15), np.float32)
    spot[7, 7] = 1
    centre = drawn(partial(augment.blur, sigma=1.0), spot, 2000)[:, 7, 7]
    expected = float(gaussian_blur(spot, 0.5)[7, 7])
    assert_binomial((centre > expected).sum(), 2000, 0.5)
    assert centre.min() > float(gaussian_blur(spot, 1.0)[7, 7]) - 1e-6


@pytest.mark.parametrize(("flip", "axis"), [(augment.flip_left_right, 1), (augment.flip_up_down, 0)])
def test_flips_mirror_with_their_probability(flip, axis):
    flipped = drawn(partial(flip, p=0.3), PHOTO, 2000)
    mirrored = (flipped == np.flip(PHOTO, axis)).all((1, 2, 3))
    assert (mirrored | (flipped == PHOTO).all((1, 2, 3))).all()
    assert_binomial(mirrored.sum(), 2000, 0.3)


@pytest.mark.parametrize(("mode", "numpys"), [("constant", "constant"), ("nearest", "edge"), ("reflect", "symmetric")])
def test_crops_are_windows_of_the_padded_image_all_equally_often(mode, numpys):
    padded = np.pad(IMAGE, 1, numpys)
    windows = np.stack([padded[i : i + 9, j : j + 7] for i in range(3) for j in range(3)])
    cropped = drawn(partial(augment.crop, padding=1, mode=mode), IMAGE, 1800)
    found = (cropped[:, None] == windows).all((2, 3))
    assert (found.sum(1) == 1).all()
    for count in found.sum(0):
        assert_binomial(count, 1800, 1 / 9)


def test_brightness_and_contrast_draw_uniform_amounts():
    assert_uniform((drawn(partial(augment.brightness, delta=0.2), IMAGE, 2000) - IMAGE)[:, 0, 0], -0.2001, 0.2001)
    changed = drawn(partial(augment.contrast, amount=0.5), PHOTO, 2000)
    np.testing.assert_allclose(changed.mean((1, 2)), np.broadcast_to(PHOTO.mean((0, 1)), (2000, 3)), 0, 1e-6)
    assert_uniform(changed.std((1, 2))[:, 0] / PHOTO[..., 0].std(), 0.4999, 1.5001)


def test_hue_and_saturation_are_those_of_the_standard_library():
    import colorsys

    photo = 0.1 + 0.8 * PHOTO
    before = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in photo.reshape(-1, 3)])
    for f, part in ((partial(augment.hue, amount=0.3), 0), (partial(augment.saturation, amount=0.4), 1)):
        out = np.asarray(jax.jit(f)(jax.random.key(4), photo))
        after = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in out.reshape(-1, 3)])
        others = [n for n in range(3) if n != part]
        np.testing.assert_allclose(after[:, others], before[:, others], 0, 2e-5)
        if part == 0:
            turned = (after[:, 0] - before[:, 0] + 0.5) % 1 - 0.5
            assert 0.001 < abs(turned[0]) <= 0.3
            np.testing.assert_allclose(turned, turned[0], 0, 2e-5)
        else:
            ratio = after[:, 1] / before[:, 1]
            inside = after[:, 1] < 0.999
            assert 0.6 <= ratio.min() < 1.4
            np.testing.assert_allclose(ratio[inside], np.median(ratio[inside]), 1e-4)


def test_cutout_erases_a_square_around_every_pixel_equally_often():
    erased = drawn(partial(augment.cutout, size=3, fill=-1.0), np.ones((5, 5), np.float32), 2500) == -1
    sizes = erased.any(2).sum(1) * erased.any(1).sum(1)
    assert (erased.sum((1, 2)) == sizes).all()
    # 3 of 5 middles keep the whole side, 2 lose one pixel at the edge.
    for size, share in ((9, 9 / 25), (6, 12 / 25), (4, 4 / 25)):
        assert_binomial((sizes == size).sum(), 2500, share)


def test_random_erasing_erases_rectangles_inside_of_uniform_area():
    erased = drawn(partial(augment.random_erasing, area=0.2, fill=-1.0), np.ones((60, 60), np.float32), 1500) == -1
    rows, columns = erased.any(2).sum(1), erased.any(1).sum(1)
    assert (erased.sum((1, 2)) == rows * columns).all()
    # Sides are whole pixels: an area is right to about a pixel in 27, which shifts a share of 0.5 by less than 0.05.
    half = (rows * columns < 0.1 * 3600).mean()
    assert abs(half - 0.5) < 0.05 + 6 * np.sqrt(0.25 / 1500)
    assert (rows * columns).max() <= 0.2 * 3600 * 1.1


def test_change_pixels_changes_its_share_of_pixels_with_all_channels():
    changed = drawn(partial(augment.change_pixels, rate=0.2, low=-1.0, high=-0.5), np.ones((20, 20, 2), np.float32), 20)
    where = changed < 0
    assert (where[..., 0] == where[..., 1]).all()
    assert_binomial(where[..., 0].sum(), 8000, 0.2)
    assert_uniform(changed[where].astype(float), -1.0, -0.5)


def test_one_draw_an_image_under_vmap():
    f = partial(augment.affine_elastic, alpha=8.0, sigma=3.0, rotation=20.0, shift=1.0)
    for g in (f, partial(augment.brightness, delta=0.3), partial(augment.change_pixels, rate=0.5)):
        images = drawn(g, IMAGE, 4)
        assert len({image.tobytes() for image in images}) == 4


def test_with_probability_and_rand_augment_choose_as_often_as_they_say():
    ones = np.ones((2, 2), np.float32)
    sometimes = drawn(augment.with_probability(lambda key, x: x * 2, 0.25), ones, 2000)[:, 0, 0]
    assert_binomial((sometimes == 2).sum(), 2000, 0.25)
    choices = [lambda key, x, m: x * 2, lambda key, x, m: x * 3, lambda key, x, m: x + 0 * m]
    f = partial(augment.rand_augment, choices=choices, n=2, magnitude=0.5)
    product = drawn(f, ones, 1800)[:, 0, 0]
    for value, share in ((1, 1), (2, 2), (3, 2), (4, 1), (6, 2), (9, 1)):
        assert_binomial((product == value).sum(), 1800, share / 9)


def test_compose_gives_each_its_own_key_in_order():
    first = lambda key, x: x + jax.random.uniform(key)  # noqa: E731
    both = augment.compose(first, lambda key, x: x * 0 + jax.random.uniform(key) - x, first)
    values = np.asarray(both(jax.random.key(0), jnp.zeros((2, 2))))
    a, b, c = (float(jax.random.uniform(key)) for key in keys(3))
    np.testing.assert_allclose(values, b - a + c, 1e-6)
    assert len({a, b, c}) == 3
    np.testing.assert_array_equal(augment.compose()(jax.random.key(0), jnp.asarray(IMAGE)), IMAGE)


def test_color_jitter_without_colours_takes_grey_images():
    assert augment.color_jitter(jax.random.key(0), jnp.asarray(IMAGE), brightness=0.1).shape == IMAGE.shape


def test_colours_without_dm_pix_say_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dm_pix", None)
    with pytest.raises(ImportError, match=r"pip install 'jreg\[image\]'"):
        augment.hue(jax.random.key(0), jnp.asarray(PHOTO), 0.1)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda k: augment.rotate(k, jnp.ones(64), 5.0), ValueError, "as_image for flat rows"),
        (lambda k: augment.rotate(k, jnp.ones((8, 28, 28, 1)), 5.0), ValueError, "jax.vmap over a batch"),
        (lambda k: augment.blur(k, jnp.ones((3, 32, 32)), 1.0), ValueError, "move channels to the end"),
        (lambda k: augment.cutout(k, jnp.ones((0, 4)), 1), ValueError, r"shape \(0, 4\)"),
        (lambda k: augment.shift(k, jnp.ones((8, 8), jnp.uint8), 1.0), TypeError, r"dtype uint8.*preprocess first"),
        (lambda k: augment.shift(k, jnp.ones((8, 8)), 1.0, "mirrored"), ValueError, "one of constant, nearest"),
        (lambda k: augment.crop(k, jnp.ones((8, 8)), -1), ValueError, "padding is -1"),
        (lambda k: augment.flip_left_right(k, jnp.ones((8, 8)), 1.5), ValueError, r"p is 1.5.*\[0, 1\]"),
        (lambda k: augment.with_probability(lambda k, x: x, -0.1), ValueError, "p is -0.1"),
        (lambda k: augment.random_erasing(k, jnp.ones((8, 8)), 2.0), ValueError, "area is 2"),
        (lambda k: augment.elastic(k, jnp.ones((8, 8)), float("nan"), 4.0), ValueError, "alpha is nan"),
        (lambda k: augment.affine_elastic(k, jnp.ones((8, 8)), 1.0, 4.0, rotation=-3.0), ValueError, "rotation is -3"),
        (lambda k: augment.hue(k, jnp.ones((8, 8)), 0.1), ValueError, r"needs \(height, width, 3\)"),
        (lambda k: augment.change_pixels(k, jnp.ones((8, 8)), 0.1, 1.0, 0.0), ValueError, "low must be below high"),
        (lambda k: augment.warp(jnp.ones((8, 8)), jnp.eye(3)), ValueError, r"needs \(2, 3\)"),
        (lambda k: augment.warp(jnp.ones((8, 8)), jnp.eye(2, 3), jnp.ones((2, 3, 3))), ValueError, r"\(2, 8, 8\)"),
        (lambda k: augment.rand_augment(k, jnp.ones((8, 8)), [], 1, 1.0), ValueError, "got no choices"),
        (lambda k: augment.rand_augment(k, jnp.ones((8, 8)), [augment.shift], 1.5, 1.0), TypeError, "whole number"),
        (lambda k: augment.as_image(lambda k, x: x, (8, 8))(k, jnp.ones(63)), ValueError, "no image of shape"),
    ],
)
def test_bad_input_gets_one_sentence(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call(jax.random.key(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 8, 6, 3)])
def test_the_picture_has_originals_labels_and_augmented_images(shape, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images[:, 0, 0], images[:, 0, 1] = 0, 255
    path = tmp_path / "augmented.png"
    inverted = lambda key, x: 1 - x  # noqa: E731
    figure = augmented(jax.random.key(0), inverted, images, [4, 5, 6], path, columns=3)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["4", "5", "6"]
    first, second = (np.asarray(axes.images[0].get_array()) for axes in figure.axes[:2])
    scaled = images / 255
    np.testing.assert_allclose(first, scaled[0], 0, 1e-6)
    np.testing.assert_allclose(second, 1 - scaled[0], 0, 1e-6)


def test_the_picture_of_flat_rows_says_what_to_do():
    with pytest.raises(ValueError, match="reshape rows that are flat"):
        augmented(jax.random.key(0), lambda key, x: x, np.ones((3, 64)), [0, 1, 2])
