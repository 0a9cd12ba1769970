"""What a picture shows: objects with attributes and places, before a backdrop. Sampled, not drawn, here.

Every random choice comes from a generator seeded by (version, seed, split, index), so a scene depends neither on the
number of pictures nor on the number of processes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from functools import cached_property

VERSION = 1
"""Raised whenever the same seed would give other pictures or other texts."""

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "moon")
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
SIZES = ("small", "large")
TEXTURES = ("plain", "striped", "dotted")
BACKDROPS = ("grass", "beach", "night sky", "sea", "snow", "brick wall", "sunset", "wood")

HELD_OUT = frozenset(
    {
        ("star", "purple"),
        ("heart", "green"),
        ("ring", "orange"),
        ("moon", "red"),
        ("triangle", "blue"),
        ("cross", "white"),
    }
)
"""(shape, colour) pairs that only the test split shows."""

HELD_OUT_SHARE = 0.4
"""Share of test pictures that are made to hold at least one such pair; the others draw from the seen pairs only."""

CLASHES = {
    "grass": "green", "beach": "yellow", "night sky": "black", "sea": "blue",
    "snow": "white", "brick wall": "red", "sunset": "orange", "wood": "orange",
}  # fmt: skip
"""The colour that would drown before a backdrop and is not drawn there."""

DIAMETERS = {"small": (0.21, 0.25), "large": (0.36, 0.42)}
"""An object's diameter over the picture's shorter side."""

COUNT_WEIGHTS = {1: 15, 2: 35, 3: 33, 4: 17}
RELATIONS = ("left of", "right of", "above", "below")


@dataclass(frozen=True)
class Item:
    """One object. `x`, `y`: centre in pixels; `diameter` in pixels; `angle` in degrees, counter-clockwise."""

    shape: str
    color: str
    size: str
    texture: str
    x: float
    y: float
    diameter: float
    angle: float

    @property
    def look(self) -> tuple[str, str, str, str]:
        """What can be said of it without its place."""
        return (self.size, self.texture, self.color, self.shape)


@dataclass(frozen=True)
class Scene:
    """A picture's content: `width` x `height` pixels, its backdrop and its objects, the hindmost first."""

    split: str
    index: int
    width: int
    height: int
    backdrop: str
    items: tuple[Item, ...] = field(default_factory=tuple)

    @property
    def held_out(self) -> bool:
        """Whether it holds a pair of shape and colour that training never shows."""
        return any((item.shape, item.color) in HELD_OUT for item in self.items)

    @cached_property
    def words(self) -> frozenset[str]:
        """Every attribute of any object, and the backdrop."""
        return frozenset(word for item in self.items for word in item.look) | {self.backdrop}

    def relation(self, a: Item, b: Item) -> str | None:
        """How `a` lies to `b` where a person would not hesitate: one of `RELATIONS`, else None."""
        dx, dy = (a.x - b.x) / self.width, (a.y - b.y) / self.height
        if abs(dx) > 0.15 and abs(dx) > 1.3 * abs(dy):
            return "left of" if dx < 0 else "right of"
        if abs(dy) > 0.15 and abs(dy) > 1.3 * abs(dx):
            return "above" if dy < 0 else "below"
        return None

    def may_be(self, relation: str, a: Item, b: Item) -> bool:
        """Whether somebody could say that `a` is `relation` `b`: the side agrees, however slightly."""
        dx, dy = (a.x - b.x) / self.width, (a.y - b.y) / self.height
        away = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[relation]
        return away > 0.04


def generator(seed: int, split: str, index: int, purpose: str) -> random.Random:
    """The source of chance for one purpose ("scene", "picture", "text") of one picture."""
    return random.Random(f"albef-world/{VERSION}/{seed}/{split}/{index}/{purpose}")


def sample(seed: int, split: str, index: int, attempt: int = 0) -> Scene:
    """Draws the scene `index` of `split` ("train", "val" or "test"); `attempt` gives other draws of the same index."""
    rng = generator(seed, split, index, f"scene{attempt}")
    short = rng.randint(120, 240)
    aspect = math.exp(rng.uniform(0.0, math.log(4 / 3)))
    long = min(320, round(short * aspect))
    width, height = (long, short) if rng.random() < 0.6 else (short, long)
    backdrop = rng.choice(BACKDROPS)
    wants_held_out = split == "test" and rng.random() < HELD_OUT_SHARE
    count = rng.choices(list(COUNT_WEIGHTS), weights=list(COUNT_WEIGHTS.values()))[0]
    while True:
        looks = _looks(rng, count, backdrop, wants_held_out)
        items = _place(rng, looks, width, height)
        if items is not None:
            return Scene(split, index, width, height, backdrop, items)


def _looks(rng: random.Random, count: int, backdrop: str, wants_held_out: bool) -> list[tuple[str, str, str, str]]:
    """Draws (size, texture, colour, shape) of every object; some share attributes, so that counting is needed."""
    colors = [color for color in COLORS if color != CLASHES[backdrop]]
    seen = [(shape, color) for shape in SHAPES for color in colors if (shape, color) not in HELD_OUT]
    unseen = sorted(pair for pair in HELD_OUT if pair[1] in colors)
    special = rng.randrange(count) if wants_held_out else -1
    looks: list[tuple[str, str, str, str]] = []
    large = 0
    for position in range(count):
        shape, color = rng.choice(unseen) if position == special else rng.choice(seen)
        size = "small" if large >= 2 or rng.random() < 0.45 else "large"
        texture = rng.choices(TEXTURES, weights=(44, 28, 28))[0] if size == "large" else "plain"
        if looks and position != special:
            model = rng.choice(looks)
            habit = rng.random()
            if habit < 0.18:  # the same thing again
                shape, color = model[3], model[2]
                if rng.random() < 0.7 and not (model[0] == "large" and large >= 2):
                    size, texture = model[0], model[1]
            elif habit < 0.36 and (model[3], color) in seen:
                shape = model[3]
            elif habit < 0.50 and (shape, model[2]) in seen:
                color = model[2]
        large += size == "large"
        looks.append((size, texture, color, shape))
    return looks


def _place(rng: random.Random, looks, width: int, height: int) -> tuple[Item, ...] | None:
    """Finds places inside the picture where objects overlap at most a little; None where there is no room."""
    short = min(width, height)
    items: list[Item] = []
    for size, texture, color, shape in looks:
        diameter = rng.uniform(*DIAMETERS[size]) * short
        margin = diameter * 0.5 + 3
        for _ in range(60):
            x, y = rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)
            if all(math.hypot(x - o.x, y - o.y) > 0.44 * (diameter + o.diameter) for o in items):
                break
        else:
            return None
        angle = rng.uniform(-14, 14)
        items.append(Item(shape, color, size, texture, round(x, 2), round(y, 2), round(diameter, 2), round(angle, 1)))
    return tuple(items)
