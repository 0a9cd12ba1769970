#!/usr/bin/env python3
"""Writes strings with the ids and normalised forms that the Python text pipeline gives them.

    python3.11 tools/generate_tokenizer_fixtures.py fixtures/tokenizer/parity.json

The functions below are the slow BERT tokenizer of Hugging Face transformers 4.8 as ALBEF customises it ([CLS] first, no
[SEP]) and the caption and question normalisation of ALBEF's dataset/utils.py, over Python 3.11's Unicode 14.0. The
strings come from a fixed seed. The vocabulary is made up here: words, letters of several scripts, and pieces.
"""

import json
import random
import re
import sys
import unicodedata
from pathlib import Path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MASK_STAND_IN = "\U0010ffff"
EXHAUSTIVE_END = 0x20000

# -- normalisation -----------------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    return re.sub(r"([,.'!?\"()*#:;~])", "", text.lower()).replace("-", " ").replace("/", " ")


def cut(text: str, max_words: int) -> str:
    words = text.split(" ")
    return " ".join(words[:max_words]) if len(words) > max_words else text


def caption(text: str, max_words: int = 30) -> str:
    text = clean(text).replace("<person>", "person")
    text = re.sub(r"\s{2,}", " ", text)
    return cut(text.rstrip("\n").strip(" "), max_words)


def question(text: str, max_words: int = 50) -> str:
    return cut(clean(text).rstrip(" "), max_words)


# -- tokenizer ---------------------------------------------------------------------------------------------------------


def is_control(char: str) -> bool:
    return char not in "\t\n\r" and unicodedata.category(char).startswith("C")


def is_whitespace(char: str) -> bool:
    return char in " \t\n\r" or unicodedata.category(char) == "Zs"


def is_punctuation(char: str) -> bool:
    code = ord(char)
    ascii_ranges = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_ranges or unicodedata.category(char).startswith("P")


def is_ideograph(code: int) -> bool:
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x2A6DF
        or 0x2A700 <= code <= 0x2B73F
        or 0x2B740 <= code <= 0x2B81F
        or 0x2B820 <= code <= 0x2CEAF
        or 0xF900 <= code <= 0xFAFF
        or 0x2F800 <= code <= 0x2FA1F
    )


def basic_tokens(text: str) -> list[str]:
    cleaned = []
    for char in text:
        if char in "\0\ufffd" or is_control(char):
            continue
        if is_ideograph(ord(char)):
            cleaned.append(f" {char} ")
        else:
            cleaned.append(" " if is_whitespace(char) else char)
    tokens = []
    for token in "".join(cleaned).strip().split():
        stripped = "".join(c for c in unicodedata.normalize("NFD", token.lower()) if unicodedata.category(c) != "Mn")
        tokens += "".join(f" {c} " if is_punctuation(c) else c for c in stripped).strip().split()
    return tokens


def word_pieces(word: str, vocabulary: dict[str, int]) -> list[int]:
    if len(word) > 100:
        return [vocabulary["[UNK]"]]
    ids, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start > 0 else "") + word[start:end]
            if piece in vocabulary:
                ids.append(vocabulary[piece])
                start = end
                break
        else:
            return [vocabulary["[UNK]"]]
    return ids


def encode(text: str, vocabulary: dict[str, int]) -> list[int]:
    special = "|".join(re.escape(token) for token in SPECIAL)
    text = re.sub(f"({special})|(.+?)", lambda m: m.group(1) or m.group(2).lower(), text)
    ids = [vocabulary["[CLS]"]]
    for part in re.split(f"({special})", text):
        if part in SPECIAL:
            ids.append(vocabulary[part])
            continue
        for word in basic_tokens(part):
            ids += word_pieces(word, vocabulary)
    return ids


# -- vocabulary and strings --------------------------------------------------------------------------------------------

WORDS = """a an the is are on in of at her his man woman person dog dogs cat people two red green blue black white
computer desk umbrella umbrellas what color how many shirt t s yes no don know 2 11 10 un play want the strasse cafe
naive i k œ æ ß øre мир город ελλάς οδοσ οδος σοφια""".split()
PIECES = """ing ed s es er able ly ness ated zed ion ium umm 0 1 2 3 00 ская ость ος ος σ ς""".split()
RANGES = [(0x21, 0x7E), (0xA1, 0xFF), (0x3B1, 0x3C9), (0x430, 0x44F), (0x5D0, 0x5EA), (0x905, 0x930), (0x1100, 0x1112)]
RANGES += [(0x1161, 0x1175), (0x11A8, 0x11C2), (0x2010, 0x2027), (0x3041, 0x3096), (0x4E00, 0x4E40), (0x1F600, 0x1F610)]

