"""The tasks behind one trainer: which model, which batches, which losses, which validation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn

from albef.augment import pipeline
from albef.data import Batches, CaptionBatches, Pictures, QuestionBatches, read_captions, read_json, read_questions
from albef.data_pairs import SentenceBatches, picture_file, pictures_of, read_entailment, read_nlvr
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
from albef.pictures import AugmentedPictures, PictureFiles
from albef.quantization import prepare_quantization_aware
from albef.records import (
    ENTAILMENT_RECORD,
    GROUNDING_RECORD,
    NLVR_RECORD,
    QUESTION_RECORD,
    RETRIEVAL_RECORD,
    DatasetError,
    Field,
    read_records,
)
from albef.text import Tokenizer
from albef.train.frozen import RememberedTokens, remembers
from albef.train.settings import Settings, read_settings
from albef.train.settings_file import SettingsError


class Task(ABC):
    """A model with its data. tools/configs/README.md explains the settings."""

    name = ""
    validation_record: tuple[Field, ...] = RETRIEVAL_RECORD
    """What :meth:`validate` needs of a record."""

    def __init__(self, settings: Settings, root: Path, seed: int) -> None:
        self.settings, self.root, self.seed = settings, root, seed
        self.tokenizer = Tokenizer.from_file(root / settings.vocabulary)
        shape = settings.model | {"vocab_size": len(self.tokenizer.vocabulary)}
        self.config = ModelConfig.from_dict(shape)
        self.answers: list[str] | None = None
        self.options = {
            "dropout": settings.dropout, "initializer_range": settings.initializer_range,
            "cls_id": self.tokenizer.cls_id,
        }  # fmt: skip
        self._validation: Pictures | None = None
        if settings.validation_file:
            self._check_validation()
        self.model, self.batches = self.build()
        if settings.quantization_aware:
            prepare_quantization_aware(self.model)

    @abstractmethod
    def build(self) -> tuple[nn.Module, Batches]:
        """The model and its training data."""

    @abstractmethod
    def losses(self, batch: tuple[Tensor, ...], alpha: float) -> dict[str, Tensor]:
        """The losses of a batch by name; their sum is minimised. ``alpha`` weighs distillation."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """The task's metrics on the validation file, in percent."""

    def score(self, validation: dict[str, float]) -> float:
        """What of :meth:`validate` says which of two checkpoints is better: accuracy, where there is one."""
        return validation["accuracy"]

    def pictures(self, paths: list[str]) -> Pictures:
        """Pictures by their paths in dataset files, as they are."""
        return Pictures(self.root / self.settings.image_root, paths, self.config.image_size)

    def training_pictures(self, paths: list[str]) -> PictureFiles:
        """Pictures to train on, augmented as the settings say."""
        augmentation = pipeline(self.settings.augment, self.settings.flips)
        if augmentation is None:
            return self.pictures(paths)
        root, size = self.root / self.settings.image_root, self.config.image_size
        return AugmentedPictures(root, paths, size, augmentation, self.seed)

    def validation_pictures(self) -> Pictures:
        """Those of the records that :meth:`validate` looks at."""
        if self._validation is None:
            entries = read_records(self.root / self.settings.validation_file, self.validation_record)
            entries = entries[: self.settings.validation_limit]
            roots = getattr(self.settings, "image_roots", {})
            folders = [Path(roots.get(entry.get("dataset", ""), "")) for entry in entries]
            pairs = zip(folders, entries, strict=True)
            paths = [str(folder / path) for folder, entry in pairs for path in entry.get("images") or [entry["image"]]]
            self._validation = self.pictures(list(map(picture_file, paths)) if self.name == "entailment" else paths)
        return self._validation

    def _check_validation(self) -> None:
        """Measuring needs every picture, so a broken one is said before the training, not after its first hour."""
        broken = list(self.validation_pictures().broken.values())
        if broken:
            more = f" ({len(broken) - 1} more pictures of the validation cannot be had)" if len(broken) > 1 else ""
            raise DatasetError(f"{self.settings.validation_file}: {broken[0]}{more}")

    def pixels(self, raw: Tensor) -> Tensor:
        return normalize_pixels(raw, self.config.mean, self.config.std)


class _CaptionTask(Task):
    def _contrastive_options(self) -> dict:
        return {name: getattr(self.settings, name) for name in ("queue_size", "easy_negatives", "temperature")}

    def _caption_batches(self, max_tokens: int | None) -> CaptionBatches:
        settings = self.settings
        items = read_captions(self.root, settings.train_files, self.tokenizer, self.config.max_words, max_tokens)
        pictures = self.training_pictures([item.image for item in items])
        return CaptionBatches(items, pictures, settings.batch_size, self.seed)

    def validate(self) -> dict[str, float]:
        settings = self.settings
        scores = evaluate_retrieval(
            self.model, self.tokenizer, str(self.root), settings.validation_file,
            k_test=settings.validation_k, limit=settings.validation_limit, pictures=self.validation_pictures(),
        )  # fmt: skip
        return {name: scores[name] for name in ("itc_txt_r1", "itc_img_r1", "txt_r1", "img_r1") if name in scores}

    def score(self, validation):
        names = ("txt_r1", "img_r1") if "txt_r1" in validation else ("itc_txt_r1", "itc_img_r1")
        return sum(validation[name] for name in names) / 2


