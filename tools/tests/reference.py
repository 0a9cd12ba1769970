"""The formulas of the model over a plain dictionary of tensors, in double precision: what the tests compare with.

Written from the published description, not from the package: additive masks, explicit attention, separate passes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from albef.model import ModelConfig

State = dict[str, Tensor]


def double(model: torch.nn.Module) -> State:
    return {
        name: tensor.detach().double() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }


def tiny_config(**changes) -> ModelConfig:
    values = dict(
        image_size=16, patch_size=4, vision_width=24, vision_layers=2, vision_heads=3, text_width=32, text_layers=4,
        fusion_layer=2, text_heads=4, embed_dim=16, vocab_size=61, max_positions=20, decoder_layers=2, gradcam_layer=3,
    )  # fmt: skip
    return ModelConfig(**(values | changes))


def linear(s: State, name: str, x: Tensor) -> Tensor:
    return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]


def layer_norm(s: State, name: str, x: Tensor, epsilon: float) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (variance + epsilon).sqrt() * s[f"{name}.weight"] + s[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def split(x: Tensor, heads: int) -> Tensor:
    return x.reshape(*x.shape[:-1], heads, -1).transpose(-2, -3)


def merge(x: Tensor) -> Tensor:
    return x.transpose(-2, -3).flatten(-2)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """The mixed values and the probabilities."""
    q, k, v = split(q, heads), split(k, heads), split(v, heads)
    p = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias).softmax(-1)
    return merge(p @ v), p


def vision(s: State, c: ModelConfig, pixels: Tensor, root: str = "visual_encoder") -> Tensor:
    """[B, 3, R, R] -> [B, 1 + G*G, D]."""
    x = torch.nn.functional.conv2d(
        pixels.double(), s[f"{root}.patch_embed.proj.weight"], s[f"{root}.patch_embed.proj.bias"], stride=c.patch_size
    )
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([s[f"{root}.cls_token"].expand(len(x), -1, -1), x], 1) + s[f"{root}.pos_embed"]
    for i in range(c.vision_layers):
        block = f"{root}.blocks.{i}"
        q, k, v = linear(s, f"{block}.attn.qkv", layer_norm(s, f"{block}.norm1", x, 1e-6)).chunk(3, -1)
        x = x + linear(s, f"{block}.attn.proj", attend(q, k, v, c.vision_heads)[0])
        hidden = gelu(linear(s, f"{block}.mlp.fc1", layer_norm(s, f"{block}.norm2", x, 1e-6)))
        x = x + linear(s, f"{block}.mlp.fc2", hidden)
    return layer_norm(s, f"{root}.norm", x, 1e-6)


def embed(s: State, root: str, ids: Tensor) -> Tensor:
    e = f"{root}.embeddings"
    x = s[f"{e}.word_embeddings.weight"][ids] + s[f"{e}.token_type_embeddings.weight"][0]
    return layer_norm(s, f"{e}.LayerNorm", x + s[f"{e}.position_embeddings.weight"][: ids.shape[1]], 1e-12)


def sublayer(
    s: State, name: str, x: Tensor, memory: Tensor, heads: int, bias: Tensor | float, epsilon: float = 1e-12
) -> Tensor:
    k, v = linear(s, f"{name}.self.key", memory), linear(s, f"{name}.self.value", memory)
    mixed, _ = attend(linear(s, f"{name}.self.query", x), k, v, heads, bias)
    return layer_norm(s, f"{name}.output.LayerNorm", linear(s, f"{name}.output.dense", mixed) + x, epsilon)


def layers(
    s: State, root: str, heads: int, span: range, x: Tensor, mask: Tensor,
    memory: Tensor | list[Tensor] | None = None, memory_mask: Tensor | None = None, causal: bool = False,
) -> Tensor:  # fmt: skip
    """BERT layers with the official additive masks: -10000 within the text, -1e9 over the memory.

    Of a list of memories the first goes to the first layer of ``span``, the second to the next, and so on in turn.
    """
    seen = mask[:, None, None, :].double()
    if causal:
        seen = seen * torch.ones(x.shape[1], x.shape[1]).tril()
    over = 0.0 if memory_mask is None else (1 - memory_mask[:, None, None, :].double()) * -1e9
    for i in span:
        layer = f"{root}.encoder.layer.{i}"
        x = sublayer(s, f"{layer}.attention", x, x, heads, (1 - seen) * -10000)
        if f"{layer}.crossattention.self.key.weight" in s and memory is not None:
            seen_here = memory[(i - span.start) % len(memory)] if isinstance(memory, list) else memory
            x = sublayer(s, f"{layer}.crossattention", x, seen_here, heads, over)
        hidden = gelu(linear(s, f"{layer}.intermediate.dense", x))
        x = layer_norm(s, f"{layer}.output.LayerNorm", linear(s, f"{layer}.output.dense", hidden) + x, 1e-12)
    return x


def text(s: State, c: ModelConfig, ids: Tensor, mask: Tensor, root: str) -> Tensor:
    return layers(s, root, c.text_heads, range(c.fusion_layer), embed(s, root, ids), mask)


def fuse(s: State, c: ModelConfig, x: Tensor, mask: Tensor, image: Tensor | list[Tensor], root: str) -> Tensor:
    return layers(s, root, c.text_heads, range(c.fusion_layer, c.text_layers), x, mask, image)


def classify(s: State, root: str, x: Tensor) -> Tensor:
    """The head of entailment and NLVR2: a hidden layer with ReLU."""
    return linear(s, f"{root}.2", linear(s, f"{root}.0", x).clamp(min=0))


def language_head(s: State, root: str, x: Tensor) -> Tensor:
    p = f"{root}.predictions"
    x = layer_norm(s, f"{p}.transform.LayerNorm", gelu(linear(s, f"{p}.transform.dense", x)), 1e-12)
    return x @ s[f"{p}.decoder.weight"].T + s[f"{p}.bias"]


def decode(
    s: State, c: ModelConfig, ids: Tensor, mask: Tensor, states: Tensor, states_mask: Tensor, root: str
) -> Tensor:
    """Logits [B, T, V] of the answer decoder ``root`` ("text_decoder" or its twin)."""
    x = layers(
        s, f"{root}.bert", c.text_heads, range(c.decoder_layers), embed(s, f"{root}.bert", ids), mask, states,
        states_mask, causal=True,
    )  # fmt: skip
    return language_head(s, f"{root}.cls", x)


def normalize(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def soft_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def batch(config: ModelConfig, lengths: list[int], seed: int, cls_id: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Random pixels, ids and mask for texts of the given lengths."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(len(lengths), 3, config.image_size, config.image_size, generator=generator)
    ids = torch.randint(5, config.vocab_size, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = ids * mask
    ids[:, 0] = cls_id
    return pixels, ids, mask
