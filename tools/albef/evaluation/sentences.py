"""Visual entailment, NLVR2 and text assignment: accuracy of the best class."""

from __future__ import annotations

from pathlib import Path

import torch

from albef.data import Pictures, read_captions
from albef.data_pairs import SentenceItem, collate, pictures_of, read_entailment, read_nlvr
from albef.image import normalize_pixels
from albef.model.classify import NLVRModel, SentenceClassifier
from albef.model.nlvr_pretrain import NLVRPretrainModel
from albef.text import Tokenizer, pad


@torch.no_grad()
def evaluate_sentences(
    model: SentenceClassifier, tokenizer: Tokenizer, root: str | Path, file: str, *, limit: int | None = None,
    batch: int = 64, pictures: Pictures | None = None,
) -> dict[str, float]:  # fmt: skip
    """Percent of the sentences of an entailment or NLVR2 file that are classed rightly, in all and by kind."""
    read = read_nlvr if isinstance(model, NLVRModel) else read_entailment
    items = read(root, [file], tokenizer, model.config.max_words, limit)
    pictures = pictures or Pictures(root, pictures_of(items), model.config.image_size)
    was_training = model.training
    model.eval()
    right: dict[str, list[bool]] = {}
    # Sentences about the same pictures stay together, so that each picture is encoded about once.
    order = sorted(items, key=lambda item: item.images)
    for start in range(0, len(order), batch):
        part: list[SentenceItem] = order[start : start + batch]
        pixels, ids, mask, rows, labels = collate(part, pictures)
        logits = model.logits(normalize_pixels(pixels, model.config.mean, model.config.std), ids, mask, rows)
        for item, correct in zip(part, (logits.argmax(1) == labels).tolist(), strict=True):
            right.setdefault(item.kind, []).append(correct)
    model.train(was_training)
    everything = [value for values in right.values() for value in values]
    result = {"accuracy": 100 * sum(everything) / len(everything)}
    return result | {kind: 100 * sum(values) / len(values) for kind, values in sorted(right.items()) if kind}


@torch.no_grad()
def evaluate_assignment(
    model: NLVRPretrainModel, tokenizer: Tokenizer, root: str | Path, file: str, *, limit: int | None = None,
    batch: int = 64, seed: int = 1,
) -> dict[str, float]:  # fmt: skip
    """Percent of captions that are assigned to left, right or neither picture rightly; pictures are drawn with ``seed``."""
    items = read_captions(root, [file], tokenizer, model.config.max_words, None)[:limit]
    pictures = Pictures(root, [item.image for item in items], model.config.image_size)
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    right = seen = 0
    for start in range(0, len(items), batch):
        part = items[start : start + batch]
        if len(part) < 3:
            break  # No two other pictures to draw.
        pixels = pictures.batch([pictures.index[item.image] for item in part])
        ids, mask = pad([item.captions[0] for item in part])
        image_tokens = model.visual_encoder(normalize_pixels(pixels, model.config.mean, model.config.std))
        rows, labels = model.assign(image_tokens, generator)
        right += int((model.logits(image_tokens, ids, mask, rows).argmax(1) == labels).sum())
        seen += len(part)
    model.train(was_training)
    return {"accuracy": 100 * right / max(seen, 1)}
