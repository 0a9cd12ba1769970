"""Sentences judged by pictures: visual entailment (one picture, three classes) and NLVR2 (two pictures, two classes)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from albef.model.bert import Bert, initialize_bert
from albef.model.config import ModelConfig
from albef.model.contrastive import Momentum, full_precision, soft_cross_entropy
from albef.model.vision import VisionTransformer


class SentenceClassifier(nn.Module, Momentum):
    """Image encoder, BERT, and a classifier on the fused class token; official names ``text_encoder.*``, ``cls_head.*``."""

    twin_names = ("visual_encoder", "text_encoder", "cls_head")
    classes: int
    pictures: int  # that a sentence speaks of

    def __init__(
        self, config: ModelConfig, *, twins: bool = True, dropout: float = 0.1, initializer_range: float = 0.02
    ) -> None:
        super().__init__()
        self.config = config
        self.visual_encoder = VisionTransformer(config, initializer_range)
        self.text_encoder = Bert(
            vocab_size=config.vocab_size, width=config.text_width, memory_width=config.vision_width,
            layers=config.text_layers, fusion_layer=config.fusion_layer, heads=config.text_heads,
            max_positions=config.max_positions, dropout=dropout, paired=self.pictures == 2,
        )  # fmt: skip
        initialize_bert(self.text_encoder, initializer_range)
        width = config.text_width
        self.cls_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.classes))
        if twins:
            self.build_twins()

    @property
    def bert(self) -> Bert:
        return self.text_encoder

    def rows_of(self, sentences: int, device: torch.device | None = None) -> Tensor:
        """The official layout of a batch, [B, pictures]: the first pictures of all sentences, then the second ones."""
        return torch.arange(sentences * self.pictures, device=device).view(self.pictures, sentences).t()

    def states(self, image_tokens: Tensor, ids: Tensor, mask: Tensor | None, rows: Tensor) -> Tensor:
        """[B, T, D]: the whole encoder over sentences [B, T] and their pictures, numbered by ``rows`` [B, pictures]."""
        return self.text_encoder.multi_modal(ids, mask, image_tokens, rows.unbind(1))

    def logits(self, pictures: Tensor, ids: Tensor, mask: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """[B, classes]. Each of the ``pictures`` is encoded once; ``rows`` [B, pictures] says which sentence needs it.

        Pictures are pixels [P, 3, R, R], or image tokens [P, S, D] where they are known already.
        """
        rows = self.rows_of(len(ids), ids.device) if rows is None else rows
        image_tokens = pictures if pictures.dim() == 3 else self.visual_encoder(pictures)
        return full_precision(self.cls_head(self.states(image_tokens, ids, mask, rows)[:, 0]))

    @torch.no_grad()
    def teacher_logits(self, pixels: Tensor, ids: Tensor, mask: Tensor, rows: Tensor | None = None) -> Tensor:
        """The twins' logits [B, classes]."""
        rows = self.rows_of(len(ids), ids.device) if rows is None else rows
        states = self.text_encoder_m.multi_modal(ids, mask, self.visual_encoder_m(pixels), rows.unbind(1))
        return full_precision(self.cls_head_m(states[:, 0]))

    def forward(
        self, pictures: Tensor, ids: Tensor, mask: Tensor, labels: Tensor, alpha: float, rows: Tensor | None = None
    ) -> dict[str, Tensor]:
        """(1 - alpha) cross-entropy + alpha distillation over a batch with ``labels`` [B]; the teacher needs pixels."""
        logits = self.logits(pictures, ids, mask, rows)
        loss = F.cross_entropy(logits, labels)
        if hasattr(self, "visual_encoder_m"):
            self.update_twins()
        if alpha > 0:
            targets = self.teacher_logits(pictures, ids, mask, rows).softmax(1)
            loss = (1 - alpha) * loss + alpha * soft_cross_entropy(logits, targets)
        return {"classification": loss}


class EntailmentModel(SentenceClassifier):
    """Visual entailment: contradiction 0, neutral 1, entailment 2."""

    classes, pictures = 3, 1


class NLVRModel(SentenceClassifier):
    """NLVR2: is the sentence true (1) of the left and the right picture together, or not (0).

    The fusing layers form pairs, the first for the left picture, the second for the right one; ``text_layers`` counts both.
    The official script copies student to twins before it loads the text-assignment checkpoint, which has no twins: its
    teacher starts from the constructor's weights and only catches up by the exponential mean (half-life 138 steps). See
    ``twins_from_constructor`` in tools/configs/README.md.
    """

    classes, pictures = 2, 2
