"""Golden fixtures: what this PyTorch reference computes from pictures and texts, for ``albef-infer verify``.

``python -m albef.golden models/NAME/model.safetensors fixtures/golden/NAME`` writes ``manifest.json`` and
``tensors.safetensors.zst``. Texts are those of ``fixtures/golden/pictures.json``, at their true length, unpadded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import safetensors.numpy
import torch
import zstandard

from albef.gradcam import gradcam
from albef.image import load_pixels, normalize_pixels
from albef.loading import LoadedModel, load_model
from albef.model import PretrainModel, VQAModel
from albef.text import normalize_caption, normalize_question, pad

TENSOR_FILE = "tensors.safetensors.zst"
# Candidates that are scored in full, at most.
SCORED_ANSWERS = 128


@dataclass
class Example:
    """A picture with a caption or a question; ``whole`` keeps every tensor, else only the answers'."""

    image: str
    text: str
    whole: bool = True


def choose(task: str, pictures: list[dict]) -> list[Example]:
    """Every picture at least once; captions and expressions for a model that matches, questions for one that answers."""
    examples = []
    if task == "vqa":
        for number, entry in enumerate(pictures):
            for place, question in enumerate(entry["questions"]):
                examples.append(Example(entry["image"], question, whole=place == 0 and number % 2 == 0))
    else:
        for number, entry in enumerate(pictures):
            texts = entry["captions"] + entry["expressions"]
            examples.append(Example(entry["image"], texts[number % len(texts)]))
    return examples


@torch.no_grad()
def tensors_of(loaded: LoadedModel, image: Path, text: str, whole: bool) -> dict[str, np.ndarray]:
    """The tensors of ``albef-infer trace`` for one picture and one text."""
    model, config, tokenizer = loaded.model, loaded.model.config, loaded.tokenizer
    raw = load_pixels(image, config.image_size)
    pixels = normalize_pixels(torch.from_numpy(raw.copy())[None], config.mean, config.std)
    image_tokens = model.visual_encoder(pixels)
    out: dict[str, torch.Tensor] = {"pixels_u8": torch.from_numpy(raw.copy()), "pixels": pixels[0]}
    out["image_tokens"] = image_tokens[0]
    if isinstance(model, VQAModel):
        ids = torch.tensor([tokenizer.encode(normalize_question(text, 50), config.max_positions)])
        states = model.bert.multi_modal(ids, None, image_tokens)
        answers = loaded.checkpoint.answers or []
        answer_ids, answer_mask = pad([tokenizer.encode(answer + "[SEP]") for answer in answers])
        mask = torch.ones_like(ids)
        first, ranked, scores = model.rank_answers(states, mask, answer_ids, answer_mask, min(SCORED_ANSWERS, len(answers)))
        out |= {"input_ids": ids[0].int(), "text_tokens": model.bert.text(ids)[0], "fusion_tokens": states[0]}
        out |= {"vqa_first_logits": first[0], "vqa_answer_ids": ranked[0].int(), "vqa_answer_scores": scores[0]}
        if not whole:
            kept = ("input_ids", "vqa_first_logits", "vqa_answer_ids", "vqa_answer_scores")
            out = {name: out[name] for name in kept}
    else:
        ids = torch.tensor([tokenizer.encode(normalize_caption(text, config.max_words), config.max_positions)])
        text_tokens, text_feature = model.encode_text(ids)
        states = model.bert.fuse(text_tokens, None, image_tokens)
        out |= {"image_feature": model.image_feature(image_tokens)[0], "input_ids": ids[0].int()}
        out |= {"text_tokens": text_tokens[0], "text_feature": text_feature[0], "fusion_tokens": states[0]}
        out["itm_logits"] = model.itm_head(states[:, 0])[0]
        if isinstance(model, PretrainModel):
            out["mlm_logits"] = model.text_encoder.cls(states)[0]
        out["gradcam"] = gradcam(model, image_tokens[0], ids[0], config.gradcam_layer)
    return {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in out.items()}


def write_golden(checkpoint: Path, output: Path, pictures: list[dict]) -> int:
    """Writes the fixtures of a checkpoint; ``pictures`` lie relative to the folder above ``output``. Gives the cases."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    loaded = load_model(checkpoint)
    root = output.parent
    cases, bundle = [], {}
    for number, example in enumerate(choose(loaded.task, pictures)):
        name = f"{number:03d}"
        tensors = tensors_of(loaded, root / example.image, example.text, example.whole)
        bundle |= {f"{name}/{key}": value for key, value in tensors.items()}
        cases.append({
            "name": name, "image": example.image,
            "image_sha256": hashlib.sha256((root / example.image).read_bytes()).hexdigest(),
            "question" if loaded.task == "vqa" else "text": example.text, "tensors": list(tensors),
        })  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    content = zstandard.ZstdCompressor(level=19).compress(safetensors.numpy.save(bundle))
    (output / TENSOR_FILE).write_bytes(content)
    manifest = {
        "format": 1, "task": loaded.task, "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__, "pillow": PIL.__version__,
            "numpy": np.__version__,
        },
        "tensors": {"file": TENSOR_FILE, "sha256": hashlib.sha256(content).hexdigest()}, "cases": cases,
    }  # fmt: skip
    (output / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(cases)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m albef.golden", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--pictures", type=Path, help="list of pictures and texts (default: pictures.json above OUTPUT)")
    options = parser.parse_args()
    pictures = json.loads((options.pictures or options.output.parent / "pictures.json").read_text(encoding="utf-8"))
    print(f"{write_golden(options.checkpoint, options.output, pictures)} cases in {options.output}")


if __name__ == "__main__":
    main()
