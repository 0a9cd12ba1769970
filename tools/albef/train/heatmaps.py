"""Pictures for TensorBoard: where a model looks in validation cases."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from albef.data import read_json
from albef.gradcam import token_heatmaps
from albef.image import load_pixels
from albef.model.contrastive import ContrastiveModel
from albef.text import normalize_caption, pad
from albef.train.tasks import Task

CASES = 4


def overlay(pixels: np.ndarray, heatmap: Tensor, height: int = 192) -> np.ndarray:
    """uint8 [height, height, 3]: the picture [R, R, 3], reddened where the map [G, G] is high."""
    picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    picture = F.interpolate(picture, (height, height), mode="bilinear", align_corners=False)[0]
    low, high = heatmap.min(), heatmap.max()
    share = ((heatmap - low) / (high - low).clamp_min(1e-12))[None, None].float()
    share = F.interpolate(share, (height, height), mode="bilinear", align_corners=False)[0]
    red = torch.tensor([255.0, 0.0, 0.0]).view(3, 1, 1)
    mixed = picture * (1 - 0.6 * share) + red * (0.6 * share)
    return mixed.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def draw_heatmaps(task: Task) -> dict[str, np.ndarray]:
    """The first validation pictures with the heatmap of a caption each; nothing for tasks without a matching head."""
    model = task.model
    if not isinstance(model, ContrastiveModel):
        return {}
    config, settings = model.config, task.settings
    device = next(model.parameters()).device
    model.eval()
    drawn = {}
    for entry in read_json(task.root / settings.validation_file)[:CASES]:
        text = entry["caption"] if "caption" in entry else entry["text"]
        text = text if isinstance(text, str) else text[0]
        pixels = load_pixels(task.root / settings.image_root / entry["image"], config.image_size)
        ids, mask = pad([task.tokenizer.encode(normalize_caption(text, config.max_words))])
        with torch.no_grad():
            tokens, _ = model.encode_image(task.pixels(torch.from_numpy(pixels.copy())[None].to(device)))
        maps = token_heatmaps(model, tokens, ids.to(device), mask.to(device))
        drawn[f"heatmap/{entry['image']} {text}"] = overlay(pixels, maps[0].mean(0).cpu())
    return drawn
