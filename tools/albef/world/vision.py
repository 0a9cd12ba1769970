"""`python -m albef.world.vision --output FILE`: teaches the image encoder to name what each patch shows, as a start.

The published models start their image encoder from DeiT, which learnt from labelled pictures. This is the same step for
the small world: every patch token predicts shape, colour, size and texture of the object it lies in, the class token
the backdrop, the number of objects and which (shape, colour) pairs occur. Some pictures get their colour channels
exchanged, and then teach everything but colours: a shape must be known in colours that it was never seen in. The heads are
thrown away; the file holds `visual_encoder.*` alone, for `python -m albef.train --init FILE`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from albef.data import Pictures, cache_folder, read_json
from albef.image import normalize_pixels
from albef.model.config import ModelConfig
from albef.model.vision import VisionTransformer
from albef.optim import build_optimizer, smooth_rate
from albef.world.scene import BACKDROPS, COLORS, SHAPES, SIZES, TEXTURES

PATCH_KINDS = {"shape": SHAPES, "color": COLORS, "size": SIZES, "texture": TEXTURES}
"""What a patch token predicts; 0 is "no object", then the values in order."""

WEIGHTS = {"shape": 3.0, "color": 1.0, "size": 1.0, "texture": 1.0}
"""Shapes are by far the hardest for patches of eight pixels."""


def patch_labels(scene: dict, grid: int) -> np.ndarray:
    """uint8 [4, grid * grid]: a patch belongs to the foremost object whose ellipse, a bit widened, holds its centre."""
    centers = np.arange(grid) + 0.5
    labels = np.zeros((len(PATCH_KINDS), grid, grid), np.uint8)
    for item in scene["objects"]:
        x, y, w, h = item["box"]
        sx, sy = grid / scene["width"], grid / scene["height"]
        dx = (centers - (x + w / 2) * sx) / (w / 2 * sx + 0.25)
        dy = (centers - (y + h / 2) * sy) / (h / 2 * sy + 0.25)
        inside = dx[None, :] ** 2 + dy[:, None] ** 2 < 1
        for row, (kind, values) in zip(labels, PATCH_KINDS.items(), strict=True):
            row[inside] = 1 + values.index(item[kind])
    return labels.reshape(len(PATCH_KINDS), -1)


def scene_labels(scene: dict) -> np.ndarray:
    """uint8 [2 + 64]: backdrop, number of objects, then a flag for each pair of shape and colour."""
    labels = np.zeros(2 + len(SHAPES) * len(COLORS), np.uint8)
    labels[0], labels[1] = BACKDROPS.index(scene["backdrop"]), len(scene["objects"])
    for item in scene["objects"]:
        labels[2 + SHAPES.index(item["shape"]) * len(COLORS) + COLORS.index(item["color"])] = 1
    return labels


class Teacher(nn.Module):
    """The image encoder with throw-away heads."""

    def __init__(self, config: ModelConfig, initializer_range: float) -> None:
        super().__init__()
        self.visual_encoder = VisionTransformer(config, initializer_range)
        self.sizes = [len(values) + 1 for values in PATCH_KINDS.values()]
        self.patch_head = nn.Linear(config.vision_width, sum(self.sizes))
        self.class_head = nn.Linear(config.vision_width, len(BACKDROPS) + 5 + len(SHAPES) * len(COLORS))

    def forward(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Logits per kind [B, patches, values], and of backdrop, number and pairs [B, ...]."""
        tokens = self.visual_encoder(pixels)
        scene = self.class_head(tokens[:, 0]).split([len(BACKDROPS), 5, len(SHAPES) * len(COLORS)], dim=1)
        return self.patch_head(tokens[:, 1:]).split(self.sizes, dim=2), scene


RECOLORED = 0.4
"""Share of the pictures of a batch whose channels are exchanged."""


