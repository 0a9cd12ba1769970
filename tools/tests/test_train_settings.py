"""Configurations: ours and the official ones, what is wrong in them, and the rates they lead to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from albef.optim import build_optimizer, ramped_alpha, smooth_rate, step_rate
from albef.train.settings import SETTINGS, read_settings
from albef.train.settings_file import SettingsError, read_values

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
TASK_OF = {
    "retrieval_coco": "retrieval", "retrieval_flickr": "retrieval", **{name: name for name in SETTINGS},
    **{f"small_{name}": name for name in SETTINGS},
}  # fmt: skip
PUBLISHED = ["pretrain", "retrieval_coco", "retrieval_flickr", "entailment", "vqa", "nlvr_pretrain", "nlvr", "grounding"]

OURS = {
    "model": {"image_size": 32, "patch_size": 16}, "train_files": ["a.json"], "batch_size": 4, "epochs": 2, "lr": 1e-3,
    "min_lr": 1e-4,
}  # fmt: skip


def write(folder: Path, text: str, name: str = "c.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*_*.json")) + sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_configuration_is_sound(file):
    if file.stem == "config_bert":
        return
    settings = read_settings(TASK_OF[file.stem], file)
    assert type(settings) is SETTINGS[TASK_OF[file.stem]]
    if file.stem.startswith("small_"):
        given = json.loads(file.read_text())
        assert {key: value for key, value in settings.to_dict().items() if key in given} == given
        assert settings.schedule == "smooth" and settings.accumulate == 1


def test_every_task_has_a_published_and_a_small_configuration():
    names = {file.stem for file in CONFIGS.iterdir()}
    assert set(PUBLISHED) <= names
    assert {f"small_{name}" for name in SETTINGS} <= names


# lr, min_lr, epochs, warm-up units, batch, resolution, ramp, queue, candidates: the published table.
TABLE = {
    "pretrain": (1e-4, 1e-5, 30, 20, 64, 256, True, 65536, None),
    "retrieval_coco": (1e-5, 1e-6, 5, 1, 32, 384, True, 65536, 256),
    "retrieval_flickr": (1e-5, 1e-6, 10, 1, 32, 384, True, 65536, 128),
    "entailment": (2e-5, 1e-6, 5, 1, 32, 384, False, None, None),
    "vqa": (2e-5, 1e-6, 8, 4, 32, 384, True, None, 128),
    "nlvr_pretrain": (2e-5, 1e-5, 1, 1, 64, 256, None, None, None),
    "nlvr": (2e-5, 1e-6, 10, 1, 16, 384, True, None, None),
    "grounding": (1e-5, 1e-6, 5, 1, 32, 384, True, 65536, None),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_values(name):
    s = read_settings(TASK_OF[name], CONFIGS / f"{name}.yaml")
    lr, min_lr, epochs, warmup, batch, resolution, ramp, queue, k = TABLE[name]
    assert (s.lr, s.min_lr, s.epochs, s.warmup_epochs, s.batch_size) == (lr, min_lr, epochs, warmup, batch)
    assert (s.warmup_lr, s.weight_decay, s.schedule, s.clip) == (1e-5, 0.02, "steps", None)
    assert (s.dropout, s.initializer_range) == (0.1, 0.02)
    assert s.model["image_size"] == resolution
    assert s.model["text_layers"] == (18 if name.startswith("nlvr") else 12) and s.model["decoder_layers"] == 6
    if ramp is not None:
        assert (s.alpha, s.alpha_ramp, s.momentum) == (0.4, ramp, 0.995)
    if queue is not None:
        assert (s.queue_size, s.temperature, s.easy_negatives) == (queue, 0.07, 0.0)
    if k is not None:
        assert s.validation_k == k


@pytest.mark.parametrize(
    ("name", "augment"),
    [
        ("pretrain", "pretrain"), ("nlvr_pretrain", "pretrain"), ("retrieval_coco", "finetune"), ("entailment", "finetune"),
        ("vqa", "finetune"), ("nlvr", "finetune"), ("grounding", "grounding"),
    ],
)  # fmt: skip
def test_published_configurations_augment_as_the_official_scripts_do(name, augment):
    s = read_settings(TASK_OF[name], CONFIGS / f"{name}.yaml")
    assert (s.augment, s.flips) == (augment, True)


@pytest.mark.parametrize("written", ["1e-5", "1.0e-5", "'1e-5'", "0.00001", "1E-05"])
def test_yaml_numbers_are_numbers_however_they_are_written(written, tmp_path):
    if written == "1e-5":
        assert yaml.safe_load("x: 1e-5") == {"x": "1e-5"}, "the trap that this is about"
    text = (CONFIGS / "nlvr.yaml").read_text().replace("warmup_lr: 1e-5", f"warmup_lr: {written}")
    (tmp_path / "config_bert.json").write_text((CONFIGS / "config_bert.json").read_text())
    assert read_settings("nlvr", write(tmp_path, text)).warmup_lr == 1e-5


def test_keys_of_ours_may_stand_in_an_official_file(tmp_path):
    ours = "accumulate: 8\naugment: none\nflips: false\nbfloat16: true\nclip: 1.0\nmodel: {max_words: 20}\n"
    text = (CONFIGS / "vqa.yaml").read_text() + ours
    (tmp_path / "config_bert.json").write_text((CONFIGS / "config_bert.json").read_text())
    s = read_settings("vqa", write(tmp_path, text.replace("distill: True", "distill: False")))
    assert (s.accumulate, s.bfloat16, s.clip, s.model["max_words"], s.alpha) == (8, True, 1.0, 20, 0.0)
    assert (s.augment, s.flips) == ("none", False)
    assert s.image_roots == {"vqa": "coco-images", "vg": "visual-genome"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lrr": 1}, ["'lrr'", "did you mean 'lr'"]),
        ({"lr": "fast"}, ["'lr'", "'fast'", "a number"]),
        ({"lr": -1}, ["'lr'", "at least 0"]),
        ({"batch_size": 0}, ["'batch_size'", "at least 1"]),
        ({"batch_size": 2.5}, ["'batch_size'", "a whole number"]),
        ({"bfloat16": 1}, ["'bfloat16'", "true or false"]),
        ({"bfloat16": "yes"}, ["'bfloat16'", "true or false"]),
        ({"train_files": "a.json"}, ["'train_files'", "a list"]),
        ({"train_files": ["a.json", 3]}, ["'train_files'", "item 1", "a text"]),
        ({"schedule": "cosine"}, ["'schedule'", "'smooth', 'steps'"]),
        ({"dropout": 1.5}, ["'dropout'", "at most 1"]),
        ({"model": {"image_size": 30}}, ["'model'", "multiple of patch_size"]),
        ({"model": {"image_sise": 30}}, ["'model'", "image_sise"]),
        ({"lr": None}, ["'lr'", "None"]),
        ({"queue_size": True}, ["'queue_size'", "a whole number"]),
    ],
)
def test_a_wrong_value_names_file_and_key(change, words, tmp_path):
    file = write(tmp_path, json.dumps(OURS | change), "c.json")
    with pytest.raises(SettingsError) as caught:
        read_settings("pretrain", file)
    for word in [str(file), *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", sorted(OURS))
def test_a_missing_key_is_named(key, tmp_path):
    file = write(tmp_path, json.dumps({name: value for name, value in OURS.items() if name != key}), "c.json")
    with pytest.raises(SettingsError, match=f"key '{key}' is missing"):
        read_settings("pretrain", file)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("opt: adamW", "opt: sgd", ["optimizer.opt", "'sgd'", "'adamW'"]),
        ("sched: cosine", "sched: linear", ["schedular.sched"]),
        ("decay_rate: 1", "decay_rate: 0.5", ["schedular.decay_rate"]),
        ("sched: cosine, lr: 2e-5", "sched: cosine, lr: 3e-5", ["schedular.lr"]),
        ("epochs: 8", "epoch: 8", ["schedular.epoch"]),
        ("k_test", "k_tst", ["k_tst"]),
        ("config_bert.json", "bert.json", ["bert_config", "bert.json"]),
        ("alpha: 0.4", "alpha: 0.4\nalpha: 0.5", ["'alpha' comes twice"]),
        ("image_res: 384", "image_res: [384", ["c.yaml"]),
        ("batch_size_train: 32", "batch_size_train: 32\nbatch_size: 16", ["batch_size"]),
    ],
)
def test_a_wrong_official_value_names_file_and_key(old, new, words, tmp_path):
    text = (CONFIGS / "vqa.yaml").read_text()
    assert old in text
    (tmp_path / "config_bert.json").write_text((CONFIGS / "config_bert.json").read_text())
    file = write(tmp_path, text.replace(old, new))
    with pytest.raises(SettingsError) as caught:
        read_settings("vqa", file)
    for word in [str(file), *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": 1, "a": 2}', ""])
def test_a_file_that_is_no_object_is_refused_by_name(text, tmp_path):
    with pytest.raises(SettingsError, match="c.json"):
        read_values(write(tmp_path, text, "c.json"))
    with pytest.raises(SettingsError, match="no.json: cannot be read"):
        read_values(tmp_path / "no.json")


# The table of the published rates; 3 decimals of a mantissa.
RATES = {
    "retrieval_coco": [9.141e-6, 6.891e-6, 4.109e-6, 1.859e-6],
    "retrieval_flickr": [9.780e-6, 9.141e-6, 8.145e-6, 6.891e-6, 5.500e-6, 4.109e-6, 2.855e-6, 1.859e-6, 1.220e-6],
    "entailment": [1.819e-5, 1.344e-5, 7.564e-6, 2.814e-6],
    "vqa": [1.928e-5, 1.722e-5, 1.414e-5, 1.050e-5, 6.865e-6, 3.782e-6, 1.723e-6],
    "nlvr": [1.954e-5, 1.819e-5, 1.608e-5, 1.344e-5, 1.050e-5, 7.564e-6, 4.916e-6, 2.814e-6, 1.465e-6],
}


@pytest.mark.parametrize("name", sorted(RATES))
def test_published_rates(name):
    s = read_settings(TASK_OF[name], CONFIGS / f"{name}.yaml")
    options = dict(
        lr=s.lr, min_lr=s.min_lr, warmup_lr=s.warmup_lr, warmup_epochs=s.warmup_epochs, epochs=s.epochs,
    )  # fmt: skip
    found = [step_rate(epoch, 7, **options) for epoch in range(1, s.epochs)]
    assert [f"{rate:.3e}" for rate in found] == [f"{rate:.3e}" for rate in RATES[name]]
    units = [step_rate(0, 100 * unit, **options) for unit in range(s.warmup_epochs + 2)]
    assert units[0] == s.warmup_lr and units[-2] == units[-1] == s.lr
    assert step_rate(0, 99, **options) == s.warmup_lr
    assert units[1] - units[0] == pytest.approx((s.lr - s.warmup_lr) / s.warmup_epochs)


def test_smooth_rates_rise_then_fall():
    rates = [smooth_rate(i / 100, lr=1.0, min_lr=0.1, warmup=0.1) for i in range(101)]
    assert rates[0] == 0.01 and max(rates) == rates[10] == 1.0 and rates[-1] == pytest.approx(0.1)
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_alpha_grows_during_the_first_epoch_alone():
    assert [ramped_alpha(0.4, 0, i, 4) for i in range(5)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert ramped_alpha(0.4, 1, 0, 4) == 0.4


def test_decay_spares_vectors_and_biases_alone():
    model = torch.nn.Module()
    model.temp = torch.nn.Parameter(torch.tensor(0.07))
    model.layer = torch.nn.Linear(2, 2)
    model.norm = torch.nn.LayerNorm(2)
    model.position = torch.nn.Parameter(torch.zeros(1, 3, 2))
    model.frozen = torch.nn.Parameter(torch.zeros(2, 2), requires_grad=False)
    plain, decayed = build_optimizer(model, 0.1, 0.02).param_groups
    assert plain["weight_decay"] == 0 and decayed["weight_decay"] == 0.02
    assert {id(p) for p in plain["params"]} == {id(p) for p in (model.layer.bias, model.norm.weight, model.norm.bias)}
    assert {id(p) for p in decayed["params"]} == {id(p) for p in (model.temp, model.layer.weight, model.position)}
