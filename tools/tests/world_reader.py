"""Reads the world's texts and answers them from a scene's description, without the code that wrote them.

Places come from the objects' boxes here, not from the numbers that the generator used.
"""

from __future__ import annotations

import re
from collections import Counter

COLORS = "red orange yellow green blue purple white black".split()
SHAPES = "circle square triangle star heart ring cross moon".split()
SIZES = ["small", "large"]
TEXTURES = ["plain", "striped", "dotted"]
NUMBERS = {"no": 0, "one": 1, "two": 2, "three": 3, "four": 4}
SAME = {
    "to the left of": "left of", "to the right of": "right of", "over": "above", "under": "below", "big": "large",
    "little": "small", "spotted": "dotted", "pluses": "crosses", "plus": "cross", "crescents": "moons",
    "crescent": "moon", "which color": "what color",
}  # fmt: skip
BACKDROPS = {
    "on the grass": "grass", "in a meadow": "grass", "on the beach": "beach", "on the sand": "beach",
    "in the night sky": "night sky", "at night": "night sky", "on the sea": "sea", "in the water": "sea",
    "in the snow": "snow", "on white snow": "snow", "in front of a brick wall": "brick wall",
    "on a brick wall": "brick wall", "at sunset": "sunset", "in the evening sky": "sunset", "on wood": "wood",
    "on a wooden table": "wood",
}  # fmt: skip
RELATION = "(left of|right of|above|below)"
SIDE = "(on the left|on the right|at the top|at the bottom)"


def usual(text: str) -> str:
    """The text with each synonym replaced by the usual word, without punctuation."""
    text = re.sub("[?,.]", "", text.lower())
    for other, word in SAME.items():
        text = re.sub(rf"\b{other}\b", word, text)
    return text


def singular(noun: str) -> str:
    """Of a noun of this world."""
    return "cross" if noun == "crosses" else noun if noun == "cross" else noun.removesuffix("s")


def has(item: dict, words: str) -> bool:
    """Whether all the words, adjectives and a noun, are true of the object."""
    *adjectives, noun = words.split()
    wanted = [singular(noun), *adjectives]
    known = {item["color"], item["shape"], item["size"], item["texture"], "object"}
    assert all(word in {*COLORS, *SHAPES, *SIZES, *TEXTURES, "object"} for word in wanted), words
    return all(word in known for word in wanted)


def such(scene: dict, words: str) -> list[dict]:
    """The objects of which the words are true."""
    return [item for item in scene["objects"] if has(item, words)]


def the(scene: dict, words: str) -> dict:
    """The one object of which they are true."""
    (item,) = such(scene, words)
    return item


def center(scene: dict, item: dict) -> tuple[float, float]:
    """Of its box, in 0...1."""
    x, y, w, h = item["box"]
    return (x + w / 2) / scene["width"], (y + h / 2) / scene["height"]


def lies(scene: dict, a: dict, relation: str, b: dict) -> bool:
    """Whether `a` clearly lies so to `b`."""
    (ax, ay), (bx, by) = center(scene, a), center(scene, b)
    dx, dy = ax - bx, ay - by
    away, across = {"left of": (-dx, dy), "right of": (dx, dy), "above": (-dy, dx), "below": (dy, dx)}[relation]
    return away > 0.1 and away > 1.1 * abs(across)


def outermost(scene: dict, items: list[dict], side: str) -> dict:
    """The object farthest to that side; the margin to the next must be clear."""
    key = {
        "on the left": lambda c: -c[0], "on the right": lambda c: c[0],
        "at the top": lambda c: -c[1], "at the bottom": lambda c: c[1],
    }[side]  # fmt: skip
    ranked = sorted(items, key=lambda item: key(center(scene, item)))
    assert len(ranked) == 1 or key(center(scene, ranked[-1])) - key(center(scene, ranked[-2])) > 0.12
    return ranked[-1]


def refer(scene: dict, text: str) -> dict:
    """The object that an expression ("the small red star", "the star on the left") means."""
    text = usual(text)
    if match := re.fullmatch(f"the (.+) {RELATION} the (.+)", text):
        other = the(scene, match[3])
        (item,) = [o for o in such(scene, match[1]) if o is not other and lies(scene, o, match[2], other)]
        return item
    if match := re.fullmatch(f"the (.+) {SIDE}", text):
        return outermost(scene, such(scene, match[1]), match[2])
    return the(scene, re.fullmatch("the (.+)", text)[1])


def answer(scene: dict, question: str) -> str:
    """The answer to a question of this world."""
    text = usual(question)
    if text in ("what is the background", "what is in the background", "where is the object", "where are the objects"):
        return scene["backdrop"]
    if match := re.fullmatch("how many (.+?)( are there| are in the picture| can you see)", text):
        return str(len(such(scene, match[1])))
    if match := re.fullmatch("(?:is there|can you see) an? (.+?)( in the picture)?", text):
        return "yes" if such(scene, match[1]) else "no"
    if match := re.fullmatch("(?:is the (.+) large or small|what size is the (.+))", text):
        return the(scene, match[1] or match[2])["size"]
    if match := re.fullmatch("what pattern does the (.+) have", text):
        return the(scene, match[1])["texture"]
    if match := re.fullmatch(f"is the (.+) {RELATION} the (.+)", text):
        a, b = the(scene, match[1]), the(scene, match[3])
        opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[match[2]]
        assert lies(scene, a, match[2], b) != lies(scene, a, opposite, b)
        return "yes" if lies(scene, a, match[2], b) else "no"
    if match := re.fullmatch(f"is the (.+) ({'|'.join(COLORS)})", text):
        return "yes" if the(scene, match[1])["color"] == match[2] else "no"
    key = "color" if text.startswith("what color") else "shape"
    if match := re.fullmatch(f"what (?:color is|shape is|is) (?:the object )?{RELATION} the (.+)", text):
        other = the(scene, match[2])
        (item,) = [o for o in scene["objects"] if o is not other and lies(scene, o, match[1], other)]
        return item[key]
    if match := re.fullmatch(f"what (?:color|shape) is the object {SIDE}", text):
        return outermost(scene, scene["objects"], match[1])[key]
    return the(scene, re.fullmatch("what (?:color is|shape is|is) the (.+)", text)[1])[key]


def described(caption: str) -> tuple[Counter, str]:
    """The looks, with their numbers, and the backdrop that a full caption tells of."""
    text = re.sub("[?,.]", "", caption)
    (place,) = [p for p in BACKDROPS if re.search(rf"\b{p}\b", text)]
    text = usual(text.replace(place, " "))
    text = re.sub(rf"\b(there is|there are|a picture of|in the middle|and|{SIDE}|{RELATION})\b", " ", text)
    looks: Counter = Counter()
    count, attributes = 1, []
    for word in text.split():
        if word in ("a", "an") or word in NUMBERS:
            count = NUMBERS.get(word, 1)
        elif singular(word) in SHAPES:
            size = next(a for a in attributes if a in SIZES)
            texture = next((a for a in attributes if a in TEXTURES), "plain")
            color = next(a for a in attributes if a in COLORS)
            looks[(size, texture, color, singular(word))] += count
            count, attributes = 1, []
        else:
            attributes.append(word)
    assert not attributes, caption
    return looks, BACKDROPS[place]
