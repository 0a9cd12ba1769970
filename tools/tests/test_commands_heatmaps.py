"""The contract of ``ground --mode itc`` and ``vqa --heatmap``; needs what ``test_commands.py`` needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from test_commands import PICTURE, answer, infer, model, pytestmark, refused

__all__ = ["pytestmark"]


def ground(*options: object) -> dict:
    return answer("ground", "-m", model("retrieval"), "--image", PICTURE, "--text", "a red circle", *options)


def test_a_similarity_has_one_map_for_the_whole_text(tmp_path: Path) -> None:
    with Image.open(PICTURE) as picture:
        width, height = picture.size
    (tmp_path / "b.json").write_text(json.dumps([[0, 0, width / 2, height], [width / 2, 0, width / 2, height]]))
    files = ("-o", tmp_path / "o.png", "--heatmap", tmp_path / "h.npy", "--boxes", tmp_path / "b.json")
    result = ground("--mode", "itc", *files)
    assert list(result) == ["heatmap", "box", "boxes", "words"] and result["words"] == []
    assert len(result["boxes"]) == 2 and result["box"] == result["boxes"][0]["box"]
    saved = np.load(tmp_path / "h.npy")
    assert saved.shape == (result["heatmap"]["rows"], result["heatmap"]["columns"]) and (saved >= 0).all()
    np.testing.assert_array_equal(saved.ravel(), np.array(result["heatmap"]["values"], dtype=np.float32))
    with Image.open(tmp_path / "o.png") as overlay:
        assert overlay.size == (width, height)
    assert result["heatmap"] != ground()["heatmap"]
    assert result["heatmap"] == ground("--mode", "itc", "--layer", 3)["heatmap"]
    assert result["heatmap"] != ground("--mode", "itc", "--layer", 0)["heatmap"]


def test_what_a_similarity_cannot_do_is_a_usage_error() -> None:
    start = ("ground", "-m", model("retrieval"), "--image", PICTURE, "--text", "a red circle")
    refused(infer(*start, "--mode", "itc", "--per-word"), 64, "--per-word", "itm")
    refused(infer(*start, "--mode", "itc", "--layer", 4), 64, "block 4", "0 to 3")
    assert infer(*start, "--mode", "cam").returncode == 64
    refused(infer("ground", "-m", model("vqa"), *start[3:], "--mode", "itc"), 65, "vision_proj")


def test_the_best_answer_has_a_heatmap_where_it_is_asked_for(tmp_path: Path) -> None:
    start = ("vqa", "-m", model("vqa"), "--image", PICTURE, "--question", "how many stars are there?", "--top", 1)
    plain = answer(*start)
    assert list(plain) == ["answers"]
    result = answer(*start, "--heatmap", tmp_path / "h.npy")
    assert list(result) == ["answers", "heatmap"] and result["answers"] == plain["answers"]
    saved = np.load(tmp_path / "h.npy")
    assert saved.shape == (result["heatmap"]["rows"], result["heatmap"]["columns"]) and saved.max() > 0
    assert answer(*start, "-o", tmp_path / "o.png") == result
    with Image.open(PICTURE) as picture, Image.open(tmp_path / "o.png") as overlay:
        assert overlay.size == picture.size
    answer("trace", *start[1:7], "-o", tmp_path / "t.safetensors")
    maps = load_file(tmp_path / "t.safetensors")["vqa_gradcam"]
    np.testing.assert_allclose(maps.mean(0), saved, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("mode", ["itm", "itc"])
def test_grounding_records_are_evaluated_in_either_mode(mode: str, tmp_path: Path) -> None:
    with Image.open(PICTURE) as picture:
        width, height = picture.size
    record = {"image": PICTURE.name, "text": "a red circle", "ref_id": 1, "bbox": [0, 0, width, height]}
    (tmp_path / "g.json").write_text(json.dumps([record]))
    (tmp_path / "d.json").write_text(json.dumps({PICTURE.name: [[0, 0, width, height]]}))
    common = ("--annotations", tmp_path / "g.json", "--images", PICTURE.parent, "--mode", mode)
    result = answer("evaluate", "-m", model("retrieval"), *common, "--boxes", tmp_path / "d.json")
    assert result["metrics"] == {"peak_in_box": 100, "box_accuracy": 100}


def test_a_mode_for_other_records_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(json.dumps([{"image": PICTURE.name, "question": "what?", "question_id": 1}]))
    common = ("--annotations", tmp_path / "q.json", "--images", PICTURE.parent, "--mode", "itc")
    refused(infer("evaluate", "-m", model("vqa"), *common), 64, "--mode")
