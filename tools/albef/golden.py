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
from albef.model.contrastive import ContrastiveModel
from albef.text import normalize_caption, normalize_question, pad

TENSOR_FILE = "tensors.safetensors.zst"
# Captions are cut here, as retrieval evaluation does.
CAPTION_TOKENS = 30
# Candidate answers that are scored in full, at most.
SCORED_ANSWERS = 128
CASES = {"pretrain": 40, "retrieval": 60, "grounding": 60, "vqa": 110, "entailment": 60, "nlvr": 30}
# Cases with masked words, besides those above.
MASKED_CASES = {"pretrain": 20}
# VQA cases with all tensors; the rest keep those of the answers.
WHOLE_VQA_CASES = 40
PAIR_SENTENCES = (
    "there is {a} in the left picture", "the left picture has {a} and the right one {b}", "there is {a} in the two pictures",
    "there is {b} in the left picture", "only one picture has {b}", "no picture has {a}",
)  # fmt: skip


@dataclass(frozen=True)
class Example:
    """One picture, or a left and a right one, with a caption, a question or a caption with ``[MASK]`` in it."""

    name: str
    images: tuple[str, ...]
    text: str
    field: str = "text"  # "text", "question" or "masked_text": the text's name in the manifest
    whole: bool = True


def choose(task: str, pictures: list[dict], count: int | None = None) -> list[Example]:
    """``count`` examples: pictures alternately from the small world and from the odd files, each with its next text."""
    order = alternately(pictures)
    count = count or CASES[task]
    if task == "nlvr":
        return [_pair(order, place) for place in range(count)]
    out: list[Example] = []
    for turn in range(8):
        for place, entry in enumerate(order):
            texts = texts_for(task, entry)
            if len(out) == count or turn >= len(texts):
                continue
            text = texts[(turn + place) % len(texts)]
            whole = task != "vqa" or len(out) < WHOLE_VQA_CASES
            field = "question" if task == "vqa" else "text"
            out.append(Example(f"{len(out):03d}-{_stem(entry)}", (entry["image"],), text, field, whole))
    return out


