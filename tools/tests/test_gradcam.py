"""Grad-CAM by automatic differentiation against the closed form of the gradient, and grounding's measures."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import reference as r
import torch
from PIL import Image

from albef.evaluation.grounding import best_box, box_score, evaluate_grounding, overlap, peak_inside, upsample
from albef.gradcam import record_cross_attention, token_heatmaps
from albef.model import RetrievalModel
from albef.text import Tokenizer
from albef.world import vocabulary


def norm_parts(x, epsilon=1e-12):
    """The normalised input and the reciprocal deviation of a LayerNorm."""
    mean = x.mean(-1, keepdim=True)
    reciprocal = 1 / (((x - mean) ** 2).mean(-1, keepdim=True) + epsilon).sqrt()
    return (x - mean) * reciprocal, reciprocal


def closed_form(s, config, image, ids, layer):
    """Probabilities and gradient [H, T, S] of a layer's cross-attention for one text [T], without differentiation."""
    heads = config.text_heads
    x = r.text(s, config, ids[None], torch.ones(1, len(ids)), "text_encoder")[0]
    kept = {}
    for i in range(config.fusion_layer, config.text_layers):
        name, keep = f"text_encoder.encoder.layer.{i}", {}
        for kind, memory in (("attention", None), ("crossattention", image)):
            a = f"{name}.{kind}"
            memory = x if memory is None else memory
            q, k, v = (r.linear(s, f"{a}.self.{n}", y) for n, y in (("query", x), ("key", memory), ("value", memory)))
            mixed, p = r.attend(q, k, v, heads)
            summed = r.linear(s, f"{a}.output.dense", mixed) + x
            keep[kind] = (r.split(q, heads), r.split(k, heads), r.split(v, heads), p, norm_parts(summed))
            x = r.layer_norm(s, f"{a}.output.LayerNorm", summed, 1e-12)
        h = r.linear(s, f"{name}.intermediate.dense", x)
        summed = r.linear(s, f"{name}.output.dense", r.gelu(h)) + x
        keep["ffn"] = (h, norm_parts(summed))
        x = r.layer_norm(s, f"{name}.output.LayerNorm", summed, 1e-12)
        kept[i] = keep

    def norm_back(g, parts, name):
        unit, reciprocal = parts
        g = g * s[f"{name}.weight"]
        return reciprocal * (g - g.mean(-1, keepdim=True) - unit * (g * unit).mean(-1, keepdim=True))

    g = torch.zeros_like(x)
    g[0] = s["itm_head.weight"][1]
    scale = 1 / math.sqrt(config.text_width // heads)
    for i in reversed(range(layer, config.text_layers)):
        name, keep = f"text_encoder.encoder.layer.{i}", kept[i]
        h, parts = keep["ffn"]
        u = norm_back(g, parts, f"{name}.output.LayerNorm")
        density = torch.exp(-h * h / 2) / math.sqrt(2 * math.pi)
        slope = 0.5 * (1 + torch.erf(h / math.sqrt(2))) + h * density
        back = (u @ s[f"{name}.output.dense.weight"]) * slope
        g = u + back @ s[f"{name}.intermediate.dense.weight"]
        for kind in ("crossattention", "attention"):
            a = f"{name}.{kind}"
            q, k, v, p, parts = keep[kind]
            u = norm_back(g, parts, f"{a}.output.LayerNorm")
            o = r.split(u @ s[f"{a}.output.dense.weight"], heads)
            dp = o @ v.transpose(-1, -2)
            if i == layer and kind == "crossattention":
                return p, dp
            ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * scale
            g = u + r.merge(ds @ k) @ s[f"{a}.self.query.weight"]
            if kind == "attention":
                g = g + r.merge(ds.transpose(-1, -2) @ q) @ s[f"{a}.self.key.weight"]
                g = g + r.merge(p.transpose(-1, -2) @ o) @ s[f"{a}.self.value.weight"]
    raise AssertionError("not reached")


@pytest.fixture(scope="module")
def model() -> RetrievalModel:
    torch.manual_seed(4)
    made = RetrievalModel(r.tiny_config(text_layers=5, gradcam_layer=3), initializer_range=0.3, twins=False).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return made.double()


@pytest.mark.parametrize("layer", [2, 3, 4])
def test_gradients_are_those_of_the_closed_form(model, layer):
    pixels, ids, mask = r.batch(model.config, [6, 9, 3], 6)
    s = r.double(model)
    with torch.no_grad():
        image = model.visual_encoder(pixels.double())
    p, g, logits = record_cross_attention(model, image, ids, mask, layer)
    maps = token_heatmaps(model, image, ids, mask, layer)
    assert maps.shape == (3, 9, 4, 4)
    for row, length in enumerate([6, 9, 3]):
        expected_p, expected_g = closed_form(s, model.config, image[row], ids[row, :length], layer)
        torch.testing.assert_close(p[row, :, :length], expected_p, atol=1e-10, rtol=0)
        torch.testing.assert_close(g[row, :, :length], expected_g, atol=1e-10, rtol=1e-8)
        expected = (expected_p * expected_g.clamp(min=0))[:, :, 1:].mean(0).view(length, 4, 4)
        torch.testing.assert_close(maps[row, :length], expected, atol=1e-10, rtol=1e-8)
        assert not maps[row, length:].any()
    torch.testing.assert_close(logits, model.match_logits(model.bert.text(ids, mask), mask, image))
    assert all(core.recorded is None and not core.record for core in cores(model))


def cores(model):
    return [layer.crossattention.self for layer in model.bert.encoder.layer[model.config.fusion_layer :]]


def test_frozen_weights_serve_as_well_and_the_layer_defaults_to_the_configuration(model):
    pixels, ids, _ = r.batch(model.config, [5], 7)
    image = model.visual_encoder(pixels.double()).detach()
    expected = token_heatmaps(model, image, ids, None, 3)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    try:
        assert torch.equal(token_heatmaps(model, image, ids, None), expected)
    finally:
        for parameter in model.parameters():
            parameter.requires_grad_(True)


@pytest.mark.parametrize("layer", [1, 5])
def test_a_layer_without_cross_attention_is_refused(model, layer):
    pixels, ids, _ = r.batch(model.config, [5], 7)
    with pytest.raises(ValueError, match="cross-attention"):
        token_heatmaps(model, model.visual_encoder(pixels.double()), ids, None, layer)


def test_a_box_is_scored_on_whole_pixels_over_the_root_of_its_area():
    heatmap = np.arange(20, dtype=np.float32).reshape(4, 5)
    # Rows 0 and 1, columns 1 to 3 of the map.
    assert box_score(heatmap, [1.9, 0.5, 2.2, 1.6]) == pytest.approx((1 + 2 + 3 + 6 + 7 + 8) / math.sqrt(2.2 * 1.6))
    boxes = [[0, 0, 2, 2], [3, 2, 2, 2], [3, 2, 2, 2]]
    assert best_box(heatmap, boxes) == 1, "the first of equal scores"
    assert best_box(-heatmap, boxes) == 0, "the first box where none scores above zero"


def test_overlap_counts_inclusive_pixels():
    assert overlap([0, 0, 10, 10], [0, 0, 10, 10]) == 1
    assert overlap([0, 0, 10, 10], [5, 0, 10, 10]) == pytest.approx(50 / 150)
    assert overlap([0, 0, 10, 10], [9, 0, 10, 10]) == 0, "one shared column of pixels is none"


def test_the_peak_of_the_upsampled_map_is_looked_up_in_pixels_of_the_picture():
    heatmap = torch.zeros(4, 4)
    heatmap[1, 2] = 1.0
    large = upsample(heatmap, 80, 40)
    assert large.shape == (40, 80)
    assert peak_inside(large, [40, 10, 20, 10]) and not peak_inside(large, [0, 0, 39, 40])


@pytest.mark.parametrize("mode", ["itm", "itc"])
def test_grounding_is_measured_over_a_file(mode, tmp_path, monkeypatch):
    monkeypatch.setenv("ALBEF_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(3)
    entries, detections = [], {}
    for number in range(3):
        Image.fromarray(generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        detections[f"{number}.png"] = [[0, 0, 50, 40]]
        entries += [{"image": f"{number}.png", "text": "the red star", "ref_id": number, "bbox": [0, 0, 50, 40]}]
    entries.append(entries[0] | {"bbox": [1, 1, 5, 4], "ref_id": 9})
    (tmp_path / "g.json").write_text(json.dumps(entries))
    (tmp_path / "detections.json").write_text(json.dumps(detections))
    tokenizer = Tokenizer.from_file(vocabulary.PATH)
    torch.manual_seed(1)
    model = RetrievalModel(r.tiny_config(vocab_size=len(tokenizer.vocabulary)), twins=False)
    result = evaluate_grounding(model, tokenizer, tmp_path, "g.json", batch=3, mode=mode)
    assert result["box"] == 75 and 75 <= result["peak"] <= 100
    assert model.training
