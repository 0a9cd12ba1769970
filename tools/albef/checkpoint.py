"""Checkpoints: the official ``.pth`` layouts, our safetensors, and the key conversions between tasks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from albef.model.config import ModelConfig
from albef.model.vision import interpolate_positions

_BUFFERS = ("image_queue", "text_queue", "idx_queue", "queue_ptr")


@dataclass
class Checkpoint:
    """Tensors under official names, with what the file says about them."""

    tensors: dict[str, Tensor]
    config: ModelConfig | None = None
    vocabulary: list[str] | None = None
    answers: list[str] | None = None
    task: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads ``.safetensors`` or ``.pth``, wrapped (``{"model": ...}``) or flat."""
    if str(path).endswith(".safetensors"):
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return Checkpoint(
            tensors,
            ModelConfig.from_dict(json.loads(metadata["albef.config"])) if "albef.config" in metadata else None,
            json.loads(metadata["albef.vocabulary"]) if "albef.vocabulary" in metadata else None,
            json.loads(metadata["albef.answers"]) if "albef.answers" in metadata else None,
            metadata.get("albef.task"),
            metadata,
        )
    content = torch.load(path, map_location="cpu", weights_only=True)
    return Checkpoint(content.get("model", content))


def is_twin_or_queue(name: str) -> bool:
    return name.split(".")[0].endswith("_m") or name in _BUFFERS


def student_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What a stripped checkpoint holds: the student under official names, tied tensors once, no position numbers."""
    skipped = ("position_ids", "predictions.decoder.weight", "predictions.decoder.bias")
    return {
        name: tensor.detach().contiguous()
        for name, tensor in model.state_dict().items()
        if not is_twin_or_queue(name) and not name.endswith(skipped)
    }


def save_checkpoint(
    path: str | Path, model: nn.Module, task: str, vocabulary: list[str], answers: list[str] | None = None
) -> None:
    """Writes the student as safetensors with configuration, vocabulary and answers in the metadata."""
    metadata = {
        "albef.task": task, "albef.config": model.config.to_json(),
        "albef.vocabulary": json.dumps(vocabulary, ensure_ascii=False),
    }  # fmt: skip
    if answers is not None:
        metadata["albef.answers"] = json.dumps(answers, ensure_ascii=False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    save_file(student_tensors(model), temporary, metadata)
    temporary.rename(path)


def convert(tensors: dict[str, Tensor], task: str, config: ModelConfig) -> dict[str, Tensor]:
    """The official key conversions for fine-tuning ``task`` ("pretrain": names stay) at ``config``'s resolution."""
    out = dict(tensors)
    for name in ("visual_encoder.pos_embed", "visual_encoder_m.pos_embed"):
        if name in out:
            out[name] = interpolate_positions(out[name], config.grid)
    if task == "pretrain":
        return out
    if task == "vqa" and not any(name.startswith("text_decoder.") for name in out):
        out.update(_decoder_from_encoder(out, config))
    return {
        name if name.startswith("text_decoder") else name.replace("bert.", ""): tensor for name, tensor in out.items()
    }


def _decoder_from_encoder(tensors: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The answer decoder starts from the fusion layers, the embeddings and the language head."""
    out = {}
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".")
        if head not in ("text_encoder", "text_encoder_m"):
            continue
        decoder = head.replace("encoder", "decoder")
        rest = rest.removeprefix("bert.")
        if rest.startswith("encoder.layer."):
            _, _, number, tail = rest.split(".", 3)
            layer = int(number) - config.fusion_layer
            if 0 <= layer < config.decoder_layers:
                out[f"{decoder}.bert.encoder.layer.{layer}.{tail}"] = tensor
        elif rest.startswith("embeddings."):
            out[f"{decoder}.bert.{rest}"] = tensor
        elif rest.startswith("cls."):
            out[f"{decoder}.{rest}"] = tensor
    return out


@dataclass
class LoadReport:
    """What a load left out: parameters of the model without a tensor, and tensors without a place."""

    missing: list[str]
    unexpected: list[str]


def load_into(model: nn.Module, tensors: dict[str, Tensor]) -> LoadReport:
    """Loads what matches. Tied names and position numbers count as present; a wrong shape is an error."""
    result = model.load_state_dict(tensors, strict=False)
    implied = ("position_ids", "predictions.decoder.weight", "predictions.decoder.bias")
    missing = [name for name in result.missing_keys if not name.endswith(implied)]
    return LoadReport(missing, list(result.unexpected_keys))


def load_student(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Loads a checkpoint that must hold every student parameter; twins and queues may be absent or superfluous."""
    report = load_into(model, tensors)
    lost = [name for name in report.missing if not is_twin_or_queue(name)]
    if lost:
        raise ValueError(f"the checkpoint lacks {len(lost)} tensors of the model, first {lost[0]}")
