"""Pictures and position embeddings: published vectors, and the resize computed in whole numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from albef.image import load_pixels, normalize_pixels, resize_pixels
from albef.model.vision import interpolate_positions


def cubic(t: float, a: float) -> float:
    t = abs(t)
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return a * (((t - 5) * t + 8) * t - 4) if t < 2 else 0.0


def resize_axis(pixels: np.ndarray, size: int) -> np.ndarray:
    """[n, ...] uint8 -> [size, ...] in fixed point, as Pillow 12 does it."""
    n = len(pixels)
    if n == size:
        return pixels
    scale = n / size
    wide = max(scale, 1.0)
    out = np.zeros((size, *pixels.shape[1:]), np.uint8)
    for x in range(size):
        centre = (x + 0.5) * scale
        low = max(0, int(centre - 2 * wide + 0.5))
        high = min(n, int(centre + 2 * wide + 0.5))
        weights = [cubic((j - centre + 0.5) / wide, -0.5) for j in range(low, high)]
        total = sum(weights)
        fixed = [math.trunc(w / total * 2**22 + math.copysign(0.5, w)) for w in weights]
        value = sum(k * pixels[j].astype(np.int64) for k, j in zip(fixed, range(low, high), strict=True))
        out[x] = np.clip((value + 2**21) >> 22, 0, 255)
    return out


@pytest.mark.parametrize(
    ("row", "resized"),
    [
        ([0, 10, 40, 90, 160, 250, 255, 200, 100, 5], [8, 115, 242, 90]),
        ([0, 10, 40, 90, 160, 250, 255, 200, 100, 5], [1, 26, 95, 209, 255, 163, 29]),
        ([0, 255, 0, 128], [0, 32, 173, 253, 135, 5, 32, 111, 140]),
        ([10, 20, 200, 30, 40], [9, 8, 5, 61, 176, 178, 68, 21, 34, 41]),
    ],
)
def test_published_rows(row, resized):
    picture = Image.fromarray(np.array([row], np.uint8))
    found = np.asarray(picture.resize((len(resized), 1), Image.Resampling.BICUBIC))[0]
    assert found.tolist() == resized == resize_axis(np.array(row, np.uint8), len(resized)).tolist()


def test_the_published_picture():
    pixels = (37 * np.arange(90) % 256).astype(np.uint8).reshape(6, 5, 3)
    expected = [
        [[59, 97, 139], [129, 73, 119], [161, 139, 78]], [[125, 152, 119], [96, 140, 132], [114, 101, 139]],
        [[150, 119, 157], [152, 126, 118], [133, 139, 106]], [[135, 180, 119], [124, 139, 185], [127, 119, 161]],
    ]  # fmt: skip
    assert np.asarray(Image.fromarray(pixels).resize((3, 4), Image.Resampling.BICUBIC)).tolist() == expected


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (64, 90), (200, 31), (61, 64), (33, 200)])
def test_a_picture_is_squeezed_rows_first(shape):
    # A Pillow that takes the columns of a tall picture first fails here.
    pixels = np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)
    across = resize_axis(pixels.transpose(1, 0, 2), 64).transpose(1, 0, 2)
    assert np.array_equal(resize_pixels(Image.fromarray(pixels), 64), resize_axis(across, 64))


def test_alpha_is_dropped_grey_is_copied_and_orientation_ignored(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "g.png")
    assert np.array_equal(load_pixels(tmp_path / "g.png", 8), np.stack([grey] * 3, 2))
    color = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(color).save(tmp_path / "c.png", exif=exif)
    assert np.array_equal(load_pixels(tmp_path / "c.png", 8), color[..., :3])


def test_pixels_are_scaled_then_shifted_in_single_precision():
    raw = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).repeat(1, 1, 1, 3)
    found = normalize_pixels(raw).numpy()
    value = np.arange(256, dtype=np.float32) / np.float32(255)
    for channel, (mean, std) in enumerate(
        [(0.48145466, 0.26862954), (0.4578275, 0.26130258), (0.40821073, 0.27577711)]
    ):
        assert np.array_equal(found[0, channel].ravel(), (value - np.float32(mean)) / np.float32(std))


def test_published_position_weights():
    check_positions(16, 24, {
        0: (-2, [-0.01736111, 0.16087963, 0.94328704, -0.08680556]), 1: (-1, [-0.09375, 0.59375, 0.59375, -0.09375]),
        2: (0, [-0.08680556, 0.94328704, 0.16087963, -0.01736111]),
    })  # fmt: skip
    check_positions(14, 16, {
        0: (-2, [-0.00274658, 0.05242920, 0.99151611, -0.04119873]),
        1: (-1, [-0.02142334, 0.18511963, 0.92913818, -0.09283447]),
    })  # fmt: skip


def check_positions(old: int, new: int, published: dict[int, tuple[int, list[float]]]) -> None:
    matrix = np.zeros((new, old))
    for i in range(new):
        source = (i + 0.5) * old / new - 0.5
        base = math.floor(source)
        weights = [cubic(source - tap, -0.75) for tap in range(base - 1, base + 3)]
        if i in published:
            assert published[i][0] == base - 1
            np.testing.assert_allclose(weights, published[i][1], atol=1e-8)
        for tap, weight in zip(range(base - 1, base + 3), weights, strict=True):
            matrix[i, min(max(tap, 0), old - 1)] += weight
    positions = torch.randn(1, 1 + old * old, 3, generator=torch.Generator().manual_seed(old))
    found = interpolate_positions(positions, new)[0].numpy()
    grid = positions[0, 1:].double().numpy().reshape(old, old, 3)
    expected = np.einsum("iy,jx,yxc->ijc", matrix, matrix, grid).reshape(-1, 3)
    assert np.array_equal(found[0], positions[0, 0].numpy())
    # Coordinates are in single precision, so weights are off by up to 1e-6.
    np.testing.assert_allclose(found[1:], expected, atol=1e-5)


def test_positions_of_the_same_grid_are_untouched():
    positions = torch.randn(1, 17, 3)
    assert interpolate_positions(positions, 4) is positions
