"""Where in the picture a text is seen, by Grad-CAM: a score's gradient over attention probabilities, mean over heads of
A * max(g, 0). Three scores: the matching logit, the similarity of the features, and the score of an answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from albef.model.bert import Bert
from albef.model.contrastive import ContrastiveModel
from albef.model.vqa import VQAModel


@contextmanager
def recording(core: nn.Module) -> Iterator[nn.Module]:
    """Has an attention keep its probabilities in ``recorded``, with gradients on."""
    core.record = True
    try:
        with torch.enable_grad():
            yield core
    finally:
        core.record, core.recorded = False, None


def cross_attention(bert: Bert, layer: int) -> nn.Module:
    """The cross-attention of a layer, counted over the whole stack."""
    if not bert.fusion_layer <= layer < len(bert.encoder.layer):
        raise ValueError(f"layer {layer} has no cross-attention")
    return bert.encoder.layer[layer].crossattention.self


def record_cross_attention(
    model: ContrastiveModel, image_tokens: Tensor, ids: Tensor, mask: Tensor | None, layer: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities of ``layer``'s cross-attention, their gradient, both [B, H, T, S], and the matching logits [B, 2].

    The gradient is that of the raw match logit, summed over the batch, which keeps samples apart. ``layer`` counts over
    the whole stack. Run in evaluation mode.
    """
    core = cross_attention(model.bert, layer)
    with torch.no_grad():
        tokens = model.bert.text(ids, mask)
    with recording(core):
        # The input asks for a gradient, so that frozen weights serve as well.
        logits = model.match_logits(tokens.requires_grad_(), mask, image_tokens.detach())
        probabilities = core.recorded
        (gradient,) = torch.autograd.grad(logits[:, 1].sum(), probabilities)
    return probabilities.detach(), gradient, logits.detach()


def token_heatmaps(
    model: ContrastiveModel, image_tokens: Tensor, ids: Tensor, mask: Tensor | None, layer: int | None = None
) -> Tensor:
    """A map for each token, [B, T, G, G]: the mean over heads of A * max(dy/dA, 0) without the image's class token.

    Rows of padding are zero. ``layer`` defaults to the configuration's. The text's map is the mean over all T rows,
    class token and padding included.
    """
    layer = model.config.gradcam_layer if layer is None else layer
    probabilities, gradient, _ = record_cross_attention(model, image_tokens, ids, mask, layer)
    return _token_maps(probabilities, gradient, mask, model.config.grid)


def itc_block(model: ContrastiveModel) -> int:
    """The image encoder's block whose attention is taken: ``gradcam_layer``, or the last one if there are fewer."""
    return min(model.config.gradcam_layer, model.config.vision_layers - 1)


def itc_heatmap(
    model: ContrastiveModel, pixels: Tensor, ids: Tensor, mask: Tensor | None, block: int | None = None
) -> Tensor:
    """A map for each pair of picture and text, [B, G, G], by the cosine of their features.

    The attention is that of the class token to the patches in a block of the image encoder; the official score divides the
    cosine by the temperature, which only changes the map's scale. ``block`` defaults to ``itc_block``.
    """
    block = itc_block(model) if block is None else block
    if not 0 <= block < model.config.vision_layers:
        raise ValueError(f"the image encoder has no block {block}")
    core = model.visual_encoder.blocks[block].attn
    with torch.no_grad():
        _, text = model.encode_text(ids, mask)
    with recording(core):
        _, image = model.encode_image(pixels.detach().clone().requires_grad_())
        probabilities = core.recorded
        (gradient,) = torch.autograd.grad((image * text).sum(), probabilities)
    maps = (probabilities.detach() * gradient.clamp(min=0))[:, :, 0, 1:].mean(1)
    return maps.unflatten(1, (model.config.grid, model.config.grid))


def answer_heatmaps(
    model: VQAModel, image_tokens: Tensor, ids: Tensor, mask: Tensor | None, answer_ids: Tensor, answer_mask: Tensor,
    layer: int | None = None,
) -> Tensor:  # fmt: skip
    """A map for each token of the questions, [B, T, G, G], by the score of one answer each ([B, L], ``[CLS]`` … ``[SEP]``).

    The score is the one by which answers are ranked: the log-probability of the first token after ``[CLS]`` and of all
    tokens, so that the first counts twice. The attention is the question encoder's.
    """
    layer = model.config.gradcam_layer if layer is None else layer
    core = cross_attention(model.bert, layer)
    with torch.no_grad():
        tokens = model.bert.text(ids, mask)
    with recording(core):
        states = model.bert.fuse(tokens.requires_grad_(), mask, image_tokens.detach())
        probabilities = core.recorded
        score = answer_scores(model, states, torch.ones_like(ids) if mask is None else mask, answer_ids, answer_mask)
        (gradient,) = torch.autograd.grad(score.sum(), probabilities)
    return _token_maps(probabilities.detach(), gradient, mask, model.config.grid)


def answer_scores(model: VQAModel, states: Tensor, mask: Tensor, answer_ids: Tensor, answer_mask: Tensor) -> Tensor:
    """The score [B] of one answer for each of the questions [B, T, D]."""
    decoder, wanted = model.text_decoder, answer_ids[:, 1:]
    first = decoder.cls(decoder.bert.decode(answer_ids[:, :1], None, states, mask))
    hidden = decoder.cls(decoder.bert.decode(answer_ids[:, :-1], answer_mask[:, :-1], states, mask))
    tokens = log_probability(hidden, wanted) * answer_mask[:, 1:]
    return log_probability(first, wanted[:, :1])[:, 0] + tokens.sum(1)


def log_probability(logits: Tensor, ids: Tensor) -> Tensor:
    """The log-probability [..., T] of given words under logits [..., T, V].

    Written so that its gradient keeps its digits where the probability is close to 1, as it is for a sure answer:
    ``log_softmax`` computes 1 - p there.
    """
    others = logits.scatter(-1, ids[..., None], -math.inf).logsumexp(-1)
    return -F.softplus(others - logits.gather(-1, ids[..., None])[..., 0])


def _token_maps(probabilities: Tensor, gradient: Tensor, mask: Tensor | None, grid: int) -> Tensor:
    maps = (probabilities * gradient.clamp(min=0))[..., 1:].mean(1)
    if mask is not None:
        maps = maps * mask[:, :, None]
    return maps.unflatten(2, (grid, grid))
