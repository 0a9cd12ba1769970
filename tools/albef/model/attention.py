"""Softmax attention over heads, the one place that both encoders share."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """softmax(q k' / sqrt(d)) v over [B, H, T, d] and [B, H, S, d]; ``mask`` is True where a query may look.

    Under bfloat16 autocast the two products are written out: PyTorch's fused kernel is several times slower there on a
    CPU for short sequences and narrow heads. The softmax itself stays in float32.
    """
    if not torch.is_autocast_enabled(q.device.type):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return F.dropout(scores.float().softmax(-1).to(v.dtype), dropout) @ v
