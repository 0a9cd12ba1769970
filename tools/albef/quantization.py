"""Quantisation-aware training: a model that computes as the runtime's int8 models do, with straight-through gradients.

``prepare_quantization_aware(model)`` changes a model in place. Its parameters stay float32 under the same names; what
changes is the arithmetic, which follows docs/arithmetic.md: int8 weights with a scale per output channel, activations
quantised per row with a zero point, int8 attention over image tokens, the GELU of int8 layers. The rounding is on the way
forward only: backward, each quantiser is the identity. What the exporter keeps in float32 stays so here: the small heads
beside the encoders, the attention of texts to themselves and to question states, LayerNorm, biases, positions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from albef.gelu_int8 import gelu_int8
from albef.model import bert, vision

# Rows with a smaller range count as zeros.
SMALLEST_RANGE = 2.0**-100
# 255 * 2^r on [-1/2, 1/2], ascending powers of r, and the factor of exponents of 2: the runtime's float32 constants.
PROBABILITY = tuple(map(float.fromhex, ("0x1.fdf6ap+7", "0x1.619026p+7", "0x1.eeec44p+5", "0x1.c2319ap+3")))
LOG2E = float.fromhex("0x1.715476p+0")
# The parts whose matrices the exporter quantises; all other linear layers are small heads, packed as float32.
QUANTIZED_PARTS = ("visual_encoder.", "text_encoder.", "text_decoder.")


class _Codes(torch.autograd.Function):
    """clamp(round(x * inverse) + zero, least, most) - zero; backward as if it were x * inverse."""

    @staticmethod
    def forward(ctx, x: Tensor, inverse: Tensor, zero: Tensor | None, least: float, most: float) -> Tensor:
        ctx.save_for_backward(inverse)
        codes = (x * inverse).round_()
        if zero is None:
            return codes.clamp_(least, most)
        return codes.add_(zero).clamp_(least, most).sub_(zero)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        (inverse,) = ctx.saved_tensors
        return g * inverse, None, None, None, None


class _Probabilities(torch.autograd.Function):
    """Bytes of a softmax that is taken in base 2 with a cubic: about 255 * 2^(factor * (x - max x)); backward as if it were
    that. Doubles hold the products of float32 exactly, and so stand for fused multiply-adds."""

    @staticmethod
    def forward(ctx, x: Tensor, factor: Tensor) -> Tensor:
        below = torch.maximum(x - x.amax(-1, keepdim=True), -16 / factor)
        exponent = below.double() * factor.double()
        whole = exponent.round()
        rest = (exponent - whole).float().double()
        power = torch.full_like(rest, PROBABILITY[3])
        for coefficient in reversed(PROBABILITY[:3]):
            power = (power * rest + coefficient).float().double()
        codes = torch.ldexp(power, whole.int()).round().float()
        ctx.save_for_backward(torch.exp2(exponent.float()), factor)
        return codes

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        power, factor = ctx.saved_tensors
        return g * power * factor * (255 * math.log(2)), None


def _inverse(span: Tensor, steps: float) -> Tensor:
    return torch.where(span < SMALLEST_RANGE, 0.0, steps / span.clamp_min(SMALLEST_RANGE))


def row_codes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Activations [..., K]: whole numbers q - zero point in [-255, 255], and the scale [..., 1] of each row."""
    x = x.float()
    with torch.no_grad():
        low, high = x.amin(-1, keepdim=True).clamp_max(0), x.amax(-1, keepdim=True).clamp_min(0)
        inverse = _inverse(high - low, 255.0)
        scale = torch.where(inverse == 0, 0.0, (high - low) / 255.0)
        zero = (-low * inverse).round()
    return _Codes.apply(x, inverse, zero, 0.0, 255.0), scale


def symmetric_codes(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Weights, keys, values: whole numbers in [-127, 127], and the scale of each line along ``dim``, which is kept as 1."""
    x = x.float()
    with torch.no_grad():
        largest = x.abs().amax(dim, keepdim=True)
        inverse = _inverse(largest, 127.0)
        scale = torch.where(inverse == 0, 0.0, largest / 127.0)
    return _Codes.apply(x, inverse, None, -127.0, 127.0), scale


def quantized_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W' + b with both sides quantised.

    The product is one of whole numbers: float32 holds its sums exactly to a depth of 518, and bfloat16 autocast casts codes
    up to 256 without loss.
    """
    codes, scale = row_codes(x)
    weight_codes, weight_scale = symmetric_codes(weight, 1)
    return F.linear(codes, weight_codes) * (scale * weight_scale.t()) + bias


def quantized_attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout: float = 0.0, factor: float | None = None
) -> Tensor:
    """``attend`` over image tokens in int8: queries per row, keys per token, values per channel, probabilities of 1/255.

    There is no padding among image tokens, so that a mask is refused. ``factor`` of the scores: 1 / sqrt(d) if not given.
    """
    if mask is not None:
        raise ValueError("image tokens are attended to without a mask")
    q_codes, q_scale = row_codes(q)
    k_codes, k_scale = symmetric_codes(k, -1)
    v_codes, v_scale = symmetric_codes(v, -2)
    scale = torch.tensor(1 / math.sqrt(q.shape[-1]) if factor is None else factor, dtype=torch.float32)
    scores = (q_codes @ k_codes.transpose(-1, -2)).float() * k_scale.transpose(-1, -2)
    weights = _Probabilities.apply(scores, q_scale * (scale * LOG2E).to(q_scale.device))
    return (F.dropout(weights, dropout) @ v_codes).float() * v_scale * (1 / weights.sum(-1, keepdim=True))


