"""Scenes and drawings: what is drawn is what the description says, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from albef.world import draw as drawing
from albef.world.scene import BACKDROPS, CLASHES, HELD_OUT, SHAPES, Scene, generator, sample


def render(scene: Scene) -> drawing.Drawing:
    return drawing.draw(scene, generator(5, scene.split, scene.index, "picture"))


def test_a_scene_depends_on_seed_split_and_index_alone():
    assert sample(5, "train", 17) == sample(5, "train", 17)
    assert len({sample(*key) for key in ((5, "train", 17), (6, "train", 17), (5, "val", 17), (5, "train", 18))}) == 4
    first, second = render(sample(5, "train", 17)), render(sample(5, "train", 17))
    assert first.image.tobytes() == second.image.tobytes() and first.boxes == second.boxes


@pytest.mark.parametrize("split", ["train", "val"])
def test_held_out_pairs_never_occur_outside_of_the_test_split(split):
    scenes = [sample(5, split, index) for index in range(2000)]
    assert not any(scene.held_out for scene in scenes)
    assert {scene.backdrop for scene in scenes} == set(BACKDROPS)
    assert {item.shape for scene in scenes for item in scene.items} == set(SHAPES)


def test_the_test_split_shows_every_held_out_pair_in_the_stated_share():
    scenes = [sample(5, "test", index) for index in range(1500)]
    assert 0.36 < sum(scene.held_out for scene in scenes) / len(scenes) < 0.44
    assert {(i.shape, i.color) for scene in scenes for i in scene.items} >= HELD_OUT


def test_objects_keep_inside_the_picture_and_off_colours_that_drown():
    for index in range(300):
        scene = sample(5, "test", index)
        assert 120 <= min(scene.width, scene.height) and max(scene.width, scene.height) <= 320
        assert 0.74 < scene.width / scene.height < 1.35
        assert 1 <= len(scene.items) <= 4
        assert all(item.color != CLASHES[scene.backdrop] for item in scene.items)
        for x, y, w, h in render(scene).boxes:
            assert x >= 0 and y >= 0 and x + w <= scene.width and y + h <= scene.height and min(w, h) >= 15


@pytest.mark.parametrize("index", range(40))
def test_a_box_holds_its_object_and_nothing_wider(index):
    scene = sample(5, "test", index)
    item = scene.items[0]
    bare = Scene(scene.split, scene.index, scene.width, scene.height, scene.backdrop)
    alone = Scene(scene.split, scene.index, scene.width, scene.height, scene.backdrop, (item,))
    empty = np.asarray(render(bare).image, np.int32)
    drawn = render(alone)
    x, y, w, h = drawn.boxes[0]
    # The light is drawn from the same generator after the backdrop, so only the object differs.
    changed = np.abs(np.asarray(drawn.image, np.int32) - empty).max(axis=2)
    inside = changed[y : y + h, x : x + w]
    paint = np.float32(drawing.PAINTS[item.color]) * 255
    likeness = np.abs(np.asarray(drawn.image, np.float32)[y : y + h, x : x + w] - paint).max(axis=2) < 60
    assert likeness.mean() > 0.12, "the object's colour fills a part of its box"
    for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert edge.max() > 15, "the box is tight"
    # Beside the box (and its anti-aliased border) there is only the soft shadow: it darkens, by 38 % at most.
    changed[y - 1 : y + h + 1, x - 1 : x + w + 1] = 0
    assert (changed > 0.5 * empty.max(axis=2) + 40).sum() == 0
    assert abs(x + w / 2 - item.x) < 0.2 * item.diameter and abs(y + h / 2 - item.y) < 0.2 * item.diameter
    assert 0.6 * item.diameter < min(w, h) and max(w, h) < 1.35 * item.diameter


@pytest.mark.parametrize("backdrop", BACKDROPS)
def test_every_backdrop_is_varied_and_within_range(backdrop):
    first, second = (np.asarray(render(Scene("val", i, 160, 130, backdrop)).image, np.float32) for i in (0, 1))
    assert first.shape == (130, 160, 3)
    assert first.std() > 5 and np.abs(first - second).mean() > 2
