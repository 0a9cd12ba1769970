"""From one task's checkpoint to another task's model: the official key conversions, noting what became of each name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor

from albef.model.config import ModelConfig
from albef.model.vision import interpolate_positions

_TEXT_ENCODERS = ("text_encoder", "text_encoder_m")


@dataclass
class Conversion:
    """Tensors under the names of a task's model, and where they came from."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # the checkpoint's name of each
    interpolated: dict[str, tuple[int, int]] = field(default_factory=dict)  # grid before and after
    given: list[str] = field(default_factory=list)  # all names of the checkpoint

    def add(self, name: str, source: str, tensor: Tensor) -> None:
        self.tensors[name] = tensor
        self.sources[name] = source

    def interpolate(self, name: str, grid: int) -> None:
        """Resamples the positions ``name`` to ``grid``, where it is there with another one."""
        if name not in self.tensors:
            return
        patches = self.tensors[name].shape[1] - 1
        old = math.isqrt(patches)
        if old * old != patches:
            raise ValueError(f"{self.sources[name]}: {patches} positions besides the class token are no square")
        if old != grid:
            self.tensors[name] = interpolate_positions(self.tensors[name], grid)
            self.interpolated[name] = (old, grid)


def convert(tensors: dict[str, Tensor], task: str, config: ModelConfig) -> Conversion:
    """The official conversion on load for ``task`` ("pretrain", "retrieval", …) at ``config``'s resolution.

    Positions are interpolated. In pre-training names stay. Elsewhere the text encoder loses its ``bert.``; VQA's answer
    decoder starts from fusion layers, embeddings and language head; for NLVR2 and its text assignment each fusion layer
    of a one-picture encoder makes a pair. A checkpoint of the task itself passes unchanged. A classifier over other classes is
    left behind.
    """
    out = Conversion(given=list(tensors))
    decoder = task == "vqa" and not any(name.startswith("text_decoder.") for name in tensors)
    pairs = task in ("nlvr", "nlvr_pretrain") and _makes_pairs(tensors, config)
    classes = {"entailment": 3, "nlvr": 2}.get(task)
    for name, tensor in tensors.items():
        if classes and _classes(name, tensors) not in (None, classes):
            continue
        for target in _targets(name, task, config, decoder=decoder, pairs=pairs):
            out.add(target, name, tensor)
    for name in ("visual_encoder.pos_embed", "visual_encoder_m.pos_embed"):
        out.interpolate(name, config.grid)
    return out


def _classes(name: str, tensors: dict[str, Tensor]) -> int | None:
    """How many classes the classifier has that ``name`` belongs to; None for other tensors."""
    head = name.split(".")[0]
    weight = tensors.get(f"{head}.2.weight") if head in ("cls_head", "cls_head_m") else None
    return None if weight is None else len(weight)


def _targets(name: str, task: str, config: ModelConfig, *, decoder: bool, pairs: bool) -> Iterator[str]:
    head, _, rest = name.partition(".")
    if task == "pretrain" or head not in _TEXT_ENCODERS:
        yield name
        return
    rest = rest.removeprefix("bert.")
    if decoder:
        yield from _decoder_targets(head.replace("encoder", "decoder"), rest, config)
        if rest.startswith("cls."):
            return
    layer = _layer(rest)
    if pairs and layer is not None and layer >= config.fusion_layer:
        tail = rest.split(".", 3)[3]
        first = config.fusion_layer + 2 * (layer - config.fusion_layer)
        yield f"{head}.encoder.layer.{first}.{tail}"
        yield f"{head}.encoder.layer.{first + 1}.{tail}"
    else:
        yield f"{head}.{rest}"


def _decoder_targets(decoder: str, rest: str, config: ModelConfig) -> Iterator[str]:
    layer = _layer(rest)
    if layer is not None:
        number = layer - config.fusion_layer
        if 0 <= number < config.decoder_layers:
            yield f"{decoder}.bert.encoder.layer.{number}.{rest.split('.', 3)[3]}"
    elif rest.startswith("embeddings."):
        yield f"{decoder}.bert.{rest}"
    elif rest.startswith("cls."):
        yield f"{decoder}.{rest}"


def _layer(rest: str) -> int | None:
    """The number in ``encoder.layer.<number>.…``."""
    return int(rest.split(".")[2]) if rest.startswith("encoder.layer.") else None


def _makes_pairs(tensors: dict[str, Tensor], config: ModelConfig) -> bool:
    """Whether the checkpoint's encoder is that of one picture, half of whose pairs are still to be made."""
    texts = [name.removeprefix("text_encoder.").removeprefix("bert.") for name in tensors if name.startswith("text_encoder.")]
    layers = 1 + max((number for number in map(_layer, texts) if number is not None), default=-1)
    if layers in (0, config.text_layers):
        return False
    needed = (config.text_layers + config.fusion_layer) // 2
    if layers != needed:
        raise ValueError(
            f"the checkpoint's text encoder has {layers} layers; a two-picture encoder of {config.text_layers} layers is made "
            f"from {needed} or {config.text_layers}"
        )
    return True
