"""`python -m albef.world.fixtures`: writes the demo pictures and the pictures of the golden fixtures into the checkout.

Both come from the world of seed 1, the one that the shipped models learnt from; running it again changes no byte.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tempfile
import warnings
from pathlib import Path

from PIL import Image

from albef.world import dataset, odd_files

SEED = 1
DEMO = (
    26, 99, 293, 12, 113, 228, 270, 281, 229, 48, 94, 184,
    174, 126, 256, 274, 194, 9, 187, 196, 160, 284, 226, 166,
)  # fmt: skip
"""Test pictures chosen by eye: three before each backdrop, JPEG and PNG, some with pairs never seen in training."""

SEARCH = "three orange stars in the night sky"
MATCH = (
    26,
    "a large dotted orange circle, a small white heart, a small orange square and a large yellow star on the grass",
    "two blue rings on a brick wall",
)
GROUND = "the yellow star"
QUESTIONS = (
    (26, "what color is the star?"),
    (26, "what color is the square?"),
    (270, "how many objects can you see?"),
    (281, "is the striped star blue?"),
    (284, "is there a red ring in the picture?"),
    (229, "where are the objects?"),
)
ENTAILED = (
    "there is a small white heart and a large yellow star",
    "there is a yellow star and tom has it",
    "there is a blue ring on the grass",
)
"""Sentences about the picture of `MATCH`: true of it, not to be told from it, false."""
REASONED = (270, 281, ("there is a star in the two pictures", "there is a green star in the left picture"))
"""Left and right picture; a true and a false sentence about them."""
MASKED = ("a large [MASK] star on the grass", "three [MASK] stars in the night sky")
"""About the pictures of `MATCH` and of the left one above."""

GOLDEN_TEST = 24
"""Golden pictures from the test split: the first that are not in the demo."""
GOLDEN_VAL = 16
"""And the first ones of the validation split."""
ODD_SIDE = 120
"""Longest side of the odd files, in pixels."""


def demo_name(record: dict) -> str:
    """ "beach-green-star.jpg": the backdrop and the largest object."""
    scene = record["scene"]
    item = max(scene["objects"], key=lambda o: o["diameter"])
    stem = "-".join([scene["backdrop"].replace(" ", "-"), item["color"], item["shape"]])
    return stem + Path(record["image"]).suffix


def demo_lines(names: dict[int, str]) -> str:
    """What tools/demo.sh asks, one `field: value` a line."""
    picture, true, false = MATCH
    lines = [f"search: {SEARCH}", f"picture: {names[picture]}", f"true: {true}", f"false: {false}", f"ground: {GROUND}"]
    lines += [f"question: {names[index]}|{question}" for index, question in QUESTIONS]
    lines += [f"entail: {names[picture]}|{sentence}" for sentence in ENTAILED]
    left, right, sentences = REASONED
    lines += [f"reason: {names[left]}|{names[right]}|{sentence}" for sentence in sentences]
    lines += [f"mask: {names[index]}|{text}" for index, text in zip((picture, left), MASKED, strict=True)]
    return "\n".join(lines) + "\n"


def golden_entry(name: str, data: bytes, record: dict, other: dict) -> dict:
    """A golden picture's sums and the texts to ask about it."""
    with Image.open(io.BytesIO(data)) as image, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow would rather keep a palette's transparency
        pixels = image.convert("RGB")
    return {
        "image": f"pictures/{name}",
        "sha256": hashlib.sha256(data).hexdigest(),
        "width": pixels.width,
        "height": pixels.height,
        "rgb_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "captions": [record["full"][0], record["partial"][0], other["full"][0]],
        "questions": [question for question, _, _ in record["questions"]],
        "expressions": [reference["text"] for reference in record["references"]],
    }


def write(checkout: Path) -> None:
    """Writes fixtures/demo and fixtures/golden/pictures with fixtures/golden/pictures.json."""
    demo, golden = checkout / "fixtures/demo", checkout / "fixtures/golden/pictures"
    for folder in (demo, golden):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        records = _records(root)
        names = {index: demo_name(records["test"][index]) for index in DEMO}
        assert len(set(names.values())) == len(DEMO)
        for index, name in names.items():
            (demo / name).write_bytes((root / records["test"][index]["image"]).read_bytes())
        (demo / "demo.txt").write_text(demo_lines(names))

        chosen = [records["test"][i] for i in sorted(records["test"]) if i not in DEMO][:GOLDEN_TEST]
        chosen += [records["val"][i] for i in range(GOLDEN_VAL)]
        entries = []
        for record, other in zip(chosen, chosen[1:] + chosen[:1], strict=True):
            name = record["image"].replace("/0", "-0")
            data = (root / record["image"]).read_bytes()
            (golden / name).write_bytes(data)
            entries.append(golden_entry(name, data, record, other))
        sources = [records["test"][index] for index in DEMO]
        for number, (name, make) in enumerate(odd_files.MAKERS.items()):
            record, other = sources[number % len(sources)], sources[(number + 1) % len(sources)]
            with Image.open(root / record["image"]) as image:
                image = image.convert("RGB")
                image.thumbnail((ODD_SIDE, ODD_SIDE))
            data = make(image)
            (golden / name).write_bytes(data)
            entries.append(golden_entry(name, data, record, other))
        (golden.parent / "pictures.json").write_text(json.dumps(entries, indent=1) + "\n")
    total = sum(path.stat().st_size for folder in (demo, golden) for path in folder.iterdir())
    print(f"{len(DEMO)} demo and {len(entries)} golden pictures, {total / 1e6:.1f} MB")


def _records(root: Path) -> dict[str, dict[int, dict]]:
    """Draws the pictures that are needed into `root`."""
    wanted = {"test": sorted({*DEMO, *range(GOLDEN_TEST + len(DEMO))}), "val": list(range(GOLDEN_VAL))}
    records: dict[str, dict[int, dict]] = {}
    for split, indices in wanted.items():
        (root / split).mkdir()
        attempts = dataset.choose_attempts(SEED, split, indices[-1] + 1)
        records[split] = {i: dataset.make_record(root, SEED, split, i, attempts[i]) for i in indices}
    return records


def main() -> None:
    """Parses the one option and writes."""
    parser = argparse.ArgumentParser(prog="python -m albef.world.fixtures", description=__doc__)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parents[3])
    write(parser.parse_args().checkout)


if __name__ == "__main__":
    main()
