"""Quantisation-aware training: its numbers are those of docs/arithmetic.md and of the runtime, its gradients pass through."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import reference as r
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from albef import quantization as q
from albef.gelu_int8 import gelu_int8
from albef.loading import load_model
from albef.model import PretrainModel, RetrievalModel, bert
from albef.model.attention import attend
from albef.random_checkpoint import build_random

ROOT = Path(__file__).resolve().parents[2]
BINARIES = os.environ.get("ALBEF_BINARIES")
MODELS = os.environ.get("ALBEF_MODELS")


@pytest.fixture(autouse=True)
def seed():
    print("seed 7")
    torch.manual_seed(7)


def quantized_row(row: np.ndarray) -> tuple[list[int], int, np.float32]:
    """The page's formula, one value after another in float32."""
    low, high = min(np.float32(0), row.min()), max(np.float32(0), row.max())
    span = high - low
    if span < 2.0**-100:
        return [0] * len(row), 0, np.float32(0)
    inverse = np.float32(255) / span
    zero = int(np.rint(-low * inverse))
    return [min(max(int(np.rint(x * inverse)) + zero, 0), 255) for x in row], zero, span / np.float32(255)


@pytest.mark.parametrize(
    "row",
    [[0.0, 0.0], [1e-35, -1e-35], [0.5], [-3.0, -1.0], [2.0, 7.0, 1.0], [-1.0, 0.25, 0.5, 4.0], list(np.linspace(-9, 3, 77))],
)
def test_rows_are_quantised_by_the_formula(row):
    values = np.array(row, np.float32)
    expected, zero, scale = quantized_row(values)
    codes, found = q.row_codes(torch.from_numpy(values)[None])
    assert (codes[0] + zero).tolist() == expected
    assert found.item() == scale


@pytest.mark.parametrize("dim", [-1, -2])
def test_symmetric_codes_use_the_whole_range_of_each_line_and_zero_lines_stay_zero(dim):
    x = torch.randn(3, 5, 7)
    line = x.movedim(dim, -1)  # a view
    line[0, 1] = 0
    codes, scale = q.symmetric_codes(x, dim)
    largest = line.abs().amax(-1)
    found = codes.movedim(dim, -1).abs().amax(-1)
    assert found[0, 1] == 0 and scale.movedim(dim, -1)[0, 1] == 0
    assert (found[largest > 0] == 127).all()
    assert torch.equal(codes, codes.round())
    assert ((codes * scale - x).abs() <= scale * 0.5001).all()


@pytest.mark.parametrize("depth", [1, 3, 128, 512])
def test_a_linear_layer_sums_whole_numbers_exactly(depth):
    x, weight, bias = torch.randn(4, depth) + 1, torch.randn(6, depth), torch.randn(6)
    codes, scale = q.row_codes(x)
    weight_codes, weight_scale = q.symmetric_codes(weight, 1)
    sums = codes.long() @ weight_codes.long().t()
    expected = sums.double() * (scale * weight_scale.t()).double() + bias.double()
    torch.testing.assert_close(q.quantized_linear(x, weight, bias).double(), expected, rtol=3e-7, atol=1e-6)


def test_gradients_pass_through_the_rounding():
    x, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((5, 16), (8, 16), (8,)))
    g = torch.randn(5, 8)
    q.quantized_linear(x, weight, bias).backward(g)
    codes, scale = q.row_codes(x.detach())
    weight_codes, weight_scale = q.symmetric_codes(weight.detach(), 1)
    torch.testing.assert_close(x.grad, g @ (weight_codes * weight_scale))
    torch.testing.assert_close(weight.grad, g.t() @ (codes * scale))
    torch.testing.assert_close(bias.grad, g.sum(0))


def test_int8_attention_follows_the_formula_and_stays_near_the_float_form():
    queries, keys, values = torch.randn(2, 3, 4, 8), torch.randn(2, 3, 9, 8), torch.randn(2, 3, 9, 8)
    found = q.quantized_attend(queries, keys, values)
    assert 1e-4 < (found - attend(queries, keys, values)).abs().max() < 0.05
    k_codes, k_scale = (t.numpy() for t in q.symmetric_codes(keys, -1))
    v_codes, v_scale = (t.numpy() for t in q.symmetric_codes(values, -2))
    for batch, head, query in np.ndindex(2, 3, 4):
        codes, zero, scale = quantized_row(queries[batch, head, query].numpy())
        sums = (np.array(codes) - zero) @ k_codes[batch, head].astype(int).T
        scores = sums.astype(np.float32) * (scale * k_scale[batch, head, :, 0] * np.float32(1 / math.sqrt(8)))
        weights = np.rint(255 * np.exp(scores - scores.max())).astype(int)
        mixed = (weights @ v_codes[batch, head].astype(int)) * v_scale[batch, head, 0] / weights.sum()
        np.testing.assert_allclose(found[batch, head, query], mixed, rtol=1e-5, atol=1e-6)


