"""Writes the texts that need several pictures: entailment, pairs of pictures, and captions with a share of wrong ones."""

from __future__ import annotations

from multiprocessing.pool import Pool

from albef.world import entailment, pairs, questions
from albef.world.scene import Item, Scene, generator

BLOCK = 250
"""Pictures whose texts a process makes at a time."""
WINDOW = max(entailment.WINDOW, pairs.WINDOW)
QUESTIONS_OF_PLACE = 4
"""At most so many more questions about where things are for each training picture."""


def rebuild(record: dict, split: str, index: int) -> Scene:
    """The scene that a record of the dataset describes."""
    told = record["scene"]
    items = tuple(Item(**{name: value for name, value in item.items() if name != "box"}) for item in told["objects"])
    return Scene(split, index, told["width"], told["height"], told["backdrop"], items)


def make(pool: Pool, seed: int, split: str, records: list[dict]) -> tuple[list[dict], list[dict]]:
    """The entries of the entailment file and of the NLVR2 file of a split.

    What a picture adds depends on it and on the `WINDOW` pictures before it, so that a larger world begins as a smaller one.
    """
    scenes = [rebuild(record, split, index) for index, record in enumerate(records)]
    tasks = [(seed, scenes[max(0, s - WINDOW) : s + BLOCK], min(s, WINDOW), s) for s in range(0, len(scenes), BLOCK)]
    entailed: list[dict] = []
    paired: list[dict] = []
    for first, told, compared in pool.imap(_make_block, tasks):
        names = [record["image"] for record in records[first : first + WINDOW + BLOCK]]
        for place, text, label, kind in told:
            entailed.append({"image": names[place], "sentence": text, "label": label, "kind": kind})
        for (left, right), text, label, kind in compared:
            images = [names[left], names[right]]
            paired.append({"images": images, "sentence": text, "label": str(label), "kind": kind})
    return entailed, paired


def _make_block(task: tuple) -> tuple[int, list, list]:
    seed, scenes, begin, start = task
    places = range(begin, len(scenes))
    told = [entry for place in places for entry in entailment.sentences(seed, scenes, place)]
    compared = [entry for place in places for entry in pairs.statements(seed, scenes, place)]
    return start - begin, told, compared


def questions_of_place(seed: int, split: str, records: list[dict]) -> list[list[tuple[str, str, str]]]:
    """For each picture further questions (question, answer, kind) about where things are, none that it has already."""
    found = []
    for index, record in enumerate(records):
        rng = generator(seed, split, index, "places")
        asked = {question for question, _, _ in record["questions"]}
        more = questions.ask(rebuild(record, split, index), QUESTIONS_OF_PLACE, rng, questions.PLACES)
        found.append([entry for entry in more if entry[0] not in asked])
    return found


def with_wrong_captions(seed: int, records: list[dict], share: float) -> list[dict]:
    """Entries like those of pretrain.json in which about this share of captions is taken from earlier pictures.

    A full caption is replaced by a full one, a partial one by a partial one; whether it happens to be true is not asked.
    """
    entries = []
    for index, record in enumerate(records):
        rng = generator(seed, "train", index, "noise")
        captions = []
        for kind in ("full", "partial"):
            for text in record[kind]:
                # All random numbers are drawn for either outcome: a larger share replaces those of a smaller one and more.
                chance, donor, choice = rng.random(), rng.random(), rng.random()
                if chance < share and index:
                    text = _earlier(records, index, kind, donor, choice)
                captions.append(text)
        entries.append({"image": record["image"], "caption": captions})
    return entries


def _earlier(records: list[dict], index: int, kind: str, donor: float, choice: float) -> str:
    first = max(0, index - WINDOW)
    texts = records[first + int(donor * (index - first))][kind]
    return texts[int(choice * len(texts))]
