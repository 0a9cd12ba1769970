"""Checkpoint files: the official ``.pth`` layouts and our safetensors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from albef.model.config import ModelConfig

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
    content = content.get("model", content)
    # DistributedDataParallel's own prefix.
    return Checkpoint({name.removeprefix("module."): tensor for name, tensor in content.items()})


def is_twin_or_queue(name: str) -> bool:
    return name.split(".")[0].endswith("_m") or name in _BUFFERS


def shared_names(model: nn.Module) -> dict[str, str]:
    """Second names of tensors that a model holds once, with their first names.

    The language head's matrix is the word embeddings, its bias has two names, and NLVR2's pairs of layers share keys and
    values. Official files hold both names.
    """
    first: dict[int, str] = {}
    state = model.state_dict(keep_vars=True)
    return {name: first[id(tensor)] for name, tensor in state.items() if first.setdefault(id(tensor), name) != name}


def student_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What a stripped checkpoint holds: the student under official names, shared tensors once, no position numbers."""
    shared = shared_names(model)
    return {
        name: tensor.detach().contiguous()
        for name, tensor in model.state_dict().items()
        if not is_twin_or_queue(name) and name not in shared and not name.endswith("position_ids")
    }


def save_official(path: str | Path, model: nn.Module, *, wrapped: bool = True, **more: object) -> None:
    """Writes ``.pth`` as the official trainer does: ``{"model": every tensor, twins and queues too}`` and what is given.

    Not ``wrapped``: the tensors alone, as most released files. Shared tensors stand under both names and are stored once.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    torch.save({"model": model.state_dict(), **more} if wrapped else model.state_dict(), temporary)
    temporary.rename(path)


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
    temporary.write_bytes(with_sorted_metadata(save(student_tensors(model), metadata)))
    temporary.rename(path)


def with_sorted_metadata(content: bytes) -> bytes:
    """The same safetensors file with its metadata in the order of their keys: the library writes them in a random one.

    Equal runs then end with equal files, and digests of files mean something.
    """
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header = {"__metadata__": dict(sorted(header.pop("__metadata__", {}).items()))} | header
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight, as the library aligns them
    return len(text).to_bytes(8, "little") + text + content[8 + length :]
