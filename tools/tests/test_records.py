"""Dataset files of other people: what is wrong in them is said in one line, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from albef.data import DatasetError, read_captions, read_questions
from albef.data_pairs import read_entailment, read_nlvr
from albef.records import read_json
from albef.text import Tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "star"]


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer(WORDS)


def captions(root: Path, tokenizer: Tokenizer):
    return read_captions(root, ["file.json"], tokenizer, 30, None)


def questions(root: Path, tokenizer: Tokenizer):
    return read_questions(root, ["file.json"], tokenizer)


def two_roots(root: Path, tokenizer: Tokenizer):
    return read_questions(root, ["file.json"], tokenizer, roots={"vqa": "/coco", "vg": "genome"})


def entailment(root: Path, tokenizer: Tokenizer):
    return read_entailment(root, ["file.json"], tokenizer, 30)


def nlvr(root: Path, tokenizer: Tokenizer):
    return read_nlvr(root, ["file.json"], tokenizer, 30)


CAPTION = {"image": "a.jpg", "caption": "a red star"}
QUESTION = {"image": "a.jpg", "question": "red?", "question_id": 1, "answer": ["red", "red", ""], "dataset": "vqa"}
ENTAILMENT = {"image": "4705552913", "sentence": "a red star", "label": "neutral"}
NLVR = {"images": ["a.jpg", "b.jpg"], "sentence": "a red star", "label": "True"}

WRONG = [
    (captions, CAPTION, {"caption": None}, "field 'caption': found null, expected a text or a list of texts"),
    (captions, CAPTION, {"caption": []}, "field 'caption': found [], expected a text or a list of texts"),
    (captions, CAPTION, {"caption": ["a", 3]}, "field 'caption': found [\"a\", 3], expected a text or a list of texts"),
    (captions, CAPTION, {"caption": " "}, "field 'caption': found \" \", expected a text or a list of texts"),
    (captions, CAPTION, {"image": 7}, "field 'image': found 7, expected the path of a picture"),
    (captions, CAPTION, {"image": ...}, "field 'image': found nothing, expected the path of a picture"),
    (captions, {"image": "a.jpg", "text": "red"}, {"text": ["red"]}, "field 'text': found [\"red\"], expected a text"),
    (questions, QUESTION, {"question_id": True}, "field 'question_id': found true, expected a whole number"),
    (questions, QUESTION, {"answer": 4}, "field 'answer': found 4, expected a text or a list of texts"),
    (questions, QUESTION, {"answer": []}, "field 'answer': found [], expected a text or a list of texts"),
    (questions, QUESTION, {"question": ...}, "field 'question': found nothing, expected a text"),
    (two_roots, QUESTION, {"dataset": "gqa"}, "field 'dataset': found \"gqa\", expected one of \"vqa\", \"vg\""),
    (two_roots, QUESTION, {"dataset": ...}, "field 'dataset': found nothing, expected one of \"vqa\", \"vg\""),
    (entailment, ENTAILMENT, {"label": "-"}, "expected one of \"contradiction\", \"neutral\", \"entailment\""),
    (entailment, ENTAILMENT, {"sentence": None}, "field 'sentence': found null, expected a text"),
    (nlvr, NLVR, {"images": ["a.jpg"]}, "field 'images': found [\"a.jpg\"], expected the paths of two pictures"),
    (nlvr, NLVR, {"label": True}, "field 'label': found true, expected a text: \"True\", or another that means false"),
    (nlvr, NLVR, {"label": ["True"]}, "field 'label': found [\"True\"], expected a text"),
]  # fmt: skip


@pytest.mark.parametrize("read,record,change,reason", WRONG)
def test_a_wrong_record_is_named_with_file_number_and_field(tmp_path, tokenizer, read, record, change, reason):
    wrong = {key: value for key, value in (record | change).items() if value is not ...}
    (tmp_path / "file.json").write_text(json.dumps([record, record, wrong, record, wrong]))
    with pytest.raises(DatasetError) as error:
        read(tmp_path, tokenizer)
    text = str(error.value)
    assert text.startswith(f"{tmp_path}/file.json: record 2: ") and reason in text and "\n" not in text
    assert text.endswith("(1 more of 5 records are wrong)")


@pytest.mark.parametrize("read,record", [(captions, CAPTION), (questions, QUESTION), (entailment, ENTAILMENT), (nlvr, NLVR)])
def test_right_records_are_read_whatever_else_they_hold(tmp_path, tokenizer, read, record):
    (tmp_path / "file.json").write_text(json.dumps([record, record | {"sentID": 3, "extra": None}]))
    assert len(read(tmp_path, tokenizer)) == 2


@pytest.mark.parametrize(
    "content,reason",
    [
        ('[{"image": "a.jpg",}]', "line 1, column 20: "),
        ("{}", "found {}, expected a list of records"),
        ("[]", "found an empty list, expected at least one record"),
        ("[3]", "record 0: found 3, expected an object"),
        (b"[\xff]", "byte 1 is not UTF-8"),
        ("", "line 1, column 1: "),
    ],
)
def test_a_file_that_is_no_list_of_records_is_named(tmp_path, tokenizer, content, reason):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "file.json").write_bytes(data)
    with pytest.raises(DatasetError, match=r"^[^\n]*$") as error:
        captions(tmp_path, tokenizer)
    assert reason in str(error.value) and "file.json" in str(error.value)


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError, match="file.json"):
        read_json(tmp_path / "file.json")


def test_each_dataset_of_questions_has_its_folder(tmp_path, tokenizer):
    (tmp_path / "file.json").write_text(json.dumps([QUESTION, QUESTION | {"dataset": "vg", "answer": "red"}]))
    found = two_roots(tmp_path, tokenizer)
    assert [item.image for item in found] == ["/coco/a.jpg", "genome/a.jpg"]
    assert found[0].answers == [("red", 2 / 3), ("", 1 / 3)] and found[1].answers == [("red", 0.5)]


def test_long_values_are_cut(tmp_path, tokenizer):
    (tmp_path / "file.json").write_text(json.dumps([CAPTION | {"caption": [5] * 1000}]))
    with pytest.raises(DatasetError) as error:
        captions(tmp_path, tokenizer)
    assert len(str(error.value)) < len(str(tmp_path)) + 150
