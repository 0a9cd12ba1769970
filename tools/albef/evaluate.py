"""Metrics of a trained checkpoint on a split of the small world: ``python -m albef.evaluate CHECKPOINT``, one JSON object."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from albef.data import cache_folder
from albef.evaluation.grounding import evaluate_grounding
from albef.evaluation.retrieval import evaluate_retrieval
from albef.evaluation.vqa import evaluate_vqa
from albef.loading import load_model


def evaluate(checkpoint: Path, data: Path, split: str, limit: int | None = None) -> dict[str, float]:
    """All metrics that the checkpoint's task has; percent."""
    loaded = load_model(checkpoint)
    root = str(data)
    if loaded.task == "vqa":
        answers = loaded.checkpoint.answers or []
        return evaluate_vqa(loaded.model, loaded.tokenizer, answers, root, f"vqa_{split}.json", limit=limit)
    result = evaluate_retrieval(
        loaded.model, loaded.tokenizer, root, f"retrieval_{split}.json", k_test=128, limit=limit
    )
    return result | evaluate_grounding(loaded.model, loaded.tokenizer, root, f"grounding_{split}.json", limit=limit)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m albef.evaluate", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, default=cache_folder() / "world", help="dataset folder (%(default)s)")
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument("--limit", type=int, help="only the first entries")
    options = parser.parse_args()
    result = evaluate(options.checkpoint, options.data, options.split, options.limit)
    print(json.dumps({name: round(value, 2) for name, value in result.items()}))


if __name__ == "__main__":
    main()