def exchange_channels(pixels: Tensor, random: np.random.Generator) -> Tensor:
    """Pixels [B, 3, R, R] with the channels of each picture in a random other order."""
    orders = np.array([(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])[random.integers(5, size=len(pixels))]
    return pixels[torch.arange(len(pixels))[:, None], torch.from_numpy(orders)]


def losses(model: Teacher, pixels: Tensor, patches: Tensor, scenes: Tensor, recolored: Tensor) -> dict[str, Tensor]:
    """Cross-entropies: per kind over patches (those with an object weigh half of it all), and of the class token.

    ``recolored`` [B] marks pictures in false colours, which are left out where colours count.
    """
    kinds, (backdrop, number, pairs) = model(pixels)
    kinds, backdrop, number, pairs = [x.float() for x in kinds], backdrop.float(), number.float(), pairs.float()
    true = (~recolored).float()
    inside = patches[:, 0] > 0
    weight = inside.float() / inside.sum().clamp(min=1) + (~inside).float() / (~inside).sum().clamp(min=1)
    found = {}
    for i, (name, logits) in enumerate(zip(PATCH_KINDS, kinds, strict=True)):
        each = F.cross_entropy(logits.flatten(0, 1), patches[:, i].flatten(), reduction="none").view_as(weight)
        used = weight * true[:, None] if name == "color" else weight
        found[name] = (each * used).sum() * WEIGHTS[name] / 2
    found["backdrop"] = (F.cross_entropy(backdrop, scenes[:, 0], reduction="none") * true).mean()
    found["number"] = F.cross_entropy(number, scenes[:, 1])
    flags = F.binary_cross_entropy_with_logits(pairs, scenes[:, 2:].float(), reduction="none").mean(1)
    found["pairs"] = (flags * true).mean() * 10
    return found


@torch.no_grad()
def accuracy(model: Teacher, pixels: Tensor, patches: Tensor, scenes: Tensor) -> dict[str, float]:
    """Shares of right predictions: per kind over the patches with an object; backdrop; number."""
    kinds, (backdrop, number, _) = model(pixels)
    inside = patches[:, 0] > 0
    shares = {
        name: (logits.argmax(2) == patches[:, i])[inside].float().mean().item()
        for i, (name, logits) in enumerate(zip(PATCH_KINDS, kinds, strict=True))
    }
    shares["backdrop"] = (backdrop.argmax(1) == scenes[:, 0]).float().mean().item()
    shares["number"] = (number.argmax(1) == scenes[:, 1]).float().mean().item()
    return {name: round(share, 3) for name, share in shares.items()}


class Labelled:
    """Pictures of a split with their labels."""

    def __init__(self, root: Path, split: str, config: ModelConfig) -> None:
        scenes = read_json(root / f"scenes_{split}.json")
        self.pictures = Pictures(root, [scene["image"] for scene in scenes], config.image_size)
        by_path = {scene["image"]: scene for scene in scenes}
        ordered = [by_path[path] for path in self.pictures.paths]
        self.patches = torch.from_numpy(np.stack([patch_labels(scene, config.grid) for scene in ordered]))
        self.scenes = torch.from_numpy(np.stack([scene_labels(scene) for scene in ordered]))
        self.config = config

    def batch(self, numbers: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised pixels and both kinds of labels."""
        pixels = normalize_pixels(self.pictures.batch(numbers), self.config.mean, self.config.std)
        return pixels, self.patches[numbers].long(), self.scenes[numbers].long()


def main() -> None:
    """Trains for the given time and writes the encoder; every half minute a line with the accuracy."""
    parser = argparse.ArgumentParser(prog="python -m albef.world.vision", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the configuration of the pre-training that follows")
    parser.add_argument("--data", type=Path, default=cache_folder() / "world")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--init", type=Path, help="a file of an earlier run to go on from")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    settings = json.loads(options.config.read_text())
    config = ModelConfig.from_dict(settings["model"] | {"vocab_size": 1})
    train, val = Labelled(options.data, "train", config), Labelled(options.data, "val", config)
    checked = val.batch(np.arange(min(250, len(val.scenes))))
    model = Teacher(config, settings["initializer_range"])
    if options.init:
        model.load_state_dict(load_file(options.init), strict=False)
    optimizer = build_optimizer(model, options.lr, settings["weight_decay"])
    random = np.random.default_rng(options.seed)
    begun = reported = time.monotonic()
    seen = 0
    while (progress := (time.monotonic() - begun) / (60 * options.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = smooth_rate(progress, lr=options.lr, min_lr=3e-5, warmup=0.04)
        pixels, patches, scenes = train.batch(np.sort(random.choice(len(train.scenes), options.batch, replace=False)))
        recolored = torch.from_numpy(random.random(options.batch) < RECOLORED)
        pixels[recolored] = exchange_channels(pixels[recolored], random)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.get("bfloat16", False)):
            found = losses(model, pixels, patches, scenes, recolored)
        optimizer.zero_grad(set_to_none=True)
        sum(found.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()
        seen += options.batch
        if time.monotonic() - reported > 30:
            reported = time.monotonic()
            values = {name: round(value.item(), 3) for name, value in found.items()}
            line = {"samples": seen, "minutes": round((reported - begun) / 60, 1), "loss": values}
            print(json.dumps(line | {"accuracy": accuracy(model, *checked)}), flush=True)
            save(model, options.output)
    save(model, options.output)
    print(json.dumps({"finished": seen, "accuracy": accuracy(model, *checked)}))


def save(model: Teacher, path: Path) -> None:
    """Writes `visual_encoder.*` under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = model.visual_encoder.state_dict()
    tensors = {f"visual_encoder.{name}": value.contiguous() for name, value in state.items()}
    temporary = path.with_suffix(".partial")
    save_file(tensors, temporary)
    temporary.rename(path)


if __name__ == "__main__":
    main()
