"""``python -m albef.random_checkpoint --task retrieval -o X.pth``: random weights in the official layouts.

They stand for the published files wherever weights need not mean anything: timing, conversion, comparing two
implementations. Weights start as for training; biases and LayerNorms get a small spread, so that leaving one out shows.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from torch import nn

from albef.checkpoint import save_checkpoint
from albef.loading import MODELS, TWO_PICTURES, build_model
from albef.model import ModelConfig
from albef.model.config import small_config
from albef.optim import build_optimizer
from albef.text import Tokenizer
from albef.text.tokenizer import SPECIAL
from albef.world import questions
from albef.world.vocabulary import LETTERS, PATH, SIGNS

PUBLISHED_VOCABULARY = 30522
# Pieces of made-up answers, in percent.
USUAL_LENGTHS = (*(1,) * 58, *(2,) * 27, *(3,) * 13, *(4,) * 2)
LONG_LENGTHS = (1, 2, 3, 4, 5, 6)
_COMMON = (
    "the a an of in on at by and or is are was were be to with for from up down left right above below no not yes "
    "man woman people person boy girl child dog cat horse bird cow sheep car bus train boat bike street road "
    "house tree grass water sky sea beach table chair bed desk computer phone book ball hat shirt shoe umbrella "
    "food cake pizza apple orange banana red green blue yellow black white brown pink purple gray large small big "
    "little old young two three four five many one what where which who how why when color there it his her their "
    "this that sitting standing holding riding walking playing eating wearing looking working running near next "
    "behind front under over"
).split()


def published_config(task: str, vocab_size: int = PUBLISHED_VOCABULARY) -> ModelConfig:
    """The published base size: 256 x 256 in pre-training, 384 x 384 afterwards; NLVR2's fusion layers are pairs."""
    size = 256 if task in ("pretrain", "nlvr_pretrain") else 384
    return ModelConfig(image_size=size, text_layers=18 if task in TWO_PICTURES else 12, vocab_size=vocab_size)


