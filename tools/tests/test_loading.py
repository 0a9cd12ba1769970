"""From one task's checkpoint to another's model: the official conversions, and a report that tells harmless from fatal."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import reference as r
import torch
from safetensors.torch import save_file

from albef.checkpoint import (
    is_twin_or_queue,
    read_checkpoint,
    save_checkpoint,
    save_official,
    shared_names,
    student_tensors,
)
from albef.conversion import convert
from albef.load_report import component, load_into, load_student
from albef.model import (
    EntailmentModel,
    NLVRModel,
    NLVRPretrainModel,
    PretrainModel,
    RetrievalModel,
    VQAModel,
)
from albef.train.initial import initialize

# The answer decoder takes layers that attended to image tokens, so both widths have to agree.
WIDTHS = dict(vision_width=32, vision_heads=4)
CONFIG = r.tiny_config(**WIDTHS)
COARSE = r.tiny_config(**WIDTHS, image_size=8)
PAIRED = r.tiny_config(**WIDTHS, text_layers=6)
LANGUAGE_HEAD = 7


def count(names, *parts: str) -> int:
    return sum(any(part in name for part in parts) for name in names)


def pretrained(config=CONFIG, queue_size: int = 12) -> PretrainModel:
    torch.manual_seed(1)
    model = PretrainModel(config, queue_size=queue_size)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def test_retrieval_takes_everything_but_the_language_heads():
    source = pretrained(COARSE).state_dict()
    model = RetrievalModel(CONFIG, queue_size=12)
    report = load_into(model, convert(source, "retrieval", CONFIG))
    assert report.fresh == ["idx_queue"]
    assert len(report.ignored) == 2 * LANGUAGE_HEAD and all(".cls." in name for name in report.ignored)
    assert report.interpolated == {"visual_encoder.pos_embed": (2, 4), "visual_encoder_m.pos_embed": (2, 4)}
    assert set(report.renamed) == {name for name in model.state_dict() if name.startswith("text_encoder")}
    assert report.problems() == []


def test_entailment_trains_a_classifier_of_its_own():
    source = pretrained(COARSE).state_dict()
    model = EntailmentModel(CONFIG)
    report = load_into(model, convert(source, "entailment", CONFIG))
    assert {component(name) for name in report.fresh} == {"cls_head", "cls_head_m"} and len(report.fresh) == 8
    parts = {component(name) for name in report.ignored}
    assert parts == {
        "vision_proj", "vision_proj_m", "text_proj", "text_proj_m", "itm_head", "temp", "image_queue", "text_queue", "queue_ptr",
        "text_encoder.cls", "text_encoder_m.cls",
    }  # fmt: skip
    assert report.problems() == []
    text = report.text()
    for words in ("cls_head: 4 tensors", "from 2 x 2 to 4 x 4", "queues: 3 tensors", "harmless"):
        assert words in text
    assert "FATAL" not in text


def test_the_answer_decoder_is_made_of_fusion_layers_and_language_head():
    source = pretrained(COARSE).state_dict()
    model = VQAModel(CONFIG)
    report = load_into(model, convert(source, "vqa", CONFIG))
    assert report.fresh == [] and report.problems() == []
    assert {component(name).removesuffix("_m") for name in report.ignored} == {
        "vision_proj", "text_proj", "itm_head", "temp", "image_queue", "text_queue", "queue_ptr",
    }  # fmt: skip
    state = model.state_dict()
    for twin in ("", "_m"):
        for layer in range(2):
            for tail in ("crossattention.self.key.weight", "output.LayerNorm.bias", "attention.self.query.bias"):
                made = state[f"text_decoder{twin}.bert.encoder.layer.{layer}.{tail}"]
                assert torch.equal(made, source[f"text_encoder{twin}.bert.encoder.layer.{2 + layer}.{tail}"])


def test_text_assignment_doubles_the_fusion_layers():
    source = pretrained(COARSE).state_dict()
    model = NLVRPretrainModel(PAIRED)
    report = load_into(model, convert(source, "nlvr_pretrain", PAIRED))
    assert report.fresh == ["ta_head.weight", "ta_head.bias"] and report.problems() == []
    kinds = {"queue", "itm_head", "_m.", ".cls."}
    assert all(count([name], *kinds) for name in report.ignored)
    state = model.state_dict()
    for layer, origin in enumerate((0, 1, 2, 2, 3, 3)):
        for tail in ("attention.self.query.weight", "intermediate.dense.bias", "crossattention.self.value.weight"):
            if layer >= 2 or "cross" not in tail:
                made = state[f"text_encoder.encoder.layer.{layer}.{tail}"]
                assert torch.equal(made, source[f"text_encoder.bert.encoder.layer.{origin}.{tail}"])


def test_nlvr_takes_a_text_assignment_checkpoint_as_it_is():
    torch.manual_seed(2)
    source = NLVRPretrainModel(r.tiny_config(**WIDTHS, text_layers=6, image_size=8)).state_dict()
    model = NLVRModel(PAIRED)
    report = load_into(model, convert(source, "nlvr", PAIRED))
    assert report.renamed == {} and report.problems() == []
    students = [name for name in report.fresh if not is_twin_or_queue(name)]
    assert {component(name) for name in students} == {"cls_head"}
    assert {name for name in report.fresh if is_twin_or_queue(name)} == {
        name for name in model.state_dict() if name.split(".")[0].endswith("_m") and not name.endswith("position_ids")
    }  # fmt: skip
    assert {component(name) for name in report.ignored} == {"ta_head", "vision_proj", "text_proj", "temp"}


def test_nlvr_takes_a_one_picture_encoder_and_leaves_a_classifier_over_other_classes_behind():
    source = student_tensors(EntailmentModel(CONFIG, twins=False))
    report = load_into(NLVRModel(PAIRED, twins=False), convert(source, "nlvr", PAIRED))
    assert {component(name) for name in report.fresh} == {"cls_head"} == {component(name) for name in report.ignored}
    assert report.problems() == []
    with pytest.raises(ValueError, match="has 5 layers; a two-picture encoder of 6 layers is made from 4 or 6"):
        convert({f"text_encoder.encoder.layer.{i}.output.dense.bias": torch.zeros(1) for i in range(5)}, "nlvr", PAIRED)


def test_a_pair_of_layers_shares_keys_and_values_alone():
    model = NLVRModel(PAIRED)
    shared = {name: first for name, first in shared_names(model).items() if not name.split(".")[0].endswith("_m")}
    cross = "text_encoder.encoder.layer.{}.crossattention.self.{}"
    parts = ("key.weight", "key.bias", "value.weight", "value.bias")
    assert shared == {cross.format(b, part): cross.format(a, part) for a, b in ((2, 3), (4, 5)) for part in parts}
    with pytest.raises(ValueError, match="3 fusing layers"):
        NLVRModel(r.tiny_config(text_layers=5))


def test_two_names_of_one_tensor_must_agree():
    source = NLVRModel(PAIRED, twins=False).state_dict()
    name = "text_encoder.encoder.layer.3.crossattention.self.key.bias"
    source[name] = source[name] + 1
    report = load_into(NLVRModel(PAIRED, twins=False), convert(source, "nlvr", PAIRED))
    assert report.unequal == [(name.replace("layer.3", "layer.2"), name)]
    with pytest.raises(ValueError, match="differ"):
        report.require()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("visual_encoder.blocks.1.mlp.fc1.weight"), "lacks 1 tensor, visual_encoder.blocks.1.mlp.fc1.weight"),
        (lambda s: s.update({"visual_encoder.blocks.2.norm1.bias": torch.zeros(32)}), "no place for 1 tensor, visual_encoder"),
        (lambda s: s.update({"text_proj.bias": torch.zeros(7)}), r"text_proj.bias has shape \[7\], the model needs \[16\]"),
        (lambda s: [s.pop(name) for name in list(s)] + [s.update({"conv.weight": torch.zeros(3)})], "another kind"),
    ],
)
def test_a_torn_file_is_fatal_and_says_why(change, message):
    source = student_tensors(RetrievalModel(CONFIG, twins=False))
    change(source)
    report = load_into(RetrievalModel(CONFIG, twins=False), convert(source, "retrieval", CONFIG))
    with pytest.raises(ValueError, match=message):
        report.require()
    assert "FATAL" in report.text()


def test_a_part_that_is_wholly_missing_is_fatal_only_where_the_model_must_be_complete():
    source = {name: t for name, t in student_tensors(RetrievalModel(CONFIG, twins=False)).items() if "visual" in name}
    report = load_into(RetrievalModel(CONFIG, twins=False), convert(source, "retrieval", CONFIG))
    assert report.problems() == []
    assert "text_encoder: 89 tensors" in report.text() and "starts untrained" in report.text()
    with pytest.raises(ValueError, match="lacks"):
        load_student(RetrievalModel(CONFIG, twins=False), convert(source, "retrieval", CONFIG))


def test_queues_of_another_size_stay_fresh():
    report = load_into(RetrievalModel(CONFIG, queue_size=24), convert(pretrained().state_dict(), "retrieval", CONFIG))
    assert set(report.fresh) == {"image_queue", "text_queue", "idx_queue"} and report.problems() == []


@pytest.mark.parametrize("kind", [PretrainModel, RetrievalModel, VQAModel, EntailmentModel, NLVRModel, NLVRPretrainModel])
def test_official_files_hold_every_name_and_shared_tensors_once(kind, tmp_path):
    torch.manual_seed(1)
    config = PAIRED if kind in (NLVRModel, NLVRPretrainModel) else CONFIG
    options = {"queue_size": 4} if kind in (PretrainModel, RetrievalModel) else {}
    model = kind(config, **options)
    save_official(tmp_path / "m.pth", model, epoch=3)
    content = torch.load(tmp_path / "m.pth", weights_only=True)
    assert content["epoch"] == 3 and set(content["model"]) == set(model.state_dict())
    kind(config, **options).load_state_dict(content["model"], strict=True)
    for name, first in shared_names(model).items():
        assert content["model"][name].data_ptr() == content["model"][first].data_ptr()
    assert any(name.endswith("position_ids") for name in content["model"])
    torch.save({f"module.{name}": tensor for name, tensor in content["model"].items()}, tmp_path / "ddp.pth")
    assert set(read_checkpoint(tmp_path / "ddp.pth").tensors) == set(content["model"])


def task(model: torch.nn.Module, name: str, config=CONFIG, **settings: object) -> SimpleNamespace:
    return SimpleNamespace(model=model, name=name, config=config, settings=settings)


def bert_file(old_names: bool, layers: int = 3) -> dict[str, torch.Tensor]:
    """A state dict as bert-base-uncased has it, in the models' width."""
    generator = torch.Generator().manual_seed(4)
    source = PretrainModel(r.tiny_config(**WIDTHS, text_layers=layers, gradcam_layer=2), twins=False).state_dict()
    out = {}
    for name, tensor in source.items():
        if name.startswith("text_encoder.") and "crossattention" not in name:
            name = name.removeprefix("text_encoder.")
            if old_names and "LayerNorm" in name:
                name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            filled = torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
            out[name] = filled
    out["cls.predictions.decoder.weight"] = out["bert.embeddings.word_embeddings.weight"]
    out["cls.predictions.decoder.bias"] = out["cls.predictions.bias"]
    return out | {"bert.pooler.dense.weight": torch.zeros(32, 32), "cls.seq_relationship.bias": torch.zeros(2)}


