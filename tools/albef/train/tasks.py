"""The tasks behind one trainer: which model, which batches, which losses, which validation."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from albef.data import CaptionBatches, Pictures, QuestionBatches, read_captions, read_json, read_questions
from albef.evaluation.retrieval import evaluate_retrieval
from albef.evaluation.vqa import evaluate_vqa
from albef.image import normalize_pixels
from albef.model import ModelConfig, PretrainModel, RetrievalModel, VQAModel
from albef.quantization import prepare_quantization_aware
from albef.text import Tokenizer
from albef.train.settings import Settings, read_settings
from albef.train.settings_file import SettingsError


class Task:
    """A model with its data. tools/configs/README.md explains the settings."""

    name = ""

    def __init__(self, settings: Settings, root: Path, seed: int) -> None:
        self.settings, self.root, self.seed = settings, root, seed
        self.tokenizer = Tokenizer.from_file(root / settings["vocabulary"])
        shape = settings["model"] | {"vocab_size": len(self.tokenizer.vocabulary)}
        self.config = ModelConfig.from_dict(shape)
        self.answers: list[str] | None = None
        self.options = {
            "dropout": settings["dropout"], "initializer_range": settings["initializer_range"],
            "cls_id": self.tokenizer.cls_id,
        }  # fmt: skip
        self.model, self.batches = self.build()
        if settings["quantization_aware"]:
            prepare_quantization_aware(self.model)

    def build(self) -> tuple[nn.Module, CaptionBatches | QuestionBatches]:
        raise NotImplementedError

    def losses(self, batch: tuple[Tensor, ...], alpha: float) -> dict[str, Tensor]:
        raise NotImplementedError

    def validate(self) -> dict[str, float]:
        raise NotImplementedError

    def pixels(self, raw: Tensor) -> Tensor:
        return normalize_pixels(raw, self.config.mean, self.config.std)


class _CaptionTask(Task):
    def _contrastive_options(self) -> dict:
        return {name: self.settings[name] for name in ("queue_size", "easy_negatives", "temperature")}

    def _caption_batches(self, max_tokens: int | None) -> CaptionBatches:
        settings = self.settings
        items = read_captions(self.root, settings["train_files"], self.tokenizer, self.config.max_words, max_tokens)
        pictures = Pictures(self.root, [item.image for item in items], self.config.image_size)
        return CaptionBatches(items, pictures, settings["batch_size"], self.seed)

    def validate(self) -> dict[str, float]:
        settings = self.settings
        scores = evaluate_retrieval(
            self.model, self.tokenizer, str(self.root), settings["validation_file"],
            k_test=settings["validation_k"], limit=settings["validation_limit"],
        )  # fmt: skip
        return {name: scores[name] for name in ("itc_txt_r1", "itc_img_r1", "txt_r1", "img_r1")}


class PretrainTask(_CaptionTask):
    name = "pretrain"

    def build(self):
        settings = self.settings
        if not settings["losses"]:
            raise SettingsError("key 'losses': found none, expected some of 'ita', 'itm', 'mlm'")
        batches = self._caption_batches(max_tokens=25)
        model = PretrainModel(
            self.config, **self._contrastive_options(), mlm_probability=settings["mlm_probability"],
            mask_id=self.tokenizer.mask_id, **self.options,
        )  # fmt: skip
        return model, batches

    def losses(self, batch, alpha):
        raw, ids, mask, _, _ = batch
        losses = self.model(self.pixels(raw), ids, mask, alpha)
        return {name: losses[name] for name in self.settings["losses"]}


class RetrievalTask(_CaptionTask):
    name = "retrieval"

    def build(self):
        batches = self._caption_batches(max_tokens=None)
        options = {key: value for key, value in self.options.items() if key != "cls_id"}
        return RetrievalModel(self.config, **self._contrastive_options(), **options), batches

    def losses(self, batch, alpha):
        raw, ids, mask, numbers, true = batch
        return self.model(self.pixels(raw), ids, mask, numbers, alpha, true=true)


class VQATask(Task):
    name = "vqa"

    def build(self):
        settings = self.settings
        items = read_questions(self.root, settings["train_files"], self.tokenizer)
        pictures = Pictures(self.root, [item.image for item in items], self.config.image_size)
        self.answers = read_json(self.root / settings["answer_file"])
        batches = QuestionBatches(
            items, pictures, self.tokenizer, settings["batch_size"], settings["questions_per_picture"], self.seed
        )
        return VQAModel(self.config, twins=settings["alpha"] > 0, **self.options), batches

    def losses(self, batch, alpha):
        raw, ids, mask, answer_ids, answer_mask, weights, rows, pictures = batch
        return self.model(self.pixels(raw), ids, mask, answer_ids, answer_mask, weights, rows, alpha, pictures)

    def validate(self) -> dict[str, float]:
        settings = self.settings
        return evaluate_vqa(
            self.model, self.tokenizer, self.answers, str(self.root), settings["validation_file"],
            limit=settings["validation_limit"],
        )  # fmt: skip


TASKS: dict[str, type[Task]] = {task.name: task for task in (PretrainTask, RetrievalTask, VQATask)}


def build_task(name: str, config_file: Path, root: Path, seed: int) -> Task:
    torch.manual_seed(seed)
    return TASKS[name](read_settings(name, config_file), root, seed)
