"""Preprocessing: Pillow's bicubic filter and the normalisation constants."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
import torch
from PIL import Image

from albef.image import load_pixels, normalize_pixels, resize_pixels


def test_pillow_is_one_that_resizes_the_horizontal_axis_first() -> None:
    assert int(PIL.__version__.split(".")[0]) < 13


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0, 10, 40, 90, 160, 250, 255, 200, 100, 5], [8, 115, 242, 90]),
        ([0, 10, 40, 90, 160, 250, 255, 200, 100, 5], [1, 26, 95, 209, 255, 163, 29]),
        ([0, 255, 0, 128], [0, 32, 173, 253, 135, 5, 32, 111, 140]),
        ([10, 20, 200, 30, 40], [9, 8, 5, 61, 176, 178, 68, 21, 34, 41]),
    ],
)
def test_one_axis_is_resized_to_the_stated_values(row: list[int], expected: list[int]) -> None:
    picture = Image.fromarray(np.array([row], dtype=np.uint8))
    assert np.asarray(picture.resize((len(expected), 1), Image.Resampling.BICUBIC)).tolist() == [expected]


def test_a_picture_is_squashed_to_a_square_and_loses_its_alpha(tmp_path) -> None:
    Image.new("RGBA", (30, 7), (10, 200, 30, 0)).save(tmp_path / "p.png")
    pixels = load_pixels(tmp_path / "p.png", 8)
    assert pixels.shape == (8, 8, 3) and (pixels == [10, 200, 30]).all()
    assert resize_pixels(Image.new("RGB", (1, 1), (1, 2, 3)), 4).shape == (4, 4, 3)


def test_normalisation_is_divide_subtract_divide_in_float32() -> None:
    raw = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    result = normalize_pixels(raw)
    mean, std = np.float32(0.4578275), np.float32(0.26130258)
    expected = (np.arange(256, dtype=np.float32) / np.float32(255) - mean) / std
    assert (result[0, 1].flatten().numpy() == expected).all()
