"""Text normalisation and the tokenizer: published vectors, and Hugging Face's tokenizer on the world's vocabulary."""

from __future__ import annotations

import random
import string

import pytest
import torch
from tokenizers import BertWordPieceTokenizer

from albef.random_checkpoint import synthetic_vocabulary
from albef.text import Tokenizer, normalize_caption, normalize_question, pad
from albef.world import vocabulary

# The ids of bert-base-uncased for the pieces that the vectors use.
PIECES = {
    "[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, "'": 1005, "2": 1016, ":": 1024, "a": 1037,
    "t": 1056, "the": 1996, "and": 1998, "in": 1999, "is": 2003, "on": 2006, "her": 2014, "how": 2129, "at": 2012,
    "two": 2048, "no": 2053, "what": 2054, "don": 2123, "black": 2304, "white": 2317, "10": 2184, "11": 2340,
    "red": 2417, "woman": 2450, "working": 2551, "person": 2711, "yes": 2748, "know": 2113, "plays": 3248, "cat": 4937,
    "dog": 3899, "computer": 3274, "sitting": 3564, "many": 2116, "color": 3609, "shirt": 3797, "desk": 4624,
    "aren": 4995, "##t": 2102, "##s": 2015, "quietly": 5168, "dogs": 6077, "mans": 16042, "peoples": 7243,
    "umbrella": 12977, "saxophone": 8283,
}  # fmt: skip


@pytest.fixture(scope="module")
def published() -> Tokenizer:
    pieces = [f"[unused{i}]" for i in range(20000)]
    for piece, number in PIECES.items():
        pieces[number] = piece
    return Tokenizer(pieces)


@pytest.mark.parametrize(
    ("raw", "text", "ids"),
    [
        ("The woman is working on her computer at the desk.", "the woman is working on her computer at the desk",
         [101, 1996, 2450, 2003, 2551, 2006, 2014, 3274, 2012, 1996, 4624]),
        ("A black-and-white cat/dog; sitting (quietly)!", "a black and white cat dog sitting quietly",
         [101, 1037, 2304, 1998, 2317, 4937, 3899, 3564, 5168]),
        ("Two people's umbrellas... aren't RED", "two peoples umbrellas arent red",
         [101, 2048, 7243, 12977, 2015, 4995, 2102, 2417]),
        ("<PERSON> plays the saxophone", "person plays the saxophone", [101, 2711, 3248, 1996, 8283]),
    ],
)  # fmt: skip
def test_published_captions(published, raw, text, ids):
    assert normalize_caption(raw) == text
    assert published.encode(text) == ids


@pytest.mark.parametrize(
    ("raw", "text", "ids"),
    [
        ("What color is the man's T-shirt?", "what color is the mans t shirt",
         [101, 2054, 3609, 2003, 1996, 16042, 1056, 3797]),
        ("How many -- dogs?", "how many    dogs", [101, 2129, 2116, 6077]),
    ],
)  # fmt: skip
def test_published_questions(published, raw, text, ids):
    assert normalize_question(raw) == text
    assert published.encode(text) == ids


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        ("yes", [101, 2748, 102]), ("no", [101, 2053, 102]), ("2", [101, 1016, 102]),
        ("black and white", [101, 2304, 1998, 2317, 102]), ("11:10", [101, 2340, 1024, 2184, 102]),
        ("don't know", [101, 2123, 1005, 1056, 2113, 102]),
    ],
)  # fmt: skip
def test_published_answers_end_in_a_separator_written_out(published, answer, ids):
    assert published.encode(answer + "[SEP]") == ids


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("  a  b\t\tc \n", "a b c"),
        ("a\tb", "a\tb"),
        ("a\n\n", "a"),
        ("a \n", "a"),
        ("ΟΔΟΣ ÀÉ", "οδος àé"),
        ("é & 5% [x] {y} “q”", "é & 5% [x] {y} “q”"),
        ("", ""),
        ("?!", ""),
        (" ".join("x" * 31), " ".join("x" * 30)),
    ],
)
def test_captions_at_the_edges(raw, text):
    assert normalize_caption(raw) == text


def test_a_question_counts_empty_words_and_keeps_its_left_end():
    assert normalize_question("  what -  is  ") == "  what    is"
    assert normalize_question(" ".join(["a", "", "b"] * 20), 4) == "a  b a"
    assert normalize_question("<person>") == "<person>"


def random_texts(count: int) -> list[str]:
    generator = random.Random(11)
    pieces = [p.removeprefix("##") for p in vocabulary.PATH.read_text().splitlines()[5:]]
    letters = string.printable + "éÜßñçÅø中文日本ñ…“”–€½  \u00ad\u200b"
    out = []
    for _ in range(count):
        words = [generator.choice(pieces) for _ in range(generator.randint(0, 8))]
        words += ["".join(generator.choice(letters) for _ in range(generator.randint(1, 9))) for _ in range(3)]
        generator.shuffle(words)
        out.append(generator.choice([" ", "", "-"]).join(words))
    return out


def test_ids_are_those_of_the_tokenizers_library():
    tokenizer = Tokenizer.from_file(vocabulary.PATH)
    other = BertWordPieceTokenizer(tokenizer.ids, lowercase=True)
    for text in [*vocabulary.texts()[::40], *random_texts(3000), "x" * 101, "x" * 100]:
        assert tokenizer.pieces(text) == other.encode(text, add_special_tokens=False).ids, repr(text)


def test_a_length_counts_the_class_token_and_no_separator_is_added():
    tokenizer = Tokenizer.from_file(vocabulary.PATH)
    ids = tokenizer.encode("a red circle and a star")
    assert ids[0] == tokenizer.cls_id and len(ids) == 7 and tokenizer.sep_id not in ids
    assert tokenizer.encode("a red circle and a star", 4) == ids[:4]
    assert tokenizer.encode("a [MASK] star")[2] == tokenizer.mask_id
    assert tokenizer.mask_id not in tokenizer.encode("a [mask] star")


def test_padding_is_on_the_right():
    ids, mask = pad([[5, 6, 7], [8]])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert pad([[5]], 3)[0].dtype == torch.int64


def test_a_vocabulary_without_special_tokens_is_refused():
    with pytest.raises(ValueError, match="MASK"):
        Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])


def test_the_synthetic_vocabulary_has_the_published_layout():
    pieces = synthetic_vocabulary()
    assert len(pieces) == len(set(pieces)) == 30522
    tokenizer = Tokenizer(pieces)
    special = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
    assert special == (0, 100, 101, 102, 103)
    assert tokenizer.unk_id not in tokenizer.encode(f"Any text in 1 line: {string.printable}")
