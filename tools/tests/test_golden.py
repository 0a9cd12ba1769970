"""Golden fixtures and random checkpoints: what is written reads back, and twice the same."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import reference as r
import torch

from albef import golden, random_checkpoint
from albef.checkpoint import read_checkpoint, save_checkpoint
from albef.gradcam import token_heatmaps
from albef.loading import load_model
from albef.model import RetrievalModel
from albef.model.config import small_config
from albef.optim import build_optimizer
from albef.world import questions, vocabulary

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "fixtures" / "golden"
PIECES = vocabulary.PATH.read_text().splitlines()
ORDER = (
    "pixels_u8", "pixels", "image_tokens", "pixels_u8_left", "pixels_left", "image_tokens_left", "pixels_u8_right",
    "pixels_right", "image_tokens_right", "image_feature", "input_ids", "text_tokens", "text_feature", "fusion_tokens",
    "itm_logits", "mlm_logits", "gradcam", "itc_gradcam", "vqa_first_logits", "vqa_answer_ids", "vqa_answer_scores",
    "vqa_gradcam", "entailment_logits", "nlvr_logits",
)  # fmt: skip
SHIPPED_MODELS = sorted(path.parent.name for path in (ROOT / "models").glob("*/model.safetensors"))
TYPES = {
    "pixels_u8": np.uint8, "pixels_u8_left": np.uint8, "pixels_u8_right": np.uint8, "input_ids": np.int32,
    "vqa_answer_ids": np.int32,
}  # fmt: skip


@pytest.fixture(autouse=True)
def keep_torch_settings():
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture
def root(tmp_path) -> Path:
    entries = json.loads((SHIPPED / "pictures.json").read_text())
    chosen = [*entries[:2], *(e for e in entries if e["image"].endswith(("one-pixel.png", "cmyk.jpg")))]
    (tmp_path / "golden" / "pictures").mkdir(parents=True)
    for entry in chosen:
        shutil.copy(SHIPPED / entry["image"], tmp_path / "golden" / entry["image"])
    (tmp_path / "golden" / "pictures.json").write_text(json.dumps(chosen))
    return tmp_path


def checkpoint(root: Path, task: str) -> Path:
    config = r.tiny_config(vocab_size=len(PIECES), max_positions=32)
    model = random_checkpoint.build_random(task, config, 1, twins=False)
    path = root / f"{task}.safetensors"
    save_checkpoint(path, model, task, PIECES, list(questions.ANSWERS) if task == "vqa" else None)
    return path


@pytest.mark.parametrize("task", ["pretrain", "retrieval", "vqa"])
def test_fixtures_read_back_with_every_tensor_in_order_and_are_reproducible(task, root, monkeypatch):
    monkeypatch.setattr(golden, "WHOLE_VQA_CASES", 3)
    source, folder = checkpoint(root, task), root / "golden" / task
    masked = 7 if task == "pretrain" else 0
    assert golden.write_golden(source, folder, 7) == 7 + masked
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest, tensors = golden.read_golden(folder)

    assert manifest["format"] == 1 and manifest["model"] == task
    assert manifest["checkpoint_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert {"torch", "pillow"} <= set(manifest["versions"])
    assert len({case["name"] for case in manifest["cases"]}) == 7 + masked
    assert {case["image"] for case in manifest["cases"]} == set(manifest["pictures"]) and len(manifest["pictures"]) == 4
    described = {entry["image"]: entry for entry in json.loads((root / "golden" / "pictures.json").read_text())}
    for number, case in enumerate(manifest["cases"]):
        assert case["tensors"] == sorted(case["tensors"], key=ORDER.index)
        assert case["image_sha256"] == described[case["image"]]["sha256"] == manifest["pictures"][case["image"]]
        found = {name: tensors[f"{case['name']}/{name}"] for name in case["tensors"]}
        for name, tensor in found.items():
            assert tensor.dtype == TYPES.get(name, np.float32), name
        if task == "vqa":
            assert case["question"] in described[case["image"]]["questions"] and "text" not in case
            assert ("pixels" in found) == (number < 3)
            assert sorted(found["vqa_answer_ids"].tolist()) == list(range(len(questions.ANSWERS)))
            assert (np.diff(found["vqa_answer_scores"]) <= 0).all()
        elif "masked_text" in case:
            words = case["masked_text"].split(" ")
            assert words.count("[MASK]") in (1, 2)
            assert (found["input_ids"] == PIECES.index("[MASK]")).sum() == words.count("[MASK]")
            assert found["mlm_logits"].shape == (len(found["input_ids"]), len(PIECES))
        else:
            entry = described[case["image"]]
            assert case["text"] in entry["captions"] + entry["expressions"] and "question" not in case
            assert found["gradcam"].shape == (len(found["input_ids"]), 4, 4)
            assert ("mlm_logits" in found) == (task == "pretrain")

    golden.write_golden(source, folder, 7)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_tensors_are_those_of_the_model(root):
    source, folder = checkpoint(root, "retrieval"), root / "golden" / "retrieval"
    golden.write_golden(source, folder, 2)
    manifest, tensors = golden.read_golden(folder)
    model = load_model(source).model
    s = r.double(model)
    for case in manifest["cases"]:
        t = {name: torch.from_numpy(tensors[f"{case['name']}/{name}"]) for name in case["tensors"]}
        ids, ones = t["input_ids"][None].long(), torch.ones(1, len(t["input_ids"]))
        image = r.vision(s, model.config, t["pixels"][None])
        words = r.text(s, model.config, ids, ones, "text_encoder")
        fused = r.fuse(s, model.config, words, ones, image, "text_encoder")
        expected = {
            "image_tokens": image, "text_tokens": words, "fusion_tokens": fused,
            "itm_logits": r.linear(s, "itm_head", fused[:, 0]),
            "image_feature": r.normalize(r.linear(s, "vision_proj", image[:, 0])),
        }  # fmt: skip
        for name, value in expected.items():
            torch.testing.assert_close(t[name].double(), value[0], atol=2e-5, rtol=0)
        again = token_heatmaps(model, t["image_tokens"][None], ids, None)
        torch.testing.assert_close(t["gradcam"], again[0], atol=1e-9, rtol=1e-4)


@pytest.mark.parametrize(("task", "sides"), [("entailment", [""]), ("nlvr", ["_left", "_right"])])
def test_sentences_have_every_picture_and_the_logits_of_the_formulas(task, sides, root):
    source, folder = checkpoint(root, task), root / "golden" / task
    assert golden.write_golden(source, folder, 5) == 5
    manifest, tensors = golden.read_golden(folder)
    config = load_model(source).model.config
    s = r.double(load_model(source).model)
    for case in manifest["cases"]:
        images = case["images"] if task == "nlvr" else [case["image"]]
        sums = case["images_sha256"] if task == "nlvr" else [case["image_sha256"]]
        assert [manifest["pictures"][image] for image in images] == sums and len(images) == len(sides)
        assert case["tensors"] == sorted(case["tensors"], key=ORDER.index)
        t = {name: torch.from_numpy(tensors[f"{case['name']}/{name}"]) for name in case["tensors"]}
        ids = t["input_ids"][None].long()
        pictures = [r.vision(s, config, t[f"pixels{side}"][None]) for side in sides]
        for picture, side in zip(pictures, sides, strict=True):
            torch.testing.assert_close(t[f"image_tokens{side}"].double(), picture[0], atol=2e-5, rtol=0)
        ones = torch.ones_like(ids)
        fused = r.fuse(s, config, r.text(s, config, ids, ones, "text_encoder"), ones, pictures, "text_encoder")
        torch.testing.assert_close(t["fusion_tokens"].double(), fused[0], atol=2e-5, rtol=0)
        expected = r.classify(s, "cls_head", fused[:, 0])
        torch.testing.assert_close(t[f"{task}_logits"].double(), expected[0], atol=2e-5, rtol=0)


def test_captions_are_cut_at_thirty_tokens_and_questions_at_the_position_table(root):
    entries = json.loads((root / "golden" / "pictures.json").read_text())[:1]
    entries[0] |= {"captions": ["a a-b " * 20], "expressions": [], "questions": ["a-b " * 20]}
    (root / "golden" / "pictures.json").write_text(json.dumps(entries))
    for task, length in (("retrieval", 30), ("vqa", 32)):
        golden.write_golden(checkpoint(root, task), root / "golden" / task, 1)
        manifest, tensors = golden.read_golden(root / "golden" / task)
        assert len(tensors[f"{manifest['cases'][0]['name']}/input_ids"]) == length


def test_changed_tensors_are_noticed(root):
    folder = root / "golden" / "retrieval"
    golden.write_golden(checkpoint(root, "retrieval"), folder, 1)
    data = bytearray((folder / golden.TENSOR_FILE).read_bytes())
    data[-9] ^= 1
    (folder / golden.TENSOR_FILE).write_bytes(data)
    with pytest.raises(ValueError, match="not those of the manifest"):
        golden.read_golden(folder)


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_shipped_fixtures_belong_to_the_shipped_checkpoint(name):
    source = ROOT / "models" / name / "model.safetensors"
    manifest, tensors = golden.read_golden(SHIPPED / name)
    assert manifest["checkpoint_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    plain = [case for case in manifest["cases"] if "masked_text" not in case]
    assert len(plain) == golden.CASES[name] and tensors
    for image, expected in manifest["pictures"].items():
        assert hashlib.sha256((SHIPPED / image).read_bytes()).hexdigest() == expected
    assert (SHIPPED / name / golden.TENSOR_FILE).stat().st_size < 5_000_000


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_shipped_models_are_small_and_carry_shape_and_vocabulary(name):
    loaded = load_model(ROOT / "models" / name / "model.safetensors")
    assert loaded.task == name and (loaded.answers is not None) == (name == "vqa")
    assert sum(parameter.numel() for parameter in loaded.model.parameters()) <= 3_000_000


def run(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["random_checkpoint", *map(str, arguments)])
    random_checkpoint.main()


def test_a_flat_random_checkpoint_holds_the_student_alone(tmp_path, monkeypatch):
    shape = json.loads(r.tiny_config(vision_width=64, vision_heads=1, text_width=64, text_heads=1).to_json())
    (tmp_path / "c.json").write_text(json.dumps(shape | {"vocab_size": 400}))
    for name in ("a.pth", "b.pth"):
        run(monkeypatch, "--task", "retrieval", "--config", tmp_path / "c.json", "-o", tmp_path / name)
    tensors, again = (read_checkpoint(tmp_path / name).tensors for name in ("a.pth", "b.pth"))
    assert all(torch.equal(tensor, again[name]) for name, tensor in tensors.items())
    assert not any(name.split(".")[0].endswith("_m") or "queue" in name for name in tensors)
    loaded = load_model(tmp_path / "a.pth", random_checkpoint.synthetic_vocabulary(400))
    assert isinstance(loaded.model, RetrievalModel) and loaded.task == "retrieval"
    with pytest.raises(ValueError, match="vocabulary"):
        load_model(tmp_path / "a.pth")


@pytest.mark.parametrize("task", random_checkpoint.MODELS)
def test_random_checkpoints_of_every_task_load(task, tmp_path, monkeypatch):
    run(monkeypatch, "--task", task, "--size", "small", "-o", tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.task == task
    assert loaded.model.config.text_layers == (8 if task in random_checkpoint.TWO_PICTURES else 5)
    assert random_checkpoint.published_config(task).text_layers == (18 if task in random_checkpoint.TWO_PICTURES else 12)


def test_a_wrapped_random_checkpoint_has_the_official_parts_and_resumes_an_optimizer(tmp_path, monkeypatch):
    arguments = ("--size", "small", "--layout", "wrapped", "--queue-size", 64)
    run(monkeypatch, "--task", "retrieval", *arguments, "-o", tmp_path / "w.pth")
    content = torch.load(tmp_path / "w.pth", weights_only=True)
    assert set(content) == {"model", "optimizer", "lr_scheduler", "config", "epoch"}
    state = content["model"]
    assert state["idx_queue"].shape == (1, 64) and torch.equal(state["temp"], torch.tensor(0.07))
    assert torch.equal(state["visual_encoder_m.norm.bias"], state["visual_encoder.norm.bias"])
    assert state["visual_encoder.norm.bias"].any(), "leaving a bias out must show"
    model = RetrievalModel(small_config(len(PIECES)), queue_size=64)
    model.load_state_dict(state, strict=True)
    build_optimizer(model, 1e-4, 0.02).load_state_dict(content["optimizer"])


def test_a_random_safetensors_file_carries_vocabulary_and_answers(tmp_path, monkeypatch):
    files = ("-o", tmp_path / "v.safetensors", "--write-answers", tmp_path / "a")
    run(monkeypatch, "--task", "vqa", "--size", "small", *files)
    loaded = load_model(tmp_path / "v.safetensors")
    assert loaded.answers == list(questions.ANSWERS) == json.loads((tmp_path / "a").read_text())
    with pytest.raises(SystemExit):
        run(monkeypatch, "--task", "vqa", "--layout", "wrapped", "-o", tmp_path / "v.safetensors")
