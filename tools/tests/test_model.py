"""The model: official names and counts at published size, checkpoints, and passes against the formulas."""

from __future__ import annotations

import dataclasses
import re

import pytest
import reference as r
import torch

from albef.checkpoint import read_checkpoint, save_checkpoint, student_tensors
from albef.conversion import convert
from albef.load_report import load_student
from albef.loading import infer_config, infer_task, load_model
from albef.model import (
    EntailmentModel,
    ModelConfig,
    NLVRModel,
    NLVRPretrainModel,
    PretrainModel,
    RetrievalModel,
    VQAModel,
)
from albef.optim import build_optimizer, ramped_alpha, step_rate

MODELS = {
    "pretrain": PretrainModel, "retrieval": RetrievalModel, "vqa": VQAModel, "entailment": EntailmentModel,
    "nlvr": NLVRModel, "nlvr_pretrain": NLVRPretrainModel,
}  # fmt: skip


def stripped(task: str, config: ModelConfig) -> torch.nn.Module:
    """A model without twins."""
    return MODELS[task](config) if task == "nlvr_pretrain" else MODELS[task](config, twins=False)


def vision_shapes(tokens: int) -> dict[str, tuple]:
    out = {
        "cls_token": (1, 1, 768), "pos_embed": (1, tokens, 768), "patch_embed.proj.weight": (768, 3, 16, 16),
        "patch_embed.proj.bias": (768,), "norm.weight": (768,), "norm.bias": (768,),
    }  # fmt: skip
    for i in range(12):
        for name, shape in (("attn.qkv", (2304, 768)), ("attn.proj", (768, 768)), ("mlp.fc1", (3072, 768)),
                            ("mlp.fc2", (768, 3072)), ("norm1", (768,)), ("norm2", (768,))):  # fmt: skip
            out[f"blocks.{i}.{name}.weight"], out[f"blocks.{i}.{name}.bias"] = shape, shape[:1]
    return out


def bert_shapes(layers: int, fusion_layer: int) -> dict[str, tuple]:
    e = "embeddings."
    out = {
        e + "position_ids": (1, 512), e + "word_embeddings.weight": (30522, 768),
        e + "position_embeddings.weight": (512, 768), e + "token_type_embeddings.weight": (2, 768),
        e + "LayerNorm.weight": (768,), e + "LayerNorm.bias": (768,),
    }  # fmt: skip
    for i in range(layers):
        parts = {"intermediate.dense": (3072, 768), "output.dense": (768, 3072), "output.LayerNorm": (768,)}
        for kind in ("attention", "crossattention")[: 1 + (i >= fusion_layer)]:
            parts |= {f"{kind}.self.{name}": (768, 768) for name in ("query", "key", "value")}
            parts |= {f"{kind}.output.dense": (768, 768), f"{kind}.output.LayerNorm": (768,)}
        for name, shape in parts.items():
            out[f"encoder.layer.{i}.{name}.weight"], out[f"encoder.layer.{i}.{name}.bias"] = shape, shape[:1]
    return out


HEAD = {
    "predictions.bias": (30522,), "predictions.transform.dense.weight": (768, 768),
    "predictions.transform.dense.bias": (768,), "predictions.transform.LayerNorm.weight": (768,),
    "predictions.transform.LayerNorm.bias": (768,), "predictions.decoder.weight": (30522, 768),
    "predictions.decoder.bias": (30522,),
}  # fmt: skip
PROJECTION = {"weight": (256, 768), "bias": (256,)}


def with_head(body: dict[str, tuple]) -> dict[str, tuple]:
    return {f"bert.{n}": s for n, s in body.items()} | {f"cls.{n}": s for n, s in HEAD.items()}


def official_shapes(task: str) -> dict[str, tuple]:
    tokens = 257 if task.endswith("pretrain") else 577
    modules: dict[str, dict[str, tuple]] = {"visual_encoder": vision_shapes(tokens)}
    body = bert_shapes(18 if task.startswith("nlvr") else 12, 6)
    if task == "pretrain":
        modules["text_encoder"] = with_head(body)
    else:
        modules["text_encoder"] = body
    if task == "vqa":
        modules["text_decoder"] = with_head(bert_shapes(6, 0))
    elif task in ("entailment", "nlvr"):
        classes = 3 if task == "entailment" else 2
        modules["cls_head"] = {
            "0.weight": (768, 768), "0.bias": (768,), "2.weight": (classes, 768), "2.bias": (classes,),
        }  # fmt: skip
    else:
        modules |= {"vision_proj": PROJECTION, "text_proj": PROJECTION}
    out = {}
    for module, names in modules.items():
        out |= {f"{module}{twin}.{n}": s for n, s in names.items() for twin in ("", "_m")[: 1 if task == "nlvr_pretrain" else 2]}
    if task == "nlvr_pretrain":
        out |= {"temp": (), "ta_head.weight": (3, 768), "ta_head.bias": (3,)}
    if task in ("pretrain", "retrieval"):
        out |= {"temp": (), "itm_head.weight": (2, 768), "itm_head.bias": (2,), "queue_ptr": (1,)}
        out |= {"image_queue": (256, 65536), "text_queue": (256, 65536)}
    if task == "retrieval":
        out["idx_queue"] = (1, 65536)
    return out