@pytest.mark.parametrize("old_names", [False, True])
def test_bert_weights_reach_text_encoder_decoder_and_twins(old_names, tmp_path):
    source = bert_file(old_names)
    norm = "LayerNorm.gamma" if old_names else "LayerNorm.weight"
    torch.save(source, tmp_path / "pytorch_model.bin")
    save_file({name: tensor.clone() for name, tensor in source.items()}, tmp_path / "model.safetensors")
    for file in ("pytorch_model.bin", "model.safetensors"):
        model = VQAModel(CONFIG)
        (report,) = initialize(task(model, "vqa"), bert=tmp_path / file)
        state = model.state_dict()
        for layer in range(3):
            expected = source[f"bert.encoder.layer.{layer}.output.{norm}"]
            assert torch.equal(state[f"text_encoder.encoder.layer.{layer}.output.LayerNorm.weight"], expected)
            assert torch.equal(state[f"text_encoder_m.encoder.layer.{layer}.output.LayerNorm.weight"], expected)
            if layer < 2:
                assert torch.equal(state[f"text_decoder.bert.encoder.layer.{layer}.output.LayerNorm.weight"], expected)
        assert torch.equal(state["text_decoder_m.cls.predictions.bias"], source["cls.predictions.bias"])
        assert set(report.ignored) == {"bert.pooler.dense.weight", "cls.seq_relationship.bias"}
        assert not any("crossattention" in name for name in report.loaded)


