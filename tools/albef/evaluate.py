"""Measures a checkpoint: ``python -m albef.evaluate --checkpoint models/retrieval/model.safetensors`` prints JSON."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from albef.data import cache_folder, read_json
from albef.evaluation.grounding import evaluate_grounding
from albef.evaluation.retrieval import evaluate_retrieval
from albef.evaluation.sentences import evaluate_assignment, evaluate_sentences
from albef.evaluation.vqa import evaluate_vqa
from albef.loading import Loaded, load_model
from albef.text import Tokenizer

MEASURES = {
    "pretrain": ("retrieval", "grounding"), "retrieval": ("retrieval", "grounding"), "grounding": ("grounding", "retrieval"),
    "vqa": ("vqa",), "entailment": ("entailment",), "nlvr": ("nlvr",), "nlvr_pretrain": ("nlvr_pretrain",),
}  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m albef.evaluate", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument(
        "--task", choices=sorted(set(sum(MEASURES.values(), ()))), action="append", help="repeatable; default: all it can do"
    )
    parser.add_argument("--data", type=Path, default=cache_folder() / "world", help="dataset folder (%(default)s)")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--layer", type=int, action="append", help="grounding layers or blocks; default: all")
    parser.add_argument(
        "--mode", choices=("itm", "itc"), default="itm",
        help="grounding by the matching logit at a fusion layer, or by the similarity at a block of the image encoder",
    )  # fmt: skip
    parser.add_argument("--k-test", type=int, default=128, help="candidates to re-rank or decode (%(default)s)")
    parser.add_argument("--limit", type=int, help="only the first entries")
    parser.add_argument("--vocab", type=Path, help="vocab.txt, for checkpoints that hold none")
    parser.add_argument("--answers", type=Path, help="JSON list, for checkpoints that hold none")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def measure(loaded: Loaded, task: str, options: argparse.Namespace) -> dict:
    """One task's metrics in percent."""
    model, file = loaded.model, f"{task}_{options.split}.json"
    if task == "retrieval":
        common = dict(k_test=options.k_test, limit=options.limit)
        return evaluate_retrieval(model, loaded.tokenizer, str(options.data), file, **common)
    if task == "vqa":
        answers = loaded.answers or read_json(options.data / "answer_list.json")
        common = dict(k_test=options.k_test, limit=options.limit)
        return evaluate_vqa(model, loaded.tokenizer, answers, str(options.data), file, **common)
    if task in ("entailment", "nlvr"):
        return evaluate_sentences(model, loaded.tokenizer, options.data, file, limit=options.limit)
    if task == "nlvr_pretrain":
        file = f"retrieval_{options.split}.json"
        return evaluate_assignment(model, loaded.tokenizer, options.data, file, limit=options.limit)
    if options.mode == "itc":
        name, layers = "block", range(model.config.vision_layers)
    else:
        name, layers = "layer", range(model.bert.fusion_layer, len(model.bert.encoder.layer))
    common = dict(limit=options.limit, mode=options.mode)
    return {
        f"{name}_{layer}": evaluate_grounding(model, loaded.tokenizer, options.data, file, layer=layer, **common)
        for layer in options.layer or layers
    }


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    vocabulary = Tokenizer.from_file(options.vocab).vocabulary if options.vocab else None
    loaded = load_model(options.checkpoint, vocabulary, read_json(options.answers) if options.answers else None)
    result: dict = {"checkpoint": str(options.checkpoint), "task": loaded.task, "split": options.split}
    for task in options.task or MEASURES[loaded.task]:
        begun = time.monotonic()
        result[task] = measure(loaded, task, options)
        result[task]["seconds"] = time.monotonic() - begun
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
