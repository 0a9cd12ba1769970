"""Training steps against the published formulas, computed separately in double precision."""

from __future__ import annotations

import pytest
import reference as r
import torch
import torch.nn.functional as F
from PIL import Image

from albef.data import CaptionBatches, CaptionItem, Pictures
from albef.model import ModelConfig, PretrainModel, RetrievalModel, VQAModel
from albef.model.contrastive import draw_negatives, negative_weights
from albef.model.pretrain import mask_words

LENGTHS = [7, 5, 9, 4, 6, 8]
BATCH = len(LENGTHS)


def spread(model: torch.nn.Module, seed: int) -> None:
    """Gives every parameter, of the twins too, a value of its own, so that mixing two up shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)


def with_moved_twins(s: r.State, names: tuple[str, ...], share: float = 0.005) -> r.State:
    """The state after the momentum update that precedes the teacher's pass."""
    out = dict(s)
    for name in s:
        head, _, rest = name.partition(".")
        if head in names and not name.endswith("position_ids"):
            twin = f"{head}_m.{rest}"
            out[twin] = (1 - share) * s[twin] + share * s[name]
    return out


def contrast(s, config, pixels, ids, mask, root, hard, alpha, temperature):
    """Loss, scores of the local batch both ways, teacher features, student and teacher image tokens."""
    suffix = root.removeprefix("text_encoder")
    image = r.vision(s, config, pixels)
    image_m = r.vision(s, config, pixels, "visual_encoder_m")
    words, words_m = r.text(s, config, ids, mask, root), r.text(s, config, ids, mask, f"text_encoder_m{suffix}")
    f_i, f_t = (r.normalize(r.linear(s, n, x[:, 0])) for n, x in (("vision_proj", image), ("text_proj", words)))
    g_i, g_t = (r.normalize(r.linear(s, n, x[:, 0])) for n, x in (("vision_proj_m", image_m), ("text_proj_m", words_m)))
    all_t, all_i = torch.cat([g_t.T, s["text_queue"]], 1), torch.cat([g_i.T, s["image_queue"]], 1)
    losses = []
    for feature, teacher, columns in ((f_i, g_i, all_t), (f_t, g_t, all_i)):
        targets = alpha * (teacher @ columns / temperature).softmax(1) + (1 - alpha) * hard
        losses.append(r.soft_loss(feature @ columns / temperature, targets))
    scores = [(f @ a / temperature)[:, : len(ids)] for f, a in ((f_i, all_t), (f_t, all_i))]
    return sum(losses) / 2, scores, (g_i, g_t), image, image_m, words


