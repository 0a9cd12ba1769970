"""The contract of ``albef-infer bench``: its JSON, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_commands import PICTURE, answer, infer, model, pytestmark, refused  # noqa: F401


def bench(name: str, *arguments: object) -> dict:
    return answer("bench", "-m", model(name), "--runs", 2, *arguments)


def test_bench_tells_the_machine_and_every_stage_that_the_model_allows() -> None:
    result = bench("retrieval", "--threads", 1)
    assert list(result) == [
        "model", "digest", "isa", "threads", "precision", "runs", "peak", "stages", "session_bytes", "used_bytes",
        "peak_resident_bytes",
    ]  # fmt: skip
    assert (result["threads"], result["runs"], result["precision"]) == (1, 2, "int8")
    assert list(result["peak"]) == ["int8_gmacs", "float32_gmacs", "read_gbytes"]
    assert all(value > 0 for value in result["peak"].values())
    names = [stage["stage"] for stage in result["stages"]]
    assert names == [
        "prepare_image", "image_encoder", "text_encoder_12", "text_encoder_30", "fusion_pair_12", "fusion_pair_30",
        "fusion_16_pictures_12", "fusion_16_pictures_30", "match", "ground", "ground_itc",
    ]  # fmt: skip
    for stage in result["stages"]:
        assert list(stage) == [
            "stage", "tokens", "gmac", "weight_bytes", "p50_ms", "p90_ms", "min_ms", "floor_ms", "weights_floor_ms", "gmacs",
            "peak_share",
        ]  # fmt: skip
        assert 0 < stage["min_ms"] <= stage["p50_ms"] <= stage["p90_ms"]
        assert stage["gmacs"] == pytest.approx(stage["gmac"] / stage["min_ms"] * 1e3)
        assert stage["peak_share"] == pytest.approx(stage["gmacs"] / result["peak"]["int8_gmacs"])
        assert stage["floor_ms"] >= stage["weights_floor_ms"]
    assert 0 < result["used_bytes"] <= result["session_bytes"]
    assert result["peak_resident_bytes"] is None or result["peak_resident_bytes"] > 1 << 20


def test_bench_times_chosen_stages_on_a_given_picture() -> None:
    result = bench("vqa", "--stages", "vqa", "answer", "--image", PICTURE, "--isa", "scalar")
    assert [stage["stage"] for stage in result["stages"]] == ["vqa", "answer"]
    assert result["isa"] == "scalar"
    assert result["stages"][0]["gmac"] > result["stages"][1]["gmac"] > 0
    assert [stage["tokens"] for stage in result["stages"]] == [12, 12]


def test_bench_ranks_answers_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(["yes", "no"]))
    stages = bench("vqa", "--answers", file, "--threads", 1)["stages"]
    assert [stage["stage"] for stage in stages][-2:] == ["answer", "vqa"]
    own = bench("vqa", "--stages", "answer", "vqa", "--threads", 1)["stages"]
    assert all(few["gmac"] < many["gmac"] for few, many in zip(stages[-2:], own, strict=True))


@pytest.mark.parametrize(("content", "word"), [("[]", "not empty"), ('["a", 1]', "list of strings"), ("nonsense", "a.json")])
def test_bench_refuses_a_list_that_holds_no_answers(content: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    refused(infer("bench", "-m", model("vqa"), "--answers", tmp_path / "a.json"), 65, "a.json", word)


@pytest.mark.parametrize(("name", "stage"), [("entailment", "entail"), ("nlvr", "reason"), ("pretrain", "fill_mask")])
def test_bench_times_what_a_head_is_for(name: str, stage: str) -> None:
    assert [each["stage"] for each in bench(name, "--stages", stage)["stages"]] == [stage]


def test_bench_prints_a_table_for_a_person() -> None:
    result = infer("bench", "-m", model("retrieval"), "--runs", 1, "--stages", "image_encoder", "--threads", 1)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert "int8 peak" in lines[0] and lines[1].split()[0] == "GMAC"
    assert lines[2].startswith("image_encoder") and lines[2].rstrip().endswith("%")
    assert lines[3].startswith("activations: ")


def test_bench_refuses_what_it_cannot_do() -> None:
    refused(infer("bench", "-m", model("retrieval"), "--stages", "vqa"), 65, "text_decoder")
    refused(infer("bench", "-m", model("retrieval"), "--stages", "sing"), 64, "sing", "image_encoder")
    refused(infer("bench", "-m", model("retrieval"), "--runs", 0), 64, "--runs")
    refused(infer("bench", "-m", "none.albef"), 66, "none.albef")
    refused(infer("bench", "-m", model("retrieval"), "--image", "none.jpg"), 66, "none.jpg")
    refused(infer("bench", "-m", model("vqa"), "--answers", "none.json"), 66, "none.json")
    refused(infer("bench", "-m", model("retrieval"), "--answers", "none.json"), 65, "text_decoder")
    refused(infer("bench", "-m", model("vqa"), "--answers", "none.json", "--stages", "match"), 64, "--answers")