# fmt: off
HANDWRITTEN = [
    "", " ", "\n", "\t", "\u2028", "\u00a0", "  a  ", "a\tb", "a\t\tb", "a\u2028b", "a\u2029b", "a\x1cb", "a\x85b",
    "a\x0bb", "a\0b", "a\ufffdb", "The woman is working on her computer at the desk.",
    "A black-and-white cat/dog; sitting (quietly)!", "Two people's umbrellas... aren't RED",
    "<PERSON> plays the saxophone", "<per-son>", "<<person>>", "< person>", "What color is the man's T-shirt?",
    "How many -- dogs?", "yes[SEP]", "11:10[SEP]", "don't know[SEP]", "[MASK] dog", "a [MASK]dog[MASK]", "[mask]",
    "[MA\0SK]", "[[MASK]]", "[CLS][SEP][PAD][UNK][MASK]", "[CLS", "CLS]", "[\u200bMASK]", "a[UNK]b",
    "##ing ##s # #", "playing##ing", "ΟΔΟΣ", "ΟΔΟΣ ΣΟΦΙΑ", "Σ", "ΑΣ", "ΑΣ.", "ΑΣ.Β", "Α.Σ", "ΑΣ\u0301",
    "ΑΣ\u0301Β", "1Σ", "AΣ'", "ΑΣ-Β", "ΣΣΣ", "ΑΣ[MASK]Β", "A\u00adΣ\u00adb", "İstanbul", "I\u0307", "\u0130\u0130",
    "STRASSE STRAßE ẞ", "ǅ ǆ Ǆ", "Ω K Å", "é e\u0301 É", "Ǖ ǖ", "\u1e69 s\u0323\u0307 s\u0307\u0323", "각 힣 가", "가",
    "한국어 dogs", "中文dog文字", "豈 更 \U0002f800", "㐀\U00020000\U0002a700\U00030000",
    "日本語 ひらがな カタカナ がぎ",
    "\u3000a\u3000", "नमस्ते", "ภาษาไทย", "שלום", "مرحبا", "\U0001f600\U0001f601", "\U0001f468\u200d\U0001f469",
    "\U0001d165\U0001d16e", "\u302e\u0301a\u302e", "\u037e \u1fef \u0387 \u2260", "a\u0328\u0301\u0323", "\u0344",
    "\u0f73\u0f71", "‘quoted’ “text” – — …", "& % $ + = [ ] { } _ ^ | \\ < > @ `", "\u0378\u0379 unassigned",
    "\ue000 private", "\ufeffbom", "soft\u00adhyphen", "zero\u200bwidth", "a" * 99, "a" * 100, "a" * 101,
    "é" * 100, "é" * 101, "e\u0301" * 100, "A" * 101 + " dog", "\u0130" * 100, "unwantedzedness", "umbrellasness",
    "-", "/", "---", "a-b/c", "...", ",.'!?\"()*#:;~", " ".join(["dog"] * 30), " ".join(["dog"] * 31),
    " ".join(["dog"] * 50), " ".join(["dog"] * 51), "  ".join(["dog"] * 30), " - ".join(["a"] * 40), "dog\n\n",
    "\n dog \n", "dog \n", "dog\n ", "\u00a0dog\u00a0", "dog" + " " * 60 + "cat", "a\n\nb\n c",
    "x\u2003\u2003y\u2003z", "a\u2003 b",
]
# fmt: on


def random_string(source: random.Random, alphabet: list[str]) -> str:
    """Words in the middle, now and then a long one, a special token or a run of spaces."""
    parts = []
    for _ in range(source.randint(1, 9)):
        kind = source.random()
        if kind < 0.35:
            parts.append(source.choice(WORDS) + source.choice(["", "", source.choice(PIECES)]))
        elif kind < 0.42:
            parts.append(source.choice(SPECIAL))
        elif kind < 0.5:
            parts.append(source.choice(["  ", "\n", "\t ", "\u00a0", "-", "/", ". ", "\u2003\u2003", "<person>"]))
        else:
            parts.append("".join(source.choice(alphabet) for _ in range(source.randint(1, 8))))
        if source.random() < 0.6:
            parts.append(" ")
    text = "".join(parts)
    return "".join(c.upper() if source.random() < 0.2 else c for c in text)


