"""Where in the picture a text is seen: Grad-CAM of the matching logit over a layer's cross-attention."""

from __future__ import annotations

import torch
from torch import Tensor

from albef.model.contrastive import ContrastiveModel


def record_cross_attention(
    model: ContrastiveModel, image_tokens: Tensor, ids: Tensor, mask: Tensor | None, layer: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities of ``layer``'s cross-attention, their gradient, both [B, H, T, S], and the matching logits [B, 2].

    The gradient is that of the raw match logit, summed over the batch, which keeps samples apart. ``layer`` counts over
    the whole stack. Run in evaluation mode.
    """
    if not model.bert.fusion_layer <= layer < len(model.bert.encoder.layer):
        raise ValueError(f"layer {layer} has no cross-attention")
    core = model.bert.encoder.layer[layer].crossattention.self
    with torch.no_grad():
        tokens = model.bert.text(ids, mask)
    core.record = True
    try:
        with torch.enable_grad():
            # The input asks for a gradient, so that frozen weights serve as well.
            logits = model.match_logits(tokens.requires_grad_(), mask, image_tokens.detach())
            probabilities = core.recorded
            (gradient,) = torch.autograd.grad(logits[:, 1].sum(), probabilities)
    finally:
        core.record, core.recorded = False, None
    return probabilities.detach(), gradient, logits.detach()


def token_heatmaps(
    model: ContrastiveModel, image_tokens: Tensor, ids: Tensor, mask: Tensor | None, layer: int | None = None
) -> Tensor:
    """A map for each token, [B, T, G, G]: the mean over heads of A * max(dy/dA, 0) without the image's class token.

    Rows of padding are zero. ``layer`` defaults to the configuration's. The text's map is the mean over all T rows,
    class token and padding included.
    """
    config = model.config
    layer = config.gradcam_layer if layer is None else layer
    probabilities, gradient, _ = record_cross_attention(model, image_tokens, ids, mask, layer)
    maps = (probabilities * gradient.clamp(min=0))[..., 1:].mean(1)
    if mask is not None:
        maps = maps * mask[:, :, None]
    return maps.unflatten(2, (config.grid, config.grid))
