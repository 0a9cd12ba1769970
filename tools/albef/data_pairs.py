"""Sentences that are judged by one picture (visual entailment) or two (NLVR2): official JSON formats and batches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from albef.data import Pictures, read_json
from albef.text import Tokenizer, normalize_caption, pad

ENTAILMENT_CLASSES = ("contradiction", "neutral", "entailment")


@dataclass
class SentenceItem:
    """A sentence with its pictures (one, or left and right) and its class; ``kind`` names its sort, if the file does."""

    images: tuple[str, ...]
    sentence: list[int]
    label: int
    kind: str = ""


def picture_file(name: str) -> str:
    """The file of an entailment record: the official lists name pictures without ``.jpg``."""
    return name if name.lower().endswith((".jpg", ".jpeg", ".png")) else f"{name}.jpg"


def read_entailment(
    root: str | Path, files: list[str], tokenizer: Tokenizer, max_words: int, limit: int | None = None
) -> list[SentenceItem]:
    """SNLI-VE lists: ``image``, ``sentence``, ``label``."""
    items = []
    for file in files:
        for entry in read_json(Path(root) / file)[:limit]:
            ids = tokenizer.encode(normalize_caption(entry["sentence"], max_words))
            label = ENTAILMENT_CLASSES.index(entry["label"])
            items.append(SentenceItem((picture_file(entry["image"]),), ids, label, entry.get("kind", "")))
    return items


def read_nlvr(
    root: str | Path, files: list[str], tokenizer: Tokenizer, max_words: int, limit: int | None = None
) -> list[SentenceItem]:
    """NLVR2 lists: ``images`` (left, right), ``sentence``, ``label``, which is "True" or means false."""
    items = []
    for file in files:
        for entry in read_json(Path(root) / file)[:limit]:
            left, right = entry["images"]
            ids = tokenizer.encode(normalize_caption(entry["sentence"], max_words))
            items.append(SentenceItem((left, right), ids, int(entry["label"] == "True"), entry.get("kind", "")))
    return items


def pictures_of(items: list[SentenceItem]) -> list[str]:
    """All picture files, with repetitions."""
    return [image for item in items for image in item.images]


def collate(items: list[SentenceItem], pictures: Pictures) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pixels of the distinct pictures [P, R, R, 3], ids and mask [B, T], rows [B, pictures of a sentence], labels [B]."""
    distinct = {image: row for row, image in enumerate(dict.fromkeys(pictures_of(items)))}
    pixels = pictures.batch([pictures.index[image] for image in distinct])
    ids, mask = pad([item.sentence for item in items])
    rows = torch.tensor([[distinct[image] for image in item.images] for item in items])
    return pixels, ids, mask, rows, torch.tensor([item.label for item in items])


class SentenceBatches:
    """Batches in which ``share`` sentences about the same pictures meet, so that a picture is encoded once for them."""

    def __init__(
        self, items: list[SentenceItem], pictures: Pictures, batch_size: int, share: int, seed: int
    ) -> None:
        self.items, self.pictures, self.batch_size, self.share = items, pictures, batch_size, share
        self.random = random.Random(seed)
        self.groups: dict[tuple[str, ...], list[int]] = {}
        for number, item in enumerate(items):
            # The same two pictures meet also where left and right are exchanged.
            self.groups.setdefault(tuple(sorted(item.images)), []).append(number)

    def __len__(self) -> int:
        return len(self.items) // self.batch_size

    def epoch(self) -> Iterator[tuple[Tensor, ...]]:
        """Full batches only, as :func:`collate` gives them."""
        runs = []
        for group in self.groups.values():
            self.random.shuffle(group)
            runs += [group[i : i + self.share] for i in range(0, len(group), self.share)]
        self.random.shuffle(runs)
        order = [number for run in runs for number in run]
        for start in range(0, len(order) - self.batch_size + 1, self.batch_size):
            yield collate([self.items[number] for number in order[start : start + self.batch_size]], self.pictures)