@pytest.mark.parametrize(
    ("task", "keys", "parameters", "trainable"),
    [
        ("pretrain", 844, 419_873_911, 209_937_725),
        ("retrieval", 831, 419_120_131, 209_560_835),
        ("vqa", 1154, 580_672_116, 290_336_058),
        ("entailment", 824, 419_516_934, 209_758_467),
        ("nlvr", 1136, 518_762_500, 259_381_250),
        ("nlvr_pretrain", 571, 258_939_396, 258_939_396),
    ],
)
def test_published_names_shapes_and_counts(task, keys, parameters, trainable):
    with torch.device("meta"):
        layers = 18 if task.startswith("nlvr") else 12
        model = MODELS[task](ModelConfig(image_size=256 if task.endswith("pretrain") else 384, text_layers=layers))
    state = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert state == official_shapes(task)
    assert len(state) == keys
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trainable


@pytest.mark.parametrize("task", MODELS)
def test_a_wrapped_checkpoint_loads_strictly_and_a_stripped_one_completely(task, tmp_path):
    torch.manual_seed(1)
    model = MODELS[task](r.tiny_config())
    torch.save({"model": model.state_dict(), "epoch": 4}, tmp_path / "wrapped.pth")
    tensors = read_checkpoint(tmp_path / "wrapped.pth").tensors
    MODELS[task](r.tiny_config()).load_state_dict(tensors, strict=True)

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(56))]
    answers = ["w1", "w2 w3"] if task == "vqa" else None
    save_checkpoint(tmp_path / "m.safetensors", model, task, vocabulary, answers)
    loaded = load_model(tmp_path / "m.safetensors")
    assert (loaded.task, loaded.answers, loaded.tokenizer.vocabulary) == (task, answers, vocabulary)
    assert loaded.model.config == model.config and not loaded.model.training
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name

    del tensors["visual_encoder.norm.bias"]
    with pytest.raises(ValueError, match=re.escape("visual_encoder.norm.bias")):
        load_student(stripped(task, r.tiny_config()), convert(tensors, task, r.tiny_config()))


@pytest.mark.parametrize("task", MODELS)
def test_shape_and_task_are_read_from_tensors_alone(task):
    widths = dict(vision_width=128, vision_heads=2, text_width=64, text_heads=1, embed_dim=256)
    config = r.tiny_config(**widths, decoder_layers=6)
    state = student_tensors(stripped(task, config))
    assert infer_task(state) == task
    assert infer_config(state) == config


def test_answers_start_from_the_fusion_layers_of_a_pretrained_model():
    torch.manual_seed(2)
    # Decoder layers come from layers that attend to image tokens, so the widths have to agree.
    widths = dict(vision_width=32, vision_heads=4)
    source = PretrainModel(r.tiny_config(image_size=8, **widths)).state_dict()
    config = r.tiny_config(**widths)
    converted = convert(source, "vqa", config)
    model = VQAModel(config)
    report = model.load_state_dict(converted.tensors, strict=False)
    assert report.missing_keys == []
    assert {name.split(".")[0] for name in report.unexpected_keys} == {
        "vision_proj", "vision_proj_m", "text_proj", "text_proj_m", "itm_head", "temp", "image_queue", "text_queue",
        "queue_ptr",
    }  # fmt: skip
    state = model.state_dict()
    for twin in ("", "_m"):
        for i in (0, 1):
            name = "crossattention.self.key.weight"
            expected = source[f"text_encoder{twin}.bert.encoder.layer.{i + 2}.{name}"]
            assert torch.equal(state[f"text_decoder{twin}.bert.encoder.layer.{i}.{name}"], expected)
        assert torch.equal(
            state[f"text_decoder{twin}.cls.predictions.bias"], source[f"text_encoder{twin}.cls.predictions.bias"]
        )
        assert state[f"visual_encoder{twin}.pos_embed"].shape == (1, 17, 32)


def test_retrieval_takes_a_pretrained_model_without_its_language_head():
    source = PretrainModel(r.tiny_config()).state_dict()
    converted = convert(source, "retrieval", r.tiny_config())
    report = RetrievalModel(r.tiny_config()).load_state_dict(converted.tensors, strict=False)
    # The queues' sizes agree, so the features go along.
    assert report.missing_keys == ["idx_queue"]
    assert len(report.unexpected_keys) == 14 and all(".cls." in name for name in report.unexpected_keys)


