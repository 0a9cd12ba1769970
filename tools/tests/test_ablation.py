"""The ablation: which settings its runs have, that each is trained and measured once, and what is written about them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import tiny_world as w
from safetensors.numpy import load_file

from albef import ablation
from albef.checkpoint import save_checkpoint
from albef.quantization import QuantizedLinear
from albef.train.__main__ import main as train
from albef.train.settings import SETTINGS, read_settings, settings_from
from albef.train.settings_file import read_values
from albef.train.tasks import build_task

SHORT = ("--steps", 2, "--k-test", 3)


@pytest.fixture
def world(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ALBEF_CACHE", str(tmp_path / "cache"))
    folder = w.make_world(tmp_path / "world")
    captions = json.loads((folder / "pretrain.json").read_text())
    turned = [one | {"caption": two["caption"]} for one, two in zip(captions, captions[1:] + captions[:1], strict=True)]
    expressions = [{"image": each["image"], "text": each["caption"][0], "bbox": [1, 1, 4, 4]} for each in captions[:5]]
    files = {
        "pretrain_noisy": turned, "retrieval_test": captions[:5], "grounding_test": expressions,
        "detections": {each["image"]: [[1, 1, 4, 4]] for each in expressions},
    }  # fmt: skip
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def trained(monkeypatch) -> list[Path]:
    """Runs the trainer in this process; gives the output folder of each run."""
    folders: list[Path] = []

    def run(command, **options):
        arguments = command[command.index("albef.train") + 1 :]
        folders.append(Path(arguments[arguments.index("--output") + 1]))
        return subprocess.CompletedProcess(command, train(arguments))

    monkeypatch.setattr(ablation.subprocess, "run", run)
    return folders


def arguments(tmp_path: Path, world: Path, *more: object) -> list[str]:
    config = w.write_config(tmp_path / "c.json", "pretrain")
    return [str(value) for value in ("--output", tmp_path / "out", "--config", config, "--data", world, *more)]


def results(tmp_path: Path) -> list[dict]:
    return json.loads((tmp_path / "out" / "results.json").read_text())


def test_every_variant_is_a_configuration_that_the_trainer_takes():
    base = read_values(ablation.CONFIG)
    kinds = {v.name: settings_from(SETTINGS["pretrain"], ablation.configuration(base, v), v.name) for v in ablation.VARIANTS}
    assert all(settings.batch_size == base["batch_size"] and not settings.alpha_ramp for settings in kinds.values())
    assert kinds["uniform_negatives"].easy_negatives == 1 and kinds["full"].easy_negatives < 1
    assert kinds["no_mlm"].losses == ["ita", "itm"] and kinds["full"].losses == ["ita", "itm", "mlm"]
    assert [name for name, settings in kinds.items() if settings.alpha > 0] == ["noisy_distilled"]
    noisy = [name for name, settings in kinds.items() if settings.train_files == ["pretrain_noisy.json"]]
    assert noisy == ["noisy", "noisy_distilled"]


def test_only_the_chosen_losses_are_trained_on(world, tmp_path):
    config = w.write_config(tmp_path / "c.json", "pretrain", losses=["itm", "ita"])
    task = build_task("pretrain", config, world, 1)
    batch = next(iter_batches(task))
    assert list(task.losses(batch, 0.0)) == ["itm", "ita"]
    with pytest.raises(ValueError, match="'losses'"):
        read_settings("pretrain", w.write_config(tmp_path / "d.json", "pretrain", losses=["itm", "lm"]))
    with pytest.raises(ValueError, match="'losses'"):
        build_task("pretrain", w.write_config(tmp_path / "e.json", "pretrain", losses=[]), world, 1)


def iter_batches(task):
    for numbers in task.batches.plan(0):
        yield task.batches.load(numbers, 0)


def test_quantisation_aware_training_is_a_key_of_every_task(world, tmp_path):
    for name in w.TASKS:
        task = build_task(name, w.write_config(tmp_path / f"{name}.json", name, quantization_aware=True), world, 1)
        assert isinstance(task.model.visual_encoder.blocks[0].mlp.fc1, QuantizedLinear)


def test_a_run_in_a_process_of_its_own_gives_results_and_a_document(world, tmp_path, capsys):
    document = tmp_path / "ablation.md"
    given = arguments(tmp_path, world, *SHORT, "--only", "full", "--document", document)
    assert ablation.main(given) == 0
    (result,) = results(tmp_path)
    assert result["name"] == "full" and result["run"]["steps"] == 2
    assert set(result["metrics"]) == set(ablation.COLUMNS)
    assert all(0 <= value <= 100 for value in result["metrics"].values())
    text = document.read_text()
    assert text.startswith("# Ablation") and "| all three losses |" in text and "5 captions, 5 expressions" in text
    assert capsys.readouterr().out.strip() in text


def test_finished_runs_are_not_repeated_and_prose_around_the_table_stays(world, tmp_path, trained):
    document = tmp_path / "ablation.md"
    document.write_text("by hand\n<!-- ablation -->\nold\n<!-- /ablation -->\nmore by hand\n")
    assert ablation.main(arguments(tmp_path, world, *SHORT, "--only", "full", "--only", "noisy_distilled")) == 0
    assert [folder.name for folder in trained] == ["full", "noisy_distilled"]
    first = results(tmp_path)
    more = ("--only", "full", "--only", "no_mlm", "--only", "noisy_distilled", "--document", document)
    assert ablation.main(arguments(tmp_path, world, *SHORT, *more)) == 0
    assert [folder.name for folder in trained] == ["full", "noisy_distilled", "no_mlm"]
    second = results(tmp_path)
    assert [each["name"] for each in second] == ["full", "no_mlm", "noisy_distilled"]
    assert [second[0], second[2]] == first
    text = document.read_text()
    assert text.startswith("by hand\n<!-- ablation -->\n2 steps") and text.endswith("\n<!-- /ablation -->\nmore by hand\n")
    assert "old" not in text and "| without masked words |" in text


def test_runs_start_from_the_same_weights_and_a_second_run_gives_the_same_figures(world, tmp_path, trained):
    task = build_task("pretrain", w.write_config(tmp_path / "i.json", "pretrain"), world, 5)
    start = tmp_path / "start.safetensors"
    save_checkpoint(start, task.model, "pretrain", task.tokenizer.vocabulary)
    given = arguments(tmp_path, world, *SHORT, "--init", start, "--only", "full")
    assert ablation.main(given) == 0
    first = results(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "out" / "full" / "log.jsonl").read_text().splitlines()]
    assert [line["init"] for line in lines if "init" in line] == [str(start)]
    (tmp_path / "out").rename(tmp_path / "before")
    assert ablation.main(given) == 0
    assert results(tmp_path)[0]["metrics"] == first[0]["metrics"]
    before, after = (load_file(tmp_path / folder / "full" / "model.safetensors") for folder in ("before", "out"))
    assert {name: value.tobytes() for name, value in before.items()} == {name: value.tobytes() for name, value in after.items()}


def test_minutes_become_one_number_of_steps_that_is_kept(world, tmp_path, trained, monkeypatch):
    monkeypatch.setattr(ablation, "last_line", lambda folder: {"finished": 2, "minutes": 0.5})
    original, lengths = ablation.train, []

    def short(options, folder, settings, *length):
        lengths.append(length)
        original(options, folder, settings, "--steps", 2)

    monkeypatch.setattr(ablation, "train", short)
    given = arguments(tmp_path, world, "--minutes-each", 3, "--k-test", 3, "--only")
    assert ablation.main([*given, "full"]) == 0
    assert lengths == [("--minutes", 0.5), ("--steps", 12)]
    assert ablation.main([*given, "no_mlm"]) == 0
    assert lengths[2:] == [("--steps", 12)]


def error_of(capsys, *words: str) -> None:
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("albef.ablation: ") and all(word in error for word in words), error


def test_results_of_other_settings_are_not_taken_for_these(world, tmp_path, trained, capsys):
    assert ablation.main(arguments(tmp_path, world, *SHORT, "--only", "full")) == 0
    assert ablation.main(arguments(tmp_path, world, "--steps", 3, "--k-test", 3, "--only", "full")) == 1
    error_of(capsys, "full", "other settings")
    (world / "retrieval_test.json").write_text((world / "retrieval_test.json").read_text() + "\n")
    assert ablation.main(arguments(tmp_path, world, *SHORT, "--only", "full")) == 1
    error_of(capsys, "other settings")
    assert len(trained) == 1


def test_a_world_without_noisy_captions_is_refused_before_any_run(world, tmp_path, trained, capsys):
    (world / "pretrain_noisy.json").unlink()
    assert ablation.main(arguments(tmp_path, world, *SHORT)) == 1
    error_of(capsys, "pretrain_noisy.json", "albef.world")
    assert trained == []


def test_a_trainer_that_fails_is_one_error(world, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ablation.subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, 1))
    assert ablation.main(arguments(tmp_path, world, *SHORT, "--only", "full")) == 1
    error_of(capsys, "full", "exit code 1")
