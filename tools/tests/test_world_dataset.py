"""The dataset files: official formats, right texts, equal bytes whatever the number of processes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
import world_reader as reader
from PIL import Image

from albef.world import dataset, language, questions
from albef.world.scene import HELD_OUT

COUNTS = {"train": 110, "val": 60, "test": 110}


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Several blocks of pictures, the last not full, although the worlds here are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "BLOCK", 50)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory, small_blocks) -> Path:
    folder = tmp_path_factory.mktemp("world")
    dataset.generate(folder, COUNTS, seed=3, workers=2)
    return folder


def load(root: Path, name: str):
    return json.loads((root / f"{name}.json").read_text())


def sums(root: Path) -> dict[str, str]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def scenes(root: Path, split: str) -> dict[str, dict]:
    return {entry["image"]: entry for entry in load(root, f"scenes_{split}")}


def test_bytes_do_not_depend_on_the_number_of_processes(root, tmp_path):
    dataset.generate(tmp_path / "other", COUNTS, seed=3, workers=1)
    assert sums(tmp_path / "other") == sums(root)


def test_a_second_run_makes_only_what_is_missing_and_a_larger_one_keeps_the_first_pictures(root, tmp_path):
    folder = tmp_path / "grown"
    dataset.generate(folder, {"train": 50, "val": 20, "test": 30}, seed=3, workers=1)
    kept = (folder / "train/000000.jpg").stat().st_mtime_ns
    dataset.generate(folder, COUNTS, seed=3, workers=1)
    assert (folder / "train/000000.jpg").stat().st_mtime_ns == kept
    for name in ("pretrain", "vqa_test", "grounding_val", "scenes_test", "detections", "retrieval_train"):
        assert load(folder, name) == load(root, name)


def test_a_folder_that_holds_another_world_is_refused(root):
    with pytest.raises(SystemExit, match="expected"):
        dataset.generate(root, COUNTS, seed=4, workers=1)


def test_pictures_open_and_have_the_described_size(root):
    for split in COUNTS:
        assert len(scenes(root, split)) == COUNTS[split]
        for name, scene in scenes(root, split).items():
            with Image.open(root / name) as image:
                assert image.mode == "RGB" and image.size == (scene["width"], scene["height"])
                assert image.format == {"jpg": "JPEG", "png": "PNG"}[name[-3:]]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_answer_is_right(root, split):
    described = scenes(root, split)
    entries = load(root, f"vqa_{split}")
    for entry in entries:
        assert set(entry) == {"dataset", "image", "question", "question_id", "answer", "kind"}
        assert entry["dataset"] == "vqa" and len(entry["answer"]) == 10 and len(set(entry["answer"])) == 1
        right = reader.answer(described[entry["image"]], entry["question"])
        assert entry["answer"][0] == right, (entry, described[entry["image"]])
        assert right in questions.ANSWERS
    assert len({entry["question_id"] for entry in entries}) == len(entries)
    assert len(entries) >= 2.8 * COUNTS[split]
    assert {entry["kind"] for entry in entries} == set(questions.KINDS)
    said = Counter(entry["answer"][0] for entry in entries)
    assert 0.7 < said["yes"] / said["no"] < 1.4


def test_further_questions_are_about_places_are_new_and_have_right_answers(root):
    described, asked = scenes(root, "train"), load(root, "vqa_train")
    entries = load(root, "vqa_places_train")
    for entry in entries:
        assert entry["answer"] == [reader.answer(described[entry["image"]], entry["question"])] * 10, entry
    assert {entry["kind"] for entry in entries} == set(questions.PLACES)
    both = asked + entries
    assert len({(entry["image"], entry["question"]) for entry in both}) == len(both)
    assert len({entry["question_id"] for entry in both}) == len(both)
    assert len(entries) >= 2 * COUNTS["train"]


def test_the_vocabulary_lies_beside_the_texts(root):
    assert (root / "vocab.txt").read_text().startswith("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")


def test_the_answer_list_has_every_answer_once(root):
    answers = load(root, "answer_list")
    assert answers == list(questions.ANSWERS) and len(set(answers)) == len(answers) == 36


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_expression_names_one_object_and_its_box(root, split):
    described = scenes(root, split)
    entries = load(root, f"grounding_{split}")
    for entry in entries:
        scene = described[entry["image"]]
        item = reader.refer(scene, entry["text"])
        if split == "train":
            assert set(entry) == {"image", "text", "ref_id"}
        else:
            assert set(entry) == {"image", "text", "ref_id", "bbox"} and entry["bbox"] == item["box"]
    assert len({entry["ref_id"] for entry in entries}) == len(entries) > COUNTS[split]


def test_detections_hold_every_true_box_and_false_ones(root):
    detections = load(root, "detections")
    for split in ("val", "test"):
        for name, scene in scenes(root, split).items():
            boxes = detections[name]
            assert all(item["box"] in boxes for item in scene["objects"])
            assert len(boxes) == 2 * len(scene["objects"]) + 2
            for x, y, w, h in boxes:
                assert min(x, y) >= 0 and x + w <= scene["width"] + 0.02 and y + h <= scene["height"] + 0.02
                assert min(w, h) > 0


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_caption_tells_of_every_object_and_of_no_other_picture(root, split):
    described = scenes(root, split)
    told = []
    for entry in load(root, f"retrieval_{split}"):
        assert set(entry) == {"image", "caption"} and len(entry["caption"]) == 1
        scene = described[entry["image"]]
        looks, backdrop = reader.described(entry["caption"][0])
        assert looks == Counter((o["size"], o["texture"], o["color"], o["shape"]) for o in scene["objects"])
        assert backdrop == scene["backdrop"]
        told.append((backdrop, looks))
        assert len(entry["caption"][0].split()) <= 24
    assert not any(a[0] == b[0] and a[1] <= b[1] for a in told for b in told if a is not b)


def test_training_lists_have_the_official_fields(root):
    described = scenes(root, "train")
    pretrain, retrieval = load(root, "pretrain"), load(root, "retrieval_train")
    assert [entry["image"] for entry in pretrain] == list(described)
    for entry in pretrain:
        assert set(entry) == {"image", "caption"} and len(entry["caption"]) >= 4
        assert all(0 < len(text.split()) <= 24 for text in entry["caption"])
    for entry in retrieval:
        assert set(entry) == {"image", "caption", "image_id"}
        looks, backdrop = reader.described(entry["caption"])
        scene = described[entry["image"]]
        assert backdrop == scene["backdrop"]
        assert looks == Counter((o["size"], o["texture"], o["color"], o["shape"]) for o in scene["objects"])
    assert {entry["image"] for entry in retrieval} == set(described)


def test_no_training_text_speaks_of_a_held_out_pair(root):
    texts = [text for entry in load(root, "pretrain") for text in entry["caption"]]
    texts += [entry["text"] for entry in load(root, "grounding_train")]
    texts += [entry["question"] for split in ("train", "val") for entry in load(root, f"vqa_{split}")]
    for text in texts:
        words = [reader.singular(word) for word in reader.usual(text).split()]
        assert not {(noun, color) for color, noun in zip(words, words[1:], strict=False)} & HELD_OUT, text


@pytest.mark.parametrize(
    "text,placed",
    [
        ("the dotted green ring", False), ("the large object", False), ("the star on the left", True),
        ("the moon at the bottom", True), ("the star over the big red circle", True), ("the ring right of the cross", True),
    ],
)  # fmt: skip
def test_expressions_are_told_apart_by_whether_they_need_a_place(text, placed):
    assert language.speaks_of_place(text) == placed


def test_phrases_are_true_and_hold_every_expression_by_looks(root):
    told = scenes(root, "train")
    phrases = {entry["image"]: set(entry["caption"]) for entry in load(root, "phrases_train")}
    assert set(phrases) == set(told)
    for image, texts in phrases.items():
        looks = [{item[key] for key in ("size", "texture", "color", "shape")} | {"object"} for item in told[image]["objects"]]
        assert all(any(set(text.split()[1:]) <= look for look in looks) for text in texts), image
        assert {f"the {item['shape']}" for item in told[image]["objects"]} <= texts
    usual = {usual: other for other, usual in language.SYNONYMS.items()}
    for entry in load(root, "grounding_train"):
        text = " ".join(usual.get(word, word) for word in entry["text"].split())
        assert text in phrases[entry["image"]], entry