def cross_core() -> tuple[q.QuantizedCrossCore, torch.Tensor, torch.Tensor]:
    """A cross-attention of two heads that absorbs its projections, with a text and a picture for it."""
    core = q.QuantizedCrossCore(64, 48, 2, 0.0)
    core.attend = q.quantized_attend
    for layer in (core.query, core.key, core.value):
        layer.__class__ = q.QuantizedLinear
        nn.init.normal_(layer.weight, std=0.2)
    x, memory = torch.randn(1, 3, 64), torch.randn(1, 30, 48)
    assert q.absorbs(core, 3, 30)
    return core, x, memory


@torch.no_grad()
def test_absorbed_queries_follow_the_formula(monkeypatch):
    core, x, memory = cross_core()
    taken = []
    monkeypatch.setattr(q, "quantized_attend", lambda *arguments: taken.append(arguments) or torch.zeros(1, 1, 6, 48))
    core(x, memory, None, None)
    queries, keys, values, _, _, factor = taken[0]
    assert queries.shape == (1, 1, 6, 48) and factor == 1 / math.sqrt(32)
    assert torch.equal(keys[0], memory) and torch.equal(values[0], memory)
    codes, scales = (t.numpy() for t in q.symmetric_codes(core.key.weight, 1))
    plain = core.query(x)[0].numpy()
    for head, token in np.ndindex(2, 3):
        channels = slice(32 * head, 32 * head + 32)
        row, zero, scale = quantized_row(plain[token, channels] * scales[channels, 0])
        sums = (np.array(row) - zero) @ codes[channels].astype(int)
        np.testing.assert_array_equal(queries[0, 0, 3 * head + token], sums.astype(np.float32) * scale)


