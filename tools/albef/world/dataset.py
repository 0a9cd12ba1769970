"""Renders the splits in parallel and writes the official dataset files (see README.md for every name and field)."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from albef.world import language, questions, statements
from albef.world.draw import draw
from albef.world.scene import HELD_OUT, HELD_OUT_SHARE, VERSION, Scene, generator, sample

BLOCK = 250
"""Pictures a process makes at a time; a finished block is kept and not made again."""
NOISE = 0.4
"""Share of captions in pretrain_noisy.json that are another picture's."""
QUESTIONS = {"train": 6, "val": 3, "test": 3}
ID_BASE = {"train": 0, "val": 10_000_000, "test": 20_000_000}
"""First question_id and ref_id of a split; a picture has the ten ids after base + 10 * index."""


def choose_attempts(seed: int, split: str, count: int) -> list[int]:
    """Which draw of each scene to take: in "val" and "test" no picture's caption may be true of another picture.

    A scene is drawn again when, before the same backdrop, its objects are all among those of an earlier picture or the
    other way round. Goes through the split in order, so the first pictures stay the same when `count` grows.
    """
    if split == "train":
        return [0] * count
    attempts: list[int] = []
    taken: dict[str, list[Counter]] = {}
    for index in range(count):
        for attempt in range(1000):
            scene = sample(seed, split, index, attempt)
            looks = Counter(item.look for item in scene.items)
            if not any(looks <= other or other <= looks for other in taken.get(scene.backdrop, [])):
                break
        taken.setdefault(scene.backdrop, []).append(looks)
        attempts.append(attempt)
    return attempts


def make_record(root: Path, seed: int, split: str, index: int, attempt: int) -> dict:
    """Draws and saves one picture under `root`; returns all that the dataset files say of it."""
    scene = sample(seed, split, index, attempt)
    rng = generator(seed, split, index, "picture")
    drawing = draw(scene, rng)
    data = io.BytesIO()
    if rng.random() < 0.15:
        name = f"{split}/{index:06d}.png"
        drawing.image.save(data, "PNG", compress_level=6 if split != "train" else 1)
    else:
        name = f"{split}/{index:06d}.jpg"
        drawing.image.save(data, "JPEG", quality=rng.randint(72, 95))
    write_atomically(root / name, data.getvalue())
    return describe(scene, name, drawing.boxes, seed)


def describe(scene: Scene, name: str, boxes: list[list[int]], seed: int) -> dict:
    """All texts about a scene, and its description; plain JSON values."""
    rng = generator(seed, scene.split, scene.index, "text")
    full, partial = language.captions(scene, rng)
    references = []
    for item, box in zip(scene.items, boxes, strict=True):
        found = language.expressions(scene, item, rng, 0.1)
        references += [{"text": text, "bbox": box} for text in found[: 2 if scene.split == "train" else 1]]
    if scene.split != "train":
        rng.shuffle(references)
        references = references[:2]
    return {
        "image": name,
        "scene": {
            "width": scene.width,
            "height": scene.height,
            "backdrop": scene.backdrop,
            "held_out": scene.held_out,
            "objects": [asdict(item) | {"box": box} for item, box in zip(scene.items, boxes, strict=True)],
        },
        "full": full,
        "partial": partial,
        "references": references[:8],
        "questions": questions.ask(scene, QUESTIONS[scene.split], rng),
        "candidates": _candidates(scene, boxes, rng),
    }


def _candidates(scene: Scene, boxes: list[list[int]], rng) -> list[list[float]]:
    """What a detector might report: every true box, shifted and scaled copies of them, and boxes of nothing."""
    found = [[float(value) for value in box] for box in boxes]
    for x, y, w, h in boxes:
        dx, dy, scale = rng.uniform(-0.35, 0.35) * w, rng.uniform(-0.35, 0.35) * h, rng.uniform(0.6, 1.5)
        found.append(_clipped(x + dx, y + dy, w * scale, h * scale, scene))
    for _ in range(2):
        w, h = rng.uniform(0.15, 0.5) * scene.width, rng.uniform(0.15, 0.5) * scene.height
        found.append(_clipped(rng.uniform(0, scene.width - w), rng.uniform(0, scene.height - h), w, h, scene))
    rng.shuffle(found)
    return found


def _clipped(x: float, y: float, w: float, h: float, scene: Scene) -> list[float]:
    left, top = max(0.0, x), max(0.0, y)
    right, bottom = min(float(scene.width), x + w), min(float(scene.height), y + h)
    return [round(value, 2) for value in (left, top, right - left, bottom - top)]


