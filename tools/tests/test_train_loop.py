"""What a person sees of a run and how it bears with mishaps: bars, lines, TensorBoard, bad samples, signals, memory."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import reference as r
import tiny_world as w
import torch

from albef.data import SampleError
from albef.model import PretrainModel, VQAModel
from albef.model.recompute import Recomputable, recompute_blocks
from albef.processes import Processes
from albef.train.__main__ import main
from albef.train.heatmaps import draw_heatmaps, overlay
from albef.train.loop import Length, Pace, Run
from albef.train.progress import Progress, duration
from albef.train.state import read_position
from albef.train.tasks import TASKS, build_task


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return w.make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ALBEF_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_trains_validates_and_counts_epochs(task, world, tmp_path):
    config = w.write_config(tmp_path / "c.json", task, epochs=2, gradient_checkpointing=True, bfloat16=task == "vqa")
    assert main(w.command(world, config, tmp_path / "run", task)) == 0
    lines = w.log(tmp_path / "run")
    steps = [line for line in lines if "rate" in line]
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
    batches = lines[0]["batches"]
    assert lines[-1]["finished"] == len(steps) == 2 * batches
    assert all(math.isfinite(value) for losses in w.losses(tmp_path / "run") for value in losses.values())
    assert (lines[-1]["validation"] == {}) == (task == "pretrain")
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert (tmp_path / "run" / "best.safetensors").exists() == (task != "pretrain")


def test_a_frozen_part_stays_and_an_unknown_one_is_named(world, tmp_path, capsys):
    config = w.write_config(tmp_path / "c.json", "entailment", frozen=["visual_encoder"])
    assert main(w.command(world, config, tmp_path / "run", "entailment", "--steps", 2)) == 0
    fresh = build_task("entailment", config, world, 42).model.visual_encoder.state_dict()
    found = w.state(tmp_path / "run")
    assert all((found[f"model/visual_encoder.{name}"] == value.numpy()).all() for name, value in fresh.items())
    w.write_config(config, "entailment", frozen=["eye"])
    assert main(w.command(world, config, tmp_path / "other", "entailment")) == 1
    assert f"{config}: key 'frozen'" in capsys.readouterr().err


def test_official_rates_follow_epochs_and_stay_inside_them(world, tmp_path):
    config = w.write_config(
        tmp_path / "c.json", "retrieval", schedule="steps", warmup_lr=0.001, warmup_epochs=1, epochs=3, min_lr=0.002
    )
    assert main(w.command(world, config, tmp_path / "run", "retrieval")) == 0
    rates = [line["lr"] for line in w.log(tmp_path / "run") if "rate" in line]
    # Ten steps an epoch: the warm-up of 100 steps never ends, then a cosine by whole epochs.
    expected = [0.001] + [0.002 + 0.008 * (1 + math.cos(math.pi * epoch / 3)) / 2 for epoch in (1, 2)]
    assert rates == [f"{rate:.2e}" for rate in expected for _ in range(10)]


def test_an_official_configuration_trains_as_it_is_written(world, tmp_path):
    """Only the sizes are small; the picture folder is the official file's."""
    bert = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "fusion_layer": 1, "intermediate_size": 32}
    (tmp_path / "bert.json").write_text(json.dumps(bert | {"max_position_embeddings": 16, "hidden_dropout_prob": 0.1}))
    config = tmp_path / "c.yaml"
    config.write_text(f"""
train_file: ['retrieval_train.json']
val_file: 'retrieval_val.json'
image_root: '{world}'
bert_config: 'bert.json'
image_res: 8
batch_size_train: 4
queue_size: 16
momentum: 0.9
vision_width: 8
embed_dim: 4
temp: 0.07
k_test: 4
alpha: 0.4
distill: True
warm_up: True
optimizer: {{opt: adamW, lr: 1e-3, weight_decay: 0.02}}
schedular: {{sched: cosine, lr: 1e-3, epochs: 2, min_lr: 1e-4, decay_rate: 1, warmup_lr: 1e-5, warmup_epochs: 1,
             cooldown_epochs: 0}}
model: {{patch_size: 4, vision_layers: 1, vision_heads: 2}}
""")
    assert main(w.command(world, config, tmp_path / "run", "retrieval")) == 0
    lines = w.log(tmp_path / "run")
    rates = [line["lr"] for line in lines if "rate" in line]
    assert rates == ["1.00e-05"] * 10 + ["5.50e-04"] * 10
    assert set(lines[-1]["validation"]) == {"itc_txt_r1", "itc_img_r1", "txt_r1", "img_r1"}
    found = w.state(tmp_path / "run")
    assert found["model/queue_ptr"].item() == 20 * 4 % 16
    assert not np.array_equal(found["model/vision_proj.weight"], found["model/vision_proj_m.weight"])


