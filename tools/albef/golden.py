"""Golden fixtures: what this PyTorch reference computes from pictures and texts, for ``albef-infer verify``.

``python -m albef.golden --checkpoint models/NAME/model.safetensors --output fixtures/golden/NAME`` writes
``manifest.json`` and ``tensors.safetensors.zst``. Pictures and texts are those of ``pictures.json`` in the folder above
the output; texts stay as written there. Tensors carry the names of ``albef-infer trace``. One thread, one case at a
time: the same checkpoint gives the same bytes on one machine.
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
from torch import Tensor

from albef.data import read_json
from albef.gradcam import answer_heatmaps, itc_heatmap, token_heatmaps
from albef.image import load_pixels, normalize_pixels
from albef.loading import Loaded, load_model
from albef.text import normalize_caption, normalize_question, pad

TENSOR_FILE = "tensors.safetensors.zst"
# Captions are cut here, as retrieval evaluation does.
CAPTION_TOKENS = 30
# Candidate answers that are scored in full, at most.
SCORED_ANSWERS = 128
CASES = {"pretrain": 40, "retrieval": 60, "vqa": 110}
# VQA cases with all tensors; the rest keep those of the answers.
WHOLE_VQA_CASES = 40


@dataclass(frozen=True)
class Example:
    """A picture with a caption or a question."""

    name: str
    image: str
    text: str
    whole: bool = True


def choose(task: str, pictures: list[dict], count: int | None = None) -> list[Example]:
    """``count`` examples: pictures alternately from the small world and from the odd files, each with its next text."""

    def odd(entry: dict) -> bool:
        return not Path(entry["image"]).name.startswith(("test-", "val-"))

    groups = [[entry for entry in pictures if not odd(entry)], [entry for entry in pictures if odd(entry)]]
    longest = max(map(len, groups))
    order = [group[place] for place in range(longest) for group in groups if place < len(group)]
    count = count or CASES[task]
    out: list[Example] = []
    for turn in range(8):
        for place, entry in enumerate(order):
            texts = entry["questions"] if task == "vqa" else entry["captions"] + entry["expressions"]
            if len(out) == count or turn >= len(texts):
                continue
            text = texts[(turn + place) % len(texts)]
            stem = Path(entry["image"]).name.replace(".", "-")
            whole = task != "vqa" or len(out) < WHOLE_VQA_CASES
            out.append(Example(f"{len(out):03d}-{stem}", entry["image"], text, whole))
    return out


@torch.no_grad()
def tensors_of(loaded: Loaded, image: Path, example: Example) -> dict[str, Tensor]:
    """Every tensor of the case, in the order of the stages, without a batch dimension."""
    model, config, tokenizer = loaded.model, loaded.model.config, loaded.tokenizer
    raw = torch.from_numpy(load_pixels(image, config.image_size).copy())
    pixels = normalize_pixels(raw[None], config.mean, config.std)
    image_tokens = model.visual_encoder(pixels)
    out = {"pixels_u8": raw, "pixels": pixels[0], "image_tokens": image_tokens[0]}
    if loaded.task == "vqa":
        ids = torch.tensor([tokenizer.encode(normalize_question(example.text), config.max_positions)])
        text_tokens = model.bert.text(ids)
        states = model.bert.fuse(text_tokens, None, image_tokens)
        out |= {"input_ids": ids[0].int(), "text_tokens": text_tokens[0]}
        answer_ids, answer_mask = pad([tokenizer.encode(answer + "[SEP]") for answer in loaded.answers or []])
        k = min(SCORED_ANSWERS, len(answer_ids))
        first, ranked, scores = model.rank_answers(states, torch.ones_like(ids), answer_ids, answer_mask, k)
        out |= {
            "fusion_tokens": states[0], "vqa_first_logits": first[0], "vqa_answer_ids": ranked[0].int(),
            "vqa_answer_scores": scores[0],
        }  # fmt: skip
        best = slice(int(ranked[0, 0]), int(ranked[0, 0]) + 1)
        length = int(answer_mask[best].sum())
        maps = answer_heatmaps(model, image_tokens, ids, None, answer_ids[best, :length], answer_mask[best, :length])
        out["vqa_gradcam"] = maps[0]
        if not example.whole:
            out = {name: out[name] for name in out if name == "input_ids" or name.startswith("vqa_")}
        return out
    longest = min(CAPTION_TOKENS, config.max_positions)
    ids = torch.tensor([tokenizer.encode(normalize_caption(example.text, config.max_words), longest)])
    text_tokens, text_feature = model.encode_text(ids)
    states = model.bert.fuse(text_tokens, None, image_tokens)
    out |= {
        "image_feature": model.image_feature(image_tokens)[0], "input_ids": ids[0].int(), "text_tokens": text_tokens[0],
        "text_feature": text_feature[0], "fusion_tokens": states[0], "itm_logits": model.itm_head(states[:, 0])[0],
    }  # fmt: skip
    if loaded.task == "pretrain":
        out["mlm_logits"] = model.text_encoder.cls(states)[0]
    out["gradcam"] = token_heatmaps(model, image_tokens, ids, None)[0]
    out["itc_gradcam"] = itc_heatmap(model, pixels, ids, None)[0]
    return out


def compress(tensors: dict[str, np.ndarray]) -> bytes:
    """A zstd-compressed safetensors file; a long window finds the pictures that several cases share."""
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=26, enable_ldm=True)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(safetensors.numpy.save(tensors))


def write_golden(checkpoint: Path, output: Path, count: int | None = None) -> int:
    """Writes the fixtures of a checkpoint; pictures lie relative to the folder above ``output``. Gives the cases."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    loaded = load_model(checkpoint)
    if loaded.task == "vqa" and not loaded.answers:
        raise ValueError(f"{checkpoint} holds no answers to rank")
    root = output.resolve().parent
    cases, bundle, pictures = [], {}, {}
    for example in choose(loaded.task, read_json(root / "pictures.json"), count):
        image = root / example.image
        pictures[example.image] = sha256(image.read_bytes())
        tensors = tensors_of(loaded, image, example)
        bundle |= {f"{example.name}/{key}": np.ascontiguousarray(value.numpy()) for key, value in tensors.items()}
        cases.append({
            "name": example.name, "image": example.image, "image_sha256": pictures[example.image],
            "question" if loaded.task == "vqa" else "text": example.text, "tensors": list(tensors),
        })  # fmt: skip
    content = compress(bundle)
    output.mkdir(parents=True, exist_ok=True)
    (output / TENSOR_FILE).write_bytes(content)
    manifest = {
        "format": 1, "model": loaded.task, "checkpoint_sha256": sha256(checkpoint.read_bytes()),
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__, "pillow": PIL.__version__,
            "numpy": np.__version__,
        },
        "gradcam_layer": loaded.model.config.gradcam_layer, "pictures": pictures, "cases": cases,
        "tensors": {"file": TENSOR_FILE, "sha256": sha256(content)},
    }  # fmt: skip
    (output / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(cases)


def read_golden(folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The manifest and all tensors as ``case/tensor``; an error if a sum or a name does not fit."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    content = (folder / manifest["tensors"]["file"]).read_bytes()
    if sha256(content) != manifest["tensors"]["sha256"]:
        raise ValueError(f"{folder}: the tensors are not those of the manifest")
    tensors = safetensors.numpy.load(zstandard.ZstdDecompressor().decompress(content))
    named = {f"{case['name']}/{name}" for case in manifest["cases"] for name in case["tensors"]}
    if named != set(tensors):
        raise ValueError(f"{folder}: {len(named ^ set(tensors))} tensors are only in the manifest or only in the file")
    return manifest, tensors


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m albef.golden", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder; pictures.json lies in the one above")
    parser.add_argument("--cases", type=int, help=f"default: {CASES}")
    options = parser.parse_args()
    count = write_golden(options.checkpoint, options.output, options.cases)
    size = (options.output / TENSOR_FILE).stat().st_size
    print(f"{options.output}: {count} cases, {size:,} bytes of tensors")


if __name__ == "__main__":
    main()
