"""Captions and questions in the official JSON formats, held in memory as token ids, and batches of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from albef import records
from albef.pictures import PictureFiles, Pictures, SampleError, cache_folder
from albef.records import DatasetError, Field, read_json, read_records
from albef.text import Tokenizer, normalize_caption, normalize_question, pad

__all__ = [
    "Batches", "CaptionBatches", "CaptionItem", "DatasetError", "Pictures", "QuestionBatches", "QuestionItem", "SampleError",
    "cache_folder", "pad", "random_of", "read_captions", "read_json", "read_questions", "shared_runs", "shuffled_batches",
]  # fmt: skip


def random_of(*numbers: int) -> np.random.Generator:
    """Random numbers that are a function of ``numbers`` (a seed, an epoch, …): no state to keep between runs."""
    return np.random.default_rng(numbers)


def shuffled_batches(lengths: list[int], size: int, generator: np.random.Generator) -> list[list[int]]:
    """An epoch of full batches. Items of like length meet (within runs of sixteen batches), which saves padding."""
    order = generator.permutation(len(lengths)).tolist()
    batches = []
    for start in range(0, len(order), 16 * size):
        run = sorted(order[start : start + 16 * size], key=lambda item: lengths[item])
        batches += [run[i : i + size] for i in range(0, len(run) - size + 1, size)]
    return [batches[number] for number in generator.permutation(len(batches))]


def shared_runs(groups: Iterable[list[int]], share: int, generator: np.random.Generator) -> list[list[int]]:
    """Each group in random order, cut into runs of ``share`` items; the runs of all groups in random order."""
    runs = []
    for group in groups:
        order = [group[number] for number in generator.permutation(len(group))]
        runs += [order[i : i + share] for i in range(0, len(order), share)]
    return [runs[number] for number in generator.permutation(len(runs))]


def _caption_fields(record: dict) -> tuple[Field, ...]:
    return (records.IMAGE, records.EXPRESSION if "text" in record and "caption" not in record else records.CAPTION)


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
        for entry in read_records(Path(root) / file, _caption_fields):
            texts = entry["caption"] if "caption" in entry else entry["text"]
            texts = [texts] if isinstance(texts, str) else texts
            ids = [tokenizer.encode(normalize_caption(text, max_words), max_tokens) for text in texts]
            items.append(CaptionItem(entry["image"], ids))
    return items


class Batches(Protocol):
    """What the trainer asks of a task's data. Both answers depend on nothing but the seed and the arguments."""

    items: list  # the records; batches name them by their numbers

    def __len__(self) -> int:
        """Batches in an epoch, up to what does not fill one."""
        ...

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch, as numbers of items."""
        ...

    def load(self, numbers: list[int], epoch: int) -> tuple[Tensor, ...]:
        """A batch as the task's losses take it; :class:`SampleError` names an item that stands in the way."""
        ...


class CaptionBatches:
    """Batches of pictures with a caption each: pixels, ids, mask, picture numbers, and which captions are true of which.

    The last is [B, B] by picture and caption: the data lists the very caption for the picture, so that it must not
    serve as a negative there. Short captions such as "the red star" are true of many pictures.
    """

    def __init__(self, items: list[CaptionItem], pictures: PictureFiles, batch_size: int, seed: int) -> None:
        self.items, self.pictures, self.batch_size, self.seed = items, pictures, batch_size, seed
        self.numbers = np.array([pictures.index[item.image] for item in items])
        self.captions: dict[int, set[tuple[int, ...]]] = {}
        for number, item in zip(self.numbers.tolist(), items, strict=True):
            self.captions.setdefault(number, set()).update(map(tuple, item.captions))
        self._drawn: tuple[int, list[list[int]]] = (-1, [])

    def __len__(self) -> int:
        return len(self.items) // self.batch_size

    def drawn(self, epoch: int) -> list[list[int]]:
        """The caption of each item that an epoch shows."""
        if self._drawn[0] != epoch:
            chances = random_of(self.seed, epoch, 0).random(len(self.items)).tolist()
            pairs = zip(self.items, chances, strict=True)
            self._drawn = (epoch, [item.captions[int(chance * len(item.captions))] for item, chance in pairs])
        return self._drawn[1]

    def plan(self, epoch: int) -> list[list[int]]:
        lengths = [len(ids) for ids in self.drawn(epoch)]
        return shuffled_batches(lengths, self.batch_size, random_of(self.seed, epoch, 1))

    def load(self, numbers: list[int], epoch: int) -> tuple[Tensor, ...]:
        drawn = self.drawn(epoch)
        pictures = self.numbers[numbers]
        ids, mask = pad([drawn[item] for item in numbers])
        texts = [tuple(drawn[item]) for item in numbers]
        true = torch.tensor([[text in self.captions[number] for text in texts] for number in pictures.tolist()])
        return self.pictures.batch(pictures, numbers, epoch), ids, mask, torch.from_numpy(pictures), true