def matching(s, config, words, mask, image, root, scores, same, generator):
    """Positives, texts with a drawn image, images with a drawn text; images are drawn for all texts first."""
    weights_i2t, weights_t2i = (score.softmax(1).masked_fill(same, 0) for score in scores)
    images = torch.multinomial(weights_t2i.float(), 1, generator=generator)[:, 0]
    texts = torch.multinomial(weights_i2t.float(), 1, generator=generator)[:, 0]
    logits = []
    for t, i in ((slice(None), slice(None)), (slice(None), images), (texts, slice(None))):
        logits.append(r.linear(s, "itm_head", r.fuse(s, config, words[t], mask[t], image[i], root)[:, 0]))
    labels = torch.tensor([1] * len(words) + [0] * 2 * len(words))
    return F.cross_entropy(torch.cat(logits), labels)


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_pretraining_losses_queues_and_twins(alpha):
    config = r.tiny_config()
    torch.manual_seed(3)
    model = PretrainModel(config, queue_size=3 * BATCH, dropout=0.0, cls_id=1, mask_id=4, mlm_probability=0.4)
    spread(model, 4)
    with torch.no_grad():
        model.temp.fill_(0.9)  # clamped to 0.5 before it is used
    model.queue_ptr[0] = BATCH
    pixels, ids, mask = r.batch(config, LENGTHS, 5)
    s = with_moved_twins(r.double(model), model.twin_names)

    losses = model.train()(pixels, ids, mask, alpha, torch.Generator().manual_seed(9))

    generator = torch.Generator().manual_seed(9)
    masked, labels = mask_words(ids, probability=0.4, vocab_size=61, mask_id=4, cls_id=1, generator=generator)
    own = torch.eye(BATCH, dtype=torch.bool)
    hard = F.pad(own.double(), (0, 3 * BATCH))
    root = "text_encoder.bert"
    ita, scores, teacher, image, image_m, words = contrast(s, config, pixels, ids, mask, root, hard, alpha, 0.5)
    itm = matching(s, config, words, mask, image, root, scores, own, generator)
    logits, logits_m = (
        r.language_head(s, f"{head}.cls", r.fuse(
            s, config, r.text(s, config, masked, mask, f"{head}.bert"), mask, tokens, f"{head}.bert"
        ))
        for head, tokens in (("text_encoder", image), ("text_encoder_m", image_m))
    )  # fmt: skip
    chosen = labels != -100
    mlm = (1 - alpha) * F.cross_entropy(logits[chosen], labels[chosen])
    mlm = mlm + alpha * r.soft_loss(logits[chosen], logits_m[chosen].softmax(1))

    assert model.temp.item() == 0.5
    for name, expected in (("ita", ita), ("itm", itm), ("mlm", mlm)):
        assert losses[name].item() == pytest.approx(expected.item(), rel=1e-5), name
    for queue, features in (("image_queue", teacher[0]), ("text_queue", teacher[1])):
        before = s[queue].clone()
        before[:, BATCH : 2 * BATCH] = features.T
        torch.testing.assert_close(getattr(model, queue).double(), before, atol=1e-6, rtol=0)
    assert model.queue_ptr.item() == 2 * BATCH
    for name, value in r.double(model).items():
        if name.split(".")[0].endswith("_m"):
            torch.testing.assert_close(value, s[name], atol=1e-6, rtol=0)
    sum(losses.values()).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert "temp" in trained and not any(name.split(".")[0].endswith("_m") for name in trained)


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_retrieval_losses_treat_captions_of_one_picture_as_positives(alpha):
    config = r.tiny_config()
    torch.manual_seed(6)
    model = RetrievalModel(config, queue_size=2 * BATCH, dropout=0.0, temperature=0.9)
    spread(model, 7)
    identity = torch.tensor([3, 8, 3, 5, 9, 8])
    model.idx_queue[0, :4] = torch.tensor([8, 8, 5, 77])
    pixels, ids, mask = r.batch(config, LENGTHS, 8)
    s = with_moved_twins(r.double(model), model.twin_names)
    queued = model.idx_queue.clone()

    losses = model.train()(pixels, ids, mask, identity, alpha, torch.Generator().manual_seed(2))

    same = identity[:, None] == identity
    positives = (identity[:, None] == torch.cat([identity, queued[0]])).double()
    hard = positives / positives.sum(1, keepdim=True)
    ita, scores, _, image, _, words = contrast(s, config, pixels, ids, mask, "text_encoder", hard, alpha, 0.9)
    generator = torch.Generator().manual_seed(2)
    itm = matching(s, config, words, mask, image, "text_encoder", scores, same, generator)
    assert model.temp.item() == pytest.approx(0.9), "only pre-training clamps"
    assert losses["ita"].item() == pytest.approx(ita.item(), rel=1e-5)
    assert losses["itm"].item() == pytest.approx(itm.item(), rel=1e-5)
    assert model.idx_queue[0, :BATCH].tolist() == identity.tolist()


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_vqa_loss_sums_tokens_and_weighs_answers(alpha):
    config = r.tiny_config()
    torch.manual_seed(10)
    model = VQAModel(config, dropout=0.0, cls_id=1)
    spread(model, 11)
    pixels, ids, mask = r.batch(config, [5, 7, 4], 12)
    _, answer_ids, answer_mask = r.batch(config, [3, 5, 2, 4, 3], 13)
    rows, weights = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0.7, 0.3, 1.0, 0.5, 0.2])
    s = with_moved_twins(r.double(model), model.twin_names)

    loss = model.train()(pixels, ids, mask, answer_ids, answer_mask, weights, rows, alpha)["lm"]

    expected = 0.0
    for number, row in enumerate(rows.tolist()):
        length, asked = int(answer_mask[number].sum()), int(mask[row].sum())
        answer = answer_ids[None, number, :length]
        question, ones = ids[None, row, :asked], torch.ones(1, asked)
        logits = {}
        for twin in ("", "_m"):
            image = r.vision(s, config, pixels[None, row], f"visual_encoder{twin}")
            encoder = f"text_encoder{twin}"
            states = r.fuse(s, config, r.text(s, config, question, ones, encoder), ones, image, encoder)
            decoder = f"text_decoder{twin}"
            logits[twin] = r.decode(s, config, answer, torch.ones(1, length), states, ones, decoder)[0, :-1]
        hard = F.cross_entropy(logits[""], answer[0, 1:], reduction="sum")
        soft = -(logits["_m"].softmax(1) * logits[""].log_softmax(1)).sum()
        expected += weights[number].item() * ((1 - alpha) * hard + alpha * soft).item()
    assert loss.item() == pytest.approx(expected / 3, rel=1e-5)


