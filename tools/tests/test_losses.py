"""Each objective against an independent, straightforward computation in double precision; dropout is off."""

from __future__ import annotations

import torch
from test_model import TINY, tiny

from albef.model import PretrainModel, RetrievalModel, VQAModel
from albef.model.contrastive import draw_negatives
from albef.model.pretrain import mask_words

BATCH = 4


def batch(seed: int = 3):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(BATCH, 3, TINY.image_size, TINY.image_size, generator=generator, dtype=torch.float64)
    ids = torch.randint(5, TINY.vocab_size, (BATCH, 6), generator=generator)
    ids[:, 0] = 2
    mask = torch.ones_like(ids)
    ids[1, 4:], mask[1, 4:] = 0, 0
    return pixels, ids, mask


def feature(x):
    return x / x.norm(dim=-1, keepdim=True)


def contrast_by_hand(model, pixels, ids, mask, hard, alpha, queues):
    """Loss and the student's in-batch scores, looping over rows."""
    image = feature(model.vision_proj(model.visual_encoder(pixels)[:, 0]))
    text = feature(model.text_proj(model.bert.text(ids, mask)[:, 0]))
    image_m = feature(model.vision_proj_m(model.visual_encoder_m(pixels)[:, 0]))
    text_m = feature(model.text_proj_m(model.bert_m.text(ids, mask)[:, 0]))
    image_queue, text_queue = queues
    total, scores = 0.0, []
    for own, own_m, others in (
        (image, image_m, torch.cat([text_m, text_queue.t()])),
        (text, text_m, torch.cat([image_m, image_queue.t()])),
    ):
        rows = []
        for b in range(BATCH):
            student = torch.stack([own[b] @ other for other in others]) / model.temp
            teacher = torch.stack([own_m[b] @ other for other in others]) / model.temp
            target = alpha * teacher.softmax(0) + (1 - alpha) * hard[b]
            total = total - (target * student.log_softmax(0)).sum() / BATCH / 2
            rows.append(student[:BATCH])
        scores.append(torch.stack(rows))
    return total, scores, (image_m, text_m)


def test_contrast_queue_temperature_and_twins_of_one_pretraining_step() -> None:
    for alpha in (0.0, 0.4):
        model = tiny(PretrainModel, cls_id=2, mask_id=4)
        with torch.no_grad():
            model.temp.fill_(0.9)
            for parameter in model.visual_encoder.parameters():
                parameter.add_(0.01)
        pixels, ids, mask = batch()
        before = {name: p.clone() for name, p in model.named_parameters() if name.startswith("visual_encoder_m")}
        queues = model.image_queue.clone(), model.text_queue.clone()
        losses = model(pixels, ids, mask, alpha, torch.Generator().manual_seed(5))
        assert model.temp.item() == 0.5, "the temperature is clamped before it is used"
        for name, old in before.items():
            student = dict(model.named_parameters())[name.replace("_m.", ".", 1)]
            torch.testing.assert_close(dict(model.named_parameters())[name], 0.995 * old + 0.005 * student)
        hard = torch.eye(BATCH, BATCH + model.queue_size, dtype=torch.float64)
        expected, _, (image_m, text_m) = contrast_by_hand(model, pixels, ids, mask, hard, alpha, queues)
        torch.testing.assert_close(losses["ita"], expected)
        torch.testing.assert_close(model.image_queue[:, :BATCH], image_m.t())
        torch.testing.assert_close(model.text_queue[:, :BATCH], text_m.t())
        assert torch.equal(model.image_queue[:, BATCH:], queues[0][:, BATCH:])
        assert model.queue_ptr.item() == BATCH


def test_matching_loss_draws_images_for_texts_first_and_labels_the_first_third() -> None:
    model = tiny(PretrainModel, cls_id=2, mask_id=4, mlm_probability=0.0)
    pixels, ids, mask = batch()
    queues = model.image_queue.clone(), model.text_queue.clone()
    losses = model(pixels, ids, mask, 0.0, torch.Generator().manual_seed(11))
    hard = torch.eye(BATCH, BATCH + model.queue_size, dtype=torch.float64)
    _, (image_scores, text_scores), _ = contrast_by_hand(model, pixels, ids, mask, hard, 0.0, queues)
    generator = torch.Generator().manual_seed(11)
    # Masking draws before: three fields of chances and one of ids.
    mask_words(ids, probability=0.0, vocab_size=TINY.vocab_size, mask_id=4, cls_id=2, generator=generator)
    weights = [scores.softmax(1) * (1 - torch.eye(BATCH)) for scores in (text_scores, image_scores)]
    images = torch.multinomial(weights[0], 1, generator=generator).flatten()
    texts = torch.multinomial(weights[1], 1, generator=generator).flatten()
    tokens, states = model.visual_encoder(pixels), model.bert.text(ids, mask)
    total = 0.0
    pairs = [(b, b, 1) for b in range(BATCH)] + [(b, int(images[b]), 0) for b in range(BATCH)]
    pairs += [(int(texts[b]), b, 0) for b in range(BATCH)]
    for text, image, label in pairs:
        fused = model.bert.fuse(states[text][None], mask[text][None], tokens[image][None])
        total = total - model.itm_head(fused[0, 0]).log_softmax(0)[label] / len(pairs)
    torch.testing.assert_close(losses["itm"], total)
    assert losses["mlm"].item() == 0.0