class QuantizedLinear(nn.Linear):
    """A linear layer as the runtime computes it in int8."""

    def forward(self, x: Tensor) -> Tensor:
        return quantized_linear(x, self.weight, self.bias)


def absorbs(core: bert.AttentionCore, tokens: int, image_tokens: int) -> bool:
    """Whether the runtime absorbs the projections of a cross-attention for a text of so many tokens."""
    width, image_width = core.key.weight.shape
    if width // core.heads % 16 or image_width % 16:
        return False
    projected = 2 * image_tokens * image_width * width + 2 * tokens * image_tokens * width
    return 2 * tokens * image_width * width + 2 * core.heads * tokens * image_tokens * image_width < projected


class QuantizedCrossCore(bert.AttentionCore):
    """Cross-attention to image tokens as the runtime computes it, projected or absorbed (docs/arithmetic.md), whichever has
    fewer products. In a batch the longest text decides, in the runtime each its own length."""

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None, rows: Tensor | None) -> Tensor:
        if self.record or mask is not None or not absorbs(self, x.shape[1], memory.shape[1]):
            return super().forward(x, memory, mask, rows)
        q = self._split(self.query(x))
        batch, heads, tokens, width = q.shape
        # The queries take the weights' scales, so that whole numbers meet; float32 holds their sums exactly, bfloat16 does not.
        with torch.autocast(q.device.type, enabled=False):
            codes, scale = symmetric_codes(self.key.weight, 1)
            q_codes, q_scale = row_codes(q.float() * scale.view(heads, 1, width))
            absorbed = torch.einsum("bhtd,hdv->bhtv", q_codes, codes.view(heads, width, -1)) * q_scale
        memory = memory if rows is None else memory.index_select(0, rows)
        queries, memory = absorbed.flatten(1, 2)[:, None], memory[:, None]
        dropout = self.dropout if self.training else 0.0
        mixed = quantized_attend(queries, memory, memory, None, dropout, 1 / math.sqrt(width))
        mixed_codes, mixed_scale = row_codes(mixed.view(batch, heads, tokens, -1))
        codes, scale = symmetric_codes(self.value.weight, 1)
        sums = mixed_codes @ codes.view(heads, width, -1).transpose(1, 2)
        out = sums * (mixed_scale * scale.view(heads, 1, width)) + self.value.bias.view(heads, 1, width)
        return out.transpose(1, 2).flatten(2)


class QuantizedEmbedding(nn.Embedding):
    """Rows looked up from a table of int8 rows with a scale each."""

    def forward(self, ids: Tensor) -> Tensor:
        codes, scale = symmetric_codes(F.embedding(ids, self.weight, self.padding_idx), -1)
        return codes * scale


class QuantizedPatchEmbed(vision.PatchEmbed):
    """Patches projected in int8."""

    def project(self, patches: Tensor) -> Tensor:
        return quantized_linear(patches, self.proj.weight.flatten(1), self.proj.bias)


def prepare_quantization_aware(model: nn.Module) -> int:
    """Makes a model of any task compute in int8 where the exporter quantises; gives the number of quantised products.

    Momentum twins stay float: they teach, and are never exported. Heatmaps record probabilities in float form, as the
    runtime's gradients do, and then mix values in float too. Saving, loading and ``state_dict`` do not change.
    """
    count = 0
    for name, module in model.named_modules():
        if not name.startswith(QUANTIZED_PARTS):
            continue
        if isinstance(module, (vision.MLP, bert.Intermediate, bert.Transform)):
            module.activation = gelu_int8
            continue
        # Another class for the same object keeps parameters, ties between them and what else holds the module.
        if type(module) is nn.Linear:
            module.__class__ = QuantizedLinear
        elif type(module) is vision.PatchEmbed:
            module.__class__ = QuantizedPatchEmbed
        elif type(module) is nn.Embedding and name.endswith("word_embeddings"):
            module.__class__ = QuantizedEmbedding
        elif isinstance(module, vision.Attention) or (
            isinstance(module, bert.AttentionCore) and _attends_to_image(name)
        ):
            module.attend = quantized_attend
            if isinstance(module, bert.AttentionCore):
                module.__class__ = QuantizedCrossCore
        else:
            continue
        count += 1
    return count


def _attends_to_image(name: str) -> bool:
    # The answer decoder's cross-attention reads question states.
    return name.startswith("text_encoder.") and ".crossattention." in name