def choose_masked(task: str, pictures: list[dict], first: int, count: int | None = None) -> list[Example]:
    """Captions of which a word or two are masked, numbered from ``first``."""
    order = alternately(pictures)
    out = []
    for place in range(MASKED_CASES.get(task, 0) if count is None else count):
        entry = order[place % len(order)]
        words = entry["captions"][0].split(" ")
        for number in range(1 + place % 2):
            words[(3 * place + 1 + number * (1 + len(words) // 2)) % len(words)] = "[MASK]"
        name = f"{first + place:03d}-{_stem(entry)}-masked"
        out.append(Example(name, (entry["image"],), " ".join(words), "masked_text"))
    return out


def alternately(pictures: list[dict]) -> list[dict]:
    """Pictures of the small world and odd files by turns."""

    def odd(entry: dict) -> bool:
        return not Path(entry["image"]).name.startswith(("test-", "val-"))

    groups = [[entry for entry in pictures if not odd(entry)], [entry for entry in pictures if odd(entry)]]
    longest = max(map(len, groups))
    return [group[place] for place in range(longest) for group in groups if place < len(group)]


def texts_for(task: str, entry: dict) -> list[str]:
    """What a task is asked about a picture."""
    if task == "vqa":
        return entry["questions"]
    if task == "entailment":
        short = _short(entry)
        return [f"there is {short}", f"there is {short} and sam made the picture", *entry["captions"][::-1]]
    return entry["captions"] + entry["expressions"]


def _short(entry: dict) -> str:
    """The caption that names one object, where there is one."""
    return entry["captions"][:2][-1]


def _pair(order: list[dict], place: int) -> Example:
    left, right = order[place % len(order)], order[(place + 1) % len(order)]
    text = PAIR_SENTENCES[place % len(PAIR_SENTENCES)].format(a=_short(left), b=_short(right))
    name = f"{place:03d}-{_stem(left)}-{_stem(right)}"
    return Example(name, (left["image"], right["image"]), text)


def _stem(entry: dict) -> str:
    return Path(entry["image"]).name.replace(".", "-")


@torch.no_grad()
def tensors_of(loaded: Loaded, root: Path, example: Example) -> dict[str, Tensor]:
    """Every tensor of the case, in the order of the stages, without a batch dimension; pictures lie under ``root``."""
    out: dict[str, Tensor] = {}
    pixels, image_tokens = [], []
    config = loaded.model.config
    sides = ("",) if len(example.images) == 1 else ("_left", "_right")
    for image, side in zip(example.images, sides, strict=True):
        raw = torch.from_numpy(load_pixels(root / image, config.image_size).copy())
        pixels.append(normalize_pixels(raw[None], config.mean, config.std))
        image_tokens.append(loaded.model.visual_encoder(pixels[-1]))
        out |= {f"pixels_u8{side}": raw, f"pixels{side}": pixels[-1][0], f"image_tokens{side}": image_tokens[-1][0]}
    if example.field == "question":
        out |= _question_tensors(loaded, image_tokens[0], example)
        return out if example.whole else {name: out[name] for name in out if name == "input_ids" or name.startswith("vqa_")}
    if example.field == "masked_text":
        return out | _masked_tensors(loaded, image_tokens[0], example)
    if loaded.task in ("entailment", "nlvr"):
        return out | _sentence_tensors(loaded, torch.cat(image_tokens), example)
    return out | _caption_tensors(loaded, pixels[0], image_tokens[0], example)


def _question_tensors(loaded: Loaded, image_tokens: Tensor, example: Example) -> dict[str, Tensor]:
    model, config, tokenizer = loaded.model, loaded.model.config, loaded.tokenizer
    ids = torch.tensor([tokenizer.encode(normalize_question(example.text), config.max_positions)])
    text_tokens = model.bert.text(ids)
    states = model.bert.fuse(text_tokens, None, image_tokens)
    answer_ids, answer_mask = pad([tokenizer.encode(answer + "[SEP]") for answer in loaded.answers or []])
    k = min(SCORED_ANSWERS, len(answer_ids))
    first, ranked, scores = model.rank_answers(states, torch.ones_like(ids), answer_ids, answer_mask, k)
    best = slice(int(ranked[0, 0]), int(ranked[0, 0]) + 1)
    length = int(answer_mask[best].sum())
    maps = answer_heatmaps(model, image_tokens, ids, None, answer_ids[best, :length], answer_mask[best, :length])
    return {
        "input_ids": ids[0].int(), "text_tokens": text_tokens[0], "fusion_tokens": states[0],
        "vqa_first_logits": first[0], "vqa_answer_ids": ranked[0].int(), "vqa_answer_scores": scores[0],
        "vqa_gradcam": maps[0],
    }  # fmt: skip


def _caption_tensors(loaded: Loaded, pixels: Tensor, image_tokens: Tensor, example: Example) -> dict[str, Tensor]:
    config = loaded.model.config
    longest = min(CAPTION_TOKENS, config.max_positions)
    ids = loaded.tokenizer.encode(normalize_caption(example.text, config.max_words), longest)
    return caption_tensors(loaded.model, pixels, image_tokens, torch.tensor([ids]))


@torch.no_grad()
def caption_tensors(model: ContrastiveModel, pixels: Tensor, image_tokens: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """What a picture and a caption's tokens [1, T] give behind the image encoder."""
    text_tokens, text_feature = model.encode_text(ids)
    states = model.bert.fuse(text_tokens, None, image_tokens)
    out = {
        "image_feature": model.image_feature(image_tokens)[0], "input_ids": ids[0].int(), "text_tokens": text_tokens[0],
        "text_feature": text_feature[0], "fusion_tokens": states[0], "itm_logits": model.itm_head(states[:, 0])[0],
    }  # fmt: skip
    if hasattr(model.text_encoder, "cls"):
        out["mlm_logits"] = model.text_encoder.cls(states)[0]
    out["gradcam"] = token_heatmaps(model, image_tokens, ids, None)[0]
    out["itc_gradcam"] = itc_heatmap(model, pixels, ids, None)[0]
    return out


def _masked_tensors(loaded: Loaded, image_tokens: Tensor, example: Example) -> dict[str, Tensor]:
    model, config = loaded.model, loaded.model.config
    text = normalize_caption(example.text, config.max_words, keep_mask=True)
    ids = torch.tensor([loaded.tokenizer.encode(text, config.max_positions)])
    text_tokens = model.bert.text(ids)
    states = model.bert.fuse(text_tokens, None, image_tokens)
    return {
        "input_ids": ids[0].int(), "text_tokens": text_tokens[0], "fusion_tokens": states[0],
        "mlm_logits": model.text_encoder.cls(states)[0],
    }  # fmt: skip


def _sentence_tensors(loaded: Loaded, image_tokens: Tensor, example: Example) -> dict[str, Tensor]:
    model, config = loaded.model, loaded.model.config
    ids = torch.tensor([loaded.tokenizer.encode(normalize_caption(example.text, config.max_words), config.max_positions)])
    text_tokens = model.bert.text(ids)
    states = model.bert.fuse(text_tokens, None, image_tokens, model.rows_of(1).unbind(1))
    return {
        "input_ids": ids[0].int(), "text_tokens": text_tokens[0], "fusion_tokens": states[0],
        f"{loaded.task}_logits": model.cls_head(states[:, 0])[0],
    }  # fmt: skip


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
    entries = read_json(root / "pictures.json")
    examples = choose(loaded.task, entries, count)
    examples += choose_masked(loaded.task, entries, len(examples), count and min(count, MASKED_CASES.get(loaded.task, 0)))
    for example in examples:
        for image in example.images:
            pictures[image] = sha256((root / image).read_bytes())
        tensors = tensors_of(loaded, root, example)
        bundle |= {f"{example.name}/{key}": np.ascontiguousarray(value.numpy()) for key, value in tensors.items()}
        sums = [pictures[image] for image in example.images]
        if len(sums) == 1:
            shown = {"image": example.images[0], "image_sha256": sums[0]}
        else:
            shown = {"images": list(example.images), "images_sha256": sums}
        cases.append({"name": example.name, **shown, example.field: example.text, "tensors": list(tensors)})
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
    parser.add_argument("--cases", type=int, help=f"default: {CASES}, and with masked words {MASKED_CASES}")
    options = parser.parse_args()
    count = write_golden(options.checkpoint, options.output, options.cases)
    size = (options.output / TENSOR_FILE).stat().st_size
    print(f"{options.output}: {count} cases, {size:,} bytes of tensors")


if __name__ == "__main__":
    main()
