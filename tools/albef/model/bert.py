"""The BERT stack: post-norm layers, of which those from ``fusion_layer`` on also attend to another sequence."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from albef.model.attention import attend
from albef.model.recompute import Recomputable

EPSILON = 1e-12


class Embeddings(nn.Module):
    """Sum of word, position and (always the first) type embedding, then LayerNorm and dropout."""

    def __init__(self, vocab_size: int, width: int, max_positions: int, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(max_positions, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)
        # Persistent: official checkpoints hold it.
        self.register_buffer("position_ids", torch.arange(max_positions)[None])

    def forward(self, ids: Tensor) -> Tensor:
        words = self.word_embeddings(ids) + self.token_type_embeddings.weight[0]
        return self.dropout(self.LayerNorm(words + self.position_embeddings.weight[: ids.shape[1]]))


class AttentionCore(nn.Module):
    """Projections and attention. ``recorded`` keeps the probabilities [B, H, T, S] when ``record`` is set."""

    attend = staticmethod(attend)

    def __init__(self, width: int, memory_width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory_width, width)
        self.value = nn.Linear(memory_width, width)
        self.record = False
        self.recorded: Tensor | None = None

    def _split(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        x = x if rows is None else x.index_select(0, rows)
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None, rows: Tensor | None) -> Tensor:
        """``mask`` is True where a query may look (broadcast to [B, H, T, S]); ``rows`` picks each sample's memory."""
        q = self._split(self.query(x))
        k, v = self._split(self.key(memory), rows), self._split(self.value(memory), rows)
        dropout = self.dropout if self.training else 0.0
        if self.record:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            if mask is not None:
                scores = scores.masked_fill(~mask, -math.inf)
            self.recorded = scores.softmax(-1)
            mixed = F.dropout(self.recorded, dropout) @ v
        else:
            mixed = self.attend(q, k, v, mask, dropout)
        return mixed.transpose(1, 2).flatten(2)


class DenseResidualNorm(nn.Module):
    """LayerNorm(dropout(dense(x)) + residual)."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class Attention(nn.Module):
    """Attention with its output projection; the names ``self`` and ``output`` are the checkpoint's."""

    def __init__(self, width: int, memory_width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self = AttentionCore(width, memory_width, heads, dropout)
        self.output = DenseResidualNorm(width, width, dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None, rows: Tensor | None = None) -> Tensor:
        return self.output(self.self(x, memory, mask, rows), x)


class Intermediate(nn.Module):
    activation = staticmethod(F.gelu)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.dense(x))


class Layer(Recomputable):
    def __init__(self, width: int, memory_width: int, heads: int, fuses: bool, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, width, heads, dropout)
        if fuses:
            self.crossattention = Attention(width, memory_width, heads, dropout)
        self.intermediate = Intermediate(width)
        self.output = DenseResidualNorm(4 * width, width, dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, memory: Tensor | None, memory_mask: Tensor | None, rows: Tensor | None
    ) -> Tensor:
        x = self.attention(x, x, mask)
        if hasattr(self, "crossattention"):
            if memory is None:
                raise ValueError("this layer attends to another sequence, but none was given")
            x = self.crossattention(x, memory, memory_mask, rows)
        return self.output(self.intermediate(x), x)


class Encoder(nn.Module):
    """The layers. With ``paired`` the fusing ones form pairs that share keys and values of cross-attention (NLVR2)."""

    def __init__(
        self, layers: int, fusion_layer: int, width: int, memory_width: int, heads: int, dropout: float, paired: bool
    ) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            Layer(width, memory_width, heads, index >= fusion_layer, dropout) for index in range(layers)
        )
        if paired:
            if (layers - fusion_layer) % 2:
                raise ValueError(f"{layers - fusion_layer} fusing layers do not form pairs")
            for first in range(fusion_layer, layers, 2):
                one, two = (self.layer[i].crossattention.self for i in (first, first + 1))
                # One module under two names, as in official checkpoints.
                two.key, two.value = one.key, one.value


Rows = Tensor | tuple[Tensor, ...] | None