def test_passes_agree_with_the_formulas_whatever_the_padding():
    config = r.tiny_config()
    torch.manual_seed(5)
    model = PretrainModel(config, initializer_range=0.2, twins=False).eval()
    s = r.double(model)
    pixels, ids, mask = r.batch(config, [6, 9, 3], 6)
    with torch.no_grad():
        image, feature = model.encode_image(pixels)
        words, text_feature = model.encode_text(ids, mask)
        fused = model.bert.fuse(words, mask, image)
        both = model.bert.multi_modal(ids, mask, image)
        logits = model.text_encoder.cls(fused)
    expected_image = r.vision(s, config, pixels)
    close = dict(atol=2e-5, rtol=0)
    torch.testing.assert_close(image.double(), expected_image, **close)
    expected = r.normalize(r.linear(s, "vision_proj", expected_image[:, 0]))
    torch.testing.assert_close(feature.double(), expected, **close)
    assert torch.equal(fused, both)
    for row, length in enumerate(mask.sum(1).tolist()):
        # The formulas on the text alone, without padding.
        one, ones = ids[None, row, :length], torch.ones(1, length)
        alone = r.text(s, config, one, ones, "text_encoder.bert")
        torch.testing.assert_close(words[row, :length].double(), alone[0], **close)
        expected = r.normalize(r.linear(s, "text_proj", alone[0, 0]))
        torch.testing.assert_close(text_feature[row].double(), expected, **close)
        whole = r.fuse(s, config, alone, ones, expected_image[None, row], "text_encoder.bert")
        torch.testing.assert_close(fused[row, :length].double(), whole[0], **close)
        torch.testing.assert_close(
            logits[row, :length].double(), r.language_head(s, "text_encoder.cls", whole)[0], atol=1e-4, rtol=0
        )


def test_the_decoder_never_looks_ahead():
    torch.manual_seed(3)
    decoder = VQAModel(r.tiny_config(), twins=False).eval().text_decoder.bert
    states = torch.randn(1, 3, 32)
    long = decoder.decode(torch.tensor([[2, 5, 6, 7]]), None, states, None)
    short = decoder.decode(torch.tensor([[2, 5]]), None, states, None)
    torch.testing.assert_close(long[:, :2], short, atol=1e-6, rtol=0)


def test_many_texts_may_share_a_picture():
    config = r.tiny_config()
    model = RetrievalModel(config, twins=False).eval()
    pixels, ids, mask = r.batch(config, [6, 9, 3], 6)
    image, _ = model.encode_image(pixels[:2])
    words, _ = model.encode_text(ids, mask)
    rows = torch.tensor([1, 0, 1])
    shared, repeated = model.match_logits(words, mask, image, rows), model.match_logits(words, mask, image[rows])
    torch.testing.assert_close(shared, repeated, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "change", [{"vision_width": 25}, {"image_size": 18}, {"gradcam_layer": 4}, {"gradcam_layer": 1}, {"widht": 8}]
)
def test_an_impossible_shape_is_refused(change):
    with pytest.raises(ValueError):
        ModelConfig.from_dict(dataclasses.asdict(r.tiny_config()) | change)


def test_vectors_and_biases_alone_are_not_decayed():
    model = PretrainModel(r.tiny_config())
    names = {parameter: name for name, parameter in model.named_parameters()}
    plain, decayed = build_optimizer(model, 1e-4, 0.02).param_groups
    assert (plain["weight_decay"], decayed["weight_decay"]) == (0.0, 0.02)
    free = {names[p] for p in plain["params"]}
    assert all(name.endswith(".bias") or "norm" in name.lower() for name in free)
    weighed = {names[p] for p in decayed["params"]}
    assert {"temp", "visual_encoder.pos_embed", "visual_encoder.cls_token"} <= weighed
    assert not any(name.split(".")[0].endswith("_m") for name in free | weighed)


@pytest.mark.parametrize(
    ("values", "rates"),
    [
        (dict(lr=1e-5, min_lr=1e-6, warmup_lr=1e-5, warmup_epochs=1, epochs=5), [9.141e-6, 6.891e-6, 4.109e-6]),
        (dict(lr=2e-5, min_lr=1e-6, warmup_lr=1e-5, warmup_epochs=4, epochs=8), [1.928e-5, 1.722e-5, 1.414e-5]),
        (dict(lr=1e-4, min_lr=1e-5, warmup_lr=1e-5, warmup_epochs=20, epochs=30), [9.975e-5, 9.902e-5]),
    ],
)
def test_the_published_rates(values, rates):
    for epoch, rate in enumerate(rates, 1):
        assert step_rate(epoch, 0, **values) == pytest.approx(rate, rel=1e-3)
    assert step_rate(0, 99, **values) == pytest.approx(values["warmup_lr"])
    assert step_rate(0, 100 * values["warmup_epochs"], **values) == values["lr"]
    assert ramped_alpha(0.4, 0, 25, 100) == pytest.approx(0.1) and ramped_alpha(0.4, 1, 0, 100) == 0.4
