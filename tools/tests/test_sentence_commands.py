"""``entail`` and ``reason``, from a random checkpoint over the exporter to the answers, beside the PyTorch model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from test_commands import BINARIES, MODELS, ROOT, answer, infer, model, refused

from albef.checkpoint import save_checkpoint
from albef.evaluation.sentences import evaluate_sentences
from albef.image import load_pixels, normalize_pixels
from albef.loading import load_model
from albef.model.config import small_config
from albef.random_checkpoint import build_random
from albef.text import Tokenizer, normalize_caption, pad
from albef.world import vocabulary

pytestmark = pytest.mark.skipif(
    BINARIES is None or MODELS is None, reason="ALBEF_BINARIES and ALBEF_MODELS name no built commands and models"
)

TEXTS = (
    "There is a large red circle, and two blue stars.", "a yellow ring is to the left of the cross", "no circle",
    "two hearts on the grass",
)  # fmt: skip
TEXT = TEXTS[0]
CLASSES = {"entailment": ["contradiction", "neutral", "entailment"], "nlvr": ["false", "true"]}
LOGITS = {"entailment": "entailment_logits", "nlvr": "nlvr_logits"}
PICTURES = sorted((ROOT / "fixtures" / "demo").glob("*.jpg"))[:4]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``<task>.safetensors`` and ``<task>-<precision>.albef``."""
    folder = tmp_path_factory.mktemp("models")
    pieces = vocabulary.PATH.read_text().splitlines()
    tokenizer = Tokenizer(pieces)
    config = small_config(len(pieces))
    for task in CLASSES:
        if task == "nlvr":
            config = replace(config, text_layers=2 * config.text_layers - config.fusion_layer)
        network = build_random(task, config, 3, twins=False, initializer_range=0.15)
        # Clear probabilities, and each class best for some text and pictures.
        raw = torch.stack([torch.from_numpy(load_pixels(p, config.image_size).copy()) for p in PICTURES])
        ids, mask = pad([tokenizer.encode(normalize_caption(text, config.max_words)) for text in TEXTS])
        with torch.no_grad():
            network.eval().cls_head[2].weight.mul_(4)
            pixels = normalize_pixels(raw, config.mean, config.std).repeat(network.pictures, 1, 1, 1)
            network.cls_head[2].bias.sub_(network.logits(pixels, ids, mask).mean(0))
        save_checkpoint(folder / f"{task}.safetensors", network, task, pieces)
        for precision in ("int8", "float32"):
            out = folder / f"{task}-{precision}.albef"
            result = infer(
                folder / f"{task}.safetensors", "-o", out, "--precision", precision, command="albef-export"
            )
            assert result.returncode == 0, result.stderr
    return folder


def pictures(task: str, first: int = 0) -> list[object]:
    if task == "entailment":
        return ["--image", PICTURES[first]]
    return ["--left", PICTURES[first], "--right", PICTURES[first + 1]]


def command(task: str) -> str:
    return "entail" if task == "entailment" else "reason"


@pytest.mark.parametrize("task", CLASSES)
def test_the_answer_is_a_label_with_probabilities_in_class_order(task: str, models: Path) -> None:
    result = answer(command(task), "-m", models / f"{task}-int8.albef", *pictures(task), "--text", TEXT)
    assert list(result) == ["label", "probabilities"]
    assert list(result["probabilities"]) == CLASSES[task]
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert result["label"] == max(CLASSES[task], key=result["probabilities"].__getitem__)


@pytest.mark.parametrize("task", CLASSES)
def test_the_runtime_computes_what_the_model_computes(task: str, models: Path, tmp_path: Path) -> None:
    loaded = load_model(models / f"{task}.safetensors")
    config = loaded.model.config
    ids = torch.tensor([loaded.tokenizer.encode(normalize_caption(TEXT, config.max_words), config.max_positions)])
    count = len(pictures(task)) // 2
    for first in range(3):
        raw = [torch.from_numpy(load_pixels(p, config.image_size).copy()) for p in PICTURES[first : first + count]]
        with torch.no_grad():
            image_tokens = loaded.model.visual_encoder(normalize_pixels(torch.stack(raw), config.mean, config.std))
            states = loaded.model.states(image_tokens, ids, None, loaded.model.rows_of(1))
            logits = loaded.model.cls_head(states[:, 0])[0]
        own = {}
        for precision in ("float32", "int8"):
            out = tmp_path / f"{precision}.safetensors"
            result = infer(
                "trace", "-m", models / f"{task}-{precision}.albef", *pictures(task, first), "--text", TEXT, "-o", out
            )
            assert result.returncode == 0, result.stderr
            own[precision] = load_file(out)
        assert own["float32"]["input_ids"].tolist() == ids[0].tolist()
        for side, tokens in zip(["_left", "_right"] if task == "nlvr" else [""], image_tokens, strict=True):
            np.testing.assert_allclose(own["float32"]["image_tokens" + side], tokens, atol=5e-5)
        np.testing.assert_allclose(own["float32"]["fusion_tokens"], states[0], atol=5e-5)
        np.testing.assert_allclose(own["float32"][LOGITS[task]], logits, atol=1e-4)
        quantised = torch.from_numpy(own["int8"][LOGITS[task]]).softmax(0)
        np.testing.assert_allclose(quantised, logits.softmax(0), atol=0.05)


