"""Pictures for TensorBoard: where a model looks in validation cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from albef.data import read_json
from albef.gradcam import answer_heatmaps, token_heatmaps
from albef.model import VQAModel
from albef.model.contrastive import ContrastiveModel
from albef.text import normalize_caption, normalize_question, pad
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
    """The first validation pictures, each with the heatmap of a text: why a caption matches, or what made the best answer.

    Nothing for tasks that have neither a matching head nor answers.
    """
    model = task.model
    if not isinstance(model, ContrastiveModel | VQAModel):
        return {}
    model.eval()
    device = next(model.parameters()).device
    pictures, drawn = task.validation_pictures(), {}
    for entry in read_json(task.root / task.settings.validation_file)[:CASES]:
        path = entry["image"]
        if isinstance(model, VQAModel):
            path = str(Path(task.settings.image_roots.get(entry.get("dataset", ""), "")) / path)
        raw = pictures.batch([pictures.index[path]])
        draw = _answer if isinstance(model, VQAModel) else _caption
        text, maps = draw(task, entry, task.pixels(raw.to(device)))
        drawn[f"heatmap/{entry['image']} {text}"] = overlay(raw[0].numpy(), maps[0].mean(0).cpu())
    return drawn


def _caption(task: Task, entry: dict, pixels: Tensor) -> tuple[str, Tensor]:
    """A caption and its tokens' maps [1, T, G, G]."""
    text = entry["caption"] if "caption" in entry else entry["text"]
    text = text if isinstance(text, str) else text[0]
    ids, mask = _padded(task, [task.tokenizer.encode(normalize_caption(text, task.config.max_words))])
    with torch.no_grad():
        tokens, _ = task.model.encode_image(pixels)
    return text, token_heatmaps(task.model, tokens, ids, mask)


def _answer(task: Task, entry: dict, pixels: Tensor) -> tuple[str, Tensor]:
    """A question with the best answer, and the question tokens' maps [1, T, G, G]."""
    model = task.model
    ids, mask = _padded(task, [task.tokenizer.encode(normalize_question(entry["question"], 50))])
    answer_ids, answer_mask = _padded(task, [task.tokenizer.encode(answer + "[SEP]") for answer in task.answers])
    k = min(task.settings.validation_k, len(task.answers))
    with torch.no_grad():
        tokens = model.visual_encoder(pixels)
        states = model.text_encoder.multi_modal(ids, mask, tokens)
    _, ranked, _ = model.rank_answers(states, mask, answer_ids, answer_mask, k)
    best = ranked[:, 0]
    maps = answer_heatmaps(model, tokens, ids, mask, answer_ids[best], answer_mask[best])
    return f"{entry['question']} {task.answers[int(best)]}", maps


def _padded(task: Task, sequences: list[list[int]]) -> tuple[Tensor, Tensor]:
    device = next(task.model.parameters()).device
    ids, mask = pad(sequences)
    return ids.to(device), mask.to(device)