def synthetic_vocabulary(size: int = PUBLISHED_VOCABULARY) -> list[str]:
    """A vocabulary with the published one's layout: [PAD] at 0, the other special tokens at 100 to 103.

    Signs, letters and digits follow, so that any English text encodes, then common words and words of syllables.
    """
    out = ["[PAD]", *(f"[unused{number}]" for number in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    out += [*SIGNS, *LETTERS, *(f"##{letter}" for letter in LETTERS), *_COMMON]
    syllables = ["".join(pair) for pair in product("bcdfghjklmnprstvwz", "aeiou")]
    endings = [f"##{syllable}{tail}" for syllable in syllables for tail in ("", "n", "s", "r", "t", "l")]
    words = ["".join(parts) for length in (1, 2, 3) for parts in product(syllables, repeat=length)]
    distinct = list(dict.fromkeys([*out, *endings, *words]))
    if size > len(distinct) or size < len(out):
        raise ValueError(f"a synthetic vocabulary has {len(out)} to {len(distinct)} tokens, not {size}")
    return distinct[:size]


def made_up_answers(
    vocabulary: list[str], count: int, seed: int = 1, lengths: Sequence[int] = USUAL_LENGTHS
) -> list[str]:
    """Distinct answers of as many words as ``lengths`` says, over and over; each word is one piece of three letters or more.

    ``USUAL_LENGTHS`` has the shares of a sample of the answers that are commonly used with VQA 2.0, cut into pieces by the
    published vocabulary: 1.6 pieces on average, three of five answers a single one. Words are drawn from all, so that answers
    begin alike by chance alone, which is harder on a runtime than the usual ones. ``LONG_LENGTHS`` are longer than any such list.

    Raises:
        ValueError: The vocabulary has too few words for so many distinct answers of one piece.
    """
    words = [word for word in vocabulary if len(word) >= 3 and word.isascii() and word.isalpha()]
    # A stride without a common factor mixes long and short ones evenly.
    pieces = [lengths[37 * place % len(lengths)] for place in range(count)]
    if pieces.count(1) > len(words):
        raise ValueError(f"{count} answers have {pieces.count(1)} of one piece, and the vocabulary {len(words)} words")
    generator = random.Random(seed)
    answers: dict[str, None] = {}
    while len(answers) < count:
        answers[" ".join(generator.choices(words, k=pieces[len(answers)]))] = None
    return list(answers)


def build_random(
    task: str, config: ModelConfig, seed: int, *, twins: bool, initializer_range: float = 0.02, queue_size: int = 65536
) -> nn.Module:
    """A model of ``task``, one of ``MODELS``; equal arguments give equal weights."""
    torch.manual_seed(seed)
    options = {"queue_size": queue_size} if task in ("pretrain", "retrieval", "grounding") else {}
    model = build_model(task, config, twins=twins, initializer_range=initializer_range, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1 and parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=initializer_range)
    if twins and task != "nlvr_pretrain":
        model.copy_to_twins()
    return model


def wrapped(model: nn.Module) -> dict:
    """What the official trainer saves: model, optimiser with both moments, schedule, configuration, epoch."""
    optimizer = build_optimizer(model, 1e-5, 0.02)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.tensor(1.0), "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }  # fmt: skip
    scheduler = {"base_values": [1e-5, 1e-5], "t_initial": 5, "lr_min": 1e-6, "warmup_lr_init": 1e-5}
    return {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "lr_scheduler": scheduler,
        "config": {"image_res": model.config.image_size, "queue_size": 65536, "momentum": 0.995}, "epoch": 0,
    }  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m albef.random_checkpoint", description=__doc__)
    parser.add_argument("--task", choices=tuple(MODELS))
    parser.add_argument("--size", choices=("published", "small"), default="published")
    parser.add_argument("--config", type=Path, help="a shape instead of --size: JSON with configuration keys")
    parser.add_argument("--layout", choices=("flat", "wrapped"), default="flat", help="wrapped: with twins and queues")
    parser.add_argument("--vocab", type=Path, help="vocab.txt (default: synthetic, or the small world's)")
    parser.add_argument("--queue-size", type=int, default=65536, help="of a wrapped file (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="X.pth, or X.safetensors with metadata (flat only)")
    parser.add_argument("--write-vocab", type=Path, metavar="FILE", help="writes a synthetic vocabulary of 30522 lines")
    parser.add_argument("--write-answers", type=Path, metavar="FILE", help="writes a list of answers (JSON)")
    parser.add_argument(
        "--made-up-answers", type=int, metavar="N",
        help="N answers of a synthetic vocabulary, as long as those of VQA 2.0, not the small world's",
    )  # fmt: skip
    parser.add_argument("--long-answers", action="store_true", help="made-up answers of one to six pieces, equally often")
    options = parser.parse_args()
    if options.output is None and options.write_vocab is None and options.write_answers is None:
        parser.error("nothing to write: give -o, --write-vocab or --write-answers")
    if options.output is not None and options.task is None:
        parser.error("-o needs --task")
    if options.output is not None and options.output.suffix not in (".pth", ".safetensors"):
        parser.error("the output ends in .pth or .safetensors")
    if options.long_answers and not options.made_up_answers:
        parser.error("--long-answers needs --made-up-answers")
    if options.layout == "wrapped" and options.output is not None and options.output.suffix != ".pth":
        parser.error("only .pth can be wrapped")
    return options


def shape(options: argparse.Namespace) -> tuple[ModelConfig, list[str]]:
    """The configuration and a vocabulary that fits it."""
    given = Tokenizer.from_file(options.vocab).vocabulary if options.vocab else None
    if options.config is not None:
        config = ModelConfig.from_dict(json.loads(options.config.read_text()))
        vocabulary = given or synthetic_vocabulary(config.vocab_size)
        if len(vocabulary) != config.vocab_size:
            raise SystemExit(f"{options.vocab} has {len(vocabulary)} tokens, the configuration {config.vocab_size}")
        return config, vocabulary
    if options.size == "small":
        vocabulary = given or Tokenizer.from_file(PATH).vocabulary
        config = small_config(len(vocabulary))
        if options.task in TWO_PICTURES:
            config = replace(config, text_layers=2 * config.text_layers - config.fusion_layer)
        return config, vocabulary
    vocabulary = given or synthetic_vocabulary()
    return published_config(options.task, len(vocabulary)), vocabulary


def write(options: argparse.Namespace) -> None:
    config, vocabulary = shape(options)
    # A narrow model needs a wider spread for projections of the same size: 0.02 at the published width.
    spread = 0.02 * (768 / config.text_width) ** 0.5
    model = build_random(
        options.task, config, options.seed, twins=options.layout == "wrapped", initializer_range=spread,
        queue_size=options.queue_size,
    )  # fmt: skip
    options.output.parent.mkdir(parents=True, exist_ok=True)
    if options.output.suffix == ".safetensors":
        answers = list(questions.ANSWERS) if options.task == "vqa" else None
        save_checkpoint(options.output, model, options.task, vocabulary, answers)
    else:
        torch.save(wrapped(model) if options.layout == "wrapped" else model.state_dict(), options.output)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{options.output}: {options.task}, {options.layout}, {parameters:,} parameters, seed {options.seed}")


def main() -> None:
    options = parse()
    if options.write_vocab is not None:
        vocabulary = synthetic_vocabulary()
        assert [vocabulary.index(token) for token in SPECIAL] == [0, 100, 101, 102, 103]
        options.write_vocab.parent.mkdir(parents=True, exist_ok=True)
        options.write_vocab.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
        print(f"{options.write_vocab}: {len(vocabulary)} tokens")
    if options.write_answers is not None:
        answers = list(questions.ANSWERS)
        if options.made_up_answers:
            lengths = LONG_LENGTHS if options.long_answers else USUAL_LENGTHS
            answers = made_up_answers(synthetic_vocabulary(), options.made_up_answers, lengths=lengths)
        options.write_answers.write_text(json.dumps(answers) + "\n", encoding="utf-8")
    if options.output is not None:
        write(options)


if __name__ == "__main__":
    main()
