"""Pre-training: image-text contrast, matching with hard negatives, masked words, all with momentum distillation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from albef.model.config import ModelConfig
from albef.model.contrastive import ContrastiveModel, full_precision, soft_cross_entropy


def mask_words(
    ids: Tensor, *, probability: float, vocab_size: int, mask_id: int, cls_id: int, pad_id: int = 0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Chooses positions to predict: 80 % become [MASK], 10 % any random id, 10 % stay. Labels are -100 elsewhere."""

    def chance(p: float) -> Tensor:
        return torch.rand(ids.shape, generator=generator, device=ids.device) < p

    chosen = chance(probability) & (ids != pad_id) & (ids != cls_id)
    labels = ids.masked_fill(~chosen, -100)
    masked = chosen & chance(0.8)
    replaced = chosen & ~masked & chance(0.5)
    random_ids = torch.randint(vocab_size, ids.shape, generator=generator, device=ids.device)
    return torch.where(replaced, random_ids, ids.masked_fill(masked, mask_id)), labels


class PretrainModel(ContrastiveModel):
    """The pre-training model; official names ``text_encoder.bert.*`` and ``text_encoder.cls.*``."""

    def __init__(
        self, config: ModelConfig, *, mlm_probability: float = 0.15, cls_id: int = 101, mask_id: int = 103, **options
    ) -> None:
        super().__init__(config, language_head=True, **options)
        self.mlm_probability = mlm_probability
        self.cls_id = cls_id
        self.mask_id = mask_id

    def forward(
        self, pixels: Tensor, ids: Tensor, mask: Tensor, alpha: float, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The three losses of a batch. ``pixels`` [B, 3, R, R], ``ids`` and ``mask`` [B, T]."""
        with torch.no_grad():
            self.temp.clamp_(0.001, 0.5)
        batch = len(pixels)
        masked_ids, labels = mask_words(
            ids, probability=self.mlm_probability, vocab_size=self.config.vocab_size, mask_id=self.mask_id,
            cls_id=self.cls_id, generator=generator,
        )  # fmt: skip
        image_tokens, image = self.encode_image(pixels)
        # Plain and masked captions share one batch; so do the four fused batches below. Dropout apart, the numbers are
        # those of separate passes.
        text_tokens, masked_tokens = self.bert.text(torch.cat([ids, masked_ids]), mask.repeat(2, 1)).split(batch)
        text = self.text_feature(text_tokens)
        image_tokens_m, image_m, text_m = self.teacher(pixels, ids, mask)

        same = torch.eye(batch, dtype=torch.bool, device=pixels.device)
        hard = F.pad(same.to(image.dtype), (0, self.queue_size))
        contrastive, image_scores, text_scores = self.contrast(image, text, image_m, text_m, hard, alpha)
        self.enqueue(image_m, text_m)

        texts, images = self.matching_rows(image_scores, text_scores, same, generator)
        own = torch.arange(batch, device=pixels.device)
        fused = self.bert.fuse(
            torch.cat([text_tokens[texts], masked_tokens]), torch.cat([mask[texts], mask]), image_tokens,
            torch.cat([images, own]),
        )  # fmt: skip
        matching = self.matching_loss(fused[: 3 * batch, 0])
        masked = self._masked_loss(fused[3 * batch :], labels, masked_ids, mask, image_tokens_m, alpha)
        return {"ita": contrastive, "itm": matching, "mlm": masked}

    def _masked_loss(
        self, states: Tensor, labels: Tensor, masked_ids: Tensor, mask: Tensor, image_tokens_m: Tensor, alpha: float
    ) -> Tensor:
        """(1 - alpha) CE + alpha KD, both means over the labelled positions; zero if there are none."""
        chosen = labels != -100
        if not chosen.any():
            return states.sum() * 0
        logits = full_precision(self.text_encoder.cls(states[chosen]))
        loss = F.cross_entropy(logits, labels[chosen])
        if alpha > 0:
            with torch.no_grad():
                states_m = self.bert_m.multi_modal(masked_ids, mask, image_tokens_m)
                targets = full_precision(self.text_encoder_m.cls(states_m[chosen])).softmax(1)
            loss = (1 - alpha) * loss + alpha * soft_cross_entropy(logits, targets)
        return loss
