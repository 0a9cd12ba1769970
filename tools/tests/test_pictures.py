"""Pictures in training: augmented repeatably, loaded ahead by workers, and replaced where they are missing or broken."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_world
import torch
from PIL import Image

from albef.augment import pipeline, random_state
from albef.data import CaptionBatches, CaptionItem, QuestionBatches, QuestionItem
from albef.data_pairs import SentenceBatches, SentenceItem
from albef.image import PictureError, load_picture, resize_pixels
from albef.pictures import AugmentedPictures, Pictures, SampleError
from albef.prefetch import Prefetched
from albef.records import DatasetError
from albef.text import Tokenizer

COUNT = 12
SIZE = 16


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ALBEF_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(5)
    for number in range(COUNT):
        pixels = random.integers(0, 256, (30 + number, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    return tmp_path


@pytest.fixture
def paths() -> list[str]:
    return [f"{number:02}.png" for number in range(COUNT)]


def damage(folder) -> None:
    """One picture is cut off, one is no picture, one is missing."""
    whole = (folder / "03.png").read_bytes()
    (folder / "03.png").write_bytes(whole[: len(whole) // 2])
    (folder / "05.png").write_text("no picture")
    (folder / "07.png").unlink()


def augmented(folder, paths, seed: int = 1) -> AugmentedPictures:
    return AugmentedPictures(folder, paths, SIZE, pipeline("pretrain"), seed)


def caption_batches(pictures, paths, size: int = 4) -> CaptionBatches:
    items = [CaptionItem(path, [[2, 5 + n], [2, 6 + n, 7]]) for n, path in enumerate(paths)]
    return CaptionBatches(items, pictures, size, seed=3)


def test_augmented_pixels_depend_on_seed_epoch_item_and_picture_alone(folder, paths):
    pictures = augmented(folder, paths)
    first = pictures.batch([4, 2, 4], [10, 11, 12], epoch=1)
    assert first.dtype == torch.uint8 and first.shape == (3, SIZE, SIZE, 3)
    assert not torch.equal(first[0], first[2]), "another item shows the same picture in another way"
    expected = pipeline("pretrain")(load_picture(folder / "02.png"), SIZE, random_state(1, 1, 11, 2))
    assert (first[1].numpy() == expected).all()
    assert torch.equal(pictures.batch([2], [11], epoch=1)[0], first[1]), "whatever else is in the batch"
    assert not torch.equal(pictures.batch([2], [11], epoch=2)[0], first[1])
    assert not torch.equal(augmented(folder, paths, seed=2).batch([2], [11], epoch=1)[0], first[1])


def test_without_augmentation_pixels_are_decoded_once_as_they_are(folder, paths):
    pictures = Pictures(folder, paths, SIZE)
    assert (pictures.batch([2, 0], [8, 9], epoch=4)[0].numpy() == resize_pixels(load_picture(folder / "02.png"), SIZE)).all()
    assert not pictures.broken


@pytest.mark.parametrize("kind", ["cached", "augmented"])
def test_a_missing_or_broken_picture_names_its_item(folder, paths, kind):
    damage(folder)
    pictures = Pictures(folder, paths, SIZE) if kind == "cached" else augmented(folder, paths)
    for number, reason in ((3, "cannot be decoded: "), (5, "cannot be decoded: "), (7, "no such picture")):
        with pytest.raises(SampleError, match=reason) as error:
            pictures.batch([1, number], [20, 21])
        assert error.value.item == 21 and f"{number:02}.png" in str(error.value) and "\n" not in str(error.value)
    assert len(pictures.batch([1, 2, 4])) == 3
    if kind == "cached":
        assert set(pictures.broken) == {3, 5, 7} == set(Pictures(folder, paths, SIZE).broken), "also from the cache"


def test_a_repaired_picture_is_decoded_again(folder, paths):
    whole = (folder / "03.png").read_bytes()
    damage(folder)
    assert 3 in Pictures(folder, paths, SIZE).broken
    (folder / "03.png").write_bytes(whole)
    assert 3 not in Pictures(folder, paths, SIZE).broken


def test_a_wrong_folder_is_said_at_once(folder, paths):
    for make in (lambda: Pictures(folder / "elsewhere", paths, SIZE), lambda: augmented(folder / "elsewhere", paths)):
        with pytest.raises(DatasetError, match="none of the 12 pictures looked for is there, such as .*elsewhere/00.png"):
            make()


def test_absolute_paths_need_no_root(folder, paths):
    pictures = Pictures("/nowhere", [str(folder / path) for path in paths], SIZE)
    assert torch.equal(pictures.batch([3]), Pictures(folder, paths, SIZE).batch([3]))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n" + bytes(40), b"GIF89a\x00"])
def test_whatever_a_decoder_stumbles_over_becomes_one_error(tmp_path, data):
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(PictureError, match=r"^[^\n]*x\.jpg: cannot be decoded: [^\n]+$"):
        load_picture(tmp_path / "x.jpg")


def question_batches(pictures, paths) -> QuestionBatches:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "yes"]
    items = [QuestionItem(paths[n // 2], [2, 5], [("yes", 1.0)], n) for n in range(2 * len(paths))]
    return QuestionBatches(items, pictures, Tokenizer(words), 4, 2, seed=3)


def sentence_batches(pictures, paths) -> SentenceBatches:
    items = [SentenceItem((path, paths[n - 1]), [2, 5], n % 2) for n, path in enumerate(paths)]
    return SentenceBatches(items, pictures, 4, 1, seed=3)


@pytest.mark.parametrize("make", [caption_batches, question_batches, sentence_batches])
def test_every_kind_of_batch_augments_by_epoch(folder, paths, make):
    batches = make(augmented(folder, paths), paths)
    numbers = batches.plan(0)[0]
    first, again, later = (batches.load(numbers, epoch)[0] for epoch in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, later)


def test_a_broken_second_picture_of_a_pair_names_the_pair(folder, paths):
    damage(folder)
    batches = sentence_batches(augmented(folder, paths), paths)
    for item in (3, 4):
        with pytest.raises(SampleError) as error:
            batches.load([1, item], 0)
        assert error.value.item == item


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_batches_and_leave_the_random_numbers_alone(folder, paths, workers):
    batches = caption_batches(augmented(folder, paths), paths, size=2)
    ahead = Prefetched(batches, workers)
    assert len(ahead) == len(batches) and ahead.items is batches.items
    for epoch in (0, 1):
        plan = ahead.plan(epoch)
        assert plan == batches.plan(epoch)
        torch.manual_seed(4)
        for numbers in plan[2 * epoch :]:
            pairs = zip(ahead.load(numbers, epoch), batches.load(numbers, epoch), strict=True)
            assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in pairs)
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(4)))
    ahead.close()


def test_a_process_of_several_loads_its_share_ahead(folder, paths):
    batches = caption_batches(augmented(folder, paths), paths, size=1)
    ahead = Prefetched(batches, 1, first=1, count=1, of=3)
    plan = ahead.plan(0)
    for numbers in plan[1::3]:
        assert torch.equal(ahead.load(numbers, 0)[0], batches.load(numbers, 0)[0])
    assert ahead._next == 11, "the last of its batches came from the workers"
    ahead.close()


def test_a_broken_picture_passes_through_workers_and_the_run_goes_on(folder, paths):
    damage(folder)
    batches = caption_batches(augmented(folder, paths), paths, size=3)
    ahead = Prefetched(batches, 1)
    plan = ahead.plan(0)
    replaced: dict[int, int] = {}
    for numbers in plan:
        while True:
            try:
                found = ahead.load([replaced.get(n, n) for n in numbers], 0)
            except SampleError as error:
                assert error.item in (3, 5, 7) and error.item not in replaced
                replaced[error.item] = error.item + 1
            else:
                break
        assert torch.equal(found[0], batches.load([replaced.get(n, n) for n in numbers], 0)[0])
    assert set(replaced) == {3, 5, 7}
    ahead.close()


def runs(tmp_path, world, name: str, *more: object, **changes):
    """A run of the trainer in this process: exit code, log, folder."""
    from albef.train.__main__ import main

    config = tiny_world.write_config(tmp_path / f"{name}.json", "retrieval", **changes)
    code = main(tiny_world.command(world, config, tmp_path / name, "retrieval", "--steps", 4, *more))
    return code, tiny_world.log(tmp_path / name), tmp_path / name


def test_a_run_reports_each_broken_picture_once_and_ends_the_same_with_workers(tmp_path):
    world = tiny_world.make_world(tmp_path / "world")
    (world / "04.png").write_bytes(b"\x89PNG")
    (world / "11.png").unlink()
    weights = []
    for name, more in (("alone", []), ("helped", ["--workers", 1])):
        code, log, folder = runs(tmp_path, world, name, *more, augment="finetune", validation_file=None)
        assert code == 0
        lines = [line for line in log if "replaced" in line]
        assert lines and len({line["replaced"] for line in lines}) == len(lines)
        assert all(".png" in line["reason"] for line in lines)
        assert log[-1]["replaced_items"] == len(lines)
        weights.append(tiny_world.state(folder))
    assert all((weights[0][key] == weights[1][key]).all() for key in weights[0])


def test_a_wrong_record_ends_the_command_with_one_line(tmp_path, capsys):
    world = tiny_world.make_world(tmp_path / "world")
    entries = json.loads((world / "retrieval_train.json").read_text())
    entries[5]["caption"] = 3
    (world / "retrieval_train.json").write_text(json.dumps(entries))
    from albef.train.__main__ import main

    config = tiny_world.write_config(tmp_path / "c.json", "retrieval")
    assert main(tiny_world.command(world, config, tmp_path / "out", "retrieval")) == 1
    message = capsys.readouterr().err
    assert "record 5: field 'caption': found 3" in message and message.count("\n") == 1


def test_a_broken_picture_of_the_validation_is_said_before_the_training(tmp_path, capsys):
    world = tiny_world.make_world(tmp_path / "world")
    (world / "02.png").write_bytes(b"\x89PNG")
    (world / "03.png").unlink()
    from albef.train.__main__ import main

    config = tiny_world.write_config(tmp_path / "c.json", "retrieval", validation_file="retrieval_val.json")
    assert main(tiny_world.command(world, config, tmp_path / "out", "retrieval")) == 1
    message = capsys.readouterr().err
    assert "retrieval_val.json: " in message and "02.png: cannot be decoded" in message and message.count("\n") == 1
    assert "(1 more pictures of the validation cannot be had)" in message


def test_official_questions_from_two_folders_train(tmp_path):
    from albef.train.__main__ import main

    world = tiny_world.make_world(tmp_path / "world")
    (world / "genome").mkdir()
    (world / "00.png").rename(world / "genome" / "00.png")
    entries = json.loads((world / "vqa_train.json").read_text())
    for entry in entries:
        if entry["image"] == "00.png":
            entry |= {"dataset": "vg", "answer": entry["answer"][0]}
    (world / "vqa_train.json").write_text(json.dumps(entries))
    settings = {
        "train_file": ["vqa_train.json"], "answer_list": "answer_list.json", "vqa_root": str(world), "vg_root": "genome",
        "batch_size_train": 4, "distill": False, "model": tiny_world.SHAPE,
        "optimizer": {"opt": "adamW", "lr": 1e-3, "weight_decay": 0.02},
        "schedular": {
            "sched": "cosine", "lr": 1e-3, "epochs": 1, "min_lr": 1e-4, "decay_rate": 1, "warmup_lr": 1e-4, "warmup_epochs": 1,
            "cooldown_epochs": 0,
        },
    }  # fmt: skip
    config = tmp_path / "official.yaml"
    config.write_text(json.dumps(settings))
    assert main(tiny_world.command(world, config, tmp_path / "out", "vqa")) == 0
    lines = tiny_world.log(tmp_path / "out")
    assert lines[-1]["finished"] == 10 and lines[-1]["replaced_items"] == 0