def test_the_absorbed_form_is_near_the_projected_one_and_passes_gradients():
    core, x, memory = cross_core()
    found = core(x, memory, None, None)
    projected = bert.AttentionCore.forward(core, x, memory, None, None)
    assert 1e-5 < (found - projected).abs().max() < 0.1 * projected.abs().max()
    gradients = [
        torch.autograd.grad((out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum(), core.key.weight)[0]
        for out in (found, projected)
    ]
    assert torch.cosine_similarity(*(gradient.flatten() for gradient in gradients), dim=0) > 0.98


def test_int8_attention_refuses_a_mask():
    x = torch.randn(1, 1, 2, 4)
    with pytest.raises(ValueError, match="mask"):
        q.quantized_attend(x, x, x, torch.ones(1, 1, 2, 2, dtype=torch.bool))


HEADS = {
    "vqa": set(), "entailment": {"cls_head.0", "cls_head.2"}, "nlvr": {"cls_head.0", "cls_head.2"},
    "nlvr_pretrain": {"vision_proj", "text_proj", "ta_head"},
}  # fmt: skip


@pytest.mark.parametrize("task", ["pretrain", "retrieval", "vqa", "entailment", "nlvr", "nlvr_pretrain"])
def test_the_matrices_that_the_exporter_quantises_are_quantised_and_no_others(task):
    model = build_random(task, r.tiny_config(), 3, twins=True, queue_size=8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ties = {name: tensor.data_ptr() for name, tensor in model.state_dict(keep_vars=True).items()}
    count = q.prepare_quantization_aware(model)

    assert {name: tensor.data_ptr() for name, tensor in model.state_dict(keep_vars=True).items()} == ties
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    quantized = (q.QuantizedLinear, q.QuantizedEmbedding, q.QuantizedPatchEmbed)
    int8 = {name for name, module in model.named_modules() if isinstance(module, quantized)}
    attends = {name for name, module in model.named_modules() if getattr(module, "attend", None) is q.quantized_attend}
    assert count == len(int8) + len(attends) and q.prepare_quantization_aware(model) == len(attends)
    assert not any(name.split(".")[0].endswith("_m") for name in int8 | attends)

    plain = {name for name, module in model.named_modules() if type(module) is nn.Linear and "_m" not in name.split(".")[0]}
    assert plain == HEADS.get(task, {"vision_proj", "text_proj", "itm_head"})
    config = model.config
    assert len(attends) == config.vision_layers + config.text_layers - config.fusion_layer
    assert not any(name.startswith("text_decoder") or ".attention." in name for name in attends)
    embeddings = [name for name in int8 if name.endswith("word_embeddings")]
    assert len(embeddings) == (2 if task == "vqa" else 1)


def batch(model: nn.Module) -> tuple:
    pixels = torch.randn(4, 3, model.config.image_size, model.config.image_size)
    ids = torch.randint(5, model.config.vocab_size, (4, 6))
    return pixels, ids, torch.ones_like(ids)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("kind", [PretrainModel, RetrievalModel])
def test_every_parameter_gets_a_finite_gradient(kind, bfloat16):
    special = {"cls_id": 2, "mask_id": 4} if kind is PretrainModel else {}
    model = kind(r.tiny_config(), queue_size=8, dropout=0.1, **special)
    q.prepare_quantization_aware(model)
    extra = {"identity": torch.arange(4)} if kind is RetrievalModel else {}
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        losses = model(*batch(model), **extra, alpha=0.0)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_training_lowers_the_error_that_rounding_causes():
    x, target = torch.randn(64, 24), torch.randn(64, 8)
    layer = nn.Linear(24, 8)
    layer.weight.data = torch.linalg.lstsq(x, target).solution.t().contiguous()
    layer.bias.data.zero_()
    layer.bias.requires_grad_(False)
    # A channel of one large weight leaves few steps for the others: the best float weights are not the best int8 ones.
    layer.weight.data[:, 0] *= 40
    x[:, 0] /= 40
    layer.__class__ = q.QuantizedLinear
    optimizer = torch.optim.SGD([layer.weight], lr=0.02)
    errors = []
    for _ in range(60):
        loss = (layer(x) - target).square().mean()
        errors.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert min(errors) < errors[0]


# -- against the runtime -------------------------------------------------------------------------------------------------


@torch.no_grad()
def stages(model: nn.Module, traced: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each block's output from what the runtime's trace gives as its input."""
    out, blocks, layers = {}, model.visual_encoder.blocks, model.bert.encoder.layer
    vision = model.visual_encoder
    patches = vision.patch_embed(traced["pixels"][None])
    x = torch.cat([vision.cls_token, patches], 1) + vision.pos_embed
    for number, block in enumerate(blocks):
        name = f"visual_encoder.blocks.{number}"
        out[name] = block(x)[0]
        x = traced[name][None]
    x = model.bert.embeddings(traced["input_ids"][None].long())
    image = traced["image_tokens"][None]
    for number, layer in enumerate(layers):
        name = f"text_encoder.encoder.layer.{number}"
        out[name] = layer(x, None, image if number >= model.bert.fusion_layer else None, None, None)[0]
        x = traced[name][None]
    if "mlm_logits" in traced:
        out["mlm_logits"] = model.text_encoder.cls(traced["fusion_tokens"])
    if "vqa_first_logits" in traced:
        start = torch.full((1, 1), model.cls_id)
        states = model.text_decoder.bert.decode(start, None, traced["fusion_tokens"][None], None)
        out["vqa_first_logits"] = model.text_decoder.cls(states[:, 0])[0]
    return out


@pytest.mark.skipif(
    BINARIES is None or MODELS is None, reason="ALBEF_BINARIES and ALBEF_MODELS name no built commands and models"
)
@pytest.mark.parametrize("name", ["pretrain", "retrieval", "vqa"])
def test_each_block_computes_as_the_runtime_does(name, tmp_path):
    """Within 1e-5, but where a value lay so near the middle between two codes that the last bit of a float32 decided.

    Such a value, in every other block, is a step of one code away, and the rest of its row or of the picture less: together
    at most half of what rounding changes in that block, 0.16 as seen. The other blocks agree to 1e-4 of it. Each block starts
    from the runtime's input, since the steps add up: after all blocks the two are 40 % of the rounding error apart.
    """
    checkpoint = ROOT / "models" / name / "model.safetensors"
    plain, model = load_model(checkpoint).model, load_model(checkpoint).model
    q.prepare_quantization_aware(model)
    text = ("--question", "how many stars are there?") if name == "vqa" else ("--text", "a large orange star on the grass")
    shares, ratios = [], []
    for picture in sorted((ROOT / "fixtures" / "demo").glob("*.*"))[:4]:
        out = tmp_path / "t.safetensors"
        command = [f"{BINARIES}/albef-infer", "trace", "-m", f"{MODELS}/{name}-int8.albef", "--image", str(picture)]
        subprocess.run([*command, *text, "--layers", "-o", str(out)], check=True, capture_output=True)
        traced = load_file(out)
        floats = stages(plain, traced)
        for stage, value in stages(model, traced).items():
            error, rounding = value - traced[stage], floats[stage] - traced[stage]
            shares.append((error.abs() < 1e-5).float().mean().item())
            ratios.append((error.square().mean() / rounding.square().mean()).sqrt().item())
            assert ratios[-1] < 0.5, (picture.name, stage, ratios[-1])
    assert np.mean(shares) > 0.9
    assert np.quantile(ratios, 0.3) < 1e-4 and np.median(ratios) < 0.05


def test_gelu_of_int8_layers_is_near_the_exact_one_and_has_its_gradient():
    x = torch.linspace(-8, 8, 160_001, requires_grad=True)
    y = gelu_int8(x)
    exact = F.gelu(x.detach().double())
    error = (y.double() - exact).abs()
    assert error.max() < 1.27e-4 and error[x.abs() < 3.75].max() < 2.7e-5
    assert torch.equal(y[x >= 4], x[x >= 4]) and not y[x <= -4].any()
    y.sum().backward()
    twin = x.detach().requires_grad_()
    F.gelu(twin).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad, rtol=0, atol=1e-6)
