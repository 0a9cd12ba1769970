"""The command that tells what a checkpoint holds for a task, and writes that task's checkpoint."""

from __future__ import annotations

import pytest
import reference as r
import torch
from safetensors import safe_open
from safetensors.torch import save

from albef.checkpoint import read_checkpoint, save_checkpoint, save_official, with_sorted_metadata
from albef.convert import main
from albef.loading import load_model
from albef.model import NLVRModel, NLVRPretrainModel, PretrainModel

# Heads are 64 wide where a file does not say otherwise.
WIDTHS = dict(vision_width=64, vision_heads=1, text_width=64, text_heads=1)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(56))]


@pytest.fixture
def official(tmp_path):
    """A wrapped pre-training checkpoint, as released."""
    torch.manual_seed(1)
    save_official(tmp_path / "ALBEF.pth", PretrainModel(r.tiny_config(**WIDTHS), queue_size=8), epoch=29)
    return tmp_path / "ALBEF.pth"


def test_without_an_output_only_the_report_is_printed(official, capsys):
    assert main([str(official)]) == 0
    text = capsys.readouterr().out
    assert "loaded" in text and "ignored       twins" in text and "FATAL" not in text
    assert list(official.parent.iterdir()) == [official]


def test_the_way_from_pre_training_to_nlvr2(official, tmp_path, capsys):
    config = r.tiny_config(**WIDTHS, text_layers=6, image_size=32)
    assert main([str(official), "--task", "nlvr_pretrain", "--image-size", "32", "-o", str(tmp_path / "ta.pth")]) == 0
    assert "from 4 x 4 to 8 x 8" in capsys.readouterr().out
    NLVRPretrainModel(config).load_state_dict(read_checkpoint(tmp_path / "ta.pth").tensors, strict=True)
    assert main([str(tmp_path / "ta.pth"), "--task", "nlvr", "--twins", "-o", str(tmp_path / "nlvr.pth")]) == 0
    model = NLVRModel(config)
    model.load_state_dict(read_checkpoint(tmp_path / "nlvr.pth").tensors, strict=True)
    students, twins = (dict(part.named_parameters()) for part in (model.text_encoder, model.text_encoder_m))
    assert all(torch.equal(twins[name], tensor) for name, tensor in students.items())


def test_our_files_carry_vocabulary_and_shape_along(official, tmp_path, capsys):
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(VOCABULARY) + "\n")
    out = tmp_path / "r.safetensors"
    assert main([str(official), "--task", "grounding", "-o", str(out)]) == 1
    assert "holds no vocabulary: give --vocab" in capsys.readouterr().err and not out.exists()
    assert main([str(official), "--task", "grounding", "--vocab", str(vocabulary), "-o", str(out)]) == 0
    loaded = load_model(out)
    assert loaded.task == "grounding" and loaded.tokenizer.vocabulary == VOCABULARY
    save_checkpoint(out, loaded.model, "grounding", VOCABULARY)
    assert main([str(out), "-o", str(tmp_path / "r.pth")]) == 0
    tensors = read_checkpoint(tmp_path / "r.pth").tensors
    assert "text_encoder.embeddings.position_ids" in tensors and not any("_m." in name for name in tensors)


def test_a_file_that_does_not_fit_ends_with_one_line(official, tmp_path, capsys):
    tensors = read_checkpoint(official).tensors
    del tensors["text_encoder.bert.encoder.layer.1.output.dense.bias"]
    torch.save(tensors, tmp_path / "torn.pth")
    assert main([str(tmp_path / "torn.pth")]) == 1
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    assert main([str(tmp_path / "other.pth")]) == 1
    assert main([str(tmp_path / "none.pth")]) == 1
    torn, other, none = capsys.readouterr().err.splitlines()
    assert "layer.1.output.dense.bias" in torn
    assert "do not tell the model's shape" in other
    assert "none.pth" in none


def test_one_model_is_written_with_the_same_bytes_each_time(tmp_path):
    torch.manual_seed(4)
    tensors = {"a": torch.randn(3, 5), "b": torch.arange(7)}
    metadata = {f"key {number}": "ä" * number for number in range(9)}
    written = {with_sorted_metadata(save(tensors, dict(sorted(metadata.items(), reverse=turn % 2 == 0)))) for turn in range(8)}
    assert len(written) == 1
    path = tmp_path / "x.safetensors"
    path.write_bytes(written.pop())
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == metadata and set(file.keys()) == set(tensors)
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in tensors.items())
