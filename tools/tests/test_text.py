"""Text normalisation and the tokenizer: the published behaviour, and parity with Hugging Face on our vocabulary."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import tokenizers

import albef.world
from albef.text import Tokenizer, normalize_caption, normalize_question

VOCABULARY = Path(albef.world.__file__).parent / "vocab.txt"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("The woman is working on her computer at the desk.", "the woman is working on her computer at the desk"),
        ("A black-and-white cat/dog; sitting (quietly)!", "a black and white cat dog sitting quietly"),
        ("Two people's umbrellas... aren't RED", "two peoples umbrellas arent red"),
        ("<PERSON> plays the saxophone", "person plays the saxophone"),
        ("a\ttab and  two\n\nlines \n", "a\ttab and two lines"),
    ],
)
def test_captions_are_normalised_as_published(raw: str, expected: str) -> None:
    assert normalize_caption(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("What color is the man's T-shirt?", "what color is the mans t shirt"),
        ("How many -- dogs?", "how many    dogs"),
        ("  left stays, right goes  ", "  left stays right goes"),
    ],
)
def test_questions_keep_their_spaces_but_those_at_the_right(raw: str, expected: str) -> None:
    assert normalize_question(raw) == expected


def test_texts_are_cut_at_words_and_empty_pieces_of_a_question_count() -> None:
    assert normalize_caption("a " * 40) == " ".join(["a"] * 30)
    assert normalize_question("x  y " * 30, 4) == "x  y x"


def test_a_text_begins_with_the_class_token_and_ends_without_a_separator() -> None:
    tokenizer = Tokenizer.from_file(VOCABULARY)
    ids = tokenizer.encode("a red circle")
    assert ids[0] == tokenizer.cls_id
    assert [tokenizer.vocabulary[number] for number in ids[1:]] == ["a", "red", "circle"]
    assert tokenizer.vocabulary[tokenizer.encode("red[SEP]")[-1]] == "[SEP]"
    assert len(tokenizer.encode("a red circle on the beach", 4)) == 4


def test_ids_equal_those_of_hugging_face_on_random_texts() -> None:
    ours = Tokenizer.from_file(VOCABULARY)
    theirs = tokenizers.BertWordPieceTokenizer(str(VOCABULARY), lowercase=True)
    seed = 20
    generator = random.Random(seed)
    alphabet = "abcdefghijklmnopqrstuvwxyz  0123456789.,!?'-/éüÅñ#漢字"
    for _ in range(500):
        text = "".join(generator.choice(alphabet) for _ in range(generator.randint(1, 60)))
        expected = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text)[1:] == expected, (seed, text)
