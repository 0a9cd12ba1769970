"""Checkpoints of any size with random weights, in the layouts of the published files: for tests, demos and measurements.

``python -m albef.random_checkpoint --task retrieval --size published --output r.pth --write-vocab vocab.txt``
"""

from __future__ import annotations

import argparse
import json
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

from albef.checkpoint import is_twin_or_queue, save_checkpoint
from albef.model import ModelConfig, PretrainModel, RetrievalModel, VQAModel
from albef.model.config import small_config

# Where the published vocabulary has its special tokens.
SPECIAL_IDS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
PUBLISHED_VOCABULARY = 30522
ANSWERS = ["yes", "no", "red", "blue", "green", "1", "2", "3", "black and white", "on the left"]


def synthetic_vocabulary(size: int = PUBLISHED_VOCABULARY) -> list[str]:
    """Made-up words of syllables, with letters and digits so that any ASCII text encodes; special tokens at their ids."""
    characters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = (
        list(characters) + [f"##{character}" for character in characters] + list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    )
    pieces += [word for answer in ANSWERS for word in answer.split()]
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
    pieces += [a + b for a in syllables for b in syllables]
    pieces += [f"##{a}{b}" for a in syllables for b in syllables]
    pieces += [a + b + c for a in syllables for b in syllables[::3] for c in syllables[::7]]
    distinct = list(dict.fromkeys(pieces))
    vocabulary: list[str] = []
    names = {number: name for name, number in SPECIAL_IDS.items()}
    words = iter(distinct)
    for number in range(size):
        if number in names:
            vocabulary.append(names[number])
        elif number < 100:
            vocabulary.append(f"[unused{number - 1}]")
        else:
            vocabulary.append(next(words))
    return vocabulary


def build(task: str, config: ModelConfig, *, twins: bool, queue_size: int) -> nn.Module:
    """A freshly initialised model."""
    if task == "vqa":
        return VQAModel(config, twins=twins)
    kind = PretrainModel if task == "pretrain" else RetrievalModel
    return kind(config, twins=twins, queue_size=queue_size)


def released_layout(model: nn.Module, layout: str) -> dict:
    """The content of a published ``.pth``: ``flat`` without twins and queues, or ``wrapped`` as the trainer saves it."""
    state = model.state_dict()
    if layout == "flat":
        return OrderedDict((name, tensor) for name, tensor in state.items() if not is_twin_or_queue(name))
    first: dict[str, Tensor] = {"exp_avg": torch.zeros(1), "exp_avg_sq": torch.zeros(1)}
    return {
        "model": state,
        "optimizer": {"state": {0: {"step": 1, **first}}, "param_groups": [{"lr": 1e-5, "params": [0]}]},
        "lr_scheduler": {"base_values": [1e-4], "metric": None}, "config": {"image_res": model.config.image_size}, "epoch": 0,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m albef.random_checkpoint", description=__doc__)
    parser.add_argument("--task", choices=["pretrain", "retrieval", "vqa"], required=True)
    parser.add_argument("--size", choices=["published", "small"], default="small")
    parser.add_argument("--config", type=Path, help="a shape instead of --size: JSON with configuration keys")
    parser.add_argument("--layout", choices=["flat", "wrapped"], default="flat", help="of a .pth file")
    parser.add_argument("--output", "-o", type=Path, required=True, help=".pth or .safetensors")
    parser.add_argument("--write-vocab", type=Path, help="also write the made-up vocabulary, a token a line")
    parser.add_argument("--write-answers", type=Path, help="also write a list of answers (JSON)")
    parser.add_argument("--queue-size", type=int, default=65536)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.config:
        config = ModelConfig.from_dict(json.loads(options.config.read_text()))
    else:
        config = ModelConfig() if options.size == "published" else small_config(1024)
    vocabulary = synthetic_vocabulary(config.vocab_size)
    twins = options.layout == "wrapped" and options.output.suffix == ".pth"
    model = build(options.task, config, twins=twins, queue_size=options.queue_size)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    if options.output.suffix == ".pth":
        torch.save(released_layout(model, options.layout), options.output)
    elif options.output.suffix == ".safetensors":
        answers = ANSWERS if options.task == "vqa" else None
        save_checkpoint(options.output, model, options.task, vocabulary, answers)
    else:
        parser.error("--output must end in .pth or .safetensors")
    if options.write_vocab:
        options.write_vocab.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    if options.write_answers:
        options.write_answers.write_text(json.dumps(ANSWERS) + "\n", encoding="utf-8")
    print(
        f"{options.output}: {sum(p.numel() for p in model.parameters()):,} parameters, {options.output.stat().st_size:,} bytes"
    )


if __name__ == "__main__":
    main()
