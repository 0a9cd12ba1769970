"""Ranking of answers, retrieval with re-ranking and recalls, each against a naive computation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import reference as r
import torch
from PIL import Image

from albef.evaluation.retrieval import evaluate_retrieval, recalls, rerank
from albef.evaluation.vqa import evaluate_vqa
from albef.model import RetrievalModel, VQAModel
from albef.text import Tokenizer, pad
from albef.world import vocabulary


@pytest.mark.parametrize("k", [1, 4, 12])
def test_answers_are_ranked_by_the_doubled_first_token_and_ties_by_number(k):
    config = r.tiny_config()
    torch.manual_seed(1)
    model = VQAModel(config, twins=False, cls_id=1, initializer_range=0.3).eval()
    s = r.double(model)
    pixels, ids, mask = r.batch(config, [5, 8], 2)
    generator = torch.Generator().manual_seed(3)
    lengths = (1, 3, 2, 4, 1, 2) * 2
    answers = [[1, *torch.randint(5, 61, (length,), generator=generator).tolist(), 3] for length in lengths]
    answers[7] = answers[2]  # equal in every respect: the lower number goes first
    answers[4][1] = answers[9][1]  # the same first token
    answer_ids, answer_mask = pad(answers)
    with torch.no_grad():
        states = model.question_states(pixels, ids, mask)
    first_logits, ranked, scores = model.rank_answers(states, mask, answer_ids, answer_mask, k)

    for row, length in enumerate([5, 8]):
        one, ones = ids[None, row, :length], torch.ones(1, length)
        image = r.vision(s, config, pixels[None, row])
        question = r.fuse(s, config, r.text(s, config, one, ones, "text_encoder"), ones, image, "text_encoder")

        def logits(tokens, question=question, ones=ones):
            given = torch.tensor([tokens])
            return r.decode(s, config, given, torch.ones(given.shape), question, ones, "text_decoder")[0]

        first = logits([1])[0]
        torch.testing.assert_close(first_logits[row].double(), first, atol=1e-4, rtol=0)
        starts = first.log_softmax(0)
        order = sorted(range(12), key=lambda i: (-starts[answers[i][1]].item(), i))[:k]
        expected = {}
        for i in order:
            log = logits(answers[i]).log_softmax(1)
            expected[i] = (starts[answers[i][1]] + sum(log[t, token] for t, token in enumerate(answers[i][1:]))).item()
        by_score = sorted(order, key=lambda i: (-round(expected[i], 9), i))
        assert ranked[row].tolist() == by_score
        np.testing.assert_allclose(scores[row].tolist(), [expected[i] for i in by_score], atol=1e-4)


def test_each_pair_of_the_shortlist_gets_its_matching_logit_and_no_other_pair():
    config = r.tiny_config()
    torch.manual_seed(2)
    model = RetrievalModel(config, twins=False, initializer_range=0.2).eval()
    pixels, _, _ = r.batch(config, [3] * 4, 1)
    _, ids, mask = r.batch(config, [5, 3, 7, 4, 6, 5], 2)
    with torch.no_grad():
        image, feature = model.encode_image(pixels)
        words, text = model.encode_text(ids, mask)
        similarity = feature @ text.T
        i2t, t2i = rerank(model, image, words, mask, similarity, 3, chunk=5)
        for i in range(4):
            for t in range(6):
                logit = model.match_logits(words[None, t], mask[None, t], image[None, i])[0, 1].item()
                listed = similarity[i].topk(3).indices.tolist(), similarity[:, t].topk(3).indices.tolist()
                assert i2t[i, t].item() == pytest.approx(logit if t in listed[0] else -100, abs=1e-5)
                assert t2i[t, i].item() == pytest.approx(logit if i in listed[1] else -100, abs=1e-5)


def test_a_picture_counts_with_its_best_caption():
    scores = np.array([[0.1, 0.9, 0.5], [0.8, 0.2, 0.3]])
    # Texts 0 and 1 belong to picture 0, text 2 to picture 1.
    found = recalls(scores, scores.T, [0, 0, 1])
    assert (found["txt_r1"], found["txt_r5"]) == (50, 100)
    assert found["img_r1"] == pytest.approx(100 / 3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBEF_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(5)
    for number in range(3):
        Image.fromarray(generator.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_retrieval_is_measured_over_a_file(folder):
    entries = [{"image": f"{n}.png", "caption": [f"a star number {n}", "Red!"][: 1 + n % 2]} for n in range(3)]
    (folder / "r.json").write_text(json.dumps(entries))
    tokenizer = Tokenizer.from_file(vocabulary.PATH)
    torch.manual_seed(1)
    model = RetrievalModel(r.tiny_config(vocab_size=len(tokenizer.vocabulary)), twins=False)
    result = evaluate_retrieval(model, tokenizer, str(folder), "r.json", k_test=128)
    assert {"txt_r1", "img_r10", "itc_txt_r1"} <= set(result)
    assert result["txt_r5"] == result["img_r5"] == result["itc_img_r10"] == 100
    assert model.training


def test_vqa_accuracy_counts_three_agreeing_answers_in_full(folder):
    given = ["red"] * 2 + ["blue"] * 8
    (folder / "q.json").write_text(json.dumps([
        {"dataset": "vqa", "image": f"{n}.png", "question": "what?", "question_id": n, "answer": answer, "kind": kind}
        for n, (answer, kind) in enumerate([(given, "color"), (["red"] * 10, "color"), (["two"] * 10, "count")])
    ]))  # fmt: skip
    tokenizer = Tokenizer.from_file(vocabulary.PATH)
    torch.manual_seed(1)
    model = VQAModel(r.tiny_config(vocab_size=len(tokenizer.vocabulary)), twins=False, cls_id=tokenizer.cls_id)
    result = evaluate_vqa(model, tokenizer, ["red"], str(folder), "q.json")
    assert result["color"] == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert result["count"] == 0 and result["accuracy"] == pytest.approx(100 * (2 / 3 + 1) / 3)
