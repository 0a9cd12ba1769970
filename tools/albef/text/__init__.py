"""From strings to token ids: text normalisation, the WordPiece tokenizer, padded batches."""

from albef.text.normalize import normalize_caption, normalize_question
from albef.text.tokenizer import Tokenizer, pad

__all__ = ["Tokenizer", "normalize_caption", "normalize_question", "pad"]
