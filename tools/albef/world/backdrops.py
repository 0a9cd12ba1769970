"""Backdrops: float32 arrays [height, width, 3] in 0...1, each with its own colours, gradients and grain."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
from PIL import Image


def draw(name: str, width: int, height: int, rng: random.Random) -> np.ndarray:
    """Draws the backdrop `name` of `scene.BACKDROPS`; values may leave 0...1 slightly and are cut when saved."""
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    base = _DRAWERS[name](x, y, rng)
    return base * np.float32(rng.uniform(0.93, 1.05)) + _grain(width, height, rng)[..., None] * np.float32(0.016)


@cache
def _tile(kind: int) -> np.ndarray:
    """Fixed white noise from which every picture cuts a part; its mean is 0 and its deviation 1."""
    return np.random.default_rng(7919 + kind).standard_normal((512, 512), dtype=np.float32)


def _grain(width: int, height: int, rng: random.Random) -> np.ndarray:
    top, left = rng.randrange(512 - height), rng.randrange(512 - width)
    return _tile(0)[top : top + height, left : left + width]


def _clouds(width: int, height: int, cells_x: int, cells_y: int, rng: random.Random) -> np.ndarray:
    """Smooth noise with about `cells_x` by `cells_y` bumps, deviation about 0.6."""
    top, left = rng.randrange(512 - cells_y), rng.randrange(512 - cells_x)
    small = Image.fromarray(_tile(1)[top : top + cells_y, left : left + cells_x].copy())
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def _mix(a, b, t: np.ndarray) -> np.ndarray:
    """From colour (or picture) `a` to `b` by the weights `t` [height, width]."""
    t = np.clip(t, 0, 1)[..., None]
    return np.asarray(a, np.float32) * (1 - t) + np.asarray(b, np.float32) * t


def _step(y, edge, softness: float):
    """0 above `edge`, 1 below it, with a soft border."""
    return np.clip((y - edge) / np.float32(softness) + np.float32(0.5), 0, 1)


def _shape(x, y) -> tuple[int, int]:
    return x.shape[1], y.shape[0]


def _sky(x, y, rng, horizon: float, top=(0.42, 0.68, 0.93), low=(0.80, 0.91, 0.98)) -> np.ndarray:
    width, height = _shape(x, y)
    sky = _mix(top, low, y / np.float32(horizon) + 0 * x)
    cloud = _clouds(width, height, 5, max(4, round(3 / horizon)), rng)
    return _mix(sky, (0.98, 0.98, 0.99), np.clip(cloud - np.float32(rng.uniform(0.1, 0.9)), 0, 0.8))


def _hills(x, rng, low: float, amplitude: float) -> np.ndarray:
    """A skyline [1, width]: the height (0 is the top) at which the ground begins."""
    phase = rng.uniform(0, 6.28)
    return np.float32(low) + np.float32(amplitude) * (
        np.sin(x * np.float32(rng.uniform(3, 6)) + np.float32(phase))
        + np.float32(0.4) * np.sin(x * np.float32(rng.uniform(8, 14)) + np.float32(2 * phase))
    )


def _grass(x, y, rng):
    width, height = _shape(x, y)
    horizon = rng.uniform(0.28, 0.45)
    ground = _mix((0.55, 0.78, 0.36), (0.24, 0.55, 0.20), (y - horizon) / (1 - horizon) + 0 * x)
    blades = _clouds(width, height, 60, 9, rng) * (0.3 + y)
    ground = ground + blades[..., None] * np.float32((0.030, 0.045, 0.018))
    return _mix(_sky(x, y, rng, horizon), ground, _step(y, _hills(x, rng, horizon, 0.015), 0.012))


def _beach(x, y, rng):
    width, height = _shape(x, y)
    horizon, shore = rng.uniform(0.14, 0.24), rng.uniform(0.34, 0.46)
    water = _mix((0.16, 0.52, 0.72), (0.42, 0.78, 0.80), (y - horizon) / (shore - horizon) + 0 * x)
    picture = _mix(_sky(x, y, rng, horizon), water, _step(y, horizon, 0.01) + 0 * x)
    edge = _hills(x, rng, shore, 0.018)
    sand = _mix((0.93, 0.84, 0.64), (0.86, 0.74, 0.52), (y - shore) / (1 - shore) + 0 * x)
    sand = sand + (_clouds(width, height, 30, 24, rng)[..., None] * np.float32(0.016))
    picture = _mix(picture, (0.97, 0.98, 0.97), _step(y, edge - 0.02, 0.02))  # the surf
    return _mix(picture, sand, _step(y, edge + 0.012, 0.02))


def _night_sky(x, y, rng):
    width, height = _shape(x, y)
    picture = _mix((0.03, 0.04, 0.14), (0.13, 0.15, 0.36), y + 0 * x)
    picture = picture + np.clip(_clouds(width, height, 4, 4, rng), 0, 2)[..., None] * np.float32((0.03, 0.025, 0.05))
    for _ in range(rng.randint(25, 50)):
        column, row = rng.randrange(1, width - 1), rng.randrange(1, int(height * 0.85))
        glow = np.float32(rng.uniform(0.35, 0.95))
        picture[row, column] += glow
        if glow > 0.75:
            for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                picture[r, c] += np.float32(0.35)
    return _mix(picture, (0.02, 0.05, 0.07), _step(y, _hills(x, rng, 0.93, 0.025), 0.01))


def _sea(x, y, rng):
    width, height = _shape(x, y)
    horizon = rng.uniform(0.10, 0.20)
    depth = np.clip((y - horizon) / (1 - horizon), 0, 1)
    water = _mix((0.30, 0.62, 0.80), (0.05, 0.30, 0.55), depth + 0 * x)
    swell = _clouds(width, height, 7, 3, rng)
    crest = np.sin(np.float32(38) * np.sqrt(depth + np.float32(0.03)) + swell * np.float32(1.2)) ** 8
    water = _mix(water, (0.75, 0.90, 0.95), crest * np.float32(0.45) * np.clip(swell + 0.6, 0, 1))
    return _mix(_sky(x, y, rng, horizon), water, _step(y, horizon, 0.01) + 0 * x)


def _snow(x, y, rng):
    width, height = _shape(x, y)
    horizon = rng.uniform(0.30, 0.42)
    sky = _mix((0.60, 0.68, 0.78), (0.80, 0.84, 0.89), y / np.float32(horizon) + 0 * x)
    picture = _mix(sky, (0.74, 0.80, 0.89), _step(y, _hills(x, rng, horizon - 0.08, 0.04), 0.012))
    ground = _mix((0.90, 0.94, 0.98), (0.97, 0.98, 1.0), y + 0 * x)
    ground = ground - np.clip(_clouds(width, height, 4, 6, rng), 0, 1)[..., None] * np.float32((0.07, 0.05, 0.03))
    picture = _mix(picture, ground, _step(y, _hills(x, rng, horizon, 0.02), 0.012))
    for _ in range(rng.randint(20, 45)):
        column, row = rng.randrange(width - 1), rng.randrange(height - 1)
        picture[row : row + 2, column : column + 2] += np.float32(rng.uniform(0.08, 0.25))
    return picture


def _brick_wall(x, y, rng):
    width, height = _shape(x, y)
    rows = rng.randint(8, 11)
    brick = 2.4 / rows * height / width  # bricks are 2.4 times as wide as high
    row = np.floor(y * rows)
    along = x / np.float32(brick) + np.float32(0.5) * (row % 2)
    column = np.floor(along)
    tint = _tile(2)[row.astype(int) % 512, column.astype(int) % 512]
    picture = np.float32((0.64, 0.34, 0.27)) + tint[..., None] * np.float32((0.045, 0.03, 0.025))
    picture = picture + _clouds(width, height, 40, 40, rng)[..., None] * np.float32(0.02)
    across, along = y * rows - row, along - column
    mortar = np.maximum(np.abs(across - 0.5) - 0.42, (np.abs(along - 0.5) - 0.468) * 2.4) * 16
    return _mix(picture, (0.74, 0.70, 0.65), mortar + np.float32(0.4))


def _sunset(x, y, rng):
    width, height = _shape(x, y)
    picture = _mix((0.36, 0.22, 0.50), (0.90, 0.44, 0.42), y * np.float32(1.9) + 0 * x)
    picture = _mix(picture, (0.99, 0.78, 0.45), (y - 0.42) * np.float32(2.2) + 0 * x)
    bands = _clouds(width, height, 3, 10, rng)
    picture = _mix(picture, (0.97, 0.62, 0.55), np.clip(bands - 0.2, 0, 0.55))
    return _mix(picture, (0.20, 0.12, 0.22), _step(y, _hills(x, rng, 0.87, 0.035), 0.012))


def _wood(x, y, rng):
    width, height = _shape(x, y)
    planks = rng.randint(4, 6)
    row = np.floor(y * planks)
    tint = _tile(3)[row.astype(int) % 512, rng.randrange(512)]
    grain = _clouds(width, height, 5, 90, rng)
    picture = np.float32((0.66, 0.47, 0.29)) + (tint * 0.03 + 0 * x)[..., None] * np.float32((1.0, 0.85, 0.6))
    picture = picture + grain[..., None] * np.float32((0.035, 0.032, 0.025))
    gap = np.clip(1 - np.abs((y * planks - row) - 0.5) * 2, 0, 1)
    return _mix((0.30, 0.19, 0.11), picture, gap * 18 + 0 * x)


_DRAWERS = {
    "grass": _grass, "beach": _beach, "night sky": _night_sky, "sea": _sea,
    "snow": _snow, "brick wall": _brick_wall, "sunset": _sunset, "wood": _wood,
}  # fmt: skip