def test_a_bert_file_without_a_layers_tensor_is_refused(tmp_path):
    source = bert_file(False)
    del source["bert.encoder.layer.1.intermediate.dense.bias"]
    torch.save(source, tmp_path / "b.bin")
    with pytest.raises(ValueError, match="layer.1.intermediate.dense.bias"):
        initialize(task(PretrainModel(CONFIG, queue_size=4), "pretrain"), bert=tmp_path / "b.bin")


def test_deit_weights_are_resampled_to_the_models_grid(tmp_path):
    source = {
        name.removeprefix("visual_encoder."): torch.randn_like(tensor)
        for name, tensor in pretrained(COARSE).state_dict().items() if name.startswith("visual_encoder.")
    }  # fmt: skip
    torch.save({"model": source | {"head.weight": torch.zeros(10, 32), "head.bias": torch.zeros(10)}}, tmp_path / "deit.pth")
    model = PretrainModel(CONFIG, queue_size=4)
    (report,) = initialize(task(model, "pretrain"), deit=tmp_path / "deit.pth")
    assert report.interpolated == {"visual_encoder.pos_embed": (2, 4)} and set(report.ignored) == {"head.weight", "head.bias"}
    state = model.state_dict()
    for twin in ("", "_m"):
        assert torch.equal(state[f"visual_encoder{twin}.blocks.1.attn.qkv.weight"], source["blocks.1.attn.qkv.weight"])
    del source["blocks.0.norm1.bias"]
    torch.save({"model": source}, tmp_path / "deit.pth")
    with pytest.raises(ValueError, match="blocks.0.norm1.bias"):
        initialize(task(PretrainModel(CONFIG, queue_size=4), "pretrain"), deit=tmp_path / "deit.pth")


