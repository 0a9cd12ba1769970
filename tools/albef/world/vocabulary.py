"""The project's WordPiece vocabulary: `python -m albef.world.vocabulary` writes vocab.txt beside this file.

Trained with Hugging Face tokenizers on the normalised training texts of the first scenes. Every printable ASCII
character is a piece, at a word's start and (letters, digits) within it, so that any English text encodes. Of what
training adds, the pieces that the texts really use are kept, sorted: the others are steps on the way, chosen by chance.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from albef.world import language, questions
from albef.world.scene import generator, sample

PATH = Path(__file__).with_name("vocab.txt")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PICTURES = 3000
SEED = 1
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def texts() -> list[str]:
    """Every training text of the first scenes, and the answers."""
    found = list(questions.ANSWERS) * 10
    for index in range(PICTURES):
        scene = sample(SEED, "train", index)
        rng = generator(SEED, "train", index, "text")
        full, partial = language.captions(scene, rng)
        found += full + partial
        found += [text for item in scene.items for text in language.expressions(scene, item, rng, 0.1)]
        found += [question for question, _, _ in questions.ask(scene, 6, rng)]
    return [normalized(text) for text in found]


def normalized(text: str) -> str:
    """What the official caption and question normalisation leave of a text of this world."""
    return text.lower().replace("?", "").replace(",", "").strip()


def train() -> list[str]:
    """The vocabulary, one piece an entry; its index is the token's id."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=1000, min_frequency=2, special_tokens=SPECIAL, show_progress=False)
    corpus = sorted(texts())
    tokenizer.train_from_iterator(corpus, trainer)
    single = [*SIGNS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    used = {piece for text in corpus for piece in tokenizer.encode(text).tokens}
    return [*SPECIAL, *single, *sorted(used - set(single) - set(SPECIAL))]


if __name__ == "__main__":
    pieces = train()
    PATH.write_text("".join(f"{piece}\n" for piece in pieces))
    print(f"{PATH}: {len(pieces)} pieces")
