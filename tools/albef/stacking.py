"""Starts a deeper model from a trained one: ``python -m albef.stacking --text A --vision B --config C --output START``.

Progressive stacking (Gong et al., 2019, "Efficient Training of BERT by Progressively Stacking"): layers of the BERT stack
that the trained model does not have begin as copies of its last layer. The image encoder may come from another file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from albef.checkpoint import read_checkpoint
from albef.model.config import ModelConfig

_LAYER = "encoder.layer."


def stack_layers(tensors: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Tensors under official names, the text encoder with ``layers`` layers; those it lacked are copies of its last."""
    numbers = {_layer_number(name) for name in tensors if name.startswith("text_encoder.") and _LAYER in name}
    last = max(numbers, default=-1)
    if last < 0:
        raise ValueError("the checkpoint holds no text encoder")
    if last + 1 > layers:
        raise ValueError(f"the checkpoint's text encoder has {last + 1} layers, more than the {layers} asked for")
    out = dict(tensors)
    for name, tensor in tensors.items():
        if name.startswith("text_encoder.") and f"{_LAYER}{last}." in name:
            for number in range(last + 1, layers):
                out[name.replace(f"{_LAYER}{last}.", f"{_LAYER}{number}.")] = tensor.clone()
    return out


def _layer_number(name: str) -> int:
    return int(name.partition(_LAYER)[2].partition(".")[0])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m albef.stacking", description=__doc__)
    parser.add_argument("--text", type=Path, required=True, help="a trained checkpoint: everything comes from here, but")
    parser.add_argument("--vision", type=Path, help="a checkpoint that the image encoder comes from instead")
    parser.add_argument("--config", type=Path, required=True, help="the configuration of the run that follows")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write, for --init")
    options = parser.parse_args()
    shape = json.loads(options.config.read_text())["model"]
    tensors = read_checkpoint(options.text).tensors
    if options.vision:
        vision = read_checkpoint(options.vision).tensors
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("visual_encoder.")}
        tensors |= {name: tensor for name, tensor in vision.items() if name.startswith("visual_encoder.")}
    config = ModelConfig.from_dict(shape)
    stacked = stack_layers(tensors, config.text_layers)
    save_file({name: tensor.contiguous() for name, tensor in stacked.items()}, options.output)
    print(f"{options.output}: {len(stacked)} tensors, {config.text_layers} text layers")


if __name__ == "__main__":
    main()
