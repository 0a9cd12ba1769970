#!/usr/bin/env python3
"""Writes the Unicode 14.0 tables of the tokenizer, as Swift, from this interpreter's unicodedata.

    python3.11 tools/generate_unicode_tables.py Sources/AlbefTokenizer

BERT's tokenizer is a Python program: its results are those of Python's str methods and of unicodedata. Python 3.11
carries Unicode 14.0; another version is refused, because it would silently change token ids.
"""

import sys
import unicodedata
from pathlib import Path

UNICODE = "14.0.0"
CODE_POINTS = 0x110000

# Bits of a character's class; the Swift side names them in CharacterClass.swift.
DROPPED = 1  # removed by BERT's clean-up: U+0000, U+FFFD, category C*, but not tab, newline, carriage return
SEPARATOR = 2  # separates tokens: Zs, tab, newline, carriage return, and whitespace of str.split() that was not dropped
PUNCTUATION = 4  # a token of its own: the ASCII ranges of BERT, category P*
NONSPACING = 8  # category Mn: removed after decomposition
WHITESPACE = 16  # str.isspace()
CASED = 32  # Cased and not Case_Ignorable: decides about a final sigma
IGNORABLE = 64  # Case_Ignorable: skipped on the way to the letter that decides
IDEOGRAPH = 128  # gets spaces around it

IDEOGRAPHS = [
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
]
ASCII_PUNCTUATION = [(33, 47), (58, 64), (91, 96), (123, 126)]


def within(code: int, ranges: list[tuple[int, int]]) -> bool:
    return any(low <= code <= high for low, high in ranges)


def character_class(code: int) -> int:
    """The class bits of one code point."""
    char = chr(code)
    category = unicodedata.category(char)
    kept_controls = "\t\n\r"
    bits = 0
    if code in (0, 0xFFFD) or (category.startswith("C") and char not in kept_controls):
        bits |= DROPPED
    elif category == "Zs" or char in kept_controls or char.isspace():
        bits |= SEPARATOR
    if within(code, ASCII_PUNCTUATION) or category.startswith("P"):
        bits |= PUNCTUATION
    if category == "Mn":
        bits |= NONSPACING
    if char.isspace():
        bits |= WHITESPACE
    # unicodedata does not tell Cased and Case_Ignorable, but str.lower() shows them: a capital sigma becomes final if
    # the nearest character before it that is not ignorable is cased.
    if (char + "\u03a3").lower().endswith("\u03c2"):
        bits |= CASED
    elif ("A" + char + "\u03a3").lower().endswith("\u03c2"):
        bits |= IGNORABLE
    if within(code, IDEOGRAPHS):
        bits |= IDEOGRAPH
    return bits


def runs(value) -> tuple[list[int], list[int]]:
    """Where a property changes, and to what: starts (the first is 0) and values."""
    starts, values = [], []
    for code in range(CODE_POINTS):
        current = value(code)
        if not values or values[-1] != current:
            starts.append(code)
            values.append(current)
    return starts, values


def lowercase_ranges() -> list[tuple[int, int, int, int]]:
    """(first, last, step, distance) for every character whose lower case is one other character."""
    pairs = []
    for code in range(CODE_POINTS):
        lower = chr(code).lower()
        if lower != chr(code) and len(lower) == 1:
            pairs.append((code, ord(lower) - code))
    ranges: list[list[int]] = []
    for code, distance in pairs:
        if ranges and ranges[-1][3] == distance:
            first, last, step, _ = ranges[-1]
            gap = code - last
            if gap in (1, 2) and (first == last or gap == step):
                ranges[-1][1:3] = [code, gap]
                continue
        ranges.append([code, code, 1, distance])
    return [tuple(entry) for entry in ranges]


def long_lowercase() -> list[tuple[int, str]]:
    """Characters whose lower case has several characters."""
    return [(c, chr(c).lower()) for c in range(CODE_POINTS) if len(chr(c).lower()) > 1]


def decompositions() -> tuple[list[int], list[int], list[int]]:
    """Full canonical decompositions, Hangul aside: keys, where each begins in the values (and the end), values."""
    keys, offsets, values = [], [0], []
    for code in range(CODE_POINTS):
        if 0xAC00 <= code <= 0xD7A3 or 0xD800 <= code <= 0xDFFF:
            continue
        decomposed = unicodedata.normalize("NFD", chr(code))
        if decomposed != chr(code):
            keys.append(code)
            values.extend(map(ord, decomposed))
            offsets.append(len(values))
    return keys, offsets, values


def array(name: str, element: str, values, comment: str) -> str:
    """A Swift array in lines of at most 120 columns."""
    lines, line = [], "       "
    for value in values:
        text = f" {value:#x}," if value >= 0 else f" -{-value:#x},"
        if len(line) + len(text) > 118:
            lines.append(line)
            line = "       "
        line += text
    lines.append(line)
    return f"    /// {comment}\n    static let {name}: [{element}] = [\n" + "\n".join(lines) + "\n    ]\n"


def table(name: str, comment: str, arrays: list[str]) -> str:
    head = (
        "// Generated by tools/generate_unicode_tables.py from Unicode 14.0; change that and run it again.\n"
        f"\n/// {comment}\nenum {name} {{\n"
    )
    return head + "\n".join(arrays) + "}\n"


def main() -> None:
    if unicodedata.unidata_version != UNICODE:
        sys.exit(f"this Python has Unicode {unicodedata.unidata_version}, but {UNICODE} (Python 3.11) is needed")
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    folder = Path(sys.argv[1])

    starts, classes = runs(character_class)
    (folder / "UnicodeTablesClass.swift").write_text(
        table(
            "ClassTable",
            "The class bits of every character, as runs.",
            [
                array("starts", "UInt32", starts, "The first character of each run, ascending from 0."),
                array("classes", "UInt8", classes, "The class bits of each run."),
                array("ascii", "UInt8", map(character_class, range(128)), "The same for the first 128 characters."),
            ],
        )
    )

    ranges = lowercase_ranges()
    special = long_lowercase()
    assert [(code, text) for code, text in special] == [(0x130, "i\u0307")], special
    (folder / "UnicodeTablesLowercase.swift").write_text(
        table(
            "LowercaseTable",
            "Lower case where it is one character; U+0130 alone has two, and a final sigma depends on its neighbours.",
            [
                array("first", "UInt32", [r[0] for r in ranges], "The first character of each range, ascending."),
                array("last", "UInt32", [r[1] for r in ranges], "The last character of each range."),
                array("step", "UInt8", [r[2] for r in ranges], "1: every character of the range; 2: every second."),
                array("distance", "Int32", [r[3] for r in ranges], "From a character to its lower case."),
            ],
        )
    )

    keys, offsets, values = decompositions()
    ccc_starts, ccc = runs(lambda code: unicodedata.combining(chr(code)))
    (folder / "UnicodeTablesDecomposition.swift").write_text(
        table(
            "DecompositionTable",
            "Full canonical decompositions (Hangul syllables aside) and combining classes.",
            [
                array("keys", "UInt32", keys, "Characters that decompose, ascending."),
                array("offsets", "UInt16", offsets, "Where each decomposition begins in `values`, and the end."),
                array("values", "UInt32", values, "The decompositions, one after the other."),
                array("combiningStarts", "UInt32", ccc_starts, "The first character of each run of a class."),
                array("combiningClasses", "UInt8", ccc, "The canonical combining class of each run."),
            ],
        )
    )
    print(f"{len(starts)} class runs, {len(ranges)} lower-case ranges")
    print(f"{len(keys)} decompositions, {len(ccc)} combining-class runs")


if __name__ == "__main__":
    main()
