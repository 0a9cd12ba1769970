"""Sentences that are judged by one picture (visual entailment) or two (NLVR2): official JSON formats and batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
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


def neighbours_first(images: list[tuple[str, ...]], share: int, longest: int, generator: np.random.Generator) -> list[list[int]]:
    """All items, by number, in runs of at most ``longest``, the runs in random order.

    A run begins with ``share`` items of a random picture, then goes on to the pictures that those show as well, so that the
    items of a run need few pictures: one for ``share`` items where an item shows one picture, about one an item where
    it shows two.
    """
    waiting: dict[str, list[int]] = {}
    for number in generator.permutation(len(images)).tolist():
        for image in images[number]:
            waiting.setdefault(image, []).append(number)
    starts = list(waiting)
    used: set[int] = set()
    runs: list[list[int]] = []
    while starts:
        left = []
        for start in starts:
            run: list[int] = []
            front = deque([start])
            while front and len(run) < longest:
                items = waiting[front.popleft()]
                for _ in range(share):
                    while items and items[-1] in used:
                        items.pop()
                    if not items or len(run) == longest:
                        break
                    used.add(items[-1])
                    run.append(items[-1])
                    front.extend(images[items[-1]])
            if run:
                runs.append(run)
            if waiting[start]:
                left.append(start)
        starts = left
    return [runs[number] for number in generator.permutation(len(runs))]


class SentenceBatches:
    """Batches in which sentences about the same pictures meet, so that a picture is encoded once for all of them.

    ``share`` sentences of a picture are taken together.
    """

    def __init__(self, items: list[SentenceItem], pictures: Pictures, batch_size: int, share: int, seed: int) -> None:
        self.items, self.pictures, self.batch_size, self.share, self.seed = items, pictures, batch_size, share, seed
        self.begun = 0

    def __len__(self) -> int:
        return len(self.items) // self.batch_size

    def plan(self, epoch: int) -> list[list[int]]:
        """The full batches of an epoch, as numbers of items; a function of the seed and the epoch."""
        images = [item.images for item in self.items]
        generator = np.random.default_rng((self.seed, epoch))
        runs = neighbours_first(images, self.share, max(self.share, self.batch_size // 4), generator)
        order = [number for run in runs for number in run]
        size = self.batch_size
        return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]

    def load(self, numbers: list[int], epoch: int) -> tuple[Tensor, ...]:
        """A batch as :func:`collate` gives it."""
        return collate([self.items[number] for number in numbers], self.pictures)

    def epoch(self) -> Iterator[tuple[Tensor, ...]]:
        """The batches of the next epoch."""
        epoch, self.begun = self.begun, self.begun + 1
        for numbers in self.plan(epoch):
            yield self.load(numbers, epoch)
