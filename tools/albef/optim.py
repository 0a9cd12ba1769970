"""AdamW with the official decay groups, and learning rates."""

from __future__ import annotations

import math

import torch
from torch import nn


def build_optimizer(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """One learning rate; vectors and biases are not decayed, everything else is (``temp``, embeddings too)."""
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (plain if parameter.dim() == 1 or name.endswith(".bias") else decayed).append(parameter)
    groups = [{"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": weight_decay}]
    return torch.optim.AdamW(groups, lr=lr, fused=True)


def step_rate(
    epoch: int, iteration: int, *, lr: float, min_lr: float, warmup_lr: float, warmup_epochs: int, epochs: int
) -> float:
    """The published schedule: piecewise constant. ``warmup_epochs`` are units of 100 iterations inside epoch 0."""
    if epoch > 0:
        return min_lr + (lr - min_lr) * (1 + math.cos(math.pi * epoch / epochs)) / 2
    unit = min(iteration // 100, warmup_epochs)
    return lr if unit == warmup_epochs else warmup_lr + unit * (lr - warmup_lr) / warmup_epochs


def smooth_rate(progress: float, *, lr: float, min_lr: float, warmup: float) -> float:
    """Linear warm-up over the first ``warmup`` of the run, then a cosine to ``min_lr``; ``progress`` is 0 to 1."""
    if progress < warmup:
        return lr * max(progress / warmup, 0.01)
    return min_lr + (lr - min_lr) * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2


def ramped_alpha(alpha: float, epoch: int, iteration: int, iterations: int) -> float:
    """Distillation weight: linear from 0 during epoch 0, then constant."""
    return alpha * min(1.0, iteration / iterations) if epoch == 0 else alpha
