"""What pre-training and retrieval share: contrastive features, feature queues, momentum twins, hard negatives."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from albef.model.bert import Bert, BertLanguageModel, initialize_bert
from albef.model.config import ModelConfig
from albef.model.vision import VisionTransformer


class Momentum:
    """Keeps the twins ``<name>_m`` of some modules: copies that follow by an exponential mean and get no gradient."""

    twin_names: tuple[str, ...] = ()
    momentum: float = 0.995

    def build_twins(self: nn.Module) -> None:
        for name in self.twin_names:
            twin = copy.deepcopy(getattr(self, name))
            twin.requires_grad_(False)
            setattr(self, f"{name}_m", twin)

    @torch.no_grad()
    def copy_to_twins(self: nn.Module) -> None:
        self._update_twins(1.0)

    @torch.no_grad()
    def update_twins(self: nn.Module) -> None:
        """p_m <- 0.995 p_m + 0.005 p, over parameters only; tied tensors once."""
        self._update_twins(1.0 - self.momentum)

    def _update_twins(self: nn.Module, weight: float) -> None:
        students, twins = [], []
        for name in self.twin_names:
            students += list(getattr(self, name).parameters())
            twins += list(getattr(self, f"{name}_m").parameters())
        torch._foreach_lerp_(twins, students, weight)


def full_precision(x: Tensor) -> Tensor:
    """Losses are computed in float32 where autocast gave less; float64 stays."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over rows of -sum(targets * log softmax(logits))."""
    return -(F.log_softmax(logits, dim=1) * targets).sum(1).mean()


