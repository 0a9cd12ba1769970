"""What a checkpoint holds for a task, and that task's checkpoint: ``python -m albef.convert FILE --task nlvr -o X.pth``.

Without an output it only reports what would be loaded, renamed, interpolated, left fresh and ignored. ``.pth`` is written as the
official trainer does (``--twins``: with momentum twins and queues), ``.safetensors`` as ours does. Parts that the file does not
hold get random weights. Exit code 1: the file does not fit the task.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from albef.checkpoint import read_checkpoint, save_checkpoint, save_official, student_tensors
from albef.conversion import convert
from albef.load_report import copy_fresh_twins, load_into
from albef.loading import MODELS, TWO_PICTURES, build_model, infer_config, infer_task
from albef.text import Tokenizer


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m albef.convert", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help=".pth or .safetensors")
    parser.add_argument("--task", choices=tuple(MODELS), help="default: the checkpoint's own")
    parser.add_argument("-o", "--output", type=Path, help="X.pth or X.safetensors")
    parser.add_argument("--image-size", type=int, help="resolution, for which positions are interpolated; default: the file's")
    parser.add_argument("--twins", action="store_true", help="also twins and queues (.pth only)")
    parser.add_argument("--vocab", type=Path, help="vocab.txt, for safetensors from a file that holds none")
    parser.add_argument("--seed", type=int, default=42, help="of parts that the file does not hold (%(default)s)")
    options = parser.parse_args(arguments)
    if options.output is not None and options.output.suffix not in (".pth", ".safetensors"):
        parser.error("the output ends in .pth or .safetensors")
    if options.twins and (options.output is None or options.output.suffix != ".pth"):
        parser.error("only .pth holds twins")
    return options


def run(options: argparse.Namespace) -> None:
    """Prints the report and writes the output; ValueError says what does not fit."""
    checkpoint = read_checkpoint(options.checkpoint)
    task = options.task or checkpoint.task or infer_task(checkpoint.tensors)
    config = checkpoint.config or infer_config(checkpoint.tensors)
    source = checkpoint.task or infer_task(checkpoint.tensors)
    if task in TWO_PICTURES and source not in TWO_PICTURES:
        config = replace(config, text_layers=2 * config.text_layers - config.fusion_layer)
    config = replace(config, image_size=options.image_size or config.image_size)
    torch.manual_seed(options.seed)
    queues = {}
    if task in ("pretrain", "retrieval", "grounding") and "image_queue" in checkpoint.tensors:
        queues["queue_size"] = checkpoint.tensors["image_queue"].shape[1]
    model = build_model(task, config, twins=options.twins, **queues)
    report = load_into(model, convert(checkpoint.tensors, task, config), str(options.checkpoint))
    print(report.text())
    report.require()
    copy_fresh_twins(model, report)
    if options.output is None:
        return
    if options.output.suffix == ".safetensors":
        vocabulary = Tokenizer.from_file(options.vocab).vocabulary if options.vocab else checkpoint.vocabulary
        if vocabulary is None:
            raise ValueError(f"{options.checkpoint} holds no vocabulary: give --vocab")
        save_checkpoint(options.output, model, task, vocabulary, checkpoint.answers)
    else:
        save_official(options.output, model, wrapped=options.twins)
    print(f"{options.output}: {task}, {sum(tensor.numel() for tensor in student_tensors(model).values()):,} parameters")


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    options = parse(arguments)
    try:
        run(options)
    except (OSError, ValueError) as error:
        print(f"albef.convert: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
