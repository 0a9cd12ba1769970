"""The comparison of int8 with float32 for texts of chosen lengths: its texts, its measures, its bounds, a small run."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from albef import deviation
from albef.checkpoint import save_checkpoint
from albef.gradcam import cross_attention
from albef.model import ModelConfig
from albef.model.bert import AttentionCore
from albef.model.config import small_config
from albef.quantization import absorbs
from albef.random_checkpoint import build_random, synthetic_vocabulary
from albef.text import Tokenizer, normalize_caption
from albef.world.vocabulary import PATH

BINARIES = os.environ.get("ALBEF_BINARIES")


@pytest.mark.parametrize("tokens", [2, 12, 30, 31, 62, 63, 100])
def test_a_text_has_exactly_the_tokens_asked_for(tokens):
    tokenizer = Tokenizer(synthetic_vocabulary())
    text = deviation.text_of(tokenizer, tokens, random.Random(tokens))
    assert len(text.split()) <= deviation.WORDS
    assert len(tokenizer.encode(normalize_caption(text, deviation.WORDS))) == tokens
    assert text != deviation.text_of(tokenizer, tokens, random.Random(tokens + 1))


def test_the_published_size_absorbs_up_to_62_tokens():
    config = ModelConfig(vision_layers=1, text_layers=2, fusion_layer=1, gradcam_layer=1, vocab_size=200)
    model = build_random("retrieval", config, 1, twins=False, queue_size=8)
    core = cross_attention(model.bert, 1)
    assert [absorbs(core, tokens, 577) for tokens in (1, 12, 30, 62, 63, 100)] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(("width", "image_width", "expected"), [(64, 48, True), (64, 36, False), (40, 48, False)])
def test_only_whole_blocks_of_16_are_absorbed(width, image_width, expected):
    assert absorbs(AttentionCore(width, image_width, 2, 0.0), 1, 577) is expected


def tensors(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    shapes = {
        "image_feature": 8, "text_feature": 8, "text_tokens": (4, 8), "fusion_tokens": (4, 8), "itm_logits": 2,
        "gradcam": (4, 3, 3), "itc_gradcam": (3, 3),
    }  # fmt: skip
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_equal_tensors_are_within_all_bounds():
    row = deviation.Row(4, True)
    row.add(tensors(1), tensors(1))
    assert row.broken() == []
    assert row.probability == [0] and all(np.allclose(values, 1) for values in row.likeness.values())
    assert len(row.likeness["fusion_tokens"]) == 4 and len(row.likeness["gradcam"]) == 1


@pytest.mark.parametrize("name", [*deviation.BOUNDS, "itm_logits"])
def test_one_other_row_or_map_or_a_nan_breaks_its_bound(name):
    for value in (7.0, np.nan):
        changed = tensors(1)
        first = changed[name][0]
        changed[name][0] = first + value * np.arange(1, 1 + first.size).reshape(first.shape)
        row = deviation.Row(4, True)
        row.add(changed, tensors(1))
        broken = row.broken()
        assert len(broken) == 1, broken
        assert ("match probability" if name == "itm_logits" else deviation.TITLES[name]) in broken[0]


def test_another_shape_is_refused():
    changed = tensors(1)
    changed["text_tokens"] = changed["text_tokens"][:3]
    with pytest.raises(ValueError, match="text_tokens"):
        deviation.Row(4, True).add(changed, tensors(1))


@pytest.mark.skipif(BINARIES is None, reason="ALBEF_BINARIES names no built commands")
def test_a_small_model_is_measured_in_both_forms(tmp_path, monkeypatch, capsys):
    vocabulary = Tokenizer.from_file(PATH).vocabulary
    config = replace(small_config(len(vocabulary)), max_positions=64)
    model = build_random("retrieval", config, 1, twins=False, initializer_range=0.04, queue_size=8)
    checkpoint = tmp_path / "r.safetensors"
    save_checkpoint(checkpoint, model, "retrieval", vocabulary)
    document = tmp_path / "d.md"
    document.write_text("before\n<!-- deviation -->\n<!-- /deviation -->\nafter\n")
    arguments = ["--checkpoint", str(checkpoint), "--tokens", "3", "30", "--picture-count", "2", "--texts", "1"]
    monkeypatch.setattr("sys.argv", ["deviation", *arguments, "--threads", "1", "--document", str(document)])
    assert deviation.main() == 0, capsys.readouterr().err
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith(("| 3 ", "| 30 "))]
    assert [row[1] for row in rows] == ["absorbed", "projected"]
    # Rounding to int8 is no identity: equal figures everywhere would mean that the reference was compared with itself.
    assert any("1.0000, 1.0000" not in cell for cell in rows[0][2:-1])
    assert rows[0][-1] in document.read_text() and document.read_text().endswith("after\n")
    monkeypatch.setattr(deviation, "PROBABILITY_BOUND", -1.0)
    assert deviation.main() == 1
    assert "out of bounds: 3 tokens, match probability" in capsys.readouterr().err


def test_a_document_without_the_comments_is_left_alone(tmp_path, monkeypatch, capsys):
    document = Path(tmp_path / "d.md")
    document.write_text("nothing")
    checkpoint = str(tmp_path / "none.safetensors")
    monkeypatch.setattr("sys.argv", ["deviation", "--checkpoint", checkpoint, "--document", str(document)])
    assert deviation.main() == 65
    assert capsys.readouterr().err.startswith("deviation: ") and document.read_text() == "nothing"
