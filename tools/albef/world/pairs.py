"""Sentences about two pictures (NLVR2): each is listed with a pair of which it is true and a pair of which it is false."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from albef.world.claims import VARIETY, kind_of_thing, some_thing
from albef.world.language import NUMBERS, Voice
from albef.world.scene import BACKDROPS, Scene, generator

WINDOW = 400
"""How many earlier pictures of the split a picture may be paired with."""
MAX_WORDS = 28
COUNTED = (*NUMBERS, "5", "6", "7", "8")
SEEN = {
    "grass": "grass", "beach": "a beach", "night sky": "the night sky", "sea": "the sea", "snow": "snow",
    "brick wall": "a brick wall", "sunset": "a sunset", "wood": "wood",
}  # fmt: skip


@dataclass(frozen=True)
class PairClaim:
    """A sentence and whether it is true of a left and a right picture; None where a person would hesitate."""

    text: str
    truth: Callable[[Scene, Scene], bool | None]
    words: frozenset[str] = frozenset()


def _both(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    x = some_thing(a, rng, voice)
    frame = rng.choice(("there is {} in the two pictures", "the two pictures have {}", "both pictures show {}"))
    return PairClaim(frame.format(x.some), lambda s, t: x.count(s) > 0 and x.count(t) > 0, frozenset(x.words))


def _one_side(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    x, side = some_thing(rng.choice((a, b)), rng, voice), rng.choice(("left", "right"))
    frame = rng.choice(
        (
            "there is {x} in the {side} picture", "in the {side} picture you can see {x}", "the {side} picture has {x}",
            "in the {side} picture there is {x}",
        )
    )  # fmt: skip
    text = frame.format(x=x.some, side=side)
    return PairClaim(text, lambda s, t: x.count(s if side == "left" else t) > 0, frozenset(x.words))


def _each_side(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    x, y = some_thing(a, rng, voice), some_thing(b, rng, voice)
    frame = rng.choice(
        (
            "there is {} in the left picture and {} in the right picture", "the left picture has {} and the right one {}",
            "you can see {} in the left picture and {} in the right one",
        )
    )  # fmt: skip
    words = frozenset(x.words + y.words)
    return PairClaim(frame.format(x.some, y.some), lambda s, t: x.count(s) > 0 and y.count(t) > 0, words)


def _one_of_two(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    x = some_thing(a, rng, voice)
    frame = rng.choice(
        (
            "exactly one of the pictures contains {}", "only one picture has {}",
            "there is {} in one picture and no {noun} in the other",
        )
    )  # fmt: skip
    text = frame.format(x.some, noun=x.noun)
    return PairClaim(text, lambda s, t: (x.count(s) > 0) != (x.count(t) > 0), frozenset(x.words))


def _neither(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    x = some_thing(a, rng, voice)
    frame = rng.choice(("there is no {} in the two pictures", "no picture has {some}", "neither picture shows {some}"))
    text = frame.format(x.noun, some=x.some)
    return PairClaim(text, lambda s, t: x.count(s) == 0 and x.count(t) == 0, frozenset(x.words))


def _more(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    x, side = kind_of_thing(a, rng, voice), rng.choice(("left", "right"))
    other = "right" if side == "left" else "left"
    frame = rng.choice(
        (
            "there are more {x} in the {side} picture than in the {other} one",
            "the {side} picture has more {x} than the {other} one",
        )
    )
    sign = 1 if side == "left" else -1
    text = frame.format(x=x.many, side=side, other=other)
    return PairClaim(text, lambda s, t: sign * (x.count(s) - x.count(t)) > 0, frozenset(x.words))


def _as_many(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    x = kind_of_thing(a, rng, voice)
    frame = rng.choice(
        ("the two pictures have the same number of {}", "there are as many {} in the left picture as in the right one")
    )

    def truth(s: Scene, t: Scene) -> bool | None:
        return x.count(s) == x.count(t) if x.count(s) or x.count(t) else None

    return PairClaim(frame.format(x.many), truth, frozenset(x.words))


def _total(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    x = kind_of_thing(a, rng, voice)
    total = max(1, x.count(a) + x.count(b))
    noun, verb = (x.noun, "is") if total == 1 else (x.many, "are")
    frame = rng.choice(("there {verb} {n} {x} in all", "in the two pictures there {verb} {n} {x}"))
    text = frame.format(verb=verb, n=COUNTED[total], x=noun)
    return PairClaim(text, lambda s, t: x.count(s) + x.count(t) == total, frozenset(x.words))


def _side_number(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    x, side = kind_of_thing(a, rng, voice), rng.choice(("left", "right"))
    count = max(1, x.count(a))
    noun, verb = (x.noun, "is") if count == 1 else (x.many, "are")
    frame = rng.choice(("there {verb} {n} {x} in the {side} picture", "in the {side} picture there {verb} {n} {x}"))
    text = frame.format(verb=verb, n=NUMBERS[count], x=noun, side=side)
    return PairClaim(text, lambda s, t: x.count(s if side == "left" else t) == count, frozenset(x.words))


def _backdrops(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    if rng.random() < 0.4:
        side = rng.choice(("left", "right"))
        text = f"the background of the {side} picture is {a.backdrop}"
        return PairClaim(text, lambda s, t: (s if side == "left" else t).backdrop == a.backdrop, frozenset((a.backdrop,)))
    if rng.random() < 0.35:
        text = rng.choice(("the two pictures have the same background", "the background of the two pictures is the same"))
        return PairClaim(text, lambda s, t: s.backdrop == t.backdrop)
    other = b.backdrop if b.backdrop != a.backdrop else rng.choice([x for x in BACKDROPS if x != a.backdrop])
    if rng.random() < 0.5:
        text = f"one picture shows {SEEN[a.backdrop]} and the other one {SEEN[other]}"
    else:
        text = f"the background is {a.backdrop} in one picture and {other} in the other"
    wanted = {a.backdrop, other}
    return PairClaim(text, lambda s, t: {s.backdrop, t.backdrop} == wanted, frozenset(wanted))


def _same_color(a: Scene, b: Scene, rng: random.Random, voice: Voice) -> PairClaim:
    shape = rng.choice(a.items).shape
    noun = voice.word(shape)

    def truth(s: Scene, t: Scene) -> bool | None:
        left, right = ({i.color for i in scene.items if i.shape == shape} for scene in (s, t))
        return bool(left & right) if left and right else None

    return PairClaim(f"the two pictures have {'an' if noun[0] in 'aeiou' else 'a'} {noun} of the same color", truth)


KINDS: dict[str, tuple[int, Callable[[Scene, Scene, random.Random, Voice], PairClaim]]] = {
    "both": (15, _both), "side": (14, _one_side), "sides": (14, _each_side), "one": (12, _one_of_two),
    "neither": (8, _neither), "more": (10, _more), "equal": (5, _as_many), "total": (8, _total),
    "number": (4, _side_number), "backdrops": (8, _backdrops), "color": (2, _same_color),
}  # fmt: skip
"""Per kind of sentence: how often it is made, and by what from two pictures of which it is likely true."""


def statements_of(split: str, index: int) -> int:
    """How many sentences a picture begins: one, in training one and two by turns; each is listed with two pairs."""
    return 3 * (index + 1) // 2 - 3 * index // 2 if split == "train" else 1


def statements(seed: int, scenes: list[Scene], place: int) -> list[tuple[tuple[int, int], str, bool, str]]:
    """Pairs of the picture `scenes[place]` with earlier ones of the list: ((left, right), text, label, kind)."""
    scene = scenes[place]
    rng = generator(seed, scene.split, scene.index, "pairs")
    found = []
    first = max(0, place - WINDOW)
    for _ in range(statements_of(scene.split, scene.index) if place else 0):
        for _ in range(12):
            kind = rng.choices(list(KINDS), weights=[weight for weight, _ in KINDS.values()])[0]
            other = scenes[rng.randrange(first, place)]
            pair = (scene, other) if rng.random() < 0.5 else (other, scene)
            claim = KINDS[kind][1](*pair, rng, Voice(rng, VARIETY))
            chosen = _true_and_false(claim, scenes, place, first, rng)
            if chosen and len(claim.text.split()) <= MAX_WORDS:
                labels = (True, False) if rng.random() < 0.5 else (False, True)
                found += [(chosen[label], claim.text, label, kind) for label in labels]
                break
    return found


def _true_and_false(
    claim: PairClaim, scenes: list[Scene], place: int, first: int, rng: random.Random
) -> dict[bool, tuple[int, int]] | None:
    """A pair for either label, both with the picture `place`; at times the false one is nearly true."""
    chosen: dict[bool, tuple[int, int]] = {}
    near: list[tuple[int, int]] = []
    wanted = 6 if rng.random() < 0.5 else 1
    for other in rng.sample(range(first, place), place - first):
        orders = [(place, other), (other, place)]
        rng.shuffle(orders)
        for pair in orders:
            value = claim.truth(scenes[pair[0]], scenes[pair[1]])
            if value:
                chosen.setdefault(True, pair)
            elif value is not None and len(near) < wanted:
                near.append(pair)
        if True in chosen and len(near) >= wanted:
            break
    if True not in chosen or not near:
        return None
    chosen[False] = max(near, key=lambda p: sum(len(claim.words & scenes[i].words) for i in p))
    return chosen
