"""Our side of the comparison: ``albef-infer`` on a published-size model with random weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from albef.peers.parts import ANSWERS, Part
from albef.peers.processes import TOOLS, PeerError, peak_resident_bytes, pinned
from albef.runtime import CommandError, Runtime

TASKS = ("retrieval", "vqa")
TEXT = "a man riding a horse on the beach"


@dataclass
class Ours:
    """The commands of a build, and the models that they run."""

    runtime: Runtime
    cache: Path
    # Those written by this process.
    lists: dict[bool, Path] = field(default_factory=dict)

    def answers(self, *, long: bool = False) -> Path:
        """A list of answers beside the models, written anew by each process: a file of an earlier version may have another."""
        if long not in self.lists:
            target = self.cache / ("answers-long.json" if long else "answers.json")
            partial = target.with_name(f"partial-{target.name}")
            more = ["--long-answers"] if long else []
            self.random_checkpoint("--write-answers", partial, "--made-up-answers", ANSWERS, *more)
            partial.rename(target)
            self.lists[long] = target
        return self.lists[long]

    def random_checkpoint(self, *arguments: object) -> None:
        """Runs ``python -m albef.random_checkpoint``, so that torch stays out of this process."""
        self.cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "albef.random_checkpoint", *map(str, arguments)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(TOOLS)}, stdout=subprocess.DEVNULL)

    def model(self, task: str) -> Path:
        """The packed model; made on the first call, from random weights in the published layout."""
        target = self.cache / f"{task}.albef"
        if target.exists():
            return target
        checkpoint, vocabulary = self.cache / f"{task}.pth", self.cache / "vocab.txt"
        self.random_checkpoint("--task", task, "-o", checkpoint, "--write-vocab", vocabulary)
        partial = self.cache / f"partial-{task}.albef"
        extra = ["--answers", self.answers()] if task == "vqa" else []
        self.runtime.run("albef-export", checkpoint, "-o", partial, "--vocab", vocabulary, *extra, "--quiet")
        partial.rename(target)
        checkpoint.unlink()
        return target

    def bench_command(
        self, task: str, cpus: list[int], runs: int, stages: list[str], isa: str | None, *, long_answers: bool
    ) -> list[str]:
        """``albef-infer bench``. Answers are always given: a cached model may hold another list."""
        arguments = [
            self.runtime.commands["albef-infer"], "bench", "-m", self.model(task), "--threads", len(cpus), "--runs", runs,
            "--json", *(["--isa", isa] if isa else []), *(["--stages", *stages] if stages else []),
            *(["--answers", self.answers(long=long_answers)] if task == "vqa" else []),
        ]  # fmt: skip
        return pinned(arguments, cpus)

    def bench(
        self, task: str, cpus: list[int], runs: int, stages: list[str], isa: str | None = None, *, long_answers: bool = False
    ) -> dict:
        """The answer of ``albef-infer bench``."""
        command = self.bench_command(task, cpus, runs, stages, isa, long_answers=long_answers)
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise PeerError(f"albef-infer bench: {result.stderr.strip() or result.returncode}")
        return json.loads(result.stdout)

    def part(self, part: Part, cpus: list[int], runs: int, isa: str | None = None) -> dict:
        """The times of one part: ``min_ms``, ``p50_ms``, ``peak_share`` and more, and the machine's ``peak``."""
        answer = self.bench(part.task, cpus, runs, [part.stage], isa, long_answers=part.long_answers)
        return {**answer["stages"][0], "peak": answer["peak"], "isa": answer["isa"]}

    def spinning(self, part: Part, cpus: list[int], isa: str | None) -> subprocess.Popen[str]:
        """A process that runs a part until it is killed."""
        command = self.bench_command(part.task, cpus, 100000, [part.stage], isa, long_answers=part.long_answers)
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)

    def first_text(self, cpus: list[int]) -> list[str]:
        """The command whose first line is a text's features."""
        embed = [self.runtime.commands["albef-infer"], "embed", "-m", self.model("retrieval"), "--text", TEXT, "--json"]
        return pinned([*embed, "--threads", len(cpus)], cpus)

    def image_memory(self, picture: Path, cpus: list[int]) -> int:
        """``VmHWM`` of a process that embedded one picture file."""
        arguments = [self.runtime.commands["albef-infer"], "run", "-m", self.model("retrieval"), "--threads", len(cpus)]
        request = {"command": "embed", "image": [str(picture)]}
        with subprocess.Popen(pinned(arguments, cpus), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            if "error" in answer:
                raise PeerError(f"albef-infer embed: {answer['error']['message']}")
            return peak_resident_bytes(process.pid)


def image_weight_bytes(ours: Ours) -> int:
    """Bytes of the weights that encoding a picture reads."""
    tensors = ours.runtime.infer("info", "-m", ours.model("retrieval"), "--tensors")["tensors"]
    return sum(each["bytes"] for each in tensors if each["name"].startswith(("visual_encoder.", "vision_proj.")))


def find(binaries: Path | None, cache: Path) -> Ours:
    """The commands of a build."""
    try:
        return Ours(Runtime(binaries), cache)
    except CommandError as error:
        raise PeerError(str(error)) from error
