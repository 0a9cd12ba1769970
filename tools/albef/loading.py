"""A trained model from its checkpoint: weights, shape, tokenizer, answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from albef.checkpoint import Checkpoint, read_checkpoint
from albef.conversion import convert
from albef.load_report import load_student
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


@dataclass
class Loaded:
    """A model in evaluation mode, without twins, and what its texts need."""

    model: nn.Module
    task: str
    tokenizer: Tokenizer
    answers: list[str] | None


def infer_task(tensors: dict[str, Tensor]) -> str:
    """The task that the tensors' names tell of."""
    if any(name.startswith("text_decoder.") for name in tensors):
        return "vqa"
    if "cls_head.2.weight" in tensors:
        return "nlvr" if len(tensors["cls_head.2.weight"]) == 2 else "entailment"
    if "ta_head.weight" in tensors:
        return "nlvr_pretrain"
    return "pretrain" if any(name.startswith("text_encoder.bert.") for name in tensors) else "retrieval"


def infer_config(tensors: dict[str, Tensor]) -> ModelConfig:
    """The shape that the tensors tell of, for checkpoints without a configuration; heads are 64 wide."""
    tensors = {name.replace(".bert.", "."): tensor for name, tensor in tensors.items()}

    def count(prefix: str) -> int:
        numbers = (int(name[len(prefix) :].split(".")[0]) for name in tensors if name.startswith(prefix))
        return 1 + max(numbers, default=-1)

    patch = tensors["visual_encoder.patch_embed.proj.weight"]
    grid = int((tensors["visual_encoder.pos_embed"].shape[1] - 1) ** 0.5)
    vocab_size, width = tensors["text_encoder.embeddings.word_embeddings.weight"].shape
    layers = count("text_encoder.encoder.layer.")
    fusion = sum(f"text_encoder.encoder.layer.{i}.crossattention.self.query.weight" not in tensors for i in range(layers))
    return ModelConfig(
        image_size=grid * patch.shape[2], patch_size=patch.shape[2], vision_width=patch.shape[0],
        vision_layers=count("visual_encoder.blocks."), vision_heads=patch.shape[0] // 64, text_width=width,
        text_layers=layers, fusion_layer=fusion, text_heads=width // 64,
        embed_dim=tensors["vision_proj.weight"].shape[0] if "vision_proj.weight" in tensors else 256,
        vocab_size=vocab_size, max_positions=tensors["text_encoder.embeddings.position_embeddings.weight"].shape[0],
        decoder_layers=count("text_decoder.encoder.layer.") or 6, gradcam_layer=min(fusion + 2, layers - 1),
    )  # fmt: skip


def load_model(path: str | Path, vocabulary: list[str] | None = None, answers: list[str] | None = None) -> Loaded:
    """Opens a safetensors or ``.pth`` checkpoint of any task. What is given here goes before what the file says."""
    checkpoint: Checkpoint = read_checkpoint(path)
    vocabulary = vocabulary or checkpoint.vocabulary
    if vocabulary is None:
        raise ValueError(f"{path} holds no vocabulary: give one")
    config = checkpoint.config or infer_config(checkpoint.tensors)
    if len(vocabulary) != config.vocab_size:
        raise ValueError(f"{len(vocabulary)} tokens in the vocabulary, {config.vocab_size} in {path}")
    task = checkpoint.task or infer_task(checkpoint.tensors)
    tokenizer = Tokenizer(vocabulary)
    model = build_model(task, config, tokenizer)
    load_student(model, convert(checkpoint.tensors, task, config), str(path))
    return Loaded(model.eval(), task, tokenizer, answers or checkpoint.answers)


def build_model(task: str, config: ModelConfig, tokenizer: Tokenizer) -> nn.Module:
    """A task's model without twins, with fresh weights."""
    if task == "pretrain":
        return PretrainModel(config, twins=False, cls_id=tokenizer.cls_id, mask_id=tokenizer.mask_id)
    if task == "vqa":
        return VQAModel(config, twins=False, cls_id=tokenizer.cls_id)
    if task == "nlvr_pretrain":
        return NLVRPretrainModel(config)
    models = {
        "retrieval": RetrievalModel, "grounding": RetrievalModel, "entailment": EntailmentModel, "nlvr": NLVRModel,
    }  # fmt: skip
    if task not in models:
        raise ValueError(f"unknown task {task}")
    return models[task](config, twins=False)
