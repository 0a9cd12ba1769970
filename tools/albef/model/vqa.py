"""Visual question answering: the question is fused with the picture, a causal decoder then scores answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from albef.model.bert import Bert, BertLanguageModel, initialize_bert
from albef.model.config import ModelConfig
from albef.model.contrastive import Momentum, full_precision
from albef.model.vision import VisionTransformer


class VQAModel(nn.Module, Momentum):
    """Image encoder, BERT and an answer decoder with its own embeddings and language head."""

    twin_names = ("visual_encoder", "text_encoder", "text_decoder")

    def __init__(
        self, config: ModelConfig, *, twins: bool = True, dropout: float = 0.1, initializer_range: float = 0.02,
        cls_id: int = 101,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = config
        self.cls_id = cls_id
        common = dict(
            vocab_size=config.vocab_size, width=config.text_width, heads=config.text_heads,
            max_positions=config.max_positions, dropout=dropout,
        )  # fmt: skip
        self.visual_encoder = VisionTransformer(config, initializer_range)
        self.text_encoder = Bert(
            memory_width=config.vision_width, layers=config.text_layers, fusion_layer=config.fusion_layer, **common
        )
        # The decoder attends to question states, never to image tokens; its layers still have the encoder's shapes.
        decoder = Bert(memory_width=config.text_width, layers=config.decoder_layers, fusion_layer=0, **common)
        self.text_decoder = BertLanguageModel(decoder)
        for module in (self.text_encoder, self.text_decoder):
            initialize_bert(module, initializer_range)
        if twins:
            self.build_twins()

    @property
    def bert(self) -> Bert:
        return self.text_encoder

    def question_states(self, pixels: Tensor, ids: Tensor, mask: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """[B, T, D]: the whole multimodal encoder over (picture, question)."""
        return self.text_encoder.multi_modal(ids, mask, self.visual_encoder(pixels), rows)

    def forward(
        self, pixels: Tensor, ids: Tensor, mask: Tensor, answer_ids: Tensor, answer_mask: Tensor, weights: Tensor,
        rows: Tensor, alpha: float, pictures: Tensor | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Weighted loss of all answers; ``rows`` [N] gives each answer's question and ``weights`` [N] its weight.

        ``pictures`` [B] gives each question's picture where several questions share one.
        """
        states = self.question_states(pixels, ids, mask, pictures)
        logits = self._answer_logits(self.text_decoder, states, mask, answer_ids, answer_mask, rows)
        chosen = answer_mask[:, 1:].bool()
        targets = answer_ids[:, 1:][chosen]
        per_token = F.cross_entropy(logits, targets, reduction="none")
        if hasattr(self, "visual_encoder_m"):
            self.update_twins()
        if alpha > 0:
            with torch.no_grad():
                states_m = self.text_encoder_m.multi_modal(ids, mask, self.visual_encoder_m(pixels), pictures)
                logits_m = self._answer_logits(self.text_decoder_m, states_m, mask, answer_ids, answer_mask, rows)
            soft = -(logits_m.softmax(1) * F.log_softmax(logits, dim=1)).sum(1)
            per_token = (1 - alpha) * per_token + alpha * soft
        token_weights = weights[:, None].expand_as(chosen)[chosen]
        return {"lm": (per_token * token_weights).sum() / len(ids)}

    @staticmethod
    def _answer_logits(
        decoder: BertLanguageModel, states: Tensor, mask: Tensor, answer_ids: Tensor, answer_mask: Tensor, rows: Tensor
    ) -> Tensor:
        """Logits [tokens, V] that predict each answer token after [CLS], padding left out."""
        inputs = decoder.bert.decode(answer_ids[:, :-1], answer_mask[:, :-1], states, mask, rows)
        return full_precision(decoder.cls(inputs[answer_mask[:, 1:].bool()]))

    @torch.no_grad()
    def rank_answers(
        self, states: Tensor, mask: Tensor, answer_ids: Tensor, answer_mask: Tensor, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ranks candidates [N, L] for questions [B, T, D]: first logits [B, V], answer numbers and scores [B, k].

        The first token's log-probability counts twice, as in the published model; ties go to the lower number.
        """
        batch = len(states)
        start = torch.full((batch, 1), self.cls_id, device=states.device)
        first_logits = self.text_decoder.cls(self.text_decoder.bert.decode(start, None, states, mask)[:, 0])
        first = first_logits.log_softmax(1)[:, answer_ids[:, 1]]
        # A stable sort keeps equal probabilities in ascending order of their number.
        candidates = first.sort(dim=1, descending=True, stable=True).indices[:, :k]
        rows = torch.arange(batch, device=states.device).repeat_interleave(k)
        ids, ids_mask = answer_ids[candidates.flatten()], answer_mask[candidates.flatten()]
        length = int(ids_mask.sum(1).max())
        ids, ids_mask = ids[:, :length], ids_mask[:, :length]
        hidden = self.text_decoder.bert.decode(ids[:, :-1], ids_mask[:, :-1], states, mask, rows)
        log_probabilities = self.text_decoder.cls(hidden).log_softmax(-1)
        tokens = log_probabilities.gather(-1, ids[:, 1:, None])[..., 0] * ids_mask[:, 1:]
        scores = first.gather(1, candidates) + tokens.sum(1).view(batch, k)
        order = sort_with_ties(scores, candidates)
        return first_logits, candidates.gather(1, order), scores.gather(1, order)


def sort_with_ties(scores: Tensor, numbers: Tensor) -> Tensor:
    """Order of columns by descending score, equal scores by ascending number."""
    by_number = numbers.argsort(dim=1, stable=True)
    by_score = scores.gather(1, by_number).argsort(dim=1, descending=True, stable=True)
    return by_number.gather(1, by_score)
