"""A run that is killed or stopped ends, once resumed, with the bytes of an unbroken one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import tiny_world as w
from safetensors.numpy import load_file

from albef.train.__main__ import main
from albef.train.state import read_position


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return w.make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("ALBEF_CACHE", str(folder))
    return folder


def same_state(one, two) -> None:
    same_tensors(w.state(one), w.state(two))


def same_tensors(a, b) -> None:
    assert set(a) == set(b)
    for name, value in a.items():
        assert value.tobytes() == b[name].tobytes(), name


def wait_for(check, process, seconds=240.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_midway_ends_with_the_same_bytes(how, world, cache, tmp_path):
    task = "pretrain" if how == signal.SIGKILL else "retrieval"
    # Long enough that a signal after the first states finds it running; no epoch of 5 or 10 steps ends at a state.
    config = w.write_config(tmp_path / "c.json", task, epochs=20)
    steps = ["--steps", 41, "--save-steps", 7]
    assert main(w.command(world, config, tmp_path / "whole", task, *steps)) == 0
    arguments = w.command(world, config, tmp_path / "broken", task, *steps)
    process = subprocess.Popen(
        w.python("albef.train", *arguments), env=w.environment(cache), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    states = tmp_path / "broken" / "state.safetensors"
    wait_for(lambda: states.exists() and read_position(states).step >= 14, process)
    process.send_signal(how)
    assert process.wait(240) == (-signal.SIGKILL if how == signal.SIGKILL else 128 + signal.SIGTERM)
    process.stderr.close()
    stopped = read_position(states)
    assert 14 <= stopped.step < 41 and not stopped.finished
    assert main(arguments + ["--resume"]) == 0
    same_state(tmp_path / "whole", tmp_path / "broken")
    same_tensors(*(load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken")))
    assert w.losses(tmp_path / "broken") == w.losses(tmp_path / "whole")
    assert any(line.get("resumed") == stopped.step for line in w.log(tmp_path / "broken"))


def test_random_numbers_drawn_elsewhere_change_nothing(world, tmp_path):
    config = w.write_config(tmp_path / "c.json", "vqa")
    for name in ("one", "two"):
        np.random.seed(len(name))
        extra = ["--validate-every", 0] if name == "two" else []
        assert main(w.command(world, config, tmp_path / name, "vqa", "--steps", 6, *extra)) == 0
    same_state(tmp_path / "one", tmp_path / "two")


def test_a_state_is_not_overwritten_and_not_resumed_with_other_settings(world, tmp_path, capsys):
    config = w.write_config(tmp_path / "c.json", "retrieval")
    arguments = w.command(world, config, tmp_path / "run", "retrieval", "--steps", 4, "--save-steps", 1)
    assert main(arguments) == 0
    assert main(arguments + ["--resume"]) == 0
    assert "finished" in capsys.readouterr().out
    state = tmp_path / "run" / "state.safetensors"
    unfinish(state)
    assert main(arguments) == 1
    assert "--resume" in capsys.readouterr().err
    w.write_config(config, "retrieval", lr=0.5)
    assert main(arguments + ["--resume"]) == 1
    error = capsys.readouterr().err
    assert "settings.lr 0.01, now 0.5" in error and error.count("\n") == 1
    w.write_config(config, "retrieval")
    (world / "retrieval_train.json").write_text((world / "retrieval_train.json").read_text() + "\n")
    assert main(arguments + ["--resume"]) == 1
    assert "retrieval_train.json" in capsys.readouterr().err
    state.write_bytes(state.read_bytes()[:200])
    assert main(arguments + ["--resume"]) == 1
    assert "not the state of a run" in capsys.readouterr().err


def unfinish(state) -> None:
    """Marks a finished state as one of a run that was stopped: same length, so the file keeps its layout."""
    content = state.read_bytes()
    old, new = json.dumps({"finished": True})[1:-1], json.dumps({"finished": False})[1:-1]
    old, new = (text.replace('"', '\\"').encode() for text in (old, new))
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].replace(old, new)
    padding = -len(header) % 8
    state.write_bytes((len(header) + padding).to_bytes(8, "little") + header + b" " * padding + content[8 + length :])
    assert not read_position(state).finished


def test_a_state_is_whole_or_absent_whatever_happens_while_it_is_written(world, tmp_path, monkeypatch, capsys):
    config = w.write_config(tmp_path / "c.json", "retrieval")
    arguments = w.command(world, config, tmp_path / "run", "retrieval", "--steps", 3, "--save-steps", 1)
    assert main(arguments[:-3] + ["1", "--save-steps", "1"]) == 0
    before = (tmp_path / "run" / "state.safetensors").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    assert main(arguments) == 1
    assert "disk full" in capsys.readouterr().err
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before
