"""BERT's uncased WordPiece tokenizer with the official customisation: [CLS] in front, no [SEP] behind."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def _clean(text: str) -> str:
    """Drops control characters, maps whitespace to spaces, sets CJK ideographs apart."""
    out = []
    for character in text:
        code, category = ord(character), unicodedata.category(character)
        if character in " \t\n\r" or category == "Zs":
            out.append(" ")
        elif code in (0, 0xFFFD) or category.startswith("C"):
            continue
        elif any(low <= code <= high for low, high in _IDEOGRAPHS):
            out.append(f" {character} ")
        else:
            out.append(character)
    return "".join(out)


def _is_punctuation(character: str) -> bool:
    code = ord(character)
    ascii_mark = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_mark or unicodedata.category(character).startswith("P")


def basic_tokens(text: str) -> list[str]:
    """Words and single punctuation characters, lower case, without accents."""
    tokens = []
    for word in _clean(text).split():
        word = unicodedata.normalize("NFD", word.lower())
        current = ""
        for character in word:
            if unicodedata.category(character) == "Mn":
                continue
            if _is_punctuation(character):
                tokens += [current, character]
                current = ""
            else:
                current += character
        tokens.append(current)
    return [token for token in tokens if token]


class Tokenizer:
    """Greedy longest-match WordPiece over a vocabulary whose index is the id."""

    def __init__(self, vocabulary: list[str]) -> None:
        self.vocabulary = list(vocabulary)
        self.ids = {token: index for index, token in enumerate(self.vocabulary)}
        missing = [token for token in SPECIAL if token not in self.ids]
        if missing:
            raise ValueError(f"the vocabulary lacks {', '.join(missing)}")
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (self.ids[token] for token in SPECIAL)
        self._special = re.compile("(" + "|".join(re.escape(token) for token in SPECIAL) + ")")
        self._word = lru_cache(maxsize=100_000)(self._word_pieces)

    @classmethod
    def from_file(cls, path: str | Path) -> Tokenizer:
        """Reads ``vocab.txt`` (a token per line) or a JSON list of tokens."""
        text = Path(path).read_text(encoding="utf-8")
        return cls(json.loads(text) if text.lstrip().startswith('["') else text.splitlines())

    def _word_pieces(self, word: str) -> tuple[int, ...]:
        if len(word) > 100:
            return (self.unk_id,)
        pieces, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self.ids:
                    break
            else:
                return (self.unk_id,)
            pieces.append(self.ids[piece])
            start = end
        return tuple(pieces)

    def pieces(self, text: str) -> list[int]:
        """Ids without [CLS]; special tokens written literally are kept whole."""
        out: list[int] = []
        for part in self._special.split(text):
            if part in SPECIAL:
                out.append(self.ids[part])
            else:
                for token in basic_tokens(part):
                    out.extend(self._word(token))
        return out

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        """[CLS] and the pieces; ``max_length`` counts [CLS]."""
        ids = [self.cls_id, *self.pieces(text)]
        return ids if max_length is None else ids[:max_length]


def pad(sequences: list[list[int]], length: int | None = None, pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """Pads on the right to the longest sequence (or ``length``): ids and mask, both [B, T]."""
    length = length or max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), length), pad_id)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids, mask
