"""The tasks behind one trainer: which model, which batches, which losses, which validation."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from albef.data import CaptionBatches, Pictures, QuestionBatches, read_captions, read_json, read_questions
from albef.data_pairs import SentenceBatches, pictures_of, read_entailment, read_nlvr
from albef.evaluation.grounding import evaluate_grounding
from albef.evaluation.retrieval import evaluate_retrieval
from albef.evaluation.sentences import evaluate_assignment, evaluate_sentences
from albef.evaluation.vqa import evaluate_vqa
from albef.image import normalize_pixels
from albef.model import (
    EntailmentModel,
    ModelConfig,
    NLVRModel,
    NLVRPretrainModel,
    PretrainModel,
    RetrievalModel,
    VQAModel,
)
from albef.text import Tokenizer


class Task:
    """A model with its data. ``settings`` is the configuration file: see tools/configs/README.md for every key."""

    name = ""

    def __init__(self, settings: dict, root: Path, seed: int) -> None:
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
        for name in settings.get("frozen") or ():
            getattr(self.model, name).requires_grad_(False)

    def build(self) -> tuple[nn.Module, CaptionBatches | QuestionBatches | SentenceBatches]:
        raise NotImplementedError

    def losses(self, batch: tuple[Tensor, ...], alpha: float) -> dict[str, Tensor]:
        raise NotImplementedError

    def validate(self) -> dict[str, float]:
        raise NotImplementedError

    def pixels(self, raw: Tensor) -> Tensor:
        return normalize_pixels(raw, self.config.mean, self.config.std)


class _CaptionTask(Task):
    def _contrastive_options(self) -> dict:
        names = ("queue_size", "easy_negatives")
        return {name: self.settings[name] for name in names if name in self.settings}

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
        batches = self._caption_batches(max_tokens=25)
        model = PretrainModel(
            self.config, **self._contrastive_options(), mlm_probability=settings["mlm_probability"],
            mask_id=self.tokenizer.mask_id, **self.options,
        )  # fmt: skip
        return model, batches

    def losses(self, batch, alpha):
        raw, ids, mask, _, _ = batch
        return self.model(self.pixels(raw), ids, mask, alpha)


class RetrievalTask(_CaptionTask):
    name = "retrieval"

    def build(self):
        batches = self._caption_batches(max_tokens=None)
        options = {key: value for key, value in self.options.items() if key != "cls_id"}
        return RetrievalModel(self.config, **self._contrastive_options(), **options), batches

    def losses(self, batch, alpha):
        raw, ids, mask, numbers, true = batch
        return self.model(self.pixels(raw), ids, mask, numbers, alpha, true=true)


class GroundingTask(RetrievalTask):
    """The retrieval model and its losses on referring expressions; no boxes are trained on."""

    name = "grounding"

    def validate(self) -> dict[str, float]:
        settings = self.settings
        return evaluate_grounding(
            self.model, self.tokenizer, self.root, settings["validation_file"], limit=settings["validation_limit"]
        )


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


class _SentenceTask(Task):
    """Visual entailment and NLVR2: the same but for the reader and the model."""

    read = staticmethod(read_entailment)
    model_type: type[EntailmentModel | NLVRModel] = EntailmentModel

    def build(self):
        settings = self.settings
        items = self.read(self.root, settings["train_files"], self.tokenizer, self.config.max_words)
        pictures = Pictures(self.root, pictures_of(items), self.config.image_size)
        batches = SentenceBatches(
            items, pictures, settings["batch_size"], settings["sentences_per_picture"], self.seed
        )
        options = {key: value for key, value in self.options.items() if key != "cls_id"}
        return self.model_type(self.config, twins=settings["alpha"] > 0, **options), batches

    def losses(self, batch, alpha):
        raw, ids, mask, rows, labels = batch
        return self.model(self.pixels(raw), ids, mask, labels, alpha, rows)

    def validate(self) -> dict[str, float]:
        settings = self.settings
        return evaluate_sentences(
            self.model, self.tokenizer, self.root, settings["validation_file"], limit=settings["validation_limit"]
        )


class EntailmentTask(_SentenceTask):
    name = "entailment"


class NLVRTask(_SentenceTask):
    name = "nlvr"
    read = staticmethod(read_nlvr)
    model_type = NLVRModel


class NLVRPretrainTask(_CaptionTask):
    """Text assignment; there is no teacher."""

    name = "nlvr_pretrain"

    def build(self):
        options = {key: value for key, value in self.options.items() if key != "cls_id"}
        easy = self.settings.get("easy_negatives", 0.0)
        return NLVRPretrainModel(self.config, easy_negatives=easy, **options), self._caption_batches(max_tokens=25)

    def losses(self, batch, alpha):
        raw, ids, mask, _, true = batch
        return self.model(self.pixels(raw), ids, mask, true=true)

    def validate(self) -> dict[str, float]:
        settings = self.settings
        return evaluate_assignment(
            self.model, self.tokenizer, self.root, settings["validation_file"], limit=settings["validation_limit"]
        )


_CLASSES = (PretrainTask, RetrievalTask, GroundingTask, VQATask, EntailmentTask, NLVRPretrainTask, NLVRTask)
TASKS: dict[str, type[Task]] = {task.name: task for task in _CLASSES}


def build_task(name: str, config_file: Path, root: Path, seed: int) -> Task:
    torch.manual_seed(seed)
    return TASKS[name](json.loads(config_file.read_text()), root, seed)
