"""Training augmentation: random crops, flips and RandAugment, from a decoded picture to uint8 pixels.

The operations are those of the official code. Pillow has the crop, the resize and three of the operations. The others, which
the official code takes from OpenCV, are written out in NumPy: equal in bytes to OpenCV 4.10, whose fifth version interpolates
affine warps differently (a fifth of the values, by up to 7 of 255). torchvision's RandAugment has other definitions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from albef.image import resize_pixels

FILL = 128
"""What affine operations leave empty, in each channel."""
OPERATIONS = (
    "Identity", "AutoContrast", "Equalize", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate",
)  # fmt: skip
CHOSEN = 2
MAGNITUDE = 7
MOST = 10
"""RandAugment draws `CHOSEN` operations of magnitude `MAGNITUDE` out of `MOST`."""


def random_state(*numbers: int) -> np.random.RandomState:
    """A generator that is a function of the numbers (seed, epoch, item, …), of the kind of NumPy's global one."""
    words = np.random.SeedSequence(numbers).generate_state(8)
    return np.random.RandomState(words)


# --- RandAugment -----------------------------------------------------------------------------------------------------


def autocontrast(pixels: np.ndarray) -> np.ndarray:
    """Stretches each channel to 0…255. A flat channel stays."""
    return np.asarray(ImageOps.autocontrast(Image.fromarray(pixels)))


def equalize(pixels: np.ndarray) -> np.ndarray:
    """Levels each channel's histogram. A channel with fewer than 255 pixels below its highest value stays."""
    return np.asarray(ImageOps.equalize(Image.fromarray(pixels)))