def write_atomically(path: Path, data: bytes) -> None:
    """Writes under another name first, so that a stopped run leaves no half file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def write_json(path: Path, value) -> None:
    """Compact JSON, one list entry a line."""
    if isinstance(value, list):
        text = "[\n" + ",\n".join(json.dumps(entry, separators=(", ", ": ")) for entry in value) + "\n]\n"
    else:
        text = json.dumps(value, indent=1) + "\n"
    write_atomically(path, text.encode())


def _make_block(task: tuple) -> str:
    root, seed, split, start, attempts = task
    path = Path(root) / "blocks" / f"{split}-{start:06d}-{start + len(attempts):06d}.json"
    if not path.exists():
        records = [make_record(Path(root), seed, split, start + i, a) for i, a in enumerate(attempts)]
        write_json(path, records)
    return str(path)


def generate(root: Path, counts: dict[str, int], seed: int, workers: int, noise: float = NOISE) -> None:
    """Makes the whole dataset under `root`, or what of it is missing; stops where `root` holds another world."""
    root.mkdir(parents=True, exist_ok=True)
    check_identity(root, seed)
    (root / "blocks").mkdir(exist_ok=True)
    tasks = []
    for split in ("val", "test", "train"):
        (root / split).mkdir(exist_ok=True)
        attempts = choose_attempts(seed, split, counts[split])
        tasks += [(str(root), seed, split, s, attempts[s : s + BLOCK]) for s in range(0, counts[split], BLOCK)]
    begun, total = time.monotonic(), sum(len(task[4]) for task in tasks)
    records: dict[str, list[dict]] = {"train": [], "val": [], "test": []}
    done = 0
    with get_context("spawn").Pool(workers) as pool:
        for task, path in zip(tasks, pool.imap(_make_block, tasks), strict=True):
            records[task[2]] += json.loads(Path(path).read_text())
            done += len(task[4])
            print(f"\r{done}/{total} pictures, {time.monotonic() - begun:.0f} s", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        for split, made in records.items():
            entailed, paired = statements.make(pool, seed, split, made)
            write_json(root / f"entailment_{split}.json", entailed)
            write_json(root / f"nlvr_{split}.json", paired)
    write_json(root / "pretrain_noisy.json", statements.with_wrong_captions(seed, records["train"], noise))
    write_lists(root, records, seed)
    write_json(
        root / "manifest.json",
        {
            "version": VERSION,
            "seed": seed,
            "counts": counts,
            "held_out_pairs": sorted(list(pair) for pair in HELD_OUT),
            "held_out_share_of_test_pictures": HELD_OUT_SHARE,
            "noise": noise,
            "files": sorted(path.name for path in root.glob("*.json") if path.name != "manifest.json"),
        },
    )


def check_identity(root: Path, seed: int) -> None:
    """Records which world the folder holds, or refuses to mix two."""
    path = root / "identity.json"
    identity = {"version": VERSION, "seed": seed}
    if path.exists() and json.loads(path.read_text()) != identity:
        found = json.loads(path.read_text())
        raise SystemExit(f"{path}: found {found}, expected {identity}. Remove the folder or choose another.")
    write_json(path, identity)


def _looks(record: dict) -> list[tuple[str, str, str, str]]:
    return [(o["size"], o["texture"], o["color"], o["shape"]) for o in record["scene"]["objects"]]


def _question_entries(entries: list[dict], asked: list[list], base: int) -> list[dict]:
    """The official VQA entries for each picture's (question, answer, kind)."""
    return [
        {
            "dataset": "vqa",
            "image": entry["image"],
            "question": question,
            "question_id": base + 10 * i + j,
            "answer": [answer] * 10,
            "kind": kind,
        }
        for i, (entry, questions_of_one) in enumerate(zip(entries, asked, strict=True))
        for j, (question, answer, kind) in enumerate(questions_of_one)
    ]


def write_lists(root: Path, records: dict[str, list[dict]], seed: int) -> None:
    """Writes the official lists from the records of all splits."""
    captions = [{"image": r["image"], "caption": r["full"] + r["partial"]} for r in records["train"]]
    write_json(root / "pretrain.json", captions)
    write_json(
        root / "retrieval_train.json",
        [
            {"image": r["image"], "caption": text, "image_id": f"train_{i}"}
            for i, r in enumerate(records["train"])
            for text in r["full"]
        ],
    )
    phrases = [{"image": r["image"], "caption": language.phrases(_looks(r))} for r in records["train"]]
    write_json(root / "phrases_train.json", phrases)
    for split, entries in records.items():
        base = ID_BASE[split]
        if split != "train":
            captions = [{"image": r["image"], "caption": r["full"][:1]} for r in entries]
            write_json(root / f"retrieval_{split}.json", captions)
        write_json(root / f"scenes_{split}.json", [{"image": r["image"]} | r["scene"] for r in entries])
        asked = [r["questions"] for r in entries]
        write_json(root / f"vqa_{split}.json", _question_entries(entries, asked, base))
        if split == "train":
            asked = statements.questions_of_place(seed, split, entries)
            write_json(root / "vqa_places_train.json", _question_entries(entries, asked, base + QUESTIONS[split]))
        references = [
            {"image": r["image"], "text": ref["text"], "ref_id": base + 10 * i + j}
            | ({} if split == "train" else {"bbox": ref["bbox"]})
            for i, r in enumerate(entries)
            for j, ref in enumerate(r["references"])
        ]
        # Boxes are never trained on, and whole pictures hardly teach which of two stars "the star on the left" is: that
        # would be true of most pictures with two stars. Such expressions are a list of their own.
        for name, placed in (("grounding", False), ("grounding_places", True)):
            chosen = [ref for ref in references if language.speaks_of_place(ref["text"]) == placed]
            write_json(root / f"{name}_{split}.json", chosen)
    write_json(root / "detections.json", {r["image"]: r["candidates"] for s in ("val", "test") for r in records[s]})
    write_json(root / "answer_list.json", list(questions.ANSWERS))
    # The trainer looks for the vocabulary beside the texts.
    (root / "vocab.txt").write_bytes(Path(__file__).with_name("vocab.txt").read_bytes())
