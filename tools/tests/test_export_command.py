"""``albef-export`` on files of torch.save: every task in both published layouts, missing tensors, calibration.

Needs built commands; see test_commands.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_commands import BINARIES, MODELS, ROOT, infer, refused

from albef.model import ModelConfig
from albef.model.vision import interpolate_positions
from albef.random_checkpoint import TWO_PICTURES, build_random, wrapped
from albef.world import vocabulary

pytestmark = pytest.mark.skipif(
    BINARIES is None or MODELS is None, reason="ALBEF_BINARIES and ALBEF_MODELS name no built commands and models"
)

ANSWERS = ["yes", "no", "two red circles"]


def config_of(task: str) -> ModelConfig:
    tiny = ModelConfig(
        image_size=32, patch_size=8, vision_width=64, vision_layers=2, vision_heads=1, text_width=64, text_layers=4,
        fusion_layer=2, text_heads=1, embed_dim=16, vocab_size=len(vocabulary.PATH.read_text().splitlines()),
        max_positions=32, decoder_layers=2, gradcam_layer=2, max_words=30,
    )  # fmt: skip
    return replace(tiny, text_layers=6) if task in TWO_PICTURES else tiny


def save(task: str, layout: str, folder: Path) -> Path:
    model = build_random(task, config_of(task), 1, twins=layout == "wrapped", initializer_range=0.1, queue_size=8)
    path = folder / f"{task}-{layout}.pth"
    torch.save(wrapped(model) if layout == "wrapped" else model.state_dict(), path)
    return path


def export(checkpoint: Path, folder: Path, *arguments: object) -> dict:
    result = infer(
        checkpoint, "-o", folder / "m.albef", "--vocab", vocabulary.PATH, "--json", *arguments, command="albef-export"
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("layout", ["flat", "wrapped"])
@pytest.mark.parametrize("task", ["pretrain", "retrieval", "vqa", "entailment", "nlvr"])
def test_the_task_is_told_by_the_tensors(task: str, layout: str, tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text(json.dumps(ANSWERS))
    answers = ["--answers", tmp_path / "answers.json"] if task == "vqa" else []
    report = export(save(task, layout, tmp_path), tmp_path, *answers)
    assert report["model"]["task"] == task
    assert report["ignored"]["unused"] == []
    assert (report["ignored"]["twins"] > 0) == (layout == "wrapped")
    info = infer("info", "-m", tmp_path / "m.albef", "--json")
    assert info.returncode == 0, info.stderr
    assert json.loads(info.stdout)["task"] == task


@pytest.mark.parametrize("layout", ["flat", "wrapped"])
def test_text_assignment_is_told_and_refused(layout: str, tmp_path: Path) -> None:
    checkpoint = save("nlvr_pretrain", layout, tmp_path)
    result = infer(checkpoint, "-o", tmp_path / "m.albef", "--vocab", vocabulary.PATH, command="albef-export")
    refused(result, 65, "text-assignment", "fine-tune it on NLVR2")


def test_missing_tensors_are_all_in_the_report(tmp_path: Path) -> None:
    tensors = torch.load(save("retrieval", "flat", tmp_path), weights_only=True)
    missing = sorted(name for name in tensors if ".crossattention.self." in name)
    torch.save({name: tensor for name, tensor in tensors.items() if name not in missing}, tmp_path / "half.pth")
    result = infer(
        tmp_path / "half.pth", "-o", tmp_path / "m.albef", "--vocab", vocabulary.PATH, "--report", tmp_path / "r.json",
        command="albef-export",
    )  # fmt: skip
    refused(result, 65, f"{len(missing)} of the model's tensors are missing", "crossattention")
    assert sorted(json.loads((tmp_path / "r.json").read_text())["missing"]) == missing
    assert not (tmp_path / "m.albef").exists()


def test_another_resolution_gives_the_answers_of_an_interpolated_checkpoint(tmp_path: Path) -> None:
    checkpoint = save("retrieval", "flat", tmp_path)
    tensors = torch.load(checkpoint, weights_only=True)
    name = "visual_encoder.pos_embed"
    tensors[name] = interpolate_positions(tensors[name], 6)
    torch.save(tensors, tmp_path / "large.pth")
    picture = sorted((ROOT / "fixtures" / "demo").glob("*.jpg"))[0]
    answers = []
    for path, arguments in ((checkpoint, ["--image-size", "48"]), (tmp_path / "large.pth", [])):
        report = export(path, tmp_path, "--precision", "float32", *arguments)
        assert report["model"]["configuration"]["image_size"] == 48
        result = infer("match", "-m", tmp_path / "m.albef", "--image", picture, "--text", "a red circle", "--json")
        assert result.returncode == 0, result.stderr
        answers.append(json.loads(result.stdout))
    for key in ("similarity", "itm_logit"):
        assert answers[0][key] == pytest.approx(answers[1][key], abs=1e-5)


def test_calibration_reports_every_matrix_and_repeats_its_bytes(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for picture in sorted((ROOT / "fixtures" / "demo").glob("*.jpg"))[:2]:
        shutil.copy(picture, pictures)
    (pictures / "captions.json").write_text(
        json.dumps([{"image": path.name, "caption": ["a red circle", "x"]} for path in sorted(pictures.glob("*.jpg"))])
    )
    checkpoint = save("retrieval", "wrapped", tmp_path)
    reports = [export(checkpoint, tmp_path, "--calibrate", pictures, "--threads", threads) for threads in (1, 2)]
    assert reports[0] == reports[1]
    calibration = reports[0]["calibration"]
    types = {tensor["name"]: tensor["type"] for tensor in reports[0]["tensors"]}
    assert {layer["tensor"]: layer["type"] for layer in calibration["layers"]}.items() <= types.items()
    shares = [layer["share_of_limit"] for layer in calibration["layers"]]
    assert shares == sorted(shares, reverse=True)
    assert {"image_feature", "text_feature", "itm_logits"} <= {row["stage"] for row in calibration["exported"]}
