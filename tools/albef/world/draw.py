"""Draws a scene: a backdrop, then each object with a soft shadow, shading, texture and outline, anti-aliased."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from albef.world import backdrops
from albef.world.scene import Item, Scene

PAINTS = {
    "red": (0.86, 0.12, 0.13), "orange": (0.98, 0.53, 0.06), "yellow": (0.99, 0.87, 0.13), "green": (0.13, 0.62, 0.22),
    "blue": (0.12, 0.33, 0.86), "purple": (0.55, 0.18, 0.68), "white": (0.97, 0.97, 0.97), "black": (0.10, 0.10, 0.11),
}  # fmt: skip
OUTLINES = {"white": (0.45, 0.47, 0.50), "black": (0.52, 0.52, 0.55)}
"""Where a darker shade of the paint would not do."""
SECOND_PAINTS = {
    "white": (0.60, 0.66, 0.76), "black": (0.50, 0.50, 0.53),
    "yellow": (0.78, 0.56, 0.05), "orange": (0.66, 0.27, 0.02),
}  # fmt: skip
"""Stripes and dots: these paints take a second one that leaves the object's colour clear; the others take white."""

SUPERSAMPLING = 3


@dataclass(frozen=True)
class Drawing:
    """The picture, and per object its box [x, y, width, height] in whole pixels, hidden parts included."""

    image: Image.Image
    boxes: list[list[int]]


def draw(scene: Scene, rng: random.Random) -> Drawing:
    """Draws the scene in RGB; `rng` decides what no text speaks of (clouds, waves, the light)."""
    canvas = backdrops.draw(scene.backdrop, scene.width, scene.height, rng)
    light = rng.uniform(-0.6, 0.6)
    boxes = [_paint(canvas, item, light, rng) for item in scene.items]
    pixels = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Drawing(Image.fromarray(pixels), boxes)


def _paint(canvas: np.ndarray, item: Item, light: float, rng: random.Random) -> list[int]:
    """Blends one object into the canvas in place and returns its box."""
    height, width = canvas.shape[:2]
    reach = int(item.diameter * 0.62) + 8
    left, top = int(item.x) - reach, int(item.y) - reach
    side = 2 * reach
    center = ((item.x - left) * SUPERSAMPLING, (item.y - top) * SUPERSAMPLING)
    radius = item.diameter / 2 * SUPERSAMPLING
    body, edge = _masks(item, side, center, radius)

    # The part of the patch that lies inside of the picture.
    y0, y1, x0, x1 = max(0, top), min(height, top + side), max(0, left), min(width, left + side)
    window = canvas[y0:y1, x0:x1]
    part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))

    blur = body.filter(ImageFilter.GaussianBlur(max(1.5, item.diameter * 0.05)))
    shadow = np.roll(_unit(blur), (max(1, round(item.diameter * 0.06)), round(-light * item.diameter * 0.08)), (0, 1))
    window *= 1 - np.float32(0.38) * shadow[part][..., None]

    alpha = _unit(body)[part][..., None]
    window += alpha * (_surface(item, side, left, top, light, rng)[part] - window)
    dark = OUTLINES.get(item.color) or tuple(0.55 * value for value in PAINTS[item.color])
    window += _unit(edge)[part][..., None] * np.float32(0.85) * (np.float32(dark) - window)

    rows, columns = np.nonzero(np.asarray(body) >= 128)
    x, y = int(columns.min()) + left, int(rows.min()) + top
    return [x, y, int(columns.max()) + left - x + 1, int(rows.max()) + top - y + 1]


def _unit(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask, np.float32) * np.float32(1 / 255)


def _masks(item: Item, side: int, center, radius: float) -> tuple[Image.Image, Image.Image]:
    """Coverage of the whole object and of its outline, 8-bit, `side` x `side`."""
    outer, hole = _contours(item.shape)
    body = Image.new("L", (side * SUPERSAMPLING,) * 2)
    edge = Image.new("L", body.size)
    stroke = max(2, round(radius * 0.075))
    for contour, fill in ((outer, 255), (hole, 0)):
        if contour is None:
            continue
        points = _turned(contour, item.angle, center, radius)
        ImageDraw.Draw(body).polygon(points, fill=fill)
        ImageDraw.Draw(edge).line(points + points[:2], fill=255, width=stroke, joint="curve")
    body.paste(255, mask=edge)
    return body.reduce(SUPERSAMPLING), edge.reduce(SUPERSAMPLING)


