"""The runtime's commands from Python: where they are, and what they answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("albef-export", "albef-infer")


class CommandError(RuntimeError):
    """A command that is missing or refused its input; one line."""


class Runtime:
    """``albef-export`` and ``albef-infer`` of one build."""

    def __init__(self, folder: Path | None = None, threads: int | None = None) -> None:
        """``folder`` holds both commands; else $ALBEF_BINARIES, this checkout's release build or the PATH does."""
        self.commands = {name: find_command(name, folder) for name in COMMANDS}
        self.threads = ["--threads", str(threads)] if threads else []

    def run(self, name: str, *arguments: object, allow: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        """Runs a command; an exit code that is not in ``allow`` is an error with the command's own line."""
        command = [str(self.commands[name]), *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode not in allow:
            lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
            raise CommandError(f"{name} {arguments[0] if arguments else ''}: {lines[-1]}")
        return result

    def infer(self, command: str, *arguments: object, allow: tuple[int, ...] = (0,)) -> dict:
        """The JSON answer of an ``albef-infer`` command."""
        return json.loads(self.run("albef-infer", command, *arguments, *self.threads, "--json", allow=allow).stdout)

    def export(self, checkpoint: Path, model: Path, precision: str) -> None:
        """Packs a checkpoint."""
        self.run("albef-export", checkpoint, "-o", model, "--precision", precision, "--quiet")

    def verify(self, model: Path, fixtures: Path, *, record: bool) -> dict:
        """Compares with golden fixtures; ``passed`` tells whether all bounds hold."""
        option = "--record" if record else "--require-exact"
        return self.infer("verify", "-m", model, "--fixtures", fixtures, option, allow=(0, 1))

    def evaluate(self, model: Path, annotations: Path, images: Path, *options: object) -> dict:
        """The metrics over a dataset: ``task``, ``cases``, ``metrics`` in percent."""
        return self.infer("evaluate", "-m", model, "--annotations", annotations, "--images", images, *options)

    def has_option(self, command: str, option: str) -> bool:
        """Whether a command of this build knows an option."""
        return re.search(rf"{option}\b", self.run("albef-infer", command, "--help").stdout) is not None


def find_command(name: str, folder: Path | None) -> Path:
    """The command's path; an error that says how to build it if it is nowhere."""
    given = folder or os.environ.get("ALBEF_BINARIES")
    places = [Path(given)] if given else [ROOT / ".build" / "release"]
    for place in places:
        if os.access(place / name, os.X_OK):
            return place / name
    found = None if given else shutil.which(name)
    if found is None:
        hint = f"swift build -c release --product {name}"
        raise CommandError(f"no {name} in {places[0]}: build it with '{hint}', or name its folder with --binaries")
    return Path(found)
