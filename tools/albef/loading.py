"""A trained model from one checkpoint file: shape, weights, vocabulary and answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from albef.checkpoint import Checkpoint, load_student, read_checkpoint
from albef.model import PretrainModel, RetrievalModel, VQAModel
from albef.text import Tokenizer


@dataclass
class LoadedModel:
    """``model`` is in evaluation mode, without twins and queues."""

    task: str
    model: PretrainModel | RetrievalModel | VQAModel
    tokenizer: Tokenizer
    checkpoint: Checkpoint


def load_model(path: str | Path) -> LoadedModel:
    """Reads a safetensors checkpoint of this package, which carries its shape and vocabulary in its metadata."""
    checkpoint = read_checkpoint(path)
    if checkpoint.config is None or checkpoint.vocabulary is None or checkpoint.task is None:
        raise ValueError(f"{path}: no shape, vocabulary or task in the metadata; it is not a checkpoint of this package")
    tokenizer = Tokenizer(checkpoint.vocabulary)
    if checkpoint.task == "vqa":
        model = VQAModel(checkpoint.config, twins=False, dropout=0.0, cls_id=tokenizer.cls_id)
    elif checkpoint.task == "pretrain":
        ids = {"cls_id": tokenizer.cls_id, "mask_id": tokenizer.mask_id}
        model = PretrainModel(checkpoint.config, twins=False, dropout=0.0, **ids)
    elif checkpoint.task in ("retrieval", "grounding"):
        model = RetrievalModel(checkpoint.config, twins=False, dropout=0.0)
    else:
        raise ValueError(f"{path}: task '{checkpoint.task}' is not one of pretrain, retrieval, grounding, vqa")
    load_student(model, checkpoint.tensors)
    return LoadedModel(checkpoint.task, model.eval(), tokenizer, checkpoint)
