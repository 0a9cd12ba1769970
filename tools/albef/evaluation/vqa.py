"""VQA: candidate answers ranked by the decoder, accuracy against the given answers."""

from __future__ import annotations

import torch

from albef.data import Pictures, read_json, read_questions
from albef.image import normalize_pixels
from albef.model.vqa import VQAModel
from albef.text import Tokenizer, pad


def evaluate_vqa(
    model: VQAModel, tokenizer: Tokenizer, answers: list[str], root: str, file: str, *, k_test: int = 128,
    limit: int | None = None, batch: int = 64, pictures: Pictures | None = None, roots: dict[str, str] | None = None,
) -> dict[str, float]:  # fmt: skip
    """Accuracy in percent: the standard measure min(1, matches / 3) over the given answers, in all and by kind.

    ``roots`` names the folder of a record's picture by its ``dataset``.
    """
    items = read_questions(root, [file], tokenizer, max_words=50, max_tokens=None, roots=roots)[:limit]
    kinds = [entry.get("kind", "") for entry in read_json(f"{root}/{file}")[:limit]]
    pictures = pictures or Pictures(root, [item.image for item in items], model.config.image_size)
    device = next(model.parameters()).device
    answer_ids, answer_mask = (each.to(device) for each in pad([tokenizer.encode(answer + "[SEP]") for answer in answers]))
    was_training = model.training
    model.eval()
    right: dict[str, list[float]] = {}
    order = sorted(range(len(items)), key=lambda number: len(items[number].question))
    for start in range(0, len(order), batch):
        part = [items[number] for number in order[start : start + batch]]
        pixels = pictures.batch([pictures.index[item.image] for item in part]).to(device)
        ids, mask = (each.to(device) for each in pad([item.question for item in part]))
        with torch.no_grad():
            states = model.question_states(normalize_pixels(pixels, model.config.mean, model.config.std), ids, mask)
        _, ranked, _ = model.rank_answers(states, mask, answer_ids, answer_mask, min(k_test, len(answers)))
        for number, item, best in zip(order[start : start + batch], part, ranked[:, 0].tolist(), strict=True):
            shares = dict(item.answers)
            # With ten given answers, three that agree count in full.
            right.setdefault(kinds[number], []).append(min(1.0, shares.get(answers[best], 0.0) * 10 / 3))
    model.train(was_training)
    everything = [value for values in right.values() for value in values]
    result = {"accuracy": 100 * sum(everything) / len(everything)}
    return result | {kind: 100 * sum(values) / len(values) for kind, values in sorted(right.items()) if kind}
