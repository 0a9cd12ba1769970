"""Questions about a scene with their answers; every kind is answerable from the picture alone."""

from __future__ import annotations

import random

from albef.world.language import Voice, matching, sole, unique_names
from albef.world.scene import BACKDROPS, CLASHES, COLORS, HELD_OUT, RELATIONS, SHAPES, SIZES, TEXTURES, Scene

ANSWERS = ("yes", "no", "0", "1", "2", "3", "4", *COLORS, *SHAPES, *SIZES, *TEXTURES, *BACKDROPS)
"""Every answer there is, in the order of the answer list."""

KINDS = {
    "color": 18, "shape": 16, "count": 18, "exists": 16, "is": 8,
    "backdrop": 8, "size": 6, "texture": 6, "relation": 12, "side": 6,
}  # fmt: skip
"""The kinds of question and how often each is asked, where the scene allows it."""

PLACES = {"relation": 5, "side": 4, "is": 3}
"""The kinds that ask about where things are: the hardest to learn, and few among all."""

VARIETY = 0.15


def ask(scene: Scene, number: int, rng: random.Random, kinds: dict[str, int] = KINDS) -> list[tuple[str, str, str]]:
    """At most `number` different questions of these kinds as (question, answer, kind)."""
    asked: dict[str, tuple[str, str, str]] = {}
    for _ in range(number * 12):
        kind = rng.choices(list(kinds), weights=list(kinds.values()))[0]
        made = _MAKERS[kind](scene, rng, Voice(rng, VARIETY))
        if made and made[0] not in asked:
            asked[made[0]] = (*made, kind)
        if len(asked) == number:
            break
    return list(asked.values())


def _named(scene: Scene, rng: random.Random, without: str):
    """An object that can be named alone without one attribute, with such a name; None where there is none."""
    options = [(item, name) for item in scene.items for name in unique_names(scene, item, without)]
    return rng.choice(options) if options else None


def _color(scene, rng, voice):
    if named := _named(scene, rng, "color"):
        return f"{rng.choice(('what color is the', 'which color is the'))} {voice.noun(named[1])}?", named[0].color
    return None


def _shape(scene, rng, voice):
    if named := _named(scene, rng, "shape"):
        name = voice.noun(named[1])
        return rng.choice((f"what shape is the {name}?", f"what is the {name}?")), named[0].shape
    return None


def _count(scene, rng, voice):
    item = rng.choice(scene.items)
    chance = rng.random()
    if chance < 0.2:
        words = ("object",)
    elif chance < 0.4:
        words = (item.shape,)
    elif chance < 0.6:
        words = (item.color, "object")
    elif chance < 0.75:
        words = (item.color, item.shape)
    else:
        words = rng.choice(((rng.choice(SHAPES),), (rng.choice(_colors(scene)), "object")))
    frame = rng.choice(("how many {} are there?", "how many {} are in the picture?", "how many {} can you see?"))
    return frame.format(voice.noun(words, 2)), str(len(matching(scene, words)))


def _colors(scene: Scene) -> list[str]:
    """The colours that may occur before this backdrop: asking for others would be answered by the backdrop alone."""
    return [color for color in COLORS if color != CLASHES[scene.backdrop]]


def _exists(scene, rng, voice):
    item = rng.choice(scene.items)
    words = rng.choice(((item.color, item.shape), (item.color, item.shape), (item.shape,), (item.color, "object")))
    if rng.random() < 0.5:
        return _is_there(words, voice, rng), "yes"
    for _ in range(40):
        color, shape = rng.choice(_colors(scene)), rng.choice(SHAPES)
        if len(words) == 2 and words[1] != "object" and rng.random() < 0.6:  # a near miss
            color, shape = (item.color, shape) if rng.random() < 0.5 else (color, item.shape)
        absent = (shape,) if len(words) == 1 else (color, "object") if words[1] == "object" else (color, shape)
        # Where training never shows a pair, its questions must not teach that the answer is "no".
        if not matching(scene, absent) and (scene.split == "test" or (shape, color) not in HELD_OUT):
            return _is_there(absent, voice, rng), "no"
    return None


def _is_there(words, voice, rng):
    return rng.choice(("is there {}?", "is there {} in the picture?", "can you see {}?")).format(voice.some(words))


def _is(scene, rng, voice):
    """ "is the star red?", "is the star left of the circle?" """
    truth = rng.random() < 0.5
    if len(scene.items) > 1 and rng.random() < 0.5:
        a, b = rng.sample(scene.items, 2)
        relation = scene.relation(a, b)
        names_a, names_b = unique_names(scene, a), unique_names(scene, b)
        if not relation or not names_a or not names_b:
            return None
        opposite = RELATIONS[RELATIONS.index(relation) ^ 1]
        said = voice.word(relation if truth else opposite)
        question = f"is the {voice.noun(rng.choice(names_a))} {said} the {voice.noun(rng.choice(names_b))}?"
        return question, "yes" if truth else "no"
    if not (named := _named(scene, rng, "color")):
        return None
    item, name = named
    unseen = set() if scene.split == "test" else HELD_OUT
    others = [c for c in _colors(scene) if c != item.color and (item.shape, c) not in unseen]
    return f"is the {voice.noun(name)} {item.color if truth else rng.choice(others)}?", "yes" if truth else "no"


def _backdrop(scene, rng, voice):
    one = len(scene.items) == 1
    where = "where is the object?" if one else "where are the objects?"
    return rng.choice(("what is the background?", "what is in the background?", where)), scene.backdrop


def _size(scene, rng, voice):
    if named := _named(scene, rng, "size"):
        name = voice.noun(named[1])
        return rng.choice((f"is the {name} large or small?", f"what size is the {name}?")), named[0].size
    return None


def _texture(scene, rng, voice):
    if (named := _named(scene, rng, "texture")) and named[0].size == "large":
        return f"what pattern does the {voice.noun(named[1])} have?", named[0].texture
    return None


def _relation(scene, rng, voice):
    """ "what is left of the star?" and "what color is the object left of the star?" """
    options = [(o, r, found) for o in scene.items for r in RELATIONS if (found := sole(scene, r, o))]
    options = [(o, r, found, names) for o, r, found in options if (names := unique_names(scene, o))]
    if not options:
        return None
    _, relation, found, names = rng.choice(options)
    tail = f"{voice.word(relation)} the {voice.noun(rng.choice(names))}?"
    if rng.random() < 0.5:
        return f"{rng.choice(('what is', 'what shape is'))} {tail}", found.shape
    return f"what color is the object {tail}", found.color


def _side(scene, rng, voice):
    """ "what is the object on the left?": the outermost of all by a clear margin."""
    if len(scene.items) < 2:
        return None
    side = rng.choice(("on the left", "on the right", "at the top", "at the bottom"))
    sign = -1 if side in ("on the left", "at the top") else 1
    if side in ("on the left", "on the right"):
        ranked = sorted((sign * item.x / scene.width, i) for i, item in enumerate(scene.items))
    else:
        ranked = sorted((sign * item.y / scene.height, i) for i, item in enumerate(scene.items))
    if ranked[-1][0] - ranked[-2][0] < 0.2:
        return None
    item = scene.items[ranked[-1][1]]
    if rng.random() < 0.5:
        return f"what color is the object {side}?", item.color
    return f"what shape is the object {side}?", item.shape


_MAKERS = {
    "color": _color, "shape": _shape, "count": _count, "exists": _exists, "is": _is, "backdrop": _backdrop,
    "size": _size, "texture": _texture, "relation": _relation, "side": _side,
}  # fmt: skip
