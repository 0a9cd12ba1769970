"""The vision transformer: patches, pre-norm blocks, a final LayerNorm over all tokens."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from albef.model.attention import attend
from albef.model.config import ModelConfig
from albef.model.recompute import Recomputable

EPSILON = 1e-6


class PatchEmbed(nn.Module):
    """Cuts a picture into patches and projects each: a convolution whose stride is its kernel size."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.vision_width, config.patch_size, config.patch_size)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, R, R] -> [B, G*G, D], patches row by row."""
        batch, channels, height, width = pixels.shape
        p = self.proj.kernel_size[0]
        # A matrix product over flattened (channel, y, x) patches: the convolution's numbers, and faster on a CPU.
        patches = pixels.view(batch, channels, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
        return self.project(patches.reshape(batch, -1, channels * p * p))

    def project(self, patches: Tensor) -> Tensor:
        """Flattened patches [B, G*G, 3*p*p] -> [B, G*G, D]."""
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection laid out [3][heads][d].

    ``recorded`` keeps the probabilities [B, H, T, T] when ``record`` is set.
    """

    attend = staticmethod(attend)

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.record = False
        self.recorded: Tensor | None = None
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if self.record:
            self.recorded = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
            mixed = self.recorded @ v
        else:
            mixed = self.attend(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class MLP(nn.Module):
    activation = staticmethod(F.gelu)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class Block(Recomputable):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """[B, 3, R, R] normalised pixels -> [B, 1 + G*G, D] image tokens, the class token first."""

    def __init__(self, config: ModelConfig, initializer_range: float = 0.02) -> None:
        super().__init__()
        width = config.vision_width
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.image_tokens, width))
        self.blocks = nn.ModuleList(Block(width, config.vision_heads) for _ in range(config.vision_layers))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self._initialize(initializer_range)

    def _initialize(self, std: float) -> None:
        # Truncated normals, biases zero; the patch convolution keeps PyTorch's default.
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=std)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embed(pixels)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


def interpolate_positions(positions: Tensor, grid: int) -> Tensor:
    """Resamples positions [1, 1 + g*g, D] to another grid: bicubic (a = -0.75), no antialiasing, class token kept."""
    old = int((positions.shape[1] - 1) ** 0.5)
    if old == grid:
        return positions
    width = positions.shape[2]
    patches = positions[:, 1:].reshape(1, old, old, width).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, size=(grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