def test_twins_come_from_the_file_else_from_the_student_or_as_the_official_script_leaves_them(tmp_path):
    source = pretrained()
    save_official(tmp_path / "with_twins.pth", source)
    model = RetrievalModel(CONFIG, queue_size=12)
    initialize(task(model, "retrieval"), init=tmp_path / "with_twins.pth")
    name = "visual_encoder{}.blocks.0.attn.proj.weight"
    assert torch.equal(model.state_dict()[name.format("_m")], source.state_dict()[name.format("_m")])

    torch.save(NLVRPretrainModel(PAIRED).state_dict(), tmp_path / "ta.pth")
    loaded = read_checkpoint(tmp_path / "ta.pth").tensors[name.format("")]
    for official in (False, True):
        model = NLVRModel(PAIRED)
        constructed = model.state_dict()[name.format("_m")].clone()
        initialize(task(model, "nlvr", PAIRED, twins_from_constructor=official), init=tmp_path / "ta.pth")
        twin = model.state_dict()[name.format("_m")]
        assert torch.equal(twin, constructed if official else loaded)
        assert torch.equal(model.state_dict()["cls_head_m.0.weight"], model.state_dict()["cls_head.0.weight"])


def test_a_stripped_two_picture_checkpoint_keeps_one_name_of_shared_tensors_and_loads_completely(tmp_path):
    torch.manual_seed(1)
    model = NLVRModel(PAIRED, twins=False)
    save_checkpoint(tmp_path / "m.safetensors", model, "nlvr", ["[PAD]"] * 61)
    tensors = read_checkpoint(tmp_path / "m.safetensors").tensors
    assert count(tensors, "layer.2.crossattention.self.key") == 2 and count(tensors, "layer.3.crossattention.self.key") == 0
    again = NLVRModel(PAIRED, twins=False)
    load_student(again, convert(tensors, "nlvr", PAIRED))
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
