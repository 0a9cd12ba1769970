"""From picture files to pixels: decoding, Pillow's bicubic resize to a square, normalisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from albef.model.config import CLIP_MEAN, CLIP_STD


class PictureError(ValueError):
    """A picture that is missing or cannot be decoded; one line that names the file."""


def load_picture(path: str | Path) -> Image.Image:
    """Decodes to RGB (EXIF orientation ignored, alpha dropped)."""
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except FileNotFoundError as error:
        raise PictureError(f"{path}: no such picture") from error
    except Exception as error:  # Pillow's decoders let out whatever their parsers stumble over
        raise PictureError(f"{path}: cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}") from error


def load_pixels(path: str | Path, size: int) -> np.ndarray:
    """Decodes and squeezes into uint8 [size, size, 3]."""
    return resize_pixels(load_picture(path), size)


def resize_pixels(picture: Image.Image, size: int) -> np.ndarray:
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))


def normalize_pixels(pixels: Tensor, mean: tuple = CLIP_MEAN, std: tuple = CLIP_STD) -> Tensor:
    """uint8 [B, R, R, 3] -> float32 [B, 3, R, R]: (u8 / 255 - mean) / std."""
    scaled = pixels.permute(0, 3, 1, 2).float() / 255
    means = torch.tensor(mean, device=pixels.device).view(3, 1, 1)
    return (scaled - means) / torch.tensor(std, device=pixels.device).view(3, 1, 1)