def _turned(contour, angle: float, center, radius: float) -> list[tuple[float, float]]:
    c, s = math.cos(math.radians(angle)) * radius, math.sin(math.radians(angle)) * radius
    return [(center[0] + x * c + y * s, center[1] - x * s + y * c) for x, y in contour]


def _arc(r: float, start: float, end: float, steps: int, dx: float = 0.0) -> list[tuple[float, float]]:
    angles = (math.radians(start + (end - start) * i / steps) for i in range(steps + 1))
    return [(dx + r * math.cos(a), r * math.sin(a)) for a in angles]


def _contours(shape: str):
    """The outline in units of the radius (x right, y down), and that of a hole or None."""
    if shape == "circle":
        return _arc(0.94, 0, 352, 44), None
    if shape == "ring":
        return _arc(0.98, 0, 352, 44), _arc(0.50, 0, 350, 35)
    if shape == "square":
        return [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)], None
    if shape == "triangle":
        return [(0, -0.95), (1.0, 0.78), (-1.0, 0.78)], None
    if shape == "star":
        reach = [1.06 if i % 2 == 0 else 0.44 for i in range(10)]
        turns = [i * math.pi / 5 for i in range(10)]
        return [(r * math.sin(t), -r * math.cos(t) + 0.05) for r, t in zip(reach, turns, strict=True)], None
    if shape == "heart":
        curve = []
        for i in range(40):
            t = 2 * math.pi * i / 40
            y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
            curve.append((math.sin(t) ** 3, -y / 16 - 0.08))
        return curve, None
    if shape == "cross":
        a, b = 0.34, 0.98
        corner = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a)]
        return corner + [(-x, -y) for x, y in corner], None
    # moon: a disc without a smaller one that is shifted to the right; they meet at 50 and at -50 degrees
    return [(x - 0.06, y) for x, y in _arc(1.0, 50, 310, 36) + _inner_moon()], None


def _inner_moon() -> list[tuple[float, float]]:
    """The hollow side of the moon between its tips: a circle through both tips and through (-0.3, 0)."""
    tip_x, tip_y = math.cos(math.radians(50)), math.sin(math.radians(50))
    dx = (1 - 0.3**2) / (2 * (tip_x + 0.3))
    turn = math.degrees(math.atan2(tip_y, tip_x - dx))
    return _arc(dx + 0.3, 360 - turn, turn, 24, dx)[1:-1]


def _surface(item: Item, side: int, left: int, top: int, light: float, rng: random.Random) -> np.ndarray:
    """The paint over the whole patch [side, side, 3]: base colour, pattern, light from above."""
    u = (np.arange(side, dtype=np.float32)[None, :] + np.float32(left - item.x)) / np.float32(item.diameter / 2)
    v = (np.arange(side, dtype=np.float32)[:, None] + np.float32(top - item.y)) / np.float32(item.diameter / 2)
    paint = np.float32(PAINTS[item.color])
    second = np.float32(SECOND_PAINTS.get(item.color, (0.98, 0.98, 0.98)))
    angle = math.radians(item.angle + 35)
    across = u * np.float32(math.cos(angle)) + v * np.float32(math.sin(angle))
    along = v * np.float32(math.cos(angle)) - u * np.float32(math.sin(angle))
    if item.texture == "striped":
        weight = np.clip(np.sin(across * np.float32(math.pi * 2 * 1.7)) * 4 - np.float32(0.2), 0, 1)
    elif item.texture == "dotted":
        grid = np.float32(0.46)
        from_dot = np.hypot(across / grid - np.rint(across / grid), along / grid - np.rint(along / grid))
        weight = np.clip((np.float32(0.29) - from_dot) * 9 + np.float32(0.5), 0, 1)
    else:
        weight = np.zeros_like(across)
    surface = paint + weight[..., None] * (second - paint)
    shade = np.float32(1.03) - np.float32(0.10) * (v - np.float32(light) * u)
    gloss = np.clip(1 - np.hypot(u + np.float32(0.35 * light), v + np.float32(0.45)) * np.float32(1.4), 0, 1)
    return surface * shade[..., None] + (gloss * np.float32(0.16))[..., None]
