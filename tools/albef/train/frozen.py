"""A frozen image encoder sees every picture once: its image tokens are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn


class RememberedTokens:
    """Image tokens of pictures by their pixels, as an encoder that is not trained gives them.

    Pictures beyond ``most_bytes`` of tokens, and those that augmentation changes every time, are encoded anew. Under
    autocast tokens are kept in its type, which is what the next product makes of them anyway.
    """

    def __init__(self, encoder: nn.Module, normalize: Callable[[Tensor], Tensor], most_bytes: int = 2**30) -> None:
        self.encoder, self.normalize, self.most_bytes = encoder, normalize, most_bytes
        self.tokens: dict[bytes, Tensor] = {}
        self.bytes = 0

    @torch.no_grad()
    def __call__(self, raw: Tensor) -> Tensor:
        """uint8 pixels [P, R, R, 3] -> image tokens [P, S, D], without a gradient."""
        keys = [hashlib.blake2b(picture.cpu().numpy().tobytes(), digest_size=16).digest() for picture in raw]
        new = [row for row, key in enumerate(keys) if key not in self.tokens]
        fresh: dict[bytes, Tensor] = {}
        if new:
            tokens = self.encoder(self.normalize(raw[new]))
            if torch.is_autocast_enabled(raw.device.type):
                tokens = tokens.to(torch.get_autocast_dtype(raw.device.type))
            for row, own in zip(new, tokens, strict=True):
                size = own.numel() * own.element_size()
                keep = self.bytes + size <= self.most_bytes
                if keep and keys[row] not in self.tokens:
                    self.tokens[keys[row]] = own.clone()
                    self.bytes += size
                fresh[keys[row]] = own
        return torch.stack([self.tokens.get(key, fresh.get(key)) for key in keys])


def remembers(model: nn.Module) -> bool:
    """Whether a model's image tokens are the same in every step: a frozen encoder, and no twin of it."""
    encoder = model.visual_encoder
    return not hasattr(model, "visual_encoder_m") and not any(p.requires_grad for p in encoder.parameters())