def test_masked_words_loss_with_and_without_the_teacher() -> None:
    for alpha in (0.0, 0.4):
        model = tiny(PretrainModel, cls_id=2, mask_id=4, mlm_probability=0.6)
        pixels, ids, mask = batch()
        losses = model(pixels, ids, mask, alpha, torch.Generator().manual_seed(7))
        masked, labels = mask_words(
            ids, probability=0.6, vocab_size=TINY.vocab_size, mask_id=4, cls_id=2, generator=torch.Generator().manual_seed(7)
        )
        logits = model.text_encoder.cls(model.bert.multi_modal(masked, mask, model.visual_encoder(pixels)))
        teacher = model.text_encoder_m.cls(model.bert_m.multi_modal(masked, mask, model.visual_encoder_m(pixels)))
        total, count = 0.0, 0
        for b, t in (labels != -100).nonzero().tolist():
            student = logits[b, t].log_softmax(0)
            soft = -(teacher[b, t].softmax(0) * student).sum()
            total = total + (1 - alpha) * -student[labels[b, t]] + alpha * soft
            count += 1
        torch.testing.assert_close(losses["mlm"], total / count)


def test_masking_spares_class_token_and_padding_and_splits_80_10_10() -> None:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 40, (400, 50), generator=generator)
    ids[:, 0], ids[:, 45:] = 2, 0
    masked, labels = mask_words(ids, probability=0.15, vocab_size=40, mask_id=4, cls_id=2, generator=generator)
    chosen = labels != -100
    assert not chosen[:, 0].any() and not chosen[:, 45:].any()
    assert torch.equal(labels[chosen], ids[chosen]) and torch.equal(masked[~chosen], ids[~chosen])
    share = chosen[:, 1:45].float().mean().item()
    assert abs(share - 0.15) < 0.01
    assert abs((masked[chosen] == 4).float().mean().item() - 0.8) < 0.03
    assert abs((masked[chosen] == ids[chosen]).float().mean().item() - 0.1) < 0.03


def test_retrieval_takes_captions_of_one_picture_for_positives() -> None:
    model = tiny(RetrievalModel)
    pixels, ids, mask = batch()
    identity = torch.tensor([3, 9, 3, 7])
    model.idx_queue[0, :3] = torch.tensor([9, 9, 1])
    queues, known = (model.image_queue.clone(), model.text_queue.clone()), model.idx_queue.clone()
    losses = model(pixels, ids, mask, identity, 0.4, torch.Generator().manual_seed(1))
    everyone = torch.cat([identity, known[0]])
    hard = (identity[:, None] == everyone[None]).double()
    hard = hard / hard.sum(1, keepdim=True)
    expected, _, _ = contrast_by_hand(model, pixels, ids, mask, hard, 0.4, queues)
    torch.testing.assert_close(losses["ita"], expected)
    assert model.idx_queue[0, :BATCH].tolist() == identity.tolist()
    assert model.idx_queue[0, BATCH:].tolist() == known[0, BATCH:].tolist()


def test_vqa_loss_sums_tokens_and_weighs_answers() -> None:
    for alpha in (0.0, 0.4):
        model = tiny(VQAModel, cls_id=2)
        pixels, ids, mask = batch()
        answers = [[2, 5, 3], [2, 6, 7, 3], [2, 8, 3], [2, 9, 3], [2, 10, 11, 3]]
        owners, weights = [0, 0, 1, 2, 3], [0.7, 0.3, 1.0, 0.5, 1.0]
        answer_ids = torch.zeros(5, 4, dtype=torch.long)
        for row, answer in enumerate(answers):
            answer_ids[row, : len(answer)] = torch.tensor(answer)
        loss = model(
            pixels, ids, mask, answer_ids, (answer_ids != 0).long(), torch.tensor(weights, dtype=torch.float64),
            torch.tensor(owners), alpha,
        )["lm"]  # fmt: skip
        total = 0.0
        for answer, owner, weight in zip(answers, owners, weights, strict=True):
            logs = []
            for vision, text, decoder in (
                (model.visual_encoder, model.text_encoder, model.text_decoder),
                (model.visual_encoder_m, model.text_encoder_m, model.text_decoder_m),
            ):
                length = int(mask[owner].sum())
                states = text.multi_modal(ids[owner : owner + 1, :length], None, vision(pixels[owner : owner + 1]))
                hidden = decoder.bert.decode(torch.tensor([answer[:-1]]), None, states, None)
                logs.append(decoder.cls(hidden)[0].log_softmax(-1))
            for place, token in enumerate(answer[1:]):
                soft = -(logs[1][place].exp() * logs[0][place]).sum()
                total = total + weight * ((1 - alpha) * -logs[0][place, token] + alpha * soft)
        torch.testing.assert_close(loss, total / BATCH)


def test_easy_negatives_mix_a_uniform_share_into_the_weights() -> None:
    model = tiny(RetrievalModel, easy_negatives=0.25)
    scores = torch.tensor([[5.0, 4.0, -9.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    same = torch.eye(3, dtype=torch.bool)
    weights = model._negative_weights(scores, same)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert weights.diagonal().abs().max() == 0
    torch.testing.assert_close(weights[0, 2], torch.tensor(0.125), atol=1e-4, rtol=0)


def test_a_row_without_any_weight_is_drawn_from_the_others() -> None:
    drawn = draw_negatives(torch.zeros(4, 4), torch.Generator().manual_seed(0))
    assert all(int(column) != row for row, column in enumerate(drawn))