def brightness(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Multiplies, cuts at 255, drops the fraction."""
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(factor))


def sharpness(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Moves inner pixels away from their smoothed values: s + factor · (v - s). The border of one pixel stays.

    What leaves 0…255 wraps around, as it does in the official code.
    """
    wide = pixels.astype(np.int16)
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * wide[1:-1, 1:-1]
    smooth = ((2 * total + 13) // 26).astype(np.float32)  # total / 13, rounded: a half cannot occur
    out = pixels.copy()
    inner = smooth + np.float32(factor) * (pixels[1:-1, 1:-1].astype(np.float32) - smooth)
    out[1:-1, 1:-1] = inner.astype(np.int32).astype(np.uint8)
    return out


def shear_x(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Moves each row to the right by `factor` times its number."""
    return warp(pixels, ((1, factor, 0), (0, 1, 0)))


def shear_y(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Moves each column down by `factor` times its number."""
    return warp(pixels, ((1, 0, 0), (factor, 1, 0)))


def translate_x(pixels: np.ndarray, offset: float) -> np.ndarray:
    """Moves everything to the left."""
    return warp(pixels, ((1, 0, -offset), (0, 1, 0)))


def translate_y(pixels: np.ndarray, offset: float) -> np.ndarray:
    """Moves everything up."""
    return warp(pixels, ((1, 0, 0), (0, 1, -offset)))


def rotate(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Turns counter-clockwise about (width / 2, height / 2)."""
    height, width = pixels.shape[:2]
    a, b = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = width / 2, height / 2
    return warp(pixels, ((a, b, (1 - a) * x - b * y), (-b, a, b * x + (1 - a) * y)))


def warp(pixels: np.ndarray, matrix: tuple[tuple[float, ...], tuple[float, ...]]) -> np.ndarray:
    """Affine map of positions (x, y, 1), bilinear, `FILL` outside: OpenCV's fixed-point warpAffine.

    The inverse is taken in double precision, positions are rounded to 1/1024 and then cut to 1/32 of a pixel, and the four
    weights are whole multiples of 1/1024.
    """
    (a, b, c), (d, e, f) = matrix
    scale = a * e - b * d
    ia, ib, id_, ie = e / scale, -b / scale, -d / scale, a / scale
    ic, if_ = -ia * c - ib * f, -id_ * c - ie * f
    height, width = pixels.shape[:2]
    x, y = np.arange(width), np.arange(height)
    along_x, along_y = _rounded(ia * x), _rounded(id_ * x)
    down_x, down_y = _rounded(ib * y + ic) + 16, _rounded(ie * y + if_) + 16  # 16 is half of a 32nd
    # Three channels in one number, 21 bits each: weighted sums stay below 2^18. The border of FILL is two wide; positions
    # further out meet nothing else there.
    red, green, blue = pixels.astype(np.int64).transpose(2, 0, 1)
    padded = np.full((height + 4, width + 4), FILL * _ONES)
    padded[2:-2, 2:-2] = red | green << 21 | blue << 42
    out = np.empty_like(pixels)
    for start in range(0, height, _ROWS):
        rows = slice(start, start + _ROWS)
        at_x, at_y = (down_x[rows, None] + along_x) >> 5, (down_y[rows, None] + along_y) >> 5
        total = _bilinear(padded, at_x, at_y)
        for channel, shift in enumerate((10, 31, 52)):
            out[rows, :, channel] = total >> shift & 255
    return out


def _bilinear(padded: np.ndarray, at_x: np.ndarray, at_y: np.ndarray) -> np.ndarray:
    """1024 times the value at positions in 32nds, and a half: a + (b - a) * t / 32 along the row and then down."""
    height, row = padded.shape
    left, top = np.clip((at_x >> 5) + 2, 0, row - 2), np.clip((at_y >> 5) + 2, 0, height - 2)
    flat, first, right, below = padded.ravel(), top * row + left, at_x & 31, at_y & 31
    upper, lower = flat.take(first), flat.take(first + row)
    upper = (upper << 5) + (flat.take(first + 1) - upper) * right
    lower = (lower << 5) + (flat.take(first + row + 1) - lower) * right
    return (upper << 5) + (lower - upper) * below + 512 * _ONES


_ROWS = 24
"""Rows of a warp at a time, so that what lies between stays in the cache."""
_ONES = 1 | 1 << 21 | 1 << 42


def _rounded(values: np.ndarray) -> np.ndarray:
    """Whole 1024ths; halves to even, as OpenCV rounds."""
    return np.rint(values * 1024).astype(np.int64)


@dataclass(frozen=True)
class Parameters:
    """What the operations do at a magnitude: factors, a share of the side, pixels, degrees; signs are drawn."""

    magnitude: float = MAGNITUDE

    @property
    def factor(self) -> float:
        """Of brightness and sharpness."""
        return self.magnitude / MOST * 1.8 + 0.1

    @property
    def shear(self) -> float:
        """Pixels a row or column."""
        return self.magnitude / MOST * 0.3

    @property
    def offset(self) -> float:
        """Pixels, whatever the picture's size."""
        return self.magnitude / MOST * 10

    @property
    def degrees(self) -> float:
        """Of a rotation."""
        return self.magnitude / MOST * 30


PARAMETERS = Parameters()


def rand_augment(pixels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Two operations, drawn with replacement, each done with probability one half.

    The order of the draws is the official one: both names; then for each operation whether it is done, and for those that
    have a direction, its sign.
    """
    for name in random.choice(OPERATIONS, CHOSEN):
        if random.random_sample() > 0.5:
            continue
        pixels = _apply(str(name), pixels, random)
    return pixels


def _apply(name: str, pixels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    if name in _PLAIN:
        return _PLAIN[name](pixels)
    if name in _SCALED:
        return _SCALED[name](pixels, PARAMETERS.factor)
    if name == "Rotate":
        return rotate(pixels, -PARAMETERS.degrees if random.random_sample() < 0.5 else PARAMETERS.degrees)
    if name in _DIRECTED:
        operation, size = _DIRECTED[name]
        return operation(pixels, -size if random.random_sample() > 0.5 else size)
    return pixels


_PLAIN = {"AutoContrast": autocontrast, "Equalize": equalize}
_SCALED = {"Brightness": brightness, "Sharpness": sharpness}
_DIRECTED = {
    "ShearX": (shear_x, PARAMETERS.shear), "ShearY": (shear_y, PARAMETERS.shear),
    "TranslateX": (translate_x, PARAMETERS.offset), "TranslateY": (translate_y, PARAMETERS.offset),
}  # fmt: skip


# --- Crops and pipelines ---------------------------------------------------------------------------------------------


def random_crop(width: int, height: int, least: float, random: np.random.RandomState) -> tuple[int, int, int, int]:
    """torchvision's RandomResizedCrop: left, top, right and bottom of `least` to all of the area, aspect 3:4 to 4:3.

    The area's share is uniform, the aspect uniform in its logarithm; after ten that do not fit, the largest central part
    whose aspect is within bounds.
    """
    low, high = 3 / 4, 4 / 3
    for _ in range(10):
        area = width * height * random.uniform(least, 1)
        aspect = math.exp(random.uniform(math.log(low), math.log(high)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = random.randint(0, height - h + 1)
            left = random.randint(0, width - w + 1)
            return left, top, left + w, top + h
    w, h = width, height
    if width / height < low:
        h = round(width / low)
    elif width / height > high:
        w = round(height * high)
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


@dataclass(frozen=True)
class Augmentation:
    """A pipeline: a crop of at least `least` of the area (None: the whole picture), resized; a flip; RandAugment."""

    least: float | None
    flips: bool = True

    def __call__(self, picture: Image.Image, size: int, random: np.random.RandomState) -> np.ndarray:
        """uint8 [size, size, 3] of an RGB picture."""
        if self.least is not None:
            picture = picture.crop(random_crop(*picture.size, self.least, random))
        pixels = resize_pixels(picture, size)
        if self.flips and random.random_sample() < 0.5:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(rand_augment(pixels, random))


PIPELINES: dict[str, float | None] = {"pretrain": 0.2, "finetune": 0.5, "grounding": None}
"""The least share of a crop: pre-training and text assignment; retrieval, VQA, entailment and NLVR2; grounding."""


def pipeline(name: str, flips: bool = True) -> Augmentation | None:
    """The pipeline that a configuration's `augment` names; None for "none"."""
    return None if name == "none" else Augmentation(PIPELINES[name], flips)
