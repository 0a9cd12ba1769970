"""Deeper models start from trained ones: every layer has weights, and nothing else changes."""

from __future__ import annotations

import pytest
import torch

from albef.checkpoint import load_student, student_tensors
from albef.model import PretrainModel
from albef.model.config import ModelConfig
from albef.stacking import stack_layers

SHAPE = dict(
    image_size=16, patch_size=8, vision_width=16, vision_layers=1, vision_heads=2, text_width=16, fusion_layer=1,
    text_heads=2, embed_dim=8, vocab_size=30, max_positions=8, gradcam_layer=1,
)  # fmt: skip


@pytest.mark.parametrize("layers", [2, 3, 5])
def test_new_layers_are_copies_of_the_last_one_and_the_model_loads(layers):
    torch.manual_seed(0)
    small = PretrainModel(ModelConfig(**SHAPE, text_layers=2), twins=False, cls_id=2, mask_id=4)
    tensors = student_tensors(small)
    stacked = stack_layers(tensors, layers)
    deep = PretrainModel(ModelConfig(**SHAPE, text_layers=layers), twins=False, cls_id=2, mask_id=4)
    load_student(deep, stacked)
    for number in range(2, layers):
        for (name, old), new in zip(
            small.bert.encoder.layer[1].named_parameters(), deep.bert.encoder.layer[number].parameters(), strict=True
        ):
            assert torch.equal(old, new), name
    assert all(torch.equal(stacked[name], tensor) for name, tensor in tensors.items())


def test_a_checkpoint_with_more_layers_or_none_is_refused():
    torch.manual_seed(0)
    tensors = student_tensors(PretrainModel(ModelConfig(**SHAPE, text_layers=3), twins=False, cls_id=2, mask_id=4))
    with pytest.raises(ValueError, match="3 layers, more than the 2"):
        stack_layers(tensors, 2)
    with pytest.raises(ValueError, match="no text encoder"):
        stack_layers({"temp": torch.zeros(())}, 2)