class PretrainTask(_CaptionTask):
    name = "pretrain"

    def build(self):
        settings = self.settings
        if not settings.losses:
            raise SettingsError("key 'losses': found none, expected some of 'ita', 'itm', 'mlm'")
        batches = self._caption_batches(max_tokens=25)
        model = PretrainModel(
            self.config, **self._contrastive_options(), mlm_probability=settings.mlm_probability,
            mask_id=self.tokenizer.mask_id, **self.options,
        )  # fmt: skip
        return model, batches

    def losses(self, batch, alpha):
        raw, ids, mask, _, _ = batch
        losses = self.model(self.pixels(raw), ids, mask, alpha)
        return {name: losses[name] for name in self.settings.losses}


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
    validation_record = GROUNDING_RECORD

    def validate(self) -> dict[str, float]:
        settings = self.settings
        return evaluate_grounding(
            self.model, self.tokenizer, self.root, settings.validation_file, limit=settings.validation_limit,
            pictures=self.validation_pictures(),
        )  # fmt: skip

    def score(self, validation):
        return validation["box"]


class VQATask(Task):
    name = "vqa"
    validation_record = QUESTION_RECORD

    def build(self):
        settings = self.settings
        items = read_questions(self.root, settings.train_files, self.tokenizer, roots=settings.image_roots)
        pictures = self.training_pictures([item.image for item in items])
        self.answers = read_json(self.root / settings.answer_file)
        batches = QuestionBatches(
            items, pictures, self.tokenizer, settings.batch_size, settings.questions_per_picture, self.seed
        )
        return VQAModel(self.config, twins=settings.alpha > 0, **self.options), batches

    def losses(self, batch, alpha):
        raw, ids, mask, answer_ids, answer_mask, weights, rows, pictures = batch
        return self.model(self.pixels(raw), ids, mask, answer_ids, answer_mask, weights, rows, alpha, pictures)

    def validate(self) -> dict[str, float]:
        settings = self.settings
        return evaluate_vqa(
            self.model, self.tokenizer, self.answers, str(self.root), settings.validation_file,
            k_test=settings.validation_k, limit=settings.validation_limit, roots=settings.image_roots,
            pictures=self.validation_pictures(),
        )  # fmt: skip


class _SentenceTask(Task):
    """Visual entailment and NLVR2: the same but for the reader and the model."""

    read = staticmethod(read_entailment)
    model_type: type[EntailmentModel | NLVRModel] = EntailmentModel

    def build(self):
        settings = self.settings
        items = self.read(self.root, settings.train_files, self.tokenizer, self.config.max_words)
        pictures = self.training_pictures(pictures_of(items))
        batches = SentenceBatches(
            items, pictures, settings.batch_size, settings.sentences_per_picture, self.seed
        )
        options = {key: value for key, value in self.options.items() if key != "cls_id"}
        model = self.model_type(self.config, twins=settings.alpha > 0, **options)
        self.remembered = RememberedTokens(model.visual_encoder, self.pixels)
        return model, batches

    def losses(self, batch, alpha):
        raw, ids, mask, rows, labels = batch
        pictures = self.remembered(raw) if remembers(self.model) else self.pixels(raw)
        return self.model(pictures, ids, mask, labels, alpha, rows)

    def validate(self) -> dict[str, float]:
        settings = self.settings
        return evaluate_sentences(
            self.model, self.tokenizer, self.root, settings.validation_file, limit=settings.validation_limit,
            pictures=self.validation_pictures(),
        )  # fmt: skip


class EntailmentTask(_SentenceTask):
    name = "entailment"
    validation_record = ENTAILMENT_RECORD


class NLVRTask(_SentenceTask):
    name = "nlvr"
    validation_record = NLVR_RECORD
    read = staticmethod(read_nlvr)
    model_type = NLVRModel


class NLVRPretrainTask(_CaptionTask):
    """Text assignment; there is no teacher."""

    name = "nlvr_pretrain"

    def build(self):
        options = {key: value for key, value in self.options.items() if key != "cls_id"}
        easy = self.settings.easy_negatives
        return NLVRPretrainModel(self.config, easy_negatives=easy, **options), self._caption_batches(max_tokens=25)

    def losses(self, batch, alpha):
        raw, ids, mask, _, true = batch
        return self.model(self.pixels(raw), ids, mask, true=true)

    def validate(self) -> dict[str, float]:
        settings = self.settings
        return evaluate_assignment(
            self.model, self.tokenizer, self.root, settings.validation_file, limit=settings.validation_limit,
            pictures=self.validation_pictures(),
        )  # fmt: skip

    def score(self, validation):
        return validation["accuracy"]


_CLASSES = (PretrainTask, RetrievalTask, GroundingTask, VQATask, EntailmentTask, NLVRPretrainTask, NLVRTask)
TASKS: dict[str, type[Task]] = {task.name: task for task in _CLASSES}


def build_task(name: str, config_file: Path, root: Path, seed: int) -> Task:
    torch.manual_seed(seed)
    task = TASKS[name](read_settings(name, config_file), root, seed)
    for part in task.settings.frozen:
        if not isinstance(module := getattr(task.model, part, None), nn.Module):
            raise SettingsError(f"{config_file}: key 'frozen': the {name} model has no part {part!r}")
        module.requires_grad_(False)
    return task
