"""ITM Grad-CAM by autograd: where in a picture a text is, by the gradient of the match logit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from albef.model.contrastive import ContrastiveModel


def gradcam(model: ContrastiveModel, image_tokens: Tensor, ids: Tensor, layer: int) -> Tensor:
    """Token maps [T, h, w] of one text [T] on one picture's tokens [S, D] at a cross-attention ``layer``.

    The head mean of A * max(dy/dA, 0) with A the probabilities and y the match logit; the key of the class token is dropped.
    """
    attention = model.bert.encoder.layer[layer].crossattention.self
    attention.record = True
    try:
        with torch.enable_grad():
            states = model.bert.multi_modal(ids[None], None, image_tokens[None])
            score = model.itm_head(states[:, 0])[0, 1]
            probabilities = attention.recorded
            (gradient,) = torch.autograd.grad(score, probabilities)
    finally:
        attention.record = False
        attention.recorded = None
    maps = (probabilities * gradient.clamp_min(0))[0, :, :, 1:].mean(0)
    side = model.config.grid
    return maps.detach().view(len(ids), side, side)


def upsample(heatmap: Tensor, width: int, height: int) -> Tensor:
    """[h, w] -> [height, width]: bicubic with a = -0.75, as box ranking is defined on it."""
    return F.interpolate(heatmap[None, None], size=(height, width), mode="bicubic", align_corners=False)[0, 0]
