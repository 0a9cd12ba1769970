"""A data folder of a few small pictures, and models of a few thousand parameters, for tests of the trainer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

TOOLS = Path(__file__).resolve().parents[1]
WORDS = ["red", "green", "blue", "circle", "square", "star", "a", "the", "what", "color", "is", "it", "of", "ring", "yes", "no"]

SHAPE = {
    "image_size": 8, "patch_size": 4, "vision_width": 8, "vision_layers": 2, "vision_heads": 2, "text_width": 8,
    "text_layers": 3, "fusion_layer": 1, "text_heads": 2, "embed_dim": 4, "max_positions": 16, "decoder_layers": 1,
    "gradcam_layer": 1,
}  # fmt: skip

COMMON = {
    "model": SHAPE, "batch_size": 4, "epochs": 3, "lr": 0.01, "min_lr": 0.001, "warmup": 0.2, "dropout": 0.1,
    "initializer_range": 0.1, "alpha": 0.4, "validation_limit": 6,
}  # fmt: skip

TASKS = {
    "pretrain": {"train_files": ["pretrain.json"], "queue_size": 16, "mlm_probability": 0.4},
    "retrieval": {"train_files": ["retrieval_train.json"], "queue_size": 16, "validation_file": "retrieval_val.json"},
    "grounding": {"train_files": ["grounding_train.json"], "queue_size": 16, "validation_file": "grounding_val.json"},
    "vqa": {
        "train_files": ["vqa_train.json"], "answer_file": "answer_list.json", "questions_per_picture": 2,
        "validation_file": "vqa_val.json",
    },
    "entailment": {"train_files": ["entailment_train.json"], "validation_file": "entailment_val.json"},
    "nlvr_pretrain": {"train_files": ["pretrain.json"], "validation_file": "retrieval_val.json"},
    "nlvr": {"train_files": ["nlvr_train.json"], "validation_file": "nlvr_val.json"},
}  # fmt: skip


def make_world(folder: Path, pictures: int = 20) -> Path:
    """Pictures of noise with captions and questions; gives ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(7)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    captions, questions, sentences, pairs, expressions = [], [], [], [], []
    for number in range(pictures):
        name = f"{number:02}.png"
        Image.fromarray(generator.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / name)
        texts = [" ".join(generator.choice(WORDS, generator.integers(2, 6))) for _ in range(2)]
        captions.append({"image": name, "caption": texts})
        for question in range(2):
            text = " ".join(generator.choice(WORDS, 4)) + "?"
            answers = [str(answer) for answer in generator.choice(["yes", "no", "red"], 3)]
            questions.append({
                "dataset": "vqa", "image": name, "question": text, "question_id": 2 * number + question, "answer": answers,
            })  # fmt: skip
        label = ["contradiction", "neutral", "entailment"][number % 3]
        sentences.append({"image": name, "sentence": texts[0], "label": label})
        other = f"{(number + 1) % pictures:02}.png"
        pairs.append({"images": [name, other], "sentence": texts[1], "label": str(number % 2 == 0)})
        expressions.append({"image": name, "text": texts[0], "ref_id": number, "bbox": [1, 1, 4, 4]})
    single = [{"image": c["image"], "caption": text, "image_id": c["image"]} for c in captions for text in c["caption"]]
    files = {
        "pretrain": captions, "retrieval_train": single, "retrieval_val": captions[:6], "vqa_train": questions,
        "vqa_val": questions[:6], "answer_list": ["yes", "no", "red"], "entailment_train": sentences,
        "entailment_val": sentences[:6], "nlvr_train": pairs, "nlvr_val": pairs[:6], "grounding_train": expressions,
        "grounding_val": expressions[:6], "detections": {each["image"]: [[0, 0, 4, 4], [2, 2, 6, 6]] for each in expressions},
    }  # fmt: skip
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def write_config(file: Path, task: str, **changes) -> Path:
    """The task's settings with ``changes``, in ``file``."""
    values = COMMON | TASKS[task]
    if task.startswith("nlvr"):
        values["model"] = SHAPE | {"text_layers": 5}
    if task == "nlvr_pretrain":
        del values["alpha"]
    file.write_text(json.dumps(values | changes))
    return file


def command(world: Path, config: Path, output: Path, task: str, *more: object) -> list[str]:
    """Arguments of the trainer, one thread, no validation or state but those asked for."""
    return list(map(str, [
        "--task", task, "--config", config, "--data", world, "--output", output, "--threads", 1, "--device", "cpu",
        "--validate-every", 1e9, "--report-every", 0, "--save-every", 1e9, "--no-tensorboard", *more,
    ]))  # fmt: skip


def python(*arguments: object) -> list[str]:
    """A command line for a process of its own."""
    return [sys.executable, "-m", *map(str, arguments)]


def environment(cache: Path) -> dict[str, str]:
    """For such a process."""
    return os.environ | {"PYTHONPATH": str(TOOLS), "ALBEF_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


def state(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of a run's state."""
    return load_file(folder / "state.safetensors")


def log(folder: Path) -> list[dict]:
    """The log's lines."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[dict[str, float]]:
    """The losses of each step, where ``--report-every 0`` logged them all."""
    names = ("ita", "itm", "mlm", "lm", "classification", "ta")
    return [{name: line[name] for name in names if name in line} for line in log(folder) if "rate" in line]