def alphabets(source: random.Random) -> list[list[str]]:
    """Sets of characters to draw strings from: everything assigned, letters that change case, marks, and so on."""
    scalars = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    assigned = [c for c in scalars if unicodedata.category(c) not in ("Cn", "Co")]
    latin = [c for c in assigned if ord(c) < 0x250]
    return [
        [chr(c) for c in range(32, 127)],
        latin,
        [c for c in assigned if ord(c) < 0x3000],
        [c for c in assigned if c.lower() != c] + ["Σ"] * 150,
        ["Σ", "α", "Β", ".", "'", "\u0301", "\u00ad", "1", " ", ":", "b", "\u0345", "ʰ", "ⓐ"],
        [c for c in assigned if unicodedata.combining(c)] + ["a", "e", "o", "가", "द"] * 60,
        [c for c in assigned if unicodedata.normalize("NFD", c) != c and not is_ideograph(ord(c))],
        [c for c in assigned if unicodedata.category(c)[0] in "PZCS" or c.isspace()] + ["a", "b", " "] * 200,
        source.sample(assigned, 4000),
        source.sample(scalars, 2000),
    ]


def digest(state: int, values: list[int]) -> int:
    """FNV-1a over 32-bit values."""
    for value in values:
        state = (state ^ value) * 0x100000001B3 % 2**64
    return state


def exhaustive() -> dict[str, str]:
    """Digests over every character below EXHAUSTIVE_END, surrogates aside, one string of each.

    The tokenizer's vocabulary holds every character, alone and as a continuation: 5 + 2c and 6 + 2c."""
    vocabulary = {token: index for index, token in enumerate(SPECIAL)}
    for code in range(EXHAUSTIVE_END):
        vocabulary[chr(code)] = 5 + 2 * code
        vocabulary["##" + chr(code)] = 6 + 2 * code
    start = 0xCBF29CE484222325
    result = dict.fromkeys(["lower", "sigma", "whitespace", "tokens"], start)
    for code in range(EXHAUSTIVE_END):
        if 0xD800 <= code <= 0xDFFF:
            continue
        char = chr(code)
        result["lower"] = digest(result["lower"], list(map(ord, question(char))))
        result["sigma"] = digest(result["sigma"], list(map(ord, question(f"{char}ΣA{char}ΣΣ{char}B"))))
        result["whitespace"] = digest(result["whitespace"], list(map(ord, caption(f"x{char}{char}y{char}z"))))
        result["tokens"] = digest(result["tokens"], encode(f"x{char}y", vocabulary))
    return {name: f"{value:016x}" for name, value in result.items()}


def main() -> None:
    if unicodedata.unidata_version != "14.0.0":
        sys.exit(f"this Python has Unicode {unicodedata.unidata_version}, but 14.0.0 (Python 3.11) is needed")
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FILE")
    source = random.Random("tokenizer parity")
    singles = [chr(code) for low, high in RANGES for code in range(low, high + 1)]
    tokens = SPECIAL + WORDS + singles + ["##" + piece for piece in PIECES + singles]
    tokens = list(dict.fromkeys(tokens))
    vocabulary = {token: index for index, token in enumerate(tokens)}

    texts = list(HANDWRITTEN)
    sets = alphabets(source)
    texts += [random_string(source, alphabet) for alphabet in sets for _ in range(250)]
    cases = []
    for text in texts:
        case = {"text": text, "ids": encode(text, vocabulary), "caption": caption(text), "question": question(text)}
        if "[MASK]" in text and MASK_STAND_IN not in text:
            case["masked"] = caption(text.replace("[MASK]", MASK_STAND_IN)).replace(MASK_STAND_IN, "[MASK]")
        cases.append(case)
    fixture = {"unicode": unicodedata.unidata_version, "exhaustive_end": EXHAUSTIVE_END, "exhaustive": exhaustive()}
    lines = [json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases]
    head = json.dumps(fixture | {"vocabulary": tokens}, ensure_ascii=False)[:-1]
    Path(sys.argv[1]).write_text(head + ',"cases":[\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    print(f"{len(cases)} strings, {len(tokens)} tokens")


if __name__ == "__main__":
    main()
