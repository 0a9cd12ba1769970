"""The labelled start of the image encoder: labels lie where the objects are, and the file fits the models."""

from __future__ import annotations

import numpy as np
import torch

from albef.checkpoint import load_into, read_checkpoint
from albef.model import PretrainModel
from albef.model.config import small_config
from albef.world import vision
from albef.world.scene import COLORS, SHAPES

SCENE = {
    "width": 160,
    "height": 120,
    "backdrop": "sea",
    "objects": [
        {"shape": "star", "color": "red", "size": "large", "texture": "dotted", "box": [0, 0, 80, 60]},
        {"shape": "ring", "color": "blue", "size": "small", "texture": "plain", "box": [120, 90, 30, 24]},
    ],
}


def test_patch_labels_follow_the_boxes():
    shape, color, size, texture = vision.patch_labels(SCENE, 8).reshape(4, 8, 8)
    assert shape[1, 1] == 1 + SHAPES.index("star") and color[1, 1] == 1 + COLORS.index("red")
    assert (size[1, 1], texture[1, 1]) == (2, 3)
    assert shape[6, 6] == 1 + SHAPES.index("ring") and size[6, 6] == 1
    assert not shape[:, 4][4:].any() and shape[7, 0] == shape[0, 7] == 0
    assert all(((labels > 0) == (shape > 0)).all() for labels in (color, size, texture))


def test_scene_labels_tell_backdrop_number_and_pairs():
    labels = vision.scene_labels(SCENE)
    assert list(labels[:2]) == [3, 2] and labels[2:].sum() == 2
    assert labels[2 + SHAPES.index("star") * len(COLORS) + COLORS.index("red")] == 1


def test_learning_lowers_every_loss_and_the_file_starts_a_model(tmp_path):
    torch.manual_seed(0)
    config = small_config(50)
    model = vision.Teacher(config, 0.05)
    pixels = torch.randn(4, 3, 64, 64)
    patches = torch.from_numpy(np.stack([vision.patch_labels(SCENE, 8)] * 4)).long()
    scenes = torch.from_numpy(np.stack([vision.scene_labels(SCENE)] * 4)).long()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    plain = torch.zeros(4, dtype=torch.bool)
    first = {name: value.item() for name, value in vision.losses(model, pixels, patches, scenes, plain).items()}
    for _ in range(12):
        optimizer.zero_grad()
        sum(vision.losses(model, pixels, patches, scenes, plain).values()).backward()
        optimizer.step()
    last = vision.losses(model, pixels, patches, scenes, plain)
    assert all(last[name].item() < value for name, value in first.items())
    assert vision.accuracy(model, pixels, patches, scenes)["backdrop"] == 1.0

    vision.save(model, tmp_path / "start.safetensors")

    student = PretrainModel(config, queue_size=8, mask_id=4, cls_id=2)
    report = load_into(student, read_checkpoint(tmp_path / "start.safetensors").tensors)
    assert not report.unexpected and not any(name.startswith("visual_encoder.") for name in report.missing)
    assert torch.equal(student.visual_encoder.pos_embed, model.visual_encoder.pos_embed)


def test_false_colours_teach_everything_but_colours():
    torch.manual_seed(0)
    model = vision.Teacher(small_config(50), 0.05)
    patches = torch.from_numpy(np.stack([vision.patch_labels(SCENE, 8)] * 2)).long()
    scenes = torch.from_numpy(np.stack([vision.scene_labels(SCENE)] * 2)).long()
    pixels = torch.randn(2, 3, 64, 64)
    found = vision.losses(model, pixels, patches, scenes, torch.ones(2, dtype=torch.bool))
    assert {name for name, value in found.items() if value.item() == 0} == {"color", "backdrop", "pairs"}


def test_channels_are_exchanged_and_none_is_lost():
    pixels = torch.arange(3.0).view(1, 3, 1, 1).repeat(40, 1, 2, 2)
    changed = vision.exchange_channels(pixels, np.random.default_rng(7))
    orders = {tuple(picture[:, 0, 0].tolist()) for picture in changed}
    assert len(orders) == 5 and (0, 1, 2) not in orders and all(sorted(order) == [0, 1, 2] for order in orders)
