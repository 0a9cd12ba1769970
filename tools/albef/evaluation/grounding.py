"""Grounding: does the heatmap point at the named object, and does it rank that object's box first?"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from albef.data import Pictures, read_json
from albef.evaluation.retrieval import encode_pictures
from albef.gradcam import gradcam, upsample
from albef.model.contrastive import ContrastiveModel
from albef.text import Tokenizer, normalize_caption


def box_score(heatmap: np.ndarray, box: list[float]) -> float:
    """Sum of the map inside, bounds truncated, over the square root of the untruncated area."""
    x, y, width, height = box[:4]
    if width <= 0 or height <= 0:
        return 0.0
    inside = heatmap[int(y) : int(y + height), int(x) : int(x + width)]
    return float(inside.sum()) / (width * height) ** 0.5


def overlap(a: list[float], b: list[float]) -> float:
    """Intersection over union on inclusive pixels, as the official evaluation computes it."""
    left, top = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2] - 1, b[0] + b[2] - 1), min(a[1] + a[3] - 1, b[1] + b[3] - 1)
    inside = (right - left + 1) * (bottom - top + 1) if left < right and top < bottom else 0
    return inside / (a[2] * a[3] + b[2] * b[3] - inside)


def contains_peak(heatmap: Tensor, box: list[float]) -> bool:
    """Whether the greatest value (the first in row order) lies inside of the box."""
    row, column = divmod(int(heatmap.argmax()), heatmap.shape[1])
    x, y, width, height = box[:4]
    return x <= column < x + width and y <= row < y + height


def evaluate_grounding(
    model: ContrastiveModel, tokenizer: Tokenizer, root: str, file: str, *, detections: str = "detections.json",
    layers: list[int] | None = None, limit: int | None = None,
) -> dict[str, float]:  # fmt: skip
    """For each cross-attention layer, percent of expressions whose peak lies in the object's box, and of expressions whose
    best-ranked proposal overlaps that box by at least a half."""
    entries = read_json(f"{root}/{file}")[:limit]
    boxes = read_json(f"{root}/{detections}")
    config = model.config
    layers = layers or list(range(config.fusion_layer, config.text_layers))
    pictures = Pictures(root, [entry["image"] for entry in entries], config.image_size)
    was_training = model.training
    model.eval()
    tokens, _ = encode_pictures(model, pictures.batch(list(range(len(pictures.paths)))))
    sizes = {path: Image.open(pictures.root / path).size for path in pictures.paths}
    peaks, hits = dict.fromkeys(layers, 0), dict.fromkeys(layers, 0)
    for entry in entries:
        path = entry["image"]
        ids = torch.tensor(tokenizer.encode(normalize_caption(entry["text"], config.max_words), None))
        for layer in layers:
            heatmap = upsample(gradcam(model, tokens[pictures.index[path]], ids, layer).mean(0), *sizes[path])
            peaks[layer] += contains_peak(heatmap, entry["bbox"])
            values = heatmap.numpy()
            best = max(boxes[path], key=lambda box: box_score(values, box))
            hits[layer] += overlap(best, entry["bbox"]) >= 0.5
    model.train(was_training)
    result = {}
    for layer in layers:
        result[f"peak_in_box_layer_{layer}"] = 100.0 * peaks[layer] / len(entries)
        result[f"box_accuracy_layer_{layer}"] = 100.0 * hits[layer] / len(entries)
    return result
