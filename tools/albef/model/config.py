"""The numbers that fix a model's shape, under the keys that checkpoints and packed files use."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

# CLIP's constants (RGB order), not ImageNet's, although the official vision encoder starts from DeiT.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ModelConfig:
    """A model's shape. Defaults: the published base size at 384 x 384. MLPs are four times as wide as their input."""

    image_size: int = 384  # pictures are resized to image_size x image_size
    patch_size: int = 16
    vision_width: int = 768
    vision_layers: int = 12
    vision_heads: int = 12
    text_width: int = 768
    text_layers: int = 12  # text encoder and multimodal encoder together; NLVR2 counts both layers of each pair: 18
    fusion_layer: int = 6  # the first layer that attends to the image
    text_heads: int = 12
    embed_dim: int = 256  # width of the contrastive features
    vocab_size: int = 30522
    max_positions: int = 512
    decoder_layers: int = 6  # answer decoder, VQA only
    gradcam_layer: int = 8  # the layer whose cross-attention makes the heatmap, counted over the whole stack
    max_words: int = 30
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        if self.vision_width % self.vision_heads or self.text_width % self.text_heads:
            raise ValueError("a width is not a multiple of its number of heads")
        if not 0 <= self.fusion_layer <= self.gradcam_layer < self.text_layers:
            raise ValueError("needs 0 <= fusion_layer <= gradcam_layer < text_layers")

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.image_size // self.patch_size

    @property
    def image_tokens(self) -> int:
        """Patches and the class token."""
        return self.grid * self.grid + 1

    @classmethod
    def from_dict(cls, values: dict) -> ModelConfig:
        """Builds a configuration from JSON values; an unknown key is an error."""
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown configuration keys: {', '.join(sorted(unknown))}")
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


def small_config(vocab_size: int) -> ModelConfig:
    """The shape of the small models that are trained on the small world: about two million parameters."""
    return ModelConfig(
        image_size=64, patch_size=8, vision_width=128, vision_layers=4, vision_heads=4, text_width=128, text_layers=5,
        fusion_layer=2, text_heads=4, embed_dim=64, vocab_size=vocab_size, max_positions=64, decoder_layers=2,
        gradcam_layer=3, max_words=30,
    )  # fmt: skip