@dataclass
class QuestionItem:
    image: str
    question: list[int]
    answers: list[tuple[str, float]]  # distinct answers with their weights
    question_id: int


def read_questions(
    root: str | Path, files: list[str], tokenizer: Tokenizer, max_words: int = 30, max_tokens: int | None = 25,
    roots: dict[str, str] | None = None,
) -> list[QuestionItem]:  # fmt: skip
    """VQA files: ``answer`` is a list (weights are shares) or, for Visual Genome, one string of weight 0.5.

    ``roots`` names the folder of a record's picture by its ``dataset``; where it is given, it must know every one.
    """
    items = []
    dataset = records.one_of("dataset", roots) if roots else Field("dataset", records.is_text, "a text", optional=True)
    fields = (*records.QUESTION_RECORD, dataset)
    for file in files:
        for entry in read_records(Path(root) / file, fields):
            given = entry["answer"]
            if isinstance(given, str):
                answers = [(given, 0.5 if entry.get("dataset") == "vg" else 1.0)]
            else:
                answers = [(answer, given.count(answer) / len(given)) for answer in dict.fromkeys(given)]
            ids = tokenizer.encode(normalize_question(entry["question"], max_words), max_tokens)
            folder = (roots or {}).get(entry.get("dataset", ""), "")
            items.append(QuestionItem(str(Path(folder) / entry["image"]), ids, answers, entry["question_id"]))
    return items


class QuestionBatches:
    """Batches of pictures with ``share`` questions each, so that a picture is encoded once for several questions."""

    def __init__(
        self,
        items: list[QuestionItem],
        pictures: PictureFiles,
        tokenizer: Tokenizer,
        batch_size: int,
        share: int,
        seed: int,
    ) -> None:
        self.items, self.pictures, self.batch_size, self.share = items, pictures, batch_size, share
        self.seed = seed
        answers = {answer for item in items for answer, _ in item.answers}
        self.answer_ids = {answer: tokenizer.encode(answer + "[SEP]") for answer in answers}
        self.groups: dict[str, list[int]] = {}
        for number, item in enumerate(items):
            self.groups.setdefault(item.image, []).append(number)

    def __len__(self) -> int:
        return len(self.items) // self.batch_size

    def plan(self, epoch: int) -> list[list[int]]:
        return [[number for run in batch for number in run] for batch in self._batches(random_of(self.seed, epoch))]

    def _batches(self, generator: np.random.Generator) -> Iterator[list[list[int]]]:
        batch: list[list[int]] = []
        count = 0
        for run in shared_runs(self.groups.values(), self.share, generator):
            batch.append(run)
            count += len(run)
            if count >= self.batch_size:
                yield batch
                batch, count = [], 0

    def load(self, numbers: list[int], epoch: int) -> tuple[Tensor, ...]:
        items = [self.items[number] for number in numbers]
        shown_by: dict[str, int] = {}
        for number, item in zip(numbers, items, strict=True):
            shown_by.setdefault(item.image, number)
        distinct = {image: row for row, image in enumerate(shown_by)}
        pictures = torch.tensor([distinct[item.image] for item in items])
        pixels = self.pictures.batch([self.pictures.index[image] for image in distinct], list(shown_by.values()), epoch)
        ids, mask = pad([item.question for item in items])
        answers = [(row, answer, weight) for row, item in enumerate(items) for answer, weight in item.answers]
        answer_ids, answer_mask = pad([self.answer_ids[answer] for _, answer, _ in answers])
        rows = torch.tensor([row for row, _, _ in answers])
        weights = torch.tensor([weight for _, _, weight in answers])
        return pixels, ids, mask, answer_ids, answer_mask, weights, rows, pictures
