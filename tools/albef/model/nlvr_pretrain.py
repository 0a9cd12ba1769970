"""Text assignment, which prepares the two-picture encoder of NLVR2: which of two pictures does a caption describe."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from albef.model.bert import Bert, initialize_bert
from albef.model.config import ModelConfig
from albef.model.contrastive import full_precision, negative_weights
from albef.model.vision import VisionTransformer

TEMPERATURE = 0.07
"""Of the similarities that other pictures are drawn by; the parameter ``temp`` is not used."""


class NLVRPretrainModel(nn.Module):
    """Image encoder, two-picture BERT and a head over left (0), right (1), neither (2). No twins, no queues.

    ``vision_proj`` only chooses pictures, without a gradient; ``text_proj`` and ``temp`` are there for the checkpoint.
    """

    def __init__(
        self, config: ModelConfig, *, dropout: float = 0.1, initializer_range: float = 0.02, easy_negatives: float = 0.0
    ) -> None:
        super().__init__()
        self.config = config
        self.easy_negatives = easy_negatives
        self.visual_encoder = VisionTransformer(config, initializer_range)
        self.text_encoder = Bert(
            vocab_size=config.vocab_size, width=config.text_width, memory_width=config.vision_width,
            layers=config.text_layers, fusion_layer=config.fusion_layer, heads=config.text_heads,
            max_positions=config.max_positions, dropout=dropout, paired=True,
        )  # fmt: skip
        initialize_bert(self.text_encoder, initializer_range)
        self.vision_proj = nn.Linear(config.vision_width, config.embed_dim)
        self.text_proj = nn.Linear(config.text_width, config.embed_dim)
        self.temp = nn.Parameter(torch.tensor(TEMPERATURE))
        self.ta_head = nn.Linear(config.text_width, 3)

    @property
    def bert(self) -> Bert:
        return self.text_encoder

    @torch.no_grad()
    def assign(
        self, image_tokens: Tensor, generator: torch.Generator | None = None, true: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Pictures for the caption of each picture: rows [B, 2] (left, right) and labels [B].

        Two thirds of the captions meet their own picture and a similar one, on either side; a third meets two other
        pictures. ``true`` [B, B], by picture and caption, marks pictures that a caption describes as well. Needs B > 2.
        """
        batch = len(image_tokens)
        feature = F.normalize(full_precision(self.vision_proj(image_tokens[:, 0])), dim=-1)
        own = torch.eye(batch, dtype=torch.bool, device=feature.device)
        same = own if true is None else own | true.t()
        weights = negative_weights(feature @ feature.t() / TEMPERATURE, same, self.easy_negatives)
        # Where similarity leaves fewer than two pictures to draw, others serve: those that the caption does not describe first.
        for others in (~same, ~own):
            weights = torch.where((weights > 0).sum(1, keepdim=True) < 2, others.float(), weights)
        one, two = torch.multinomial(weights, 2, generator=generator).unbind(1)
        place = torch.arange(batch, device=feature.device)
        chance = torch.rand(batch, generator=generator, device=feature.device)
        labels = (chance * 3).long().clamp(max=2)
        left = torch.stack([place, one, one]).gather(0, labels[None])[0]
        right = torch.stack([one, place, two]).gather(0, labels[None])[0]
        return torch.stack([left, right], 1), labels

    def logits(self, image_tokens: Tensor, ids: Tensor, mask: Tensor | None, rows: Tensor) -> Tensor:
        """[B, 3] of captions [B, T] with their two pictures each, numbered by ``rows`` [B, 2]."""
        states = self.text_encoder.multi_modal(ids, mask, image_tokens, rows.unbind(1))
        return full_precision(self.ta_head(states[:, 0]))

    def forward(
        self, pixels: Tensor, ids: Tensor, mask: Tensor, generator: torch.Generator | None = None,
        true: Tensor | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """The loss of a batch of pictures [B, 3, R, R] with a caption each."""
        image_tokens = self.visual_encoder(pixels)
        rows, labels = self.assign(image_tokens, generator, true)
        return {"ta": F.cross_entropy(self.logits(image_tokens, ids, mask, rows), labels)}
