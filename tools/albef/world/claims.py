"""Claims about a scene: a piece of text, and how true it is of any scene. Sentences of two tasks are made of them.

Truth is three-valued, after Kleene: `TRUE`, `FALSE`, or `UNKNOWN` where the picture does not tell; "and" is the least of
its parts, "or" the greatest. `None` means that a person would hesitate: such a picture is not used with the claim.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from albef.world.language import NUMBERS, Voice, partial_look, plural
from albef.world.scene import BACKDROPS, CLASHES, COLORS, HELD_OUT, RELATIONS, SHAPES, Item, Scene

TRUE, UNKNOWN, FALSE = 1, 0, -1
VARIETY = 0.15

Truth = Callable[[Scene], "int | None"]


@dataclass(frozen=True)
class Claim:
    """`text` is a clause, or a noun phrase where it says so; `words` are the attributes that it speaks of."""

    text: str
    truth: Truth
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Thing:
    """A noun with adjectives, and what it is true of. `some`: "a small red star"; `noun`: "small red star"."""

    words: tuple[str, ...]
    some: str
    noun: str
    many: str

    def count(self, scene: Scene) -> int:
        """How many objects of the scene are such."""
        return sum(self.is_true_of(item) for item in scene.items)

    def is_true_of(self, item: Item) -> bool:
        """Whether every word is true of the object."""
        return all(word == "object" or word in item.look for word in self.words)


def thing(words: tuple[str, ...], voice: Voice) -> Thing:
    """Puts words into a noun phrase; "plain" is neither said nor asked for."""
    words = tuple(word for word in words if word != "plain")
    noun = voice.noun(words)
    article = "an" if noun[0] in "aeiou" else "a"
    head, _, last = noun.rpartition(" ")
    return Thing(words, f"{article} {noun}", noun, f"{head} {plural(last)}".strip())


def some_thing(scene: Scene, rng: random.Random, voice: Voice) -> Thing:
    """Mostly a thing of the scene with some of its attributes, else a neighbour of it: another colour or shape."""
    item = rng.choice(scene.items)
    words = (item.shape,) if rng.random() < 0.25 else partial_look(item, rng)
    if rng.random() < 0.3:
        changed = list(words)
        for _ in range(20):
            place = rng.randrange(len(words))
            options = SHAPES if words[place] in SHAPES else COLORS if words[place] in COLORS else ()
            changed = list(words)
            if options:
                changed[place] = rng.choice([o for o in options if o != CLASHES[scene.backdrop]])
            if is_shown(changed, scene.split):
                break
        else:
            changed = list(words)
        words = tuple(changed)
    return thing(words, voice)


def kind_of_thing(scene: Scene, rng: random.Random, voice: Voice) -> Thing:
    """A thing to count: all objects, those of a shape or those of a colour."""
    item = rng.choice(scene.items)
    return thing(rng.choice((("object",), (item.shape,), (item.shape,), (item.color, "object"))), voice)


def is_shown(words, split: str) -> bool:
    """Whether training shows such a pair of shape and colour: texts of the other splits do not speak of the others."""
    return split == "test" or not any((s, c) in HELD_OUT for s in words for c in words)


def conjunction(*claims: Claim, text: str) -> Claim:
    """True where every part is."""
    return Claim(text, lambda scene: _least([c.truth(scene) for c in claims]), _words(claims))


def disjunction(*claims: Claim, text: str) -> Claim:
    """True where a part is."""

    def truth(scene: Scene) -> int | None:
        least = _least([None if (value := c.truth(scene)) is None else -value for c in claims])
        return None if least is None else -least

    return Claim(text, truth, _words(claims))


def _least(values: list[int | None]) -> int | None:
    return None if None in values else min(values)


def _words(claims) -> frozenset[str]:
    return frozenset().union(*(claim.words for claim in claims))


def truth_of(value: bool) -> int:
    """`TRUE` or `FALSE`."""
    return TRUE if value else FALSE


def exists(a: Thing, text: str = "") -> Claim:
    """ "there is a red star" """
    return Claim(text or f"there is {a.some}", lambda scene: truth_of(a.count(scene) > 0), frozenset(a.words))


def on_backdrop(backdrop: str, text: str) -> Claim:
    """True before this backdrop."""
    return Claim(text, lambda scene: truth_of(scene.backdrop == backdrop), frozenset((backdrop,)))


def existence(scene: Scene, rng: random.Random, voice: Voice) -> Claim:
    """ "there is a red star", "you can see no star", "there is a red star on the beach" """
    a = some_thing(scene, rng, voice)
    habit = rng.random()
    if habit < 0.2:
        text = rng.choice(("there is no {}", "you can see no {}", "there is no {} in the picture")).format(a.noun)
        return Claim(text, lambda s: truth_of(a.count(s) == 0), frozenset(a.words))
    text = rng.choice(("there is {}", "you can see {}", "{} is in the picture", "there is {} in the picture")).format(a.some)
    if habit < 0.4 and not text.endswith("picture"):
        backdrop = scene.backdrop if rng.random() < 0.7 else rng.choice(BACKDROPS)
        text = f"{text} {voice.place(backdrop)}"
        return conjunction(exists(a), on_backdrop(backdrop, ""), text=text)
    return exists(a, text)


def two_things(scene: Scene, rng: random.Random, voice: Voice) -> Claim | None:
    """ "there is a red star and a ring", "there is a red star or a ring" """
    a, b = some_thing(scene, rng, voice), some_thing(scene, rng, voice)
    if set(a.words) <= set(b.words) or set(b.words) <= set(a.words):
        return None  # "a star and a red star": one or two of them?
    frame = rng.choice(("there is {} {} {}", "you can see {} {} {}"))
    join, word = (conjunction, "and") if rng.random() < 0.65 else (disjunction, "or")
    return join(exists(a), exists(b), text=frame.format(a.some, word, b.some))


def number(scene: Scene, rng: random.Random, voice: Voice) -> Claim:
    """ "there are two red objects": exactly so many."""
    a = kind_of_thing(scene, rng, voice)
    count = a.count(scene)
    count = max(1, min(4, count + rng.choice((0, 0, 0, 1, -1))))
    frame = "there is {}" if count == 1 else rng.choice(("there are {}", "you can see {}"))
    text = frame.format(f"{NUMBERS[count]} {a.noun if count == 1 else a.many}")
    text += rng.choice(("", " in the picture"))
    return Claim(text, lambda s: truth_of(a.count(s) == count), frozenset(a.words))


def relation(scene: Scene, rng: random.Random, voice: Voice) -> Claim | None:
    """ "there is a red star left of a circle": true where a pair clearly lies so, false where none can be said to."""
    if len(scene.items) < 2:
        return None
    first, second = rng.sample(scene.items, 2)
    a, b = (thing(rng.choice(((i.shape,), (i.color, i.shape))), voice) for i in (first, second))
    how = scene.relation(first, second)
    if how is None or set(a.words) <= set(b.words) or set(b.words) <= set(a.words):
        return None
    if rng.random() < 0.3:
        how = RELATIONS[RELATIONS.index(how) ^ 1]

    def truth(s: Scene) -> int | None:
        pairs = [(x, y) for x in s.items if a.is_true_of(x) for y in s.items if x is not y and b.is_true_of(y)]
        if any(s.relation(x, y) == how for x, y in pairs):
            return TRUE
        return None if any(s.may_be(how, x, y) for x, y in pairs) else FALSE

    frame = rng.choice(("there is {} {} {}", "{} is {} {}", "you can see {} {} {}"))
    return Claim(frame.format(a.some, voice.word(how), b.some), truth, frozenset(a.words + b.words))


def attribute(scene: Scene, rng: random.Random, voice: Voice) -> Claim | None:
    """ "the star is red", "the red object is a star", "the star is large": of pictures with exactly one such object."""
    item = rng.choice(scene.items)
    words, said = rng.choice(
        (
            ((item.shape,), item.color),
            ((item.color, "object"), item.shape),
            ((item.shape,), item.size),
            ((item.color, item.shape), item.size),
        )
    )
    if rng.random() < 0.3 and said in COLORS:
        said = rng.choice([c for c in COLORS if is_shown((*words, c), scene.split)])
    a = thing(words, voice)
    told = thing((said,), voice).some if said in SHAPES else voice.word(said)

    def truth(s: Scene) -> int | None:
        such = [i for i in s.items if a.is_true_of(i)]
        return truth_of(said in such[0].look) if len(such) == 1 else None

    return Claim(f"the {a.noun} is {told}", truth, frozenset((*words, said)))


def backdrop(scene: Scene, rng: random.Random, voice: Voice) -> Claim:
    """ "the background is snow", "the objects are on the beach" """
    frame = rng.choice(("the background is {}", "the background of the picture is {}", "you can see the picture {}"))
    if "see" in frame:
        frame = rng.choice(("the picture is {}", "everything is {}"))
        return on_backdrop(scene.backdrop, frame.format(voice.place(scene.backdrop)))
    return on_backdrop(scene.backdrop, frame.format(scene.backdrop))


KNOWN = {existence: 34, two_things: 12, number: 18, relation: 14, attribute: 14, backdrop: 8}
"""Claims that a picture decides, and how often each is made."""


def known(scene: Scene, rng: random.Random, voice: Voice) -> Claim:
    """A claim that pictures decide."""
    while True:
        maker = rng.choices(list(KNOWN), weights=list(KNOWN.values()))[0]
        if claim := maker(scene, rng, voice):
            return claim
