"""The contract of ``fill-mask``, ``search --texts`` and ``trace --masked-text``; needs what ``test_commands.py`` needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from test_commands import PICTURE, answer, infer, model, pytestmark, refused

__all__ = ["pytestmark"]


def fill(text: str, *options: object, name: str = "pretrain") -> list:
    return answer("fill-mask", "-m", model(name), "--image", PICTURE, "--text", text, *options)["masks"]


def test_fill_mask_ranks_words_for_each_mask() -> None:
    masks = fill("a [MASK] [MASK] on the grass.", "--top", 4)
    assert [len(words) for words in masks] == [4, 4]
    for words in masks:
        assert all(list(word) == ["word", "probability"] for word in words)
        probabilities = [word["probability"] for word in words]
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1 + 1e-5


def test_probabilities_of_all_words_add_up_and_are_those_of_the_traced_logits(tmp_path: Path) -> None:
    text = "a big [MASK] circle"
    words = fill(text, "--top", 10_000)[0]
    assert sum(word["probability"] for word in words) == pytest.approx(1, abs=1e-5)
    out = tmp_path / "t.safetensors"
    answer("trace", "-m", model("pretrain"), "--image", PICTURE, "--masked-text", text, "-o", out)
    tensors = load_file(out)
    row = int(np.flatnonzero(tensors["input_ids"] == vocabulary_id("[MASK]"))[0])
    logits = tensors["mlm_logits"][row].astype(np.float64)
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    for word in words:
        assert word["probability"] == pytest.approx(expected[vocabulary_id(word["word"])], abs=1e-6)


def vocabulary_id(word: str) -> int:
    vocabulary = (Path(__file__).parents[1] / "albef" / "world" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return vocabulary.index(word)


def test_fill_mask_for_a_person_lists_a_word_a_line() -> None:
    result = infer("fill-mask", "-m", model("pretrain"), "--image", PICTURE, "--text", "a [MASK] [MASK]", "--top", 2)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in (lines[0], lines[3])] == ["mask", "mask"]
    assert len(lines) == 6


@pytest.mark.parametrize("text", ["a red circle", "a [mask] circle", " ?! "])
def test_a_text_without_a_mask_is_a_usage_error(text: str) -> None:
    refused(infer("fill-mask", "-m", model("pretrain"), "--image", PICTURE, "--text", text), 64, "[MASK]")


def test_a_mask_behind_the_last_word_that_is_read_is_bad_data() -> None:
    text = "red " * 30 + "[MASK]"
    refused(infer("fill-mask", "-m", model("pretrain"), "--image", PICTURE, "--text", text), 65, "[MASK]", "cut off")
    kept = infer("fill-mask", "-m", model("pretrain"), "--image", PICTURE, "--text", "[MASK] " + "red " * 30)
    assert kept.returncode == 0 and len(kept.stderr.splitlines()) == 1


def test_fill_mask_needs_the_masked_language_head() -> None:
    result = infer("fill-mask", "-m", model("retrieval"), "--image", PICTURE, "--text", "a [MASK]")
    refused(result, 65, "text_encoder.cls")


def test_trace_takes_one_text() -> None:
    result = infer(
        "trace", "-m", model("pretrain"), "--image", PICTURE, "--text", "a", "--masked-text", "[MASK]", "-o", "x"
    )
    refused(result, 64, "--masked-text")


CAPTIONS = ["a red circle", "A big blue star!", "", "two rings on a brick wall", "  \t", "a purple cross at the beach"]


def rank(file: Path, *options: object) -> list[dict]:
    return answer("search", "-m", model("retrieval"), "--texts", file, "--image", PICTURE, *options)["results"]


def test_captions_are_ranked_for_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("\r\n".join(CAPTIONS), encoding="utf-8")
    results = rank(file, "--rerank", 2)
    assert [list(r) for r in results] == [["text", "similarity", "match", "itm_logit"]] * 4
    assert sorted(r["text"] for r in results) == sorted(caption for caption in CAPTIONS if caption.strip())
    assert results[0]["itm_logit"] >= results[1]["itm_logit"]
    assert all(r["itm_logit"] is None and r["match"] is None for r in results[2:])
    assert min(r["similarity"] for r in results[:2]) >= results[2]["similarity"] >= results[3]["similarity"]
    for result in results[:2]:
        alone = answer("match", "-m", model("retrieval"), "--image", PICTURE, "--text", result["text"])
        assert alone == {key: result[key] for key in ("similarity", "match", "itm_logit")}
    assert all(r["itm_logit"] is not None for r in rank(file)), "all are re-ranked where there are few"
    similarities = [r["similarity"] for r in rank(file, "--rerank", 0)]
    assert similarities == sorted(similarities, reverse=True)
    assert len(rank(file, "--top", 1)) == 1


def test_at_most_128_captions_are_reranked(tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("".join(f"a red circle {'red ' * (number % 9)}\n" for number in range(140)))
    results = rank(file, "--top", 1000)
    assert [r["itm_logit"] is not None for r in results] == [True] * 128 + [False] * 12


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", ["captions"]), (b" \n\n", ["captions"]), (b"a\n\xff\n", ["line 2", "UTF-8"]), (b"a\n\n?!\n", ["line 3", "?!"])],
)
def test_a_file_of_captions_that_cannot_be_read_is_bad_data(content: bytes, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes(content)
    result = infer("search", "-m", model("retrieval"), "--texts", tmp_path / "c.txt", "--image", PICTURE)
    refused(result, 65, "c.txt", *words)


def test_long_captions_are_cut_with_one_note(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text(("red " * 50 + "\n") * 3 + "blue\n")
    result = infer("search", "-m", model("retrieval"), "--texts", tmp_path / "c.txt", "--image", PICTURE, "--json")
    assert result.returncode == 0
    assert len(result.stderr.splitlines()) == 1 and "3 of 4" in result.stderr
    assert len(json.loads(result.stdout)["results"]) == 4


@pytest.mark.parametrize(
    "options",
    [
        ["--image", "p"],
        ["--images", "f", "--texts", "t", "--image", "p"],
        ["--texts", "t", "--text", "a"],
        ["--texts", "t", "--image", "p", "--text", "a"],
        ["--images", "f", "--image", "p", "--rerank", "3"],
        ["--images", "f"],
    ],
)
def test_searches_that_do_not_say_what_for_what_are_usage_errors(options: list[str]) -> None:
    refused(infer("search", "-m", model("retrieval"), *options), 64)


def test_embed_without_a_file_prints_the_same_vectors(tmp_path: Path) -> None:
    texts = ["--text", "a red circle", "--text", "a blue star"]
    inline = answer("embed", "-m", model("retrieval"), *texts)
    assert (inline["rows"], inline["columns"]) == (2, 64)
    answer("embed", "-m", model("retrieval"), *texts, "-o", tmp_path / "t.npy")
    np.testing.assert_array_equal(np.array(inline["features"], dtype=np.float32), np.load(tmp_path / "t.npy"))
    lines = infer("embed", "-m", model("retrieval"), *texts).stdout.splitlines()
    printed = np.array([line.split() for line in lines], dtype=np.float32)
    np.testing.assert_array_equal(printed, np.load(tmp_path / "t.npy"))