@pytest.mark.parametrize("task", CLASSES)
def test_evaluate_gives_the_accuracy_that_the_trainer_measures(task: str, models: Path, tmp_path: Path) -> None:
    names = [picture.name for picture in PICTURES]
    spelt = {"entailment": CLASSES["entailment"], "nlvr": ["False", "True"]}[task]
    records = []
    for number in range(24):
        entry: dict = {"sentence": TEXTS[number % 4], "label": spelt[number % len(spelt)], "kind": f"kind {number % 2}"}
        if task == "entailment":
            entry["image"] = names[number % 3].removesuffix(".jpg")
        else:
            entry["images"] = [names[number % 3], names[(number // 3) % 4]]
        records.append(entry)
    (tmp_path / "a.json").write_text(json.dumps(records))
    result = answer(
        "evaluate", "-m", models / f"{task}-float32.albef", "--annotations", tmp_path / "a.json", "--images",
        PICTURES[0].parent, "-o", tmp_path / "r.json",
    )  # fmt: skip
    loaded = load_model(models / f"{task}.safetensors")
    expected = evaluate_sentences(loaded.model, loaded.tokenizer, PICTURES[0].parent, str(tmp_path / "a.json"))
    assert result["task"] == task and result["cases"] == 24
    assert result["metrics"] == pytest.approx(expected)
    predictions = json.loads((tmp_path / "r.json").read_text())
    assert [entry["sentence"] for entry in predictions] == [record["sentence"] for record in records]
    right = sum(p["prediction"] == record["label"] for p, record in zip(predictions, records, strict=True))
    assert 100 * right / 24 == pytest.approx(result["metrics"]["accuracy"])
    assert len({entry["prediction"] for entry in predictions}) > 1, "the models must not say one thing only"


def test_a_head_of_another_task_is_named_with_what_the_model_has(models: Path) -> None:
    picture = ["--image", PICTURES[0], "--text", TEXT]
    pair = ["--left", PICTURES[0], "--right", PICTURES[1], "--text", TEXT]
    tensor = "cls_head.2.weight"
    refused(infer("reason", "-m", models / "entailment-int8.albef", *pair), 65, tensor, "3 classes")
    refused(infer("entail", "-m", models / "nlvr-int8.albef", *picture), 65, tensor, "2 classes")
    refused(infer("entail", "-m", model("retrieval"), *picture), 65, tensor, "missing")
    refused(infer("reason", "-m", model("retrieval"), *pair), 65, tensor, "missing")
    refused(infer("ground", "-m", models / "entailment-int8.albef", *picture), 65, "itm_head.weight")
    refused(infer("match", "-m", models / "nlvr-int8.albef", *picture), 65, "itm_head.weight")


def test_missing_and_damaged_input_is_named(models: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    file = models / "nlvr-int8.albef"
    good = PICTURES[0]
    refused(infer("reason", "-m", file, "--left", good, "--right", tmp_path / "no.jpg", "--text", "red"), 66, "no.jpg")
    refused(infer("reason", "-m", file, "--left", tmp_path / "bad.png", "--right", good, "--text", "red"), 65, "bad.png")
    refused(infer("reason", "-m", file, "--left", good, "--right", good, "--text", "?!"), 65, "text")
    refused(infer("entail", "-m", models / "entailment-int8.albef", "--image", tmp_path, "--text", "red"), 74)


@pytest.mark.parametrize(
    "arguments",
    [
        ["reason", "--left", "a.jpg", "--text", "red"],
        ["reason", "--image", "a.jpg", "--text", "red"],
        ["entail", "--image", "a.jpg"],
        ["trace", "--left", "a.jpg", "--text", "red", "-o", "t"],
        ["trace", "--left", "a.jpg", "--right", "b.jpg", "--image", "c.jpg", "-o", "t"],
        ["trace", "--left", "a.jpg", "--right", "b.jpg", "--question", "what?", "-o", "t"],
    ],
)
def test_wrong_usage_exits_with_64(arguments: list[str], models: Path) -> None:
    refused(infer(*arguments, "-m", models / "nlvr-int8.albef"), 64)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"image": "a", "sentence": "red", "label": "maybe"}, "record 0.label"),
        ({"images": ["a"], "sentence": "red", "label": "True"}, "record 0.images"),
        ({"images": ["a", "b"], "sentence": " ", "label": "True"}, "record 0.sentence"),
    ],
)
def test_a_malformed_record_is_named(record: dict, field: str, models: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([record]))
    for task in CLASSES:
        refused(
            infer(
                "evaluate", "-m", models / f"{task}-int8.albef", "--annotations", tmp_path / "a.json", "--images", tmp_path
            ), 65, "a.json", field,
        )  # fmt: skip
