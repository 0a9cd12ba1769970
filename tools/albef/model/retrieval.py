"""Retrieval (and grounding) fine-tuning: contrast with positives by image identity, matching with hard negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from albef.model.config import ModelConfig
from albef.model.contrastive import ContrastiveModel


class RetrievalModel(ContrastiveModel):
    """The retrieval and grounding model; official names ``text_encoder.*`` without ``bert.``, no language head."""

    def __init__(self, config: ModelConfig, *, twins: bool = True, **options) -> None:
        super().__init__(config, language_head=False, twins=twins, **options)
        if twins:
            self.register_buffer("idx_queue", torch.full((1, self.queue_size), -100))

    def forward(
        self, pixels: Tensor, ids: Tensor, mask: Tensor, identity: Tensor, alpha: float,
        generator: torch.Generator | None = None, true: Tensor | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Both losses of a batch; ``identity`` [B] numbers the pictures: two captions of one are no negatives.

        ``true`` [B, B] marks further captions (columns) that are true of a picture (rows), for the matching loss alone.
        """
        image_tokens, image = self.encode_image(pixels)
        text_tokens, text = self.encode_text(ids, mask)
        _, image_m, text_m = self.teacher(pixels, ids, mask)

        same = identity[:, None] == identity[None, :]
        positives = (identity[:, None] == torch.cat([identity[None], self.idx_queue], dim=1)).to(image.dtype)
        hard = positives / positives.sum(1, keepdim=True)
        contrastive, image_scores, text_scores = self.contrast(image, text, image_m, text_m, hard, alpha)
        self.idx_queue[0, self.enqueue(image_m, text_m)] = identity

        if true is not None:
            same = same | true
        texts, images = self.matching_rows(image_scores, text_scores, same, generator)
        fused = self.bert.fuse(text_tokens[texts], mask[texts], image_tokens, images)
        return {"ita": contrastive, "itm": self.matching_loss(fused[:, 0])}
