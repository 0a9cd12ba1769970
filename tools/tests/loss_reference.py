"""The published losses over a plain dictionary of tensors: what the models' losses and gradients are compared with.

Written from the formulas, a sample or a pass at a time, in double precision. Student tensors are leaves of their own, so that
``backward`` gives gradients under every name; twins and queues carry none.
"""

from __future__ import annotations

import reference as r
import torch
import torch.nn.functional as F
from reference import State
from torch import Tensor, nn

from albef.model import ModelConfig


def spread(model: nn.Module, seed: int) -> nn.Module:
    """In double precision, every parameter, of the twins too, with a value of its own, so that mixing two up shows."""
    generator = torch.Generator().manual_seed(seed)
    model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(noise, alpha=0.05)
    return model.train()


def leaves(model: nn.Module) -> State:
    """Copies of all tensors; two names of one parameter are one leaf here as well."""
    copies: dict[int, Tensor] = {}
    out = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in copies:
            copies[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
        out[name] = copies[id(tensor)]
    return out


def with_moved_twins(s: State, share: float = 0.005) -> State:
    """The state after the momentum update that precedes the teacher's pass."""
    out = dict(s)
    for name, tensor in s.items():
        head, _, rest = name.partition(".")
        if head.endswith("_m") and tensor.is_floating_point():
            out[name] = (1 - share) * tensor + share * s[f"{head.removesuffix('_m')}.{rest}"].detach()
    return out


def assert_gradients(model: nn.Module, s: State) -> None:
    """Every parameter's gradient is that of its leaf; none reaches what has none there."""
    for name, parameter in model.named_parameters():
        expected = s[name].grad
        if expected is None or parameter.grad is None:
            assert expected is None or not expected.any(), name
            assert parameter.grad is None or not parameter.grad.any(), name
        else:
            torch.testing.assert_close(parameter.grad, expected, atol=1e-10, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def assert_twins(model: nn.Module, s: State) -> None:
    """The model's twins are those of ``s``, and have no gradient."""
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name.split(".")[0].endswith("_m"):
            torch.testing.assert_close(tensor.detach(), s[name], atol=1e-12, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
            assert tensor.grad is None


def contrast(
    s: State, c: ModelConfig, pixels: Tensor, ids: Tensor, mask: Tensor, root: str, hard: Tensor, alpha: float
) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor, Tensor, Tensor]:
    """Loss, scores of the local batch both ways, teacher features, image tokens of student and teacher, text states."""
    suffix = root.removeprefix("text_encoder")
    image = r.vision(s, c, pixels)
    image_m = r.vision(s, c, pixels, "visual_encoder_m")
    words, words_m = r.text(s, c, ids, mask, root), r.text(s, c, ids, mask, f"text_encoder_m{suffix}")
    f_i, f_t = (r.normalize(r.linear(s, n, x[:, 0])) for n, x in (("vision_proj", image), ("text_proj", words)))
    g_i, g_t = (r.normalize(r.linear(s, n, x[:, 0])) for n, x in (("vision_proj_m", image_m), ("text_proj_m", words_m)))
    all_t, all_i = torch.cat([g_t.T, s["text_queue"]], 1), torch.cat([g_i.T, s["image_queue"]], 1)
    losses = []
    for feature, teacher, columns in ((f_i, g_i, all_t), (f_t, g_t, all_i)):
        targets = alpha * (teacher @ columns / s["temp"]).softmax(1).detach() + (1 - alpha) * hard
        losses.append(r.soft_loss(feature @ columns / s["temp"], targets))
    scores = [(f @ a / s["temp"])[:, : len(ids)].detach() for f, a in ((f_i, all_t), (f_t, all_i))]
    return sum(losses) / 2, scores, [g_i, g_t], image, image_m, words


def matching(
    s: State, c: ModelConfig, words: Tensor, mask: Tensor, image: Tensor, root: str, scores: list[Tensor], same: Tensor,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Positives, texts with a drawn image, images with a drawn text; images are drawn for all texts first."""
    weights_i2t, weights_t2i = (score.softmax(1).masked_fill(same, 0) for score in scores)
    images = torch.multinomial(weights_t2i, 1, generator=generator)[:, 0]
    texts = torch.multinomial(weights_i2t, 1, generator=generator)[:, 0]
    logits = []
    for t, i in ((slice(None), slice(None)), (slice(None), images), (texts, slice(None))):
        logits.append(r.linear(s, "itm_head", r.fuse(s, c, words[t], mask[t], image[i], root)[:, 0]))
    labels = torch.tensor([1] * len(words) + [0] * 2 * len(words))
    return F.cross_entropy(torch.cat(logits), labels)


def masked_words(
    s: State, c: ModelConfig, masked: Tensor, labels: Tensor, mask: Tensor, image: Tensor, image_m: Tensor, alpha: float
) -> Tensor:
    """The mean over labelled positions, one by one, of (1 - alpha) CE + alpha KD."""
    logits, logits_m = (
        r.language_head(s, f"{head}.cls", r.fuse(
            s, c, r.text(s, c, masked, mask, f"{head}.bert"), mask, tokens, f"{head}.bert"
        ))
        for head, tokens in (("text_encoder", image), ("text_encoder_m", image_m))
    )  # fmt: skip
    losses = []
    for row, place in (labels != -100).nonzero().tolist():
        student, teacher = logits[row, place].log_softmax(0), logits_m[row, place].softmax(0).detach()
        losses.append((1 - alpha) * -student[labels[row, place]] - alpha * (teacher * student).sum())
    return torch.stack(losses).mean()


def answers(
    s: State, c: ModelConfig, pixels: Tensor, ids: Tensor, mask: Tensor, answer_ids: Tensor, answer_mask: Tensor,
    weights: Tensor, rows: Tensor, alpha: float,
) -> Tensor:  # fmt: skip
    """VQA: sums over the tokens of each answer, weighed, over the number of questions; every answer by itself."""
    total = torch.zeros((), dtype=torch.float64)
    for number, row in enumerate(rows.tolist()):
        length, asked = int(answer_mask[number].sum()), int(mask[row].sum())
        answer = answer_ids[None, number, :length]
        question, ones = ids[None, row, :asked], torch.ones(1, asked)
        logits = {}
        for twin in ("", "_m"):
            image = r.vision(s, c, pixels[None, row], f"visual_encoder{twin}")
            encoder = f"text_encoder{twin}"
            states = r.fuse(s, c, r.text(s, c, question, ones, encoder), ones, image, encoder)
            logits[twin] = r.decode(s, c, answer, torch.ones(1, length), states, ones, f"text_decoder{twin}")[0, :-1]
        hard = F.cross_entropy(logits[""], answer[0, 1:], reduction="sum")
        soft = -(logits["_m"].softmax(1).detach() * logits[""].log_softmax(1)).sum()
        total = total + weights[number] * ((1 - alpha) * hard + alpha * soft)
    return total / len(ids)


def classification(
    s: State, c: ModelConfig, pixels: list[Tensor], ids: Tensor, mask: Tensor, labels: Tensor, alpha: float
) -> Tensor:
    """Entailment (one batch of pictures) and NLVR2 (two); every sentence by itself, at its true length."""
    losses = []
    for row, label in enumerate(labels.tolist()):
        length = int(mask[row].sum())
        sentence, ones = ids[None, row, :length], torch.ones(1, length)
        logits = {}
        for twin in ("", "_m"):
            images = [r.vision(s, c, part[None, row], f"visual_encoder{twin}") for part in pixels]
            encoder = f"text_encoder{twin}"
            states = r.fuse(s, c, r.text(s, c, sentence, ones, encoder), ones, images, encoder)
            logits[twin] = r.classify(s, f"cls_head{twin}", states[0, 0])
        student, teacher = logits[""].log_softmax(0), logits["_m"].softmax(0).detach()
        losses.append((1 - alpha) * -student[label] - alpha * (teacher * student).sum())
    return torch.stack(losses).mean()


def assignment(
    s: State, c: ModelConfig, pixels: Tensor, ids: Tensor, mask: Tensor, rows: Tensor, labels: Tensor
) -> Tensor:
    """Text assignment, given the pictures that were drawn; every caption by itself."""
    losses = []
    for row, label in enumerate(labels.tolist()):
        length = int(mask[row].sum())
        caption, ones = ids[None, row, :length], torch.ones(1, length)
        images = [r.vision(s, c, pixels[None, picture]) for picture in rows[row].tolist()]
        words = r.text(s, c, caption, ones, "text_encoder")
        states = r.fuse(s, c, words, ones, images, "text_encoder")
        losses.append(-r.linear(s, "ta_head", states[0, 0]).log_softmax(0)[label])
    return torch.stack(losses).mean()
