"""Captions and referring expressions: short English sentences about a scene."""

from __future__ import annotations

import random
from collections import Counter

from albef.world.scene import RELATIONS, Item, Scene

MAX_WORDS = 24
"""Longest text: with `[CLS]`, one piece a word, it fits the 25 tokens of pre-training."""

PLACES = {
    "grass": ("on the grass", "in a meadow"),
    "beach": ("on the beach", "on the sand"),
    "night sky": ("in the night sky", "at night"),
    "sea": ("on the sea", "in the water"),
    "snow": ("in the snow", "on white snow"),
    "brick wall": ("on a brick wall", "in front of a brick wall"),
    "sunset": ("at sunset", "in the evening sky"),
    "wood": ("on wood", "on a wooden table"),
}
SYNONYMS = {
    "large": "big", "small": "little", "dotted": "spotted", "cross": "plus", "moon": "crescent",
    "left of": "to the left of", "right of": "to the right of", "above": "over", "below": "under",
}  # fmt: skip
PLACE_WORDS = ("on", "at", "left", "right", "above", "below", "over", "under")
"""Words that only expressions with a place hold."""
PLURALS = {"cross": "crosses", "plus": "pluses"}
NUMBERS = ("no", "one", "two", "three", "four")


class Voice:
    """Chooses words: the usual one, or (with probability `variety`) its synonym."""

    def __init__(self, rng: random.Random, variety: float):
        self.rng = rng
        self.variety = variety

    def word(self, usual: str) -> str:
        """The word itself or its synonym."""
        return SYNONYMS[usual] if usual in SYNONYMS and self.rng.random() < self.variety else usual

    def place(self, backdrop: str) -> str:
        """Where it is: "on the beach"."""
        usual, other = PLACES[backdrop]
        return other if self.rng.random() < self.variety else usual

    def noun(self, words: tuple[str, ...], count: int = 1) -> str:
        """Adjectives and a noun: "large striped red stars" for `count` other than 1; "plain" is left unsaid."""
        said = [self.word(word) for word in words if word != "plain"]
        if count != 1:
            said[-1] = plural(said[-1])
        return " ".join(said)

    def some(self, words: tuple[str, ...], count: int = 1) -> str:
        """With an article or a number: "a small red star", "two red stars"."""
        noun = self.noun(words, count)
        if count != 1:
            return f"{NUMBERS[count]} {noun}"
        return ("an " if noun[0] in "aeiou" else "a ") + noun


def plural(noun: str) -> str:
    """More than one of them."""
    return PLURALS.get(noun, noun + "s")


def groups(scene: Scene, rng: random.Random) -> list[tuple[tuple[str, ...], int]]:
    """The looks in the scene with how often each occurs, in random order."""
    counted = list(Counter(item.look for item in scene.items).items())
    rng.shuffle(counted)
    return counted


def full_caption(scene: Scene, rng: random.Random, variety: float) -> str:
    """Names every object with all that can be said of it, and the backdrop; where one or two, also their places."""
    voice = Voice(rng, variety)
    place = voice.place(scene.backdrop)
    parts = [voice.some(look, count) for look, count in groups(scene, rng)]
    plain = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    if len(scene.items) == 1:
        side = side_of(scene, scene.items[0])
        told = f"{plain} {side} {place}" if side else f"{plain} in the middle {place}"
        return told if rng.random() < 0.6 or variety == 0 else _framed(f"{plain} {place}", place, plain, rng, 1)
    if len(scene.items) == 2 and len(parts) == 2:
        a, b = scene.items if rng.random() < 0.5 else reversed(scene.items)
        relation = scene.relation(a, b)
        if relation and (variety == 0 or rng.random() < 0.6):
            return f"{voice.some(a.look)} {voice.word(relation)} {voice.some(b.look)} {place}"
    return _framed(f"{plain} {place}", place, plain, rng, len(scene.items))


def _framed(text: str, place: str, plain: str, rng: random.Random, count: int) -> str:
    verb = "is" if plain.startswith(("a ", "an ")) else "are"
    frames = (text, text, f"there {verb} {text}", f"a picture of {text}", f"{place} there {verb} {plain}")
    chosen = rng.choice(frames)
    return chosen if len(chosen.split()) <= MAX_WORDS else text


def side_of(scene: Scene, item: Item) -> str | None:
    """Where in the picture, if that is clear: "on the left", "at the top"; None near the middle."""
    dx, dy = item.x / scene.width - 0.5, item.y / scene.height - 0.5
    if abs(dx) >= abs(dy):
        return None if abs(dx) < 0.12 else "on the left" if dx < 0 else "on the right"
    return None if abs(dy) < 0.12 else "at the top" if dy < 0 else "at the bottom"


def partial_look(item: Item, rng: random.Random) -> tuple[str, ...]:
    """Some of what can be said of an object, its shape always."""
    size, texture, color, shape = item.look
    two = ((size, color), (texture, color), (size, texture, color))
    keep = rng.choice(((color,), (color,), *two, (texture,), (size,)))
    return (*keep, shape)


def object_caption(scene: Scene, rng: random.Random, variety: float) -> str:
    """Names one object: "a red star", at times with the backdrop."""
    voice = Voice(rng, variety)
    text = voice.some(partial_look(rng.choice(scene.items), rng))
    return f"{text} {voice.place(scene.backdrop)}" if rng.random() < 0.3 else text


def pair_caption(scene: Scene, rng: random.Random, variety: float) -> str | None:
    """Two objects and how they lie to each other: "a red star left of a blue circle"; None where nothing is clear."""
    pairs = [(a, b, r) for a in scene.items for b in scene.items if a is not b and (r := scene.relation(a, b))]
    if not pairs:
        return None
    voice = Voice(rng, variety)
    a, b, relation = rng.choice(pairs)
    return f"{voice.some(partial_look(a, rng))} {voice.word(relation)} {voice.some(partial_look(b, rng))}"


