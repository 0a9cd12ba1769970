"""Grounding by heatmap: does its peak lie in the named object, does it pick the object's box among detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from albef.data import Pictures, read_json
from albef.evaluation.retrieval import encode_pictures
from albef.gradcam import itc_heatmap, token_heatmaps
from albef.image import normalize_pixels
from albef.model.contrastive import ContrastiveModel
from albef.text import Tokenizer, normalize_caption, pad

Box = list[float]  # x, y, width, height in pixels of the original picture


def upsample(heatmap: Tensor, width: int, height: int) -> np.ndarray:
    """[G, G] -> [height, width]: bicubic with a = -0.75, no antialiasing."""
    size = (height, width)
    return F.interpolate(heatmap[None, None], size=size, mode="bicubic", align_corners=False)[0, 0].numpy()


def box_score(heatmap: np.ndarray, box: Box) -> float:
    """Sum of the map inside the box, bounds truncated to whole pixels, over the root of the box's untruncated area."""
    x, y, w, h = box[:4]
    inside = heatmap[int(y) : int(y + h), int(x) : int(x + w)]
    return float(inside.sum(dtype=np.float64)) / (w * h) ** 0.5


def best_box(heatmap: np.ndarray, boxes: list[Box]) -> int:
    """The number of the box with the highest score above 0; the first if there is none.

    (The official code then keeps the previous sample's box.)
    """
    best, highest = 0, 0.0
    for number, box in enumerate(boxes):
        score = box_score(heatmap, box)
        if score > highest:
            best, highest = number, score
    return best


def overlap(a: Box, b: Box) -> float:
    """Intersection over union as the official code counts it: intersections on inclusive pixels."""
    left, top = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2] - 1, b[0] + b[2] - 1), min(a[1] + a[3] - 1, b[1] + b[3] - 1)
    inside = (right - left + 1) * (bottom - top + 1) if left < right and top < bottom else 0.0
    return inside / (a[2] * a[3] + b[2] * b[3] - inside)


def peak_inside(heatmap: np.ndarray, box: Box) -> bool:
    """Whether the centre of the map's highest pixel lies in the box."""
    row, column = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
    x, y, w, h = box[:4]
    return bool(x <= column + 0.5 <= x + w and y <= row + 0.5 <= y + h)


def evaluate_grounding(
    model: ContrastiveModel, tokenizer: Tokenizer, root: str | Path, file: str, *, layer: int | None = None,
    detections: str = "detections.json", limit: int | None = None, batch: int = 64, pictures: Pictures | None = None,
    mode: str = "itm",
) -> dict[str, float]:  # fmt: skip
    """Percent over a file of expressions with their boxes: ``peak`` (pointing game) and ``box`` (IoU at least 0.5).

    Heatmaps are those of the matching logit at a fusion layer (mode ``itm``) or of the similarity at a block of the image
    encoder (``itc``); ``layer`` is the one or the other.
    """
    root = Path(root)
    entries = read_json(root / file)[:limit]
    candidates = read_json(root / detections)
    pictures = pictures or Pictures(root, [entry["image"] for entry in entries], model.config.image_size)
    pixels = pictures.batch(list(range(len(pictures.paths))))
    image_tokens = encode_pictures(model, pixels)[0] if mode == "itm" else None
    texts = [tokenizer.encode(normalize_caption(entry["text"], model.config.max_words)) for entry in entries]
    sizes = {}
    for path in pictures.paths:
        with Image.open(root / path) as picture:
            sizes[path] = picture.size
    was_training = model.training
    model.eval()
    peaks, boxes = 0, 0
    for start in range(0, len(entries), batch):
        part = entries[start : start + batch]
        ids, mask = pad(texts[start : start + batch])
        rows = torch.tensor([pictures.index[entry["image"]] for entry in part])
        if mode == "itm":
            maps = token_heatmaps(model, image_tokens[rows], ids, mask, layer).mean(1)
        else:
            inputs = normalize_pixels(pixels[rows], model.config.mean, model.config.std)
            maps = itc_heatmap(model, inputs, ids, mask, layer)
        for entry, heatmap in zip(part, maps, strict=True):
            large = upsample(heatmap, *sizes[entry["image"]])
            given = candidates[entry["image"]]
            peaks += peak_inside(large, entry["bbox"])
            boxes += overlap(given[best_box(large, given)], entry["bbox"]) >= 0.5
    model.train(was_training)
    return {"peak": 100 * peaks / len(entries), "box": 100 * boxes / len(entries)}
