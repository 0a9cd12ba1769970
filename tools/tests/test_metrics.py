"""metrics.json, and the README's and the cards' tables that are made of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from albef import tables
from albef.metrics import (
    HEADLINES,
    Measurement,
    MetricsError,
    describe,
    label,
    measurement_name,
    read_metrics,
    write_metrics,
)

ROOT = Path(__file__).resolve().parents[2]


def test_the_tables_of_this_checkout_are_what_the_metrics_give():
    assert tables.stale(ROOT / "README.md") == []


@pytest.mark.parametrize("folder", sorted((ROOT / "models").glob("*/")), ids=lambda folder: folder.name)
def test_shipped_metrics_have_a_headline_and_plausible_figures(folder):
    metrics = read_metrics(folder / "metrics.json")
    assert metrics.headlines()
    for each in metrics.measurements:
        assert each.cases > 0
        for name, figures in each.metrics.items():
            assert all(0 <= value <= 100 for value in figures.values()), (each.name, name)


@pytest.mark.parametrize(
    "name, metric, expected",
    [
        ("retrieval", "txt_r1", "R@1 image to text, re-ranked"),
        ("retrieval", "itc_img_r10", "R@10 text to image, similarity alone"),
        ("retrieval", "itc_r_mean", "mean recall, similarity alone"),
        ("grounding", "peak_in_box", "heatmap peak in box, expressions by looks"),
        ("grounding_places_itc", "box_accuracy", "similarity box ranking, expressions by place"),
        ("vqa", "accuracy", "VQA accuracy"),
        ("vqa", "color", "VQA accuracy, color"),
        ("nlvr", "accuracy", "NLVR2 accuracy"),
        ("refcoco_testa", "peak_in_box", "refcoco_testa: peak_in_box"),
    ],
)
def test_figures_have_names(name, metric, expected):
    assert label(name, metric) == expected


def test_every_headline_has_a_name_of_its_own():
    for keys in HEADLINES.values():
        assert len({label(*key) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    "file, name",
    [("a/vqa_test.json", "vqa"), ("grounding_places_val.json", "grounding_places"), ("refcoco+_testA.json", "refcoco+_testA")],
)
def test_a_measurement_is_called_by_its_file_without_the_split(file, name):
    assert measurement_name(file) == name


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A README and one model with its card."""
    folder = tmp_path / "models" / "vqa"
    folder.mkdir(parents=True)
    checkpoint = shutil.copy(ROOT / "models" / "vqa" / "model.safetensors", folder)
    measured = Measurement("vqa", "vqa_test.json", 1500, {"accuracy": {"float32": 87.34, "int8": 87.6}})
    write_metrics(folder / "metrics.json", describe(Path(checkpoint), "vqa", [measured]))
    (folder / "README.md").write_text("# VQA\n\n<!-- metrics -->\n<!-- /metrics -->\n\nrest\n")
    (tmp_path / "README.md").write_text("before\n\n<!-- models -->\nold\n<!-- /models -->\nafter\n")
    return tmp_path / "README.md"


def test_tables_are_rewritten_between_their_markers_and_then_up_to_date(checkout, capsys):
    assert tables.main([str(checkout), "--check"]) == 1
    assert str(checkout) in capsys.readouterr().err
    assert tables.main([str(checkout)]) == 0
    text = checkout.read_text()
    assert text.startswith("before\n\n<!-- models -->\n| model |") and text.endswith("|\n<!-- /models -->\nafter\n")
    assert "| [vqa](models/vqa/README.md) | 2.63 M | VQA accuracy | 87.3 | 87.6 |" in text
    card = (checkout.parent / "models" / "vqa" / "README.md").read_text()
    assert "| VQA accuracy | 87.3 | 87.6 | `vqa_test.json`, 1,500 cases |" in card and card.endswith("\n\nrest\n")
    assert tables.main([str(checkout), "--check"]) == 0
    before = checkout.stat().st_mtime_ns
    assert tables.main([str(checkout)]) == 0
    assert checkout.stat().st_mtime_ns == before


def test_a_card_without_markers_is_left_alone(checkout):
    card = checkout.parent / "models" / "vqa" / "README.md"
    card.write_text("by hand\n")
    assert tables.main([str(checkout)]) == 0
    assert card.read_text() == "by hand\n"


def test_figures_of_the_reference_get_a_column(checkout):
    path = checkout.parent / "models" / "vqa" / "metrics.json"
    content = json.loads(path.read_text())
    content["measurements"][0]["metrics"]["accuracy"]["pytorch"] = 87.5
    path.write_text(json.dumps(content))
    card = tables.metrics_table(read_metrics(path))
    assert card.splitlines()[0] == "| metric | PyTorch | float32 | int8 | measured on |"
    assert "| VQA accuracy | 87.5 | 87.3 | 87.6 |" in card


def refused(checkout: Path, capsys, *words: str) -> None:
    for more in ([], ["--check"]):
        assert tables.main([str(checkout), *more]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and all(word in error for word in words), error


def test_metrics_of_another_checkpoint_are_refused(checkout, capsys):
    checkpoint = checkout.parent / "models" / "vqa" / "model.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1] + b"\x00")
    refused(checkout, capsys, "another checkpoint", "albef.finish")


def test_a_model_without_metrics_is_refused(checkout, capsys):
    (checkout.parent / "models" / "vqa" / "metrics.json").unlink()
    refused(checkout, capsys, "metrics.json")


@pytest.mark.parametrize(
    "text", ["no marker", "<!-- /models --><!-- models -->", "<!-- models --><!-- models --><!-- /models -->"]
)
def test_a_readme_without_its_markers_is_refused(text, checkout, capsys):
    checkout.write_text(text)
    refused(checkout, capsys, "<!-- models -->")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: "[]",
        lambda content: content.replace('"format": 1', '"format": 2'),
        lambda content: content.replace('"int8"', '"int4"'),
        lambda content: content.replace('"cases"', '"case"'),
        lambda content: content[:50],
    ],
)
def test_a_damaged_metrics_file_is_refused_by_name(change, checkout):
    path = checkout.parent / "models" / "vqa" / "metrics.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(MetricsError, match="metrics.json"):
        read_metrics(path)