def count_caption(scene: Scene, rng: random.Random, variety: float) -> str:
    """How many objects of a kind, or of all: "three stars", "two red objects at sunset"."""
    voice = Voice(rng, variety)
    item = rng.choice(scene.items)
    words, count = rng.choice(
        (
            ((item.shape,), sum(o.shape == item.shape for o in scene.items)),
            ((item.color, "object"), sum(o.color == item.color for o in scene.items)),
            ((item.color, item.shape), sum((o.color, o.shape) == (item.color, item.shape) for o in scene.items)),
            (("object",), len(scene.items)),
        )
    )
    noun = voice.noun(words, count)
    return f"{NUMBERS[count]} {noun} {voice.place(scene.backdrop)}"


def captions(scene: Scene, rng: random.Random) -> tuple[list[str], list[str]]:
    """(full captions, partial captions) of a training picture; the first full one is the plainest."""
    full = [full_caption(scene, rng, 0.0)] + [full_caption(scene, rng, 0.25) for _ in range(3)]
    partial = [object_caption(scene, rng, 0.2) for _ in range(2)]
    partial += [text for _ in range(2) if (text := pair_caption(scene, rng, 0.2))]
    partial.append(count_caption(scene, rng, 0.2))
    return list(dict.fromkeys(full)), list(dict.fromkeys(partial))


def matching(scene: Scene, words: tuple[str, ...]) -> list[Item]:
    """The objects that have all these attributes; "object" is true of each."""
    return [item for item in scene.items if all(word == "object" or word in item.look for word in words)]


_ONE = (), ("color",), ("size",), ("texture",)
_KINDS = (*_ONE, ("size", "color"), ("texture", "color"), ("size", "texture", "color"))
"""The sets of adjectives that a name may have."""


def unique_names(scene: Scene, item: Item, without: str = "") -> list[tuple[str, ...]]:
    """Every way to name this object alone by attributes and a noun; `without` "color", "shape", "size" or "texture"."""
    size, texture, color, shape = item.look
    noun = "object" if without == "shape" else shape
    options = {"size": size, "texture": texture, "color": color}
    names = []
    for kinds in _KINDS:
        if without in kinds or ("texture" in kinds and texture == "plain"):
            continue
        words = (*(options[kind] for kind in kinds), noun)
        if len(matching(scene, words)) == 1:
            names.append(words)
    return names


def expressions(scene: Scene, item: Item, rng: random.Random, variety: float) -> list[str]:
    """Different expressions that name this object and no other; empty where there is none."""
    voice = Voice(rng, variety)
    found = ["the " + voice.noun(name) for name in unique_names(scene, item)]
    found += ["the " + voice.noun(name) for name in unique_names(scene, item, "shape") if len(name) == 2][:1]
    found += _by_side(scene, item, voice) + _by_relation(scene, item, voice)
    rng.shuffle(found)
    return list(dict.fromkeys(found))


def phrases(looks: list[tuple[str, str, str, str]]) -> list[str]:
    """Every phrase "the ..." that is true of an object with one of these looks, whether it tells that object alone or not."""
    found = {}
    for size, texture, color, shape in looks:
        options = {"size": size, "texture": texture, "color": color}
        for kinds in _KINDS:
            if "texture" in kinds and texture == "plain":
                continue
            words = [options[kind] for kind in kinds]
            found[" ".join(["the", *words, shape])] = None
            if len(words) == 1:
                found[f"the {words[0]} object"] = None
    return list(found)


def speaks_of_place(text: str) -> bool:
    """Whether an expression needs places to tell its object ("on the left", "above the ring"), not looks alone."""
    return any(f" {word} " in f"{text} " for word in PLACE_WORDS)


def _by_side(scene: Scene, item: Item, voice: Voice) -> list[str]:
    """ "the star on the left": the outermost of several of its kind by a clear margin."""
    kind = [o for o in scene.items if o.shape == item.shape and o is not item]
    if not kind:
        return []
    found = []
    for side, gap in (
        ("on the left", min(o.x - item.x for o in kind) / scene.width),
        ("on the right", min(item.x - o.x for o in kind) / scene.width),
        ("at the top", min(o.y - item.y for o in kind) / scene.height),
        ("at the bottom", min(item.y - o.y for o in kind) / scene.height),
    ):
        if gap > 0.2:
            found.append(f"the {voice.noun((item.shape,))} {side}")
    return found


def _by_relation(scene: Scene, item: Item, voice: Voice) -> list[str]:
    """ "the star above the red circle": no other of its kind lies on that side of the other object."""
    found = []
    for other in scene.items:
        relation = scene.relation(item, other) if other is not item else None
        names = unique_names(scene, other) if relation else []
        rivals = [o for o in scene.items if o.shape == item.shape and o is not item and o is not other]
        if not relation or not names or any(scene.may_be(relation, o, other) for o in rivals):
            continue
        noun, said = voice.noun((item.shape,)), voice.word(relation)
        found.append(f"the {noun} {said} the {voice.noun(voice.rng.choice(names))}")
    return found


def sole(scene: Scene, relation: str, other: Item) -> Item | None:
    """The one object that lies `relation` `other`, if one does clearly and nobody could claim it of another."""
    assert relation in RELATIONS
    clear = [item for item in scene.items if item is not other and scene.relation(item, other) == relation]
    possible = [item for item in scene.items if item is not other and scene.may_be(relation, item, other)]
    return clear[0] if len(clear) == 1 and len(possible) == 1 else None
