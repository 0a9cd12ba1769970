"""Training steps against the published formulas, computed separately in double precision."""

from __future__ import annotations

import loss_reference as formulas
import pytest
import reference as r
import torch
import torch.nn.functional as F
from PIL import Image

from albef.data import CaptionBatches, CaptionItem, Pictures
from albef.model import (
    EntailmentModel,
    ModelConfig,
    NLVRModel,
    NLVRPretrainModel,
    PretrainModel,
    RetrievalModel,
    VQAModel,
)
from albef.model.contrastive import draw_negatives, negative_weights
from albef.model.pretrain import mask_words

LENGTHS = [7, 5, 9, 4, 6, 8]
BATCH = len(LENGTHS)
ALPHAS = pytest.mark.parametrize("alpha", [0.0, 0.4])


def double_batch(config: ModelConfig, lengths: list[int], seed: int) -> tuple[torch.Tensor, ...]:
    pixels, ids, mask = r.batch(config, lengths, seed)
    return pixels.double(), ids, mask


def compare(model: torch.nn.Module, losses: dict, expected: dict, state: r.State, moved: r.State) -> None:
    """Losses, gradients of their sum, and twins."""
    assert list(losses) == list(expected)
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-10), name
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    formulas.assert_gradients(model, state)
    formulas.assert_twins(model, moved)


@ALPHAS
def test_pretraining_losses_gradients_queues_and_twins(alpha):
    config = r.tiny_config()
    torch.manual_seed(3)
    model = PretrainModel(config, queue_size=3 * BATCH, dropout=0.0, cls_id=1, mask_id=4, mlm_probability=0.4)
    formulas.spread(model, 4)
    with torch.no_grad():
        model.temp.fill_(0.9)  # clamped to 0.5 before it is used
    model.queue_ptr[0] = BATCH
    pixels, ids, mask = double_batch(config, LENGTHS, 5)
    state = formulas.leaves(model)
    state["temp"] = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    s = formulas.with_moved_twins(state)

    losses = model(pixels, ids, mask, alpha, torch.Generator().manual_seed(9))

    generator = torch.Generator().manual_seed(9)
    masked, labels = mask_words(ids, probability=0.4, vocab_size=61, mask_id=4, cls_id=1, generator=generator)
    own = torch.eye(BATCH, dtype=torch.bool)
    hard = F.pad(own.double(), (0, 3 * BATCH))
    root = "text_encoder.bert"
    ita, scores, teacher, image, image_m, words = formulas.contrast(s, config, pixels, ids, mask, root, hard, alpha)
    itm = formulas.matching(s, config, words, mask, image, root, scores, own, generator)
    mlm = formulas.masked_words(s, config, masked, labels, mask, image, image_m, alpha)
    assert model.temp.item() == 0.5
    for queue, features in (("image_queue", teacher[0]), ("text_queue", teacher[1])):
        before = s[queue].clone()
        before[:, BATCH : 2 * BATCH] = features.T
        torch.testing.assert_close(getattr(model, queue), before, atol=1e-12, rtol=0)
    assert model.queue_ptr.item() == 2 * BATCH
    compare(model, losses, {"ita": ita, "itm": itm, "mlm": mlm}, state, s)


@ALPHAS
def test_retrieval_losses_treat_captions_of_one_picture_as_positives(alpha):
    config = r.tiny_config()
    torch.manual_seed(6)
    model = RetrievalModel(config, queue_size=2 * BATCH, dropout=0.0, temperature=0.9)
    formulas.spread(model, 7)
    identity = torch.tensor([3, 8, 3, 5, 9, 8])
    model.idx_queue[0, :4] = torch.tensor([8, 8, 5, 77])
    pixels, ids, mask = double_batch(config, LENGTHS, 8)
    state = formulas.leaves(model)
    s = formulas.with_moved_twins(state)
    queued = model.idx_queue.clone()

    losses = model(pixels, ids, mask, identity, alpha, torch.Generator().manual_seed(2))

    same = identity[:, None] == identity
    positives = (identity[:, None] == torch.cat([identity, queued[0]])).double()
    hard = positives / positives.sum(1, keepdim=True)
    ita, scores, _, image, _, words = formulas.contrast(s, config, pixels, ids, mask, "text_encoder", hard, alpha)
    generator = torch.Generator().manual_seed(2)
    itm = formulas.matching(s, config, words, mask, image, "text_encoder", scores, same, generator)
    assert model.temp.item() == pytest.approx(0.9), "only pre-training clamps"
    assert model.idx_queue[0, :BATCH].tolist() == identity.tolist()
    compare(model, losses, {"ita": ita, "itm": itm}, state, s)