def test_masking_spares_class_token_and_padding_and_keeps_the_published_shares():
    ids = torch.full((200, 100), 7)
    ids[:, 0], ids[:, 90:] = 1, 0
    masked, labels = mask_words(
        ids, probability=0.15, vocab_size=1000, mask_id=4, cls_id=1, generator=torch.Generator().manual_seed(1)
    )
    chosen = labels != -100
    assert not chosen[:, 0].any() and not chosen[:, 90:].any()
    assert (labels[chosen] == 7).all() and (masked[~chosen] == ids[~chosen]).all()
    assert chosen[:, 1:90].float().mean().item() == pytest.approx(0.15, abs=0.01)
    kept = masked[chosen]
    assert (kept == 4).float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert (kept == 7).float().mean().item() == pytest.approx(0.1, abs=0.03)


def test_a_text_batch_without_a_chosen_word_costs_nothing():
    config = r.tiny_config()
    model = PretrainModel(config, queue_size=4, dropout=0.0, cls_id=1, mask_id=4, mlm_probability=0.0)
    pixels, ids, mask = r.batch(config, [4, 4], 1)
    losses = model(pixels, ids, mask, 0.4)
    assert losses["mlm"].item() == 0
    sum(losses.values()).backward()


def test_a_row_whose_weights_all_vanished_still_gets_a_negative():
    weights = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    drawn = {tuple(draw_negatives(weights, torch.Generator().manual_seed(seed)).tolist()) for seed in range(20)}
    assert drawn == {(1, 2, 0), (2, 2, 0)}


def test_easy_negatives_mix_a_uniform_share_into_the_weights():
    scores = torch.tensor([[5.0, 4.0, -9.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    weights = negative_weights(scores, torch.eye(3, dtype=torch.bool), 0.25)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert not weights.diagonal().any()
    assert weights[0, 2].item() == pytest.approx(0.125, abs=1e-4)


def test_a_batch_that_does_not_divide_the_queue_is_refused():
    config = r.tiny_config()
    model = RetrievalModel(config, queue_size=5, dropout=0.0)
    pixels, ids, mask = r.batch(config, [3, 3], 1)
    with pytest.raises(ValueError, match="multiple"):
        model(pixels, ids, mask, torch.tensor([0, 1]), 0.0)


def test_a_caption_that_is_true_of_a_picture_is_never_its_negative() -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        image_size=8, patch_size=4, vision_width=8, vision_layers=1, vision_heads=2, text_width=8, text_layers=2, fusion_layer=1,
        text_heads=2, embed_dim=4, vocab_size=20, max_positions=8, gradcam_layer=1,
    )  # fmt: skip
    model = RetrievalModel(config, twins=False)
    scores = torch.zeros(3, 3)
    # Picture 0 is also shown by caption 1, so text 1 must not take picture 0 and picture 0 must not take text 1.
    same = torch.eye(3, dtype=torch.bool)
    same[0, 1] = True
    for seed in range(30):
        texts, images = model.matching_rows(scores, scores, same, torch.Generator().manual_seed(seed))
        pairs = list(zip(images.tolist(), texts.tolist(), strict=True))[3:]
        assert (0, 1) not in pairs
        assert pairs[0][1] == 0 and pairs[3][0] == 0


def test_batches_mark_the_captions_that_the_data_lists_for_a_picture(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ALBEF_CACHE", str(tmp_path / "cache"))
    for name in ("a.png", "b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    items = [CaptionItem("a.png", [[2, 5]]), CaptionItem("b.png", [[2, 5], [2, 6]]), CaptionItem("a.png", [[2, 7]])]
    pictures = Pictures(tmp_path, [item.image for item in items], 4)
    for _, ids, _, numbers, true in CaptionBatches(items, pictures, 3, seed=1).epoch():
        for row, number in enumerate(numbers.tolist()):
            for column, text in enumerate(ids.tolist()):
                listed = any(text in item.captions for item in items if pictures.index[item.image] == number)
                assert true[row, column].item() == listed
