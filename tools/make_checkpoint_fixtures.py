"""Writes fixtures/checkpoints: small files of torch.save on which the exporter's reader is tested.

    python tools/make_checkpoint_fixtures.py

Tensors hold counted multiples of 1/8, exact in every element type, so that the tests need no second file to compare
with. ``positions.safetensors`` holds position embeddings of one grid beside those that PyTorch interpolates from them.
Two runs with one version of PyTorch (these are of 2.13.0) write the same bytes.
"""

from __future__ import annotations

import argparse
import collections
import os
from pathlib import Path

import torch
from safetensors.torch import save_file

from albef.model.vision import interpolate_positions

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "checkpoints"


def counted(*shape: int, start: int = 0) -> torch.Tensor:
    """start/8, (start+1)/8, … in row-major order."""
    count = torch.Size(shape).numel()
    return (torch.arange(start, start + count, dtype=torch.float32) / 8).reshape(shape)


def state_dict() -> collections.OrderedDict:
    """One tensor of each kind that a reader may meet."""
    base = counted(10)
    tied = counted(3, 2)
    return collections.OrderedDict(
        {
            "float32": counted(3, 4),
            "float64": counted(2, 2).double(),
            "float16": counted(5).half(),
            "bfloat16": counted(5).bfloat16(),
            "int64": torch.arange(5)[None],
            "bool": torch.tensor([True, False]),
            "scalar": torch.tensor(0.5),
            "empty": torch.empty(0, 4),
            "parameter": torch.nn.Parameter(counted(2, 2)),
            "transposed": counted(4, 6).t(),
            "permuted": counted(2, 3, 4).permute(2, 0, 1),
            "slice": base[3:7],
            "columns": counted(4, 6)[:, 1:6:2],
            "tied": tied,
            "tied_again": tied,
            "not_a_tensor": "text",
        }
    )


def positions() -> dict[str, torch.Tensor]:
    """``FROM_TO/stored`` [1, 1 + FROM², D], ``FROM_TO/resized`` and ``…/resized_in_double`` [1, 1 + TO², D] of some grids."""
    out = {}
    for stored, resized, width in ((4, 6, 5), (14, 16, 2), (16, 24, 2), (24, 16, 1), (3, 1, 4), (1, 2, 3)):
        generator = torch.Generator().manual_seed(stored)
        tensor = torch.randn(1, 1 + stored * stored, width, generator=generator)
        out[f"{stored}_{resized}/stored"] = tensor
        out[f"{stored}_{resized}/resized"] = interpolate_positions(tensor, resized).contiguous()
        double = interpolate_positions(tensor.double(), resized)
        out[f"{stored}_{resized}/resized_in_double"] = double.float().contiguous()
    return out


class Call:
    """Pickles as a call of os.system: what a hostile checkpoint would hold."""

    def __reduce__(self) -> tuple:
        return (os.system, ("touch executed-by-a-checkpoint",))


def write(folder: Path) -> None:
    """Writes every file of the fixtures."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    trained = {
        "model": state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
        "config": {"image_res": 256, "args": argparse.Namespace(seed=42, output=Path("out"))},
        "epoch": 3,
    }
    torch.save(trained, folder / "wrapped.pth")
    torch.save(state_dict(), folder / "flat_protocol5.pth", pickle_protocol=5)
    torch.save({"model": {"float32": counted(3, 4)}, "hook": Call()}, folder / "hostile_call.pth")
    torch.save(layer, folder / "module.pth")
    save_file(positions(), folder / "positions.safetensors")


if __name__ == "__main__":
    write(FOLDER)