def test_queues_wrap_and_their_features_are_the_next_steps_negatives():
    config = r.tiny_config()
    torch.manual_seed(6)
    model = formulas.spread(RetrievalModel(config, queue_size=2 * BATCH, dropout=0.0), 7)
    contents = [model.image_queue.clone(), model.text_queue.clone()]
    identities = model.idx_queue.clone()
    for step in range(5):
        pixels, ids, mask = double_batch(config, LENGTHS, 20 + step)
        identity = torch.arange(BATCH) + BATCH * (step % 3)
        state = formulas.leaves(model)
        for queue, content in zip(("image_queue", "text_queue"), contents, strict=True):
            torch.testing.assert_close(state[queue], content, atol=1e-12, rtol=0)
        s = formulas.with_moved_twins(state)
        positives = (identity[:, None] == torch.cat([identity, identities[0]])).double()
        hard = positives / positives.sum(1, keepdim=True)
        ita, _, teacher, *_ = formulas.contrast(s, config, pixels, ids, mask, "text_encoder", hard, 0.4)
        losses = model(pixels, ids, mask, identity, 0.4)
        assert losses["ita"].item() == pytest.approx(ita.item(), rel=1e-10)
        columns = slice(BATCH * (step % 2), BATCH * (step % 2) + BATCH)
        for content, features in zip(contents, teacher, strict=True):
            content[:, columns] = features.T
        identities[0, columns] = identity
        assert torch.equal(model.idx_queue, identities) and model.queue_ptr.item() == BATCH * ((step + 1) % 2)


@ALPHAS
def test_vqa_loss_sums_tokens_and_weighs_answers(alpha):
    config = r.tiny_config()
    torch.manual_seed(10)
    model = formulas.spread(VQAModel(config, dropout=0.0, cls_id=1), 11)
    pixels, ids, mask = double_batch(config, [5, 7, 4], 12)
    _, answer_ids, answer_mask = r.batch(config, [3, 5, 2, 4, 3], 13)
    rows, weights = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0.7, 0.3, 1.0, 0.5, 0.2], dtype=torch.float64)
    state = formulas.leaves(model)
    s = formulas.with_moved_twins(state)

    losses = model(pixels, ids, mask, answer_ids, answer_mask, weights, rows, alpha)

    expected = formulas.answers(s, config, pixels, ids, mask, answer_ids, answer_mask, weights, rows, alpha)
    compare(model, losses, {"lm": expected}, state, s)


@ALPHAS
def test_entailment_loss(alpha):
    config = r.tiny_config()
    torch.manual_seed(14)
    model = formulas.spread(EntailmentModel(config, dropout=0.0), 15)
    pixels, ids, mask = double_batch(config, [5, 9, 4, 7], 16)
    labels = torch.tensor([2, 0, 1, 2])
    state = formulas.leaves(model)
    s = formulas.with_moved_twins(state)
    # The first and the last sentence speak of one picture, which is given once.
    rows = torch.tensor([[2], [0], [1], [2]])
    losses = model(pixels[:3], ids, mask, labels, alpha, rows)
    expected = formulas.classification(s, config, [pixels[rows[:, 0]]], ids, mask, labels, alpha)
    compare(model, losses, {"classification": expected}, state, s)


