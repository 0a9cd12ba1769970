"""The contract of the commands: exit codes, one clear line on standard error, keys of the JSON.

Needs built commands: ``ALBEF_BINARIES`` names the folder that holds them and ``ALBEF_MODELS`` one with the shipped models
exported to ``<name>-int8.albef``; ``tools/test.sh`` sets both.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
BINARIES = os.environ.get("ALBEF_BINARIES")
MODELS = os.environ.get("ALBEF_MODELS")

pytestmark = pytest.mark.skipif(
    BINARIES is None or MODELS is None, reason="ALBEF_BINARIES and ALBEF_MODELS name no built commands and models"
)

PICTURE = sorted((ROOT / "fixtures" / "demo").glob("*.jpg"))[0] if (ROOT / "fixtures" / "demo").is_dir() else None


def infer(*arguments: object, command: str = "albef-infer") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(BINARIES or "") / command), *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def model(name: str) -> Path:
    return Path(MODELS or "") / f"{name}-int8.albef"


def answer(*arguments: object) -> dict:
    result = infer(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 1, "one JSON object on one line and nothing else"
    return json.loads(lines[0])


def refused(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert result.returncode == code, (result.returncode, result.stderr)
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("albef-")
    for word in words:
        assert word in lines[0], lines[0]
    assert result.stdout == ""


def test_match_gives_similarity_probability_and_logit() -> None:
    result = answer("match", "-m", model("retrieval"), "--image", PICTURE, "--text", "a red circle")
    assert list(result) == ["similarity", "match", "itm_logit"]
    assert -1 <= result["similarity"] <= 1
    assert 0 <= result["match"] <= 1


def test_search_ranks_reranked_pictures_by_their_logit_first(tmp_path: Path) -> None:
    results = answer(
        "search", "-m", model("retrieval"), "--images", PICTURE.parent, "--text", "a red circle", "--top", "100",
        "--rerank", "5",
    )["results"]  # fmt: skip
    assert len(results) > 5
    logits = [r["itm_logit"] for r in results[:5]]
    assert logits == sorted(logits, reverse=True)
    assert all(r["itm_logit"] is None and r["match"] is None for r in results[5:])
    similarities = [r["similarity"] for r in results[5:]]
    assert similarities == sorted(similarities, reverse=True)


def test_search_skips_an_unreadable_picture_with_a_line(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    (tmp_path / "good.jpg").write_bytes(PICTURE.read_bytes())
    result = infer("search", "-m", model("retrieval"), "--images", tmp_path, "--text", "a red circle", "--json")
    assert result.returncode == 0
    assert "bad.jpg" in result.stderr
    assert len(json.loads(result.stdout)["results"]) == 1


def test_search_with_a_picture_never_reranks() -> None:
    results = answer("search", "-m", model("retrieval"), "--images", PICTURE.parent, "--image", PICTURE)["results"]
    assert results[0]["similarity"] == pytest.approx(1, abs=1e-6)
    assert all(r["itm_logit"] is None for r in results)


def test_embed_writes_unit_rows(tmp_path: Path) -> None:
    out = tmp_path / "t.npy"
    result = infer("embed", "-m", model("retrieval"), "--text", "a red circle", "--text", "a blue star", "-o", out)
    assert result.returncode == 0, result.stderr
    rows = np.load(out)
    assert rows.shape == (2, 64) and rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_vqa_ranks_answers_with_probabilities() -> None:
    answers = answer(
        "vqa", "-m", model("vqa"), "--image", PICTURE, "--question", "how many stars are there?", "--top", 3
    )
    probabilities = [a["probability"] for a in answers["answers"]]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) <= 1 + 1e-5


def test_ground_gives_heatmap_box_and_ranked_boxes(tmp_path: Path) -> None:
    with Image.open(PICTURE) as picture:
        width, height = picture.size
    boxes = [[0, 0, width / 2, height / 2], [width / 2, height / 2, width / 2, height / 2]]
    (tmp_path / "b.json").write_text(json.dumps(boxes))
    result = answer(
        "ground", "-m", model("retrieval"), "--image", PICTURE, "--text", "a red circle", "-o", tmp_path / "o.png",
        "--heatmap", tmp_path / "h.npy", "--boxes", tmp_path / "b.json",
    )  # fmt: skip
    heatmap = result["heatmap"]
    assert len(heatmap["values"]) == heatmap["rows"] * heatmap["columns"]
    assert np.load(tmp_path / "h.npy").shape == (heatmap["rows"], heatmap["columns"])
    assert sorted(map(tuple, (b["box"] for b in result["boxes"]))) == sorted(map(tuple, boxes))
    with Image.open(tmp_path / "o.png") as overlay:
        assert overlay.size == (width, height)


@pytest.mark.parametrize("name", ["pretrain", "retrieval", "vqa"])
def test_trace_is_the_same_for_every_instruction_set_and_thread_count(name: str, tmp_path: Path) -> None:
    text = ["--question", "how many stars are there?"] if name == "vqa" else ["--text", "a red circle"]
    reference: dict[str, bytes] = {}
    for precision in ("int8", "float32"):
        file = Path(MODELS or "") / f"{name}-{precision}.albef"
        reference.clear()
        for isa, threads in [
            ("scalar", 1),
            ("avx2", 1),
            ("avx512vnni", 1),
            ("avx512vnni", 2),
            ("avx2", 3),
            ("scalar", 8),
        ]:
            out = tmp_path / "t.safetensors"
            result = infer(
                "trace", "-m", file, "--image", PICTURE, *text, "--isa", isa, "--threads", threads, "-o", out
            )
            if result.returncode == 64 and "not available" in result.stderr:
                continue  # this machine's processor lacks the instruction set
            assert result.returncode == 0, result.stderr
            tensors = {key: value.tobytes() for key, value in load_file(out).items()}
            reference = reference or tensors
            assert tensors == reference, f"{isa} with {threads} threads"


def test_info_names_the_model_and_the_variants() -> None:
    result = answer("info", "-m", model("pretrain"))
    assert result["precision"] == "int8"
    assert result["arithmetic_revision"] >= 1
    assert result["heads"] == ["contrastive", "matching", "masked-language"]
    assert result["kernels"]


def test_a_long_caption_is_cut_with_one_note() -> None:
    result = infer("match", "-m", model("retrieval"), "--image", PICTURE, "--text", "red " * 10_000)
    assert result.returncode == 0, result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_picture_of_one_pixel_gets_an_answer(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (255, 0, 0)).save(tmp_path / "one.png")
    assert infer("match", "-m", model("retrieval"), "--image", tmp_path / "one.png", "--text", "red").returncode == 0


def test_an_empty_caption_is_bad_data() -> None:
    refused(infer("match", "-m", model("retrieval"), "--image", PICTURE, "--text", " ?! "), 65, "text")


def test_a_missing_picture_and_a_missing_model_are_missing_input(tmp_path: Path) -> None:
    refused(infer("match", "-m", model("retrieval"), "--image", tmp_path / "no.jpg", "--text", "red"), 66, "no.jpg")
    refused(infer("info", "-m", tmp_path / "no.albef"), 66, "no.albef")


def test_a_file_that_is_no_picture_is_bad_data(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("hello")
    refused(infer("match", "-m", model("retrieval"), "--image", tmp_path / "x.jpg", "--text", "red"), 65, "x.jpg")


def test_a_picture_that_claims_to_be_huge_is_refused_from_its_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "huge.png").write_bytes(png)
    result = infer("match", "-m", model("retrieval"), "--image", tmp_path / "huge.png", "--text", "red")
    refused(result, 65, "huge.png", "40000")


def test_a_head_that_the_model_lacks_is_named() -> None:
    refused(infer("vqa", "-m", model("retrieval"), "--image", PICTURE, "--question", "what?"), 65, "text_decoder")


def test_an_unknown_instruction_set_is_a_usage_error_with_the_list() -> None:
    result = infer("info", "-m", model("retrieval"), "--isa", "sse9")
    assert result.returncode == 64
    assert "scalar" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["match"], ["match", "-m", "x", "--frobnicate"], ["nonsense"]])
def test_wrong_usage_exits_with_64(arguments: list[str]) -> None:
    assert infer(*arguments).returncode in ((0, 64) if not arguments else (64,))


def test_a_model_cut_or_damaged_anywhere_in_its_header_is_refused(tmp_path: Path) -> None:
    whole = model("retrieval").read_bytes()
    broken = tmp_path / "broken.albef"
    edges = sorted({0, 1, 7, 8, 63, 64, 128, 4096, len(whole) // 2, len(whole) - 1})
    for length in edges:
        broken.write_bytes(whole[:length])
        refused(infer("info", "-m", broken), 65, "broken.albef")
    # The header of 128 bytes, and the section table, which ends the file.
    for position in [*range(0, 128, 3), *range(len(whole) - 200, len(whole), 9)]:
        changed = bytearray(whole)
        changed[position] ^= 0x41
        broken.write_bytes(changed)
        refused(infer("info", "-m", broken), 65, "broken.albef")


def test_a_changed_weight_is_found_when_sums_are_checked(tmp_path: Path) -> None:
    changed = bytearray(model("retrieval").read_bytes())
    changed[200] ^= 0x41
    (tmp_path / "broken.albef").write_bytes(changed)
    refused(infer("info", "-m", tmp_path / "broken.albef", "--check-sums"), 65, "broken.albef")


def test_an_unwritable_output_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "no-such-folder" / "t.npy"
    result = infer("embed", "-m", model("retrieval"), "--text", "red", "-o", out)
    refused(result, 74, "no-such-folder")
    assert list(tmp_path.iterdir()) == []
