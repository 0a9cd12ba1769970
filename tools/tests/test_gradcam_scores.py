"""Grad-CAM of the similarity and of an answer's score: automatic differentiation against the closed forms."""

from __future__ import annotations

import math

import pytest
import reference as r
import torch

from albef.gradcam import answer_heatmaps, answer_scores, itc_block, itc_heatmap
from albef.model import RetrievalModel, VQAModel


def settled(model: torch.nn.Module) -> torch.nn.Module:
    """In double precision, with biases and norms away from zero and one."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model.double().eval()


@pytest.fixture(scope="module")
def retrieval() -> RetrievalModel:
    torch.manual_seed(5)
    config = r.tiny_config(vision_layers=4, gradcam_layer=2, text_layers=4)
    return settled(RetrievalModel(config, initializer_range=0.3, twins=False))


@pytest.fixture(scope="module")
def vqa() -> VQAModel:
    torch.manual_seed(6)
    return settled(VQAModel(r.tiny_config(text_layers=5, gradcam_layer=3), initializer_range=0.3, twins=False, cls_id=1))


def norm_parts(x, epsilon):
    mean = x.mean(-1, keepdim=True)
    reciprocal = 1 / (((x - mean) ** 2).mean(-1, keepdim=True) + epsilon).sqrt()
    return (x - mean) * reciprocal, reciprocal


def norm_back(s, name, g, parts):
    unit, reciprocal = parts
    g = g * s[f"{name}.weight"]
    return reciprocal * (g - g.mean(-1, keepdim=True) - unit * (g * unit).mean(-1, keepdim=True))


def gelu_slope(h):
    return 0.5 * (1 + torch.erf(h / math.sqrt(2))) + h * torch.exp(-h * h / 2) / math.sqrt(2 * math.pi)


def scores_back(p, dp, width):
    return p * (dp - (dp * p).sum(-1, keepdim=True)) / math.sqrt(width)


def similarity_map(s, config, pixels, text, block):
    """The map [G, G] of one picture and a text feature [E], without differentiation."""
    root, heads, width = "visual_encoder", config.vision_heads, config.vision_width // config.vision_heads
    patch = f"{root}.patch_embed.proj"
    x = torch.nn.functional.conv2d(pixels[None].double(), s[f"{patch}.weight"], s[f"{patch}.bias"], stride=config.patch_size)
    x = torch.cat([s[f"{root}.cls_token"][0], x[0].flatten(1).T]) + s[f"{root}.pos_embed"][0]
    kept = []
    for i in range(config.vision_layers):
        b = f"{root}.blocks.{i}"
        first = norm_parts(x, 1e-6)
        q, k, v = r.linear(s, f"{b}.attn.qkv", r.layer_norm(s, f"{b}.norm1", x, 1e-6)).chunk(3, -1)
        mixed, p = r.attend(q, k, v, heads)
        m = x + r.linear(s, f"{b}.attn.proj", mixed)
        h = r.linear(s, f"{b}.mlp.fc1", r.layer_norm(s, f"{b}.norm2", m, 1e-6))
        kept.append((first, r.split(q, heads), r.split(k, heads), r.split(v, heads), p, norm_parts(m, 1e-6), h))
        x = m + r.linear(s, f"{b}.mlp.fc2", r.gelu(h))
    projected = r.linear(s, "vision_proj", r.layer_norm(s, f"{root}.norm", x, 1e-6)[0])
    length = projected.norm()
    unit = projected / length
    g = torch.zeros_like(x)
    g[0] = ((text - unit * (unit @ text)) / length) @ s["vision_proj.weight"]
    g = norm_back(s, f"{root}.norm", g, norm_parts(x, 1e-6))
    for i in reversed(range(block, config.vision_layers)):
        b = f"{root}.blocks.{i}"
        first, q, k, v, p, second, h = kept[i]
        inner = ((g @ s[f"{b}.mlp.fc2.weight"]) * gelu_slope(h)) @ s[f"{b}.mlp.fc1.weight"]
        u = g + norm_back(s, f"{b}.norm2", inner, second)
        o = r.split(u @ s[f"{b}.attn.proj.weight"], heads)
        dp = o @ v.transpose(-1, -2)
        if i == block:
            return (p[:, 0, 1:] * dp[:, 0, 1:].clamp(min=0)).mean(0).view(config.grid, config.grid)
        ds = scores_back(p, dp, width)
        parts = (ds @ k, ds.transpose(-1, -2) @ q, p.transpose(-1, -2) @ o)
        joint = torch.cat([r.merge(part) for part in parts], -1) @ s[f"{b}.attn.qkv.weight"]
        g = u + norm_back(s, f"{b}.norm1", joint, first)
    raise AssertionError("not reached")


@pytest.mark.parametrize("block", [0, 1, 2, 3])
def test_similarity_maps_are_those_of_the_closed_form(retrieval, block):
    pixels, ids, mask = r.batch(retrieval.config, [6, 9, 3], 6)
    s = r.double(retrieval)
    maps = itc_heatmap(retrieval, pixels.double(), ids, mask, block)
    assert maps.shape == (3, 4, 4) and (maps >= 0).all()
    with torch.no_grad():
        _, text = retrieval.encode_text(ids, mask)
    expected = torch.stack([similarity_map(s, retrieval.config, pixels[i], text[i], block) for i in range(3)])
    torch.testing.assert_close(maps, expected, atol=1e-12, rtol=1e-8)
    assert maps.any()
    assert all(b.attn.recorded is None and not b.attn.record for b in retrieval.visual_encoder.blocks)


def test_the_block_defaults_to_the_configuration_or_the_last(retrieval):
    pixels, ids, _ = r.batch(retrieval.config, [5], 7)
    pixels = pixels.double()
    assert itc_block(retrieval) == 2
    assert torch.equal(itc_heatmap(retrieval, pixels, ids, None), itc_heatmap(retrieval, pixels, ids, None, 2))
    short = RetrievalModel(r.tiny_config(vision_layers=2, gradcam_layer=3), twins=False)
    assert itc_block(short) == 1
    with pytest.raises(ValueError, match="no block 4"):
        itc_heatmap(retrieval, pixels, ids, None, 4)


def recorded_layer(s, name, x, memory, heads, causal):
    """One post-norm layer: its output and what the gradient needs."""
    keep = {}
    for kind in ("attention", "crossattention"):
        a = f"{name}.{kind}"
        source = memory if kind == "crossattention" else x
        q, k, v = (r.linear(s, f"{a}.self.{n}", y) for n, y in (("query", x), ("key", source), ("value", source)))
        hidden = causal and kind == "attention"
        bias = torch.full((len(x), len(x)), -math.inf, dtype=x.dtype).triu(1) if hidden else 0.0
        mixed, p = r.attend(q, k, v, heads, bias)
        summed = r.linear(s, f"{a}.output.dense", mixed) + x
        keep[kind] = (r.split(q, heads), r.split(k, heads), r.split(v, heads), p, norm_parts(summed, 1e-12))
        x = r.layer_norm(s, f"{a}.output.LayerNorm", summed, 1e-12)
    h = r.linear(s, f"{name}.intermediate.dense", x)
    summed = r.linear(s, f"{name}.output.dense", r.gelu(h)) + x
    keep["ffn"] = (h, norm_parts(summed, 1e-12))
    return r.layer_norm(s, f"{name}.output.LayerNorm", summed, 1e-12), keep


def feed_forward_back(s, name, g, keep):
    h, parts = keep["ffn"]
    u = norm_back(s, f"{name}.output.LayerNorm", g, parts)
    inner = (u @ s[f"{name}.output.dense.weight"]) * gelu_slope(h)
    return u + inner @ s[f"{name}.intermediate.dense.weight"]


def attention_back(s, a, g, kept, heads):
    """Gradients at the attention's own input, at its source, and at its probabilities."""
    q, k, v, p, parts = kept
    u = norm_back(s, f"{a}.output.LayerNorm", g, parts)
    o = r.split(u @ s[f"{a}.output.dense.weight"], heads)
    dp = o @ v.transpose(-1, -2)
    ds = scores_back(p, dp, q.shape[-1])
    source = r.merge(ds.transpose(-1, -2) @ q) @ s[f"{a}.self.key.weight"]
    source = source + r.merge(p.transpose(-1, -2) @ o) @ s[f"{a}.self.value.weight"]
    return u + r.merge(ds @ k) @ s[f"{a}.self.query.weight"], source, dp


