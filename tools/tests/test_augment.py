"""Augmentation: each operation by its definition, the parameters, the order of random draws, the distribution of crops."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from albef import augment
from albef.image import resize_pixels

SIDES = [(1, 1), (2, 3), (3, 2), (3, 3), (17, 64), (64, 64), (96, 41)]


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Noise, with smooth parts and channels of different ranges where there is room."""
    random = np.random.default_rng((width, height, seed))
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[..., 1] = 40 + pixels[..., 1] // 3
    pixels[height // 2 :, width // 2 :, 2] = 200
    return pixels


def by_hand(pixels: np.ndarray, matrix) -> np.ndarray:
    """The affine warp as a loop over pixels with exact weights: OpenCV rounds positions to 1/32 of a pixel."""
    (a, b, c), (d, e, f) = matrix
    inverse = np.linalg.inv(np.array([[a, b, c], [d, e, f], [0, 0, 1]], float))
    height, width = pixels.shape[:2]
    out = np.empty_like(pixels)
    for row in range(height):
        for column in range(width):
            x, y, _ = inverse @ (column, row, 1)
            x, y = math.floor(x * 32 + 0.5) / 32, math.floor(y * 32 + 0.5) / 32
            total = np.zeros(3)
            for r, v in ((math.floor(y), 1 - y % 1), (math.floor(y) + 1, y % 1)):
                for q, u in ((math.floor(x), 1 - x % 1), (math.floor(x) + 1, x % 1)):
                    inside = 0 <= r < height and 0 <= q < width
                    total += u * v * (pixels[r, q] if inside else np.full(3, 128.0))
            out[row, column] = np.floor(total + 0.5)
    return out


WARPS = {
    "shear_x": (augment.shear_x, lambda s, w, h: ((1, 0.21 * s, 0), (0, 1, 0)), 0.21),
    "shear_y": (augment.shear_y, lambda s, w, h: ((1, 0, 0), (0.21 * s, 1, 0)), 0.21),
    "translate_x": (augment.translate_x, lambda s, w, h: ((1, 0, -7 * s), (0, 1, 0)), 7.0),
    "translate_y": (augment.translate_y, lambda s, w, h: ((1, 0, 0), (0, 1, -7 * s)), 7.0),
}  # fmt: skip


@pytest.mark.parametrize("width,height", SIDES)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", sorted(WARPS))
def test_shears_and_translations_are_the_affine_maps_of_the_table(name, sign, width, height):
    operation, matrix, size = WARPS[name]
    pixels = picture(width, height)
    expected = by_hand(pixels, matrix(sign, width, height)).astype(int)
    found = operation(pixels, sign * size).astype(int)
    # OpenCV rounds to 1/1024 before it rounds to 1/32: a position near the middle of two may go to either side.
    assert (found != expected).mean() < 0.02 and np.abs(found - expected).max() <= 16


@pytest.mark.parametrize("width,height", SIDES)
@pytest.mark.parametrize("sign", [1, -1])
def test_rotation_turns_about_half_the_sides(width, height, sign):
    turn = math.radians(21 * sign)
    a, b, x, y = math.cos(turn), math.sin(turn), width / 2, height / 2
    matrix = ((a, b, x - a * x - b * y), (-b, a, y + b * x - a * y))
    pixels = picture(width, height)
    found = augment.rotate(pixels, 21.0 * sign).astype(int)
    expected = by_hand(pixels, matrix).astype(int)
    assert (found != expected).mean() < 0.08 and np.abs(found - expected).max() <= 16


def test_translation_moves_left_and_up_and_fills_with_grey():
    pixels = picture(20, 10)
    moved = augment.translate_x(pixels, 7.0)
    assert (moved[:, :13] == pixels[:, 7:]).all() and (moved[:, 13:] == 128).all()
    moved = augment.translate_y(pixels, -7.0)
    assert (moved[7:] == pixels[:3]).all() and (moved[:7] == 128).all()


def test_a_quarter_turn_is_counter_clockwise():
    pixels = picture(8, 8)
    turned = augment.rotate(pixels, 90.0)
    assert (turned[1:] == np.rot90(pixels)[:-1]).all()


# Computed with OpenCV 4.10.0 (warpAffine with borderValue 128, filter2D) from the picture of the test.
BY_OPENCV = [
    ("shear_x", 0.21, 18043149411), ("shear_y", -0.21, 18047256159), ("translate_x", 7.0, 18175932679),
    ("rotate", 21.0, 18180100278), ("rotate", -21.0, 18078938410), ("sharpness", 1.36, 18219308095),
]  # fmt: skip


@pytest.mark.parametrize("operation,size,total", BY_OPENCV)
def test_whole_pictures_equal_what_opencv_gives(operation, size, total):
    y, x = np.mgrid[0:96, 0:128]
    pixels = np.stack([(x * 3 + y * 5) % 256, (x * y) % 251, (x * x + 7 * y) % 256], axis=2).astype(np.uint8)
    found = getattr(augment, operation)(pixels, size).ravel().astype(np.int64)
    assert int((found * (np.arange(found.size) % 8191 + 1)).sum()) == total


@pytest.mark.parametrize("width,height", SIDES)
def test_autocontrast_stretches_every_channel(width, height):
    pixels = picture(width, height)
    for channel in range(3):
        values = pixels[..., channel]
        low, high = int(values.min()), int(values.max())
        found = augment.autocontrast(pixels)[..., channel]
        if high == low:
            assert (found == values).all()
        else:
            scale = 255 / (high - low)
            table = np.clip(np.arange(256) * scale - low * scale, 0, 255).astype(np.uint8)
            assert (found == table[values]).all()


@pytest.mark.parametrize("width,height", SIDES)
def test_equalize_levels_every_histogram(width, height):
    pixels = picture(width, height)
    for channel in range(3):
        values = pixels[..., channel]
        counts = np.bincount(values.ravel(), minlength=256)
        step = (counts.sum() - counts[values.max()]) // 255
        table = np.arange(256)
        if step:
            table = np.minimum((np.concatenate([[step // 2], counts[:-1]]).cumsum()) // step, 255)
        assert (augment.equalize(pixels)[..., channel] == table[values]).all()


def test_brightness_multiplies_every_value():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    expected = np.clip(np.arange(256, dtype=np.float32) * np.float32(1.36), 0, 255).astype(np.uint8)
    assert (augment.brightness(pixels, 1.36)[..., 1].ravel() == expected).all()


def test_sharpness_leaves_the_border_and_wraps_around():
    pixels = np.zeros((5, 5, 3), np.uint8)
    pixels[2, 2] = 255
    # Smoothed: 255 · 5 / 13 = 98.08 → 98 at the point, 255 / 13 = 19.6 → 20 around it.
    found = augment.sharpness(pixels, 1.36)[..., 0]
    assert found[2, 2] == int(98 + 1.36 * (255 - 98)) - 256 == 55
    assert found[1, 1] == found[1, 2] == 256 + int(20 + 1.36 * (0 - 20)) == 249
    assert not found[0].any() and not found[:, 4].any()
    for width, height in ((1, 1), (2, 9), (9, 2)):
        assert (augment.sharpness(picture(width, height), 1.36) == picture(width, height)).all()


def test_the_parameters_are_those_of_magnitude_seven():
    found = augment.PARAMETERS
    assert (augment.CHOSEN, augment.MAGNITUDE, augment.MOST, augment.FILL) == (2, 7, 10, 128)
    assert found.factor == pytest.approx(1.36) and found.shear == pytest.approx(0.21)
    assert found.offset == pytest.approx(7.0) and found.degrees == pytest.approx(21.0)
    assert augment.OPERATIONS == (
        "Identity", "AutoContrast", "Equalize", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY",
        "Rotate",
    )  # fmt: skip
    assert augment.PIPELINES == {"pretrain": 0.2, "finetune": 0.5, "grounding": None}


def replay(pixels: np.ndarray, seed: int) -> tuple[np.ndarray, list[str]]:
    """RandAugment by NumPy's global generator, draw by draw as the official code has them."""
    np.random.seed(seed)
    done = []
    for name in np.random.choice(augment.OPERATIONS, 2):
        if np.random.random() > 0.5:
            continue
        done.append(str(name))
        if name in ("ShearX", "ShearY", "TranslateX", "TranslateY"):
            sign = -1 if np.random.random() > 0.5 else 1
            operation, matrix, size = WARPS[{"S": "shear", "T": "translate"}[name[0]] + "_" + name[-1].lower()]
            pixels = operation(pixels, sign * size)
        elif name == "Rotate":
            pixels = augment.rotate(pixels, -21.0 if np.random.random() < 0.5 else 21.0)
        elif name != "Identity":
            operation = getattr(augment, name.lower())
            pixels = operation(pixels) if name in ("AutoContrast", "Equalize") else operation(pixels, 1.36)
    return pixels, done


def test_random_numbers_are_drawn_in_the_official_order():
    pixels = picture(24, 24)
    counts: Counter = Counter()
    number_done = 0
    for seed in range(1500):
        expected, done = replay(pixels, seed)
        state = np.random.RandomState(seed)
        assert (augment.rand_augment(pixels, state) == expected).all(), (seed, done)
        np.random.seed(seed)
        counts.update(done)
        number_done += len(done)
    assert 0.47 < number_done / 3000 < 0.53
    assert all(0.06 < counts[name] / number_done < 0.14 for name in augment.OPERATIONS)


@pytest.mark.parametrize("least", [0.2, 0.5])
@pytest.mark.parametrize("width,height", [(200, 200), (320, 240), (150, 200)])
def test_crops_have_the_stated_areas_and_aspects(width, height, least):
    random = augment.random_state(7, width, height)
    areas, aspects, centers = [], [], []
    for _ in range(3000):
        left, top, right, bottom = augment.random_crop(width, height, least, random)
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
        areas.append((right - left) * (bottom - top) / (width * height))
        aspects.append(math.log((right - left) / (bottom - top)))
        centers.append((left + right) / 2 / width)
    assert least - 0.02 < min(areas) < least + 0.02 and max(areas) > 0.93
    assert max(map(abs, aspects)) < math.log(4 / 3) + 0.03
    if width == height:
        # The areas that fit are fewer near 1; below 3/4 every aspect fits, so small areas are uniform.
        below = np.array([area for area in areas if area < 0.75])
        assert abs(np.mean(below) - (least + 0.75) / 2) < 0.015
        assert abs(np.mean(aspects)) < 0.02 and abs(np.std(aspects) - math.log(16 / 9) / math.sqrt(12)) < 0.02
    assert abs(np.mean(centers) - 0.5) < 0.01


@pytest.mark.parametrize(
    "size,box",
    [((900, 100), (383, 0, 516, 100)), ((100, 900), (0, 383, 100, 516)), ((1, 1), (0, 0, 1, 1))],
)
def test_what_no_crop_fits_is_cut_in_the_middle(size, box):
    class Unlucky(np.random.RandomState):
        def uniform(self, low=0.0, high=1.0, size=None):
            return high

    found = augment.random_crop(*size, 0.5, Unlucky(0))
    assert found == box


def test_a_pipeline_crops_resizes_flips_and_then_augments():
    source = Image.fromarray(picture(90, 60))
    seen = set()
    for seed in range(60):
        pipeline = augment.pipeline("finetune")
        found = pipeline(source, 32, augment.random_state(seed))
        state = augment.random_state(seed)
        pixels = resize_pixels(source.crop(augment.random_crop(90, 60, 0.5, state)), 32)
        flipped = state.random_sample() < 0.5
        seen.add(flipped)
        expected = augment.rand_augment(np.ascontiguousarray(pixels[:, ::-1] if flipped else pixels), state)
        assert found.shape == (32, 32, 3) and (found == expected).all()
    assert seen == {True, False}


def test_grounding_keeps_the_whole_picture_and_flips_can_be_off():
    source = Image.fromarray(picture(90, 60))
    whole = resize_pixels(source, 32)
    plain = [augment.pipeline("grounding", flips=False)(source, 32, augment.random_state(seed)) for seed in range(80)]
    assert 10 < sum((pixels == whole).all() for pixels in plain) < 50
    both = [augment.pipeline("grounding")(source, 32, augment.random_state(seed)) for seed in range(80)]
    assert any((pixels == whole[:, ::-1]).all() for pixels in both) and any((pixels == whole).all() for pixels in both)
    assert augment.pipeline("none") is None


def test_the_same_numbers_give_the_same_picture_and_others_another():
    source = Image.fromarray(picture(90, 60))
    pipeline = augment.pipeline("pretrain")
    found = [pipeline(source, 32, augment.random_state(*key)).tobytes() for key in ((1, 2, 3), (1, 2, 3), (1, 3, 2), (1, 2, 4))]
    assert found[0] == found[1] and len(set(found)) == 3