class Bert(nn.Module):
    """The stack without heads. ``text``, ``fuse`` and ``multi_modal`` run its lower, upper and all layers.

    Texts are [B, T] ids with a mask of ones (tokens) and zeros (padding); the memory is the image tokens [B, S, D] or,
    in the answer decoder, the question states. ``rows`` gives each text the number of its memory, so that keys and
    values are projected once however many texts look at a picture. A tuple of rows gives each text several pictures, and
    the fusing layers look at them in turn: with (left, right) the first at the left one, the second at the right one.
    """

    def __init__(
        self, *, vocab_size: int, width: int, memory_width: int, layers: int, fusion_layer: int, heads: int,
        max_positions: int, dropout: float = 0.0, paired: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.fusion_layer = fusion_layer
        self.embeddings = Embeddings(vocab_size, width, max_positions, dropout)
        self.encoder = Encoder(layers, fusion_layer, width, memory_width, heads, dropout, paired)

    def _run(
        self, x: Tensor, mask: Tensor | None, memory: Tensor | None, memory_mask: Tensor | None, rows: Rows,
        first: int, last: int, causal: bool = False,
    ) -> Tensor:  # fmt: skip
        # Masked keys are left out of the softmax: in float32 the official -10000 and -1e9 underflow to the same zeros.
        allowed = None if mask is None else mask.bool()[:, None, None, :]
        if causal:
            triangle = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
            allowed = triangle if allowed is None else allowed & triangle
        seen = None if memory_mask is None else memory_mask.bool()[:, None, None, :]
        if seen is not None and isinstance(rows, Tensor):
            seen = seen[rows]
        for number, layer in enumerate(self.encoder.layer[first:last], first - self.fusion_layer):
            turn = rows[number % len(rows)] if isinstance(rows, tuple) else rows
            x = layer(x, allowed, memory, seen, turn)
        return x

    def text(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Text mode: the layers below ``fusion_layer``."""
        return self._run(self.embeddings(ids), mask, None, None, None, 0, self.fusion_layer)

    def fuse(self, tokens: Tensor, mask: Tensor | None, image: Tensor, rows: Rows = None) -> Tensor:
        """Fusion mode: the layers from ``fusion_layer`` on, fed with text-mode states (no embedding block)."""
        return self._run(tokens, mask, image, None, rows, self.fusion_layer, len(self.encoder.layer))

    def multi_modal(self, ids: Tensor, mask: Tensor | None, image: Tensor, rows: Rows = None) -> Tensor:
        """All layers."""
        return self.fuse(self.text(ids, mask), mask, image, rows)

    def decode(
        self, ids: Tensor, mask: Tensor | None, states: Tensor, states_mask: Tensor | None, rows: Tensor | None = None
    ) -> Tensor:
        """Decoder: causal self-attention, every layer attends to the question states."""
        layers = len(self.encoder.layer)
        return self._run(self.embeddings(ids), mask, states, states_mask, rows, 0, layers, causal=True)


class Transform(nn.Module):
    activation = staticmethod(F.gelu)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(self.activation(self.dense(x)))


class Predictions(nn.Module):
    def __init__(self, words: nn.Embedding) -> None:
        super().__init__()
        vocab_size, width = words.weight.shape
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.transform = Transform(width)
        self.decoder = nn.Linear(width, vocab_size)
        # Tied, and stored under both names as in official checkpoints.
        self.decoder.weight = words.weight
        self.decoder.bias = self.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.transform(x))


class LanguageHead(nn.Module):
    def __init__(self, words: nn.Embedding) -> None:
        super().__init__()
        self.predictions = Predictions(words)

    def forward(self, x: Tensor) -> Tensor:
        """States [..., D] -> logits over the vocabulary [..., V]."""
        return self.predictions(x)


class BertLanguageModel(nn.Module):
    """A BERT with a language-model head: masked words in pre-training, the next word in the answer decoder."""

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        self.bert = bert
        self.cls = LanguageHead(bert.embeddings.word_embeddings)


def initialize_bert(module: nn.Module, std: float) -> None:
    """BERT's initialisation: weights N(0, std^2), biases zero, LayerNorm (1, 0)."""
    for child in module.modules():
        if isinstance(child, nn.Linear | nn.Embedding):
            nn.init.normal_(child.weight, std=std)
        if isinstance(child, nn.Linear):
            nn.init.zeros_(child.bias)
        if isinstance(child, nn.Embedding) and child.padding_idx is not None:
            with torch.no_grad():
                child.weight[child.padding_idx].zero_()