def answer_maps(s, config, image, ids, answer, layer):
    """Token maps [T, G, G] of one question [T] and one answer [L], without differentiation."""
    heads, ones = config.text_heads, torch.ones(1, len(ids))
    x = r.text(s, config, ids[None], ones, "text_encoder")[0]
    encoder = []
    for i in range(config.fusion_layer, config.text_layers):
        x, keep = recorded_layer(s, f"text_encoder.encoder.layer.{i}", x, image, heads, causal=False)
        encoder.append(keep)
    states = x

    y = r.embed(s, "text_decoder.bert", answer[None, :-1])[0]
    decoder = []
    for i in range(config.decoder_layers):
        y, keep = recorded_layer(s, f"text_decoder.bert.encoder.layer.{i}", y, states, heads, causal=True)
        decoder.append(keep)
    head = "text_decoder.cls.predictions"
    h = r.linear(s, f"{head}.transform.dense", y)
    parts = norm_parts(r.gelu(h), 1e-12)
    logits = r.language_head(s, "text_decoder.cls", y)
    weights = torch.ones(len(answer) - 1, 1, dtype=torch.double)
    weights[0] = 2
    wanted = torch.nn.functional.one_hot(answer[1:], logits.shape[-1]).double()
    g = (weights * (wanted - logits.softmax(-1))) @ s[f"{head}.decoder.weight"]
    g = norm_back(s, f"{head}.transform.LayerNorm", g, parts) * gelu_slope(h)
    g = g @ s[f"{head}.transform.dense.weight"]

    at_states = torch.zeros_like(states)
    for i in reversed(range(config.decoder_layers)):
        name, keep = f"text_decoder.bert.encoder.layer.{i}", decoder[i]
        g = feed_forward_back(s, name, g, keep)
        g, source, _ = attention_back(s, f"{name}.crossattention", g, keep["crossattention"], heads)
        at_states = at_states + source
        own, source, _ = attention_back(s, f"{name}.attention", g, keep["attention"], heads)
        g = own + source

    g = at_states
    for i in reversed(range(layer, config.text_layers)):
        name, keep = f"text_encoder.encoder.layer.{i}", encoder[i - config.fusion_layer]
        g = feed_forward_back(s, name, g, keep)
        g, _, dp = attention_back(s, f"{name}.crossattention", g, keep["crossattention"], heads)
        if i == layer:
            maps = (keep["crossattention"][3] * dp.clamp(min=0))[..., 1:].mean(0)
            return maps.view(-1, config.grid, config.grid)
        own, source, _ = attention_back(s, f"{name}.attention", g, keep["attention"], heads)
        g = own + source
    raise AssertionError("not reached")


