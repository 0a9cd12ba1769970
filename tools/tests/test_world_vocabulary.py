"""The WordPiece vocabulary: reproducible, and enough for every text."""

from __future__ import annotations

import string

import pytest
from tokenizers import BertWordPieceTokenizer

from albef.world import vocabulary


@pytest.fixture(scope="module")
def pieces() -> list[str]:
    return vocabulary.PATH.read_text().splitlines()


def test_the_committed_file_is_what_training_gives(pieces):
    assert vocabulary.train() == pieces


def test_special_tokens_come_first_and_nothing_occurs_twice(pieces):
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(set(pieces)) == len(pieces) < 400


def test_every_word_of_the_world_is_one_piece(pieces):
    words = {word for text in vocabulary.texts() for word in text.split()}
    assert words <= set(pieces)


def test_any_printable_ascii_text_encodes(pieces):
    tokenizer = BertWordPieceTokenizer({piece: i for i, piece in enumerate(pieces)}, lowercase=True)
    text = f"The quick brown fox jumps over 13 lazy dogs {string.printable}"
    assert "[UNK]" not in tokenizer.encode(text, add_special_tokens=False).tokens
