"""The model against the official key sets, and against plain restatements of its formulas."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from albef.checkpoint import convert, load_into
from albef.gradcam import gradcam
from albef.model import ModelConfig, PretrainModel, RetrievalModel, VQAModel
from albef.model.vision import interpolate_positions

TINY = ModelConfig(
    image_size=12, patch_size=4, vision_width=12, vision_layers=2, vision_heads=2, text_width=12, text_layers=4, fusion_layer=2,
    text_heads=3, embed_dim=8, vocab_size=40, max_positions=16, decoder_layers=2, gradcam_layer=2,
)  # fmt: skip


def tiny(kind, seed: int = 0, **options):
    torch.manual_seed(seed)
    if kind is not VQAModel:
        options |= {"queue_size": 8}
    return kind(TINY, dropout=0.0, initializer_range=0.3, **options).double()


@pytest.mark.parametrize(
    ("kind", "size", "keys", "student_parameters"),
    [(PretrainModel, 256, 844, 209_937_725), (RetrievalModel, 384, 831, 209_560_835), (VQAModel, 384, 1154, 290_336_058)],
)
def test_the_published_size_has_the_official_keys_and_parameters(kind, size: int, keys: int, student_parameters: int) -> None:
    with torch.device("meta"):
        model = kind(ModelConfig(image_size=size))
    state = model.state_dict()
    assert len(state) == keys
    assert state["text_encoder.bert.embeddings.position_ids" if kind is PretrainModel else
                 "text_encoder.embeddings.position_ids"].shape == (1, 512)  # fmt: skip
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == student_parameters


def test_a_state_dict_loads_strictly_into_a_model_of_its_kind() -> None:
    for kind in (PretrainModel, RetrievalModel, VQAModel):
        source, target = tiny(kind, 1), tiny(kind, 2)
        assert not any(target.load_state_dict(source.state_dict(), strict=True))


def test_pretraining_converts_to_retrieval_and_to_vqa_with_nothing_missing_but_the_identity_queue() -> None:
    tensors = tiny(PretrainModel).state_dict()
    report = load_into(tiny(RetrievalModel), convert(tensors, "retrieval", TINY))
    assert report.missing == ["idx_queue"]
    assert len(report.unexpected) == 14 and all(".cls." in name for name in report.unexpected)
    assert load_into(tiny(VQAModel), convert(tensors, "vqa", TINY)).missing == []


def test_multimodal_is_fusion_of_text_and_padding_changes_nothing() -> None:
    model = tiny(RetrievalModel).eval()
    image = torch.randn(1, TINY.image_tokens, TINY.vision_width, dtype=torch.float64)
    ids = torch.tensor([[2, 7, 9, 11]])
    whole = model.bert.multi_modal(ids, None, image)
    assert torch.equal(whole, model.bert.fuse(model.bert.text(ids), None, image))
    padded, mask = torch.tensor([[2, 7, 9, 11, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]])
    torch.testing.assert_close(model.bert.multi_modal(padded, mask, image)[:, :4], whole, rtol=0, atol=1e-12)


def test_the_decoder_never_looks_ahead() -> None:
    model = tiny(VQAModel).eval()
    states = torch.randn(1, 3, TINY.text_width, dtype=torch.float64)
    long = model.text_decoder.bert.decode(torch.tensor([[2, 5, 6, 7]]), None, states, None)
    short = model.text_decoder.bert.decode(torch.tensor([[2, 5]]), None, states, None)
    torch.testing.assert_close(long[:, :2], short, rtol=0, atol=1e-12)


def test_position_embeddings_are_resampled_with_the_stated_weights() -> None:
    positions = torch.zeros(1, 1 + 16 * 16, 1, dtype=torch.float64)
    positions[0, 1:, 0] = torch.arange(16.0).repeat(16)  # a ramp along x
    grid = interpolate_positions(positions, 24)[0, 1:, 0].view(24, 24)
    weights = [-0.01736111, 0.16087963, 0.94328704, -0.08680556]
    expected = [sum(w * max(0, tap) for w, tap in zip(weights, range(-2, 2), strict=True))]
    assert grid[5, 0].item() == pytest.approx(expected[0], abs=1e-6)
    inner = sum(w * tap for w, tap in zip([-0.09375, 0.59375, 0.59375, -0.09375], range(3, 7), strict=True))
    assert grid[5, 7].item() == pytest.approx(inner, abs=1e-6)


def layer_norm_backward(g, x, norm):
    centred = x - x.mean(-1, keepdim=True)
    r = (centred.pow(2).mean(-1, keepdim=True) + norm.eps).rsqrt()
    x_hat, g_hat = centred * r, g * norm.weight
    return r * (g_hat - g_hat.mean(-1, keepdim=True) - x_hat * (g_hat * x_hat).mean(-1, keepdim=True))


def closed_form(model, image, ids, layer: int):
    """Appendix-style Grad-CAM: the gradient by hand through the text stream of the layers above ``layer``."""
    heads = TINY.text_heads
    split = lambda x: x.view(-1, heads, TINY.text_width // heads).transpose(0, 1)  # noqa: E731
    merge = lambda x: x.transpose(0, 1).flatten(1)  # noqa: E731
    scale = 1 / math.sqrt(TINY.text_width // heads)
    x = model.bert.text(ids[None])[0]
    kept = {}
    for number in range(TINY.fusion_layer, TINY.text_layers):
        block = model.bert.encoder.layer[number]
        core = block.attention.self
        q, k, v = split(core.query(x)), split(core.key(x)), split(core.value(x))
        p = (q @ k.transpose(1, 2) * scale).softmax(-1)
        a_in = block.attention.output.dense(merge(p @ v)) + x
        a = block.attention.output.LayerNorm(a_in)
        cross = block.crossattention.self
        q2, k2, v2 = split(cross.query(a)), split(cross.key(image)), split(cross.value(image))
        p2 = (q2 @ k2.transpose(1, 2) * scale).softmax(-1)
        c_in = block.crossattention.output.dense(merge(p2 @ v2)) + a
        c = block.crossattention.output.LayerNorm(c_in)
        h = block.intermediate.dense(c)
        y_in = block.output.dense(F.gelu(h)) + c
        kept[number] = (q, k, v, p, a_in, k2, v2, p2, c_in, h, y_in)
        x = block.output.LayerNorm(y_in)
    g = torch.zeros_like(x)
    g[0] = model.itm_head.weight[1]
    for number in reversed(range(layer, TINY.text_layers)):
        block = model.bert.encoder.layer[number]
        q, k, v, p, a_in, k2, v2, p2, c_in, h, y_in = kept[number]
        u = layer_norm_backward(g, y_in, block.output.LayerNorm)
        slope = 0.5 * (1 + torch.erf(h / math.sqrt(2))) + h * torch.exp(-h * h / 2) / math.sqrt(2 * math.pi)
        g = u + ((u @ block.output.dense.weight) * slope) @ block.intermediate.dense.weight
        u = layer_norm_backward(g, c_in, block.crossattention.output.LayerNorm)
        dp = split(u @ block.crossattention.output.dense.weight) @ v2.transpose(1, 2)
        if number == layer:
            return (p2 * dp.clamp_min(0))[:, :, 1:].mean(0)
        ds = p2 * (dp - (dp * p2).sum(-1, keepdim=True)) * scale
        g = u + merge(ds @ k2) @ block.crossattention.self.query.weight
        u = layer_norm_backward(g, a_in, block.attention.output.LayerNorm)
        o = split(u @ block.attention.output.dense.weight)
        dp = o @ v.transpose(1, 2)
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * scale
        core = block.attention.self
        g = u + merge(ds @ k) @ core.query.weight + merge(ds.transpose(1, 2) @ q) @ core.key.weight
        g = g + merge(p.transpose(1, 2) @ o) @ core.value.weight
    raise AssertionError("the layer was not reached")


@pytest.mark.parametrize("layer", [2, 3])
def test_gradcam_by_autograd_equals_the_closed_form(layer: int) -> None:
    model = tiny(RetrievalModel).eval()
    image = torch.randn(TINY.image_tokens, TINY.vision_width, dtype=torch.float64)
    ids = torch.tensor([2, 7, 9, 11, 30])
    with torch.no_grad():
        expected = closed_form(model, image, ids, layer)
    torch.testing.assert_close(gradcam(model, image, ids, layer).flatten(1), expected, rtol=1e-9, atol=1e-12)


def test_answers_are_ranked_as_one_by_one_with_the_first_token_twice() -> None:
    model = tiny(VQAModel, cls_id=2).eval()
    states, mask = torch.randn(1, 4, TINY.text_width, dtype=torch.float64), torch.ones(1, 4)
    answers = [[2, 5, 3], [2, 6, 7, 3], [2, 5, 8, 9, 3], [2, 10, 3]]
    ids = torch.zeros(4, 5, dtype=torch.long)
    for row, answer in enumerate(answers):
        ids[row, : len(answer)] = torch.tensor(answer)
    first, ranked, scores = model.rank_answers(states, mask, ids, (ids != 0).long(), 4)
    expected = []
    for answer in answers:
        hidden = model.text_decoder.bert.decode(torch.tensor([answer[:-1]]), None, states, None)
        logs = model.text_decoder.cls(hidden)[0].log_softmax(-1)
        steps = [logs[place, token].item() for place, token in enumerate(answer[1:])]
        expected.append(sum(steps) + steps[0])
    assert ranked[0].tolist() == sorted(range(4), key=lambda number: -expected[number])
    torch.testing.assert_close(scores[0], torch.tensor(sorted(expected, reverse=True), dtype=torch.float64))
    assert first.shape == (1, TINY.vocab_size)