@pytest.mark.parametrize("layer", [2, 3, 4])
def test_answer_maps_are_those_of_the_closed_form(vqa, layer):
    config = vqa.config
    pixels, ids, mask = r.batch(config, [6, 9, 3], 8)
    answers, answer_mask = torch.tensor([[1, 7, 9, 3], [1, 5, 3, 0], [1, 8, 3, 0]]), torch.tensor([[1] * 4] + [[1, 1, 1, 0]] * 2)
    s = r.double(vqa)
    with torch.no_grad():
        image = vqa.visual_encoder(pixels.double())
    maps = answer_heatmaps(vqa, image, ids, mask, answers, answer_mask, layer)
    assert maps.shape == (3, 9, 4, 4)
    for row, (length, count) in enumerate([(6, 4), (9, 3), (3, 3)]):
        expected = answer_maps(s, config, image[row], ids[row, :length], answers[row, :count], layer)
        torch.testing.assert_close(maps[row, :length], expected, atol=1e-12, rtol=1e-8)
        assert expected.any() and not maps[row, length:].any()


def test_the_score_is_the_one_that_ranks(vqa):
    pixels, ids, mask = r.batch(vqa.config, [6], 9)
    answers, answer_mask = torch.tensor([[1, 7, 9, 3], [1, 5, 3, 0]]), torch.tensor([[1] * 4, [1, 1, 1, 0]])
    with torch.no_grad():
        states = vqa.question_states(pixels.double(), ids, mask)
        _, order, ranked = vqa.rank_answers(states, mask, answers, answer_mask, 2)
        both = answer_scores(vqa, states.repeat(2, 1, 1), mask.repeat(2, 1), answers, answer_mask)
    torch.testing.assert_close(both[order[0]], ranked[0])