def test_a_run_by_the_clock_ends_and_says_so(world, tmp_path, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr("albef.train.loop.time", SimpleNamespace(monotonic=lambda: next(ticks) / 100))
    config = w.write_config(tmp_path / "c.json", "retrieval", epochs=1)
    assert main(w.command(world, config, tmp_path / "run", "retrieval", "--minutes", 0.02)) == 0
    lines = w.log(tmp_path / "run")
    assert 0.02 <= lines[-1]["minutes"] < 0.03
    assert lines[-1]["finished"] > 10, "it goes on beyond the configuration's one epoch"
    rates = [float(line["lr"]) for line in lines if "rate" in line]
    assert rates[-1] < 0.3 * max(rates), "rates follow the clock"


def build(world, tmp_path, task="retrieval", **changes) -> Run:
    config = w.write_config(tmp_path / "c.json", task, **changes)
    return Run(build_task(task, config, world, 1), Processes(torch.device("cpu")), tmp_path / "run", 1, Length(steps=12))


def test_a_sample_that_cannot_be_had_is_replaced_and_told_once(world, tmp_path, capsys):
    run = build(world, tmp_path)
    load = run.task.batches.load
    seen: list[int] = []

    def refusing(numbers, epoch):
        for number in numbers:
            if number in (7, 8):
                raise SampleError(number, f"retrieval_train.json: record {number}: picture gone")
        seen.extend(numbers)
        return load(numbers, epoch)

    run.task.batches.load = refusing
    assert run.train()
    told = [line for line in w.log(tmp_path / "run") if "replaced" in line]
    assert sorted(line["replaced"] for line in told) == [7, 8]
    assert "record 7" in next(line["reason"] for line in told if line["replaced"] == 7)
    assert len(seen) == 12 * 4 and not {7, 8} & set(seen)
    plan = [number for epoch in (0, 1) for numbers in run.task.batches.plan(epoch) for number in numbers][: 12 * 4]
    assert seen == [9 if number in (7, 8) else number for number in plan], "the next good item stands in"
    assert sorted(run.position.replaced) == [7, 8]


def test_a_run_without_one_good_sample_ends_with_a_line(world, tmp_path):
    run = build(world, tmp_path)

    def refuse(numbers, epoch):
        raise SampleError(numbers[0], "gone")

    run.task.batches.load = refuse
    with pytest.raises(RuntimeError, match="not one training item"):
        run.train()


def test_the_best_model_is_kept(world, tmp_path):
    run = build(world, tmp_path)
    run.pace = Pace(validate=0)
    scores = iter([10, 30, 20, 30, 5, 5, 5, 5, 5, 5, 5, 5, 5])
    run.task.validate = lambda: dict.fromkeys(("txt_r1", "img_r1"), next(scores))
    kept = []
    save = run.save_model
    run.save_model = lambda *name: (kept.append(run.position.step) if name else None, save(*name))
    assert run.train()
    assert kept == [1, 2] and read_position(run.state_file).best == 30


def test_a_loss_that_is_not_finite_ends_the_run_before_the_weights_change(world, tmp_path):
    run = build(world, tmp_path)
    losses = run.task.losses
    run.task.losses = lambda batch, alpha: {
        name: value * (math.nan if run.position.step == 2 else 1.0) for name, value in losses(batch, alpha).items()
    }
    with pytest.raises(RuntimeError, match="step 2: the loss is not finite"):
        run.train()
    assert all(parameter.isfinite().all() for parameter in run.model.parameters())


def test_interrupting_saves_and_a_second_time_ends_at_once(world, tmp_path):
    run = build(world, tmp_path)
    load = run.task.batches.load

    def interrupting(numbers, epoch):
        if run.position.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return load(numbers, epoch)

    run.task.batches.load = interrupting
    assert not run.train()
    assert w.log(tmp_path / "run")[-1] == {"stopped": 4, "epoch": 0}
    again = build(world, tmp_path)
    assert again.resume() and again.position.step == 4

    def twice(numbers, epoch):
        # Not by os.kill: another thread may be given the signal, and two that wait are one.
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return load(numbers, epoch)

    again.task.batches.load = twice
    with pytest.raises(KeyboardInterrupt):
        again.train()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_on_a_terminal_there_is_a_bar_with_rate_and_time_left(world, tmp_path, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setenv("COLUMNS", "160")
    config = w.write_config(tmp_path / "c.json", "retrieval")
    assert main(w.command(world, config, tmp_path / "run", "retrieval", "--steps", 5)) == 0
    shown = screen.getvalue()
    assert "samples/s" in shown and "left" in shown and "step 5" in shown and "100%" in shown and "\r" in shown
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert not any("rate" in line for line in lines) and "finished" in lines[-1]
    assert sum("rate" in line for line in w.log(tmp_path / "run")) == 5


def test_without_a_terminal_there_are_plain_lines_and_nothing_on_standard_error(world, tmp_path, capsys):
    config = w.write_config(tmp_path / "c.json", "retrieval")
    assert main(w.command(world, config, tmp_path / "run", "retrieval", "--steps", 2)) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert [json.loads(line) for line in captured.out.splitlines()] == w.log(tmp_path / "run")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_tensorboard_holds_curves_and_heatmaps(world, tmp_path):
    pytest.importorskip("tensorboard", reason="the package is optional")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = w.write_config(tmp_path / "c.json", "retrieval")
    arguments = w.command(world, config, tmp_path / "run", "retrieval", "--steps", 4, "--tensorboard", "--validate-every", 0)
    arguments.remove("--no-tensorboard")
    assert main(arguments) == 0
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"loss/ita", "loss/itm", "run/lr", "run/samples_per_second", "validation/txt_r1"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss/ita")] == [1, 2, 3, 4]
    pictures = [tag for tag in events.Tags()["images"] if tag.startswith("heatmap/00.png")]
    assert len(pictures) == 1 and events.Images(pictures[0])[-1].width == 192


@pytest.mark.parametrize(("task", "shown"), [("vqa", 4), ("grounding", 4), ("entailment", 0)])
def test_heatmaps_of_validation_cases(task, shown, world, tmp_path):
    built = build(world, tmp_path, task).task
    drawn = draw_heatmaps(built)
    assert len(drawn) == shown and all(picture.shape == (192, 192, 3) for picture in drawn.values())
    if task == "vqa":
        assert all(tag.split("? ")[1] in ("yes", "no", "red") for tag in drawn), "question and best answer"


def test_asking_for_tensorboard_without_the_package_is_an_error(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("albef.train.__main__.load_tensorboard", lambda: None)
    config = w.write_config(tmp_path / "c.json", "retrieval")
    assert main(w.command(world, config, tmp_path / "run", "retrieval", "--steps", 1, "--tensorboard")) == 1
    assert "pip install tensorboard" in capsys.readouterr().err


def test_an_overlay_is_red_where_the_map_is_high():
    drawn = overlay(np.full((8, 8, 3), 100, np.uint8), torch.tensor([[1.0, 0.0], [0.0, 0.0]]), 16)
    assert drawn.shape == (16, 16, 3) and drawn.dtype == np.uint8
    assert drawn[0, 0].tolist() == [193, 40, 40] and drawn[-1, -1].tolist() == [100, 100, 100]
    assert (overlay(np.zeros((4, 4, 3), np.uint8), torch.ones(2, 2), 8) == 0).all(), "a flat map shows nothing"


def test_a_resumed_log_keeps_what_the_state_knew(tmp_path):
    progress = Progress(tmp_path)
    progress.write({"step": 1})
    kept = progress.log_bytes
    progress.write({"step": 2})
    progress.close()
    progress = Progress(tmp_path, log_bytes=kept)
    progress.write({"step": "2 again"})
    progress.close()
    assert w.log(tmp_path) == [{"step": 1}, {"step": "2 again"}]


@pytest.mark.parametrize("kind", ["pretrain", "vqa"])
def test_recomputed_blocks_give_the_same_gradients_with_dropout(kind):
    config = r.tiny_config()
    pixels, ids, mask = r.batch(config, [7, 5, 9, 4], 5)
    found = []
    for recompute in (False, True):
        torch.manual_seed(3)
        if kind == "pretrain":
            model = PretrainModel(config, queue_size=8, dropout=0.3, cls_id=1, mask_id=4, mlm_probability=0.4)
            arguments = (pixels, ids, mask, 0.4)
        else:
            model = VQAModel(config, dropout=0.3, cls_id=1)
            arguments = (pixels, ids, mask, ids[:, :4], mask[:, :4], torch.ones(4), torch.arange(4), 0.4)
        recompute_blocks(model, recompute)
        calls = count_calls(model)
        torch.manual_seed(8)
        losses = model.train()(*arguments)
        sum(losses.values()).backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        found.append((losses, gradients, calls))
    (plain, expected, once), (losses, gradients, twice) = found
    assert set(gradients) == set(expected)
    assert all(torch.equal(losses[name], plain[name]) for name in plain)
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-5, atol=1e-7, msg=name)
    assert sum(twice) > sum(once), "blocks ran again"


def count_calls(model: torch.nn.Module) -> list[int]:
    calls: list[int] = []
    for module in model.modules():
        if isinstance(module, Recomputable):
            forward = module.forward
            module.forward = lambda *a, forward=forward: (calls.append(1), forward(*a))[1]
    return calls