def draw_negatives(weights: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One column for every row of [B, B] weights.

    A row whose weights all vanished is drawn uniformly from the other rows; the official sampler fails there.
    """
    empty = weights.sum(1, keepdim=True) <= 0
    if empty.any():
        uniform = 1.0 - torch.eye(len(weights), device=weights.device)
        weights = torch.where(empty, uniform, weights)
    return torch.multinomial(weights, 1, generator=generator).flatten()


def negative_weights(scores: Tensor, same: Tensor, easy: float = 0.0) -> Tensor:
    """Weights by which each row of ``scores`` draws a negative: their softmax, zero where ``same`` marks no negative.

    A share ``easy`` (0 in the paper) of the draws is uniform.
    """
    weights = scores.softmax(1).masked_fill(same, 0)
    if easy > 0:
        hard = weights / weights.sum(1, keepdim=True).clamp_min(1e-12)
        uniform = (~same).float() / (~same).sum(1, keepdim=True).clamp_min(1)
        weights = (1 - easy) * hard + easy * uniform
    return weights


class ContrastiveModel(nn.Module, Momentum):
    """Image encoder, BERT, projections, matching head; with ``twins`` also momentum copies and feature queues."""

    twin_names = ("visual_encoder", "vision_proj", "text_encoder", "text_proj")

    def __init__(
        self, config: ModelConfig, *, language_head: bool, twins: bool = True, queue_size: int = 65536,
        dropout: float = 0.1, initializer_range: float = 0.02, temperature: float = 0.07, easy_negatives: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = config
        self.easy_negatives = easy_negatives
        self.queue_size = queue_size
        self.visual_encoder = VisionTransformer(config, initializer_range)
        bert = Bert(
            vocab_size=config.vocab_size, width=config.text_width, memory_width=config.vision_width,
            layers=config.text_layers, fusion_layer=config.fusion_layer, heads=config.text_heads,
            max_positions=config.max_positions, dropout=dropout,
        )  # fmt: skip
        self.text_encoder = BertLanguageModel(bert) if language_head else bert
        initialize_bert(self.text_encoder, initializer_range)
        self.vision_proj = nn.Linear(config.vision_width, config.embed_dim)
        self.text_proj = nn.Linear(config.text_width, config.embed_dim)
        self.itm_head = nn.Linear(config.text_width, 2)
        self.temp = nn.Parameter(torch.tensor(temperature))
        if twins:
            self.build_twins()
            self.register_buffer("image_queue", F.normalize(torch.randn(config.embed_dim, queue_size), dim=0))
            self.register_buffer("text_queue", F.normalize(torch.randn(config.embed_dim, queue_size), dim=0))
            self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    @property
    def bert(self) -> Bert:
        """The BERT stack, wherever this model's checkpoint keeps it."""
        return getattr(self.text_encoder, "bert", self.text_encoder)

    @property
    def bert_m(self) -> Bert:
        return getattr(self.text_encoder_m, "bert", self.text_encoder_m)

    def encode_image(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pixels -> image tokens [B, S, D] and feature [B, E]."""
        tokens = self.visual_encoder(pixels)
        return tokens, self.image_feature(tokens)

    def encode_text(self, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Ids -> text-mode states [B, T, D] and feature [B, E]."""
        tokens = self.bert.text(ids, mask)
        return tokens, self.text_feature(tokens)

    def image_feature(self, tokens: Tensor) -> Tensor:
        return F.normalize(full_precision(self.vision_proj(tokens[:, 0])), dim=-1)

    def text_feature(self, tokens: Tensor) -> Tensor:
        return F.normalize(full_precision(self.text_proj(tokens[:, 0])), dim=-1)

    def match_logits(
        self, text_tokens: Tensor, mask: Tensor | None, image_tokens: Tensor, rows: Tensor | None = None
    ) -> Tensor:
        """Raw matching logits [B, 2] (index 1: match) of text-mode states with image tokens."""
        return self.itm_head(self.bert.fuse(text_tokens, mask, image_tokens, rows)[:, 0])

    @torch.no_grad()
    def teacher(self, pixels: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Updates the twins, then gives their image tokens and both features."""
        self.update_twins()
        tokens = self.visual_encoder_m(pixels)
        image = F.normalize(full_precision(self.vision_proj_m(tokens[:, 0])), dim=-1)
        text = F.normalize(full_precision(self.text_proj_m(self.bert_m.text(ids, mask)[:, 0])), dim=-1)
        return tokens, image, text

    def contrast(
        self, image: Tensor, text: Tensor, image_m: Tensor, text_m: Tensor, hard: Tensor, alpha: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Image-text contrastive loss, and the student's scores of the local batch, [B, B] both ways.

        Columns are the teacher's features of the batch, then the queue; ``hard`` [B, B + Q] are the targets that are
        mixed with the teacher's softmax by ``alpha``.
        """
        all_text = torch.cat([text_m.t(), self.text_queue.clone()], dim=1)
        all_image = torch.cat([image_m.t(), self.image_queue.clone()], dim=1)
        image_scores, text_scores = image @ all_text / self.temp, text @ all_image / self.temp
        if alpha > 0:
            with torch.no_grad():
                image_targets = alpha * (image_m @ all_text / self.temp).softmax(1) + (1 - alpha) * hard
                text_targets = alpha * (text_m @ all_image / self.temp).softmax(1) + (1 - alpha) * hard
        else:
            image_targets = text_targets = hard
        loss = (soft_cross_entropy(image_scores, image_targets) + soft_cross_entropy(text_scores, text_targets)) / 2
        batch = len(image)
        return loss, image_scores[:, :batch].detach(), text_scores[:, :batch].detach()

    @torch.no_grad()
    def enqueue(self, image_m: Tensor, text_m: Tensor) -> slice:
        """Overwrites the oldest columns of both queues with the batch's teacher features; gives the columns."""
        batch = len(image_m)
        if self.queue_size % batch:
            raise ValueError(f"queue size {self.queue_size} is not a multiple of the batch size {batch}")
        start = int(self.queue_ptr)
        columns = slice(start, start + batch)
        self.image_queue[:, columns] = image_m.t()
        self.text_queue[:, columns] = text_m.t()
        self.queue_ptr[0] = (start + batch) % self.queue_size
        return columns

    def matching_rows(
        self, image_scores: Tensor, text_scores: Tensor, same: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Text and image numbers of the 3B pairs: positives, texts with a hard image, images with a hard text.

        ``same`` [B, B], by picture and text, marks pairs that must not serve as negatives. A share ``easy_negatives`` (0 in
        the paper) of the draws is uniform: where many captions are short enough to be true of other pictures too, the hardest
        negatives are often no negatives at all, and a model that starts from little learns nothing from them.
        """
        image_weights = negative_weights(image_scores, same, self.easy_negatives)
        text_weights = negative_weights(text_scores, same.t(), self.easy_negatives)
        own = torch.arange(len(same), device=same.device)
        hard_images = draw_negatives(text_weights, generator)
        hard_texts = draw_negatives(image_weights, generator)
        return torch.cat([own, own, hard_texts]), torch.cat([own, hard_images, own])

    def matching_loss(self, fused: Tensor) -> Tensor:
        """Mean cross-entropy of the matching head over the 3B fused class tokens; the first B pairs match."""
        logits = full_precision(self.itm_head(fused))
        labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        labels[: len(logits) // 3] = 1
        return F.cross_entropy(logits, labels)
