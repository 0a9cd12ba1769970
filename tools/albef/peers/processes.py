"""Processes that are measured: workers of the other runtimes and our own commands, pinned to processors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2]


class PeerError(RuntimeError):
    """A process that could not be measured; one line."""


def environment(threads: int, isa: str | None = None) -> dict[str, str]:
    """Variables for a runtime with so many threads; ``avx2`` keeps each from AVX-512 by the switch that it has."""
    values = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(TOOLS)}
    if isa == "avx2":
        values |= {
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "ATEN_CPU_CAPABILITY": "avx2",
            # So that the C library's own copies do not count as a runtime's instructions.
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD",
        }
    return values


def processors(threads: int, cpu: int | None) -> list[int]:
    """The processors for so many threads: all that this process may use, or one for a single thread."""
    allowed = sorted(os.sched_getaffinity(0))
    if threads > 1:
        return allowed
    return [cpu if cpu is not None else allowed[0]]


def pinned(command: Iterable[object], cpus: list[int]) -> list[str]:
    """A command that runs on these processors alone."""
    return ["taskset", "-c", ",".join(map(str, cpus)), *map(str, command)]


def peak_resident_bytes(process: int) -> int:
    """``VmHWM`` of a process that is alive."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise PeerError(f"process {process} has no VmHWM")


class Worker:
    """A worker of one runtime, and what it answers."""

    def __init__(self, engine: str, threads: int, cache: Path, cpus: list[int], isa: str | None = None) -> None:
        self.engine = engine
        command = [sys.executable, "-m", "albef.peers.worker", engine, "--threads", threads, "--cache", cache]
        self.process = subprocess.Popen(
            pinned(command, cpus), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment(threads, isa),
        )  # fmt: skip

    def send(self, **request: object) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise PeerError(f"{self.engine}: the worker has ended") from error

    def receive(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise PeerError(f"{self.engine}: the worker ended with code {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.engine}: {answer['error']}")
        return answer

    def ask(self, **request: object) -> dict:
        self.send(**request)
        return self.receive()

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def seconds_to_answer(command: list[str], variables: dict[str, str]) -> float:
    """From the start of a process to its first line."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    seconds = time.perf_counter() - start
    process.stdout.close()
    if not line or process.wait() != 0:
        raise PeerError(f"{' '.join(command[3:])}: no answer, exit code {process.wait()}")
    return seconds
