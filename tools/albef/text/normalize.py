"""Text normalisation before tokenising: captions and questions differ in spacing."""

from __future__ import annotations

import re

_DELETED = str.maketrans("", "", ",.'!?\"()*#:;~")


MASK = "[MASK]"


def normalize_caption(text: str, max_words: int = 30, keep_mask: bool = False) -> str:
    """Lower case, no punctuation, ``-``, ``/`` to spaces, ``<person>`` to ``person``, at most ``max_words`` words.

    With ``keep_mask`` every exact ``[MASK]`` passes unchanged.
    """
    text = MASK.join(part.lower() for part in text.split(MASK)) if keep_mask else text.lower()
    text = text.translate(_DELETED).replace("-", " ").replace("/", " ").replace("<person>", "person")
    text = re.sub(r"\s{2,}", " ", text).rstrip("\n").strip(" ")
    words = text.split(" ")
    return " ".join(words[:max_words]) if len(words) > max_words else text


def normalize_question(text: str, max_words: int = 50) -> str:
    """As for captions, but runs of spaces stay (an empty piece counts as a word) and only the right end is stripped.

    The published model keeps 30 words in training and 50 at test.
    """
    text = text.lower().translate(_DELETED).replace("-", " ").replace("/", " ").rstrip(" ")
    words = text.split(" ")
    return " ".join(words[:max_words]) if len(words) > max_words else text
