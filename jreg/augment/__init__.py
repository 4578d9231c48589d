"""Image augmentation: plain functions ``(key, x, magnitudes) -> x`` of one image, whose magnitudes may be traced.

An image is ``(height, width)`` or ``(height, width, channels)`` with at most four channels, of a floating dtype. A
batch is augmented with one key per image, ``jax.vmap(f)(jax.random.split(key, len(x)), x)``: with one key for all, all
would be changed alike. Magnitude 0 leaves an image as it is. `warp`, `affine_matrix` and `gaussian_blur` draw nothing.
"""

from jreg.augment.affine_maps import affine, rotate, shear, shift, stretch, zoom
from jreg.augment.blurring import blur, gaussian_blur
from jreg.augment.distortion import affine_elastic, elastic
from jreg.augment.erasing import change_pixels, cutout, random_erasing
from jreg.augment.flips import crop, flip_left_right, flip_up_down
from jreg.augment.intensity import brightness, color_jitter, contrast, hue, saturation
from jreg.augment.selection import as_image, compose, rand_augment, with_probability
from jreg.augment.warping import affine_matrix, warp

__all__ = [
    "flip_left_right", "flip_up_down", "crop", "shift", "rotate", "zoom", "stretch", "shear", "affine", "elastic",
    "affine_elastic", "warp", "affine_matrix", "blur", "gaussian_blur", "brightness", "contrast", "saturation", "hue",
    "color_jitter", "cutout", "random_erasing", "change_pixels", "compose", "with_probability", "rand_augment",
    "as_image",
]  # fmt: skip