@ALPHAS
@pytest.mark.parametrize("shared", [False, True])
def test_nlvr_loss_alternates_between_the_pictures(alpha, shared):
    config = r.tiny_config(text_layers=6)
    torch.manual_seed(17)
    model = formulas.spread(NLVRModel(config, dropout=0.0), 18)
    _, ids, mask = double_batch(config, [5, 9, 4], 19)
    pixels, _, _ = double_batch(config, [1] * 6, 20)
    labels = torch.tensor([1, 0, 1])
    state = formulas.leaves(model)
    s = formulas.with_moved_twins(state)
    if shared:
        rows = torch.tensor([[0, 1], [1, 0], [2, 2]])
        left, right = pixels[rows[:, 0]], pixels[rows[:, 1]]
        losses = model(pixels[:3], ids, mask, labels, alpha, rows)
    else:
        left, right = pixels.chunk(2)
        losses = model(pixels, ids, mask, labels, alpha)
    expected = formulas.classification(s, config, [left, right], ids, mask, labels, alpha)
    compare(model, losses, {"classification": expected}, state, s)


def test_text_assignment_loss_trains_neither_projection_nor_temperature():
    config = r.tiny_config(text_layers=6)
    torch.manual_seed(21)
    model = formulas.spread(NLVRPretrainModel(config, dropout=0.0), 22)
    pixels, ids, mask = double_batch(config, LENGTHS, 23)
    s = formulas.leaves(model)

    losses = model(pixels, ids, mask, torch.Generator().manual_seed(24))

    feature = r.normalize(r.linear(s, "vision_proj", r.vision(s, config, pixels)[:, 0])).detach()
    weights = (feature @ feature.T / 0.07).softmax(1).fill_diagonal_(0)
    generator = torch.Generator().manual_seed(24)
    drawn = torch.multinomial(weights, 2, generator=generator)
    labels = (torch.rand(BATCH, generator=generator, dtype=torch.float32) * 3).long()
    assert labels.unique().tolist() == [0, 1, 2], "the seed shows every case"
    rows = torch.stack([
        torch.tensor({0: [b, first], 1: [first, b], 2: [first, second]}[label])
        for b, (label, (first, second)) in enumerate(zip(labels.tolist(), drawn.tolist(), strict=True))
    ])  # fmt: skip
    expected = formulas.assignment(s, config, pixels, ids, mask, rows, labels)
    compare(model, losses, {"ta": expected}, s, s)
    fixed = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert fixed == {"vision_proj.weight", "vision_proj.bias", "text_proj.weight", "text_proj.bias", "temp"}


def test_text_assignment_draws_by_similarity_a_third_for_each_answer():
    config = r.tiny_config(text_layers=6)
    torch.manual_seed(25)
    model = NLVRPretrainModel(config)
    tokens = torch.randn(5, 17, config.vision_width)
    feature = F.normalize(model.vision_proj(tokens[:, 0]), dim=-1).detach()
    weights = (feature @ feature.T / 0.07).softmax(1).fill_diagonal_(0)
    weights = weights / weights.sum(1, keepdim=True)
    counts, labelled = torch.zeros(5, 5), torch.zeros(3)
    generator = torch.Generator().manual_seed(26)
    for _ in range(1500):
        rows, labels = model.assign(tokens, generator)
        for b, (label, (left, right)) in enumerate(zip(labels.tolist(), rows.tolist(), strict=True)):
            labelled[label] += 1
            assert left != right
            assert (left == b, right == b) == ((True, False), (False, True), (False, False))[label]
            if label < 2:
                counts[b, right if label == 0 else left] += 1
    torch.testing.assert_close(labelled / labelled.sum(), torch.full((3,), 1 / 3), atol=0.02, rtol=0)
    torch.testing.assert_close(counts / counts.sum(1, keepdim=True), weights, atol=0.05, rtol=0)


def test_text_assignment_never_takes_a_picture_that_the_caption_describes_as_another_one():
    config = r.tiny_config(text_layers=6)
    torch.manual_seed(25)
    model = NLVRPretrainModel(config)
    tokens = torch.randn(4, 17, config.vision_width)
    true = torch.eye(4, dtype=torch.bool)
    true[1, 0] = True  # Picture 1 shows what caption 0 says.
    for seed in range(40):
        rows, _ = model.assign(tokens, torch.Generator().manual_seed(seed), true)
        assert 1 not in rows[0].tolist()


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
