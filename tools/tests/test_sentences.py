"""Entailment and NLVR2 from their files to accuracy: reading, batches that share pictures, training, evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import reference as r
import torch
from PIL import Image

from albef import evaluate
from albef.checkpoint import save_checkpoint
from albef.data import Pictures
from albef.data_pairs import (
    SentenceBatches,
    collate,
    neighbours_first,
    pictures_of,
    read_entailment,
    read_nlvr,
)
from albef.evaluation.sentences import evaluate_assignment, evaluate_sentences
from albef.image import normalize_pixels
from albef.model import EntailmentModel, NLVRModel, NLVRPretrainModel
from albef.text import Tokenizer
from albef.world import vocabulary

TOKENIZER = Tokenizer.from_file(vocabulary.PATH)
PIECES = len(TOKENIZER.vocabulary)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Pictures of one colour each, and sentences that name it; the vocabulary beside them."""
    monkeypatch.setenv("ALBEF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "vocab.txt").write_bytes(vocabulary.PATH.read_bytes())
    colors = ("red", "blue", "green", "black", "white", "orange")
    for number, color in enumerate(colors):
        Image.new("RGB", (9, 5 + number), color).save(tmp_path / f"{number}.jpg")
    labels = ("entailment", "neutral", "contradiction")
    entailment = [
        {
            "image": f"{i}" if i % 2 else f"{i}.jpg", "sentence": f"The picture, is {color}!", "label": labels[i % 3],
            "kind": color[:1],
        }
        for i, color in enumerate(colors)
    ]  # fmt: skip
    pairs = [
        {"images": [f"{i}.jpg", f"{(i + 1) % 6}.jpg"], "sentence": f"left is {color}", "label": ("True", "False", "false")[i % 3]}
        for i, color in enumerate(colors)
    ]  # fmt: skip
    captions = [{"image": f"{i}.jpg", "caption": [f"a {color} picture"]} for i, color in enumerate(colors)]
    for name, entries in (("entailment", entailment), ("nlvr", pairs), ("retrieval", captions)):
        for split in ("train", "val", "test"):
            (tmp_path / f"{name}_{split}.json").write_text(json.dumps(entries))
    return tmp_path


def test_entailment_records_append_jpg_where_the_name_has_no_suffix(root):
    items = read_entailment(root, ["entailment_val.json"], TOKENIZER, 30)
    assert [item.images for item in items] == [(f"{i}.jpg",) for i in range(6)]
    assert [item.label for item in items] == [2, 1, 0, 2, 1, 0]
    assert items[1].sentence == TOKENIZER.encode("the picture is blue") and items[1].kind == "b"


def test_nlvr_records_are_true_only_where_the_label_says_exactly_so(root):
    items = read_nlvr(root, ["nlvr_val.json"], TOKENIZER, 30, limit=4)
    assert [item.label for item in items] == [1, 0, 0, 1]
    assert items[0].images == ("0.jpg", "1.jpg")


def test_a_batch_holds_each_picture_once(root):
    items = read_nlvr(root, ["nlvr_val.json"], TOKENIZER, 30)[:3]
    pictures = Pictures(root, pictures_of(items), 16)
    pixels, ids, mask, rows, labels = collate(items, pictures)
    assert pixels.shape == (4, 16, 16, 3) and rows.tolist() == [[0, 1], [1, 2], [2, 3]] and labels.tolist() == [1, 0, 0]
    for row, item in zip(rows.tolist(), items, strict=True):
        for place, image in zip(row, item.images, strict=True):
            assert torch.equal(pixels[place], pictures.batch([pictures.index[image]])[0])
    assert mask.sum(1).tolist() == [len(item.sentence) for item in items]
    assert ids[0, : len(items[0].sentence)].tolist() == items[0].sentence


@pytest.mark.parametrize("pictures", [1, 2])
def test_runs_hold_every_item_once_and_few_pictures(pictures):
    rng = np.random.default_rng(3)
    images = [tuple(f"{n}" for n in rng.choice(200, pictures, replace=False)) for _ in range(1200)]
    runs = neighbours_first(images, 4, 16, np.random.default_rng(5))
    assert sorted(number for run in runs for number in run) == list(range(1200))
    assert max(map(len, runs)) <= 16
    needed = np.mean([len({i for n in run for i in images[n]}) / len(run) for run in runs if len(run) > 3])
    assert needed < (0.35 if pictures == 1 else 1.15)
    again = neighbours_first(images, 4, 16, np.random.default_rng(5))
    other = neighbours_first(images, 4, 16, np.random.default_rng(6))
    assert again == runs != other


def test_epochs_differ_and_depend_on_the_seed_alone(root):
    items = read_entailment(root, ["entailment_val.json"] * 5, TOKENIZER, 30)
    pictures = Pictures(root, pictures_of(items), 16)
    one, two = (SentenceBatches(items, pictures, 4, 3, seed=8) for _ in range(2))
    assert len(one) == 7 and one.plan(0) == two.plan(0) != one.plan(1)
    seen = [number for batch in one.plan(2) for number in batch]
    assert len(seen) == len(set(seen)) == 28
    first = next(iter(two.epoch()))
    assert all(torch.equal(a, b) for a, b in zip(first, one.load(one.plan(0)[0], 0), strict=True))


@pytest.mark.parametrize("task", ["entailment", "nlvr"])
def test_accuracy_counts_the_best_class_of_each_sentence_alone(task, root):
    torch.manual_seed(2)
    kind, read = (EntailmentModel, read_entailment) if task == "entailment" else (NLVRModel, read_nlvr)
    model = kind(r.tiny_config(vocab_size=PIECES, text_layers=6), twins=False, initializer_range=0.3)
    found = evaluate_sentences(model, TOKENIZER, root, f"{task}_val.json", batch=4)
    assert model.training
    model.eval()
    items = read(root, [f"{task}_val.json"], TOKENIZER, 30)
    pictures = Pictures(root, pictures_of(items), 16)
    right = []
    for item in items:
        raw = torch.cat([pictures.batch([pictures.index[image]]) for image in item.images])
        logits = model.logits(normalize_pixels(raw), torch.tensor([item.sentence]), None)
        right.append(int(logits.argmax()) == item.label)
    assert found["accuracy"] == pytest.approx(100 * sum(right) / 6)
    if task == "entailment":
        assert found["b"] == pytest.approx(50 * (right[1] + right[3])), "blue and black are of one kind"
    alone = evaluate_sentences(model, TOKENIZER, root, f"{task}_val.json", limit=1)
    assert alone["accuracy"] == 100 * right[0]


def test_text_assignment_is_measured_on_the_same_pairs_every_time(root):
    torch.manual_seed(2)
    model = NLVRPretrainModel(r.tiny_config(vocab_size=PIECES, text_layers=6), initializer_range=0.3)
    first = evaluate_assignment(model, TOKENIZER, root, "retrieval_val.json")
    assert first == evaluate_assignment(model, TOKENIZER, root, "retrieval_val.json")
    assert round(first["accuracy"] * 6 / 100, 6) in range(7)


@pytest.mark.parametrize("task", ["entailment", "nlvr", "nlvr_pretrain"])
def test_the_command_measures_a_checkpoint(task, root, monkeypatch, capsys):
    kind = {"entailment": EntailmentModel, "nlvr": NLVRModel, "nlvr_pretrain": NLVRPretrainModel}[task]
    model = kind(r.tiny_config(vocab_size=PIECES, text_layers=6))
    save_checkpoint(root / "m.safetensors", model, task, TOKENIZER.vocabulary)
    arguments = ["evaluate", "--checkpoint", str(root / "m.safetensors"), "--data", str(root), "--threads", "1"]
    monkeypatch.setattr("sys.argv", arguments)
    evaluate.main()
    result = json.loads(capsys.readouterr().out)
    assert result["task"] == task and 0 <= result[task]["accuracy"] <= 100
