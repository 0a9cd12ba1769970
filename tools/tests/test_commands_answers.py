"""``vqa`` with candidates of one's own; needs what ``test_commands.py`` needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_commands import PICTURE, ROOT, answer, infer, model, pytestmark, refused

__all__ = ["pytestmark"]

# Of one piece and of many, with common beginnings, the same twice, unknown words.
ANSWERS = [
    "red", "Red", "red", "red circle", "red circle on the grass", "red circle on the sand", "two", "yes", "no", "no",
    "three red rings", "three blue rings", "zebra", "the sea", "grass", "night sky", "(red)", "2",
] * 9  # fmt: skip
QUESTIONS = ["what color is the circle?", "how many objects are there?"]


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_answers_of_ones_own_rank_exactly_as_in_a_model_exported_with_them(precision: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ANSWERS))
    exported = tmp_path / "own.albef"
    result = infer(
        ROOT / "models" / "vqa" / "model.safetensors", "-o", exported, "--answers", tmp_path / "a.json", "--precision",
        precision, "--quiet", command="albef-export",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    shipped = model("vqa").with_name(f"vqa-{precision}.albef")
    for question in QUESTIONS:
        request = ["--image", PICTURE, "--question", question, "--top", "200"]
        own = answer("vqa", "-m", exported, *request)
        assert own == answer("vqa", "-m", shipped, *request, "--answers", tmp_path / "a.json")
        assert own != answer("vqa", "-m", shipped, *request)
        assert len(own["answers"]) == 128
        assert sum(one["probability"] for one in own["answers"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("content", ["{}", "[]", '["a", 1]', "nonsense"])
def test_a_list_that_holds_no_answers_is_bad_data(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    result = infer(
        "vqa", "-m", model("vqa"), "--image", PICTURE, "--question", QUESTIONS[0], "--answers", tmp_path / "a.json"
    )
    refused(result, 65, "a.json")
