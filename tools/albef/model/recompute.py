"""Gradient checkpointing: blocks that keep their input alone and run forward once more when gradients are wanted."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Recomputable(nn.Module):
    """A block that can be told to forget its activations (``recompute``): less memory, a third more time, equal gradients.

    Random numbers of the forward pass are replayed, so that dropout falls on the same places.
    """

    recompute = False

    def __call__(self, *arguments: Any) -> Any:
        if self.recompute and self.training and torch.is_grad_enabled():
            return checkpoint(super().__call__, *arguments, use_reentrant=False)
        return super().__call__(*arguments)


def recompute_blocks(model: nn.Module, on: bool = True) -> None:
    """Sets it for every block of a model; twins run without gradients and are not concerned."""
    for module in model.modules():
        if isinstance(module, Recomputable):
            module.recompute = on
