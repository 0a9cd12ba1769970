"""Image-text retrieval: contrastive shortlist, re-ranked by the raw matching logit."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from albef.data import Pictures
from albef.image import normalize_pixels
from albef.model.contrastive import ContrastiveModel
from albef.records import RETRIEVAL_RECORD, read_records
from albef.text import Tokenizer, normalize_caption, pad


@torch.no_grad()
def encode_pictures(model: ContrastiveModel, pixels: Tensor, batch: int = 64) -> tuple[Tensor, Tensor]:
    """uint8 [N, R, R, 3] -> image tokens [N, S, D] and features [N, E]."""
    config = model.config
    device = next(model.parameters()).device
    parts = [
        model.encode_image(normalize_pixels(part.to(device), config.mean, config.std)) for part in pixels.split(batch)
    ]
    return torch.cat([tokens for tokens, _ in parts]), torch.cat([feature for _, feature in parts])


@torch.no_grad()
def rerank(
    model: ContrastiveModel, image_tokens: Tensor, text_tokens: Tensor, text_mask: Tensor, similarity: Tensor, k: int,
    chunk: int = 1024,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Scores [N, M] of pictures with texts and [M, N] back: the matching logit of the k most similar or -100."""
    scores = []
    for by_text, table in ((False, similarity), (True, similarity.t())):
        best = table.topk(k, dim=1).indices
        out = torch.full_like(table, -100.0)
        rows = torch.arange(len(table), device=table.device)[:, None].expand_as(best)
        texts, images = (rows, best) if by_text else (best, rows)
        logits = []
        for text, image in zip(texts.flatten().split(chunk), images.flatten().split(chunk), strict=True):
            # Keys and values of a picture are projected once a chunk, however many texts meet it.
            distinct, place = image.unique(return_inverse=True)
            match = model.match_logits(text_tokens[text], text_mask[text], image_tokens[distinct], place)
            logits.append(match[:, 1].float())
        scores.append(out.scatter(1, best, torch.cat(logits).view_as(best)))
    return scores[0], scores[1]


def recalls(scores_i2t: np.ndarray, scores_t2i: np.ndarray, text_image: list[int]) -> dict[str, float]:
    """Recall at 1, 5 and 10 in percent; ``text_image`` numbers the picture of each text."""
    own: dict[int, list[int]] = {}
    for text, image in enumerate(text_image):
        own.setdefault(image, []).append(text)
    ranks_i2t = []
    for image, row in enumerate(scores_i2t):
        order = np.argsort(row)[::-1]
        ranks_i2t.append(min(int(np.where(order == text)[0][0]) for text in own[image]))
    ranks_t2i = [int(np.where(np.argsort(row)[::-1] == text_image[text])[0][0]) for text, row in enumerate(scores_t2i)]
    out = {}
    for name, ranks in (("txt", np.array(ranks_i2t)), ("img", np.array(ranks_t2i))):
        for k in (1, 5, 10):
            out[f"{name}_r{k}"] = 100.0 * float((ranks < k).mean())
    return out


def evaluate_retrieval(
    model: ContrastiveModel, tokenizer: Tokenizer, root: str, file: str, *, k_test: int = 128, limit: int | None = None,
    max_tokens: int = 30, pictures: Pictures | None = None,
) -> dict[str, float]:  # fmt: skip
    """The official evaluation on a file of pictures with their captions; ``itc_*`` are without re-ranking."""
    entries = read_records(f"{root}/{file}", RETRIEVAL_RECORD)[:limit]
    pictures = pictures or Pictures(root, [entry["image"] for entry in entries], model.config.image_size)
    pixels = pictures.batch([pictures.index[entry["image"]] for entry in entries])
    texts, text_image = [], []
    for number, entry in enumerate(entries):
        captions = [entry["caption"]] if isinstance(entry["caption"], str) else entry["caption"]
        texts += [tokenizer.encode(normalize_caption(text, model.config.max_words), max_tokens) for text in captions]
        text_image += [number] * len(captions)
    ids, mask = (each.to(next(model.parameters()).device) for each in pad(texts))
    was_training = model.training
    model.eval()
    image_tokens, image_features = encode_pictures(model, pixels)
    with torch.no_grad():
        text_tokens, text_features = model.encode_text(ids, mask)
    similarity = image_features @ text_features.t()
    table = similarity.cpu().numpy()
    result = {f"itc_{name}": value for name, value in recalls(table, table.T, text_image).items()}
    if k_test > 0:
        i2t, t2i = rerank(model, image_tokens, text_tokens, mask, similarity, min(k_test, *similarity.shape))
        result |= recalls(i2t.cpu().numpy(), t2i.cpu().numpy(), text_image)
    model.train(was_training)
    return result
