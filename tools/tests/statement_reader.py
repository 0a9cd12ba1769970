"""Judges the world's sentences by a scene's description, without the code that wrote them: 1 true, 0 not told, -1 false."""

from __future__ import annotations

import re

import world_reader as reader
from world_reader import BACKDROPS, COLORS, RELATION, SIZES

NAMES = "(?:sam|tom|ann|eva|max|pam)"
NOUN = "(?:(?! and | or | in | is )[a-z ])+?"
"""Adjectives and a noun: no clause has one that goes on over such a word."""
NUMBERS = reader.NUMBERS | {"5": 5, "6": 6, "7": 7, "8": 8}
PLACES = "|".join(BACKDROPS)
HIDING = {"sand": "beach", "water": "sea", "snow": "snow", "wall": "brick wall", "table": "wood"}
UNTOLD = (
    f"(there is|you can see) an? {NOUN} {RELATION} the picture",
    f"({NAMES} can see|there is|there are) {NOUN} in picture (two|three|four)",
    f"you have {NOUN}", f"{NAMES} has {NOUN}", f"{NAMES} (and you )?made the picture", f"{NAMES} likes the picture",
    f"there is an? {NOUN} behind the picture", f"you can hear (the sea|{NAMES})", f"next there is an? {NOUN}", "it can rain next",
    f"the next picture has an? {NOUN}", f"it is from {NAMES}", f"{NAMES} made it", f"{NAMES} has it",
)  # fmt: skip


def sign(value: bool) -> int:
    return 1 if value else -1


def some(scene: dict, words: str) -> int:
    """Whether there is such an object."""
    return sign(bool(reader.such(scene, words)))


def counted(scene: dict, words: str) -> int:
    return len(reader.such(scene, words))


def clause(scene: dict, text: str) -> int | None:
    """What one clause says of the scene; None if it is no clause of this world."""
    if any(re.fullmatch(pattern, text) for pattern in UNTOLD):
        return 0
    if match := re.fullmatch("it is (night|evening|day)", text):
        if scene["backdrop"] in ("brick wall", "wood"):
            return 0
        now = {"night sky": "night", "sunset": "evening"}.get(scene["backdrop"], "day")
        return sign(now == match[1])
    if match := re.fullmatch(f"(?:there is an? {NOUN}|an? {NOUN} is) (?:below|behind) the (sand|water|snow|wall|table)", text):
        return 0 if scene["backdrop"] == HIDING[match[1]] else -1
    if match := re.fullmatch(f"(?:there is an? ({NOUN})|an? ({NOUN}) is) for {NAMES}", text):
        return min(0, some(scene, match[1] or match[2]))
    if match := re.fullmatch(f"(?:there is an? ({NOUN}) in the picture|an? ({NOUN}) is in the picture) or {RELATION} it", text):
        return max(0, some(scene, match[1] or match[2]))
    if match := re.fullmatch(f"there is an? ({NOUN}) in the picture and an? ({NOUN}) in or {RELATION} it", text):
        return min(some(scene, match[1]), max(0, some(scene, match[2])))
    return told(scene, text)


def told(scene: dict, text: str) -> int | None:
    """As `clause`, for what every picture decides."""
    if match := re.fullmatch(f"(?:there is|you can see) no ({NOUN})( in the picture)?", text):
        return -some(scene, match[1])
    if match := re.fullmatch("the background(?: of the picture)? is ((?:(?! and | or )[a-z ])+)", text):
        return sign(scene["backdrop"] == match[1])
    if match := re.fullmatch(f"(?:the picture|everything) is ({PLACES})", text):
        return sign(scene["backdrop"] == BACKDROPS[match[1]])
    if match := re.fullmatch(f"(?:there (?:is|are)|you can see) (one|two|three|four) ({NOUN})( in the picture)?", text):
        return sign(counted(scene, match[2]) == NUMBERS[match[1]])
    if match := re.fullmatch(f"(?:(?:there is|you can see) an? ({NOUN})|an? ({NOUN}) is) {RELATION} an? ({NOUN})", text):
        firsts, seconds = reader.such(scene, match[1] or match[2]), reader.such(scene, match[4])
        return sign(any(reader.lies(scene, a, match[3], b) for a in firsts for b in seconds if a is not b))
    if match := re.fullmatch(f"(?:there is|you can see) an? ({NOUN}) (and|or) an? ({NOUN})", text):
        return (min if match[2] == "and" else max)(some(scene, match[1]), some(scene, match[3]))
    whole = text.removesuffix(" in the picture")
    if match := re.fullmatch(f"(?:there is|you can see) an? ({NOUN})(?: ({PLACES}))?", whole):
        place = match[2] is None or scene["backdrop"] == BACKDROPS[match[2]]
        return min(some(scene, match[1]), sign(place))
    if match := re.fullmatch(f"an? ({NOUN}) is in the picture", text):
        return some(scene, match[1])
    if match := re.fullmatch(f"the ({NOUN}) is (?:an? )?([a-z]+)", text):
        if match[2] in (*COLORS, *SIZES):
            return sign(reader.has(reader.the(scene, match[1]), f"{match[2]} object"))
        return sign(reader.the(scene, match[1])["shape"] == match[2])
    return None


