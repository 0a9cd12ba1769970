"""A process that holds one runtime: ``python -m albef.peers.worker NAME --threads N --cache FOLDER``.

Requests come as JSON lines on standard input, and each gets a line on standard output:

    {"do": "load", "part": "image", "setting": {...}}        {"ok": true}
    {"do": "time", "part": "image", "setting": {...}, "runs": 3, "warmups": 1}    {"seconds": [...]}
    {"do": "spin", "part": "image", "setting": {...}, "seconds": 2}     {"ok": true}: runs over and over
    {"do": "forget", "except": {...}}     {"ok": true}: nothing is loaded any more, but for one part in one setting
    {"do": "state"}       {"version": ..., "peak_resident_bytes": ..., "primitives": [...]}

``--first`` answers once, after the first run of the text encoder, and ends: how long a process takes from its start.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TextIO

from albef.peers.engines import ENGINES, Engine, Run, Setting
from albef.peers.parts import part
from albef.peers.processes import peak_resident_bytes


class Worker:
    """Loaded parts by name and setting."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.loaded: dict[tuple[str, str], Run] = {}

    def run(self, name: str, setting: Setting) -> Run:
        key = self.key(name, setting)
        if key not in self.loaded:
            self.loaded[key] = self.engine.part(part(name), setting)
        return self.loaded[key]

    @staticmethod
    def key(name: str, setting: Setting) -> tuple[str, str]:
        return name, json.dumps(setting, sort_keys=True)

    def answer(self, request: dict) -> dict:
        if request["do"] == "state":
            return {
                "version": self.engine.version(), "peak_resident_bytes": peak_resident_bytes(os.getpid()),
                "primitives": sorted(self.engine.primitives),
            }  # fmt: skip
        if request["do"] == "forget":
            kept = request.get("except")
            key = self.key(kept["part"], kept["setting"]) if kept else None
            self.loaded = {each: run for each, run in self.loaded.items() if each == key}
            return {"ok": True}
        run = self.run(request["part"], request["setting"])
        if request["do"] == "time":
            for _ in range(request["warmups"]):
                run()
            seconds = []
            for _ in range(request["runs"]):
                start = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - start)
            return {"seconds": seconds}
        if request["do"] == "spin":
            end = time.monotonic() + request["seconds"]
            while time.monotonic() < end:
                run()
        return {"ok": True}


def serve(worker: Worker, requests: TextIO, answers: TextIO) -> None:
    """Answers until the input ends; what fails is an answer too."""
    for line in requests:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:400]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m albef.peers.worker")
    parser.add_argument("engine", choices=tuple(ENGINES))
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--first", metavar="SETTING", help="answer after the first text, and end")
    options = parser.parse_args()
    # Runtimes print to standard output too: the answers go where nobody else writes.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(ENGINES[options.engine](options.threads, options.cache))
    if options.first is not None:
        worker.run("text_30", json.loads(options.first))()
        answers.write('{"ok": true}\n')
        answers.flush()
        return
    serve(worker, sys.stdin, answers)


if __name__ == "__main__":
    main()
