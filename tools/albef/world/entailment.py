"""Sentences for visual entailment: true of a picture, false, or such that the picture does not tell.

Every sentence but the few of kind "alone" is listed with one picture for each label that it can have, so that the text
alone never tells which it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from albef.world import claims
from albef.world.claims import FALSE, TRUE, UNKNOWN, Claim, conjunction, disjunction, exists, kind_of_thing, some_thing
from albef.world.language import NUMBERS, Voice
from albef.world.scene import RELATIONS, Scene, generator

LABELS = {TRUE: "entailment", UNKNOWN: "neutral", FALSE: "contradiction"}
SENTENCES = 2
"""Sentences a picture; each is listed two or three times, with this picture and with others."""
WINDOW = 400
"""How many earlier pictures of the split are searched for the other labels of a sentence."""
MAX_WORDS = 28
NAMES = ("sam", "tom", "ann", "eva", "max", "pam")
HIDING = {
    "beach": "under the sand", "sea": "under the water", "snow": "under the snow",
    "brick wall": "behind the wall", "wood": "under the table",
}  # fmt: skip
DAYLIGHT = frozenset(("grass", "beach", "sea", "snow"))
INDOORS = frozenset(("brick wall", "wood"))
"""Backdrops that show no sky: nothing tells the time of day."""
TIMES = {
    "it is night": {"night sky": TRUE, "sunset": FALSE} | dict.fromkeys(DAYLIGHT, FALSE),
    "it is evening": {"sunset": TRUE, "night sky": None} | dict.fromkeys(DAYLIGHT, FALSE),
    "it is day": {"night sky": FALSE, "sunset": None} | dict.fromkeys(DAYLIGHT, TRUE),
}


def unknowable(scene: Scene, rng: random.Random, voice: Voice) -> Claim:
    """What no picture here tells: beyond its frame, other pictures, owners, makers, sound, the weather to come."""
    a, kind = some_thing(scene, rng, voice), kind_of_thing(scene, rng, voice)
    text = rng.choice(_UNKNOWABLE).format(
        a=a.some, noun=a.noun, name=rng.choice(NAMES), many=f"{rng.choice(NUMBERS[2:])} {kind.many}",
        number=rng.choice(NUMBERS[2:]), side=voice.word(rng.choice(RELATIONS)),
    )  # fmt: skip
    return Claim(text, lambda _: UNKNOWN)


_UNKNOWABLE = (
    "there is {a} {side} the picture", "there is {a} {side} the picture", "you can see {a} {side} the picture",
    "there is {a} in picture {number}", "there are {many} in picture {number}", "{name} can see {a} in picture {number}",
    "you have {a}", "you have {many}", "{name} has {a}", "{name} has no {noun}",
    "{name} made the picture", "{name} and you made the picture", "{name} likes the picture",
    "there is {a} behind the picture", "you can hear the sea", "you can hear {name}",
    "next there is {a}", "it can rain next", "the next picture has {a}", "it is from {name}",
)  # fmt: skip


def _plain(scene: Scene, rng: random.Random, voice: Voice) -> Claim:
    return claims.known(scene, rng, voice)


def _and_unknowable(scene: Scene, rng: random.Random, voice: Voice) -> Claim:
    """ "there is a red star and sam made the picture", "tom has the red star", "there is a ring under the sand" """
    habit = rng.random()
    if habit < 0.2:
        a, name = some_thing(scene, rng, voice), rng.choice(NAMES)
        frame = rng.choice(("there is {} for {}", "there is {} and {} made it", "there is {} and {} has it", "{} is for {}"))
        return conjunction(exists(a), Claim("", lambda _: UNKNOWN), text=frame.format(a.some, name))
    if habit < 0.35:
        backdrop = scene.backdrop if scene.backdrop in HIDING else rng.choice(list(HIDING))
        a = some_thing(scene, rng, voice)
        text = rng.choice(("there is {} {}", "{} is {}")).format(a.some, HIDING[backdrop])
        return Claim(text, lambda s: UNKNOWN if s.backdrop == backdrop else FALSE, frozenset((backdrop,)))
    known, other = claims.known(scene, rng, voice), unknowable(scene, rng, voice)
    first, second = (known, other) if rng.random() < 0.6 else (other, known)
    return conjunction(known, other, text=f"{first.text} and {second.text}")


def _or_unknowable(scene: Scene, rng: random.Random, voice: Voice) -> Claim:
    """ "there is a red star in the picture or below it", "there is a red star or sam has a ring" """
    a = some_thing(scene, rng, voice)
    if rng.random() < 0.5:
        side = voice.word(rng.choice(RELATIONS))
        frame = rng.choice(("there is {a} in the picture or {side} it", "{a} is in the picture or {side} it"))
        text = frame.format(a=a.some, side=side)
        return disjunction(exists(a), Claim("", lambda _: UNKNOWN), text=text)
    known, other = claims.known(scene, rng, voice), unknowable(scene, rng, voice)
    first, second = (known, other) if rng.random() < 0.6 else (other, known)
    return disjunction(known, other, text=f"{first.text} or {second.text}")


def _all_three(scene: Scene, rng: random.Random, voice: Voice) -> Claim | None:
    """ "it is night", "there is a red star and it is night", "there is a red star in the picture and a ring in or below it" """
    if rng.random() < 0.4:
        a, b = some_thing(scene, rng, voice), some_thing(scene, rng, voice)
        if set(a.words) <= set(b.words) or set(b.words) <= set(a.words):
            return None
        either = disjunction(exists(b), Claim("", lambda _: UNKNOWN), text="")
        side = voice.word(rng.choice(RELATIONS))
        return conjunction(exists(a), either, text=f"there is {a.some} in the picture and {b.some} in or {side} it")
    text = rng.choice(list(TIMES))
    truths = TIMES[text]
    time = Claim(text, lambda s: UNKNOWN if s.backdrop in INDOORS else truths[s.backdrop], frozenset((text,)))
    habit = rng.random()
    if habit < 0.15:
        return time
    known = claims.existence(scene, rng, voice)
    first, second = (known, time) if rng.random() < 0.5 else (time, known)
    if habit < 0.6:
        return conjunction(known, time, text=f"{first.text} and {second.text}")
    return disjunction(known, time, text=f"{first.text} or {second.text}")


Maker = Callable[[Scene, random.Random, Voice], "Claim | None"]

KINDS: dict[str, tuple[int, Maker, tuple[int, ...]]] = {
    "plain": (28, _plain, (TRUE, FALSE)),
    "and": (20, _and_unknowable, (UNKNOWN, FALSE)),
    "or": (18, _or_unknowable, (TRUE, UNKNOWN)),
    "three": (30, _all_three, (TRUE, UNKNOWN, FALSE)),
    "alone": (4, unknowable, (UNKNOWN,)),
}
"""Per kind of sentence: how often it is made, by what, and the labels that it is listed with."""


def sentences(seed: int, scenes: list[Scene], place: int) -> list[tuple[int, str, str, str]]:
    """What the picture `scenes[place]` and earlier ones of the list are listed with: (place, text, label, kind)."""
    scene = scenes[place]
    rng = generator(seed, scene.split, scene.index, "entailment")
    found = []
    for _ in range(SENTENCES):
        for _ in range(12):
            kind = rng.choices(list(KINDS), weights=[weight for weight, _, _ in KINDS.values()])[0]
            _, maker, labels = KINDS[kind]
            claim = maker(scene, rng, Voice(rng, claims.VARIETY))
            if claim is None or len(claim.text.split()) > MAX_WORDS:
                continue
            if chosen := _one_of_each(claim, labels, scenes, place, rng):
                found += [(chosen[label], claim.text, LABELS[label], kind) for label in labels]
                break
    return found


def _one_of_each(claim: Claim, labels, scenes: list[Scene], place: int, rng: random.Random) -> dict[int, int] | None:
    """A picture for each label: `place` itself and earlier ones, at times those that nearly have another label."""
    own = claim.truth(scenes[place])
    if own not in labels:
        return None
    chosen: dict[int, int] = {own: place}
    wanted = 6 if rng.random() < 0.5 else 1
    seen: dict[int, list[int]] = {label: [] for label in labels if label != own}
    first = max(0, place - WINDOW)
    for other in rng.sample(range(first, place), place - first):
        value = claim.truth(scenes[other])
        if value in seen and len(seen[value]) < wanted:
            seen[value].append(other)
            if all(len(places) == wanted for places in seen.values()):
                break
    if not all(seen.values()):
        return None
    for label, places in seen.items():
        chosen[label] = max(places, key=lambda p: len(claim.words & scenes[p].words))
    return chosen
