"""Our side of the comparison: ``albef-infer`` on a published-size model with random weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
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

    def model(self, task: str) -> Path:
        """The packed model; made on the first call, from random weights in the published layout."""
        target = self.cache / f"{task}.albef"
        if target.exists():
            return target
        checkpoint, vocabulary, answers = (self.cache / name for name in (f"{task}.pth", "vocab.txt", "answers.json"))
        command = [
            sys.executable, "-m", "albef.random_checkpoint", "--task", task, "-o", checkpoint, "--write-vocab", vocabulary,
            "--write-answers", answers, "--made-up-answers", ANSWERS,
        ]  # fmt: skip
        self.cache.mkdir(parents=True, exist_ok=True)
        variables = {**os.environ, "PYTHONPATH": str(TOOLS)}
        subprocess.run([str(word) for word in command], check=True, env=variables, stdout=subprocess.DEVNULL)
        partial = self.cache / f"partial-{task}.albef"
        extra = ["--answers", answers] if task == "vqa" else []
        self.runtime.run("albef-export", checkpoint, "-o", partial, "--vocab", vocabulary, *extra, "--quiet")
        partial.rename(target)
        checkpoint.unlink()
        return target

    def bench(self, task: str, cpus: list[int], runs: int, stages: list[str], isa: str | None = None) -> dict:
        """The answer of ``albef-infer bench``."""
        arguments = [
            self.runtime.commands["albef-infer"], "bench", "-m", self.model(task), "--threads", len(cpus), "--runs", runs,
            "--json", *(["--isa", isa] if isa else []), *(["--stages", *stages] if stages else []),
        ]  # fmt: skip
        result = subprocess.run(pinned(arguments, cpus), capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise PeerError(f"albef-infer bench: {result.stderr.strip() or result.returncode}")
        return json.loads(result.stdout)

    def part(self, part: Part, cpus: list[int], runs: int, isa: str | None = None) -> dict:
        """The times of one part: ``min_ms``, ``p50_ms``, ``peak_share`` and more, and the machine's ``peak``."""
        answer = self.bench(part.task, cpus, runs, [part.stage], isa)
        return {**answer["stages"][0], "peak": answer["peak"], "isa": answer["isa"]}

    def spinning(self, part: Part, cpus: list[int], isa: str | None) -> subprocess.Popen[str]:
        """A process that runs a part until it is killed."""
        arguments = [
            self.runtime.commands["albef-infer"], "bench", "-m", self.model(part.task), "--threads", len(cpus), "--runs",
            100000, "--json", "--stages", part.stage, *(["--isa", isa] if isa else []),
        ]  # fmt: skip
        return subprocess.Popen(pinned(arguments, cpus), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)

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
