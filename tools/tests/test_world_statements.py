"""Sentences of visual entailment and of pairs: both labels for every text, the same whatever the number of pictures."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
import world_reader as reader

from albef.world import entailment, pairs, statements
from albef.world.dataset import choose_attempts, describe
from albef.world.draw import draw
from albef.world.scene import HELD_OUT, generator, sample

COUNT = 450
SEED = 3


class Here:
    """A pool that works in this process."""

    imap = staticmethod(map)


def records(split: str, count: int) -> list[dict]:
    """As the dataset has them, without saving pictures."""
    found = []
    for index, attempt in enumerate(choose_attempts(SEED, split, count)):
        scene = sample(SEED, split, index, attempt)
        boxes = draw(scene, generator(SEED, split, index, "picture")).boxes
        found.append(describe(scene, f"{split}/{index:06d}.jpg", boxes, SEED))
    return found


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[list[dict], list[dict], list[dict]]]:
    told = {split: records(split, COUNT if split == "train" else 200) for split in ("train", "val", "test")}
    return {split: (*statements.make(Here, SEED, split, entries), entries) for split, entries in told.items()}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_sentence_has_each_of_its_labels_equally_often(made, split):
    entailed, paired, entries = made[split]
    labels = defaultdict(Counter)
    for entry in entailed:
        assert set(entry) == {"image", "sentence", "label", "kind"}
        labels[entry["kind"], entry["sentence"]][entry["label"]] += 1
    for (kind, text), counts in labels.items():
        wanted = {entailment.LABELS[value] for value in entailment.KINDS[kind][2]}
        assert set(counts) == wanted and len(set(counts.values())) == 1, (kind, text, counts)
    said = Counter(entry["label"] for entry in entailed)
    assert all(0.27 < said[label] / len(entailed) < 0.4 for label in entailment.LABELS.values()), said
    assert len(entailed) > 3.8 * len(entries)

    balance = defaultdict(Counter)
    for entry in paired:
        assert set(entry) == {"images", "sentence", "label", "kind"} and len(set(entry["images"])) == 2
        balance[entry["sentence"]][entry["label"]] += 1
    assert all(counts["True"] == counts["False"] > 0 for counts in balance.values())
    assert len(paired) > (2.9 if split == "train" else 1.9) * len(entries)
    assert {entry["kind"] for entry in paired} == set(pairs.KINDS)


def test_a_larger_world_begins_with_the_same_texts(made):
    entailed, paired, entries = made["train"]
    short = statements.make(Here, SEED, "train", entries[:300])
    assert short[0] == entailed[: len(short[0])] and short[1] == paired[: len(short[1])]
    noisy = statements.with_wrong_captions(SEED, entries, 0.4)
    assert statements.with_wrong_captions(SEED, entries[:300], 0.4) == noisy[:300]


def test_held_out_pairs_are_spoken_of_in_the_test_split_only(made):
    def pairs_in(split: str) -> set[tuple[str, str]]:
        found = set()
        for entry in made[split][0] + made[split][1]:
            words = [reader.singular(word) for word in reader.usual(entry["sentence"]).split()]
            found |= {(noun, color) for color, noun in zip(words, words[1:], strict=False)} & HELD_OUT
        return found

    assert not pairs_in("train") and not pairs_in("val") and pairs_in("test")


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_given_share_of_captions_is_of_other_pictures(made, share):
    entries = made["train"][2]
    noisy = statements.with_wrong_captions(SEED, entries, share)
    wrong = total = 0
    for record, entry in zip(entries, noisy, strict=True):
        right = record["full"] + record["partial"]
        assert entry["image"] == record["image"] and len(entry["caption"]) == len(right)
        wrong += sum(a != b for a, b in zip(right, entry["caption"], strict=True))
        total += len(right)
    # A caption of another picture may read the same.
    assert share - 0.06 < wrong / total < share + 0.03 or wrong / total == share == 0