def judged(scene: dict, sentence: str) -> int:
    """What a sentence says: a clause, or two that "and" or "or" joins."""
    text = reader.usual(sentence)
    if (value := clause(scene, text)) is not None:
        return value
    for match in re.finditer(" (and|or) ", text):
        left, right = clause(scene, text[: match.start()]), clause(scene, text[match.end() :])
        if left is not None and right is not None:
            return min(left, right) if match[1] == "and" else max(left, right)
    raise AssertionError(f"cannot read {sentence!r}")


SEEN = {"the night sky": "night sky", "the sea": "sea", "a beach": "beach", "a brick wall": "brick wall", "a sunset": "sunset"}


def holds(left: dict, right: dict, sentence: str) -> bool:
    """Whether a sentence is true of two pictures."""
    text = reader.usual(sentence)
    side = {"left": left, "right": right}

    def match(*patterns: str) -> re.Match | None:
        return next((found for pattern in patterns if (found := re.fullmatch(pattern, text))), None)

    def has(scene: dict, words: str) -> bool:
        return counted(scene, words) > 0

    if m := match("there are more (.+) in the (left|right) picture than in the (?:left|right) one"):
        other = right if m[2] == "left" else left
        return counted(side[m[2]], m[1]) > counted(other, m[1])
    if m := match("the (left|right) picture has more (.+) than the (?:left|right) one"):
        other = right if m[1] == "left" else left
        return counted(side[m[1]], m[2]) > counted(other, m[2])
    if m := match(
        "the two pictures have the same number of (.+)", "there are as many (.+) in the left picture as in the right one"
    ):
        return counted(left, m[1]) == counted(right, m[1])
    if m := match("the two pictures have the same background", "the background of the two pictures is the same"):
        return left["backdrop"] == right["backdrop"]
    if m := match("the two pictures have an? (.+) of the same color"):
        return bool(set.intersection(*({o["color"] for o in reader.such(s, m[1])} for s in (left, right))))
    if m := match("there is no (.+) in the two pictures", "no picture has an? (.+)", "neither picture shows an? (.+)"):
        return not has(left, m[1]) and not has(right, m[1])
    if m := match("exactly one of the pictures contains an? (.+)", "only one picture has an? (.+)"):
        return has(left, m[1]) != has(right, m[1])
    if m := match("there is an? (.+) in one picture and no (.+) in the other"):
        assert m[1] == m[2]
        return has(left, m[1]) != has(right, m[1])
    if m := match("there (?:is|are) ([a-z0-9]+) (.+) in all", "in the two pictures there (?:is|are) ([a-z0-9]+) (.+)"):
        return counted(left, m[2]) + counted(right, m[2]) == NUMBERS[m[1]]
    if m := match("one picture shows (.+) and the other one (.+)", "the background is (.+) in one picture and (.+) in the other"):
        return {left["backdrop"], right["backdrop"]} == {SEEN.get(word, word) for word in m.groups()}
    if m := match("the background of the (left|right) picture is (.+)"):
        return side[m[1]]["backdrop"] == m[2]
    if m := match(
        "there is an? (.+) in the left picture and an? (.+) in the right picture",
        "the left picture has an? (.+) and the right one an? (.+)",
        "you can see an? (.+) in the left picture and an? (.+) in the right one",
    ):
        return has(left, m[1]) and has(right, m[2])
    if m := match("there is an? (.+) in the two pictures", "the two pictures have an? (.+)", "both pictures show an? (.+)"):
        return has(left, m[1]) and has(right, m[1])
    if m := match("there (?:is|are) (one|two|three|four) (.+) in the (left|right) picture"):
        return counted(side[m[3]], m[2]) == NUMBERS[m[1]]
    if m := match("in the (left|right) picture there (?:is|are) (one|two|three|four) (.+)"):
        return counted(side[m[1]], m[3]) == NUMBERS[m[2]]
    if m := match("there is an? (.+) in the (left|right) picture"):
        return has(side[m[2]], m[1])
    m = match("in the (left|right) picture (?:there is|you can see) an? (.+)", "the (left|right) picture has an? (.+)")
    assert m, f"cannot read {sentence!r}"
    return has(side[m[1]], m[2])
