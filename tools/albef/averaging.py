"""Averages two checkpoints of one run: ``python -m albef.averaging A B --share 0.4 -o C`` (0.6 of A, 0.4 of B).

The mean of fine-tuned weights is often as good as either and steadier ("Model soups", Wortsman et al., 2022).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from albef.checkpoint import read_checkpoint, with_sorted_metadata


def average(a: dict[str, Tensor], b: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """(1 - share) a + share b, tensor by tensor; both must hold the same names and shapes."""
    if lost := sorted(set(a) ^ set(b)):
        raise ValueError(f"{len(lost)} tensors are in one checkpoint only, first {lost[0]}")
    for name, tensor in a.items():
        if tensor.shape != b[name].shape:
            raise ValueError(f"{name}: shapes {list(tensor.shape)} and {list(b[name].shape)}")
    return {name: (1 - share) * tensor + share * b[name] for name, tensor in a.items()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m albef.averaging", description=__doc__)
    parser.add_argument("first", type=Path, help="safetensors; metadata come from here")
    parser.add_argument("second", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second (%(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    if not 0 <= options.share <= 1:
        parser.error(f"--share is 0 to 1, found {options.share}")
    first, second = read_checkpoint(options.first), read_checkpoint(options.second)
    mean = average(first.tensors, second.tensors, options.share)
    options.output.write_bytes(with_sorted_metadata(save(mean, first.metadata)))


if __name__ == "__main__":
    main()
