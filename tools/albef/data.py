"""Datasets in the official JSON formats, held in memory: token ids, and pictures decoded once into a file of pixels."""

from __future__ import annotations

import hashlib
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from albef.image import load_pixels
from albef.text import Tokenizer, normalize_caption, normalize_question, pad


def cache_folder() -> Path:
    """Where generated and decoded data lies, outside of any checkout."""
    base = os.environ.get("ALBEF_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "albef"
    return Path(base)


def read_json(path: str | Path) -> list:
    return json.loads(Path(path).read_text(encoding="utf-8"))


class Pictures:
    """Distinct pictures by path, decoded and resized once; ``pixels`` is a memory-mapped uint8 [N, R, R, 3].

    No augmentation happens here or later: captions of the small world speak of left, right and colours. Random crops,
    flips and RandAugment belong between ``pixels`` and ``normalize_pixels``.
    """

    def __init__(self, root: str | Path, paths: list[str], size: int) -> None:
        self.root = Path(root)
        self.paths = sorted(set(paths))
        self.index = {path: number for number, path in enumerate(self.paths)}
        stamp = "\n".join(f"{path} {(self.root / path).stat().st_mtime_ns}" for path in self.paths)
        key = hashlib.sha256(f"{size}\n{self.root.resolve()}\n{stamp}".encode()).hexdigest()[:16]
        file = cache_folder() / "pixels" / f"{key}.npy"
        if not file.exists():
            self._decode(file, size)
        self.pixels = np.load(file, mmap_mode="r")

    def _decode(self, file: Path, size: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.npy")
        out = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(self.paths), size, size, 3))
        for number, path in enumerate(self.paths):
            out[number] = load_pixels(self.root / path, size)
        out.flush()
        temporary.rename(file)

    def batch(self, numbers: list[int] | np.ndarray) -> Tensor:
        """uint8 [B, R, R, 3]."""
        return torch.from_numpy(self.pixels[np.asarray(numbers)])


def shuffled_batches(lengths: list[int], size: int, generator: random.Random) -> list[list[int]]:
    """An epoch of full batches. Items of like length meet (within runs of sixteen batches), which saves padding."""
    order = list(range(len(lengths)))
    generator.shuffle(order)
    batches = []
    for start in range(0, len(order), 16 * size):
        run = sorted(order[start : start + 16 * size], key=lambda item: lengths[item])
        batches += [run[i : i + size] for i in range(0, len(run) - size + 1, size)]
    generator.shuffle(batches)
    return batches


@dataclass
class CaptionItem:
    image: str
    captions: list[list[int]]  # token ids; one is drawn per visit


def read_captions(
    root: str | Path, files: list[str], tokenizer: Tokenizer, max_words: int, max_tokens: int | None
) -> list[CaptionItem]:
    """Pre-training, retrieval and grounding files alike: a picture with ``caption`` (one or several) or ``text``."""
    items = []
    for file in files:
        for entry in read_json(Path(root) / file):
            texts = entry["caption"] if "caption" in entry else entry["text"]
            texts = [texts] if isinstance(texts, str) else texts
            ids = [tokenizer.encode(normalize_caption(text, max_words), max_tokens) for text in texts]
            items.append(CaptionItem(entry["image"], ids))
    return items


class CaptionBatches:
    """Batches of pictures with a caption each: pixels, ids, mask, picture numbers, and which captions are true of which.

    The last is [B, B] by picture and caption: the data lists the very caption for the picture, so that it must not
    serve as a negative there. Short captions such as "the red star" are true of many pictures.
    """

    def __init__(self, items: list[CaptionItem], pictures: Pictures, batch_size: int, seed: int) -> None:
        self.items, self.pictures, self.batch_size = items, pictures, batch_size
        self.numbers = np.array([pictures.index[item.image] for item in items])
        self.random = random.Random(seed)
        self.captions: dict[int, set[tuple[int, ...]]] = {}
        for number, item in zip(self.numbers.tolist(), items, strict=True):
            self.captions.setdefault(number, set()).update(map(tuple, item.captions))

    def __len__(self) -> int:
        return len(self.items) // self.batch_size

    def epoch(self):
        drawn = [self.random.choice(item.captions) for item in self.items]
        for batch in shuffled_batches([len(ids) for ids in drawn], self.batch_size, self.random):
            numbers = self.numbers[batch]
            ids, mask = pad([drawn[item] for item in batch])
            texts = [tuple(drawn[item]) for item in batch]
            true = torch.tensor([[text in self.captions[number] for text in texts] for number in numbers.tolist()])
            yield self.pictures.batch(numbers), ids, mask, torch.from_numpy(numbers), true


@dataclass
class QuestionItem:
    image: str
    question: list[int]
    answers: list[tuple[str, float]]  # distinct answers with their weights
    question_id: int


def read_questions(
    root: str | Path, files: list[str], tokenizer: Tokenizer, max_words: int = 30, max_tokens: int | None = 25
) -> list[QuestionItem]:
    """VQA files: ``answer`` is a list (weights are shares) or, for Visual Genome, one string of weight 0.5."""
    items = []
    for file in files:
        for entry in read_json(Path(root) / file):
            given = entry["answer"]
            if isinstance(given, str):
                answers = [(given, 0.5 if entry.get("dataset") == "vg" else 1.0)]
            else:
                answers = [(answer, given.count(answer) / len(given)) for answer in dict.fromkeys(given)]
            ids = tokenizer.encode(normalize_question(entry["question"], max_words), max_tokens)
            items.append(QuestionItem(entry["image"], ids, answers, entry["question_id"]))
    return items


class QuestionBatches:
    """Batches of pictures with ``share`` questions each, so that a picture is encoded once for several questions."""

    def __init__(
        self,
        items: list[QuestionItem],
        pictures: Pictures,
        tokenizer: Tokenizer,
        batch_size: int,
        share: int,
        seed: int,
    ) -> None:
        self.items, self.pictures, self.batch_size, self.share = items, pictures, batch_size, share
        self.random = random.Random(seed)
        answers = {answer for item in items for answer, _ in item.answers}
        self.answer_ids = {answer: tokenizer.encode(answer + "[SEP]") for answer in answers}
        self.groups: dict[str, list[int]] = {}
        for number, item in enumerate(items):
            self.groups.setdefault(item.image, []).append(number)

    def __len__(self) -> int:
        return len(self.items) // self.batch_size

    def epoch(self):
        runs = []
        for group in self.groups.values():
            self.random.shuffle(group)
            runs += [group[i : i + self.share] for i in range(0, len(group), self.share)]
        self.random.shuffle(runs)
        batch: list[list[int]] = []
        count = 0
        for run in runs:
            batch.append(run)
            count += len(run)
            if count >= self.batch_size:
                yield self._collate(batch)
                batch, count = [], 0

    def _collate(self, runs: list[list[int]]) -> tuple[Tensor, ...]:
        items = [self.items[number] for run in runs for number in run]
        pictures = torch.tensor([row for row, run in enumerate(runs) for _ in run])
        pixels = self.pictures.batch([self.pictures.index[self.items[run[0]].image] for run in runs])
        ids, mask = pad([item.question for item in items])
        answers = [(row, answer, weight) for row, item in enumerate(items) for answer, weight in item.answers]
        answer_ids, answer_mask = pad([self.answer_ids[answer] for _, answer, _ in answers])
        rows = torch.tensor([row for row, _, _ in answers])
        weights = torch.tensor([weight for _, _, weight in answers])
        return pixels, ids, mask, answer_ids, answer_mask, weights, rows, pictures
