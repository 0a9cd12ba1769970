"""Golden fixtures and random checkpoints: what is written can be read, and the shipped fixtures belong to the shipped models."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.numpy
import torch
import zstandard
from PIL import Image

from albef.checkpoint import read_checkpoint, save_checkpoint
from albef.evaluation.grounding import box_score, contains_peak, overlap
from albef.golden import TENSOR_FILE, write_golden
from albef.loading import load_model
from albef.model import RetrievalModel
from albef.model.config import small_config
from albef.random_checkpoint import SPECIAL_IDS, synthetic_vocabulary

ROOT = Path(__file__).resolve().parents[2]
MODELS = ["pretrain", "retrieval", "vqa"]


@pytest.mark.parametrize("name", MODELS)
def test_shipped_fixtures_belong_to_the_shipped_checkpoint(name: str) -> None:
    folder = ROOT / "fixtures" / "golden" / name
    manifest = json.loads((folder / "manifest.json").read_text())
    checkpoint = (ROOT / "models" / name / "model.safetensors").read_bytes()
    assert manifest["checkpoint_sha256"] == hashlib.sha256(checkpoint).hexdigest()
    assert manifest["tensors"]["sha256"] == hashlib.sha256((folder / TENSOR_FILE).read_bytes()).hexdigest()
    for case in manifest["cases"]:
        picture = (folder.parent / case["image"]).read_bytes()
        assert case["image_sha256"] == hashlib.sha256(picture).hexdigest()


@pytest.mark.parametrize("name", MODELS)
def test_shipped_models_are_small_and_carry_shape_and_vocabulary(name: str) -> None:
    loaded = load_model(ROOT / "models" / name / "model.safetensors")
    assert loaded.task == name
    assert sum(tensor.numel() for tensor in loaded.checkpoint.tensors.values()) <= 3_000_000


def test_golden_tensors_are_written_with_their_sums_and_are_the_same_twice(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vocabulary = synthetic_vocabulary(1024)
    checkpoint = tmp_path / "m.safetensors"
    save_checkpoint(checkpoint, RetrievalModel(small_config(1024), twins=False), "retrieval", vocabulary)
    (tmp_path / "golden" / "pictures").mkdir(parents=True)
    Image.new("RGB", (9, 5), (200, 10, 60)).save(tmp_path / "golden" / "pictures" / "p.png")
    pictures = [{"image": "pictures/p.png", "captions": ["a red thing"], "expressions": ["the thing"], "questions": []}]
    assert write_golden(checkpoint, tmp_path / "golden" / "a", pictures) == 1
    assert write_golden(checkpoint, tmp_path / "golden" / "b", pictures) == 1
    first, second = ((tmp_path / "golden" / name / TENSOR_FILE).read_bytes() for name in "ab")
    assert first == second
    manifest = json.loads((tmp_path / "golden" / "a" / "manifest.json").read_text())
    tensors = safetensors.numpy.load(zstandard.ZstdDecompressor().decompress(first))
    assert set(tensors) == {f"000/{name}" for name in manifest["cases"][0]["tensors"]}
    assert tensors["000/gradcam"].shape == (len(tensors["000/input_ids"]), 8, 8)


def test_the_made_up_vocabulary_has_the_special_tokens_where_the_published_one_has_them() -> None:
    vocabulary = synthetic_vocabulary()
    assert len(vocabulary) == len(set(vocabulary)) == 30522
    assert all(vocabulary[number] == name for name, number in SPECIAL_IDS.items())


@pytest.mark.parametrize("arguments", [["--layout", "flat"], ["--layout", "wrapped", "--queue-size", "64"]])
def test_random_checkpoints_have_the_published_layouts(tmp_path: Path, arguments: list[str]) -> None:
    out = tmp_path / "r.pth"
    command = [sys.executable, "-m", "albef.random_checkpoint", "--task", "retrieval", "-o", str(out), *arguments]
    subprocess.run(command, check=True, cwd=ROOT / "tools", capture_output=True)
    content = torch.load(out, weights_only=True)
    state = content["model"] if "wrapped" in arguments else content
    assert ("visual_encoder_m.pos_embed" in state) == ("wrapped" in arguments)
    assert read_checkpoint(out).tensors.keys() == state.keys()


def test_boxes_are_scored_and_compared_as_the_official_evaluation_does() -> None:
    heatmap = torch.zeros(10, 10)
    heatmap[4, 6] = 2.0
    assert contains_peak(heatmap, [6, 4, 1, 1]) and not contains_peak(heatmap, [0, 0, 6, 10])
    assert box_score(heatmap.numpy(), [5.9, 3.9, 4.0, 4.0]) == pytest.approx(0.5)
    assert overlap([0, 0, 10, 10], [0, 0, 10, 10]) == pytest.approx(1)
    assert overlap([0, 0, 10, 10], [9, 9, 10, 10]) == 0
    assert overlap([0, 0, 10, 10], [5, 0, 10, 10]) == pytest.approx(50 / 150)
