"""The shipped demo and golden pictures: what the script writes, and what the demo may ask."""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from pathlib import Path

import pytest
import world_reader as reader
from PIL import Image

from albef.world import fixtures, odd_files

FOLDER = Path(__file__).resolve().parents[2] / "fixtures"
GOLDEN = json.loads((FOLDER / "golden/pictures.json").read_text())


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    checkout = tmp_path_factory.mktemp("checkout")
    fixtures.write(checkout)
    return checkout / "fixtures"


def test_the_shipped_pictures_are_what_the_script_writes(written):
    for part in ("demo", "golden/pictures"):
        names = sorted(path.name for path in (written / part).iterdir())
        assert names == sorted(path.name for path in (FOLDER / part).iterdir())
        for name in names:
            assert (written / part / name).read_bytes() == (FOLDER / part / name).read_bytes(), name
    assert json.loads((written / "golden/pictures.json").read_text()) == GOLDEN


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda entry: entry["image"])
def test_a_golden_picture_has_the_recorded_sums_and_texts(entry):
    data = (FOLDER / "golden" / entry["image"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    with Image.open(io.BytesIO(data)) as image, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pixels = image.convert("RGB")
    assert pixels.size == (entry["width"], entry["height"])
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == entry["rgb_sha256"]
    assert len(entry["captions"]) == 3 and len(entry["questions"]) == 3 and entry["expressions"]


def test_hand_written_files_decode_to_their_samples():
    image = Image.linear_gradient("L").resize((37, 23)).convert("RGB")
    image.paste((250, 20, 130), (5, 3, 20, 11))
    for name in ("interlaced.png", "gamma.png", "transparent-color.png"):
        with Image.open(io.BytesIO(odd_files.MAKERS[name](image))) as read:
            assert read.convert("RGB").tobytes() == image.tobytes(), name
    with Image.open(io.BytesIO(odd_files.MAKERS["rgb-16-bit.png"](image))) as read:
        assert read.convert("RGB").tobytes() == image.tobytes()


def test_the_demo_asks_what_its_pictures_show():
    from albef.world.dataset import choose_attempts
    from albef.world.scene import sample

    text = (FOLDER / "demo/demo.txt").read_text()
    fields = {key: re.findall(f"^{key}: (.+)$", text, re.M) for key in ("search", "picture", "true", "false", "ground")}
    assert all(len(values) == 1 for values in fields.values())
    attempts = choose_attempts(fixtures.SEED, "test", max(fixtures.DEMO) + 1)
    asked = re.findall("^question: (.+)[|](.+)$", text, re.M)
    assert len(asked) == len(fixtures.QUESTIONS)
    for (name, question), (index, _) in zip(asked, fixtures.QUESTIONS, strict=True):
        assert (FOLDER / "demo" / name).exists()
        scene = sample(fixtures.SEED, "test", index, attempts[index])
        items = [
            {
                "box": [i.x - 9, i.y - 9, 18, 18],
                "shape": i.shape,
                "color": i.color,
                "size": i.size,
                "texture": i.texture,
            }
            for i in scene.items
        ]
        described = {"width": scene.width, "height": scene.height, "backdrop": scene.backdrop, "objects": items}
        assert reader.answer(described, question)
        if index == fixtures.MATCH[0]:
            assert reader.refer(described, fields["ground"][0])["color"] == "yellow"
