"""The whole state of a run in one file, written in one piece: what a killed run needs to end with the same weights.

Safetensors: ``model/<name>`` holds parameters, twins and queues, ``optimizer/<name>/<moment>`` AdamW's moments; the metadata
hold the position as JSON. No random numbers are kept: the trainer draws them from seed, step and micro-batch alone.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

FORMAT = 1
NAME = "state.safetensors"


class StateError(ValueError):
    """A state that cannot be resumed; one line that names the file and what differs."""


@dataclass
class Position:
    """Where a run is: what it has done, and the place in the data that comes next."""

    run: dict[str, Any]  # what must be the same when it goes on: task, settings, seed, length, data
    step: int = 0  # optimiser steps done
    epoch: int = 0
    batch: int = 0  # steps done in this epoch
    samples: int = 0
    seconds: float = 0.0  # of training, over all parts of the run
    log_bytes: int = 0  # length of the log when this was written
    replaced: list[int] = field(default_factory=list)  # items that could not be had
    best: float | None = None  # highest validation score so far
    finished: bool = False


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers under one name each, tied ones once."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def write_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, position: Position) -> None:
    """Writes beside ``path``, forces it to the disk, then renames: a reader finds the old state or the new one, whole."""
    tensors = {f"model/{name}": tensor.detach().contiguous() for name, tensor in named_tensors(model).items()}
    for name, parameter in model.named_parameters():
        for moment, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{name}/{moment}"] = value.detach().contiguous()
    temporary = path.with_suffix(".partial")
    save_file(tensors, temporary, {"albef.run": json.dumps({"format": FORMAT} | asdict(position))})
    for place in (temporary, path.parent):
        if place == path.parent:
            temporary.replace(path)
        handle = os.open(place, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def read_position(path: Path) -> Position:
    """The position alone."""
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads((file.metadata() or {})["albef.run"])
    except Exception as error:
        raise StateError(f"{path}: not the state of a run: {' '.join(str(error).split())}") from error
    if values.pop("format", None) != FORMAT:
        raise StateError(f"{path}: written by another version of the trainer")
    return Position(**values)


@torch.no_grad()
def read_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Fills ``model`` and ``optimizer``; every tensor must be there, in its shape, and nothing else."""
    expected = named_tensors(model)
    parameters = dict(model.named_parameters())
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        stored = {name.removeprefix("model/") for name in names if name.startswith("model/")}
        if stored != set(expected):
            raise StateError(f"{path}: tensors of another model: {sorted(stored ^ set(expected))[0]!r} is on one side only")
        for name, tensor in expected.items():
            value = file.get_tensor(f"model/{name}")
            if value.shape != tensor.shape:
                raise StateError(f"{path}: {name!r} has shape {list(value.shape)}, expected {list(tensor.shape)}")
            tensor.copy_(value)
        for key in names - {f"model/{name}" for name in stored}:
            _, name, moment = key.split("/")
            parameter = parameters[name]
            value = file.get_tensor(key)
            # The fused optimiser keeps its count of steps beside the parameters, in float32.
            optimizer.state[parameter][moment] = value.to(parameter.device).clone()
