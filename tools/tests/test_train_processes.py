"""Two processes compute what one does with two accumulated micro-batches, and that is what one step of two ranks means."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess

import numpy as np
import pytest
import tiny_world as w
import torch

from albef.model.contrastive import Momentum
from albef.train.__main__ import main
from albef.train.loop import Run, seed_everything
from albef.train.state import read_position
from albef.train.tasks import build_task

TOLERANCE = 1e-6
"""Absolute, on losses, queues, twins and weights after some steps of a rate of 0.01: sums may round differently."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return w.make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("ALBEF_CACHE", str(folder))
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launched(arguments: list[str], cache) -> None:
    """As a person starts them."""
    launcher = w.python("torch.distributed.run", "--nproc-per-node", 2, "--master-port", free_port(), "-m", "albef.train")
    result = subprocess.run(launcher + arguments, env=w.environment(cache), capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr


def forked(arguments: list[str], cache) -> None:
    """The same without a launcher that imports everything thrice."""
    port = str(free_port())

    def work(rank: int) -> None:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os._exit(main(arguments))

    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(rank,)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(240)
        assert worker.exitcode == 0


def close(one, two) -> None:
    assert set(one) == set(two)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(("task", "start"), [("pretrain", launched), ("retrieval", forked)])
def test_two_processes_equal_one_with_two_micro_batches(task, start, world, cache, tmp_path):
    # Of dropout, masked words and drawn negatives each micro-batch has its own.
    two = w.write_config(tmp_path / "two.json", task, accumulate=2, clip=1.0)
    one = w.write_config(tmp_path / "one.json", task, clip=1.0)
    steps = ["--steps", 7]
    assert main(w.command(world, two, tmp_path / "alone", task, *steps)) == 0
    start(w.command(world, one, tmp_path / "together", task, *steps), cache)
    a, b = w.state(tmp_path / "alone"), w.state(tmp_path / "together")
    assert {"model/image_queue", "model/visual_encoder_m.norm.weight", "model/queue_ptr"} <= set(a)
    close(a, b)
    assert a["model/queue_ptr"].item() == 7 * 8 % 16
    mine, theirs = w.losses(tmp_path / "alone"), w.losses(tmp_path / "together")
    assert len(mine) == len(theirs) == 7
    for step, (x, y) in enumerate(zip(mine, theirs, strict=True)):
        assert x == pytest.approx(y, abs=1e-4 + TOLERANCE), step  # the log rounds to four places


def test_a_step_of_micro_batches_is_the_mean_of_ranks(world, tmp_path):
    """By hand: twins move once, every pass sees the old queue, gradients are averaged, features are enqueued in order."""
    config = w.write_config(tmp_path / "c.json", "retrieval", accumulate=3, queue_size=24, alpha_ramp=False, warmup=0.0)
    assert main(w.command(world, config, tmp_path / "run", "retrieval", "--steps", 1, "--seed", 5)) == 0
    torch.set_flush_denormal(True)
    task = build_task("retrieval", config, world, 5)
    model = task.model.train()
    model.update_twins()
    queue = model.image_queue.clone()
    means = {name: torch.zeros_like(p) for name, p in model.named_parameters() if p.requires_grad}
    twins = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    features, identities = [], []
    plan = task.batches.plan(0)
    for micro in range(3):
        seed_everything(5, 0, micro)
        batch = task.batches.load(plan[micro], 0)
        # A process of its own: the queue as it was, twins that have moved.
        model.image_queue.copy_(queue)
        model.queue_ptr.zero_()
        model.update_twins = lambda: None
        model.zero_grad()
        before = model.text_queue.clone(), model.idx_queue.clone()
        sum(task.losses(batch, 0.4).values()).backward()
        features.append(model.image_queue[:, :4].clone())
        identities.append(model.idx_queue[:, :4].clone())
        model.text_queue.copy_(before[0])
        model.idx_queue.copy_(before[1])
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                means[name] += parameter.grad / 3
    queue[:, :12] = torch.cat(features, 1)
    found = w.state(tmp_path / "run")
    np.testing.assert_allclose(found["model/image_queue"], queue.numpy(), rtol=0, atol=TOLERANCE)
    assert found["model/idx_queue"][0, :12].tolist() == torch.cat(identities, 1)[0].tolist()
    # AdamW's first moment after one step is a tenth of the gradient.
    for name, mean in means.items():
        moment = found.get(f"optimizer/{name}/exp_avg", np.zeros(mean.shape))
        np.testing.assert_allclose(moment, 0.1 * mean.numpy(), rtol=0, atol=TOLERANCE, err_msg=name)
    for name, twin in twins.items():
        np.testing.assert_allclose(found[f"model/{name}"], twin.numpy(), rtol=0, atol=TOLERANCE, err_msg=name)


def test_a_run_of_two_micro_batches_goes_on_in_two_processes(world, cache, tmp_path, monkeypatch):
    # Pictures with two questions each fill batches of six, so that an epoch has fewer steps than its questions suggest.
    one = w.write_config(tmp_path / "one.json", "vqa", batch_size=5)
    two = w.write_config(tmp_path / "two.json", "vqa", batch_size=5, accumulate=2)
    assert main(w.command(world, two, tmp_path / "whole", "vqa")) == 0
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "save_state", stop_after(4, Run.save_state))
        main(w.command(world, two, tmp_path / "run", "vqa", "--save-steps", 2))
    assert read_position(tmp_path / "run" / "state.safetensors").step == 4
    forked(w.command(world, one, tmp_path / "run", "vqa", "--resume"), cache)
    close(w.state(tmp_path / "whole"), w.state(tmp_path / "run"))
    assert w.log(tmp_path / "run")[-1]["finished"] == w.log(tmp_path / "whole")[-1]["finished"] == 9


def stop_after(step: int, save):
    def saved(run, *arguments, **named):
        save(run, *arguments, **named)
        if run.position.step == step:
            raise KeyboardInterrupt

    return saved


def test_a_queue_that_no_whole_number_of_steps_fills_is_refused_at_the_start(world, tmp_path, capsys):
    config = w.write_config(tmp_path / "c.json", "retrieval", accumulate=3)
    assert main(w.command(world, config, tmp_path / "run", "retrieval", "--steps", 1)) == 1
    error = capsys.readouterr().err
    assert "queue_size 16" in error and "accumulate 3" in error and error.count("\n") == 1


def test_twins_move_once_in_a_step_of_many_passes():
    class Pair(torch.nn.Module, Momentum):
        twin_names = ("layer",)

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.build_twins()

    model = Pair()
    with torch.no_grad():
        model.layer.weight.fill_(3.0)
        model.layer_m.weight.fill_(1.0)
    with model.one_step():
        model.update_twins()
        model.update_twins()
    assert model.layer_m.weight.item() == pytest.approx(1.01)
    model.update_twins()
    assert model.layer_m.weight.item() == pytest.approx(1.01 * 0.995 + 0.015)
